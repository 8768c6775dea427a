// train.c -- see train.h
//
// In a group of ranks each computes a block of the batch; the samples are gathered and summed in sample order on every
// rank, so that all hold the same theta and the same optimiser, whatever their number.

#define _GNU_SOURCE // memfd_create
#include "train.h"
#include "forward.h"
#include "train_exact.h"
#include <math.h>
#include <petscviewer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 512 };   // iterations between two writes of the history
#define TICK_EVERY 0.005 // s between two looks at clock and messages
#define LARGEST    1e100 // beyond it a parameter counts as not finite

// What a rank reports of one start. What follows it: gradient [np] and states [quota, nx] in a batch; path [points, nx] and
// control [points, nu] where paths are kept.
typedef struct {
  double loss, backsolve_error;
  CtpgCounts counts;
  int64_t status;
  char reason[CTPG_REASON_SIZE];
} Sample;

// What a batch amounts to.
typedef struct {
  CtpgStatus status; // ok; interrupted; or that of the first sample where none is left
  char reason[CTPG_REASON_SIZE];
  double loss, backsolve_error;
  CtpgCounts counts;
  PetscInt failures;
} Batch;

struct Trainer_s {
  CtpgPair *pair;
  const TrainSettings *settings;
  TrainAccuracy accuracy;
  PetscInt nx, nu, ntask, np, noptimizer, nmemory;
  RKOptions search_rk;
  ClosedLoop loss_loop; // of all solves beside the estimator's
  ForwardSolve search_forward;
  ExactSolver exact;
  PetscReal *theta, *gradient, *candidate, *optimizer, *x0, *task;
  unsigned char *memory;
  char *samples;               // [widest gathering]
  PetscReal *paths, *controls; // [test_starts, points, nx], [.., nu]
  int *counts, *displacements;

  // of the run
  const TrainTask *to;
  const volatile int *stop; // see ComputeBatch
  int rank, size;
  PetscInt iteration, next_snapshot, next_test, next_audit;
  PetscReal previous_norm; // ||g|| of the iteration before; NaN: there is none
  uint64_t history_hash;
  TrainHistory *buffer; // [BUFFER] iterations that are not written yet
  PetscInt nbuffered;
  PetscReal *visited; // states that are not written yet, of the same iterations
  PetscInt first_visited, nvisited;
  int slot; // the next to be written
  TrainRow *row;
  PetscBool interrupted;
  double begun, elapsed_before, test_seconds, solve_seconds, last_checkpoint, last_tick;

  // states seen during a sample
  PetscReal *seen;
  PetscInt nseen, seen_capacity;
};

// ---- life cycle ----

static PetscBool HasRead(CtpgOptions options, const char *line) {
  const char *resolved = CtpgOptionsResolved(options), *found = strstr(resolved, line);
  while (found && found > resolved && found[-1] != '\n') found = strstr(found + 1, line);
  return found ? PETSC_TRUE : PETSC_FALSE;
}

// The estimator's own forward method for the losses of a step search: its -rk where it has one, else forward Euler for
// fixed steps and Tsit5 for adaptive ones.
static PetscErrorCode ReadSearchMethod(Trainer t) {
  const CtpgEstimator *e = &t->pair->estimator;
  const PetscBool fixed = e->traits.knob == CTPG_KNOB_DT ? PETSC_TRUE : PETSC_FALSE;
  CtpgOptions options;
  CtpgTraits traits;

  PetscFunctionBeginUser;
  if (HasRead(e->options, "rk = ")) {
    PetscCall(CtpgOptionsCreate(e->label, e->type->name, &options));
    PetscCall(RKOptionsRead(options, fixed ? "1fe" : "tsit5", &t->search_rk, &traits));
    PetscCall(CtpgOptionsDestroy(&options));
    PetscFunctionReturn(0);
  }
  t->search_rk = (RKOptions){.fixed = fixed, .atol_factor = 1e-3, .step_limit = 100000};
  PetscCall(RKTableFind("-rk", fixed ? "1fe" : "tsit5", &t->search_rk.table));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerCreate(CtpgPair *pair, const TrainSettings *settings, const TrainAccuracy *accuracy,
                             Trainer *trainer) {
  Trainer t;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&t));
  *trainer = t;
  t->pair = pair;
  t->settings = settings;
  t->accuracy = *accuracy;
  if (settings->optimizer.kind == CTPG_STEP_SEARCH) PetscCall(ReadSearchMethod(t));
  PetscFunctionReturn(0);
}

// States that sample g of all N keeps: those whose places in `visited` begin with Place(g).
static PetscInt Place(Trainer t, int64_t g) {
  const int64_t samples = (int64_t)t->settings->iterations * t->settings->batch;
  return (PetscInt)((__int128)g * t->settings->visited / samples);
}

static PetscInt LargestQuota(Trainer t) {
  const int64_t samples = (int64_t)t->settings->iterations * t->settings->batch;
  return t->settings->visited ? (PetscInt)(t->settings->visited / samples) + 1 : 0;
}

