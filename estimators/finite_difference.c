// finite_difference.c -- central differences of the loss along every parameter and every component of x0
//
//   dL/dp ~ (L(p + d) - L(p - d)) / 2d,  d = difference_step max(1, |p|),  for p each of theta [np] and x0 [nx]
//   L: the loss of an adaptive Runge-Kutta solve, all on the mesh of the undisturbed one (frozenloss.h)
//
// Errors: that of the discrete map, O(h^p) in its steps h as for rk-adjoint; d^2 / 6 |L'''|; rounding eps |L| / d. The
// last two meet at d = eps^(1/3), the default, and leave about 1e-10 for losses and parameters of order one.
// Price: 2 (np + nx) + 1 solves of s f a step, no product. Memory: the mesh, N (nx + 3) reals.
// Weakness: the price; more than parameter_limit parameters are refused. A baseline for small np, and a check that
// shares no derivative code with anybody.
// Source: R. J. LeVeque, "Finite Difference Methods for Ordinary and Partial Differential Equations", SIAM 2007, Eq.
// (1.3); step: W. H. Press et al., "Numerical Recipes", 3rd ed., Sec. 5.7.

#include "ctpgbench/toolkit/frozenloss.h"

typedef struct {
  CtpgRKOptions rk;
  PetscReal step;
  PetscInt limit;
  CtpgLoopSizes sizes;
  CtpgFrozenLoss loss;
  PetscReal *theta; // [np] disturbed
} FiniteDifference;

static PetscErrorCode EstimatorCreate_FiniteDifference(CtpgOptions options, CtpgTraits *traits, void **est) {
  FiniteDifference *e;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->step = CTPG_FROZENLOSS_BEST_STEP;
  e->limit = 500;
  PetscCall(CtpgRKOptionsRead(options, "5bs", &e->rk, traits));
  PetscCall(
      CtpgOptionsReal(options, "difference_step", "of a parameter p: this times max(1, |p|)", 1e-12, 1, &e->step));
  PetscCall(CtpgOptionsInt(options, "parameter_limit", "more parameters than this are refused (skipped)", 1,
                           PETSC_MAX_INT, &e->limit));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_FiniteDifference(void *est, CtpgClosedLoop loop) {
  FiniteDifference *e = est;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(CtpgFrozenLossCreate(loop, &e->rk, &e->loss));
  PetscCall(PetscMalloc1(e->sizes.np, &e->theta));
  PetscFunctionReturn(0);
}

// gtheta [np] += the differences along every parameter.
static void DifferenceParameters(FiniteDifference *e, CtpgClosedLoop loop, const PetscReal *x0, PetscReal *gtheta) {
  const PetscReal *theta = CtpgClosedLoopGetTheta(loop);
  memcpy(e->theta, theta, (size_t)e->sizes.np * sizeof *theta);
  CtpgClosedLoopUseTheta(loop, e->theta);
  for (PetscInt i = 0; i < e->sizes.np && CtpgClosedLoopGetStatus(loop) == CTPG_OK; i++) {
    const PetscReal step = CtpgFrozenLossStep(e->step, theta[i]);
    e->theta[i] = theta[i] + step;
    const PetscReal above = CtpgFrozenLossAt(e->loss, x0);
    e->theta[i] = theta[i] - step;
    gtheta[i] += (above - CtpgFrozenLossAt(e->loss, x0)) / (2 * step);
    e->theta[i] = theta[i];
  }
  CtpgClosedLoopUseTheta(loop, NULL);
}

static PetscErrorCode EstimatorGradientOfStart_FiniteDifference(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                                PetscReal accuracy, CtpgStream *stream,
                                                                CtpgResult *result) {
  FiniteDifference *e = est;
  PetscFunctionBeginUser;
  (void)stream;
  if (e->sizes.np > e->limit) {
    CtpgClosedLoopFail(loop, CTPG_SKIPPED, "needs np <= %d (-parameter_limit), not %d", (int)e->limit,
                       (int)e->sizes.np);
    PetscFunctionReturn(0);
  }
  PetscCall(CtpgFrozenLossRun(e->loss, x0, accuracy, result));
  CtpgFrozenLossDifferenceStart(e->loss, x0, e->step, result->gx0);
  DifferenceParameters(e, loop, x0, result->gtheta);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_FiniteDifference(void **est) {
  FiniteDifference *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgFrozenLossDestroy(&e->loss));
  PetscCallVoid(PetscFree(e->theta));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_finite_difference = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "finite-difference",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@book{LeVeque2007, author={Randall J. LeVeque}, title={Finite Difference Methods for Ordinary and Partial "
        "Differential Equations}, publisher={SIAM}, year={2007}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "2 (np + nx) s f",
    .storage = "N nx",
    .create = EstimatorCreate_FiniteDifference,
    .setup = EstimatorSetUp_FiniteDifference,
    .gradient_of_start = EstimatorGradientOfStart_FiniteDifference,
    .destroy = EstimatorDestroy_FiniteDifference,
    .needs = "loss alone; np <= 500"};
