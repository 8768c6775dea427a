// test_problems_analytic.c -- electric, cartpole-analytic, pendulum, double-pendulum, vanderpol and track
//
// Every product against Richardson differences, on both sides of every kink; mechanics against the balance of forces
// and torques on each body, and against the power of its inputs, both written without the problem's matrices;
// electric's field against a direct sum and its goal on both sides of the break; the amplitude of van der Pol's cycle;
// track against diffdrive.

#include "run/instance.h"
#include "run/case.h"
#include "base/options_engine.h"
#include "test.h"
#include "base/random_engine.h"
#include <string.h>

enum { MAX_NX = 5, MAX_NU = 8, MAX_NO = 8, MAX_NTASK = 6, NPOINTS = 3, NROUNDS = 40 };

static const PetscReal DIFFERENCE_STEP = 1e-3;
static const PetscReal ELECTRODE[8][2] = {{0.1, 0.1}, {0.1, 0.9}, {0.9, 0.9}, {0.9, 0.1},
                                          {0.5, 0.9}, {0.5, 0.1}, {0.1, 0.5}, {0.9, 0.5}};

static CtpgStream random_stream;

static PetscReal In(PetscReal low, PetscReal high) {
  return CtpgStreamUniformIn(&random_stream, low, high);
}

static void Fill(PetscInt n, PetscReal low, PetscReal high, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = In(low, high);
}

static void CheckOK(CtpgStatus status) {
  CHECK(status == CTPG_OK, "%s", CtpgStatusName(status));
}

// ---- an instance with a task and some points ----

typedef struct {
  CtpgProblem problem;
  CtpgTask task;
  PetscReal values[MAX_NTASK];
  PetscReal t[NPOINTS], x[NPOINTS * MAX_NX], u[NPOINTS * MAX_NU]; // row-major [NPOINTS, nx] and [NPOINTS, nu]
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
  random_stream = CtpgStreamOpen(1, type, CTPG_STREAM_CHECK, 0, 0);
  f->task = (CtpgTask){.values = f->values, .T = f->problem.dims.T, .piece = -1};
  PetscFunctionReturn(0);
}

static PetscErrorCode Close(Fixture *f) {
  PetscFunctionBeginUser;
  PetscCall(ProblemDestroy(&f->problem));
  CHECK(!f->problem.ctx, "destroy must null the handle");
  PetscFunctionReturn(0);
}

// Any states; electric's positions alternate between the whole field and the surroundings of an electrode's circle.
static void SamplePoints(PetscInt round, Fixture *f) {
  const PetscBool electric = !strcmp(f->problem.type->name, "electric") ? PETSC_TRUE : PETSC_FALSE;
  const PetscInt nx = f->problem.dims.nx;
  Fill(f->problem.dims.ntask, 0.2, 0.8, f->values);
  Fill(NPOINTS, 0, f->task.T, f->t);
  Fill(NPOINTS * nx, electric ? 0 : -8, electric ? 1 : 8, f->x);
  Fill(NPOINTS * f->problem.dims.nu, -2, 2, f->u);
  for (PetscInt p = 0; electric && round % 2 && p < NPOINTS; p++) {
    const PetscReal radius = In(0.02, 0.18), angle = In(0, 2 * PETSC_PI), *center = ELECTRODE[(round + p) % 8];
    f->x[p * nx + 2] = center[0] + radius * cos(angle);
    f->x[p * nx + 3] = center[1] + radius * sin(angle);
  }
}

// Kinks within reach of a difference: electrodes' circles, limits of controls (1 in the problems and options used
// here), the first jump of a wrapped heading.
static PetscBool NearKink(const Fixture *f, const PetscReal *x, const PetscReal *u) {
  const char *type = f->problem.type->name;
  const PetscReal reach = 5 * DIFFERENCE_STEP;
  PetscBool near = PETSC_FALSE;
  for (PetscInt j = 0; j < 8 && !strcmp(type, "electric"); j++)
    if (fabs(hypot(x[2] - ELECTRODE[j][0], x[3] - ELECTRODE[j][1]) - 0.1) < reach) near = PETSC_TRUE;
  for (PetscInt j = 0; j < f->problem.dims.nu && (!strcmp(type, "track") || !strcmp(type, "cartpole-analytic")); j++)
    if (fabs(fabs(u[j]) - 1) < reach) near = PETSC_TRUE;
  if (!strcmp(type, "track") && fabs(fabs(x[2]) - 2 * PETSC_PI) < reach) near = PETSC_TRUE;
  return near;
}

