// vanderpol.c -- van der Pol's oscillator with a control, stiff at large mu
//
//   x = (y, y')   q = y, hence nq = 1
//   y'' = mu (1 - y^2) y' - y + u          mu = -vanderpol_mu, default 5
//   w = y^2 + y'^2 + u^2
//   o = (y, y')
//   x0: y, y' ~ U(-2, 2)
// Uncontrolled it runs into a limit cycle, of amplitude 2 + mu^2/96 + O(mu^4) for small mu.
//
// What makes it hard: off the jumps of the cycle, near |y| = 2, one eigenvalue of f_x is about -3 mu: an explicit
// method needs steps below about 1/mu there, whatever accuracy was asked for, while the cycle itself takes 1.6 mu
// seconds. So explicit methods pay at large mu, and curves of error against NFE get a wall instead of a slope: at rtol
// 1e-6 ctpg needs 2,000 evaluations at mu = 5 and 25,000 at mu = 1000. Solved backwards the same eigenvalue is a growth
// by exp(3 mu t): neural-ode loses its path at once, at the default mu for every seed.
// For whom: implicit and stabilised estimators, step-size control, backward solves.
// Source: van der Pol 1926 (bibtex below); as a stiff test problem: E. Hairer, G. Wanner, "Solving Ordinary
// Differential Equations II", Sec. IV.1; cost and control as common in optimal control, start range ours.

#include "ctpgbench/problem.h"

enum { NX = 2, NU = 1, NO = 2 };

typedef struct {
  PetscReal mu;
  CtpgConstant constants[1];
} VanDerPol;

static const PetscInt ACTUATED[] = {1};

static PetscErrorCode VanDerPolCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  VanDerPol *oscillator;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&oscillator));
  *ctx = oscillator;
  oscillator->mu = 5;
  PetscCall(
      CtpgOptionsReal(options, "mu", "strength of the damping; the larger, the stiffer", 0, 1e6, &oscillator->mu));
  oscillator->constants[0] = (CtpgConstant){.name = "mu", .unit = "1", .rows = 1, .values = &oscillator->mu};
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .nq = 1,
                     .T = 10,
                     .policy = "mlp",
                     .widths = "32",
                     .activations = "tanh,linear",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 1,
                     .state_names = "y,y'",
                     .state_units = "1,1",
                     .control_names = "u",
                     .control_units = "1",
                     .constants = oscillator->constants,
                     .nconstants = 1};
  PetscFunctionReturn(0);
}

static void VanDerPolDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode VanDerPolDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                    PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  for (PetscInt j = 0; j < NX; j++) x0[j] = CtpgStreamUniformIn(x0_stream, -2, 2);
  PetscFunctionReturn(0);
}

static CtpgStatus VanDerPolEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, PetscReal *f, PetscReal *w) {
  const PetscReal mu = ((const VanDerPol *)ctx)->mu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, f += NX) {
    f[0] = x[1];
    f[1] = mu * (1 - x[0] * x[0]) * x[1] - x[0] + u[i];
    w[i] = x[0] * x[0] + x[1] * x[1] + u[i] * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus VanDerPolEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                   PetscReal *gu) {
  const PetscReal mu = ((const VanDerPol *)ctx)->mu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, v += NX, gx += NX) {
    gx[0] += c[i] * 2 * x[0] - v[1] * (1 + 2 * mu * x[0] * x[1]);
    gx[1] += c[i] * 2 * x[1] + v[0] + v[1] * mu * (1 - x[0] * x[0]);
    gu[i] += c[i] * 2 * u[i] + v[1];
  }
  return CTPG_OK;
}

static CtpgStatus VanDerPolEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                   PetscReal *dw) {
  const PetscReal mu = ((const VanDerPol *)ctx)->mu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, df += NX) {
    df[0] = dx[1];
    df[1] = mu * (1 - x[0] * x[0]) * dx[1] - (1 + 2 * mu * x[0] * x[1]) * dx[0] + du[i];
    dw[i] = 2 * (x[0] * dx[0] + x[1] * dx[1] + u[i] * du[i]);
  }
  return CTPG_OK;
}

static CtpgStatus VanDerPolJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                    const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const PetscReal mu = ((const VanDerPol *)ctx)->mu;
  (void)task, (void)t, (void)u;
  fx[0] = 0;
  fx[1] = 1;
  fx[2] = -(1 + 2 * mu * x[0] * x[1]);
  fx[3] = mu * (1 - x[0] * x[0]);
  fu[0] = 0;
  fu[1] = 1;
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_vanderpol = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "vanderpol",
    .bibtex = "@article{vanderpol1926relaxation,\n"
              "  title = {On Relaxation-Oscillations},\n"
              "  author = {van der Pol, Balth.},\n"
              "  journal = {The London, Edinburgh, and Dublin Philosophical Magazine and Journal of Science},\n"
              "  volume = {2}, number = {11}, pages = {978--992}, year = {1926}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_HARD | CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = VanDerPolCreate,
    .draw = VanDerPolDraw,
    .eval = VanDerPolEval,
    .eval_vjp = VanDerPolEvalVJP,
    .eval_jvp = VanDerPolEvalJVP,
    .jacobian = VanDerPolJacobian,
    .destroy = VanDerPolDestroy,
};
