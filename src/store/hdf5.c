// store_hdf5.c -- the results file through HDF5: reasons of failures, attributes, arrays that move row by row
//
// The same arrays serve creation (serial), writing (MPI-IO, independent) and reading (serial).

#include "store/store_private.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- reasons: kept beside HDF5's own error stack, which the next call would clear

static char reason[512];

void StoreBegin(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  reason[0] = 0;
}

const char *StoreReason(void) {
  return reason;
}

int StoreFail(const char *format, ...) {
  va_list arguments;
  if (reason[0]) return -1;
  va_start(arguments, format);
  vsnprintf(reason, sizeof(reason), format, arguments);
  va_end(arguments);
  return -1;
}

// HDF5 spells a failed system call as "..., errno = 28, error message = 'No space left on device', ...".
static herr_t KeepDeepest(unsigned depth, const H5E_error2_t *entry, void *unused) {
  static const char mark[] = "error message = '";
  const char *text = entry->desc ? entry->desc : "HDF5 failed";
  const char *inner = strstr(text, mark);
  (void)unused;
  if (depth > 0) return 0;
  if (!inner)
    StoreFail("%s", text);
  else
    StoreFail("%.*s", (int)strcspn(inner + sizeof(mark) - 1, "'"), inner + sizeof(mark) - 1);
  return 0;
}

int StoreFailHDF5(void) {
  if (!reason[0]) H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepDeepest, NULL);
  return StoreFail("HDF5 failed");
}

// ---- files

hid_t StoreSerialAccess(void) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(access, 0, 1);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  return access;
}

hid_t StoreFileOpenSerial(const char *path) {
  const hid_t access = StoreSerialAccess(), file = H5Fopen(path, H5F_ACC_RDONLY, access);
  if (file < 0) StoreFailHDF5();
  H5Pclose(access);
  return file;
}

// ---- attributes of the root

int StoreReadTextAttribute(hid_t file, const char *name, char *text, size_t size) {
  const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT), stored = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute), type = H5Tcopy(H5T_C_S1);
  const int known = attribute >= 0 && H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) == 0 &&
                    H5Sget_simple_extent_npoints(space) == 1;
  memset(text, 0, size);
  H5Tset_size(type, size);
  if (!known)
    StoreFail("attribute %s is missing or not a text", name);
  else if (H5Aread(attribute, type, text) < 0)
    StoreFailHDF5();
  H5Tclose(type), H5Sclose(space), H5Tclose(stored), H5Aclose(attribute);
  return reason[0] ? -1 : 0;
}

int StoreReadNumberAttribute(hid_t file, const char *name, hid_t type, void *value) {
  const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT), stored = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  const int known = attribute >= 0 && H5Tget_class(stored) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1;
  if (!known)
    StoreFail("attribute %s is missing or not an integer", name);
  else if (H5Aread(attribute, type, value) < 0)
    StoreFailHDF5();
  H5Sclose(space), H5Tclose(stored), H5Aclose(attribute);
  return reason[0] ? -1 : 0;
}

int StoreCheckSchema(hid_t file) {
  int32_t schema = 0;
  if (H5Aexists(file, "schema") <= 0) return StoreFail("it is an HDF5 file, but not a results file of ctpgbench");
  STORE_TRY(StoreReadNumberAttribute(file, "schema", H5T_NATIVE_INT32, &schema));
  if (schema == CTPG_SCHEMA) return 0;
  return StoreFail("its schema is %d; this program reads schema %d", (int)schema, CTPG_SCHEMA);
}

// ---- arrays

// HDF5 1.10 converts rows whose columns a damaged header places outside of them, and crashes.
static PetscBool ColumnsAreInside(hid_t row) {
  const int n = H5Tget_class(row) == H5T_COMPOUND ? H5Tget_nmembers(row) : 0;
  PetscBool inside = PETSC_TRUE;
  for (int i = 0; i < n; i++) {
    const hid_t column = H5Tget_member_type(row, (unsigned)i);
    if (H5Tget_member_offset(row, (unsigned)i) + H5Tget_size(column) > H5Tget_size(row)) inside = PETSC_FALSE;
    H5Tclose(column);
  }
  return inside;
}

