// quadrature.c -- see quadrature.h

#include "quadrature.h"

struct Quadrature_s {
  ClosedLoop loop;
  CtpgRKTable table;
  PetscBool augmented;
  PetscReal rtol_factor;
  PetscInt nx, np;
  PetscReal *total, *attempt;       // [np] g at the start of the step, and with the step being attempted
  PetscReal *K[CTPG_RK_MAX_STAGES]; // [np] integrands of the stages; with weights of the first and last stage alone
  PetscReal *v;                     // [nx] scaled adjoint
  PetscBool attempt_begun;
};

PetscErrorCode QuadratureCreate(ClosedLoop loop, const RKOptions *rk, PetscBool augmented, PetscReal rtol_factor,
                                Quadrature *quadrature) {
  CtpgLoopSizes sizes;
  Quadrature q;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&q));
  *quadrature = q;
  ClosedLoopGetSizes(loop, &sizes);
  q->loop = loop;
  q->table = rk->table;
  q->augmented = augmented && !rk->fixed ? PETSC_TRUE : PETSC_FALSE;
  q->rtol_factor = rtol_factor;
  q->nx = sizes.nx;
  q->np = sizes.np;
  PetscCall(PetscMalloc1(q->nx, &q->v));
  PetscCall(PetscMalloc1(q->np, &q->total));
  PetscCall(PetscMalloc1(q->np, &q->attempt));
  for (PetscInt i = 0; i < q->table.s; i++)
    if (q->augmented || i == 0 || i == q->table.s - 1) PetscCall(PetscMalloc1(q->np, &q->K[i]));
  PetscFunctionReturn(0);
}

PetscErrorCode QuadratureDestroy(Quadrature *quadrature) {
  PetscFunctionBeginUser;
  if (!*quadrature) PetscFunctionReturn(0);
  PetscCall(PetscFree((*quadrature)->v));
  PetscCall(PetscFree((*quadrature)->total));
  PetscCall(PetscFree((*quadrature)->attempt));
  for (PetscInt i = 0; i < (*quadrature)->table.s; i++) PetscCall(PetscFree((*quadrature)->K[i]));
  PetscCall(PetscFree(*quadrature));
  PetscFunctionReturn(0);
}

PetscBool QuadratureIsControlled(Quadrature q) {
  return q->augmented;
}

void QuadratureStart(Quadrature q) {
  memset(q->total, 0, (size_t)q->np * sizeof *q->total);
}

const PetscReal *QuadratureGet(Quadrature q) {
  return q->total;
}

// ---- products ----

// Integrand of a stage whose weight in this step is not known yet: kept as it is.
static CtpgStatus KeepIntegrand(Quadrature q, PetscInt i, PetscReal t, const PetscReal *x, const PetscReal *alpha,
                                PetscReal *gx) {
  const PetscReal one = 1;
  memset(q->K[i], 0, (size_t)q->np * sizeof **q->K);
  return ClosedLoopVJP(q->loop, 1, &t, x, alpha, &one, gx, q->K[i], NULL);
}

// attempt = total + h b_1 K_1, once per attempt: a rejected one is simply begun anew, an accepted one becomes the total.
static void BeginAttempt(Quadrature q, PetscReal h) {
  const PetscReal weight = h * q->table.b[0], *first = q->K[0];
  if (q->attempt_begun) return;
  q->attempt_begun = PETSC_TRUE;
#pragma omp simd
  for (PetscInt k = 0; k < q->np; k++) q->attempt[k] = q->total[k] + weight * first[k];
}

// The product is linear in (v, c): with both scaled by h b_i it adds the weighted integrand to the attempt in place.
static CtpgStatus AddIntegrand(Quadrature q, PetscReal t, PetscReal weight, const PetscReal *x, const PetscReal *alpha,
                               PetscReal *gx) {
  for (PetscInt k = 0; k < q->nx; k++) q->v[k] = weight * alpha[k];
  const CtpgStatus status = ClosedLoopVJP(q->loop, 1, &t, x, q->v, &weight, gx, q->attempt, NULL);
  for (PetscInt k = 0; k < q->nx; k++) gx[k] /= weight;
  return status;
}

CtpgStatus QuadratureProduct(Quadrature q, RKSolver solver, PetscInt i, PetscReal t, const PetscReal *x,
                             const PetscReal *alpha, PetscReal *gx) {
  const CtpgRKTable *table = &q->table;
  const PetscReal one = 1;
  PetscReal start, h;
  if (i >= 0 && q->K[i] && (q->augmented || i == 0 || table->fsal)) return KeepIntegrand(q, i, t, x, alpha, gx);
  if (i < 0 || table->b[i] == 0) return ClosedLoopVJP(q->loop, 1, &t, x, alpha, &one, gx, NULL, NULL);
  RKSolverGetStep(solver, &start, &h);
  BeginAttempt(q, h);
  return AddIntegrand(q, t, h * table->b[i], x, alpha, gx);
}

// ---- steps ----

void QuadratureStage(Quadrature q, PetscInt i) {
  if (i == 0) q->attempt_begun = PETSC_FALSE;
}

void QuadratureError(Quadrature q, PetscReal h, PetscReal rtol, PetscReal atol, RKErrorSums *sums) {
  const RKErrorBlock block = {.n = q->np,
                              .h = h,
                              .rtol = q->rtol_factor * rtol,
                              .atol = q->rtol_factor * atol,
                              .y0 = q->total,
                              .K = (const PetscReal *const *)q->K,
                              .y1 = q->attempt};
  RKErrorAdd(&q->table, &block, sums);
}

static void Swap(PetscReal **a, PetscReal **b) {
  PetscReal *kept = *a;
  *a = *b;
  *b = kept;
}

void QuadratureAccept(Quadrature q, RKSolver solver) {
  PetscReal start, h;
  RKSolverGetStep(solver, &start, &h);
  if (!q->augmented) BeginAttempt(q, h); // a table of one stage has not begun it
  Swap(&q->total, &q->attempt);
  if (q->table.fsal) Swap(&q->K[0], &q->K[q->table.s - 1]);
}
