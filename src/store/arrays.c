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

static int OpenIdentities(hid_t file, StoreArrays *arrays) {
  STORE_TRY(StoreArrayOpen(file, "cases/identity", H5T_NATIVE_UINT64, &arrays->case_identity));
  STORE_TRY(StoreArrayOpen(file, "runs/identity", H5T_NATIVE_UINT64, &arrays->run_identity));
  if (arrays->case_identity.rows != arrays->cases.rows || arrays->case_identity.width != 2 ||
      arrays->run_identity.rows != arrays->runs.rows || arrays->run_identity.width != 2)
    return StoreFail("its tables do not fit together");
  return 0;
}

static int OpenTables(hid_t file, StoreArrays *arrays) {
  int (*open)(hid_t, const char *, const StoreLayout *, StoreArray *) =
      arrays->schema == CTPG_SCHEMA ? StoreTableOpenOlder : StoreTableOpenByName;
  STORE_TRY(open(file, "sessions", &StoreSessionLayout, &arrays->sessions));
  STORE_TRY(open(file, "cases/table", &StoreCaseLayout, &arrays->cases));
  STORE_TRY(open(file, "cases/commit", &StoreCommitLayout, &arrays->case_commit));
  STORE_TRY(open(file, "runs/table", &StoreRunLayout, &arrays->runs));
  STORE_TRY(open(file, "runs/commit", &StoreCommitLayout, &arrays->run_commit));
  if (arrays->schema == CTPG_SCHEMA) STORE_TRY(OpenIdentities(file, arrays));
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
    widest = PetscMax(widest, PetscMax(arrays->grad_x0[p].width, arrays->task[p].width));
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

// What is fixed at creation; not every problem has all of it.
static int OpenStarts(hid_t file, const char *label, PetscInt p, StoreArrays *arrays) {
  StoreArray *const array[] = {arrays->x0 + p, arrays->task + p, arrays->theta + p};
  static const char *const name[] = {"x0", "task", "theta"};
  char path[3 * CTPG_LABEL_SIZE];
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof(path), "cases/%s/%s", label, name[i]);
    if (H5Lexists(file, path, H5P_DEFAULT) > 0) STORE_TRY(StoreArrayOpen(file, path, H5T_NATIVE_DOUBLE, array[i]));
  }
  return 0;
}

static int Allocate(StoreArrays *arrays) {
  const size_t n = (size_t)arrays->nproblems + 1;
  arrays->x0 = calloc(n, sizeof(StoreArray)), arrays->task = calloc(n, sizeof(StoreArray));
  arrays->theta = calloc(n, sizeof(StoreArray));
  arrays->grad_x0 = calloc(n, sizeof(StoreArray)), arrays->grad_theta = calloc(n, sizeof(StoreArray));
  StoreHashCreate(&arrays->hash);
  return arrays->x0 && arrays->task && arrays->theta && arrays->grad_x0 && arrays->grad_theta && arrays->hash
             ? 0
             : StoreFail("out of memory");
}

int StoreArraysOpen(hid_t file, int32_t schema, PetscInt nproblems, char (*label)[CTPG_LABEL_SIZE],
                    StoreArrays *arrays) {
  memset(arrays, 0, sizeof(*arrays));
  arrays->schema = schema;
  arrays->nproblems = nproblems;
  STORE_TRY(Allocate(arrays));
  STORE_TRY(OpenTables(file, arrays));
  for (PetscInt p = 0; p < nproblems; p++) {
    STORE_TRY(OpenStarts(file, label[p], p, arrays));
    STORE_TRY(OpenOfLabel(file, "cases", label[p], "grad_x0", &arrays->grad_x0[p]));
    STORE_TRY(OpenOfLabel(file, "cases", label[p], "grad_theta", &arrays->grad_theta[p]));
  }
  if (H5Lexists(file, "runs/gradients", H5P_DEFAULT) > 0) STORE_TRY(OpenGradients(file, label, arrays));
  return MakeNaN(arrays);
}

static void CloseEach(StoreArray *array, PetscInt n) {
  for (PetscInt p = 0; array && p < n; p++) StoreArrayClose(array + p);
  free(array);
}

void StoreArraysClose(StoreArrays *arrays) {
  const PetscInt n = arrays->nproblems;
  CloseEach(arrays->x0, n), CloseEach(arrays->task, n), CloseEach(arrays->theta, n);
  CloseEach(arrays->grad_x0, n), CloseEach(arrays->grad_theta, n), CloseEach(arrays->gradient, n);
  StoreArrayClose(&arrays->sessions);
  StoreArrayClose(&arrays->cases), StoreArrayClose(&arrays->case_commit), StoreArrayClose(&arrays->case_identity);
  StoreArrayClose(&arrays->runs), StoreArrayClose(&arrays->run_commit), StoreArrayClose(&arrays->run_identity);
  StoreArrayClose(&arrays->sketch);
  StoreHashDestroy(&arrays->hash);
  free(arrays->gradient_row), free(arrays->nan);
  memset(arrays, 0, sizeof(*arrays));
}

// ---- rows

// Writes row `row` of an array (NULL: NaN) and takes it into the sum.
static int PutArray(StoreArrays *arrays, StoreArray *array, int64_t row, const PetscReal *values) {
  const double *bytes = values ? values : arrays->nan;
  if (row < 0) return StoreFail("it has no place in its array");
  StoreHashAdd(arrays->hash, bytes, array->width * sizeof(double));
  return StoreArrayWrite(array, (hsize_t)row, bytes);
}

