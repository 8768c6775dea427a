// stride.h -- what TSAdjointSolve reverses: a trajectory of all steps, or states every K steps and a trajectory for K
//
// The forward solve runs without a trajectory and leaves the state at every K-th step, with the lengths of the steps.
// On the way back each interval of K steps, from the last to the first, is made again with a trajectory in memory, to
// the bit, and reversed. PETSc's own two-level scheme (-ts_trajectory_stride) writes to disk, and its schemes in memory
// alone need the package revolve, which Debian's build lacks.
#ifndef CTPG_STRIDE_H
#define CTPG_STRIDE_H

#include "ctpgbench/arena.h"
#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"

#pragma GCC visibility push(default)

typedef struct {
  CtpgClosedLoop loop;
  PetscInt K, n, steps; // steps of an interval, reals of a state, steps of the last solve
  PetscBool equal;      // are the steps equal, so that their lengths need not be kept?
  PetscReal h, origin;  // s, of the newest step; where the solve began
  CtpgArena arena;
  CtpgRows states, lengths; // t, y [n]; h
} CtpgStride;

// For states of n reals.
void CtpgStrideCreate(CtpgClosedLoop loop, PetscInt K, PetscInt n, PetscBool equal, CtpgStride *stride);
void CtpgStrideDestroy(CtpgStride *stride);
void CtpgStrideStart(CtpgStride *stride, PetscReal origin); // before a forward solve from this time on
// From a monitor of the forward solve, for every step and after the last one: TS, step, time and state as it gets them,
// and h, the length of the step before.
PetscErrorCode CtpgStrideRecord(CtpgStride *stride, TS ts, PetscInt step, PetscReal t, Vec y, PetscReal h);
PetscInt CtpgStrideGetIntervals(const CtpgStride *stride);
CtpgInterval CtpgStrideGetInterval(const CtpgStride *stride, PetscInt k);
// Peak of the states and lengths, and of a trajectory of one interval with so many vectors a step.
size_t CtpgStrideGetBytes(const CtpgStride *stride, PetscInt vectors);

// ---- trajectories in memory, with and without a stride ----

// TS keeps all steps of its next solve in memory. The default trajectory writes a file per step.
PetscErrorCode CtpgTrajectoryKeep(TS ts);
// The same for `steps` steps, whatever their lengths: it is set up at once.
PetscErrorCode CtpgTrajectoryKeepSteps(TS ts, PetscInt steps);
// What it holds: so many vectors of n reals a step, and 3 reals.
size_t CtpgTrajectoryBytes(int64_t steps, PetscInt vectors, PetscInt n);
// After TSAdjointSolve: lambda [nx + 1] gives gx0, mu [np] is added to gtheta.
PetscErrorCode CtpgTrajectoryReadGradient(TS ts, const CtpgLoopSizes *sizes, CtpgResult *result);

#pragma GCC visibility pop

#endif
