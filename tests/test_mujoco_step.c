// test_mujoco_step.c -- MuJoCo plants against what mj_step does with small steps, and a free body against its closed
// form. Skipped (77) where there is no MuJoCo.
//
//   test_mujoco_step FILE.xml ...    the same for models of others (mujoco_files.py): a line for each, "ok" or "wrong"
//                                    with the largest difference and the error of a product, or "refused" with the
//                                    sentence

#include "problems/mujoco/plant.h"
#include "base/random_engine.h"
#include "message.h"
#include "mujoco_model.h"
#include "test.h"
#include <string.h>

#ifndef CTPG_HAVE_MUJOCO
int main(void) {
  printf("skipped: %s\n", CTPG_MUJOCO_UNAVAILABLE);
  return 77;
}
#else

#define MAX_SIZE  400
#define FILE_NAME "test_mujoco_step_model.xml"

// ---- both ways to the state at T ----

static void Rates(MujocoPlant plant, const PetscReal *x, const PetscReal *step, PetscReal h, const PetscReal *u,
                  PetscReal *f, PetscInt nx) {
  PetscReal y[MAX_SIZE];
  for (PetscInt i = 0; i < nx; i++) y[i] = x[i] + (step ? h * step[i] : 0);
  CHECK(MujocoPlantEval(plant, 0, y, u, f) == CTPG_OK, "f");
}

// The classical Runge-Kutta method, x [nx] from 0 to T.
static void Integrate(MujocoPlant plant, PetscReal *x, const PetscReal *u, PetscReal T, int steps) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na;
  const PetscReal h = T / steps;
  PetscReal k[4][MAX_SIZE];
  for (int n = 0; n < steps; n++) {
    Rates(plant, x, NULL, 0, u, k[0], nx);
    Rates(plant, x, k[0], h / 2, u, k[1], nx);
    Rates(plant, x, k[1], h / 2, u, k[2], nx);
    Rates(plant, x, k[2], h, u, k[3], nx);
    for (PetscInt i = 0; i < nx; i++) x[i] += h / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
  }
}

// x [nx] after T by mj_step, from a keyframe (none: its own pose) and with a constant control.
static PetscErrorCode StepFile(const char *file, PetscInt key, const PetscReal *u, PetscReal T, int steps,
                               PetscReal *x) {
  char message[500] = "";
  PetscFunctionBeginUser;
  mjModel *m = mj_loadXML(file, NULL, message, sizeof message);
  PetscCheck(m, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "%s", message);
  mjData *d = mj_makeData(m);
  m->opt.timestep = T / steps;
  if (key >= 0) mj_resetDataKeyframe(m, d, (int)key);
  for (int i = 0; i < m->nu; i++) d->ctrl[i] = u[i];
  for (int n = 0; n < steps; n++) mj_step(m, d);
  for (int i = 0; i < m->nq; i++) *x++ = d->qpos[i];
  for (int i = 0; i < m->nv; i++) *x++ = d->qvel[i];
  for (int i = 0; i < m->na; i++) *x++ = d->act[i];
  mj_deleteData(d);
  mj_deleteModel(m);
  PetscFunctionReturn(0);
}

// The state that mj_step starts from, by both: they must be told alike.
static void Start(MujocoPlant plant, PetscInt key, PetscReal *x) {
  const mjModel *m = MujocoPlantGetModel(plant);
  PetscReal *velocity = x + m->nq, *act = velocity + m->nv;
  MujocoPlantPlaceMocap(plant, key);
  for (PetscInt i = 0; i < m->nq; i++) x[i] = (key < 0 ? m->qpos0 : m->key_qpos + key * m->nq)[i];
  for (PetscInt i = 0; i < m->nv; i++) velocity[i] = key < 0 ? 0 : m->key_qvel[key * m->nv + i];
  for (PetscInt i = 0; i < m->na; i++) act[i] = key < 0 ? 0 : m->key_act[key * m->na + i];
}

