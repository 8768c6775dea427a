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
  PetscBool measures;  // it reads -error_bar itself; else the engine does, and measures by a judge of its own
  PetscInt at_once;    // starts that `gradients` takes in a call, at most CTPG_MOST_AT_ONCE; 0: it is not to be called
  uint64_t flags;      // the descriptor's; options may take CTPG_IS_WITHOUT_* away
} CtpgTraits;

// What a contract on the gradient's error allows an error for: the largest of these.
typedef enum {
  CTPG_PROMISE_NONE,     // there is no contract
  CTPG_PROMISE_RELATIVE, // grad_rtol times the norm
  CTPG_PROMISE_ABSOLUTE, // -grad_atol
  CTPG_PROMISE_BATCH,    // a part of the standard error of the mean over starts
  CTPG_PROMISE_INTEGRAL  // a part of int |f_theta' alpha + w_theta|, which float64 and tolerances deliver
} CtpgPromiseTerm;

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
  // Peak of what is stored between the forward and the backward solve. The estimator's own claim, like the steps: what
  // it evaluates is counted by the loop, what it stores is not. An arena (arena.h) measures it.
  size_t bytes;
  // Of a contract: the error that it allows, relative to the norm of gtheta (NaN: none), and by which term.
  PetscReal promise;
  CtpgPromiseTerm promise_term;
  PetscReal integral; // int |f_theta' alpha + w_theta| dt, of one start; NaN: the estimator does not say
} CtpgResult;

typedef struct {
  CTPG_HEAD;
  CtpgKnob knob;
  PetscReal order;
  // For `list`, a line each: work per step; memory; what it asks of problem and build ("vjp", "loss alone; np <= 500"),
  // NULL for a product, "vjp".
  const char *cost, *storage, *needs;
  // Why this build cannot run the estimator ("built without ..."); all slots may then be NULL. NULL: it can.
  const char *unavailable;

  // Needed. Reads all its options.
  PetscErrorCode (*create)(CtpgOptions options, CtpgTraits *traits, void **est);
  // Needed. Takes a half-built instance, nulls the handle.
  void (*destroy)(void **est);
  // Needed. Sizes and workspace for this loop; called once before its first run; not timed. The loop may be evaluated,
  // with theta, the tasks and the start's values all zero: what that takes counts as start-up of every run.
  PetscErrorCode (*setup)(void *est, CtpgClosedLoop loop);

  // One of the next two is needed. The loop may be evaluated during these calls and setup alone. Failure is the loop's
  // latched status; a PETSc error only for misuse or lack of memory. accuracy: the knob's value; stream: random numbers
  // of this call.
  //
  // One start x0 [nx]: loss [1] and gx0 [nx] are zero on entry, gtheta [np] is a sum over starts, to be added to; steps
  // too. The engine calls it for each start of a batch, until one fails, and takes the mean.
  PetscErrorCode (*gradient_of_start)(void *est, CtpgClosedLoop loop, const PetscReal *x0, PetscReal accuracy,
                                      CtpgStream *stream, CtpgResult *result);
  // All B starts x0 [B, nx] in one call; loss, gx0 and gtheta are zero on entry.
  PetscErrorCode (*gradient)(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                             CtpgStream *stream, CtpgResult *result);

  // Warm state, saved in training, forgotten per run in sweeps. NULL: none. viewer NULL: forget.
  PetscErrorCode (*memory)(void *est, PetscViewer viewer, PetscBool load);

  // Several starts side by side, each with its own steps: start i < n <= CtpgTraits.at_once from x0 [n, nx] on
  // loops[i], which share problem, theta and horizon, into results[i], as `gradient_of_start` would alone, to the bit,
  // with its counts and its status on its loop. loops are the same in every call, or the first of them. For estimators
  // that draw nothing and remember nothing. Called by `train` for the starts of a batch; what results[i].bytes counts
  // is stored for n starts at a time. NULL: one start after the other.
  PetscErrorCode (*gradients)(void *est, PetscInt n, const CtpgClosedLoop *loops, const PetscReal *x0,
                              PetscReal accuracy, CtpgResult *results);
} CtpgEstimatorType;

// x_back [nx] is the state integrated backwards to the start x0 [nx]: its distance, if it is the largest of the call.
void CtpgOfferBacksolveError(CtpgResult *result, PetscInt nx, const PetscReal *x_back, const PetscReal *x0);

#pragma GCC visibility pop

#endif
