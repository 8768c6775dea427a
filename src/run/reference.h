// reference.h -- the reference gradient of a case, and how far it can be trusted
//
// Two methods that share neither the discretisation of the adjoint nor its quadrature:
//   1  reverse sweep over the stages of an order-8 solve at rtol 1e-13 (discretise, then optimise)
//   2  state, adjoint and gradient integrated backwards together at the same tolerance, the state put back on the
//      forward path at every step (optimise, then discretise)
// Method 2 is the reference: it controls the adjoint's error too, and against gold gradients it is one to three orders
// closer than method 1, most of all where f is not smooth. Where the problem has a closed form (lqr with a linear
// policy) that is the reference. The relative difference to method 1 is ref_err: an upper estimate. Where it exceeds
// 1e-10, as at kinks, or where the mesh of the state says nothing of the adjoint (problem frozen-mesh), method 2 is
// made again with another table and mesh, and ref_err is the difference to that. A third check shares no derivative
// code: directional derivatives of the loss along two random directions against Richardson-extrapolated differences of
// losses.
#ifndef CTPG_REFERENCE_H
#define CTPG_REFERENCE_H

#include "run/instance.h"
#include "run/case.h"

typedef struct {
  PetscReal loss, *gx0, *gtheta; // [nx], [np]; owned by the caller
  PetscReal ref_err, ref_err_x0; // relative differences of the two methods; ref_err of dL/dtheta
  // of the directional derivatives, relative to their typical size; where the gradient is zero, to the quotients' terms
  PetscReal ref_err_loss;
  // int |f_theta' alpha + w_theta| dt / ||dL/dtheta||, by method 1; 1 where both are zero,
  // NaN where method 1 is useless
  PetscReal cond;
  PetscBool closed_form;
  CtpgStatus status;
  char reason[128];
  CtpgCounts counts; // of all of it
} CtpgReference;

typedef struct ReferenceSolver_s *ReferenceSolver;

PetscErrorCode ReferenceCreate(const CtpgProblem *problem, ReferenceSolver *solver);
PetscErrorCode ReferenceDestroy(ReferenceSolver *solver);
PetscErrorCode ReferenceSolve(ReferenceSolver solver, const CtpgCase *c, const CtpgLimits *limits,
                              CtpgReference *reference);
// What to know of a reference gradient [np] that is zero, or nearly so; "" of any other.
const char *ReferenceRemark(const CtpgReference *reference, PetscInt np);

#endif
