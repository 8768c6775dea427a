// reversible.c -- an algebraically reversible Runge-Kutta scheme: the state is reconstructed backwards, exactly
//
//   forward   y_0 = z_0 = x0;  y_{n+1} = mu y_n + (1 - mu) z_n + Psi_h(t_n, z_n),  z_{n+1} = z_n - Psi_{-h}(t_{n+1},
//             y_{n+1})
//             Psi_h: the increment of an explicit Runge-Kutta method;  loss = its cost along y, x(T) = y_N
//   inverse   z_n = z_{n+1} + Psi_{-h}(t_{n+1}, y_{n+1}),  y_n = (y_{n+1} - (1 - mu) z_n - Psi_h(t_n, z_n)) / mu
//   reverse   with a = dL/dy, b = dL/dz:  a -= Psi_{-h}'(y_{n+1}) b;  then b += (1 - mu) a + Psi_h'(z_n) a,  a <- mu a
//   gradient  dL/dtheta = the parameter parts of the same products,  dL/dx0 = a + b at n = 0
//
// Derivative of the discrete map, exact up to rounding; of the order of Psi.
// Price: 2 s f forward, 2 s (f + vjp) backward a step: three times rk-adjoint's work. Memory 2 nx.
// Weakness: the price; fixed steps; rounding grows like mu^-N on the way back (backsolve_error tells); small stability
// region.
// Source: S. McCallum, J. Foster, "Efficient, accurate and stable gradients for neural ODEs", arXiv 2410.11648 (2024),
// Sec. 3.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"
#include "ctpgbench/toolkit/rkstep.h"

// Where the forward solve ends and the backward one goes on; the cost rides in both components.
typedef struct {
  PetscReal *y, *z, cost_y, cost_z; // [nx]
} Pair;

typedef struct {
  CtpgRKOptions rk; // its table and respect_breaks
  PetscReal mu;
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgRKStep step;
  Pair state, adjoint;
  PetscReal *increment, *minus; // [nx]
} Reversible;

static PetscErrorCode EstimatorCreate_Reversible(CtpgOptions options, CtpgTraits *traits, void **est) {
  char name[32] = "4", key[128];
  PetscBool found;
  Reversible *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->mu = 0.999;
  PetscCall(
      CtpgOptionsText(options, "rk", "Runge-Kutta table: tsit5, dop853, 6ve, 8ve or one of TSRK's", name, sizeof name));
  PetscCall(CtpgOptionsFind(options, "rk", key, sizeof key, &found));
  PetscCall(CtpgRKTableFind(key, name, &e->rk.table));
  PetscCall(CtpgRKOptionsReadBreaks(options, &e->rk));
  PetscCall(CtpgOptionsReal(options, "mu", "coupling of the two states", 1e-3, 1, &e->mu));
  traits->order = e->rk.table.order;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_Reversible(void *est, CtpgClosedLoop loop) {
  Reversible *e = est;
  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx;
  PetscCall(CtpgRKStepCreate(loop, &e->rk.table, &e->step));
  PetscCall(PetscMalloc6(nx, &e->state.y, nx, &e->state.z, nx, &e->adjoint.y, nx, &e->adjoint.z, nx, &e->increment, nx,
                         &e->minus));
  PetscFunctionReturn(0);
}

static CtpgStatus StepForward(Reversible *e, PetscReal t, PetscReal h) {
  Pair *s = &e->state;
  PetscReal cost;
  if (CtpgRKStepIncrement(e->step, t, h, s->z, e->increment, &cost) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  for (PetscInt k = 0; k < e->sizes.nx; k++) s->y[k] = e->mu * s->y[k] + (1 - e->mu) * s->z[k] + e->increment[k];
  s->cost_y = e->mu * s->cost_y + (1 - e->mu) * s->cost_z + cost;
  if (CtpgRKStepIncrement(e->step, t + h, -h, s->y, e->increment, &cost) != CTPG_OK)
    return CtpgClosedLoopGetStatus(e->loop);
  for (PetscInt k = 0; k < e->sizes.nx; k++) s->z[k] -= e->increment[k];
  s->cost_z -= cost;
  return CTPG_OK;
}

// State and adjoint from the end of a step to its start; the cost needs no inverse, but its adjoint has two parts, too.
static CtpgStatus StepBack(Reversible *e, PetscReal t, PetscReal h, PetscReal *gtheta) {
  Pair *s = &e->state, *a = &e->adjoint;
  const PetscInt nx = e->sizes.nx;
  PetscReal cost;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_RECOMPUTE);
  if (CtpgRKStepIncrement(e->step, t + h, -h, s->y, e->increment, &cost) != CTPG_OK)
    return CtpgClosedLoopGetStatus(e->loop);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt k = 0; k < nx; k++) {
    s->z[k] += e->increment[k];
    e->minus[k] = -a->z[k];
  }
  CtpgRKStepReverse(e->step, e->minus, -a->cost_z, a->y, gtheta);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_RECOMPUTE);
  if (CtpgRKStepIncrement(e->step, t, h, s->z, e->increment, &cost) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt k = 0; k < nx; k++) s->y[k] = (s->y[k] - (1 - e->mu) * s->z[k] - e->increment[k]) / e->mu;
  CtpgRKStepReverse(e->step, a->y, a->cost_y, a->z, gtheta);
  for (PetscInt k = 0; k < nx; k++) {
    a->z[k] += (1 - e->mu) * a->y[k];
    a->y[k] *= e->mu;
  }
  a->cost_z += (1 - e->mu) * a->cost_y;
  a->cost_y *= e->mu;
  return CtpgClosedLoopGetStatus(e->loop);
}

