// accuracy.c -- does an estimator's result agree with the reference, does its error fall, and by which order?

#include "check/estimator_private.h"
#include "base/vector.h"
#include <float.h>
#include <math.h>

#define LADDER             24   // accuracies of the order fit at most
#define LADDER_STEPS       4096 // fixed steps of the finest at most
#define FIT_POINTS         4    // the finest of them are fitted
#define ORDER_SLACK        0.3
#define FLOOR              1e-11 // relative error below which rounding may show
#define STALL_BELOW        1e-6  // an error below this that stops falling has met a floor (differences)
#define CEILING            3e-2  // above which nothing is asymptotic
#define FEWEST_STEPS       5     // below which nothing is, either
#define EXTRAPOLATED_STEPS 2048  // of the coarsest of the three solves that are extrapolated

// ---- against the reference ----

// a <- its limit, from a sequence a, b, c at steps h/4, h/2, h: Aitken's extrapolation with one ratio for the vector.
// Returns the relative change from b to a.
static PetscReal Extrapolate(PetscInt n, PetscReal *a, const PetscReal *b, const PetscReal *c) {
  const PetscReal last = VectorDistance(n, a, b), change = last / fmax(CtpgNorm(n, a), DBL_MIN);
  const PetscReal ratio = VectorDistance(n, b, c) / fmax(last, DBL_MIN);
  if (change > 1e-9 && ratio > 1.2)
    for (PetscInt i = 0; i < n; i++) a[i] += (a[i] - b[i]) / (ratio - 1);
  return change;
}

static PetscBool OfferAgreement(EstimatorCheck *k, const char *name, PetscInt n, const PetscReal *found,
                                const PetscReal *expected, PetscReal limit) {
  CheckWorst worst = {.limit = limit};
  CheckOffer(&worst, CheckRelative(n, found, expected),
             "the norm is %.12g, the reference has %.12g (good to %.0e); relative distance %.3g", CtpgNorm(n, found),
             CtpgNorm(n, expected), k->reference.ref_err, CheckRelative(n, found, expected));
  return CheckConclude(k->report, name, &worst);
}

// Three fixed steps, extrapolated to zero, into k->third; the limits follow from the last change.
static PetscErrorCode SolveExtrapolated(EstimatorCheck *k, CheckInstance *in, PetscReal limit[3]) {
  const PetscReal h = k->T / EXTRAPOLATED_STEPS;
  CheckRun *a = &k->third, *b = &k->other, *c = &k->fourth;

  PetscFunctionBeginUser;
  PetscCall(CheckSolve(k, in, CheckRequestOf(h), c));
  PetscCall(CheckSolve(k, in, CheckRequestOf(h / 2), b));
  PetscCall(CheckSolve(k, in, CheckRequestOf(h / 4), a));
  limit[0] = fmax(limit[0], 0.05 * Extrapolate(1, a->loss, b->loss, c->loss));
  limit[1] = fmax(limit[1], 0.05 * Extrapolate(k->nx, a->gx0, b->gx0, c->gx0));
  limit[2] = fmax(limit[2], 0.05 * Extrapolate(k->np, a->gtheta, b->gtheta, c->gtheta));
  PetscFunctionReturn(0);
}

static PetscBool IsClose(const EstimatorCheck *k, const CheckRun *run, const PetscReal limit[3]) {
  return CheckRelative(1, run->loss, &k->reference.loss) <= limit[0] &&
         CheckRelative(k->nx, run->gx0, k->reference.gx0) <= limit[1] &&
         CheckRelative(k->np, run->gtheta, k->reference.gtheta) <= limit[2];
}

