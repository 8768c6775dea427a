// visitors.c -- see visitors.h; the locale is this thread's own (uselocale), which setlocale does not reach

#define _GNU_SOURCE // O_PATH
#include "base/visitors.h"
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
  int folder; // open, -1: none
  struct stat place;
  fenv_t arithmetic;
  void (*restore)(void);
  PetscBool seen, folder_was_said;
  volatile int forked;
} home = {.folder = -1};

void VisitorsUsePoint(void) {
  locale_t own = newlocale(LC_CTYPE_MASK, "", (locale_t)0); // names of files as the user writes them
  if (!own) own = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
  if (own) uselocale(own);
}

// The copy ends by the signals that the original only notes: who started it, as Python's pools do, may wait for that.
static void NoteFork(void) {
  home.forked = 1;
  signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_DFL), signal(SIGUSR1, SIG_DFL);
}

void VisitorsSee(void (*restore)(void)) {
  if (!home.seen) pthread_atfork(NULL, NULL, NoteFork);
  if (home.folder >= 0) close(home.folder);
  home.folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (home.folder >= 0) fstat(home.folder, &home.place);
  fegetenv(&home.arithmetic);
  home.restore = restore;
  home.folder_was_said = PETSC_FALSE;
  home.forked = 0;
  home.seen = PETSC_TRUE;
}

static void GoHome(const char *name) {
  struct stat here;
  if (home.folder < 0 || (!stat(".", &here) && here.st_ino == home.place.st_ino && here.st_dev == home.place.st_dev))
    return;
  if (fchdir(home.folder)) return;
  if (!home.folder_was_said)
    fprintf(stderr, "ctpgbench: note: %s changed the working folder; it is changed back\n", name);
  home.folder_was_said = PETSC_TRUE;
}

void VisitorsLeave(const char *name) {
  if (!home.seen) return;
  if (home.forked) {
    fprintf(stderr,
            "ctpgbench: %s forked, and process %d, the copy, came back from it; a copy must end with _exit (Python: "
            "os._exit)\n",
            name, (int)getpid());
    _exit(1);
  }
  GoHome(name);
  fesetenv(&home.arithmetic);
}

void VisitorsLoaded(const char *name) {
  VisitorsLeave(name);
  if (home.seen && home.restore) home.restore();
}

PetscBool VisitorsAreForked(void) {
  return home.forked ? PETSC_TRUE : PETSC_FALSE;
}
