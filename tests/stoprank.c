// stoprank.c -- preloaded by tests: a rank that stops (SIGSTOP) near the end of a job or before its beginning
//
// CTPG_TEST_STOP: "2 loading": rank 2, before main; "2 starting": at the door of MPI_Init; "2 hanging": there, for
// ever, without SIGSTOP; "2 closing": its work being over (the watchdog's timer is set off); "2 before": at the door of
// MPI_Finalize; "2 after": behind it, in the same call; "2 leaving": behind main.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

typedef int SetTimer(int, const struct itimerval *, struct itimerval *);
typedef int Finalize(void);
typedef int InitThread(int *, char ***, int, int *);

// RTLD_NEXT leads to a function of some type, which ISO C does not let one take from a void *.
static void Find(const char *name, void *function) {
  void *found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

static int IsWanted(const char *where) {
  const char *wanted = getenv("CTPG_TEST_STOP"), *open_mpi = getenv("OMPI_COMM_WORLD_RANK"),
             *rank = open_mpi ? open_mpi : getenv("PMI_RANK");
  char here[64];
  if (!wanted || !rank) return 0;
  snprintf(here, sizeof here, "%s %s", rank, where);
  return !strcmp(here, wanted);
}

static void StopAt(const char *where) {
  if (IsWanted(where)) raise(SIGSTOP);
}

__attribute__((constructor)) static void Load(void) {
  StopAt("loading");
}

__attribute__((destructor)) static void Leave(void) {
  StopAt("leaving");
}

__attribute__((visibility("default"))) int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
  InitThread *next;
  Find("MPI_Init_thread", &next);
  StopAt("starting");
  while (IsWanted("hanging")) pause();
  return next(argc, argv, required, provided);
}

__attribute__((visibility("default"))) int setitimer(__itimer_which_t which, const struct itimerval *value,
                                                     struct itimerval *old) {
  SetTimer *next;
  Find("setitimer", &next);
  if (which == ITIMER_REAL && !value->it_value.tv_sec) StopAt("closing");
  return next((int)which, value, old);
}

__attribute__((visibility("default"))) int MPI_Finalize(void) {
  Finalize *next;
  Find("MPI_Finalize", &next);
  StopAt("before");
  const int code = next();
  StopAt("after");
  return code;
}
