// quadrature.h -- g(0) = int (f_theta' alpha + w_theta) dt beside a backward solve of alpha, not in the state of its TS
//
// g feeds nothing back: its derivative in a stage is the parameter part of the product that alpha's own derivative
// needs, and its value at the end of a step and its error estimate are sums over the stages. So its np components need
// no stage vectors: every stage leaves the factors of its integrand, an outer product per layer of the policy, and the
// sums over the stages are formed once per step, piece by piece.
//   augmented  g is in the error norm with every component, as if it rode in the state (the papers'): both sums are
//              formed for every attempt
//   weights    g is summed with the solve's own Runge-Kutta weights, outside the error norm: the seminorm of P. Kidger,
//              R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE", ICML 2021. One sum, for accepted steps alone
// With fixed steps there is no norm, and both are `weights`.
#ifndef CTPG_QUADRATURE_H
#define CTPG_QUADRATURE_H

#include "ctpgbench/toolkit/rksolver.h"

#pragma GCC visibility push(default)

typedef struct Quadrature_s *CtpgQuadrature;

// Tolerances of g are rtol_factor times those of the solve.
PetscErrorCode CtpgQuadratureCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, PetscBool augmented,
                                    PetscReal rtol_factor, CtpgQuadrature *quadrature);
PetscErrorCode CtpgQuadratureDestroy(CtpgQuadrature *quadrature);
PetscBool CtpgQuadratureIsControlled(CtpgQuadrature quadrature); // the solve needs CtpgQuadratureError as its `error`
// g = 0, before the first solve of a gradient.
void CtpgQuadratureStart(CtpgQuadrature quadrature);
// For the callbacks of the solve. rhs: gx [nx], zero on entry, becomes f_x' alpha + w_x at (t, x) in stage i, and the
// integrand's factors are kept.
CtpgStatus CtpgQuadratureProduct(CtpgQuadrature quadrature, PetscInt i, PetscReal t, const PetscReal *x,
                                 const PetscReal *alpha, PetscReal *gx);
void CtpgQuadratureAccept(CtpgQuadrature quadrature, CtpgRKSolver solver); // accept
void CtpgQuadratureError(CtpgQuadrature quadrature, PetscReal h, PetscReal rtol, PetscReal atol,
                         CtpgRKErrorSums *sums);               // error
const PetscReal *CtpgQuadratureGet(CtpgQuadrature quadrature); // g [np]

#pragma GCC visibility pop

#endif
