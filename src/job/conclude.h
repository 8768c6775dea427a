// conclude.h -- the last lines of a job: what its file holds now, and the digest when that is everything
#ifndef CTPG_CONCLUDE_H
#define CTPG_CONCLUDE_H

#include <petscsys.h>

typedef struct {
  PetscInt n, done, failed; // runs of the file; those with a row; those of them whose status is not ok
  PetscInt torn;            // rows whose checksum is wrong
  char digest[65];          // where all are done
  char remark[160];         // a line between, "": none
} JobOutcome;

// Rank 0: the outcome of the file as it is now.
typedef PetscErrorCode JobReadOutcome(void *context, JobOutcome *outcome);

// Collective. Rank 0 reads and prints; on every rank exit_code becomes CTPG_EXIT_INCOMPLETE where runs are left. Error where
// rows that this job wrote are damaged, unless it was stopped in the middle.
PetscErrorCode JobConclude(MPI_Comm comm, const char *path, JobReadOutcome *read, void *context, int *exit_code);

#endif
