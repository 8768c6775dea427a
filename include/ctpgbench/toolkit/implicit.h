// implicit.h -- PETSc's theta and Crank-Nicolson methods and their discrete adjoint, for stiff closed loops
//
//   theta  x_{n+1} = x_n + h f(t_n + h/2, X),  X = (x_n + x_{n+1}) / 2     implicit midpoint rule, TSTHETA's default
//   cn     x_{n+1} = x_n + h/2 (f(t_n, x_n) + f(t_{n+1}, x_{n+1}))         TSCN
// Both of order 2, on (x, loss), the loss with zero tolerance. Each step is solved by Newton's method with dense
// factors of the closed loop's Jacobian, far below the tolerance; TSAdjointSolve solves one transposed system a step. A
// Jacobian is counted as njac and one product for the row w_x.
#ifndef CTPG_IMPLICIT_H
#define CTPG_IMPLICIT_H

#include "ctpgbench/toolkit/rksolver.h"

#pragma GCC visibility push(default)

typedef struct ImplicitAdjoint_s *CtpgImplicitAdjoint;

// type: TSTHETA or TSCN; of rk: fixed, atol_factor, step_limit; K: steps of an interval (stride.h), 0: all are kept.
PetscErrorCode CtpgImplicitAdjointCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, TSType type, PetscInt K,
                                         CtpgImplicitAdjoint *implicit);
PetscErrorCode CtpgImplicitAdjointDestroy(CtpgImplicitAdjoint *implicit);
// Loss, gx0 [nx], gtheta [np] += , steps, bytes of one start. On failure the loop has latched why.
PetscErrorCode CtpgImplicitAdjointGradient(CtpgImplicitAdjoint implicit, const PetscReal *x0, PetscReal accuracy,
                                           CtpgResult *result);

#pragma GCC visibility pop

#endif
