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

static PetscErrorCode NameChange(const char *path, const char *what, const char *there, const char *here) {
  PetscFunctionBeginUser;
  if (there[0] && strcmp(there, here))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s is '%s' in the last session of %s and '%s' here\n", what, there,
                          path, here));
  PetscFunctionReturn(0);
}

PetscErrorCode ResumeWarn(const char *path, CtpgContents old, const CtpgSession *session) {
  const char *plugins = PluginsDescribe();
  PetscFunctionBeginUser;
  if (!old->nsessions) PetscFunctionReturn(0);
  const CtpgSession *last = old->session_row + old->nsessions - 1;
  if (plugins[0] && last->start[0] && !strstr(last->versions, plugins))
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: the plug-ins are not those of the last session of %s, though their versions are: "
                           "if results changed, raise .version and take another -out, or compute what is of them anew "
                           "with -redo LABEL\n",
                           path));
  PetscCall(NameChange(path, "the commit", last->commit, session->commit));
  PetscCall(NameChange(path, "the compiler", last->compiler, session->compiler));
  PetscCall(NameChange(path, "the flags", last->flags, session->flags));
  if (last->machine[0] && !FingerprintSameMachine(last->machine, session->machine))
    PetscCall(PetscPrintf(PETSC_COMM_SELF,
                          "note: the machine is '%s' in the last session of %s and '%s' here: times of the two cannot "
                          "be compared\n",
                          last->machine, path, session->machine));
  PetscFunctionReturn(0);
}

void ResumeBegun(CtpgContents old, const CtpgSession *session, char begun[FINGERPRINT_SIZE]) {
  FingerprintFirst(session->arithmetic, begun);
  for (PetscInt i = 0; old && i < old->nsessions; i++)
    if (old->session_row[i].arithmetic[0]) {
      FingerprintFirst(old->session_row[i].arithmetic, begun);
      return;
    }
}

PetscErrorCode ResumeRefuseMixed(const char *path, const char *begun, const CtpgSession *session,
                                 const FingerprintLabels *labels, PetscBool allowed) {
  char difference[256];
  PetscFunctionBeginUser;
  if (!FingerprintDifference(begun, session->arithmetic, labels, difference, sizeof difference)) PetscFunctionReturn(0);
  PetscCheck(allowed, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "-out %s was begun with another arithmetic than that of this session (%s): its rows would not have the "
             "bits of one program; give another -out, or -allow_mixed, which marks them",
             path, difference);
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s is mixed, %s: rows of this session that it concerns are marked\n",
                        path, difference));
  PetscFunctionReturn(0);
}

PetscErrorCode ResumeIsMixed(MPI_Comm comm, char begun[FINGERPRINT_SIZE], const FingerprintLabels *labels, int *mixed) {
  char difference[256];
  const char *mine;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(begun, FINGERPRINT_SIZE, MPI_CHAR, 0, comm));
  PetscCall(FingerprintArithmetic(&mine));
  *mixed = FingerprintDifference(begun, mine, labels, difference, sizeof difference);
  PetscFunctionReturn(0);
}

PetscErrorCode ResumeRelease(const char *path, int rank) {
  PetscFunctionBeginUser;
  PetscCall(CrashClose());
  if (!rank) PetscCall(CrashRemove(path));
  StoreUnlock();
  PetscFunctionReturn(0);
}
