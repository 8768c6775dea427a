// arrays.c -- all arrays of an open results file, and a row put into them: payload first, then the commit
//
// The same arrays serve creation (serial), writing (serial, or MPI-IO and independent) and reading (serial).

#include "store/arrays.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int OpenOfLabel(hid_t file, const char *group, const char *label, const char *name, StoreArray *array) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof(path), "%s/%s/%s", group, label, name);
  return StoreArrayOpen(file, path, H5T_NATIVE_DOUBLE, array);
}

static int OpenTables(hid_t file, StoreArrays *arrays) {
  STORE_TRY(StoreTableOpen(file, "sessions", &StoreSessionLayout, &arrays->sessions));
  STORE_TRY(StoreTableOpen(file, "cases/table", &StoreCaseLayout, &arrays->cases));
  STORE_TRY(StoreTableOpen(file, "cases/commit", &StoreCommitLayout, &arrays->case_commit));
  STORE_TRY(StoreTableOpen(file, "runs/table", &StoreRunLayout, &arrays->runs));
  STORE_TRY(StoreTableOpen(file, "runs/commit", &StoreCommitLayout, &arrays->run_commit));
  STORE_TRY(StoreArrayOpen(file, "runs/sketch", H5T_NATIVE_DOUBLE, &arrays->sketch));
  if (arrays->sketch.width != CTPG_SKETCH_SIZE || arrays->sketch.rows != arrays->runs.rows ||
      arrays->run_commit.rows != arrays->runs.rows || arrays->case_commit.rows != arrays->cases.rows)
    return StoreFail("its tables do not fit together");
  return 0;
}

// runs/gradients/<label>/run says which run a row of the gradients belongs to.
static int PlaceGradients(hid_t file, const char *label, StoreArray *gradient, hsize_t nruns, int64_t *gradient_row) {
  char path[3 * CTPG_LABEL_SIZE];
  StoreArray owner = {0};
  int64_t *run = NULL;
  int failed;
  snprintf(path, sizeof(path), "runs/gradients/%s/run", label);
  failed = StoreArrayOpen(file, path, H5T_NATIVE_INT64, &owner);
  if (!failed && (owner.rows != gradient->rows || owner.width != 1)) failed = StoreFail("%s is damaged", path);
  if (!failed && !(run = calloc(owner.rows + 1, sizeof(*run)))) failed = StoreFail("out of memory");
  if (!failed) failed = StoreArrayRead(&owner, 0, owner.rows, run);
  for (hsize_t k = 0; !failed && k < owner.rows; k++) {
    if (run[k] >= 0 && (hsize_t)run[k] < nruns) gradient_row[run[k]] = (int64_t)k;
  }
  free(run);
  StoreArrayClose(&owner);
  return failed;
}

static int OpenGradients(hid_t file, char (*label)[CTPG_LABEL_SIZE], StoreArrays *arrays) {
  const hsize_t nruns = arrays->runs.rows;
  arrays->gradient = calloc((size_t)arrays->nproblems + 1, sizeof(StoreArray));
  arrays->gradient_row = malloc((nruns + 1) * sizeof(int64_t));
  if (!arrays->gradient || !arrays->gradient_row) return StoreFail("out of memory");
  for (hsize_t r = 0; r < nruns; r++) arrays->gradient_row[r] = -1;
  for (PetscInt p = 0; p < arrays->nproblems; p++) {
    STORE_TRY(OpenOfLabel(file, "runs/gradients", label[p], "gradient", &arrays->gradient[p]));
    STORE_TRY(PlaceGradients(file, label[p], &arrays->gradient[p], nruns, arrays->gradient_row));
  }
  return 0;
}

static hsize_t Widest(const StoreArrays *arrays) {
  hsize_t widest = CTPG_SKETCH_SIZE;
  for (PetscInt p = 0; p < arrays->nproblems; p++) {
    widest = PetscMax(widest, arrays->grad_x0[p].width);
    widest = PetscMax(widest, arrays->grad_theta[p].width);
    if (arrays->gradient) widest = PetscMax(widest, arrays->gradient[p].width);
  }
  return widest;
}

static int MakeNaN(StoreArrays *arrays) {
  arrays->widest = Widest(arrays);
  if (!(arrays->nan = malloc(arrays->widest * sizeof(double)))) return StoreFail("out of memory");
  for (hsize_t i = 0; i < arrays->widest; i++) arrays->nan[i] = NAN;
  return 0;
}

