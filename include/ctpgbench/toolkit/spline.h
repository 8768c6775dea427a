// spline.h -- the forward path as a function of time, made from recorded steps
//
//   native    the table's own dense output, x_n + h sum_i b_i(theta) K_i
//   hermite3  cubic Hermite of (x, f) at both ends of the step: caps the order of a gradient at 4
//   constant  (t, x) frozen at (t_n, x_n): with Euler steps this is back-propagation through time
// At a knot the step to the left of it counts: backward solves enter a step from its end.
#ifndef CTPG_SPLINE_H
#define CTPG_SPLINE_H

#include "ctpgbench/toolkit/forward.h"

#pragma GCC visibility push(default)

typedef enum { CTPG_SPLINE_NATIVE, CTPG_SPLINE_HERMITE3, CTPG_SPLINE_CONSTANT } CtpgSplineKind;

typedef struct {
  CtpgSplineKind kind;
  CtpgForwardSolve forward;
  PetscInt nx, cursor; // the step used last
  CtpgStep step;       // that one
} CtpgSpline;

int CtpgSplineKeeps(CtpgSplineKind kind); // what the forward solve must record, a sum of CtpgKeep
// After CtpgForwardRun.
void CtpgSplineOpen(CtpgSpline *spline, CtpgSplineKind kind, CtpgForwardSolve forward, PetscInt nx);
// x [nx] at t in [0, T]; returns the time at which the closed loop is to be evaluated (t, or t_n when frozen).
PetscReal CtpgSplineEval(CtpgSpline *spline, PetscReal t, PetscReal *x);
// Cubic Hermite between x0 and x1 [n], a step h apart, with derivatives f0 and f1, at theta in [0, 1].
void CtpgHermite3(PetscReal theta, PetscReal h, PetscInt n, const PetscReal *x0, const PetscReal *x1,
                  const PetscReal *f0, const PetscReal *f1, PetscReal *x);

#pragma GCC visibility pop

#endif
