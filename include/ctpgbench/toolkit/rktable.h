// rktable.h -- explicit Runge-Kutta tables: PETSc's own and those registered here; a table is data
#ifndef CTPG_RKTABLE_H
#define CTPG_RKTABLE_H

#include "ctpgbench/base.h"
#include <petscts.h>

#pragma GCC visibility push(default)

#define CTPG_RK_MAX_STAGES 64
#define CTPG_RK_MAX_EXTRA  8

// A Butcher table. Arrays are borrowed from PETSc's registry and live as long as PETSc.
typedef struct {
  const char *name;        // the option's word: "tsit5", "5bs"
  PetscInt s, order;       // stages, order of the solution that is kept
  const PetscReal *A;      // [s, s]
  const PetscReal *b, *c;  // [s]
  const PetscReal *bembed; // [s] of the error estimate; NULL: fixed steps only
  // [s] of a second, lower formula; NULL: none. With estimates e and e2, in norms, the error is e^2 / sqrt(e^2 + 0.01
  // e2^2)
  // (DOP853: Hairer, Norsett, Wanner, Sec. II.10). TSRK knows of the first alone; CtpgRKSolver hands it the combined
  // one.
  const PetscReal *bsecond;
  // Dense output x(t + theta h) = x + h sum_i K_i sum_j binterp[i, j] theta^(j + 1), over ndense derivatives: of the s
  // stages and, where ndense > s, that at the end of the step (i = s) and those of extra stages i > s, at
  // t + cextra[i - s - 1] h with the weights Aextra[i - s - 1] [i] of the derivatives before.
  PetscInt pinterp, ndense, dense_order; // its error between the knots is O(h^(dense_order + 1))
  const PetscReal *binterp;              // [ndense, pinterp]
  const PetscReal *binterp_powers;       // the same [pinterp, whole lanes of ndense], see CtpgRKTableDense
  const PetscReal *Aextra[CTPG_RK_MAX_EXTRA], *cextra;
  PetscBool fsal; // the last stage is the first of the next step
  PetscInt nkept,
      stage_row[CTPG_RK_MAX_STAGES]; // row of stage i > 0 among those of the reverse sweep; -1: it has no part
  PetscBool
      reversed[CTPG_RK_MAX_STAGES]; // [s] has this stage a part in the reverse sweep? (not so an error-only stage)
} CtpgRKTable;

// An unknown name is answered with the list of known ones; `option` names the culprit.
PetscErrorCode CtpgRKTableFind(const char *option, const char *name, CtpgRKTable *table);
// Name under which a TSRK must be set up so that TSAdjointSolve gives right parameter gradients: PETSc 3.16.5 to 3.21.3
// drops the contribution of stages with zero weight, so each such weight but a FSAL last one becomes 1e-40 in a copy of
// the table (also in the last row of A for FSAL types). Forward results keep their bits.
PetscErrorCode CtpgRKTableRegisterForAdjoint(const CtpgRKTable *table, char *type, size_t size);
// Only tables with one of their own, not PETSc's linear default.
PetscBool CtpgRKTableHasDenseOutput(const CtpgRKTable *table);
// The dense output at start + theta h into x [n], from x0 [n] at the start and K [ndense, n].
void CtpgRKTableDense(const CtpgRKTable *table, PetscReal theta, PetscReal h, PetscInt n, const PetscReal *x0,
                      const PetscReal *K, PetscReal *x);
// The adjoint of stage i's derivative in a reverse sweep (reverse.h): kbar [n] = h (b_i alpha + sum_{j>i} a_ji xbar_j),
// from alpha [n] at the end of the step and xbar [s, n] of the later stages that take part.
void CtpgRKTableStageAdjoint(const CtpgRKTable *table, PetscInt i, PetscReal h, PetscInt n, const PetscReal *alpha,
                             const PetscReal *xbar, PetscReal *kbar);
// NULL-terminated list of the known names.
const char *const *CtpgRKTableNames(void);

#pragma GCC visibility pop

#endif
