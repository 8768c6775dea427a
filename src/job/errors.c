// errors.c -- see errors.h: a handler in PETSc's place, and a flag that says whether all ranks know of an error

#include "job/errors.h"
#include <stdio.h>
#include <string.h>

static PetscBool everybody_knows = PETSC_FALSE; // of the error that ends the program

const char *CtpgErrorInOurWords(const char *message) {
  if (!message) return "error";
  if (strstr(message, "max number of options"))
    return "more than 512 options, all that PETSc can hold; say once what labels share: -rtol for all of them, or "
           "-<type>_rtol";
  return message;
}

// Collective errors are told by rank 0 alone.
static PetscErrorCode TellError(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                PetscErrorType kind, const char *message, void *context) {
  int rank = 0;
  (void)line, (void)file, (void)context;
  if (kind != PETSC_ERROR_INITIAL) return code;
  int started = 0;
  MPI_Initialized(&started);
  if (started) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int everywhere = !started || comm == PETSC_COMM_WORLD;
  const int by_user = code == PETSC_ERR_USER_INPUT || code == PETSC_ERR_FILE_OPEN || code == PETSC_ERR_FILE_READ ||
                      code == PETSC_ERR_FILE_WRITE || code == PETSC_ERR_FILE_UNEXPECTED;
  if (everywhere) CtpgErrorWasTold();
  if (everywhere && rank) return code;
  if (code == PETSC_ERR_MEM || !strncmp(function, "PetscMalloc", 11)) // whose own code is another (PETSc 3.18)
    fprintf(stderr,
            "ctpgbench: out of memory on rank %d; expected more of it, fewer ranks on this node, or a problem with "
            "fewer parameters, states or starts\n",
            rank);
  else if (everywhere || by_user)
    fprintf(stderr, "ctpgbench: %s\n", CtpgErrorInOurWords(message));
  else
    fprintf(stderr, "ctpgbench: rank %d, %s: %s\n", rank, function, CtpgErrorInOurWords(message));
  return code;
}

void CtpgErrorWasTold(void) {
  everybody_knows = PETSC_TRUE;
}

PetscErrorCode CtpgAgreeOnSuccess(MPI_Comm comm, PetscErrorCode error) {
  int failed = error ? 1 : 0;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(&failed, 1, MPI_INT, 0, comm));
  if (failed) CtpgErrorWasTold();
  PetscFunctionReturn(failed ? PETSC_ERR_USER_INPUT : 0);
}

PetscBool CtpgErrorIsKnown(void) {
  return everybody_knows;
}

PetscErrorCode CtpgErrorsInstall(void) {
  return PetscPushErrorHandler(TellError, NULL);
}
