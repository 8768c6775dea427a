// quadrotor.c -- rigid quadrotor in Euler angles that is to hover at the origin; z points down
//
//   x = (px py pz | psi theta phi | vx vy vz | p q r)   position, m; yaw, pitch, roll, rad; velocity, m/s; rates, rad/s
//   u = (u1 | u2 u3 u4)                                 thrust, N; torques, N m
//   (px py pz)' = (vx vy vz)
//   psi' = k / cos theta,  theta' = d,  phi' = p + k tan theta,  k = q sin phi + r cos phi,  d = q cos phi - r sin phi
//   (vx vy vz)' = (0 0 g) - u1/m (ax ay az),  m = -quadrotor_mass, kg,  ax = sin phi sin psi + cos phi cos psi sin
//   theta,
//                 ay = cos psi sin phi - cos phi sin psi sin theta,  az = cos phi cos theta
//   p' = (Iy - Iz)/Ix q r + u2/Ix,  q' = (Iz - Ix)/Iy p r + u3/Iy,  r' = (Ix - Iy)/Iz p q + u4/Iz
//   w = |pos|^2 + |vel|^2 + 0.01 u.u
//   o = (sin, cos, tan of psi, theta, phi, p, q, r in turn; |pos|^2; |vel|^2; pos; wrap(psi theta phi); vel; wrap(p q
//   r))
// vy' keeps the original's sign, which a consistent rotation would flip. wrap is the identity unless -quadrotor_wrap:
// then the remainder by 2 pi, truncated towards zero, as in the original; the control jumps where it does.
// -quadrotor_tangents 0 observes zero in place of the six tangents, so that o has no poles.
//
// psi' and phi' have a pole at 90 degrees of pitch. Closer to it than POLE the plant answers CTPG_DOMAIN; a step that
// jumps across the pole cannot be noticed here. The tangents of the other five are observed, so o alone has poles
// there: tan merely gets large, the policy saturates, and the control jumps from one side to the other. x is no (q, v,
// rest) with q' = v: Euler angles do not integrate the body rates, hence nq = 0. Source: F. Sabatino 2015 (bibtex
// below), Eq. (2.25); cost and observation from Ainsworth, Lowrey, Thickstun, Harchaoui, Srinivasa, "Faster Policy
// Learning with Continuous-Time Gradients", L4DC 2021, PMLR 144.

#include "ctpgbench/problem.h"
#include <math.h>
#include <string.h>

#define GRAVITY ((PetscReal)9.8)  // m/s^2
#define IX      ((PetscReal)1)    // kg m^2
#define IY      ((PetscReal)1)    // kg m^2
#define IZ      ((PetscReal)1)    // kg m^2
#define EFFORT  ((PetscReal)0.01) // weight of u.u in w
#define POLE    ((PetscReal)1e-6) // least |cos theta|: beyond it rates are multiplied by a million

enum { NX = 12, NU = 4, NO = 32 };

typedef struct {
  PetscBool wrap, tangents;
  PetscReal mass; // kg
  CtpgConstant constants[1];
} Quadrotor;

static const PetscInt ACTUATED[] = {6, 7, 8, 9, 10, 11};

// What f and its derivatives share at one point.
typedef struct {
  PetscReal spsi, cpsi, stheta, ctheta, sphi, cphi;
  PetscReal k, d;       // see above
  PetscReal ax, ay, az; // direction of the thrust
} Attitude;

