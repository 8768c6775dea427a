// trainer.c -- one iteration, and the run that is made of them; see trainer.h and trainer_private.h

#include "train/trainer_private.h"
#include "base/system.h"
#include "base/vector.h"
#include <math.h>

#define TICK_EVERY 0.005 // s between two looks at clock and messages

static PetscReal Accuracy(Trainer t) {
  const TrainAccuracy *a = &t->accuracy;
  if (TrainerContractSize(t)) return TrainerContractTolerance(t);
  if (!(a->per_gradient > 0) || isnan(t->previous_norm)) return t->row->accuracy;
  return TrainAccuracyClip(a, a->per_gradient * t->previous_norm);
}

// The run ends here, with this iteration in its history. No slot: theta may be spoilt, and nobody goes on from here.
static PetscErrorCode EndEarly(Trainer t, CtpgStatus status, const char *reason, const TrainHistory *h) {
  PetscFunctionBeginUser;
  t->row->status = status;
  PetscCall(PetscSNPrintf(t->row->reason, sizeof t->row->reason, "iteration %d: %s", (int)t->iteration, reason));
  PetscCall(TrainerFlushHistory(t));
  TrainRowAccount(t->row, h);
  if (TrainerWrites(t)) PetscCall(TrainStorePutHistory(t->to->store, t->to->run, t->iteration, 1, h));
  PetscFunctionReturn(0);
}

// No sample has a gradient: the run has diverged, whatever they died of, unless the pair cannot work at all.
static PetscErrorCode EndWithoutGradient(Trainer t, const TrainBatch *batch, const TrainHistory *h) {
  const PetscBool kept = batch->status == CTPG_SKIPPED || batch->status == CTPG_TIMEOUT ? PETSC_TRUE : PETSC_FALSE;
  char reason[2 * CTPG_REASON_SIZE];
  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(reason, sizeof reason, "%s: %s", CtpgStatusName(batch->status), batch->reason));
  PetscCall(EndEarly(t, kept ? batch->status : CTPG_DIVERGED, reason, h));
  PetscFunctionReturn(0);
}

static PetscErrorCode Iterate(Trainer t) {
  const CtpgOptimizer *o = &t->settings->optimizer;
  PetscReal accuracy = Accuracy(t);
  PetscReal step = o->learning_rate, norm = NAN;
  TrainHistory h;
  TrainBatch batch;

  PetscFunctionBeginUser;
  PetscCall(TrainerComputeBatchUnderContract(t, &accuracy, &batch));
  if (t->interrupted) PetscFunctionReturn(0);
  if (batch.status != CTPG_OK) {
    TrainerFillHistory(t, &batch, norm, accuracy, NAN, &h);
    PetscCall(EndWithoutGradient(t, &batch, &h));
    PetscFunctionReturn(0);
  }
  TrainerKeepVisited(t);
  if (t->next_audit < t->settings->naudits && t->settings->audits[t->next_audit] == t->iteration)
    PetscCall(TrainerAudit(t));
  if (t->interrupted) PetscFunctionReturn(0);
  norm = VectorNormWide(t->np, t->gradient);
  OptimizerClip(o, t->np, t->gradient);
  if (o->kind == CTPG_STEP_SEARCH) PetscCall(TrainerSearchStep(t, accuracy, &batch, &step));
  if (t->interrupted) PetscFunctionReturn(0);
  OptimizerUpdate(o, t->np, t->gradient, step, t->optimizer, t->theta);
  TrainerFillHistory(t, &batch, norm, accuracy, step, &h);
  if (!VectorIsFinite(t->np, t->theta)) {
    PetscCall(EndEarly(t, CTPG_DIVERGED, "theta is not finite after the update", &h));
    PetscFunctionReturn(0);
  }
  PetscCall(TrainerRecord(t, &h));
  PetscFunctionReturn(0);
}

