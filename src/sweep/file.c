// sweep_file.c -- the results file of a sweep: made for its plan, resumed, or laid out anew for a larger plan

#include "job/crash.h"
#include "base/system.h"
#include "run/describe.h"
#include "job/errors.h"
#include "run/plugins.h"
#include "job/session.h"
#include "store/lock.h"
#include "sweep/sweep.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Seconds of one evaluation of the closed loop and of one joint product, at the first case of a problem.
static PetscErrorCode MeasureCosts(Sweep *s, PetscInt p, CtpgLabelInfo *info) {
  const CtpgProblem *problem = s->plan.problems + p;
  const PetscInt nx = problem->dims.nx, np = PolicyGetSize(problem->policy), repeats = 200;
  const PetscReal t = 0, one = 1;
  PetscReal *f, *gx, *gtheta, w;
  CtpgClosedLoop loop;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(problem, s->plan.first_seed[p], (uint64_t)s->plan.experiment, &c));
  PetscCall(ProblemCreateLoop(problem, &loop));
  PetscCall(PetscCalloc3(nx, &f, nx, &gx, np, &gtheta));
  CtpgClosedLoopSetCase(loop, c.theta, 1, c.task, c.T);
  info->cost_f = info->cost_vjp = INFINITY;
  for (int batch = 0; batch < 5; batch++) { // the least disturbed batch counts
    const double start = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) CtpgClosedLoopEval(loop, 1, &t, c.x0, f, &w);
    const double middle = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) CtpgClosedLoopVJP(loop, 1, &t, c.x0, f, &one, gx, gtheta);
    const double end = CtpgSeconds();
    info->cost_f = fmin(info->cost_f, (middle - start) / repeats);
    info->cost_vjp = fmin(info->cost_vjp, (end - middle) / repeats);
  }
  PetscCall(PetscFree3(f, gx, gtheta));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}

static PetscErrorCode DescribeLabels(Sweep *s, CtpgLabelInfo *problems, CtpgLabelInfo *estimators) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    DescribeProblem(plan->problems + p, problems + p);
    problems[p].ncases = PlanCountCases(plan, p);
    if (!s->rank) PetscCall(MeasureCosts(s, p, problems + p));
  }
  for (PetscInt e = 0; e < plan->nestimators; e++) DescribeEstimator(&plan->pairs[e].estimator, estimators + e);
  PetscFunctionReturn(0);
}

static int CompareKeys(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// A file may be enlarged by a plan that holds all its runs; any other file is refused.
static PetscErrorCode RefuseOtherPlan(const CtpgPlan *plan, CtpgContents old) {
  char difference[512], shard[32];
  PetscInt missing = 0, first = -1;
  uint64_t *keys;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->nruns, &keys));
  for (PetscInt r = 0; r < plan->nruns; r++) keys[r] = plan->runs[r].run_key;
  qsort(keys, (size_t)plan->nruns, sizeof *keys, CompareKeys);
  for (PetscInt r = 0; r < old->nruns; r++)
    if (!bsearch(&old->runs[r].run_key, keys, (size_t)plan->nruns, sizeof *keys, CompareKeys) && !missing++) first = r;
  PetscCall(PetscFree(keys));
  if (!missing) PetscFunctionReturn(0);
  DescribeLabelDifference(plan->nproblems, plan->problems, plan->nestimators, plan->pairs, old, difference,
                          sizeof difference);
  snprintf(shard, sizeof shard, "%d/%d", (int)plan->shard, (int)plan->nshards);
  if (!difference[0] && strcmp(shard, old->shard))
    snprintf(difference, sizeof difference, "; -shard is %s there and %s here", old->shard, shard);
  const CtpgRunRow *row = old->runs + first;
  SETERRQ(
      PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "-out %s holds another plan: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy %.6g%s; "
      "give another -out, or a plan that includes them",
      plan->out, (int)missing, (int)old->nruns, row->estimator >= 0 ? old->estimator[row->estimator] : "?",
      row->problem >= 0 ? old->problem[row->problem] : "?", (long long)row->seed, row->accuracy, difference);
}

// Same labels in the same places, same runs in the same rows: the file can be written into as it is.
static PetscBool HasLayout(CtpgContents old, const CtpgStorePlan *layout) {
  PetscBool same = old->nproblems == layout->nproblems && old->nestimators == layout->nestimators &&
                           old->ncases == layout->ncases && old->nruns == layout->nruns &&
                           old->save_gradients == layout->save_gradients
                       ? PETSC_TRUE
                       : PETSC_FALSE;
  for (PetscInt p = 0; same && p < old->nproblems; p++)
    if (strcmp(old->problem[p], layout->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < old->nestimators; e++)
    if (strcmp(old->estimator[e], layout->estimators[e].label)) same = PETSC_FALSE;
  for (PetscInt r = 0; same && r < old->nruns; r++)
    if (old->runs[r].run_key != layout->runs[r].run_key) same = PETSC_FALSE;
  return same;
}

// A plug-in that was compiled anew under the same version may give other results: the file's rows would be of two kinds.
static PetscErrorCode NoteChangedPlugins(const CtpgPlan *plan, CtpgContents old) {
  PetscFunctionBeginUser;
  if (!PluginsDescribe()[0] || !old->nsessions || strstr(old->session[old->nsessions - 1], PluginsDescribe()))
    PetscFunctionReturn(0);
  PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                         "warning: the plug-ins are not those of the last session of %s, though their versions are: if "
                         "results changed, raise .version and take another -out\n",
                         plan->out));
  PetscFunctionReturn(0);
}

