// backsolve.c -- see backsolve.h for the equations

#include "ctpgbench/toolkit/backsolve.h"

struct Backsolve_s {
  ClosedLoop loop;
  CtpgLoopSizes sizes;
  RKSolver solver;
  Quadrature quadrature;
  PetscReal h; // first step of the next run
};

// y = (x, alpha)
static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal s, const PetscReal *y, PetscReal *ydot) {
  Backsolve b = context;
  const PetscInt nx = b->sizes.nx;
  const PetscReal t = b->sizes.T - s;
  PetscReal w;
  if (ClosedLoopEval(b->loop, 1, &t, y, ydot, &w, NULL) != CTPG_OK) return ClosedLoopGetStatus(b->loop);
  for (PetscInt k = 0; k < nx; k++) ydot[k] = -ydot[k];
  memset(ydot + nx, 0, (size_t)nx * sizeof *ydot);
  return QuadratureProduct(b->quadrature, i, t, y, y + nx, ydot + nx);
}

static void OnAccept(void *context, const PetscReal *y) {
  Backsolve b = context;
  (void)y;
  QuadratureAccept(b->quadrature, b->solver);
}

static void OnError(void *context, PetscReal h, PetscReal rtol, PetscReal atol, RKErrorSums *sums) {
  QuadratureError(((Backsolve)context)->quadrature, h, rtol, atol, sums);
}

PetscErrorCode BacksolveCreate(ClosedLoop loop, const RKOptions *rk, PetscBool seminorm, Backsolve *backsolve) {
  Backsolve b;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&b));
  *backsolve = b;
  b->loop = loop;
  ClosedLoopGetSizes(loop, &b->sizes);
  PetscCall(QuadratureCreate(loop, rk, seminorm ? PETSC_FALSE : PETSC_TRUE, 1, &b->quadrature));
  const RKCallbacks callbacks = {.context = b,
                                 .rhs = RightHandSide,
                                 .accept = OnAccept,
                                 .error = QuadratureIsControlled(b->quadrature) ? OnError : NULL};
  PetscCall(RKSolverCreate(loop, rk, NULL, b->sizes.nx, 2 * b->sizes.nx, &callbacks, &b->solver));
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveDestroy(Backsolve *backsolve) {
  PetscFunctionBeginUser;
  if (!*backsolve) PetscFunctionReturn(0);
  PetscCall(RKSolverDestroy(&(*backsolve)->solver));
  PetscCall(QuadratureDestroy(&(*backsolve)->quadrature));
  PetscCall(PetscFree(*backsolve));
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveStart(Backsolve b, const PetscReal *x, PetscReal h) {
  const PetscInt nx = b->sizes.nx;
  PetscReal *y, terminal;

  PetscFunctionBeginUser;
  ClosedLoopGetSizes(b->loop, &b->sizes); // the horizon belongs to the case
  PetscCall(RKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(y, x, nx));
  ClosedLoopTerminal(b->loop, x, &terminal, y + nx);
  QuadratureStart(b->quadrature);
  PetscCall(RKSolverRestoreState(b->solver, &y));
  RKSolverResetCounts(b->solver);
  b->h = h;
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveResetState(Backsolve b, const PetscReal *x) {
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(RKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(y, x, b->sizes.nx));
  PetscCall(RKSolverRestoreState(b->solver, &y));
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveRun(Backsolve b, PetscReal t_high, PetscReal t_low, PetscReal accuracy) {
  PetscFunctionBeginUser;
  PetscCall(RKSolverSolve(b->solver, CTPG_ADJOINT, b->sizes.T - t_high, b->sizes.T - t_low, accuracy, b->h));
  b->h = RKSolverGetNextStep(b->solver);
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveRunSteps(Backsolve b, ForwardSolve forward, PetscReal accuracy) {
  PetscReal t_high = b->sizes.T;
  PetscFunctionBeginUser;
  for (PetscInt n = ForwardGetSteps(forward) - 1; n >= 0 && ClosedLoopGetStatus(b->loop) == CTPG_OK; n--) {
    const CtpgStep step = ForwardGetStep(forward, n);
    ClosedLoopSetPiece(b->loop, step.piece);
    PetscCall(BacksolveRun(b, t_high, step.t, accuracy));
    if (n > 0) PetscCall(BacksolveResetState(b, step.x));
    t_high = step.t;
  }
  ClosedLoopSetPiece(b->loop, -1);
  PetscFunctionReturn(0);
}

PetscErrorCode BacksolveFinish(Backsolve b, const PetscReal *x0, CtpgResult *result) {
  const PetscInt nx = b->sizes.nx;
  int64_t steps, rejected;
  PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(RKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(result->gx0, y + nx, nx));
  for (PetscInt k = 0; k < b->sizes.np; k++) result->gtheta[k] += QuadratureGet(b->quadrature)[k];
  CtpgOfferBacksolveError(result, nx, y, x0);
  PetscCall(RKSolverRestoreState(b->solver, &y));
  RKSolverGetCounts(b->solver, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  PetscFunctionReturn(0);
}
