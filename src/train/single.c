// single.c -- see single.h

#include "train/single.h"
#include "base/options_engine.h"
#include "base/system.h"
#include "run/describe.h"
#include "store/train_create.h"
#include "store/train_store.h"

static PetscErrorCode CreatePair(const CtpgLabel *estimator, const CtpgEstimatorType *type, TrainSingle *s) {
  PetscFunctionBeginUser;
  if (type) {
    s->pair.problem = &s->problem;
    PetscCall(EstimatorCreateFromType(type, estimator, &s->pair.estimator));
  } else
    PetscCall(PairCreate(&s->problem, estimator, &s->pair));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSingleCreate(const CtpgLabel *problem, const CtpgLabel *estimator, const CtpgEstimatorType *type,
                                 TrainSingle *s) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(s, sizeof *s));
  PetscCall(ProblemCreate(problem, &s->problem));
  PetscCall(CtpgOptionsCreate(problem->label, problem->label, &s->options));
  PetscCall(TrainSettingsRead(s->options, &s->settings));
  PetscCall(CreatePair(estimator, type, s));
  PetscCall(TrainAccuracyRead(&s->pair, &s->accuracy));
  PetscCall(TrainerCreate(&s->pair, &s->settings, &s->accuracy, &s->trainer));
  PetscCall(PairSetUp(&s->pair));
  PetscCall(TrainerSetUp(s->trainer));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSingleDestroy(TrainSingle *s) {
  PetscFunctionBeginUser;
  PetscCall(TrainerDestroy(&s->trainer));
  PetscCall(PairDestroy(&s->pair));
  PetscCall(TrainSettingsDestroy(&s->settings));
  PetscCall(CtpgOptionsDestroy(&s->options));
  PetscCall(ProblemDestroy(&s->problem));
  PetscFunctionReturn(0);
}

// The row of a run that is to be made: with the first accuracy, and all iterations.
static void ClearRow(TrainSingle *s) {
  TrainRowClear(&s->row);
  s->row.accuracy = s->accuracy.first;
  s->row.iterations = s->settings.iterations;
}

static PetscErrorCode OpenStore(TrainSingle *s, const char *path, PetscBool create, TrainStore *store) {
  const int64_t seed = 0;
  const PetscInt no_tests = 0, one = 1;
  const char *options = "";
  const CtpgSession session = {.ranks = 1};
  CtpgLabelInfo problem, estimator;
  TrainShape shape;
  const CtpgStorePlan plan = {
      .kind = "train", .nproblems = 1, .nestimators = 1, .problems = &problem, .estimators = &estimator};
  const TrainLayout layout = {.plan = &plan,
                              .npairs = 1,
                              .nruns = 1,
                              .nseeds = &one,
                              .seeds = (const int64_t *[]){&seed},
                              .shapes = &shape,
                              .rows = &s->row,
                              .test_starts = &no_tests,
                              .options = &options};
  PetscFunctionBeginUser;
  TrainerGetShape(s->trainer, &shape);
  shape.nseeds = 1;
  shape.seeds = (int64_t *)&seed;
  DescribeProblem(&s->problem, &problem);
  DescribeEstimator(&s->pair.estimator, &estimator);
  if (create) PetscCall(TrainStoreCreate(path, &layout, NULL));
  PetscCall(TrainStoreOpen(PETSC_COMM_SELF, path, &layout, &session, store));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSingleRun(TrainSingle *s, const char *path, PetscBool create, CtpgLimits limits,
                              PetscBool *finished) {
  TrainTask task = {.group = PETSC_COMM_SELF, .checkpoint_interval = 10, .limits = limits};
  PetscFunctionBeginUser;
  ClearRow(s);
  if (path) PetscCall(OpenStore(s, path, create, &task.store));
  const double start = CtpgThreadSeconds();
  PetscCall(TrainerRun(s->trainer, &task, &s->row, finished));
  s->cpu = CtpgThreadSeconds() - start;
  if (path) PetscCall(TrainStoreClose(&task.store));
  PetscFunctionReturn(0);
}