// ---- products against differences ----

// A scalar function of one entry of x or u, at which the others are held.
typedef PetscReal (*Scalar)(Fixture *f, PetscReal t, const PetscReal *x, const PetscReal *u, const PetscReal *weights);

// weights (v, c): v.f + c w
static PetscReal WeightedEval(Fixture *f, PetscReal t, const PetscReal *x, const PetscReal *u,
                              const PetscReal *weights) {
  const PetscInt nx = f->problem.dims.nx;
  PetscReal rate[MAX_NX], sum;
  CheckOK(f->problem.type->eval(f->problem.ctx, &f->task, 1, &t, x, u, rate, &sum));
  sum *= weights[nx];
  for (PetscInt i = 0; i < nx; i++) sum += weights[i] * rate[i];
  return sum;
}

// weights go: go.o
static PetscReal WeightedObservation(Fixture *f, PetscReal t, const PetscReal *x, const PetscReal *u,
                                     const PetscReal *weights) {
  PetscReal o[MAX_NO], sum = 0;
  (void)u;
  CheckOK(f->problem.type->observe(f->problem.ctx, &f->task, 1, &t, x, o));
  for (PetscInt i = 0; i < f->problem.dims.no; i++) sum += weights[i] * o[i];
  return sum;
}

// Central differences with steps h, h/2, h/4, extrapolated twice; *entry points into x or u.
static PetscReal Difference(Scalar scalar, Fixture *f, PetscReal t, PetscReal *x, PetscReal *u,
                            const PetscReal *weights, PetscReal *entry) {
  const PetscReal at = *entry;
  PetscReal slope[3];
  for (int k = 0; k < 3; k++) {
    const PetscReal step = DIFFERENCE_STEP / (1 << k);
    *entry = at + step;
    slope[k] = scalar(f, t, x, u, weights);
    *entry = at - step;
    slope[k] = (slope[k] - scalar(f, t, x, u, weights)) / (2 * step);
  }
  *entry = at;
  return (16 * (4 * slope[2] - slope[1]) - (4 * slope[1] - slope[0])) / 45;
}

// Points of one call, with what products are to add to.
static void CheckEvalVJP(Fixture *f) {
  const PetscInt nx = f->problem.dims.nx, nu = f->problem.dims.nu;
  PetscReal weights[NPOINTS][MAX_NX + 1], v[NPOINTS * MAX_NX], c[NPOINTS], gx[NPOINTS * MAX_NX], gu[NPOINTS * MAX_NU];
  for (PetscInt p = 0; p < NPOINTS; p++) {
    Fill(nx + 1, -1, 1, weights[p]);
    memcpy(v + p * nx, weights[p], sizeof *v * nx);
    c[p] = weights[p][nx];
  }
  for (PetscInt i = 0; i < NPOINTS * nx; i++) gx[i] = 1;
  for (PetscInt i = 0; i < NPOINTS * nu; i++) gu[i] = 2;
  CheckOK(f->problem.type->eval_vjp(f->problem.ctx, &f->task, NPOINTS, f->t, f->x, f->u, v, c, gx, gu));
  for (PetscInt p = 0; p < NPOINTS; p++) {
    PetscReal *x = f->x + p * nx, *u = f->u + p * nu;
    if (NearKink(f, x, u)) continue;
    for (PetscInt j = 0; j < nx; j++)
      CHECK_CLOSE(gx[p * nx + j] - 1, Difference(WeightedEval, f, f->t[p], x, u, weights[p], x + j), 1e-9, 1);
    for (PetscInt j = 0; j < nu; j++)
      CHECK_CLOSE(gu[p * nu + j] - 2, Difference(WeightedEval, f, f->t[p], x, u, weights[p], u + j), 1e-9, 1);
  }
}

