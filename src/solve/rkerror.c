// rkerror.c -- see rkerror.h; in pieces that stay in the first cache

#include "ctpgbench/toolkit/rkerror.h"
#include "loop/combine.h"
#include <math.h>
#include <string.h>

#define PIECE CTPG_RK_ERROR_PIECE
#define SUMS  (2 * CTPG_LANES)

void CtpgRKWeightsOf(const CtpgRKTable *table, PetscReal h, PetscBool errors, CtpgRKWeights *weights) {
  weights->n = 0;
  weights->nsums = errors ? table->bsecond ? 3 : 2 : 1;
  for (PetscInt j = 0; j < table->s; j++) {
    const PetscReal b = table->b[j], embedded = errors ? table->bembed[j] : 0,
                    second = errors && table->bsecond ? table->bsecond[j] - b : 0;
    if (b == 0 && embedded == 0 && second == 0) continue;
    weights->stage[weights->n] = j;
    weights->weight[0][weights->n] = h * b;
    weights->weight[1][weights->n] = h * (embedded - b);
    weights->weight[2][weights->n++] = h * second;
  }
}

// A component without tolerance has no error either (PETSc's rule): atol = 0 and y = 0. It divides by infinity.
CTPG_WIDE static void Tolerances(PetscInt n, PetscReal rtol, PetscReal atol, const PetscReal *y1,
                                 const PetscReal *first, PetscReal *restrict tolerance) {
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) {
    const PetscReal t = atol + rtol * PetscMax(fabs(y1[i]), fabs(y1[i] + first[i]));
    tolerance[i] = t > 0 ? t : INFINITY;
  }
}

// Partial sums of a fixed number: the same bits for any width of vectors.
CTPG_WIDE static PetscReal SumOfSquares(PetscInt n, const PetscReal *e, const PetscReal *tolerance) {
  PetscReal sum[SUMS], total = 0;
  CtpgLanes low = {0}, high = {0};
  PetscInt i = 0;
  for (; i + SUMS <= n; i += SUMS) {
    const CtpgLanes a = CTPG_LANES_AT(e + i) / CTPG_LANES_AT(tolerance + i);
    const CtpgLanes b = CTPG_LANES_AT(e + i + CTPG_LANES) / CTPG_LANES_AT(tolerance + i + CTPG_LANES);
    low += a * a;
    high += b * b;
  }
  CTPG_LANES_AT(sum) = low;
  CTPG_LANES_AT(sum + CTPG_LANES) = high;
  for (PetscInt l = 0; i + l < n; l++) sum[l] += PetscSqr(e[i + l] / tolerance[i + l]);
  for (PetscInt l = 0; l < SUMS; l++) total += sum[l];
  return total;
}

static PetscReal SumOfWeighted(PetscInt n, const PetscReal *e, const PetscReal *weights, const PetscReal *tolerance) {
  if (!weights) return SumOfSquares(n, e, tolerance);
  PetscReal weighted[PIECE];
  for (PetscInt i = 0; i < n; i++) weighted[i] = weights[i] * e[i];
  return SumOfSquares(n, weighted, tolerance);
}

void CtpgRKErrorAddPiece(const CtpgRKErrorBlock *block, PetscInt offset, PetscInt n, const PetscReal *first,
                         const PetscReal *second, CtpgRKErrorSums *sums) {
  const PetscReal *weights = block->weights ? block->weights + offset : NULL;
  PetscReal tolerance[PIECE];
  Tolerances(n, block->rtol, block->atol, block->y1 + offset, first, tolerance);
  sums->first += SumOfWeighted(n, first, weights, tolerance);
  if (second) sums->second += SumOfWeighted(n, second, weights, tolerance);
  sums->n += n;
}

// `weights` filled up with zeros to a multiple of four, and the derivatives [s] -> [n] that they belong to.
static void FillUpTerms(CtpgRKWeights *weights, const PetscReal *const *K, const PetscReal **terms) {
  for (PetscInt i = 0; i < weights->n; i++) terms[i] = K[weights->stage[i]];
  for (; weights->n % 4; weights->n++) {
    terms[weights->n] = K[0];
    for (int k = 0; k < 3; k++) weights->weight[k][weights->n] = 0;
  }
}

// out [n] = y + sum over i < terms of c[i] K_i, all but out read from `offset` on, by fours; y NULL: zeros.
CTPG_WIDE static void AddFours(PetscInt n, PetscInt offset, const PetscReal *y, PetscInt terms, const PetscReal *c,
                               const PetscReal *const *K, PetscReal *restrict out) {
  for (PetscInt next = 0; n >= CTPG_LANES && next < n; next += CTPG_LANES) {
    const PetscInt k = PetscMin(next, n - CTPG_LANES), at = offset + k;
    CtpgLanes sum = y ? CTPG_LANES_AT(y + at) : (CtpgLanes){0};
    for (PetscInt i = 0; i < terms; i += 4)
      sum += c[i] * CTPG_LANES_AT(K[i] + at) + c[i + 1] * CTPG_LANES_AT(K[i + 1] + at) +
             c[i + 2] * CTPG_LANES_AT(K[i + 2] + at) + c[i + 3] * CTPG_LANES_AT(K[i + 3] + at);
    CTPG_LANES_AT(out + k) = sum;
  }
  for (PetscInt k = 0, at = offset; n < CTPG_LANES && k < n; k++, at++) {
    out[k] = y ? y[at] : 0;
    for (PetscInt i = 0; i < terms; i += 4)
      out[k] += c[i] * K[i][at] + c[i + 1] * K[i + 1][at] + c[i + 2] * K[i + 2][at] + c[i + 3] * K[i + 3][at];
  }
}

void CtpgRKErrorAdd(const CtpgRKTable *table, PetscReal h, const PetscReal *y0, const PetscReal *const *K,
                    const CtpgRKErrorBlock *block, CtpgRKErrorSums *sums) {
  const PetscReal *terms[CTPG_RK_MAX_STAGES];
  CtpgRKWeights w;
  CtpgRKWeightsOf(table, h, PETSC_TRUE, &w);
  FillUpTerms(&w, K, terms);
  for (PetscInt offset = 0; offset < block->n; offset += PIECE) {
    const PetscInt n = PetscMin(PIECE, block->n - offset);
    PetscReal first[PIECE], second[PIECE];
    AddFours(n, offset, y0, w.n, w.weight[0], terms, block->y1 + offset);
    AddFours(n, offset, NULL, w.n, w.weight[1], terms, first);
    if (table->bsecond) AddFours(n, offset, NULL, w.n, w.weight[2], terms, second);
    CtpgRKErrorAddPiece(block, offset, n, first, table->bsecond ? second : NULL, sums);
  }
}

PetscReal CtpgRKErrorNorm(const CtpgRKErrorSums *sums) {
  const PetscReal both = sums->first + 0.01 * sums->second;
  return both > 0 ? sums->first / sqrt(both * (PetscReal)sums->n) : 0;
}
