// closedloop.h -- the closed loop x' = f(t, x, pi_theta(o(t, x))): all that an estimator sees of a problem and a policy
//
// Every evaluation of plant and policy passes through here and is counted here, so the counts cannot lie. Each call
// checks the evaluation limit, the stop flag and that its results are finite; every 256th looks at the clock.
//
// Failure is latched: after the first status other than CTPG_OK all further calls return it at once, with NaN in their
// outputs, until CtpgClosedLoopStart. An estimator ends its solve, and returns the status; it raises no PETSc error.
// Only a step that an error control may shorten is not lost: see CtpgClosedLoopRetry.
//
// Arrays are local, row-major [n, .]; nothing here allocates between CtpgClosedLoopCreate and CtpgClosedLoopDestroy.
#ifndef CTPG_CLOSEDLOOP_H
#define CTPG_CLOSEDLOOP_H

#include "ctpgbench/problem.h"
#include <petscvec.h>

#pragma GCC visibility push(default)

typedef struct CtpgClosedLoop_s *CtpgClosedLoop;

// Takes what CtpgClosedLoopSumKept hands over: components [offset, offset + length) of the sums, pieces [nsums] ->
// [length], valid during the call.
typedef void (*CtpgTakePiece)(void *context, PetscInt offset, PetscInt length, const PetscReal *const *pieces);
#define CTPG_MAX_PRODUCTS 64  // kept products in one call of CtpgClosedLoopSumKept
#define CTPG_MAX_SUMS     3   // sets of weights
#define CTPG_SUM_PIECE    256 // components of the longest piece

// f [n, nx] and w [n] at n points t [n], x [n, nx].
CtpgStatus CtpgClosedLoopEval(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                              PetscReal *w);
// gx [n, nx] += f_x' v + c w_x and gtheta [np] += sum over points f_theta' v + c w_theta, for v [n, nx], c [n]; linear
// in (v, c), t and x read at n points. gx NULL: only gtheta; gtheta NULL: only gx. Under CtpgClosedLoopSetStarts gtheta
// is [B, np]: each point's part goes to its start's row.
CtpgStatus CtpgClosedLoopVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gtheta);
// The same, the part for theta kept as factors [n, CtpgClosedLoopGetFactorSize], overwritten: a few hundred reals a
// point in place of np, for a stage whose weight is not known yet or that enters several sums. Counted and checked as n
// products for both parts. The caller owns the factors; what they hold is the engine's business.
CtpgStatus CtpgClosedLoopVJPKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *factors);
PetscInt CtpgClosedLoopGetFactorSize(CtpgClosedLoop loop);
// CtpgClosedLoopEval, with what products at the same points need of it in kept [n, CtpgClosedLoopGetKeptSize],
// overwritten: the outputs of the policy's layers. The caller owns them; what they hold is the engine's business.
CtpgStatus CtpgClosedLoopEvalKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                                  PetscReal *w, PetscReal *kept);
PetscInt CtpgClosedLoopGetKeptSize(CtpgClosedLoop loop);
// CtpgClosedLoopVJP without another pass forward through observation and policy, from what EvalKeep left at these
// points under these parameters (NULL: with it). Counted as n products; the same bits.
CtpgStatus CtpgClosedLoopVJPKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *kept, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                 PetscReal *gtheta);
// CtpgClosedLoopVJPKept, the part for theta kept as CtpgClosedLoopVJPKeep keeps it.
CtpgStatus CtpgClosedLoopVJPKeptKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                     const PetscReal *kept, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                     PetscReal *factors);
// n <= CTPG_MAX_PRODUCTS kept products under nsums <= CTPG_MAX_SUMS sets of weights [nsums] -> [n]:
//   sums_k = sum_i weights[k][i] (f_theta' v + c w_theta)_i, from factors [n]
// handed over in pieces of at most CTPG_SUM_PIECE components, first to last, as they are formed in the first cache. No
// evaluation.
void CtpgClosedLoopSumKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *const *factors, PetscInt nsums,
                           const PetscReal *const *weights, CtpgTakePiece take, void *context);
// A CtpgTakePiece for a single sum: adds it to vector [np].
void CtpgAddPiece(void *vector, PetscInt offset, PetscInt length, const PetscReal *const *pieces);
// gtheta [np] += sum_i weights[i] (f_theta' v + c w_theta)_i, from factors [n]: the quicker way where one sum is
// wanted, and wanted whole. No evaluation.
void CtpgClosedLoopAddKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *const *factors, const PetscReal *weights,
                           PetscReal *gtheta);
