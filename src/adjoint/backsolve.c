// backsolve.c -- see backsolve.h for the equations

#include "ctpgbench/toolkit/backsolve.h"

struct Backsolve_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgRKSolver solver;
  CtpgQuadrature quadrature;
  PetscBool with_loss;
  PetscReal terminal; // J(x(T))
  PetscReal h;        // first step of the next run
};

// y = (x, alpha), or (x, alpha, l)
static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal s, const PetscReal *y, PetscReal *ydot) {
  CtpgBacksolve b = context;
  const PetscInt nx = b->sizes.nx;
  const PetscReal t = b->sizes.T - s;
  PetscReal w;
  if (CtpgClosedLoopEval(b->loop, 1, &t, y, ydot, &w) != CTPG_OK) return CtpgClosedLoopGetStatus(b->loop);
  for (PetscInt k = 0; k < nx; k++) ydot[k] = -ydot[k];
  memset(ydot + nx, 0, (size_t)nx * sizeof *ydot);
  if (b->with_loss) ydot[2 * nx] = -w;
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
                                   PetscBool with_loss, CtpgBacksolve *backsolve) {
  CtpgBacksolve b;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&b));
  *backsolve = b;
  b->loop = loop;
  b->with_loss = with_loss;
  CtpgClosedLoopGetSizes(loop, &b->sizes);
  PetscCall(CtpgQuadratureCreate(loop, rk, seminorm ? PETSC_FALSE : PETSC_TRUE, 1, &b->quadrature));
  const CtpgRKCallbacks callbacks = {.context = b,
                                     .rhs = RightHandSide,
                                     .accept = OnAccept,
                                     .error = CtpgQuadratureIsControlled(b->quadrature) ? OnError : NULL};
  PetscCall(
      CtpgRKSolverCreate(loop, rk, NULL, b->sizes.nx + (with_loss ? 1 : 0), 2 * b->sizes.nx, &callbacks, &b->solver));
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
  PetscReal *y;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(b->loop, &b->sizes); // the horizon belongs to the case
  PetscCall(CtpgRKSolverGetState(b->solver, &y));
  PetscCall(PetscArraycpy(y, x, nx));
  CtpgClosedLoopTerminal(b->loop, x, &b->terminal, y + nx);
  if (b->with_loss) y[2 * nx] = 0; // the loss at T is known to its caller: added in the end
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
  PetscReal distance = b->with_loss ? PetscSqr(*result->loss - b->terminal + y[2 * nx]) : 0;
  for (PetscInt k = 0; k < nx; k++) distance += PetscSqr(y[k] - x0[k]);
  distance = sqrt(distance);
  CtpgOfferBacksolveError(result, 1, &distance, &(PetscReal){0});
  PetscCall(CtpgRKSolverRestoreState(b->solver, &y));
  CtpgRKSolverGetCounts(b->solver, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  PetscFunctionReturn(0);
}
