// discrete.c -- see discrete.h

#include "discrete.h"

PetscErrorCode DiscreteAdjointSetUp(void *est, ClosedLoop loop) {
  DiscreteAdjoint *d = est;
  PetscFunctionBeginUser;
  PetscCall(ForwardCreate(loop, &d->rk, NULL, CTPG_KEEP_STATES | CTPG_KEEP_STAGES, &d->forward));
  PetscCall(ReverseCreate(loop, &d->rk.table, &d->sweep));
  PetscFunctionReturn(0);
}

static PetscErrorCode GradientOfOneStart(void *est, ClosedLoop loop, const PetscReal *x0, PetscReal accuracy,
                                         CtpgResult *result) {
  DiscreteAdjoint *d = est;
  PetscReal terminal;

  PetscFunctionBeginUser;
  PetscCall(ForwardRun(d->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, ForwardGetBytes(d->forward));
  if (ClosedLoopTerminal(loop, ForwardGetEnd(d->forward), &terminal, result->gx0) != CTPG_OK) PetscFunctionReturn(0);
  ReverseRun(d->sweep, d->forward, result->gx0, result->gtheta);
  result->steps_adjoint += ForwardGetSteps(d->forward);
  PetscFunctionReturn(0);
}

PetscErrorCode DiscreteAdjointGradient(void *est, ClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                                       CtpgStream *stream, CtpgResult *result) {
  PetscFunctionBeginUser;
  (void)stream;
  PetscCall(CtpgGradientOverStarts(est, loop, B, x0, accuracy, result, GradientOfOneStart));
  PetscFunctionReturn(0);
}

void DiscreteAdjointDestroy(void **est) {
  DiscreteAdjoint *d = *est;
  if (!d) return;
  PetscCallVoid(ForwardDestroy(&d->forward));
  PetscCallVoid(ReverseDestroy(&d->sweep));
  PetscCallVoid(PetscFree(*est));
}