// A sample of the batch with what follows it.
static size_t GradientBytes(Trainer t) {
  return sizeof(Sample) + (size_t)(t->np + LargestQuota(t) * t->nx) * sizeof(PetscReal);
}

// A test start with its path.
static size_t PathBytes(Trainer t) {
  return sizeof(Sample) + (size_t)(t->settings->path_points * (t->nx + t->nu)) * sizeof(PetscReal);
}

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

static PetscErrorCode MeasureMemory(Trainer t) {
  size_t bytes = 0;
  PetscFunctionBeginUser;
  if (t->pair->estimator.type->memory) {
    PetscCall(t->pair->estimator.type->memory(t->pair->estimator.est, NULL, PETSC_FALSE));
    PetscCall(MoveMemory(t, PETSC_FALSE, 0, NULL, &bytes));
  }
  t->nmemory = (PetscInt)bytes;
  PetscFunctionReturn(0);
}

// The largest of three gatherings: the batch, the tests with their paths, the candidates of a search.
static size_t SampleBytes(Trainer t) {
  const TrainSettings *s = t->settings;
  size_t bytes = (size_t)s->batch * GradientBytes(t);
  bytes = PetscMax(bytes, (size_t)s->test_starts * PathBytes(t));
  return PetscMax(bytes, (size_t)s->batch * (size_t)(s->optimizer.nsteps + 1) * sizeof(Sample));
}

PetscErrorCode TrainerSetUp(Trainer t) {
  const TrainSettings *s = t->settings;
  const CtpgProblem *problem = t->pair->problem;
  int size;

  PetscFunctionBeginUser;
  t->nx = problem->dims.nx;
  t->nu = problem->dims.nu;
  t->ntask = problem->dims.ntask;
  t->np = PolicyGetSize(problem->policy);
  t->noptimizer = OptimizerStateSize(&s->optimizer, t->np);
  PetscCall(MeasureMemory(t));
  PetscCall(ProblemCreateLoop(problem, &t->loss_loop));
  PetscCall(ExactCreate(t->loss_loop, &t->exact));
  if (s->optimizer.kind == CTPG_STEP_SEARCH)
    PetscCall(ForwardCreate(t->loss_loop, &t->search_rk, NULL, CTPG_KEEP_NOTHING, &t->search_forward));
  PetscCall(PetscMalloc6(t->np, &t->theta, t->np, &t->gradient, t->np, &t->candidate, t->noptimizer, &t->optimizer,
                         t->nx, &t->x0, t->ntask, &t->task));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCall(PetscMalloc5(t->nmemory, &t->memory, SampleBytes(t), &t->samples, BUFFER, &t->buffer, size, &t->counts,
                         size, &t->displacements));
  const size_t points = (size_t)(s->test_starts * s->path_points);
  PetscCall(PetscMalloc2(points * (size_t)t->nx, &t->paths, points * (size_t)t->nu, &t->controls));
  const size_t at_once = (size_t)BUFFER * (size_t)s->batch * (size_t)LargestQuota(t);
  PetscCall(PetscMalloc1(PetscMin(at_once, (size_t)s->visited) * (size_t)t->nx, &t->visited));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerDestroy(Trainer *trainer) {
  Trainer t = *trainer;
  PetscFunctionBeginUser;
  if (!t) PetscFunctionReturn(0);
  PetscCall(ExactDestroy(&t->exact));
  PetscCall(ForwardDestroy(&t->search_forward));
  PetscCall(ClosedLoopDestroy(&t->loss_loop));
  PetscCall(PetscFree6(t->theta, t->gradient, t->candidate, t->optimizer, t->x0, t->task));
  PetscCall(PetscFree5(t->memory, t->samples, t->buffer, t->counts, t->displacements));
  PetscCall(PetscFree2(t->paths, t->controls));
  PetscCall(PetscFree(t->visited));
  free(t->seen);
  PetscCall(PetscFree(*trainer));
  PetscFunctionReturn(0);
}

void TrainerGetShape(Trainer t, TrainShape *shape) {
  const TrainSettings *s = t->settings;
  *shape = (TrainShape){.np = t->np,
                        .nx = t->nx,
                        .nu = t->nu,
                        .T = t->pair->problem->dims.T,
                        .path_starts = s->path_points ? s->test_starts : 0,
                        .path_points = s->path_points,
                        .naudits = s->naudits,
                        .audits = s->audits,
                        .iterations = s->iterations,
                        .nsnapshots = s->nsnapshots,
                        .ntests = s->ntests,
                        .visited = s->visited,
                        .noptimizer = t->noptimizer,
                        .nmemory = t->nmemory,
                        .snapshots = s->snapshots,
                        .tests = s->tests};
}

// ---- samples ----

static Sample *SampleAt(Trainer t, PetscInt i, size_t bytes) {
  return (Sample *)(t->samples + (size_t)i * bytes);
}

static PetscReal *GradientOf(Sample *sample) {
  return (PetscReal *)(sample + 1);
}

// The block [first, last) of n items that rank r of the group works on. An estimator with a memory sees all samples in
// their order, on one rank.
static void Share(Trainer t, PetscInt n, PetscBool alone, int r, PetscInt *first, PetscInt *last) {
  *first = alone ? (r ? n : 0) : (PetscInt)((int64_t)n * r / t->size);
  *last = alone ? n : (PetscInt)((int64_t)n * (r + 1) / t->size);
}

// Every rank's block of samples to all ranks.
static PetscErrorCode Gather(Trainer t, PetscInt n, PetscBool alone, size_t bytes) {
  PetscFunctionBeginUser;
  if (t->size == 1) PetscFunctionReturn(0);
  for (int r = 0; r < t->size; r++) {
    PetscInt first, last;
    Share(t, n, alone, r, &first, &last);
    t->counts[r] = (int)((size_t)(last - first) * bytes);
    t->displacements[r] = (int)((size_t)first * bytes);
  }
  PetscCallMPI(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, t->samples, t->counts, t->displacements, MPI_BYTE,
                              t->to->group));
  PetscFunctionReturn(0);
}

