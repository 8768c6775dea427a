// check_estimator.c -- conformance of an estimator: accuracy, order, purity, counts, failures, memory
//
// It runs on a problem behind a spy (check_spy.c), which counts the plant's calls and fails on demand.

#include "check.h"
#include <float.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define STARTS             3
#define LADDER             24   // accuracies of the order fit at most
#define LADDER_STEPS       4096 // fixed steps of the finest at most
#define FIT_POINTS         4    // the finest of them are fitted
#define ORDER_SLACK        0.3
#define FLOOR              1e-11 // relative error below which rounding may show
#define STALL_BELOW        1e-6  // an error below this that stops falling has met a floor (differences)
#define CEILING            3e-2  // above which nothing is asymptotic
#define FEWEST_STEPS       5     // below which nothing is, either
#define EXTRAPOLATED_STEPS 2048  // of the coarsest of the three solves that are extrapolated
#define LOW_ORDER          3     // below which no tolerance that can be paid brings the error near rounding

// An estimator with its own loop.
typedef struct {
  CtpgEstimator e;
  ClosedLoop loop;
} Instance;

typedef struct {
  PetscErrorCode error;
  CtpgStatus status;
  char reason[128];
  PetscReal loss[STARTS], *gx0, *gtheta; // [STARTS, nx], [np]
  CtpgResult result;
  CtpgCounts totals, spied; // spied: nf, nvjp, njvp, njac and nplant as the spy counted them
} Run;

// What is asked of a run; the rest is that of case 0.
typedef struct {
  PetscInt first, B; // starts first .. first + B - 1
  PetscInt theta;    // of which case
  PetscReal accuracy;
  int64_t eval_limit;
  CheckMischief mischief;
  int64_t when;
  uint64_t draw; // of a stochastic estimator
} Request;

typedef struct {
  CheckReport *report;
  const CheckSettings *settings;
  const CtpgEstimatorType *type;
  CtpgLabel label;
  CtpgProblem *problem;
  CheckSpy spy;
  PetscInt nx, np;
  PetscReal T;
  CtpgCase c[STARTS];
  PetscReal *x0, *tasks;                       // [STARTS, nx], [STARTS, ntask]
  CtpgReference references[STARTS], reference; // of every case; reference: of case 0, its arrays shared
  Instance given, fixed;
  Instance *stepper;              // the one with fixed steps, given or fixed; NULL: there is none
  Run base, other, third, fourth; // base stays what the first run gave
} EstimatorCheck;

// ---- instances and runs ----

static PetscErrorCode InstanceCreate(EstimatorCheck *k, Instance *in) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorCreateFromType(k->type, &k->label, &in->e));
  PetscCall(ProblemCreateLoop(k->problem, &in->loop));
  ClosedLoopSetCase(in->loop, k->c[0].theta, k->tasks, k->T);
  PetscCall(in->e.type->setup(in->e.est, in->loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode InstanceDestroy(Instance *in) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorDestroy(&in->e));
  PetscCall(ClosedLoopDestroy(&in->loop));
  PetscFunctionReturn(0);
}

// The same label with -<label>_steps fixed, if the estimator reads such an option and takes that word.
static PetscErrorCode CreateStepper(EstimatorCheck *k) {
  char key[80], before[64];
  PetscBool was_set;

  PetscFunctionBeginUser;
  if (k->given.e.traits.knob == CTPG_KNOB_DT) {
    k->stepper = &k->given;
    PetscFunctionReturn(0);
  }
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s_steps", k->label.label));
  PetscCall(PetscOptionsGetString(NULL, NULL, key, before, sizeof before, &was_set));
  PetscCall(PetscOptionsSetValue(NULL, key, "fixed"));
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  const PetscErrorCode error = InstanceCreate(k, &k->fixed);
  PetscCall(PetscPopErrorHandler());
  PetscCall(PetscOptionsClearValue(NULL, key));
  if (was_set) PetscCall(PetscOptionsSetValue(NULL, key, before));
  if (!error && k->fixed.e.traits.knob == CTPG_KNOB_DT) k->stepper = &k->fixed;
  PetscFunctionReturn(0);
}

static CtpgCounts SpiedCounts(const CheckSpy *spy) {
  return (CtpgCounts){
      .nf = spy->evals, .nvjp = spy->vjps, .njvp = spy->jvps, .njac = spy->jacobians, .nplant = CheckSpyCalls(spy)};
}

static PetscBool AllFinite(PetscInt n, const PetscReal *v) {
  for (PetscInt i = 0; i < n; i++)
    if (!isfinite(v[i])) return PETSC_FALSE;
  return PETSC_TRUE;
}

