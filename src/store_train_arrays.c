// store_train_arrays.c -- columns and arrays of a training file, and how they move

#include "store_train_private.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN(row, kind, name, digest, unit, text)                                                                    \
  { #name, unit, text, STORE_##kind, digest, offsetof(row, name), sizeof(((row *)0)->name) }
#define ROW_COLUMN(kind, name, digest, unit, text)     COLUMN(TrainRow, kind, name, digest, unit, text),
#define HISTORY_COLUMN(kind, name, digest, unit, text) COLUMN(TrainHistory, kind, name, digest, unit, text),
#define LENGTH(array)                                  ((int)(sizeof(array) / sizeof((array)[0])))

static const StoreColumn ROW_COLUMNS[] = {CTPG_TRAIN_COLUMNS(ROW_COLUMN)};
const StoreColumn TrainHistoryColumns[TRAIN_NHISTORY] = {CTPG_HISTORY_COLUMNS(HISTORY_COLUMN)};
const StoreLayout TrainRowLayout = {LENGTH(ROW_COLUMNS), ROW_COLUMNS};

_Static_assert(sizeof(TrainHistory) == 6 * sizeof(double) + 8 * sizeof(int32_t), "history rows are hashed as bytes");

void TrainRowClear(TrainRow *row) {
  StoreRowClear(&TrainRowLayout, row, sizeof *row);
  row->status = CTPG_PENDING;
}

uint64_t TrainHistoryHash(uint64_t hash, PetscInt n, const TrainHistory *rows) {
  return CtpgHash(hash, rows, (size_t)n * sizeof *rows);
}

// ---- arrays of up to three dimensions

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
  const hid_t space = H5Dget_space(array->set), memory = H5Screate_simple(3, count, NULL);
  int failed = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0;
  if (!failed && write) failed = H5Dwrite(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (!failed && !write) failed = H5Dread(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (failed) StoreFailHDF5();
  H5Sclose(memory), H5Sclose(space);
  return failed ? -1 : 0;
}

// `n` entries of [rows, columns] in one row.
int TrainMoveInRow(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[3] = {(hsize_t)row, (hsize_t)first, 0}, count[3] = {1, (hsize_t)n, 1};
  return n ? TrainArrayMove(array, start, count, values, write) : 0;
}

// `n` vectors of [rows, vectors, width] in one row.
int TrainMoveVectors(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[3] = {(hsize_t)row, (hsize_t)first, 0}, count[3] = {1, (hsize_t)n, array->size[2]};
  return n && array->set > 0 ? TrainArrayMove(array, start, count, values, write) : 0;
}

int TrainMoveHistory(const TrainPairArrays *a, PetscInt row, PetscInt first, PetscInt n, TrainHistory *rows,
                     PetscBool write) {
  char *column = malloc((size_t)n * sizeof(double) + 1);
  int failed = column ? 0 : StoreFail("out of memory");
  for (int c = 0; !failed && c < TRAIN_NHISTORY; c++) {
    const StoreColumn *of = TrainHistoryColumns + c;
    for (PetscInt i = 0; write && i < n; i++)
      memcpy(column + (size_t)i * of->size, (char *)(rows + i) + of->offset, of->size);
    failed = TrainMoveInRow(&a->history[c], row, first, n, column, write);
    for (PetscInt i = 0; !write && !failed && i < n; i++)
      memcpy((char *)(rows + i) + of->offset, column + (size_t)i * of->size, of->size);
  }
  free(column);
  return failed;
}

// ---- opening

static int OpenSlots(hid_t pair, hsize_t n, const TrainShape *shape, TrainPairArrays *a) {
  const hsize_t two[] = {n, 2}, theta[] = {n, 2, (hsize_t)shape->np};
  const hsize_t optimizer[] = {n, 2, (hsize_t)shape->noptimizer}, memory[] = {n, 2, (hsize_t)shape->nmemory};
  STORE_TRY(TrainArrayOpen(pair, "slot/iteration", H5T_NATIVE_INT64, 2, two, &a->slot_iteration));
  STORE_TRY(TrainArrayOpen(pair, "slot/checksum", H5T_NATIVE_UINT64, 2, two, &a->slot_checksum));
  STORE_TRY(TrainArrayOpen(pair, "slot/theta", H5T_NATIVE_DOUBLE, 3, theta, &a->slot_theta));
  if (shape->noptimizer)
    STORE_TRY(TrainArrayOpen(pair, "slot/optimizer", H5T_NATIVE_DOUBLE, 3, optimizer, &a->slot_optimizer));
  if (shape->nmemory) STORE_TRY(TrainArrayOpen(pair, "slot/memory", H5T_NATIVE_UCHAR, 3, memory, &a->slot_memory));
  return 0;
}

int TrainPairOpen(hid_t file, const char *problem, const char *estimator, hsize_t n, const TrainShape *shape,
                  TrainPairArrays *a) {
  const hsize_t history[] = {n, (hsize_t)shape->iterations}, test[] = {n, (hsize_t)shape->ntests};
  const hsize_t theta[] = {n, (hsize_t)shape->nsnapshots, (hsize_t)shape->np};
  const hsize_t visited[] = {n, (hsize_t)shape->visited, (hsize_t)shape->nx};
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s/%s", problem, estimator);
  const hid_t pair = H5Gopen2(file, path, H5P_DEFAULT);
  STORE_TRY(pair);
  for (int c = 0; c < TRAIN_NHISTORY; c++) {
    const hid_t type = TrainHistoryColumns[c].kind == STORE_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT32;
    STORE_TRY(TrainArrayOpen(pair, TrainHistoryColumns[c].name, type, 2, history, &a->history[c]));
  }
  STORE_TRY(TrainArrayOpen(pair, "theta", H5T_NATIVE_DOUBLE, 3, theta, &a->theta));
  if (shape->ntests) {
    STORE_TRY(TrainArrayOpen(pair, "test_loss", H5T_NATIVE_DOUBLE, 2, test, &a->test_loss));
    STORE_TRY(TrainArrayOpen(pair, "test_failures", H5T_NATIVE_INT32, 2, test, &a->test_failures));
  }
  if (shape->visited) STORE_TRY(TrainArrayOpen(pair, "visited", H5T_NATIVE_DOUBLE, 3, visited, &a->visited));
  STORE_TRY(OpenSlots(pair, n, shape, a));
  H5Gclose(pair);
  return 0;
}

void TrainPairClose(TrainPairArrays *a) {
  TrainArray *array = (TrainArray *)a;
  for (size_t i = 0; i < sizeof *a / sizeof *array; i++) TrainArrayClose(array + i);
}

int TrainLayoutOpen(hid_t file, const TrainLayout *layout, TrainPairArrays *pairs) {
  const CtpgStorePlan *plan = layout->plan;
  for (PetscInt p = 0; p < plan->nproblems; p++)
    for (PetscInt e = 0; e < plan->nestimators; e++) {
      const PetscInt i = p * plan->nestimators + e;
      STORE_TRY(TrainPairOpen(file, plan->problems[p].label, plan->estimators[e].label, (hsize_t)layout->nseeds,
                              layout->shapes + i, pairs + i));
    }
  return 0;
}

// ---- rows of the table

int TrainRowWrite(StoreArray *table, PetscInt run, const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)];
  StoreRowPack(&TrainRowLayout, row, bytes);
  return StoreArrayWrite(table, (hsize_t)run, bytes);
}

int TrainCommitWrite(StoreArray *commits, PetscInt run, const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)], packed[sizeof(StoreCommit)];
  StoreRowPack(&TrainRowLayout, row, bytes);
  const StoreCommit commit = {CtpgHash(CTPG_HASH_START, bytes, StoreRowBytes(&TrainRowLayout)), row->status};
  StoreRowPack(&StoreCommitLayout, &commit, packed);
  return StoreArrayWrite(commits, (hsize_t)run, packed);
}
