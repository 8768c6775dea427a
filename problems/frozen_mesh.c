// frozen_mesh.c -- a robot that stands still: the loss is exact on any mesh, the discrete gradient on none
//
//   x = (q, v)           position, m; velocity, m/s
//   q' = v,  v' = rate (u - v)      u: the velocity that is asked for, m/s; rate = -frozen-mesh_rate, default 100, 1/s
//   w = q^2 + 0.1 v^2 + 0.01 u^2,  o = x
//   x0: q ~ U(0.5, 1.5), v = 0;  initial policy u = 0 q + k v + 0, k ~ U(-0.5, 0.5): it asks for rest
// The plant is linear and smooth, and the path constant: x(t) = x0, L = q0^2 T. A step-size controller sees no error
// and takes the largest steps it may. What a change of the policy does, it does on the scale 1/mu, mu = rate (1 - k):
//   dv' = -mu dv + rate p,  dq' = dv,  p = db + q0 dK_q       =>  dq = rate/mu (t - (1 - exp(-mu t))/mu) p
//   E = (1 - exp(-mu T))/mu,  I = 2 q0 rate/mu (T^2/2 - (T - E)/mu)
//   dL/db = I,  dL/dK_q = q0 I,  dL/dK_v = 0,  dL/dq0 = 2 q0 T,  dL/dv0 = 2 q0 (T - E)/mu
// which is of order one at any rate, and the closed form of this file.
//
// What makes it hard: a mesh that was chosen for the state alone is frozen into the discrete adjoint (rk-adjoint,
// tsadjoint) and into sensitivities that are not in the error norm (forward). One step of length h multiplies an error
// by the method's stability polynomial at -mu h, about (mu h)^s: the gradient is wrong by any factor that one likes, at
// every tolerance, while the loss is right to rounding. Seed 0, rtol 1e-3, 1e-6 and 1e-9 alike: rk-adjoint's dL/dtheta
// is off by 1.8e3 times its size at rate 10, 7.5e18 at 100, 2.3e41 at 1000 (tests/test_frozen_mesh.c).
// finite-difference, which keeps the mesh of its base solve, is caught too.
// Who controls the error of the adjoint is not fooled: ctpg (1.2e-9 at rtol 1e-6, rate 100), cvodes (2.0e-8), and the
// suite's reference, of which the discrete method is only the check; the reference then compares two continuous ones.
// Fixed steps are right as soon as mu h is inside the region of stability.
// For whom: whoever differentiates an adaptive solver, or keeps the mesh of a previous solve.
// Source: that derivatives of an adaptive solve converge only if they enter the error control is in P. Eberhard, C.
// Bischof, "Automatic differentiation of numerical integration algorithms", Math. Comp. 68 (1999); a constant solution
// as the example in Sapienza et al. 2024 (bibtex below), there of Lotka and Volterra. This one is ours.

#include "ctpgbench/problem.h"
#include <math.h>

#define SPEED  ((PetscReal)0.1)  // weight of v^2 in w, s^2
#define EFFORT ((PetscReal)0.01) // weight of u^2 in w, s^2

enum { NX = 2, NU = 1 };

typedef struct {
  PetscReal rate;
  CtpgConstant constants[1];
} Robot;

static const PetscInt ACTUATED[] = {1};

static PetscErrorCode FrozenMeshCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Robot *robot;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&robot));
  *ctx = robot;
  robot->rate = 100;
  PetscCall(CtpgOptionsReal(options, "rate",
                            "how fast the velocity follows the control, 1/s; the larger, the more wrong", 1e-3, 1e6,
                            &robot->rate));
  robot->constants[0] = (CtpgConstant){.name = "rate", .unit = "1/s", .rows = 1, .values = &robot->rate};
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NX,
                     .nq = 1,
                     .T = 2,
                     .policy = "linear",
                     .widths = "16",
                     .activations = "tanh,linear",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 1,
                     .state_names = "q,v",
                     .state_units = "m,m/s",
                     .control_names = "command",
                     .control_units = "m/s",
                     .constants = robot->constants,
                     .nconstants = 1};
  PetscFunctionReturn(0);
}

static void FrozenMeshDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode FrozenMeshDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                     PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, 0.5, 1.5);
  x0[1] = 0;
  PetscFunctionReturn(0);
}

