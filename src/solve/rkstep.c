// rkstep.c -- see rkstep.h

#include "ctpgbench/toolkit/rkstep.h"

struct RKStep_s {
  CtpgClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx;
  PetscReal t, h;         // of the last increment
  PetscReal *X, *K, *w;   // [s, nx], [s, nx], [s] its stages
  PetscReal *xbar, *kbar; // [s, nx], [nx]
};

PetscErrorCode CtpgRKStepCreate(CtpgClosedLoop loop, const CtpgRKTable *table, CtpgRKStep *step) {
  CtpgLoopSizes sizes;
  CtpgRKStep r;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  PetscCall(PetscNew(&r));
  *step = r;
  r->loop = loop;
  r->table = *table;
  r->nx = sizes.nx;
  const PetscInt stages = table->s * sizes.nx;
  PetscCall(PetscMalloc5(stages, &r->X, stages, &r->K, table->s, &r->w, stages, &r->xbar, sizes.nx, &r->kbar));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKStepDestroy(CtpgRKStep *step) {
  PetscFunctionBeginUser;
  if (!*step) PetscFunctionReturn(0);
  PetscCall(PetscFree5((*step)->X, (*step)->K, (*step)->w, (*step)->xbar, (*step)->kbar));
  PetscCall(PetscFree(*step));
  PetscFunctionReturn(0);
}

CtpgStatus CtpgRKStepIncrement(CtpgRKStep r, PetscReal t, PetscReal h, const PetscReal *x, PetscReal *increment,
                               PetscReal *cost) {
  const CtpgRKTable *table = &r->table;
  const PetscInt nx = r->nx, s = table->s;
  r->t = t;
  r->h = h;
  memset(increment, 0, (size_t)nx * sizeof *increment);
  *cost = 0;
  for (PetscInt i = 0; i < s; i++) {
    if (!table->reversed[i]) continue;
    const PetscReal stage_time = t + table->c[i] * h;
    PetscReal *X = r->X + i * nx;
    memcpy(X, x, (size_t)nx * sizeof *X);
    for (PetscInt j = 0; j < i; j++) {
      const PetscReal a = h * table->A[i * s + j];
      for (PetscInt k = 0; a != 0 && k < nx; k++) X[k] += a * r->K[j * nx + k];
    }
    if (CtpgClosedLoopEval(r->loop, 1, &stage_time, X, r->K + i * nx, r->w + i) != CTPG_OK) break;
    for (PetscInt k = 0; k < nx; k++) increment[k] += h * table->b[i] * r->K[i * nx + k];
    *cost += h * table->b[i] * r->w[i];
  }
  return CtpgClosedLoopGetStatus(r->loop);
}

CtpgStatus CtpgRKStepReverse(CtpgRKStep r, const PetscReal *v, PetscReal c, PetscReal *gx, PetscReal *gtheta) {
  const CtpgRKTable *table = &r->table;
  const PetscInt nx = r->nx, s = table->s;
  for (PetscInt i = s - 1; i >= 0; i--) {
    if (!table->reversed[i]) continue;
    const PetscReal stage_time = r->t + table->c[i] * r->h, stage_c = r->h * table->b[i] * c;
    PetscReal *xbar = r->xbar + i * nx;
    CtpgRKTableStageAdjoint(table, i, r->h, nx, v, r->xbar, r->kbar);
    memset(xbar, 0, (size_t)nx * sizeof *xbar);
    if (CtpgClosedLoopVJP(r->loop, 1, &stage_time, r->X + i * nx, r->kbar, &stage_c, xbar, gtheta) != CTPG_OK) break;
    for (PetscInt k = 0; k < nx; k++) gx[k] += xbar[k];
  }
  return CtpgClosedLoopGetStatus(r->loop);
}
