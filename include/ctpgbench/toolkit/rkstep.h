// rkstep.h -- one explicit Runge-Kutta increment of the closed loop by hand, and its reverse: for schemes that TS does
// not have, and for solves on a mesh that is given
//
//   X_i = x + h sum_j a_ij K_j,  K_i = f(t + c_i h, X_i),  Psi_h(t, x) = h sum_i b_i K_i,  its cost h sum_i b_i w_i
// h may be negative. Stages that have no part in the result are not evaluated.
#ifndef CTPG_RKSTEP_H
#define CTPG_RKSTEP_H

#include "ctpgbench/closedloop.h"
#include "ctpgbench/toolkit/rktable.h"

#pragma GCC visibility push(default)

typedef struct RKStep_s *CtpgRKStep;

PetscErrorCode CtpgRKStepCreate(CtpgClosedLoop loop, const CtpgRKTable *table, CtpgRKStep *step);
PetscErrorCode CtpgRKStepDestroy(CtpgRKStep *step);
// increment [nx] = Psi_h(t, x) and its cost, overwritten; x [nx]. The stages stay for CtpgRKStepReverse.
CtpgStatus CtpgRKStepIncrement(CtpgRKStep step, PetscReal t, PetscReal h, const PetscReal *x, PetscReal *increment,
                               PetscReal *cost);
// gx [nx] and gtheta [np] += the derivatives of v' Psi_h + c cost at the last increment, v [nx] (reverse.h has the
// equations).
CtpgStatus CtpgRKStepReverse(CtpgRKStep step, const PetscReal *v, PetscReal c, PetscReal *gx, PetscReal *gtheta);

#pragma GCC visibility pop

#endif
