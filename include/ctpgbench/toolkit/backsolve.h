// backsolve.h -- state, adjoint and gradient integrated backwards together (the neural-ODE adjoint)
//
//   in s = T - t:  dx/ds = -f,  d alpha/ds = f_x' alpha + w_x,  dg/ds = f_theta' alpha + w_theta
// All 2 nx + np components are in the error norm, as in the paper's code; with the seminorm g is not (quadrature.h, where g
// is: beside the state of TS). An evaluation costs 1 f + 1 vjp.
#ifndef CTPG_BACKSOLVE_H
#define CTPG_BACKSOLVE_H

#include "ctpgbench/toolkit/forward.h"
#include "ctpgbench/toolkit/quadrature.h"

typedef struct Backsolve_s *Backsolve;

PetscErrorCode BacksolveCreate(ClosedLoop loop, const RKOptions *rk, PetscBool seminorm, Backsolve *backsolve);
PetscErrorCode BacksolveDestroy(Backsolve *backsolve);
// Start at time T: state x [nx], alpha = J_x(x), g = 0; the first step will be h.
PetscErrorCode BacksolveStart(Backsolve backsolve, const PetscReal *x, PetscReal h);
// Replace the state by x [nx]; alpha and g stay.
PetscErrorCode BacksolveResetState(Backsolve backsolve, const PetscReal *x);
// From time t_high down to t_low. On failure the loop has latched why.
PetscErrorCode BacksolveRun(Backsolve backsolve, PetscReal t_high, PetscReal t_low, PetscReal accuracy);
// From T down over every recorded step of `forward`, the state put back on the recorded path at each but the first.
PetscErrorCode BacksolveRunSteps(Backsolve backsolve, ForwardSolve forward, PetscReal accuracy);
// gx0 [nx] = alpha, gtheta [np] += g, backsolve_error = max(itself, ||x - x0||), steps.
PetscErrorCode BacksolveFinish(Backsolve backsolve, const PetscReal *x0, CtpgResult *result);

#endif
