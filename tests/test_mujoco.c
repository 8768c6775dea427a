// test_mujoco.c -- MuJoCo plants: qacc against equations by hand, products against extrapolated differences, the number
// of engine calls, independence of history, observations, and models that are refused. Skipped (77) where there is no
// MuJoCo.

#include "run/instance.h"
#include "run/case.h"
#include "problems/mujoco/plant.h"
#include "ctpgbench/problem.h"
#include "commands/program.h"
#include "ctpgbench/random.h"
#include "message.h"
#include "mujoco_model.h"
#include "test.h"
#include "base/random_engine.h"
#include <string.h>

#ifndef CTPG_HAVE_MUJOCO
int main(void) {
  printf("skipped: %s\n", CTPG_MUJOCO_UNAVAILABLE);
  return 77;
}
#else

#define MAX_SIZE  20 // of x and u here
#define FILE_NAME "test_mujoco_model.xml"

static void DrawPoint(CtpgStream *stream, PetscInt n, PetscReal size, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = CtpgStreamUniformIn(stream, -size, size);
}

// ---- the cart and the pole, by hand ----

// Euler-Lagrange, l = 0.5 from hinge to centre, inertia about the centre of MuJoCo's exact capsule.
static void CartPoleByHand(const PetscReal *x, PetscReal u, PetscReal *slide, PetscReal *hinge) {
  const PetscReal r = 0.045, h = 1, m = 0.1;
  const PetscReal ms = m * 4 * r / (4 * r + 3 * h);
  const PetscReal inertia = (m - ms) * (3 * r * r + h * h) / 12 + ms * (2 * r * r / 5 + h * (3 * r + 2 * h) / 8);
  const PetscReal a = 1.1, b = 0.05 * cos(x[1]), c = inertia + 0.025;
  const PetscReal p = 10 * fmin(fmax(u, -1), 1) - 5e-4 * x[2] + 0.05 * sin(x[1]) * x[3] * x[3];
  const PetscReal q = 0.05 * 9.81 * sin(x[1]) - 2e-6 * x[3];
  *slide = (c * p - b * q) / (a * c - b * b);
  *hinge = (a * q - b * p) / (a * c - b * b);
}

// x over the track, two turns and +-10 of the velocities; controls also beyond their range.
static void DrawCartPole(CtpgStream *stream, PetscReal *x, PetscReal *u) {
  x[0] = CtpgStreamUniformIn(stream, -4.5, 4.5);
  x[1] = CtpgStreamUniformIn(stream, -2 * PETSC_PI, 2 * PETSC_PI);
  DrawPoint(stream, 2, 10, x + 2);
  *u = CtpgStreamUniformIn(stream, -1.5, 1.5);
}

static PetscErrorCode TestCartPoleByHand(void) {
  PROPERTY("accelerations of the cart pole are those of the equations by hand");
  CtpgStream stream = CtpgStreamOpen(1, "test_mujoco", CTPG_STREAM_CHECK, 0, 0);
  MujocoPlant plant;
  PetscReal x[4], u, f[4], slide, hinge;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &plant));
  for (int i = 0; i < 1000; i++) {
    DrawCartPole(&stream, x, &u);
    CHECK(MujocoPlantEval(plant, 0, x, &u, f) == CTPG_OK, "point %d", i);
    CartPoleByHand(x, u, &slide, &hinge);
    CHECK_CLOSE(f[2], slide, 1e-12, 1);
    CHECK_CLOSE(f[3], hinge, 1e-12, 1);
    CHECK(f[0] == x[2] && f[1] == x[3], "point %d", i);
  }
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// ---- products ----

// v . f at x or u with one entry displaced.
static PetscReal Displaced(MujocoPlant plant, PetscReal *x, PetscReal *u, PetscReal *entry, PetscReal step,
                           const PetscReal *v, PetscInt nx) {
  PetscReal f[MAX_SIZE], sum = 0;
  const PetscReal at = *entry;
  *entry = at + step;
  CHECK(MujocoPlantEval(plant, 0, x, u, f) == CTPG_OK, "step %g", step);
  *entry = at;
  for (PetscInt i = 0; i < nx; i++) sum += v[i] * f[i];
  return sum;
}

