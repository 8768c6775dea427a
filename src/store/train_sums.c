// train_sums.c -- sums over what a training run has written
//
// One hash for each array, because arrays are written in different paces. Entries that a file holds are read piece by
// piece and go the same way as those that are just being written.

#include "store/train_sums.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int TrainSumsCreate(TrainSums *sums) {
  sums->run = -1;
  for (int k = 0; k < TRAIN_NSUMS; k++) {
    StoreHashCreate(&sums->hash[k]);
    if (!sums->hash[k]) return StoreFail("out of memory");
  }
  return 0;
}

void TrainSumsDestroy(TrainSums *sums) {
  for (int k = 0; k < TRAIN_NSUMS; k++) StoreHashDestroy(&sums->hash[k]);
}

void TrainSumsBegin(TrainSums *sums, PetscInt run) {
  sums->run = run;
  for (int k = 0; k < TRAIN_NSUMS; k++) {
    StoreHashReset(sums->hash[k]);
    sums->count[k] = 0;
  }
}

void TrainSumsAdd(TrainSums *sums, TrainSumKind kind, PetscInt first, PetscInt n, const void *entries, size_t size) {
  const int64_t known = PetscMin(PetscMax(sums->count[kind] - first, 0), n);
  StoreHashAdd(sums->hash[kind], (const char *)entries + (size_t)known * size, (size_t)(n - known) * size);
  sums->count[kind] += n - known;
}

void TrainSumsAddHistory(TrainSums *sums, PetscBool contract, PetscInt first, PetscInt n, const TrainHistory *rows) {
  const size_t size = contract ? sizeof *rows : offsetof(TrainHistory, promise);
  for (PetscInt i = 0; i < n; i++) TrainSumsAdd(sums, TRAIN_SUM_HISTORY, first + i, 1, rows + i, size);
}

StoreSum TrainSumsValue(TrainSums *sums) {
  StoreSum all[TRAIN_NSUMS + 1];
  unsigned char bytes[sizeof all + sizeof sums->count];
  for (int k = 0; k < TRAIN_NSUMS; k++) all[k] = StoreHashValue(sums->hash[k]);
  memcpy(bytes, all, TRAIN_NSUMS * sizeof *all);
  memcpy(bytes + TRAIN_NSUMS * sizeof *all, sums->count, sizeof sums->count);
  return StoreSumOf(bytes, TRAIN_NSUMS * sizeof *all + sizeof sums->count);
}

// ---- what a file holds

// Bytes of one entry of an array, 0 where the file has none.
static size_t EntrySize(const TrainArray *array) {
  return array->set > 0 ? (size_t)TrainVectorLength(array) * H5Tget_size(array->type) : 0;
}

static int MoveEntries(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values) {
  return array->dimensions > 2 ? TrainMoveVectors(array, row, first, n, values, PETSC_FALSE)
                               : TrainMoveInRow(array, row, first, n, values, PETSC_FALSE);
}

static int ReadHistory(TrainSums *sums, const TrainPairArrays *a, PetscInt row, PetscInt n) {
  TrainHistory *rows = malloc(TRAIN_PIECE * sizeof *rows);
  int failed = rows ? 0 : StoreFail("out of memory");
  for (PetscInt first = 0, piece; !failed && first < n; first += piece) {
    piece = PetscMin(TRAIN_PIECE, n - first);
    failed = TrainMoveHistory(a, row, first, piece, rows, PETSC_FALSE);
    if (!failed)
      TrainSumsAddHistory(sums, a->history[TRAIN_NPLAIN].set > 0 ? PETSC_TRUE : PETSC_FALSE, first, piece, rows);
  }
  free(rows);
  return failed;
}

static int ReadArray(TrainSums *sums, TrainSumKind kind, const TrainArray *array, PetscInt row, PetscInt n) {
  const size_t size = EntrySize(array);
  const PetscInt most = size ? (PetscInt)PetscMax((size_t)1, ((size_t)1 << 20) / size) : 0;
  char *values = size ? malloc((size_t)most * size) : NULL;
  int failed = 0;
  if (size && !values) return StoreFail("out of memory");
  for (PetscInt first = 0, piece; size && !failed && first < n; first += piece) {
    piece = PetscMin(most, n - first);
    failed = MoveEntries(array, row, first, piece, values);
    if (!failed) TrainSumsAdd(sums, kind, first, piece, values, size);
  }
  free(values);
  return failed;
}

static int ReadTests(TrainSums *sums, const TrainPairArrays *a, PetscInt row, PetscInt n) {
  for (PetscInt k = 0; k < n; k++) {
    TrainTest test;
    STORE_TRY(TrainTestMove(a, row, k, &test, PETSC_FALSE));
    TrainSumsAdd(sums, TRAIN_SUM_TEST, k, 1, &test, sizeof test);
  }
  return 0;
}

