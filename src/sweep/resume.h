// resume.h -- what a sweep takes over from the earlier sessions of its file; rank 0 alone
#ifndef CTPG_SWEEP_RESUME_H
#define CTPG_SWEEP_RESUME_H

#include "sweep/held.h"
#include "sweep/sweep.h"

// Goes through the file at -out. If it is of this plan and has this layout (held->same), finished runs go to done, and
// what has been spent on what is finished to costs.
PetscErrorCode SweepReadRuns(Sweep *s, const CtpgStorePlan *layout, Held *held);
// Then, of such a file: finished references go to done, and to products those that runs wait for.
PetscErrorCode SweepTakeProgress(Sweep *s, CtpgContents old);
// The file being open for rows: what crashed becomes rows, see job/marks.h.
PetscErrorCode SweepTakeOverMarks(Sweep *s);

#endif