// gtheta [np] += sum_i (f_theta' v + c w_theta)_i, from factors [n, CtpgClosedLoopGetFactorSize]: the bits of n calls
// of CtpgClosedLoopVJP, first to last, with one pass over gtheta in place of n. No evaluation.
void CtpgClosedLoopAddFactors(CtpgClosedLoop loop, PetscInt n, const PetscReal *factors, PetscReal *gtheta);
// gtheta [np] += scale[i] times the i-th of such products, first to last: each product is formed and then scaled, as
// by VecScale and VecAXPY. No evaluation.
void CtpgClosedLoopAddScaled(CtpgClosedLoop loop, PetscInt n, const PetscReal *factors, const PetscReal *scale,
                             PetscReal *gtheta);
// Several starts side by side, each with a loop of its own (CtpgEstimatorType.gradients): points of loops that share
// theta go through the policy's kernels together. Each loop gets the bits, counts and status of a call of its own, a
// failure of one is not the others'.
#define CTPG_MOST_AT_ONCE 32 // starts
typedef struct {
  CtpgClosedLoop loop;
  PetscReal t;
  const PetscReal *x;      // [nx]
  PetscReal *f, *w, *kept; // [nx], [1] overwritten; kept: as in CtpgClosedLoopEvalKeep, NULL: not wanted
} CtpgEvalPoint;
void CtpgClosedLoopsEval(PetscInt n, const CtpgEvalPoint *points);
typedef struct {
  CtpgClosedLoop loop;
  PetscReal t, c;
  const PetscReal *x, *kept, *v; // [nx]; of an evaluation, NULL: it is made anew; [nx]
  PetscReal *gx, *factors;       // [nx] accumulates; as in CtpgClosedLoopVJPKeptKeep
} CtpgProductPoint;
void CtpgClosedLoopsVJPKeep(PetscInt n, const CtpgProductPoint *points);
// df [n, nx], dw [n] = derivatives along dx [n, nx] and dtheta [np] (NULL: none), overwritten; exact
// where the problem has eval_jvp and observe_jvp, by central differences of what is missing.
CtpgStatus CtpgClosedLoopJVP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *dx, const PetscReal *dtheta, PetscReal *df, PetscReal *dw);
// q [CtpgClosedLoopGetProjections] += weight times projections of one kept product on fixed signs, CTPG_PROJECTIONS for
// each layer of the policy: linear in the product, of its size, and a hundredth of its price. No evaluation.
#define CTPG_PROJECTIONS 8
PetscInt CtpgClosedLoopGetProjections(CtpgClosedLoop loop);
void CtpgClosedLoopAddProjections(CtpgClosedLoop loop, PetscReal weight, const PetscReal *factors, PetscReal *q);
// fx [nx, nx] of the closed loop at one point, overwritten: the plant's Jacobians joined by products of the policy, one
// for each control or one for each row of f_u that can be nonzero, whichever are fewer.
CtpgStatus CtpgClosedLoopJacobian(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx);
// The same with wx [nx] of the running cost, and the products' parts for theta kept: with
// m = CtpgClosedLoopGetJacobianProducts factors [m, CtpgClosedLoopGetFactorSize] and coupling [m, nx + 1], all
// overwritten,
//   f_theta' v + c w_theta = sum_k (coupling_k . (v, c)) times the product that factors k stand for.
// One product more where they go by rows and w_u is not zero.
PetscInt CtpgClosedLoopGetJacobianProducts(CtpgClosedLoop loop);
CtpgStatus CtpgClosedLoopJacobianKeep(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx,
                                      PetscReal *wx, PetscReal *coupling, PetscReal *factors);
// J and Jx [nx] (may be NULL) at x(T); zero where the problem has no terminal cost. Not counted as work.
CtpgStatus CtpgClosedLoopTerminal(CtpgClosedLoop loop, const PetscReal *x, PetscReal *J, PetscReal *Jx);

// One step of semi-implicit Euler at each of n points, from x [n, nx] at t [n] to x_next [n, nx]: the positions move
// with the new velocities,
//   u = pi(o(t, x)),  v_next = v + h f_v(t, x, u),  q_next = q + h v_next,  rest_next = rest + h f_rest(t, x, u),
// and w [n] = w(t, x_next, u). n evaluations of f; the plant is called twice for each. CTPG_SKIPPED where nq = 0.
CtpgStatus CtpgClosedLoopSemiImplicitStep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, PetscReal h,
                                          const PetscReal *x, PetscReal *x_next, PetscReal *w);
