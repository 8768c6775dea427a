// backsolve.h -- state, adjoint and gradient integrated backwards together (the neural-ODE adjoint)
//
//   in s = T - t:  dx/ds = -f,  d alpha/ds = f_x' alpha + w_x,  dg/ds = f_theta' alpha + w_theta
// All 2 nx + np components are in the error norm, as in the paper's code; with the seminorm g is not (quadrature.h,
// where g is: beside the state of TS). An evaluation costs 1 f + 1 vjp. With the loss, dl/ds = -w rides along outside
// of the norm: no step changes, and the backsolve error is that of (x, l), the augmented state of the paper's code.
#ifndef CTPG_BACKSOLVE_H
#define CTPG_BACKSOLVE_H

#include "ctpgbench/toolkit/forward.h"
#include "ctpgbench/toolkit/quadrature.h"

#pragma GCC visibility push(default)

typedef struct Backsolve_s *CtpgBacksolve;

PetscErrorCode CtpgBacksolveCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, PetscBool seminorm,
                                   PetscBool with_loss, CtpgBacksolve *backsolve);
PetscErrorCode CtpgBacksolveDestroy(CtpgBacksolve *backsolve);
// Start at time T: state x [nx], alpha = J_x(x), g = 0; the first step will be h.
PetscErrorCode CtpgBacksolveStart(CtpgBacksolve backsolve, const PetscReal *x, PetscReal h);
// Replace the state by x [nx]; alpha and g stay.
PetscErrorCode CtpgBacksolveResetState(CtpgBacksolve backsolve, const PetscReal *x);
// From time t_high down to t_low. On failure the loop has latched why.
PetscErrorCode CtpgBacksolveRun(CtpgBacksolve backsolve, PetscReal t_high, PetscReal t_low, PetscReal accuracy);
// From T down over every recorded step of `forward`, the state put back on the recorded path at each but the first.
PetscErrorCode CtpgBacksolveRunSteps(CtpgBacksolve backsolve, CtpgForwardSolve forward, PetscReal accuracy);
// gx0 [nx] = alpha, gtheta [np] += g, backsolve_error = max(itself, ||x - x0||), steps. With the loss the distance is
// that of (x, l) to (x0, 0), l having begun at the running part of result->loss.
PetscErrorCode CtpgBacksolveFinish(CtpgBacksolve backsolve, const PetscReal *x0, CtpgResult *result);

#pragma GCC visibility pop

#endif
