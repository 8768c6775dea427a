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
} TrainSingle;

// Everything from the options database, ready to run. type: of the estimator; NULL: the registered one of its label.
PetscErrorCode TrainSingleCreate(const CtpgLabel *problem, const CtpgLabel *estimator, const CtpgEstimatorType *type,
                                 TrainSingle *single);
PetscErrorCode TrainSingleDestroy(TrainSingle *single);
// The row of a run that is to be made: with the first accuracy, and all iterations.
void TrainSingleClearRow(TrainSingle *single);

#endif