static int PutRow(StoreArrays *arrays, StoreArray *table, const StoreLayout *layout, PetscInt row, const void *values) {
  unsigned char bytes[PetscMax(sizeof(CtpgRunRow), sizeof(CtpgCaseRow))];
  StoreRowPack(layout, values, bytes);
  StoreHashReset(arrays->hash);
  StoreHashAdd(arrays->hash, bytes, StoreRowBytes(layout));
  return StoreArrayWrite(table, (hsize_t)row, bytes);
}

static int PutCommit(StoreArrays *arrays, StoreArray *commits, PetscInt row, int32_t status) {
  const StoreSum sum = StoreHashValue(arrays->hash);
  const StoreCommit commit = {sum.word[0], sum.word[1], status};
  unsigned char bytes[sizeof(StoreCommit)];
  StoreRowPack(&StoreCommitLayout, &commit, bytes);
  return StoreArrayWrite(commits, (hsize_t)row, bytes);
}

int StoreArraysPutRun(StoreArrays *arrays, PetscInt r, const CtpgRunRow *row, const PetscReal *sketch,
                      const PetscReal *gtheta) {
  if (row->problem < 0 || row->problem >= arrays->nproblems) return StoreFail("there is no problem %d", row->problem);
  STORE_TRY(PutRow(arrays, &arrays->runs, &StoreRunLayout, r, row));
  STORE_TRY(PutArray(arrays, &arrays->sketch, r, sketch));
  if (arrays->gradient) STORE_TRY(PutArray(arrays, &arrays->gradient[row->problem], arrays->gradient_row[r], gtheta));
  return PutCommit(arrays, &arrays->run_commit, r, row->status);
}

int StoreArraysPutCase(StoreArrays *arrays, PetscInt c, const CtpgCaseRow *row, const PetscReal *gx0,
                       const PetscReal *gtheta) {
  if (row->problem < 0 || row->problem >= arrays->nproblems) return StoreFail("there is no problem %d", row->problem);
  STORE_TRY(PutRow(arrays, &arrays->cases, &StoreCaseLayout, c, row));
  STORE_TRY(PutArray(arrays, &arrays->grad_x0[row->problem], row->row, gx0));
  STORE_TRY(PutArray(arrays, &arrays->grad_theta[row->problem], row->row, gtheta));
  return PutCommit(arrays, &arrays->case_commit, c, row->status);
}

int StoreArraysReadRuns(StoreArrays *arrays, hsize_t first, hsize_t n, CtpgRunRow *rows) {
  const size_t size = StoreRowBytes(&StoreRunLayout);
  unsigned char *bytes = malloc(n * size + 1);
  CtpgRunRow blank;
  if (!bytes) return StoreFail("out of memory");
  CtpgRunRowClear(&blank);
  for (hsize_t r = 0; r < n; r++) StoreRowPack(&StoreRunLayout, &blank, bytes + r * size);
  const int failed = StoreArrayRead(&arrays->runs, first, n, bytes);
  for (hsize_t r = 0; r < n && !failed; r++) StoreRowUnpack(&StoreRunLayout, bytes + r * size, rows + r);
  free(bytes);
  return failed;
}

// ---- identities, sessions

StoreSum StoreRunIdentity(const CtpgRunRow *row) {
  unsigned char bytes[sizeof(CtpgRunRow)];
  StoreRowPack(&StoreRunLayout, row, bytes);
  return StoreSumOf(bytes, StoreColumnsBytes(&StoreRunLayout, CTPG_RUN_IDENTITY));
}

StoreSum StoreCaseIdentity(StoreArrays *arrays, const CtpgCaseRow *row, const PetscReal *x0, const PetscReal *task,
                           const PetscReal *theta) {
  const StoreArray *const array[] = {arrays->x0 + row->problem, arrays->task + row->problem,
                                     arrays->theta + row->problem};
  const PetscReal *const values[] = {x0, task, theta};
  unsigned char bytes[sizeof(CtpgCaseRow)];
  StoreRowPack(&StoreCaseLayout, row, bytes);
  StoreHashReset(arrays->hash);
  StoreHashAdd(arrays->hash, bytes, StoreColumnsBytes(&StoreCaseLayout, CTPG_CASE_IDENTITY));
  for (int i = 0; i < 3; i++)
    if (array[i]->set > 0)
      StoreHashAdd(arrays->hash, values[i] ? values[i] : arrays->nan, array[i]->width * sizeof(double));
  return StoreHashValue(arrays->hash);
}

StoreSum StoreSessionSum(const CtpgSession *session) {
  unsigned char bytes[sizeof(CtpgSession)];
  StoreRowPack(&StoreSessionLayout, session, bytes);
  return StoreSumOf(bytes, StoreColumnsBytes(&StoreSessionLayout, StoreSessionLayout.n - 2));
}

int StoreSessionWrite(StoreArray *sessions, int row, CtpgSession *session) {
  unsigned char bytes[sizeof(CtpgSession)];
  const StoreSum sum = StoreSessionSum(session);
  session->checksum_0 = sum.word[0], session->checksum_1 = sum.word[1];
  StoreRowPack(&StoreSessionLayout, session, bytes);
  return StoreArrayWrite(sessions, (hsize_t)row, bytes);
}
