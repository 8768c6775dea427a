// training.h -- trainings, and what they take beyond their gradients
#ifndef CTPG_BENCH_TRAINING_H
#define CTPG_BENCH_TRAINING_H

#include "bench/rows.h"
#include "train/single.h"

// A training of a pair, at a learning rate of 0: every iteration is like the first. The caller's (TrainSingleDestroy).
PetscErrorCode BenchTrainingCreate(const CtpgLabel *problem, const CtpgLabel *estimator, PetscInt iterations,
                                   PetscInt batch, TrainSingle *training);
// path: of the file that is written; NULL: none.
PetscErrorCode BenchTrainingRun(TrainSingle *training, const char *path);
// CPU time of all gradients of a run, called bare, start after start.
PetscErrorCode BenchTrainingBare(TrainSingle *training, double *seconds);
// CPU time of trainings, files and all, over that of their gradients called bare, less 1: medians over `rounds` runs.
PetscErrorCode BenchTrainings(PetscInt rounds, BenchRows *rows);

#endif