static PetscErrorCode QuadrotorCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Quadrotor *quadrotor;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&quadrotor));
  *ctx = quadrotor;
  PetscCall(CtpgOptionsBool(options, "wrap",
                            "observe angles and rates modulo 2 pi, as the original does; the control jumps there",
                            &quadrotor->wrap));
  quadrotor->tangents = PETSC_TRUE;
  PetscCall(
      CtpgOptionsBool(options, "tangents",
                      "observe the tangents of angles and rates, which have poles, as the original does; else zero",
                      &quadrotor->tangents));
  quadrotor->mass = 1;
  PetscCall(CtpgOptionsReal(options, "mass", "mass, kg; 3 in the original's figure 7", 1e-6, 1e6, &quadrotor->mass));
  quadrotor->constants[0] = (CtpgConstant){.name = "mass", .unit = "kg", .rows = 1, .values = &quadrotor->mass};
  *dims = (CtpgDims){.nx = NX,
                     .nu = NU,
                     .no = NO,
                     .T = 5,
                     .policy = "mlp",
                     .widths = "64,64",
                     .activations = "tanh,tanh,linear",
                     .init_scale = 0.1,
                     .actuated = ACTUATED,
                     .nactuated = 6,
                     .state_names = "px,py,pz,yaw,pitch,roll,vx,vy,vz,p,q,r",
                     .state_units = "m,m,m,rad,rad,rad,m/s,m/s,m/s,rad/s,rad/s,rad/s",
                     .control_names = "thrust,torque x,torque y,torque z",
                     .control_units = "N,N m,N m,N m",
                     .constants = quadrotor->constants,
                     .nconstants = 1};
  PetscFunctionReturn(0);
}

static void QuadrotorDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode QuadrotorDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                    PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx, (void)task_stream, (void)task;
  for (PetscInt j = 0; j < 3; j++) x0[j] = CtpgStreamUniformIn(x0_stream, -2.5, 2.5);
  for (PetscInt j = 3; j < 6; j++) x0[j] = 0.1 * CtpgStreamNormal(x0_stream);
  for (PetscInt j = 6; j < 9; j++) x0[j] = 0;
  for (PetscInt j = 9; j < 12; j++) x0[j] = 0.1 * CtpgStreamNormal(x0_stream);
  PetscFunctionReturn(0);
}

static Attitude AttitudeAt(const PetscReal *x) {
  Attitude a;
  CtpgSinCos(x[3], &a.spsi, &a.cpsi);
  CtpgSinCos(x[4], &a.stheta, &a.ctheta);
  CtpgSinCos(x[5], &a.sphi, &a.cphi);
  a.k = x[10] * a.sphi + x[11] * a.cphi;
  a.d = x[10] * a.cphi - x[11] * a.sphi;
  a.ax = a.sphi * a.spsi + a.cphi * a.cpsi * a.stheta;
  a.ay = a.cpsi * a.sphi - a.cphi * a.spsi * a.stheta;
  a.az = a.cphi * a.ctheta;
  return a;
}

static PetscReal Dot(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static CtpgStatus QuadrotorEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, PetscReal *f, PetscReal *w) {
  const PetscReal mass = ((const Quadrotor *)ctx)->mass;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, f += NX) {
    const Attitude a = AttitudeAt(x);
    const PetscReal p = x[9], q = x[10], r = x[11], lift = -u[0] / mass;
    if (fabs(a.ctheta) < POLE) return CTPG_DOMAIN;
    for (PetscInt j = 0; j < 3; j++) f[j] = x[6 + j];
    f[3] = a.k / a.ctheta;
    f[4] = a.d;
    f[5] = p + a.k * a.stheta / a.ctheta;
    f[6] = lift * a.ax;
    f[7] = lift * a.ay;
    f[8] = GRAVITY + lift * a.az;
    f[9] = (IY - IZ) / IX * q * r + u[1] / IX;
    f[10] = (IZ - IX) / IY * p * r + u[2] / IY;
    f[11] = (IX - IY) / IZ * p * q + u[3] / IZ;
    w[i] = Dot(3, x, x) + Dot(3, x + 6, x + 6) + EFFORT * Dot(NU, u, u);
  }
  return CTPG_OK;
}

