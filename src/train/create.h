// create.h -- the workspace of a trainer, of one pair
#ifndef CTPG_TRAINER_CREATE_H
#define CTPG_TRAINER_CREATE_H

#include "store/train_store.h"
#include "train/settings.h"

// Workspace of a pair. Create reads options, SetUp makes the workspace (after PairSetUp).
typedef struct Trainer_s *Trainer;
PetscErrorCode TrainerCreate(CtpgPair *pair, const TrainSettings *settings, const TrainAccuracy *accuracy,
                             Trainer *trainer);
PetscErrorCode TrainerSetUp(Trainer trainer);
PetscErrorCode TrainerDestroy(Trainer *trainer);
// Sizes and scales; labels, runs and seeds are left out. Its lists are the settings'.
void TrainerGetShape(Trainer trainer, TrainShape *shape);

#endif
