// diffdrive.c -- robot on two driven wheels that is to come to rest at the origin
//
//   x = (px, py, h, wl, wr)   position, m; heading, rad; speeds of the left and the right wheel, rad/s
//   u = (u1, u2)              wheel accelerations, rad/s^2
//   px' = r/2 (wl + wr) cos h,  py' = r/2 (wl + wr) sin h,  h' = r/b (wr - wl),  wl' = u1,  wr' = u2
//   w = px^2 + py^2 + 0.1 (wl^2 + wr^2 + u1^2 + u2^2)
//   o = (px, py, wrap(h), wl, wr, sin h, cos h)
// wrap is the identity unless -diffdrive_wrap: then the remainder by 2 pi, truncated towards zero, as in the original.
// The control then jumps where h passes +-2 pi, +-4 pi, ...: no estimator accounts for such a jump, and no descriptor
// flag can tell, because it hangs on an option. The derivative of wrap is 1 either way.
// x is no (q, v, rest) with q' = v: the heading turns the wheel speeds, hence nq = 0.
// Source: Ainsworth et al. 2021 (bibtex below), differential drive.

#include "ctpgbench/problem.h"
#include <math.h>
#include <string.h>

#define WHEEL_RADIUS ((PetscReal)0.5) // m
#define WHEEL_BASE   ((PetscReal)1)   // m, distance between the wheels
#define EFFORT       ((PetscReal)0.1) // weight of wheel speeds and accelerations in w

enum { NX = 5, NU = 2, NO = 7 };

typedef struct {
  PetscBool wrap;
} DiffDrive;

static const PetscInt ACTUATED[] = {3, 4};
static const PetscReal RADIUS[] = {WHEEL_RADIUS}, BASE[] = {WHEEL_BASE};
static const CtpgConstant CONSTANTS[] = {{.name = "wheel_radius", .unit = "m", .rows = 1, .values = RADIUS},
                                         {.name = "wheel_base", .unit = "m", .rows = 1, .values = BASE}};

static PetscErrorCode DiffDriveCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  DiffDrive *robot;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&robot));
  *ctx = robot;
  PetscCall(CtpgOptionsBool(
      options, "wrap", "observe the heading modulo 2 pi, as the original does; the control jumps there", &robot->wrap));
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .T = 10,
                     .policy = "mlp",
                     .widths = "32,32",
                     .activations = "tanh,tanh,linear",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 2,
                     .state_names = "px,py,heading,left,right",
                     .state_units = "m,m,rad,rad/s,rad/s",
                     .control_names = "left',right'",
                     .control_units = "rad/s^2,rad/s^2",
                     .constants = CONSTANTS,
                     .nconstants = 2};
  PetscFunctionReturn(0);
}

static void DiffDriveDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode DiffDriveDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                    PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, -5, 5);
  x0[1] = CtpgStreamUniformIn(x0_stream, -5, 5);
  x0[2] = CtpgStreamUniformIn(x0_stream, 0, 2 * PETSC_PI);
  x0[3] = x0[4] = 0;
  PetscFunctionReturn(0);
}

static CtpgStatus DiffDriveEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, f += NX) {
    const PetscReal speed = WHEEL_RADIUS / 2 * (x[3] + x[4]);
    PetscReal sine, cosine;
    CtpgSinCos(x[2], &sine, &cosine);
    f[0] = speed * cosine;
    f[1] = speed * sine;
    f[2] = WHEEL_RADIUS / WHEEL_BASE * (x[4] - x[3]);
    f[3] = u[0];
    f[4] = u[1];
    w[i] = x[0] * x[0] + x[1] * x[1] + EFFORT * (x[3] * x[3] + x[4] * x[4] + u[0] * u[0] + u[1] * u[1]);
  }
  return CTPG_OK;
}

static CtpgStatus DiffDriveEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                   PetscReal *gu) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    PetscReal sine, cosine;
    CtpgSinCos(x[2], &sine, &cosine);
    const PetscReal speed = WHEEL_RADIUS / 2 * (x[3] + x[4]);
    const PetscReal ahead = WHEEL_RADIUS / 2 * (v[0] * cosine + v[1] * sine);
    const PetscReal turn = WHEEL_RADIUS / WHEEL_BASE * v[2];
    gx[0] += c[i] * 2 * x[0];
    gx[1] += c[i] * 2 * x[1];
    gx[2] += speed * (v[1] * cosine - v[0] * sine);
    gx[3] += ahead - turn + c[i] * 2 * EFFORT * x[3];
    gx[4] += ahead + turn + c[i] * 2 * EFFORT * x[4];
    gu[0] += v[3] + c[i] * 2 * EFFORT * u[0];
    gu[1] += v[4] + c[i] * 2 * EFFORT * u[1];
  }
  return CTPG_OK;
}

