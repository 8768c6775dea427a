// euler_bptt.c -- back-propagation through time: gradient of the loss of the Euler-discretised closed loop
//
// -scheme explicit, the default:
//   forward   x[n+1] = x[n] + h f(t[n], x[n]; theta),    n = 0..N-1,   x[0] = x0,   h = T / N,   t[n] = n h
//   loss      L      = J(x[N]) + sum_n h w(t[n], x[n]; theta)
//   reverse   alpha[N] = J_x;  alpha[n] = alpha[n+1] + h (f_x' alpha[n+1] + w_x)
//   gradient  dL/dtheta = sum_n h (f_theta' alpha[n+1] + w_theta),  dL/dx0 = alpha[0]
// -scheme semi-implicit, for x = (q, v, rest) with q' = v, the loop of the paper's electric experiment:
//   u = pi(o(t[n+1], x[n])),  v[n+1] = v[n] + h f_v(t[n+1], x[n], u),  q[n+1] = q[n] + h v[n+1]
//   L = J(x[N]) + sum_n h w(t[n+1], x[n+1], u)
//   gradient by the chain rule through the same loop.
//
// Derivative of the discrete map: exact up to rounding for the grid that was used.
// Price: N evaluations of f, N joint vector-Jacobian products; memory (N + 1) nx reals (and their times, explicit), and
// beside them the outputs of the policy's layers, N nz reals (explicit; -keep_outputs 0: none, and the same bits).
// Weakness: first order in h, whatever the sweep does. Prefer rk-adjoint or ctpg; this is the baseline they are
// measured against.
// Source: P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proc. IEEE 78 (1990); as
// baseline: S. Ainsworth et al., L4DC 2021, Sec. 2. The explicit sweep is that of reverse.h for the table 1fe; TS has
// no semi-implicit method for a control that depends on all of x, so that loop stands here.

#include "ctpgbench/toolkit/discrete.h"

typedef struct {
  CtpgDiscreteAdjoint explicit_euler; // first: what CtpgDiscreteAdjoint... take
  PetscBool semi_implicit;
  PetscInt nx;
  CtpgArena arena;
  CtpgRows states; // [N + 1, nx]
} Euler;

