// stride.h -- two-level storage for TSAdjointSolve: states every K steps, and a trajectory for K steps
//
// The forward solve runs without a trajectory and leaves the state at every K-th step, with the lengths of the steps. On the way back
// each interval of K steps, from the last to the first, is made again with a trajectory in memory, to the bit, and reversed.
// PETSc's own two-level scheme (-ts_trajectory_stride) writes to disk, and its schemes in memory alone need the package
// revolve, which Debian's build lacks.
#ifndef CTPG_STRIDE_H
#define CTPG_STRIDE_H

#include "arena.h"
#include "rksolver.h"

typedef struct {
  ClosedLoop loop;
  PetscInt K, n, steps; // steps of an interval, reals of a state, steps of the last solve
  PetscBool equal;      // are the steps equal, so that their lengths need not be kept?
  PetscReal h;          // of the newest step
  CtpgArena arena;
  CtpgRows states, lengths; // t, y [n]; h
} CtpgStride;

// For states of n reals.
void StrideInit(CtpgStride *stride, ClosedLoop loop, PetscInt K, PetscInt n, PetscBool equal);
void StrideFree(CtpgStride *stride);
void StrideStart(CtpgStride *stride); // before a forward solve
// From a monitor of the forward solve, for every step and after the last one: TS, step, time and state as it gets them, and
// h, the length of the step before.
PetscErrorCode StrideRecord(CtpgStride *stride, TS ts, PetscInt step, PetscReal t, Vec y, PetscReal h);
// After it: TS's trajectory, of type memory, is made anew for an interval and set up, so that it takes its steps whatever
// their lengths.
PetscErrorCode StrideRenewTrajectory(TS ts, PetscInt steps);
PetscInt StrideGetIntervals(const CtpgStride *stride);
CtpgInterval StrideGetInterval(const CtpgStride *stride, PetscInt k);
// Peak of the states and lengths, and of a trajectory of one interval with `vectors` states and 3 reals a step.
size_t StrideGetBytes(const CtpgStride *stride, PetscInt vectors);

// TS keeps all steps of its next solve in memory. The default trajectory writes a file per step.
PetscErrorCode CtpgKeepTrajectoryInMemory(TS ts);

#endif
