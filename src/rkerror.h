// rkerror.h -- error norm of an attempted Runge-Kutta step, for what TSRK's own cannot do
//
//   e_i = h sum_j (bembed_j - b_j) K_j,i,   tol_i = atol + rtol max(|y_i|, |y_i + e_i|),   y = y0 + h sum_j b_j K_j
//   norm = sqrt(sum_i (e_i / tol_i)^2 / n):   that of TSErrorWeightedNorm2
// With a second formula (see CtpgRKTable) E^2 / sqrt(E^2 + 0.01 E2^2) of both norms. Components are added in blocks, so that
// some of them need not ride in TS's state.
#ifndef CTPG_RKERROR_H
#define CTPG_RKERROR_H

#include "rktable.h"

typedef struct {
  PetscReal first, second; // sums of squared scaled errors
  PetscInt n;              // components
} RKErrorSums;

// A step of n components: y0 [n], derivatives K [s] -> [n]; y1 [n] = y at the end of the step. weights [n] multiply the
// errors (NULL: ones).
typedef struct {
  PetscInt n;
  PetscReal h, rtol, atol;
  const PetscReal *y0, *const *K, *weights;
  PetscReal *y1;
} RKErrorBlock;

void RKErrorAdd(const CtpgRKTable *table, const RKErrorBlock *block, RKErrorSums *sums);
PetscReal RKErrorNorm(const RKErrorSums *sums);

#endif