// A PETSc error is caught and kept: the contract forbids it on failure.
static PetscErrorCode Solve(EstimatorCheck *k, Instance *in, Request q, Run *run) {
  const PetscInt ntask = k->problem->dims.ntask;
  const CtpgLimits limits = {.stop = &k->spy.stop, .eval_limit = q.eval_limit};
  CtpgStream stream = CtpgStreamOpen((uint64_t)k->settings->seed, k->spy.real->name, CTPG_STREAM_ESTIMATOR,
                                     CtpgHashString(CTPG_HASH_START, k->type->name) + q.draw, 0);

  PetscFunctionBeginUser;
  memset(run->loss, 0, sizeof run->loss);
  PetscCall(PetscArrayzero(run->gx0, STARTS * k->nx));
  PetscCall(PetscArrayzero(run->gtheta, k->np));
  run->result = (CtpgResult){
      .loss = run->loss, .gx0 = run->gx0, .gtheta = run->gtheta, .error_bar = NAN, .backsolve_error = NAN, .h = NAN};
  CheckSpyReset(&k->spy, q.mischief, q.when);
  ClosedLoopSetCase(in->loop, k->c[q.theta].theta, k->tasks + q.first * ntask, k->T);
  if (in->e.type->memory) PetscCall(in->e.type->memory(in->e.est, NULL, PETSC_FALSE));
  ClosedLoopStart(in->loop, &limits);
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  run->error =
      in->e.type->gradient(in->e.est, in->loop, q.B, k->x0 + q.first * k->nx, q.accuracy, &stream, &run->result);
  PetscCall(PetscPopErrorHandler());
  run->status = ClosedLoopGetStatus(in->loop);
  PetscCall(PetscStrncpy(run->reason, ClosedLoopGetReason(in->loop), sizeof run->reason));
  ClosedLoopGetTotals(in->loop, &run->totals);
  run->spied = SpiedCounts(&k->spy);
  PetscFunctionReturn(0);
}

