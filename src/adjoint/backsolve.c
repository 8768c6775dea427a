// backsolve.c -- see backsolve.h for the equations

#include "ctpgbench/toolkit/backsolve.h"

struct Backsolve_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgRKSolver solver;
  CtpgQuadrature quadrature;
  PetscReal h; // first step of the next run
};

// y = (x, alpha)
static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal s, const PetscReal *y, PetscReal *ydot) {
  CtpgBacksolve b = context;
  const PetscInt nx = b->sizes.nx;
  const PetscReal t = b->sizes.T - s;
  PetscReal w;
  if (CtpgClosedLoopEval(b->loop, 1, &t, y, ydot, &w) != CTPG_OK) return CtpgClosedLoopGetStatus(b->loop);
  for (PetscInt k = 0; k < nx; k++) ydot[k] = -ydot[k];
  memset(ydot + nx, 0, (size_t)nx * sizeof *ydot);
  return CtpgQuadratureProduct(b->quadrature, i, t, y, y + nx, ydot + nx);
}

static void OnAccept(void *context, const PetscReal *y) {
  CtpgBacksolve b = context;
  (void)y;
  CtpgQuadratureAccept(b->quadrature, b->solver);
}

static void OnError(void *context, PetscReal h, PetscReal rtol, PetscReal atol, CtpgRKErrorSums *sums) {
  CtpgQuadratureError(((CtpgBacksolve)context)->quadrature, h, rtol, atol, sums);
}

PetscErrorCode CtpgBacksolveCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, PetscBool seminorm,
                                   CtpgBacksolve *backsolve) {
  CtpgBacksolve b;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&b));
  *backsolve = b;
  b->loop = loop;
  CtpgClosedLoopGetSizes(loop, &b->sizes);
  PetscCall(CtpgQuadratureCreate(loop, rk, seminorm ? PETSC_FALSE : PETSC_TRUE, 1, &b->quadrature));
  const CtpgRKCallbacks callbacks = {.context = b,
                                     .rhs = RightHandSide,
                                     .accept = OnAccept,
                                     .error = CtpgQuadratureIsControlled(b->quadrature) ? OnError : NULL};
  PetscCall(CtpgRKSolverCreate(loop, rk, NULL, b->sizes.nx, 2 * b->sizes.nx, &callbacks, &b->solver));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveDestroy(CtpgBacksolve *backsolve) {
  PetscFunctionBeginUser;
  if (!*backsolve) PetscFunctionReturn(0);
  PetscCall(CtpgRKSolverDestroy(&(*backsolve)->solver));
  PetscCall(CtpgQuadratureDestroy(&(*backsolve)->quadrature));
  PetscCall(PetscFree(*backsolve));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveStart(CtpgBacksolve b, const PetscReal *x, PetscReal h) {
  const PetscInt nx = b->sizes.nx;
  PetscReal *y, terminal;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(b->loop, &b->sizes); // the horizon belongs to the case
  PetscCall(CtpgRKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(y, x, nx));
  CtpgClosedLoopTerminal(b->loop, x, &terminal, y + nx);
  CtpgQuadratureStart(b->quadrature);
  PetscCall(CtpgRKSolverRestoreState(b->solver, &y));
  CtpgRKSolverResetCounts(b->solver);
  b->h = h;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveResetState(CtpgBacksolve b, const PetscReal *x) {
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(y, x, b->sizes.nx));
  PetscCall(CtpgRKSolverRestoreState(b->solver, &y));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveRun(CtpgBacksolve b, PetscReal t_high, PetscReal t_low, PetscReal accuracy) {
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverSolve(b->solver, CTPG_ADJOINT, b->sizes.T - t_high, b->sizes.T - t_low, accuracy, b->h));
  b->h = CtpgRKSolverGetNextStep(b->solver);
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveRunSteps(CtpgBacksolve b, CtpgForwardSolve forward, PetscReal accuracy) {
  PetscReal t_high = b->sizes.T;
  PetscFunctionBeginUser;
  for (PetscInt n = CtpgForwardGetSteps(forward) - 1; n >= 0 && CtpgClosedLoopGetStatus(b->loop) == CTPG_OK; n--) {
    const CtpgStep step = CtpgForwardGetStep(forward, n);
    CtpgClosedLoopSetPiece(b->loop, step.piece);
    PetscCall(CtpgBacksolveRun(b, t_high, step.t, accuracy));
    if (n > 0) PetscCall(CtpgBacksolveResetState(b, step.x));
    t_high = step.t;
  }
  CtpgClosedLoopSetPiece(b->loop, -1);
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgBacksolveFinish(CtpgBacksolve b, const PetscReal *x0, CtpgResult *result) {
  const PetscInt nx = b->sizes.nx;
  int64_t steps, rejected;
  PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(result->gx0, y + nx, nx));
  for (PetscInt k = 0; k < b->sizes.np; k++) result->gtheta[k] += CtpgQuadratureGet(b->quadrature)[k];
  CtpgOfferBacksolveError(result, nx, y, x0);
  PetscCall(CtpgRKSolverRestoreState(b->solver, &y));
  CtpgRKSolverGetCounts(b->solver, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  PetscFunctionReturn(0);
}