// Rank 0: the file at -out for this plan: a new one, the one that is there, or another one with its rows. Gradients that
// a file holds stay in it.
static PetscErrorCode PrepareFile(Sweep *s, CtpgStorePlan *layout) {
  const CtpgPlan *plan = &s->plan;
  CtpgContents old = NULL;
  PetscInt done = 0;

  PetscFunctionBeginUser;
  if (access(plan->out, F_OK)) {
    PetscCall(StoreCreate(plan->out, layout, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(ContentsRead(plan->out, &old));
  PetscCheck(!strcmp(old->kind, layout->kind), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "-out %s is a file of kind %s, not of a sweep; expected another name", plan->out, old->kind);
  PetscCall(RefuseOtherPlan(plan, old));
  for (PetscInt r = 0; r < old->nruns; r++) done += old->run_done[r] ? 1 : 0;
  if (old->save_gradients) layout->save_gradients = PETSC_TRUE;
  if (HasLayout(old, layout))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: resumed, %d of %d runs done\n", plan->out, (int)done, (int)old->nruns));
  else {
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: laid out anew for %d runs in place of %d, %d of them done\n", plan->out,
                          (int)plan->nruns, (int)old->nruns, (int)done));
    PetscCall(StoreCreate(plan->out, layout, old));
  }
  PetscCall(NoteChangedPlugins(plan, old));
  if (strcmp(old->isa, layout->isa))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s was begun on '%s', this is '%s': bits may differ between them\n",
                          plan->out, old->isa, layout->isa));
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// Starts of all cases, which the skeleton holds.
static PetscErrorCode PrepareWithStarts(Sweep *s, CtpgStorePlan *layout) {
  const PetscInt n = s->plan.ncases;
  CtpgCase *cases;
  const PetscReal **x0, **task, **theta;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc4(n, &cases, n, &x0, n, &task, n, &theta));
  for (PetscInt c = 0; c < n; c++) {
    PetscCall(PlanDrawCase(&s->plan, c, cases + c));
    x0[c] = cases[c].x0;
    task[c] = cases[c].task;
    theta[c] = layout->problems[s->plan.cases[c].problem].has_theta ? cases[c].theta : NULL;
  }
  layout->x0 = x0;
  layout->task = task;
  layout->theta = theta;
  PetscCall(PrepareFile(s, layout));
  for (PetscInt c = 0; c < n; c++) PetscCall(CaseDestroy(cases + c));
  PetscCall(PetscFree4(cases, x0, task, theta));
  PetscFunctionReturn(0);
}

// What the runs of a case wait for when its reference is in the file: the scheduler's product, its gradient yet to be read.
static PetscErrorCode CreateProduct(Sweep *s, PetscInt c, CtpgStatus status, PetscReal loss) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(PlanProductSize(&s->plan, c), &s->products[c]));
  s->products[c][0] = status;
  s->products[c][1] = loss;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadReference(Sweep *s, CtpgContents old, PetscInt c) {
  const PetscInt nx = s->plan.problems[s->plan.cases[c].problem].dims.nx;
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
    if (old->runs[r].status == CTPG_CRASHED || old->cases[s->plan.runs[r].case_index].status == CTPG_CRASHED)
      s->run_done[r] = PETSC_FALSE;
}

// What is done already, read by rank 0: what it has cost, and the references that runs wait for.
static PetscErrorCode ReadProgress(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  CtpgContents old;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(plan->out, &old));
  PetscCall(PetscArraycpy(s->case_done, old->case_done, plan->ncases));
  PetscCall(PetscArraycpy(s->run_done, old->run_done, plan->nruns));
  if (plan->retry_crashed) ForgetCrashed(s, old);
  CostLearnFile(s->costs, old);
  for (PetscInt r = 0; r < plan->nruns; r++) {
    const PetscInt c = plan->runs[r].case_index;
    if (!s->run_done[r] && s->case_done[c] && !s->products[c]) PetscCall(ReadReference(s, old, c));
  }
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepAgreeOnSuccess(Sweep *s, PetscErrorCode error) {
  PetscFunctionBeginUser;
  PetscCall(CtpgAgreeOnSuccess(s->comm, error));
  PetscFunctionReturn(0);
}

