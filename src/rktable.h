// rktable.h -- explicit Runge-Kutta tables: PETSc's own and those registered here; a table is data
#ifndef CTPG_RKTABLE_H
#define CTPG_RKTABLE_H

#include "base.h"
#include <petscts.h>

// A Butcher table. Arrays are borrowed from PETSc's registry and live as long as PETSc.
typedef struct {
  const char *name;         // the option's word: "tsit5", "5bs"
  PetscInt s, order;        // stages, order of the solution that is kept
  const PetscReal *A;       // [s, s]
  const PetscReal *b, *c;   // [s]
  const PetscReal *bembed;  // [s] of the error estimate; NULL: fixed steps only
  PetscInt pinterp;         // degree of the dense output
  const PetscReal *binterp; // [s, pinterp]: x(t + theta h) = x + h sum_i K_i sum_j binterp[i, j] theta^(j + 1)
  PetscBool fsal;           // the last stage is the first of the next step
  PetscBool reversed[64];   // [s] has this stage a part in the reverse sweep? (not so an error-only stage)
} CtpgRKTable;

#define CTPG_RK_MAX_STAGES 64

// An unknown name is answered with the list of known ones; `option` names the culprit.
PetscErrorCode RKTableFind(const char *option, const char *name, CtpgRKTable *table);
// Name under which a TSRK must be set up so that TSAdjointSolve gives right parameter gradients: PETSc 3.16.5 to 3.21.3
// drops the contribution of stages with zero weight, so each such weight but a FSAL last one becomes 1e-40 in a copy of
// the table (also in the last row of A for FSAL types). Forward results keep their bits.
PetscErrorCode RKTableRegisterForAdjoint(const CtpgRKTable *table, char *type, size_t size);
// Local order of the dense output is pinterp-limited: only tables with one of their own (not PETSc's linear default).
PetscBool RKTableHasDenseOutput(const CtpgRKTable *table);
// NULL-terminated list of the known names.
const char *const *RKTableNames(void);

#endif
