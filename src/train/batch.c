// batch.c -- starts, samples and their gradients, gathered and summed (trainer_private.h)
//
// The ranks of a run share a batch by contiguous parts. Each computes its samples into rows of equal size, a header
// with the gradient behind it; all rows then go to every rank, which adds them in the order of the samples. So the sum
// has the same bits for any number of ranks. An estimator with a memory sees all samples in their order on the first
// rank alone. A sample that failed is left out of the mean; its reason is kept if no sample is left.

#include "train/trainer_private.h"
#include "base/system.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include "base/visitors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// States that sample g of all N keeps: those whose places in `visited` begin with Place(g).
static PetscInt Place(Trainer t, int64_t g) {
  const int64_t samples = (int64_t)t->settings->iterations * t->settings->batch;
  return (PetscInt)((__int128)g * t->settings->visited / samples);
}

PetscInt TrainerLargestQuota(Trainer t) {
  const int64_t samples = (int64_t)t->settings->iterations * t->settings->batch;
  return t->settings->visited ? (PetscInt)(t->settings->visited / samples) + 1 : 0;
}

// A sample of the batch with what follows it.
size_t TrainerGradientBytes(Trainer t) {
  const PetscInt errors = TrainerContractSize(t) ? t->np : 0;
  return sizeof(TrainSample) + (size_t)(t->np + TrainerLargestQuota(t) * t->nx + errors) * sizeof(PetscReal);
}

PetscReal *TrainerSampleErrors(Trainer t, TrainSample *sample) {
  return TrainSampleGradient(sample) + t->np + TrainerLargestQuota(t) * t->nx;
}

TrainSample *TrainerSampleAt(Trainer t, PetscInt i, size_t bytes) {
  return (TrainSample *)(t->samples + (size_t)i * bytes);
}

PetscReal *TrainSampleGradient(TrainSample *sample) {
  return (PetscReal *)(sample + 1);
}

void TrainerShare(Trainer t, PetscInt n, PetscBool alone, int r, PetscInt *first, PetscInt *last) {
  *first = alone ? (r ? n : 0) : (PetscInt)((int64_t)n * r / t->size);
  *last = alone ? n : (PetscInt)((int64_t)n * (r + 1) / t->size);
}

#define PATIENCE   2e-3 // s that a rank waits for its group before it naps between two looks,
#define NAP        1e-4 // s long
#define LOOK_AGAIN 5e-3 // s between two looks at clock and messages meanwhile

