// linear.h -- dense linear systems, a few right sides at once: LAPACK's, and loops of our own where they are small
//
// Up to LINEAR_SMALL unknowns LAPACK's calls take several times what their arithmetic takes. Our loops do that
// arithmetic in the order of its reference: the same bits, whichever library is linked.
#ifndef LINEAR_H
#define LINEAR_H

#include <petscsys.h>

#include <petscblaslapack.h>

#define LINEAR_SMALL 16
#define LINEAR_MOST  4 // right sides

// A [n, n], by rows, becomes its factors, with pivots [n]. False: it is singular.
PetscBool LinearFactor(PetscInt n, PetscReal *A, PetscBLASInt *pivots);
// b [count, n], up to LINEAR_MOST right sides one behind the other, become A^-1 b.
void LinearSolve(PetscInt n, PetscInt count, const PetscReal *factors, const PetscBLASInt *pivots, PetscReal *b);

#endif
