// closedloop_engine.h -- the half of a closed loop that estimators do not see: who makes it, starts it and reads its
// counts
#ifndef CTPG_CLOSEDLOOP_ENGINE_H
#define CTPG_CLOSEDLOOP_ENGINE_H

#include "ctpgbench/closedloop.h"
#include "loop/policy.h"

// What may end a run from outside, and who wants to be called now and then; all optional.
typedef struct {
  int64_t eval_limit;       // evaluations (nf + nvjp + njvp); 0: none
  double time_limit;        // s since CtpgClosedLoopStart; 0: none
  const volatile int *stop; // set by a signal handler
  void (*tick)(void *);     // called about every 256th evaluation
  void *tick_context;
} CtpgLimits;

// Set by a handler: a loop looks around at its next evaluation, whenever it looked last.
extern volatile int CtpgClosedLoopsLookAtOnce;

// Sees every point at which the loop is evaluated: `product` for vector-Jacobian products. The path that an estimator
// believes in on its way back is where it asks for products: `trace` needs nothing from the estimator.
typedef void (*CtpgObserver)(void *context, CtpgPurpose purpose, PetscBool product, PetscReal t, const PetscReal *x);
void CtpgClosedLoopSetObserver(CtpgClosedLoop loop, CtpgObserver observer, void *context); // NULL: nobody
// Sees the state at the start of a forward solve and after each step that it accepts: the path that an estimator
// believes in on its way out. Solves by forward.h tell; NULL: nobody listens.
typedef void (*CtpgStepObserver)(void *context, PetscReal t, const PetscReal *x);
void CtpgClosedLoopSetStepObserver(CtpgClosedLoop loop, CtpgStepObserver observer, void *context);
void CtpgClosedLoopPass(CtpgClosedLoop loop, PetscReal t, const PetscReal *x); // what a forward solve calls
// u [nu] at one point, for pictures; not counted.
CtpgStatus CtpgClosedLoopControl(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *u);

// type, ctx, policy and theta [np] are borrowed; dims as create filled them, with the horizon of this case.
PetscErrorCode CtpgClosedLoopCreate(const CtpgProblemType *type, void *ctx, const CtpgDims *dims, CtpgPolicy policy,
                                    CtpgClosedLoop *loop);
PetscErrorCode CtpgClosedLoopDestroy(CtpgClosedLoop *loop);
// Parameters theta [np], tasks [B, ntask] (may be NULL when ntask = 0) of B starts and horizon of the next run; all
// borrowed. theta is read at the call and stays as it is until the next one. Until the first call parameters and tasks
// are zero.
void CtpgClosedLoopSetCase(CtpgClosedLoop loop, const PetscReal *theta, PetscInt B, const PetscReal *tasks,
                           PetscReal T);
// The same theta, packed once, and horizon as those of another loop of this problem, which must stay as it is; the task
// [ntask] of one start. For starts side by side (CtpgClosedLoopsEval).
void CtpgClosedLoopSetCaseLike(CtpgClosedLoop loop, CtpgClosedLoop other, const PetscReal *task);
// Forget counts, status and marks; start the clock of the limits. Called by the engine before each run.
void CtpgClosedLoopStart(CtpgClosedLoop loop, const CtpgLimits *limits);
// Until the next Start every evaluation is refused: an estimator's create, memory and destroy have nothing to evaluate.
// Status and counts stay to be read.
void CtpgClosedLoopStop(CtpgClosedLoop loop);
// Around an estimator's setup: parameters and tasks are zero, and what is evaluated counts as start-up of every later
// run, so that no row depends on which run was first.
void CtpgClosedLoopStartSetUp(CtpgClosedLoop loop);
void CtpgClosedLoopStopSetUp(CtpgClosedLoop loop);
void CtpgClosedLoopGetCounts(CtpgClosedLoop loop, CtpgPurpose purpose, CtpgCounts *counts);
void CtpgClosedLoopGetTotals(CtpgClosedLoop loop, CtpgCounts *counts);
int64_t CtpgNFE(const CtpgCounts *counts); // nf + nvjp + njvp + njac_products
// Are the products of this problem central differences?
PetscBool CtpgClosedLoopUsesDifferences(CtpgClosedLoop loop);

#endif
