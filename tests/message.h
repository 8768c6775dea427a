// message.h -- what a refused call said: with KeepMessage as PETSc's error handler the cause stands in last_error
#ifndef CTPG_TEST_MESSAGE_H
#define CTPG_TEST_MESSAGE_H

#include <petscsys.h>
#include <stdio.h>

static char last_error[2048];

// The first message is the cause.
static PetscErrorCode KeepMessage(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                  PetscErrorType type, const char *message, void *context) {
  (void)comm, (void)line, (void)function, (void)file, (void)context;
  if (type == PETSC_ERROR_INITIAL) snprintf(last_error, sizeof last_error, "%s", message);
  return code;
}

#endif
