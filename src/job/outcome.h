// outcome.h -- how a job ended, beside its results: FILE.outcome, text
//
//   running            from the moment on when the job has the file; it stays where a job ends without a word (SIGKILL,
//                      a lost node)
//                      (below it, while it runs, a line for each rank: what it does, for how long)
//   75 incomplete      the exit code, and in words: done, an error, incomplete
//
// Launchers lose and change exit codes (MPICH's mpirun returns 0 for 75 now and then, and 9 or 15 where Open MPI's
// returns 137 or 143); jobs/job.sh and until_done.sh believe this line first.
#ifndef CTPG_JOB_OUTCOME_H
#define CTPG_JOB_OUTCOME_H

#include <petscsys.h>

// Every rank, when the job has the file at path; rank 0 writes "running". A rank that cannot open it (a node without
// the folder) tells nothing later.
PetscErrorCode OutcomeBegin(const char *path, int rank);
// Rank 0, while the job runs: what its ranks do, lines of text below "running". `status` shows them.
void OutcomeReport(const char *lines);
// Rank 0's report of a job on the file at path that has not ended (allocated here, PetscFree); NULL: there is none.
PetscErrorCode OutcomeRead(const char *path, char **lines);
// Any rank that knows how the job ends; safe in a handler. Nothing where OutcomeBegin was not called.
void OutcomeTell(int exit_code);
// Likewise, of a job that was asked to stop by SIGTERM or SIGINT and did not come to its end in good order, as where a
// rank is missing: `srun -K`, having lost one, asks the others to stop.
void OutcomeTellGivenUp(void);
// As OutcomeTell, unless somebody has told it before.
void OutcomeTellFirst(int exit_code);

#endif