static int ReadAudits(TrainSums *sums, const TrainPairArrays *a, PetscInt row, PetscInt n) {
  for (PetscInt k = 0; k < n; k++) {
    TrainAudit audit;
    STORE_TRY(TrainAuditMove(a, row, k, &audit, PETSC_FALSE));
    TrainSumsAdd(sums, TRAIN_SUM_AUDIT, k, 1, &audit, sizeof audit);
  }
  return 0;
}

int TrainSumsAddTheta(TrainSums *sums, PetscInt k, PetscInt np, const PetscReal *theta, const StoreSum *sum) {
  const size_t n = (size_t)np * sizeof *theta;
  char *entry = malloc(n + sizeof *sum);
  if (!entry) return StoreFail("out of memory");
  memcpy(entry, theta, n), memcpy(entry + n, sum, sizeof *sum);
  TrainSumsAdd(sums, TRAIN_SUM_THETA, k, 1, entry, n + sizeof *sum);
  free(entry);
  return 0;
}

static int ReadThetas(TrainSums *sums, const TrainPairArrays *a, PetscInt row, PetscInt n) {
  const PetscInt np = (PetscInt)TrainVectorLength(&a->theta);
  PetscReal *theta = malloc((size_t)np * sizeof *theta + 1);
  int failed = theta ? 0 : StoreFail("out of memory");
  for (PetscInt k = 0; !failed && k < n; k++) {
    StoreSum sum;
    failed = TrainMoveVectors(&a->theta, row, k, 1, theta, PETSC_FALSE) ||
             TrainMoveVectors(&a->theta_checksum, row, k, 1, sum.word, PETSC_FALSE) ||
             TrainSumsAddTheta(sums, k, np, theta, &sum);
  }
  free(theta);
  return failed;
}

int TrainSumsRead(TrainSums *sums, const TrainPairArrays *a, PetscInt row, const int64_t *count) {
  STORE_TRY(ReadHistory(sums, a, row, (PetscInt)count[TRAIN_SUM_HISTORY]));
  STORE_TRY(ReadThetas(sums, a, row, (PetscInt)count[TRAIN_SUM_THETA]));
  STORE_TRY(ReadTests(sums, a, row, (PetscInt)count[TRAIN_SUM_TEST]));
  STORE_TRY(ReadArray(sums, TRAIN_SUM_PATH, &a->path, row, (PetscInt)count[TRAIN_SUM_PATH]));
  STORE_TRY(ReadArray(sums, TRAIN_SUM_CONTROL, &a->path_control, row, (PetscInt)count[TRAIN_SUM_CONTROL]));
  STORE_TRY(ReadAudits(sums, a, row, (PetscInt)count[TRAIN_SUM_AUDIT]));
  return ReadArray(sums, TRAIN_SUM_VISITED, &a->visited, row, (PetscInt)count[TRAIN_SUM_VISITED]);
}

void TrainSumsMost(const TrainShape *shape, int64_t *count) {
  const PetscInt paths = shape->path_points ? shape->nsnapshots : 0;
  count[TRAIN_SUM_HISTORY] = shape->iterations, count[TRAIN_SUM_THETA] = shape->nsnapshots;
  count[TRAIN_SUM_TEST] = shape->ntests, count[TRAIN_SUM_PATH] = count[TRAIN_SUM_CONTROL] = paths;
  count[TRAIN_SUM_AUDIT] = shape->naudits, count[TRAIN_SUM_VISITED] = shape->visited;
}

int TrainRunSum(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, const unsigned char *packed,
                StoreSum *sum) {
  unsigned char bytes[sizeof(TrainRow) + sizeof(StoreSum)];
  const size_t n = StoreRowBytes(&TrainRowLayout);
  int64_t count[TRAIN_NSUMS];
  TrainSums sums = {0};
  TrainSumsMost(shape, count);
  int failed = TrainSumsCreate(&sums);
  if (!failed) failed = TrainSumsRead(&sums, a, row, count);
  const StoreSum arrays = TrainSumsValue(&sums);
  TrainSumsDestroy(&sums);
  memcpy(bytes, packed, n);
  memcpy(bytes + n, &arrays, sizeof arrays);
  *sum = StoreSumOf(bytes, n + sizeof arrays);
  return failed;
}

StoreSum TrainThetaSum(int64_t iteration, PetscInt np, const PetscReal *theta) {
  StoreHash hash;
  StoreHashCreate(&hash);
  StoreHashAdd(hash, &iteration, sizeof iteration);
  StoreHashAdd(hash, theta, (size_t)np * sizeof *theta);
  const StoreSum sum = StoreHashValue(hash);
  StoreHashDestroy(&hash);
  return sum;
}
