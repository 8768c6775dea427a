// held.h -- a results file gone through, some thousand runs at a time: is it of this very plan, what has it finished?
#ifndef CTPG_SWEEP_HELD_H
#define CTPG_SWEEP_HELD_H

#include "sweep/plan.h"

typedef struct {
  const CtpgPlan *plan;
  const CtpgStorePlan *layout; // of its file, which may hold gradients beyond it; NULL: nothing but its runs counts
  CostModel costs;             // learns what finished items have taken, where the file is of this plan
  // Each run of a file of this plan, in order. NULL: nobody asks.
  void (*take)(void *context, PetscInt r, const CtpgRunRow *row, PetscBool done);
  void *context;
  // What is found:
  CtpgContents file;   // all but the runs; the caller's (ContentsDestroy)
  PetscBool same;      // it is of this plan: with a layout, it can be written into as it is
  PetscInt done;       // runs that are finished
  PetscInt missing;    // runs that the plan does not have,
  CtpgRunRow stranger; // and the first of them
} Held;

// Rank 0. What is to be found is set here.
PetscErrorCode HeldRead(const char *path, Held *held);

#endif