// In four strands, so that additions need not wait for each other.
static PetscReal SumOfSquares(PetscInt n, const PetscReal *restrict v) {
  const PetscInt quarter = n / 4;
  PetscReal s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (PetscInt k = 0; k < quarter; k++) {
    s0 += v[k] * v[k];
    s1 += v[k + quarter] * v[k + quarter];
    s2 += v[k + 2 * quarter] * v[k + 2 * quarter];
    s3 += v[k + 3 * quarter] * v[k + 3 * quarter];
  }
  for (PetscInt k = 4 * quarter; k < n; k++) s0 += v[k] * v[k];
  return s0 + s1 + s2 + s3;
}

// Where the squares add up to less than LARGEST^2 no entry needs to be looked at.
static PetscBool AllFinite(PetscInt n, const PetscReal *v) {
  if (SumOfSquares(n, v) < LARGEST * LARGEST) return PETSC_TRUE;
  for (PetscInt k = 0; k < n; k++)
    if (!(fabs(v[k]) < LARGEST)) return PETSC_FALSE;
  return PETSC_TRUE;
}

// Where products are asked for: that is on the path, while evaluations of f are also those of steps thrown away.
static void See(void *trainer, CtpgPurpose purpose, PetscBool product, PetscReal time, const PetscReal *x) {
  Trainer t = trainer;
  (void)time, (void)purpose;
  if (!product) return;
  if (t->nseen == t->seen_capacity) {
    const PetscInt capacity = t->seen_capacity ? 2 * t->seen_capacity : 1024;
    PetscReal *longer = realloc(t->seen, (size_t)(capacity * t->nx) * sizeof *longer);
    if (!longer) return; // fewer to choose from
    t->seen = longer;
    t->seen_capacity = capacity;
  }
  memcpy(t->seen + t->nseen++ * t->nx, x, (size_t)t->nx * sizeof *x);
}

// `quota` of the states seen, at equal distances, the last seen first: on the way back that is the start. NaN where there
// were none.
static void KeepSeen(Trainer t, PetscInt quota, PetscReal *states) {
  for (PetscInt q = 0; q < quota; q++)
    for (PetscInt k = 0; k < t->nx; k++)
      states[q * t->nx + k] = t->nseen ? t->seen[(t->nseen - 1 - (int64_t)q * t->nseen / quota) * t->nx + k] : NAN;
}

static void ReadStatus(ClosedLoop loop, Sample *sample) {
  ClosedLoopGetTotals(loop, &sample->counts);
  sample->status = ClosedLoopGetStatus(loop);
  if (sample->status == CTPG_OK)
    sample->reason[0] = 0;
  else
    (void)PetscStrncpy(sample->reason, ClosedLoopGetReason(loop), sizeof sample->reason);
}

static PetscErrorCode DrawStart(Trainer t, CtpgStreamPurpose purpose, uint64_t index) {
  PetscFunctionBeginUser;
  PetscCall(TrainDrawStart(t->pair->problem, t->to->seed, purpose, index, t->to->experiment, t->x0, t->task));
  PetscFunctionReturn(0);
}

static uint64_t BatchIndex(Trainer t, PetscInt b) {
  return (uint64_t)t->iteration * (uint64_t)t->settings->batch + (uint64_t)b;
}