static void CheckObserveVJP(Fixture *f) {
  const PetscInt nx = f->problem.dims.nx, no = f->problem.dims.no;
  PetscReal go[NPOINTS * MAX_NO], gx[NPOINTS * MAX_NX];
  Fill(NPOINTS * no, -1, 1, go);
  for (PetscInt i = 0; i < NPOINTS * nx; i++) gx[i] = 1;
  CheckOK(f->problem.type->observe_vjp(f->problem.ctx, &f->task, NPOINTS, f->t, f->x, go, gx));
  for (PetscInt p = 0; p < NPOINTS; p++) {
    PetscReal *x = f->x + p * nx, *u = f->u + p * f->problem.dims.nu;
    if (NearKink(f, x, u)) continue;
    for (PetscInt j = 0; j < nx; j++)
      CHECK_CLOSE(gx[p * nx + j] - 1, Difference(WeightedObservation, f, f->t[p], x, u, go + p * no, x + j), 1e-9, 1);
  }
}

static PetscErrorCode TestProducts(const char *type, const char *options) {
  PROPERTY("%s %s: products are derivatives of f, w and o", type, options);
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, options, &f));
  for (PetscInt round = 0; round < NROUNDS; round++) {
    SamplePoints(round, &f);
    CheckEvalVJP(&f);
    if (f.problem.type->observe) CheckObserveVJP(&f);
  }
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- sizes and starts ----

