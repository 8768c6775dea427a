// quadrature.h -- g(0) = int (f_theta' alpha + w_theta) dt beside a backward solve of alpha, not in the state of its TS
//
// g feeds nothing back: its derivative in a stage is the parameter part of the product that alpha's own derivative needs,
// and its value at the end of a step and its error estimate are sums over the stages. So its np components need no stage
// vectors: every stage leaves the factors of its integrand, an outer product per layer of the policy, and the sums over the
// stages are formed once per step, piece by piece.
//   augmented  g is in the error norm with every component, as if it rode in the state (the papers'): both sums are formed
//              for every attempt
//   weights    g is summed with the solve's own Runge-Kutta weights, outside the error norm: the seminorm of P. Kidger,
//              R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE", ICML 2021. One sum, for accepted steps alone
// With fixed steps there is no norm, and both are `weights`.
#ifndef CTPG_QUADRATURE_H
#define CTPG_QUADRATURE_H

#include "ctpgbench/toolkit/rksolver.h"

typedef struct Quadrature_s *Quadrature;

// Tolerances of g are rtol_factor times those of the solve.
PetscErrorCode QuadratureCreate(ClosedLoop loop, const RKOptions *rk, PetscBool augmented, PetscReal rtol_factor,
                                Quadrature *quadrature);
PetscErrorCode QuadratureDestroy(Quadrature *quadrature);
PetscBool QuadratureIsControlled(Quadrature quadrature); // the solve needs QuadratureError as its `error`
// g = 0, before the first solve of a gradient.
void QuadratureStart(Quadrature quadrature);
// For the callbacks of the solve. rhs: gx [nx], zero on entry, becomes f_x' alpha + w_x at (t, x) in stage i, and the
// integrand's factors are kept.
CtpgStatus QuadratureProduct(Quadrature quadrature, PetscInt i, PetscReal t, const PetscReal *x, const PetscReal *alpha,
                             PetscReal *gx);
void QuadratureAccept(Quadrature quadrature, RKSolver solver);                                               // accept
void QuadratureError(Quadrature quadrature, PetscReal h, PetscReal rtol, PetscReal atol, RKErrorSums *sums); // error
const PetscReal *QuadratureGet(Quadrature quadrature);                                                       // g [np]

#endif
