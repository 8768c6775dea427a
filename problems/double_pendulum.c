// double_pendulum.c -- two point masses on two rods, driven at both joints or at the elbow only: chaotic
//
//   x = (a, b, a', b')   angles of the rods against the upright vertical, rad, and their rates.  q = (a, b), nq = 2
//   u                    torques of the joints as fractions of the limit `torque` (-double-pendulum_torque, N m):
//                        (shoulder, elbow), or with -double-pendulum_drive elbow (the acrobot) the elbow's alone
//   [ (m1 + m2) l1^2      m2 l1 l2 cos(a-b) ] [a'']   [ (m1 + m2) g l1 sin a - m2 l1 l2 sin(a-b) b'^2 + ts - te ]
//   [ m2 l1 l2 cos(a-b)   m2 l2^2           ] [b''] = [ m2 g l2 sin b        + m2 l1 l2 sin(a-b) a'^2 + te      ]
// ts, te: torques of the shoulder on the first rod and of the elbow on the second, which acts back on the first.
//   w = 2 - cos a - cos b + 0.01 (a'^2 + b'^2) + 0.1 u.u
//   o = (sin a, cos a, sin b, cos b, a', b')
//   x0: a, b ~ U(-pi, pi), at rest
// There is no friction: without torques the energy is kept. The limit is smooth: the default policy ends in tanh.
//
// What makes it hard: chaos. Most starts have the energy to tumble, neighbouring paths part exponentially and |alpha|
// grows backwards likewise, so that the gradient is exact but enormous, its reference loses digits with every second
// of horizon, and small errors of a path the estimator believes in become errors of order one. Over six seeds of the
// default |dL/dtheta| is 6 to 2e3; with -double-pendulum_horizon 10 up to 2e4, and with -double-pendulum_torque 2
// beside it up to 2e7: strong motors brake the tumbling and quench the chaos. With the elbow alone it is
// underactuated as well.
// For whom: who claims an estimator is robust to exploding gradients, or studies where gradients stop being useful.
// Source: Shinbrot et al. 1992 (bibtex below) for the chaos of the undriven one; M. W. Spong, "The swing up control
// problem for the acrobot", IEEE Control Systems 15(1), 1995, for the elbow's drive; masses, lengths, costs ours.

#include "ctpgbench/problem.h"
#include <math.h>
#include <string.h>

#define MASS1   ((PetscReal)1)    // kg
#define MASS2   ((PetscReal)1)    // kg
#define LENGTH1 ((PetscReal)1)    // m
#define LENGTH2 ((PetscReal)1)    // m
#define GRAVITY ((PetscReal)9.81) // m/s^2
#define SPEED   ((PetscReal)0.01) // weight of squared rates in w
#define EFFORT  ((PetscReal)0.1)  // weight of u.u in w
#define M11     ((MASS1 + MASS2) * LENGTH1 * LENGTH1)
#define M22     (MASS2 * LENGTH2 * LENGTH2)
#define M12     (MASS2 * LENGTH1 * LENGTH2) // times cos(a-b)
#define WEIGHT1 ((MASS1 + MASS2) * GRAVITY * LENGTH1)
#define WEIGHT2 (MASS2 * GRAVITY * LENGTH2)

enum { NX = 4, NO = 6 };

typedef struct {
  PetscInt nu; // 2: both joints, 1: the elbow
  PetscReal torque;
  CtpgConstant constants[2];
} DoublePendulum;

static const PetscInt ACTUATED[] = {2, 3};
static const PetscReal RODS[] = {LENGTH1, LENGTH2};

static PetscErrorCode DoublePendulumCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  static const char *const drives[] = {"both", "elbow", NULL};
  DoublePendulum *pendulum;
  PetscInt drive = 0;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&pendulum));
  *ctx = pendulum;
  pendulum->torque = 5;
  PetscCall(
      CtpgOptionsChoice(options, "drive", "joints that have a motor; elbow alone is the acrobot", drives, &drive));
  PetscCall(
      CtpgOptionsReal(options, "torque", "limit of each torque, N m; 29.4 hold it level", 0, 1e6, &pendulum->torque));
  pendulum->nu = drive == 0 ? 2 : 1;
  pendulum->constants[0] = (CtpgConstant){.name = "rods", .unit = "m", .rows = 2, .values = RODS};
  pendulum->constants[1] =
      (CtpgConstant){.name = "torque_limit", .unit = "N m", .rows = 1, .values = &pendulum->torque};
  *dims = (CtpgDims){.nx = NX,
                     .nu = pendulum->nu,
                     .no = NO,
                     .nq = 2,
                     .T = 5,
                     .policy = "mlp",
                     .widths = "32,32",
                     .activations = "tanh,tanh,tanh",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 2,
                     .state_names = "angle a,angle b,angle a',angle b'",
                     .state_units = "rad,rad,rad/s,rad/s",
                     .control_names = pendulum->nu == 2 ? "shoulder,elbow" : "elbow",
                     .control_units = pendulum->nu == 2 ? "limit,limit" : "limit",
                     .constants = pendulum->constants,
                     .nconstants = 2};
  PetscFunctionReturn(0);
}

