// resume.h -- what a training takes over from the earlier sessions of its file
#ifndef CTPG_TRAIN_RESUME_H
#define CTPG_TRAIN_RESUME_H

#include "train/plan.h"

// Rank 0, the file being open for rows: what it holds already goes to done and works, what crashed becomes rows (see
// job/marks.h).
PetscErrorCode TrainReadProgress(Train *t);

#endif
