// marks.c -- see marks.h

#include "job/marks.h"
#include "job/watchdog.h"
#include <stdio.h>

PetscErrorCode MarksTakeOver(const char *path, PetscBool retry, const MarkActions *actions) {
  CtpgCrashMark *marks;
  PetscInt n, taken = 0;

  PetscFunctionBeginUser;
  PetscCall(CrashRead(path, &n, &marks));
  for (PetscInt i = 0; i < n; i++) PetscCall(actions->put(actions->context, marks + i, &taken));
  PetscCall(PetscFree(marks));
  if (taken) {
    PetscCall(actions->sync(actions->context));
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d crashed in the last session: %s\n", path, (int)taken,
                          retry ? "run again" : "skipped from now on (-retry_crashed runs them again)"));
  }
  PetscCall(CrashRemove(path));
  PetscFunctionReturn(0);
}

void MarkReason(const CtpgCrashMark *mark, char *text, size_t size) {
  snprintf(text, size, "%s in an earlier session; -retry_crashed %s it again", CrashSignalName(mark->signal),
           mark->kind == CTPG_CRASH_CASE ? "computes" : "runs");
}

void JobEnter(CtpgCrashKind kind, uint64_t key, double limit, const char *name) {
  CrashWatch(kind, key, "%s", name);
  WatchdogEnter(limit, "%s", name);
}

void JobLeave(void) {
  WatchdogLeave();
  CrashUnwatch();
}
