// quadrature.h -- g(0) = int (f_theta' alpha + w_theta) dt beside a backward solve of alpha, not in the state of its TS
//
// g feeds nothing back: its derivative in a stage is the parameter part of the product that alpha's own derivative needs,
// and its value at the end of a step and its error estimate are sums over the stages. So its np components need no stage
// vectors.
//   augmented  g is in the error norm with every component, as if it rode in the state (the papers'): the stages' integrands
//              are kept for one step, s np reals, and summed with both formulas in one pass
//   weights    g is summed with the solve's own Runge-Kutta weights, outside the error norm: the seminorm of P. Kidger,
//              R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE", ICML 2021. Nothing is kept: products are scaled and added
// With fixed steps there is no norm, and both are `weights`.
#ifndef CTPG_QUADRATURE_H
#define CTPG_QUADRATURE_H

#include "rksolver.h"

typedef struct Quadrature_s *Quadrature;

// Tolerances of g are rtol_factor times those of the solve.
PetscErrorCode QuadratureCreate(ClosedLoop loop, const RKOptions *rk, PetscBool augmented, PetscReal rtol_factor,
                                Quadrature *quadrature);
PetscErrorCode QuadratureDestroy(Quadrature *quadrature);
PetscBool QuadratureIsControlled(Quadrature quadrature); // the solve needs QuadratureError as its `error`
// g = 0, before the first solve of a gradient.
void QuadratureStart(Quadrature quadrature);
// For the callbacks of the solve. rhs: gx [nx], zero on entry, becomes f_x' alpha + w_x at (t, x) in stage i of `solver`'s
// current step; the integrand goes where it belongs.
CtpgStatus QuadratureProduct(Quadrature quadrature, RKSolver solver, PetscInt i, PetscReal t, const PetscReal *x,
                             const PetscReal *alpha, PetscReal *gx);
void QuadratureStage(Quadrature quadrature, PetscInt i);                                                     // stage
void QuadratureAccept(Quadrature quadrature, RKSolver solver);                                               // accept
void QuadratureError(Quadrature quadrature, PetscReal h, PetscReal rtol, PetscReal atol, RKErrorSums *sums); // error
const PetscReal *QuadratureGet(Quadrature quadrature);                                                       // g [np]

#endif
