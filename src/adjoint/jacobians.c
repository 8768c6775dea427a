// jacobians.c -- see jacobians.h
//
// The adjoint that estimates the whole integral takes a step of Alexander's L-stable SDIRK method of order 2 for ALONG
// steps of the path, with J and w_x of its middle:
//   A = J', (I - gamma h A) k1 = A alpha + w_x,  (I - gamma h A) k2 = A (alpha + (1 - gamma) h k1) + w_x,
//   alpha += h ((1 - gamma) k1 + gamma k2),  gamma = 1 - 1/sqrt(2)
// Source: R. Alexander, "Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s", SIAM J. Numer. Anal. 14 (1977),
// Eq. (5).

#include "ctpgbench/toolkit/jacobians.h"
#include "loop/combine.h"
#include "solve/linear.h"
#include <math.h>

#define ALONG 3

struct Jacobians_s {
  CtpgClosedLoop loop;
  PetscInt nx, np, products, factor_size, nprojections;
  CtpgRows rows;                     // see Part
  PetscInt interval;                 // where a time was found last
  PetscReal *JT, *wx, *lu, *k1, *k2; // [nx, nx], [nx], [nx, nx], [nx], [nx]
  PetscReal *weights;                // [products]
  PetscReal *q, *q_later;            // [nprojections]
  PetscBLASInt *pivots;
};

// A row: t, x, slope, w_x, collected v, f_x, coupling, factors.
static PetscReal *PartX(PetscReal *row) {
  return row + 1;
}
static PetscReal *PartSlope(const CtpgJacobians j, PetscReal *row) {
  return PartX(row) + j->nx;
}
static PetscReal *PartCost(const CtpgJacobians j, PetscReal *row) {
  return PartSlope(j, row) + j->nx;
}
static PetscReal *PartCollected(const CtpgJacobians j, PetscReal *row) {
  return PartCost(j, row) + j->nx;
}
static PetscReal *PartJacobian(const CtpgJacobians j, PetscReal *row) {
  return PartCollected(j, row) + j->nx;
}
static PetscReal *PartCoupling(const CtpgJacobians j, PetscReal *row) {
  return PartJacobian(j, row) + j->nx * j->nx;
}
static PetscReal *PartFactors(const CtpgJacobians j, PetscReal *row) {
  return PartCoupling(j, row) + j->products * (j->nx + 1);
}

// ---- life cycle ----

PetscErrorCode CtpgJacobiansCreate(CtpgClosedLoop loop, CtpgArena *arena, CtpgJacobians *jacobians) {
  CtpgLoopSizes sizes;
  CtpgJacobians j;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&j));
  *jacobians = j;
  CtpgClosedLoopGetSizes(loop, &sizes);
  const PetscInt nx = j->nx = sizes.nx;
  j->loop = loop;
  j->np = sizes.np;
  j->products = CtpgClosedLoopGetJacobianProducts(loop);
  j->factor_size = CtpgClosedLoopGetFactorSize(loop);
  j->nprojections = CtpgClosedLoopGetProjections(loop);
  CtpgRowsInit(&j->rows, arena, 1 + 4 * nx + nx * nx + j->products * (nx + 1 + j->factor_size));
  PetscCall(PetscMalloc5(nx * nx, &j->JT, nx, &j->wx, nx * nx, &j->lu, nx, &j->k1, nx, &j->k2));
  PetscCall(
      PetscMalloc4(j->products, &j->weights, j->nprojections, &j->q, j->nprojections, &j->q_later, nx, &j->pivots));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgJacobiansDestroy(CtpgJacobians *jacobians) {
  CtpgJacobians j = *jacobians;
  PetscFunctionBeginUser;
  if (!j) PetscFunctionReturn(0);
  CtpgRowsFree(&j->rows);
  PetscCall(PetscFree5(j->JT, j->wx, j->lu, j->k1, j->k2));
  PetscCall(PetscFree4(j->weights, j->q, j->q_later, j->pivots));
  PetscCall(PetscFree(*jacobians));
  PetscFunctionReturn(0);
}

