// store_train.c -- see store_train.h

#include "store_train.h"
#include "smallfile.h"
#include "store_private.h"
#include <hdf5_hl.h>
#include <math.h>
#include <openssl/evp.h>
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
static const StoreColumn HISTORY_COLUMNS[] = {CTPG_HISTORY_COLUMNS(HISTORY_COLUMN)};
static const StoreLayout ROW_LAYOUT = {LENGTH(ROW_COLUMNS), ROW_COLUMNS};

enum { NHISTORY = LENGTH(HISTORY_COLUMNS), PIECE = 4096 }; // PIECE: iterations moved at a time when reading
_Static_assert(sizeof(TrainHistory) == 6 * sizeof(double) + 8 * sizeof(int32_t), "history rows are hashed as bytes");

void TrainRowClear(TrainRow *row) {
  StoreRowClear(&ROW_LAYOUT, row, sizeof *row);
  row->status = CTPG_PENDING;
}

uint64_t TrainHistoryHash(uint64_t hash, PetscInt n, const TrainHistory *rows) {
  return CtpgHash(hash, rows, (size_t)n * sizeof *rows);
}

// ---- arrays of up to three dimensions

typedef struct {
  hid_t set, type; // 0: not in this file
  hsize_t size[3];
} Array;

// Of training/<problem>/<estimator>.
typedef struct {
  Array history[NHISTORY], theta, test_loss, test_failures, visited;
  Array slot_iteration, slot_checksum, slot_theta, slot_optimizer, slot_memory;
} PairArrays;

static void ArrayClose(Array *array) {
  if (array->set > 0) H5Dclose(array->set);
  memset(array, 0, sizeof *array);
}

// expected: NULL: any size.
static int ArrayOpen(hid_t place, const char *name, hid_t type, int dimensions, const hsize_t *expected, Array *array) {
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
static int Move(const Array *array, const hsize_t *start, const hsize_t *count, void *values, PetscBool write) {
  const hid_t space = H5Dget_space(array->set), memory = H5Screate_simple(3, count, NULL);
  int failed = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0;
  if (!failed && write) failed = H5Dwrite(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (!failed && !write) failed = H5Dread(array->set, array->type, memory, space, H5P_DEFAULT, values) < 0;
  if (failed) StoreFailHDF5();
  H5Sclose(memory), H5Sclose(space);
  return failed ? -1 : 0;
}

// `n` entries of [rows, columns] in one row.
static int MoveInRow(const Array *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[3] = {(hsize_t)row, (hsize_t)first, 0}, count[3] = {1, (hsize_t)n, 1};
  return n ? Move(array, start, count, values, write) : 0;
}

// `n` vectors of [rows, vectors, width] in one row.
static int MoveVectors(const Array *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write) {
  const hsize_t start[3] = {(hsize_t)row, (hsize_t)first, 0}, count[3] = {1, (hsize_t)n, array->size[2]};
  return n && array->set > 0 ? Move(array, start, count, values, write) : 0;
}

// ---- creation

typedef struct {
  const char *scale; // name of the scale of this dimension; NULL: a bare index
  hsize_t size;
} Dimension;

static int CreateArray(hid_t place, const char *name, int n, const Dimension *dimension, hid_t type, const void *fill,
                       const char *unit, const char *text) {
  hsize_t size[3];
  for (int d = 0; d < n; d++) size[d] = dimension[d].size;
  const hid_t space = H5Screate_simple(n, size, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY), H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
  H5Pset_obj_track_times(how, 0);
  if (fill) H5Pset_fill_value(how, type, fill);
  const hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  int failed = set < 0 ? StoreFailHDF5() : SmallFileText(set, "units", unit) || SmallFileText(set, "description", text);
  for (int d = 0; !failed && d < n; d++) {
    if (!dimension[d].scale) continue;
    const hid_t scale = H5Dopen2(place, dimension[d].scale, H5P_DEFAULT);
    if (scale < 0 || H5DSattach_scale(set, scale, (unsigned)d) < 0) failed = StoreFailHDF5();
    H5Dclose(scale);
  }
  H5Dclose(set), H5Pclose(how), H5Sclose(space);
  return failed;
}

static int CreateReals(hid_t place, const char *name, int n, const Dimension *dimension, const char *unit,
                       const char *text) {
  const double fill = NAN;
  return CreateArray(place, name, n, dimension, H5T_IEEE_F64LE, &fill, unit, text);
}

// values NULL: 0, 1, .. n - 1.
static int CreateScale(hid_t place, const char *name, PetscInt n, const int64_t *values, const char *text) {
  const Dimension dimension = {NULL, (hsize_t)n};
  int64_t *index = malloc(((size_t)n + 1) * sizeof *index);
  STORE_TRY(CreateArray(place, name, 1, &dimension, H5T_STD_I64LE, NULL, "1", text));
  if (!index) return StoreFail("out of memory");
  for (PetscInt i = 0; i < n; i++) index[i] = values ? values[i] : i;
  const hid_t set = H5Dopen2(place, name, H5P_DEFAULT);
  const int failed =
      (n && H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, index) < 0) || H5DSset_scale(set, name) < 0;
  if (failed) StoreFailHDF5();
  H5Dclose(set);
  free(index);
  return failed ? -1 : 0;
}

static int CreateHistory(hid_t group, const Dimension *dimension) {
  const double nothing = NAN;
  const int32_t zero = 0;
  for (int c = 0; c < NHISTORY; c++) {
    const StoreColumn *column = HISTORY_COLUMNS + c;
    const PetscBool real = column->kind == STORE_F64 ? PETSC_TRUE : PETSC_FALSE;
    STORE_TRY(CreateArray(group, column->name, 2, dimension, real ? H5T_IEEE_F64LE : H5T_STD_I32LE,
                          real ? (const void *)&nothing : &zero, column->unit, column->text));
  }
  return 0;
}

static int CreateSlots(hid_t group, hsize_t nseeds, const TrainShape *shape) {
  const int64_t none = -1;
  const hid_t slot = H5Gcreate2(group, "slot", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const Dimension theta[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->np}};
  const Dimension optimizer[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->noptimizer}};
  const Dimension memory[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->nmemory}};
  STORE_TRY(slot);
  STORE_TRY(CreateArray(slot, "iteration", 2, theta, H5T_STD_I64LE, &none, "1", "updates made; -1: not used yet"));
  STORE_TRY(CreateArray(slot, "checksum", 2, theta, H5T_STD_U64LE, NULL, "1",
                        "FNV-1a64 over the history before, then iteration, theta, optimizer, memory"));
  STORE_TRY(CreateReals(slot, "theta", 3, theta, "1", "parameters of the policy"));
  if (shape->noptimizer) STORE_TRY(CreateReals(slot, "optimizer", 3, optimizer, "1", "state of the optimiser"));
  if (shape->nmemory)
    STORE_TRY(CreateArray(slot, "memory", 3, memory, H5T_STD_U8LE, NULL, "1", "what the estimator remembers"));
  H5Gclose(slot);
  return 0;
}

