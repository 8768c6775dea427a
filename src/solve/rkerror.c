// rkerror.c -- see rkerror.h; in pieces that stay in the first cache

#include "ctpgbench/toolkit/rkerror.h"
#include "loop/combine.h"
#include <math.h>
#include <string.h>

#define PIECE CTPG_RK_ERROR_PIECE
#define LANES 8

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
  PetscReal scaled[PIECE + LANES], sum[LANES] = {0}, total = 0;
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) scaled[i] = e[i] / tolerance[i];
  for (PetscInt l = 0; l < LANES; l++) scaled[n + l] = 0;
  for (PetscInt i = 0; i < n; i += LANES)
#pragma omp simd
    for (PetscInt l = 0; l < LANES; l++) sum[l] += scaled[i + l] * scaled[i + l];
  for (PetscInt l = 0; l < LANES; l++) total += sum[l];
  return total;
}

static PetscReal SumOfWeighted(PetscInt n, const PetscReal *e, const PetscReal *weights, const PetscReal *tolerance) {
  if (!weights) return SumOfSquares(n, e, tolerance);
  PetscReal weighted[PIECE] = {0};
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

void CtpgRKErrorAdd(const CtpgRKTable *table, PetscReal h, const PetscReal *y0, const PetscReal *const *K,
                    const CtpgRKErrorBlock *block, CtpgRKErrorSums *sums) {
  const PetscReal *terms[CTPG_RK_MAX_STAGES];
  CtpgRKWeights w;
  CtpgRKWeightsOf(table, h, PETSC_TRUE, &w);
  FillUpTerms(&w, K, terms);
  for (PetscInt offset = 0; offset < block->n; offset += PIECE) {
    const PetscInt n = PetscMin(PIECE, block->n - offset);
    PetscReal first[PIECE] = {0}, second[PIECE] = {0}, *y1 = block->y1 + offset;
    memcpy(y1, y0 + offset, (size_t)n * sizeof *y1);
    for (PetscInt i = 0; i < w.n; i += 4) {
      CtpgAddFourTwice(n, offset, w.weight[0] + i, w.weight[1] + i, terms + i, y1, first);
      if (table->bsecond) CtpgAddFour(n, offset, w.weight[2] + i, terms + i, second);
    }
    CtpgRKErrorAddPiece(block, offset, n, first, table->bsecond ? second : NULL, sums);
  }
}

PetscReal CtpgRKErrorNorm(const CtpgRKErrorSums *sums) {
  const PetscReal both = sums->first + 0.01 * sums->second;
  return both > 0 ? sums->first / sqrt(both * (PetscReal)sums->n) : 0;
}
