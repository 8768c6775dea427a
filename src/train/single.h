// single.h -- a training of one pair by itself, without a plan: for benches and tests
#ifndef CTPG_TRAIN_SINGLE_H
#define CTPG_TRAIN_SINGLE_H

#include "run/labels.h"
#include "train/trainer.h"

typedef struct {
  CtpgProblem problem;
  CtpgPair pair;
  CtpgOptions options;
  TrainSettings settings;
  TrainAccuracy accuracy;
  Trainer trainer;
  TrainRow row; // of its run
  double cpu;   // s of CPU time that the run took, opening its file apart
} TrainSingle;

// Everything from the options database, ready to run. type: of the estimator; NULL: the registered one of its label.
PetscErrorCode TrainSingleCreate(const CtpgLabel *problem, const CtpgLabel *estimator, const CtpgEstimatorType *type,
                                 TrainSingle *single);
PetscErrorCode TrainSingleDestroy(TrainSingle *single);
// The run of seed 0, into the file at `path`, which is made where `create`; path NULL: nothing is kept. *finished:
// limits did not stop it.
PetscErrorCode TrainSingleRun(TrainSingle *single, const char *path, PetscBool create, CtpgLimits limits,
                              PetscBool *finished);

#endif