static int FillPair(hid_t group, const TrainLayout *layout, const TrainShape *shape) {
  const hsize_t n = (hsize_t)layout->nseeds;
  const Dimension history[] = {{"seed", n}, {"iteration", (hsize_t)shape->iterations}};
  const Dimension theta[] = {{"seed", n}, {"snapshot", (hsize_t)shape->nsnapshots}, {"parameter", (hsize_t)shape->np}};
  const Dimension test[] = {{"seed", n}, {"test_iteration", (hsize_t)shape->ntests}};
  const Dimension visited[] = {{"seed", n}, {NULL, (hsize_t)shape->visited}, {NULL, (hsize_t)shape->nx}};
  const int32_t zero = 0;
  STORE_TRY(CreateScale(group, "seed", layout->nseeds, layout->seeds, "seed of the run"));
  STORE_TRY(CreateScale(group, "iteration", shape->iterations, NULL, "number of the update, from 0"));
  STORE_TRY(
      CreateScale(group, "snapshot", shape->nsnapshots, shape->snapshots, "updates made before theta was stored"));
  STORE_TRY(
      CreateScale(group, "parameter", shape->np, NULL, "component of theta, layer by layer: W [out, in], then b"));
  STORE_TRY(CreateHistory(group, history));
  STORE_TRY(CreateReals(group, "theta", 3, theta, "1", "parameters of the policy"));
  if (shape->ntests) {
    STORE_TRY(CreateScale(group, "test_iteration", shape->ntests, shape->tests, "updates made before the test"));
    STORE_TRY(CreateReals(group, "test_loss", 2, test, "1", "mean loss over the test starts, integrated accurately"));
    STORE_TRY(CreateArray(group, "test_failures", 2, test, H5T_STD_I32LE, &zero, "1", "test starts that failed"));
  }
  if (shape->visited)
    STORE_TRY(CreateReals(group, "visited", 3, visited, "SI", "states of forward solves, evenly over all samples"));
  return CreateSlots(group, n, shape);
}

static int CreateTestStarts(hid_t group, const TrainLayout *layout, PetscInt p) {
  const CtpgLabelInfo *problem = layout->plan->problems + p;
  const hsize_t n = (hsize_t)layout->nseeds, starts = (hsize_t)layout->test_starts[p];
  const Dimension x0[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->nx}};
  const Dimension task[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->ntask}};
  const hsize_t zero[3] = {0}, x0_size[] = {n, starts, (hsize_t)problem->nx};
  const hsize_t task_size[] = {n, starts, (hsize_t)problem->ntask};
  Array array = {0};
  STORE_TRY(CreateScale(group, "seed", layout->nseeds, layout->seeds, "seed of the run"));
  STORE_TRY(SmallFileText(group, "options", layout->options[p]));
  if (!starts) return 0;
  STORE_TRY(CreateReals(group, "test_x0", 3, x0, "SI", "starts of the tests"));
  STORE_TRY(ArrayOpen(group, "test_x0", H5T_NATIVE_DOUBLE, 3, x0_size, &array));
  STORE_TRY(Move(&array, zero, x0_size, layout->test_x0[p], PETSC_TRUE));
  ArrayClose(&array);
  if (!problem->ntask) return 0;
  STORE_TRY(CreateReals(group, "test_task", 3, task, "SI", "what is random beside them"));
  STORE_TRY(ArrayOpen(group, "test_task", H5T_NATIVE_DOUBLE, 3, task_size, &array));
  STORE_TRY(Move(&array, zero, task_size, layout->test_task[p], PETSC_TRUE));
  ArrayClose(&array);
  return 0;
}

static int WriteRow(StoreArray *table, PetscInt run, const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)];
  StoreRowPack(&ROW_LAYOUT, row, bytes);
  return StoreArrayWrite(table, (hsize_t)run, bytes);
}

static int WriteCommit(StoreArray *commits, PetscInt run, const TrainRow *row) {
  unsigned char bytes[sizeof(TrainRow)], packed[sizeof(StoreCommit)];
  StoreRowPack(&ROW_LAYOUT, row, bytes);
  const StoreCommit commit = {CtpgHash(CTPG_HASH_START, bytes, StoreRowBytes(&ROW_LAYOUT)), row->status};
  StoreRowPack(&StoreCommitLayout, &commit, packed);
  return StoreArrayWrite(commits, (hsize_t)run, packed);
}

