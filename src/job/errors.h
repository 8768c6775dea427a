// errors.h -- exit codes, and errors that are told once: by rank 0 alone, or by the one rank that has them
#ifndef CTPG_ERRORS_H
#define CTPG_ERRORS_H

#include <petscsys.h>

// Exit codes beside PETSc's own errors.
#define CTPG_EXIT_DONE       0
#define CTPG_EXIT_ERROR      1
#define CTPG_EXIT_INCOMPLETE 75 // stopped by a signal or a time limit: run me again

// From here on an error is one sentence on stderr in place of PETSc's stack.
PetscErrorCode CtpgErrorsInstall(void);
// A sentence of PETSc's as users need it; where none is known, itself.
const char *CtpgErrorInOurWords(const char *message);
// Every rank knows of the error that rank 0 has printed: the program ends without MPI_Abort.
void CtpgErrorWasTold(void);
PetscBool CtpgErrorIsKnown(void);
// Collective. Rank 0 worked alone: its error becomes everybody's, so that nobody waits in a collective call.
PetscErrorCode CtpgAgreeOnSuccess(MPI_Comm comm, PetscErrorCode error);

#endif
