// test_derivatives.c -- eval_jvp, observe_jvp and jacobian of every analytic problem, and what the closed loop makes of
// them
//
// Entry by entry against the products' rows, to rounding; along random directions against Richardson differences of the
// values; at points on both sides of every kink and on it; several points a call, with poisoned outputs. Then the
// closed loop: directional derivative and Jacobian against its product, and its differences against its slots.

#include "base/random_engine.h"
#include "run/case.h"
#include "run/instance.h"
#include "test.h"
#include <string.h>

enum { MAX_NX = 12, MAX_NU = 8, MAX_NO = 32, NPOINTS = 3, NROUNDS = 40 };

#define ROUNDING ((PetscReal)1e-13)

static CtpgStream random_stream;

static PetscReal In(PetscReal low, PetscReal high) {
  return CtpgStreamUniformIn(&random_stream, low, high);
}

static void Fill(PetscInt n, PetscReal low, PetscReal high, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = In(low, high);
}

static void Poison(PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = NAN;
}

static void CheckOK(CtpgStatus status) {
  CHECK(status == CTPG_OK, "%s", CtpgStatusName(status));
}

typedef struct {
  const char *type, *options;
  CtpgProblem problem;
  const CtpgProblemType *slots;
  void *ctx;
  CtpgCase c;
  CtpgTask task;
  PetscInt nx, nu, no;
  PetscReal t[NPOINTS], x[NPOINTS * MAX_NX], u[NPOINTS * MAX_NU];           // points
  PetscReal dx[NPOINTS * MAX_NX], du[NPOINTS * MAX_NU];                     // directions there
  PetscReal matrix[(MAX_NX + 1) * (MAX_NX + MAX_NU)], o_x[MAX_NO * MAX_NX]; // at one point, by products
} Fixture;

static PetscErrorCode Open(const char *type, const char *options, Fixture *f) {
  CtpgLabel label = {"", ""};

  PetscFunctionBeginUser;
  memset(f, 0, sizeof *f);
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, options));
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(ProblemCreate(&label, &f->problem));
  PetscCall(CaseDraw(&f->problem, 3, 0, &f->c));
  f->type = type;
  f->options = options;
  f->slots = f->problem.type;
  f->ctx = f->problem.ctx;
  f->nx = f->problem.dims.nx, f->nu = f->problem.dims.nu, f->no = f->problem.dims.no;
  f->task = (CtpgTask){.values = f->c.task, .T = f->c.T, .piece = -1};
  random_stream = CtpgStreamOpen(2, type, CTPG_STREAM_CHECK, 0, 0);
  PetscFunctionReturn(0);
}

static PetscErrorCode Close(Fixture *f) {
  PetscFunctionBeginUser;
  PetscCall(CaseDestroy(&f->c));
  PetscCall(ProblemDestroy(&f->problem));
  PetscFunctionReturn(0);
}

// Any states and controls; electric's positions inside and outside an electrode's circle, pitch away from the pole,
// some controls exactly on their limit.
static void SamplePoints(PetscInt round, Fixture *f) {
  const PetscInt nx = f->nx, nu = f->nu;
  Fill(NPOINTS, 0, f->task.T, f->t);
  Fill(NPOINTS * nx, -3, 3, f->x);
  Fill(NPOINTS * nu, -2, 2, f->u);
  Fill(NPOINTS * nx, -1, 1, f->dx);
  Fill(NPOINTS * nu, -1, 1, f->du);
  for (PetscInt p = 0; p < NPOINTS; p++) {
    PetscReal *x = f->x + p * nx;
    if (!strcmp(f->type, "electric")) {
      const PetscReal radius = In(0.02, 0.18), angle = In(0, 2 * PETSC_PI);
      x[2] = 0.5 + radius * cos(angle), x[3] = 0.9 + radius * sin(angle);
    }
    if (!strcmp(f->type, "quadrotor"))
      for (PetscInt j = 3; j < 6; j++) x[j] = In(-1.3, 1.3);
    if (round % 4 == 0) f->u[p * nu] = p % 2 ? 1 : -1;
  }
}

