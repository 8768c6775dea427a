// resume.h -- the results file of a job: what is said of it when it is taken up again, and how it is left
#ifndef CTPG_RESUME_H
#define CTPG_RESUME_H

#include "store/store.h"

// Rank 0. The file at path, which held `held` runs, `done` of them finished, serves this plan: as it is, or (anew) copied
// into one for `planned` runs.
PetscErrorCode ResumeSay(const char *path, PetscBool anew, PetscInt held, PetscInt done, PetscInt planned);
// Rank 0. Warns where its rows may not be of one kind with those to come: written on other processors than `isa`, or with
// plug-ins that were compiled anew under the same version.
PetscErrorCode ResumeWarn(const char *path, CtpgContents old, const char *isa);
// Every rank, once the file is closed: takes away what only a crash would need, gives the lock back.
PetscErrorCode ResumeRelease(const char *path, int rank);

#endif
