// estimator.h -- contract of a gradient estimator: loss and gradient of one closed loop over B >= 1 starts
//
// For implementers: one file in estimators/, which ends in `const CtpgEstimatorType CtpgEstimator_<file stem> = {...}`;
// CMake finds it. An estimator sees a CtpgClosedLoop and nothing behind it, knows no ranks, files, seeds or clocks, and
// keeps nothing from one call to the next but workspace (what it means to remember goes through `memory`).
#ifndef CTPG_ESTIMATOR_H
#define CTPG_ESTIMATOR_H

#include "ctpgbench/arena.h"
#include "ctpgbench/closedloop.h"

#pragma GCC visibility push(default)

// Flags of an estimator.
#define CTPG_IS_STOCHASTIC  UINT64_C(1) // draws from its stream: repeats of a run are draws
#define CTPG_IS_INTERPRETED UINT64_C(2) // runs a file of the user's; its wallclock is that language's

// The option that sets the accuracy of a run.
typedef enum {
  CTPG_KNOB_RTOL,      // -rtol: relative tolerance of the adaptive solves
  CTPG_KNOB_DT,        // -dt: step of the fixed-step solves, s
  CTPG_KNOB_GRAD_RTOL, // -grad_rtol: asked-for relative error of the gradient
  CTPG_KNOB_SAMPLES    // -samples: number of random samples
} CtpgKnob;

// What `create` may change of its descriptor's claims, once options are known.
typedef struct {
  CtpgKnob knob;
  PetscReal order;     // error of dL/dtheta is O(h^order) on smooth problems
  const char *storage; // NULL: the descriptor's; "min(N, K) ..." is bounded by an option
} CtpgTraits;

// Result of one call; the pointers are the caller's.
typedef struct {
  PetscReal *loss;           // [B]
  PetscReal *gx0;            // [B, nx] dL_b/dx0_b
  PetscReal *gtheta;         // [np] mean over b of dL_b/dtheta
  PetscReal error_bar;       // the estimator's own estimate of the relative error of gtheta; NaN: none
  PetscReal backsolve_error; // ||x_back(0) - x0|| where the state is integrated backwards; NaN: not
  PetscReal h;               // s, fixed step used; NaN: adaptive
  int64_t steps, rejected;   // forward, summed over the starts
  int64_t steps_adjoint, rejected_adjoint;
  size_t bytes; // peak of what is stored between the forward and the backward solve
} CtpgResult;

typedef struct {
  CTPG_HEAD;
  CtpgKnob knob;
  PetscReal order;
  // One line for `list`: work per step, memory.
  const char *cost, *storage;
  // Needed. Reads all its options.
  PetscErrorCode (*create)(CtpgOptions options, CtpgTraits *traits, void **est);
  // Needed. Sizes and workspace for this loop; called once before its first run; not timed.
  PetscErrorCode (*setup)(void *est, CtpgClosedLoop loop);
  // Needed. One call at `accuracy` (the knob's value) from x0 [B, nx]; gtheta, gx0 and loss are zeroed by the engine.
  // Failure is the loop's latched status; a PETSc error only for misuse or lack of memory.
  PetscErrorCode (*gradient)(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                             CtpgStream *stream, CtpgResult *result);
  // Warm state, saved in training, forgotten per run in sweeps. NULL: none. viewer NULL: forget.
  PetscErrorCode (*memory)(void *est, PetscViewer viewer, PetscBool load);
  // Needed. Takes a half-built instance, nulls the handle.
  void (*destroy)(void **est);
  // Why this build cannot run the estimator ("built without ..."); all other slots may then be NULL. NULL: it can.
  const char *unavailable;
  // One line for `list`: what it asks of problem and build ("vjp", "loss alone; np <= 500"). NULL: a product, "vjp".
  const char *needs;
} CtpgEstimatorType;

// For estimators that treat one start at a time: calls `one` for each of the B starts with loss [1], gx0 [nx] and a sum
// gtheta [np], and turns the sum into the mean. Stops at the first start that fails.
typedef PetscErrorCode (*CtpgGradientOfOneStart)(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                 PetscReal accuracy, CtpgResult *result);
PetscErrorCode CtpgGradientOverStarts(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0,
                                      PetscReal accuracy, CtpgResult *result, CtpgGradientOfOneStart one);
// x_back [nx] is the state integrated backwards to the start x0 [nx]: its distance, if it is the largest of the call.
void CtpgOfferBacksolveError(CtpgResult *result, PetscInt nx, const PetscReal *x_back, const PetscReal *x0);

#pragma GCC visibility pop

#endif
