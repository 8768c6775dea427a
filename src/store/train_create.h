// train_create.h -- the groups of training, complete and filled, and what an older file brings along
#ifndef CTPG_TRAIN_CREATE_H
#define CTPG_TRAIN_CREATE_H

#include "store/train_contents.h"

// Rank 0: the file for `layout`, in place of `old` (NULL: none), whose runs go on where they stand. An error says what
// of `old` does not fit.
PetscErrorCode TrainStoreCreate(const char *path, const TrainLayout *layout, TrainContents old);
// Can the file be written into as it is?
PetscBool TrainContentsHasLayout(TrainContents contents, const TrainLayout *layout);

#endif
