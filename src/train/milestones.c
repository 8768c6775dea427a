// milestones.c -- what happens beside the iterations: tests, snapshots with their paths, audits (trainer_private.h)
//
// All are accurate solves of many starts under one theta (exact.h), shared over the ranks of the run like a batch, and
// gathered in the same way. A test is the mean loss over the held-out starts. A snapshot keeps theta, and the paths of
// these starts if they are wanted. An audit computes accurate gradients of the samples of the batch: their mean is what
// the estimator's is compared with, their spread gives the standard error of the batch.

#include "train/trainer_private.h"
#include "base/system.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include <math.h>
#include <string.h>

size_t TrainerPathBytes(Trainer t) {
  return sizeof(TrainSample) + (size_t)(t->settings->path_points * (t->nx + t->nu)) * sizeof(PetscReal);
}

static PetscErrorCode ComputeTests(Trainer t) {
  const PetscInt n = t->settings->test_starts;
  PetscInt first, last;
  PetscFunctionBeginUser;
  TrainerShare(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt k = first; k < last; k++) {
    TrainSample *sample = TrainerSampleAt(t, k, sizeof(TrainSample));
    PetscCall(TrainerDrawStart(t, CTPG_STREAM_TEST, (uint64_t)k));
    sample->loss = 0;
    TrainerStartLoop(t, t->theta, t->pair->problem->dims.T);
    PetscCall(ExactLoss(t->exact, t->x0, &sample->loss));
    TrainerReadLoss(t, sample);
  }
  PetscCall(TrainerGather(t, n, PETSC_FALSE, sizeof(TrainSample)));
  PetscFunctionReturn(0);
}

static PetscErrorCode Test(Trainer t) {
  const double begun = CtpgSeconds(), cpu_begun = CtpgThreadSeconds();
  PetscReal sum = 0;
  PetscInt good = 0;

  PetscFunctionBeginUser;
  PetscCall(ComputeTests(t));
  for (PetscInt k = 0; k < t->settings->test_starts; k++) {
    const TrainSample *sample = TrainerSampleAt(t, k, sizeof(TrainSample));
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (sample->status != CTPG_OK) continue;
    sum += sample->loss;
    good++;
  }
  t->test_seconds += CtpgSeconds() - begun;
  t->test_cpu += CtpgThreadSeconds() - cpu_begun;
  if (t->interrupted) PetscFunctionReturn(0);
  const PetscReal loss = good ? sum / good : NAN;
  TrainRowAccountTest(t->row, loss);
  if (TrainerWrites(t))
    PetscCall(TrainStorePutTest(t->to->store, t->to->run, t->next_test, loss, t->settings->test_starts - good));
  PetscFunctionReturn(0);
}

static PetscErrorCode ComputePaths(Trainer t) {
  const PetscInt n = t->settings->test_starts, points = t->settings->path_points;
  PetscInt first, last;
  PetscFunctionBeginUser;
  TrainerShare(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt k = first; k < last; k++) {
    TrainSample *sample = TrainerSampleAt(t, k, TrainerPathBytes(t));
    PetscReal *path = (PetscReal *)(sample + 1);
    PetscCall(TrainerDrawStart(t, CTPG_STREAM_TEST, (uint64_t)k));
    TrainerStartLoop(t, t->theta, t->pair->problem->dims.T);
    PetscCall(ExactPath(t->exact, t->x0, points, t->nu, path, path + points * t->nx));
    TrainSampleReadStatus(sample, t->loss_loop);
  }
  PetscCall(TrainerGather(t, n, PETSC_FALSE, TrainerPathBytes(t)));
  PetscFunctionReturn(0);
}

