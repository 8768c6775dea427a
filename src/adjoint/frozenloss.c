// frozenloss.c -- see frozenloss.h

#include "ctpgbench/toolkit/frozenloss.h"
#include "ctpgbench/toolkit/rkstep.h"
#include <math.h>

struct FrozenLoss_s {
  ClosedLoop loop;
  CtpgLoopSizes sizes;
  ForwardSolve forward;
  RKStep step;
  PetscReal *x, *increment, *start; // [nx]
};

PetscErrorCode FrozenLossCreate(ClosedLoop loop, const RKOptions *rk, FrozenLoss *loss) {
  FrozenLoss l;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&l));
  *loss = l;
  l->loop = loop;
  ClosedLoopGetSizes(loop, &l->sizes);
  PetscCall(ForwardCreate(loop, rk, NULL, CTPG_KEEP_STATES, &l->forward));
  PetscCall(RKStepCreate(loop, &rk->table, &l->step));
  PetscCall(PetscMalloc3(l->sizes.nx, &l->x, l->sizes.nx, &l->increment, l->sizes.nx, &l->start));
  PetscFunctionReturn(0);
}

PetscErrorCode FrozenLossDestroy(FrozenLoss *loss) {
  PetscFunctionBeginUser;
  if (!*loss) PetscFunctionReturn(0);
  PetscCall(ForwardDestroy(&(*loss)->forward));
  PetscCall(RKStepDestroy(&(*loss)->step));
  PetscCall(PetscFree3((*loss)->x, (*loss)->increment, (*loss)->start));
  PetscCall(PetscFree(*loss));
  PetscFunctionReturn(0);
}

PetscErrorCode FrozenLossRun(FrozenLoss l, const PetscReal *x0, PetscReal accuracy, CtpgResult *result) {
  PetscFunctionBeginUser;
  PetscCall(ForwardRun(l->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, ForwardGetBytes(l->forward));
  ClosedLoopSetPurpose(l->loop, CTPG_FORWARD);
  PetscFunctionReturn(0);
}

PetscReal FrozenLossAt(FrozenLoss l, const PetscReal *x0) {
  PetscReal loss = 0, cost;
  memcpy(l->x, x0, (size_t)l->sizes.nx * sizeof *x0);
  for (PetscInt n = 0; n < ForwardGetSteps(l->forward); n++) {
    const CtpgStep step = ForwardGetStep(l->forward, n);
    ClosedLoopSetPiece(l->loop, step.piece);
    if (RKStepIncrement(l->step, step.t, step.h, l->x, l->increment, &cost) != CTPG_OK) break;
    for (PetscInt k = 0; k < l->sizes.nx; k++) l->x[k] += l->increment[k];
    loss += cost;
  }
  ClosedLoopSetPiece(l->loop, -1);
  ClosedLoopTerminal(l->loop, l->x, &cost, NULL);
  return loss + cost;
}

PetscReal FrozenLossStep(PetscReal factor, PetscReal at) {
  return factor * fmax(1, fabs(at));
}

void FrozenLossDifferenceStart(FrozenLoss l, const PetscReal *x0, PetscReal factor, PetscReal *gx0) {
  memcpy(l->start, x0, (size_t)l->sizes.nx * sizeof *x0);
  for (PetscInt k = 0; k < l->sizes.nx && ClosedLoopGetStatus(l->loop) == CTPG_OK; k++) {
    const PetscReal step = FrozenLossStep(factor, x0[k]);
    l->start[k] = x0[k] + step;
    const PetscReal above = FrozenLossAt(l, l->start);
    l->start[k] = x0[k] - step;
    gx0[k] = (above - FrozenLossAt(l, l->start)) / (2 * step);
    l->start[k] = x0[k];
  }
}