static PetscErrorCode FrozenMeshDrawLinear(void *ctx, CtpgStream *theta_stream, PetscReal *K, PetscReal *b) {
  PetscFunctionBeginUser;
  (void)ctx;
  K[0] = 0;
  K[1] = CtpgStreamUniformIn(theta_stream, -0.5, 0.5);
  b[0] = 0;
  PetscFunctionReturn(0);
}

static CtpgStatus FrozenMeshEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *u, PetscReal *f, PetscReal *w) {
  const PetscReal rate = ((const Robot *)ctx)->rate;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, f += NX) {
    f[0] = x[1];
    f[1] = rate * (u[i] - x[1]);
    w[i] = x[0] * x[0] + SPEED * x[1] * x[1] + EFFORT * u[i] * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus FrozenMeshEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                    const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                    PetscReal *gu) {
  const PetscReal rate = ((const Robot *)ctx)->rate;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, v += NX, gx += NX) {
    gx[0] += c[i] * 2 * x[0];
    gx[1] += v[0] - rate * v[1] + c[i] * 2 * SPEED * x[1];
    gu[i] += rate * v[1] + c[i] * 2 * EFFORT * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus FrozenMeshEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                    const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                    PetscReal *dw) {
  const PetscReal rate = ((const Robot *)ctx)->rate;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, df += NX) {
    df[0] = dx[1];
    df[1] = rate * (du[i] - dx[1]);
    dw[i] = 2 * (x[0] * dx[0] + SPEED * x[1] * dx[1] + EFFORT * u[i] * du[i]);
  }
  return CTPG_OK;
}

static CtpgStatus FrozenMeshJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                     const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const PetscReal rate = ((const Robot *)ctx)->rate;
  (void)task, (void)t, (void)x, (void)u;
  fx[0] = fx[2] = fu[0] = 0;
  fx[1] = 1;
  fx[3] = -rate;
  fu[1] = rate;
  return CTPG_OK;
}

// Where the robot stands still, as it is drawn; not near mu T = 0, where the formulas lose digits.
static CtpgStatus FrozenMeshClosedForm(void *ctx, const CtpgTask *task, const CtpgLinearPolicy *policy,
                                       const PetscReal *x0, PetscReal *loss, PetscReal *gx0, PetscReal *gK,
                                       PetscReal *gb) {
  const PetscReal rate = ((const Robot *)ctx)->rate, T = task->T, mu = rate * (1 - policy->K[1]), q = x0[0];
  if (x0[1] != 0 || policy->K[0] != 0 || policy->b[0] != 0 || !(mu * T > 1)) return CTPG_SKIPPED;
  const PetscReal late = (T + expm1(-mu * T) / mu) / mu, integral = 2 * q * rate / mu * (T * T / 2 - late);
  *loss = q * q * T;
  gx0[0] = 2 * q * T;
  gx0[1] = 2 * q * late;
  gK[0] = q * integral;
  gK[1] = 0;
  gb[0] = integral;
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_frozen_mesh = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "frozen-mesh",
    .bibtex =
        "@article{sapienza2024differentiable,\n"
        "  title = {Differentiable Programming for Differential Equations: A Review},\n"
        "  author = {Sapienza, Facundo and Bolibar, Jordi and Sch{\\\"a}fer, Frank and Groenke, Brian and Pal, "
        "Avik and Boussange, Victor and Heimbach, Patrick and Hooker, Giles and P{\\'e}rez, Fernando and Persson, "
        "Per-Olof and Rackauckas, Christopher},\n"
        "  journal = {arXiv preprint arXiv:2406.09699}, year = {2024}\n"
        "}",
    .version = 2,
    .flags = CTPG_IS_HARD | CTPG_IS_WITHOUT_BLAS,
    .create = FrozenMeshCreate,
    .draw = FrozenMeshDraw,
    .eval = FrozenMeshEval,
    .eval_vjp = FrozenMeshEvalVJP,
    .eval_jvp = FrozenMeshEvalJVP,
    .jacobian = FrozenMeshJacobian,
    .draw_linear = FrozenMeshDrawLinear,
    .closed_form = FrozenMeshClosedForm,
    .destroy = FrozenMeshDestroy,
};
