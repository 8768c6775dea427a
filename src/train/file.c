// file.c -- the results file of a training: made for its plan, resumed, or laid out anew for a larger plan

#include "job/crash.h"
#include "base/keys.h"
#include "job/resume.h"
#include "base/options_engine.h"
#include "run/describe.h"
#include "job/errors.h"
#include "job/outcome.h"
#include "job/session.h"
#include "store/lock.h"
#include "base/random_engine.h"
#include "train/file.h"
#include "train/resume.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LARGE_FILE 200e6 // bytes that are worth a line

// An instance of each estimator label, [nestimators] borrowed copies: that of its first pair.
static PetscErrorCode ListExamples(const Train *t, CtpgPair **examples) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(t->nestimators, examples));
  for (PetscInt i = t->npairs - 1; i >= 0; i--) (*examples)[t->shapes[i].estimator] = t->pairs[i];
  PetscFunctionReturn(0);
}

// The first resolved option of training in which a label of the file differs.
static PetscErrorCode NameTrainingDifference(const Train *t, TrainContents old, char *text, size_t size) {
  CtpgPair *examples;
  PetscFunctionBeginUser;
  PetscCall(ListExamples(t, &examples));
  DescribeLabelDifference(t->nproblems, t->problems, t->nestimators, examples, old->base, text, size);
  PetscCall(PetscFree(examples));
  for (PetscInt i = 0; i < old->base->nproblems; i++)
    for (PetscInt p = 0; p < t->nproblems && !text[0]; p++)
      if (!strcmp(old->base->problem[i], t->problems[p].label))
        DescribeOptionDifference("training on", t->problems[p].label, old->options[i],
                                 CtpgOptionsResolved(t->training[p]), text, size);
  PetscFunctionReturn(0);
}

// A file may be enlarged by a plan that holds all its runs; any other file is refused.
static PetscErrorCode RefuseOtherPlan(const Train *t, TrainContents old) {
  char difference[512] = "";
  PetscInt missing, first;

  PetscFunctionBeginUser;
  PetscCall(KeysFindMissing(KEY_COLUMN(old->nruns, old->rows, run_key), KEY_COLUMN(t->nruns, t->rows, run_key),
                            &missing, &first));
  if (!missing) PetscFunctionReturn(0);
  PetscCall(NameTrainingDifference(t, old, difference, sizeof difference));
  const TrainRow *row = old->rows + first;
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
          "-out %s holds another training: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy "
          "%.6g%s; give another -out, or a plan that includes them",
          t->out, (int)missing, (int)old->nruns, row->estimator >= 0 ? old->base->estimator[row->estimator] : "?",
          row->problem >= 0 ? old->base->problem[row->problem] : "?", (long long)row->seed, row->accuracy, difference);
}

static FingerprintLabels LabelsOf(const TrainLayout *layout) {
  return (FingerprintLabels){layout->plan->nproblems, layout->plan->nestimators, layout->plan->problems,
                             layout->plan->estimators};
}

// Rank 0. Refuses a mixed file; had one of its sessions another arithmetic than the first?
static PetscErrorCode CompareArithmetic(Train *t, CtpgContents old, const TrainLayout *layout,
                                        const CtpgSession *session) {
  const FingerprintLabels labels = LabelsOf(layout);
  char difference[256];
  PetscFunctionBeginUser;
  ResumeBegun(old, session, t->begun);
  PetscCall(ResumeRefuseMixed(t->out, t->begun, session, &labels, t->limits.allow_mixed));
  for (PetscInt i = 0; old && i < old->nsessions; i++)
    t->was_mixed |=
        FingerprintDifference(t->begun, old->session_row[i].arithmetic, &labels, difference, sizeof difference);
  PetscFunctionReturn(0);
}

