// train.c -- `ctpgbench train`: policies trained with each estimator, over problems and seeds, into one file
//
//   plan (train_plan.c) -> file (train_file.c: new, resumed or enlarged) -> runs dealt to groups of ranks -> digest
// A run belongs to a group; with more ranks than runs a group has several ranks, which share each batch
// (-ranks_per_run). A run whose number of steps follows from the NFE of another one (-match_nfe) waits for it.

#include "base/system.h"
#include "job/conclude.h"
#include "job/heartbeat.h"
#include "job/marks.h"
#include "commands/program.h"
#include "job/signals.h"
#include "train/file.h"
#include "job/watchdog.h"
#include "store/train_digest.h"
#include <math.h>
#include <stdio.h>

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
  t->group = PETSC_COMM_SELF;
  if (k > 1) PetscCallMPI(MPI_Comm_split(t->comm, mine, t->rank, &t->group));
  PetscCallMPI(MPI_Comm_split(t->comm, t->rank == mine * k ? 0 : MPI_UNDEFINED, t->rank, &t->leaders));
  PetscFunctionReturn(0);
}

// The ranks [first, last) of a leader's group.
static void GroupRanks(const Train *t, int leader, int *first, int *last) {
  const int k = (int)RanksPerRun(t), groups = PetscMax(1, t->size / k);
  *first = leader * k;
  *last = leader == groups - 1 ? t->size : *first + k;
}

static PetscErrorCode FreeGroups(Train *t) {
  PetscFunctionBeginUser;
  if (t->group != PETSC_COMM_SELF) PetscCallMPI(MPI_Comm_free(&t->group));
  if (t->leaders != MPI_COMM_NULL) PetscCallMPI(MPI_Comm_free(&t->leaders));
  PetscFunctionReturn(0);
}

// ---- runs ----

// Every rank, now and then.
static PetscErrorCode LookAtClock(void *train) {
  const Train *t = train;
  JobLimitsLook(&t->limits, t->start);
  return TrainStorePoll(t->store);
}

// A group that misses one rank comes to no end.
static PetscBool IsSilent(void *train, int leader) {
  int first, last;
  GroupRanks(train, leader, &first, &last);
  for (int rank = first; rank < last; rank++)
    if (HeartbeatIsSilent(rank)) return PETSC_TRUE;
  return PETSC_FALSE;
}

// What has reached this rank is brought to the disk first.
static void Abandon(void *train, int n, const int *leaders) {
  const Train *t = train;
  int *silent, nsilent = 0, first, last;
  (void)TrainStoreSync(t->store);
  if (PetscMalloc1(t->size, &silent)) return;
  for (int i = 0; i < n; i++) {
    GroupRanks(t, leaders[i], &first, &last);
    for (int rank = first; rank < last; rank++)
      if (HeartbeatIsSilent(rank)) silent[nsilent++] = rank;
  }
  HeartbeatAbandon(nsilent, silent);
}

// Called by the closed loop now and then, and between iterations.
static void Tick(void *train) {
  Train *t = train;
  if (t->scheduler)
    SchedulerPoll(t->scheduler);
  else
    (void)LookAtClock(t); // what it may complain of, the next Put or Close says again
}

static double Formula(const Train *t, PetscInt run);

// The line of this rank's run. How fast it goes is part of the time left of all (PredictCost), which alone is told.
static void ShowProgress(void *train, PetscInt run, PetscInt iteration, PetscReal loss) {
  Train *t = train;
  const PetscInt total = t->settings[t->rows[run].problem].iterations;
  if (!t->run_begun) t->run_begun = CtpgSeconds(), t->run_first = iteration;
  const double elapsed = PetscMax(CtpgSeconds() - t->run_begun, 1e-3), made = iteration - t->run_first;
  if (made > 0) {
    t->here = run;
    t->seen = log(elapsed * total / made / Formula(t, run));
  }
  snprintf(t->title, sizeof t->title, "%s/%s seed %lld: iteration %d of %d, %.0f/s, loss %.4g; runs",
           TrainProblemLabel(t, TrainPairOf(t, run)), TrainEstimatorLabel(t, TrainPairOf(t, run)),
           (long long)t->rows[run].seed, (int)iteration, (int)total, made / elapsed, loss);
}

// What the ranks of a group are told.
typedef struct {
  PetscInt run; // -1: nothing is left
  PetscReal accuracy;
} Assignment;

