// outcome.c -- see outcome.h; OutcomeTell calls what is safe in a handler (ftruncate, pwrite, fsync)

#include "job/outcome.h"
#include "job/errors.h"
#include "store/hdf5.h"
#include "store/place.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int descriptor = -1;

static void Write(const char *line) {
  const size_t length = strlen(line);
  if (descriptor < 0 || ftruncate(descriptor, 0)) return;
  if (pwrite(descriptor, line, length, 0) == (ssize_t)length) (void)fsync(descriptor);
}

PetscErrorCode OutcomeBegin(const char *path, int rank) {
  char name[PETSC_MAX_PATH_LEN];
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCheck(!StoreResolve(path, name), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path,
             StoreReason());
  strcat(name, ".outcome"); // StoreResolve leaves room
  descriptor = StoreOpenBeside(name, O_WRONLY | O_CREAT | O_CLOEXEC);
  if (!rank) Write("running\n");
  PetscFunctionReturn(0);
}

void OutcomeTell(int exit_code) {
  Write(exit_code == CTPG_EXIT_DONE         ? "0 done\n"
        : exit_code == CTPG_EXIT_INCOMPLETE ? "75 incomplete: the same command goes on from here\n"
                                            : "1 an error\n");
}
