// command_train.c -- `ctpgbench train`: policies trained with each estimator, over problems and seeds, into one file
//
//   labels, settings -> runs (problem, estimator, seed) -> file (new, resumed or enlarged) -> runs dealt to groups of ranks
// A run belongs to a group; with more ranks than runs a group has several ranks, which share each batch (-ranks_per_run).

#include "plan.h"
#include "plugin.h"
#include "program.h"
#include "session.h"
#include "sweep.h"
#include "train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  CtpgOptions options; // of the command
  PetscInt nproblems, nestimators, npairs, nseeds, nruns;
  CtpgLabel *problem_labels, *estimator_labels;
  CtpgProblem *problems;              // [nproblems]
  CtpgOptions *training;              // [nproblems] options of training, under the problem's label
  TrainSettings *settings;            // [nproblems]
  CtpgPair *pairs;                    // [npairs] = [nproblems, nestimators]
  TrainAccuracy *accuracies;          // [npairs]
  Trainer *trainers;                  // [npairs]
  TrainShape *shapes;                 // [npairs]
  int64_t *seeds;                     // [nseeds]
  TrainRow *rows;                     // [nruns] = [npairs, nseeds]
  PetscBool *done;                    // [nruns] in the file when the command began
  PetscInt experiment, ranks_per_run; // 0: auto
  PetscReal time_limit, checkpoint_every;
  char out[PETSC_MAX_PATH_LEN];

  double start;
  MPI_Comm comm, group, leaders; // leaders: MPI_COMM_NULL where this rank leads no group
  int rank, size;
  char host[MPI_MAX_PROCESSOR_NAME];
  TrainStore store;
  CtpgScheduler scheduler;
  char title[256]; // of the progress line: how this rank's run stands
  double run_begun;
  PetscInt run_first; // iteration at which it began here
} Train;

// ---- plan ----

