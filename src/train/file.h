// file.h -- the results file of a training: created or taken over, locked, and what it holds already
#ifndef CTPG_TRAIN_FILE_H
#define CTPG_TRAIN_FILE_H

#include "train/plan.h"

// Collective. -dry_run: pairs, runs and the size of the file. Rank 0 prints.
PetscErrorCode TrainPlanReport(Train *train);

// Collective. The file at -out for this plan, locked and opened; what it holds already is in done and works. Runs that took
// a process down in earlier sessions have become rows with status crashed. A file of another plan is refused, with the
// difference named, and left as it was.
PetscErrorCode TrainOpenFile(Train *train);
// Collective. Closes it, gives its lock back, and takes away what only a crash would need.
PetscErrorCode TrainCloseFile(Train *train);

#endif