// Within reach of a difference of a kink or pole.
static PetscBool NearKink(const Fixture *f, const PetscReal *x, const PetscReal *u) {
  PetscBool near = PETSC_FALSE;
  if (!strcmp(f->type, "electric") && fabs(hypot(x[2] - 0.5, x[3] - 0.9) - 0.1) < 0.01) near = PETSC_TRUE;
  if (!strcmp(f->type, "track") || !strcmp(f->type, "cartpole-analytic"))
    for (PetscInt j = 0; j < f->nu; j++)
      if (fabs(fabs(u[j]) - 1) < 0.01) near = PETSC_TRUE;
  for (PetscInt j = 9; j < f->nx; j++) // the quadrotor's tangents of rates
    if (fabs(cos(x[j])) < 0.05) near = PETSC_TRUE;
  return near;
}

// ---- against the rows of the products ----

// f_x, f_u, w_x, w_u and o_x at point p.
static void Products(Fixture *f, PetscInt p) {
  const PetscInt nx = f->nx, nu = f->nu, nz = nx + nu, no = f->no;
  const PetscReal *t = f->t + p, *x = f->x + p * nx, *u = f->u + p * nu;
  memset(f->matrix, 0, sizeof f->matrix);
  memset(f->o_x, 0, sizeof f->o_x);
  for (PetscInt i = 0; i <= nx; i++) {
    PetscReal v[MAX_NX] = {0}, c = i == nx;
    if (i < nx) v[i] = 1;
    CheckOK(f->slots->eval_vjp(f->ctx, &f->task, 1, t, x, u, v, &c, f->matrix + i * nz, f->matrix + i * nz + nx));
  }
  for (PetscInt i = 0; i < no && f->slots->observe; i++) {
    PetscReal go[MAX_NO] = {0};
    go[i] = 1;
    CheckOK(f->slots->observe_vjp(f->ctx, &f->task, 1, t, x, go, f->o_x + i * nx));
  }
}

static PetscReal RowSize(PetscInt n, const PetscReal *row) {
  PetscReal size = 1e-300;
  for (PetscInt j = 0; j < n; j++) size = fmax(size, fabs(row[j]));
  return size;
}

static void CheckEntry(const Fixture *f, const char *what, PetscInt i, PetscInt j, PetscReal found, PetscReal expected,
                       PetscReal scale) {
  CHECK(fabs(found - expected) <= ROUNDING * scale, "%s %s: %s[%d, %d] is %.17g, by products %.17g", f->type,
        f->options, what, (int)i, (int)j, found, expected);
}

static void CheckJacobian(Fixture *f, PetscInt p) {
  const PetscInt nx = f->nx, nu = f->nu, nz = nx + nu;
  PetscReal fx[MAX_NX * MAX_NX], fu[MAX_NX * MAX_NU];
  Poison(nx * nx, fx);
  Poison(nx * nu, fu);
  CheckOK(f->slots->jacobian(f->ctx, &f->task, f->t[p], f->x + p * nx, f->u + p * nu, fx, fu));
  for (PetscInt i = 0; i < nx; i++) {
    const PetscReal *row = f->matrix + i * nz, size = RowSize(nz, row);
    for (PetscInt j = 0; j < nx; j++) CheckEntry(f, "jacobian f_x", i, j, fx[i * nx + j], row[j], size);
    for (PetscInt j = 0; j < nu; j++) CheckEntry(f, "jacobian f_u", i, j, fu[i * nu + j], row[nx + j], size);
  }
}

// Column by column.
static void CheckDirectionalEntries(Fixture *f, PetscInt p) {
  const PetscInt nx = f->nx, nu = f->nu, nz = nx + nu, no = f->no;
  for (PetscInt j = 0; j < nz; j++) {
    PetscReal unit[MAX_NX + MAX_NU] = {0}, df[MAX_NX + 1], d_o[MAX_NO];
    unit[j] = 1;
    Poison(nx + 1, df);
    Poison(no, d_o);
    CheckOK(
        f->slots->eval_jvp(f->ctx, &f->task, 1, f->t + p, f->x + p * nx, f->u + p * nu, unit, unit + nx, df, df + nx));
    for (PetscInt i = 0; i <= nx; i++)
      CheckEntry(f, "eval_jvp", i, j, df[i], f->matrix[i * nz + j], RowSize(nz, f->matrix + i * nz));
    if (j >= nx || !f->slots->observe) continue;
    CheckOK(f->slots->observe_jvp(f->ctx, &f->task, 1, f->t + p, f->x + p * nx, unit, d_o));
    for (PetscInt i = 0; i < no; i++)
      CheckEntry(f, "observe_jvp", i, j, d_o[i], f->o_x[i * nx + j], RowSize(nx, f->o_x + i * nx));
  }
}

// ---- along a direction, against differences of the values ----

