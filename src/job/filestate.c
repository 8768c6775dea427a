// filestate.c -- see filestate.h

#define _GNU_SOURCE // strsep
#include "job/filestate.h"
#include "base/wrap.h"
#include "job/fingerprint.h"
#include "job/outcome.h"
#include "store/lock.h"
#include <string.h>

// What is not what was written, and what nobody vouches for.
PetscErrorCode StatePrintDamage(CtpgContents f, const char *rows) {
  PetscFunctionBeginUser;
  if (f->unverified[0]) PetscCall(CtpgPrintWrapped(2, "unverified: %s", f->unverified));
  if (f->torn)
    PetscCall(
        CtpgPrintWrapped(2,
                         "%d %s fail their checksum: the file was damaged, or the power was cut; the same command "
                         "repeats them",
                         (int)f->torn, rows));
  if (f->misread)
    PetscCall(CtpgPrintWrapped(2,
                               "%d rows are not what they were when the file was made (key, seed or start): it was "
                               "damaged; the same command makes them good",
                               (int)f->misread));
  if (f->damaged[0])
    PetscCall(
        CtpgPrintWrapped(2, "%s fails its checksum: the file was damaged; the same command makes it good", f->damaged));
  PetscFunctionReturn(0);
}

static PetscBool IsDamaged(CtpgContents f) {
  return f->torn || f->misread || f->damaged[0] ? PETSC_TRUE : PETSC_FALSE;
}

// What -verify ends with; an error where anything is damaged.
PetscErrorCode StateConclude(CtpgContents f, PetscBool verify) {
  PetscFunctionBeginUser;
  if (!verify) PetscFunctionReturn(0);
  PetscCheck(!IsDamaged(f), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "%s is damaged, see above", f->path);
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "verified: every row, array, label and option is what was written\n"));
  PetscFunctionReturn(0);
}

// The job that has the file now, and what its ranks do.
PetscErrorCode StatePrintHolder(const char *path) {
  char holder[512], *lines;
  PetscFunctionBeginUser;
  StoreLockHolder(path, holder, sizeof holder);
  if (!holder[0]) PetscFunctionReturn(0);
  PetscCall(CtpgPrintWrapped(2, "in use by %s", holder));
  PetscCall(OutcomeRead(path, &lines));
  for (char *rest = lines, *line; rest && (line = strsep(&rest, "\n")) && line[0];)
    PetscCall(CtpgPrintWrapped(4, "  %s", line));
  PetscCall(PetscFree(lines));
  PetscFunctionReturn(0);
}

// Are the times of all sessions of one machine?
static PetscErrorCode PrintMachines(CtpgContents f) {
  PetscInt first = -1, others = 0, other = -1;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < f->nsessions; i++) {
    const char *machine = f->session_row[i].machine;
    if (!machine[0]) continue;
    if (first < 0) first = i;
    if (FingerprintSameMachine(f->session_row[first].machine, machine)) continue;
    others++;
    if (other < 0) other = i;
  }
  if (others)
    PetscCall(CtpgPrintWrapped(4,
                               "times of %d sessions cannot be compared with those of session %d: their machine is "
                               "another one, first in session %d\n",
                               (int)others, (int)first, (int)other));
  PetscFunctionReturn(0);
}

// Rows that were computed with another arithmetic than the file was begun with.
static PetscErrorCode PrintMixed(CtpgContents f) {
  PetscInt mixed = 0;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < f->nruns; r++) mixed += f->run_done[r] && f->runs[r].mixed;
  for (PetscInt c = 0; c < f->ncases; c++) mixed += f->case_done[c] && f->cases[c].mixed;
  if (mixed)
    PetscCall(
        PetscPrintf(PETSC_COMM_WORLD, "mixed: %d rows are of another arithmetic than the first session\n", (int)mixed));
  PetscFunctionReturn(0);
}

// Provenance: the first session and the last ones.
PetscErrorCode StatePrintSessions(CtpgContents f) {
  const PetscInt shown = 3;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < f->nsessions; i++) {
    if (i == 1 && f->nsessions > shown + 1)
      PetscCall(PetscPrintf(PETSC_COMM_WORLD, "... %d sessions between\n", (int)(f->nsessions - shown - 1)));
    if (i == 0 || i >= f->nsessions - shown)
      PetscCall(CtpgPrintWrapped(4, "%ssession %d: %s", i ? "" : "\n", (int)i, f->session[i]));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
  PetscCall(PrintMachines(f));
  PetscCall(PrintMixed(f));
  PetscFunctionReturn(0);
}
