// spline.c -- see spline.h

#include "spline.h"

int SplineKeeps(CtpgSplineKind kind) {
  static const int keeps[] = {[CTPG_SPLINE_NATIVE] = CTPG_KEEP_STATES | CTPG_KEEP_SLOPES,
                              [CTPG_SPLINE_HERMITE3] = CTPG_KEEP_STATES | CTPG_KEEP_ENDS,
                              [CTPG_SPLINE_CONSTANT] = CTPG_KEEP_STATES};
  return keeps[kind];
}

void SplineOpen(CtpgSpline *spline, CtpgSplineKind kind, ForwardSolve forward, PetscInt nx) {
  *spline = (CtpgSpline){.kind = kind, .forward = forward, .nx = nx, .cursor = ForwardGetSteps(forward) - 1};
}

// The step with t_n < t <= t_n + h, where "<=" forgives the rounding of T - s.
static CtpgStep Locate(CtpgSpline *spline, PetscReal t) {
  CtpgStep step = ForwardGetStep(spline->forward, spline->cursor);
  while (spline->cursor > 0 && t <= step.t + 1e-12 * step.h) step = ForwardGetStep(spline->forward, --spline->cursor);
  while (spline->cursor + 1 < ForwardGetSteps(spline->forward) && t > step.t + step.h * (1 + 1e-12))
    step = ForwardGetStep(spline->forward, ++spline->cursor);
  return step;
}

// x = x_n + h sum_i K_i sum_j binterp[i, j] theta^(j + 1)
static void EvalNative(const CtpgSpline *spline, const CtpgStep *step, PetscReal theta, PetscReal *x) {
  const CtpgRKTable *table = ForwardGetTable(spline->forward);
  memcpy(x, step->x, (size_t)spline->nx * sizeof *x);
  for (PetscInt i = 0; i < table->ndense; i++) {
    const PetscReal *coefficients = table->binterp + i * table->pinterp, *K = step->slopes + i * spline->nx;
    PetscReal weight = 0;
    for (PetscInt j = table->pinterp - 1; j >= 0; j--) weight = (weight + coefficients[j]) * theta;
    for (PetscInt k = 0; k < spline->nx; k++) x[k] += step->h * weight * K[k];
  }
}

// E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary Differential Equations I", Eq. (II.6.7)
static void EvalHermite3(const CtpgSpline *spline, const CtpgStep *step, PetscReal theta, PetscReal *x) {
  const PetscBool last = spline->cursor + 1 == ForwardGetSteps(spline->forward) ? PETSC_TRUE : PETSC_FALSE;
  const CtpgStep next = last ? *step : ForwardGetStep(spline->forward, spline->cursor + 1);
  const PetscReal *x0 = step->x, *x1 = last ? ForwardGetEnd(spline->forward) : next.x;
  const PetscReal *f0 = step->slopes, *f1 = ForwardGetNextSlope(spline->forward, spline->cursor);
  for (PetscInt k = 0; k < spline->nx; k++)
    x[k] = (1 - theta) * x0[k] + theta * x1[k] +
           theta * (theta - 1) * ((1 - 2 * theta) * (x1[k] - x0[k]) + step->h * ((theta - 1) * f0[k] + theta * f1[k]));
}

PetscReal SplineEval(CtpgSpline *spline, PetscReal t, PetscReal *x) {
  const CtpgStep step = Locate(spline, t);
  const PetscReal theta = (t - step.t) / step.h;
  switch (spline->kind) {
  case CTPG_SPLINE_NATIVE: EvalNative(spline, &step, theta, x); return t;
  case CTPG_SPLINE_HERMITE3: EvalHermite3(spline, &step, theta, x); return t;
  case CTPG_SPLINE_CONSTANT: break;
  }
  memcpy(x, step.x, (size_t)spline->nx * sizeof *x);
  return step.t;
}