// Central differences at h, h/2, h/4, h/8, extrapolated in h^2 (Richardson).
static PetscReal Richardson(MujocoPlant plant, PetscReal *x, PetscReal *u, PetscReal *entry, const PetscReal *v,
                            PetscInt nx) {
  PetscReal table[4], step = 1e-3;
  for (int k = 0; k < 4; k++, step /= 2)
    table[k] = (Displaced(plant, x, u, entry, step, v, nx) - Displaced(plant, x, u, entry, -step, v, nx)) / (2 * step);
  for (int column = 1; column < 4; column++)
    for (int row = 3; row >= column; row--) table[row] += (table[row] - table[row - 1]) / (pow(4, column) - 1);
  return table[3];
}

// Quaternions to length 1.3: away from zero, and from one.
static void Lengthen(const mjModel *m, PetscReal *x) {
  for (int j = 0; j < m->njnt; j++) {
    if (m->jnt_type[j] != mjJNT_FREE && m->jnt_type[j] != mjJNT_BALL) continue;
    PetscReal *q = x + m->jnt_qposadr[j] + (m->jnt_type[j] == mjJNT_FREE ? 3 : 0);
    mju_normalize4(q);
    for (int k = 0; k < 4; k++) q[k] *= 1.3;
  }
}

// All entries of one product, relative to the largest number in sight: of the product or of f, whose third derivatives
// (times step^2 / 6) and rounding (divided by the step) are the error of central differences.
static void CheckProduct(MujocoPlant plant, PetscReal *x, PetscReal *u, const PetscReal *v, PetscReal tolerance) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na;
  PetscReal gx[MAX_SIZE] = {0}, gu[MAX_SIZE] = {0}, f[MAX_SIZE], size = 1;
  CHECK(MujocoPlantVJP(plant, 0, x, u, v, gx, gu) == CTPG_OK, "%s", m->names);
  CHECK(MujocoPlantEval(plant, 0, x, u, f) == CTPG_OK, "%s", m->names);
  for (PetscInt j = 0; j < nx; j++) size = fmax(size, fmax(fabs(gx[j]), fabs(f[j])));
  for (PetscInt j = 0; j < nx; j++) CHECK_CLOSE(gx[j], Richardson(plant, x, u, x + j, v, nx), tolerance, size);
  for (PetscInt k = 0; k < m->nu; k++) CHECK_CLOSE(gu[k], Richardson(plant, x, u, u + k, v, nx), tolerance, size);
}

// The Jacobian is the products with unit vectors, to the bit, whatever its memory held.
static void CheckJacobian(MujocoPlant plant, const PetscReal *x, const PetscReal *u) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na, nu = m->nu;
  PetscReal fx[MAX_SIZE * MAX_SIZE], fu[MAX_SIZE * MAX_SIZE];
  for (PetscInt i = 0; i < MAX_SIZE * MAX_SIZE; i++) fx[i] = fu[i] = NAN;
  CHECK(MujocoPlantJacobian(plant, 0, x, u, fx, fu) == CTPG_OK, "%s", m->names);
  for (PetscInt i = 0; i < nx; i++) {
    PetscReal v[MAX_SIZE] = {0}, gx[MAX_SIZE] = {0}, gu[MAX_SIZE] = {0};
    v[i] = 1;
    CHECK(MujocoPlantVJP(plant, 0, x, u, v, gx, gu) == CTPG_OK, "%s", m->names);
    for (PetscInt j = 0; j < nx; j++) CHECK(fx[i * nx + j] == gx[j], "f_x[%d, %d]", (int)i, (int)j);
    for (PetscInt k = 0; k < nu; k++) CHECK(fu[i * nu + k] == gu[k], "f_u[%d, %d]", (int)i, (int)k);
  }
}

