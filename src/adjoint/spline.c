// spline.c -- see spline.h

#include "ctpgbench/toolkit/spline.h"

int CtpgSplineKeeps(CtpgSplineKind kind) {
  static const int keeps[] = {[CTPG_SPLINE_NATIVE] = CTPG_KEEP_STATES | CTPG_KEEP_SLOPES,
                              [CTPG_SPLINE_HERMITE3] = CTPG_KEEP_STATES | CTPG_KEEP_ENDS,
                              [CTPG_SPLINE_CONSTANT] = CTPG_KEEP_STATES};
  return keeps[kind];
}

void CtpgSplineOpen(CtpgSpline *spline, CtpgSplineKind kind, CtpgForwardSolve forward, PetscInt nx) {
  const PetscInt last = CtpgForwardGetSteps(forward) - 1;
  *spline = (CtpgSpline){
      .kind = kind, .forward = forward, .nx = nx, .cursor = last, .step = CtpgForwardGetStep(forward, last)};
}

// The step with t_n < t <= t_n + h, where "<=" forgives the rounding of T - s.
static const CtpgStep *Locate(CtpgSpline *spline, PetscReal t) {
  CtpgStep *step = &spline->step;
  while (spline->cursor > 0 && t <= step->t + 1e-12 * step->h)
    *step = CtpgForwardGetStep(spline->forward, --spline->cursor);
  while (t > step->t + step->h * (1 + 1e-12) && spline->cursor + 1 < CtpgForwardGetSteps(spline->forward))
    *step = CtpgForwardGetStep(spline->forward, ++spline->cursor);
  return step;
}

// E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary Differential Equations I", Eq. (II.6.7)
void CtpgHermite3(PetscReal theta, PetscReal h, PetscInt n, const PetscReal *x0, const PetscReal *x1,
                  const PetscReal *f0, const PetscReal *f1, PetscReal *x) {
  for (PetscInt k = 0; k < n; k++)
    x[k] = (1 - theta) * x0[k] + theta * x1[k] +
           theta * (theta - 1) * ((1 - 2 * theta) * (x1[k] - x0[k]) + h * ((theta - 1) * f0[k] + theta * f1[k]));
}

static void EvalHermite3(const CtpgSpline *spline, const CtpgStep *step, PetscReal theta, PetscReal *x) {
  const PetscInt n = spline->cursor;
  const PetscBool last = n + 1 == CtpgForwardGetSteps(spline->forward) ? PETSC_TRUE : PETSC_FALSE;
  const PetscReal *end = last ? CtpgForwardGetEnd(spline->forward) : CtpgForwardGetStep(spline->forward, n + 1).x;
  CtpgHermite3(theta, step->h, spline->nx, step->x, end, step->slopes, CtpgForwardGetNextSlope(spline->forward, n), x);
}

PetscReal CtpgSplineEval(CtpgSpline *spline, PetscReal t, PetscReal *x) {
  const CtpgStep *step = Locate(spline, t);
  const PetscReal theta = (t - step->t) / step->h;
  switch (spline->kind) {
  case CTPG_SPLINE_NATIVE:
    CtpgRKTableDense(CtpgForwardGetTable(spline->forward), theta, step->h, spline->nx, step->x, step->slopes, x);
    return t;
  case CTPG_SPLINE_HERMITE3: EvalHermite3(spline, step, theta, x); return t;
  case CTPG_SPLINE_CONSTANT: break;
  }
  memcpy(x, step->x, (size_t)spline->nx * sizeof *x);
  return step->t;
}