// Loss and gradient of sample b of this iteration.
static PetscErrorCode ComputeSample(Trainer t, PetscInt b, PetscReal accuracy) {
  const CtpgEstimator *e = &t->pair->estimator;
  const CtpgProblem *problem = t->pair->problem;
  const uint64_t index = BatchIndex(t, b);
  const PetscInt quota = t->settings->visited ? Place(t, (int64_t)index + 1) - Place(t, (int64_t)index) : 0;
  const uint64_t type = CtpgHashString(CTPG_HASH_START, e->type->name);
  CtpgStream stream = CtpgStreamOpen((uint64_t)t->to->seed, problem->type->name, CTPG_STREAM_ESTIMATOR, type + index,
                                     t->to->experiment);
  Sample *sample = SampleAt(t, b, GradientBytes(t));
  PetscReal *gradient = GradientOf(sample);
  CtpgResult result = {.loss = &sample->loss,
                       .gx0 = t->pair->gx0,
                       .gtheta = gradient,
                       .error_bar = NAN,
                       .backsolve_error = NAN,
                       .h = NAN};

  PetscFunctionBeginUser;
  PetscCall(DrawStart(t, CTPG_STREAM_BATCH, index));
  memset(gradient, 0, (size_t)t->np * sizeof *gradient);
  memset(t->pair->gx0, 0, (size_t)t->nx * sizeof *t->pair->gx0);
  sample->loss = 0;
  ClosedLoopSetCase(t->pair->loop, t->theta, t->task, problem->dims.T);
  ClosedLoopStart(t->pair->loop, &t->to->limits);
  t->nseen = 0;
  if (quota) ClosedLoopSetObserver(t->pair->loop, See, t);
  PetscCall(PetscLogEventBegin(t->pair->event, 0, 0, 0, 0));
  const double before = CtpgSeconds();
  PetscCall(e->type->gradient(e->est, t->pair->loop, 1, t->x0, accuracy, &stream, &result));
  t->solve_seconds += CtpgSeconds() - before;
  PetscCall(PetscLogEventEnd(t->pair->event, 0, 0, 0, 0));
  if (quota) ClosedLoopSetObserver(t->pair->loop, NULL, NULL);
  KeepSeen(t, quota, gradient + t->np);
  if (!isfinite(sample->loss) || !AllFinite(t->np, gradient))
    ClosedLoopFail(t->pair->loop, CTPG_DIVERGED, "loss or gradient is not finite");
  sample->backsolve_error = result.backsolve_error;
  ReadStatus(t->pair->loop, sample);
  PetscFunctionReturn(0);
}

// The loop beside the estimator's, for the start drawn last.
static void StartLoop(Trainer t, const PetscReal *theta) {
  ClosedLoopSetCase(t->loss_loop, theta, t->task, t->pair->problem->dims.T);
  ClosedLoopStart(t->loss_loop, &t->to->limits);
}

static void ReadLoss(Trainer t, Sample *sample) {
  if (!isfinite(sample->loss)) ClosedLoopFail(t->loss_loop, CTPG_DIVERGED, "the loss is not finite");
  ReadStatus(t->loss_loop, sample);
}

// ---- the batch ----

