// frozenloss.c -- see frozenloss.h

#include "ctpgbench/toolkit/frozenloss.h"
#include "ctpgbench/toolkit/rkstep.h"
#include <math.h>

struct FrozenLoss_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgForwardSolve forward;
  CtpgRKStep step;
  PetscReal *x, *increment, *start; // [nx]
};

PetscErrorCode CtpgFrozenLossCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, CtpgFrozenLoss *loss) {
  CtpgFrozenLoss l;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&l));
  *loss = l;
  l->loop = loop;
  CtpgClosedLoopGetSizes(loop, &l->sizes);
  PetscCall(CtpgForwardCreate(loop, rk, NULL, CTPG_KEEP_STATES, &l->forward));
  PetscCall(CtpgRKStepCreate(loop, &rk->table, &l->step));
  PetscCall(PetscMalloc3(l->sizes.nx, &l->x, l->sizes.nx, &l->increment, l->sizes.nx, &l->start));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgFrozenLossDestroy(CtpgFrozenLoss *loss) {
  PetscFunctionBeginUser;
  if (!*loss) PetscFunctionReturn(0);
  PetscCall(CtpgForwardDestroy(&(*loss)->forward));
  PetscCall(CtpgRKStepDestroy(&(*loss)->step));
  PetscCall(PetscFree3((*loss)->x, (*loss)->increment, (*loss)->start));
  PetscCall(PetscFree(*loss));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgFrozenLossRun(CtpgFrozenLoss l, const PetscReal *x0, PetscReal accuracy, CtpgResult *result) {
  PetscFunctionBeginUser;
  PetscCall(CtpgForwardRun(l->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, CtpgForwardGetBytes(l->forward));
  CtpgClosedLoopSetPurpose(l->loop, CTPG_FORWARD);
  PetscFunctionReturn(0);
}

PetscReal CtpgFrozenLossAt(CtpgFrozenLoss l, const PetscReal *x0) {
  PetscReal loss = 0, cost;
  memcpy(l->x, x0, (size_t)l->sizes.nx * sizeof *x0);
  for (PetscInt n = 0; n < CtpgForwardGetSteps(l->forward); n++) {
    const CtpgStep step = CtpgForwardGetStep(l->forward, n);
    CtpgClosedLoopSetPiece(l->loop, step.piece);
    if (CtpgRKStepIncrement(l->step, step.t, step.h, l->x, l->increment, &cost) != CTPG_OK) break;
    for (PetscInt k = 0; k < l->sizes.nx; k++) l->x[k] += l->increment[k];
    loss += cost;
  }
  CtpgClosedLoopSetPiece(l->loop, -1);
  CtpgClosedLoopTerminal(l->loop, l->x, &cost, NULL);
  return loss + cost;
}

PetscReal CtpgFrozenLossStep(PetscReal factor, PetscReal at) {
  return factor * fmax(1, fabs(at));
}

void CtpgFrozenLossDifferenceStart(CtpgFrozenLoss l, const PetscReal *x0, PetscReal factor, PetscReal *gx0) {
  memcpy(l->start, x0, (size_t)l->sizes.nx * sizeof *x0);
  for (PetscInt k = 0; k < l->sizes.nx && CtpgClosedLoopGetStatus(l->loop) == CTPG_OK; k++) {
    const PetscReal step = CtpgFrozenLossStep(factor, x0[k]);
    l->start[k] = x0[k] + step;
    const PetscReal above = CtpgFrozenLossAt(l, l->start);
    l->start[k] = x0[k] - step;
    gx0[k] = (above - CtpgFrozenLossAt(l, l->start)) / (2 * step);
    l->start[k] = x0[k];
  }
}