// Backwards through that step, whose part of the loss is h w: alpha [n, nx] is dL/dx_next on entry, dL/dx on return;
// gtheta accumulates as in CtpgClosedLoopVJP. n joint products; the plant is called twice for each.
CtpgStatus CtpgClosedLoopSemiImplicitVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, PetscReal h,
                                         const PetscReal *x, const PetscReal *x_next, PetscReal *alpha,
                                         PetscReal *gtheta);

// Parameters [np] of this case, and other ones to evaluate with (random directions, differences): borrowed until the
// next call, NULL gives back the case's own.
const PetscReal *CtpgClosedLoopGetTheta(CtpgClosedLoop loop);
void CtpgClosedLoopUseTheta(CtpgClosedLoop loop, const PetscReal *theta);

// Local vector of nx + extra components; state vectors come from here only: comm and memory type are the engine's.
PetscErrorCode CtpgClosedLoopCreateState(CtpgClosedLoop loop, PetscInt extra, Vec *state);

// The evaluations that follow are made for `purpose`.
void CtpgClosedLoopSetPurpose(CtpgClosedLoop loop, CtpgPurpose purpose);
// Mark remembers the counts of the current purpose; MoveCounts moves what came since to `purpose` (a rejected step).
void CtpgClosedLoopMarkCounts(CtpgClosedLoop loop);
void CtpgClosedLoopMoveCounts(CtpgClosedLoop loop, CtpgPurpose purpose);
// At a break time: which side; piece k lies between breaks k - 1 and k. Negative (default): right-continuous.
void CtpgClosedLoopSetPiece(CtpgClosedLoop loop, PetscInt k);
// The pieces between break times, when they are respected: how many, and the k-th one [t_low, t_high]. Entering sets
// the piece for the calls that follow; one that is not respected is the whole horizon, right-continuous at breaks.
PetscInt CtpgClosedLoopGetPieces(CtpgClosedLoop loop, PetscBool respect_breaks);
void CtpgClosedLoopEnterPiece(CtpgClosedLoop loop, PetscBool respect_breaks, PetscInt k, PetscReal *t_low,
                              PetscReal *t_high);
// The points of the following calls are all of start b < B.
void CtpgClosedLoopSetStart(CtpgClosedLoop loop, PetscInt b);
// The points of the following calls are of several starts: point p < n of start[p] < B, at a break time on the side
// piece[p] (NULL: right-continuous). No call may then have more than n points; the results are those of single calls,
// to the bit. Both arrays are borrowed until the next SetStart, SetStarts or SetPiece.
void CtpgClosedLoopSetStarts(CtpgClosedLoop loop, PetscInt n, const PetscInt *start, const PetscInt *piece);

// Sizes: nx, np, T and the position split nq (see CtpgDims).
typedef struct {
  PetscInt nx, np, nq, nbreak;
  PetscReal T;
  const PetscReal *breaks; // [nbreak] s
} CtpgLoopSizes;
void CtpgClosedLoopGetSizes(CtpgClosedLoop loop, CtpgLoopSizes *sizes);

// End the run with `status` and a reason (formatted, cut at 127 characters); the first one stays. Returns the status
// that is now latched.
CtpgStatus CtpgClosedLoopFail(CtpgClosedLoop loop, CtpgStatus status, const char *format, ...)
    PETSC_ATTRIBUTE_FORMAT(3, 4);
CtpgStatus CtpgClosedLoopGetStatus(CtpgClosedLoop loop);
const char *CtpgClosedLoopGetReason(CtpgClosedLoop loop); // "" while CTPG_OK
// A trial step of length h has met a failure at a point that it need not have gone to. Where the plant was not defined
// there, or a result was not finite, and h is no shorter than 1e-14 of the time of that point, and than 1e-28 T, the
// failure is taken back, CTPG_OK again: the caller rejects the step, and tries one shorter by a fixed factor at least.
// PETSC_FALSE: nothing has failed, or the failure stays. CtpgClosedLoopFailAgain latches the one that was taken back
// last, where shorter steps were of no use.
PetscBool CtpgClosedLoopRetry(CtpgClosedLoop loop, PetscReal h);
void CtpgClosedLoopFailAgain(CtpgClosedLoop loop);
// For a long computation between two evaluations. Is the run told to stop, or its time over (safe in a signal handler)?
// CtpgClosedLoopLook latches which, as the next evaluation would, and returns the status.
PetscBool CtpgClosedLoopIsDue(CtpgClosedLoop loop);
CtpgStatus CtpgClosedLoopLook(CtpgClosedLoop loop);

#pragma GCC visibility pop

#endif