static PetscErrorCode RunHere(Train *t, const Assignment *assignment, CtpgStatus *status) {
  const PetscInt run = assignment->run, pair = TrainPairOf(t, run);
  const int bits = TrainBits(t, pair);
  const TrainTask task = {.group = t->group,
                          .store = t->store,
                          .run = run,
                          .seed = t->rows[run].seed,
                          .experiment = (uint64_t)t->experiment,
                          .checkpoint_interval = t->limits.checkpoint_interval,
                          .mixed = t->mixed & bits ? PETSC_TRUE : PETSC_FALSE,
                          .was_mixed = t->was_mixed & bits ? PETSC_TRUE : PETSC_FALSE,
                          .limits = {.stop = &CtpgStopRequested, .tick = Tick, .tick_context = t},
                          .progress = ShowProgress,
                          .context = t};
  TrainRow *row = t->rows + run;
  PetscBool finished;
  char name[256];

  PetscFunctionBeginUser;
  t->run_begun = 0;
  row->accuracy = assignment->accuracy;
  row->rank = t->rank;
  (void)PetscStrncpy(row->host, t->host, sizeof row->host);
  snprintf(name, sizeof name, "training of %s with %s, seed %lld", TrainProblemLabel(t, pair),
           TrainEstimatorLabel(t, pair), (long long)row->seed);
  JobEnter(CTPG_CRASH_RUN, row->run_key, t->pairs[pair].estimator.run_time_limit, name);
  PetscCall(TrainerRun(t->trainers[pair], &task, row, &finished));
  JobLeave();
  *status = finished ? (CtpgStatus)row->status : CTPG_INTERRUPTED;
  PetscFunctionReturn(0);
}

// The run that was to be matched has no NFE to match.
static PetscErrorCode SkipRun(Train *t, PetscInt run, const TrainWork *work) {
  TrainRow *row = t->rows + run;
  PetscFunctionBeginUser;
  row->status = CTPG_SKIPPED;
  snprintf(row->reason, sizeof row->reason, "-match_nfe: the run of %s ended as %s",
           TrainEstimatorLabel(t, TrainPairOf(t, t->waits_for[run])), CtpgStatusName((CtpgStatus)work->status));
  PetscCall(TrainStorePutRow(t->store, run, row));
  PetscFunctionReturn(0);
}

// Steps of Euler's method take as many evaluations of each kind as the other run took on average, times the factor.
static PetscReal MatchingStep(const Train *t, PetscInt run, const TrainWork *work) {
  const PetscInt p = t->rows[run].problem;
  const PetscReal steps = round(t->match_factor[TrainPairOf(t, run)] * work->evaluations);
  return TrainMeanHorizon(t->settings + p, t->problems[p].dims.T) / PetscMax(1, steps);
}

static PetscErrorCode LeadRun(void *train, CtpgItem *item) {
  Train *t = train;
  Assignment assignment = {item->number, t->rows[item->number].accuracy};

  PetscFunctionBeginUser;
  if (t->waits_for[item->number] >= 0) {
    const TrainWork *work = item->needed;
    item->status = work->status == CTPG_OK ? CTPG_OK : CTPG_SKIPPED;
    assignment.accuracy = MatchingStep(t, item->number, work);
    if (item->status != CTPG_OK) {
      PetscCall(SkipRun(t, item->number, work));
      PetscFunctionReturn(0);
    }
  }
  PetscCallMPI(MPI_Bcast(&assignment, sizeof assignment, MPI_BYTE, 0, t->group));
  PetscCall(RunHere(t, &assignment, &item->status));
  snprintf(t->title, sizeof t->title, "runs");
  if (item->product && item->status != CTPG_INTERRUPTED)
    *(TrainWork *)item->product = TrainWorkOf(t, t->rows + item->number);
  PetscFunctionReturn(0);
}

// Rank 0: of a run that the file had.
static PetscErrorCode RecallWork(void *train, PetscInt run, void *product) {
  PetscFunctionBeginUser;
  *(TrainWork *)product = ((Train *)train)->works[run];
  PetscFunctionReturn(0);
}

// Ranks that do not lead: what the leader of their group says, until it says -1.
static PetscErrorCode FollowRuns(Train *t) {
  Assignment assignment;
  CtpgStatus status;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCallMPI(MPI_Bcast(&assignment, sizeof assignment, MPI_BYTE, 0, t->group));
    if (assignment.run < 0) break;
    PetscCall(RunHere(t, &assignment, &status));
  }
  PetscFunctionReturn(0);
}

// Evaluations of one gradient, roughly.
static double PredictEvaluations(const Train *t, PetscInt pair) {
  const CtpgTraits *traits = &t->pairs[pair].estimator.traits;
  const PetscReal accuracy = t->accuracies[pair].first;
  if (t->matched[pair] >= 0) return PredictEvaluations(t, t->matched[pair]);
  return traits->knob == CTPG_KNOB_DT ? 2 * t->shapes[pair].T / accuracy : 30 * pow(accuracy, -1 / (traits->order + 1));
}

// Roughly what all iterations of a run take (s): evaluations times parameters.
static double Formula(const Train *t, PetscInt run) {
  const PetscInt pair = TrainPairOf(t, run), p = t->rows[run].problem;
  return 7e-10 * PredictEvaluations(t, pair) * (200 + t->shapes[pair].np) * t->settings[p].batch *
         t->settings[p].iterations;
}

