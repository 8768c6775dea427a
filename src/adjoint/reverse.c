// reverse.c -- see reverse.h for the equations
//
// The products' parts for theta wait as factors, and enter gtheta many at a time, in their order: the same bits as one
// by one, but gtheta, the longest vector, passes through the CPU once for MOST_WAITING products. A short gtheta stays
// in the first cache, and is added to at once: there waiting gains nothing.

#include "ctpgbench/toolkit/reverse.h"

#define MOST_WAITING 16
#define SHORT        2048 // parameters

struct ReverseSweep_s {
  CtpgClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx, kept_size;
  PetscReal *kbar; // [nx]
  PetscReal *xbar; // [s, nx]
  PetscBool waits; // is gtheta long?
  PetscInt factor_size, nwaiting;
  PetscReal *factors; // [MOST_WAITING, factor_size]
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
  (*sweep)->waits = sizes.np >= SHORT ? PETSC_TRUE : PETSC_FALSE;
  (*sweep)->factor_size = CtpgClosedLoopGetFactorSize(loop);
  PetscCall(PetscMalloc3(sizes.nx, &(*sweep)->kbar, table->s * sizes.nx, &(*sweep)->xbar,
                         MOST_WAITING * (*sweep)->factor_size, &(*sweep)->factors));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgReverseDestroy(CtpgReverseSweep *sweep) {
  PetscFunctionBeginUser;
  if (!*sweep) PetscFunctionReturn(0);
  PetscCall(PetscFree3((*sweep)->kbar, (*sweep)->xbar, (*sweep)->factors));
  PetscCall(PetscFree(*sweep));
  PetscFunctionReturn(0);
}

static void AddWaiting(CtpgReverseSweep r, PetscReal *gtheta) {
  if (r->nwaiting) CtpgClosedLoopAddFactors(r->loop, r->nwaiting, r->factors, gtheta);
  r->nwaiting = 0;
}

// Stage i waits for its joint product: of what, and where it goes; its part for theta among those that wait, or not.
static CtpgProductPoint PrepareStage(CtpgReverseSweep r, const CtpgStep *step, PetscInt i, const PetscReal *alpha,
                                     PetscBool waits, PetscReal *gtheta) {
  const CtpgRKTable *table = &r->table;
  PetscReal *xbar = r->xbar + i * r->nx;
  CtpgRKTableStageAdjoint(table, i, step->h, r->nx, alpha, r->xbar, r->kbar);
  memset(xbar, 0, (size_t)r->nx * sizeof *xbar);
  if (r->nwaiting == MOST_WAITING) AddWaiting(r, gtheta);
  return (CtpgProductPoint){.loop = r->loop,
                            .t = step->t + table->c[i] * step->h,
                            .c = step->h * table->b[i],
                            .x = i == 0 ? step->x : step->stages + table->stage_row[i] * r->nx,
                            .kept = step->kept ? step->kept + (1 + table->stage_row[i]) * r->kept_size : NULL,
                            .v = r->kbar,
                            .gx = xbar,
                            .factors = waits ? r->factors + r->nwaiting++ * r->factor_size : NULL};
}

static CtpgStatus MakeProduct(const CtpgProductPoint *p, PetscReal *gtheta) {
  if (p->factors) return CtpgClosedLoopVJPKeptKeep(p->loop, 1, &p->t, p->x, p->kept, p->v, &p->c, p->gx, p->factors);
  return CtpgClosedLoopVJPKept(p->loop, 1, &p->t, p->x, p->kept, p->v, &p->c, p->gx, gtheta);
}

// The last stage before `i` with a part in the result, -1: there is none.
static PetscInt StageBefore(CtpgReverseSweep r, PetscInt i) {
  do i--;
  while (i >= 0 && !r->table.reversed[i]);
  return i;
}

// All products of a step are there: alpha goes to its start.
static void EndStep(CtpgReverseSweep r, PetscReal *alpha) {
  CtpgClosedLoopSetPiece(r->loop, -1);
  for (PetscInt i = 0; i < r->table.s; i++)
    for (PetscInt k = 0; r->table.reversed[i] && k < r->nx; k++) alpha[k] += r->xbar[i * r->nx + k];
}

// One step; products for theta may be left waiting.
static CtpgStatus ReverseStages(CtpgReverseSweep r, const CtpgStep *step, PetscReal *alpha, PetscReal *gtheta) {
  CtpgStatus status = CTPG_OK;
  CtpgClosedLoopSetPiece(r->loop, step->piece);
  for (PetscInt i = StageBefore(r, r->table.s); i >= 0 && status == CTPG_OK; i = StageBefore(r, i)) {
    const CtpgProductPoint point = PrepareStage(r, step, i, alpha, gtheta ? r->waits : PETSC_FALSE, gtheta);
    status = MakeProduct(&point, gtheta);
  }
  EndStep(r, alpha);
  return status;
}

CtpgStatus CtpgReverseStep(CtpgReverseSweep r, const CtpgStep *step, PetscReal *alpha, PetscReal *gtheta) {
  const CtpgStatus status = ReverseStages(r, step, alpha, gtheta);
  AddWaiting(r, gtheta);
  return status;
}

void CtpgReverseRun(CtpgReverseSweep sweep, CtpgForwardSolve forward, PetscReal *alpha, PetscReal *gtheta) {
  CtpgStatus status = CTPG_OK;
  CtpgClosedLoopSetPurpose(sweep->loop, CTPG_ADJOINT);
  for (PetscInt n = CtpgForwardGetSteps(forward) - 1; n >= 0 && status == CTPG_OK; n--) {
    const CtpgStep step = CtpgForwardGetStep(forward, n);
    status = ReverseStages(sweep, &step, alpha, gtheta);
  }
  AddWaiting(sweep, gtheta);
}

// ---- several sweeps side by side ----

// Where a sweep is.
typedef struct {
  PetscInt n, i; // step and stage that wait for a product; n < 0: it is over
  CtpgStep step;
} Place;

static void EnterStep(CtpgReverseSweep r, CtpgForwardSolve forward, Place *place) {
  if (place->n < 0) return;
  place->step = CtpgForwardGetStep(forward, place->n);
  place->i = StageBefore(r, r->table.s);
  CtpgClosedLoopSetPiece(r->loop, place->step.piece);
}

// The product is there.
static void GoOn(CtpgReverseSweep r, CtpgForwardSolve forward, PetscReal *alpha, Place *place) {
  const PetscBool failed = CtpgClosedLoopGetStatus(r->loop) != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  place->i = StageBefore(r, place->i);
  if (place->i >= 0 && !failed) return;
  EndStep(r, alpha);
  place->n = failed ? -1 : place->n - 1;
  EnterStep(r, forward, place);
}

void CtpgReverseRunMany(PetscInt n, const CtpgReverseSweep *sweeps, const CtpgForwardSolve *forwards,
                        PetscReal *const *alpha, PetscReal *const *gtheta) {
  Place place[CTPG_MOST_AT_ONCE];
  CtpgProductPoint points[CTPG_MOST_AT_ONCE];
  PetscInt which[CTPG_MOST_AT_ONCE], m;
  for (PetscInt k = 0; k < n; k++) {
    CtpgClosedLoopSetPurpose(sweeps[k]->loop, CTPG_ADJOINT);
    place[k].n = CtpgForwardGetSteps(forwards[k]) - 1;
    EnterStep(sweeps[k], forwards[k], &place[k]);
  }
  do {
    m = 0;
    for (PetscInt k = 0; k < n; k++) {
      if (place[k].n < 0) continue;
      points[m] = PrepareStage(sweeps[k], &place[k].step, place[k].i, alpha[k], PETSC_TRUE, gtheta[k]);
      which[m++] = k;
    }
    if (m) CtpgClosedLoopsVJPKeep(m, points);
    for (PetscInt j = 0; j < m; j++) {
      const PetscInt k = which[j];
      GoOn(sweeps[k], forwards[k], alpha[k], &place[k]);
    }
  } while (m);
  for (PetscInt k = 0; k < n; k++) AddWaiting(sweeps[k], gtheta[k]);
}
