// estimator.c -- what estimators share: a batch as a loop over its starts, the error of a state integrated backwards

#include "ctpgbench/estimator.h"
#include <math.h>

PetscErrorCode CtpgGradientOverStarts(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0,
                                      PetscReal accuracy, CtpgResult *result, CtpgGradientOfOneStart one) {
  CtpgLoopSizes sizes;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  for (PetscInt b = 0; b < B && CtpgClosedLoopGetStatus(loop) == CTPG_OK; b++) {
    CtpgResult start = *result;
    start.loss = result->loss + b;
    start.gx0 = result->gx0 + b * sizes.nx;
    CtpgClosedLoopSetStart(loop, b);
    PetscCall(one(est, loop, x0 + b * sizes.nx, accuracy, &start));
    start.loss = result->loss;
    start.gx0 = result->gx0;
    *result = start;
  }
  for (PetscInt i = 0; B > 1 && i < sizes.np; i++) result->gtheta[i] /= (PetscReal)B;
  PetscFunctionReturn(0);
}

void CtpgOfferBacksolveError(CtpgResult *result, PetscInt nx, const PetscReal *x_back, const PetscReal *x0) {
  PetscReal distance = 0;
  for (PetscInt k = 0; k < nx; k++) distance += PetscSqr(x_back[k] - x0[k]);
  result->backsolve_error = fmax(result->backsolve_error, sqrt(distance)); // fmax ignores the NaN of "none yet"
}
