// run.c -- one run: an estimator on a case at an accuracy (run.h)
//
// A pair is an estimator set up for a problem, with a closed loop and buffers of its own. PairRun gives the loop the
// case, clears counts and memory, starts the stopwatch, calls `gradient` and stops it: nothing else lies between. What
// the loop latched becomes the status; counts, steps and bytes are read from the loop and the result. A short run is
// then solved again for the clock alone, and must give the same bits: else the estimator keeps state, which is an
// error.

#include "run/judge.h"
#include "run/case.h"
#include "base/system.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include "base/visitors.h"
#include <math.h>
#include <string.h>

// ---- pairs ----

// One event per estimator label, however many problems it meets.
PetscErrorCode RunEvent(const char *label, PetscLogEvent *event) {
  static PetscClassId class = 0;
  PetscFunctionBeginUser;
  if (!class) PetscCall(PetscClassIdRegister("ctpgbench", &class));
  PetscCall(PetscLogEventGetId(label, event));
  if (*event < 0) PetscCall(PetscLogEventRegister(label, class, event));
  PetscFunctionReturn(0);
}

PetscErrorCode PairCreate(const CtpgProblem *problem, const CtpgLabel *estimator, CtpgPair *pair) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(pair, sizeof *pair));
  pair->problem = problem;
  PetscCall(EstimatorCreate(estimator, &pair->estimator));
  if (pair->estimator.judged) PetscCall(JudgeCreate(problem, &pair->judge));
  PetscCall(RunEvent(pair->estimator.label, &pair->event));
  PetscFunctionReturn(0);
}

PetscErrorCode PairSetUp(CtpgPair *pair) {
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  PetscFunctionBeginUser;
  PetscCall(ProblemCreateLoop(pair->problem, &pair->loop));
  PetscCall(EstimatorSetUp(pair->estimator.type, pair->estimator.est, pair->loop));
  VisitorsLeave(pair->estimator.label);
  PetscCall(PetscMalloc4(nx, &pair->gx0, np, &pair->gtheta, nx, &pair->again_gx0, np, &pair->again_gtheta));
  if (pair->judge) PetscCall(JudgeSetUp(pair->judge));
  PetscFunctionReturn(0);
}

PetscErrorCode PairDestroy(CtpgPair *pair) {
  PetscFunctionBeginUser;
  PetscCall(JudgeDestroy(&pair->judge));
  PetscCall(EstimatorDestroy(&pair->estimator));
  PetscCall(CtpgClosedLoopDestroy(&pair->loop));
  PetscCall(PetscFree4(pair->gx0, pair->gtheta, pair->again_gx0, pair->again_gtheta));
  PetscFunctionReturn(0);
}

// ---- one solve ----

// Repeats of a stochastic estimator are independent draws.
static CtpgStream EstimatorStream(const CtpgPair *pair, const CtpgCase *c, uint64_t experiment, uint64_t repeat) {
  const uint64_t index = CtpgHashString(CTPG_HASH_START, pair->estimator.type->name) + repeat;
  return CtpgStreamOpen((uint64_t)c->seed, pair->problem->type->name, CTPG_STREAM_ESTIMATOR, index, experiment);
}

typedef struct {
  double wall, cpu; // s; NaN: not taken
} Sample;

// The estimator once, with the stopwatch around its `gradient` alone.
static PetscErrorCode Solve(CtpgPair *pair, const CtpgCase *c, uint64_t experiment, uint64_t repeat, PetscReal accuracy,
                            const CtpgLimits *limits, PetscReal *gx0, PetscReal *gtheta, CtpgResult *result,
                            PetscReal *loss, Sample *sample) {
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  CtpgEstimator *e = &pair->estimator;
  CtpgStream stream = EstimatorStream(pair, c, experiment, repeat);

  PetscFunctionBeginUser;
  *loss = 0;
  *result = EstimatorResult(loss, gx0, gtheta);
  PetscCall(PetscArrayzero(gx0, nx));
  PetscCall(PetscArrayzero(gtheta, np));
  CtpgClosedLoopSetCase(pair->loop, c->theta, 1, c->task, c->T);
  CtpgClosedLoopStart(pair->loop, limits);
  if (e->type->memory) PetscCall(e->type->memory(e->est, NULL, PETSC_FALSE));
  PetscCall(PetscLogEventBegin(pair->event, 0, 0, 0, 0));
  const double wall = CtpgSeconds(); // around the CPU time, which so is never the longer one
  const double cpu = CtpgThreadSeconds();
  PetscCall(EstimatorGradient(e->type, e->est, pair->loop, 1, c->x0, accuracy, &stream, result));
  sample->cpu = CtpgThreadSeconds() - cpu;
  sample->wall = CtpgSeconds() - wall;
  PetscCall(PetscLogEventEnd(pair->event, 0, 0, 0, 0));
  VisitorsLeave(e->label);
  PetscFunctionReturn(0);
}

