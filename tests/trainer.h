// trainer.h -- one training run with a file of its own, without the command: for a test and a bench
#ifndef CTPG_TEST_TRAINER_H
#define CTPG_TEST_TRAINER_H

#include "run/describe.h"
#include "sweep/sweep.h"
#include "train/single.h"

typedef struct {
  TrainSingle single;
  TrainShape shape;
} Rig;

// estimator NULL: the registered one of this name.
static PetscErrorCode RigCreate(const char *problem, const CtpgEstimatorType *estimator, const char *name, Rig *rig) {
  CtpgLabel problem_label, estimator_label;
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(rig, sizeof *rig));
  PetscCall(PetscStrncpy(problem_label.label, problem, sizeof problem_label.label));
  PetscCall(PetscStrncpy(problem_label.type, problem, sizeof problem_label.type));
  PetscCall(PetscStrncpy(estimator_label.label, name, sizeof estimator_label.label));
  PetscCall(PetscStrncpy(estimator_label.type, name, sizeof estimator_label.type));
  PetscCall(TrainSingleCreate(&problem_label, &estimator_label, estimator, &rig->single));
  TrainerGetShape(rig->single.trainer, &rig->shape);
  PetscFunctionReturn(0);
}

static PetscErrorCode RigDestroy(Rig *rig) {
  PetscFunctionBeginUser;
  PetscCall(TrainSingleDestroy(&rig->single));
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
                        .rows = &rig->single.row,
                        .test_starts = &no_tests,
                        .options = &options};
  TrainTask task = {.group = PETSC_COMM_SELF, .checkpoint_interval = 10, .limits = limits};

  PetscFunctionBeginUser;
  rig->shape.nseeds = 1;
  rig->shape.seeds = (int64_t *)&seed;
  DescribeProblem(&rig->single.problem, &problem);
  DescribeEstimator(&rig->single.pair.estimator, &estimator);
  TrainSingleClearRow(&rig->single);
  if (create) PetscCall(TrainStoreCreate(path, &layout, NULL));
  PetscCall(TrainStoreOpen(PETSC_COMM_SELF, path, &layout, &session, &task.store));
  PetscCall(TrainerRun(rig->single.trainer, &task, &rig->single.row, finished));
  PetscCall(TrainStoreClose(&task.store));
  PetscFunctionReturn(0);
}

#endif
