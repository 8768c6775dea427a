// undertaker.c -- see undertaker.h
//
// The child of a program with threads and MPI calls nothing but what is safe in a handler. It lets go of files, of
// which the launcher waits to be the last to have them. Who looks after the launcher leaves the process group, which
// that kills; who looks after its rank stays, to be suspended and killed with it.

#include "job/undertaker.h"
#include "base/system.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

#define ANCESTORS 4    // generations: MPICH's ranks are grandchildren
#define FILES     4096 // more than a rank has open

// Name and parent of a process.
static PetscBool LookUp(pid_t pid, char name[64], pid_t *parent) {
  char path[64];
  int number = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file) return PETSC_FALSE;
  const PetscBool found = fscanf(file, "%*d (%63[^)]) %*c %d", name, &number) == 2 ? PETSC_TRUE : PETSC_FALSE;
  fclose(file);
  *parent = (pid_t)number;
  return found;
}

// Debian puts the MPI behind a point: mpirun.mpich, mpiexec.hydra.
static PetscBool IsLauncher(const char *name) {
  static const char *const names[] = {"mpirun", "mpiexec", "orterun", "prterun"};
  const size_t length = strcspn(name, ".");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i]) == length && !strncmp(name, names[i], length)) return PETSC_TRUE;
  return PETSC_FALSE;
}

// -1: none.
static pid_t FindLauncher(void) {
  char name[64];
  pid_t pid = getppid(), parent;
  for (int i = 0; i < ANCESTORS && pid > 1 && LookUp(pid, name, &parent); i++, pid = parent)
    if (IsLauncher(name)) return pid;
  return -1;
}

static void LetGo(void) {
  for (int file = 0; file < FILES; file++)
    if (file != STDERR_FILENO) close(file);
}

// It ends when the launcher does.
static void Wait(pid_t launcher, unsigned seconds) {
  setsid();
  LetGo();
  close(STDERR_FILENO);
  for (unsigned waited = 0; waited < seconds; waited++) {
    SystemNap(1);
    if (kill(launcher, 0)) SystemLeave(0);
  }
  kill(launcher, SIGKILL);
  SystemLeave(0);
}

PetscBool UndertakerSend(unsigned seconds) {
  const pid_t launcher = FindLauncher();
  if (launcher > 1 && !fork()) Wait(launcher, seconds);
  return launcher > 1 ? PETSC_TRUE : PETSC_FALSE;
}

// It ends when the rank does.
static void WaitFor(pid_t rank, unsigned seconds, const char *sentence) {
  LetGo();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (unsigned waited = 0; getppid() == rank; waited++) {
    if (waited == seconds) {
      if (write(STDERR_FILENO, sentence, strlen(sentence)) > 0) SystemNap(0.1); // for the launcher to pass it on
      kill(rank, SIGKILL);
    }
    SystemNap(1);
  }
  SystemLeave(0);
}

void UndertakerAwait(unsigned seconds, const char *sentence) {
  const pid_t rank = getpid();
  if (!fork()) WaitFor(rank, seconds, sentence);
}
