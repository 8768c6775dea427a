// forward_sensitivity.c -- forward sensitivities: the derivative of the state along every parameter, carried with the
// state
//
//   x' = f(t, x),  S_p' = f_x S_p + f_p,  loss' = w,  loss_p' = w_x S_p + w_p    for every p of theta [np] and x0 [nx]
//   S_p(0) = 0 for parameters, the unit vectors for x0;  dL/dp = loss_p(T) + J_x(x(T)) S_p(T)
//
// Only x is in the error norm: the mesh is that of the other estimators, and the gradient that of the discrete map on
// it (rk-adjoint's), as far as directional derivatives are exact: where a problem has no eval_jvp or observe_jvp the
// closed loop takes central differences, good to about 1e-9.
// Price: s (f + (np + nx) directional derivatives) a step, nothing backwards. Memory (np + nx)(nx + 1), nothing per
// step. Weakness: the price; more than parameter_limit parameters are refused. A baseline for small np, and a check
// that shares no product with the adjoints.
// Source: T. Maly, L. R. Petzold, "Numerical methods and software for sensitivity analysis of differential-algebraic
// systems", Appl. Numer. Math. 20 (1996), Sec. 2.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"

typedef struct {
  CtpgRKOptions rk;
  PetscInt limit;
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  PetscInt ncolumns;   // np + nx
  CtpgRKSolver solver; // x [nx], S [ncolumns, nx], loss, loss_p [ncolumns]
  PetscReal *unit;     // [np] direction of the column in work
} ForwardSensitivity;

static PetscErrorCode EstimatorCreate_ForwardSensitivity(CtpgOptions options, CtpgTraits *traits, void **est) {
  ForwardSensitivity *e;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->limit = 500;
  PetscCall(CtpgRKOptionsRead(options, "5bs", &e->rk, traits));
  PetscCall(CtpgOptionsInt(options, "parameter_limit", "more parameters than this are refused (skipped)", 1,
                           PETSC_MAX_INT, &e->limit));
  PetscFunctionReturn(0);
}

// Offsets in the state vector.
static PetscInt LossAt(const ForwardSensitivity *e) {
  return e->sizes.nx * (1 + e->ncolumns);
}

static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  ForwardSensitivity *e = context;
  const PetscInt nx = e->sizes.nx, np = e->sizes.np, loss = LossAt(e);
  CtpgStatus status = CtpgClosedLoopEval(e->loop, 1, &t, y, ydot, ydot + loss);
  (void)i;
  for (PetscInt p = 0; p < e->ncolumns && status == CTPG_OK; p++) {
    const PetscInt column = nx * (1 + p);
    if (p < np) e->unit[p] = 1;
    status =
        CtpgClosedLoopJVP(e->loop, 1, &t, y, y + column, p < np ? e->unit : NULL, ydot + column, ydot + loss + 1 + p);
    if (p < np) e->unit[p] = 0;
  }
  return status;
}

// Within the limit; without the workspace of a larger one.
static PetscErrorCode EstimatorSetUp_ForwardSensitivity(void *est, CtpgClosedLoop loop) {
  ForwardSensitivity *e = est;
  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  e->ncolumns = e->sizes.np + e->sizes.nx;
  if (e->sizes.np > e->limit) PetscFunctionReturn(0);
  const CtpgRKCallbacks callbacks = {.context = e, .rhs = RightHandSide};
  PetscCall(CtpgRKSolverCreate(loop, &e->rk, NULL, LossAt(e) + 1 + e->ncolumns - e->sizes.nx, e->sizes.nx, &callbacks,
                               &e->solver));
  PetscCall(PetscCalloc1(e->sizes.np, &e->unit));
  PetscFunctionReturn(0);
}

