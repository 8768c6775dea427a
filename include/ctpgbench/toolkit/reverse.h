// reverse.h -- reverse sweep over recorded Runge-Kutta steps: the exact gradient of the discretised loss
//
// For each step from the last to the first, stages i = s..1 (those with a part in the result):
//   Kbar_i = h (b_i alpha_{n+1} + sum_{j>i} a_ji Xbar_j)
//   (Xbar_i, gbar_i) = vjp(t_n + c_i h, X_i; v = Kbar_i, c = h b_i)
//   alpha_n = alpha_{n+1} + sum_i Xbar_i,  g += sum_i gbar_i
// The running cost rides as Runge-Kutta quadrature; step sizes are held fixed (Alexe and Sandu, "On the discrete
// adjoints of adaptive time stepping algorithms", J. Comput. Appl. Math. 233 (2009), Sec. 3).
#ifndef CTPG_REVERSE_H
#define CTPG_REVERSE_H

#include "ctpgbench/toolkit/forward.h"

#pragma GCC visibility push(default)

typedef struct ReverseSweep_s *CtpgReverseSweep;

PetscErrorCode CtpgReverseCreate(CtpgClosedLoop loop, const CtpgRKTable *table, CtpgReverseSweep *sweep);
PetscErrorCode CtpgReverseDestroy(CtpgReverseSweep *sweep);
// One step, with its state and stages: alpha [nx] from its end to its start, gtheta [np] accumulates. On failure the
// loop has latched why.
CtpgStatus CtpgReverseStep(CtpgReverseSweep sweep, const CtpgStep *step, PetscReal *alpha, PetscReal *gtheta);
// All steps of a record that holds states and stages, from the last to the first.
void CtpgReverseRun(CtpgReverseSweep sweep, CtpgForwardSolve forward, PetscReal *alpha, PetscReal *gtheta);
// n <= CTPG_MOST_AT_ONCE such sweeps side by side, each with a loop of its own: the bits and counts of single ones.
void CtpgReverseRunMany(PetscInt n, const CtpgReverseSweep *sweeps, const CtpgForwardSolve *forwards,
                        PetscReal *const *alpha, PetscReal *const *gtheta);

#pragma GCC visibility pop

#endif