static PetscErrorCode CheckProducts(const char *file, PetscReal size, PetscReal tolerance) {
  CtpgStream stream = CtpgStreamOpen(2, "test_mujoco", CTPG_STREAM_CHECK, 0, 0);
  PetscReal x[MAX_SIZE], u[MAX_SIZE], v[MAX_SIZE];
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", file, NULL, &plant));
  const mjModel *m = MujocoPlantGetModel(plant);
  for (int i = 0; i < 50; i++) {
    DrawPoint(&stream, m->nq + m->nv + m->na, size, x);
    Lengthen(m, x);
    DrawPoint(&stream, m->nu, 0.05, u);
    for (int k = 0; k < m->nu; k++) u[k] += i % 2 ? 0.1 : 0.5; // either side of the clamped force, never across
    DrawPoint(&stream, m->nq + m->nv + m->na, 1, v);
    CheckProduct(plant, x, u, v, tolerance);
    CheckJacobian(plant, x, u);
  }
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// Two links; `joint` and `actuator` are attributes of the first joint and of the actuator that moves it. The force of
// the other one is clamped.
#define ARM(joint, actuator)                                                                                           \
  "<mujoco><compiler angle='radian'/><worldbody><body><joint name='a' axis='0 1 0' damping='0.1' " joint "/>"          \
  "<geom type='capsule' fromto='0 0 0 0 0 -1' size='0.05'/><body pos='0 0 -1'>"                                        \
  "<joint name='b' axis='0 1 0' stiffness='2'/><geom type='capsule' fromto='0 0 0 0 0 -1' size='0.05'/></body></body>" \
  "</worldbody><actuator><motor joint='b' gear='50' forcelimited='true' forcerange='-0.2 0.2'/>"                       \
  "<general joint='a' gainprm='20' " actuator "/></actuator></mujoco>"

// A free joint, and an actuator that pushes along its body's axis.
#define FLOATING                                                                                                       \
  "<mujoco><worldbody><body><freejoint/><geom type='box' size='.3 .2 .1' mass='2'/><site name='s' pos='.2 .1 0'/>"     \
  "<body pos='.3 0 0'><joint name='b' axis='1 1 0'/><geom type='capsule' fromto='0 0 0 .5 0 .2' size='.05'/></body>"   \
  "</body></worldbody><actuator><motor site='s' gear='0 0 3 0 0 1'/><motor joint='b'/></actuator></mujoco>"

// Nothing that bends the control, an actuator with a state, a joint limit that is always active, dry friction.
static PetscErrorCode TestProducts(void) {
  PROPERTY("products are derivatives of f, whatever bends the control");
  static const char *const arms[] = {ARM("", ""),
                                     ARM("", "dyntype='filter' dynprm='0.1'"),
                                     ARM("limited='true' range='4 5'", ""),
                                     ARM("frictionloss='10'", ""),
                                     ARM("type='ball'", ""),
                                     FLOATING};

  PetscFunctionBeginUser;
  PetscCall(CheckProducts("cartpole", 3, 1e-9));
  PetscCall(CheckProducts("reacher", 1, 1e-9));
  PetscCall(CheckProducts("acrobot", 1, 1e-9));
  for (int k = 0; k < 6; k++) {
    PetscCall(WriteModel(FILE_NAME, arms[k]));
    PetscCall(CheckProducts(FILE_NAME, 1, k == 4 ? 1e-8 : 1e-9)); // a ball turns a straight arm easily
  }
  PetscFunctionReturn(0);
}

// Beyond its range a control has no effect; at the end of it the derivative is the one from within.
static PetscErrorCode TestClamp(void) {
  PROPERTY("beyond its range a control has no effect");
  const PetscReal x[4] = {0.3, 0.7, -1, 2}, v[4] = {0, 0, 1, 0}, controls[] = {0.5, 1, -1, 1.0001, -3};
  PetscReal gu[5] = {0};
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &plant));
  for (int k = 0; k < 5; k++) {
    PetscReal gx[4] = {0};
    CHECK(MujocoPlantVJP(plant, 0, x, controls + k, v, gx, gu + k) == CTPG_OK, "control %g", controls[k]);
  }
  CHECK_CLOSE(gu[1], gu[0], 1e-13, 0);
  CHECK_CLOSE(gu[2], gu[0], 1e-13, 0);
  CHECK(gu[0] > 1 && gu[3] == 0 && gu[4] == 0, "%g %g %g", gu[0], gu[3], gu[4]);
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// Products and Jacobians at one point share their columns; at another they are computed anew, forward ones at half the
// price.
static PetscErrorCode TestCalls(void) {
  PROPERTY("a product takes the engine calls that are counted");
  const PetscReal x[2][4] = {{0.3, 0.7, -1, 2}, {0.2, 0.7, -1, 2}}, u = 0.5, v[4] = {1, 1, 1, 1};
  PetscReal gx[4] = {0}, gu = 0, fx[16], fu[4];
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &plant));
  for (int k = 0; k < 3; k++) {
    if (k == 2) MujocoPlantUseForwardDifferences(plant);
    CHECK(MujocoPlantVJP(plant, 0, x[k > 0], &u, v, gx, &gu) == CTPG_OK, "product");
    CHECK(MujocoPlantJacobian(plant, 0, x[k > 0], &u, fx, fu) == CTPG_OK, "Jacobian");
    const MujocoCalls calls = MujocoPlantGetCalls(plant);
    const int expected[3][3] = {{5, 4, 1}, {10, 8, 2}, {13, 10, 3}};
    CHECK(calls.position == expected[k][0] && calls.velocity == expected[k][1] && calls.control == expected[k][2],
          "%d position, %d velocity, %d control", (int)calls.position, (int)calls.velocity, (int)calls.control);
  }
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// nplant of the closed loop is the number of engine calls.
static PetscErrorCode TestCountsOfLoop(void) {
  PROPERTY("nplant of the closed loop is the number of engine calls");
  const CtpgLabel label = {"cartpole", "cartpole"};
  const PetscReal t = 0, v[4] = {1, 1, 1, 1}, c = 1;
  PetscReal f[4], w, gx[4] = {0}, fx[16];
  CtpgProblem problem;
  CtpgCase start;
  CtpgCounts counts;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(ProblemCreate(&label, &problem));
  PetscCall(CaseDraw(&problem, 0, 0, &start));
  PetscCall(ProblemCreateLoop(&problem, &loop));
  CtpgClosedLoopSetCase(loop, start.theta, 1, start.task, start.T);
  CtpgClosedLoopStart(loop, NULL);
  CHECK(CtpgClosedLoopEval(loop, 1, &t, start.x0, f, &w) == CTPG_OK, "eval");
  CHECK(CtpgClosedLoopVJP(loop, 1, &t, start.x0, v, &c, gx, NULL) == CTPG_OK, "product");
  CtpgClosedLoopGetTotals(loop, &counts);
  CHECK(counts.nf == 1 && counts.nvjp == 1 && counts.nplant == 1 + 10, "nplant %d", (int)counts.nplant);
  CHECK(CtpgClosedLoopUsesDifferences(loop), "products are differences");
  CHECK(CtpgClosedLoopJacobian(loop, 0, start.x0, fx) == CTPG_OK, "Jacobian");
  CtpgClosedLoopGetTotals(loop, &counts);
  CHECK(counts.njac == 1 && counts.nplant == 1 + 10, "nplant %d: columns are shared", (int)counts.nplant);
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(CaseDestroy(&start));
  PetscCall(ProblemDestroy(&problem));
  PetscFunctionReturn(0);
}

