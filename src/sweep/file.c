// file.c -- the results file of a sweep: made for its plan, resumed, or laid out anew for a larger plan

#include "job/crash.h"
#include "run/case.h"
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
static PetscErrorCode RefuseOtherPlan(const CtpgPlan *plan, const Held *held) {
  const CtpgContents old = held->file;
  const CtpgRunRow *row = &held->stranger;
  char difference[512], shard[32];

  PetscFunctionBeginUser;
  if (!held->missing) PetscFunctionReturn(0);
  DescribeLabelDifference(plan->nproblems, plan->problems, plan->nestimators, plan->pairs, old, difference,
                          sizeof difference);
  snprintf(shard, sizeof shard, "%d/%d", (int)plan->shard, (int)plan->nshards);
  if (!difference[0] && strcmp(shard, old->shard))
    snprintf(difference, sizeof difference, "; -shard is %s there and %s here", old->shard, shard);
  SETERRQ(
      PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "-out %s holds another plan: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy %.6g%s; "
      "give another -out, or a plan that includes them",
      plan->out, (int)held->missing, (int)old->nruns, row->estimator >= 0 ? old->estimator[row->estimator] : "?",
      row->problem >= 0 ? old->problem[row->problem] : "?", (long long)row->seed, row->accuracy, difference);
}

static FingerprintLabels LabelsOf(const CtpgStorePlan *layout) {
  return (FingerprintLabels){layout->nproblems, layout->nestimators, layout->problems, layout->estimators};
}

// Rank 0: a file that is not there yet.
static PetscErrorCode MakeFile(Sweep *s, const CtpgSession *session, const CtpgStorePlan *layout) {
  const CtpgPlan *plan = &s->plan;
  const FingerprintLabels labels = LabelsOf(layout);
  PetscFunctionBeginUser;
  ResumeBegun(NULL, session, s->begun);
  PetscCall(ResumeRefuseMixed(plan->out, s->begun, session, &labels, plan->limits.allow_mixed));
  PetscCall(StoreCreate(plan->out, layout, NULL));
  PetscFunctionReturn(0);
}

// Rank 0: the file at -out as it is, or another one with its rows in its place, made for this plan. Gradients that a
// file holds stay in it.
static PetscErrorCode PrepareFile(Sweep *s, const CtpgSession *session, CtpgStorePlan *layout, const Held *held) {
  const CtpgPlan *plan = &s->plan;
  const FingerprintLabels labels = LabelsOf(layout);
  const CtpgContents old = held->file;
  PetscFunctionBeginUser;
  PetscCheck(!strcmp(old->kind, layout->kind), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "-out %s is a file of kind %s, not of a sweep; expected another name", plan->out, old->kind);
  PetscCall(RefuseOtherPlan(plan, held));
  ResumeBegun(old, session, s->begun);
  PetscCall(ResumeRefuseMixed(plan->out, s->begun, session, &labels, plan->limits.allow_mixed));
  if (old->save_gradients) layout->save_gradients = PETSC_TRUE;
  PetscCall(ResumeSay(plan->out, held->same ? PETSC_FALSE : PETSC_TRUE, old->nruns, held->done, plan->nruns));
  if (!held->same) PetscCall(StoreCreate(plan->out, layout, old));
  PetscCall(ResumeWarn(plan->out, old, session));
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

// The file that was made for this plan just now.
static PetscErrorCode ReadOwn(Sweep *s, const CtpgStorePlan *layout, Held *held) {
  PetscFunctionBeginUser;
  PetscCall(SweepReadRuns(s, layout, held));
  PetscCheck(held->same, PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED, "%s does not hold what was just written into it",
             s->plan.out);
  PetscFunctionReturn(0);
}

static PetscErrorCode GoOn(Sweep *s, const CtpgSession *session, CtpgStorePlan *layout, Held *held) {
  PetscFunctionBeginUser;
  PetscCall(SweepReadRuns(s, layout, held));
  PetscCall(PrepareFile(s, session, layout, held));
  if (held->same) PetscFunctionReturn(0);
  PetscCall(ContentsDestroy(&held->file));
  PetscCall(ReadOwn(s, layout, held));
  PetscFunctionReturn(0);
}

static PetscErrorCode FindFile(Sweep *s, const CtpgSession *session, CtpgStorePlan *layout) {
  Held held = {0};
  PetscFunctionBeginUser;
  PetscCall(StoreLock(s->plan.out));
  if (!access(s->plan.out, F_OK))
    PetscCall(GoOn(s, session, layout, &held));
  else {
    PetscCall(MakeFile(s, session, layout));
    if (s->plan.retime[0]) PetscCall(ReadOwn(s, layout, &held));
  }
  if (held.file) PetscCall(SweepTakeProgress(s, held.file));
  PetscCall(ContentsDestroy(&held.file));
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
