// batch.h -- what the batch system (Slurm, PBS) tells a job about its end
#ifndef CTPG_BATCH_H
#define CTPG_BATCH_H

#include "ctpgbench/base.h"

// Collective. The same on every rank: seconds until `margin` before the job's end, counted from `start` (CtpgSeconds());
// at least a millisecond. margin < 0: 60 s, or a quarter of what is left where that is less. 0 outside of a job, or where
// it has no end. Rank 0 asks and says in a line what it found, about this `noun` ("sweep", "training").
PetscErrorCode BatchTimeLimit(MPI_Comm comm, double start, PetscReal margin, const char *noun, PetscReal *limit);

#endif