static int CreateGroups(hid_t file, const TrainLayout *layout) {
  const CtpgStorePlan *plan = layout->plan;
  const hid_t training = H5Gcreate2(file, "training", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(training);
  STORE_TRY(StoreTableCreate(training, "table", &ROW_LAYOUT, layout->nruns, NULL));
  STORE_TRY(StoreWriteStatuses(training, "table"));
  STORE_TRY(StoreCommitsCreate(training, layout->nruns));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t problem = H5Gcreate2(training, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(problem);
    STORE_TRY(CreateTestStarts(problem, layout, p));
    for (PetscInt e = 0; e < plan->nestimators; e++) {
      const hid_t pair = H5Gcreate2(problem, plan->estimators[e].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
      STORE_TRY(pair);
      STORE_TRY(FillPair(pair, layout, layout->shapes + p * plan->nestimators + e));
      STORE_TRY(StoreReserve(file));
      H5Gclose(pair);
    }
    H5Gclose(problem);
  }
  H5Gclose(training);
  return 0;
}

// ---- opening

static int OpenSlots(hid_t pair, hsize_t n, const TrainShape *shape, PairArrays *a) {
  const hsize_t two[] = {n, 2}, theta[] = {n, 2, (hsize_t)shape->np};
  const hsize_t optimizer[] = {n, 2, (hsize_t)shape->noptimizer}, memory[] = {n, 2, (hsize_t)shape->nmemory};
  STORE_TRY(ArrayOpen(pair, "slot/iteration", H5T_NATIVE_INT64, 2, two, &a->slot_iteration));
  STORE_TRY(ArrayOpen(pair, "slot/checksum", H5T_NATIVE_UINT64, 2, two, &a->slot_checksum));
  STORE_TRY(ArrayOpen(pair, "slot/theta", H5T_NATIVE_DOUBLE, 3, theta, &a->slot_theta));
  if (shape->noptimizer)
    STORE_TRY(ArrayOpen(pair, "slot/optimizer", H5T_NATIVE_DOUBLE, 3, optimizer, &a->slot_optimizer));
  if (shape->nmemory) STORE_TRY(ArrayOpen(pair, "slot/memory", H5T_NATIVE_UCHAR, 3, memory, &a->slot_memory));
  return 0;
}

static int OpenPair(hid_t file, const char *problem, const char *estimator, hsize_t n, const TrainShape *shape,
                    PairArrays *a) {
  const hsize_t history[] = {n, (hsize_t)shape->iterations}, test[] = {n, (hsize_t)shape->ntests};
  const hsize_t theta[] = {n, (hsize_t)shape->nsnapshots, (hsize_t)shape->np};
  const hsize_t visited[] = {n, (hsize_t)shape->visited, (hsize_t)shape->nx};
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s/%s", problem, estimator);
  const hid_t pair = H5Gopen2(file, path, H5P_DEFAULT);
  STORE_TRY(pair);
  for (int c = 0; c < NHISTORY; c++) {
    const hid_t type = HISTORY_COLUMNS[c].kind == STORE_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT32;
    STORE_TRY(ArrayOpen(pair, HISTORY_COLUMNS[c].name, type, 2, history, &a->history[c]));
  }
  STORE_TRY(ArrayOpen(pair, "theta", H5T_NATIVE_DOUBLE, 3, theta, &a->theta));
  if (shape->ntests) {
    STORE_TRY(ArrayOpen(pair, "test_loss", H5T_NATIVE_DOUBLE, 2, test, &a->test_loss));
    STORE_TRY(ArrayOpen(pair, "test_failures", H5T_NATIVE_INT32, 2, test, &a->test_failures));
  }
  if (shape->visited) STORE_TRY(ArrayOpen(pair, "visited", H5T_NATIVE_DOUBLE, 3, visited, &a->visited));
  STORE_TRY(OpenSlots(pair, n, shape, a));
  H5Gclose(pair);
  return 0;
}

static void ClosePair(PairArrays *a) {
  Array *array = (Array *)a;
  for (size_t i = 0; i < sizeof *a / sizeof *array; i++) ArrayClose(array + i);
}

// ---- moving a run

static int MoveHistory(const PairArrays *a, PetscInt row, PetscInt first, PetscInt n, TrainHistory *rows,
                       PetscBool write) {
  char *column = malloc((size_t)n * sizeof(double) + 1);
  int failed = column ? 0 : StoreFail("out of memory");
  for (int c = 0; !failed && c < NHISTORY; c++) {
    const StoreColumn *of = HISTORY_COLUMNS + c;
    for (PetscInt i = 0; write && i < n; i++)
      memcpy(column + (size_t)i * of->size, (char *)(rows + i) + of->offset, of->size);
    failed = MoveInRow(&a->history[c], row, first, n, column, write);
    for (PetscInt i = 0; !write && !failed && i < n; i++)
      memcpy((char *)(rows + i) + of->offset, column + (size_t)i * of->size, of->size);
  }
  free(column);
  return failed;
}

static uint64_t SlotChecksum(const TrainShape *shape, const TrainSlot *slot) {
  uint64_t hash = CtpgHash(slot->history_hash, &slot->iteration, sizeof slot->iteration);
  hash = CtpgHash(hash, slot->theta, (size_t)shape->np * sizeof *slot->theta);
  hash = CtpgHash(hash, slot->optimizer, (size_t)shape->noptimizer * sizeof *slot->optimizer);
  return CtpgHash(hash, slot->memory, (size_t)shape->nmemory);
}

// Iteration last: until it is written the old checksum stands against new content, and the slot is invalid.
static int WriteSlot(const PairArrays *a, const TrainShape *shape, PetscInt row, int k, const TrainSlot *slot) {
  uint64_t checksum = SlotChecksum(shape, slot);
  int64_t iteration = slot->iteration;
  STORE_TRY(MoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_TRUE));
  STORE_TRY(MoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_TRUE));
  STORE_TRY(MoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_TRUE));
  STORE_TRY(MoveInRow(&a->slot_checksum, row, k, 1, &checksum, PETSC_TRUE));
  return MoveInRow(&a->slot_iteration, row, k, 1, &iteration, PETSC_TRUE);
}

static int ReadSlot(const PairArrays *a, PetscInt row, int k, TrainSlot *slot, uint64_t *checksum) {
  STORE_TRY(MoveInRow(&a->slot_iteration, row, k, 1, &slot->iteration, PETSC_FALSE));
  STORE_TRY(MoveInRow(&a->slot_checksum, row, k, 1, checksum, PETSC_FALSE));
  STORE_TRY(MoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_FALSE));
  STORE_TRY(MoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_FALSE));
  return MoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_FALSE);
}

// Continues `hash` over the history of iterations [first, last).
static int HashHistory(const PairArrays *a, PetscInt row, PetscInt first, PetscInt last, uint64_t *hash) {
  TrainHistory *rows = malloc(PIECE * sizeof *rows);
  int failed = rows ? 0 : StoreFail("out of memory");
  for (PetscInt n; !failed && first < last; first += n) {
    n = PetscMin(PIECE, last - first);
    failed = MoveHistory(a, row, first, n, rows, PETSC_FALSE);
    if (!failed) *hash = TrainHistoryHash(*hash, n, rows);
  }
  free(rows);
  return failed;
}

