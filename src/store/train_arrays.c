// train_arrays.c -- arrays of a training file, opened by their sizes, and how blocks of them move
//
// Every array begins with the dimensions [seed, ..]; one run is one row of each.

#include "store/train_arrays.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- arrays

void TrainArrayClose(TrainArray *array) {
  if (array->set > 0) H5Dclose(array->set);
  memset(array, 0, sizeof *array);
}

// expected: NULL: any size.
int TrainArrayOpen(hid_t place, const char *name, hid_t type, int dimensions, const hsize_t *expected,
                   TrainArray *array) {
  array->set = H5Dopen2(place, name, H5P_DEFAULT);
  STORE_TRY(array->set);
  array->type = type;
  array->dimensions = dimensions;
  const hid_t space = H5Dget_space(array->set), stored = H5Dget_type(array->set);
  const int found = H5Sget_simple_extent_ndims(space);
  if (found == dimensions) H5Sget_simple_extent_dims(space, array->size, NULL);
  const PetscBool number = H5Tget_class(stored) == H5T_INTEGER || H5Tget_class(stored) == H5T_FLOAT;
  H5Tclose(stored), H5Sclose(space);
  if (found != dimensions || !number) return StoreFail("%s is damaged", name);
  for (int d = 0; expected && d < dimensions; d++)
    if (array->size[d] != expected[d]) return StoreFail("%s does not have the size that is expected", name);
  return 0;
}