// ---- history ----

// The same bits from a plant that has seen other points, one that failed among them, as from a fresh one; the limit is
// active, so that the constraint solver runs.
static PetscErrorCode TestHistory(void) {
  PROPERTY("results do not depend on what was evaluated before");
  CtpgStream stream = CtpgStreamOpen(3, "test_mujoco", CTPG_STREAM_CHECK, 0, 0);
  const PetscReal huge[4] = {1e9, 1e9, 1e9, 1e9}, no_number[4] = {NAN, 0, 0, 0};
  PetscReal x[4], u, v[4], f[4], g[4];
  MujocoPlant old, fresh;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &old));
  for (int i = 0; i < 50; i++) {
    PetscReal gx[4] = {0}, hx[4] = {0}, gu = 0, hu = 0;
    DrawCartPole(&stream, x, &u);
    x[0] += i % 2 ? 5 : 0;
    DrawPoint(&stream, 4, 1, v);
    (void)MujocoPlantEval(old, 1, huge, &u, f);
    CHECK(MujocoPlantEval(old, 1, no_number, &u, f) == CTPG_OK && isnan(f[0]) && isnan(f[3]), "a state without number");
    CHECK(MujocoPlantEval(old, 0, x, &u, f) == CTPG_OK, "point %d", i);
    CHECK(MujocoPlantVJP(old, 0, x, &u, v, gx, &gu) == CTPG_OK, "point %d", i);
    PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &fresh));
    CHECK(MujocoPlantVJP(fresh, 0, x, &u, v, hx, &hu) == CTPG_OK, "point %d", i);
    CHECK(MujocoPlantEval(fresh, 0, x, &u, g) == CTPG_OK, "point %d", i);
    CHECK(!memcmp(f, g, sizeof f) && !memcmp(gx, hx, sizeof gx) && gu == hu, "point %d", i);
    CHECK(MujocoPlantGetModel(old) == MujocoPlantGetModel(fresh), "one model per process and file");
    PetscCall(MujocoPlantDestroy(&fresh));
  }
  PetscCall(MujocoPlantDestroy(&old));
  PetscFunctionReturn(0);
}

