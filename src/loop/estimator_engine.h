// estimator_engine.h -- an estimator's slots as the engine runs them: what it may evaluate and when, and a batch as a
// loop over starts
#ifndef CTPG_ESTIMATOR_ENGINE_H
#define CTPG_ESTIMATOR_ENGINE_H

#include "ctpgbench/estimator.h"
#include "loop/closedloop_engine.h"

// `setup` of an instance for this loop; the evaluations in it count as start-up of every later gradient.
PetscErrorCode EstimatorSetUp(const CtpgEstimatorType *type, void *est, CtpgClosedLoop loop);
// Loss and gradient over B starts x0 [B, nx], after CtpgClosedLoopStart; the loop is stopped when it returns. The
// result's loss, gx0 and gtheta must be zero. stream: NULL for estimators that draw nothing.
PetscErrorCode EstimatorGradient(const CtpgEstimatorType *type, void *est, CtpgClosedLoop loop, PetscInt B,
                                 const PetscReal *x0, PetscReal accuracy, CtpgStream *stream, CtpgResult *result);
// A result to be filled: where loss, gx0 and gtheta go, and that nothing else is known.
CtpgResult EstimatorResult(PetscReal *loss, PetscReal *gx0, PetscReal *gtheta);
// Several starts side by side (CtpgEstimatorType.gradients), each after CtpgClosedLoopStart of its loop; the loops are
// stopped when it returns. Results as above.
PetscErrorCode EstimatorGradients(const CtpgEstimatorType *type, void *est, PetscInt n, const CtpgClosedLoop *loops,
                                  const PetscReal *x0, PetscReal accuracy, CtpgResult *results);

#endif