// The block [start, start + count) between the file and contiguous memory.
int TrainArrayMove(const TrainArray *array, const hsize_t *start, const hsize_t *count, void *values, PetscBool write) {
  hsize_t total = 1;
  for (int d = 0; d < array->dimensions; d++) total *= count[d];
  const hid_t space = H5Dget_space(array->set), memory = H5Screate_simple(1, &total, NULL);
  int failed = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0;
  if (!failed && write) failed = H5Dwrite(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (!failed && !write) failed = H5Dread(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (failed) StoreFailHDF5();
  H5Sclose(memory), H5Sclose(space);
  return failed ? -1 : 0;
}

// `n` entries of [rows, columns] in one row.
int TrainMoveInRow(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[] = {(hsize_t)row, (hsize_t)first}, count[] = {1, (hsize_t)n};
  return n ? TrainArrayMove(array, start, count, values, write) : 0;
}

hsize_t TrainVectorLength(const TrainArray *array) {
  hsize_t length = 1;
  for (int d = 2; d < array->dimensions; d++) length *= array->size[d];
  return length;
}

// `n` vectors of [rows, vectors, ..] in one row.
int TrainMoveVectors(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[STORE_DIMENSIONS] = {(hsize_t)row, (hsize_t)first};
  const hsize_t count[STORE_DIMENSIONS] = {1, (hsize_t)n, array->size[2], array->size[3], array->size[4]};
  return n && array->set > 0 ? TrainArrayMove(array, start, count, values, write) : 0;
}

int TrainMoveHistory(const TrainPairArrays *a, PetscInt row, PetscInt first, PetscInt n, TrainHistory *rows,
                     PetscBool write) {
  char *column = malloc((size_t)n * sizeof(double) + 1);
  int failed = column ? 0 : StoreFail("out of memory");
  for (int c = 0; !failed && c < TRAIN_NHISTORY; c++) {
    const StoreColumn *of = TrainHistoryColumns + c;
    if (a->history[c].set <= 0) continue;
    for (PetscInt i = 0; write && i < n; i++)
      memcpy(column + (size_t)i * of->size, (char *)(rows + i) + of->offset, of->size);
    failed = TrainMoveInRow(&a->history[c], row, first, n, column, write);
    for (PetscInt i = 0; !write && !failed && i < n; i++)
      memcpy((char *)(rows + i) + of->offset, column + (size_t)i * of->size, of->size);
  }
  free(column);
  return failed;
}

int TrainTestMove(const TrainPairArrays *a, PetscInt row, PetscInt k, TrainTest *test, PetscBool write) {
  int32_t failures = (int32_t)test->failures;
  STORE_TRY(TrainMoveInRow(&a->test_loss, row, k, 1, &test->loss, write));
  STORE_TRY(TrainMoveInRow(&a->test_failures, row, k, 1, &failures, write));
  test->failures = failures;
  return 0;
}

int TrainAuditMove(const TrainPairArrays *a, PetscInt row, PetscInt k, TrainAudit *audit, PetscBool write) {
  STORE_TRY(TrainMoveInRow(&a->audit_error, row, k, 1, &audit->error, write));
  STORE_TRY(TrainMoveInRow(&a->audit_stderr, row, k, 1, &audit->stderror, write));
  return TrainMoveInRow(&a->audit_norm, row, k, 1, &audit->norm, write);
}

// ---- opening

static int OpenSlots(hid_t pair, int32_t schema, hsize_t n, const TrainShape *shape, TrainPairArrays *a) {
  const hsize_t two[] = {n, 2}, sums[] = {n, 2, 2}, counts[] = {n, 2, TRAIN_NCOUNTS},
                theta[] = {n, 2, (hsize_t)shape->np};
  const hsize_t optimizer[] = {n, 2, (hsize_t)shape->noptimizer}, memory[] = {n, 2, (hsize_t)shape->nmemory};
  STORE_TRY(TrainArrayOpen(pair, "slot/iteration", H5T_NATIVE_INT64, 2, two, &a->slot_iteration));
  if (schema == CTPG_SCHEMA) {
    STORE_TRY(TrainArrayOpen(pair, "slot/count", H5T_NATIVE_INT64, 3, counts, &a->slot_count));
    STORE_TRY(TrainArrayOpen(pair, "slot/checksum", H5T_NATIVE_UINT64, 3, sums, &a->slot_checksum));
  } else
    STORE_TRY(TrainArrayOpen(pair, "slot/checksum", H5T_NATIVE_UINT64, 2, two, &a->slot_checksum));
  STORE_TRY(TrainArrayOpen(pair, "slot/theta", H5T_NATIVE_DOUBLE, 3, theta, &a->slot_theta));
  if (shape->noptimizer)
    STORE_TRY(TrainArrayOpen(pair, "slot/optimizer", H5T_NATIVE_DOUBLE, 3, optimizer, &a->slot_optimizer));
  if (shape->nmemory) STORE_TRY(TrainArrayOpen(pair, "slot/memory", H5T_NATIVE_UCHAR, 3, memory, &a->slot_memory));
  return 0;
}

// What belongs to the snapshots beside the policies, and the audits.
static int OpenPathsAndAudits(hid_t pair, hsize_t n, const TrainShape *shape, TrainPairArrays *a) {
  const hsize_t starts = (hsize_t)shape->path_starts, points = (hsize_t)shape->path_points;
  const hsize_t path[] = {n, (hsize_t)shape->nsnapshots, starts, points, (hsize_t)shape->nx};
  const hsize_t control[] = {n, (hsize_t)shape->nsnapshots, starts, points, (hsize_t)shape->nu};
  const hsize_t audit[] = {n, (hsize_t)shape->naudits};
  if (points) {
    STORE_TRY(TrainArrayOpen(pair, "path", H5T_NATIVE_DOUBLE, 5, path, &a->path));
    STORE_TRY(TrainArrayOpen(pair, "path_control", H5T_NATIVE_DOUBLE, 5, control, &a->path_control));
  }
  if (!shape->naudits) return 0;
  STORE_TRY(TrainArrayOpen(pair, "audit_error", H5T_NATIVE_DOUBLE, 2, audit, &a->audit_error));
  STORE_TRY(TrainArrayOpen(pair, "audit_stderr", H5T_NATIVE_DOUBLE, 2, audit, &a->audit_stderr));
  return TrainArrayOpen(pair, "audit_norm", H5T_NATIVE_DOUBLE, 2, audit, &a->audit_norm);
}

static int OpenHistory(hid_t pair, int32_t schema, const TrainShape *shape, const hsize_t *size, TrainPairArrays *a) {
  for (int c = 0; c < TrainHistoryLength(shape); c++) {
    const char *name = TrainHistoryColumns[c].name;
    const hid_t whole = TrainHistoryColumns[c].kind == STORE_I64 ? H5T_NATIVE_INT64 : H5T_NATIVE_INT32;
    const hid_t type = TrainHistoryColumns[c].kind == STORE_F64 ? H5T_NATIVE_DOUBLE : whole;
    if (schema != CTPG_SCHEMA && H5Lexists(pair, name, H5P_DEFAULT) <= 0) continue;
    STORE_TRY(TrainArrayOpen(pair, name, type, 2, size, &a->history[c]));
  }
  return 0;
}

int TrainPairOpen(hid_t file, int32_t schema, const char *problem, const char *estimator, const TrainShape *shape,
                  TrainPairArrays *a) {
  const hsize_t n = (hsize_t)shape->nseeds, k = (hsize_t)shape->nsnapshots;
  const hsize_t history[] = {n, (hsize_t)shape->iterations}, test[] = {n, (hsize_t)shape->ntests};
  const hsize_t theta[] = {n, k, (hsize_t)shape->np}, sums[] = {n, k, 2};
  const hsize_t visited[] = {n, (hsize_t)shape->visited, (hsize_t)shape->nx};
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s/%s", problem, estimator);
  const hid_t pair = H5Gopen2(file, path, H5P_DEFAULT);
  STORE_TRY(pair);
  STORE_TRY(OpenHistory(pair, schema, shape, history, a));
  STORE_TRY(TrainArrayOpen(pair, "theta", H5T_NATIVE_DOUBLE, 3, theta, &a->theta));
  if (schema == CTPG_SCHEMA)
    STORE_TRY(TrainArrayOpen(pair, "theta_checksum", H5T_NATIVE_UINT64, 3, sums, &a->theta_checksum));
  if (shape->ntests) {
    STORE_TRY(TrainArrayOpen(pair, "test_loss", H5T_NATIVE_DOUBLE, 2, test, &a->test_loss));
    STORE_TRY(TrainArrayOpen(pair, "test_failures", H5T_NATIVE_INT32, 2, test, &a->test_failures));
  }
  if (shape->visited) STORE_TRY(TrainArrayOpen(pair, "visited", H5T_NATIVE_DOUBLE, 3, visited, &a->visited));
  STORE_TRY(OpenPathsAndAudits(pair, n, shape, a));
  STORE_TRY(OpenSlots(pair, schema, n, shape, a));
  H5Gclose(pair);
  return 0;
}

void TrainPairClose(TrainPairArrays *a) {
  TrainArray *array = (TrainArray *)a;
  for (size_t i = 0; i < sizeof *a / sizeof *array; i++) TrainArrayClose(array + i);
}

int TrainLayoutOpen(hid_t file, const TrainLayout *layout, TrainPairArrays *pairs) {
  const CtpgStorePlan *plan = layout->plan;
  for (PetscInt i = 0; i < layout->npairs; i++) {
    const TrainShape *shape = layout->shapes + i;
    STORE_TRY(TrainPairOpen(file, CTPG_SCHEMA, plan->problems[shape->problem].label,
                            plan->estimators[shape->estimator].label, shape, pairs + i));
  }
  return 0;
}

// ---- rows of the table

int TrainRowWrite(StoreArray *table, PetscInt run, const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)];
  StoreRowPack(&TrainRowLayout, row, bytes);
  return StoreArrayWrite(table, (hsize_t)run, bytes);
}

int TrainCommitWrite(StoreArray *commits, PetscInt run, int32_t status, const StoreSum *sum) {
  const StoreCommit commit = {sum->word[0], sum->word[1], status};
  unsigned char packed[sizeof(StoreCommit)];
  StoreRowPack(&StoreCommitLayout, &commit, packed);
  return StoreArrayWrite(commits, (hsize_t)run, packed);
}

StoreSum TrainRowIdentity(const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)];
  StoreRowPack(&TrainRowLayout, row, bytes);
  return StoreSumOf(bytes, StoreColumnsBytes(&TrainRowLayout, CTPG_TRAIN_IDENTITY));
}
