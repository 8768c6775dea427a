// status.c -- `ctpgbench status FILE`: progress, failures and provenance, also while the file is being written

#include "base/options_engine.h"
#include "commands/program.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include "store/contents.h"
#include "sweep/state.h"
#include "train/state.h"
#include <string.h>

static PetscErrorCode PrintState(const char *path, PetscBool verify) {
  CtpgContents file;
  PetscBool training;
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(path, &file));
  training = strcmp(file->kind, "train") ? PETSC_FALSE : PETSC_TRUE;
  if (!training) PetscCall(SweepPrintState(file, verify));
  PetscCall(ContentsDestroy(&file));
  if (training) PetscCall(TrainPrintState(path, verify));
  PetscFunctionReturn(0);
}

// Rank 0 reads and prints; the others learn whether it could.
PetscErrorCode CommandStatus(const char *file, int *exit_code) {
  char path[PETSC_MAX_PATH_LEN];
  PetscBool verify = PETSC_FALSE;
  CtpgOptions options;
  int rank, failed = 0;

  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(PetscStrncpy(path, file, sizeof path));
  PetscCall(CtpgOptionsCreate(NULL, "status", &options));
  PetscCall(CtpgOptionsText(options, "out", "results file", path, sizeof path));
  PetscCall(
      CtpgOptionsBool(options, "verify", "say so when all is what was written, end with 1 where it is not", &verify));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(RefuseUnusedOptions());
  PetscCheck(path[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "status needs a file: ctpgbench status results.h5");
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) failed = PrintState(path, verify) ? 1 : 0;
  PetscCallMPI(MPI_Bcast(&failed, 1, MPI_INT, 0, PETSC_COMM_WORLD));
  if (failed) CtpgErrorWasTold();
  PetscFunctionReturn(failed ? PETSC_ERR_USER_INPUT : 0);
}
