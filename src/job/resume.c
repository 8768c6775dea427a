// resume.c -- see resume.h

#include "job/resume.h"
#include "job/crash.h"
#include "run/plugins.h"
#include "store/lock.h"
#include <string.h>

PetscErrorCode ResumeSay(const char *path, PetscBool anew, PetscInt held, PetscInt done, PetscInt planned) {
  PetscFunctionBeginUser;
  if (anew)
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: laid out anew for %d runs in place of %d, %d of them done\n", path,
                          (int)planned, (int)held, (int)done));
  else
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: resumed, %d of %d runs done\n", path, (int)done, (int)held));
  PetscFunctionReturn(0);
}

PetscErrorCode ResumeWarn(const char *path, CtpgContents old, const char *isa) {
  const char *plugins = PluginsDescribe();
  PetscFunctionBeginUser;
  if (plugins[0] && old->nsessions && !strstr(old->session[old->nsessions - 1], plugins))
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: the plug-ins are not those of the last session of %s, though their versions are: "
                           "if results changed, raise .version and take another -out\n",
                           path));
  if (strcmp(old->isa, isa))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s was begun on '%s', this is '%s': bits may differ between them\n",
                          path, old->isa, isa));
  PetscFunctionReturn(0);
}

PetscErrorCode ResumeRelease(const char *path, int rank) {
  PetscFunctionBeginUser;
  PetscCall(CrashClose());
  if (!rank) PetscCall(CrashRemove(path));
  StoreUnlock();
  PetscFunctionReturn(0);
}
