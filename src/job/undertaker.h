// undertaker.h -- what outlives its job: mpirun, told to end all ranks, waits for the daemon of a node that does not
// answer, for a quarter of an hour or for ever; a rank that is stopped when no other rank looks any more
#ifndef CTPG_JOB_UNDERTAKER_H
#define CTPG_JOB_UNDERTAKER_H

#include <petscsys.h>

// A rank whose job is over, in good order or not: a process of its own looks after so many seconds whether the launcher
// among this rank's ancestors is still there, and kills it. FALSE: there is none (another node, srun).
PetscBool UndertakerSend(unsigned seconds);
// A rank that is about to end: where it has not after so many seconds, a process of its own, which ends with it, kills
// it, having written `sentence` to stderr. The results are complete by then, and how the job ends has been told.
void UndertakerAwait(unsigned seconds, const char *sentence);

#endif
