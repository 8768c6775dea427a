// quadrature.c -- see quadrature.h

#include "ctpgbench/toolkit/quadrature.h"
#include "loop/combine.h"

_Static_assert(CTPG_RK_MAX_STAGES <= CTPG_MAX_PRODUCTS, "the integrands of all stages enter one sum");

struct Quadrature_s {
  CtpgClosedLoop loop;
  CtpgRKTable table;
  PetscBool augmented;
  PetscReal rtol_factor;
  PetscInt np;
  PetscReal *total, *attempt;             // [np] g at the start of the step, and with the step being attempted
  PetscReal *factors[CTPG_RK_MAX_STAGES]; // of the integrands of the stages
};

PetscErrorCode CtpgQuadratureCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, PetscBool augmented,
                                    PetscReal rtol_factor, CtpgQuadrature *quadrature) {
  CtpgLoopSizes sizes;
  CtpgQuadrature q;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&q));
  *quadrature = q;
  CtpgClosedLoopGetSizes(loop, &sizes);
  q->loop = loop;
  q->table = rk->table;
  q->augmented = augmented && !rk->fixed ? PETSC_TRUE : PETSC_FALSE;
  q->rtol_factor = rtol_factor;
  q->np = sizes.np;
  PetscCall(PetscMalloc1(q->np, &q->total));
  if (q->augmented) PetscCall(PetscMalloc1(q->np, &q->attempt));
  for (PetscInt i = 0; i < q->table.s; i++) PetscCall(PetscMalloc1(CtpgClosedLoopGetFactorSize(loop), &q->factors[i]));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgQuadratureDestroy(CtpgQuadrature *quadrature) {
  PetscFunctionBeginUser;
  if (!*quadrature) PetscFunctionReturn(0);
  PetscCall(PetscFree((*quadrature)->total));
  PetscCall(PetscFree((*quadrature)->attempt));
  for (PetscInt i = 0; i < (*quadrature)->table.s; i++) PetscCall(PetscFree((*quadrature)->factors[i]));
  PetscCall(PetscFree(*quadrature));
  PetscFunctionReturn(0);
}

PetscBool CtpgQuadratureIsControlled(CtpgQuadrature q) {
  return q->augmented;
}

void CtpgQuadratureStart(CtpgQuadrature q) {
  memset(q->total, 0, (size_t)q->np * sizeof *q->total);
}

const PetscReal *CtpgQuadratureGet(CtpgQuadrature q) {
  return q->total;
}

// ---- stages ----

// Has stage i a part in g, in its error, or in g as the first stage of the next step?
static PetscBool IsKept(CtpgQuadrature q, PetscInt i) {
  if (i < 0) return PETSC_FALSE;
  return q->augmented || i == 0 || q->table.b[i] != 0 || (q->table.fsal && i == q->table.s - 1) ? PETSC_TRUE
                                                                                                : PETSC_FALSE;
}

CtpgStatus CtpgQuadratureProduct(CtpgQuadrature q, PetscInt i, PetscReal t, const PetscReal *x, const PetscReal *alpha,
                                 PetscReal *gx) {
  const PetscReal one = 1;
  if (IsKept(q, i)) return CtpgClosedLoopVJPKeep(q->loop, 1, &t, x, alpha, &one, gx, q->factors[i]);
  return CtpgClosedLoopVJP(q->loop, 1, &t, x, alpha, &one, gx, NULL);
}

// ---- steps ----

// The weights of a step and the factors [s] that they belong to.
static void WeighStages(CtpgQuadrature q, PetscReal h, PetscBool errors, CtpgRKWeights *weights,
                        const PetscReal **factors) {
  CtpgRKWeightsOf(&q->table, h, errors, weights);
  for (PetscInt i = 0; i < weights->n; i++) factors[i] = q->factors[weights->stage[i]];
}

typedef struct {
  CtpgQuadrature q;
  CtpgRKErrorBlock block;
  CtpgRKErrorSums *sums;
} Attempt;

CTPG_WIDE static void TakeAttempt(void *context, PetscInt offset, PetscInt n, const PetscReal *const *pieces) {
  const Attempt *a = context;
  const PetscReal *total = a->q->total + offset, *increment = pieces[0];
  PetscReal *restrict attempt = a->q->attempt + offset;
#pragma omp simd
  for (PetscInt k = 0; k < n; k++) attempt[k] = total[k] + increment[k];
  CtpgRKErrorAddPiece(&a->block, offset, n, pieces[1], a->q->table.bsecond ? pieces[2] : NULL, a->sums);
}

void CtpgQuadratureError(CtpgQuadrature q, PetscReal h, PetscReal rtol, PetscReal atol, CtpgRKErrorSums *sums) {
  Attempt attempt = {
      .q = q,
      .block = {.n = q->np, .rtol = q->rtol_factor * rtol, .atol = q->rtol_factor * atol, .y1 = q->attempt},
      .sums = sums};
  const PetscReal *factors[CTPG_RK_MAX_STAGES];
  CtpgRKWeights weights;
  WeighStages(q, h, PETSC_TRUE, &weights, factors);
  const PetscReal *const sets[] = {weights.weight[0], weights.weight[1], weights.weight[2]};
  CtpgClosedLoopSumKept(q->loop, weights.n, factors, weights.nsums, sets, TakeAttempt, &attempt);
}

static void AddStep(CtpgQuadrature q, PetscReal h) {
  const PetscReal *factors[CTPG_RK_MAX_STAGES];
  CtpgRKWeights weights;
  WeighStages(q, h, PETSC_FALSE, &weights, factors);
  CtpgClosedLoopAddKept(q->loop, weights.n, factors, weights.weight[0], q->total);
}

static void Swap(PetscReal **a, PetscReal **b) {
  PetscReal *kept = *a;
  *a = *b;
  *b = kept;
}

void CtpgQuadratureAccept(CtpgQuadrature q, CtpgRKSolver solver) {
  PetscReal start, h;
  CtpgRKSolverGetStep(solver, &start, &h);
  if (q->augmented)
    Swap(&q->total, &q->attempt);
  else
    AddStep(q, h);
  if (q->table.fsal) Swap(&q->factors[0], &q->factors[q->table.s - 1]);
}