static CtpgStatus DiffDriveEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                   PetscReal *dw) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, dx += NX, du += NU, df += NX) {
    PetscReal sine, cosine;
    CtpgSinCos(x[2], &sine, &cosine);
    const PetscReal sideways = WHEEL_RADIUS / 2 * (x[3] + x[4]) * dx[2], ahead = WHEEL_RADIUS / 2 * (dx[3] + dx[4]);
    df[0] = ahead * cosine - sideways * sine;
    df[1] = ahead * sine + sideways * cosine;
    df[2] = WHEEL_RADIUS / WHEEL_BASE * (dx[4] - dx[3]);
    df[3] = du[0];
    df[4] = du[1];
    dw[i] = 2 * (x[0] * dx[0] + x[1] * dx[1] + EFFORT * (x[3] * dx[3] + x[4] * dx[4] + u[0] * du[0] + u[1] * du[1]));
  }
  return CTPG_OK;
}

static CtpgStatus DiffDriveJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                    const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const PetscReal sine = CtpgSin(x[2]), cosine = CtpgCos(x[2]), speed = WHEEL_RADIUS / 2 * (x[3] + x[4]);
  (void)ctx, (void)task, (void)t, (void)u;
  memset(fx, 0, NX * NX * sizeof *fx);
  memset(fu, 0, NX * NU * sizeof *fu);
  fx[0 * NX + 2] = -speed * sine;
  fx[1 * NX + 2] = speed * cosine;
  fx[0 * NX + 3] = fx[0 * NX + 4] = WHEEL_RADIUS / 2 * cosine;
  fx[1 * NX + 3] = fx[1 * NX + 4] = WHEEL_RADIUS / 2 * sine;
  fx[2 * NX + 3] = -WHEEL_RADIUS / WHEEL_BASE;
  fx[2 * NX + 4] = WHEEL_RADIUS / WHEEL_BASE;
  fu[3 * NU + 0] = fu[4 * NU + 1] = 1;
  return CTPG_OK;
}

static CtpgStatus DiffDriveObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   PetscReal *o) {
  const DiffDrive *robot = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, o += NO) {
    for (PetscInt j = 0; j < NX; j++) o[j] = x[j];
    if (robot->wrap) o[2] = fmod(x[2], 2 * PETSC_PI);
    CtpgSinCos(x[2], o + 5, o + 6);
  }
  return CTPG_OK;
}

static CtpgStatus DiffDriveObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, go += NO, gx += NX) {
    for (PetscInt j = 0; j < NX; j++) gx[j] += go[j];
    PetscReal sine, cosine;
    CtpgSinCos(x[2], &sine, &cosine);
    gx[2] += go[5] * cosine - go[6] * sine;
  }
  return CTPG_OK;
}

static CtpgStatus DiffDriveObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, d_o += NO) {
    for (PetscInt j = 0; j < NX; j++) d_o[j] = dx[j];
    d_o[5] = CtpgCos(x[2]) * dx[2];
    d_o[6] = -CtpgSin(x[2]) * dx[2];
  }
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_diffdrive = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "diffdrive",
    .bibtex =
        "@inproceedings{ainsworth2021ctpg,\n"
        "  title = {Faster Policy Learning with Continuous-Time Gradients},\n"
        "  author = {Ainsworth, Samuel and Lowrey, Kendall and Thickstun, John and Harchaoui, Zaid and "
        "Srinivasa, Siddhartha},\n"
        "  booktitle = {Proceedings of the 3rd Conference on Learning for Dynamics and Control},\n"
        "  series = {Proceedings of Machine Learning Research}, volume = {144}, pages = {1054--1067}, year = {2021}\n"
        "}",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = DiffDriveCreate,
    .draw = DiffDriveDraw,
    .eval = DiffDriveEval,
    .observe = DiffDriveObserve,
    .eval_vjp = DiffDriveEvalVJP,
    .observe_vjp = DiffDriveObserveVJP,
    .eval_jvp = DiffDriveEvalJVP,
    .observe_jvp = DiffDriveObserveJVP,
    .jacobian = DiffDriveJacobian,
    .destroy = DiffDriveDestroy,
};