static PetscErrorCode ReadRanksPerRun(Train *t) {
  char text[32] = "auto";
  int64_t first, last;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(t->options, "ranks_per_run", "ranks that share a batch, or auto", text, sizeof text));
  CtpgOptionsForget(t->options);
  if (!strcmp(text, "auto")) PetscFunctionReturn(0);
  PetscCall(CtpgParseRange("-ranks_per_run", text, &first, &last));
  PetscCheck(last == first + 1 && first >= 1 && first <= t->size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-ranks_per_run %s: expected auto, or a number from 1 to the %d ranks there are", text, t->size);
  t->ranks_per_run = (PetscInt)first;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadCommandOptions(Train *t) {
  char seeds[64] = "0:1";
  int64_t first, last;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "train", &t->options));
  PetscCall(CtpgLabelOption(t->options, "problem", NULL, &t->nproblems, &t->problem_labels));
  PetscCall(CtpgLabelOption(t->options, "estimator", NULL, &t->nestimators, &t->estimator_labels));
  PetscCall(LabelsCheckApart(t->nproblems, t->problem_labels, t->nestimators, t->estimator_labels));
  PetscCall(CtpgOptionsText(t->options, "seeds", "seeds first:last, half open", seeds, sizeof seeds));
  PetscCall(CtpgParseRange("-seeds", seeds, &first, &last));
  PetscCheck(last - first <= 100000, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-seeds %s are more than 100000", seeds);
  t->nseeds = (PetscInt)(last - first);
  PetscCall(PetscMalloc1(t->nseeds, &t->seeds));
  for (PetscInt s = 0; s < t->nseeds; s++) t->seeds[s] = first + s;
  PetscCall(CtpgOptionsInt(t->options, "experiment", "number of the experiment: other random streams", 0, PETSC_MAX_INT,
                           &t->experiment));
  PetscCall(ReadRanksPerRun(t));
  PetscCall(CtpgOptionsReal(t->options, "time_limit",
                            "s; then training stops in good order with exit code 75, 0: never", 0, 1e9,
                            &t->time_limit));
  CtpgOptionsForget(t->options);
  t->checkpoint_every = 10;
  PetscCall(CtpgOptionsReal(t->options, "checkpoint_every", "s between two points from which a killed run goes on", 0,
                            1e9, &t->checkpoint_every));
  CtpgOptionsForget(t->options);
  PetscCall(PetscStrncpy(t->out, "training.h5", sizeof t->out));
  PetscCall(CtpgOptionsText(t->options, "out", "results file", t->out, sizeof t->out));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateLabels(Train *t) {
  PetscFunctionBeginUser;
  t->npairs = t->nproblems * t->nestimators;
  PetscCall(PetscCalloc3(t->nproblems, &t->problems, t->nproblems, &t->training, t->nproblems, &t->settings));
  PetscCall(
      PetscCalloc4(t->npairs, &t->pairs, t->npairs, &t->accuracies, t->npairs, &t->trainers, t->npairs, &t->shapes));
  for (PetscInt p = 0; p < t->nproblems; p++) {
    const CtpgLabel *label = t->problem_labels + p;
    PetscCall(ProblemCreate(label, t->problems + p));
    PetscCall(CtpgOptionsCreate(label->label, t->problems[p].type->name, t->training + p));
    PetscCall(TrainSettingsRead(t->training[p], t->settings + p));
    for (PetscInt e = 0; e < t->nestimators; e++) {
      const PetscInt i = p * t->nestimators + e;
      PetscCall(PairCreate(t->problems + p, t->estimator_labels + e, t->pairs + i));
      PetscCall(TrainAccuracyRead(t->pairs + i, t->accuracies + i));
      PetscCall(TrainerCreate(t->pairs + i, t->settings + p, t->accuracies + i, t->trainers + i));
    }
  }
  PetscFunctionReturn(0);
}

static const char *ProblemLabel(const Train *t, PetscInt run) {
  return t->problem_labels[t->rows[run].problem].label;
}

static const char *EstimatorLabel(const Train *t, PetscInt run) {
  return t->estimator_labels[t->rows[run].estimator].label;
}

// Everything that determines a run but its length.
static PetscErrorCode RunKey(const Train *t, PetscInt pair, int64_t seed, uint64_t *key) {
  const PetscInt p = pair / t->nestimators;
  const uint64_t estimator = EstimatorKey(&t->pairs[pair].estimator), experiment = (uint64_t)t->experiment;
  CtpgCase c;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(t->problems + p, seed, experiment, &c));
  const uint64_t case_key = CaseKey(t->problems + p, &c);
  PetscCall(CaseDestroy(&c));
  *key = CtpgHash(CTPG_HASH_START, &case_key, sizeof case_key);
  *key = CtpgHash(*key, &estimator, sizeof estimator);
  *key = CtpgHash(*key, &experiment, sizeof experiment);
  *key = CtpgHash(*key, &t->accuracies[pair].first, sizeof t->accuracies[pair].first);
  *key = CtpgHashString(*key, CtpgOptionsResolved(t->training[p]));
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseDoubles(const Train *t) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < t->npairs; i++) // the first seed tells: the other seeds' keys differ alike
    for (PetscInt j = 0; j < i; j++)
      PetscCheck(t->rows[i * t->nseeds].run_key != t->rows[j * t->nseeds].run_key, PETSC_COMM_WORLD,
                 PETSC_ERR_USER_INPUT,
                 "the plan has one run twice: %s on %s and %s on %s; labels must differ in an option",
                 EstimatorLabel(t, j * t->nseeds), ProblemLabel(t, j * t->nseeds), EstimatorLabel(t, i * t->nseeds),
                 ProblemLabel(t, i * t->nseeds));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListRuns(Train *t) {
  PetscFunctionBeginUser;
  t->nruns = t->npairs * t->nseeds;
  PetscCall(PetscCalloc2(t->nruns, &t->rows, t->nruns, &t->done));
  for (PetscInt r = 0; r < t->nruns; r++) {
    const PetscInt pair = r / t->nseeds, s = r % t->nseeds;
    TrainRow *row = t->rows + r;
    TrainRowClear(row);
    row->problem = pair / t->nestimators;
    row->estimator = pair % t->nestimators;
    row->row = s;
    row->seed = t->seeds[s];
    row->accuracy = t->accuracies[pair].first;
    row->iterations = t->settings[row->problem].iterations;
    PetscCall(RunKey(t, pair, row->seed, &row->run_key));
  }
  PetscCall(RefuseDoubles(t));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateTrain(Train *t) {
  int length;
  PetscFunctionBeginUser;
  t->comm = PETSC_COMM_WORLD;
  t->group = PETSC_COMM_SELF;
  t->leaders = MPI_COMM_NULL;
  PetscCallMPI(MPI_Comm_rank(t->comm, &t->rank));
  PetscCallMPI(MPI_Comm_size(t->comm, &t->size));
  PetscCallMPI(MPI_Get_processor_name(t->host, &length));
  PetscCall(ReadCommandOptions(t));
  PetscCall(CreateLabels(t));
  PetscCall(CtpgOptionsRefuseUnused());
  PetscCall(ListRuns(t));
  for (PetscInt i = 0; i < t->npairs; i++) {
    PetscCall(PairSetUp(t->pairs + i));
    PetscCall(TrainerSetUp(t->trainers[i]));
    TrainerGetShape(t->trainers[i], t->shapes + i);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroyTrain(Train *t) {
  PetscFunctionBeginUser;
  if (t->group != PETSC_COMM_SELF) PetscCallMPI(MPI_Comm_free(&t->group));
  if (t->leaders != MPI_COMM_NULL) PetscCallMPI(MPI_Comm_free(&t->leaders));
  for (PetscInt i = 0; i < t->npairs; i++) {
    PetscCall(TrainerDestroy(t->trainers + i));
    PetscCall(PairDestroy(t->pairs + i));
  }
  for (PetscInt p = 0; p < t->nproblems; p++) {
    PetscCall(TrainSettingsDestroy(t->settings + p));
    PetscCall(CtpgOptionsDestroy(t->training + p));
    PetscCall(ProblemDestroy(t->problems + p));
  }
  PetscCall(PetscFree3(t->problems, t->training, t->settings));
  PetscCall(PetscFree4(t->pairs, t->accuracies, t->trainers, t->shapes));
  PetscCall(PetscFree2(t->rows, t->done));
  PetscCall(PetscFree(t->seeds));
  PetscCall(PetscFree(t->problem_labels));
  PetscCall(PetscFree(t->estimator_labels));
  PetscCall(CtpgOptionsDestroy(&t->options));
  PetscFunctionReturn(0);
}

// ---- file ----

// The first resolved option of training in which a label of the file differs.
static PetscErrorCode NameTrainingDifference(const Train *t, TrainContents old, char *text, size_t size) {
  PetscFunctionBeginUser;
  NameDifference(t->nproblems, t->problems, t->nestimators, t->pairs, old->base, text, size);
  for (PetscInt i = 0; i < old->base->nproblems; i++)
    for (PetscInt p = 0; p < t->nproblems && !text[0]; p++)
      if (!strcmp(old->base->problem[i], t->problems[p].label))
        CompareOptions("training on", t->problems[p].label, old->options[i], CtpgOptionsResolved(t->training[p]), text,
                       size);
  PetscFunctionReturn(0);
}

static PetscBool Plans(const Train *t, uint64_t key) {
  for (PetscInt r = 0; r < t->nruns; r++)
    if (t->rows[r].run_key == key) return PETSC_TRUE;
  return PETSC_FALSE;
}

// A file may be enlarged by a plan that holds all its runs; any other file is refused.
static PetscErrorCode RefuseOtherPlan(const Train *t, TrainContents old) {
  char difference[512] = "";
  PetscInt missing = 0, first = -1;

  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < old->nruns; r++)
    if (!Plans(t, old->rows[r].run_key) && !missing++) first = r;
  if (!missing) PetscFunctionReturn(0);
  PetscCall(NameTrainingDifference(t, old, difference, sizeof difference));
  const PetscInt pair = first / old->nseeds;
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
          "-out %s holds another training: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy "
          "%.6g%s; give another -out, or a plan that includes them",
          t->out, (int)missing, (int)old->nruns, old->base->estimator[pair % old->base->nestimators],
          old->base->problem[pair / old->base->nestimators], (long long)old->rows[first].seed,
          old->rows[first].accuracy, difference);
}

// Rank 0: the file at -out for this plan.
static PetscErrorCode PrepareFile(Train *t, const TrainLayout *layout) {
  TrainContents old;
  PetscInt done = 0;

  PetscFunctionBeginUser;
  if (access(t->out, F_OK)) {
    PetscCall(TrainStoreCreate(t->out, layout, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(TrainContentsRead(t->out, &old));
  PetscCall(RefuseOtherPlan(t, old));
  for (PetscInt r = 0; r < old->nruns; r++) done += old->done[r] ? 1 : 0;
  if (TrainContentsHasLayout(old, layout))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: resumed, %d of %d runs done\n", t->out, (int)done, (int)old->nruns));
  else {
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: laid out anew for %d runs in place of %d, %d of them done\n", t->out,
                          (int)t->nruns, (int)old->nruns, (int)done));
    PetscCall(TrainStoreCreate(t->out, layout, old));
  }
  if (strcmp(old->base->isa, layout->plan->isa))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s was begun on '%s', this is '%s': bits may differ between them\n",
                          t->out, old->base->isa, layout->plan->isa));
  PetscCall(TrainContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// Starts of the tests of problem p for every seed.
static PetscErrorCode DrawTestStarts(const Train *t, PetscInt p, PetscInt n, PetscReal **x0, PetscReal **task) {
  const CtpgProblem *problem = t->problems + p;
  const PetscInt nx = problem->dims.nx, ntask = problem->dims.ntask;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1((size_t)t->nseeds * n * nx, x0));
  PetscCall(PetscMalloc1((size_t)t->nseeds * n * ntask, task));
  for (PetscInt s = 0; s < t->nseeds; s++)
    for (PetscInt k = 0; k < n; k++)
      PetscCall(TrainDrawStart(problem, t->seeds[s], CTPG_STREAM_TEST, (uint64_t)k, (uint64_t)t->experiment,
                               *x0 + ((size_t)s * n + k) * nx, *task + ((size_t)s * n + k) * ntask));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadProgress(Train *t) {
  TrainContents contents;
  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(t->out, &contents));
  PetscCall(PetscArraycpy(t->done, contents->done, t->nruns));
  PetscCall(TrainContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

static uint64_t HashKeys(const Train *t) {
  uint64_t hash = CTPG_HASH_START;
  for (PetscInt r = 0; r < t->nruns; r++) hash = CtpgHash(hash, &t->rows[r].run_key, sizeof t->rows[r].run_key);
  return hash;
}

static PetscErrorCode OpenFileFor(Train *t, const TrainLayout *layout, const CtpgSession *session) {
  PetscErrorCode error = 0;
  PetscFunctionBeginUser;
  if (!t->rank) error = PrepareFile(t, layout);
  PetscCall(CtpgAgreeOnSuccess(t->comm, error));
  if (!t->rank) error = ReadProgress(t);
  PetscCall(CtpgAgreeOnSuccess(t->comm, error));
  PetscCallMPI(MPI_Bcast(t->done, t->nruns, CTPG_MPI_BOOL, 0, t->comm));
  PetscCall(TrainStoreOpen(t->comm, t->out, layout, session, &t->store));
  PetscFunctionReturn(0);
}

static PetscErrorCode OpenFile(Train *t) {
  CtpgLabelInfo *problems, *estimators;
  const char **options;
  PetscReal **x0, **task;
  PetscInt *test_starts;
  CtpgSession session;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc6(t->nproblems, &problems, t->nestimators, &estimators, t->nproblems, &options, t->nproblems,
                         &x0, t->nproblems, &task, t->nproblems, &test_starts));
  PetscCall(SessionDescribe(t->comm, &session));
  for (PetscInt p = 0; p < t->nproblems; p++) {
    DescribeProblem(t->problems + p, problems + p);
    problems[p].cost_f = problems[p].cost_vjp = NAN;
    options[p] = CtpgOptionsResolved(t->training[p]);
    test_starts[p] = t->settings[p].ntests ? t->settings[p].test_starts : 0;
    PetscCall(DrawTestStarts(t, p, test_starts[p], x0 + p, task + p));
  }
  for (PetscInt e = 0; e < t->nestimators; e++) DescribeEstimator(&t->pairs[e].estimator, estimators + e);
  const CtpgStorePlan plan = {.kind = "train",
                              .plan_hash = HashKeys(t),
                              .plan_options = CtpgOptionsResolved(t->options),
                              .isa = session.isa,
                              .nproblems = t->nproblems,
                              .nestimators = t->nestimators,
                              .problems = problems,
                              .estimators = estimators};
  const TrainLayout layout = {.plan = &plan,
                              .nseeds = t->nseeds,
                              .nruns = t->nruns,
                              .seeds = t->seeds,
                              .shapes = t->shapes,
                              .rows = t->rows,
                              .test_starts = test_starts,
                              .options = options,
                              .test_x0 = x0,
                              .test_task = task};
  PetscCall(OpenFileFor(t, &layout, &session));
  for (PetscInt p = 0; p < t->nproblems; p++) {
    PetscCall(PetscFree(x0[p]));
    PetscCall(PetscFree(task[p]));
  }
  PetscCall(SessionDestroy(&session));
  PetscCall(PetscFree6(problems, estimators, options, x0, task, test_starts));
  PetscFunctionReturn(0);
}

// ---- groups ----

static PetscInt CountPending(const Train *t) {
  PetscInt n = 0;
  for (PetscInt r = 0; r < t->nruns; r++) n += t->done[r] ? 0 : 1;
  return n;
}

static PetscInt RanksPerRun(const Train *t) {
  PetscInt batch = 1;
  if (t->ranks_per_run) return t->ranks_per_run;
  for (PetscInt p = 0; p < t->nproblems; p++) batch = PetscMax(batch, t->settings[p].batch);
  return PetscMin(batch, PetscMax(1, t->size / PetscMax(1, CountPending(t))));
}

// Ranks in groups of k neighbours, the last one with what is left over.
static PetscErrorCode FormGroups(Train *t) {
  const int k = (int)RanksPerRun(t), groups = PetscMax(1, t->size / k), mine = PetscMin(t->rank / k, groups - 1);
  PetscFunctionBeginUser;
  if (k > 1) PetscCallMPI(MPI_Comm_split(t->comm, mine, t->rank, &t->group));
  PetscCallMPI(MPI_Comm_split(t->comm, t->rank == mine * k ? 0 : MPI_UNDEFINED, t->rank, &t->leaders));
  PetscFunctionReturn(0);
}

// ---- runs ----

// Called by the closed loop now and then, and between iterations.
static void Tick(void *train) {
  Train *t = train;
  if (t->time_limit > 0 && CtpgSeconds() - t->start > t->time_limit) CtpgStopRequested = 1;
  if (t->scheduler) SchedulerPoll(t->scheduler);
}

static void ShowProgress(void *train, PetscInt run, PetscInt iteration, PetscReal loss) {
  Train *t = train;
  const PetscInt left = t->settings[t->rows[run].problem].iterations - iteration;
  if (!t->run_begun) t->run_begun = CtpgSeconds(), t->run_first = iteration;
  const double rate = (iteration - t->run_first) / PetscMax(CtpgSeconds() - t->run_begun, 1e-3);
  const double seconds = rate > 0 ? left / rate : 0;
  snprintf(t->title, sizeof t->title, "%s/%s seed %lld: iteration %d of %d, %.0f/s, loss %.4g, %d:%02d left; runs",
           ProblemLabel(t, run), EstimatorLabel(t, run), (long long)t->rows[run].seed, (int)iteration,
           (int)(iteration + left), rate, loss, (int)seconds / 60, (int)seconds % 60);
}

static PetscErrorCode RunHere(Train *t, PetscInt run, CtpgStatus *status) {
  const TrainTask task = {.group = t->group,
                          .store = t->store,
                          .run = run,
                          .seed = t->rows[run].seed,
                          .experiment = (uint64_t)t->experiment,
                          .checkpoint_every = t->checkpoint_every,
                          .limits = {.stop = &CtpgStopRequested, .tick = Tick, .tick_context = t},
                          .progress = ShowProgress,
                          .context = t};
  TrainRow *row = t->rows + run;
  PetscBool finished;

  PetscFunctionBeginUser;
  t->run_begun = 0;
  row->rank = t->rank;
  (void)PetscStrncpy(row->host, t->host, sizeof row->host);
  PetscCall(TrainerRun(t->trainers[run / t->nseeds], &task, row, &finished));
  *status = finished ? (CtpgStatus)row->status : CTPG_INTERRUPTED;
  PetscFunctionReturn(0);
}

static PetscErrorCode LeadRun(void *train, CtpgItem *item) {
  Train *t = train;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(&item->number, 1, MPIU_INT, 0, t->group));
  PetscCall(RunHere(t, item->number, &item->status));
  PetscFunctionReturn(0);
}

// Ranks that do not lead: what the leader of their group says, until it says -1.
static PetscErrorCode FollowRuns(Train *t) {
  CtpgStatus status;
  PetscInt run;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCallMPI(MPI_Bcast(&run, 1, MPIU_INT, 0, t->group));
    if (run < 0) break;
    PetscCall(RunHere(t, run, &status));
  }
  PetscFunctionReturn(0);
}

