// train_store.c -- a training file while a job runs: opened by all ranks, each run written by the rank that leads it

#include "store/train_store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct TrainStore_s {
  CtpgStore base;
  char *path;
  PetscInt npairs;
  TrainShape *shapes; // borrowed lists
  TrainPairArrays *pairs;
  StoreArray table, commits;
  TrainSums sums; // of the run that this rank leads
  int descriptor; // of the file, to bring it to the disk
};

static int OpenTraining(TrainStore s, const TrainLayout *layout) {
  const hid_t file = StoreGetFile(s->base);
  s->descriptor = open(s->path, O_RDWR | O_CLOEXEC);
  if (s->descriptor < 0) return StoreFail("%s", strerror(errno));
  STORE_TRY(TrainSumsCreate(&s->sums));
  STORE_TRY(StoreTableOpen(file, "training/table", &TrainRowLayout, &s->table));
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, &s->commits));
  return TrainLayoutOpen(file, layout, s->pairs);
}

PetscErrorCode TrainStoreOpen(MPI_Comm comm, const char *path, const TrainLayout *layout, const CtpgSession *session,
                              TrainStore *store) {
  const CtpgStoreWay way = {.kind = CTPG_STORE_INDEPENDENT, .checkpoint_interval = 60};
  TrainStore s;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&s));
  *store = s;
  s->descriptor = -1;
  s->npairs = layout->npairs;
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
  for (PetscInt i = 0; i < s->npairs; i++) TrainPairClose(s->pairs + i);
  StoreArrayClose(&s->table), StoreArrayClose(&s->commits);
  TrainSumsDestroy(&s->sums);
  if (s->descriptor >= 0) close(s->descriptor);
  PetscCall(StoreClose(&s->base));
  PetscCall(PetscFree2(s->shapes, s->pairs));
  PetscCall(PetscFree(s->path));
  PetscCall(PetscFree(*store));
  PetscFunctionReturn(0);
}

int TrainStoreGetSession(TrainStore store) {
  return StoreGetSession(store->base);
}

PetscErrorCode TrainStorePoll(TrainStore store) {
  return StorePoll(store->base);
}

PetscErrorCode TrainStoreSync(TrainStore store) {
  return StoreSync(store->base);
}

// What every put and get ends with.
static PetscErrorCode Check(TrainStore s, int failed, PetscInt run) {
  PetscFunctionBeginUser;
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot read or write run %" PetscInt_FMT " of %s: %s",
             run, s->path, StoreReason());
  PetscFunctionReturn(0);
}

#define PAIR(s, run)   TrainFindPair((s)->npairs, (s)->shapes, run)
#define ARRAYS(s, run) ((s)->pairs + PAIR(s, run))
#define SHAPE(s, run)  ((s)->shapes + PAIR(s, run))
#define ROW(s, run)    ((run)-SHAPE(s, run)->first_run)

// The sums of this run; those of another one are of no use any more.
static TrainSums *SumsOf(TrainStore s, PetscInt run) {
  if (s->sums.run != run) TrainSumsBegin(&s->sums, run);
  return &s->sums;
}

// What this rank has written reaches the disk, whoever syncs for its node.
static int SyncRun(TrainStore s) {
  return fsync(s->descriptor) ? StoreFail("%s", strerror(errno)) : 0;
}

PetscErrorCode TrainStorePutHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveHistory(ARRAYS(s, run), ROW(s, run), first, n, (TrainHistory *)rows, PETSC_TRUE), run));
  TrainSumsAddHistory(SumsOf(s, run), SHAPE(s, run)->contract, first, n, rows);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveHistory(ARRAYS(s, run), ROW(s, run), first, n, rows, PETSC_FALSE), run));
  PetscFunctionReturn(0);
}