// Rank 0: the file at -out for this plan.
static PetscErrorCode PrepareFile(Train *t, const CtpgSession *session, const TrainLayout *layout) {
  TrainContents old;
  PetscInt done = 0;

  PetscFunctionBeginUser;
  const double bytes = TrainLayoutBytes(layout);
  if (bytes > LARGE_FILE)
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s takes %.2f GB of disk (-snapshots, -test_paths, -visited)\n", t->out,
                          bytes / 1e9));
  if (access(t->out, F_OK)) {
    PetscCall(CompareArithmetic(t, NULL, layout, session));
    PetscCall(TrainStoreCreate(t->out, layout, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(TrainContentsRead(t->out, &old));
  PetscCall(RefuseOtherPlan(t, old));
  PetscCall(CompareArithmetic(t, old->base, layout, session));
  for (PetscInt r = 0; r < old->nruns; r++) done += old->done[r] ? 1 : 0;
  const PetscBool anew = TrainContentsHasLayout(old, layout) ? PETSC_FALSE : PETSC_TRUE;
  PetscCall(ResumeSay(t->out, anew, old->nruns, done, t->nruns));
  if (anew) PetscCall(TrainStoreCreate(t->out, layout, old));
  PetscCall(ResumeWarn(t->out, old->base, session));
  PetscCall(TrainContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// Starts of the tests of problem p for every seed.
static PetscErrorCode DrawTestStarts(const Train *t, PetscInt p, PetscInt n, PetscReal **x0, PetscReal **task) {
  const CtpgProblem *problem = t->problems + p;
  const PetscInt nx = problem->dims.nx, ntask = problem->dims.ntask, nseeds = t->nseeds[p];
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1((size_t)nseeds * n * nx, x0));
  PetscCall(PetscMalloc1((size_t)nseeds * n * ntask, task));
  for (PetscInt s = 0; s < nseeds; s++)
    for (PetscInt k = 0; k < n; k++)
      PetscCall(TrainDrawStart(problem, t->seeds[p][s], CTPG_STREAM_TEST, (uint64_t)k, (uint64_t)t->experiment,
                               *x0 + ((size_t)s * n + k) * nx, *task + ((size_t)s * n + k) * ntask));
  PetscFunctionReturn(0);
}

// ---- the whole ----

static uint64_t HashKeys(const Train *t) {
  uint64_t hash = CTPG_HASH_START;
  for (PetscInt r = 0; r < t->nruns; r++) hash = CtpgHash(hash, &t->rows[r].run_key, sizeof t->rows[r].run_key);
  return hash;
}

static PetscErrorCode FindFile(Train *t, const CtpgSession *session, const TrainLayout *layout) {
  PetscFunctionBeginUser;
  PetscCall(StoreLock(t->out));
  PetscCall(PrepareFile(t, session, layout));
  PetscFunctionReturn(0);
}

static PetscErrorCode OpenForRows(Train *t, const TrainLayout *layout, const CtpgSession *session) {
  const FingerprintLabels labels = LabelsOf(layout);
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  if (!t->rank) error = FindFile(t, session, layout);
  PetscCall(CtpgAgreeOnSuccess(t->comm, error));
  PetscCall(ResumeIsMixed(t->comm, t->begun, &labels, &t->mixed));
  PetscCallMPI(MPI_Bcast(&t->was_mixed, 1, MPI_INT, 0, t->comm));
  PetscCall(TrainStoreOpen(t->comm, t->out, layout, session, &t->store));
  if (!t->rank) error = TrainReadProgress(t);
  PetscCall(CtpgAgreeOnSuccess(t->comm, error));
  PetscCallMPI(MPI_Bcast(t->done, t->nruns, CTPG_MPI_BOOL, 0, t->comm));
  PetscCall(CrashOpen(t->out, t->rank));
  PetscCall(OutcomeBegin(t->out, t->rank));
  PetscFunctionReturn(0);
}

// Calls `work` with the layout of this plan and this session.
typedef PetscErrorCode LayoutWork(Train *t, const TrainLayout *layout, const CtpgSession *session);
static PetscErrorCode WithLayout(Train *t, LayoutWork *work) {
  CtpgLabelInfo *problems, *estimators;
  CtpgSession session;
  CtpgPair *examples;
  const char **options;
  PetscReal **x0, **task;
  PetscInt *test_starts;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc6(t->nproblems, &problems, t->nestimators, &estimators, t->nproblems, &options, t->nproblems,
                         &x0, t->nproblems, &task, t->nproblems, &test_starts));
  PetscCall(SessionDescribe(t->comm, &session));
  for (PetscInt p = 0; p < t->nproblems; p++) {
    DescribeProblem(t->problems + p, problems + p);
    problems[p].cost_f = problems[p].cost_vjp = NAN;
    options[p] = CtpgOptionsResolved(t->training[p]);
    test_starts[p] = t->settings[p].ntests || t->settings[p].path_points ? t->settings[p].test_starts : 0;
    PetscCall(DrawTestStarts(t, p, test_starts[p], x0 + p, task + p));
  }
  PetscCall(ListExamples(t, &examples));
  for (PetscInt e = 0; e < t->nestimators; e++) DescribeEstimator(&examples[e].estimator, estimators + e);
  for (PetscInt i = 0; i < t->npairs; i++)
    if (t->accuracies[i].contract.rtol > 0) estimators[t->shapes[i].estimator].outside = "libm,blas";
  const CtpgStorePlan plan = {.kind = "train",
                              .plan_hash = HashKeys(t),
                              .plan_options = CtpgOptionsResolved(t->options),
                              .isa = session.isa,
                              .nproblems = t->nproblems,
                              .nestimators = t->nestimators,
                              .problems = problems,
                              .estimators = estimators};
  const TrainLayout layout = {.plan = &plan,
                              .npairs = t->npairs,
                              .nruns = t->nruns,
                              .shapes = t->shapes,
                              .rows = t->rows,
                              .nseeds = t->nseeds,
                              .seeds = (const int64_t *const *)t->seeds,
                              .test_starts = test_starts,
                              .options = options,
                              .test_x0 = x0,
                              .test_task = task};
  PetscCall(work(t, &layout, &session));
  for (PetscInt p = 0; p < t->nproblems; p++) {
    PetscCall(PetscFree(x0[p]));
    PetscCall(PetscFree(task[p]));
  }
  PetscCall(PetscFree(examples));
  PetscCall(PetscFree6(problems, estimators, options, x0, task, test_starts));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainOpenFile(Train *t) {
  PetscFunctionBeginUser;
  const PetscErrorCode error = WithLayout(t, OpenForRows);
  if (error) StoreUnlock();
  PetscCall(error);
  PetscFunctionReturn(0);
}

PetscErrorCode TrainCloseFile(Train *t) {
  PetscFunctionBeginUser;
  PetscCall(TrainStoreClose(&t->store));
  PetscCall(ResumeRelease(t->out, t->rank));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintPlan(Train *t, const TrainLayout *layout, const CtpgSession *session) {
  PetscFunctionBeginUser;
  (void)session;
  PetscCall(PetscPrintf(t->comm, "%-18s %-18s %8s %12s %8s\n", "problem", "estimator", "seeds", "iterations", "batch"));
  for (PetscInt i = 0; i < t->npairs; i++)
    PetscCall(PetscPrintf(t->comm, "%-18s %-18s %8d %12d %8d\n", TrainProblemLabel(t, i), TrainEstimatorLabel(t, i),
                          (int)t->shapes[i].nseeds, (int)t->shapes[i].iterations,
                          (int)t->settings[t->shapes[i].problem].batch));
  PetscCall(PetscPrintf(t->comm, "%s: %d runs, about %.0f bytes\n", t->out, (int)t->nruns, TrainLayoutBytes(layout)));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainPlanReport(Train *t) {
  PetscFunctionBeginUser;
  PetscCall(WithLayout(t, PrintPlan));
  PetscFunctionReturn(0);
}