// values [nx + 1 + no]: f, w and o at point p, displaced.
static void Values(Fixture *f, PetscInt p, PetscReal step, PetscReal *values) {
  PetscReal x[MAX_NX], u[MAX_NU];
  for (PetscInt i = 0; i < f->nx; i++) x[i] = f->x[p * f->nx + i] + step * f->dx[p * f->nx + i];
  for (PetscInt i = 0; i < f->nu; i++) u[i] = f->u[p * f->nu + i] + step * f->du[p * f->nu + i];
  CheckOK(f->slots->eval(f->ctx, &f->task, 1, f->t + p, x, u, values, values + f->nx));
  if (f->slots->observe) CheckOK(f->slots->observe(f->ctx, &f->task, 1, f->t + p, x, values + f->nx + 1));
}

// Central differences with steps h, h/2, h/4, extrapolated twice.
static void Difference(Fixture *f, PetscInt p, PetscReal *slope) {
  const PetscInt m = f->nx + 1 + (f->slots->observe ? f->no : 0);
  PetscReal level[3][MAX_NX + 1 + MAX_NO], behind[MAX_NX + 1 + MAX_NO];
  for (int k = 0; k < 3; k++) {
    const PetscReal step = 1e-3 / (1 << k);
    Values(f, p, step, level[k]);
    Values(f, p, -step, behind);
    for (PetscInt i = 0; i < m; i++) level[k][i] = (level[k][i] - behind[i]) / (2 * step);
  }
  for (PetscInt i = 0; i < m; i++)
    slope[i] = (16 * (4 * level[2][i] - level[1][i]) - (4 * level[1][i] - level[0][i])) / 45;
}

static void CheckDirections(Fixture *f) {
  const PetscInt nx = f->nx, no = f->slots->observe ? f->no : 0;
  PetscReal df[NPOINTS * MAX_NX], dw[NPOINTS], d_o[NPOINTS * MAX_NO], slope[MAX_NX + 1 + MAX_NO];
  Poison(NPOINTS * nx, df);
  Poison(NPOINTS, dw);
  Poison(NPOINTS * no, d_o);
  CheckOK(f->slots->eval_jvp(f->ctx, &f->task, NPOINTS, f->t, f->x, f->u, f->dx, f->du, df, dw));
  if (f->slots->observe) CheckOK(f->slots->observe_jvp(f->ctx, &f->task, NPOINTS, f->t, f->x, f->dx, d_o));
  for (PetscInt p = 0; p < NPOINTS; p++) {
    if (NearKink(f, f->x + p * nx, f->u + p * f->nu)) continue;
    Difference(f, p, slope);
    const PetscReal size = RowSize(nx + 1, slope);
    for (PetscInt i = 0; i < nx; i++) CHECK_CLOSE(df[p * nx + i], slope[i], 1e-8, fmax(1, size));
    CHECK_CLOSE(dw[p], slope[nx], 1e-8, fmax(1, size));
    for (PetscInt i = 0; i < no; i++)
      CHECK_CLOSE(d_o[p * no + i], slope[nx + 1 + i], 1e-7, fmax(1, RowSize(no, slope + nx + 1)));
  }
}

static PetscErrorCode TestSlots(const char *type, const char *options) {
  PROPERTY("%s %s: eval_jvp, observe_jvp and jacobian are the rows of the products", type, options);
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, options, &f));
  for (PetscInt round = 0; round < NROUNDS; round++) {
    SamplePoints(round, &f);
    for (PetscInt p = 0; p < NPOINTS; p++) {
      Products(&f, p);
      CheckJacobian(&f, p);
      CheckDirectionalEntries(&f, p);
    }
    CheckDirections(&f);
  }
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- the closed loop ----

typedef struct {
  PetscReal *dtheta, *gtheta; // [np]
  PetscReal df[NPOINTS * MAX_NX], dw[NPOINTS], fx[MAX_NX * MAX_NX];
} LoopAnswers;

static PetscErrorCode Ask(Fixture *f, CtpgClosedLoop loop, LoopAnswers *a) {
  PetscFunctionBeginUser;
  Poison(NPOINTS * f->nx, a->df);
  Poison(NPOINTS, a->dw);
  Poison(f->nx * f->nx, a->fx);
  CtpgClosedLoopSetCase(loop, f->c.theta, 1, f->c.task, f->c.T);
  CtpgClosedLoopStart(loop, NULL);
  CheckOK(CtpgClosedLoopJVP(loop, NPOINTS, f->t, f->x, f->dx, a->dtheta, a->df, a->dw));
  CheckOK(CtpgClosedLoopJacobian(loop, f->t[0], f->x, a->fx));
  PetscFunctionReturn(0);
}

