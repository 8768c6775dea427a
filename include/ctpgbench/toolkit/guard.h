// guard.h -- probes where a solve has left long gaps: does something lie between its nodes?
//
// Whoever integrates knows f and w at its nodes alone; a peak of the cost between them is seen neither by the error
// control nor by a second solve on the same nodes. A guard walks through the times of all evaluations (path, adjoint,
// Gauss nodes). Where two of them are further apart than `gap` it evaluates f and w every `gap`, from a random offset
// on, at (t, x~(t)), and compares:
//   unseen = sum gap (|w - w~| + |alpha~' (f - x~')|),   w~, x~' the interpolants of the solve
// an unbiased estimate of the loss that these gaps hide. Over int |w| + |J| it is what may be missing of the gradient,
// as a part of int |f_theta' alpha + w_theta|.
// What is as wide as `gap` meets an evaluation for sure; what is narrower, with at least the chance width / gap where
// the gaps are long.
// Price: one f a probe; f and w come in one call, so that a probe of the cost alone would cost the same.
// Weakness: what is narrower than `gap` may be missed; a change of f or w in theta alone is not seen.
#ifndef CTPG_GUARD_H
#define CTPG_GUARD_H

#include "ctpgbench/random.h"
#include "ctpgbench/toolkit/gausssweep.h"

#pragma GCC visibility push(default)

typedef struct {
  CtpgClosedLoop loop;
  PetscBool respect_breaks;
  PetscInt most_nodes;              // of the interpolants
  PetscInt cost_column;             // of w in the rows of the paths
  PetscReal *x, *alpha, *slope, *f; // work [nx]
} CtpgGuard;

PetscErrorCode CtpgGuardCreate(CtpgClosedLoop loop, PetscBool respect_breaks, PetscInt most_nodes, PetscInt cost_column,
                               CtpgGuard *guard);
void CtpgGuardFree(CtpgGuard *guard);
// After a run of `sweep` on the pieces: the result is `unseen`, over int |w| + |J|. Zero
// without a probe, and on failure, which the loop has latched.
PetscReal CtpgGuardRun(CtpgGuard *guard, CtpgGaussSweep sweep, PetscInt npieces, const CtpgPathPiece *pieces,
                       PetscReal gap, CtpgStream *stream);

#pragma GCC visibility pop

#endif