// Reads slot k if it is valid; *valid tells.
static int TrySlot(const PairArrays *a, const TrainShape *shape, PetscInt row, int k, TrainSlot *slot,
                   PetscBool *valid) {
  uint64_t checksum;
  *valid = PETSC_FALSE;
  STORE_TRY(ReadSlot(a, row, k, slot, &checksum));
  if (slot->iteration < 0 || slot->iteration > shape->iterations) return 0;
  slot->history_hash = CTPG_HASH_START;
  STORE_TRY(HashHistory(a, row, 0, (PetscInt)slot->iteration, &slot->history_hash));
  *valid = SlotChecksum(shape, slot) == checksum ? PETSC_TRUE : PETSC_FALSE;
  return 0;
}

static int FindSlot(const PairArrays *a, const TrainShape *shape, PetscInt row, TrainSlot *slot, int *k) {
  int64_t iteration[2];
  PetscBool valid;
  STORE_TRY(MoveInRow(&a->slot_iteration, row, 0, 2, iteration, PETSC_FALSE));
  const int newer = iteration[1] > iteration[0] ? 1 : 0;
  for (int i = 0; i < 2; i++) {
    *k = i ? 1 - newer : newer;
    STORE_TRY(TrySlot(a, shape, row, *k, slot, &valid));
    if (valid) return 0;
  }
  *k = -1;
  return 0;
}

// ---- contents

static int OpenAll(hid_t file, CtpgContents base, PetscInt nseeds, const TrainShape *shapes, PairArrays *pairs) {
  for (PetscInt p = 0; p < base->nproblems; p++)
    for (PetscInt e = 0; e < base->nestimators; e++) {
      const PetscInt i = p * base->nestimators + e;
      STORE_TRY(OpenPair(file, base->problem[p], base->estimator[e], (hsize_t)nseeds, shapes + i, pairs + i));
    }
  return 0;
}

// Extent of dataset `name` along dimension d; 0 where there is none.
static PetscInt Extent(hid_t group, const char *name, int d) {
  hsize_t size[3] = {0};
  if (H5Lexists(group, name, H5P_DEFAULT) <= 0) return 0;
  const hid_t set = H5Dopen2(group, name, H5P_DEFAULT), space = H5Dget_space(set);
  if (H5Sget_simple_extent_ndims(space) > d && H5Sget_simple_extent_ndims(space) <= 3)
    H5Sget_simple_extent_dims(space, size, NULL);
  H5Sclose(space), H5Dclose(set);
  return (PetscInt)size[d];
}

static int ReadScale(hid_t group, const char *name, PetscInt n, int64_t **values) {
  const hsize_t size = (hsize_t)n, zero[3] = {0}, count[3] = {size, 1, 1};
  Array array = {0};
  if (!(*values = calloc((size_t)n + 1, sizeof **values))) return StoreFail("out of memory");
  if (!n) return 0;
  STORE_TRY(ArrayOpen(group, name, H5T_NATIVE_INT64, 1, &size, &array));
  const int failed = Move(&array, zero, count, *values, PETSC_FALSE);
  ArrayClose(&array);
  return failed;
}

static int ReadShape(hid_t file, const char *problem, const char *estimator, TrainShape *shape) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s/%s", problem, estimator);
  const hid_t group = H5Gopen2(file, path, H5P_DEFAULT);
  STORE_TRY(group);
  shape->np = Extent(group, "theta", 2), shape->nsnapshots = Extent(group, "theta", 1);
  shape->iterations = Extent(group, "loss", 1), shape->ntests = Extent(group, "test_loss", 1);
  shape->visited = Extent(group, "visited", 1), shape->nx = Extent(group, "visited", 2);
  const hid_t slot = H5Gopen2(group, "slot", H5P_DEFAULT);
  STORE_TRY(slot);
  shape->noptimizer = Extent(slot, "optimizer", 2), shape->nmemory = Extent(slot, "memory", 2);
  H5Gclose(slot);
  STORE_TRY(ReadScale(group, "snapshot", shape->nsnapshots, &shape->snapshots));
  STORE_TRY(ReadScale(group, "test_iteration", shape->ntests, &shape->tests));
  H5Gclose(group);
  return 0;
}

// Attribute `options` of training/<problem>.
static int ReadTrainingOptions(hid_t file, const char *problem, char **text) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s", problem);
  const hid_t attribute = H5Aopen_by_name(file, path, "options", H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(attribute);
  const hid_t stored = H5Aget_type(attribute), type = H5Tcopy(H5T_C_S1);
  const size_t size = H5Tget_size(stored) + 1;
  int failed = (*text = calloc(1, size)) ? 0 : StoreFail("out of memory");
  H5Tset_size(type, size);
  if (!failed && H5Aread(attribute, type, *text) < 0) failed = StoreFailHDF5();
  H5Tclose(type), H5Tclose(stored), H5Aclose(attribute);
  return failed;
}

static int ReadShapes(hid_t file, TrainContents c) {
  const CtpgContents base = c->base;
  c->shapes = calloc((size_t)(base->nproblems * base->nestimators) + 1, sizeof *c->shapes);
  c->options = calloc((size_t)base->nproblems + 1, sizeof *c->options);
  if (!c->shapes || !c->options) return StoreFail("out of memory");
  for (PetscInt p = 0; p < base->nproblems; p++) STORE_TRY(ReadTrainingOptions(file, base->problem[p], c->options + p));
  for (PetscInt p = 0; p < base->nproblems; p++)
    for (PetscInt e = 0; e < base->nestimators; e++)
      STORE_TRY(ReadShape(file, base->problem[p], base->estimator[e], c->shapes + p * base->nestimators + e));
  return 0;
}