static void DoublePendulumDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode DoublePendulumDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                         PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  for (PetscInt j = 0; j < 2; j++) x0[j] = CtpgStreamUniformIn(x0_stream, -PETSC_PI, PETSC_PI);
  x0[2] = x0[3] = 0;
  PetscFunctionReturn(0);
}

// y = M^-1 b, M = [M11 k; k M22], k = M12 cos(a-b); M is symmetric and its determinant positive
static void SolveMass(PetscReal cosine, const PetscReal b[2], PetscReal y[2]) {
  const PetscReal k = M12 * cosine, determinant = M11 * M22 - k * k;
  y[0] = (M22 * b[0] - k * b[1]) / determinant;
  y[1] = (M11 * b[1] - k * b[0]) / determinant;
}

// qacc = (a'', b'')
static void Accelerate(const DoublePendulum *pendulum, const PetscReal *x, const PetscReal *u, PetscReal qacc[2]) {
  const PetscReal twist = M12 * CtpgSin(x[0] - x[1]), elbow = pendulum->torque * u[pendulum->nu - 1];
  const PetscReal shoulder = pendulum->nu == 2 ? pendulum->torque * u[0] : 0;
  const PetscReal force[2] = {WEIGHT1 * CtpgSin(x[0]) - twist * x[3] * x[3] + shoulder - elbow,
                              WEIGHT2 * CtpgSin(x[1]) + twist * x[2] * x[2] + elbow};
  SolveMass(CtpgCos(x[0] - x[1]), force, qacc);
}

static CtpgStatus DoublePendulumEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *u, PetscReal *f, PetscReal *w) {
  const DoublePendulum *pendulum = ctx;
  const PetscInt nu = pendulum->nu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += nu, f += NX) {
    f[0] = x[2];
    f[1] = x[3];
    Accelerate(pendulum, x, u, f + 2);
    w[i] = 2 - CtpgCos(x[0]) - CtpgCos(x[1]) + SPEED * (x[2] * x[2] + x[3] * x[3]);
    for (PetscInt j = 0; j < nu; j++) w[i] += EFFORT * u[j] * u[j];
  }
  return CTPG_OK;
}

// gx += qacc_x' v, given p = M^-1 v: from M qacc = force, v . dqacc = p . (dforce - dM qacc), and dM = -M12 sin(a-b)
// d(a-b) off the diagonal.
static void AddAccelerationVJP(const PetscReal *x, const PetscReal qacc[2], const PetscReal p[2], PetscReal *gx) {
  const PetscReal sine = M12 * CtpgSin(x[0] - x[1]), cosine = M12 * CtpgCos(x[0] - x[1]);
  const PetscReal bend = cosine * (p[1] * x[2] * x[2] - p[0] * x[3] * x[3]) + sine * (p[0] * qacc[1] + p[1] * qacc[0]);
  gx[0] += p[0] * WEIGHT1 * CtpgCos(x[0]) + bend;
  gx[1] += p[1] * WEIGHT2 * CtpgCos(x[1]) - bend;
  gx[2] += 2 * p[1] * sine * x[2];
  gx[3] -= 2 * p[0] * sine * x[3];
}

static CtpgStatus DoublePendulumEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                        const PetscReal *x, const PetscReal *u, const PetscReal *v, const PetscReal *c,
                                        PetscReal *gx, PetscReal *gu) {
  const DoublePendulum *pendulum = ctx;
  const PetscInt nu = pendulum->nu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += nu, v += NX, gx += NX, gu += nu) {
    PetscReal qacc[2], p[2];
    Accelerate(pendulum, x, u, qacc);
    SolveMass(CtpgCos(x[0] - x[1]), v + 2, p);
    AddAccelerationVJP(x, qacc, p, gx);
    for (PetscInt j = 0; j < 2; j++) {
      gx[j] += c[i] * CtpgSin(x[j]);
      gx[2 + j] += v[j] + c[i] * 2 * SPEED * x[2 + j];
    }
    for (PetscInt j = 0; j < nu; j++) gu[j] += c[i] * 2 * EFFORT * u[j];
    gu[nu - 1] += pendulum->torque * (p[1] - p[0]);
    if (nu == 2) gu[0] += pendulum->torque * p[0];
  }
  return CTPG_OK;
}

// slope [2, NX]: of the force less dM qacc, entry by entry of x; M d(qacc) is their combination.
static void SlopesAt(const PetscReal *x, const PetscReal qacc[2], PetscReal slope[2][NX]) {
  const PetscReal sine = M12 * CtpgSin(x[0] - x[1]), cosine = M12 * CtpgCos(x[0] - x[1]);
  const PetscReal bend[2] = {sine * qacc[1] - cosine * x[3] * x[3], sine * qacc[0] + cosine * x[2] * x[2]};
  slope[0][0] = WEIGHT1 * CtpgCos(x[0]) + bend[0];
  slope[0][1] = -bend[0];
  slope[0][2] = 0;
  slope[0][3] = -2 * sine * x[3];
  slope[1][0] = bend[1];
  slope[1][1] = WEIGHT2 * CtpgCos(x[1]) - bend[1];
  slope[1][2] = 2 * sine * x[2];
  slope[1][3] = 0;
}

