// forward.h -- the forward solve of the closed loop, and the record of its accepted steps
//
//   x' = f(t, x),  loss' = w(t, x): the loss rides as an extra component with zero tolerance, never in the error norm,
//                  so
//   that all estimators walk on the same mesh.
#ifndef CTPG_FORWARD_H
#define CTPG_FORWARD_H

#include "ctpgbench/toolkit/checkpoints.h"
#include "ctpgbench/toolkit/rksolver.h"

#pragma GCC visibility push(default)

// What is kept of each accepted step, beside its t and h.
typedef enum {
  CTPG_KEEP_NOTHING = 0, // not even t and h
  CTPG_KEEP_STATES = 1,  // x at the start of the step
  CTPG_KEEP_STAGES = 2,  // states of the stages that the reverse sweep needs, X_1 .. (X_0 is the state)
  CTPG_KEEP_SLOPES = 4,  // derivatives of all stages, for the table's own dense output, and of its extra stages
  CTPG_KEEP_ENDS = 8,    // derivative at the start of the step, for Hermite splines
  CTPG_KEEP_OUTPUTS = 16 // with CTPG_KEEP_STAGES: of the policy's layers at these states (CtpgClosedLoopEvalKeep)
} CtpgKeep;

typedef struct ForwardSolve_s *CtpgForwardSolve;

// One accepted step, read from the record.
typedef struct {
  PetscReal t, h;
  PetscInt piece;          // between which breaks (see CtpgClosedLoopSetPiece), -1: breaks are not respected
  const PetscReal *x;      // [nx]
  const PetscReal *stages; // [nstages, nx] of the reverse sweep, see CtpgRKTable.stage_row
  const PetscReal *slopes; // [ndense, nx] or [1, nx]
  const PetscReal *kept;   // [1 + nstages, CtpgClosedLoopGetKeptSize] of x and of the stages; NULL: not kept
} CtpgStep;

PetscErrorCode CtpgForwardCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, const char *rk_type, int keep,
                                 CtpgForwardSolve *forward);
// Keep at most `limit` steps of the following runs, evenly spread from the first on: every step, and whenever there
// would be more, every second of those kept. For CTPG_KEEP_STATES alone. 0: all.
void CtpgForwardSetLimit(CtpgForwardSolve forward, PetscInt limit);
void CtpgForwardSetPurpose(CtpgForwardSolve forward,
                           CtpgPurpose purpose); // of the following runs; at first CTPG_FORWARD
// In place of the record of the following runs: its last step alone (step 0 of CtpgForwardGetStep, kept as created),
// the lengths of all steps where they differ, and up to K states (checkpoints.h).
PetscErrorCode CtpgForwardUseCheckpoints(CtpgForwardSolve forward, PetscInt K);
PetscErrorCode CtpgForwardDestroy(CtpgForwardSolve *forward);

// From x0 [nx] at time 0 to T, from break to break where they are respected; forgets the record before. result: loss,
// steps, rejected, h are set or added to.
PetscErrorCode CtpgForwardRun(CtpgForwardSolve forward, const PetscReal *x0, PetscReal accuracy, CtpgResult *result);

// n <= CTPG_MOST_AT_ONCE such runs side by side, each with a loop of its own, from x0 [n, nx]: the bits and counts of
// single runs.
PetscErrorCode CtpgForwardRunMany(PetscInt n, const CtpgForwardSolve *forwards, const PetscReal *x0, PetscReal accuracy,
                                  CtpgResult *results);

PetscInt CtpgForwardGetSteps(CtpgForwardSolve forward); // those in the record
CtpgStep CtpgForwardGetStep(CtpgForwardSolve forward, PetscInt n);
// With checkpoints: start, length and piece of step n, when the step before ended at t. The same bits.
CtpgStep CtpgForwardGetMesh(CtpgForwardSolve forward, PetscInt n, PetscReal t);
CtpgCheckpoints *CtpgForwardGetCheckpoints(CtpgForwardSolve forward);
const PetscReal *CtpgForwardGetEnd(CtpgForwardSolve forward); // x(T) [nx]
// f [nx] at the end of step n, at a break on the step's side of it. Only with CTPG_KEEP_ENDS.
const PetscReal *CtpgForwardGetNextSlope(CtpgForwardSolve forward, PetscInt n);
const CtpgRKTable *CtpgForwardGetTable(CtpgForwardSolve forward);
CtpgRKSolver CtpgForwardGetSolver(CtpgForwardSolve forward);
size_t CtpgForwardGetBytes(CtpgForwardSolve forward); // peak of the record since CtpgForwardRun

#pragma GCC visibility pop

#endif
