// closedloop.h -- the closed loop x' = f(t, x, pi_theta(o(t, x))): all that an estimator sees of a problem and a policy
//
// Every evaluation of plant and policy passes through here and is counted here, so the counts cannot lie. Each call
// checks the evaluation limit, the stop flag and that its results are finite; every 256th looks at the clock.
//
// Failure is latched: after the first status other than CTPG_OK all further calls return it at once, with NaN in their
// outputs, until ClosedLoopStart. An estimator ends its solve, and returns the status; it raises no PETSc error.
//
// Arrays are local, row-major [n, .]; nothing here allocates between ClosedLoopCreate and ClosedLoopDestroy.
#ifndef CTPG_CLOSEDLOOP_H
#define CTPG_CLOSEDLOOP_H

#include "loop/policy.h"
#include "ctpgbench/problem.h"
#include <petscvec.h>

typedef struct ClosedLoop_s *ClosedLoop;

// ---- for estimators ----

// Activations of an evaluation, kept for a product at the same points. None is made yet: pass NULL; anything else is
// answered with CTPG_SKIPPED, "needs tapes".
typedef struct CtpgTape_s *CtpgTape;

// f [n, nx] and w [n] at n points t [n], x [n, nx].
CtpgStatus ClosedLoopEval(ClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                          PetscReal *w, CtpgTape tape);
// gx [n, nx] += f_x' v + c w_x and gtheta [np] += sum over points f_theta' v + c w_theta, for v [n, nx], c [n]; linear
// in (v, c), t and x read at n points. gx NULL: only gtheta; gtheta NULL: only gx.
CtpgStatus ClosedLoopVJP(ClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, const PetscReal *v,
                         const PetscReal *c, PetscReal *gx, PetscReal *gtheta, CtpgTape tape);
// The product at one point, its part for theta kept as factors [ClosedLoopGetFactorSize], overwritten: a few hundred reals
// in place of np, for a stage whose weight is not known yet or that enters several sums. Counted and checked as one product
// for both parts. The caller owns the factors; what they hold is the engine's business.
CtpgStatus ClosedLoopVJPKeep(ClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *v, PetscReal c,
                             PetscReal *gx, PetscReal *factors);
PetscInt ClosedLoopGetFactorSize(ClosedLoop loop);
// Up to three weighted sums of n kept products, handed over piece by piece: see PolicySumProducts. No evaluation.
void ClosedLoopSumKept(ClosedLoop loop, PetscInt n, const PetscReal *const *factors, PetscInt nsums,
                       const PetscReal *const *weights, PolicyTakePiece take, void *context);
// df [n, nx], dw [n] = derivatives along dx [n, nx] and dtheta [np] (NULL: none), overwritten. Central differences
// where the problem has no eval_jvp.
CtpgStatus ClosedLoopJVP(ClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, const PetscReal *dx,
                         const PetscReal *dtheta, PetscReal *df, PetscReal *dw);
// fx [nx, nx] of the closed loop at one point, overwritten: the plant's Jacobians joined by nu products of the policy.
CtpgStatus ClosedLoopJacobian(ClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx);
// J and Jx [nx] (may be NULL) at x(T); zero where the problem has no terminal cost. Not counted as work.
CtpgStatus ClosedLoopTerminal(ClosedLoop loop, const PetscReal *x, PetscReal *J, PetscReal *Jx);

// One step of semi-implicit Euler from x [nx] to x_next [nx]: the positions move with the new velocities,
//   u = pi(o(t, x)),  v_next = v + h f_v(t, x, u),  q_next = q + h v_next,  rest_next = rest + h f_rest(t, x, u),
// and w = w(t, x_next, u). One evaluation of f; the plant is called twice. CTPG_SKIPPED where the problem has nq = 0.
CtpgStatus ClosedLoopSemiImplicitStep(ClosedLoop loop, PetscReal t, PetscReal h, const PetscReal *x, PetscReal *x_next,
                                      PetscReal *w);
// Backwards through that step, whose part of the loss is h w: alpha [nx] is dL/dx_next on entry, dL/dx on return, gtheta
// [np] accumulates. One joint product; the plant is called twice.
CtpgStatus ClosedLoopSemiImplicitVJP(ClosedLoop loop, PetscReal t, PetscReal h, const PetscReal *x,
                                     const PetscReal *x_next, PetscReal *alpha, PetscReal *gtheta);

