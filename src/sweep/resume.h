// resume.h -- what a sweep takes over from the earlier sessions of its file; rank 0 alone
#ifndef CTPG_SWEEP_RESUME_H
#define CTPG_SWEEP_RESUME_H

#include "sweep/sweep.h"

// What the file holds already goes to done, what it has cost to costs, the references that runs wait for to products.
PetscErrorCode SweepReadProgress(Sweep *s);
// The file being open for rows: what crashed becomes rows, see job/marks.h.
PetscErrorCode SweepTakeOverMarks(Sweep *s);

#endif