static PetscErrorCode TestDims(const char *type, const char *options, CtpgDims wanted) {
  PROPERTY("%s: sizes are the documented ones", type);
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, options, &f));
  const CtpgDims *dims = &f.problem.dims;
  CHECK(dims->nx == wanted.nx && dims->nu == wanted.nu && dims->no == wanted.no && dims->nq == wanted.nq, "%s", type);
  CHECK(dims->ntask == wanted.ntask && dims->nbreak == wanted.nbreak && dims->T == wanted.T, "%s", type);
  CHECK(dims->init_scale == 1, "%s", type);
  CHECK(!strcmp(PolicyDescribe(f.problem.policy), wanted.policy), "%s: %s", type, PolicyDescribe(f.problem.policy));
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// q' = v: the components of f at the positions are those of x at the velocities.
static PetscErrorCode TestSplit(const char *type) {
  PROPERTY("%s: positions change by velocities", type);
  PetscReal rate[NPOINTS * MAX_NX], w[NPOINTS];
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, "", &f));
  const PetscInt nx = f.problem.dims.nx, nq = f.problem.dims.nq;
  const PetscInt q = CtpgFirstPosition(&f.problem.dims), v = CtpgFirstVelocity(&f.problem.dims);
  SamplePoints(0, &f);
  CheckOK(f.problem.type->eval(f.problem.ctx, &f.task, NPOINTS, f.t, f.x, f.u, rate, w));
  for (PetscInt p = 0; p < NPOINTS; p++)
    for (PetscInt j = 0; j < nq; j++) CHECK(rate[p * nx + q + j] == f.x[p * nx + v + j], "%s", type);
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestStarts(const char *type, PetscInt nq, const PetscReal *center, const PetscReal *spread) {
  PROPERTY("%s: starts lie in their box, at rest", type);
  Fixture f;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(Open(type, "", &f));
  for (int64_t seed = 0; seed < 50; seed++) {
    PetscCall(CaseDraw(&f.problem, seed, 0, &c));
    for (PetscInt j = 0; j < nq; j++) CHECK(fabs(c.x0[j] - center[j]) <= spread[j], "%s: %g", type, c.x0[j]);
    for (PetscInt j = nq; j < f.problem.dims.nx; j++) CHECK(c.x0[j] == 0, "%s does not start at rest", type);
    PetscCall(CaseDestroy(&c));
  }
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- mechanics ----

// r x m (a - gravity) in the plane of (horizontal, upwards): the torque that moves a mass, in the sense of growing
// angles against the vertical.
static PetscReal Moment(PetscReal mass, PetscReal gravity, const PetscReal r[2], const PetscReal a[2]) {
  return mass * (r[1] * a[0] - r[0] * (a[1] + gravity));
}

// Acceleration of the tip of a rod against its foot; direction (sin, cos).
static void TipAcceleration(PetscReal length, PetscReal angle, PetscReal rate, PetscReal acceleration, PetscReal a[2]) {
  a[0] = length * (cos(angle) * acceleration - sin(angle) * rate * rate);
  a[1] = length * (-sin(angle) * acceleration - cos(angle) * rate * rate);
}

// Newton on cart and pole together, horizontally; Euler on the pole about its hinge.
static void CheckCartpoleBalance(const PetscReal *x, PetscReal u, const PetscReal *rate) {
  const PetscReal inertia = 0.0094245927672955976, r[2] = {0.5 * sin(x[1]), 0.5 * cos(x[1])};
  PetscReal a[2];
  TipAcceleration(0.5, x[1], x[3], rate[3], a);
  a[0] += rate[2];
  CHECK_CLOSE(rate[2] + 0.1 * a[0], 10 * fmax(-1, fmin(1, u)) - 5e-4 * x[2], 1e-12, 10);
  CHECK_CLOSE(Moment(0.1, 9.81, r, a) + inertia * rate[3], -2e-6 * x[3], 1e-12, 10);
}

// Euler on both masses about the pivot: the shoulder's torque; on the second about the elbow: the elbow's.
static void CheckDoublePendulumBalance(const PetscReal *x, PetscReal shoulder, PetscReal elbow, const PetscReal *rate) {
  const PetscReal r1[2] = {sin(x[0]), cos(x[0])}, rod[2] = {sin(x[1]), cos(x[1])};
  const PetscReal r2[2] = {r1[0] + rod[0], r1[1] + rod[1]};
  PetscReal a1[2], a2[2];
  TipAcceleration(1, x[0], x[2], rate[2], a1);
  TipAcceleration(1, x[1], x[3], rate[3], a2);
  a2[0] += a1[0];
  a2[1] += a1[1];
  CHECK_CLOSE(Moment(1, 9.81, r1, a1) + Moment(1, 9.81, r2, a2), shoulder, 1e-12, 200);
  CHECK_CLOSE(Moment(1, 9.81, rod, a2), elbow, 1e-12, 200);
}

static PetscReal PendulumEnergy(const PetscReal *x) {
  return x[1] * x[1] / 2 + 9.8 * cos(x[0]);
}

static PetscReal CartpoleEnergy(const PetscReal *x) {
  const PetscReal vx = x[2] + 0.5 * cos(x[1]) * x[3], vy = -0.5 * sin(x[1]) * x[3];
  return (x[2] * x[2] + 0.1 * (vx * vx + vy * vy) + 0.0094245927672955976 * x[3] * x[3]) / 2 +
         0.1 * 9.81 * 0.5 * cos(x[1]);
}

static PetscReal DoublePendulumEnergy(const PetscReal *x) {
  const PetscReal vx = cos(x[0]) * x[2] + cos(x[1]) * x[3], vy = -sin(x[0]) * x[2] - sin(x[1]) * x[3];
  return (x[2] * x[2] + vx * vx + vy * vy) / 2 + 9.81 * (2 * cos(x[0]) + cos(x[1]));
}

// d/ds of energy(x + s rate) at s = 0
static PetscReal Power(PetscReal (*energy)(const PetscReal *), PetscInt nx, const PetscReal *x, const PetscReal *rate) {
  PetscReal slope[3];
  for (int k = 0; k < 3; k++) {
    const PetscReal step = 2 * DIFFERENCE_STEP / (1 << k);
    PetscReal ahead[MAX_NX], behind[MAX_NX];
    for (PetscInt j = 0; j < nx; j++) ahead[j] = x[j] + step * rate[j], behind[j] = x[j] - step * rate[j];
    slope[k] = (energy(ahead) - energy(behind)) / (2 * step);
  }
  return (16 * (4 * slope[2] - slope[1]) - (4 * slope[1] - slope[0])) / 45;
}

typedef void (*Mechanics)(const PetscReal *x, const PetscReal *u, const PetscReal *rate);

static void PendulumMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  CHECK_CLOSE(Power(PendulumEnergy, 2, x, rate), (5 * u[0] - 0.01 * x[1]) * x[1], 1e-9, 10);
}

static void UndrivenPendulumMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  (void)u;
  CHECK_CLOSE(Power(PendulumEnergy, 2, x, rate), 0, 1e-9, 10);
}

static void CartpoleMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  const PetscReal motor = 10 * fmax(-1, fmin(1, u[0]));
  CheckCartpoleBalance(x, u[0], rate);
  CHECK_CLOSE(Power(CartpoleEnergy, 4, x, rate), motor * x[2] - 5e-4 * x[2] * x[2] - 2e-6 * x[3] * x[3], 1e-9, 10);
}