// The hash is that of the content: the same under another name, another one after a change.
static PetscErrorCode TestHash(void) {
  PROPERTY("the hash of a model is that of its content");
  uint64_t hash[3];
  const char *const text[3] = {ARM("", ""), ARM("", "") "<!-- a comment -->", ARM("stiffness='1'", "")};

  PetscFunctionBeginUser;
  for (int i = 0; i < 3; i++) {
    MujocoPlant plant;
    PetscCall(WriteModel(FILE_NAME, text[i]));
    PetscCall(MujocoPlantCreate("-model", i == 1 ? "./" FILE_NAME : FILE_NAME, NULL, &plant));
    hash[i] = MujocoPlantGetHash(plant);
    PetscCall(MujocoPlantDestroy(&plant));
  }
  CHECK(hash[0] == hash[1] && hash[0] != hash[2], "%llx %llx %llx", (unsigned long long)hash[0],
        (unsigned long long)hash[1], (unsigned long long)hash[2]);
  PetscFunctionReturn(0);
}

// ---- joints that are pushed ----

// A slide and a hinge, with limits that the solver feels; `actuators` move them, or nothing does.
#define CART(actuators)                                                                                                \
  "<mujoco><compiler angle='radian'/><worldbody><body><joint name='s' type='slide' axis='1 0 0' damping='.1'/>"        \
  "<geom type='box' size='.2 .1 .1'/><body><joint axis='0 1 0' limited='true' range='-.5 .5'/>"                        \
  "<geom type='capsule' fromto='0 0 0 0 0 -1' size='.05'/><body pos='0 0 -1'><joint name='b' axis='0 1 0'/>"           \
  "<geom type='capsule' fromto='0 0 0 0 0 -.5' size='.05'/></body></body></body></worldbody>" actuators "</mujoco>"

#define SAME_BITS(n, a, b) (!memcmp(a, b, (size_t)(n) * sizeof *(a)))