// The generalised force of torques u [nu].
static void Drive(const DoublePendulum *pendulum, const PetscReal *u, PetscReal force[2]) {
  const PetscReal elbow = pendulum->torque * u[pendulum->nu - 1];
  force[0] = (pendulum->nu == 2 ? pendulum->torque * u[0] : 0) - elbow;
  force[1] = elbow;
}

static CtpgStatus DoublePendulumEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                        const PetscReal *x, const PetscReal *u, const PetscReal *dx,
                                        const PetscReal *du, PetscReal *df, PetscReal *dw) {
  const DoublePendulum *pendulum = ctx;
  const PetscInt nu = pendulum->nu;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += nu, dx += NX, du += nu, df += NX) {
    PetscReal qacc[2], slope[2][NX], force[2];
    Accelerate(pendulum, x, u, qacc);
    SlopesAt(x, qacc, slope);
    Drive(pendulum, du, force);
    for (PetscInt k = 0; k < 2; k++)
      for (PetscInt j = 0; j < NX; j++) force[k] += slope[k][j] * dx[j];
    df[0] = dx[2];
    df[1] = dx[3];
    SolveMass(CtpgCos(x[0] - x[1]), force, df + 2);
    dw[i] = CtpgSin(x[0]) * dx[0] + CtpgSin(x[1]) * dx[1] + 2 * SPEED * (x[2] * dx[2] + x[3] * dx[3]);
    for (PetscInt j = 0; j < nu; j++) dw[i] += 2 * EFFORT * u[j] * du[j];
  }
  return CTPG_OK;
}

static CtpgStatus DoublePendulumJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                         const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const DoublePendulum *pendulum = ctx;
  const PetscInt nu = pendulum->nu;
  const PetscReal cosine = CtpgCos(x[0] - x[1]);
  PetscReal qacc[2], slope[2][NX], column[2];
  (void)task, (void)t;
  Accelerate(pendulum, x, u, qacc);
  SlopesAt(x, qacc, slope);
  memset(fx, 0, NX * NX * sizeof *fx);
  memset(fu, 0, (size_t)(NX * nu) * sizeof *fu);
  fx[0 * NX + 2] = fx[1 * NX + 3] = 1;
  for (PetscInt j = 0; j < NX; j++) {
    SolveMass(cosine, (const PetscReal[]){slope[0][j], slope[1][j]}, column);
    fx[2 * NX + j] = column[0];
    fx[3 * NX + j] = column[1];
  }
  for (PetscInt j = 0; j < nu; j++) {
    const PetscReal unit[2] = {j == 0, j == 1};
    PetscReal force[2];
    Drive(pendulum, unit, force);
    SolveMass(cosine, force, column);
    fu[2 * nu + j] = column[0];
    fu[3 * nu + j] = column[1];
  }
  return CTPG_OK;
}

static CtpgStatus DoublePendulumObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                        const PetscReal *x, PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, o += NO)
    for (PetscInt j = 0; j < 2; j++) {
      o[2 * j] = CtpgSin(x[j]);
      o[2 * j + 1] = CtpgCos(x[j]);
      o[4 + j] = x[2 + j];
    }
  return CTPG_OK;
}

static CtpgStatus DoublePendulumObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                           const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, go += NO, gx += NX)
    for (PetscInt j = 0; j < 2; j++) {
      gx[j] += go[2 * j] * CtpgCos(x[j]) - go[2 * j + 1] * CtpgSin(x[j]);
      gx[2 + j] += go[4 + j];
    }
  return CTPG_OK;
}

static CtpgStatus DoublePendulumObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                           const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, d_o += NO)
    for (PetscInt j = 0; j < 2; j++) {
      d_o[2 * j] = CtpgCos(x[j]) * dx[j];
      d_o[2 * j + 1] = -CtpgSin(x[j]) * dx[j];
      d_o[4 + j] = dx[2 + j];
    }
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_double_pendulum = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "double-pendulum",
    .bibtex = "@article{shinbrot1992chaos,\n"
              "  title = {Chaos in a double pendulum},\n"
              "  author = {Shinbrot, Troy and Grebogi, Celso and Wisdom, Jack and Yorke, James A.},\n"
              "  journal = {American Journal of Physics}, volume = {60}, number = {6}, pages = {491--499}, "
              "year = {1992}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_HARD | CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = DoublePendulumCreate,
    .draw = DoublePendulumDraw,
    .eval = DoublePendulumEval,
    .observe = DoublePendulumObserve,
    .eval_vjp = DoublePendulumEvalVJP,
    .observe_vjp = DoublePendulumObserveVJP,
    .eval_jvp = DoublePendulumEvalJVP,
    .observe_jvp = DoublePendulumObserveJVP,
    .jacobian = DoublePendulumJacobian,
    .destroy = DoublePendulumDestroy,
};
