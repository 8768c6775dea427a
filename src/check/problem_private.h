// problem_private.h -- what the checks of a problem share: its random points, room to work, and its slots called alike
#ifndef CTPG_CHECK_PROBLEM_PRIVATE_H
#define CTPG_CHECK_PROBLEM_PRIVATE_H

#include "check/problem.h"

typedef struct {
  CheckReport *report;
  const CheckSettings *settings;
  CtpgProblem problem;
  PetscInt nx, nu, no, np;
  PetscInt n;                        // random points
  PetscReal *t, *x, *u, *v, *c;      // [n], [n, nx], [n, nu], [n, nx], [n]: points, and factors of products there
  PetscReal *go, *du, *tasks;        // [n, no], [n, nu], [n, ntask]
  PetscInt *starts, *pieces;         // [n] each point of a start of its own, on a side of its own
  PetscReal *out[3];                 // outputs of a slot at n points
  PetscReal *kept;                   // [nx + no]
  PetscReal *found;                  // [max(nx + 1, no), nx + nu] a matrix by products
  PetscReal *unit;                   // [nx + nu] a direction
  PetscReal *work;                   // of CheckDifferences
  PetscReal *expected, *uncertainty; // [max(nx + 1, no)] one column by differences
  PetscBool derivatives_right;
  char not_finite[256]; // the first random point with CTPG_OK and a result that is not finite
} ProblemCheck;

typedef enum { EVAL, OBSERVE, EVAL_VJP, OBSERVE_VJP, EVAL_JVP, OBSERVE_JVP, JACOBIAN, TERMINAL, NUM_SLOTS } Slot;

// Has the problem this slot? Reals that it returns at n points. A call at n points from p on, of the start of point `start`,
// into `out` [that size], zeroed before.
PetscBool CheckHasSlot(const ProblemCheck *check, Slot slot);
PetscInt CheckSlotSize(const ProblemCheck *check, Slot slot, PetscInt n);
CtpgStatus CheckCallFresh(const ProblemCheck *check, Slot slot, PetscInt start, PetscInt p, PetscInt n, PetscReal *out);
// "point 3: t = .., x = (..), u = (..)" into text [size], and returned.
const char *CheckWhere(const ProblemCheck *check, PetscInt p, size_t size, char *text);

// Are the slots functions of their arguments, whatever was called before?
PetscBool CheckSlotsPure(ProblemCheck *check);
// Do calls at many points equal calls at one, overwrite or accumulate as they must, and are products linear?
PetscBool CheckSlotsAtManyPoints(ProblemCheck *check);
// Are the derivatives right, entry by entry? Sets derivatives_right.
PetscBool CheckDerivatives(ProblemCheck *check);
// Do eval_jvp, observe_jvp and jacobian agree with the products, which are right?
PetscBool CheckOptionalSlots(ProblemCheck *check);

// Names, units and constants of dims, which go into results files.
void CheckMetadata(const ProblemCheck *check);

// What is given with the start of point p.
CtpgTask ProblemCheckTask(const ProblemCheck *check, PetscInt p);

// Products, directional derivatives, Jacobian and counts of the closed loop, and the closed form.
PetscErrorCode CheckLoopOfProblem(ProblemCheck *check);

#endif
