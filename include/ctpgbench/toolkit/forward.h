// forward.h -- the forward solve of the closed loop, and the record of its accepted steps
//
//   x' = f(t, x),  loss' = w(t, x): the loss rides as an extra component with zero tolerance, never in the error norm, so
//   that all estimators walk on the same mesh.
#ifndef CTPG_FORWARD_H
#define CTPG_FORWARD_H

#include "ctpgbench/toolkit/checkpoints.h"
#include "ctpgbench/toolkit/rksolver.h"

// What is kept of each accepted step, beside its t and h.
typedef enum {
  CTPG_KEEP_NOTHING = 0, // not even t and h
  CTPG_KEEP_STATES = 1,  // x at the start of the step
  CTPG_KEEP_STAGES = 2,  // states of the stages that the reverse sweep needs, X_1 .. (X_0 is the state)
  CTPG_KEEP_SLOPES = 4,  // derivatives of all stages, for the table's own dense output, and of its extra stages
  CTPG_KEEP_ENDS = 8     // derivative at the start of the step, for Hermite splines
} CtpgKeep;

typedef struct ForwardSolve_s *ForwardSolve;

// One accepted step, read from the record.
typedef struct {
  PetscReal t, h;
  PetscInt piece;          // between which breaks (see ClosedLoopSetPiece), -1: breaks are not respected
  const PetscReal *x;      // [nx]
  const PetscReal *stages; // [nstages, nx] of the reverse sweep, see CtpgRKTable.stage_row
  const PetscReal *slopes; // [ndense, nx] or [1, nx]
} CtpgStep;

PetscErrorCode ForwardCreate(ClosedLoop loop, const RKOptions *rk, const char *rk_type, int keep,
                             ForwardSolve *forward);
// Keep at most `limit` steps of the following runs, evenly spread from the first on: every step, and whenever there would be
// more, every second of those kept. For CTPG_KEEP_STATES alone. 0: all.
void ForwardSetLimit(ForwardSolve forward, PetscInt limit);
void ForwardSetPurpose(ForwardSolve forward, CtpgPurpose purpose); // of the following runs; at first CTPG_FORWARD
// In place of the record of the following runs: its last step alone (step 0 of ForwardGetStep, kept as created), the lengths
// of all steps where they differ, and up to K states (checkpoints.h).
PetscErrorCode ForwardUseCheckpoints(ForwardSolve forward, PetscInt K);
PetscErrorCode ForwardDestroy(ForwardSolve *forward);

// From x0 [nx] at time 0 to T, from break to break where they are respected; forgets the record before. result: loss, steps, rejected, h are set or added to.
PetscErrorCode ForwardRun(ForwardSolve forward, const PetscReal *x0, PetscReal accuracy, CtpgResult *result);

PetscInt ForwardGetSteps(ForwardSolve forward); // those in the record
CtpgStep ForwardGetStep(ForwardSolve forward, PetscInt n);
// With checkpoints: start, length and piece of step n, when the step before ended at t. The same bits.
CtpgStep ForwardGetMesh(ForwardSolve forward, PetscInt n, PetscReal t);
CtpgCheckpoints *ForwardGetCheckpoints(ForwardSolve forward);
const PetscReal *ForwardGetEnd(ForwardSolve forward); // x(T) [nx]
// f [nx] at the end of step n, at a break on the step's side of it. Only with CTPG_KEEP_ENDS.
const PetscReal *ForwardGetNextSlope(ForwardSolve forward, PetscInt n);
const CtpgRKTable *ForwardGetTable(ForwardSolve forward);
RKSolver ForwardGetSolver(ForwardSolve forward);
size_t ForwardGetBytes(ForwardSolve forward); // peak of the record since ForwardRun

#endif