// Rough, only ratios count: evaluations times parameters.
static double PredictCost(void *train, PetscInt run) {
  const Train *t = train;
  const PetscInt pair = run / t->nseeds, p = t->rows[run].problem;
  const CtpgTraits *traits = &t->pairs[pair].estimator.traits;
  const PetscReal accuracy = t->accuracies[pair].first;
  const double nfe = traits->knob == CTPG_KNOB_DT ? 2 * t->problems[p].dims.T / accuracy
                                                  : 30 * pow(accuracy, -1 / (traits->order + 1));
  return nfe * (200 + t->shapes[pair].np) * t->settings[p].batch * t->settings[p].iterations;
}

static PetscErrorCode LeadRuns(Train *t) {
  const CtpgWork work = {
      .context = t, .n = t->nruns, .noun = t->title, .work = LeadRun, .cost = PredictCost, .done = t->done};
  PetscInt end = -1;

  PetscFunctionBeginUser;
  snprintf(t->title, sizeof t->title, "runs");
  PetscCall(SchedulerCreate(t->leaders, CTPG_COORDINATOR_WORKING, &CtpgStopRequested, &t->scheduler));
  PetscCall(SchedulerRun(t->scheduler, &work));
  PetscCall(SchedulerDestroy(&t->scheduler));
  PetscCallMPI(MPI_Bcast(&end, 1, MPIU_INT, 0, t->group));
  PetscFunctionReturn(0);
}