void CtpgJacobiansClear(CtpgJacobians j) {
  CtpgRowsTruncate(&j->rows, 0);
}

PetscInt CtpgJacobiansCount(CtpgJacobians j) {
  return j->rows.count;
}

CtpgJacobian CtpgJacobiansGet(CtpgJacobians j, PetscInt number) {
  PetscReal *row = CtpgRowsAt(&j->rows, number);
  return (CtpgJacobian){
      .t = row[0], .x = PartX(row), .slope = PartSlope(j, row), .fx = PartJacobian(j, row), .wx = PartCost(j, row)};
}

// ---- along the path ----

void CtpgJacobiansAdd(CtpgJacobians j, PetscInt number, PetscReal t, const PetscReal *x, const PetscReal *slope) {
  const size_t bytes = (size_t)j->nx * sizeof *x;
  if (!CtpgRowsPush(&j->rows)) {
    CtpgClosedLoopFail(j->loop, CTPG_STEP_LIMIT, "no memory to keep more than %d Jacobians", (int)j->rows.count);
    return;
  }
  for (PetscInt i = j->rows.count - 1; i > number; i--)
    memcpy(CtpgRowsAt(&j->rows, i), CtpgRowsAt(&j->rows, i - 1), (size_t)j->rows.width * sizeof *x);
  PetscReal *row = CtpgRowsAt(&j->rows, number);
  row[0] = t;
  memcpy(PartX(row), x, bytes);
  memcpy(PartSlope(j, row), slope, bytes);
  memset(PartCollected(j, row), 0, bytes);
  CtpgClosedLoopJacobianKeep(j->loop, t, x, PartJacobian(j, row), PartCost(j, row), PartCoupling(j, row),
                             PartFactors(j, row));
}

CtpgHats CtpgJacobiansHats(CtpgJacobians j, PetscInt first, PetscInt end, PetscReal t) {
  if (end - first < 2) return (CtpgHats){{first, first}, {1, 0}};
  PetscInt i = PetscMax(first, PetscMin(j->interval, end - 2));
  while (i > first && CtpgRowsAt(&j->rows, i)[0] >= t) i--;
  while (i < end - 2 && CtpgRowsAt(&j->rows, i + 1)[0] < t) i++;
  j->interval = i;
  const PetscReal low = CtpgRowsAt(&j->rows, i)[0], high = CtpgRowsAt(&j->rows, i + 1)[0];
  const PetscReal part = fmax(0, fmin(1, (t - low) / (high - low)));
  return (CtpgHats){{i, i + 1}, {1 - part, part}};
}

// JT [nx, nx] = (a J0 + b J1)'.
CTPG_WIDE static void BlendTransposed(PetscInt nx, PetscReal a, const PetscReal *restrict J0, PetscReal b,
                                      const PetscReal *restrict J1, PetscReal *restrict JT) {
  for (PetscInt i = 0; i < nx; i++, J0 += nx, J1 += nx) {
    PetscInt k = 0;
    for (; k + CTPG_LANES <= nx; k += CTPG_LANES) {
      const CtpgLanes four = a * CTPG_LANES_AT(J0 + k) + b * CTPG_LANES_AT(J1 + k);
      for (PetscInt lane = 0; lane < CTPG_LANES; lane++) JT[(k + lane) * nx + i] = four[lane];
    }
    for (; k < nx; k++) JT[k * nx + i] = a * J0[k] + b * J1[k];
  }
}

