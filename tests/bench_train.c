// bench_train.c -- what training costs beyond the bare gradient calls
//
//   overhead = seconds of an iteration in training / seconds of the same gradients called bare - 1
// Learning rate 0, so that both compute the same gradients; all the rest of an iteration is done, history and slots are
// written to a file in /tmp. Bare: starts drawn beforehand, one call of the estimator per start. Rounds of both,
// interleaved; medians.
//   build/bench_train [-problems electric,diffdrive,quadrotor] [-estimators ctpg] [-rounds 11] [-iterations 200]
//   [-batch 1]

#include "commands/program.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/options_engine.h"
#include "base/system.h"
#include "base/vector.h"
#include "trainer.h"
#include "base/random_engine.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_ROUNDS 1000

// Gradients of the first iterations, bare; seconds.
static PetscErrorCode CallBare(Rig *rig, PetscInt n, const PetscReal *x0, const PetscReal *tasks, const CtpgCase *c,
                               PetscReal *gtheta, double *seconds) {
  const PetscInt nx = rig->single.problem.dims.nx, ntask = rig->single.problem.dims.ntask;
  CtpgEstimator *e = &rig->single.pair.estimator;
  PetscReal loss;

  PetscFunctionBeginUser;
  const double start = CtpgSeconds();
  for (PetscInt i = 0; i < n; i++) {
    CtpgResult result = EstimatorResult(&loss, rig->single.pair.gx0, gtheta);
    CtpgClosedLoopSetCase(rig->single.pair.loop, c->theta, 1, tasks + i * ntask, c->T);
    CtpgClosedLoopStart(rig->single.pair.loop, NULL);
    PetscCall(PetscArrayzero(gtheta, PolicyGetSize(rig->single.problem.policy)));
    PetscCall(EstimatorGradient(e->type, e->est, rig->single.pair.loop, 1, x0 + i * nx, rig->single.accuracy.first,
                                NULL, &result));
  }
  *seconds = CtpgSeconds() - start;
  PetscFunctionReturn(0);
}

static PetscErrorCode BenchPair(const char *problem, const char *estimator, PetscInt rounds) {
  static double ratios[MAX_ROUNDS], bares[MAX_ROUNDS], inside[MAX_ROUNDS];
  char path[] = "/tmp/ctpg-bench-XXXXXX";
  PetscReal *x0, *tasks, *gtheta;
  CtpgCase c;
  Rig rig;

  PetscFunctionBeginUser;
  close(mkstemp(path));
  PetscCall(RigCreate(problem, NULL, estimator, &rig));
  const PetscInt n = rig.single.settings.iterations * rig.single.settings.batch;
  PetscCall(CaseDraw(&rig.single.problem, 0, 0, &c));
  PetscCall(PetscMalloc3(n * rig.single.problem.dims.nx, &x0, n * rig.single.problem.dims.ntask, &tasks, rig.shape.np,
                         &gtheta));
  for (PetscInt i = 0; i < n; i++)
    PetscCall(TrainDrawStart(&rig.single.problem, 0, CTPG_STREAM_BATCH, (uint64_t)i, 0,
                             x0 + i * rig.single.problem.dims.nx, tasks + i * rig.single.problem.dims.ntask));
  for (PetscInt r = 0; r < rounds; r++) {
    PetscBool finished;
    PetscCall(CallBare(&rig, n, x0, tasks, &c, gtheta, bares + r));
    PetscCall(RigRun(&rig, path, PETSC_TRUE, (CtpgLimits){0}, &finished));
    ratios[r] = rig.single.row.session_seconds / bares[r];
    inside[r] = rig.single.row.session_seconds / rig.single.row.solve_seconds;
  }
  printf("%-20s %-12s %6d %10.1f %9.1f %% %9.1f %%\n", problem, estimator, (int)rig.single.settings.batch,
         1e6 * CtpgMedian((size_t)rounds, bares) / rig.single.settings.iterations,
         100 * (CtpgMedian((size_t)rounds, ratios) - 1), 100 * (CtpgMedian((size_t)rounds, inside) - 1));
  PetscCall(PetscFree3(x0, tasks, gtheta));
  PetscCall(CaseDestroy(&c));
  PetscCall(RigDestroy(&rig));
  unlink(path);
  PetscFunctionReturn(0);
}

static PetscErrorCode Bench(void) {
  PetscInt nproblems, nestimators, rounds = 11;
  CtpgLabel *problems, *estimators;
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, "-quadrature", "weights"));
  PetscCall(PetscOptionsSetValue(NULL, "-optimizer", "momentum"));
  PetscCall(PetscOptionsSetValue(NULL, "-learning_rate", "0"));
  PetscCall(CtpgOptionsCreate(NULL, "bench", &options));
  PetscCall(CtpgLabelOption(options, "problem", "electric,diffdrive,quadrotor", &nproblems, &problems));
  PetscCall(CtpgLabelOption(options, "estimator", "ctpg", &nestimators, &estimators));
  PetscCall(CtpgOptionsInt(options, "rounds", "interleaved repeats", 1, MAX_ROUNDS, &rounds));
  printf("%-20s %-12s %6s %10s %11s %11s\n", "problem", "estimator", "batch", "bare (us)", "beyond bare", "outside");
  for (PetscInt p = 0; p < nproblems; p++)
    for (PetscInt e = 0; e < nestimators; e++) PetscCall(BenchPair(problems[p].type, estimators[e].type, rounds));
  PetscCall(PetscFree(problems));
  PetscCall(PetscFree(estimators));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(Bench());
  PetscCall(PetscFinalize());
  return 0;
}