static void SolveForward(Reversible *e, const PetscReal *x0, PetscReal dt, CtpgResult *result) {
  const PetscInt npieces = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks);
  PetscReal t_low, t_high, J;
  memcpy(e->state.y, x0, (size_t)e->sizes.nx * sizeof *x0);
  memcpy(e->state.z, x0, (size_t)e->sizes.nx * sizeof *x0);
  e->state.cost_y = e->state.cost_z = 0;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_FORWARD);
  for (PetscInt p = 0; p < npieces; p++) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, p, &t_low, &t_high);
    const PetscInt N = CtpgFixedSteps(t_high - t_low, dt);
    const PetscReal h = (t_high - t_low) / (PetscReal)N;
    for (PetscInt n = 0; n < N && StepForward(e, t_low + (PetscReal)n * h, h) == CTPG_OK; n++) {
    }
    result->steps += N;
    result->h = h;
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgClosedLoopTerminal(e->loop, e->state.y, &J, e->adjoint.y);
  *result->loss = e->state.cost_y + J;
}

static void SolveBack(Reversible *e, PetscReal dt, CtpgResult *result) {
  PetscReal t_low, t_high;
  memset(e->adjoint.z, 0, (size_t)e->sizes.nx * sizeof *e->adjoint.z);
  e->adjoint.cost_y = 1;
  e->adjoint.cost_z = 0;
  for (PetscInt p = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks) - 1; p >= 0; p--) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, p, &t_low, &t_high);
    const PetscInt N = CtpgFixedSteps(t_high - t_low, dt);
    const PetscReal h = (t_high - t_low) / (PetscReal)N;
    for (PetscInt n = N - 1; n >= 0 && StepBack(e, t_low + (PetscReal)n * h, h, result->gtheta) == CTPG_OK; n--) {
    }
    result->steps_adjoint += N;
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  for (PetscInt k = 0; k < e->sizes.nx; k++) result->gx0[k] = e->adjoint.y[k] + e->adjoint.z[k];
}

static PetscErrorCode EstimatorGradientOfStart_Reversible(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                          PetscReal dt, CtpgStream *stream, CtpgResult *result) {
  Reversible *e = est;

  PetscFunctionBeginUser;
  (void)stream;
  CtpgClosedLoopGetSizes(loop, &e->sizes); // the horizon belongs to the case
  SolveForward(e, x0, dt, result);
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  SolveBack(e, dt, result);
  CtpgOfferBacksolveError(result, e->sizes.nx, e->state.y, x0);
  result->bytes = 2 * (size_t)e->sizes.nx * sizeof(PetscReal);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_Reversible(void **est) {
  Reversible *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgRKStepDestroy(&e->step));
  PetscCallVoid(PetscFree6(e->state.y, e->state.z, e->adjoint.y, e->adjoint.z, e->increment, e->minus));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_reversible = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "reversible",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@misc{McCallum2024, author={Sam McCallum and James Foster}, title={Efficient, accurate and stable gradients "
        "for neural {ODE}s}, year={2024}, eprint={2410.11648}, archivePrefix={arXiv}}",
    .knob = CTPG_KNOB_DT,
    .order = 4,
    .cost = "2 s f + 2 s (f + vjp)",
    .storage = "2 nx",
    .create = EstimatorCreate_Reversible,
    .setup = EstimatorSetUp_Reversible,
    .gradient_of_start = EstimatorGradientOfStart_Reversible,
    .destroy = EstimatorDestroy_Reversible,
    .needs = "vjp"};
