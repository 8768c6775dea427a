// training.c -- see training.h

#include "bench/training.h"
#include "base/system.h"
#include "bench/storing.h"
#include "base/vector.h"
#include <stdio.h>
#include <unistd.h>

// A value for an option of a label, or, value NULL, for none any more.
static PetscErrorCode Give(const CtpgLabel *label, const char *option, const char *value) {
  char key[128];
  PetscFunctionBeginUser;
  snprintf(key, sizeof key, "-%s_%s", label->label, option);
  PetscCall(value ? PetscOptionsSetValue(NULL, key, value) : PetscOptionsClearValue(NULL, key));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingCreate(const CtpgLabel *problem, const CtpgLabel *estimator, PetscInt iterations,
                                   PetscInt batch, TrainSingle *t) {
  static const char *const names[] = {"iterations", "batch", "learning_rate", "optimizer"};
  char values[4][16] = {"", "", "0", "sgd"};
  PetscFunctionBeginUser;
  snprintf(values[0], sizeof values[0], "%d", (int)iterations);
  snprintf(values[1], sizeof values[1], "%d", (int)batch);
  for (int k = 0; k < 4; k++) PetscCall(Give(problem, names[k], values[k]));
  PetscCall(TrainSingleCreate(problem, estimator, NULL, t));
  for (int k = 0; k < 4; k++) PetscCall(Give(problem, names[k], NULL));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingRun(TrainSingle *t, const char *path) {
  PetscBool finished;
  PetscFunctionBeginUser;
  PetscCall(TrainSingleRun(t, path, PETSC_TRUE, (CtpgLimits){0}, &finished));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingBare(TrainSingle *t, double *seconds) {
  const PetscInt n = t->settings.iterations * t->settings.batch, np = PolicyGetSize(t->problem.policy);
  const CtpgEstimator *e = &t->pair.estimator;
  PetscReal *x0, *task, *gtheta, loss = 0;
  CtpgCase c;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&t->problem, 0, 0, &c));
  PetscCall(PetscMalloc3(t->problem.dims.nx, &x0, t->problem.dims.ntask, &task, np, &gtheta));
  *seconds = 0;
  for (PetscInt i = 0; i < n; i++) {
    CtpgResult result = EstimatorResult(&loss, t->pair.gx0, gtheta);
    PetscCall(TrainDrawStart(&t->problem, 0, CTPG_STREAM_BATCH, (uint64_t)i, 0, x0, task));
    PetscCall(PetscArrayzero(gtheta, np));
    PetscCall(PetscArrayzero(t->pair.gx0, t->problem.dims.nx));
    const double start = CtpgThreadSeconds();
    CtpgClosedLoopSetCase(t->pair.loop, c.theta, 1, task, c.T);
    CtpgClosedLoopStart(t->pair.loop, NULL);
    PetscCall(EstimatorGradient(e->type, e->est, t->pair.loop, 1, x0, t->accuracy.first, NULL, &result));
    *seconds += CtpgThreadSeconds() - start;
  }
  PetscCall(PetscFree3(x0, task, gtheta));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}

static PetscErrorCode BenchOne(const CtpgLabel *problem, const CtpgLabel *estimator, PetscInt batch, PetscInt rounds,
                               BenchRows *rows) {
  char path[PETSC_MAX_PATH_LEN];
  TrainSingle t;
  double *beyond, bare;
  PetscFunctionBeginUser;
  PetscCall(BenchTemporaryFile(path, sizeof path));
  PetscCall(BenchTrainingCreate(problem, estimator, 400 / batch, batch, &t));
  PetscCall(PetscMalloc1(rounds, &beyond));
  for (PetscInt r = 0; r < rounds; r++) {
    PetscCall(BenchTrainingBare(&t, &bare));
    PetscCall(BenchTrainingRun(&t, path));
    beyond[r] = t.cpu / bare - 1;
  }
  PetscCall(BenchAdd(rows, CtpgMedian((size_t)rounds, beyond), "1", PETSC_FALSE,
                     "training beyond its gradients, %s, %s, batch %d", problem->type, estimator->type, (int)batch));
  PetscCall(PetscFree(beyond));
  PetscCall(TrainSingleDestroy(&t));
  unlink(path);
  PetscFunctionReturn(0);
}

// The cheaper quadrature of ctpg, so that the rest weighs more.
PetscErrorCode BenchTrainings(PetscInt rounds, BenchRows *rows) {
  static const CtpgLabel problems[] = {{"train", "electric"}, {"train", "diffdrive"}, {"train", "quadrotor"}};
  static const CtpgLabel side_by_side = {"rk-adjoint", "rk-adjoint"}, one_by_one = {"train-ctpg", "ctpg"};
  PetscFunctionBeginUser;
  PetscCall(Give(&one_by_one, "quadrature", "weights"));
  for (size_t p = 0; p < sizeof problems / sizeof *problems; p++) {
    PetscCall(BenchOne(problems + p, &side_by_side, 8, rounds, rows));
    PetscCall(BenchOne(problems + p, &one_by_one, 1, rounds, rows));
  }
  PetscCall(Give(&one_by_one, "quadrature", NULL));
  PetscFunctionReturn(0);
}