// ---- what crashed in earlier sessions

static PetscErrorCode PutCrashedRun(Sweep *s, PetscInt r, int signal) {
  CtpgRunRow row = s->plan.runs[r];
  PetscFunctionBeginUser;
  row.status = CTPG_CRASHED;
  snprintf(row.reason, sizeof row.reason, "%s in an earlier session; -retry_crashed runs it again",
           CrashSignalName(signal));
  PetscCall(StorePutRun(s->store, r, &row, NULL, NULL));
  s->run_done[r] = s->plan.retry_crashed ? PETSC_FALSE : PETSC_TRUE;
  PetscFunctionReturn(0);
}

static PetscErrorCode PutCrashedCase(Sweep *s, PetscInt c, int signal) {
  CtpgCaseRow row = s->plan.cases[c];
  PetscFunctionBeginUser;
  row.status = CTPG_CRASHED;
  snprintf(row.reason, sizeof row.reason, "%s in an earlier session; -retry_crashed computes it again",
           CrashSignalName(signal));
  PetscCall(StorePutCase(s->store, c, &row, NULL, NULL));
  if (s->plan.retry_crashed) PetscFunctionReturn(0);
  s->case_done[c] = PETSC_TRUE;
  PetscCall(CreateProduct(s, c, CTPG_CRASHED, NAN));
  PetscFunctionReturn(0);
}

// A mark becomes a row, unless the row was finished in spite of it.
static PetscErrorCode TakeOverMark(Sweep *s, const CtpgCrashMark *mark, PetscInt *taken) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt c = 0; mark->kind == CTPG_CRASH_CASE && c < plan->ncases; c++)
    if (plan->cases[c].case_key == mark->key && !s->case_done[c]) {
      PetscCall(PutCrashedCase(s, c, mark->signal));
      (*taken)++;
    }
  for (PetscInt r = 0; mark->kind == CTPG_CRASH_RUN && r < plan->nruns; r++)
    if (plan->runs[r].run_key == mark->key && !s->run_done[r]) {
      PetscCall(PutCrashedRun(s, r, mark->signal));
      (*taken)++;
    }
  PetscFunctionReturn(0);
}

// Rank 0: rows first, on the disk, then the marks go.
static PetscErrorCode TakeOverMarks(Sweep *s) {
  CtpgCrashMark *marks;
  PetscInt n, taken = 0;

  PetscFunctionBeginUser;
  PetscCall(CrashRead(s->plan.out, &n, &marks));
  for (PetscInt i = 0; i < n; i++) PetscCall(TakeOverMark(s, marks + i, &taken));
  PetscCall(PetscFree(marks));
  if (taken) {
    PetscCall(StoreSync(s->store));
    PetscCall(
        PetscPrintf(PETSC_COMM_SELF, "%s: %d crashed in the last session: %s\n", s->plan.out, (int)taken,
                    s->plan.retry_crashed ? "run again" : "skipped from now on (-retry_crashed runs them again)"));
  }
  PetscCall(CrashRemove(s->plan.out));
  PetscFunctionReturn(0);
}

// ---- the whole

static PetscErrorCode FindFile(Sweep *s, CtpgStorePlan *layout) {
  PetscFunctionBeginUser;
  PetscCall(StoreLock(s->plan.out));
  PetscCall(PrepareWithStarts(s, layout));
  PetscCall(ReadProgress(s));
  PetscFunctionReturn(0);
}

static PetscErrorCode OpenForRows(Sweep *s, CtpgStorePlan *layout, const CtpgSession *session) {
  const CtpgPlan *plan = &s->plan;
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  if (!s->rank) error = FindFile(s, layout);
  PetscCall(SweepAgreeOnSuccess(s, error));
  PetscCall(StoreOpen(s->comm, plan->out, layout, session, &plan->store, &s->store));
  if (!s->rank) error = TakeOverMarks(s);
  PetscCall(SweepAgreeOnSuccess(s, error));
  PetscCallMPI(MPI_Bcast(s->done, plan->ncases + plan->nruns, CTPG_MPI_BOOL, 0, s->comm));
  PetscCall(CrashOpen(plan->out, s->rank));
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
                          .cases = plan->cases,
                          .runs = plan->runs,
                          .save_gradients = plan->save_gradients,
                          .shard = shard};
  const PetscErrorCode error = OpenForRows(s, &layout, &session);
  if (error) StoreUnlock();
  PetscCall(error);
  PetscCall(PetscFree2(problems, estimators));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepCloseFile(Sweep *s) {
  PetscFunctionBeginUser;
  PetscCall(StoreClose(&s->store));
  PetscCall(CrashClose());
  if (!s->rank) PetscCall(CrashRemove(s->plan.out));
  StoreUnlock();
  PetscFunctionReturn(0);
}