// Paths of the test starts under theta.
static PetscErrorCode KeepPaths(Trainer t) {
  const PetscInt x_size = t->settings->path_points * t->nx, u_size = t->settings->path_points * t->nu;
  const double begun = CtpgSeconds(), cpu_begun = CtpgThreadSeconds();

  PetscFunctionBeginUser;
  PetscCall(ComputePaths(t));
  for (PetscInt k = 0; k < t->settings->test_starts; k++) {
    const TrainSample *sample = TrainerSampleAt(t, k, TrainerPathBytes(t));
    const PetscReal *path = (const PetscReal *)(sample + 1);
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    PetscCall(PetscArraycpy(t->paths + k * x_size, path, x_size));
    PetscCall(PetscArraycpy(t->controls + k * u_size, path + x_size, u_size));
  }
  t->test_seconds += CtpgSeconds() - begun;
  t->test_cpu += CtpgThreadSeconds() - cpu_begun;
  if (!t->interrupted && TrainerWrites(t))
    PetscCall(TrainStorePutPaths(t->to->store, t->to->run, t->next_snapshot, t->paths, t->controls));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerKeepMilestones(Trainer t) {
  const TrainSettings *s = t->settings;
  PetscFunctionBeginUser;
  if (t->next_test < s->ntests && s->tests[t->next_test] == t->iteration) {
    PetscCall(Test(t));
    if (t->interrupted) PetscFunctionReturn(0);
    t->next_test++;
  }
  if (t->next_snapshot < s->nsnapshots && s->snapshots[t->next_snapshot] == t->iteration) {
    if (s->path_points) PetscCall(KeepPaths(t));
    if (t->interrupted) PetscFunctionReturn(0);
    if (TrainerWrites(t)) PetscCall(TrainStorePutTheta(t->to->store, t->to->run, t->next_snapshot, t->theta));
    t->next_snapshot++;
  }
  PetscFunctionReturn(0);
}

// Accurate gradients of all samples of the batch.
static PetscErrorCode ComputeExactBatch(Trainer t) {
  PetscInt first, last;
  PetscFunctionBeginUser;
  TrainerShare(t, t->settings->batch, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt b = first; b < last; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    PetscCall(TrainerDrawStart(t, CTPG_STREAM_BATCH, TrainerBatchIndex(t, b)));
    TrainerStartLoop(t, t->theta, TrainerHorizon(t));
    PetscCall(ExactGradient(t->exact, t->x0, TrainSampleGradient(sample)));
    if (!VectorIsFinite(t->np, TrainSampleGradient(sample)))
      CtpgClosedLoopFail(t->loss_loop, CTPG_DIVERGED, "the gradient is not finite");
    TrainSampleReadStatus(sample, t->loss_loop);
  }
  PetscCall(TrainerGather(t, t->settings->batch, PETSC_FALSE, TrainerGradientBytes(t)));
  PetscFunctionReturn(0);
}

// Of the accurate gradients against g [np], with their mean [np]; NaN where a sample has none.
static TrainAudit CompareWithExact(Trainer t, const PetscReal *g, PetscReal *mean) {
  const PetscInt B = t->settings->batch;
  memset(mean, 0, (size_t)t->np * sizeof *mean);
  for (PetscInt b = 0; b < B; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (sample->status != CTPG_OK) return (TrainAudit){NAN, NAN, NAN};
    for (PetscInt k = 0; k < t->np; k++) mean[k] += TrainSampleGradient(sample)[k] / (PetscReal)B;
  }
  return (TrainAudit){.error = VectorDistanceWide(t->np, g, mean),
                      .stderror = B > 1 ? TrainerStandardError(t, B, mean) : NAN,
                      .norm = VectorNormWide(t->np, mean)};
}

PetscErrorCode TrainerAudit(Trainer t) {
  const double begun = CtpgSeconds(), cpu_begun = CtpgThreadSeconds();
  PetscFunctionBeginUser;
  PetscCall(ComputeExactBatch(t));
  const TrainAudit audit = CompareWithExact(t, t->gradient, t->candidate);
  t->test_seconds += CtpgSeconds() - begun;
  t->test_cpu += CtpgThreadSeconds() - cpu_begun;
  if (t->interrupted) PetscFunctionReturn(0);
  if (TrainerWrites(t)) PetscCall(TrainStorePutAudit(t->to->store, t->to->run, t->next_audit, &audit));
  t->next_audit++;
  PetscFunctionReturn(0);
}