// Takes one sample into sums; the first good one is copied, so that a batch of one costs no sum.
static void AddSample(Trainer t, Sample *sample, PetscInt good, Batch *batch) {
  const PetscReal *restrict from = GradientOf(sample);
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

static void KeepVisited(Trainer t) {
  const int64_t first = (int64_t)t->iteration * t->settings->batch;
  if (!t->settings->visited) return;
  if (!t->nvisited) t->first_visited = Place(t, first);
  for (PetscInt b = 0; b < t->settings->batch; b++) {
    const PetscInt quota = Place(t, first + b + 1) - Place(t, first + b);
    memcpy(t->visited + t->nvisited * t->nx, GradientOf(SampleAt(t, b, GradientBytes(t))) + t->np,
           (size_t)(quota * t->nx) * sizeof(PetscReal));
    t->nvisited += quota;
  }
}

// Mean loss and gradient over the samples that succeeded.
static void SumBatch(Trainer t, Batch *batch) {
  const PetscInt B = t->settings->batch;
  PetscInt good = 0, first_bad = -1;
  *batch = (Batch){.status = CTPG_OK, .backsolve_error = NAN};
  for (PetscInt b = 0; b < B; b++) {
    Sample *sample = SampleAt(t, b, GradientBytes(t));
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
  const Sample *bad = SampleAt(t, first_bad, GradientBytes(t));
  batch->status = (CtpgStatus)bad->status;
  (void)PetscStrncpy(batch->reason, bad->reason, sizeof batch->reason);
}

// An estimator with a memory is stopped between iterations only: half a batch would already have changed what it
// remembers.
static PetscErrorCode ComputeBatch(Trainer t, PetscReal accuracy, Batch *batch) {
  const PetscBool alone = t->nmemory ? PETSC_TRUE : PETSC_FALSE;
  PetscInt first, last;

  PetscFunctionBeginUser;
  Share(t, t->settings->batch, alone, t->rank, &first, &last);
  if (alone && t->rank == 0 && t->stop && *t->stop) {
    memset(SampleAt(t, 0, GradientBytes(t)), 0, (size_t)t->settings->batch * GradientBytes(t));
    SampleAt(t, 0, GradientBytes(t))->status = CTPG_INTERRUPTED;
    first = last;
  }
  for (PetscInt b = first; b < last; b++) PetscCall(ComputeSample(t, b, accuracy));
  PetscCall(Gather(t, t->settings->batch, alone, GradientBytes(t)));
  SumBatch(t, batch);
  PetscFunctionReturn(0);
}

// ---- step search ----

static void Candidate(Trainer t, PetscReal step) {
  memcpy(t->candidate, t->theta, (size_t)t->np * sizeof *t->theta);
  OptimizerUpdate(&t->settings->optimizer, t->np, t->gradient, step, NULL, t->candidate);
}

// Mean loss of candidate c over the samples that succeed without a step; infinite where one of them fails.
static PetscReal CandidateLoss(Trainer t, PetscInt c, Batch *batch) {
  const PetscInt B = t->settings->batch;
  PetscReal sum = 0;
  PetscInt n = 0;
  for (PetscInt b = 0; b < B; b++) {
    const Sample *sample = SampleAt(t, c * B + b, sizeof(Sample));
    CtpgCountsAdd(&batch->counts, &sample->counts);
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (SampleAt(t, b, sizeof(Sample))->status != CTPG_OK) continue;
    sum += sample->status == CTPG_OK ? sample->loss : INFINITY;
    n++;
  }
  return n ? sum / n : INFINITY;
}

// The best of the step sizes; candidate 0 is no step at all.
static PetscErrorCode SearchStep(Trainer t, PetscReal accuracy, Batch *batch, PetscReal *step) {
  const CtpgOptimizer *o = &t->settings->optimizer;
  const PetscInt B = t->settings->batch, n = (o->nsteps + 1) * B;
  PetscInt first, last;

  PetscFunctionBeginUser;
  Share(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt i = first; i < last; i++) {
    Sample *sample = SampleAt(t, i, sizeof(Sample));
    CtpgResult result = {.loss = &sample->loss, .h = NAN};
    if (i == first || i % B == 0) Candidate(t, i < B ? 0 : o->steps[i / B - 1]);
    PetscCall(DrawStart(t, CTPG_STREAM_BATCH, BatchIndex(t, i % B)));
    sample->loss = 0;
    StartLoop(t, i < B ? t->theta : t->candidate);
    const double before = CtpgSeconds();
    PetscCall(ForwardRun(t->search_forward, t->x0, accuracy, &result));
    t->solve_seconds += CtpgSeconds() - before;
    ReadLoss(t, sample);
  }
  PetscCall(Gather(t, n, PETSC_FALSE, sizeof(Sample)));
  PetscReal least = CandidateLoss(t, 0, batch);
  *step = o->fallback;
  for (PetscInt c = 1; c <= o->nsteps; c++) {
    const PetscReal loss = CandidateLoss(t, c, batch);
    if (!(loss < least)) continue;
    least = loss;
    *step = o->steps[c - 1];
  }
  PetscFunctionReturn(0);
}

// ---- what is kept ----

static PetscBool Writes(Trainer t) {
  return t->rank == 0 && t->to->store ? PETSC_TRUE : PETSC_FALSE;
}

static PetscErrorCode FlushHistory(Trainer t) {
  PetscFunctionBeginUser;
  if (Writes(t)) {
    PetscCall(TrainStorePutHistory(t->to->store, t->to->run, t->iteration - t->nbuffered, t->nbuffered, t->buffer));
    PetscCall(TrainStorePutVisited(t->to->store, t->to->run, t->first_visited, t->nvisited, t->visited));
  }
  t->nbuffered = t->nvisited = 0;
  PetscFunctionReturn(0);
}

// History first, then the slot that vouches for it.
static PetscErrorCode Checkpoint(Trainer t) {
  const TrainSlot slot = {.iteration = t->iteration,
                          .history_hash = t->history_hash,
                          .theta = t->theta,
                          .optimizer = t->optimizer,
                          .memory = t->memory};
  PetscFunctionBeginUser;
  PetscCall(FlushHistory(t));
  t->last_checkpoint = CtpgSeconds();
  if (!Writes(t)) PetscFunctionReturn(0);
  if (t->nmemory) PetscCall(MoveMemory(t, PETSC_FALSE, (size_t)t->nmemory, t->memory, NULL));
  PetscCall(TrainStorePutSlot(t->to->store, t->to->run, t->slot, &slot));
  t->slot = 1 - t->slot;
  PetscFunctionReturn(0);
}

static int32_t Narrow(int64_t count) {
  return count > INT32_MAX ? INT32_MAX : (int32_t)count;
}

static void FillHistory(Trainer t, const Batch *batch, PetscReal norm, PetscReal accuracy, PetscReal step,
                        TrainHistory *h) {
  *h = (TrainHistory){.loss = batch->loss,
                      .grad_norm = norm,
                      .accuracy = accuracy,
                      .step_size = step,
                      .backsolve_error = batch->backsolve_error,
                      .elapsed = t->elapsed_before + CtpgSeconds() - t->begun - t->test_seconds,
                      .failures = Narrow(batch->failures)};
#define COPY(kind) h->kind = Narrow(batch->counts.kind);
  CTPG_COUNTS(COPY)
#undef COPY
}

// Sums of the row over one more iteration.
static void Account(TrainRow *row, const TrainHistory *h) {
#define ADD(kind) row->kind += h->kind;
  CTPG_COUNTS(ADD)
#undef ADD
  row->failures += h->failures;
  row->loss = h->loss;
  row->seconds = h->elapsed;
}

static PetscErrorCode Record(Trainer t, const TrainHistory *h) {
  PetscFunctionBeginUser;
  Account(t->row, h);
  t->buffer[t->nbuffered++] = *h;
  t->history_hash = TrainHistoryHash(t->history_hash, 1, h);
  t->previous_norm = h->grad_norm;
  t->iteration++;
  if (t->nbuffered == BUFFER) PetscCall(FlushHistory(t));
  PetscFunctionReturn(0);
}

// ---- tests and snapshots ----

static PetscErrorCode ComputeTests(Trainer t) {
  const PetscInt n = t->settings->test_starts;
  PetscInt first, last;
  PetscFunctionBeginUser;
  Share(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt k = first; k < last; k++) {
    Sample *sample = SampleAt(t, k, sizeof(Sample));
    PetscCall(DrawStart(t, CTPG_STREAM_TEST, (uint64_t)k));
    sample->loss = 0;
    StartLoop(t, t->theta);
    PetscCall(ExactLoss(t->exact, t->x0, &sample->loss));
    ReadLoss(t, sample);
  }
  PetscCall(Gather(t, n, PETSC_FALSE, sizeof(Sample)));
  PetscFunctionReturn(0);
}

static void AccountTest(TrainRow *row, PetscReal loss) {
  row->test_loss = loss;
  if (!isnan(loss) && !(row->best_test_loss <= loss)) row->best_test_loss = loss;
}

static PetscErrorCode Test(Trainer t) {
  const double begun = CtpgSeconds();
  PetscReal sum = 0;
  PetscInt good = 0;

  PetscFunctionBeginUser;
  PetscCall(ComputeTests(t));
  for (PetscInt k = 0; k < t->settings->test_starts; k++) {
    const Sample *sample = SampleAt(t, k, sizeof(Sample));
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (sample->status != CTPG_OK) continue;
    sum += sample->loss;
    good++;
  }
  t->test_seconds += CtpgSeconds() - begun;
  if (t->interrupted) PetscFunctionReturn(0);
  const PetscReal loss = good ? sum / good : NAN;
  AccountTest(t->row, loss);
  if (Writes(t))
    PetscCall(TrainStorePutTest(t->to->store, t->to->run, t->next_test, loss, t->settings->test_starts - good));
  PetscFunctionReturn(0);
}

static PetscErrorCode ComputePaths(Trainer t) {
  const PetscInt n = t->settings->test_starts, points = t->settings->path_points;
  PetscInt first, last;
  PetscFunctionBeginUser;
  Share(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt k = first; k < last; k++) {
    Sample *sample = SampleAt(t, k, PathBytes(t));
    PetscReal *path = (PetscReal *)(sample + 1);
    PetscCall(DrawStart(t, CTPG_STREAM_TEST, (uint64_t)k));
    StartLoop(t, t->theta);
    PetscCall(ExactPath(t->exact, t->x0, points, t->nu, path, path + points * t->nx));
    ReadStatus(t->loss_loop, sample);
  }
  PetscCall(Gather(t, n, PETSC_FALSE, PathBytes(t)));
  PetscFunctionReturn(0);
}

// Paths of the test starts under theta.
static PetscErrorCode KeepPaths(Trainer t) {
  const PetscInt x_size = t->settings->path_points * t->nx, u_size = t->settings->path_points * t->nu;
  const double begun = CtpgSeconds();

  PetscFunctionBeginUser;
  PetscCall(ComputePaths(t));
  for (PetscInt k = 0; k < t->settings->test_starts; k++) {
    const Sample *sample = SampleAt(t, k, PathBytes(t));
    const PetscReal *path = (const PetscReal *)(sample + 1);
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    PetscCall(PetscArraycpy(t->paths + k * x_size, path, x_size));
    PetscCall(PetscArraycpy(t->controls + k * u_size, path + x_size, u_size));
  }
  t->test_seconds += CtpgSeconds() - begun;
  if (!t->interrupted && Writes(t))
    PetscCall(TrainStorePutPaths(t->to->store, t->to->run, t->next_snapshot, t->paths, t->controls));
  PetscFunctionReturn(0);
}

// What is due after t->iteration updates.
static PetscErrorCode KeepMilestones(Trainer t) {
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
    if (Writes(t)) PetscCall(TrainStorePutTheta(t->to->store, t->to->run, t->next_snapshot, t->theta));
    t->next_snapshot++;
  }
  PetscFunctionReturn(0);
}

// ---- audits ----

static PetscReal Norm(PetscInt n, const PetscReal *restrict v) {
  PetscReal sum = 0;
#pragma omp simd reduction(+ : sum)
  for (PetscInt k = 0; k < n; k++) sum += v[k] * v[k];
  return sqrt(sum);
}

static PetscReal Distance(PetscInt n, const PetscReal *restrict v, const PetscReal *restrict w) {
  PetscReal sum = 0;
#pragma omp simd reduction(+ : sum)
  for (PetscInt k = 0; k < n; k++) sum += PetscSqr(v[k] - w[k]);
  return sqrt(sum);
}

// Accurate gradients of all samples of the batch.
static PetscErrorCode ComputeExactBatch(Trainer t) {
  PetscInt first, last;
  PetscFunctionBeginUser;
  Share(t, t->settings->batch, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt b = first; b < last; b++) {
    Sample *sample = SampleAt(t, b, GradientBytes(t));
    PetscCall(DrawStart(t, CTPG_STREAM_BATCH, BatchIndex(t, b)));
    StartLoop(t, t->theta);
    PetscCall(ExactGradient(t->exact, t->x0, GradientOf(sample)));
    if (!AllFinite(t->np, GradientOf(sample)))
      ClosedLoopFail(t->loss_loop, CTPG_DIVERGED, "the gradient is not finite");
    ReadStatus(t->loss_loop, sample);
  }
  PetscCall(Gather(t, t->settings->batch, PETSC_FALSE, GradientBytes(t)));
  PetscFunctionReturn(0);
}

// Of the accurate gradients against g [np], with their mean [np]; NaN where a sample has none.
static TrainAudit CompareWithExact(Trainer t, const PetscReal *g, PetscReal *mean) {
  const PetscInt B = t->settings->batch;
  PetscReal squares = 0;
  memset(mean, 0, (size_t)t->np * sizeof *mean);
  for (PetscInt b = 0; b < B; b++) {
    Sample *sample = SampleAt(t, b, GradientBytes(t));
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (sample->status != CTPG_OK) return (TrainAudit){NAN, NAN, NAN};
    for (PetscInt k = 0; k < t->np; k++) mean[k] += GradientOf(sample)[k] / (PetscReal)B;
  }
  for (PetscInt b = 0; b < B; b++)
    squares += PetscSqr(Distance(t->np, GradientOf(SampleAt(t, b, GradientBytes(t))), mean));
  return (TrainAudit){.error = Distance(t->np, g, mean),
                      .stderror = B > 1 ? sqrt(squares / (PetscReal)(B - 1) / (PetscReal)B) : NAN,
                      .norm = Norm(t->np, mean)};
}

// How good is the gradient of this batch? It must stand in t->gradient as the estimator left it.
static PetscErrorCode Audit(Trainer t) {
  const double begun = CtpgSeconds();
  PetscFunctionBeginUser;
  PetscCall(ComputeExactBatch(t));
  const TrainAudit audit = CompareWithExact(t, t->gradient, t->candidate);
  t->test_seconds += CtpgSeconds() - begun;
  if (t->interrupted) PetscFunctionReturn(0);
  if (Writes(t)) PetscCall(TrainStorePutAudit(t->to->store, t->to->run, t->next_audit, &audit));
  t->next_audit++;
  PetscFunctionReturn(0);
}

// ---- one iteration ----

static PetscReal Accuracy(Trainer t) {
  const TrainAccuracy *a = &t->accuracy;
  if (!(a->per_gradient > 0) || isnan(t->previous_norm)) return t->row->accuracy;
  return PetscMin(PetscMax(a->per_gradient * t->previous_norm, a->tightest), a->loosest);
}

// The run ends here, with this iteration in its history. No slot: theta may be spoilt, and nobody goes on from here.
static PetscErrorCode EndEarly(Trainer t, CtpgStatus status, const char *reason, const TrainHistory *h) {
  PetscFunctionBeginUser;
  t->row->status = status;
  PetscCall(PetscSNPrintf(t->row->reason, sizeof t->row->reason, "iteration %d: %s", (int)t->iteration, reason));
  PetscCall(FlushHistory(t));
  Account(t->row, h);
  if (Writes(t)) PetscCall(TrainStorePutHistory(t->to->store, t->to->run, t->iteration, 1, h));
  PetscFunctionReturn(0);
}

// No sample has a gradient: the run has diverged, whatever they died of, unless the pair cannot work at all.
static PetscErrorCode EndWithoutGradient(Trainer t, const Batch *batch, const TrainHistory *h) {
  const PetscBool kept = batch->status == CTPG_SKIPPED || batch->status == CTPG_TIMEOUT ? PETSC_TRUE : PETSC_FALSE;
  char reason[2 * CTPG_REASON_SIZE];
  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(reason, sizeof reason, "%s: %s", CtpgStatusName(batch->status), batch->reason));
  PetscCall(EndEarly(t, kept ? batch->status : CTPG_DIVERGED, reason, h));
  PetscFunctionReturn(0);
}