// Parameters [np] of this case, and other ones to evaluate with (random directions, differences): borrowed until the next
// call, NULL gives back the case's own.
const PetscReal *ClosedLoopGetTheta(ClosedLoop loop);
void ClosedLoopUseTheta(ClosedLoop loop, const PetscReal *theta);

// Local vector of nx + extra components; state vectors come from here only: comm and memory type are the engine's.
PetscErrorCode ClosedLoopCreateState(ClosedLoop loop, PetscInt extra, Vec *state);

// The evaluations that follow are made for `purpose`.
void ClosedLoopSetPurpose(ClosedLoop loop, CtpgPurpose purpose);
// Mark remembers the counts of the current purpose; MoveCounts moves what came since to `purpose` (a rejected step).
void ClosedLoopMarkCounts(ClosedLoop loop);
void ClosedLoopMoveCounts(ClosedLoop loop, CtpgPurpose purpose);
// At a break time: which side; piece k lies between breaks k - 1 and k. Negative (default): right-continuous.
void ClosedLoopSetPiece(ClosedLoop loop, PetscInt k);
// The pieces between break times, when they are respected: how many, and the k-th one [t_low, t_high]. Entering sets the
// piece for the calls that follow; one that is not respected is the whole horizon, right-continuous at breaks.
PetscInt ClosedLoopGetPieces(ClosedLoop loop, PetscBool respect_breaks);
void ClosedLoopEnterPiece(ClosedLoop loop, PetscBool respect_breaks, PetscInt k, PetscReal *t_low, PetscReal *t_high);
// Whose task the following calls use, b < B.
void ClosedLoopSetStart(ClosedLoop loop, PetscInt b);

// Sizes: nx, np, T and the position split nq (see CtpgDims).
typedef struct {
  PetscInt nx, np, nq, nbreak;
  PetscReal T;
  const PetscReal *breaks; // [nbreak] s
} CtpgLoopSizes;
void ClosedLoopGetSizes(ClosedLoop loop, CtpgLoopSizes *sizes);

// End the run with `status` and a reason (formatted, cut at 127 characters); the first one stays. Returns the status
// that is now latched.
CtpgStatus ClosedLoopFail(ClosedLoop loop, CtpgStatus status, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
CtpgStatus ClosedLoopGetStatus(ClosedLoop loop);

// ---- for the engine ----

// What may end a run from outside, and who wants to be called now and then; all optional.
typedef struct {
  int64_t eval_limit;       // evaluations (nf + nvjp + njvp); 0: none
  double time_limit;        // s since ClosedLoopStart; 0: none
  const volatile int *stop; // set by a signal handler
  void (*tick)(void *);     // called about every 256th evaluation
  void *tick_context;
} CtpgLimits;

// Sees every point at which the loop is evaluated: `product` for vector-Jacobian products. The path that an estimator
// believes in on its way back is where it asks for products: `trace` needs nothing from the estimator.
typedef void (*CtpgObserver)(void *context, CtpgPurpose purpose, PetscBool product, PetscReal t, const PetscReal *x);
void ClosedLoopSetObserver(ClosedLoop loop, CtpgObserver observer, void *context); // NULL: nobody
// u [nu] at one point, for pictures; not counted.
CtpgStatus ClosedLoopControl(ClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *u);

// type, ctx, policy and theta [np] are borrowed; dims as create filled them, with the horizon of this case.
PetscErrorCode ClosedLoopCreate(const CtpgProblemType *type, void *ctx, const CtpgDims *dims, CtpgPolicy policy,
                                ClosedLoop *loop);
PetscErrorCode ClosedLoopDestroy(ClosedLoop *loop);
// Parameters theta [np], tasks [B, ntask] (may be NULL when ntask = 0) and horizon of the next run; all borrowed.
void ClosedLoopSetCase(ClosedLoop loop, const PetscReal *theta, const PetscReal *tasks, PetscReal T);
// Forget counts, status and marks; start the clock of the limits. Called by the engine before each run.
void ClosedLoopStart(ClosedLoop loop, const CtpgLimits *limits);
void ClosedLoopGetCounts(ClosedLoop loop, CtpgPurpose purpose, CtpgCounts *counts);
void ClosedLoopGetTotals(ClosedLoop loop, CtpgCounts *counts);
int64_t CtpgNFE(const CtpgCounts *counts, PetscInt nu); // nf + nvjp + njvp + nu njac
const char *ClosedLoopGetReason(ClosedLoop loop);       // "" while CTPG_OK
// Are the products of this problem central differences?
PetscBool ClosedLoopUsesDifferences(ClosedLoop loop);

#endif
