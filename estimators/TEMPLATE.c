// TEMPLATE.c -- the explicit midpoint rule and its exact reverse sweep, by hand: the smallest estimator, to be replaced by yours
//
//   forward   X_n = x_n + h/2 f(t_n, x_n),  x_{n+1} = x_n + h f(t_n + h/2, X_n),  loss = J(x_N) + sum_n h w(t_n + h/2, X_n)
//   reverse   beta = vjp_x(X_n; v = h alpha, c = h);  alpha <- alpha + beta + vjp_x(x_n; v = h/2 beta, c = 0)
//   gradient  dL/dtheta = sum of the same products' theta parts,  dL/dx0 = alpha
//
// Price: 2 f and 2 vjp a step; memory 2 N nx reals. Derivative of the discrete map; order 2.
// What an estimator may call: closedloop.h. Runge-Kutta solves on PETSc TS, records and sweeps: rksolver.h, forward.h,
// reverse.h. Try it with
//   ctpgbench check -estimator_library ./TEMPLATE.so -estimators TEMPLATE

#include <ctpgbench/ctpgbench.h>
#include <ctpgbench/toolkit.h>

typedef struct {
  CtpgLoopSizes sizes;
  CtpgArena arena;
  CtpgRows rows;                   // x_n and X_n [2 nx] of every step
  PetscReal *x, *f, *v, *beta, *X; // [nx]
} Midpoint;

static PetscErrorCode EstimatorCreate_TEMPLATE(CtpgOptions options, CtpgTraits *traits, void **est) {
  Midpoint *m;
  PetscFunctionBeginUser;
  (void)options, (void)traits; // read options here, and change the claims in traits where they depend on them
  PetscCall(PetscNew(&m));
  *est = m;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_TEMPLATE(void *est, CtpgClosedLoop loop) {
  Midpoint *m = est;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &m->sizes);
  const PetscInt nx = m->sizes.nx;
  CtpgRowsInit(&m->rows, &m->arena, 2 * nx);
  PetscCall(PetscMalloc5(nx, &m->x, nx, &m->f, nx, &m->v, nx, &m->beta, nx, &m->X));
  PetscFunctionReturn(0);
}

// From x to the end of the step, whose states are recorded; the loss grows by h w.
static CtpgStatus Step(Midpoint *m, CtpgClosedLoop loop, PetscReal t, PetscReal h, PetscReal *loss) {
  const PetscInt nx = m->sizes.nx;
  const PetscReal middle = t + h / 2;
  PetscReal *row = CtpgRowsPush(&m->rows), w;
  if (!row) return CtpgClosedLoopFail(loop, CTPG_STEP_LIMIT, "no memory for %d steps", (int)m->rows.count + 1);
  if (CtpgClosedLoopEval(loop, 1, &t, m->x, m->f, &w) != CTPG_OK) return CtpgClosedLoopGetStatus(loop);
  for (PetscInt k = 0; k < nx; k++) {
    row[k] = m->x[k];
    row[nx + k] = m->x[k] + h / 2 * m->f[k];
  }
  if (CtpgClosedLoopEval(loop, 1, &middle, row + nx, m->f, &w) != CTPG_OK) return CtpgClosedLoopGetStatus(loop);
  for (PetscInt k = 0; k < nx; k++) m->x[k] += h * m->f[k];
  *loss += h * w;
  return CTPG_OK;
}

// alpha [nx] from the end of step n to its start; gtheta accumulates.
static void StepBack(Midpoint *m, CtpgClosedLoop loop, PetscInt n, PetscReal t, PetscReal h, PetscReal *alpha,
                     PetscReal *gtheta) {
  const PetscInt nx = m->sizes.nx;
  const PetscReal *row = CtpgRowsAt(&m->rows, n), middle = t + h / 2, zero = 0;
  for (PetscInt k = 0; k < nx; k++) {
    m->v[k] = h * alpha[k];
    m->beta[k] = 0;
  }
  CtpgClosedLoopVJP(loop, 1, &middle, row + nx, m->v, &h, m->beta, gtheta);
  for (PetscInt k = 0; k < nx; k++) {
    m->v[k] = h / 2 * m->beta[k];
    alpha[k] += m->beta[k];
  }
  CtpgClosedLoopVJP(loop, 1, &t, row, m->v, &zero, alpha, gtheta);
}

static PetscErrorCode EstimatorGradientOfStart_TEMPLATE(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                        PetscReal dt, CtpgStream *stream, CtpgResult *result) {
  Midpoint *m = est;

  PetscFunctionBeginUser;
  (void)stream;                            // random numbers of a stochastic estimator
  CtpgClosedLoopGetSizes(loop, &m->sizes); // the horizon belongs to the case
  const PetscInt N = CtpgFixedSteps(m->sizes.T, dt);
  const PetscReal h = m->sizes.T / N;
  PetscReal J;
  CtpgRowsTruncate(&m->rows, 0);
  CtpgArenaReset(&m->arena);
  PetscCall(PetscArraycpy(m->x, x0, m->sizes.nx));
  CtpgClosedLoopSetPurpose(loop, CTPG_FORWARD);
  for (PetscInt n = 0; n < N && Step(m, loop, n * h, h, result->loss) == CTPG_OK; n++) {
  }
  CtpgClosedLoopTerminal(loop, m->x, &J, result->gx0);
  *result->loss += J;
  CtpgClosedLoopSetPurpose(loop, CTPG_ADJOINT);
  for (PetscInt n = N - 1; n >= 0 && CtpgClosedLoopGetStatus(loop) == CTPG_OK; n--)
    StepBack(m, loop, n, n * h, h, result->gx0, result->gtheta);
  result->h = h;
  result->steps += N;
  result->steps_adjoint += N;
  result->bytes = PetscMax(result->bytes, m->arena.peak);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_TEMPLATE(void **est) {
  Midpoint *m = *est;
  if (!m) return;
  CtpgRowsFree(&m->rows);
  PetscCallVoid(PetscFree5(m->x, m->f, m->v, m->beta, m->X));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_TEMPLATE = {.abi = CTPG_ABI,
                                                  .size = sizeof(CtpgEstimatorType),
                                                  .name = "TEMPLATE",
                                                  .version = 1, // raise it whenever results change
                                                  .bibtex = "@misc{TEMPLATE, title={who to cite for this estimator}}",
                                                  .knob = CTPG_KNOB_DT,
                                                  .order = 2,
                                                  .cost = "2 f + 2 vjp",
                                                  .storage = "2 N nx",
                                                  .create = EstimatorCreate_TEMPLATE,
                                                  .setup = EstimatorSetUp_TEMPLATE,
                                                  .gradient_of_start = EstimatorGradientOfStart_TEMPLATE,
                                                  .destroy = EstimatorDestroy_TEMPLATE,
                                                  .needs = "vjp"};

CTPG_PLUGIN_ESTIMATOR(CtpgEstimator_TEMPLATE)
