// convert.c -- `ctpgbench convert OLD -out NEW`: a results file of the schema before, written anew in this one

#include "base/options_engine.h"
#include "commands/program.h"
#include "commands/words.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include "store/contents.h"
#include "store/lock.h"
#include "store/train_convert.h"
#include "store/train_digest.h"
#include "sweep/merge.h"
#include <string.h>

static PetscErrorCode ConvertTraining(const char *out, const char *path) {
  PetscInt environment, done = 0;
  TrainContents c;
  char digest[65];
  PetscFunctionBeginUser;
  PetscCall(TrainStoreConvert(out, path));
  PetscCall(TrainContentsRead(out, &c));
  PetscCall(TrainContentsDigest(c, digest, &environment));
  for (PetscInt r = 0; r < c->nruns; r++) done += c->done[r] ? 1 : 0;
  PetscCall(
      PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done\ndigest: %s\n", out, (int)done, (int)c->nruns, digest));
  PetscCall(TrainContentsDestroy(&c));
  PetscFunctionReturn(0);
}

static PetscErrorCode LockAndConvertTraining(const char *out, const char *path) {
  PetscFunctionBeginUser;
  PetscCall(StoreLockNew(out));
  const PetscErrorCode error = ConvertTraining(out, path);
  StoreUnlock();
  PetscCall(error);
  PetscFunctionReturn(0);
}

static PetscErrorCode Convert(const char *out, const char *path) {
  CtpgContents old;
  PetscFunctionBeginUser;
  PetscCall(ContentsReadOld(path, &old));
  const PetscBool training = strcmp(old->kind, "train") ? PETSC_FALSE : PETSC_TRUE;
  PetscCall(ContentsDestroy(&old));
  if (training)
    PetscCall(LockAndConvertTraining(out, path));
  else
    PetscCall(SweepConvert(out, path));
  PetscFunctionReturn(0);
}

// Rank 0 converts; the others learn whether it could.
PetscErrorCode CommandConvert(const char *path, int *exit_code) {
  char out[PETSC_MAX_PATH_LEN] = "";
  CtpgOptions options;
  PetscErrorCode error = 0;
  int rank;

  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(CtpgOptionsCreate(NULL, "convert", &options));
  PetscCall(CtpgOptionsText(options, "out", "results file to be made", out, sizeof out));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(RefuseUnusedOptions());
  PetscCheck(path[0] && out[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "convert needs a file and a name for the new one: ctpgbench convert old.h5 -out new.h5");
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) error = Convert(out, path);
  PetscCall(CtpgAgreeOnSuccess(PETSC_COMM_WORLD, error));
  PetscFunctionReturn(0);
}