static void ReadOutcome(CtpgPair *pair, const CtpgResult *result, CtpgOutcome *outcome) {
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  if (!VectorIsFinite(1, result->loss) || !VectorIsFinite(nx, result->gx0) || !VectorIsFinite(np, result->gtheta))
    CtpgClosedLoopFail(pair->loop, CTPG_DIVERGED, "loss or gradient is not finite");
  outcome->status = CtpgClosedLoopGetStatus(pair->loop);
  (void)PetscStrncpy(outcome->reason, CtpgClosedLoopGetReason(pair->loop), sizeof outcome->reason);
  outcome->loss = result->loss[0];
  if (outcome->status != CTPG_OK) { // nobody shall take half a gradient for one
    outcome->loss = NAN;
    VectorFillNaN(nx, result->gx0);
    VectorFillNaN(np, result->gtheta);
  }
  outcome->h = result->h;
  outcome->error_bar = result->error_bar;
  outcome->promise = result->promise;
  outcome->promise_term = result->promise_term;
  outcome->integral = result->integral;
  outcome->nfe_bar = 0;
  outcome->backsolve_error = result->backsolve_error;
  for (int p = 0; p < CTPG_NUM_PURPOSES; p++) CtpgClosedLoopGetCounts(pair->loop, (CtpgPurpose)p, &outcome->counts[p]);
  CtpgClosedLoopGetTotals(pair->loop, &outcome->totals);
  outcome->nfe = CtpgNFE(&outcome->totals);
  outcome->steps = result->steps;
  outcome->rejected = result->rejected;
  outcome->steps_adjoint = result->steps_adjoint;
  outcome->rejected_adjoint = result->rejected_adjoint;
  outcome->bytes = (int64_t)result->bytes;
}

// A solve for the clock: it must give the same bits as the one before.
static PetscErrorCode SolveAgain(CtpgPair *pair, const CtpgCase *c, uint64_t experiment, uint64_t repeat,
                                 PetscReal accuracy, const CtpgLimits *limits, Sample *sample) {
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  CtpgResult result;
  PetscReal loss;
  PetscBool same_x0, same_theta;

  PetscFunctionBeginUser;
  PetscCall(Solve(pair, c, experiment, repeat, accuracy, limits, pair->again_gx0, pair->again_gtheta, &result, &loss,
                  sample));
  if (CtpgClosedLoopGetStatus(pair->loop) != CTPG_OK) { // stopped from outside: no sample
    *sample = (Sample){NAN, NAN};
    PetscFunctionReturn(0);
  }
  PetscCall(PetscMemcmp(pair->gx0, pair->again_gx0, (size_t)nx * sizeof(PetscReal), &same_x0));
  PetscCall(PetscMemcmp(pair->gtheta, pair->again_gtheta, (size_t)np * sizeof(PetscReal), &same_theta));
  PetscCheck(same_x0 && same_theta, PETSC_COMM_SELF, PETSC_ERR_PLIB,
             "estimator %s gives another gradient when it is called again on %s of %s: it keeps state between calls",
             pair->estimator.label, c->name, pair->problem->label);
  PetscFunctionReturn(0);
}

// Median of the samples that were taken, NaN behind them.
static double MedianSample(const double *sample) {
  double taken[CTPG_WALL_SAMPLES];
  size_t n = 0;
  for (int k = 0; k < CTPG_WALL_SAMPLES; k++)
    if (!isnan(sample[k])) taken[n++] = sample[k];
  return CtpgMedian(n, taken);
}

// How many repeats of a solve that took so long (s of CPU time) are made.
static int CountRepeats(const CtpgRepeats *repeats, double cpu) {
  if (!(cpu < repeats->threshold)) return 0;
  const double affordable = (repeats->budget + cpu / 2) / PetscMax(cpu, 1e-9);
  return affordable < CTPG_WALL_SAMPLES ? (int)affordable : CTPG_WALL_SAMPLES;
}

static void KeepSample(const Sample *sample, int k, CtpgOutcome *outcome) {
  outcome->wall[k] = sample->wall;
  outcome->cpu[k] = sample->cpu;
}

// The clock stands still; what the judge evaluates is counted apart.
static PetscErrorCode MeasureError(CtpgPair *pair, const CtpgCase *c, CtpgLimits limits, CtpgOutcome *outcome) {
  CtpgVerdict verdict;

  PetscFunctionBeginUser;
  PetscCall(JudgeRun(pair->judge, c, limits, pair->gtheta, &verdict));
  outcome->nfe_bar = verdict.nfe;
  outcome->error_bar = verdict.status == CTPG_OK ? verdict.errors.err_rel : NAN;
  PetscFunctionReturn(0);
}

