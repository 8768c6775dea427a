// reverse.c -- see reverse.h for the equations

#include "ctpgbench/toolkit/reverse.h"

struct ReverseSweep_s {
  ClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx;
  PetscReal *kbar; // [nx]
  PetscReal *xbar; // [s, nx]
};

PetscErrorCode ReverseCreate(ClosedLoop loop, const CtpgRKTable *table, ReverseSweep *sweep) {
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(sweep));
  ClosedLoopGetSizes(loop, &sizes);
  (*sweep)->loop = loop;
  (*sweep)->table = *table;
  (*sweep)->nx = sizes.nx;
  PetscCall(PetscMalloc2(sizes.nx, &(*sweep)->kbar, table->s * sizes.nx, &(*sweep)->xbar));
  PetscFunctionReturn(0);
}

PetscErrorCode ReverseDestroy(ReverseSweep *sweep) {
  PetscFunctionBeginUser;
  if (!*sweep) PetscFunctionReturn(0);
  PetscCall(PetscFree2((*sweep)->kbar, (*sweep)->xbar));
  PetscCall(PetscFree(*sweep));
  PetscFunctionReturn(0);
}

CtpgStatus ReverseStep(ReverseSweep r, const CtpgStep *step, PetscReal *alpha, PetscReal *gtheta) {
  const CtpgRKTable *table = &r->table;
  CtpgStatus status = CTPG_OK;
  ClosedLoopSetPiece(r->loop, step->piece);
  for (PetscInt i = table->s - 1; i >= 0 && status == CTPG_OK; i--) {
    if (!table->reversed[i]) continue;
    const PetscReal *X = i == 0 ? step->x : step->stages + table->stage_row[i] * r->nx;
    const PetscReal t = step->t + table->c[i] * step->h, weight = step->h * table->b[i];
    PetscReal *xbar = r->xbar + i * r->nx;
    RKTableStageAdjoint(table, i, step->h, r->nx, alpha, r->xbar, r->kbar);
    memset(xbar, 0, (size_t)r->nx * sizeof *xbar);
    status = ClosedLoopVJP(r->loop, 1, &t, X, r->kbar, &weight, xbar, gtheta, NULL);
  }
  ClosedLoopSetPiece(r->loop, -1);
  for (PetscInt i = 0; i < table->s; i++)
    for (PetscInt k = 0; table->reversed[i] && k < r->nx; k++) alpha[k] += r->xbar[i * r->nx + k];
  return status;
}

void ReverseRun(ReverseSweep sweep, ForwardSolve forward, PetscReal *alpha, PetscReal *gtheta) {
  ClosedLoopSetPurpose(sweep->loop, CTPG_ADJOINT);
  for (PetscInt n = ForwardGetSteps(forward) - 1; n >= 0; n--) {
    const CtpgStep step = ForwardGetStep(forward, n);
    if (ReverseStep(sweep, &step, alpha, gtheta) != CTPG_OK) return;
  }
}
