// vector.c -- see vector.h; plain loops, the long ones marked for the CPU's vector instructions

#include "base/vector.h"
#include "base/lanes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 1e100 // beyond it a number counts as not finite

// In eight strands, so that additions need not wait for each other.
static PetscReal SumOfSquares(PetscInt n, const PetscReal *v) {
  CtpgLanes low = {0}, high = {0};
  PetscReal rest = 0;
  PetscInt k = 0;
  for (; k + 2 * CTPG_LANES <= n; k += 2 * CTPG_LANES) {
    const CtpgLanes a = CTPG_LANES_AT(v + k), b = CTPG_LANES_AT(v + k + CTPG_LANES);
    low += a * a;
    high += b * b;
  }
  for (; k < n; k++) rest += v[k] * v[k];
  low += high;
  return rest + low[0] + low[1] + low[2] + low[3];
}

// Where the squares add up to less than LARGEST^2 no entry needs to be looked at.
PetscBool VectorIsFinite(PetscInt n, const PetscReal *v) {
  if (SumOfSquares(n, v) < LARGEST * LARGEST) return PETSC_TRUE;
  for (PetscInt i = 0; i < n; i++)
    if (!(fabs(v[i]) < LARGEST)) return PETSC_FALSE;
  return PETSC_TRUE;
}

void VectorFillNaN(PetscInt n, PetscReal *v) {
  for (PetscInt i = 0; v && i < n; i++) v[i] = NAN;
}

PetscReal VectorNormWide(PetscInt n, const PetscReal *restrict v) {
  PetscReal sum = 0;
#pragma omp simd reduction(+ : sum)
  for (PetscInt i = 0; i < n; i++) sum += v[i] * v[i];
  return sqrt(sum);
}

PetscReal VectorSmallLength(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0, largest = 0;
  for (PetscInt i = 0; i < n; i++) largest = fmax(largest, fabs(a[i] - (b ? b[i] : 0)));
  for (PetscInt i = 0; i < n && largest > 0; i++) {
    const PetscReal entry = (a[i] - (b ? b[i] : 0)) / largest;
    sum += entry * entry;
  }
  return largest * sqrt(sum);
}

PetscReal VectorDistance(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += PetscSqr(a[i] - b[i]);
  return sum < CTPG_SMALLEST_SQUARE ? VectorSmallLength(n, a, b) : sqrt(sum);
}

PetscReal VectorDistanceWide(PetscInt n, const PetscReal *restrict a, const PetscReal *restrict b) {
  PetscReal sum = 0;
#pragma omp simd reduction(+ : sum)
  for (PetscInt i = 0; i < n; i++) sum += PetscSqr(a[i] - b[i]);
  return sqrt(sum);
}

PetscBool VectorSameBits(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return n == 0 || !memcmp(a, b, (size_t)n * sizeof *a) ? PETSC_TRUE : PETSC_FALSE;
}

static int CompareDoubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double CtpgMedian(size_t n, double *values) {
  qsort(values, n, sizeof *values, CompareDoubles);
  return n ? (values[(n - 1) / 2] + values[n / 2]) / 2 : NAN;
}

PetscReal CtpgRatio(PetscReal distance, PetscReal size) {
  return size > 0 || isnan(size) ? distance / size : distance > 0 ? INFINITY : distance;
}
