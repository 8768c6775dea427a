// train_contents.h -- what a training file holds, read serially
#ifndef CTPG_TRAIN_CONTENTS_H
#define CTPG_TRAIN_CONTENTS_H

#include "store/contents.h"
#include "store/train_arrays.h"

typedef struct {
  CtpgContents base; // labels, sessions, provenance
  PetscInt nruns, npairs;
  TrainRow *rows;
  PetscBool *done;    // [nruns] committed, with the right checksum
  int64_t *slot;      // [nruns] iteration of the newest slot, -1: none; not verified
  TrainShape *shapes; // [npairs]
  char **options;     // [nproblems] resolved options of training
} * TrainContents;
PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents);
PetscErrorCode TrainContentsDestroy(TrainContents *contents);
// Loss of iteration slot[run] - 1; NaN where there is none.
PetscErrorCode TrainContentsReadLoss(TrainContents contents, PetscInt run, PetscReal *loss);

// Calls `work` on the open arrays of a file that was read.
typedef int TrainPairsWork(TrainContents contents, const TrainPairArrays *pairs, void *context);
int TrainWithPairs(TrainContents contents, TrainPairsWork *work, void *context);

#endif