// Rank 0: what the file holds now, and its digest.
static PetscErrorCode Conclude(const Train *t, int *exit_code) {
  TrainContents contents;
  char digest[65];
  PetscInt done = 0, failed = 0;

  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(t->out, &contents));
  for (PetscInt r = 0; r < contents->nruns; r++) {
    done += contents->done[r] ? 1 : 0;
    failed += contents->done[r] && contents->rows[r].status != CTPG_OK ? 1 : 0;
  }
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, %d of them not ok (each a row with its reason)\n",
                        t->out, (int)done, (int)contents->nruns, (int)failed));
  if (done < contents->nruns) {
    *exit_code = CTPG_EXIT_INCOMPLETE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "incomplete: the same command goes on from here\n"));
  } else {
    PetscCall(TrainContentsDigest(contents, digest));
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", digest));
  }
  PetscCall(TrainContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandTrain(const char *word, int *exit_code) {
  Train t = {.start = CtpgSeconds()};
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(CreateTrain(&t));
  PetscCall(OpenFile(&t));
  PetscCall(FormGroups(&t));
  if (t.leaders != MPI_COMM_NULL)
    PetscCall(LeadRuns(&t));
  else
    PetscCall(FollowRuns(&t));
  PetscCall(TrainStoreClose(&t.store));
  if (!t.rank) error = Conclude(&t, exit_code);
  PetscCall(CtpgAgreeOnSuccess(t.comm, error));
  PetscCallMPI(MPI_Bcast(exit_code, 1, MPI_INT, 0, t.comm));
  PetscCall(DestroyTrain(&t));
  PetscFunctionReturn(0);
}
