// linear.c -- see linear.h
//
// LAPACK takes rows for columns, so what it factors is the transpose, A' = P^-1 L U, with column k of A' in row k of
// memory. To solve for A is to solve for the transpose of that: U' first, then L', then the exchanges in reverse.

#include "solve/linear.h"
#include "loop/combine.h"
#include <float.h>
#include <math.h>

// ---- small ones ----

static PetscInt FindPivot(PetscInt n, const PetscReal *column, PetscInt k) {
  PetscInt p = k;
  for (PetscInt r = k + 1; r < n; r++)
    if (fabs(column[r]) > fabs(column[p])) p = r;
  return p;
}

static void Exchange(PetscInt count, PetscReal *a, PetscInt stride, PetscInt k, PetscInt p) {
  for (PetscInt c = 0; p != k && c < count; c++, a += stride) {
    const PetscReal entry = a[k];
    a[k] = a[p];
    a[p] = entry;
  }
}

// other [n] -= below other[first - 1], from row `first` on, in whole lanes where a column follows: `below` is zero
// behind its n rows.
static inline __attribute__((always_inline)) void SubtractColumn(PetscInt n, PetscInt first, const PetscReal *below,
                                                                 PetscBool followed, PetscReal *other) {
  const PetscReal factor = other[first - 1];
  PetscInt r = first;
  for (; followed ? r < n : r + CTPG_LANES <= n; r += CTPG_LANES)
    CTPG_LANES_AT(other + r) -= CTPG_LANES_AT(below + r) * factor;
  for (; r < n; r++) other[r] -= below[r] * factor;
}

CTPG_WIDE static PetscBool FactorSmall(PetscInt n, PetscReal *A, PetscBLASInt *pivots) {
  for (PetscInt k = 0; k < n; k++) {
    PetscReal *column = A + k * n;
    const PetscInt p = FindPivot(n, column, k);
    pivots[k] = (PetscBLASInt)p;
    if (!(fabs(column[p]) >= DBL_MIN)) return PETSC_FALSE;
    Exchange(n, A, n, k, p);
    const PetscReal scale = 1 / column[k];
    for (PetscInt r = k + 1; r < n; r++) column[r] *= scale;
    PetscReal below[LINEAR_SMALL + CTPG_LANES] = {0}; // what is below the diagonal, zeros about it
    for (PetscInt r = k + 1; r < n; r++) below[r] = column[r];
    for (PetscInt c = k + 1; c < n; c++) SubtractColumn(n, k + 1, below, c < n - 1, A + c * n);
  }
  return PETSC_TRUE;
}

_Static_assert(LINEAR_MOST == CTPG_LANES, "right sides beside each other are one vector");

// y [n, LINEAR_MOST]: the right sides beside each other.
CTPG_WIDE static void SolveTriangles(PetscInt n, const PetscReal *A, PetscReal (*y)[LINEAR_MOST]) {
  for (PetscInt k = 0; k < n; k++) {
    const CtpgLanes solved = CTPG_LANES_AT(y[k]) / A[k * n + k];
    CTPG_LANES_AT(y[k]) = solved;
    for (PetscInt i = k + 1; i < n; i++) CTPG_LANES_AT(y[i]) -= A[i * n + k] * solved;
  }
  for (PetscInt i = n - 2; i >= 0; i--) {
    CtpgLanes rest = CTPG_LANES_AT(y[i]);
    for (PetscInt k = i + 1; k < n; k++) rest -= A[i * n + k] * CTPG_LANES_AT(y[k]);
    CTPG_LANES_AT(y[i]) = rest;
  }
}

static void SolveSmall(PetscInt n, PetscInt count, const PetscReal *factors, const PetscBLASInt *pivots, PetscReal *b) {
  PetscReal y[LINEAR_SMALL][LINEAR_MOST] = {{0}};
  for (PetscInt s = 0; s < count; s++)
    for (PetscInt i = 0; i < n; i++) y[i][s] = b[s * n + i];
  SolveTriangles(n, factors, y);
  for (PetscInt s = 0; s < count; s++) {
    for (PetscInt i = 0; i < n; i++) b[s * n + i] = y[i][s];
    for (PetscInt k = n - 1; k >= 0; k--) Exchange(1, b + s * n, 0, k, pivots[k]);
  }
}

// ---- all ----

PetscBool LinearFactor(PetscInt n, PetscReal *A, PetscBLASInt *pivots) {
  const PetscBLASInt size = (PetscBLASInt)n;
  PetscBLASInt info;
  if (n <= LINEAR_SMALL) return FactorSmall(n, A, pivots);
  LAPACKgetrf_(&size, &size, A, &size, pivots, &info);
  return info ? PETSC_FALSE : PETSC_TRUE;
}

void LinearSolve(PetscInt n, PetscInt count, const PetscReal *factors, const PetscBLASInt *pivots, PetscReal *b) {
  const PetscBLASInt size = (PetscBLASInt)n, sides = (PetscBLASInt)count;
  PetscBLASInt info;
  if (n <= LINEAR_SMALL)
    SolveSmall(n, count, factors, pivots, b);
  else
    LAPACKgetrs_("T", &size, &sides, (PetscReal *)factors, &size, (PetscBLASInt *)pivots, b, &size, &info);
}
