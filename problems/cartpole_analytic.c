// cartpole_analytic.c -- cart and pole by hand: the system that problem cartpole asks MuJoCo for, as its witness
//
//   x = (s, h, s', h')   slide, m; hinge, rad, 0 upright; their rates
//   u                    motor, clamped to [-1, 1] as MuJoCo does; GEAR newtons each
//   [ mc + m      m l cos h ] [s'']   [ GEAR u - ds s' + m l sin h h'^2 ]
//   [ m l cos h   I + m l^2 ] [h''] = [ m l g sin h - dh h'             ]
//   w = -(cos h - 0.01 s^2)
//   o = (s, h, s', h')
// Pole: a capsule of mass m, cylinder of height H and two half balls of radius r; l = H/2 from the hinge,
//   ms = m 4r / (4r + 3H),  I = (m - ms)(3 r^2 + H^2)/12 + ms (2 r^2/5 + H (3r + 2H)/8)   about its centre
// Equal to qacc of mj_forward within rounding (MuJoCo from 2.1.1 on; earlier ones had another inertia) as long as the
// slide stays within MuJoCo's +-4.8, a limit that is not modelled. q = (s, h), hence nq = 2.
// x0: s ~ U(-.1, .1), h ~ pi + U(-.1, .1), at rest: the pole hangs.
//
// What makes it hard: an underactuated swing-up; and the policy of the original has elu layers, C^1 only, so that
// high-order methods lose their order wherever a hidden unit crosses zero. The clamp has a kink too, at |u| = 1, where
// the product takes the derivative 1; it does nothing behind the default policy's tanh, hence no CTPG_IS_NONSMOOTH.
// For whom: who wants the paper's cartpole with exact derivatives, or without MuJoCo.
// Source: equations of motion after Florian 2007 (bibtex below), here with a capsule and viscous joints; costs, sizes
// and starts from Ainsworth, Lowrey, Thickstun, Harchaoui, Srinivasa, "Faster Policy Learning with Continuous-Time
// Gradients", L4DC 2021, PMLR 144.

#include "ctpgbench/problem.h"
#include <math.h>
#include <string.h>

#define CART         ((PetscReal)1)                                  // mc, kg
#define POLE         ((PetscReal)0.1)                                // m, kg
#define HEIGHT       ((PetscReal)1)                                  // H, m
#define RADIUS       ((PetscReal)0.045)                              // r, m
#define GRAVITY      ((PetscReal)9.81)                               // g, m/s^2
#define GEAR         ((PetscReal)10)                                 // N
#define SLIDE_DAMP   ((PetscReal)5e-4)                               // ds, N s/m
#define HINGE_DAMP   ((PetscReal)2e-6)                               // dh, N m s
#define SLIDE_WEIGHT ((PetscReal)0.01)                               // of s^2 in w
#define BALLS        (POLE * 4 * RADIUS / (4 * RADIUS + 3 * HEIGHT)) // ms, kg
#define INERTIA                                                                                                        \
  ((POLE - BALLS) * (3 * RADIUS * RADIUS + HEIGHT * HEIGHT) / 12 +                                                     \
   BALLS * (2 * RADIUS * RADIUS / 5 + HEIGHT * (3 * RADIUS + 2 * HEIGHT) / 8)) // I, kg m^2
#define LEVER (POLE * HEIGHT / 2)                                              // m l, kg m
#define MASS  (CART + POLE)                                                    // kg
#define SWING (INERTIA + LEVER * HEIGHT / 2)                                   // I + m l^2, kg m^2

enum { NX = 4, NU = 1, NO = 4 };

static const PetscInt ACTUATED[] = {2, 3};
static const PetscReal RAIL[] = {-4.8, 4.8}, RODS[] = {HEIGHT}; // the rail of MuJoCo's model, which is not modelled
static const CtpgConstant CONSTANTS[] = {{.name = "rail", .unit = "m", .rows = 2, .values = RAIL},
                                         {.name = "rods", .unit = "m", .rows = 1, .values = RODS}};

static PetscErrorCode CartpoleCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  PetscFunctionBeginUser;
  (void)comm, (void)options;
  *ctx = NULL;
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .nq = 2,
                     .T = 3,
                     .policy = "mlp",
                     .widths = "64,64",
                     .activations = "elu,elu,tanh",
                     .init_scale = 1,
                     .actuated = ACTUATED,
                     .nactuated = 2,
                     .state_names = "cart,pole,cart',pole'",
                     .state_units = "m,rad,m/s,rad/s",
                     .control_names = "force",
                     .control_units = "10 N",
                     .constants = CONSTANTS,
                     .nconstants = 2};
  PetscFunctionReturn(0);
}

static void CartpoleDestroy(void **ctx) {
  *ctx = NULL;
}

static PetscErrorCode CartpoleDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                   PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  x0[0] = CtpgStreamUniformIn(x0_stream, -0.1, 0.1);
  x0[1] = PETSC_PI + CtpgStreamUniformIn(x0_stream, -0.1, 0.1);
  x0[2] = x0[3] = 0;
  PetscFunctionReturn(0);
}

// y = M(h)^-1 b with M = [MASS k; k SWING], k = m l cos h; M is symmetric and its determinant positive
static void SolveMass(PetscReal cosine, const PetscReal b[2], PetscReal y[2]) {
  const PetscReal k = LEVER * cosine, determinant = MASS * SWING - k * k;
  y[0] = (SWING * b[0] - k * b[1]) / determinant;
  y[1] = (MASS * b[1] - k * b[0]) / determinant;
}

