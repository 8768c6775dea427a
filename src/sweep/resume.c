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

// The references that runs wait for.
static PetscErrorCode ReadReferences(Sweep *s, CtpgContents old) {
  const CtpgPlan *plan = &s->plan;
  ContentsGradient *wanted;
  PetscInt n = 0;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->ncases, &wanted));
  for (PetscInt r = 0; r < plan->nruns; r++) {
    const PetscInt c = PlanCaseOf(plan, r), nx = plan->problems[PlanProblemOf(plan, c)].dims.nx;
    if ((s->run_done[r] && !AgainIsRetimed(s, r)) || !s->case_done[c] || s->products[c]) continue;
    PetscCall(CreateProduct(s, c, (CtpgStatus)old->cases[c].status, old->cases[c].loss));
    if (old->cases[c].status == CTPG_OK)
      wanted[n++] = (ContentsGradient){c, s->products[c] + 2, s->products[c] + 2 + nx};
  }
  PetscCall(ContentsReadGradients(old, n, wanted));
  PetscCall(PetscFree(wanted));
  PetscFunctionReturn(0);
}

// Rank 0, -retry_crashed: rows of crashed runs count as not done (TakeRun), and a crashed reference takes its runs,
// which have no errors, along.
static void ForgetCrashed(Sweep *s, CtpgContents old) {
  for (PetscInt c = 0; c < old->ncases; c++)
    if (old->cases[c].status == CTPG_CRASHED) s->case_done[c] = PETSC_FALSE;
  for (PetscInt r = 0; r < s->plan.nruns; r++)
    if (old->cases[PlanCaseOf(&s->plan, r)].status == CTPG_CRASHED) s->run_done[r] = PETSC_FALSE;
}

static void TakeRun(void *sweep, PetscInt r, const CtpgRunRow *row, PetscBool done) {
  Sweep *s = sweep;
  const PetscBool again = s->plan.limits.retry_crashed && row->status == CTPG_CRASHED ? PETSC_TRUE : PETSC_FALSE;
  s->run_done[r] = done && !again ? PETSC_TRUE : PETSC_FALSE;
  AgainKeep(s, r, row);
}

PetscErrorCode SweepReadRuns(Sweep *s, const CtpgStorePlan *layout, Held *held) {
  PetscFunctionBeginUser;
  *held = (Held){.plan = &s->plan, .layout = layout, .costs = s->costs, .take = TakeRun, .context = s};
  PetscCall(AgainRemember(s));
  PetscCall(HeldRead(s->plan.out, held));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepTakeProgress(Sweep *s, CtpgContents old) {
  PetscFunctionBeginUser;
  PetscCall(PetscArraycpy(s->case_done, old->case_done, s->plan.ncases));
  if (s->plan.limits.retry_crashed) ForgetCrashed(s, old);
  AgainChoose(s);
  PetscCall(ReadReferences(s, old));
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