static PetscErrorCode Iterate(Trainer t) {
  const CtpgOptimizer *o = &t->settings->optimizer;
  const PetscReal accuracy = Accuracy(t);
  PetscReal step = o->learning_rate, norm = NAN;
  TrainHistory h;
  Batch batch;

  PetscFunctionBeginUser;
  PetscCall(ComputeBatch(t, accuracy, &batch));
  if (t->interrupted) PetscFunctionReturn(0);
  if (batch.status != CTPG_OK) {
    FillHistory(t, &batch, norm, accuracy, NAN, &h);
    PetscCall(EndWithoutGradient(t, &batch, &h));
    PetscFunctionReturn(0);
  }
  KeepVisited(t);
  if (t->next_audit < t->settings->naudits && t->settings->audits[t->next_audit] == t->iteration) PetscCall(Audit(t));
  if (t->interrupted) PetscFunctionReturn(0);
  norm = Norm(t->np, t->gradient);
  OptimizerClip(o, t->np, t->gradient);
  if (o->kind == CTPG_STEP_SEARCH) PetscCall(SearchStep(t, accuracy, &batch, &step));
  if (t->interrupted) PetscFunctionReturn(0);
  OptimizerUpdate(o, t->np, t->gradient, step, t->optimizer, t->theta);
  FillHistory(t, &batch, norm, accuracy, step, &h);
  if (!AllFinite(t->np, t->theta)) {
    PetscCall(EndEarly(t, CTPG_DIVERGED, "theta is not finite after the update", &h));
    PetscFunctionReturn(0);
  }
  PetscCall(Record(t, &h));
  PetscFunctionReturn(0);
}