// gx += (psi' theta' phi')_x' v for v = (v_psi v_theta v_phi); k_phi = d, d_phi = -k
static void AddKinematicsVJP(const Attitude *a, const PetscReal v[3], PetscReal *gx) {
  const PetscReal gk = (v[0] + v[2] * a->stheta) / a->ctheta;
  gx[4] += a->k * (v[0] * a->stheta + v[2]) / (a->ctheta * a->ctheta);
  gx[5] += gk * a->d - v[1] * a->k;
  gx[9] += v[2];
  gx[10] += gk * a->sphi + v[1] * a->cphi;
  gx[11] += gk * a->cphi - v[1] * a->sphi;
}

// gx += (vx' vy' vz')_x' v, gu1 += (vx' vy' vz')_u1 v; ax_psi = ay, ay_psi = -ax
static void AddThrustVJP(const Attitude *a, PetscReal mass, PetscReal u1, const PetscReal v[3], PetscReal *gx,
                         PetscReal *gu1) {
  const PetscReal lift = -u1 / mass;
  gx[3] += lift * (v[0] * a->ay - v[1] * a->ax);
  gx[4] += lift * a->cphi * ((v[0] * a->cpsi - v[1] * a->spsi) * a->ctheta - v[2] * a->stheta);
  gx[5] += lift * (v[0] * (a->cphi * a->spsi - a->sphi * a->cpsi * a->stheta) +
                   v[1] * (a->cpsi * a->cphi + a->sphi * a->spsi * a->stheta) - v[2] * a->sphi * a->ctheta);
  *gu1 -= (v[0] * a->ax + v[1] * a->ay + v[2] * a->az) / mass;
}

// gx += (p' q' r')_x' v, gu += (p' q' r')_u' v
static void AddRatesVJP(const PetscReal *x, const PetscReal v[3], PetscReal *gx, PetscReal *gu) {
  const PetscReal p = x[9], q = x[10], r = x[11];
  const PetscReal vp = (IY - IZ) / IX * v[0], vq = (IZ - IX) / IY * v[1], vr = (IX - IY) / IZ * v[2];
  gx[9] += vq * r + vr * q;
  gx[10] += vp * r + vr * p;
  gx[11] += vp * q + vq * p;
  gu[1] += v[0] / IX;
  gu[2] += v[1] / IY;
  gu[3] += v[2] / IZ;
}

static CtpgStatus QuadrotorEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                   PetscReal *gu) {
  const PetscReal mass = ((const Quadrotor *)ctx)->mass;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, v += NX, gx += NX, gu += NU) {
    const Attitude a = AttitudeAt(x);
    if (fabs(a.ctheta) < POLE) return CTPG_DOMAIN;
    for (PetscInt j = 0; j < 3; j++) {
      gx[j] += 2 * c[i] * x[j];
      gx[6 + j] += v[j] + 2 * c[i] * x[6 + j];
    }
    for (PetscInt j = 0; j < NU; j++) gu[j] += 2 * c[i] * EFFORT * u[j];
    AddKinematicsVJP(&a, v + 3, gx);
    AddThrustVJP(&a, mass, u[0], v + 6, gx, gu);
    AddRatesVJP(x, v + 9, gx, gu);
  }
  return CTPG_OK;
}

// (psi' theta' phi') along dx
static void KinematicsJVP(const Attitude *a, const PetscReal *dx, PetscReal df[3]) {
  const PetscReal dk = a->d * dx[5] + a->sphi * dx[10] + a->cphi * dx[11];
  df[0] = (dk + a->k * a->stheta / a->ctheta * dx[4]) / a->ctheta;
  df[1] = a->cphi * dx[10] - a->sphi * dx[11] - a->k * dx[5];
  df[2] = dx[9] + (dk * a->stheta + a->k / a->ctheta * dx[4]) / a->ctheta;
}

// slope [3, 3]: of (ax ay az) by psi, theta, phi
static void ThrustSlopes(const Attitude *a, PetscReal slope[3][3]) {
  slope[0][0] = a->ay;
  slope[0][1] = a->cphi * a->cpsi * a->ctheta;
  slope[0][2] = a->cphi * a->spsi - a->sphi * a->cpsi * a->stheta;
  slope[1][0] = -a->ax;
  slope[1][1] = -a->cphi * a->spsi * a->ctheta;
  slope[1][2] = a->cpsi * a->cphi + a->sphi * a->spsi * a->stheta;
  slope[2][0] = 0;
  slope[2][1] = -a->cphi * a->stheta;
  slope[2][2] = -a->sphi * a->ctheta;
}