static PetscReal Combine(PetscInt n, const PetscReal *a, const PetscReal *b, PetscReal *scale) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += a[i] * b[i], *scale += fabs(a[i] * b[i]);
  return sum;
}

// v.df + c dw = gx.dx + gtheta.dtheta, for every unit vector (v, c); rows of f_x are the gx of c = 0.
static PetscErrorCode CompareWithProducts(Fixture *f, CtpgClosedLoop loop, LoopAnswers *a) {
  const PetscInt nx = f->nx, np = PolicyGetSize(f->problem.policy);

  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < NPOINTS; p++)
    for (PetscInt i = 0; i <= nx; i++) {
      PetscReal v[MAX_NX] = {0}, gx[MAX_NX] = {0}, scale = 1e-300;
      const PetscReal c = i == nx;
      if (i < nx) v[i] = 1;
      PetscCall(PetscArrayzero(a->gtheta, np));
      CheckOK(CtpgClosedLoopVJP(loop, 1, f->t + p, f->x + p * nx, v, &c, gx, a->gtheta));
      const PetscReal along_x = Combine(nx, gx, f->dx + p * nx, &scale);
      const PetscReal along_theta = Combine(np, a->gtheta, a->dtheta, &scale);
      CheckEntry(f, "closed loop, derivative along (dx, dtheta)", i, p, i < nx ? a->df[p * nx + i] : a->dw[p],
                 along_x + along_theta, scale);
      for (PetscInt j = 0; j < nx && !p && i < nx; j++)
        CheckEntry(f, "closed loop, f_x", i, j, a->fx[i * nx + j], gx[j], RowSize(nx, gx));
    }
  PetscFunctionReturn(0);
}

