// optimizer.c -- see optimizer.h

#include "train/optimizer.h"
#include "base/parse.h"
#include <math.h>
#include <string.h>

static PetscErrorCode ReadAdam(CtpgOptions options, CtpgOptimizer *o) {
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsReal(options, "adam_beta1", "decay of adam's mean", 0, 0.999999999, &o->beta1));
  PetscCall(CtpgOptionsReal(options, "adam_beta2", "decay of adam's mean square", 0, 0.999999999, &o->beta2));
  PetscCall(CtpgOptionsReal(options, "adam_epsilon", "added to adam's root mean square", 0, 1, &o->epsilon));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadSteps(CtpgOptions options, CtpgOptimizer *o) {
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsReals(options, "step_sizes", "step sizes that step-search tries (default 0.03:0.001:6)",
                             &o->nsteps, &o->steps));
  if (!o->nsteps) PetscCall(CtpgParseReals("default", "0.03:0.001:6", &o->nsteps, &o->steps));
  for (PetscInt i = 0; i < o->nsteps; i++)
    PetscCheck(o->steps[i] > 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-step_sizes has %.6g; expected positive numbers", o->steps[i]);
  PetscCall(
      CtpgOptionsReal(options, "step_fallback", "step when none of -step_sizes lowers the loss", 0, 1e6, &o->fallback));
  PetscFunctionReturn(0);
}

PetscErrorCode OptimizerRead(CtpgOptions options, CtpgOptimizer *o) {
  static const char *const kinds[] = {"sgd", "momentum", "adam", "step-search", NULL};
  PetscInt kind = CTPG_ADAM;

  PetscFunctionBeginUser;
  *o = (CtpgOptimizer){
      .learning_rate = 1e-3, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .fallback = 1e-6};
  PetscCall(CtpgOptionsChoice(options, "optimizer", "update rule", kinds, &kind));
  o->kind = (CtpgOptimizerKind)kind;
  if (o->kind == CTPG_STEP_SEARCH)
    PetscCall(ReadSteps(options, o));
  else
    PetscCall(CtpgOptionsReal(options, "learning_rate", "eta of sgd, momentum and adam", 0, 1e6, &o->learning_rate));
  if (o->kind == CTPG_MOMENTUM)
    PetscCall(CtpgOptionsReal(options, "momentum", "rho: v = rho v + eta g", 0, 0.999999999, &o->momentum));
  if (o->kind == CTPG_ADAM) PetscCall(ReadAdam(options, o));
  PetscCall(CtpgOptionsReal(options, "clip", "largest entry of the mean gradient, 0: none", 0, 1e100, &o->clip));
  PetscCall(CtpgOptionsReal(options, "clamp", "largest entry of theta, 0: none", 0, 1e100, &o->clamp));
  PetscFunctionReturn(0);
}

PetscErrorCode OptimizerDestroy(CtpgOptimizer *optimizer) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(optimizer->steps));
  PetscFunctionReturn(0);
}

// momentum: v [np]; adam: m [np], v [np], beta1^t, beta2^t of the next update.
PetscInt OptimizerStateSize(const CtpgOptimizer *o, PetscInt np) {
  return o->kind == CTPG_MOMENTUM ? np : o->kind == CTPG_ADAM ? 2 * np + 2 : 0;
}

void OptimizerStart(const CtpgOptimizer *o, PetscInt np, PetscReal *state) {
  for (PetscInt k = 0; k < OptimizerStateSize(o, np); k++) state[k] = 0;
  if (o->kind != CTPG_ADAM) return;
  state[2 * np] = o->beta1;
  state[2 * np + 1] = o->beta2;
}

// Entries beyond +-limit become +-limit; NaN stays.
static void Bound(PetscInt n, PetscReal limit, PetscReal *restrict v) {
  if (!(limit > 0)) return;
#pragma omp simd
  for (PetscInt k = 0; k < n; k++) v[k] = v[k] > limit ? limit : v[k] < -limit ? -limit : v[k];
}

void OptimizerClip(const CtpgOptimizer *o, PetscInt np, PetscReal *g) {
  Bound(np, o->clip, g);
}

static void Descend(PetscInt np, PetscReal step, const PetscReal *restrict g, PetscReal *restrict theta) {
#pragma omp simd
  for (PetscInt k = 0; k < np; k++) theta[k] -= step * g[k];
}

static void UpdateMomentum(const CtpgOptimizer *o, PetscInt np, const PetscReal *restrict g, PetscReal *restrict v,
                           PetscReal *restrict theta) {
  const PetscReal rho = o->momentum, eta = o->learning_rate;
#pragma omp simd
  for (PetscInt k = 0; k < np; k++) {
    v[k] = rho * v[k] + eta * g[k];
    theta[k] -= v[k];
  }
}

static void UpdateAdam(const CtpgOptimizer *o, PetscInt np, const PetscReal *restrict g, PetscReal *restrict state,
                       PetscReal *restrict theta) {
  PetscReal *restrict m = state, *restrict v = state + np, *power = state + 2 * np;
  const PetscReal beta1 = o->beta1, beta2 = o->beta2, eta = o->learning_rate, epsilon = o->epsilon;
  const PetscReal scale1 = 1 - power[0], scale2 = 1 - power[1];
  for (PetscInt k = 0; k < np; k++) {
    m[k] = beta1 * m[k] + (1 - beta1) * g[k];
    v[k] = beta2 * v[k] + (1 - beta2) * g[k] * g[k];
    theta[k] -= eta * (m[k] / scale1) / (sqrt(v[k] / scale2) + epsilon);
  }
  power[0] *= beta1;
  power[1] *= beta2;
}

void OptimizerUpdate(const CtpgOptimizer *o, PetscInt np, const PetscReal *g, PetscReal step, PetscReal *state,
                     PetscReal *theta) {
  switch (o->kind) {
  case CTPG_SGD: Descend(np, o->learning_rate, g, theta); break;
  case CTPG_MOMENTUM: UpdateMomentum(o, np, g, state, theta); break;
  case CTPG_ADAM: UpdateAdam(o, np, g, state, theta); break;
  case CTPG_STEP_SEARCH: Descend(np, step, g, theta); break;
  }
  Bound(np, o->clamp, theta);
}