static PetscErrorCode Begin(Trainer t, const TrainTask *task, TrainRow *row) {
  const CtpgEstimator *e = &t->pair->estimator;
  PetscFunctionBeginUser;
  t->to = task;
  t->row = row;
  PetscCallMPI(MPI_Comm_rank(task->group, &t->rank));
  PetscCallMPI(MPI_Comm_size(task->group, &t->size));
  t->iteration = t->next_snapshot = t->next_test = t->next_audit = 0;
  t->previous_norm = NAN;
  t->nbuffered = t->nvisited = t->first_visited = 0;
  t->interrupted = PETSC_FALSE;
  t->test_cpu = t->test_seconds = t->solve_seconds = t->last_tick = 0;
  if (e->type->memory) PetscCall(e->type->memory(e->est, NULL, PETSC_FALSE));
  PetscCall(TrainerMeet(t));
  PetscCall(TrainerResume(t));
  while (t->next_snapshot < t->settings->nsnapshots && t->settings->snapshots[t->next_snapshot] < t->iteration)
    t->next_snapshot++;
  while (t->next_test < t->settings->ntests && t->settings->tests[t->next_test] < t->iteration) t->next_test++;
  while (t->next_audit < t->settings->naudits && t->settings->audits[t->next_audit] < t->iteration) t->next_audit++;
  t->mixed = task->mixed || (task->was_mixed && t->iteration) ? PETSC_TRUE : PETSC_FALSE;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &t->mixed, 1, CTPG_MPI_BOOL, MPI_MAX, task->group));
  row->h = NAN;
  if (e->traits.knob == CTPG_KNOB_DT)
    row->h = t->pair->problem->dims.T / (PetscReal)CtpgFixedSteps(t->pair->problem->dims.T, row->accuracy);
  t->elapsed_before = t->iteration ? row->seconds : 0;
  t->cpu_before = t->iteration ? row->cpu_seconds : 0;
  t->cpu_begun = CtpgThreadSeconds();
  t->begun = t->last_checkpoint = CtpgSeconds();
  PetscFunctionReturn(0);
}

// Between iterations: messages, progress, a checkpoint when it is time for one.
static PetscErrorCode LookAround(Trainer t) {
  const double now = CtpgSeconds();
  PetscFunctionBeginUser;
  if (now - t->last_tick < TICK_EVERY) PetscFunctionReturn(0);
  t->last_tick = now;
  if (t->to->limits.tick) t->to->limits.tick(t->to->limits.tick_context);
  if (t->to->progress && t->rank == 0) t->to->progress(t->to->context, t->to->run, t->iteration, t->row->loss);
  if (now - t->last_checkpoint >= t->to->checkpoint_interval) PetscCall(TrainerCheckpoint(t));
  PetscFunctionReturn(0);
}

static PetscErrorCode Finish(Trainer t) {
  TrainRow *row = t->row;
  CtpgCounts totals;
  PetscFunctionBeginUser;
  if (row->status == CTPG_PENDING) row->status = CTPG_OK;
  row->iterations_done = t->iteration;
#define COPY(kind) totals.kind = row->kind;
  CTPG_COUNTS(COPY)
#undef COPY
  row->nfe = CtpgNFE(&totals);
  row->session_seconds = CtpgSeconds() - t->begun - t->test_seconds;
  row->solve_seconds = t->solve_seconds;
  row->test_seconds = t->test_seconds;
  row->ranks = t->size;
  row->mixed = t->mixed ? 1 : 0;
  if (TrainerWrites(t)) PetscCall(TrainStorePutRow(t->to->store, t->to->run, row));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerRun(Trainer t, const TrainTask *task, TrainRow *row, PetscBool *finished) {
  TrainTask limited = *task;

  PetscFunctionBeginUser;
  limited.limits.eval_limit = t->pair->estimator.eval_limit;
  limited.limits.time_limit = t->pair->estimator.run_time_limit;
  t->stop = task->limits.stop;
  if (t->nmemory) limited.limits.stop = NULL;
  PetscCall(Begin(t, &limited, row));
  while (row->status == CTPG_PENDING) {
    PetscCall(TrainerKeepMilestones(t));
    if (t->interrupted || t->iteration == t->settings->iterations) break;
    PetscCall(Iterate(t));
    if (t->interrupted) break;
    PetscCall(LookAround(t));
  }
  *finished = t->interrupted ? PETSC_FALSE : PETSC_TRUE;
  if (row->status == CTPG_PENDING) PetscCall(TrainerCheckpoint(t));
  if (*finished) PetscCall(Finish(t));
  PetscFunctionReturn(0);
}
