// file.c -- the results file of a sweep: made for its plan, resumed, or laid out anew for a larger plan

#include "job/crash.h"
#include "run/case.h"
#include "base/keys.h"
#include "job/resume.h"
#include "base/options_engine.h"
#include "base/system.h"
#include "run/describe.h"
#include "job/errors.h"
#include "job/outcome.h"
#include "run/plugins.h"
#include "job/session.h"
#include "store/lock.h"
#include "sweep/again.h"
#include "sweep/file.h"
#include "sweep/fill.h"
#include "sweep/resume.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static PetscErrorCode DescribeLabels(Sweep *s, CtpgLabelInfo *problems, CtpgLabelInfo *estimators) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    DescribeProblem(plan->problems + p, problems + p);
    problems[p].ncases = PlanCountCases(plan, p);
    if (!s->rank)
      PetscCall(FillCosts(plan->problems + p, plan->first_seed[p], (uint64_t)plan->experiment, problems + p));
  }
  for (PetscInt e = 0; e < plan->nestimators; e++) DescribeEstimator(&plan->pairs[e].estimator, estimators + e);
  PetscFunctionReturn(0);
}

// A file may be enlarged by a plan that holds all its runs; any other file is refused.
static PetscErrorCode RefuseOtherPlan(const CtpgPlan *plan, CtpgContents old) {
  char difference[512], shard[32];
  PetscInt missing, first, n = 0, *rows;
  uint64_t *keys, *now;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(old->nruns, &keys, old->nruns, &rows));
  for (PetscInt r = 0; r < old->nruns; r++)
    if (old->runs[r].problem >= 0) keys[n] = old->runs[r].run_key, rows[n++] = r; // the others are damaged
  PetscCall(PlanListRunKeys(plan, &now));
  PetscCall(KeysFindMissing((KeyColumn){keys, sizeof *keys, n}, (KeyColumn){now, sizeof *now, plan->nruns}, &missing,
                            &first));
  const CtpgRunRow *row = missing ? old->runs + rows[first] : NULL;
  PetscCall(PetscFree(now));
  PetscCall(PetscFree2(keys, rows));
  if (!missing) PetscFunctionReturn(0);
  DescribeLabelDifference(plan->nproblems, plan->problems, plan->nestimators, plan->pairs, old, difference,
                          sizeof difference);
  snprintf(shard, sizeof shard, "%d/%d", (int)plan->shard, (int)plan->nshards);
  if (!difference[0] && strcmp(shard, old->shard))
    snprintf(difference, sizeof difference, "; -shard is %s there and %s here", old->shard, shard);
  SETERRQ(
      PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "-out %s holds another plan: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy %.6g%s; "
      "give another -out, or a plan that includes them",
      plan->out, (int)missing, (int)old->nruns, row->estimator >= 0 ? old->estimator[row->estimator] : "?",
      row->problem >= 0 ? old->problem[row->problem] : "?", (long long)row->seed, row->accuracy, difference);
}

