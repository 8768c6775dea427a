// inprocess.c -- see inprocess.h

#define _GNU_SOURCE // RTLD_NEXT, memfd_create
#include "inprocess.h"
#include "commands/program.h"
#include <dlfcn.h>
#include <petscsys.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int started;
static int argument_count;
static char **arguments;

// ---- sanitizers: read by their runtime, where there is one ----

const char *__asan_default_options(void);
const char *__asan_default_options(void) { // damaged headers ask for absurd sizes; forks do not free what they hold
  return "exitcode=99:allocator_may_return_null=1:detect_leaks=0:handle_segv=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
  return "exitcode=99:print_stacktrace=1";
}

// ---- in place of MPI's and PETSc's ----

PetscErrorCode PetscInitialize(int *argc, char ***argv, const char file[], const char help[]) {
  PetscErrorCode (*real)(int *, char ***, const char[], const char[]) = dlsym(RTLD_NEXT, "PetscInitialize");
  if (!started) return real(argc, argv, file, help);
  argument_count = *argc, arguments = *argv;
  return PetscOptionsInsert(NULL, argc, argv, file);
}

PetscErrorCode PetscGetArgs(int *argc, char ***argv) {
  *argc = argument_count, *argv = arguments;
  return 0;
}

PetscErrorCode PetscFinalize(void) {
  return 0;
}

int MPI_Finalize(void) {
  return MPI_SUCCESS;
}

void InProcessBegin(char *program) {
  char quiet[] = "-no_signal_handler", *words[] = {program, quiet, NULL}, **argv = words;
  int argc = 2;
  setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
  if (PetscInitialize(&argc, &argv, NULL, NULL)) exit(1);
  if (PetscOptionsClear(NULL)) exit(1);
  started = 1;
}

// ---- forks ----

// What a stream of the last fork held, with a closing zero.
static const char *ReadBack(int descriptor, char **kept, size_t *size) {
  *size = (size_t)lseek(descriptor, 0, SEEK_END);
  *kept = realloc(*kept, *size + 1);
  if (pread(descriptor, *kept, *size, 0) != (ssize_t)*size) exit(1);
  (*kept)[*size] = 0;
  close(descriptor);
  return *kept;
}

static void RunChild(int (*work)(void *), void *context, const char *folder, unsigned seconds, int out, int err) {
  dup2(out, STDOUT_FILENO), dup2(err, STDERR_FILENO);
  signal(SIGALRM, SIG_DFL);
#ifndef __SANITIZE_ADDRESS__
  signal(SIGSEGV, SIG_DFL), signal(SIGBUS, SIG_DFL), signal(SIGFPE, SIG_DFL),
      signal(SIGABRT, SIG_DFL); // Open MPI's talk
#endif
  alarm(seconds);
  const int code = chdir(folder) ? 1 : work(context);
  fflush(NULL);
  _exit(code);
}

Ended ForkAndRun(int (*work)(void *), void *context, const char *folder, unsigned seconds) {
  static char *kept_out, *kept_err;
  const int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
  Ended ended = {0};
  int status = 0;
  fflush(NULL);
  const pid_t child = fork();
  if (child < 0 || out < 0 || err < 0) exit(1);
  if (!child) RunChild(work, context, folder, seconds, out, err);
  if (waitpid(child, &status, 0) != child) exit(1);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ended.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  ended.out = ReadBack(out, &kept_out, &ended.out_size);
  ended.err = ReadBack(err, &kept_err, &ended.err_size);
  return ended;
}

typedef struct {
  int argc;
  char **argv;
} CommandLine;

static int Main(void *context) {
  const CommandLine *line = context;
  return CtpgMain(line->argc, line->argv);
}

Ended RunProgram(int argc, char **argv, const char *folder, unsigned seconds) {
  CommandLine line = {argc, argv};
  return ForkAndRun(Main, &line, folder, seconds);
}
