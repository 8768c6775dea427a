// test_trainer.c -- an estimator with a memory: stopped and resumed training goes on with what it remembered
//
// The estimator below counts its calls, and the count is in its gradient: were it lost, theta would differ.

#include "test.h"
#include "store/train_digest.h"
#include "train/single.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  PetscInt64 calls;
} Counting;

static PetscInt64 stop_at; // call at which a signal comes; 0: never
static volatile int stop;

static PetscErrorCode Create(CtpgOptions options, CtpgTraits *traits, void **est) {
  PetscFunctionBeginUser;
  (void)options, (void)traits;
  PetscCall(PetscCalloc1(sizeof(Counting), (char **)est));
  PetscFunctionReturn(0);
}

static PetscErrorCode SetUp(void *est, CtpgClosedLoop loop) {
  PetscFunctionBeginUser;
  (void)est, (void)loop;
  PetscFunctionReturn(0);
}

static PetscErrorCode Gradient(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                               CtpgStream *stream, CtpgResult *result) {
  Counting *e = est;
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  (void)B, (void)x0, (void)accuracy, (void)stream;
  if (++e->calls == stop_at) stop = 1;
  CtpgClosedLoopGetSizes(loop, &sizes);
  *result->loss = (PetscReal)e->calls;
  for (PetscInt k = 0; k < sizes.np; k++) result->gtheta[k] = sin((PetscReal)(e->calls * (k + 1)));
  PetscFunctionReturn(0);
}

static PetscErrorCode Memory(void *est, PetscViewer viewer, PetscBool load) {
  Counting *e = est;
  PetscReal calls = (PetscReal)e->calls;
  PetscFunctionBeginUser;
  if (!viewer)
    calls = 0;
  else if (load)
    PetscCall(PetscViewerBinaryRead(viewer, &calls, 1, NULL, PETSC_REAL));
  else
    PetscCall(PetscViewerBinaryWrite(viewer, &calls, 1, PETSC_REAL));
  e->calls = (PetscInt64)calls;
  PetscFunctionReturn(0);
}

static void Destroy(void **est) {
  (void)PetscFree(*est);
}

static const CtpgEstimatorType COUNTING = {.abi = CTPG_ABI,
                                           .size = sizeof(CtpgEstimatorType),
                                           .name = "counting",
                                           .version = 1,
                                           .bibtex = "",
                                           .knob = CTPG_KNOB_RTOL,
                                           .order = 1,
                                           .create = Create,
                                           .setup = SetUp,
                                           .gradient = Gradient,
                                           .memory = Memory,
                                           .destroy = Destroy};

static PetscErrorCode Digest(const char *path, char *hex) {
  TrainContents contents;
  PetscInt environment;
  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(path, &contents));
  PetscCall(TrainContentsDigest(contents, hex, &environment));
  PetscCall(TrainContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

// A run that is stopped at the given calls, each session with a new instance; its digest. Three calls make an
// iteration, the stop falls on any of them.
static PetscErrorCode Train(const char *path, PetscInt n, const PetscInt64 *stops, char *hex) {
  static const CtpgLabel problem = {"lqr", "lqr"}, estimator = {"counting", "counting"};
  PetscBool finished = PETSC_FALSE;
  PetscFunctionBeginUser;
  for (PetscInt session = 0; session <= n; session++) {
    TrainSingle single;
    TrainShape shape;
    stop_at = session < n ? stops[session] : 0;
    stop = 0;
    PetscCall(TrainSingleCreate(&problem, &estimator, &COUNTING, &single));
    TrainerGetShape(single.trainer, &shape);
    CHECK(shape.nmemory == 8, "%d bytes", (int)shape.nmemory);
    PetscCall(
        TrainSingleRun(&single, path, session ? PETSC_FALSE : PETSC_TRUE, (CtpgLimits){.stop = &stop}, &finished));
    CHECK(finished == (session == n), "session %d", (int)session);
    PetscCall(TrainSingleDestroy(&single));
  }
  PetscCall(Digest(path, hex));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestMemory(void) {
  PROPERTY("an estimator's memory survives four interruptions to the bit");
  const PetscInt64 stops[] = {10, 32, 36, 1900};
  char folder[] = "/tmp/ctpg-trainer-XXXXXX", path[64], undisturbed[65], resumed[65];
  PetscFunctionBeginUser;
  PetscCheck(mkdtemp(folder), PETSC_COMM_SELF, PETSC_ERR_SYS, "no scratch folder");
  snprintf(path, sizeof path, "%s/t.h5", folder);
  PetscCall(PetscOptionsSetValue(NULL, "-iterations", "700"));
  PetscCall(PetscOptionsSetValue(NULL, "-batch", "3"));
  PetscCall(Train(path, 0, NULL, undisturbed));
  PetscCall(Train(path, 4, stops, resumed));
  CHECK(!strcmp(undisturbed, resumed), "%s against %s", undisturbed, resumed);
  unlink(path);
  rmdir(folder);
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestMemory());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
