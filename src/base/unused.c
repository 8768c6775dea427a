// unused.c -- see unused.h; PETSc knows which options of its database were looked up

#include "base/unused.h"
#include "base/options_engine.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

// Keys that PETSc reads when a solver or PetscFinalize gets there, perhaps never; a star stands for any ending.
static const char *const LATE_KEYS[] = {"citations",
                                        "debugger_*",
                                        "display",
                                        "error_output_*",
                                        "fp_trap*",
                                        "help",
                                        "history",
                                        "info*",
                                        "log_*",
                                        "malloc*",
                                        "memory_view",
                                        "nox*",
                                        "no_signal_handler",
                                        "not_shared_tmp",
                                        "objects_dump",
                                        "on_error_*",
                                        "options_left",
                                        "options_monitor*",
                                        "options_view",
                                        "petsc_ci*",
                                        "saws*",
                                        "shared_tmp",
                                        "skip_petscrc",
                                        "tmp",
                                        "version",
                                        NULL};

static PetscBool IsLateKey(const char *name) {
  for (const char *const *key = LATE_KEYS; *key; key++) {
    const size_t stem = strcspn(*key, "*");
    if (!strncasecmp(name, *key, stem) && ((*key)[stem] || !name[stem])) return PETSC_TRUE;
  }
  return PETSC_FALSE;
}

// key = the first option of the database that nobody read and nobody excuses, "" when there is none. `ambient` holds
// what PETSC_OPTIONS and the .petscrc files say.
static PetscErrorCode FindUnused(PetscOptions ambient, char *key, size_t size) {
  PetscInt n;
  char **names, **values;

  PetscFunctionBegin;
  key[0] = 0;
  PetscCall(PetscOptionsLeftGet(NULL, &n, &names, &values));
  for (PetscInt i = 0; i < n && !key[0]; i++) {
    char candidate[PETSC_MAX_OPTION_NAME];
    PetscBool is_ambient;
    snprintf(candidate, sizeof candidate, "-%s", names[i]);
    PetscCall(PetscOptionsHasName(ambient, NULL, candidate, &is_ambient));
    if (!is_ambient && !IsLateKey(names[i])) PetscCall(PetscStrncpy(key, candidate, size));
  }
  PetscCall(PetscOptionsLeftRestore(NULL, &n, &names, &values));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadAllowUnused(PetscBool *allow) {
  CtpgOptions options;

  PetscFunctionBegin;
  PetscCall(CtpgOptionsCreate(NULL, NULL, &options));
  PetscCall(CtpgOptionsBool(options, "allow_unused", "go on although an option was read by nobody", allow));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// Rank 0 decides for all, so that all raise the same error. Without arguments PetscOptionsInsert reads exactly the
// environment and the .petscrc files.
PetscErrorCode UnusedRefuse(UnusedExplain *explain) {
  PetscBool allow = PETSC_FALSE, help;
  PetscOptions ambient;
  char key[PETSC_MAX_OPTION_NAME];

  PetscFunctionBegin;
  PetscCall(ReadAllowUnused(&allow));
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  if (help) PetscFunctionReturn(CTPG_HELP_PRINTED);
  if (allow) PetscFunctionReturn(0);
  PetscCall(PetscOptionsCreate(&ambient));
  PetscCall(PetscOptionsInsert(ambient, NULL, NULL, NULL));
  PetscCall(FindUnused(ambient, key, sizeof key));
  PetscCall(PetscOptionsDestroy(&ambient));
  PetscCallMPI(MPI_Bcast(key, sizeof key, MPI_CHAR, 0, PETSC_COMM_WORLD));
  if (!key[0]) PetscFunctionReturn(0);
  const char *explanation = explain ? explain(key) : NULL;
  PetscCheck(!explanation, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s", key, explanation);
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
          "unknown option %s; did you mean %s? (-allow_unused goes on in spite of it)", key,
          CtpgNearest(key, OptionsKnownKeys()));
}
