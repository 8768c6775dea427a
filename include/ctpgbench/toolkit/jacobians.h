// jacobians.h -- a few Jacobians along a path, kept with the factors of their products for theta
//
// Each holds t, x, a slope, f_x, w_x and what CtpgClosedLoopJacobianKeep keeps, so that f_theta(t, x)' v costs no
// evaluation any more. They are numbered by time; those of one piece between breaks are a range [first, end) of
// numbers. Between two of them J(t) is linear: with hats l_c(t), J(t) = sum_c l_c(t) J_c.
#ifndef CTPG_JACOBIANS_H
#define CTPG_JACOBIANS_H

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/nodes.h"

#pragma GCC visibility push(default)

typedef struct Jacobians_s *CtpgJacobians;

// One of them; arrays are the store's, valid until the next one is added.
typedef struct {
  PetscReal t;
  const PetscReal *x, *slope, *fx, *wx; // [nx], [nx], [nx, nx], [nx]
} CtpgJacobian;

// The two numbers whose hats are not zero at t, and their values; t is clipped to the range.
typedef struct {
  PetscInt number[2];
  PetscReal weight[2];
} CtpgHats;

// arena: counts what is kept; borrowed.
PetscErrorCode CtpgJacobiansCreate(CtpgClosedLoop loop, CtpgArena *arena, CtpgJacobians *jacobians);
PetscErrorCode CtpgJacobiansDestroy(CtpgJacobians *jacobians);
void CtpgJacobiansClear(CtpgJacobians jacobians);
PetscInt CtpgJacobiansCount(CtpgJacobians jacobians);
CtpgJacobian CtpgJacobiansGet(CtpgJacobians jacobians, PetscInt number);

// Evaluates one at (t, x) on the piece that is set, and gives it this number; those from there on move up by one. slope
// [nx] is stored with it. On failure the loop has latched why.
void CtpgJacobiansAdd(CtpgJacobians jacobians, PetscInt number, PetscReal t, const PetscReal *x,
                      const PetscReal *slope);
// Adds Jacobians at nodes of `path` halfway between two, where e = F' - J F at that node is not what both neighbours
// foretell of it, linearly, by more than part |F'|, norms with components over scale [nx]: J(t) is not linear there, or
// the path has a direction of its own. Returns how many; the range has grown by these.
PetscInt CtpgJacobiansRefine(CtpgJacobians jacobians, PetscInt first, PetscInt end, const CtpgNodePath *path,
                             const PetscReal *scale, PetscReal part);
CtpgHats CtpgJacobiansHats(CtpgJacobians jacobians, PetscInt first, PetscInt end, PetscReal t);
// J(t)' [nx, nx] and w_x(t) [nx] (may be NULL).
void CtpgJacobiansTransposedAt(CtpgJacobians jacobians, PetscInt first, PetscInt end, PetscReal t, PetscReal *JT,
                               PetscReal *wx);

// gtheta [np] += sum_c f_theta(t_c, x_c)' v_c, where v_c was collected by CtpgJacobiansCollect, v_c += l_c(t) weight v
// for v [nx], since the last sum over this range or since it was added.
void CtpgJacobiansCollect(CtpgJacobians jacobians, PetscInt first, PetscInt end, PetscReal t, PetscReal weight,
                          const PetscReal *v);
void CtpgJacobiansAddCollected(CtpgJacobians jacobians, PetscInt first, PetscInt end, PetscReal *gtheta);

// The adjoint of J(t), w_x(t) alone, backwards through the range on the nodes of `path`, among which all its times are:
// alpha [nx] from the end to the start. whole [CtpgClosedLoopGetProjections] += int |projections of f_theta' alpha +
// w_theta|, by the trapezoidal rule on the kept Jacobians. No evaluation; good to a factor, which is what a scale
// needs.
void CtpgJacobiansEstimateWhole(CtpgJacobians jacobians, PetscInt first, PetscInt end, const CtpgNodePath *path,
                                PetscReal *alpha, PetscReal *whole);

#pragma GCC visibility pop

#endif