static PetscBool Succeeded(const EstimatorCheck *k, const Run *run) {
  return !run->error && run->status == CTPG_OK && AllFinite(1, run->loss) && AllFinite(k->nx, run->gx0) &&
                 AllFinite(k->np, run->gtheta)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static PetscBool SameResult(const EstimatorCheck *k, const Run *a, const Run *b) {
  return CheckSameBits(1, a->loss, b->loss) && CheckSameBits(k->nx, a->gx0, b->gx0) &&
                 CheckSameBits(k->np, a->gtheta, b->gtheta) && a->totals.nf == b->totals.nf
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// ---- accuracies ----

// Level 0 is cheap, 1 and 2 are each a good deal tighter.
static PetscReal Accuracy(const EstimatorCheck *k, CtpgKnob knob, int level) {
  static const PetscReal rtol[] = {1e-4, 1e-7, 1e-10}, samples[] = {16, 64, 256}, steps[] = {32, 128, 512};
  if (knob == CTPG_KNOB_DT) return k->T / steps[level];
  return knob == CTPG_KNOB_SAMPLES ? samples[level] : rtol[level];
}

static Request RequestOf(PetscReal accuracy) {
  return (Request){.B = 1, .accuracy = accuracy};
}

static Request BaseRequest(const EstimatorCheck *k) {
  return RequestOf(Accuracy(k, k->given.e.traits.knob, 0));
}

static PetscReal Relative(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return CheckDistance(n, a, b) / fmax(CtpgNorm(n, b), DBL_MIN);
}

static PetscReal GradientError(const EstimatorCheck *k, const Run *run) {
  return Succeeded(k, run) ? Relative(k->np, run->gtheta, k->reference.gtheta) : INFINITY;
}

// ---- same bits ----

static PetscErrorCode SameBits(EstimatorCheck *k, PetscBool *pure) {
  const char *name = "same bits when called again";
  Request other = BaseRequest(k);

  PetscFunctionBeginUser;
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
  *pure = SameResult(k, &k->base, &k->other);
  if (!*pure) {
    CheckFail(k->report, name,
              "dL/dtheta moves by %.1e (relative) in a second call with the same arguments; only workspace "
              "may outlive a call",
              Relative(k->np, k->other.gtheta, k->base.gtheta));
    PetscFunctionReturn(0);
  }
  other.first = other.theta = 1;
  other.accuracy = Accuracy(k, k->given.e.traits.knob, 1);
  PetscCall(Solve(k, &k->given, other, &k->other));
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
  *pure = SameResult(k, &k->base, &k->other);
  if (*pure)
    CheckPass(k->report, name, "also with another case in between");
  else
    CheckFail(k->report, name,
              "dL/dtheta moves by %.1e (relative) when another case was run in between; only workspace "
              "may outlive a call",
              Relative(k->np, k->other.gtheta, k->base.gtheta));
  PetscFunctionReturn(0);
}

// ---- against the reference ----

// a <- its limit, from a sequence a, b, c at steps h/4, h/2, h: Aitken's extrapolation with one ratio for the vector.
// Returns the relative change from b to a.
static PetscReal Extrapolate(PetscInt n, PetscReal *a, const PetscReal *b, const PetscReal *c) {
  const PetscReal last = CheckDistance(n, a, b), change = last / fmax(CtpgNorm(n, a), DBL_MIN);
  const PetscReal ratio = CheckDistance(n, b, c) / fmax(last, DBL_MIN);
  if (change > 1e-9 && ratio > 1.2)
    for (PetscInt i = 0; i < n; i++) a[i] += (a[i] - b[i]) / (ratio - 1);
  return change;
}

static PetscBool OfferAgreement(EstimatorCheck *k, const char *name, PetscInt n, const PetscReal *found,
                                const PetscReal *expected, PetscReal limit) {
  CheckWorst worst = {.limit = limit};
  CheckOffer(&worst, Relative(n, found, expected),
             "the norm is %.12g, the reference has %.12g (good to %.0e); relative distance %.3g", CtpgNorm(n, found),
             CtpgNorm(n, expected), k->reference.ref_err, Relative(n, found, expected));
  return CheckConclude(k->report, name, &worst);
}

// Three fixed steps, extrapolated to zero, into k->third; the limits follow from the last change.
static PetscErrorCode SolveExtrapolated(EstimatorCheck *k, Instance *in, PetscReal limit[3]) {
  const PetscReal h = k->T / EXTRAPOLATED_STEPS;
  Run *a = &k->third, *b = &k->other, *c = &k->fourth;

  PetscFunctionBeginUser;
  PetscCall(Solve(k, in, RequestOf(h), c));
  PetscCall(Solve(k, in, RequestOf(h / 2), b));
  PetscCall(Solve(k, in, RequestOf(h / 4), a));
  limit[0] = fmax(limit[0], 0.05 * Extrapolate(1, a->loss, b->loss, c->loss));
  limit[1] = fmax(limit[1], 0.05 * Extrapolate(k->nx, a->gx0, b->gx0, c->gx0));
  limit[2] = fmax(limit[2], 0.05 * Extrapolate(k->np, a->gtheta, b->gtheta, c->gtheta));
  PetscFunctionReturn(0);
}

static PetscBool IsClose(const EstimatorCheck *k, const Run *run, const PetscReal limit[3]) {
  return Relative(1, run->loss, &k->reference.loss) <= limit[0] &&
         Relative(k->nx, run->gx0, k->reference.gx0) <= limit[1] &&
         Relative(k->np, run->gtheta, k->reference.gtheta) <= limit[2];
}

// A method of low order is far from the reference at any accuracy that can be paid, and so is one whose steps are chosen for
// another order than its own (a cubic spline on the long steps of dop853): its steps are extrapolated to zero.
static PetscErrorCode Agrees(EstimatorCheck *k, PetscBool *agrees) {
  const CtpgTraits *traits = &k->given.e.traits;
  const PetscReal usual = traits->knob == CTPG_KNOB_GRAD_RTOL ? 1e-6 : 1e-7;
  PetscBool extrapolate = traits->knob == CTPG_KNOB_DT || (k->stepper && traits->order < LOW_ORDER);
  PetscReal limit[3] = {usual, usual, usual};

  PetscFunctionBeginUser;
  if (!extrapolate) {
    PetscCall(Solve(k, &k->given, RequestOf(Accuracy(k, traits->knob, 2)), &k->third));
    extrapolate = k->stepper && !IsClose(k, &k->third, limit);
  }
  if (extrapolate) PetscCall(SolveExtrapolated(k, k->stepper, limit));
  const PetscBool loss =
      OfferAgreement(k, "loss against the reference", 1, k->third.loss, &k->reference.loss, limit[0]);
  const PetscBool x0 =
      OfferAgreement(k, "dL/dx0 against the reference", k->nx, k->third.gx0, k->reference.gx0, limit[1]);
  const PetscBool theta =
      OfferAgreement(k, "dL/dtheta against the reference", k->np, k->third.gtheta, k->reference.gtheta, limit[2]);
  *agrees = loss && x0 && theta ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

// Each tightening takes off a third of the error at least (order one under a tolerance does little more), unless that is
// already of the size of the tolerance, or rounding.
static PetscErrorCode ErrorFalls(EstimatorCheck *k) {
  const char *name = "error falls with the accuracy";
  const CtpgKnob knob = k->given.e.traits.knob;
  PetscReal error[3];
  int64_t steps[3];

  PetscFunctionBeginUser;
  for (int level = 0; level < 3; level++) {
    PetscCall(Solve(k, &k->given, RequestOf(Accuracy(k, knob, level)), &k->other));
    error[level] = GradientError(k, &k->other);
    steps[level] = k->other.result.steps;
  }
  for (int level = 1; level < 3; level++) {
    const PetscReal accuracy = Accuracy(k, knob, level), enough = knob == CTPG_KNOB_DT ? 0 : 10 * accuracy;
    if (error[level] <= fmax(error[level - 1] / 1.5, fmax(enough, 1e-9))) continue;
    CheckFail(k->report, name, "%s %.3g gives an error of %.2e, %s %.3g still %.2e", CtpgKnobName(knob),
              Accuracy(k, knob, level - 1), error[level - 1], CtpgKnobName(knob), accuracy, error[level]);
    PetscFunctionReturn(0);
  }
  if (steps[0] < 1 || steps[2] <= steps[0])
    CheckFail(k->report, name, "result->steps is %lld at %s %.3g and %lld at %.3g; expected steps that grow",
              (long long)steps[0], CtpgKnobName(knob), Accuracy(k, knob, 0), (long long)steps[2], Accuracy(k, knob, 2));
  else
    CheckPass(k->report, name, "%.1e, %.1e, %.1e", error[0], error[1], error[2]);
  PetscFunctionReturn(0);
}

// ---- order ----

// Accuracy of rung i: steps 2, 3, 5, 7, ... or tolerances from 1e-2 down, two a decade.
static PetscReal Rung(const EstimatorCheck *k, PetscBool fixed, int i) {
  return fixed ? k->T / ceil(2 * pow(1.5, i)) : 1e-2 * pow(10, -0.5 * i);
}

// Slope of log error against log steps, least squares over the last points.
static PetscReal FitSlope(int n, const PetscReal *log_steps, const PetscReal *log_error) {
  PetscReal mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  const int first = n > FIT_POINTS ? n - FIT_POINTS : 0, count = n - first;
  for (int i = first; i < n; i++) mean_x += log_steps[i] / count, mean_y += log_error[i] / count;
  for (int i = first; i < n; i++) {
    xx += PetscSqr(log_steps[i] - mean_x);
    xy += (log_steps[i] - mean_x) * (log_error[i] - mean_y);
  }
  return -xy / xx;
}

// Root mean square over the cases of the relative error of dL/dtheta: in one case errors of the forward and of the backward
// solve may cancel at some number of steps, and the fit would see the way out of that dip.
static PetscErrorCode TypicalError(EstimatorCheck *k, Instance *in, PetscReal accuracy, PetscReal *error,
                                   PetscReal *steps) {
  Request q = RequestOf(accuracy);

  PetscFunctionBeginUser;
  *error = *steps = 0;
  for (q.first = 0; q.first < STARTS; q.first++) {
    q.theta = q.first;
    PetscCall(Solve(k, in, q, &k->other));
    const PetscReal one =
        Succeeded(k, &k->other) ? Relative(k->np, k->other.gtheta, k->references[q.first].gtheta) : INFINITY;
    *error += PetscSqr(one) / STARTS;
    *steps += (PetscReal)k->other.result.steps / STARTS;
  }
  *error = sqrt(*error);
  PetscFunctionReturn(0);
}

// Errors between FLOOR and CEILING, coarse ones first.
static PetscErrorCode ClimbLadder(EstimatorCheck *k, Instance *in, PetscBool fixed, int *n, PetscReal *log_steps,
                                  PetscReal *log_error) {
  PetscReal floor = FLOOR, error, steps;

  PetscFunctionBeginUser;
  *n = 0;
  for (int b = 0; b < STARTS; b++) floor = fmax(floor, 30 * k->references[b].ref_err);
  for (int i = 0; i < LADDER; i++) {
    const PetscReal accuracy = Rung(k, fixed, i);
    if (fixed ? k->T / accuracy > LADDER_STEPS : accuracy < 1e-12) break;
    PetscCall(TypicalError(k, in, accuracy, &error, &steps));
    if (error < floor) break;
    if (*n && error < STALL_BELOW && log(error) > log_error[*n - 1] - 0.3) {
      if (*n > 3) (*n)--; // the one before felt the floor already
      break;
    }
    if (!(error < CEILING) || steps < FEWEST_STEPS) continue;
    log_steps[*n] = log(steps);
    log_error[(*n)++] = log(error);
  }
  PetscFunctionReturn(0);
}

static void ConcludeOrder(EstimatorCheck *k, PetscReal claimed, PetscBool fixed, int n, const PetscReal *log_steps,
                          const PetscReal *log_error) {
  const char *name = "order", *how = fixed ? "fixed steps" : "accepted steps";
  if (n < 3) {
    CheckSkip(k->report, name, "only %d errors between %.0e and rounding with %d steps or more: nothing to fit", n,
              CEILING, FEWEST_STEPS);
    return;
  }
  const int first = n > FIT_POINTS ? n - FIT_POINTS : 0;
  const PetscReal slope = FitSlope(n, log_steps, log_error);
  if (!(slope >= claimed - ORDER_SLACK))
    CheckFail(
        k->report, name,
        "%.3g is claimed, but the error goes like steps^(%.2f): %.1e with %.0f %s, %.1e with %.0f; set traits->order "
        "to what the method has, or find the term that is missing",
        claimed, -slope, exp(log_error[first]), exp(log_steps[first]), how, exp(log_error[n - 1]),
        exp(log_steps[n - 1]));
  else
    CheckPass(k->report, name, "%.2f over %.0f to %.0f %s, claimed %.3g%s", slope, exp(log_steps[first]),
              exp(log_steps[n - 1]), how, claimed, slope > claimed + 1.5 ? " (better on this problem)" : "");
}

static PetscErrorCode Order(EstimatorCheck *k) {
  PetscReal log_steps[LADDER], log_error[LADDER];
  Instance *in = k->stepper ? k->stepper : &k->given;
  const PetscBool fixed = k->stepper ? PETSC_TRUE : PETSC_FALSE;
  int n;

  PetscFunctionBeginUser;
  if (k->spy.real->flags & CTPG_IS_NONSMOOTH) {
    CheckSkip(k->report, "order", "the problem is not smooth");
    PetscFunctionReturn(0);
  }
  PetscCall(ClimbLadder(k, in, fixed, &n, log_steps, log_error));
  ConcludeOrder(k, in->e.traits.order, fixed, n, log_steps, log_error);
  PetscFunctionReturn(0);
}

// ---- counts ----

// The closed loop's totals against the spy's; by purposes they must add up, which the totals are made of.
static PetscErrorCode Counts(EstimatorCheck *k) {
  const CtpgCounts *found = &k->other.totals, *spied = &k->other.spied;
  CheckWorst worst = {.limit = 0};
  CtpgCounts purpose;

  PetscFunctionBeginUser;
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
#define COMPARE(kind)                                                                                                  \
  CheckOffer(&worst, (PetscReal)llabs((long long)(found->kind - spied->kind)), #kind " is %lld, the plant saw %lld",   \
             (long long)found->kind, (long long)spied->kind)
  COMPARE(nplant);
  if (!ClosedLoopUsesDifferences(k->given.loop) && !found->njac && !found->njvp) {
    COMPARE(nf);
    COMPARE(nvjp);
  }
#undef COMPARE
  if (found->nvjp_x > found->nvjp || found->nvjp_theta > found->nvjp)
    CheckOffer(&worst, 1, "nvjp_x = %lld or nvjp_theta = %lld is more than nvjp = %lld", (long long)found->nvjp_x,
               (long long)found->nvjp_theta, (long long)found->nvjp);
  for (int p = 0; p < CTPG_NUM_PURPOSES; p++) {
    ClosedLoopGetCounts(k->given.loop, (CtpgPurpose)p, &purpose);
#define POSITIVE(kind)                                                                                                 \
  if (purpose.kind < 0) CheckOffer(&worst, 1, #kind " of purpose %s is negative", CtpgPurposeName((CtpgPurpose)p));
    CTPG_COUNTS(POSITIVE)
#undef POSITIVE
  }
  if (worst.worst > 0)
    CheckFail(k->report, "counts", "%s", worst.sentence);
  else
    CheckPass(k->report, "counts", "%lld f + %lld vjp + %lld jvp, as the plant saw them", (long long)found->nf,
              (long long)found->nvjp, (long long)found->njvp);
  PetscFunctionReturn(0);
}

// ---- several starts in one call ----

static void OfferStart(EstimatorCheck *k, CheckWorst *worst, const Run *batch, const Run *single, PetscInt b) {
  CheckOffer(worst, Relative(1, batch->loss + b, single->loss), "loss[%d] is %.15g in a call of %d starts, %.15g alone",
             (int)b, batch->loss[b], STARTS, single->loss[0]);
  CheckOffer(worst, Relative(k->nx, batch->gx0 + b * k->nx, single->gx0),
             "gx0 of start %d differs between a call of %d starts and a call of its own", (int)b, STARTS);
}

static PetscErrorCode SeveralStarts(EstimatorCheck *k) {
  CheckWorst worst = {.limit = 1e-13};
  Request q = BaseRequest(k);
  PetscReal *mean;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(k->np, &mean));
  q.B = STARTS;
  PetscCall(Solve(k, &k->given, q, &k->third));
  q.B = 1;
  for (q.first = 0; q.first < STARTS; q.first++) {
    PetscCall(Solve(k, &k->given, q, &k->other));
    OfferStart(k, &worst, &k->third, &k->other, q.first);
    for (PetscInt i = 0; i < k->np; i++) mean[i] += k->other.gtheta[i] / STARTS;
  }
  CheckOffer(&worst, Relative(k->np, k->third.gtheta, mean),
             "dL/dtheta of a call with %d starts is not the mean of %d calls: norm %.12g instead of %.12g", STARTS,
             STARTS, CtpgNorm(k->np, k->third.gtheta), CtpgNorm(k->np, mean));
  CheckConclude(k->report, "B starts equal the mean of B calls", &worst);
  PetscCall(PetscFree(mean));
  PetscFunctionReturn(0);
}

// ---- failures ----

// The plant (or the stop flag) spoils the run at call `when`: is that the status, and is the next run as ever?
static PetscErrorCode Spoil(EstimatorCheck *k, CheckMischief mischief, int64_t when, CheckWorst *status,
                            CheckWorst *unharmed) {
  static const CtpgStatus expected[] = {CTPG_OK, CTPG_DIVERGED, CTPG_DOMAIN, CTPG_INTERRUPTED};
  static const char *const what[] = {"", "a plant that returns NaN", "a plant that answers CTPG_DOMAIN", "a stop flag"};
  Request q = BaseRequest(k);

  PetscFunctionBeginUser;
  q.mischief = mischief;
  q.when = when;
  PetscCall(Solve(k, &k->given, q, &k->other));
  if (k->other.error)
    CheckOffer(status, INFINITY,
               "%s at plant call %lld raises PETSc error %d; end the solve and return 0, the loop has "
               "latched why",
               what[mischief], (long long)when, (int)k->other.error);
  else if (k->other.status != expected[mischief])
    CheckOffer(status, 1, "%s at plant call %lld gives status %s (%s); expected %s", what[mischief], (long long)when,
               CtpgStatusName(k->other.status), k->other.reason, CtpgStatusName(expected[mischief]));
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
  if (!SameResult(k, &k->base, &k->other))
    CheckOffer(
        unharmed, 1,
        "after %s at plant call %lld the next run gives other bits: PETSc error %d, status %s, dL/dtheta moved by %.1e",
        what[mischief], (long long)when, (int)k->other.error, CtpgStatusName(k->other.status),
        Relative(k->np, k->other.gtheta, k->base.gtheta));
  PetscFunctionReturn(0);
}

static void ConcludeFlag(EstimatorCheck *k, const char *name, const CheckWorst *worst, const char *praise) {
  if (worst->worst > 0)
    CheckFail(k->report, name, "%s", worst->sentence);
  else
    CheckPass(k->report, name, "%s", praise);
}

static PetscErrorCode Failures(EstimatorCheck *k) {
  const int64_t calls = k->base.totals.nplant, positions[] = {0, calls / 4, calls - calls / 4};
  CheckWorst status[4] = {{0}}, unharmed = {0};

  PetscFunctionBeginUser;
  for (CheckMischief mischief = CHECK_NAN; mischief <= CHECK_STOP; mischief++)
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
      PetscCall(Spoil(k, mischief, positions[i], &status[mischief], &unharmed));
  ConcludeFlag(k, "NaN from the plant", &status[CHECK_NAN], "status diverged, no PETSc error");
  ConcludeFlag(k, "CTPG_DOMAIN from the plant", &status[CHECK_DOMAIN], "status domain, no PETSc error");
  ConcludeFlag(k, "stop flag", &status[CHECK_STOP], "status interrupted, no PETSc error");
  ConcludeFlag(k, "the run after a failure is unharmed", &unharmed, "same bits after each of 9 failures");
  PetscFunctionReturn(0);
}

static PetscErrorCode EvalLimit(EstimatorCheck *k) {
  const char *name = "eval_limit";
  const PetscInt nu = k->problem->dims.nu;
  const int64_t limit = PetscMax(1, CtpgNFE(&k->base.totals, nu) / 2);
  Request q = BaseRequest(k);

  PetscFunctionBeginUser;
  q.eval_limit = limit;
  PetscCall(Solve(k, &k->given, q, &k->other));
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->third));
  const int64_t nfe = CtpgNFE(&k->other.totals, nu);
  if (k->other.error || k->other.status != CTPG_EVAL_LIMIT || nfe > limit)
    CheckFail(k->report, name, "a limit of %lld ends with status %s, PETSc error %d and %lld evaluations",
              (long long)limit, CtpgStatusName(k->other.status), (int)k->other.error, (long long)nfe);
  else if (!SameResult(k, &k->base, &k->third))
    CheckFail(k->report, name,
              "after a run that met its limit the next run gives other bits: PETSc error %d, status %s",
              (int)k->third.error, CtpgStatusName(k->third.status));
  else
    CheckPass(k->report, name, "%lld of %lld evaluations made, the next run unharmed", (long long)nfe,
              (long long)limit);
  PetscFunctionReturn(0);
}

// ---- memory ----

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
#define HEAP_IS_MEASURED PETSC_TRUE
static int64_t HeapBytes(void) {
  const struct mallinfo2 info = mallinfo2();
  return (int64_t)(info.uordblks + info.hblkhd);
}
#else
#define HEAP_IS_MEASURED PETSC_FALSE
static int64_t HeapBytes(void) {
  return 0;
}
#endif

static PetscErrorCode Heap(EstimatorCheck *k) {
  const char *name = "heap does not grow";
  const PetscInt repeats = k->settings->repeats;

  PetscFunctionBeginUser;
  if (!HEAP_IS_MEASURED) {
    CheckSkip(k->report, name, "no mallinfo2 here");
    PetscFunctionReturn(0);
  }
  for (int i = 0; i < 3; i++) PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
  const int64_t before = HeapBytes();
  for (PetscInt i = 0; i < repeats; i++) PetscCall(Solve(k, &k->given, BaseRequest(k), &k->other));
  const int64_t growth = HeapBytes() - before;
  if (growth >= 8 * repeats)
    CheckFail(k->report, name, "%lld bytes more after %d runs, %.0f a run", (long long)growth, (int)repeats,
              (double)growth / (double)repeats);
  else
    CheckPass(k->report, name, "%lld bytes in %d runs", (long long)growth, (int)repeats);
  PetscFunctionReturn(0);
}

// Does the descriptor's storage, as in "N s nx", speak of N, the number of steps?
static PetscBool StoresSteps(const char *storage) {
  for (const char *word = storage; (word = strchr(word, 'N')); word++)
    if ((word == storage || word[-1] == ' ' || word[-1] == '(') && (!word[1] || word[1] == ' ' || word[1] == ')'))
      return PETSC_TRUE;
  return PETSC_FALSE;
}

static PetscErrorCode Bytes(EstimatorCheck *k) {
  const char *name = "bytes stored";
  const CtpgResult *few = &k->base.result, *many = &k->other.result;

  PetscFunctionBeginUser;
  PetscCall(Solve(k, &k->given, RequestOf(Accuracy(k, k->given.e.traits.knob, 2)), &k->other));
  if (k->type->flags & CTPG_IS_INTERPRETED) {
    CheckSkip(k->report, name, "the file's own word");
    PetscFunctionReturn(0);
  }
  const char *storage = k->given.e.traits.storage ? k->given.e.traits.storage : k->type->storage;
  const PetscBool grows = StoresSteps(storage), bounded = strstr(storage, "min(N, K)") ? PETSC_TRUE : PETSC_FALSE;
  if (!Succeeded(k, &k->other))
    CheckFail(k->report, name, "the run at the tightest accuracy ends with status %s, PETSc error %d",
              CtpgStatusName(k->other.status), (int)k->other.error);
  else if (grows && !(few->bytes > 0 && (many->bytes > few->bytes || many->steps <= few->steps)))
    CheckFail(k->report, name, "storage is said to be %s, but bytes are %zu with %lld steps and %zu with %lld", storage,
              few->bytes, (long long)few->steps, many->bytes, (long long)many->steps);
  else if (!grows && !bounded && many->bytes > few->bytes)
    CheckFail(k->report, name,
              "storage is said to be %s, free of N, but bytes grow from %zu with %lld steps to %zu with %lld", storage,
              few->bytes, (long long)few->steps, many->bytes, (long long)many->steps);
  else
    CheckPass(k->report, name, "%zu with %lld steps, %zu with %lld", few->bytes, (long long)few->steps, many->bytes,
              (long long)many->steps);
  PetscFunctionReturn(0);
}

// ---- draws ----

static PetscErrorCode Draw(void *context, PetscReal samples, uint64_t index, PetscReal *g, PetscReal *error_bar,
                           PetscBool *good) {
  EstimatorCheck *k = context;
  Request q = RequestOf(samples);
  PetscFunctionBeginUser;
  q.draw = index;
  PetscCall(Solve(k, &k->given, q, &k->other));
  PetscCall(PetscArraycpy(g, k->other.gtheta, k->np));
  *error_bar = k->other.result.error_bar;
  *good = Succeeded(k, &k->other);
  PetscFunctionReturn(0);
}

// ---- descriptor ----

static PetscBool DescriptorSane(const CtpgEstimatorType *type, CheckReport *report) {
  const char *missing = !type->create     ? "create"
                        : !type->setup    ? "setup"
                        : !type->gradient ? "gradient"
                        : !type->destroy  ? "destroy"
                        : !type->cost     ? "cost"
                        : !type->storage  ? "storage"
                                          : NULL;
  return CheckDescriptor(report, type, sizeof *type, "CtpgEstimatorType", missing);
}

// create without setup, then destroy; destroy of nothing.
static PetscErrorCode HalfBuilt(EstimatorCheck *k) {
  CtpgEstimator e;
  void *none = NULL;

  PetscFunctionBeginUser;
  PetscCall(EstimatorCreateFromType(k->type, &k->label, &e));
  k->type->destroy(&e.est);
  k->type->destroy(&none);
  if (e.est)
    CheckFail(k->report, "destroy", "destroy leaves the handle set; expected NULL");
  else
    CheckPass(k->report, "destroy", "takes a half-built instance, nulls the handle");
  PetscCall(CtpgOptionsDestroy(&e.options));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode RunChecks(EstimatorCheck *k) {
  const PetscBool sampled =
      k->type->flags & CTPG_IS_STOCHASTIC || k->given.e.traits.knob == CTPG_KNOB_SAMPLES ? PETSC_TRUE : PETSC_FALSE;
  PetscBool pure = PETSC_FALSE, agrees = PETSC_FALSE;

  PetscFunctionBeginUser;
  if (sampled)
    PetscCall(CheckDraws(k->report, Draw, k, k->np, k->reference.gtheta, k->given.e.traits.order));
  else {
    PetscCall(CreateStepper(k));
    PetscCall(Agrees(k, &agrees));
    if (agrees) PetscCall(ErrorFalls(k));
    if (agrees) PetscCall(Order(k));
    if (!agrees) CheckSkip(k->report, "order", "the result must agree with the reference first");
  }
  PetscCall(Counts(k));
  if (k->type->flags & CTPG_IS_INTERPRETED)
    CheckSkip(k->report, "bytes stored", "the file's own word");
  else
    PetscCall(Bytes(k));
  PetscCall(Heap(k));
  PetscCall(SameBits(k, &pure));
  if (pure && !sampled) PetscCall(SeveralStarts(k));
  if (pure) PetscCall(EvalLimit(k));
  if (pure) PetscCall(Failures(k));
  if (!pure) CheckSkip(k->report, "several starts, failures", "the same call must give the same bits first");
  PetscFunctionReturn(0);
}

static PetscErrorCode RunAllocate(const EstimatorCheck *k, Run *run) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(STARTS * k->nx, &run->gx0, k->np, &run->gtheta));
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveReferences(EstimatorCheck *k) {
  ReferenceSolver solver = NULL;
  PetscFunctionBeginUser;
  PetscCall(ReferenceCreate(k->problem, &solver));
  for (int b = 0; b < STARTS; b++) {
    PetscCall(PetscCalloc2(k->nx, &k->references[b].gx0, k->np, &k->references[b].gtheta));
    PetscCall(ReferenceSolve(solver, &k->c[b], NULL, &k->references[b]));
  }
  k->reference = k->references[0];
  PetscCall(ReferenceDestroy(&solver));
  PetscFunctionReturn(0);
}

// Cases and reference are made before the spy comes.
static PetscErrorCode Create(EstimatorCheck *k) {
  const PetscInt ntask = k->problem->dims.ntask;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(STARTS * k->nx, &k->x0, STARTS * ntask, &k->tasks));
  for (PetscInt b = 0; b < STARTS; b++) {
    PetscCall(CaseDraw(k->problem, k->settings->seed + b, 0, &k->c[b]));
    PetscCall(PetscArraycpy(k->x0 + b * k->nx, k->c[b].x0, k->nx));
    PetscCall(PetscArraycpy(k->tasks + b * ntask, k->c[b].task, ntask));
  }
  PetscCall(SolveReferences(k));
  PetscCall(RunAllocate(k, &k->base));
  PetscCall(RunAllocate(k, &k->other));
  PetscCall(RunAllocate(k, &k->third));
  PetscCall(RunAllocate(k, &k->fourth));
  CheckSpyAttach(&k->spy, k->problem);
  PetscCall(InstanceCreate(k, &k->given));
  PetscFunctionReturn(0);
}

