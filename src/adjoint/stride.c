// stride.c -- see stride.h

#include "ctpgbench/toolkit/stride.h"

void CtpgStrideCreate(CtpgClosedLoop loop, PetscInt K, PetscInt n, PetscBool equal, CtpgStride *s) {
  *s = (CtpgStride){.loop = loop, .K = K, .n = n, .equal = equal};
  CtpgRowsInit(&s->states, &s->arena, 1 + n);
  CtpgRowsInit(&s->lengths, &s->arena, 1);
}

void CtpgStrideDestroy(CtpgStride *s) {
  CtpgRowsFree(&s->states);
  CtpgRowsFree(&s->lengths);
}

void CtpgStrideStart(CtpgStride *s, PetscReal origin) {
  CtpgRowsTruncate(&s->states, 0);
  CtpgRowsTruncate(&s->lengths, 0);
  CtpgArenaReset(&s->arena);
  s->steps = 0;
  s->origin = origin;
}

static PetscReal *Push(CtpgStride *s, CtpgRows *rows) {
  PetscReal *row = CtpgRowsPush(rows);
  if (!row)
    CtpgClosedLoopFail(s->loop, CTPG_STEP_LIMIT, "no memory for the states of more than %d steps", (int)s->steps);
  return row;
}

static void KeepLength(CtpgStride *s, PetscReal h) {
  PetscReal *length;
  s->h = h;
  if (!s->equal && (length = Push(s, &s->lengths))) *length = h;
}

PetscErrorCode CtpgStrideRecord(CtpgStride *s, TS ts, PetscInt step, PetscReal t, Vec Y, PetscReal h) {
  TSConvergedReason reason;
  const PetscReal *y;
  PetscReal *row;

  PetscFunctionBeginUser;
  s->steps = step;
  if (step > 0) KeepLength(s, h);
  PetscCall(TSGetConvergedReason(ts, &reason));
  if (reason || step % s->K || !(row = Push(s, &s->states))) PetscFunctionReturn(0);
  row[0] = t;
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(PetscArraycpy(row + 1, y, s->n));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

PetscInt CtpgStrideGetIntervals(const CtpgStride *s) {
  return s->states.count;
}

CtpgInterval CtpgStrideGetInterval(const CtpgStride *s, PetscInt k) {
  const PetscReal *row = CtpgRowsAt(&s->states, k);
  const PetscInt first = k * s->K;
  return (CtpgInterval){.origin = s->origin,
                        .first = first,
                        .steps = PetscMin(s->K, s->steps - first),
                        .t = row[0],
                        .y = row + 1,
                        .h = s->equal ? s->h : 0,
                        .lengths = &s->lengths};
}

size_t CtpgStrideGetBytes(const CtpgStride *s, PetscInt vectors) {
  const PetscInt longest = PetscMin(s->K, s->steps);
  return s->arena.peak + CtpgTrajectoryBytes(longest, vectors, s->n);
}

// ---- trajectories ----

PetscErrorCode CtpgTrajectoryKeep(TS ts) {
  TSTrajectory trajectory;
  PetscFunctionBeginUser;
  PetscCall(TSResetTrajectory(ts));
  PetscCall(TSSetSaveTrajectory(ts));
  PetscCall(TSGetTrajectory(ts, &trajectory));
  PetscCall(TSTrajectorySetType(trajectory, ts, TSTRAJECTORYMEMORY));
  PetscFunctionReturn(0);
}

// Where TS's steps do not adapt, PETSc reckons how many there will be from the length of the first.
PetscErrorCode CtpgTrajectoryKeepSteps(TS ts, PetscInt steps) {
  TSTrajectory trajectory;
  PetscFunctionBeginUser;
  PetscCall(CtpgTrajectoryKeep(ts));
  PetscCall(TSSetTime(ts, 0));
  PetscCall(TSSetTimeStep(ts, 1));
  PetscCall(TSSetMaxTime(ts, (PetscReal)steps));
  PetscCall(TSSetMaxSteps(ts, steps));
  PetscCall(TSGetTrajectory(ts, &trajectory));
  PetscCall(TSTrajectorySetUp(trajectory, ts));
  PetscFunctionReturn(0);
}

size_t CtpgTrajectoryBytes(int64_t steps, PetscInt vectors, PetscInt n) {
  return (size_t)steps * (size_t)(vectors * n + 3) * sizeof(PetscReal);
}

PetscErrorCode CtpgTrajectoryReadGradient(TS ts, const CtpgLoopSizes *sizes, CtpgResult *result) {
  Vec *lambdas, *mus;
  const PetscReal *lambda, *mu;

  PetscFunctionBeginUser;
  PetscCall(TSGetCostGradients(ts, NULL, &lambdas, &mus));
  PetscCall(VecGetArrayRead(*lambdas, &lambda));
  PetscCall(VecGetArrayRead(*mus, &mu));
  PetscCall(PetscArraycpy(result->gx0, lambda, sizes->nx));
  for (PetscInt k = 0; k < sizes->np; k++) result->gtheta[k] += mu[k];
  PetscCall(VecRestoreArrayRead(*mus, &mu));
  PetscCall(VecRestoreArrayRead(*lambdas, &lambda));
  PetscFunctionReturn(0);
}
