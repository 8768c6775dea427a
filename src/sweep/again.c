// again.c -- see again.h

#include "sweep/again.h"
#include "base/parse.h"
#include "store/digest.h"
#include <stdio.h>
#include <string.h>

// ---- what is chosen

static PetscBool IsChosen(const CtpgPlan *plan, const char *list, PetscInt run) {
  const CtpgPair *pair = PlanGetPair(plan, run);
  return list[0] && (ParseIsListed(list, "all") || ParseIsListed(list, pair->problem->label) ||
                     ParseIsListed(list, pair->estimator.label))
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static PetscBool IsLabel(const CtpgPlan *plan, const char *word) {
  for (PetscInt p = 0; p < plan->nproblems; p++)
    if (!strcmp(plan->problems[p].label, word)) return PETSC_TRUE;
  for (PetscInt e = 0; e < plan->nestimators; e++)
    if (!strcmp(plan->pairs[e].estimator.label, word)) return PETSC_TRUE;
  return strcmp(word, "all") ? PETSC_FALSE : PETSC_TRUE;
}

static PetscErrorCode CheckList(const CtpgPlan *plan, const char *option, const char *list) {
  char **word;
  PetscInt n;
  PetscFunctionBeginUser;
  PetscCall(PetscStrToArray(list, ',', &n, &word));
  for (PetscInt i = 0; i < n; i++)
    PetscCheck(IsLabel(plan, word[i]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-%s %s is no label of this plan; expected labels of its problems or estimators, or all", option,
               word[i]);
  PetscCall(PetscStrToArrayDestroy(n, word));
  PetscFunctionReturn(0);
}

PetscErrorCode AgainCheck(const CtpgPlan *plan, int size) {
  PetscFunctionBeginUser;
  PetscCall(CheckList(plan, "retime", plan->retime));
  PetscCall(CheckList(plan, "redo", plan->redo));
  PetscCheck(!plan->retime[0] || !plan->redo[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-retime and -redo are both given; expected one of them: what is redone is timed, too");
  PetscCheck(!plan->retime[0] || size == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-retime measures rows alone, and there are %d ranks; expected one", size);
  PetscFunctionReturn(0);
}

// A problem takes its references along.
static void Forget(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  for (PetscInt c = 0; c < plan->ncases; c++)
    if (ParseIsListed(plan->redo, "all") || ParseIsListed(plan->redo, plan->problems[PlanProblemOf(plan, c)].label))
      s->case_done[c] = PETSC_FALSE;
  for (PetscInt r = 0; r < plan->nruns; r++)
    if (IsChosen(plan, plan->redo, r)) s->run_done[r] = PETSC_FALSE;
}

PetscErrorCode AgainRemember(Sweep *s) {
  PetscFunctionBeginUser;
  if (s->plan.retime[0] && !s->again.before) PetscCall(PetscMalloc1(s->plan.nruns, &s->again.before));
  PetscFunctionReturn(0);
}

void AgainKeep(Sweep *s, PetscInt r, const CtpgRunRow *row) {
  if (!s->again.before) return;
  s->again.before[r] = *row;
  if (!IsChosen(&s->plan, s->plan.retime, r) || row->status != CTPG_OK) s->again.before[r].status = CTPG_PENDING;
}

void AgainChoose(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  if (plan->redo[0]) Forget(s);
  for (PetscInt r = 0; s->again.before && r < plan->nruns; r++)
    if (!s->run_done[r] || !s->case_done[PlanCaseOf(plan, r)]) s->again.before[r].status = CTPG_PENDING;
}

// ---- before the work

static PetscErrorCode PutPending(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < plan->nruns; r++) {
    CtpgRunRow row;
    if (s->run_done[r] || !IsChosen(plan, plan->redo, r)) continue;
    PlanGetRun(plan, r, &row);
    PetscCall(StorePutRun(s->store, r, &row, NULL, NULL));
  }
  for (PetscInt c = 0; c < plan->ncases; c++) {
    CtpgCaseRow row;
    if (s->case_done[c]) continue;
    PlanGetCase(plan, c, &row);
    PetscCall(StorePutCase(s->store, c, &row, NULL, NULL));
  }
  PetscCall(StoreSync(s->store));
  PetscFunctionReturn(0);
}

PetscErrorCode AgainBegin(Sweep *s) {
  PetscFunctionBeginUser;
  if (s->plan.redo[0]) PetscCall(PutPending(s));
  for (PetscInt c = 0; s->again.before && c < s->plan.ncases; c++) s->case_done[c] = PETSC_TRUE;
  for (PetscInt r = 0; s->again.before && r < s->plan.nruns; r++)
    s->run_done[r] = AgainIsRetimed(s, r) ? PETSC_FALSE : PETSC_TRUE;
  PetscFunctionReturn(0);
}

// ---- during the work

PetscBool AgainIsRetimed(const Sweep *s, PetscInt r) {
  return s->again.before && s->again.before[r].status != CTPG_PENDING ? PETSC_TRUE : PETSC_FALSE;
}

void AgainCompare(Sweep *s, PetscInt r, const CtpgRunRow *row, PetscBool *same) {
  const CtpgRunRow *before = s->again.before + r;
  *same = ContentsSameScience(before, row);
  if (*same) {
    s->again.measured++;
    return;
  }
  if (!s->again.differing++) {
    char column[128];
    ContentsDifference(&StoreRunLayout, before, row, column, sizeof column);
    snprintf(s->again.first, sizeof s->again.first, "%s on %s, seed %lld, accuracy %.6g: %s",
             s->plan.pairs[row->estimator].estimator.label, s->plan.problems[row->problem].label, (long long)row->seed,
             row->accuracy, column);
  }
}

PetscErrorCode AgainConclude(const Sweep *s) {
  PetscFunctionBeginUser;
  if (!s->again.before) PetscFunctionReturn(0);
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "-retime: %d rows measured again\n", (int)s->again.measured));
  if (s->again.differing)
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: %d rows keep their times, for this program gives them other results: first %s\n",
                           (int)s->again.differing, s->again.first));
  PetscFunctionReturn(0);
}

PetscErrorCode AgainDestroy(Sweep *s) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(s->again.before));
  PetscFunctionReturn(0);
}