static void DoublePendulumMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  CheckDoublePendulumBalance(x, 5 * u[0], 5 * u[1], rate);
  CHECK_CLOSE(Power(DoublePendulumEnergy, 4, x, rate), 5 * (u[0] * x[2] + u[1] * (x[3] - x[2])), 1e-9, 200);
}

static void AcrobotMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  CheckDoublePendulumBalance(x, 0, 7 * u[0], rate);
}

static void UndrivenDoublePendulumMechanics(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  (void)u;
  CHECK_CLOSE(Power(DoublePendulumEnergy, 4, x, rate), 0, 1e-9, 200);
}

static PetscErrorCode TestMechanics(const char *type, const char *options, Mechanics mechanics) {
  PROPERTY("%s %s: f obeys the mechanics written independently", type, options);
  PetscReal rate[NPOINTS * MAX_NX], w[NPOINTS];
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, options, &f));
  for (PetscInt round = 0; round < NROUNDS; round++) {
    SamplePoints(round, &f);
    CheckOK(f.problem.type->eval(f.problem.ctx, &f.task, NPOINTS, f.t, f.x, f.u, rate, w));
    for (PetscInt p = 0; p < NPOINTS; p++)
      mechanics(f.x + p * f.problem.dims.nx, f.u + p * f.problem.dims.nu, rate + p * f.problem.dims.nx);
  }
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- electric ----

// v' by the formula at the head of electric.c.
static void CheckField(const PetscReal *x, const PetscReal *u, const PetscReal *rate) {
  for (PetscInt k = 0; k < 2; k++) {
    PetscReal sum = -0.029910179730323616 * x[k];
    for (PetscInt j = 0; j < 8; j++) {
      const PetscReal len = fmax(hypot(x[2] - ELECTRODE[j][0], x[3] - ELECTRODE[j][1]), 0.1);
      sum += 1e-3 * u[j] * (x[2 + k] - ELECTRODE[j][k]) / pow(len, 3);
    }
    CHECK_CLOSE(rate[k], sum, 1e-13, 1);
    CHECK(rate[2 + k] == x[k], "p' is %g, v %g", rate[2 + k], x[k]);
  }
}

static void ObserveAt(Fixture *f, PetscReal t, PetscInt piece, PetscReal o[8]) {
  const CtpgTask task = {.values = f->values, .T = f->task.T, .piece = piece};
  CheckOK(f->problem.type->observe(f->problem.ctx, &task, 1, &t, f->x, o));
}

static void CheckGoal(Fixture *f, PetscReal t, PetscInt piece, PetscInt segment, PetscReal s) {
  const PetscReal *from = f->values + 2 * segment;
  PetscReal o[8], rate[4], w;
  ObserveAt(f, t, piece, o);
  const CtpgTask task = {.values = f->values, .T = f->task.T, .piece = piece};
  CheckOK(f->problem.type->eval(f->problem.ctx, &task, 1, &t, f->x, f->u, rate, &w));
  for (PetscInt k = 0; k < 2; k++) {
    CHECK_CLOSE(o[4 + k], from[k] + s * (from[2 + k] - from[k]), 1e-13, 1);
    CHECK_CLOSE(o[6 + k], from[2 + k] - from[k], 1e-13, 1);
    CHECK(o[k] == f->x[2 + k] && o[2 + k] == f->x[k], "position comes before velocity");
  }
  CHECK_CLOSE(w, pow(f->x[2] - o[4], 2) + pow(f->x[3] - o[5], 2), 1e-13, 1);
}