// The same from a problem without the slots: by differences, and by rows of products.
static PetscErrorCode CompareWithDifferences(Fixture *f, const LoopAnswers *a) {
  CtpgProblemType bare = *f->slots;
  LoopAnswers by_differences = {.dtheta = a->dtheta};
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  bare.eval_jvp = NULL;
  bare.observe_jvp = NULL;
  bare.jacobian = NULL;
  PetscCall(CtpgClosedLoopCreate(&bare, f->ctx, &f->problem.dims, f->problem.policy, &loop));
  PetscCall(Ask(f, loop, &by_differences));
  for (PetscInt p = 0; p < NPOINTS; p++) {
    const PetscReal size = fmax(RowSize(f->nx, a->df + p * f->nx), fabs(a->dw[p]));
    if (NearKink(f, f->x + p * f->nx, f->u + p * f->nu)) continue;
    for (PetscInt i = 0; i < f->nx; i++)
      CHECK_CLOSE(by_differences.df[p * f->nx + i], a->df[p * f->nx + i], 1e-5, size);
    CHECK_CLOSE(by_differences.dw[p], a->dw[p], 1e-5, size);
  }
  for (PetscInt i = 0; i < f->nx * f->nx; i++)
    CHECK_CLOSE(by_differences.fx[i], a->fx[i], ROUNDING, RowSize(f->nx * f->nx, a->fx));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

// One directional derivative is one, whatever the slots: nothing of its own is counted for observation and policy.
static void CheckCounts(CtpgClosedLoop loop, PetscInt nplant) {
  CtpgCounts counts;
  CtpgClosedLoopGetTotals(loop, &counts);
  CHECK(counts.nf == 0 && counts.nvjp == 0 && counts.njvp == NPOINTS && counts.njac == 1);
  CHECK(counts.nplant == nplant, "%lld plant calls, not %d", (long long)counts.nplant, (int)nplant);
}

static PetscErrorCode TestLoop(const char *type, const char *options) {
  PROPERTY("%s %s: the closed loop's directional derivative and Jacobian agree with its product", type, options);
  Fixture f;
  LoopAnswers a;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(Open(type, options, &f));
  const PetscInt np = PolicyGetSize(f.problem.policy);
  PetscCall(ProblemCreateLoop(&f.problem, &loop));
  PetscCall(PetscMalloc2(np, &a.dtheta, np, &a.gtheta));
  for (PetscInt round = 1; round < 4; round++) {
    SamplePoints(round, &f);
    Fill(np, -0.1, 0.1, a.dtheta);
    PetscCall(Ask(&f, loop, &a));
    CheckCounts(loop, NPOINTS + 1);
    PetscCall(CompareWithProducts(&f, loop, &a));
    PetscCall(CompareWithDifferences(&f, &a));
  }
  PetscCall(PetscFree2(a.dtheta, a.gtheta));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// Differences move by what is best for the state, however long the direction is.
static PetscErrorCode TestLengthOfDirection(void) {
  PROPERTY("differences do not depend on the length of the direction");
  Fixture f;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(Open("pendulum", "", &f));
  CtpgProblemType bare = *f.slots;
  bare.eval_jvp = NULL;
  bare.observe_jvp = NULL;
  PetscCall(CtpgClosedLoopCreate(&bare, f.ctx, &f.problem.dims, f.problem.policy, &loop));
  SamplePoints(1, &f);
  for (PetscReal length = 1e-6; length < 1e7; length *= 1e3) {
    const PetscReal dx[2] = {length * f.dx[0], length * f.dx[1]}, c = 0;
    PetscReal df[2], dw, gx[2] = {0}, v[2] = {0, 1}, scale = 0;
    CtpgClosedLoopSetCase(loop, f.c.theta, 1, f.c.task, f.c.T);
    CtpgClosedLoopStart(loop, NULL);
    CheckOK(CtpgClosedLoopJVP(loop, 1, f.t, f.x, dx, NULL, df, &dw));
    CheckOK(CtpgClosedLoopVJP(loop, 1, f.t, f.x, v, &c, gx, NULL));
    const PetscReal expected = Combine(2, gx, dx, &scale);
    CHECK_CLOSE(df[1], expected, 1e-8, scale);
  }
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// A thousand states: the slots cost what the matrices cost, a multiple of the identity nx.
static PetscErrorCode TestLargeLqr(void) {
  PROPERTY("the Jacobian of a thousand states is right where it is cheap");
  enum { N = 1000 };
  CtpgLabel label = {"lqr", "lqr"};
  CtpgProblem problem;
  PetscReal *fx, *fu;
  const PetscReal zero[N] = {0};
  const CtpgTask task = {.T = 10, .piece = -1};

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, "-lqr_nx 1000 -lqr_nu 3 -lqr_A -0.5 -lqr_B 2"));
  PetscCall(ProblemCreate(&label, &problem));
  PetscCall(PetscMalloc2(N * N, &fx, N * 3, &fu));
  Poison(N * N, fx);
  Poison(N * 3, fu);
  CheckOK(problem.type->jacobian(problem.ctx, &task, 0, zero, zero, fx, fu));
  int wrong = 0;
  for (PetscInt i = 0; i < N; i++) {
    for (PetscInt j = 0; j < N; j++) wrong += fx[i * N + j] != (i == j ? -0.5 : 0);
    for (PetscInt j = 0; j < 3; j++) wrong += fu[i * 3 + j] != (i == j ? 2 : 0);
  }
  CHECK(wrong == 0, "%d wrong entries", wrong);
  PetscCall(PetscFree2(fx, fu));
  PetscCall(ProblemDestroy(&problem));
  PetscFunctionReturn(0);
}

static const char *const VARIANTS[][2] = {
    {"lqr", ""},
    {"lqr", "-lqr_nx 3 -lqr_nu 2 -lqr_A -0.3"},
    {"lqr", "-lqr_nx 2 -lqr_nu 3 -lqr_A 1,2,-3,0.5 -lqr_B 1,0.5,-2,0.1,3,1 -lqr_Q 2,1,1,3 -lqr_R 2,0,1,0,3,0,1,0,4"},
    {"diffdrive", ""},
    {"quadrotor", "-quadrotor_tangents 0"},
    {"quadrotor", "-quadrotor_mass 3"},
    {"electric", ""},
    {"cartpole-analytic", ""},
    {"pendulum", "-pendulum_torque 3 -pendulum_damping 0.7"},
    {"double-pendulum", ""},
    {"double-pendulum", "-double-pendulum_drive elbow -double-pendulum_torque 3"},
    {"vanderpol", "-vanderpol_mu 0.3"},
    {"track", "-track_wrap 0"},
};

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  for (size_t i = 0; i < sizeof VARIANTS / sizeof *VARIANTS; i++) {
    PetscCall(TestSlots(VARIANTS[i][0], VARIANTS[i][1]));
    PetscCall(TestLoop(VARIANTS[i][0], VARIANTS[i][1]));
  }
  PetscCall(TestLengthOfDirection());
  PetscCall(TestLargeLqr());
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
