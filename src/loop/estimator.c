// estimator.c -- see estimator_engine.h, and what estimators share: the error of a state integrated backwards
//
// Between two gradients the loop is stopped: an estimator that kept its handle evaluates nothing that no run would
// count.

#include "loop/estimator_engine.h"
#include <math.h>

PetscErrorCode EstimatorSetUp(const CtpgEstimatorType *type, void *est, CtpgClosedLoop loop) {
  PetscFunctionBeginUser;
  CtpgClosedLoopStartSetUp(loop);
  PetscCall(type->setup(est, loop));
  CtpgClosedLoopStopSetUp(loop);
  PetscFunctionReturn(0);
}

// Each start with its own loss and gx0, and gtheta as a sum, of which the mean is taken; until one fails.
static PetscErrorCode GradientOverStarts(const CtpgEstimatorType *type, void *est, CtpgClosedLoop loop, PetscInt B,
                                         const PetscReal *x0, PetscReal accuracy, CtpgStream *stream,
                                         CtpgResult *result) {
  CtpgLoopSizes sizes;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  for (PetscInt b = 0; b < B && CtpgClosedLoopGetStatus(loop) == CTPG_OK; b++) {
    CtpgResult start = *result;
    start.loss = result->loss + b;
    start.gx0 = result->gx0 + b * sizes.nx;
    CtpgClosedLoopSetStart(loop, b);
    PetscCall(type->gradient_of_start(est, loop, x0 + b * sizes.nx, accuracy, stream, &start));
    start.loss = result->loss;
    start.gx0 = result->gx0;
    *result = start;
  }
  for (PetscInt i = 0; B > 1 && i < sizes.np; i++) result->gtheta[i] /= (PetscReal)B;
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorGradient(const CtpgEstimatorType *type, void *est, CtpgClosedLoop loop, PetscInt B,
                                 const PetscReal *x0, PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  PetscFunctionBeginUser;
  if (type->gradient)
    PetscCall(type->gradient(est, loop, B, x0, accuracy, stream, result));
  else
    PetscCall(GradientOverStarts(type, est, loop, B, x0, accuracy, stream, result));
  CtpgClosedLoopStop(loop);
  PetscFunctionReturn(0);
}

CtpgResult EstimatorResult(PetscReal *loss, PetscReal *gx0, PetscReal *gtheta) {
  return (CtpgResult){.loss = loss,
                      .gx0 = gx0,
                      .gtheta = gtheta,
                      .error_bar = NAN,
                      .promise = NAN,
                      .integral = NAN,
                      .backsolve_error = NAN,
                      .h = NAN};
}

PetscErrorCode EstimatorGradients(const CtpgEstimatorType *type, void *est, PetscInt n, const CtpgClosedLoop *loops,
                                  const PetscReal *x0, PetscReal accuracy, CtpgResult *results) {
  PetscFunctionBeginUser;
  PetscCall(type->gradients(est, n, loops, x0, accuracy, results));
  for (PetscInt i = 0; i < n; i++) CtpgClosedLoopStop(loops[i]);
  PetscFunctionReturn(0);
}

void CtpgOfferBacksolveError(CtpgResult *result, PetscInt nx, const PetscReal *x_back, const PetscReal *x0) {
  PetscReal distance = 0;
  for (PetscInt k = 0; k < nx; k++) distance += PetscSqr(x_back[k] - x0[k]);
  result->backsolve_error = fmax(result->backsolve_error, sqrt(distance)); // fmax ignores the NaN of "none yet"
}