// Commits first: a row that is seen committed has been written.
static int ReadRows(hid_t file, TrainContents c) {
  unsigned char bytes[sizeof(TrainRow)], packed[sizeof(StoreCommit)];
  StoreArray table = {0}, commits = {0};
  StoreCommit commit;
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, &commits));
  STORE_TRY(StoreTableOpen(file, "training/table", &ROW_LAYOUT, &table));
  const CtpgContents base = c->base;
  const PetscInt npairs = base->nproblems * base->nestimators;
  c->nruns = (PetscInt)table.rows;
  c->nseeds = npairs ? c->nruns / npairs : 0;
  if (commits.rows != table.rows || c->nseeds * npairs != c->nruns) return StoreFail("its tables do not fit together");
  c->rows = calloc((size_t)c->nruns + 1, sizeof *c->rows);
  c->done = calloc((size_t)c->nruns + 1, sizeof *c->done);
  c->slot = calloc((size_t)c->nruns + 1, sizeof *c->slot);
  if (!c->rows || !c->done || !c->slot) return StoreFail("out of memory");
  for (PetscInt r = 0; r < c->nruns; r++) {
    STORE_TRY(StoreArrayRead(&commits, (hsize_t)r, 1, packed));
    STORE_TRY(StoreArrayRead(&table, (hsize_t)r, 1, bytes));
    StoreRowUnpack(&StoreCommitLayout, packed, &commit);
    StoreRowUnpack(&ROW_LAYOUT, bytes, c->rows + r);
    const uint64_t checksum = CtpgHash(CTPG_HASH_START, bytes, StoreRowBytes(&ROW_LAYOUT));
    c->done[r] = commit.status != CTPG_PENDING && commit.checksum == checksum ? PETSC_TRUE : PETSC_FALSE;
    if (commit.status != CTPG_PENDING && !c->done[r]) c->base->torn++;
  }
  StoreArrayClose(&table), StoreArrayClose(&commits);
  return 0;
}

static int ReadSlotIterations(const PairArrays *pairs, TrainContents c) {
  for (PetscInt r = 0; r < c->nruns; r++) {
    int64_t iteration[2];
    STORE_TRY(MoveInRow(&pairs[r / c->nseeds].slot_iteration, r % c->nseeds, 0, 2, iteration, PETSC_FALSE));
    c->slot[r] = PetscMin(PetscMax(iteration[0], iteration[1]), c->shapes[r / c->nseeds].iterations);
  }
  return 0;
}

// Calls `work` on the open arrays of the file at path.
typedef int PairsWork(TrainContents contents, const PairArrays *pairs, void *context);
static int WithPairs(TrainContents c, PairsWork *work, void *context) {
  const PetscInt npairs = c->base->nproblems * c->base->nestimators;
  PairArrays *pairs = calloc((size_t)npairs + 1, sizeof *pairs);
  const hid_t file = StoreFileOpenSerial(c->base->path);
  int failed = file < 0 ? -1 : pairs ? 0 : StoreFail("out of memory");
  if (!failed) failed = OpenAll(file, c->base, c->nseeds, c->shapes, pairs) || work(c, pairs, context);
  for (PetscInt i = 0; pairs && i < npairs; i++) ClosePair(pairs + i);
  free(pairs);
  if (file >= 0) H5Fclose(file);
  return failed ? -1 : 0;
}

static int ReadSlotsOf(TrainContents c, const PairArrays *pairs, void *unused) {
  (void)unused;
  return ReadSlotIterations(pairs, c);
}

static int ReadTraining(TrainContents c) {
  const hid_t file = StoreFileOpenSerial(c->base->path);
  STORE_TRY(file);
  const int failed = ReadRows(file, c) || ReadShapes(file, c);
  H5Fclose(file);
  return failed || WithPairs(c, ReadSlotsOf, NULL) ? -1 : 0;
}

PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents) {
  TrainContents c;
  int failed;
  PetscFunctionBeginUser;
  c = calloc(1, sizeof *c);
  PetscCheck(c, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  *contents = c;
  PetscCall(ContentsRead(path, &c->base));
  PetscCheck(!strcmp(c->base->kind, "train"), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "%s is a file of kind %s, not of training", path, c->base->kind);
  StoreBegin();
  failed = ReadTraining(c);
  if (failed) PetscCall(TrainContentsDestroy(contents));
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode TrainContentsDestroy(TrainContents *contents) {
  TrainContents c = *contents;
  PetscFunctionBeginUser;
  if (!c) PetscFunctionReturn(0);
  for (PetscInt i = 0; c->shapes && i < c->base->nproblems * c->base->nestimators; i++)
    free(c->shapes[i].snapshots), free(c->shapes[i].tests);
  for (PetscInt p = 0; c->options && p < c->base->nproblems; p++) free(c->options[p]);
  free(c->rows), free(c->done), free(c->slot), free(c->shapes), free(c->options);
  PetscCall(ContentsDestroy(&c->base));
  free(c);
  *contents = NULL;
  PetscFunctionReturn(0);
}

typedef struct {
  PetscInt run;
  PetscReal loss;
} LossQuestion;

static int ReadLoss(TrainContents c, const PairArrays *pairs, void *context) {
  LossQuestion *question = context;
  const PetscInt pair = question->run / c->nseeds;
  return MoveInRow(&pairs[pair].history[0], question->run % c->nseeds, (PetscInt)c->slot[question->run] - 1, 1,
                   &question->loss, PETSC_FALSE);
}

PetscErrorCode TrainContentsReadLoss(TrainContents c, PetscInt run, PetscReal *loss) {
  LossQuestion question = {run, NAN};
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCheck(c->slot[run] < 1 || !WithPairs(c, ReadLoss, &question), PETSC_COMM_SELF, PETSC_ERR_FILE_READ,
             "Cannot read %s: %s", c->base->path, StoreReason());
  *loss = question.loss;
  PetscFunctionReturn(0);
}

// ---- digest

static void DigestReals(EVP_MD_CTX *digest, size_t n, double *values) {
  static const uint64_t one_nan = UINT64_C(0x7ff8000000000000);
  for (size_t i = 0; i < n; i++)
    if (isnan(values[i])) memcpy(values + i, &one_nan, 8);
  EVP_DigestUpdate(digest, values, n * sizeof *values);
}

// n vectors of `width` reals of one row.
static int DigestArray(EVP_MD_CTX *digest, const Array *array, PetscInt row, PetscInt n, PetscInt width) {
  double *values = malloc((size_t)(n * width) * sizeof *values + 1);
  int failed = values ? 0 : StoreFail("out of memory");
  if (!failed)
    failed = width > 1 ? MoveVectors(array, row, 0, n, values, PETSC_FALSE)
                       : MoveInRow(array, row, 0, n, values, PETSC_FALSE);
  if (!failed) DigestReals(digest, (size_t)(n * width), values);
  free(values);
  return failed;
}

static int DigestHistory(EVP_MD_CTX *digest, const PairArrays *a, PetscInt row, PetscInt n) {
  int failed = 0;
  int32_t *counts = malloc((size_t)n * sizeof *counts + 1);
  if (!counts) return StoreFail("out of memory");
  for (int c = 0; !failed && c < NHISTORY; c++) {
    if (!HISTORY_COLUMNS[c].digest) continue;
    if (HISTORY_COLUMNS[c].kind == STORE_F64)
      failed = DigestArray(digest, &a->history[c], row, n, 1);
    else {
      failed = MoveInRow(&a->history[c], row, 0, n, counts, PETSC_FALSE);
      if (!failed) EVP_DigestUpdate(digest, counts, (size_t)n * sizeof *counts);
    }
  }
  free(counts);
  return failed;
}

// Iterations whose history was written: the one in which a run failed is among them.
static PetscInt HistoryLength(const TrainRow *row, const TrainShape *shape) {
  const int64_t n = row->iterations_done + (row->status == CTPG_OK ? 0 : 1);
  return (PetscInt)PetscMax(0, PetscMin(n, shape->iterations));
}

static int DigestRun(EVP_MD_CTX *digest, TrainContents c, const PairArrays *pairs, PetscInt run) {
  const PetscInt row = run % c->nseeds;
  const TrainShape *shape = c->shapes + run / c->nseeds;
  const PairArrays *a = pairs + run / c->nseeds;
  unsigned char science[sizeof(TrainRow)];
  EVP_DigestUpdate(digest, science, StoreRowScience(&ROW_LAYOUT, c->rows + run, science));
  STORE_TRY(DigestHistory(digest, a, row, HistoryLength(c->rows + run, shape)));
  STORE_TRY(DigestArray(digest, &a->test_loss, row, shape->ntests, 1));
  for (PetscInt k = 0; k < shape->nsnapshots; k++) {
    double *theta = malloc((size_t)shape->np * sizeof *theta);
    const int failed = theta ? MoveVectors(&a->theta, row, k, 1, theta, PETSC_FALSE) : StoreFail("out of memory");
    if (!failed) DigestReals(digest, (size_t)shape->np, theta);
    free(theta);
    if (failed) return -1;
  }
  return shape->visited ? DigestArray(digest, &a->visited, row, shape->visited, shape->nx) : 0;
}

typedef struct {
  uint64_t key;
  PetscInt run;
} KeyedRun;

static int CompareKeys(const void *a, const void *b) {
  const uint64_t x = ((const KeyedRun *)a)->key, y = ((const KeyedRun *)b)->key;
  return (x > y) - (x < y);
}

static int DigestRuns(TrainContents c, const PairArrays *pairs, void *context) {
  KeyedRun *sorted = malloc(((size_t)c->nruns + 1) * sizeof *sorted);
  PetscInt n = 0;
  int failed = sorted ? 0 : StoreFail("out of memory");
  for (PetscInt r = 0; !failed && r < c->nruns; r++)
    if (c->done[r]) sorted[n++] = (KeyedRun){c->rows[r].run_key, r};
  if (!failed) qsort(sorted, (size_t)n, sizeof *sorted, CompareKeys);
  for (PetscInt i = 0; !failed && i < n; i++) failed = DigestRun(context, c, pairs, sorted[i].run);
  free(sorted);
  return failed;
}

PetscErrorCode TrainContentsDigest(TrainContents c, char *hex) {
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PetscFunctionBeginUser;
  PetscCheck(digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL), PETSC_COMM_SELF, PETSC_ERR_LIB,
             "OpenSSL has no SHA-256");
  StoreBegin();
  const int failed = WithPairs(c, DigestRuns, digest);
  EVP_DigestFinal_ex(digest, bytes, &size);
  EVP_MD_CTX_free(digest);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", c->base->path, StoreReason());
  for (unsigned int i = 0; i < size; i++) sprintf(hex + 2 * i, "%02x", bytes[i]);
  PetscFunctionReturn(0);
}

// ---- a file in place of another

static PetscBool SameList(PetscInt n, const int64_t *a, PetscInt m, const int64_t *b) {
  return n == m && (!n || !memcmp(a, b, (size_t)n * sizeof *a)) ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool SameShape(const TrainShape *a, const TrainShape *b) {
  return a->iterations == b->iterations && a->visited == b->visited &&
                 SameList(a->nsnapshots, a->snapshots, b->nsnapshots, b->snapshots) &&
                 SameList(a->ntests, a->tests, b->ntests, b->tests)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

PetscBool TrainContentsHasLayout(TrainContents c, const TrainLayout *layout) {
  const CtpgStorePlan *plan = layout->plan;
  PetscBool same =
      c->nruns == layout->nruns && c->base->nproblems == plan->nproblems && c->base->nestimators == plan->nestimators
          ? PETSC_TRUE
          : PETSC_FALSE;
  for (PetscInt p = 0; same && p < plan->nproblems; p++)
    if (strcmp(c->base->problem[p], plan->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < plan->nestimators; e++)
    if (strcmp(c->base->estimator[e], plan->estimators[e].label)) same = PETSC_FALSE;
  for (PetscInt r = 0; same && r < c->nruns; r++)
    if (c->rows[r].run_key != layout->rows[r].run_key) same = PETSC_FALSE;
  for (PetscInt i = 0; same && i < plan->nproblems * plan->nestimators; i++)
    same = SameShape(c->shapes + i, layout->shapes + i);
  return same;
}

static PetscInt Find(PetscInt n, const int64_t *values, int64_t value) {
  for (PetscInt i = 0; i < n; i++)
    if (values[i] == value) return i;
  return -1;
}

// Everything at iterations that the old run may have passed must be in the old file.
static int CheckPassed(const char *option, PetscInt n, const int64_t *wanted, PetscInt have, const int64_t *old,
                       PetscInt passed) {
  for (PetscInt i = 0; i < n && wanted[i] <= passed; i++)
    if (Find(have, old, wanted[i]) < 0)
      return StoreFail("%s asks for iteration %lld, which was not stored when it was passed; expected the old list, "
                       "and more of it beyond iteration %d",
                       option, (long long)wanted[i], (int)passed);
  return 0;
}

static int CheckContinues(const TrainShape *from, const TrainShape *to) {
  if (to->iterations < from->iterations)
    return StoreFail("it has %d iterations, and training cannot be made shorter (%d)", (int)from->iterations,
                     (int)to->iterations);
  if (to->visited != from->visited || (to->visited && to->iterations != from->iterations))
    return StoreFail("-visited states are spread over all iterations: their number and -iterations cannot change");
  STORE_TRY(
      CheckPassed("-snapshots", to->nsnapshots, to->snapshots, from->nsnapshots, from->snapshots, from->iterations));
  return CheckPassed("-test_every", to->ntests, to->tests, from->ntests, from->tests, from->iterations);
}

// Scratch for copying one run.
typedef struct {
  const TrainLayout *layout;
  PairArrays *to;              // [pairs]
  StoreArray *table, *commits; // of the new file
  TrainHistory *history;       // [PIECE]
} Copy;

static int CopyVector(const Array *from, PetscInt i, PetscInt k, const Array *to, PetscInt j, PetscInt m,
                      size_t element) {
  if (from->set <= 0) return 0;
  void *values = malloc((size_t)from->size[2] * element + 1);
  const int failed =
      !values ? StoreFail("out of memory")
              : MoveVectors(from, i, k, 1, values, PETSC_FALSE) || MoveVectors(to, j, m, 1, values, PETSC_TRUE);
  free(values);
  return failed ? -1 : 0;
}

static int CopyHistory(Copy *copy, const PairArrays *from, PetscInt i, const PairArrays *to, PetscInt j, PetscInt n) {
  for (PetscInt first = 0; first < n; first += PIECE) {
    const PetscInt count = PetscMin(PIECE, n - first);
    STORE_TRY(MoveHistory(from, i, first, count, copy->history, PETSC_FALSE));
    STORE_TRY(MoveHistory(to, j, first, count, copy->history, PETSC_TRUE));
  }
  return 0;
}

static int CopyTests(const PairArrays *from, const TrainShape *old, PetscInt i, const PairArrays *to,
                     const TrainShape *new, PetscInt j) {
  for (PetscInt m = 0; m < new->ntests; m++) {
    const PetscInt k = Find(old->ntests, old->tests, new->tests[m]);
    double loss;
    int32_t failures;
    if (k < 0) continue;
    STORE_TRY(MoveInRow(&from->test_loss, i, k, 1, &loss, PETSC_FALSE));
    STORE_TRY(MoveInRow(&from->test_failures, i, k, 1, &failures, PETSC_FALSE));
    STORE_TRY(MoveInRow(&to->test_loss, j, m, 1, &loss, PETSC_TRUE));
    STORE_TRY(MoveInRow(&to->test_failures, j, m, 1, &failures, PETSC_TRUE));
  }
  return 0;
}

static int CopyArrays(Copy *copy, const PairArrays *from, const TrainShape *old, PetscInt i, const PairArrays *to,
                      const TrainShape *new, PetscInt j) {
  STORE_TRY(CopyHistory(copy, from, i, to, j, old->iterations));
  STORE_TRY(CopyTests(from, old, i, to, new, j));
  for (PetscInt m = 0; m < new->nsnapshots; m++) {
    const PetscInt k = Find(old->nsnapshots, old->snapshots, new->snapshots[m]);
    if (k >= 0) STORE_TRY(CopyVector(&from->theta, i, k, &to->theta, j, m, sizeof(double)));
  }
  for (PetscInt v = 0; v < new->visited; v++)
    STORE_TRY(CopyVector(&from->visited, i, v, &to->visited, j, v, sizeof(double)));
  for (PetscInt k = 0; k < 2; k++) {
    int64_t iteration;
    uint64_t checksum;
    STORE_TRY(CopyVector(&from->slot_theta, i, k, &to->slot_theta, j, k, sizeof(double)));
    STORE_TRY(CopyVector(&from->slot_optimizer, i, k, &to->slot_optimizer, j, k, sizeof(double)));
    STORE_TRY(CopyVector(&from->slot_memory, i, k, &to->slot_memory, j, k, 1));
    STORE_TRY(MoveInRow(&from->slot_checksum, i, k, 1, &checksum, PETSC_FALSE));
    STORE_TRY(MoveInRow(&from->slot_iteration, i, k, 1, &iteration, PETSC_FALSE));
    STORE_TRY(MoveInRow(&to->slot_checksum, j, k, 1, &checksum, PETSC_TRUE));
    STORE_TRY(MoveInRow(&to->slot_iteration, j, k, 1, &iteration, PETSC_TRUE));
  }
  return 0;
}

// The row of a run that is finished in the new file too: one that ended early, or as long as it was.
static int CopyRow(Copy *copy, PetscInt run, const TrainRow *old, const TrainShape *new) {
  const TrainRow *identity = copy->layout->rows + run;
  TrainRow row = *old;
  if (row.status == CTPG_OK && row.iterations_done < new->iterations) return 0;
  row.problem = identity->problem, row.estimator = identity->estimator, row.row = identity->row;
  row.iterations = identity->iterations;
  STORE_TRY(WriteRow(copy->table, run, &row));
  return WriteCommit(copy->commits, run, &row);
}

static int CopyRuns(TrainContents c, const PairArrays *pairs, void *context) {
  Copy *copy = context;
  const TrainLayout *layout = copy->layout;
  for (PetscInt r = 0; r < c->nruns; r++)
    for (PetscInt q = 0; q < layout->nruns; q++) {
      if (layout->rows[q].run_key != c->rows[r].run_key) continue;
      const PetscInt from = r / c->nseeds, to = q / layout->nseeds;
      STORE_TRY(CheckContinues(c->shapes + from, layout->shapes + to));
      STORE_TRY(CopyArrays(copy, pairs + from, c->shapes + from, r % c->nseeds, copy->to + to, layout->shapes + to,
                           q % layout->nseeds));
      if (c->done[r]) STORE_TRY(CopyRow(copy, q, c->rows + r, layout->shapes + to));
    }
  return 0;
}

typedef struct {
  const TrainLayout *layout;
  TrainContents old;
} Extension;

static int OpenLayout(hid_t file, const TrainLayout *layout, PairArrays *pairs) {
  const CtpgStorePlan *plan = layout->plan;
  for (PetscInt p = 0; p < plan->nproblems; p++)
    for (PetscInt e = 0; e < plan->nestimators; e++) {
      const PetscInt i = p * plan->nestimators + e;
      STORE_TRY(OpenPair(file, plan->problems[p].label, plan->estimators[e].label, (hsize_t)layout->nseeds,
                         layout->shapes + i, pairs + i));
    }
  return 0;
}

static int FillRows(hid_t file, const Extension *x, Copy *copy) {
  STORE_TRY(StoreTableOpen(file, "training/table", &ROW_LAYOUT, copy->table));
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, copy->commits));
  for (PetscInt r = 0; r < x->layout->nruns; r++) STORE_TRY(WriteRow(copy->table, r, x->layout->rows + r));
  if (!x->old) return 0;
  STORE_TRY(OpenLayout(file, x->layout, copy->to));
  return WithPairs(x->old, CopyRuns, copy);
}

static int Extend(int64_t file, void *context) {
  const Extension *x = context;
  const PetscInt npairs = x->layout->plan->nproblems * x->layout->plan->nestimators;
  StoreArray table = {0}, commits = {0};
  Copy copy = {.layout = x->layout, .table = &table, .commits = &commits};
  STORE_TRY(CreateGroups(file, x->layout));
  copy.to = calloc((size_t)npairs + 1, sizeof *copy.to);
  copy.history = malloc(PIECE * sizeof *copy.history);
  const int failed = copy.to && copy.history ? FillRows(file, x, &copy) : StoreFail("out of memory");
  for (PetscInt i = 0; copy.to && i < npairs; i++) ClosePair(copy.to + i);
  StoreArrayClose(&table), StoreArrayClose(&commits);
  free(copy.to), free(copy.history);
  return failed;
}

PetscErrorCode TrainStoreCreate(const char *path, const TrainLayout *layout, TrainContents old) {
  Extension extension = {layout, old};
  CtpgStorePlan plan = *layout->plan;
  PetscFunctionBeginUser;
  plan.extend = Extend;
  plan.extend_context = &extension;
  PetscCall(StoreCreate(path, &plan, old ? old->base : NULL));
  PetscFunctionReturn(0);
}

// ---- while a job runs

struct TrainStore_s {
  CtpgStore base;
  char *path;
  PetscInt nseeds, npairs;
  TrainShape *shapes; // borrowed lists
  PairArrays *pairs;
  StoreArray table, commits;
};

static int OpenTraining(TrainStore s, const TrainLayout *layout) {
  const hid_t file = StoreGetFile(s->base);
  STORE_TRY(StoreTableOpen(file, "training/table", &ROW_LAYOUT, &s->table));
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, &s->commits));
  return OpenLayout(file, layout, s->pairs);
}