static CtpgStatus QuadrotorEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                   PetscReal *dw) {
  const PetscReal mass = ((const Quadrotor *)ctx)->mass;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, u += NU, dx += NX, du += NU, df += NX) {
    const Attitude a = AttitudeAt(x);
    const PetscReal p = x[9], q = x[10], r = x[11], thrust[3] = {a.ax, a.ay, a.az};
    PetscReal slope[3][3];
    if (fabs(a.ctheta) < POLE) return CTPG_DOMAIN;
    ThrustSlopes(&a, slope);
    KinematicsJVP(&a, dx, df + 3);
    for (PetscInt j = 0; j < 3; j++) {
      df[j] = dx[6 + j];
      df[6 + j] = -(u[0] * Dot(3, slope[j], dx + 3) + du[0] * thrust[j]) / mass;
    }
    df[9] = (IY - IZ) / IX * (q * dx[11] + r * dx[10]) + du[1] / IX;
    df[10] = (IZ - IX) / IY * (p * dx[11] + r * dx[9]) + du[2] / IY;
    df[11] = (IX - IY) / IZ * (p * dx[10] + q * dx[9]) + du[3] / IZ;
    dw[i] = 2 * (Dot(3, x, dx) + Dot(3, x + 6, dx + 6) + EFFORT * Dot(NU, u, du));
  }
  return CTPG_OK;
}

// Rows of psi', theta', phi'.
static void KinematicsJacobian(const Attitude *a, PetscReal *fx) {
  const PetscReal tangent = a->stheta / a->ctheta;
  PetscReal *psi = fx + 3 * NX, *theta = fx + 4 * NX, *phi = fx + 5 * NX;
  psi[4] = a->k * tangent / a->ctheta;
  psi[5] = a->d / a->ctheta;
  psi[10] = a->sphi / a->ctheta;
  psi[11] = a->cphi / a->ctheta;
  theta[5] = -a->k;
  theta[10] = a->cphi;
  theta[11] = -a->sphi;
  phi[4] = a->k / (a->ctheta * a->ctheta);
  phi[5] = a->d * tangent;
  phi[9] = 1;
  phi[10] = a->sphi * tangent;
  phi[11] = a->cphi * tangent;
}

// Rows of p', q', r'.
static void RatesJacobian(const PetscReal *x, PetscReal *fx, PetscReal *fu) {
  PetscReal *p = fx + 9 * NX, *q = fx + 10 * NX, *r = fx + 11 * NX;
  p[10] = (IY - IZ) / IX * x[11];
  p[11] = (IY - IZ) / IX * x[10];
  q[9] = (IZ - IX) / IY * x[11];
  q[11] = (IZ - IX) / IY * x[9];
  r[9] = (IX - IY) / IZ * x[10];
  r[10] = (IX - IY) / IZ * x[9];
  fu[9 * NU + 1] = 1 / IX;
  fu[10 * NU + 2] = 1 / IY;
  fu[11 * NU + 3] = 1 / IZ;
}

static CtpgStatus QuadrotorJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x,
                                    const PetscReal *u, PetscReal *fx, PetscReal *fu) {
  const PetscReal lift = -u[0] / ((const Quadrotor *)ctx)->mass;
  const Attitude a = AttitudeAt(x);
  const PetscReal thrust[3] = {a.ax, a.ay, a.az};
  PetscReal slope[3][3];
  (void)task, (void)t;
  if (fabs(a.ctheta) < POLE) return CTPG_DOMAIN;
  memset(fx, 0, NX * NX * sizeof *fx);
  memset(fu, 0, NX * NU * sizeof *fu);
  ThrustSlopes(&a, slope);
  KinematicsJacobian(&a, fx);
  RatesJacobian(x, fx, fu);
  for (PetscInt j = 0; j < 3; j++) {
    fx[j * NX + 6 + j] = 1;
    for (PetscInt l = 0; l < 3; l++) fx[(6 + j) * NX + 3 + l] = lift * slope[j][l];
    fu[(6 + j) * NU] = -thrust[j] / ((const Quadrotor *)ctx)->mass;
  }
  return CTPG_OK;
}