static PetscErrorCode TestElectricGoal(void) {
  PROPERTY("electric: the goal moves and turns at the break");
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open("electric", "-electric_horizon 6", &f));
  SamplePoints(0, &f);
  CHECK(f.problem.dims.breaks[0] * f.task.T == 3, "break at %g of %g", f.problem.dims.breaks[0], f.task.T);
  CheckGoal(&f, 0, -1, 0, 0);
  CheckGoal(&f, 2, -1, 0, 2. / 3);
  CheckGoal(&f, nextafter(3, 0), -1, 0, 1);
  CheckGoal(&f, 3, -1, 1, 0);
  CheckGoal(&f, 3, 0, 0, 1);
  CheckGoal(&f, 3, 1, 1, 0);
  CheckGoal(&f, 5, -1, 1, 2. / 3);
  CheckGoal(&f, 6, -1, 1, 1);
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestElectricDraw(void) {
  PROPERTY("electric: goals come from their stream, the start is the first goal");
  Fixture f;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(Open("electric", "", &f));
  PetscCall(CaseDraw(&f.problem, 3, 0, &c));
  CtpgStream stream = CtpgStreamOpen(3, "electric", CTPG_STREAM_TASK, 0, 0);
  for (PetscInt j = 0; j < 6; j++)
    CHECK(c.task[j] == 0.2 + 0.6 * CtpgStreamUniform(&stream), "goals, entry %d", (int)j);
  CHECK(c.x0[0] == 0 && c.x0[1] == 0 && c.x0[2] == c.task[0] && c.x0[3] == c.task[1], "at rest in the first goal");
  PetscCall(CaseDestroy(&c));
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- van der Pol ----

static void RungeKutta4(Fixture *f, PetscReal h, PetscReal x[2]) {
  static const PetscReal node[4] = {0, 0.5, 0.5, 1}, weight[4] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
  PetscReal next[2] = {x[0], x[1]}, k[2] = {0, 0}, w;
  for (int s = 0; s < 4; s++) {
    const PetscReal t = 0, u = 0, at[2] = {x[0] + node[s] * h * k[0], x[1] + node[s] * h * k[1]};
    CheckOK(f->problem.type->eval(f->problem.ctx, &f->task, 1, &t, at, &u, k, &w));
    for (int j = 0; j < 2; j++) next[j] += h * weight[s] * k[j];
  }
  x[0] = next[0], x[1] = next[1];
}

// Amplitude of the limit cycle by its perturbation series, 2 + mu^2/96 - 1033 mu^4/552960 + ... The peak
// between two steps is that of the parabola whose slopes are the y' at both.
static PetscErrorCode TestLimitCycle(PetscReal mu) {
  PROPERTY("vanderpol: the amplitude of the limit cycle for mu = %g is that of its series", mu);
  const PetscReal h = 0.01;
  PetscReal x[2] = {0.5, 0}, peak = 0;
  char options[64];
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(options, sizeof options, "-vanderpol_mu %g", (double)mu));
  PetscCall(Open("vanderpol", options, &f));
  for (PetscInt i = 0; i < 30 / (mu * h) || x[0] < 1 || x[1] <= 0; i++) RungeKutta4(&f, h, x);
  while (x[1] > 0) {
    const PetscReal before[2] = {x[0], x[1]};
    RungeKutta4(&f, h, x);
    const PetscReal part = before[1] / (before[1] - x[1]);
    peak = before[0] + part * h * before[1] / 2;
  }
  CHECK_CLOSE(peak, 2 + mu * mu / 96 - 1033 * pow(mu, 4) / 552960, 1e-7, 1);
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- track ----

// What track and diffdrive give at the same three points; diffdrive at clipped controls.
typedef struct {
  PetscReal f[NPOINTS * 5], w[NPOINTS], o[NPOINTS * 7], gx[NPOINTS * 5], gu[NPOINTS * 2];
} Answers;

static void Ask(Fixture *problem, const Fixture *points, const PetscReal *u, Answers *a) {
  static const PetscReal v[NPOINTS * 5] = {1, 2, 3, 4, 5, -1, 0.5, -3, 2, 1, 0.3, 0.2, -0.1, 5, -6};
  static const PetscReal c[NPOINTS] = {0.7, -0.2, 1.1};
  const CtpgProblemType *type = problem->problem.type;
  void *ctx = problem->problem.ctx;
  memset(a, 0, sizeof *a);
  CheckOK(type->eval(ctx, &problem->task, NPOINTS, points->t, points->x, u, a->f, a->w));
  CheckOK(type->observe(ctx, &problem->task, NPOINTS, points->t, points->x, a->o));
  CheckOK(type->eval_vjp(ctx, &problem->task, NPOINTS, points->t, points->x, u, v, c, a->gx, a->gu));
}

static void CheckTrackPoint(const Fixture *points, PetscInt p, PetscReal u_max, PetscBool wrap, const Answers *track,
                            const Answers *drive) {
  const PetscReal heading = points->x[5 * p + 2], *o = track->o + 7 * p;
  for (PetscInt j = 0; j < 5; j++) CHECK(track->f[5 * p + j] == drive->f[5 * p + j], "f %d", (int)j);
  for (PetscInt j = 0; j < 5; j++) CHECK(track->gx[5 * p + j] == drive->gx[5 * p + j], "gx %d", (int)j);
  CHECK(track->w[p] == drive->w[p], "w");
  for (PetscInt j = 0; j < 2; j++)
    CHECK(track->gu[2 * p + j] == (fabs(points->u[2 * p + j]) > u_max ? 0 : drive->gu[2 * p + j]), "gu %d", (int)j);
  for (PetscInt j = 0; j < 7; j++) CHECK(j == 2 || o[j] == drive->o[7 * p + j], "o %d", (int)j);
  if (wrap) {
    CHECK(fabs(o[2]) < 2 * PETSC_PI && o[2] * heading >= 0, "%g of %g", o[2], heading);
    CHECK_CLOSE(sin(o[2]), sin(heading), 1e-14, 1);
    if (fabs(heading) < 2 * PETSC_PI) CHECK(o[2] == heading, "%g of %g", o[2], heading);
  } else {
    CHECK(o[2] == heading, "%g of %g", o[2], heading);
  }
}

static PetscErrorCode TestTrack(const char *options, PetscReal u_max, PetscBool wrap) {
  PROPERTY("track is diffdrive with clipped controls: %s", options);
  PetscReal clipped[NPOINTS * 2];
  Fixture track, drive;
  Answers ours, theirs;

  PetscFunctionBeginUser;
  PetscCall(Open("diffdrive", "", &drive));
  PetscCall(Open("track", options, &track));
  for (PetscInt round = 0; round < NROUNDS; round++) {
    SamplePoints(round, &track);
    for (PetscInt i = 0; i < NPOINTS * 2; i++) clipped[i] = fmax(-u_max, fmin(u_max, track.u[i]));
    Ask(&track, &track, track.u, &ours);
    Ask(&drive, &track, clipped, &theirs);
    for (PetscInt p = 0; p < NPOINTS; p++) CheckTrackPoint(&track, p, u_max, wrap, &ours, &theirs);
  }
  const char *first = strstr(CtpgOptionsResolved(track.problem.options), "wrap");
  CHECK(first && !strstr(first + 1, "wrap"), "the run key must know wrap once");
  PetscCall(Close(&track));
  PetscCall(Close(&drive));
  PetscFunctionReturn(0);
}

// Limits must not turn a control that is not a number into a number.
static PetscErrorCode TestNaNShows(const char *type) {
  PROPERTY("%s: limits do not hide a control that is not a number", type);
  PetscReal rate[NPOINTS * MAX_NX], w[NPOINTS], sum = 0;
  Fixture f;

  PetscFunctionBeginUser;
  PetscCall(Open(type, "", &f));
  SamplePoints(0, &f);
  f.u[0] = NAN;
  CheckOK(f.problem.type->eval(f.problem.ctx, &f.task, 1, f.t, f.x, f.u, rate, w));
  for (PetscInt j = 0; j < f.problem.dims.nx; j++) sum += rate[j];
  CHECK(isnan(sum), "%s", type);
  PetscCall(Close(&f));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode TestElectricField(void) {
  PetscFunctionBeginUser;
  PetscCall(TestMechanics("electric", "", CheckField));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllDims(void) {
  PetscFunctionBeginUser;
  PetscCall(TestDims("electric", "",
                     (CtpgDims){.nx = 4,
                                .nu = 8,
                                .no = 8,
                                .nq = 2,
                                .ntask = 6,
                                .nbreak = 1,
                                .T = 15.36,
                                .velocity_first = PETSC_TRUE,
                                .policy = "8-64-8 tanh,tanh"}));
  PetscCall(TestDims("cartpole-analytic", "",
                     (CtpgDims){.nx = 4, .nu = 1, .no = 4, .nq = 2, .T = 3, .policy = "4-64-64-1 elu,elu,tanh"}));
  PetscCall(TestDims("pendulum", "",
                     (CtpgDims){.nx = 2, .nu = 1, .no = 3, .nq = 1, .T = 5, .policy = "3-32-32-1 tanh,tanh,tanh"}));
  PetscCall(TestDims("double-pendulum", "",
                     (CtpgDims){.nx = 4, .nu = 2, .no = 6, .nq = 2, .T = 5, .policy = "6-32-32-2 tanh,tanh,tanh"}));
  PetscCall(TestDims("double-pendulum", "-double-pendulum_drive elbow",
                     (CtpgDims){.nx = 4, .nu = 1, .no = 6, .nq = 2, .T = 5, .policy = "6-32-32-1 tanh,tanh,tanh"}));
  PetscCall(TestDims("vanderpol", "",
                     (CtpgDims){.nx = 2, .nu = 1, .no = 2, .nq = 1, .T = 10, .policy = "2-32-1 tanh,linear"}));
  PetscCall(
      TestDims("track", "", (CtpgDims){.nx = 5, .nu = 2, .no = 7, .T = 10, .policy = "7-32-32-2 tanh,tanh,linear"}));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllProducts(void) {
  PetscFunctionBeginUser;
  PetscCall(TestProducts("electric", ""));
  PetscCall(TestProducts("cartpole-analytic", ""));
  PetscCall(TestProducts("pendulum", "-pendulum_torque 3 -pendulum_damping 0.7"));
  PetscCall(TestProducts("double-pendulum", ""));
  PetscCall(TestProducts("double-pendulum", "-double-pendulum_drive elbow -double-pendulum_torque 3"));
  PetscCall(TestProducts("vanderpol", ""));
  PetscCall(TestProducts("vanderpol", "-vanderpol_mu 0.3"));
  PetscCall(TestProducts("track", ""));
  PetscCall(TestProducts("track", "-track_wrap 0"));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllStarts(void) {
  PetscFunctionBeginUser;
  PetscCall(TestStarts("cartpole-analytic", 2, (const PetscReal[]){0, PETSC_PI}, (const PetscReal[]){0.1, 0.1}));
  PetscCall(TestStarts("pendulum", 1, (const PetscReal[]){PETSC_PI}, (const PetscReal[]){PETSC_PI / 4}));
  PetscCall(TestStarts("double-pendulum", 2, (const PetscReal[]){0, 0}, (const PetscReal[]){PETSC_PI, PETSC_PI}));
  PetscCall(TestStarts("vanderpol", 2, (const PetscReal[]){0, 0}, (const PetscReal[]){2, 2}));
  PetscCall(TestSplit("cartpole-analytic"));
  PetscCall(TestSplit("pendulum"));
  PetscCall(TestSplit("double-pendulum"));
  PetscCall(TestSplit("vanderpol"));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllMechanics(void) {
  PetscFunctionBeginUser;
  PetscCall(TestMechanics("pendulum", "", PendulumMechanics));
  PetscCall(TestMechanics("pendulum", "-pendulum_torque 0 -pendulum_damping 0", UndrivenPendulumMechanics));
  PetscCall(TestMechanics("cartpole-analytic", "", CartpoleMechanics));
  PetscCall(TestMechanics("double-pendulum", "", DoublePendulumMechanics));
  PetscCall(TestMechanics("double-pendulum", "-double-pendulum_torque 0", UndrivenDoublePendulumMechanics));
  PetscCall(
      TestMechanics("double-pendulum", "-double-pendulum_drive elbow -double-pendulum_torque 7", AcrobotMechanics));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestAllDims());
  PetscCall(TestAllStarts());
  PetscCall(TestAllProducts());
  PetscCall(TestAllMechanics());
  PetscCall(TestElectricField());
  PetscCall(TestElectricGoal());
  PetscCall(TestElectricDraw());
  PetscCall(TestLimitCycle(0.1));
  PetscCall(TestLimitCycle(0.2));
  PetscCall(TestTrack("", 1, PETSC_TRUE));
  PetscCall(TestTrack("-track_wrap 0 -track_u_max 10", 10, PETSC_FALSE));
  PetscCall(TestTrack("-track_wrap 1 -track_u_max 0.3", 0.3, PETSC_TRUE));
  PetscCall(TestNaNShows("cartpole-analytic"));
  PetscCall(TestNaNShows("track"));
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