// n vectors from entry `first` on, written and summed.
static PetscErrorCode PutVectors(TrainStore s, PetscInt run, TrainSumKind kind, const TrainArray *array, PetscInt first,
                                 PetscInt n, const PetscReal *values) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveVectors(array, ROW(s, run), first, n, (PetscReal *)values, PETSC_TRUE), run));
  TrainSumsAdd(SumsOf(s, run), kind, first, n, values, (size_t)TrainVectorLength(array) * sizeof *values);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTheta(TrainStore s, PetscInt run, PetscInt k, const PetscReal *theta) {
  const TrainPairArrays *a = ARRAYS(s, run);
  const TrainShape *shape = SHAPE(s, run);
  StoreSum sum = TrainThetaSum(shape->snapshots[k], shape->np, theta);
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s,
                  TrainMoveVectors(&a->theta, ROW(s, run), k, 1, (PetscReal *)theta, PETSC_TRUE) ||
                      TrainMoveVectors(&a->theta_checksum, ROW(s, run), k, 1, sum.word, PETSC_TRUE) ||
                      TrainSumsAddTheta(SumsOf(s, run), k, shape->np, theta, &sum),
                  run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTest(TrainStore s, PetscInt run, PetscInt k, PetscReal loss, PetscInt failures) {
  TrainTest test = {loss, failures};
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainTestMove(ARRAYS(s, run), ROW(s, run), k, &test, PETSC_TRUE), run));
  TrainSumsAdd(SumsOf(s, run), TRAIN_SUM_TEST, k, 1, &test, sizeof test);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetTest(TrainStore s, PetscInt run, PetscInt k, PetscReal *loss) {
  TrainTest test = {0};
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainTestMove(ARRAYS(s, run), ROW(s, run), k, &test, PETSC_FALSE), run));
  *loss = test.loss;
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutVisited(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x) {
  PetscFunctionBeginUser;
  if (n) PetscCall(PutVectors(s, run, TRAIN_SUM_VISITED, &ARRAYS(s, run)->visited, first, n, x));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutPaths(TrainStore s, PetscInt run, PetscInt k, const PetscReal *path,
                                  const PetscReal *control) {
  const TrainPairArrays *a = ARRAYS(s, run);
  PetscFunctionBeginUser;
  PetscCall(PutVectors(s, run, TRAIN_SUM_PATH, &a->path, k, 1, path));
  PetscCall(PutVectors(s, run, TRAIN_SUM_CONTROL, &a->path_control, k, 1, control));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutAudit(TrainStore s, PetscInt run, PetscInt k, const TrainAudit *audit) {
  TrainAudit copy = *audit;
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainAuditMove(ARRAYS(s, run), ROW(s, run), k, &copy, PETSC_TRUE), run));
  TrainSumsAdd(SumsOf(s, run), TRAIN_SUM_AUDIT, k, 1, &copy, sizeof copy);
  PetscFunctionReturn(0);
}

static int PutRow(TrainStore s, PetscInt run, TrainRow *row) {
  unsigned char packed[sizeof(TrainRow)];
  StoreSum sum;
  StoreRowPack(&TrainRowLayout, row, packed);
  STORE_TRY(SyncRun(s));
  STORE_TRY(TrainRunSum(ARRAYS(s, run), SHAPE(s, run), ROW(s, run), packed, &sum));
  STORE_TRY(TrainRowWrite(&s->table, run, row));
  return TrainCommitWrite(&s->commits, run, row->status, &sum);
}

PetscErrorCode TrainStorePutRow(TrainStore s, PetscInt run, TrainRow *row) {
  PetscFunctionBeginUser;
  StoreBegin();
  row->session = StoreGetSession(s->base);
  PetscCall(Check(s, PutRow(s, run, row), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutSlot(TrainStore s, PetscInt run, int k, const TrainSlot *slot) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(
      Check(s, SyncRun(s) || TrainSlotWrite(ARRAYS(s, run), SHAPE(s, run), ROW(s, run), k, slot, SumsOf(s, run)), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetSlot(TrainStore s, PetscInt run, TrainSlot *slot, int *k) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainSlotFind(ARRAYS(s, run), SHAPE(s, run), ROW(s, run), slot, &s->sums, k), run));
  PetscFunctionReturn(0);
}
