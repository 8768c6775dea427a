// rksolver.h -- explicit Runge-Kutta solves, with every stage, step and rejection made visible; by a loop that has the
// bits of PETSc's TSRK, or by TSRK itself
//
// One solver serves thousands of solves: same bits, constant memory. Time runs forward only; backward solves run in
// s = T - t. The callbacks' statuses end the solve: TS never sees a number that is not finite, and no PETSc error
// rises. Where steps are adaptive a stage beyond the first at which the loop is not defined rejects the step, whose
// length is then changed as for an infinite error; it ends the solve where steps have become too short (closedloop.h)
// or 40 in a row were rejected.
#ifndef CTPG_RKSOLVER_H
#define CTPG_RKSOLVER_H

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rkerror.h"

#pragma GCC visibility push(default)

typedef struct RKSolver_s *CtpgRKSolver;

// Consecutive steps of a solve, to be made again (stride.h).
typedef struct {
  PetscReal origin;        // s, where that solve began
  PetscInt first, steps;   // the number of the first one, how many
  PetscReal t;             // s, TS's time at the start: for equal steps a sum of rounded ones
  const PetscReal *y;      // [n] state there
  PetscReal h;             // s, length of each; 0: they differ
  const CtpgRows *lengths; // then [1], of all steps of the solve
} CtpgInterval;
PetscReal CtpgIntervalLength(const CtpgInterval *interval, PetscInt k); // of its k-th step

// Called during a solve of y' = F(t, y), y [n].
typedef struct {
  void *context;
  // ydot [n] = F(t, y) for stage i of the step that starts at t0 with length h (see CtpgRKSolverGetStep). Stage 0 is
  // asked for only where it is not known already: from the last stage of the step before (FSAL), from an earlier
  // attempt of the same step, or from the choice of the first step (stage -1 is its trial step).
  CtpgStatus (*rhs)(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot);
  // y of stage i is known, for every i of every attempt, before its rhs. NULL: not wanted.
  void (*stage)(void *context, PetscInt i, const PetscReal *y);
  // The step was accepted; y [n] at its end. NULL: not wanted.
  void (*accept)(void *context, const PetscReal *y);
  // Adds the errors of controlled components that do not ride in y; asked for after the last rhs of every attempt of an
  // adaptive solve. NULL: there are none.
  void (*error)(void *context, PetscReal h, PetscReal rtol, PetscReal atol, CtpgRKErrorSums *sums);
} CtpgRKCallbacks;

// What holds for every solve, those of the engine too, unless an option or its author says otherwise.
#define CTPG_DEFAULT_ATOL_FACTOR 1e-3
#define CTPG_DEFAULT_STEP_LIMIT  100000

// How steps follow from errors: the elementary one, and two of TSAdaptDSP's filters.
typedef enum { CTPG_CONTROLLER_I, CTPG_CONTROLLER_PI42, CTPG_CONTROLLER_H211B } CtpgController;

// Options of an adaptive estimator, and how its tolerances follow from the accuracy of a run.
typedef struct {
  CtpgRKTable table;
  PetscBool fixed;       // equal steps, knob dt; else error control, knob rtol
  PetscReal atol_factor; // atol = atol_factor rtol
  PetscBool scale_atol;  // times the largest |y_i| so far, of all controlled components in y
  // Weights [controlled] of the errors of a step that ends at t. NULL: ones.
  const PetscReal *(*weights)(void *context, PetscReal t);
  void *weights_context;
  PetscReal safety; // of the step that the error estimate allows; 0: 0.9
  CtpgController controller;
  PetscBool by_ts;          // the steps are TSRK's, for whoever needs the TS; the bits are the same
  PetscBool respect_breaks; // stop at the problem's break times instead of stepping over them
  PetscInt step_limit;
} CtpgRKOptions;
// Reads rk (default_table), steps, atol_factor, step_limit, safety, controller, rk_loop, respect_breaks; sets the knob
// and, from the table, the order.
PetscErrorCode CtpgRKOptionsRead(CtpgOptions options, const char *default_table, CtpgRKOptions *rk, CtpgTraits *traits);
// Reads steps (fixed by default), atol_factor and step_limit alone: for methods that are not Runge-Kutta tables, of
// `order`.
PetscErrorCode CtpgRKOptionsReadSteps(CtpgOptions options, PetscReal order, CtpgRKOptions *rk, CtpgTraits *traits);
// Reads atol_factor and step_limit alone, for solvers that control their steps on their own.
PetscErrorCode CtpgRKOptionsReadLimits(CtpgOptions options, CtpgRKOptions *rk);
// Reads respect_breaks alone, for estimators whose table and steps are given.
PetscErrorCode CtpgRKOptionsReadBreaks(CtpgOptions options, CtpgRKOptions *rk);