PetscErrorCode PairRun(CtpgPair *pair, const CtpgCase *c, uint64_t experiment, uint64_t repeat, PetscReal accuracy,
                       CtpgLimits limits, CtpgRepeats repeats, CtpgOutcome *outcome) {
  CtpgResult result;
  PetscReal loss;
  Sample sample;

  PetscFunctionBeginUser;
  limits.eval_limit = pair->estimator.eval_limit;
  limits.time_limit = pair->estimator.run_time_limit;
  for (int k = 0; k < CTPG_WALL_SAMPLES; k++) outcome->wall[k] = outcome->cpu[k] = NAN;
  PetscCall(Solve(pair, c, experiment, repeat, accuracy, &limits, pair->gx0, pair->gtheta, &result, &loss, &sample));
  ReadOutcome(pair, &result, outcome);
  KeepSample(&sample, 0, outcome);
  const double before = CtpgThreadSeconds();
  const int n = outcome->status == CTPG_OK ? CountRepeats(&repeats, sample.cpu) : 0;
  for (int k = 0; k < n; k++) {
    PetscCall(SolveAgain(pair, c, experiment, repeat, accuracy, &limits, &sample));
    KeepSample(&sample, k, outcome);
  }
  outcome->repeat_cpu = CtpgThreadSeconds() - before;
  outcome->wall_median = MedianSample(outcome->wall);
  outcome->cpu_median = MedianSample(outcome->cpu);
  if (pair->judge && outcome->status == CTPG_OK) PetscCall(MeasureError(pair, c, limits, outcome));
  PetscFunctionReturn(0);
}

// ---- errors ----

typedef struct {
  PetscReal aa, bb, ab, dd; // |a|^2, |b|^2, a.b, |a - b|^2
} Products;

static Products Compare(PetscInt n, const PetscReal *a, const PetscReal *b) {
  Products p = {0};
  for (PetscInt i = 0; i < n; i++) {
    p.aa += a[i] * a[i];
    p.bb += b[i] * b[i];
    p.ab += a[i] * b[i];
    p.dd += PetscSqr(a[i] - b[i]);
  }
  return p;
}

static PetscReal Relative(const Products *p, PetscInt n, const PetscReal *a, const PetscReal *b) {
  return p->bb < CTPG_SMALLEST_SQUARE ? CtpgRatio(VectorDistance(n, a, b), CtpgNorm(n, b)) : sqrt(p->dd / p->bb);
}

// A zero has no direction: it is like another zero, and unlike anything else.
static PetscReal Cosine(const Products *p, PetscInt n, const PetscReal *a, const PetscReal *b) {
  const PetscReal norm_a = CtpgNorm(n, a), norm_b = CtpgNorm(n, b);
  PetscReal sum = 0;
  if (norm_a == 0 || norm_b == 0) return norm_a == norm_b ? 1 : 0;
  if (!(p->aa < CTPG_SMALLEST_SQUARE || p->bb < CTPG_SMALLEST_SQUARE)) return p->ab / sqrt(p->aa * p->bb);
  for (PetscInt i = 0; i < n; i++) sum += (a[i] / norm_a) * (b[i] / norm_b);
  return sum;
}

static PetscReal SignShare(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscInt all = 0, right = 0;
  for (PetscInt i = 0; i < n; i++) {
    if (b[i] == 0) continue;
    all++;
    right += a[i] != 0 && (a[i] > 0) == (b[i] > 0) ? 1 : 0;
  }
  return all ? (PetscReal)right / (PetscReal)all : 1;
}

void GradientErrorsByEntry(CtpgPolicy policy, const PetscReal *gtheta, const PetscReal *reference, CtpgErrors *e) {
  e->err_layer = 0;
  e->layer = 0;
  for (PetscInt l = 0, first = 0; l < PolicyGetLayers(policy); l++) {
    const PetscInt n = PolicyGetLayerSize(policy, l);
    const PetscReal error =
        CtpgRatio(VectorDistance(n, gtheta + first, reference + first), CtpgNorm(n, reference + first));
    if (error > e->err_layer) {
      e->err_layer = error;
      e->layer = l;
    }
    first += n;
  }
  e->sign_share = SignShare(PolicyGetSize(policy), gtheta, reference);
}

CtpgErrors GradientErrors(PetscInt nx, PetscInt np, const PetscReal *gx0, const PetscReal *gtheta,
                          const CtpgReference *reference) {
  const Products x = Compare(nx, gx0, reference->gx0), g = Compare(np, gtheta, reference->gtheta);
  CtpgErrors e = {.norm = CtpgNorm(np, gtheta),
                  .err_rel = NAN,
                  .err_abs = NAN,
                  .err_x0 = NAN,
                  .err_joint = NAN,
                  .cosine = NAN,
                  .err_abs_x0 = NAN,
                  .err_layer = NAN,
                  .sign_share = NAN};
  if (reference->status != CTPG_OK) return e;
  e.err_rel = Relative(&g, np, gtheta, reference->gtheta);
  e.err_abs = VectorDistance(np, gtheta, reference->gtheta);
  e.err_x0 = Relative(&x, nx, gx0, reference->gx0);
  e.err_abs_x0 = VectorDistance(nx, gx0, reference->gx0);
  e.err_joint = sqrt((g.dd + x.dd) / (g.bb + x.bb));
  if (g.bb + x.bb < CTPG_SMALLEST_SQUARE)
    e.err_joint =
        CtpgRatio(hypot(e.err_abs, e.err_abs_x0), hypot(CtpgNorm(np, reference->gtheta), CtpgNorm(nx, reference->gx0)));
  e.cosine = Cosine(&g, np, gtheta, reference->gtheta);
  return e;
}