void CtpgJacobiansTransposedAt(CtpgJacobians j, PetscInt first, PetscInt end, PetscReal t, PetscReal *JT,
                               PetscReal *wx) {
  const PetscInt nx = j->nx;
  const CtpgHats hats = CtpgJacobiansHats(j, first, end, t);
  PetscReal *row0 = CtpgRowsAt(&j->rows, hats.number[0]), *row1 = CtpgRowsAt(&j->rows, hats.number[1]);
  const PetscReal *J0 = PartJacobian(j, row0), *J1 = PartJacobian(j, row1), a = hats.weight[0], b = hats.weight[1];
  BlendTransposed(nx, a, J0, b, J1, JT);
  for (PetscInt i = 0; wx && i < nx; i++) wx[i] = a * PartCost(j, row0)[i] + b * PartCost(j, row1)[i];
}

// ---- where J(t) is not linear ----

#define SLOPES 7 // of the interpolant that tells F'

// e [nx] = F' - J F at t, from the slopes around node i, J the interpolated one; dF [nx] = F'.
static void SlopeChange(CtpgJacobians j, PetscInt first, PetscInt end, const CtpgNodePath *path, PetscInt i,
                        PetscReal t, PetscReal *e, PetscReal *dF) {
  const PetscInt nx = j->nx, m = PetscMin(SLOPES, path->count);
  const PetscInt low = PetscMax(0, PetscMin(i - m / 2, path->count - m));
  PetscReal *F = j->k1;
  memset(F, 0, (size_t)nx * sizeof *F);
  memset(dF, 0, (size_t)nx * sizeof *dF);
  for (PetscInt a = 0; a < m; a++) {
    const PetscReal *row = CtpgNodePathRow(path, low + a), *slope = row + 1 + nx;
    PetscReal weight = 1, derivative = 0; // Lagrange's polynomial and its derivative at t
    for (PetscInt b = 0; b < m; b++) {
      if (b == a) continue;
      const PetscReal z = CtpgNodePathRow(path, low + b)[0], distance = row[0] - z;
      derivative = (derivative * (t - z) + weight) / distance;
      weight *= (t - z) / distance;
    }
    for (PetscInt k = 0; k < nx; k++) F[k] += weight * slope[k], dF[k] += derivative * slope[k];
  }
  CtpgJacobiansTransposedAt(j, first, end, t, j->JT, NULL);
  for (PetscInt k = 0; k < nx; k++) {
    e[k] = dF[k];
    for (PetscInt l = 0; l < nx; l++) e[k] -= j->JT[l * nx + k] * F[l];
  }
}