// Places in x of psi, theta, phi, p, q, r.
static const PetscInt TURNING[6] = {3, 4, 5, 9, 10, 11};

static CtpgStatus QuadrotorObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   PetscReal *o) {
  const Quadrotor *quadrotor = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, o += NO) {
    for (PetscInt j = 0; j < NX; j++) o[20 + j] = x[j];
    for (PetscInt k = 0; k < 6; k++) {
      const PetscReal angle = x[TURNING[k]];
      PetscReal sine, cosine;
      CtpgSinCos(angle, &sine, &cosine);
      o[3 * k] = sine;
      o[3 * k + 1] = cosine;
      o[3 * k + 2] = quadrotor->tangents ? sine / cosine : 0;
      if (quadrotor->wrap) o[20 + TURNING[k]] = fmod(angle, 2 * PETSC_PI);
    }
    o[18] = Dot(3, x, x);
    o[19] = Dot(3, x + 6, x + 6);
  }
  return CTPG_OK;
}

static CtpgStatus QuadrotorObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  const Quadrotor *quadrotor = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, go += NO, gx += NX) {
    for (PetscInt j = 0; j < NX; j++) gx[j] += go[20 + j];
    for (PetscInt k = 0; k < 6; k++) {
      PetscReal sine, cosine;
      CtpgSinCos(x[TURNING[k]], &sine, &cosine);
      gx[TURNING[k]] += go[3 * k] * cosine - go[3 * k + 1] * sine;
      if (quadrotor->tangents) gx[TURNING[k]] += go[3 * k + 2] / (cosine * cosine);
    }
    for (PetscInt j = 0; j < 3; j++) {
      gx[j] += go[18] * 2 * x[j];
      gx[6 + j] += go[19] * 2 * x[6 + j];
    }
  }
  return CTPG_OK;
}

static CtpgStatus QuadrotorObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  const Quadrotor *quadrotor = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, dx += NX, d_o += NO) {
    for (PetscInt j = 0; j < NX; j++) d_o[20 + j] = dx[j];
    for (PetscInt k = 0; k < 6; k++) {
      const PetscReal turn = dx[TURNING[k]];
      PetscReal sine, cosine;
      CtpgSinCos(x[TURNING[k]], &sine, &cosine);
      d_o[3 * k] = cosine * turn;
      d_o[3 * k + 1] = -sine * turn;
      d_o[3 * k + 2] = quadrotor->tangents ? turn / (cosine * cosine) : 0;
    }
    d_o[18] = 2 * Dot(3, x, dx);
    d_o[19] = 2 * Dot(3, x + 6, dx + 6);
  }
  return CTPG_OK;
}

const CtpgProblemType CtpgProblem_quadrotor = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "quadrotor",
    .bibtex = "@mastersthesis{sabatino2015quadrotor,\n"
              "  title = {Quadrotor control: modeling, nonlinear control design, and simulation},\n"
              "  author = {Sabatino, Francesco},\n"
              "  school = {KTH Royal Institute of Technology}, address = {Stockholm}, year = {2015}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .create = QuadrotorCreate,
    .draw = QuadrotorDraw,
    .eval = QuadrotorEval,
    .observe = QuadrotorObserve,
    .eval_vjp = QuadrotorEvalVJP,
    .observe_vjp = QuadrotorObserveVJP,
    .eval_jvp = QuadrotorEvalJVP,
    .observe_jvp = QuadrotorObserveJVP,
    .jacobian = QuadrotorJacobian,
    .destroy = QuadrotorDestroy,
};