// A step depends on its start, length and state alone, to the bit: a rejected attempt leaves no rounding behind, and
// the state at the end of a FSAL step is that of its last stage.
//
// n = nx + extra components, of which the first `controlled` are in the error norm (the others have zero tolerance and
// do not count in it). type NULL: the table's own name; else the TSRK name from CtpgRKTableRegisterForAdjoint, whose
// steps are TSRK's.
PetscErrorCode CtpgRKSolverCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, const char *type, PetscInt extra,
                                  PetscInt controlled, const CtpgRKCallbacks *callbacks, CtpgRKSolver *solver);
PetscErrorCode CtpgRKSolverDestroy(CtpgRKSolver *solver);

// The state: set it before, read it after a solve.
PetscErrorCode CtpgRKSolverGetState(CtpgRKSolver solver, PetscReal **y);
PetscErrorCode CtpgRKSolverRestoreState(CtpgRKSolver solver, PetscReal **y);

// From t0 to t1 > t0. Adaptive: at rtol = accuracy, first step h0 (0: chosen here, at the cost of one evaluation beyond
// stage 0). Fixed: CtpgFixedSteps(t1 - t0, dt = accuracy) equal steps; stage times are t0 + n h + c_i h, not sums of
// rounded steps, and a last stage that is the first of the next step has that one's start. Evaluations are booked under
// `purpose`, those of rejected attempts under CTPG_REJECTED. On failure the loop has latched why.
PetscErrorCode CtpgRKSolverSolve(CtpgRKSolver solver, CtpgPurpose purpose, PetscReal t0, PetscReal t1,
                                 PetscReal accuracy, PetscReal h0);
// The same solve for several side by side: Begin; as long as there is a request its derivative goes into its place, as
// the callback rhs would put it there, and GoOn (a failure is the loop's status); End. Requests come in the order of
// CtpgRKSolverSolve's calls of rhs. Where the steps are TSRK's there are requests for the choice of the first step
// alone, and End makes all steps.
typedef struct {
  PetscInt i; // stage, see CtpgRKCallbacks
  PetscReal t;
  const PetscReal *y; // [n]
  PetscReal *ydot;    // [n]
} CtpgRKRequest;
PetscErrorCode CtpgRKSolverBegin(CtpgRKSolver solver, CtpgPurpose purpose, PetscReal t0, PetscReal t1,
                                 PetscReal accuracy, PetscReal h0);
const CtpgRKRequest *CtpgRKSolverGetRequest(CtpgRKSolver solver); // NULL: there is none left
void CtpgRKSolverGoOn(CtpgRKSolver solver);
PetscErrorCode CtpgRKSolverEnd(CtpgRKSolver solver);
// One step of length h from t, by a solver with fixed steps: the bits of the same step in any solve.
PetscErrorCode CtpgRKSolverRepeat(CtpgRKSolver solver, CtpgPurpose purpose, PetscReal t, PetscReal h);
// The same for an interval of steps on end. TS's trajectory, if any, must have been set up.
PetscErrorCode CtpgRKSolverRepeatInterval(CtpgRKSolver solver, CtpgPurpose purpose, const CtpgInterval *interval);
// Number of fixed steps for dt: ceil(length / dt - 1e-9), at least 1; PETSC_MAX_INT: too many, the solve fails.
PetscInt CtpgFixedSteps(PetscReal length, PetscReal dt);

// Start, length and number of the current step, during callbacks.
void CtpgRKSolverGetStep(CtpgRKSolver solver, PetscReal *t0, PetscReal *h);
// Since the last CtpgRKSolverResetCounts.
void CtpgRKSolverGetCounts(CtpgRKSolver solver, int64_t *steps, int64_t *rejected);
void CtpgRKSolverResetCounts(CtpgRKSolver solver);
// What the controller would try next, were there no end to meet; for a solve that goes on in pieces.
PetscReal CtpgRKSolverGetNextStep(CtpgRKSolver solver);
PetscBool CtpgRKSolverIsFixed(CtpgRKSolver solver);
TS CtpgRKSolverGetTS(CtpgRKSolver solver); // for TSAdjoint; NULL where the steps are not TSRK's

#pragma GCC visibility pop

#endif
