// trainer.h -- one training run with a file of its own, without the command: for a test and a bench
#ifndef CTPG_TEST_TRAINER_H
#define CTPG_TEST_TRAINER_H

#include "run/describe.h"
#include "base/options_engine.h"
#include "sweep/sweep.h"
#include "train/trainer.h"

typedef struct {
  CtpgProblem problem;
  CtpgPair pair;
  CtpgOptions options;
  TrainSettings settings;
  TrainAccuracy accuracy;
  Trainer trainer;
  TrainShape shape;
  TrainRow row;
} Rig;

// Everything from the options database; estimator NULL: the registered one of this name.
static PetscErrorCode RigCreate(const char *problem, const CtpgEstimatorType *estimator, const char *name, Rig *rig) {
  CtpgLabel problem_label, estimator_label;
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(rig, sizeof *rig));
  PetscCall(PetscStrncpy(problem_label.label, problem, sizeof problem_label.label));
  PetscCall(PetscStrncpy(problem_label.type, problem, sizeof problem_label.type));
  PetscCall(PetscStrncpy(estimator_label.label, name, sizeof estimator_label.label));
  PetscCall(PetscStrncpy(estimator_label.type, name, sizeof estimator_label.type));
  PetscCall(ProblemCreate(&problem_label, &rig->problem));
  PetscCall(CtpgOptionsCreate(problem, problem, &rig->options));
  PetscCall(TrainSettingsRead(rig->options, &rig->settings));
  if (estimator) {
    rig->pair.problem = &rig->problem;
    PetscCall(EstimatorCreateFromType(estimator, &estimator_label, &rig->pair.estimator));
  } else
    PetscCall(PairCreate(&rig->problem, &estimator_label, &rig->pair));
  PetscCall(TrainAccuracyRead(&rig->pair, &rig->accuracy));
  PetscCall(TrainerCreate(&rig->pair, &rig->settings, &rig->accuracy, &rig->trainer));
  PetscCall(PairSetUp(&rig->pair));
  PetscCall(TrainerSetUp(rig->trainer));
  TrainerGetShape(rig->trainer, &rig->shape);
  PetscFunctionReturn(0);
}

static PetscErrorCode RigDestroy(Rig *rig) {
  PetscFunctionBeginUser;
  PetscCall(TrainerDestroy(&rig->trainer));
  PetscCall(PairDestroy(&rig->pair));
  PetscCall(TrainSettingsDestroy(&rig->settings));
  PetscCall(CtpgOptionsDestroy(&rig->options));
  PetscCall(ProblemDestroy(&rig->problem));
  PetscFunctionReturn(0);
}

// One run of seed 0 in the file at path, which is made when `create`.
static PetscErrorCode RigRun(Rig *rig, const char *path, PetscBool create, CtpgLimits limits, PetscBool *finished) {
  const int64_t seed = 0;
  const PetscInt no_tests = 0, one = 1;
  const char *options = "";
  const CtpgSession session = {.isa = "test", .ranks = 1};
  CtpgLabelInfo problem, estimator;
  CtpgStorePlan plan = {
      .kind = "train", .nproblems = 1, .nestimators = 1, .problems = &problem, .estimators = &estimator};
  TrainLayout layout = {.plan = &plan,
                        .npairs = 1,
                        .nruns = 1,
                        .nseeds = &one,
                        .seeds = (const int64_t *[]){&seed},
                        .shapes = &rig->shape,
                        .rows = &rig->row,
                        .test_starts = &no_tests,
                        .options = &options};
  TrainTask task = {.group = PETSC_COMM_SELF, .checkpoint_interval = 10, .limits = limits};

  PetscFunctionBeginUser;
  rig->shape.nseeds = 1;
  rig->shape.seeds = (int64_t *)&seed;
  DescribeProblem(&rig->problem, &problem);
  DescribeEstimator(&rig->pair.estimator, &estimator);
  TrainRowClear(&rig->row);
  rig->row.accuracy = rig->accuracy.first;
  rig->row.iterations = rig->settings.iterations;
  if (create) PetscCall(TrainStoreCreate(path, &layout, NULL));
  PetscCall(TrainStoreOpen(PETSC_COMM_SELF, path, &layout, &session, &task.store));
  PetscCall(TrainerRun(rig->trainer, &task, &rig->row, finished));
  PetscCall(TrainStoreClose(&task.store));
  PetscFunctionReturn(0);
}

#endif
