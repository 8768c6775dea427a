// conclude.c -- see conclude.h

#include "job/conclude.h"
#include "job/errors.h"
#include "job/heartbeat.h"
#include "job/signals.h"

static PetscErrorCode AnyStopped(MPI_Comm comm, PetscBool *stopped) {
  int flag = CtpgStopRequested;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &flag, 1, MPI_INT, MPI_MAX, comm));
  *stopped = flag ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode Print(const char *path, const JobOutcome *o, PetscBool stopped, int *exit_code) {
  PetscFunctionBeginUser;
  PetscCheck(
      stopped || !o->torn, PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
      "%s: %d rows that were just written fail their checksum: it is damaged where rows are placed; move it away, "
      "the same command begins anew",
      path, (int)o->torn);
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, %d of them not ok (each a row with its reason)\n",
                        path, (int)o->done, (int)o->n, (int)o->failed));
  if (o->remark[0]) PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s\n", o->remark));
  if (o->done < o->n) {
    *exit_code = CTPG_EXIT_INCOMPLETE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "incomplete: the same command goes on from here\n"));
  } else
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", o->digest));
  PetscFunctionReturn(0);
}

PetscErrorCode JobConclude(MPI_Comm comm, const char *path, JobReadOutcome *read, void *context, int *exit_code) {
  JobOutcome outcome = {0};
  PetscErrorCode error = 0;
  PetscBool stopped;
  int rank;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(comm, &rank));
  PetscCall(AnyStopped(comm, &stopped));
  if (!rank) {
    HeartbeatReads();
    error = read(context, &outcome);
    if (!error) error = Print(path, &outcome, stopped, exit_code);
    HeartbeatConclude(error ? CTPG_EXIT_ERROR : *exit_code);
  }
  PetscCall(CtpgAgreeOnSuccess(comm, error));
  PetscCallMPI(MPI_Bcast(exit_code, 1, MPI_INT, 0, comm));
  HeartbeatConclude(*exit_code);
  PetscFunctionReturn(0);
}