static PetscErrorCode EstimatorCreate_EulerBPTT(CtpgOptions options, CtpgTraits *traits, void **est) {
  const char *schemes[] = {"explicit", "semi-implicit", NULL};
  PetscInt scheme = 0;
  Euler *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  CtpgRKOptions *rk = &e->explicit_euler.rk;
  PetscCall(CtpgRKTableFind("-rk", "1fe", &rk->table));
  rk->fixed = PETSC_TRUE;
  PetscCall(CtpgOptionsChoice(options, "scheme", "explicit Euler, or semi-implicit for x = (q, v, rest) with q' = v",
                              schemes, &scheme));
  e->semi_implicit = scheme == 1 ? PETSC_TRUE : PETSC_FALSE;
  if (!e->semi_implicit) PetscCall(CtpgRKOptionsReadBreaks(options, rk));
  if (!e->semi_implicit) PetscCall(CtpgDiscreteAdjointReadKeep(options, &e->explicit_euler, traits));
  if (e->semi_implicit) traits->storage = "N nx";
  traits->order = rk->table.order;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_EulerBPTT(void *est, CtpgClosedLoop loop) {
  Euler *e = est;
  CtpgLoopSizes sizes;

  PetscFunctionBeginUser;
  if (!e->semi_implicit) PetscCall(CtpgDiscreteAdjointSetUp(&e->explicit_euler, loop));
  CtpgClosedLoopGetSizes(loop, &sizes);
  e->nx = sizes.nx;
  CtpgRowsInit(&e->states, &e->arena, sizes.nx);
  PetscFunctionReturn(0);
}

// ---- semi-implicit ----

// x[1..N] recorded behind x[0]; adds the running cost to *loss.
static void SemiImplicitForward(Euler *e, CtpgClosedLoop loop, PetscInt N, PetscReal h, PetscReal *loss) {
  PetscReal *x = CtpgRowsAt(&e->states, 0), w;
  for (PetscInt n = 1; n <= N; n++) {
    PetscReal *next = CtpgRowsPush(&e->states);
    if (!next) {
      CtpgClosedLoopFail(loop, CTPG_STEP_LIMIT, "no memory to record more than %d steps", (int)n);
      return;
    }
    const PetscReal t = n * h;
    if (CtpgClosedLoopSemiImplicitStep(loop, 1, &t, h, x, next, &w) != CTPG_OK) {
      CtpgRowsTruncate(&e->states, n); // as many steps as were made
      return;
    }
    *loss += h * w;
    x = next;
  }
}

// alpha [nx]: J_x on entry, dL/dx0 on return.
static void SemiImplicitReverse(Euler *e, CtpgClosedLoop loop, PetscInt N, PetscReal h, PetscReal *alpha,
                                PetscReal *gtheta) {
  CtpgClosedLoopSetPurpose(loop, CTPG_ADJOINT);
  for (PetscInt n = N; n >= 1 && CtpgClosedLoopGetStatus(loop) == CTPG_OK; n--) {
    const PetscReal t = n * h;
    CtpgClosedLoopSemiImplicitVJP(loop, 1, &t, h, CtpgRowsAt(&e->states, n - 1), CtpgRowsAt(&e->states, n), alpha,
                                  gtheta);
  }
}

static PetscErrorCode SemiImplicitGradient(void *est, CtpgClosedLoop loop, const PetscReal *x0, PetscReal dt,
                                           CtpgResult *result) {
  Euler *e = est;
  CtpgLoopSizes sizes;
  PetscReal terminal;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  const PetscInt N = CtpgFixedSteps(sizes.T, dt);
  const PetscReal h = sizes.T / N;
  if (N == PETSC_MAX_INT) {
    CtpgClosedLoopFail(loop, CTPG_STEP_LIMIT, "steps of %.3g are too many to count in %.3g", dt, sizes.T);
    PetscFunctionReturn(0);
  }
  CtpgRowsTruncate(&e->states, 0);
  CtpgArenaReset(&e->arena);
  PetscReal *start = CtpgRowsPush(&e->states);
  PetscCheck(start, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  PetscCall(PetscArraycpy(start, x0, e->nx));
  SemiImplicitForward(e, loop, N, h, result->loss);
  result->steps += e->states.count - 1;
  result->h = h;
  result->bytes = PetscMax(result->bytes, e->arena.peak);
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  if (CtpgClosedLoopTerminal(loop, CtpgRowsAt(&e->states, N), &terminal, result->gx0) != CTPG_OK)
    PetscFunctionReturn(0);
  *result->loss += terminal;
  SemiImplicitReverse(e, loop, N, h, result->gx0, result->gtheta);
  result->steps_adjoint += N;
  PetscFunctionReturn(0);
}

// ---- the contract ----

static PetscErrorCode EstimatorGradientOfStart_EulerBPTT(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                         PetscReal dt, CtpgStream *stream, CtpgResult *result) {
  Euler *e = est;
  PetscFunctionBeginUser;
  if (e->semi_implicit)
    PetscCall(SemiImplicitGradient(e, loop, x0, dt, result));
  else
    PetscCall(CtpgDiscreteAdjointGradientOfStart(&e->explicit_euler, loop, x0, dt, stream, result));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_EulerBPTT(void **est) {
  Euler *e = *est;
  if (!e) return;
  CtpgRowsFree(&e->states);
  CtpgDiscreteAdjointDestroy(est);
}

const CtpgEstimatorType CtpgEstimator_euler_bptt = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "euler-bptt",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@article{Werbos1990, author={Paul J. Werbos}, title={Backpropagation through time: what it does and how "
        "to do it}, journal={Proceedings of the IEEE}, volume={78}, number={10}, pages={1550--1560}, year={1990}}",
    .knob = CTPG_KNOB_DT,
    .order = 1,
    .cost = "1 f + 1 vjp",
    .storage = "N (nx + nz)",
    .create = EstimatorCreate_EulerBPTT,
    .setup = EstimatorSetUp_EulerBPTT,
    .gradient_of_start = EstimatorGradientOfStart_EulerBPTT,
    .destroy = EstimatorDestroy_EulerBPTT};