static PetscErrorCode SetStart(ForwardSensitivity *e, const PetscReal *x0) {
  const PetscInt nx = e->sizes.nx;
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(e->solver, &y));
  PetscCall(PetscArrayzero(y, LossAt(e) + 1 + e->ncolumns));
  PetscCall(PetscArraycpy(y, x0, nx));
  for (PetscInt k = 0; k < nx; k++) y[nx * (1 + e->sizes.np + k) + k] = 1;
  PetscCall(CtpgRKSolverRestoreState(e->solver, &y));
  PetscFunctionReturn(0);
}

static PetscErrorCode SolvePieces(ForwardSensitivity *e, PetscReal accuracy, CtpgResult *result) {
  const PetscInt npieces = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks);
  int64_t steps, rejected;
  PetscReal t_low, t_high, h = 0;

  PetscFunctionBeginUser;
  CtpgRKSolverResetCounts(e->solver);
  for (PetscInt k = 0; k < npieces && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k++) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, k, &t_low, &t_high);
    PetscCall(CtpgRKSolverSolve(e->solver, CTPG_FORWARD, t_low, t_high, accuracy, h));
    h = CtpgRKSolverGetNextStep(e->solver);
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgRKSolverGetCounts(e->solver, &steps, &rejected);
  result->steps += steps;
  result->rejected += rejected;
  if (CtpgRKSolverIsFixed(e->solver)) CtpgRKSolverGetStep(e->solver, &t_low, &result->h);
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadGradient(ForwardSensitivity *e, CtpgResult *result) {
  const PetscInt nx = e->sizes.nx, np = e->sizes.np;
  PetscReal *y, *Jx, J;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(e->solver, &y));
  PetscCall(PetscMalloc1(nx, &Jx));
  CtpgClosedLoopTerminal(e->loop, y, &J, Jx);
  const PetscReal *loss = y + LossAt(e);
  *result->loss = loss[0] + J;
  for (PetscInt p = 0; p < e->ncolumns; p++) {
    PetscReal slope = loss[1 + p];
    for (PetscInt k = 0; k < nx; k++) slope += Jx[k] * y[nx * (1 + p) + k];
    if (p < np)
      result->gtheta[p] += slope;
    else
      result->gx0[p - np] = slope;
  }
  PetscCall(PetscFree(Jx));
  PetscCall(CtpgRKSolverRestoreState(e->solver, &y));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorGradientOfStart_ForwardSensitivity(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                                  PetscReal accuracy, CtpgStream *stream,
                                                                  CtpgResult *result) {
  ForwardSensitivity *e = est;
  PetscFunctionBeginUser;
  (void)stream;
  if (e->sizes.np > e->limit) {
    CtpgClosedLoopFail(loop, CTPG_SKIPPED, "needs np <= %d (-parameter_limit), not %d", (int)e->limit,
                       (int)e->sizes.np);
    PetscFunctionReturn(0);
  }
  PetscCall(SetStart(e, x0));
  PetscCall(SolvePieces(e, accuracy, result));
  PetscCall(ReadGradient(e, result));
  result->bytes = (size_t)(e->ncolumns * (e->sizes.nx + 1)) * sizeof(PetscReal);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_ForwardSensitivity(void **est) {
  ForwardSensitivity *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgRKSolverDestroy(&e->solver));
  PetscCallVoid(PetscFree(e->unit));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_forward_sensitivity = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "forward",
    .version = 3,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@article{Maly1996, author={Timothy Maly and Linda R. Petzold}, title={Numerical methods and software for "
        "sensitivity analysis of differential-algebraic systems}, journal={Applied Numerical Mathematics}, "
        "volume={20}, pages={57--79}, year={1996}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s (f + (np + nx) jvp)",
    .storage = "(np + nx)(nx + 1)",
    .create = EstimatorCreate_ForwardSensitivity,
    .setup = EstimatorSetUp_ForwardSensitivity,
    .gradient_of_start = EstimatorGradientOfStart_ForwardSensitivity,
    .destroy = EstimatorDestroy_ForwardSensitivity,
    .needs = "jvp; np <= 500"};