// qacc = (s'', h'')
static void Accelerate(const PetscReal *x, PetscReal u, PetscReal qacc[2]) {
  const PetscReal sine = CtpgSin(x[1]), motor = u > 1 ? 1 : u < -1 ? -1 : u;
  const PetscReal force[2] = {GEAR * motor - SLIDE_DAMP * x[2] + LEVER * sine * x[3] * x[3],
                              LEVER * GRAVITY * sine - HINGE_DAMP * x[3]};
  SolveMass(CtpgCos(x[1]), force, qacc);
}

static CtpgStatus CartpoleEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, f += NX) {
    f[0] = x[2];
    f[1] = x[3];
    Accelerate(x, u[0], f + 2);
    w[i] = -(CtpgCos(x[1]) - SLIDE_WEIGHT * x[0] * x[0]);
  }
  return CTPG_OK;
}

// From M qacc = force: qacc' v changes by p . (d force - dM qacc) with p = M^-1 v and dM = -m l sin h dh off the
// diagonal.
static CtpgStatus CartpoleEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    const PetscReal sine = CtpgSin(x[1]), cosine = CtpgCos(x[1]);
    PetscReal qacc[2], p[2];
    Accelerate(x, u[0], qacc);
    SolveMass(cosine, v + 2, p);
    gx[0] += c[i] * 2 * SLIDE_WEIGHT * x[0];
    gx[1] += LEVER * (cosine * (p[0] * x[3] * x[3] + p[1] * GRAVITY) + sine * (p[0] * qacc[1] + p[1] * qacc[0])) +
             c[i] * sine;
    gx[2] += v[0] - SLIDE_DAMP * p[0];
    gx[3] += v[1] + 2 * LEVER * sine * x[3] * p[0] - HINGE_DAMP * p[1];
    if (fabs(u[0]) <= 1) gu[0] += GEAR * p[0];
  }
  return CTPG_OK;
}

// Slopes of the force less dM qacc, [2] per entry of x that moves it: by h, s' and h'. M d(qacc) is their combination.
typedef struct {
  PetscReal h[2], s_rate[2], h_rate[2];
} Slopes;

static Slopes SlopesAt(const PetscReal *x, const PetscReal qacc[2]) {
  const PetscReal sine = CtpgSin(x[1]), cosine = CtpgCos(x[1]);
  return (Slopes){.h = {LEVER * (cosine * x[3] * x[3] + sine * qacc[1]), LEVER * (GRAVITY * cosine + sine * qacc[0])},
                  .s_rate = {-SLIDE_DAMP, 0},
                  .h_rate = {2 * LEVER * sine * x[3], -HINGE_DAMP}};
}

static CtpgStatus CartpoleEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                  PetscReal *dw) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, dx += NX, du += NU, df += NX) {
    PetscReal qacc[2], force[2];
    Accelerate(x, u[0], qacc);
    const Slopes slopes = SlopesAt(x, qacc);
    for (PetscInt k = 0; k < 2; k++)
      force[k] = slopes.h[k] * dx[1] + slopes.s_rate[k] * dx[2] + slopes.h_rate[k] * dx[3];
    if (fabs(u[0]) <= 1) force[0] += GEAR * du[0];
    df[0] = dx[2];
    df[1] = dx[3];
    SolveMass(CtpgCos(x[1]), force, df + 2);
    dw[i] = CtpgSin(x[1]) * dx[1] + 2 * SLIDE_WEIGHT * x[0] * dx[0];
  }
  return CTPG_OK;
}

static CtpgStatus CartpoleJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                   PetscReal *fx, PetscReal *fu) {
  const PetscReal motor[2] = {fabs(u[0]) <= 1 ? GEAR : 0, 0};
  PetscReal qacc[2], column[2];
  (void)ctx, (void)task, (void)t;
  Accelerate(x, u[0], qacc);
  const Slopes slopes = SlopesAt(x, qacc);
  const PetscReal *const of_entry[NX] = {NULL, slopes.h, slopes.s_rate, slopes.h_rate};
  memset(fx, 0, NX * NX * sizeof *fx);
  fx[0 * NX + 2] = fx[1 * NX + 3] = 1;
  for (PetscInt j = 1; j < NX; j++) {
    SolveMass(CtpgCos(x[1]), of_entry[j], column);
    fx[2 * NX + j] = column[0];
    fx[3 * NX + j] = column[1];
  }
  fu[0] = fu[1] = 0;
  SolveMass(CtpgCos(x[1]), motor, fu + 2);
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_cartpole_analytic = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "cartpole-analytic",
    .bibtex = "@techreport{florian2007cartpole,\n"
              "  title = {Correct equations for the dynamics of the cart-pole system},\n"
              "  author = {Florian, R{\\u{a}}zvan V.},\n"
              "  institution = {Center for Cognitive and Neural Studies (Coneural)}, year = {2007}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = CartpoleCreate,
    .draw = CartpoleDraw,
    .eval = CartpoleEval,
    .eval_vjp = CartpoleEvalVJP,
    .eval_jvp = CartpoleEvalJVP,
    .jacobian = CartpoleJacobian,
    .destroy = CartpoleDestroy,
};
