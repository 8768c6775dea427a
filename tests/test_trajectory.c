// test_trajectory.c -- one TSAdjoint and its trajectory, used again and again: the same bits, constant memory
//
// The default trajectory of PETSc writes a file per step; that of type memory keeps states and stages and must give them
// back. (Another trap of TS needs no test: a negative step is refused without an error, hence every backward solve of
// this program runs forward in s = T - t.)

#include "plant.h"
#include <malloc.h>
#include <unistd.h>

enum { REPEATS = 50, WARM = 5 };

typedef struct {
  CtpgEstimator estimator;
  ClosedLoop loop;
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
  PetscCall(instance->estimator.type->setup(instance->estimator.est, instance->loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode InstanceDestroy(Instance *instance) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorDestroy(&instance->estimator));
  PetscCall(ClosedLoopDestroy(&instance->loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode InstanceRun(const Setting *s, Instance *instance, PetscReal accuracy, Gradient *g) {
  CtpgStream stream = CtpgStreamOpen(1, "test", CTPG_STREAM_ESTIMATOR, 0, 0);
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(g, sizeof *g));
  g->nx = s->problem.dims.nx;
  g->np = PolicyGetSize(s->problem.policy);
  g->result = (CtpgResult){.loss = g->loss, .gx0 = g->gx0, .gtheta = g->gtheta, .backsolve_error = NAN, .h = NAN};
  ClosedLoopStart(instance->loop, NULL);
  PetscCall(instance->estimator.type->gradient(instance->estimator.est, instance->loop, 1, s->c.x0, accuracy, &stream,
                                               &g->result));
  g->status = ClosedLoopGetStatus(instance->loop);
  PetscFunctionReturn(0);
}

// Bytes that malloc has handed out, its mapped blocks included.
static size_t MemoryInUse(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Calls of one instance, at two accuracies in turn so that the trajectory grows and shrinks.
static PetscErrorCode TestRepeats(const Setting *s, const char *type, const char *options, PetscReal accuracy) {
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

// A finer solve after a coarser one, and a sound one after one that failed: the bits of a new instance. The trajectory's
// list of steps is as long as its first solve was, and not empty after a solve without its adjoint.
static PetscErrorCode TestRenewal(const char *options, PetscReal coarse, PetscReal fine) {
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

// PETSc's default trajectory would have left a folder of files here.
static void TestNoFiles(void) {
  CHECK(access("TS-data", F_OK) && access("SA-data", F_OK), "a trajectory on disk");
}

int main(int argc, char **argv) {
  Setting s;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  for (const char *const *table = RKTableNames(); *table; table++) {
    char options[64];
    PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps fixed", *table));
    PetscCall(TestRepeats(&s, "tsadjoint", options, 0.01));
  }
  PetscCall(TestRepeats(&s, "tsadjoint", "-rk 3bs", 1e-5));
  for (int e = 0; e < NUM_ESTIMATORS; e++) PetscCall(TestRepeats(&s, ESTIMATORS[e], "", e ? 1e-7 : 0.01));
  PetscCall(TestRepeats(&s, "ctpg", "-quadrature weights", 1e-7));
  PetscCall(TestRenewal("-rk 5dp", 1e-2, 1e-9));
  PetscCall(TestRenewal("-rk 8vr -steps fixed", 1, 1e-3));
  PetscCall(TestRenewal("-rk 1fe -steps fixed", 1, 1e-4));
  TestNoFiles();
  PetscCall(SettingDestroy(&s));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
