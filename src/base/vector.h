// vector.h -- arithmetic on short vectors of reals, one home for all rooms
//
// Sums come in two orders, whose last bits differ: one after the other, as CtpgNorm adds them (base.h), or, in the
// functions named ...Wide, in as many strands as the CPU has lanes, which is several times faster for the thousands of
// parameters of a policy. Whoever calls one of them keeps calling it: the order is part of his results.
#ifndef CTPG_VECTOR_H
#define CTPG_VECTOR_H

#include "ctpgbench/base.h"

// Is every |v[i]| below 1e100? Beyond it a number counts as not finite: squares and norms of it must not overflow.
PetscBool VectorIsFinite(PetscInt n, const PetscReal *v);
// Nothing where v is NULL.
void VectorFillNaN(PetscInt n, PetscReal *v);
// ||v||, ||a - b||
PetscReal VectorNormWide(PetscInt n, const PetscReal *v);
PetscReal VectorDistance(PetscInt n, const PetscReal *a, const PetscReal *b);
PetscReal VectorDistanceWide(PetscInt n, const PetscReal *a, const PetscReal *b);
// Bit for bit, NaN and the sign of zero included.
PetscBool VectorSameBits(PetscInt n, const PetscReal *a, const PetscReal *b);
// Sorts values; NaN for none.
double CtpgMedian(size_t n, double *values);

#endif
