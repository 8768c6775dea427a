// file.h -- the results file of a sweep: created or taken over, locked, and what it holds already
#ifndef CTPG_SWEEP_FILE_H
#define CTPG_SWEEP_FILE_H

#include "sweep/sweep.h"

// Collective. The file at -out for this plan, locked and opened for rows; what it holds already is in done, products and
// costs. Runs that took a process down in earlier sessions have become rows with status crashed. A file of another plan is
// refused, with the difference named, and left as it was.
PetscErrorCode SweepOpenFile(Sweep *s);
// Collective. Closes it, gives its lock back, and takes away what only a crash would need.
PetscErrorCode SweepCloseFile(Sweep *s);
// Collective. Rank 0 worked alone: its error becomes everybody's, so that nobody waits in a collective call.
PetscErrorCode SweepAgreeOnSuccess(Sweep *s, PetscErrorCode error);

#endif