// A method of low order is far from the reference at any accuracy that can be paid, and so is one whose steps are
// chosen for another order than its own (a cubic spline on the long steps of dop853): its steps are extrapolated to
// zero.
PetscErrorCode CheckAgreement(EstimatorCheck *k, PetscBool *agrees) {
  const CtpgTraits *traits = &k->given.e.traits;
  const PetscReal usual = traits->knob == CTPG_KNOB_GRAD_RTOL || CheckIsLow(k) ? 1e-6 : 1e-7;
  PetscBool extrapolate = traits->knob == CTPG_KNOB_DT || (k->stepper && traits->order < CHECK_LOW_ORDER);
  PetscReal limit[3] = {usual, usual, usual};

  PetscFunctionBeginUser;
  if (!extrapolate) {
    PetscCall(CheckSolve(k, &k->given, CheckRequestOf(CheckAccuracy(k, traits->knob, 2)), &k->third));
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

static PetscReal GradientError(const EstimatorCheck *k, const CheckRun *run) {
  return CheckSucceeded(k, run) ? CheckRelative(k->np, run->gtheta, k->reference.gtheta) : INFINITY;
}

// Each tightening takes off a third of the error at least (order one under a tolerance does little more), unless that
// is already of the size of the tolerance, or rounding.
PetscErrorCode CheckErrorFalls(EstimatorCheck *k) {
  const char *name = "error falls with the accuracy";
  const CtpgKnob knob = k->given.e.traits.knob;
  PetscReal error[3];
  int64_t steps[3];

  PetscFunctionBeginUser;
  for (int level = 0; level < 3; level++) {
    PetscCall(CheckSolve(k, &k->given, CheckRequestOf(CheckAccuracy(k, knob, level)), &k->other));
    error[level] = GradientError(k, &k->other);
    steps[level] = k->other.result.steps;
  }
  for (int level = 1; level < 3; level++) {
    const PetscReal accuracy = CheckAccuracy(k, knob, level), enough = knob == CTPG_KNOB_DT ? 0 : 10 * accuracy;
    if (error[level] <= fmax(error[level - 1] / 1.5, fmax(enough, 1e-9))) continue;
    CheckFail(k->report, name, "%s %.3g gives an error of %.2e, %s %.3g still %.2e", CtpgKnobName(knob),
              CheckAccuracy(k, knob, level - 1), error[level - 1], CtpgKnobName(knob), accuracy, error[level]);
    PetscFunctionReturn(0);
  }
  if (steps[0] < 1 || steps[2] <= steps[0])
    CheckFail(k->report, name, "result->steps is %lld at %s %.3g and %lld at %.3g; expected steps that grow",
              (long long)steps[0], CtpgKnobName(knob), CheckAccuracy(k, knob, 0), (long long)steps[2],
              CheckAccuracy(k, knob, 2));
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

// Root mean square over the cases of the relative error of dL/dtheta: in one case errors of the forward and of the
// backward solve may cancel at some number of steps, and the fit would see the way out of that dip.
static PetscErrorCode TypicalError(EstimatorCheck *k, CheckInstance *in, PetscReal accuracy, PetscReal *error,
                                   PetscReal *steps) {
  CheckRequest q = CheckRequestOf(accuracy);

  PetscFunctionBeginUser;
  *error = *steps = 0;
  for (q.first = 0; q.first < CHECK_STARTS; q.first++) {
    q.theta = q.first;
    PetscCall(CheckSolve(k, in, q, &k->other));
    const PetscReal one =
        CheckSucceeded(k, &k->other) ? CheckRelative(k->np, k->other.gtheta, k->references[q.first].gtheta) : INFINITY;
    *error += PetscSqr(one) / CHECK_STARTS;
    *steps += (PetscReal)k->other.result.steps / CHECK_STARTS;
  }
  *error = sqrt(*error);
  PetscFunctionReturn(0);
}

// Errors between FLOOR and CEILING, coarse ones first.
static PetscErrorCode ClimbLadder(EstimatorCheck *k, CheckInstance *in, PetscBool fixed, int *n, PetscReal *log_steps,
                                  PetscReal *log_error) {
  const PetscReal tightest = CheckIsLow(k) ? CheckAccuracy(k, CTPG_KNOB_RTOL, 2) : 1e-12;
  PetscReal floor = FLOOR, error, steps;

  PetscFunctionBeginUser;
  *n = 0;
  for (int b = 0; b < CHECK_STARTS; b++) floor = fmax(floor, 30 * k->references[b].ref_err);
  for (int i = 0; i < LADDER; i++) {
    const PetscReal accuracy = Rung(k, fixed, i);
    if (fixed ? k->T / accuracy > LADDER_STEPS : accuracy < tightest) break;
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

PetscErrorCode CheckOrder(EstimatorCheck *k) {
  PetscReal log_steps[LADDER], log_error[LADDER];
  CheckInstance *in = k->stepper ? k->stepper : &k->given;
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

// ---- steps ----

// What a running cost of period h adds to the loss, per unit of time: with steps of h each step sees the same of it,
// the first Fourier coefficient of the method's weights, while steps of h / 2 see it up and down, and it cancels. Some
// methods of Gauss have small ones, 1e-3 with four nodes; only the rounding error is left of those of half steps.
static PetscErrorCode AddTone(EstimatorCheck *k, PetscReal h, PetscReal *amplitude) {
  const PetscReal dt = k->T / 24.5, quiet = k->other.loss[0];
  PetscReal sum = 0;
  PetscFunctionBeginUser;
  k->spy.grid = h;
  for (k->spy.tone = CHECK_COSINE; k->spy.tone <= CHECK_SINE; k->spy.tone++) {
    PetscCall(CheckSolve(k, k->stepper, CheckRequestOf(dt), &k->third));
    sum += PetscSqr((k->third.loss[0] - quiet) / k->T);
  }
  k->spy.grid = 0;
  k->spy.tone = CHECK_NO_TONE;
  *amplitude = sqrt(sum);
  PetscFunctionReturn(0);
}

// Fixed steps are N = ceil(T / dt - 1e-9) of h = T / N; that is what the result says, and what is done. A method that
// claims order 1 has no use for evaluations between its steps: such are those of dt / 2 in place of dt.
PetscErrorCode CheckSteps(EstimatorCheck *k) {
  const char *name = "steps are those asked for";
  const PetscReal dt = k->T / 24.5;
  const int64_t N = (int64_t)ceil(k->T / dt - 1e-9);
  const PetscReal h = k->T / (PetscReal)N;
  const CtpgResult *result = &k->other.result;
  PetscReal tone = 0;

  PetscFunctionBeginUser;
  if (!k->stepper || k->problem->dims.nbreak) PetscFunctionReturn(0);
  k->spy.grid = h;
  PetscCall(CheckSolve(k, k->stepper, CheckRequestOf(dt), &k->other));
  k->spy.grid = 0;
  PetscCall(AddTone(k, h, &tone));
  if (result->steps != N)
    CheckFail(k->report, name, "result->steps is %lld; dt = %.6g in T = %.6g makes N = ceil(T / dt) = %lld",
              (long long)result->steps, dt, k->T, (long long)N);
  else if (!(fabs(result->h - h) <= 1e-12 * h))
    CheckFail(k->report, name, "result->h is %.12g; expected T / N = %.12g", result->h, h);
  else if (k->stepper->e.traits.order == 1 && k->spy.off_grid)
    CheckFail(k->report, name, "f is evaluated at %lld points between the steps of h = %.6g; is dt / 2 used for dt?",
              (long long)k->spy.off_grid, h);
  else if (CheckSucceeded(k, &k->third) && tone < 1e-9 * (1 + fabs(k->other.loss[0]) / k->T))
    CheckFail(k->report, name, "a running cost of period h = %.6g adds nothing to the loss; is dt / 2 used for dt?", h);
  else
    CheckPass(k->report, name, "N = %lld, h = T / N", (long long)N);
  PetscFunctionReturn(0);
}
