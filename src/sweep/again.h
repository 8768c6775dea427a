// again.h -- finished rows that a session computes again: measured anew (-retime) or redone (-redo)
#ifndef CTPG_AGAIN_H
#define CTPG_AGAIN_H

#include "sweep/sweep.h"

// -retime and -redo name labels of problems or estimators of this plan, or are "all"; -retime wants one rank.
PetscErrorCode AgainCheck(const CtpgPlan *plan, int size);
// Rank 0, while progress is read from the file. -retime keeps the rows: room for them, and each as it is read. Then,
// all being read, -redo makes what it names count as not done, and -retime gives up what counts as not done.
PetscErrorCode AgainRemember(Sweep *s);
void AgainKeep(Sweep *s, PetscInt r, const CtpgRunRow *row);
void AgainChoose(Sweep *s);
// Rank 0, once the file is open and marks are taken over: rows to be redone become pending in the file, so that a
// session that is cut off leaves none of the old ones; with -retime nothing but the chosen rows is left to do.
PetscErrorCode AgainBegin(Sweep *s);
// Is this run measured anew? Then *same says whether row, its new one, has the bits of the old one; differences are
// counted, and the first one is kept for AgainConclude.
PetscBool AgainIsRetimed(const Sweep *s, PetscInt r);
void AgainCompare(Sweep *s, PetscInt r, const CtpgRunRow *row, PetscBool *same);
// Says what -retime did.
PetscErrorCode AgainConclude(const Sweep *s);
PetscErrorCode AgainDestroy(Sweep *s);

#endif
