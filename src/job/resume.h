// resume.h -- the results file of a job: what is said of it when it is taken up again, and how it is left
#ifndef CTPG_RESUME_H
#define CTPG_RESUME_H

#include "job/fingerprint.h"
#include "store/store.h"

// Rank 0. The file at path, which held `held` runs, `done` of them finished, serves this plan: as it is, or (anew)
// copied into one for `planned` runs.
PetscErrorCode ResumeSay(const char *path, PetscBool anew, PetscInt held, PetscInt done, PetscInt planned);
// Rank 0. Names what has changed since the last session: commit, compiler, flags, machine, and plug-ins that were
// compiled anew under the same version.
PetscErrorCode ResumeWarn(const char *path, CtpgContents old, const CtpgSession *session);
// Rank 0. The arithmetic that the file was begun with (job/fingerprint.h): that of its first session that has one, or
// without a file (old NULL) that of rank 0 in this one.
void ResumeBegun(CtpgContents old, const CtpgSession *session, char begun[FINGERPRINT_SIZE]);
// Rank 0. Refuses a session any rank of which has another arithmetic for rows of the plan's labels, unless mixing is
// allowed, which it says.
PetscErrorCode ResumeRefuseMixed(const char *path, const char *begun, const CtpgSession *session,
                                 const FingerprintLabels *labels, PetscBool allowed);
// Collective: rank 0's `begun` to all; the parts in which the arithmetic of this rank is another one (fingerprint.h).
PetscErrorCode ResumeIsMixed(MPI_Comm comm, char begun[FINGERPRINT_SIZE], const FingerprintLabels *labels, int *mixed);
// Every rank, once the file is closed: takes away what only a crash would need, gives the lock back.
PetscErrorCode ResumeRelease(const char *path, int rank);

#endif
