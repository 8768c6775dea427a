// alf.c -- asynchronous leapfrog: a scheme on (x, v) whose every step can be inverted, so that nothing is stored
//
//   start     v_0 = f(0, x0)
//   forward   k = x_n + h/2 v_n,  u = f(t_n + h/2, k),  v_{n+1} = 2 u - v_n,  x_{n+1} = k + h/2 v_{n+1}
//   loss      sum of h w(t_n + h/2, k), and J(x_N)
//   inverse   k = x_{n+1} - h/2 v_{n+1},  u as above,  v_n = 2 u - v_{n+1},  x_n = k - h/2 v_n
//   reverse   a = dL/dx, b = dL/dv:  b += h/2 a;  a += f_x' (2 b) + h w_x;  b <- h/2 a - b   (a after its update)
//   gradient  dL/dtheta = sum of f_theta' (2 b) + h w_theta, and f_theta' b_0 of the start;  dL/dx0 = a_0 + f_x' b_0
//
// v is started anew where breaks are respected: f jumps there, and so must v, whose old value is kept (nx a break).
// Derivative of the discrete map, exact up to rounding; order 2.
// Price: 1 f forward, 1 f and 1 vjp backward a step. Memory 2 nx.
// Weakness: order 2; fixed steps; v is only weakly stable (its error does not decay); backsolve_error tells what
// rounding does.
// Source: J. Zhuang, N. C. Dvornek, S. Tatikonda, J. S. Duncan, "MALI: a memory efficient and reverse accurate
// integrator for neural ODEs", ICLR 2021 (arXiv 2102.04668), Algorithms 2 to 4.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"

typedef struct {
  CtpgRKOptions rk; // its respect_breaks
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  PetscReal *x, *v, *k, *u; // [nx]
  PetscReal *a, *b;         // [nx] adjoints of x and v
  PetscReal *v_end;         // [npieces, nx]
} ALF;

static PetscErrorCode EstimatorCreate_ALF(CtpgOptions options, CtpgTraits *traits, void **est) {
  ALF *e;
  PetscFunctionBeginUser;
  (void)traits;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(CtpgRKOptionsReadBreaks(options, &e->rk));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_ALF(void *est, CtpgClosedLoop loop) {
  ALF *e = est;
  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx;
  PetscCall(PetscMalloc6(nx, &e->x, nx, &e->v, nx, &e->k, nx, &e->u, nx, &e->a, nx, &e->b));
  PetscCall(PetscMalloc1(CtpgClosedLoopGetPieces(loop, e->rk.respect_breaks) * nx, &e->v_end));
  PetscFunctionReturn(0);
}

// Half a step from x along sign v to the middle, and u there; v becomes that of the other end, and x that end.
static CtpgStatus Leap(ALF *e, PetscReal middle, PetscReal half, PetscReal *w) {
  const PetscInt nx = e->sizes.nx;
  for (PetscInt i = 0; i < nx; i++) e->k[i] = e->x[i] + half * e->v[i];
  if (CtpgClosedLoopEval(e->loop, 1, &middle, e->k, e->u, w) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  for (PetscInt i = 0; i < nx; i++) {
    e->v[i] = 2 * e->u[i] - e->v[i];
    e->x[i] = e->k[i] + half * e->v[i];
  }
  return CTPG_OK;
}

static void SolveForward(ALF *e, const PetscReal *x0, PetscReal dt, CtpgResult *result) {
  const PetscInt nx = e->sizes.nx, npieces = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks);
  PetscReal t_low, t_high, w, J;
  memcpy(e->x, x0, (size_t)nx * sizeof *x0);
  for (PetscInt p = 0; p < npieces; p++) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, p, &t_low, &t_high);
    const PetscInt N = CtpgFixedSteps(t_high - t_low, dt);
    const PetscReal h = (t_high - t_low) / (PetscReal)N;
    CtpgClosedLoopSetPurpose(e->loop, CTPG_STARTUP);
    if (CtpgClosedLoopEval(e->loop, 1, &t_low, e->x, e->v, &w) != CTPG_OK) return;
    CtpgClosedLoopSetPurpose(e->loop, CTPG_FORWARD);
    for (PetscInt n = 0; n < N; n++) {
      if (Leap(e, t_low + ((PetscReal)n + 0.5) * h, h / 2, &w) != CTPG_OK) return;
      *result->loss += h * w;
    }
    memcpy(e->v_end + p * nx, e->v, (size_t)nx * sizeof *e->v);
    result->steps += N;
    result->h = h;
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgClosedLoopTerminal(e->loop, e->x, &J, e->a);
  *result->loss += J;
}

