// test_trajectory.c -- one TSAdjoint and its trajectory, used again and again: the same bits, constant memory
//
// The default trajectory of PETSc writes a file per step; that of type memory keeps states and stages and must give
// them back. (Another trap of TS needs no test: a negative step is refused without an error, hence every backward solve
// of this program runs forward in s = T - t.)

#include "plant.h"
#include "base/random_engine.h"
#include <malloc.h>
#include <unistd.h>

enum { REPEATS = 50, WARM = 5 };

typedef struct {
  CtpgEstimator estimator;
  CtpgClosedLoop loop;
} Instance;

static PetscErrorCode InstanceCreate(const Setting *s, const char *type, const char *options, Instance *instance) {
  CtpgLabel label;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, options));
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(EstimatorCreate(&label, &instance->estimator));
  PetscCall(SettingCreateLoop(s, &instance->loop));
  PetscCall(EstimatorSetUp(instance->estimator.type, instance->estimator.est, instance->loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode InstanceDestroy(Instance *instance) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorDestroy(&instance->estimator));
  PetscCall(CtpgClosedLoopDestroy(&instance->loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode InstanceRun(const Setting *s, Instance *instance, PetscReal accuracy, Gradient *g) {
  CtpgStream stream = CtpgStreamOpen(1, "test", CTPG_STREAM_ESTIMATOR, 0, 0);
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(g, sizeof *g));
  g->nx = s->problem.dims.nx;
  g->np = PolicyGetSize(s->problem.policy);
  g->result = (CtpgResult){.loss = g->loss, .gx0 = g->gx0, .gtheta = g->gtheta, .backsolve_error = NAN, .h = NAN};
  CtpgClosedLoopSetCase(instance->loop, s->c.theta, 1, s->c.task, s->c.T);
  CtpgClosedLoopStart(instance->loop, NULL);
  PetscCall(EstimatorGradient(instance->estimator.type, instance->estimator.est, instance->loop, 1, s->c.x0, accuracy,
                              &stream, &g->result));
  g->status = CtpgClosedLoopGetStatus(instance->loop);
  PetscFunctionReturn(0);
}

// Bytes that malloc has handed out, its mapped blocks included.
static size_t MemoryInUse(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Calls of one instance, at two accuracies in turn so that the trajectory grows and shrinks.
static PetscErrorCode TestRepeats(const Setting *s, const char *type, const char *options, PetscReal accuracy) {
  PROPERTY("called again, %s %s gives the same bits", type, options);
  Gradient first, g;
  PetscInt different = 0;
  size_t warm = 0;
  Instance instance;

  PetscFunctionBeginUser;
  PetscCall(InstanceCreate(s, type, options, &instance));
  PetscCall(InstanceRun(s, &instance, accuracy, &first));
  CHECK(first.status == CTPG_OK && first.result.steps > 10, "%s %s: %s, %lld steps", type, options,
        CtpgStatusName(first.status), (long long)first.result.steps);
  for (int k = 0; k < REPEATS; k++) {
    PetscCall(InstanceRun(s, &instance, 10 * accuracy, &g));
    PetscCall(InstanceRun(s, &instance, accuracy, &g));
    if (g.loss[0] != first.loss[0] || memcmp(g.gx0, first.gx0, sizeof g.gx0) ||
        memcmp(g.gtheta, first.gtheta, sizeof g.gtheta))
      different++;
    if (k == WARM) warm = MemoryInUse();
  }
  CHECK(!different, "%s %s: %d of %d differ", type, options, (int)different, REPEATS);
  CHECK(MemoryInUse() <= warm + 1024, "%s %s: %zu bytes more after %d calls", type, options, MemoryInUse() - warm,
        REPEATS - WARM);
  PetscCall(InstanceDestroy(&instance));
  PetscFunctionReturn(0);
}

// A finer solve after a coarser one, and a sound one after one that failed: the bits of a new instance. The
// trajectory's list of steps is as long as its first solve was, and not empty after a solve without its adjoint.
static PetscErrorCode TestRenewal(const char *options, PetscReal coarse, PetscReal fine) {
  PROPERTY("a finer solve, and one after a failure, have the bits of a new instance: %s", options);
  Plant plant = PLANT;
  Gradient fresh, g;
  Instance instance;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&plant, 3, &s));
  PetscCall(RunEstimator(&s, "tsadjoint", options, 1, fine, &fresh));
  PetscCall(InstanceCreate(&s, "tsadjoint", options, &instance));
  PetscCall(InstanceRun(&s, &instance, coarse, &g));
  PetscCall(InstanceRun(&s, &instance, fine, &g));
  CHECK(g.status == CTPG_OK && !memcmp(g.gtheta, fresh.gtheta, sizeof g.gtheta), "%s: finer after coarser", options);
  plant.f_ends = 1.5;
  PetscCall(InstanceRun(&s, &instance, fine, &g));
  CHECK(g.status == CTPG_DIVERGED, "%s: %s", options, CtpgStatusName(g.status));
  plant.f_ends = 1e9;
  PetscCall(InstanceRun(&s, &instance, fine, &g));
  CHECK(g.status == CTPG_OK && !memcmp(g.gtheta, fresh.gtheta, sizeof g.gtheta), "%s: sound after failed", options);
  PetscCall(InstanceDestroy(&instance));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- implicit methods ----

// Loss of the discrete solve with a component of x0 or theta displaced, by central differences of steps d and d / 2.
static PetscErrorCode Differenced(const Setting *s, const char *options, PetscReal dt, PetscReal *component,
                                  PetscReal *derivative) {
  const PetscReal at = *component;
  PetscReal D[2], d = 2e-3;
  Gradient g;

  PetscFunctionBeginUser;
  for (int k = 0; k < 2; k++, d /= 2) {
    *component = at + d;
    PetscCall(RunEstimator(s, "tsadjoint", options, 1, dt, &g));
    D[k] = g.loss[0];
    *component = at - d;
    PetscCall(RunEstimator(s, "tsadjoint", options, 1, dt, &g));
    D[k] = (D[k] - g.loss[0]) / (2 * d);
  }
  *component = at;
  *derivative = (4 * D[1] - D[0]) / 3;
  PetscFunctionReturn(0);
}

// Few large steps: the derivative of the discrete loss itself, not of what it approximates. PETSc's sign of mu would
// change from step to step (implicit.c).
static PetscErrorCode TestImplicitTwin(const Setting *s, const char *options) {
  PROPERTY("the gradient is that of the discrete loss: %s", options);
  PetscReal gx0[PLANT_NX], picked[20], differences[20];
  Gradient g;

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "tsadjoint", options, 1, 0.25, &g));
  CHECK(g.status == CTPG_OK && g.result.steps == 12 && g.totals.njac >= 24, "%s: %s, %lld steps, %lld Jacobians",
        options, CtpgStatusName(g.status), (long long)g.result.steps, (long long)g.totals.njac);
  for (PetscInt k = 0; k < PLANT_NX; k++) PetscCall(Differenced(s, options, 0.25, &s->c.x0[k], &gx0[k]));
  CheckNear(options, "dL/dx0 and differences", PLANT_NX, g.gx0, gx0, 1e-9);
  for (PetscInt k = 0; k < 20; k++) {
    const PetscInt component = k * (g.np - 1) / 19;
    picked[k] = g.gtheta[component];
    PetscCall(Differenced(s, options, 0.25, &s->c.theta[component], &differences[k]));
  }
  CheckNear(options, "dL/dtheta and differences", 20, picked, differences, 1e-9);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestImplicitOrder(const Setting *s, const char *type) {
  PROPERTY("%s converges with order 2", type);
  Gradient witness, g;
  PetscReal error[3];
  char options[64];

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "rk-adjoint", "-rk 8vr", 1, 1e-12, &witness));
  PetscCall(PetscSNPrintf(options, sizeof options, "-ts_type %s -steps fixed", type));
  for (int k = 0; k < 3; k++) {
    PetscCall(RunEstimator(s, "tsadjoint", options, 1, 0.02 / (1 << k), &g));
    error[k] = Distance(g.np, g.gtheta, witness.gtheta);
  }
  CHECK_CLOSE(error[0] / error[1], 4, 0.02, 1);
  CHECK_CLOSE(error[1] / error[2], 4, 0.02, 1);
  PetscCall(PetscSNPrintf(options, sizeof options, "-ts_type %s -steps adaptive", type));
  PetscCall(RunEstimator(s, "tsadjoint", options, 1, 1e-7, &g));
  CheckSameGradient(options, &g, &witness, 1e-4);
  PetscFunctionReturn(0);
}

