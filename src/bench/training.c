// training.c -- see training.h

#include "bench/training.h"
#include "base/system.h"
#include "base/vector.h"
#include <stdio.h>

// A number for an option of the problem's label, or, value NULL, for none any more.
static PetscErrorCode Give(const CtpgLabel *problem, const char *option, const char *value) {
  char key[128];
  PetscFunctionBeginUser;
  snprintf(key, sizeof key, "-%s_%s", problem->label, option);
  PetscCall(value ? PetscOptionsSetValue(NULL, key, value) : PetscOptionsClearValue(NULL, key));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingCreate(const CtpgLabel *problem, const CtpgLabel *estimator, PetscInt iterations,
                                   PetscInt batch, BenchTraining *t) {
  static const char *const names[] = {"iterations", "batch", "learning_rate", "optimizer"};
  char values[4][16] = {"", "", "0", "sgd"};
  PetscFunctionBeginUser;
  snprintf(values[0], sizeof values[0], "%d", (int)iterations);
  snprintf(values[1], sizeof values[1], "%d", (int)batch);
  for (int k = 0; k < 4; k++) PetscCall(Give(problem, names[k], values[k]));
  PetscCall(TrainSingleCreate(problem, estimator, NULL, &t->single));
  for (int k = 0; k < 4; k++) PetscCall(Give(problem, names[k], NULL));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingRun(BenchTraining *t) {
  const TrainTask task = {.group = PETSC_COMM_SELF, .checkpoint_interval = 1e9};
  PetscBool finished;
  PetscFunctionBeginUser;
  TrainSingleClearRow(&t->single);
  const double start = CtpgThreadSeconds();
  PetscCall(TrainerRun(t->single.trainer, &task, &t->single.row, &finished));
  t->seconds = CtpgThreadSeconds() - start;
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingDestroy(BenchTraining *t) {
  PetscFunctionBeginUser;
  PetscCall(TrainSingleDestroy(&t->single));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainingBare(BenchTraining *training, double *seconds) {
  TrainSingle *t = &training->single;
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

static PetscErrorCode BenchOne(const CtpgLabel *problem, PetscInt rounds, BenchRows *rows) {
  const CtpgLabel estimator = {"rk-adjoint", "rk-adjoint"};
  BenchTraining t;
  double *beyond, bare;
  PetscFunctionBeginUser;
  PetscCall(BenchTrainingCreate(problem, &estimator, 50, 8, &t));
  PetscCall(PetscMalloc1(rounds, &beyond));
  for (PetscInt r = 0; r < rounds; r++) {
    PetscCall(BenchTrainingBare(&t, &bare));
    PetscCall(BenchTrainingRun(&t));
    beyond[r] = t.seconds / bare - 1;
  }
  PetscCall(BenchAdd(rows, CtpgMedian((size_t)rounds, beyond), "1", PETSC_FALSE,
                     "training beyond its gradients, %s, batch 8", problem->type));
  PetscCall(PetscFree(beyond));
  PetscCall(BenchTrainingDestroy(&t));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchTrainings(PetscInt rounds, BenchRows *rows) {
  static const CtpgLabel problems[] = {{"train", "electric"}, {"train", "diffdrive"}, {"train", "quadrotor"}};
  PetscFunctionBeginUser;
  for (size_t p = 0; p < sizeof problems / sizeof *problems; p++) PetscCall(BenchOne(problems + p, rounds, rows));
  PetscFunctionReturn(0);
}