PetscErrorCode TrainStoreOpen(MPI_Comm comm, const char *path, const TrainLayout *layout, const CtpgSession *session,
                              TrainStore *store) {
  const CtpgStoreWay way = {.kind = CTPG_STORE_INDEPENDENT, .checkpoint_interval = 60};
  TrainStore s;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&s));
  *store = s;
  s->nseeds = layout->nseeds;
  s->npairs = layout->plan->nproblems * layout->plan->nestimators;
  PetscCall(PetscStrallocpy(path, &s->path));
  PetscCall(PetscCalloc2(s->npairs, &s->shapes, s->npairs, &s->pairs));
  PetscCall(PetscArraycpy(s->shapes, layout->shapes, s->npairs));
  PetscCall(StoreOpen(comm, path, layout->plan, session, &way, &s->base));
  StoreBegin();
  int failed = OpenTraining(s, layout) ? 1 : 0;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, comm));
  PetscCheck(!failed, comm, PETSC_ERR_FILE_OPEN, "Cannot open %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreClose(TrainStore *store) {
  TrainStore s = *store;
  PetscFunctionBeginUser;
  if (!s) PetscFunctionReturn(0);
  for (PetscInt i = 0; i < s->npairs; i++) ClosePair(s->pairs + i);
  StoreArrayClose(&s->table), StoreArrayClose(&s->commits);
  PetscCall(StoreClose(&s->base));
  PetscCall(PetscFree2(s->shapes, s->pairs));
  PetscCall(PetscFree(s->path));
  PetscCall(PetscFree(*store));
  PetscFunctionReturn(0);
}

