// reverse.c -- see reverse.h for the equations

#include "ctpgbench/toolkit/reverse.h"

struct ReverseSweep_s {
  CtpgClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx, kept_size;
  PetscReal *kbar; // [nx]
  PetscReal *xbar; // [s, nx]
};

PetscErrorCode CtpgReverseCreate(CtpgClosedLoop loop, const CtpgRKTable *table, CtpgReverseSweep *sweep) {
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(sweep));
  CtpgClosedLoopGetSizes(loop, &sizes);
  (*sweep)->loop = loop;
  (*sweep)->table = *table;
  (*sweep)->nx = sizes.nx;
  (*sweep)->kept_size = CtpgClosedLoopGetKeptSize(loop);
  PetscCall(PetscMalloc2(sizes.nx, &(*sweep)->kbar, table->s * sizes.nx, &(*sweep)->xbar));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgReverseDestroy(CtpgReverseSweep *sweep) {
  PetscFunctionBeginUser;
  if (!*sweep) PetscFunctionReturn(0);
  PetscCall(PetscFree2((*sweep)->kbar, (*sweep)->xbar));
  PetscCall(PetscFree(*sweep));
  PetscFunctionReturn(0);
}

CtpgStatus CtpgReverseStep(CtpgReverseSweep r, const CtpgStep *step, PetscReal *alpha, PetscReal *gtheta) {
  const CtpgRKTable *table = &r->table;
  CtpgStatus status = CTPG_OK;
  CtpgClosedLoopSetPiece(r->loop, step->piece);
  for (PetscInt i = table->s - 1; i >= 0 && status == CTPG_OK; i--) {
    if (!table->reversed[i]) continue;
    const PetscReal *X = i == 0 ? step->x : step->stages + table->stage_row[i] * r->nx;
    const PetscReal *kept = step->kept ? step->kept + (1 + table->stage_row[i]) * r->kept_size : NULL;
    const PetscReal t = step->t + table->c[i] * step->h, weight = step->h * table->b[i];
    PetscReal *xbar = r->xbar + i * r->nx;
    CtpgRKTableStageAdjoint(table, i, step->h, r->nx, alpha, r->xbar, r->kbar);
    memset(xbar, 0, (size_t)r->nx * sizeof *xbar);
    status = CtpgClosedLoopVJPKept(r->loop, 1, &t, X, kept, r->kbar, &weight, xbar, gtheta);
  }
  CtpgClosedLoopSetPiece(r->loop, -1);
  for (PetscInt i = 0; i < table->s; i++)
    for (PetscInt k = 0; table->reversed[i] && k < r->nx; k++) alpha[k] += r->xbar[i * r->nx + k];
  return status;
}

void CtpgReverseRun(CtpgReverseSweep sweep, CtpgForwardSolve forward, PetscReal *alpha, PetscReal *gtheta) {
  CtpgClosedLoopSetPurpose(sweep->loop, CTPG_ADJOINT);
  for (PetscInt n = CtpgForwardGetSteps(forward) - 1; n >= 0; n--) {
    const CtpgStep step = CtpgForwardGetStep(forward, n);
    if (CtpgReverseStep(sweep, &step, alpha, gtheta) != CTPG_OK) return;
  }
}
