// reverse.c -- see reverse.h for the equations

#include "reverse.h"

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

// kbar = h (b_i alpha + sum_{j>i} a_ji xbar_j)
static void StageAdjoint(ReverseSweep r, PetscInt i, PetscReal h, const PetscReal *alpha) {
  const CtpgRKTable *table = &r->table;
  for (PetscInt k = 0; k < r->nx; k++) r->kbar[k] = h * table->b[i] * alpha[k];
  for (PetscInt j = i + 1; j < table->s; j++) {
    const PetscReal a = h * table->A[j * table->s + i];
    if (!table->reversed[j] || a == 0) continue;
    for (PetscInt k = 0; k < r->nx; k++) r->kbar[k] += a * r->xbar[j * r->nx + k];
  }
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
    StageAdjoint(r, i, step->h, alpha);
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
