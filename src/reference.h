// reference.h -- the reference gradient of a case, and how far it can be trusted
//
// Two methods that share neither the discretisation of the adjoint nor its quadrature:
//   1  reverse sweep over the stages of an order-8 solve at rtol 1e-13 (discretise, then optimise)
//   2  state, adjoint and gradient integrated backwards together at the same tolerance, the state put back on the forward
//      path at every step (optimise, then discretise)
// or, where the problem has a closed form (lqr with a linear policy), the closed form and method 1. Their relative
// difference is ref_err. A third check shares no derivative code: the directional derivatives of the loss along two
// random directions against Richardson-extrapolated differences of losses.
#ifndef CTPG_REFERENCE_H
#define CTPG_REFERENCE_H

#include "instance.h"

typedef struct {
  PetscReal loss, *gx0, *gtheta; // [nx], [np]; owned by the caller
  PetscReal ref_err, ref_err_x0; // relative differences of the two methods; ref_err of dL/dtheta
  PetscReal ref_err_loss;        // of the directional derivatives, relative to their typical size
  PetscReal cond;                // int |f_theta' alpha + w_theta| dt / ||dL/dtheta||
  PetscBool closed_form;
  CtpgStatus status;
  char reason[128];
  CtpgCounts counts; // of method 1
} CtpgReference;

typedef struct ReferenceSolver_s *ReferenceSolver;

PetscErrorCode ReferenceCreate(const CtpgProblem *problem, ReferenceSolver *solver);
PetscErrorCode ReferenceDestroy(ReferenceSolver *solver);
// thorough: all checks; else method 1 or the closed form alone, the error estimates NaN.
PetscErrorCode ReferenceSolve(ReferenceSolver solver, const CtpgCase *c, const CtpgLimits *limits, PetscBool thorough,
                              CtpgReference *reference);

#endif
