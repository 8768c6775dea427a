// checkpoints.h -- K states kept out of N steps, and the schedule by which a reverse sweep recomputes the others
//
// Reversing L steps of which the first one's start is stored, with c slots in all, costs at least
//   cost(L, c) = r L - beta(c + 1, r - 1),  beta(c, r) = (c + r)! / (c! r!),  beta(c, r - 1) < L <= beta(c, r)
// forward steps (A. Griewank, A. Walther, "Algorithm 799: revolve", ACM Trans. Math. Softw. 26 (2000), Eq. (3) and
// (5)), besides one evaluation of the stages for each step that is reversed. Where N is known, the forward solve stores
// the states of that optimum. Where it is not, the solve being adaptive, it stores by Q. Wang, P. Moin, G. Iaccarino,
// "Minimal repetition dynamic checkpointing algorithm for unsteady adjoint calculation", SIAM J. Sci. Comput. 31
// (2009), Algorithm 1; on the way back all lengths are known and each gap is reversed optimally with the slots that are
// free by then.
#ifndef CTPG_CHECKPOINTS_H
#define CTPG_CHECKPOINTS_H

#include "ctpgbench/arena.h"

#pragma GCC visibility push(default)

typedef struct {
  PetscInt n;   // the step that starts there
  PetscReal t;  // s
  PetscReal *x; // [nx]
} CtpgCheckpoint;

typedef struct {
  PetscInt capacity, count, nx;
  PetscInt steps, next; // N where it is known, 0 where not; then the step to be stored next
  CtpgRows rows;        // level, n, t, x [nx]: one per slot, taken into use when first needed
  PetscInt *slot;       // [capacity] in the order of time; those from `count` on are free
} CtpgCheckpoints;

PetscErrorCode CtpgCheckpointsCreate(CtpgArena *arena, PetscInt capacity, PetscInt nx, CtpgCheckpoints *checkpoints);
PetscErrorCode CtpgCheckpointsDestroy(CtpgCheckpoints *checkpoints);
// Before a forward solve of `steps` steps; 0: not known.
void CtpgCheckpointsStart(CtpgCheckpoints *checkpoints, PetscInt steps);
// At the start of each step of the forward solve, in order: is stored or not. PETSC_FALSE when memory is used up.
PetscBool CtpgCheckpointsOffer(CtpgCheckpoints *checkpoints, PetscInt n, PetscReal t, const PetscReal *x);

// The latest one.
CtpgCheckpoint CtpgCheckpointsTop(const CtpgCheckpoints *checkpoints);
void CtpgCheckpointsPop(CtpgCheckpoints *checkpoints);
// Steps to go forward from the latest one, so that the steps from it to `end` are reversed optimally; *store: put a
// checkpoint there (else: reverse the step that starts there, which is the last).
PetscInt CtpgCheckpointsAdvance(const CtpgCheckpoints *checkpoints, PetscInt end, PetscBool *store);
// As told by CtpgCheckpointsAdvance. PETSC_FALSE when memory is used up.
PetscBool CtpgCheckpointsPush(CtpgCheckpoints *checkpoints, PetscInt n, PetscReal t, const PetscReal *x);

// cost(L, c), and the position 0 < m < L of the next checkpoint for c >= 2 slots.
double CtpgCheckpointCost(PetscInt L, PetscInt c);
PetscInt CtpgCheckpointSplit(PetscInt L, PetscInt c);

#pragma GCC visibility pop

#endif