// ---- the run ----

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
    n = PetscMin(BUFFER, t->iteration - first);
    PetscCall(TrainStoreGetHistory(t->to->store, t->to->run, first, n, t->buffer));
    for (PetscInt i = 0; i < n; i++) Account(t->row, t->buffer + i);
    t->previous_norm = t->buffer[n - 1].grad_norm;
  }
  for (PetscInt k = 0; k < t->settings->ntests && t->settings->tests[k] < t->iteration; k++) {
    PetscCall(TrainStoreGetTest(t->to->store, t->to->run, k, &loss));
    AccountTest(t->row, loss);
  }
  PetscFunctionReturn(0);
}

// The newest slot of the leader, on all ranks of the group.
static PetscErrorCode Resume(Trainer t) {
  TrainSlot slot = {.theta = t->theta, .optimizer = t->optimizer, .memory = t->memory};
  int k = -1;

  PetscFunctionBeginUser;
  if (Writes(t)) PetscCall(TrainStoreGetSlot(t->to->store, t->to->run, &slot, &k));
  PetscCallMPI(MPI_Bcast(&k, 1, MPI_INT, 0, t->to->group));
  t->slot = k == 0 ? 1 : 0;
  if (k < 0) {
    PetscCall(DrawTheta(t));
    OptimizerStart(&t->settings->optimizer, t->np, t->optimizer);
    PetscFunctionReturn(0);
  }
  t->iteration = (PetscInt)slot.iteration;
  t->history_hash = slot.history_hash;
  if (Writes(t)) PetscCall(ReadPast(t));
  PetscCallMPI(MPI_Bcast(&t->iteration, 1, MPIU_INT, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(&t->previous_norm, 1, MPIU_REAL, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(t->theta, t->np, MPIU_REAL, 0, t->to->group));
  PetscCallMPI(MPI_Bcast(t->optimizer, t->noptimizer, MPIU_REAL, 0, t->to->group));
  if (t->nmemory && t->rank == 0) PetscCall(MoveMemory(t, PETSC_TRUE, (size_t)t->nmemory, t->memory, NULL));
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
  t->history_hash = CTPG_HASH_START;
  t->nbuffered = t->nvisited = t->first_visited = 0;
  t->interrupted = PETSC_FALSE;
  t->test_seconds = t->solve_seconds = t->last_tick = 0;
  if (e->type->memory) PetscCall(e->type->memory(e->est, NULL, PETSC_FALSE));
  PetscCall(Resume(t));
  while (t->next_snapshot < t->settings->nsnapshots && t->settings->snapshots[t->next_snapshot] < t->iteration)
    t->next_snapshot++;
  while (t->next_test < t->settings->ntests && t->settings->tests[t->next_test] < t->iteration) t->next_test++;
  while (t->next_audit < t->settings->naudits && t->settings->audits[t->next_audit] < t->iteration) t->next_audit++;
  row->h = NAN;
  if (e->traits.knob == CTPG_KNOB_DT)
    row->h = t->pair->problem->dims.T / (PetscReal)CtpgFixedSteps(t->pair->problem->dims.T, row->accuracy);
  t->elapsed_before = t->iteration ? row->seconds : 0;
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
  if (now - t->last_checkpoint >= t->to->checkpoint_every) PetscCall(Checkpoint(t));
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
  row->nfe = CtpgNFE(&totals, t->pair->problem->dims.nu);
  row->session_seconds = CtpgSeconds() - t->begun - t->test_seconds;
  row->solve_seconds = t->solve_seconds;
  row->test_seconds = t->test_seconds;
  row->ranks = t->size;
  if (Writes(t)) PetscCall(TrainStorePutRow(t->to->store, t->to->run, row));
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
    PetscCall(KeepMilestones(t));
    if (t->interrupted || t->iteration == t->settings->iterations) break;
    PetscCall(Iterate(t));
    if (t->interrupted) break;
    PetscCall(LookAround(t));
  }
  *finished = t->interrupted ? PETSC_FALSE : PETSC_TRUE;
  if (row->status == CTPG_PENDING) PetscCall(Checkpoint(t));
  if (*finished) PetscCall(Finish(t));
  PetscFunctionReturn(0);
}
