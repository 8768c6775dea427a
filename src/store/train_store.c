// train_store.c -- a training file while a job runs: opened by all ranks, each run written by the rank that leads it

#include "store/train_store.h"
#include <stdlib.h>
#include <string.h>

// ---- slots

static uint64_t SlotChecksum(const TrainShape *shape, const TrainSlot *slot) {
  uint64_t hash = CtpgHash(slot->history_hash, &slot->iteration, sizeof slot->iteration);
  hash = CtpgHash(hash, slot->theta, (size_t)shape->np * sizeof *slot->theta);
  hash = CtpgHash(hash, slot->optimizer, (size_t)shape->noptimizer * sizeof *slot->optimizer);
  return CtpgHash(hash, slot->memory, (size_t)shape->nmemory);
}

// Iteration last: until it is written the old checksum stands against new content, and the slot is invalid.
static int WriteSlot(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, const TrainSlot *slot) {
  uint64_t checksum = SlotChecksum(shape, slot);
  int64_t iteration = slot->iteration;
  STORE_TRY(TrainMoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_TRUE));
  STORE_TRY(TrainMoveInRow(&a->slot_checksum, row, k, 1, &checksum, PETSC_TRUE));
  return TrainMoveInRow(&a->slot_iteration, row, k, 1, &iteration, PETSC_TRUE);
}

static int ReadSlot(const TrainPairArrays *a, PetscInt row, int k, TrainSlot *slot, uint64_t *checksum) {
  STORE_TRY(TrainMoveInRow(&a->slot_iteration, row, k, 1, &slot->iteration, PETSC_FALSE));
  STORE_TRY(TrainMoveInRow(&a->slot_checksum, row, k, 1, checksum, PETSC_FALSE));
  STORE_TRY(TrainMoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_FALSE));
  STORE_TRY(TrainMoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_FALSE));
  return TrainMoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_FALSE);
}

// Continues `hash` over the history of iterations [first, last).
static int HashHistory(const TrainPairArrays *a, PetscInt row, PetscInt first, PetscInt last, uint64_t *hash) {
  TrainHistory *rows = malloc(TRAIN_PIECE * sizeof *rows);
  int failed = rows ? 0 : StoreFail("out of memory");
  for (PetscInt n; !failed && first < last; first += n) {
    n = PetscMin(TRAIN_PIECE, last - first);
    failed = TrainMoveHistory(a, row, first, n, rows, PETSC_FALSE);
    if (!failed) *hash = TrainHistoryHash(*hash, n, rows);
  }
  free(rows);
  return failed;
}

// Reads slot k if it is valid; *valid tells.
static int TrySlot(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, TrainSlot *slot,
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

static int FindSlot(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, TrainSlot *slot, int *k) {
  int64_t iteration[2];
  PetscBool valid;
  STORE_TRY(TrainMoveInRow(&a->slot_iteration, row, 0, 2, iteration, PETSC_FALSE));
  const int newer = iteration[1] > iteration[0] ? 1 : 0;
  for (int i = 0; i < 2; i++) {
    *k = i ? 1 - newer : newer;
    STORE_TRY(TrySlot(a, shape, row, *k, slot, &valid));
    if (valid) return 0;
  }
  *k = -1;
  return 0;
}

// ---- while a job runs

struct TrainStore_s {
  CtpgStore base;
  char *path;
  PetscInt npairs;
  TrainShape *shapes; // borrowed lists
  TrainPairArrays *pairs;
  StoreArray table, commits;
};

static int OpenTraining(TrainStore s, const TrainLayout *layout) {
  const hid_t file = StoreGetFile(s->base);
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

PetscErrorCode TrainStorePutHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveHistory(ARRAYS(s, run), ROW(s, run), first, n, (TrainHistory *)rows, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetHistory(TrainStore s, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveHistory(ARRAYS(s, run), ROW(s, run), first, n, rows, PETSC_FALSE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTheta(TrainStore s, PetscInt run, PetscInt k, const PetscReal *theta) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveVectors(&ARRAYS(s, run)->theta, ROW(s, run), k, 1, (PetscReal *)theta, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutTest(TrainStore s, PetscInt run, PetscInt k, PetscReal loss, PetscInt failures) {
  int32_t narrow = (int32_t)failures;
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveInRow(&ARRAYS(s, run)->test_loss, ROW(s, run), k, 1, &loss, PETSC_TRUE), run));
  PetscCall(Check(s, TrainMoveInRow(&ARRAYS(s, run)->test_failures, ROW(s, run), k, 1, &narrow, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStoreGetTest(TrainStore s, PetscInt run, PetscInt k, PetscReal *loss) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveInRow(&ARRAYS(s, run)->test_loss, ROW(s, run), k, 1, loss, PETSC_FALSE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutVisited(TrainStore s, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(
      Check(s, TrainMoveVectors(&ARRAYS(s, run)->visited, ROW(s, run), first, n, (PetscReal *)x, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutPaths(TrainStore s, PetscInt run, PetscInt k, const PetscReal *path,
                                  const PetscReal *control) {
  const TrainPairArrays *a = ARRAYS(s, run);
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveVectors(&a->path, ROW(s, run), k, 1, (PetscReal *)path, PETSC_TRUE), run));
  PetscCall(Check(s, TrainMoveVectors(&a->path_control, ROW(s, run), k, 1, (PetscReal *)control, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutAudit(TrainStore s, PetscInt run, PetscInt k, const TrainAudit *audit) {
  const TrainPairArrays *a = ARRAYS(s, run);
  TrainAudit copy = *audit;
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Check(s, TrainMoveInRow(&a->audit_error, ROW(s, run), k, 1, &copy.error, PETSC_TRUE), run));
  PetscCall(Check(s, TrainMoveInRow(&a->audit_stderr, ROW(s, run), k, 1, &copy.stderror, PETSC_TRUE), run));
  PetscCall(Check(s, TrainMoveInRow(&a->audit_norm, ROW(s, run), k, 1, &copy.norm, PETSC_TRUE), run));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainStorePutRow(TrainStore s, PetscInt run, TrainRow *row) {
  PetscFunctionBeginUser;
  StoreBegin();
  row->session = StoreGetSession(s->base);
  PetscCall(Check(s, TrainRowWrite(&s->table, run, row) || TrainCommitWrite(&s->commits, run, row), run));
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