// Where explicit methods are held down by stability: at the same tolerance less work, and a smaller error.
static PetscErrorCode TestStiff(void) {
  PROPERTY("on a stiff plant implicit steps take less work for a smaller error");
  Gradient witness, implicit, bound;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOf("vanderpol", "-vanderpol_mu 1000", 1, &s));
  PetscCall(RunEstimator(&s, "rk-adjoint", "-rk 5bs", 1, 1e-10, &witness));
  PetscCall(RunEstimator(&s, "rk-adjoint", "-rk 5bs", 1, 1e-3, &bound));
  PetscCall(RunEstimator(&s, "tsadjoint", "-ts_type cn -steps adaptive", 1, 1e-3, &implicit));
  CHECK(implicit.status == CTPG_OK && bound.status == CTPG_OK, "%s, %s", CtpgStatusName(implicit.status),
        CtpgStatusName(bound.status));
  const PetscReal ratio =
      Distance(witness.np, implicit.gtheta, witness.gtheta) / Distance(witness.np, bound.gtheta, witness.gtheta);
  const int64_t nfe = CtpgNFE(&implicit.totals), explicit_nfe = CtpgNFE(&bound.totals);
  CHECK(ratio < 0.1 && 5 * nfe < explicit_nfe, "error times %.1e, %lld evaluations and %lld", ratio, (long long)nfe,
        (long long)explicit_nfe);
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// PETSc's default trajectory would have left a folder of files here.
static void TestNoFiles(void) {
  PROPERTY("no trajectory is written to disk");
  CHECK(access("TS-data", F_OK) && access("SA-data", F_OK), "a trajectory on disk");
}