int TrainStoreGetSession(TrainStore store) {
  return StoreGetSession(store->base);
}

// What every put and get ends with.
static PetscErrorCode Check(TrainStore s, int failed, PetscInt run) {
  PetscFunctionBeginUser;
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot read or write run %" PetscInt_FMT " of %s: %s",
             run, s->path, StoreReason());
  PetscFunctionReturn(0);
}

#define ARRAYS(s, run) ((s)->pairs + (run) / (s)->nseeds)
#define SHAPE(s, run)  ((s)->shapes + (run) / (s)->nseeds)
#define ROW(s, run)    ((run) % (s)->nseeds)

PetscErrorCode TrainStorePutHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveHistory(ARRAYS(s, run), ROW(s, run), first, n, (TrainHistory *)rows, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveHistory(ARRAYS(s, run), ROW(s, run), first, n, rows, PETSC_FALSE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTheta(TrainStore s, PetscInt run, PetscInt k, const PetscReal *theta) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveVectors(&ARRAYS(s, run)->theta, ROW(s, run), k, 1, (PetscReal *)theta, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTest(TrainStore s, PetscInt run, PetscInt k, PetscReal loss, PetscInt failures) {
  int32_t narrow = (int32_t)failures;
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveInRow(&ARRAYS(s, run)->test_loss, ROW(s, run), k, 1, &loss, PETSC_TRUE), run));
  PetscCall(Check(s, MoveInRow(&ARRAYS(s, run)->test_failures, ROW(s, run), k, 1, &narrow, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetTest(TrainStore s, PetscInt run, PetscInt k, PetscReal *loss) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveInRow(&ARRAYS(s, run)->test_loss, ROW(s, run), k, 1, loss, PETSC_FALSE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutVisited(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, MoveVectors(&ARRAYS(s, run)->visited, ROW(s, run), first, n, (PetscReal *)x, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutRow(TrainStore s, PetscInt run, TrainRow *row) {
  PetscFunctionBeginUser;
  StoreBegin();
  row->session = StoreGetSession(s->base);
  PetscCall(Check(s, WriteRow(&s->table, run, row) || WriteCommit(&s->commits, run, row), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutSlot(TrainStore s, PetscInt run, int k, const TrainSlot *slot) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, WriteSlot(ARRAYS(s, run), SHAPE(s, run), ROW(s, run), k, slot), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetSlot(TrainStore s, PetscInt run, TrainSlot *slot, int *k) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, FindSlot(ARRAYS(s, run), SHAPE(s, run), ROW(s, run), slot, k), run));
  PetscFunctionReturn(0);
}