// Contiguous data that are larger than their file come from a damaged header: nothing is allocated for them. With MPI-IO
// HDF5 does not know the size any more once it has written: such a file was read serially before.
static int CheckExtent(const char *path, hid_t set, hid_t space) {
  const hid_t stored = H5Dget_type(set), file = H5Iget_file_id(set);
  const double bytes = (double)H5Sget_simple_extent_npoints(space) * (double)H5Tget_size(stored);
  const int rank = H5Sget_simple_extent_ndims(space);
  hsize_t file_bytes = 0;
  const int known = H5Fget_filesize(file, &file_bytes) >= 0;
  const PetscBool inside = ColumnsAreInside(stored);
  H5Tclose(stored), H5Fclose(file);
  if (!inside) return StoreFail("%s is damaged", path);
  if (rank != 1 && rank != 2) return StoreFail("%s has %d dimensions, not one or two", path, rank);
  if (known && bytes > (double)file_bytes) return StoreFail("%s is larger than its file", path);
  return 0;
}

int StoreArrayOpen(hid_t place, const char *path, hid_t type, StoreArray *array) {
  hsize_t size[2] = {0, 1};
  array->set = H5Dopen2(place, path, H5P_DEFAULT);
  STORE_TRY(array->set);
  STORE_TRY(array->space = H5Dget_space(array->set));
  STORE_TRY(CheckExtent(path, array->set, array->space));
  STORE_TRY(H5Sget_simple_extent_dims(array->space, size, NULL));
  STORE_TRY(array->row_space = H5Screate_simple(1, size + 1, NULL));
  STORE_TRY(array->type = H5Tcopy(type));
  array->rows = size[0], array->width = size[1];
  return 0;
}

int StoreTableOpen(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array) {
  const hid_t type = StoreRowType(layout);
  const int failed = StoreArrayOpen(file, path, type, array);
  hid_t stored;
  H5Tclose(type);
  if (failed) return -1;
  STORE_TRY(stored = H5Dget_type(array->set));
  if (H5Tequal(stored, array->type) <= 0) StoreFail("%s has other columns than this program's", path);
  H5Tclose(stored);
  return reason[0] ? -1 : 0;
}

static int SelectRows(StoreArray *array, hsize_t first, hsize_t count) {
  const hsize_t start[2] = {first, 0}, extent[2] = {count, array->width};
  if (count > array->rows || first > array->rows - count) return StoreFail("there is no row %.6g", (double)first);
  STORE_TRY(H5Sselect_hyperslab(array->space, H5S_SELECT_SET, start, NULL, extent, NULL));
  return 0;
}

int StoreArrayWrite(StoreArray *array, hsize_t row, const void *values) {
  STORE_TRY(SelectRows(array, row, 1));
  STORE_TRY(H5Dwrite(array->set, array->type, array->row_space, array->space, H5P_DEFAULT, values));
  return 0;
}

int StoreArrayRead(StoreArray *array, hsize_t first, hsize_t count, void *values) {
  const hsize_t extent = count * array->width;
  hid_t memory;
  herr_t status;
  if (!count) return 0;
  STORE_TRY(SelectRows(array, first, count));
  STORE_TRY(memory = H5Screate_simple(1, &extent, NULL));
  status = H5Dread(array->set, array->type, memory, array->space, H5P_DEFAULT, values);
  if (status < 0) StoreFailHDF5();
  H5Sclose(memory);
  return status < 0 ? -1 : 0;
}

void StoreArrayClose(StoreArray *array) {
  if (array->type > 0) H5Tclose(array->type);
  if (array->row_space > 0) H5Sclose(array->row_space);
  if (array->space > 0) H5Sclose(array->space);
  if (array->set > 0) H5Dclose(array->set);
  memset(array, 0, sizeof(*array));
}

// ---- everything that is written after creation

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