// The first node of the path at t or later; the last one where there is none.
static PetscInt NodeAt(const CtpgNodePath *path, PetscReal t) {
  PetscInt low = 0, high = path->count - 1;
  while (low < high) {
    const PetscInt middle = (low + high) / 2;
    if (CtpgNodePathRow(path, middle)[0] < t)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Do slopes around node i, between Jacobians `number` and the next one, change otherwise than both of them say?
static PetscBool IsUnforeseen(CtpgJacobians j, PetscInt first, PetscInt end, PetscInt number, const CtpgNodePath *path,
                              PetscInt i, const PetscReal *scale, PetscReal part) {
  const PetscInt nx = j->nx;
  const PetscReal t = CtpgNodePathRow(path, i)[0];
  const PetscReal low = CtpgRowsAt(&j->rows, number)[0], high = CtpgRowsAt(&j->rows, number + 1)[0];
  const PetscReal times[] = {low, high, t}, weights[] = {(t - high) / (high - low), (low - t) / (high - low), 1};
  PetscReal *dF = j->k2, *e = j->wx, *unforeseen = j->lu, error = 0, size = 0; // lu [nx, nx], of which nx serve
  memset(unforeseen, 0, (size_t)nx * sizeof *unforeseen);
  for (PetscInt c = 0; c < 3; c++) {
    SlopeChange(j, first, end, path, NodeAt(path, times[c]), times[c], e, dF);
    for (PetscInt k = 0; k < nx; k++) unforeseen[k] += weights[c] * e[k];
  }
  for (PetscInt k = 0; k < nx; k++) error += PetscSqr(unforeseen[k] / scale[k]), size += PetscSqr(dF[k] / scale[k]);
  return error > part * part * size ? PETSC_TRUE : PETSC_FALSE;
}

// The node nearest to the middle of [low, high], with another one on either side; -1: there is none.
static PetscInt MiddleNode(const CtpgNodePath *path, PetscReal low, PetscReal high) {
  const PetscInt first = NodeAt(path, low), last = NodeAt(path, high);
  const PetscReal middle = 0.5 * (low + high);
  PetscInt i = NodeAt(path, middle);
  if (last - first < 3) return -1;
  if (i > 0 && middle - CtpgNodePathRow(path, i - 1)[0] < CtpgNodePathRow(path, i)[0] - middle) i--;
  return i > first && i < last ? i : -1;
}

PetscInt CtpgJacobiansRefine(CtpgJacobians j, PetscInt first, PetscInt end, const CtpgNodePath *path,
                             const PetscReal *scale, PetscReal part) {
  const PetscInt before = end;
  for (PetscInt number = first; number + 1 < end;) {
    const PetscReal low = CtpgRowsAt(&j->rows, number)[0], high = CtpgRowsAt(&j->rows, number + 1)[0];
    const PetscInt i = MiddleNode(path, low, high);
    if (i < 0 || !IsUnforeseen(j, first, end, number, path, i, scale, part)) {
      number++; // the halves of a refined interval are looked at, too
      continue;
    }
    const PetscReal *row = CtpgNodePathRow(path, i);
    CtpgJacobiansAdd(j, number + 1, row[0], row + 1, row + 1 + j->nx);
    if (CtpgClosedLoopGetStatus(j->loop) != CTPG_OK) break;
    end++;
  }
  return end - before;
}

// ---- products for theta ----

void CtpgJacobiansCollect(CtpgJacobians j, PetscInt first, PetscInt end, PetscReal t, PetscReal weight,
                          const PetscReal *v) {
  const CtpgHats hats = CtpgJacobiansHats(j, first, end, t);
  for (PetscInt side = 0; side < 2; side++) {
    PetscReal *collected = PartCollected(j, CtpgRowsAt(&j->rows, hats.number[side]));
    for (PetscInt i = 0; i < j->nx; i++) collected[i] += hats.weight[side] * weight * v[i];
  }
}

// weights [products] of the kept products in f_theta' v + c w_theta.
static void FindWeights(CtpgJacobians j, PetscReal *row, const PetscReal *v, PetscReal c, PetscReal *weights) {
  const PetscReal *coupling = PartCoupling(j, row);
  for (PetscInt k = 0; k < j->products; k++, coupling += j->nx + 1) {
    weights[k] = c * coupling[j->nx];
    for (PetscInt i = 0; i < j->nx; i++) weights[k] += coupling[i] * v[i];
  }
}

// Kept products that wait to be summed.
typedef struct {
  PetscInt count;
  const PetscReal *factors[CTPG_MAX_PRODUCTS];
  PetscReal weights[CTPG_MAX_PRODUCTS];
} Batch;

static void SumBatch(CtpgJacobians j, Batch *batch, PetscReal *gtheta) {
  const PetscReal *const weights[] = {batch->weights};
  if (batch->count) CtpgClosedLoopSumKept(j->loop, batch->count, batch->factors, 1, weights, CtpgAddPiece, gtheta);
  batch->count = 0;
}

void CtpgJacobiansAddCollected(CtpgJacobians j, PetscInt first, PetscInt end, PetscReal *gtheta) {
  Batch batch = {0};
  for (PetscInt i = first; i < end; i++) {
    PetscReal *row = CtpgRowsAt(&j->rows, i);
    FindWeights(j, row, PartCollected(j, row), 0, j->weights);
    for (PetscInt k = 0; k < j->products; k++) {
      batch.weights[batch.count] = j->weights[k];
      batch.factors[batch.count++] = PartFactors(j, row) + k * j->factor_size;
      if (batch.count == CTPG_MAX_PRODUCTS) SumBatch(j, &batch, gtheta);
    }
    memset(PartCollected(j, row), 0, (size_t)j->nx * sizeof(PetscReal));
  }
  SumBatch(j, &batch, gtheta);
}

// ---- the adjoint of the kept Jacobians ----

// out [nx] = (I - gamma h A)^-1 (A v + w_x).
static void SolveStage(CtpgJacobians j, const PetscReal *v, PetscReal *out) {
  const PetscInt nx = j->nx;
  for (PetscInt i = 0; i < nx; i++) {
    out[i] = j->wx[i];
    for (PetscInt k = 0; k < nx; k++) out[i] += j->JT[i * nx + k] * v[k];
  }
  LinearSolve(nx, 1, j->lu, j->pivots, out);
}

// alpha from t + h to t.
static void StepBack(CtpgJacobians j, PetscInt first, PetscInt end, PetscReal t, PetscReal h, PetscReal *alpha) {
  const PetscInt nx = j->nx;
  const PetscReal gamma = 1 - sqrt(0.5);
  CtpgJacobiansTransposedAt(j, first, end, t + h / 2, j->JT, j->wx);
  for (PetscInt i = 0; i < nx * nx; i++) j->lu[i] = -gamma * h * j->JT[i];
  for (PetscInt i = 0; i < nx; i++) j->lu[i * nx + i] += 1;
  if (!LinearFactor(nx, j->lu, j->pivots)) return; // a singular matrix: leave alpha as it is
  SolveStage(j, alpha, j->k1);
  for (PetscInt i = 0; i < nx; i++) j->k2[i] = alpha[i] + (1 - gamma) * h * j->k1[i];
  for (PetscInt i = 0; i < nx; i++) alpha[i] += (1 - gamma) * h * j->k1[i];
  PetscReal *argument = j->k2, *k2 = j->k1;
  SolveStage(j, argument, k2);
  for (PetscInt i = 0; i < nx; i++) alpha[i] += gamma * h * k2[i];
}

// |projections of f_theta' alpha + w_theta| at one of the Jacobians.
static void Project(CtpgJacobians j, PetscReal *row, const PetscReal *alpha, PetscReal *q) {
  FindWeights(j, row, alpha, 1, j->weights);
  memset(q, 0, (size_t)j->nprojections * sizeof *q);
  for (PetscInt k = 0; k < j->products; k++)
    CtpgClosedLoopAddProjections(j->loop, j->weights[k], PartFactors(j, row) + k * j->factor_size, q);
  for (PetscInt p = 0; p < j->nprojections; p++) q[p] = fabs(q[p]);
}

void CtpgJacobiansEstimateWhole(CtpgJacobians j, PetscInt first, PetscInt end, const CtpgNodePath *path,
                                PetscReal *alpha, PetscReal *whole) {
  PetscInt node = path->count - 1;
  for (PetscInt i = end - 1; i >= first; i--) {
    PetscReal *row = CtpgRowsAt(&j->rows, i);
    while (node > 0 && CtpgNodePathRow(path, node)[0] > row[0]) {
      const PetscReal from = CtpgNodePathRow(path, node)[0];
      for (PetscInt n = 0; n < ALONG && node > 0 && CtpgNodePathRow(path, node)[0] > row[0]; n++) node--;
      const PetscReal t = CtpgNodePathRow(path, node)[0];
      StepBack(j, first, end, t, from - t, alpha);
    }
    Project(j, row, alpha, j->q);
    const PetscReal length = i < end - 1 ? CtpgRowsAt(&j->rows, i + 1)[0] - row[0] : 0;
    for (PetscInt p = 0; p < j->nprojections; p++) {
      if (i < end - 1) whole[p] += 0.5 * length * (j->q[p] + j->q_later[p]);
      j->q_later[p] = j->q[p];
    }
  }
}
