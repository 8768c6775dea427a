// merge.c -- `ctpgbench merge a.h5 b.h5 ... -out all.h5`

#include "commands/program.h"
#include "run/accuracy.h"
#include "base/options_engine.h"
#include "commands/words.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "sweep/merge.h"

// Rank 0 merges; the others learn whether it could.
PetscErrorCode CommandMerge(const char *word, int *exit_code) {
  char out[PETSC_MAX_PATH_LEN] = "";
  CtpgOptions options;
  PetscBool allow_mixed = PETSC_FALSE;
  PetscErrorCode error = 0;
  int rank, n;

  PetscFunctionBeginUser;
  (void)word, (void)exit_code;
  const char *const *paths = CtpgWords(&n);
  PetscCall(CtpgOptionsCreate(NULL, "merge", &options));
  PetscCall(CtpgOptionsText(options, "out", "results file to be made", out, sizeof out));
  PetscCall(CtpgOptionsBool(options, "allow_mixed",
                            "unite files that were computed with two arithmetics, and mark the rows", &allow_mixed));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(RefuseUnusedOptions());
  PetscCheck(n && out[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "merge needs files and a name for the new one: ctpgbench merge a.h5 b.h5 -out all.h5");
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) error = SweepMerge(out, n, paths, allow_mixed);
  PetscCall(CtpgAgreeOnSuccess(PETSC_COMM_WORLD, error));
  PetscFunctionReturn(0);
}