// Seconds, once something was measured: the formula, corrected by what finished runs and the one here have shown, those
// of the same pair above all.
static double PredictCost(void *train, PetscInt run) {
  const Train *t = train;
  const PetscInt pair = TrainPairOf(t, run), here = t->here >= 0 ? TrainPairOf(t, t->here) : -1;
  const double extra = here >= 0 ? t->seen : 0, count = here >= 0 ? 1 : 0;
  const double all =
      t->weight[t->npairs] + count > 0 ? (t->learnt[t->npairs] + extra) / (t->weight[t->npairs] + count) : 0;
  const double mine = here == pair ? 1 : 0, trust = 0.1; // in what all pairs show, counted in runs of this one
  const double sum = t->learnt[pair] + mine * exp(t->seen) + trust * exp(all);
  return t->part[run] * Formula(t, run) * sum / (t->weight[pair] + mine + trust);
}

static void LearnCost(void *train, PetscInt run, double seconds, CtpgStatus status) {
  Train *t = train;
  const PetscInt pair = TrainPairOf(t, run);
  if (t->here == run) t->here = -1;
  if (status != CTPG_OK || !(seconds > 0)) return; // it may have ended early
  const double ratio = seconds / (t->part[run] * Formula(t, run));
  t->learnt[pair] += ratio, t->learnt[t->npairs] += log(ratio);
  t->weight[pair]++, t->weight[t->npairs]++;
}

static PetscBool IsCostKnown(void *train) {
  const Train *t = train;
  return t->here >= 0 || t->weight[t->npairs] > 0 ? PETSC_TRUE : PETSC_FALSE;
}

static PetscInt PredecessorOf(void *train, PetscInt run) {
  return ((const Train *)train)->waits_for[run];
}

static PetscInt ProductBytesOf(void *train, PetscInt run) {
  return ((const Train *)train)->is_waited[run] ? (PetscInt)sizeof(TrainWork) : 0;
}

static PetscErrorCode LeadRuns(Train *t) {
  const Assignment end = {-1, 0};

  PetscFunctionBeginUser;
  const CtpgWork work = {.context = t,
                         .n = t->nruns,
                         .noun = t->title,
                         .work = LeadRun,
                         .cost = PredictCost,
                         .finished = LearnCost,
                         .is_known = IsCostKnown,
                         .poll = LookAtClock,
                         .is_silent = IsSilent,
                         .abandon = Abandon,
                         .predecessor = PredecessorOf,
                         .product_bytes = ProductBytesOf,
                         .done = t->done,
                         .recall = RecallWork};
  snprintf(t->title, sizeof t->title, "runs");
  PetscCall(SchedulerCreate(t->leaders, CTPG_COORDINATOR_WORKING, &CtpgStopRequested, &t->scheduler));
  PetscCall(SchedulerRun(t->scheduler, &work));
  PetscCall(SchedulerDestroy(&t->scheduler));
  PetscCallMPI(MPI_Bcast((void *)&end, sizeof end, MPI_BYTE, 0, t->group));
  PetscFunctionReturn(0);
}

// What the file holds now, and its digest.
static PetscErrorCode ReadOutcome(void *train, JobOutcome *o) {
  TrainContents contents;
  PetscInt environment;

  PetscFunctionBeginUser;
  PetscCall(TrainContentsRead(((Train *)train)->out, &contents));
  o->n = contents->nruns;
  o->torn = contents->base->torn;
  for (PetscInt r = 0; r < contents->nruns; r++) {
    o->done += contents->done[r] ? 1 : 0;
    o->failed += contents->done[r] && contents->rows[r].status != CTPG_OK ? 1 : 0;
  }
  if (o->done == o->n) PetscCall(TrainContentsDigest(contents, o->digest, &environment));
  PetscCall(TrainContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

static PetscErrorCode RunTraining(Train *t, int *exit_code) {
  PetscFunctionBeginUser;
  PetscCall(JobLimitsAskBatch(t->comm, t->start, "training", &t->limits));
  PetscCall(TrainOpenFile(t));
  PetscCall(FormGroups(t));
  JobLimitsWatch(&t->limits, t->rank, t->start);
  PetscCall(HeartbeatStart(t->comm, &t->limits));
  if (t->leaders != MPI_COMM_NULL)
    PetscCall(LeadRuns(t));
  else
    PetscCall(FollowRuns(t));
  HeartbeatWorkIsOver();
  WatchdogStop();
  PetscCall(FreeGroups(t));
  PetscCall(TrainCloseFile(t));
  PetscCall(JobConclude(t->comm, t->out, ReadOutcome, t, exit_code));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandTrain(const char *word, int *exit_code) {
  Train t = {.start = CtpgSeconds(), .comm = PETSC_COMM_WORLD};
  int length;

  PetscFunctionBeginUser;
  (void)word;
  PetscCallMPI(MPI_Comm_rank(t.comm, &t.rank));
  PetscCallMPI(MPI_Comm_size(t.comm, &t.size));
  PetscCallMPI(MPI_Get_processor_name(t.host, &length));
  PetscCall(TrainPlanCreate(&t));
  if (t.limits.dry_run)
    PetscCall(TrainPlanReport(&t));
  else
    PetscCall(RunTraining(&t, exit_code));
  PetscCall(TrainPlanDestroy(&t));
  PetscFunctionReturn(0);
}
