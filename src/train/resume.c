// resume.c -- what a training takes over from earlier sessions: finished runs, what others match of them, crashes

#include "train/resume.h"
#include "job/marks.h"
#include <string.h>

// Rank 0, -retry_crashed: rows of crashed runs count as not done, and with them those that would have matched one.
static void ForgetCrashed(Train *t, TrainContents contents) {
  for (PetscInt r = 0; r < t->nruns; r++) {
    const PetscInt other = t->waits_for[r];
    if (contents->rows[r].status == CTPG_CRASHED || (other >= 0 && contents->rows[other].status == CTPG_CRASHED))
      t->done[r] = PETSC_FALSE;
  }
}

static PetscErrorCode PutCrashed(Train *t, PetscInt r, int64_t iteration, const CtpgCrashMark *mark) {
  TrainRow row = t->rows[r];
  PetscFunctionBeginUser;
  row.status = CTPG_CRASHED;
  row.iterations_done = PetscMax(iteration, 0);
  MarkReason(mark, row.reason, sizeof row.reason);
  PetscCall(TrainStorePutRow(t->store, r, &row));
  if (t->limits.retry_crashed) PetscFunctionReturn(0);
  t->done[r] = PETSC_TRUE;
  t->works[r] = TrainWorkOf(t, &row);
  PetscFunctionReturn(0);
}

typedef struct {
  Train *train;
  TrainContents contents;
} Taking;

// A mark becomes a row, unless the row was finished in spite of it.
static PetscErrorCode TakeOverMark(void *taking, const CtpgCrashMark *mark, PetscInt *taken) {
  Train *t = ((Taking *)taking)->train;
  const TrainContents contents = ((Taking *)taking)->contents;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < t->nruns; r++)
    if (t->rows[r].run_key == mark->key && !t->done[r]) {
      PetscCall(PutCrashed(t, r, contents->slot[r], mark));
      (*taken)++;
    }
  PetscFunctionReturn(0);
}

static PetscErrorCode Sync(void *taking) {
  return TrainStoreSync(((Taking *)taking)->train->store);
}

PetscErrorCode TrainReadProgress(Train *t) {
  TrainContents contents;
  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(t->out, &contents));
  PetscCall(PetscArraycpy(t->done, contents->done, t->nruns));
  for (PetscInt r = 0; r < t->nruns; r++)
    if (t->done[r]) t->works[r] = TrainWorkOf(t, contents->rows + r);
  for (PetscInt r = 0; r < t->nruns; r++) {
    const double iterations = (double)contents->rows[r].iterations;
    if (contents->slot[r] > 0 && iterations > contents->slot[r])
      t->part[r] = 1 - (double)contents->slot[r] / iterations;
  }
  if (t->limits.retry_crashed) ForgetCrashed(t, contents);
  Taking taking = {t, contents};
  const MarkActions actions = {.context = &taking, .put = TakeOverMark, .sync = Sync};
  PetscCall(MarksTakeOver(t->out, t->limits.retry_crashed, &actions));
  PetscCall(TrainContentsDestroy(&contents));
  PetscFunctionReturn(0);
}