// State and adjoints from the end of a step to its start.
static CtpgStatus StepBack(ALF *e, PetscReal middle, PetscReal h, PetscReal *gtheta) {
  const PetscInt nx = e->sizes.nx;
  PetscReal w;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_RECOMPUTE);
  if (Leap(e, middle, -h / 2, &w) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt i = 0; i < nx; i++) {
    e->b[i] += h / 2 * e->a[i];
    e->u[i] = 2 * e->b[i];
  }
  CtpgClosedLoopVJP(e->loop, 1, &middle, e->k, e->u, &h, e->a, gtheta);
  for (PetscInt i = 0; i < nx; i++) e->b[i] = h / 2 * e->a[i] - e->b[i];
  return CtpgClosedLoopGetStatus(e->loop);
}

static void SolveBack(ALF *e, PetscReal dt, CtpgResult *result) {
  const PetscInt nx = e->sizes.nx;
  const PetscReal zero = 0;
  PetscReal t_low, t_high;
  for (PetscInt p = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks) - 1; p >= 0; p--) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, p, &t_low, &t_high);
    const PetscInt N = CtpgFixedSteps(t_high - t_low, dt);
    const PetscReal h = (t_high - t_low) / (PetscReal)N;
    memcpy(e->v, e->v_end + p * nx, (size_t)nx * sizeof *e->v);
    memset(e->b, 0, (size_t)nx * sizeof *e->b);
    for (PetscInt n = N - 1; n >= 0; n--)
      if (StepBack(e, t_low + ((PetscReal)n + 0.5) * h, h, result->gtheta) != CTPG_OK) return;
    CtpgClosedLoopVJP(e->loop, 1, &t_low, e->x, e->b, &zero, e->a, result->gtheta);
    result->steps_adjoint += N;
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  memcpy(result->gx0, e->a, (size_t)nx * sizeof *e->a);
}

static PetscErrorCode EstimatorGradientOfStart_ALF(void *est, CtpgClosedLoop loop, const PetscReal *x0, PetscReal dt,
                                                   CtpgStream *stream, CtpgResult *result) {
  ALF *e = est;

  PetscFunctionBeginUser;
  (void)stream;
  CtpgClosedLoopGetSizes(loop, &e->sizes); // the horizon belongs to the case
  SolveForward(e, x0, dt, result);
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  SolveBack(e, dt, result);
  CtpgOfferBacksolveError(result, e->sizes.nx, e->x, x0);
  result->bytes = (size_t)((1 + CtpgClosedLoopGetPieces(loop, e->rk.respect_breaks)) * e->sizes.nx) * sizeof(PetscReal);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_ALF(void **est) {
  ALF *e = *est;
  if (!e) return;
  PetscCallVoid(PetscFree6(e->x, e->v, e->k, e->u, e->a, e->b));
  PetscCallVoid(PetscFree(e->v_end));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_alf = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "alf",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@inproceedings{Zhuang2021, author={Juntang Zhuang and Nicha C. Dvornek and Sekhar Tatikonda and James S. "
        "Duncan}, title={{MALI}: a memory efficient and reverse accurate integrator for neural {ODE}s}, "
        "booktitle={ICLR}, year={2021}}",
    .knob = CTPG_KNOB_DT,
    .order = 2,
    .cost = "1 f + 1 (f + vjp)",
    .storage = "2 nx",
    .create = EstimatorCreate_ALF,
    .setup = EstimatorSetUp_ALF,
    .gradient_of_start = EstimatorGradientOfStart_ALF,
    .destroy = EstimatorDestroy_ALF,
    .needs = "vjp"};