static PetscErrorCode Destroy(EstimatorCheck *k) {
  PetscFunctionBeginUser;
  PetscCall(InstanceDestroy(&k->given));
  PetscCall(InstanceDestroy(&k->fixed));
  CheckSpyDetach(&k->spy, k->problem);
  for (PetscInt b = 0; b < STARTS; b++) PetscCall(CaseDestroy(&k->c[b]));
  PetscCall(PetscFree2(k->x0, k->tasks));
  for (int b = 0; b < STARTS; b++) PetscCall(PetscFree2(k->references[b].gx0, k->references[b].gtheta));
  PetscCall(PetscFree2(k->base.gx0, k->base.gtheta));
  PetscCall(PetscFree2(k->other.gx0, k->other.gtheta));
  PetscCall(PetscFree2(k->third.gx0, k->third.gtheta));
  PetscCall(PetscFree2(k->fourth.gx0, k->fourth.gtheta));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckOnProblem(EstimatorCheck *k) {
  PetscFunctionBeginUser;
  PetscCall(Create(k));
  PetscCall(Solve(k, &k->given, BaseRequest(k), &k->base));
  if (k->reference.status != CTPG_OK)
    CheckSkip(k->report, "run", "the reference ends with %s: %s", CtpgStatusName(k->reference.status),
              k->reference.reason);
  else if (k->base.status == CTPG_SKIPPED)
    CheckSkip(k->report, "run", "%s", k->base.reason);
  else if (!Succeeded(k, &k->base))
    CheckFail(k->report, "run", "status %s (%s), PETSc error %d, %s", CtpgStatusName(k->base.status), k->base.reason,
              (int)k->base.error, k->base.status == CTPG_OK ? "loss or gradient is not finite" : "no result");
  else
    PetscCall(RunChecks(k));
  PetscCall(Destroy(k));
  PetscFunctionReturn(0);
}

PetscErrorCode CheckEstimator(const CtpgEstimatorType *type, const char *label, CtpgProblem *problem,
                              const CheckSettings *settings, CheckReport *report) {
  const PetscReal T = problem->dims.T;
  char subject[160];
  EstimatorCheck k = {.report = report, .settings = settings, .type = type, .problem = problem};

  PetscFunctionBeginUser;
  snprintf(subject, sizeof subject, "%s on %s", label, problem->label);
  report->subject = subject;
  if (DescriptorSane(type, report)) {
    problem->dims.T = k.T = PetscMin(T, settings->horizon);
    k.nx = problem->dims.nx;
    k.np = PolicyGetSize(problem->policy);
    PetscCall(PetscStrncpy(k.label.label, label, sizeof k.label.label));
    PetscCall(HalfBuilt(&k));
    PetscCall(CheckOnProblem(&k));
    problem->dims.T = T;
  }
  report->subject = "";
  PetscFunctionReturn(0);
}
