// check_problem.h -- what check_problem.c and check_loop.c share: one problem, its random points and room to work
#ifndef CTPG_CHECK_PROBLEM_H
#define CTPG_CHECK_PROBLEM_H

#include "check.h"

typedef struct {
  CheckReport *report;
  const CheckSettings *settings;
  CtpgProblem problem;
  PetscInt nx, nu, no, np;
  PetscInt n;                        // random points
  PetscReal *t, *x, *u, *v, *c;      // [n], [n, nx], [n, nu], [n, nx], [n]: points, and factors of products there
  PetscReal *go, *du, *tasks;        // [n, no], [n, nu], [n, ntask]
  PetscReal *out[3];                 // outputs of a slot at n points
  PetscReal *kept;                   // [nx + no]
  PetscReal *found;                  // [max(nx + 1, no), nx + nu] a matrix by products
  PetscReal *work;                   // of CheckDifferences
  PetscReal *expected, *uncertainty; // [max(nx + 1, no)] one column by differences
  PetscBool derivatives_right;
  char not_finite[256]; // the first random point with CTPG_OK and a result that is not finite
} ProblemCheck;

// What is given with the start of point p.
CtpgTask ProblemCheckTask(const ProblemCheck *check, PetscInt p);

// Products, directional derivatives, Jacobian and counts of the closed loop, and the closed form.
PetscErrorCode CheckLoopOfProblem(ProblemCheck *check);

#endif