// Same labels in the same places, same runs in the same rows: the file can be written into as it is.
static PetscBool HasLayout(CtpgContents old, const CtpgPlan *plan, const CtpgStorePlan *layout) {
  PetscBool same = old->writable && old->nproblems == layout->nproblems && old->nestimators == layout->nestimators &&
                           old->ncases == layout->ncases && old->nruns == layout->nruns &&
                           old->save_gradients == layout->save_gradients
                       ? PETSC_TRUE
                       : PETSC_FALSE;
  for (PetscInt p = 0; same && p < old->nproblems; p++)
    if (strcmp(old->problem[p], layout->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < old->nestimators; e++)
    if (strcmp(old->estimator[e], layout->estimators[e].label)) same = PETSC_FALSE;
  for (PetscInt r = 0; same && r < old->nruns; r++)
    if (old->runs[r].run_key != PlanKeyOf(plan, r)) same = PETSC_FALSE;
  return same;
}

static FingerprintLabels LabelsOf(const CtpgStorePlan *layout) {
  return (FingerprintLabels){layout->nproblems, layout->nestimators, layout->problems, layout->estimators};
}

// Rank 0: the file at -out for this plan: a new one, the one that is there, or another one with its rows. Gradients
// that a file holds stay in it.
static PetscErrorCode PrepareFile(Sweep *s, const CtpgSession *session, CtpgStorePlan *layout) {
  const CtpgPlan *plan = &s->plan;
  const FingerprintLabels labels = LabelsOf(layout);
  CtpgContents old = NULL;
  PetscInt done = 0;

  PetscFunctionBeginUser;
  if (access(plan->out, F_OK)) {
    ResumeBegun(NULL, session, s->begun);
    PetscCall(ResumeRefuseMixed(plan->out, s->begun, session, &labels, plan->limits.allow_mixed));
    PetscCall(StoreCreate(plan->out, layout, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(ContentsRead(plan->out, &old));
  PetscCheck(!strcmp(old->kind, layout->kind), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "-out %s is a file of kind %s, not of a sweep; expected another name", plan->out, old->kind);
  PetscCall(RefuseOtherPlan(plan, old));
  ResumeBegun(old, session, s->begun);
  PetscCall(ResumeRefuseMixed(plan->out, s->begun, session, &labels, plan->limits.allow_mixed));
  for (PetscInt r = 0; r < old->nruns; r++) done += old->run_done[r] ? 1 : 0;
  if (old->save_gradients) layout->save_gradients = PETSC_TRUE;
  const PetscBool anew = HasLayout(old, plan, layout) ? PETSC_FALSE : PETSC_TRUE;
  PetscCall(ResumeSay(plan->out, anew, old->nruns, done, plan->nruns));
  if (anew) PetscCall(StoreCreate(plan->out, layout, old));
  PetscCall(ResumeWarn(plan->out, old, session));
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// ---- rows as the skeleton holds them

typedef struct {
  const CtpgPlan *plan;
  const CtpgLabelInfo *problems;
  CtpgCase drawn; // the last one
} DrawnRows;

static void GetCase(const void *context, PetscInt c, CtpgCaseRow *row) {
  PlanGetCase(((const DrawnRows *)context)->plan, c, row);
}

static void GetRun(const void *context, PetscInt r, CtpgRunRow *row) {
  PlanGetRun(((const DrawnRows *)context)->plan, r, row);
}

static PetscErrorCode GetStart(void *context, PetscInt c, StoreStart *start) {
  DrawnRows *rows = context;
  const PetscBool has_theta = rows->problems[PlanProblemOf(rows->plan, c)].has_theta;
  PetscFunctionBeginUser;
  PetscCall(CaseDestroy(&rows->drawn));
  PetscCall(PlanDrawCase(rows->plan, c, &rows->drawn));
  *start = (StoreStart){rows->drawn.x0, rows->drawn.task, has_theta ? rows->drawn.theta : NULL};
  PetscFunctionReturn(0);
}

// ---- the whole

static PetscErrorCode FindFile(Sweep *s, const CtpgSession *session, CtpgStorePlan *layout) {
  PetscFunctionBeginUser;
  PetscCall(StoreLock(s->plan.out));
  const PetscBool is_new = access(s->plan.out, F_OK) ? PETSC_TRUE : PETSC_FALSE;
  PetscCall(PrepareFile(s, session, layout));
  if (!is_new || s->plan.retime[0]) PetscCall(SweepReadProgress(s)); // which reads all rows
  PetscFunctionReturn(0);
}

static PetscErrorCode OpenForRows(Sweep *s, CtpgStorePlan *layout, const CtpgSession *session) {
  const CtpgPlan *plan = &s->plan;
  const FingerprintLabels labels = LabelsOf(layout);
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  if (!s->rank) error = FindFile(s, session, layout);
  PetscCall(CtpgAgreeOnSuccess(s->comm, error));
  PetscCall(ResumeIsMixed(s->comm, s->begun, &labels, &s->mixed));
  PetscCall(StoreOpen(s->comm, plan->out, layout, session, &plan->store, &s->store));
  if (!s->rank) error = SweepTakeOverMarks(s);
  if (!s->rank && !error) error = AgainBegin(s);
  PetscCall(CtpgAgreeOnSuccess(s->comm, error));
  PetscCall(CrashOpen(plan->out, s->rank));
  PetscCall(OutcomeBegin(plan->out, s->rank));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepOpenFile(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  CtpgLabelInfo *problems, *estimators;
  CtpgSession session;
  char shard[32];

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(plan->nproblems, &problems, plan->nestimators, &estimators));
  PetscCall(SessionDescribe(s->comm, &session));
  PetscCall(DescribeLabels(s, problems, estimators));
  snprintf(shard, sizeof shard, "%d/%d", (int)plan->shard, (int)plan->nshards);
  DrawnRows rows = {.plan = plan, .problems = problems};
  CtpgStorePlan layout = {.kind = "sweep",
                          .plan_hash = plan->hash,
                          .plan_options = CtpgOptionsResolved(plan->options),
                          .isa = session.isa,
                          .nproblems = plan->nproblems,
                          .nestimators = plan->nestimators,
                          .ncases = plan->ncases,
                          .nruns = plan->nruns,
                          .problems = problems,
                          .estimators = estimators,
                          .rows = {GetCase, GetRun, GetStart, &rows},
                          .save_gradients = plan->save_gradients,
                          .shard = shard};
  const PetscErrorCode error = OpenForRows(s, &layout, &session);
  PetscCall(CaseDestroy(&rows.drawn));
  if (error) StoreUnlock();
  PetscCall(error);
  PetscCall(PetscFree2(problems, estimators));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepCloseFile(Sweep *s) {
  PetscFunctionBeginUser;
  PetscCall(StoreClose(&s->store));
  PetscCall(ResumeRelease(s->plan.out, s->rank));
  PetscFunctionReturn(0);
}
