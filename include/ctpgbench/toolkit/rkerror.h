// rkerror.h -- error norm of an attempted Runge-Kutta step, for what TSRK's own cannot do
//
//   e_i = h sum_j (bembed_j - b_j) K_j,i,   tol_i = atol + rtol max(|y_i|, |y_i + e_i|),   y = y0 + h sum_j b_j K_j
//   norm = sqrt(sum_i (e_i / tol_i)^2 / n):   that of TSErrorWeightedNorm2
// With a second formula (see CtpgRKTable) E^2 / sqrt(E^2 + 0.01 E2^2) of both norms. Components are added in blocks, so
// that some of them need not ride in TS's state.
#ifndef CTPG_RKERROR_H
#define CTPG_RKERROR_H

#include "ctpgbench/toolkit/rktable.h"

#pragma GCC visibility push(default)

typedef struct {
  PetscReal first, second; // sums of squared scaled errors
  PetscInt n;              // components
} CtpgRKErrorSums;

// What a step of length h sums over its stages, without the stages that have no part in any of the sums:
//   weight[0][i] = h b_j,  [1][i] = h (bembed_j - b_j),  [2][i] = h (bsecond_j - b_j)   for j = stage[i], i < n
typedef struct {
  PetscInt n, nsums; // nsums 1: errors are not wanted; 2; 3: there is a second formula
  PetscInt stage[CTPG_RK_MAX_STAGES];
  PetscReal weight[3][CTPG_RK_MAX_STAGES];
} CtpgRKWeights;
void CtpgRKWeightsOf(const CtpgRKTable *table, PetscReal h, PetscBool errors, CtpgRKWeights *weights);

// n components and their tolerances; y1 [n]: y at the end of the step; weights [n] multiply the errors (NULL: ones).
typedef struct {
  PetscInt n;
  PetscReal rtol, atol;
  const PetscReal *weights;
  PetscReal *y1;
} CtpgRKErrorBlock;

// From y0 [n] and the derivatives K [s] -> [n]; sets y1.
void CtpgRKErrorAdd(const CtpgRKTable *table, PetscReal h, const PetscReal *y0, const PetscReal *const *K,
                    const CtpgRKErrorBlock *block, CtpgRKErrorSums *sums);
// Components [offset, offset + n), whose y1 and errors are known, n <= CTPG_RK_ERROR_PIECE: first and, NULL without a
// second formula, second [n].
#define CTPG_RK_ERROR_PIECE 256
void CtpgRKErrorAddPiece(const CtpgRKErrorBlock *block, PetscInt offset, PetscInt n, const PetscReal *first,
                         const PetscReal *second, CtpgRKErrorSums *sums);
PetscReal CtpgRKErrorNorm(const CtpgRKErrorSums *sums);

#pragma GCC visibility pop

#endif
