// inprocess.h -- the program's main many times in one process: MPI and PETSc start once, every call is a fork
//
// A start of the program takes 0.1 to 0.3 s, nearly all of it in MPI_Init; a fork takes milliseconds, so that thousands
// of calls fit into a test. PetscInitialize, PetscFinalize and MPI_Finalize are interposed: within a fork the first
// puts the arguments into PETSc's options and the others do nothing. One rank only.
#ifndef CTPG_INPROCESS_H
#define CTPG_INPROCESS_H

#include <stddef.h>

// How a fork ended; out and err are owned by the module and live until the next call.
typedef struct {
  int code, signal; // exit code, or the signal that ended it (SIGALRM: it took too long)
  const char *out, *err;
  size_t out_size, err_size;
} Ended;

#define SANITIZER_CODE 99 // exit code of a fork with a sanitizer's report

// Once, before anything else.
void InProcessBegin(char *program);
// work(context) in a fork, in `folder`, for `seconds` at most; what it returns is the exit code.
Ended ForkAndRun(int (*work)(void *context), void *context, const char *folder, unsigned seconds);
// ctpgbench argv[1] ...; argv [argc], then NULL.
Ended RunProgram(int argc, char **argv, const char *folder, unsigned seconds);

#endif