int StoreArraysOpen(hid_t file, PetscInt nproblems, char (*label)[CTPG_LABEL_SIZE], StoreArrays *arrays) {
  memset(arrays, 0, sizeof(*arrays));
  arrays->nproblems = nproblems;
  arrays->grad_x0 = calloc((size_t)nproblems + 1, sizeof(StoreArray));
  arrays->grad_theta = calloc((size_t)nproblems + 1, sizeof(StoreArray));
  if (!arrays->grad_x0 || !arrays->grad_theta) return StoreFail("out of memory");
  STORE_TRY(OpenTables(file, arrays));
  for (PetscInt p = 0; p < nproblems; p++) {
    STORE_TRY(OpenOfLabel(file, "cases", label[p], "grad_x0", &arrays->grad_x0[p]));
    STORE_TRY(OpenOfLabel(file, "cases", label[p], "grad_theta", &arrays->grad_theta[p]));
  }
  if (H5Lexists(file, "runs/gradients", H5P_DEFAULT) > 0) STORE_TRY(OpenGradients(file, label, arrays));
  return MakeNaN(arrays);
}

void StoreArraysClose(StoreArrays *arrays) {
  for (PetscInt p = 0; p < arrays->nproblems; p++) {
    if (arrays->grad_x0) StoreArrayClose(&arrays->grad_x0[p]);
    if (arrays->grad_theta) StoreArrayClose(&arrays->grad_theta[p]);
    if (arrays->gradient) StoreArrayClose(&arrays->gradient[p]);
  }
  StoreArrayClose(&arrays->sessions);
  StoreArrayClose(&arrays->cases), StoreArrayClose(&arrays->case_commit);
  StoreArrayClose(&arrays->runs), StoreArrayClose(&arrays->run_commit), StoreArrayClose(&arrays->sketch);
  free(arrays->grad_x0), free(arrays->grad_theta), free(arrays->gradient), free(arrays->gradient_row);
  free(arrays->nan);
  memset(arrays, 0, sizeof(*arrays));
}

// Writes row `row` of an array (NULL: NaN) and takes it into the checksum.
static int PutArray(StoreArray *array, int64_t row, const PetscReal *values, const double *nan, uint64_t *checksum) {
  const double *bytes = values ? values : nan;
  if (row < 0) return StoreFail("it has no place in its array");
  *checksum = CtpgHash(*checksum, bytes, array->width * sizeof(double));
  return StoreArrayWrite(array, (hsize_t)row, bytes);
}

static int PutRow(StoreArray *table, const StoreLayout *layout, PetscInt row, const void *values, uint64_t *checksum) {
  unsigned char bytes[PetscMax(sizeof(CtpgRunRow), sizeof(CtpgCaseRow))];
  StoreRowPack(layout, values, bytes);
  *checksum = CtpgHash(CTPG_HASH_START, bytes, StoreRowBytes(layout));
  return StoreArrayWrite(table, (hsize_t)row, bytes);
}

static int PutCommit(StoreArray *commits, PetscInt row, uint64_t checksum, int32_t status) {
  const StoreCommit commit = {checksum, status};
  unsigned char bytes[sizeof(StoreCommit)];
  StoreRowPack(&StoreCommitLayout, &commit, bytes);
  return StoreArrayWrite(commits, (hsize_t)row, bytes);
}

int StoreArraysPutRun(StoreArrays *arrays, PetscInt r, const CtpgRunRow *row, const PetscReal *sketch,
                      const PetscReal *gtheta) {
  uint64_t checksum;
  if (row->problem < 0 || row->problem >= arrays->nproblems) return StoreFail("there is no problem %d", row->problem);
  STORE_TRY(PutRow(&arrays->runs, &StoreRunLayout, r, row, &checksum));
  STORE_TRY(PutArray(&arrays->sketch, r, sketch, arrays->nan, &checksum));
  if (arrays->gradient)
    STORE_TRY(PutArray(&arrays->gradient[row->problem], arrays->gradient_row[r], gtheta, arrays->nan, &checksum));
  return PutCommit(&arrays->run_commit, r, checksum, row->status);
}

int StoreArraysPutCase(StoreArrays *arrays, PetscInt c, const CtpgCaseRow *row, const PetscReal *gx0,
                       const PetscReal *gtheta) {
  uint64_t checksum;
  if (row->problem < 0 || row->problem >= arrays->nproblems) return StoreFail("there is no problem %d", row->problem);
  STORE_TRY(PutRow(&arrays->cases, &StoreCaseLayout, c, row, &checksum));
  STORE_TRY(PutArray(&arrays->grad_x0[row->problem], row->row, gx0, arrays->nan, &checksum));
  STORE_TRY(PutArray(&arrays->grad_theta[row->problem], row->row, gtheta, arrays->nan, &checksum));
  return PutCommit(&arrays->case_commit, c, checksum, row->status);
}
