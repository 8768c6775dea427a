// outcome.c -- see outcome.h; OutcomeTell calls what is safe in a handler (ftruncate, pwrite, fsync)

#define _GNU_SOURCE // asprintf
#include "job/outcome.h"
#include "job/errors.h"
#include "store/place.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNING "running\n"

static int descriptor = -1;
static volatile int told; // no report comes after the last word

static void Write(const char *line) {
  const size_t length = strlen(line);
  if (descriptor < 0 || ftruncate(descriptor, 0)) return;
  if (pwrite(descriptor, line, length, 0) == (ssize_t)length) (void)fsync(descriptor);
}

PetscErrorCode OutcomeBegin(const char *path, int rank) {
  char name[PETSC_MAX_PATH_LEN];
  PetscFunctionBeginUser;
  PetscCall(StorePathBeside(path, ".outcome", name));
  descriptor = StoreOpenBeside(name, O_RDWR | O_CREAT | O_CLOEXEC);
  if (!rank) Write(RUNNING);
  PetscFunctionReturn(0);
}

// Another rank may have had the last word, after which a rank 0 that was stopped wakes up once more.
static PetscBool IsRunning(void) {
  char word[sizeof RUNNING] = "";
  if (told || descriptor < 0 || pread(descriptor, word, sizeof word - 1, 0) < 0) return PETSC_FALSE;
  return strcmp(word, RUNNING) ? PETSC_FALSE : PETSC_TRUE;
}

void OutcomeReport(const char *lines) {
  char *text = NULL;
  if (IsRunning() && asprintf(&text, RUNNING "%s", lines) >= 0) Write(text);
  free(text);
}

PetscErrorCode OutcomeRead(const char *path, char **lines) {
  char name[PETSC_MAX_PATH_LEN];
  struct stat info;
  PetscFunctionBeginUser;
  *lines = NULL;
  PetscCall(StorePathBeside(path, ".outcome", name));
  const int file = StoreOpenBeside(name, O_RDONLY);
  if (file < 0) PetscFunctionReturn(0);
  if (!fstat(file, &info) && info.st_size > 0) PetscCall(PetscCalloc1(info.st_size + 1, lines));
  if (*lines && (read(file, *lines, (size_t)info.st_size) < 0 || strncmp(*lines, RUNNING, sizeof RUNNING - 1)))
    PetscCall(PetscFree(*lines));
  close(file);
  if (*lines) memmove(*lines, *lines + sizeof RUNNING - 1, strlen(*lines + sizeof RUNNING - 1) + 1);
  PetscFunctionReturn(0);
}

void OutcomeTell(int exit_code) {
  told = 1;
  Write(exit_code == CTPG_EXIT_DONE         ? "0 done\n"
        : exit_code == CTPG_EXIT_INCOMPLETE ? "75 incomplete: the same command goes on from here\n"
                                            : "1 an error\n");
}

void OutcomeTellGivenUp(void) {
  told = 1;
  Write("75 given up after a signal: the same command goes on from here\n");
}

void OutcomeTellFirst(int exit_code) {
  if (IsRunning()) OutcomeTell(exit_code);
}
