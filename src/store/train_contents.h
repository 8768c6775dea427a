// train_contents.h -- what a training file holds, read serially
#ifndef CTPG_TRAIN_CONTENTS_H
#define CTPG_TRAIN_CONTENTS_H

#include "store/contents.h"
#include "store/train_arrays.h"

typedef struct {
  CtpgContents base; // labels, sessions, provenance
  PetscInt nruns, npairs;
  TrainRow *rows;
  StoreCommit *commits;
  PetscBool *done;    // [nruns] committed, and its row and all of its arrays have the right sum
  int64_t *slot;      // [nruns] iteration of the newest slot, -1: none; verified when the run goes on
  TrainShape *shapes; // [npairs]
  char **options;     // [nproblems] resolved options of training
} * TrainContents;
PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents);
PetscErrorCode TrainContentsReadOld(const char *path, TrainContents *contents); // as ContentsReadOld
PetscErrorCode TrainContentsDestroy(TrainContents *contents);
// Loss of iteration slot[run] - 1; NaN where there is none.
PetscErrorCode TrainContentsReadLoss(TrainContents contents, PetscInt run, PetscReal *loss);

// Calls `work` on the open arrays of a file that was read.
typedef int TrainPairsWork(TrainContents contents, const TrainPairArrays *pairs, void *context);
int TrainWithPairs(TrainContents contents, TrainPairsWork *work, void *context);

#endif
