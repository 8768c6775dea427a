// pendulum.c -- swing-up of a pendulum whose motor is too weak to lift it at once
//
//   x = (h, h')   angle, rad, 0 upright; its rate, rad/s.  q = h, hence nq = 1
//   u             torque as a fraction of the limit `torque` (-pendulum_torque, N m)
//   m l^2 h'' = m g l sin h - d h' + torque u          d = -pendulum_damping, N m s
//   w = 1 - cos h + 0.01 h'^2 + 0.1 u^2
//   o = (sin h, cos h, h')
//   x0: h ~ pi + U(-pi/4, pi/4), at rest
// The limit is smooth: the default policy ends in tanh, so |u| < 1, and f itself has no kink. m g l = 9.8 exceeds the
// default limit of 5.
//
// What makes it hard: the loss must first grow; energy has to be pumped over several swings, so that a short horizon or
// a gradient without its late part points the wrong way. Integration is easy. Near the top perturbations grow like
// exp(sqrt(g/l) t), which is the error of an estimator that solves the plant backwards.
// For whom: the smallest nonlinear swing-up, whose phase plane can be drawn; first steps of a new estimator.
// Source: Doya 2000 (bibtex below): m = l = 1, g = 9.8, d = 0.01, limit 5; the weights of rate and control are ours.

#include "ctpgbench/problem.h"
#include <math.h>

#define MASS    ((PetscReal)1)    // m, kg
#define LENGTH  ((PetscReal)1)    // l, m
#define GRAVITY ((PetscReal)9.8)  // g, m/s^2
#define SPEED   ((PetscReal)0.01) // weight of h'^2 in w
#define EFFORT  ((PetscReal)0.1)  // weight of u^2 in w
#define INERTIA (MASS * LENGTH * LENGTH)
#define WEIGHT  (MASS * GRAVITY * LENGTH)

enum { NX = 2, NU = 1, NO = 3 };

typedef struct {
  PetscReal torque, damping;
  CtpgConstant constants[2];
} Pendulum;

static const PetscInt ACTUATED[] = {1};
static const PetscReal RODS[] = {LENGTH};

static PetscErrorCode PendulumCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Pendulum *pendulum;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&pendulum));
  *ctx = pendulum;
  pendulum->torque = 5;
  pendulum->damping = 0.01;
  PetscCall(
      CtpgOptionsReal(options, "torque", "limit of the torque, N m; 9.8 lifts it at once", 0, 1e6, &pendulum->torque));
  PetscCall(CtpgOptionsReal(options, "damping", "viscous damping of the joint, N m s", 0, 1e6, &pendulum->damping));
  pendulum->constants[0] = (CtpgConstant){.name = "rods", .unit = "m", .rows = 1, .values = RODS};
  pendulum->constants[1] =
      (CtpgConstant){.name = "torque_limit", .unit = "N m", .rows = 1, .values = &pendulum->torque};
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .nq = 1,
                     .T = 5,
                     .policy = "mlp",
                     .widths = "32,32",
                     .activations = "tanh,tanh,tanh",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 1,
                     .state_names = "angle,angle'",
                     .state_units = "rad,rad/s",
                     .control_names = "torque",
                     .control_units = "limit",
                     .constants = pendulum->constants,
                     .nconstants = 2};
  PetscFunctionReturn(0);
}

static void PendulumDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode PendulumDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                   PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = PETSC_PI + CtpgStreamUniformIn(x0_stream, -PETSC_PI / 4, PETSC_PI / 4);
  x0[1] = 0;
  PetscFunctionReturn(0);
}

static CtpgStatus PendulumEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Pendulum *pendulum = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, f += NX) {
    f[0] = x[1];
    f[1] = (WEIGHT * CtpgSin(x[0]) - pendulum->damping * x[1] + pendulum->torque * u[i]) / INERTIA;
    w[i] = 1 - CtpgCos(x[0]) + SPEED * x[1] * x[1] + EFFORT * u[i] * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  const Pendulum *pendulum = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, v += NX, gx += NX) {
    const PetscReal p = v[1] / INERTIA;
    gx[0] += p * WEIGHT * CtpgCos(x[0]) + c[i] * CtpgSin(x[0]);
    gx[1] += v[0] - p * pendulum->damping + c[i] * 2 * SPEED * x[1];
    gu[i] += p * pendulum->torque + c[i] * 2 * EFFORT * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                  PetscReal *dw) {
  const Pendulum *pendulum = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, df += NX) {
    df[0] = dx[1];
    df[1] = (WEIGHT * CtpgCos(x[0]) * dx[0] - pendulum->damping * dx[1] + pendulum->torque * du[i]) / INERTIA;
    dw[i] = CtpgSin(x[0]) * dx[0] + 2 * (SPEED * x[1] * dx[1] + EFFORT * u[i] * du[i]);
  }
  return CTPG_OK;
}

static CtpgStatus PendulumJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                   PetscReal *fx, PetscReal *fu) {
  const Pendulum *pendulum = ctx;
  (void)task, (void)t, (void)u;
  fx[0] = 0;
  fx[1] = 1;
  fx[2] = WEIGHT * CtpgCos(x[0]) / INERTIA;
  fx[3] = -pendulum->damping / INERTIA;
  fu[0] = 0;
  fu[1] = pendulum->torque / INERTIA;
  return CTPG_OK;
}

static CtpgStatus PendulumObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, o += NO) {
    o[0] = CtpgSin(x[0]);
    o[1] = CtpgCos(x[0]);
    o[2] = x[1];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, go += NO, gx += NX) {
    gx[0] += go[0] * CtpgCos(x[0]) - go[1] * CtpgSin(x[0]);
    gx[1] += go[2];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, d_o += NO) {
    d_o[0] = CtpgCos(x[0]) * dx[0];
    d_o[1] = -CtpgSin(x[0]) * dx[0];
    d_o[2] = dx[1];
  }
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_pendulum = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "pendulum",
    .bibtex = "@article{doya2000continuous,\n"
              "  title = {Reinforcement Learning in Continuous Time and Space},\n"
              "  author = {Doya, Kenji},\n"
              "  journal = {Neural Computation}, volume = {12}, number = {1}, pages = {219--245}, year = {2000}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = PendulumCreate,
    .draw = PendulumDraw,
    .eval = PendulumEval,
    .observe = PendulumObserve,
    .eval_vjp = PendulumEvalVJP,
    .observe_vjp = PendulumObserveVJP,
    .eval_jvp = PendulumEvalJVP,
    .observe_jvp = PendulumObserveJVP,
    .jacobian = PendulumJacobian,
    .destroy = PendulumDestroy,
};
