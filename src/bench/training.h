// training.h -- trainings, and what they take beyond their gradients
#ifndef CTPG_BENCH_TRAINING_H
#define CTPG_BENCH_TRAINING_H

#include "bench/rows.h"
#include "train/single.h"

// A training of a pair, at a learning rate of 0: every iteration is like the first.
typedef struct {
  TrainSingle single;
} BenchTraining;

PetscErrorCode BenchTrainingCreate(const CtpgLabel *problem, const CtpgLabel *estimator, PetscInt iterations,
                                   PetscInt batch, BenchTraining *training);
// path: of the file that is written; NULL: none.
PetscErrorCode BenchTrainingRun(BenchTraining *training, const char *path);
PetscErrorCode BenchTrainingDestroy(BenchTraining *training);
// CPU time of all gradients of a run, called bare, start after start.
PetscErrorCode BenchTrainingBare(BenchTraining *training, double *seconds);
// CPU time of trainings, files and all, over that of their gradients called bare, less 1: medians over `rounds` runs.
PetscErrorCode BenchTrainings(PetscInt rounds, BenchRows *rows);

#endif