// f, products and Jacobians of motors and of pushes at one point.
static void CompareWithMotors(const MujocoPlant plants[2], CtpgStream *stream) {
  PetscReal x[6], u[2], v[6], f[2][6], gx[2][6] = {{0}}, gu[2][2] = {{0}}, fx[2][36], fu[2][12];
  DrawPoint(stream, 6, 1, x);
  DrawPoint(stream, 2, 2, u);
  DrawPoint(stream, 6, 1, v);
  for (int k = 0; k < 2; k++) {
    CHECK(MujocoPlantEval(plants[k], 0, x, u, f[k]) == CTPG_OK, "f, %d", k);
    CHECK(MujocoPlantVJP(plants[k], 0, x, u, v, gx[k], gu[k]) == CTPG_OK, "product, %d", k);
    CHECK(MujocoPlantJacobian(plants[k], 0, x, u, fx[k], fu[k]) == CTPG_OK, "Jacobian, %d", k);
  }
  for (int i = 0; i < 6; i++) CHECK_CLOSE(f[1][i], f[0][i], 1e-13, 1);
  for (int i = 0; i < 6; i++) CHECK_CLOSE(gx[1][i], gx[0][i], 1e-9, 10);
  for (int i = 0; i < 2; i++) CHECK_CLOSE(gu[1][i], gu[0][i], 1e-9, 10);
  for (int i = 0; i < 36; i++) CHECK_CLOSE(fx[1][i], fx[0][i], 1e-9, 10);
  for (int i = 0; i < 12; i++) CHECK_CLOSE(fu[1][i], fu[0][i], 1e-9, 10);
  CHECK(fabs(u[0]) > 1.5 ? gu[1][0] == 0 : gu[1][0] != 0, "control %g of a limit of 1.5: derivative %g", u[0],
        gu[1][0]);
}

static PetscErrorCode TestPushes(void) {
  PROPERTY("a joint that is pushed moves as by a motor, also at its limit and with constraints");
  static const char *const files[2] = {"test_mujoco_motors.xml", FILE_NAME};
  const MujocoPush pushes[2] = {{.joint = 2, .gear = 3, .limit = 1.5}, {.joint = 0, .gear = 20, .limit = 1e12}};
  CtpgStream stream = CtpgStreamOpen(5, "test_mujoco", CTPG_STREAM_CHECK, 0, 0);
  MujocoPlant plants[2];

  PetscFunctionBeginUser;
  PetscCall(WriteModel(files[0], CART("<actuator><motor joint='b' gear='3' ctrllimited='true' ctrlrange='-1.5 1.5'/>"
                                      "<motor joint='s' gear='20'/></actuator>")));
  PetscCall(WriteModel(files[1], CART("")));
  for (int k = 0; k < 2; k++) PetscCall(MujocoPlantCreate("-model", files[k], NULL, &plants[k]));
  PetscCall(MujocoPlantPush(plants[1], 2, pushes));
  CHECK(MujocoPlantGetControls(plants[1]) == 2, "%d", (int)MujocoPlantGetControls(plants[1]));
  for (int i = 0; i < 100; i++) CompareWithMotors(plants, &stream);
  for (int k = 0; k < 2; k++) PetscCall(MujocoPlantDestroy(&plants[k]));
  remove(files[0]);
  PetscFunctionReturn(0);
}

// ---- refusals ----

