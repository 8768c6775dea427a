// rkerror.c -- see rkerror.h; np components can be many: one pass over the derivatives, four at a time, in pieces that stay
// in the first cache

#include "rkerror.h"
#include <math.h>
#include <string.h>

#define PIECE 256
#define LANES 8

// The derivatives that count and their coefficients, padded with zeros to a multiple of four.
typedef struct {
  PetscInt n;
  const PetscReal *K[CTPG_RK_MAX_STAGES + 3];
  PetscReal b[CTPG_RK_MAX_STAGES + 3], first[CTPG_RK_MAX_STAGES + 3], second[CTPG_RK_MAX_STAGES + 3];
} Terms;

static void CollectTerms(const CtpgRKTable *table, const RKErrorBlock *block, Terms *terms) {
  terms->n = 0;
  for (PetscInt j = 0; j < table->s; j++) {
    const PetscReal b = table->b[j], second = table->bsecond ? table->bsecond[j] - b : 0;
    if (b == 0 && table->bembed[j] == 0 && second == 0) continue;
    terms->K[terms->n] = block->K[j];
    terms->b[terms->n] = block->h * b;
    terms->first[terms->n] = block->h * (table->bembed[j] - b);
    terms->second[terms->n++] = block->h * second;
  }
  while (terms->n % 4) {
    terms->K[terms->n] = block->y0;
    terms->b[terms->n] = terms->first[terms->n] = terms->second[terms->n] = 0;
    terms->n++;
  }
}

// sum [n] += sum of c_j K_j [offset ...]
static void AddFour(PetscInt n, PetscInt offset, const PetscReal *c, const PetscReal *const *K,
                    PetscReal *restrict sum) {
  const PetscReal c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
  const PetscReal *K0 = K[0] + offset, *K1 = K[1] + offset, *K2 = K[2] + offset, *K3 = K[3] + offset;
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) sum[i] += c0 * K0[i] + c1 * K1[i] + c2 * K2[i] + c3 * K3[i];
}

// The same with two sums at once.
static void AddFourTwice(PetscInt n, PetscInt offset, const PetscReal *c, const PetscReal *d, const PetscReal *const *K,
                         PetscReal *restrict sum, PetscReal *restrict other) {
  const PetscReal c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3], d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
  const PetscReal *K0 = K[0] + offset, *K1 = K[1] + offset, *K2 = K[2] + offset, *K3 = K[3] + offset;
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) {
    sum[i] += c0 * K0[i] + c1 * K1[i] + c2 * K2[i] + c3 * K3[i];
    other[i] += d0 * K0[i] + d1 * K1[i] + d2 * K2[i] + d3 * K3[i];
  }
}

// A component without tolerance has no error either (PETSc's rule): atol = 0 and y = 0. Partial sums of a fixed number: the
// same bits for any width of vectors.
static PetscReal SumOfSquares(PetscInt n, const PetscReal *e, const PetscReal *tolerance) {
  PetscReal sum[LANES] = {0}, total = 0;
  PetscInt i = 0;
  for (; i + LANES <= n; i += LANES)
    for (PetscInt l = 0; l < LANES; l++) {
      const PetscReal scaled = tolerance[i + l] > 0 ? e[i + l] / tolerance[i + l] : 0;
      sum[l] += scaled * scaled;
    }
  for (PetscInt l = 0; i < n; i++, l++) sum[l] += tolerance[i] > 0 ? PetscSqr(e[i] / tolerance[i]) : 0;
  for (PetscInt l = 0; l < LANES; l++) total += sum[l];
  return total;
}

static void AddPiece(const CtpgRKTable *table, const RKErrorBlock *block, const Terms *terms, PetscInt offset,
                     RKErrorSums *sums) {
  const PetscInt n = PetscMin(PIECE, block->n - offset);
  PetscReal first[PIECE], second[PIECE], tolerance[PIECE], *y1 = block->y1 + offset;

  memcpy(y1, block->y0 + offset, (size_t)n * sizeof *y1);
  memset(first, 0, (size_t)n * sizeof *first);
  for (PetscInt j = 0; j < terms->n; j += 4)
    AddFourTwice(n, offset, terms->b + j, terms->first + j, terms->K + j, y1, first);
#pragma omp simd
  for (PetscInt i = 0; i < n; i++)
    tolerance[i] = block->atol + block->rtol * PetscMax(fabs(y1[i]), fabs(y1[i] + first[i]));
  for (PetscInt i = 0; block->weights && i < n; i++) first[i] *= block->weights[offset + i];
  sums->first += SumOfSquares(n, first, tolerance);
  if (!table->bsecond) return;
  memset(second, 0, (size_t)n * sizeof *second);
  for (PetscInt j = 0; j < terms->n; j += 4) AddFour(n, offset, terms->second + j, terms->K + j, second);
  for (PetscInt i = 0; block->weights && i < n; i++) second[i] *= block->weights[offset + i];
  sums->second += SumOfSquares(n, second, tolerance);
}

void RKErrorAdd(const CtpgRKTable *table, const RKErrorBlock *block, RKErrorSums *sums) {
  Terms terms;
  CollectTerms(table, block, &terms);
  for (PetscInt offset = 0; offset < block->n; offset += PIECE) AddPiece(table, block, &terms, offset, sums);
  sums->n += block->n;
}

PetscReal RKErrorNorm(const RKErrorSums *sums) {
  const PetscReal both = sums->first + 0.01 * sums->second;
  return both > 0 ? sums->first / sqrt(both * (PetscReal)sums->n) : 0;
}
