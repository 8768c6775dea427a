// record.c -- what a run keeps on the disk: history, visited states and slots (trainer_private.h)
//
// Rows of history are buffered and flushed at checkpoints. A checkpoint then writes a slot: theta, the optimiser's
// state, what the contract remembers, and the estimator's memory, which passes through PETSc's binary viewer and a file
// in memory. Two slots take turns, so that one is always whole. Resuming takes the later whole slot and sums up the
// history before it; iterations behind it are computed again, to the same bits.

#define _GNU_SOURCE // memfd_create
#include "train/trainer_private.h"
#include "run/case.h"
#include "base/system.h"
#include <petscviewer.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Bytes of what the estimator remembers, written by PETSc's binary viewer; memory NULL: only their number.
static PetscErrorCode MoveMemory(Trainer t, PetscBool load, size_t size, unsigned char *memory, size_t *bytes) {
  const CtpgEstimator *e = &t->pair->estimator;
  char path[64];
  struct stat info = {0};
  PetscViewer viewer;

  PetscFunctionBeginUser;
  const int file = memfd_create("memory", MFD_CLOEXEC);
  PetscCheck(file >= 0, PETSC_COMM_SELF, PETSC_ERR_SYS, "no memory file");
  PetscCheck(!load || write(file, memory, size) == (ssize_t)size, PETSC_COMM_SELF, PETSC_ERR_SYS, "no memory file");
  PetscCall(PetscSNPrintf(path, sizeof path, "/proc/self/fd/%d", file));
  PetscCall(PetscViewerCreate(PETSC_COMM_SELF, &viewer));
  PetscCall(PetscViewerSetType(viewer, PETSCVIEWERBINARY));
  PetscCall(PetscViewerBinarySetSkipInfo(viewer, PETSC_TRUE));
  PetscCall(PetscViewerFileSetMode(viewer, load ? FILE_MODE_READ : FILE_MODE_WRITE));
  PetscCall(PetscViewerFileSetName(viewer, path));
  PetscCall(e->type->memory(e->est, viewer, load));
  PetscCall(PetscViewerDestroy(&viewer));
  PetscCheck(!fstat(file, &info), PETSC_COMM_SELF, PETSC_ERR_SYS, "no memory file");
  if (bytes) *bytes = (size_t)info.st_size;
  if (!load && memory) {
    PetscCheck((size_t)info.st_size == size, PETSC_COMM_SELF, PETSC_ERR_PLIB,
               "estimator %s remembers %zu bytes where it remembered %zu at first; expected a constant number",
               e->label, (size_t)info.st_size, size);
    PetscCheck(pread(file, memory, size, 0) == (ssize_t)size, PETSC_COMM_SELF, PETSC_ERR_SYS, "no memory file");
  }
  close(file);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerMeasureMemory(Trainer t) {
  size_t bytes = 0;
  PetscFunctionBeginUser;
  if (t->pair->estimator.type->memory) {
    PetscCall(t->pair->estimator.type->memory(t->pair->estimator.est, NULL, PETSC_FALSE));
    PetscCall(MoveMemory(t, PETSC_FALSE, 0, NULL, &bytes));
  }
  t->nmemory = (PetscInt)bytes;
  PetscFunctionReturn(0);
}

PetscBool TrainerWrites(Trainer t) {
  return t->rank == 0 && t->to->store ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode TrainerFlushHistory(Trainer t) {
  PetscFunctionBeginUser;
  if (TrainerWrites(t)) {
    PetscCall(TrainStorePutHistory(t->to->store, t->to->run, t->iteration - t->nbuffered, t->nbuffered, t->buffer));
    PetscCall(TrainStorePutVisited(t->to->store, t->to->run, t->first_visited, t->nvisited, t->visited));
  }
  t->nbuffered = t->nvisited = 0;
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerCheckpoint(Trainer t) {
  const TrainSlot slot = {.iteration = t->iteration, .theta = t->theta, .optimizer = t->optimizer, .memory = t->memory};
  PetscFunctionBeginUser;
  PetscCall(TrainerFlushHistory(t));
  t->last_checkpoint = CtpgSeconds();
  if (!TrainerWrites(t)) PetscFunctionReturn(0);
  if (t->nmemory) PetscCall(MoveMemory(t, PETSC_FALSE, (size_t)t->nmemory, t->memory, NULL));
  PetscCall(TrainStorePutSlot(t->to->store, t->to->run, t->slot, &slot));
  t->slot = 1 - t->slot;
  PetscFunctionReturn(0);
}

static int32_t Narrow(int64_t count) {
  return count > INT32_MAX ? INT32_MAX : (int32_t)count;
}

void TrainerFillHistory(Trainer t, const TrainBatch *batch, PetscReal norm, PetscReal accuracy, PetscReal step,
                        TrainHistory *h) {
  *h = (TrainHistory){.loss = batch->loss,
                      .grad_norm = norm,
                      .accuracy = accuracy,
                      .step_size = step,
                      .backsolve_error = batch->backsolve_error,
                      .elapsed = t->elapsed_before + CtpgSeconds() - t->begun - t->test_seconds,
                      .cpu = t->cpu_before + CtpgThreadSeconds() - t->cpu_begun - t->test_cpu,
                      .failures = Narrow(batch->failures),
                      .promise = batch->promise,
                      .error_bar = batch->error_bar,
                      .promise_term = (int32_t)batch->promise_term,
                      .solves = Narrow(batch->solves),
                      .nfe_bar = batch->nfe_bar};
#define COPY(kind) h->kind = Narrow(batch->counts.kind);
  CTPG_COUNTS(COPY)
#undef COPY
}

void TrainRowAccount(TrainRow *row, const TrainHistory *h) {
#define ADD(kind) row->kind += h->kind;
  CTPG_COUNTS(ADD)
#undef ADD
  row->failures += h->failures;
  row->loss = h->loss;
  row->seconds = h->elapsed;
  row->cpu_seconds = h->cpu;
}

PetscErrorCode TrainerRecord(Trainer t, const TrainHistory *h) {
  PetscFunctionBeginUser;
  TrainRowAccount(t->row, h);
  t->buffer[t->nbuffered++] = *h;
  t->previous_norm = h->grad_norm;
  t->iteration++;
  if (t->nbuffered == TRAIN_BUFFER) PetscCall(TrainerFlushHistory(t));
  PetscFunctionReturn(0);
}

static PetscErrorCode DrawTheta(Trainer t) {
  CtpgCase c;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(t->pair->problem, t->to->seed, t->to->experiment, &c));
  PetscCall(PetscArraycpy(t->theta, c.theta, t->np));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}

// Sums over the history before t->iteration, and what follows from it; the tests that were passed.
static PetscErrorCode ReadPast(Trainer t) {
  PetscReal loss;
  PetscFunctionBeginUser;
  for (PetscInt first = 0, n; first < t->iteration; first += n) {
    n = PetscMin(TRAIN_BUFFER, t->iteration - first);
    PetscCall(TrainStoreGetHistory(t->to->store, t->to->run, first, n, t->buffer));
    for (PetscInt i = 0; i < n; i++) TrainRowAccount(t->row, t->buffer + i);
    t->previous_norm = t->buffer[n - 1].grad_norm;
  }
  for (PetscInt k = 0; k < t->settings->ntests && t->settings->tests[k] < t->iteration; k++) {
    PetscCall(TrainStoreGetTest(t->to->store, t->to->run, k, &loss));
    TrainRowAccountTest(t->row, loss);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerResume(Trainer t) {
  TrainSlot slot = {.theta = t->theta, .optimizer = t->optimizer, .memory = t->memory};
  int k = -1;

  PetscFunctionBeginUser;
  if (TrainerWrites(t)) PetscCall(TrainStoreGetSlot(t->to->store, t->to->run, &slot, &k));
  PetscCallMPI(MPI_Bcast(&k, 1, MPI_INT, 0, t->to->group));
  t->slot = k == 0 ? 1 : 0;
  if (k < 0) {
    PetscCall(DrawTheta(t));
    OptimizerStart(&t->settings->optimizer, t->np, t->optimizer);
    TrainerContractStart(t);
    PetscFunctionReturn(0);
  }
  t->iteration = (PetscInt)slot.iteration;
  if (TrainerWrites(t)) PetscCall(ReadPast(t));
  PetscCallMPI(MPI_Bcast(&t->iteration, 1, MPIU_INT, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(&t->previous_norm, 1, MPIU_REAL, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(t->theta, t->np, MPIU_REAL, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(t->optimizer, t->noptimizer, MPIU_REAL, 0, t->to->group));
  if (t->nmemory && t->rank == 0) PetscCall(MoveMemory(t, PETSC_TRUE, (size_t)t->nmemory, t->memory, NULL));
  PetscFunctionReturn(0);
}

void TrainRowAccountTest(TrainRow *row, PetscReal loss) {
  row->test_loss = loss;
  if (!isnan(loss) && !(row->best_test_loss <= loss)) row->best_test_loss = loss;
}