int main(int argc, char **argv) {
  Setting s;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  for (const char *const *table = CtpgRKTableNames(); *table; table++) {
    char options[64];
    PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps fixed", *table));
    PetscCall(TestRepeats(&s, "tsadjoint", options, 0.01));
  }
  PetscCall(TestRepeats(&s, "tsadjoint", "-rk 3bs", 1e-5));
  PetscCall(TestRepeats(&s, "tsadjoint", "-rk 3bs -stride 7", 1e-5));
  for (int e = 0; e < NUM_ESTIMATORS; e++) PetscCall(TestRepeats(&s, ESTIMATORS[e], "", e ? 1e-7 : 0.01));
  PetscCall(TestRepeats(&s, "ctpg", "-quadrature weights", 1e-7));
  PetscCall(TestRenewal("-rk 5dp", 1e-2, 1e-9));
  PetscCall(TestRenewal("-rk 8vr -steps fixed", 1, 1e-3));
  PetscCall(TestRenewal("-rk 1fe -steps fixed", 1, 1e-4));
  PetscCall(TestRenewal("-rk 5dp -stride 7", 1e-2, 1e-9));
  PetscCall(TestRenewal("-rk 8vr -steps fixed -stride 7", 1, 1e-3));
  PetscCall(TestImplicitTwin(&s, "-ts_type theta -steps fixed"));
  PetscCall(TestImplicitTwin(&s, "-ts_type cn -steps fixed"));
  PetscCall(TestImplicitOrder(&s, "theta"));
  PetscCall(TestImplicitOrder(&s, "cn"));
  PetscCall(TestStiff());
  PetscCall(TestRepeats(&s, "tsadjoint", "-ts_type cn -steps adaptive", 1e-4));
  PetscCall(TestRepeats(&s, "tsadjoint", "-ts_type theta -steps fixed", 0.01));
  PetscCall(TestRepeats(&s, "tsadjoint", "-ts_type cn -steps adaptive -stride 7", 1e-4));
  PetscCall(TestRenewal("-ts_type cn -steps adaptive", 1e-2, 1e-4));
  PetscCall(TestRenewal("-ts_type theta -steps fixed", 1, 1e-2));
  PetscCall(TestRenewal("-ts_type cn -steps adaptive -stride 7", 1e-2, 1e-4));
  TestNoFiles();
  PetscCall(SettingDestroy(&s));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
