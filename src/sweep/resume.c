// resume.c -- what a sweep takes over from earlier sessions: finished rows, references that runs wait for, crashes

#include "sweep/resume.h"
#include "job/marks.h"
#include "sweep/again.h"
#include <math.h>

// What the runs of a case wait for when its reference is in the file: the scheduler's product, its gradient yet to be
// read.
static PetscErrorCode CreateProduct(Sweep *s, PetscInt c, CtpgStatus status, PetscReal loss) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(PlanProductSize(&s->plan, c), &s->products[c]));
  s->products[c][0] = status;
  s->products[c][1] = loss;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadReference(Sweep *s, CtpgContents old, PetscInt c) {
  const PetscInt nx = s->plan.problems[PlanProblemOf(&s->plan, c)].dims.nx;
  const CtpgCaseRow *row = old->cases + c;
  PetscFunctionBeginUser;
  PetscCall(CreateProduct(s, c, (CtpgStatus)row->status, row->loss));
  if (row->status == CTPG_OK) PetscCall(ContentsReadGradient(old, c, s->products[c] + 2, s->products[c] + 2 + nx));
  PetscFunctionReturn(0);
}

// Rank 0, -retry_crashed: rows of crashed runs count as not done, and a crashed reference takes its runs, which have no
// errors, along.
static void ForgetCrashed(Sweep *s, CtpgContents old) {
  for (PetscInt c = 0; c < old->ncases; c++)
    if (old->cases[c].status == CTPG_CRASHED) s->case_done[c] = PETSC_FALSE;
  for (PetscInt r = 0; r < old->nruns; r++)
    if (old->runs[r].status == CTPG_CRASHED || old->cases[PlanCaseOf(&s->plan, r)].status == CTPG_CRASHED)
      s->run_done[r] = PETSC_FALSE;
}

PetscErrorCode SweepReadProgress(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  CtpgContents old;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(plan->out, &old));
  PetscCall(PetscArraycpy(s->case_done, old->case_done, plan->ncases));
  PetscCall(PetscArraycpy(s->run_done, old->run_done, plan->nruns));
  if (plan->limits.retry_crashed) ForgetCrashed(s, old);
  PetscCall(AgainChoose(s, old));
  PlanLearnFile(plan, old, s->costs);
  for (PetscInt r = 0; r < plan->nruns; r++) {
    const PetscInt c = PlanCaseOf(plan, r);
    if ((!s->run_done[r] || AgainIsRetimed(s, r)) && s->case_done[c] && !s->products[c])
      PetscCall(ReadReference(s, old, c));
  }
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

static PetscErrorCode PutCrashedRun(Sweep *s, PetscInt r, const CtpgCrashMark *mark) {
  CtpgRunRow row;
  PetscFunctionBeginUser;
  PlanGetRun(&s->plan, r, &row);
  row.status = CTPG_CRASHED;
  MarkReason(mark, row.reason, sizeof row.reason);
  PetscCall(StorePutRun(s->store, r, &row, NULL, NULL));
  s->run_done[r] = s->plan.limits.retry_crashed ? PETSC_FALSE : PETSC_TRUE;
  PetscFunctionReturn(0);
}

static PetscErrorCode PutCrashedCase(Sweep *s, PetscInt c, const CtpgCrashMark *mark) {
  CtpgCaseRow row;
  PetscFunctionBeginUser;
  PlanGetCase(&s->plan, c, &row);
  row.status = CTPG_CRASHED;
  MarkReason(mark, row.reason, sizeof row.reason);
  PetscCall(StorePutCase(s->store, c, &row, NULL, NULL));
  if (s->plan.limits.retry_crashed) PetscFunctionReturn(0);
  s->case_done[c] = PETSC_TRUE;
  PetscCall(CreateProduct(s, c, CTPG_CRASHED, NAN));
  PetscFunctionReturn(0);
}

// A mark becomes a row, unless the row was finished in spite of it.
static PetscErrorCode TakeOverMark(void *sweep, const CtpgCrashMark *mark, PetscInt *taken) {
  Sweep *s = sweep;
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt c = 0; mark->kind == CTPG_CRASH_CASE && c < plan->ncases; c++)
    if (plan->case_keys[c] == mark->key && !s->case_done[c]) {
      PetscCall(PutCrashedCase(s, c, mark));
      (*taken)++;
    }
  for (PetscInt r = 0; mark->kind == CTPG_CRASH_RUN && r < plan->nruns; r++)
    if (!s->run_done[r] && PlanKeyOf(plan, r) == mark->key) {
      PetscCall(PutCrashedRun(s, r, mark));
      (*taken)++;
    }
  PetscFunctionReturn(0);
}

static PetscErrorCode Sync(void *sweep) {
  return StoreSync(((Sweep *)sweep)->store);
}

PetscErrorCode SweepTakeOverMarks(Sweep *s) {
  const MarkActions actions = {.context = s, .put = TakeOverMark, .sync = Sync};
  return MarksTakeOver(s->plan.out, s->plan.limits.retry_crashed, &actions);
}