// Until the group has done this together. The leader of rank 0's group still answers the others, and notices that a
// rank of its own gives no sign of life.
static PetscErrorCode WaitForGroup(Trainer t, MPI_Request *request) {
  const CtpgLimits *limits = &t->to->limits;
  const double start = CtpgSeconds();
  double now = start, looked = start;
  int done;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCallMPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
    if (done) break;
    now = CtpgSeconds();
    if (limits->tick && now - looked > LOOK_AGAIN) {
      limits->tick(limits->tick_context);
      looked = now;
    }
    if (now - start > PATIENCE) SystemNap(NAP);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerMeet(Trainer t) {
  MPI_Request request;
  PetscFunctionBeginUser;
  if (t->size == 1) PetscFunctionReturn(0);
  PetscCallMPI(MPI_Ibarrier(t->to->group, &request));
  PetscCall(WaitForGroup(t, &request));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerGather(Trainer t, PetscInt n, PetscBool alone, size_t bytes) {
  MPI_Request request;
  PetscFunctionBeginUser;
  if (t->size == 1) PetscFunctionReturn(0);
  for (int r = 0; r < t->size; r++) {
    PetscInt first, last;
    TrainerShare(t, n, alone, r, &first, &last);
    t->counts[r] = (int)((size_t)(last - first) * bytes);
    t->displacements[r] = (int)((size_t)first * bytes);
  }
  PetscCallMPI(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, t->samples, t->counts, t->displacements, MPI_BYTE,
                               t->to->group, &request));
  PetscCall(WaitForGroup(t, &request));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerDrawStart(Trainer t, CtpgStreamPurpose purpose, uint64_t index) {
  PetscFunctionBeginUser;
  PetscCall(TrainDrawStart(t->pair->problem, t->to->seed, purpose, index, t->to->experiment, t->x0, t->task));
  PetscFunctionReturn(0);
}

uint64_t TrainerBatchIndex(Trainer t, PetscInt b) {
  return (uint64_t)t->iteration * (uint64_t)t->settings->batch + (uint64_t)b;
}

void TrainSampleReadStatus(TrainSample *sample, CtpgClosedLoop loop) {
  CtpgClosedLoopGetTotals(loop, &sample->counts);
  sample->status = CtpgClosedLoopGetStatus(loop);
  if (sample->status == CTPG_OK)
    sample->reason[0] = 0;
  else
    (void)PetscStrncpy(sample->reason, CtpgClosedLoopGetReason(loop), sizeof sample->reason);
}

PetscReal TrainerHorizon(Trainer t) {
  return TrainHorizon(t->settings, t->pair->problem->dims.T, t->iteration);
}

void TrainerStartLoop(Trainer t, const PetscReal *theta, PetscReal T) {
  CtpgClosedLoopSetCase(t->loss_loop, theta, 1, t->task, T);
  CtpgClosedLoopStart(t->loss_loop, &t->to->limits);
}

void TrainerReadLoss(Trainer t, TrainSample *sample) {
  if (!isfinite(sample->loss)) CtpgClosedLoopFail(t->loss_loop, CTPG_DIVERGED, "the loss is not finite");
  TrainSampleReadStatus(sample, t->loss_loop);
}

// Where products are asked for: that is on the path, while evaluations of f are also those of steps thrown away.
static void See(void *context, CtpgPurpose purpose, PetscBool product, PetscReal time, const PetscReal *x) {
  TrainSeen *seen = context;
  (void)time, (void)purpose;
  if (!product) return;
  if (seen->n == seen->capacity) {
    const PetscInt capacity = seen->capacity ? 2 * seen->capacity : 1024;
    PetscReal *longer = realloc(seen->states, (size_t)(capacity * seen->nx) * sizeof *longer);
    if (!longer) return; // fewer to choose from
    seen->states = longer;
    seen->capacity = capacity;
  }
  memcpy(seen->states + seen->n++ * seen->nx, x, (size_t)seen->nx * sizeof *x);
}

// `quota` of the states seen, at equal distances, the last seen first: on the way back that is the start. NaN where
// there were none.
static void KeepSeen(const TrainSeen *seen, PetscInt quota, PetscReal *states) {
  for (PetscInt q = 0; q < quota; q++)
    for (PetscInt k = 0; k < seen->nx; k++)
      states[q * seen->nx + k] =
          seen->n ? seen->states[(seen->n - 1 - (int64_t)q * seen->n / quota) * seen->nx + k] : NAN;
}

// States that sample b of this iteration keeps.
static PetscInt Quota(Trainer t, PetscInt b) {
  const int64_t g = (int64_t)TrainerBatchIndex(t, b);
  return t->settings->visited ? Place(t, g + 1) - Place(t, g) : 0;
}

// Before the gradient of sample b on a loop that has its case.
static CtpgResult BeginSample(Trainer t, PetscInt b, CtpgClosedLoop loop, TrainSeen *seen, PetscReal *gx0) {
  TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
  PetscReal *gradient = TrainSampleGradient(sample);
  memset(gradient, 0, (size_t)t->np * sizeof *gradient);
  memset(gx0, 0, (size_t)t->nx * sizeof *gx0);
  sample->loss = 0;
  seen->nx = t->nx;
  seen->n = 0;
  CtpgClosedLoopStart(loop, &t->to->limits);
  if (Quota(t, b)) CtpgClosedLoopSetObserver(loop, See, seen);
  return EstimatorResult(&sample->loss, gx0, gradient);
}

// Its error, where it is the turn of sample b.
static PetscErrorCode MeasureSample(Trainer t, PetscInt b, TrainSample *sample) {
  PetscReal *errors = TrainerSampleErrors(t, sample);
  PetscFunctionBeginUser;
  memset(errors, 0, (size_t)t->np * sizeof *errors);
  if (sample->status == CTPG_OK && TrainerContractMeasures(t, b))
    PetscCall(TrainerContractMeasure(t, TrainSampleGradient(sample), sample, errors));
  PetscFunctionReturn(0);
}

// After it; x0 and task of the sample are those drawn last.
static PetscErrorCode EndSample(Trainer t, PetscInt b, CtpgClosedLoop loop, const TrainSeen *seen,
                                const CtpgResult *result) {
  TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
  PetscFunctionBeginUser;
  CtpgClosedLoopSetObserver(loop, NULL, NULL);
  KeepSeen(seen, Quota(t, b), result->gtheta + t->np);
  if (!isfinite(sample->loss) || !VectorIsFinite(t->np, result->gtheta))
    CtpgClosedLoopFail(loop, CTPG_DIVERGED, "loss or gradient is not finite");
  sample->backsolve_error = result->backsolve_error;
  TrainSampleReadStatus(sample, loop);
  sample->nfe_bar = sample->measured = 0;
  if (TrainerContractSize(t)) PetscCall(MeasureSample(t, b, sample));
  PetscFunctionReturn(0);
}

// Loss and gradient of sample b of this iteration.
static PetscErrorCode ComputeSample(Trainer t, PetscInt b, PetscReal accuracy) {
  const CtpgEstimator *e = &t->pair->estimator;
  const uint64_t index = TrainerBatchIndex(t, b), type = CtpgHashString(CTPG_HASH_START, e->type->name);
  CtpgStream stream = CtpgStreamOpen((uint64_t)t->to->seed, t->pair->problem->type->name, CTPG_STREAM_ESTIMATOR,
                                     type + index, t->to->experiment);

  PetscFunctionBeginUser;
  PetscCall(TrainerDrawStart(t, CTPG_STREAM_BATCH, index));
  CtpgClosedLoopSetCase(t->pair->loop, t->theta, 1, t->task, TrainerHorizon(t));
  CtpgResult result = BeginSample(t, b, t->pair->loop, t->seen, t->pair->gx0);
  PetscCall(PetscLogEventBegin(t->pair->event, 0, 0, 0, 0));
  const double before = CtpgSeconds();
  PetscCall(EstimatorGradient(e->type, e->est, t->pair->loop, 1, t->x0, accuracy, &stream, &result));
  t->solve_seconds += CtpgSeconds() - before;
  PetscCall(PetscLogEventEnd(t->pair->event, 0, 0, 0, 0));
  VisitorsLeave(e->label);
  PetscCall(EndSample(t, b, t->pair->loop, t->seen, &result));
  PetscFunctionReturn(0);
}

// The same for n <= t->at_once samples from b on, side by side.
static PetscErrorCode ComputeSamples(Trainer t, PetscInt b, PetscInt n, PetscReal accuracy) {
  const CtpgEstimator *e = &t->pair->estimator;
  CtpgResult results[CTPG_MOST_AT_ONCE];

  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    PetscReal *x0 = t->many_x0 + i * t->nx, *task = t->many_task + i * t->ntask;
    PetscCall(TrainDrawStart(t->pair->problem, t->to->seed, CTPG_STREAM_BATCH, TrainerBatchIndex(t, b + i),
                             t->to->experiment, x0, task));
    if (i)
      CtpgClosedLoopSetCaseLike(t->loops[i], t->loops[0], task);
    else
      CtpgClosedLoopSetCase(t->loops[0], t->theta, 1, task, TrainerHorizon(t));
    results[i] = BeginSample(t, b + i, t->loops[i], t->seen + i, t->many_gx0 + i * t->nx);
  }
  PetscCall(PetscLogEventBegin(t->pair->event, 0, 0, 0, 0));
  const double before = CtpgSeconds();
  PetscCall(EstimatorGradients(e->type, e->est, n, t->loops, t->many_x0, accuracy, results));
  t->solve_seconds += CtpgSeconds() - before;
  PetscCall(PetscLogEventEnd(t->pair->event, 0, 0, 0, 0));
  VisitorsLeave(e->label);
  for (PetscInt i = 0; i < n; i++) {
    PetscCall(PetscArraycpy(t->x0, t->many_x0 + i * t->nx, t->nx));
    PetscCall(PetscArraycpy(t->task, t->many_task + i * t->ntask, t->ntask));
    PetscCall(EndSample(t, b + i, t->loops[i], t->seen + i, results + i));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ComputeShare(Trainer t, PetscInt first, PetscInt last, PetscReal accuracy) {
  PetscFunctionBeginUser;
  for (PetscInt b = first; b < last;) {
    const PetscInt n = PetscMin(t->at_once, last - b);
    if (n > 1)
      PetscCall(ComputeSamples(t, b, n, accuracy));
    else
      PetscCall(ComputeSample(t, b, accuracy));
    b += PetscMax(1, n);
  }
  PetscFunctionReturn(0);
}

// Takes one sample into sums; the first good one is copied, so that a batch of one costs no sum.
static void AddSample(Trainer t, TrainSample *sample, PetscInt good, TrainBatch *batch) {
  const PetscReal *restrict from = TrainSampleGradient(sample);
  PetscReal *restrict sum = t->gradient;
  batch->loss += sample->loss;
  if (!(batch->backsolve_error >= sample->backsolve_error)) batch->backsolve_error = sample->backsolve_error;
  if (!good) {
    memcpy(sum, from, (size_t)t->np * sizeof *sum);
    return;
  }
#pragma omp simd
  for (PetscInt k = 0; k < t->np; k++) sum[k] += from[k];
}

void TrainerKeepVisited(Trainer t) {
  const int64_t first = (int64_t)t->iteration * t->settings->batch;
  if (!t->settings->visited) return;
  if (!t->nvisited) t->first_visited = Place(t, first);
  for (PetscInt b = 0; b < t->settings->batch; b++) {
    const PetscInt quota = Place(t, first + b + 1) - Place(t, first + b);
    memcpy(t->visited + t->nvisited * t->nx,
           TrainSampleGradient(TrainerSampleAt(t, b, TrainerGradientBytes(t))) + t->np,
           (size_t)(quota * t->nx) * sizeof(PetscReal));
    t->nvisited += quota;
  }
}

// Mean loss and gradient over the samples that succeeded.
static void SumBatch(Trainer t, TrainBatch *batch) {
  const PetscInt B = t->settings->batch;
  PetscInt good = 0, first_bad = -1;
  *batch = (TrainBatch){.status = CTPG_OK, .backsolve_error = NAN, .promise = NAN, .error_bar = NAN};
  for (PetscInt b = 0; b < B; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    CtpgCountsAdd(&batch->counts, &sample->counts);
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (sample->status == CTPG_OK)
      AddSample(t, sample, good++, batch);
    else if (first_bad < 0)
      first_bad = b;
  }
  batch->failures = B - good;
  batch->loss = good ? batch->loss / (PetscReal)good : NAN;
  for (PetscInt k = 0; good > 1 && k < t->np; k++) t->gradient[k] /= (PetscReal)good;
  if (good) return;
  const TrainSample *bad = TrainerSampleAt(t, first_bad, TrainerGradientBytes(t));
  batch->status = (CtpgStatus)bad->status;
  (void)PetscStrncpy(batch->reason, bad->reason, sizeof batch->reason);
}

PetscReal TrainerStandardError(Trainer t, PetscInt good, const PetscReal *mean) {
  PetscReal squares = 0;
  for (PetscInt b = 0; good > 1 && b < t->settings->batch; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    if (sample->status == CTPG_OK) squares += PetscSqr(VectorDistanceWide(t->np, TrainSampleGradient(sample), mean));
  }
  return good > 1 ? sqrt(squares / (PetscReal)(good - 1) / (PetscReal)good) : 0;
}

// An estimator with a memory sees all samples in their order, on one rank.
PetscErrorCode TrainerComputeBatch(Trainer t, PetscReal accuracy, TrainBatch *batch) {
  const PetscBool alone = t->nmemory ? PETSC_TRUE : PETSC_FALSE;
  PetscInt first, last;

  PetscFunctionBeginUser;
  TrainerShare(t, t->settings->batch, alone, t->rank, &first, &last);
  if (alone && t->rank == 0 && t->stop && *t->stop) {
    memset(TrainerSampleAt(t, 0, TrainerGradientBytes(t)), 0, (size_t)t->settings->batch * TrainerGradientBytes(t));
    TrainerSampleAt(t, 0, TrainerGradientBytes(t))->status = CTPG_INTERRUPTED;
    first = last;
  }
  PetscCall(ComputeShare(t, first, last, accuracy));
  PetscCall(TrainerGather(t, t->settings->batch, alone, TrainerGradientBytes(t)));
  SumBatch(t, batch);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerComputeBatchUnderContract(Trainer t, PetscReal *accuracy, TrainBatch *batch) {
  CtpgCounts all = {0};
  int64_t nfe_bar = 0;

  PetscFunctionBeginUser;
  t->solves = 0;
  for (PetscBool done = PETSC_FALSE; !done;) {
    PetscCall(TrainerComputeBatch(t, *accuracy, batch));
    done = t->interrupted || batch->status != CTPG_OK || !TrainerContractSize(t) ||
                   TrainerContractJudge(t, batch, accuracy)
               ? PETSC_TRUE
               : PETSC_FALSE;
    CtpgCountsAdd(&all, &batch->counts);
    nfe_bar += batch->nfe_bar;
  }
  batch->counts = all;
  batch->nfe_bar = nfe_bar;
  PetscFunctionReturn(0);
}