static PetscErrorCode CheckRefused(const char *file, const char *expected) {
  MujocoPlant plant = NULL;
  PetscFunctionBeginUser;
  last_error[0] = 0;
  CHECK(MujocoPlantCreate("-model", file, NULL, &plant), "%s was accepted", file);
  CHECK(strstr(last_error, expected) && strstr(last_error, file), "'%s' does not name '%s' and '%s'", last_error, file,
        expected);
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckTextRefused(const char *text, const char *expected) {
  PetscFunctionBeginUser;
  PetscCall(WriteModel(FILE_NAME, text));
  PetscCall(CheckRefused(FILE_NAME, expected));
  PetscFunctionReturn(0);
}

#define BODY(joint) "<mujoco><worldbody><body>" joint "<geom size='1'/></body></worldbody></mujoco>"

#define USER(type)                                                                                                     \
  "<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody><actuator>"                            \
  "<general name='m' joint='j' " type "='user'/></actuator></mujoco>"

static PetscErrorCode TestRefusals(void) {
  PROPERTY("models that cannot be simulated are refused by name");
  static const char *const user_types[] = {USER("dyntype"), USER("gaintype"), USER("biastype")};
  PetscFunctionBeginUser;
  PetscCall(CheckTextRefused(BODY(""), "no joint"));
  PetscCall(CheckTextRefused("<mujoco><worldbody></mujoco>", "XML"));
  PetscCall(CheckTextRefused(BODY("<joint colour='red'/>"), "unrecognized attribute: 'colour'"));
  PetscCall(CheckTextRefused(BODY("<joint colour='red'/>"), mj_versionString()));
  for (int k = 0; k < 3; k++) PetscCall(CheckTextRefused(user_types[k], "actuator 'm' (number 0) that is of a type"));
  PetscCall(CheckRefused("no/such/model.xml", "is not a model that MuJoCo"));
  PetscFunctionReturn(0);
}

static void RaiseError(const mjModel *m, mjData *d) {
  (void)m, (void)d;
  mju_error("raised by a callback");
}

static void RaiseWarning(const mjModel *m, mjData *d) {
  (void)m;
  mj_warning(d, mjWARN_CONTACTFULL, 0);
}

// Errors and warnings of the engine in the middle of an evaluation: a status, after which the plant is as before.
static PetscErrorCode TestEngineErrors(void) {
  PROPERTY("errors and warnings of the engine become a status");
  const mjfGeneric callbacks[] = {RaiseError, RaiseWarning};
  const PetscReal x[4] = {0.3, 0.7, -1, 2}, v[4] = {1, 1, 1, 1}, u = 0.5;
  PetscReal f[4], g[4], gx[4] = {0}, gu = 0;
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(MujocoPlantCreate("-model", "cartpole", NULL, &plant));
  CHECK(MujocoPlantEval(plant, 0, x, &u, f) == CTPG_OK, "before");
  for (int k = 0; k < 2; k++) {
    mjcb_control = callbacks[k];
    CHECK(MujocoPlantEval(plant, 0, x, &u, g) == CTPG_DOMAIN, "callback %d", k);
    CHECK(MujocoPlantVJP(plant, 0, x, &u, v, gx, &gu) == CTPG_DOMAIN, "callback %d", k);
    mjcb_control = NULL;
    CHECK(MujocoPlantEval(plant, 0, x, &u, g) == CTPG_OK && !memcmp(f, g, sizeof f), "after callback %d", k);
  }
  CHECK(!mju_user_error && !mju_user_warning, "MuJoCo's handlers were not put back");
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// ---- the problem mujoco ----

// Products of an observation with sensors, named in any order, against differences of it; two values by hand.
static PetscErrorCode TestObservation(void) {
  PROPERTY("products of observations with sensors are their derivatives");
  const CtpgLabel label = {"mujoco", "mujoco"};
  const CtpgTask task = {.T = 1, .piece = -1};
  const PetscReal t = 0, step = 1e-4;
  PetscReal x[4] = {0.3, 0.7, -1, 2}, go[10], gx[4] = {0}, o[2][10];
  CtpgStream stream = CtpgStreamOpen(4, "test_mujoco", CTPG_STREAM_CHECK, 0, 0);
  CtpgProblem problem;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, "-mujoco_observe", "tip_velocity,qpos,tip,qvel"));
  PetscCall(ProblemCreate(&label, &problem));
  CHECK(problem.dims.no == 10 && problem.dims.nq == 2, "no = %d", (int)problem.dims.no);
  DrawPoint(&stream, 10, 1, go);
  CHECK(problem.type->observe_vjp(problem.ctx, &task, 1, &t, x, go, gx) == CTPG_OK, "product");
  for (int j = 0; j < 4; j++) {
    PetscReal sum = 0;
    for (int k = 0; k < 2; k++) {
      x[j] += k ? -2 * step : step;
      CHECK(problem.type->observe(problem.ctx, &task, 1, &t, x, o[k]) == CTPG_OK, "observation");
    }
    x[j] += step;
    for (int i = 0; i < 10; i++) sum += go[i] * (o[0][i] - o[1][i]) / (2 * step);
    CHECK_CLOSE(gx[j], sum, 1e-7, 1);
  }
  CHECK_CLOSE(o[1][3], x[0], 1e-3, 1);
  CHECK_CLOSE(o[1][5], 0.5 * cos(x[0]) + 0.5 * cos(x[0] + x[1]), 1e-3, 1);
  PetscCall(ProblemDestroy(&problem));
  PetscCall(PetscOptionsClearValue(NULL, "-mujoco_observe"));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckOptionRefused(const char *name, const char *value, const char *expected) {
  const CtpgLabel label = {"mujoco", "mujoco"};
  CtpgProblem problem;
  PetscFunctionBeginUser;
  last_error[0] = 0;
  PetscCall(PetscOptionsSetValue(NULL, name, value));
  CHECK(ProblemCreate(&label, &problem), "%s %s was accepted", name, value);
  CHECK(strstr(last_error, expected) && strstr(last_error, name), "'%s' does not name '%s' and '%s'", last_error, name,
        expected);
  PetscCall(ProblemDestroy(&problem));
  PetscCall(PetscOptionsClearValue(NULL, name));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOptionsRefused(void) {
  PROPERTY("options that do not fit the model are refused by name");
  PetscFunctionBeginUser;
  PetscCall(CheckOptionRefused("-mujoco_observe", "qpos,tipp", "known: qpos, qvel, tip, tip_velocity"));
  PetscCall(CheckOptionRefused("-mujoco_keyframe", "folded", "has 2; known: bent, stretched"));
  PetscCall(CheckOptionRefused("-mujoco_keyframe", "2", "known: bent, stretched"));
  PetscCall(CheckOptionRefused("-mujoco_target", "folded", "known: bent, stretched"));
  PetscCall(CheckOptionRefused("-mujoco_target", "1,2,3", "expected 2"));
  PetscCall(CheckOptionRefused("-mujoco_x0_range", "1,2,3", "expected 1, 2 (qpos) or 4"));
  PetscCall(CheckOptionRefused("-mujoco_push", "elbow,wirst", "wirst is not a joint of the model; expected all"));
  PetscCall(CheckOptionRefused("-mujoco_push", "shoulder,0", "names the joint 0 twice"));
  PetscCall(WriteModel(FILE_NAME, CART("")));
  PetscCall(CheckOptionRefused("-mujoco_model", FILE_NAME,
                               "has no actuator, so there is nothing to control; "
                               "-mujoco_push all, or names"));
  PetscCall(WriteModel(FILE_NAME, BODY("<freejoint/>")));
  PetscCall(CheckOptionRefused("-mujoco_model", FILE_NAME, "has no actuator, and no hinge or slide to push"));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(PetscPushErrorHandler(KeepMessage, NULL));
  PetscCall(TestCartPoleByHand());
  PetscCall(TestProducts());
  PetscCall(TestClamp());
  PetscCall(TestCalls());
  PetscCall(TestCountsOfLoop());
  PetscCall(TestHistory());
  PetscCall(TestHash());
  PetscCall(TestPushes());
  PetscCall(TestRefusals());
  PetscCall(TestEngineErrors());
  PetscCall(TestObservation());
  PetscCall(TestOptionsRefused());
  PetscCall(PetscPopErrorHandler());
  PetscCall(PetscFinalize());
  remove(FILE_NAME);
  return TestsEnd();
}
#endif