// Equal at T, within `tolerance`, mj_step extrapolated from two step sizes.
static PetscErrorCode CheckAgainstStep(const char *text, PetscInt key, PetscReal control, PetscReal tolerance) {
  const PetscReal T = 0.5;
  PetscReal x[MAX_SIZE], coarse[MAX_SIZE], fine[MAX_SIZE], u[8];
  MujocoPlant plant;

  PetscFunctionBeginUser;
  for (int i = 0; i < 8; i++) u[i] = control * (1 + 0.1 * i);
  PetscCall(WriteModel(FILE_NAME, text));
  PetscCall(StepFile(FILE_NAME, key, u, T, 5000, coarse));
  PetscCall(StepFile(FILE_NAME, key, u, T, 10000, fine));
  PetscCall(MujocoPlantCreate("-model", FILE_NAME, NULL, &plant));
  const mjModel *m = MujocoPlantGetModel(plant);
  Start(plant, key, x);
  Integrate(plant, x, u, T, 2000);
  for (PetscInt i = 0; i < m->nq + m->nv + m->na; i++) CHECK_CLOSE(x[i], 2 * fine[i] - coarse[i], tolerance, 1);
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// ---- what mj_step does beside mj_forward ----

#define CART(actuator)                                                                                                 \
  "<mujoco><worldbody><body><joint name='x' type='slide' axis='1 0 0'/><geom size='.1' mass='1'/></body></worldbody>"  \
  "<actuator><general joint='x' " actuator "/></actuator></mujoco>"

static PetscErrorCode TestActivationRange(void) {
  PROPERTY("activations stop at the ends of their range, as mj_step clamps them");
  PetscFunctionBeginUser;
  PetscCall(CheckAgainstStep(CART("dyntype='integrator' actlimited='true' actrange='-.1 .2'"), -1, 0.8, 1e-4));
  PetscCall(CheckAgainstStep(CART("dyntype='integrator' actlimited='true' actrange='-.1 .2'"), -1, -0.8, 1e-4));
  PetscCall(CheckAgainstStep(CART("dyntype='filter' dynprm='.1' actlimited='true' actrange='-.1 .3'"), -1, 0.8, 1e-4));
  PetscCall(CheckAgainstStep(CART("dyntype='integrator'"), -1, 0.8, 1e-6));
  PetscFunctionReturn(0);
}

// The activation reaches its limit, stays there and leaves again: its rate, and the product that adjoints are made of.
static PetscErrorCode TestHeldActivation(void) {
  PROPERTY("a held activation has no rate, and one beyond its end is pulled back");
  PetscReal f[3], gx[3] = {0}, gu = 0;
  const PetscReal v[3] = {0, 0, 1}, states[4][3] = {{0, 0, 0.1}, {0, 0, 0.2}, {0, 0, 0.2}, {0, 0, 0.3}};
  const PetscReal u[4] = {0.8, 0.8, -0.8, 0.8}, rates[4] = {0.8, 0, -0.8, -10 + 100 * 0.3e-6}, from_u[4] = {1, 0, 1, 0};
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(WriteModel(FILE_NAME, CART("dyntype='integrator' actlimited='true' actrange='-.1 .2'")));
  PetscCall(MujocoPlantCreate("-model", FILE_NAME, NULL, &plant));
  for (int k = 0; k < 4; k++) {
    gu = gx[2] = 0;
    CHECK(MujocoPlantEval(plant, 0, states[k], u + k, f) == CTPG_OK, "state %d", k);
    CHECK_CLOSE(f[2], rates[k], 1e-12, 1);
    CHECK_CLOSE(f[1], fmin(states[k][2], 0.2), 1e-12, 1);
    CHECK(MujocoPlantVJP(plant, 0, states[k], u + k, v, gx, &gu) == CTPG_OK, "state %d", k);
    CHECK_CLOSE(gu, from_u[k], 1e-9, 1);
    CHECK_CLOSE(gx[2], k == 3 ? -100 : 0, 1e-9, 1);
  }
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestMocap(void) {
  PROPERTY("mocap bodies are where the keyframe has them");
  static const char *const text =
      "<mujoco><worldbody><body name='hand' mocap='true' pos='0 0 1'/>"
      "<body name='load'><joint name='x' type='slide' axis='0 0 1'/><geom size='.1' mass='1'/></body></worldbody>"
      "<equality><weld body1='hand' body2='load' solref='.1 1'/></equality>"
      "<actuator><motor joint='x'/></actuator>"
      "<keyframe><key mpos='0 0 .3'/><key mpos='0 0 -.2' qpos='.1'/></keyframe></mujoco>";

  PetscFunctionBeginUser;
  for (PetscInt key = -1; key < 2; key++) PetscCall(CheckAgainstStep(text, key, 0.3, 1e-4));
  PetscFunctionReturn(0);
}

// Actuators that are switched off, and contacts stiffer than the model's own step would let them be.
static PetscErrorCode TestFlags(void) {
  PROPERTY("f is that of small steps, whatever the model's own step");
  PetscFunctionBeginUser;
  PetscCall(
      CheckAgainstStep("<mujoco><option><flag actuation='disable'/></option>"
                       "<worldbody><body><joint name='x' type='slide'/><geom size='.1' mass='1'/></body></worldbody>"
                       "<actuator><general joint='x' dyntype='integrator'/></actuator></mujoco>",
                       -1, 0.8, 1e-5));
  PetscCall(CheckAgainstStep("<mujoco><option timestep='.1'/><worldbody><body><joint name='x' type='slide' "
                             "limited='true' range='-9 -.1' solreflimit='.05 1'/><geom size='.1' mass='1'/></body>"
                             "</worldbody><actuator><motor joint='x'/></actuator></mujoco>",
                             -1, 0.8, 1e-3));
  PetscFunctionReturn(0);
}

// ---- quaternions ----

// The last hinge's frame is turned, so that nothing lines up with an axis.
#define ROBOT(joint)                                                                                                   \
  "<mujoco><option density='1.2' viscosity='.01'/><worldbody><body pos='0 0 1'>" joint                                 \
  "<geom type='box' size='.3 .2 .1' mass='2'/><site name='s' pos='.2 .1 .05' euler='10 20 30'/>"                       \
  "<body pos='.3 0 0' euler='0 0 20'><joint name='h' axis='1 1 0' damping='.2'/>"                                      \
  "<geom type='capsule' fromto='0 0 0 .5 0 .2' size='.05' mass='.5'/></body></body></worldbody>"                       \
  "<actuator><general site='s' gear='0 0 3 0 0 1'/><motor joint='h'/></actuator></mujoco>"

static PetscErrorCode TestQuaternionSteps(void) {
  PROPERTY("free and ball joints move as mj_step moves them");
  PetscFunctionBeginUser;
  PetscCall(CheckAgainstStep(ROBOT("<freejoint/>"), -1, 2, 1e-4));
  PetscCall(CheckAgainstStep(ROBOT("<joint type='ball' damping='.1' pos='.1 0 .4'/>"), -1, 2, 1e-4));
  PetscFunctionReturn(0);
}

// a b for quaternions
static void Multiply(const PetscReal *a, const PetscReal *b, PetscReal *ab) {
  ab[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
  ab[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
  ab[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
  ab[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

// The quaternion of a rotation by the vector r.
static void Rotation(const PetscReal *r, PetscReal *q) {
  const PetscReal angle = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  q[0] = cos(angle / 2);
  for (int k = 0; k < 3; k++) q[1 + k] = (angle > 0 ? sin(angle / 2) / angle : 0.5) * r[k];
}

// A body with inertia (I, I, J) and no force turns by q(t) = exp(L t / I) q0 exp((1 - J / I) w_z e_z t), where L, its
// angular momentum in space, stays.
static PetscErrorCode TestFreeBody(void) {
  PROPERTY("a free body without forces turns as the closed form says");
  static const char *const text =
      "<mujoco><option gravity='0 0 0'/><worldbody><body><freejoint name='f'/><geom size='.1' mass='0.001'/>"
      "<inertial pos='0 0 0' mass='2' diaginertia='.3 .3 .5'/><site name='s'/></body></worldbody>"
      "<actuator><motor site='s' gear='1 0 0 0 0 0'/></actuator></mujoco>";
  const PetscReal w[3] = {1, 2, 3}, T = 2, across = 0.3, along = 0.5, no_control = 0;
  PetscReal x[13] = {1, 2, 3, 0.5, -0.5, 0.5, 0.5, 0.1, 0.2, 0.3, 1, 2, 3}, q0[4], q[4], a[4], b[4], L[3];
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(WriteModel(FILE_NAME, text));
  PetscCall(MujocoPlantCreate("-model", FILE_NAME, NULL, &plant));
  for (int k = 0; k < 4; k++) q0[k] = x[3 + k];
  const PetscReal momentum[3] = {across * w[0], across * w[1], along * w[2]},
                  spin[3] = {0, 0, (1 - along / across) * w[2] * T};
  mju_rotVecQuat(L, momentum, q0);
  for (int k = 0; k < 3; k++) L[k] *= T / across;
  Rotation(L, a);
  Rotation(spin, b);
  Multiply(a, q0, q);
  Multiply(q, b, a);
  Integrate(plant, x, &no_control, T, 4000);
  for (int k = 0; k < 4; k++) CHECK_CLOSE(x[3 + k], a[k], 1e-9, 1);
  for (int k = 0; k < 3; k++) CHECK_CLOSE(x[k], 1 + k + T * 0.1 * (1 + k), 1e-12, 1);
  CHECK_CLOSE(x[12], w[2], 1e-12, 1);
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// A quaternion that is off by half comes back to length 1, and forces do not see its length.
static PetscErrorCode TestLength(void) {
  PROPERTY("a quaternion's length comes back to 1, and forces do not see it");
  PetscReal x[16] = {0, 0, 1, 0.6, 0, 0.8, 0, 0.2, 0.1, -0.2, 0.3, 0.5, -0.6, 0.7, 0.8}, y[16], f[16], g[16];
  const PetscReal u[2] = {1, 1};
  MujocoPlant plant;

  PetscFunctionBeginUser;
  PetscCall(WriteModel(FILE_NAME, ROBOT("<freejoint/>")));
  PetscCall(MujocoPlantCreate("-model", FILE_NAME, NULL, &plant));
  for (int i = 0; i < 16; i++) y[i] = i >= 3 && i < 7 ? 1.5 * x[i] : x[i];
  CHECK(MujocoPlantEval(plant, 0, x, u, f) == CTPG_OK && MujocoPlantEval(plant, 0, y, u, g) == CTPG_OK, "f");
  for (int i = 8; i < 15; i++) CHECK_CLOSE(f[i], g[i], 1e-13, 1);
  Integrate(plant, y, u, 6, 3000);
  CHECK_CLOSE(y[3] * y[3] + y[4] * y[4] + y[5] * y[5] + y[6] * y[6], 1, 1e-4, 1);
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

// ---- models of others ----

// A quarter of the way through the range of each control.
static void ChooseControl(const mjModel *m, PetscReal *u) {
  for (int i = 0; i < m->nu; i++) {
    const mjtNum *range = m->actuator_ctrlrange + 2 * i;
    u[i] = m->actuator_ctrllimited[i] ? 0.75 * range[0] + 0.25 * range[1] : 0.1;
  }
}

// Largest difference at T between the plant and mj_step, and what the step sizes of both make out. x [nx] and u are the
// plant's at T.
static PetscErrorCode CompareFile(const char *file, MujocoPlant plant, PetscReal *x, PetscReal *u, PetscReal *error,
                                  PetscReal *own) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na, key = m->nkey ? 0 : -1;
  PetscReal coarse[MAX_SIZE], fine[MAX_SIZE], longer[MAX_SIZE], size = 1;
  const PetscReal T = 0.02;

  PetscFunctionBeginUser;
  ChooseControl(m, u);
  PetscCall(StepFile(file, key, u, T, 1000, coarse));
  PetscCall(StepFile(file, key, u, T, 2000, fine));
  Start(plant, key, longer);
  Integrate(plant, longer, u, T, 150);
  Start(plant, key, x);
  Integrate(plant, x, u, T, 300);
  *error = *own = 0;
  for (PetscInt i = 0; i < nx; i++) size = fmax(size, fabs(fine[i]));
  for (PetscInt i = 0; i < nx; i++) {
    *error = fmax(*error, fabs(x[i] - 2 * fine[i] + coarse[i]) / size);
    *own = fmax(*own, (fabs(fine[i] - coarse[i]) + fabs(x[i] - longer[i])) / size);
    if (!isfinite(x[i])) *error = INFINITY;
  }
  PetscFunctionReturn(0);
}

// v' (f(x + h dx, u + h du) - f(x - h dx, u - h du)) / 2h; an orientation's numbers only turn with |q| = 1.
static PetscReal Slope(MujocoPlant plant, const PetscReal *x, const PetscReal *u, const PetscReal *v,
                       const PetscReal *dx, const PetscReal *du, PetscReal h) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na;
  PetscReal y[MAX_SIZE], w[MAX_SIZE], f[MAX_SIZE], sum = 0;
  for (int side = -1; side <= 1; side += 2) {
    for (PetscInt i = 0; i < nx; i++) y[i] = x[i] + side * h * dx[i];
    for (PetscInt i = 0; i < m->nu; i++) w[i] = u[i] + side * h * du[i];
    CHECK(MujocoPlantEval(plant, 0, y, w, f) == CTPG_OK, "f");
    for (PetscInt i = 0; i < nx; i++) sum += side * v[i] * f[i];
  }
  return sum / (2 * h);
}

// Error of a product at a random direction, against a difference along it, and what two of these make out.
static void CompareProduct(MujocoPlant plant, const PetscReal *x, const PetscReal *u, PetscReal *error,
                           PetscReal *own) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nx = m->nq + m->nv + m->na, nu = m->nu;
  CtpgStream stream = CtpgStreamOpen(0, "mujoco", CTPG_STREAM_CHECK, 0, 0);
  PetscReal v[MAX_SIZE], dx[MAX_SIZE], du[MAX_SIZE], gx[MAX_SIZE] = {0}, gu[MAX_SIZE] = {0}, sum = 0, size = 0;
  for (PetscInt i = 0; i < nx; i++) v[i] = CtpgStreamNormal(&stream), dx[i] = CtpgStreamNormal(&stream);
  for (PetscInt i = 0; i < nu; i++) du[i] = CtpgStreamNormal(&stream);
  CHECK(MujocoPlantVJP(plant, 0, x, u, v, gx, gu) == CTPG_OK, "product");
  for (PetscInt i = 0; i < nx; i++) sum += gx[i] * dx[i], size += PetscSqr(gx[i] * dx[i]);
  for (PetscInt i = 0; i < nu; i++) sum += gu[i] * du[i], size += PetscSqr(gu[i] * du[i]);
  const PetscReal slope = Slope(plant, x, u, v, dx, du, 1e-5), fine = Slope(plant, x, u, v, dx, du, 1e-6);
  *error = fabs(sum - slope) / sqrt(size + 1e-30);
  *own = fabs(fine - slope) / sqrt(size + 1e-30);
}

static PetscErrorCode CheckPlant(const char *file, MujocoPlant plant) {
  const mjModel *m = MujocoPlantGetModel(plant);
  PetscReal x[MAX_SIZE], u[MAX_SIZE], error = 0, own = 0, product = 0, difference = 0;

  PetscFunctionBeginUser;
  if (m->nq + m->nv + m->na > MAX_SIZE) {
    printf("%s: too large for this test\n", file);
    PetscFunctionReturn(0);
  }
  Start(plant, m->nkey ? 0 : -1, x);
  if (MujocoPlantCheckStart(plant, "-model", x)) {
    printf("%s: refused: %s\n", file, last_error);
    PetscFunctionReturn(0);
  }
  PetscCall(CompareFile(file, plant, x, u, &error, &own));
  CompareProduct(plant, x, u, &product, &difference);
  const char *word = error <= 2 * own + 1e-7 && product <= 10 * difference + 1e-5 ? "ok" : "wrong";
  if (isinf(error)) word = "stiff";
  printf("%s: %s: %.1e, steps %.1e; product %.1e, differences %.1e\n", file, word, error, own, product, difference);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckFile(const char *file) {
  MujocoPlant plant = NULL;
  PetscFunctionBeginUser;
  last_error[0] = 0;
  if (MujocoPlantCreate("-model", file, NULL, &plant))
    printf("%s: refused: %s\n", file, last_error);
  else
    PetscCall(CheckPlant(file, plant));
  PetscCall(MujocoPlantDestroy(&plant));
  PetscFunctionReturn(0);
}

static void IgnoreWarning(const char *message) {
  (void)message;
}

static PetscErrorCode CheckFiles(int count, char **files) {
  PetscFunctionBeginUser;
  mju_user_warning = IgnoreWarning; // what mj_step says of its own steps
  PetscCall(PetscPushErrorHandler(KeepMessage, NULL));
  for (int i = 0; i < count; i++) PetscCall(CheckFile(files[i]));
  PetscCall(PetscPopErrorHandler());
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  if (argc > 1) {
    PetscCall(CheckFiles(argc - 1, argv + 1));
    PetscCall(PetscFinalize());
    return 0;
  }
  PetscCall(TestActivationRange());
  PetscCall(TestHeldActivation());
  PetscCall(TestMocap());
  PetscCall(TestFlags());
  PetscCall(TestQuaternionSteps());
  PetscCall(TestFreeBody());
  PetscCall(TestLength());
  PetscCall(PetscFinalize());
  remove(FILE_NAME);
  return TestsEnd();
}
#endif
