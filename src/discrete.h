// discrete.h -- "discretise, then optimise": forward solve with recorded stages, then the reverse sweep over them
//
// The slots of an estimator of this kind; its own file adds the options and the descriptor. The gradient is exact for the
// mesh that was used.
#ifndef CTPG_DISCRETE_H
#define CTPG_DISCRETE_H

#include "estimator.h"
#include "reverse.h"

typedef struct {
  RKOptions rk; // filled by the estimator's create
  ForwardSolve forward;
  ReverseSweep sweep;
} DiscreteAdjoint;

PetscErrorCode DiscreteAdjointSetUp(void *est, ClosedLoop loop);
PetscErrorCode DiscreteAdjointGradient(void *est, ClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                                       CtpgStream *stream, CtpgResult *result);
void DiscreteAdjointDestroy(void **est);

#endif
