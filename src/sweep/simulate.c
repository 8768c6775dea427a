// simulate.c -- a finished file replayed on other numbers of ranks (simulate.h)
//
// Events lie in a heap by time: a message reaches the coordinator, a grant reaches a rank. The real dealer decides who
// gets what, with the costs that the model predicts, while the recorded ones pass; so the replay shows what the policy
// would do, and not what a perfect one could. The bound beside it is the larger of two: all work shared evenly, and the
// longest chain of items that wait for each other.

#include "schedule/dealer.h"
#include "schedule/left.h"
#include "base/heap.h"
#include "schedule/scheduler.h"
#include "sweep/simulate.h"
#include "run/instance.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Measured on two ranks of one node, Open MPI 4.1 over shared memory; over TCP a latency of 5e-5. SERVICE is what TCP
// costs (97,000 grants with their reports in a second); without a network it is 0.5 us (tests/bench_schedule.c).
#define LATENCY 1e-5 // s of a message
#define SERVICE 5e-6 // s to take in a report, or to make out a grant
#define LOOK_UP 2e-4 // s between two looks of a working coordinator at its messages

// ---- events ----

typedef enum { REPORT_ARRIVES, GRANT_ARRIVES } EventKind;

typedef struct {
  EventKind kind;
  DealerGrant grant;
} Event;

typedef struct {
  const SimulatedWork *work;
  Dealer dealer;
  int first, ranks;
  Heap agenda;      // -time and number of an event
  Event *event;     // [room]
  PetscInt *unused; // [nunused] numbers of events that may be used again
  PetscInt nunused, room;
  double *free_at;  // [ranks] when a rank is through with all it has
  double *began;    // [ranks] when it took up its last grant
  double served;    // when the coordinator is through with its messages
  double answering; // s it has answered
  double owed;      // s of them that a working coordinator has not yet made up for in its own items
  double busy, end;
  double total, through; // s of all items, and of those that are finished
  double tenth, left;    // see Simulation
  PetscInt64 messages;
} Simulator;

static PetscErrorCode GrowEvents(Simulator *s) {
  const PetscInt room = 2 * s->room + 64;
  Event *event;
  PetscInt *unused;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(room, &event));
  PetscCall(PetscMalloc1(room, &unused));
  PetscCall(PetscArraycpy(event, s->event, s->room));
  for (PetscInt k = s->room; k < room; k++) unused[s->nunused++] = k;
  PetscCall(PetscFree(s->event));
  PetscCall(PetscFree(s->unused));
  s->event = event;
  s->unused = unused;
  s->room = room;
  PetscFunctionReturn(0);
}

static PetscErrorCode Schedule(Simulator *s, double time, EventKind kind, const DealerGrant *grant) {
  PetscFunctionBeginUser;
  if (!s->nunused) PetscCall(GrowEvents(s));
  const PetscInt k = s->unused[--s->nunused];
  s->event[k] = (Event){.kind = kind, .grant = *grant};
  PetscCall(HeapPush(&s->agenda, -time, k));
  PetscFunctionReturn(0);
}

// ---- ranks ----

static double Seconds(const SimulatedWork *work, PetscInt item) {
  return work->seconds(work->dealt.context, item);
}

static double Latency(int rank) {
  return rank ? LATENCY : 0;
}

// A rank takes up what it was granted once it is through with what it had.
static PetscErrorCode TakeUp(Simulator *s, double now, const DealerGrant *grant) {
  const int rank = grant->rank;
  double time = PetscMax(now, s->free_at[rank]);
  PetscFunctionBeginUser;
  s->began[rank] = time;
  if (!rank) {
    time += s->owed;
    s->owed = 0;
  }
  for (int i = 0; i < grant->n; i++) {
    const double seconds = Seconds(s->work, grant->item[i]);
    if (s->work->start) s->work->start[grant->item[i]] = time;
    time += seconds;
    s->busy += seconds;
  }
  s->free_at[rank] = time;
  s->end = PetscMax(s->end, time);
  PetscCall(Schedule(s, time + Latency(rank), REPORT_ARRIVES, grant));
  PetscFunctionReturn(0);
}

// ---- the coordinator ----

// When a message that arrives now is looked at: a coordinator at work looks up now and then.
static double LooksUp(const Simulator *s, double now) {
  double time = PetscMax(now, s->served);
  if (s->first == 0 && s->free_at[0] > time && s->began[0] <= time) {
    const double looks = ceil((time - s->began[0]) / LOOK_UP);
    time = PetscMin(s->free_at[0], s->began[0] + looks * LOOK_UP);
  }
  return time;
}

static void Serve(Simulator *s, double *time) {
  *time += SERVICE;
  s->answering += SERVICE;
  if (s->first == 0 && s->free_at[0] > *time) s->owed += SERVICE;
  s->messages++;
}

// The rows of a grant, by a writing rank 0: the way of writing that holds on every file system.
static void WriteRows(Simulator *s, int n, double *time) {
  const double seconds = s->work->write * n;
  *time += seconds;
  s->answering += seconds;
  if (s->first == 0 && s->free_at[0] > *time) s->owed += seconds;
}

static PetscErrorCode Deal(Simulator *s, double *time) {
  DealerGrant grant;
  PetscBool any;
  PetscFunctionBeginUser;
  for (;;) {
    PetscCall(DealerDeal(s->dealer, &grant, &any));
    if (!any) break;
    Serve(s, time);
    PetscCall(Schedule(s, *time + Latency(grant.rank), GRANT_ARRIVES, &grant));
  }
  PetscFunctionReturn(0);
}

// What the progress line would say: ranks have worked on their items since they began them.
static PetscErrorCode SayTimeLeft(Simulator *s, double now) {
  double *elapsed;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(s->ranks, &elapsed));
  for (int r = s->first; r < s->ranks; r++)
    if (s->free_at[r] > now) elapsed[r] = PetscMax(0, now - s->began[r]);
  s->tenth = now;
  PetscCall(DealerSecondsLeft(s->dealer, elapsed, &s->left));
  PetscCall(PetscFree(elapsed));
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeIn(Simulator *s, double now, int rank) {
  double time = LooksUp(s, now);
  DealerGrant grant;
  PetscFunctionBeginUser;
  Serve(s, &time);
  PetscCall(DealerReturn(s->dealer, rank, &grant));
  for (int i = 0; i < grant.n; i++) {
    const double seconds = Seconds(s->work, grant.item[i]);
    if (s->work->finished) s->work->finished(s->work->dealt.context, grant.item[i], seconds);
    PetscCall(DealerFinish(s->dealer, grant.item[i]));
    s->through += seconds;
  }
  if (rank) WriteRows(s, grant.n, &time);
  if (s->tenth == 0 && s->through >= 0.1 * s->total) PetscCall(SayTimeLeft(s, now));
  PetscCall(Deal(s, &time));
  s->served = time;
  PetscFunctionReturn(0);
}

// ---- all of it ----

static PetscErrorCode Run(Simulator *s) {
  double start = 0;
  PetscFunctionBeginUser;
  PetscCall(Deal(s, &start));
  s->served = start;
  while (s->agenda.n) {
    const HeapEntry next = HeapPop(&s->agenda);
    const Event event = s->event[next.number];
    s->unused[s->nunused++] = next.number;
    if (event.kind == GRANT_ARRIVES)
      PetscCall(TakeUp(s, -next.key, &event.grant));
    else
      PetscCall(TakeIn(s, -next.key, event.grant.rank));
  }
  PetscFunctionReturn(0);
}

// Longest chain of items that wait for each other.
static PetscErrorCode LongestChain(const SimulatedWork *work, double *longest) {
  const DealerPlan *plan = &work->dealt;
  double *chain; // to the end of an item; negative: not known
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->n, &chain));
  for (PetscInt i = 0; i < plan->n; i++) chain[i] = -1;
  *longest = 0;
  for (PetscInt i = 0; i < plan->n; i++) {
    double length = 0;
    for (PetscInt k = i; k >= 0; k = plan->predecessor ? plan->predecessor(plan->context, k) : -1) {
      if (chain[k] >= 0) {
        length += chain[k];
        break;
      }
      length += Seconds(work, k);
    }
    chain[i] = length;
    *longest = PetscMax(*longest, length);
  }
  PetscCall(PetscFree(chain));
  PetscFunctionReturn(0);
}

static PetscErrorCode Measure(const Simulator *s, Simulation *result) {
  const int workers = s->ranks - s->first;
  double longest = 0;
  PetscFunctionBeginUser;
  PetscCall(LongestChain(s->work, &longest));
  *result = (Simulation){.makespan = s->end,
                         .bound = PetscMax(s->busy / s->ranks, longest),
                         .speed_up = s->end > 0 ? s->busy / s->end : 1,
                         .busy = s->end > 0 ? s->busy / (s->end * workers) : 0,
                         .messages = (double)s->messages,
                         .rows = (double)s->work->dealt.n,
                         .coordinator = s->end > 0 ? s->answering / s->end : 0,
                         .tenth = s->tenth,
                         .left = s->left,
                         .dedicated = s->first ? PETSC_TRUE : PETSC_FALSE};
  PetscFunctionReturn(0);
}

PetscErrorCode SimulateWork(const SimulatedWork *work, int ranks, PetscBool dedicated, Simulation *result) {
  Simulator s = {.work = work, .first = dedicated ? 1 : 0, .ranks = ranks};
  DealerPlan plan = work->dealt;

  PetscFunctionBeginUser;
  plan.first = s.first;
  plan.last = ranks;
  PetscCall(PetscCalloc2(ranks, &s.free_at, ranks, &s.began));
  for (PetscInt i = 0; i < plan.n; i++) s.total += Seconds(work, i);
  PetscCall(DealerCreate(&plan, &s.dealer));
  PetscCall(Run(&s));
  PetscCall(Measure(&s, result));
  PetscCall(DealerDestroy(&s.dealer));
  PetscCall(HeapDestroy(&s.agenda));
  PetscCall(PetscFree(s.event));
  PetscCall(PetscFree(s.unused));
  PetscCall(PetscFree2(s.free_at, s.began));
  PetscFunctionReturn(0);
}

// ---- a file ----

// Finished rows with a sound clock, runs without those of unfinished cases.
static PetscErrorCode KeepFinished(Recording *r) {
  const CtpgContents f = r->contents;
  PetscInt *place;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(f->ncases, &r->cases, f->nruns, &r->runs));
  PetscCall(PetscMalloc1(f->ncases, &place));
  for (PetscInt c = 0; c < f->ncases; c++) {
    place[c] = -1;
    if (!f->case_done[c] || !(f->cases[c].busy >= 0 && f->cases[c].busy < 1e9)) continue;
    place[c] = r->ncases;
    r->total += f->cases[c].busy;
    r->cases[r->ncases++] = f->cases[c];
  }
  for (PetscInt k = 0; k < f->nruns; k++) {
    const CtpgRunRow *row = f->runs + k;
    if (!f->run_done[k] || !(row->busy >= 0 && row->busy < 1e9) || row->problem < 0 || row->estimator < 0 ||
        row->case_index < 0 || place[row->case_index] < 0)
      continue;
    r->total += row->busy;
    r->runs[r->nruns] = *row;
    r->runs[r->nruns++].case_index = (int32_t)place[row->case_index];
  }
  PetscCall(PetscFree(place));
  PetscFunctionReturn(0);
}

PetscErrorCode RecordingRead(const char *path, PetscInt copies, Recording *r) {
  PetscFunctionBeginUser;
  *r = (Recording){.copies = copies};
  PetscCall(ContentsRead(path, &r->contents));
  PetscCall(KeepFinished(r));
  PetscFunctionReturn(0);
}

PetscErrorCode RecordingDestroy(Recording *r) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree2(r->cases, r->runs));
  PetscCall(ContentsDestroy(&r->contents));
  PetscFunctionReturn(0);
}

static CtpgKnob KnobNamed(const char *name) {
  for (int knob = CTPG_KNOB_RTOL; knob <= CTPG_KNOB_SAMPLES; knob++)
    if (!strcmp(name, CtpgKnobName((CtpgKnob)knob))) return (CtpgKnob)knob;
  return CTPG_KNOB_RTOL;
}

// ---- kinds of items

// Item i of the replay is item i % period of the file.
typedef struct {
  const Recording *recording;
  PetscInt period;
  PetscInt nkinds, *kind; // [nproblems + runs at most]; [period]
  CostKind *kinds;
  PetscInt *number; // [ncases] which of the finished cases of its problem
  PetscInt *cases;  // [nproblems] finished
  CostModel costs;
} Replay;

typedef struct {
  CostKind kind;
  PetscInt run;
} KindOfRun;

static int CompareKinds(const void *a, const void *b) {
  const CostKind *x = &((const KindOfRun *)a)->kind, *y = &((const KindOfRun *)b)->kind;
  if (x->problem != y->problem) return x->problem < y->problem ? -1 : 1;
  if (x->estimator != y->estimator) return x->estimator < y->estimator ? -1 : 1;
  return (x->accuracy > y->accuracy) - (x->accuracy < y->accuracy);
}

static void NumberCases(Replay *replay) {
  const Recording *r = replay->recording;
  for (PetscInt c = 0; c < r->ncases; c++) {
    const PetscInt p = r->cases[c].problem;
    replay->kind[c] = p;
    replay->number[c] = replay->cases[p]++;
  }
}

static PetscErrorCode NumberRuns(Replay *replay) {
  const Recording *r = replay->recording;
  KindOfRun *sorted;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(r->nruns, &sorted));
  for (PetscInt k = 0; k < r->nruns; k++)
    sorted[k] = (KindOfRun){{r->runs[k].problem, r->runs[k].estimator, r->runs[k].accuracy}, k};
  qsort(sorted, (size_t)r->nruns, sizeof *sorted, CompareKinds);
  for (PetscInt k = 0; k < r->nruns; k++) {
    if (!k || CompareKinds(sorted + k - 1, sorted + k)) replay->kinds[replay->nkinds++] = sorted[k].kind;
    replay->kind[r->ncases + sorted[k].run] = replay->nkinds - 1;
  }
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}

// The model's labels as the file tells them; numbers out of all reason (no checksum guards them) count as 1.
static PetscErrorCode CreateCosts(Replay *replay) {
  const CtpgContents f = replay->recording->contents;
  PetscReal *T, *order;
  CtpgKnob *knob;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc3(f->nproblems, &T, f->nestimators, &order, f->nestimators, &knob));
  for (PetscInt p = 0; p < f->nproblems; p++) {
    const PetscReal horizon = f->problem_info[p].T;
    T[p] = horizon > 0 && horizon < 1e9 ? horizon : 1;
  }
  for (PetscInt e = 0; e < f->nestimators; e++) {
    const CtpgLabelInfo *info = f->estimator_info + e;
    order[e] = info->order > 0 && info->order < 100 ? info->order : 1;
    knob[e] = KnobNamed(info->knob);
  }
  PetscCall(CostCreate(&(CostPlan){.nproblems = f->nproblems,
                                   .nestimators = f->nestimators,
                                   .nkinds = replay->nkinds,
                                   .kinds = replay->kinds,
                                   .np = f->np,
                                   .T = T,
                                   .knob = knob,
                                   .order = order,
                                   .timing_threshold = 0.02},
                       &replay->costs));
  PetscCall(PetscFree3(T, order, knob));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReplayCreate(const Recording *r, Replay *replay) {
  const PetscInt nproblems = r->contents->nproblems;
  PetscFunctionBeginUser;
  *replay = (Replay){.recording = r, .period = r->ncases + r->nruns, .nkinds = nproblems};
  PetscCall(
      PetscMalloc3(replay->period, &replay->kind, nproblems + r->nruns, &replay->kinds, r->ncases, &replay->number));
  PetscCall(PetscCalloc1(nproblems, &replay->cases));
  for (PetscInt p = 0; p < nproblems; p++) replay->kinds[p] = (CostKind){.problem = p, .estimator = -1};
  NumberCases(replay);
  PetscCall(NumberRuns(replay));
  PetscCall(CreateCosts(replay));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReplayDestroy(Replay *replay) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree3(replay->kind, replay->kinds, replay->number));
  PetscCall(PetscFree(replay->cases));
  PetscCall(CostDestroy(&replay->costs));
  PetscFunctionReturn(0);
}

// ---- the replay

static PetscInt KindOfCopy(void *context, PetscInt item) {
  const Replay *replay = context;
  return replay->kind[item % replay->period];
}

static PetscInt PredecessorOfCopy(void *context, PetscInt item) {
  const Replay *replay = context;
  const PetscInt ncases = replay->recording->ncases, k = item % replay->period;
  return k < ncases ? -1 : item - k + replay->recording->runs[k - ncases].case_index;
}

// The copies of a case are numbered one after the other.
static PetscBool IsCopyEarly(void *context, PetscInt item) {
  const Replay *replay = context;
  const Recording *r = replay->recording;
  const PetscInt k = item % replay->period, c = k < r->ncases ? k : r->runs[k - r->ncases].case_index;
  return CostShowsEarly(replay->costs, replay->kind[k],
                        replay->number[c] + item / replay->period * replay->cases[r->cases[c].problem]);
}

static double SecondsOfCopy(void *context, PetscInt item) {
  const Replay *replay = context;
  const Recording *r = replay->recording;
  const PetscInt k = item % replay->period;
  return k < r->ncases ? r->cases[k].busy : r->runs[k - r->ncases].busy;
}

static double PredictKind(void *context, PetscInt kind) {
  return CostPredict(((const Replay *)context)->costs, kind);
}

static void LearnCopy(void *context, PetscInt item, double seconds) {
  CostLearn(((const Replay *)context)->costs, KindOfCopy(context, item), seconds);
}

static void SupposeCopy(void *context, PetscInt item, double seconds, int weight) {
  CostSuppose(((const Replay *)context)->costs, KindOfCopy(context, item), seconds, weight);
}

PetscErrorCode Simulate(const Recording *r, int ranks, Simulation *result) {
  const PetscInt period = r->ncases + r->nruns;
  Replay replay;

  PetscFunctionBeginUser;
  PetscCheck(period, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "%s has no finished row to replay", r->contents->path);
  PetscCheck((double)period * r->copies <= 1e8, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "-replicate %d of %d rows are more than 1e8; take fewer", (int)r->copies, (int)period);
  PetscCall(ReplayCreate(r, &replay));
  const SimulatedWork work = {.dealt = {.n = period * r->copies,
                                        .predecessor = PredecessorOfCopy,
                                        .early = IsCopyEarly,
                                        .nkinds = replay.nkinds,
                                        .kind = KindOfCopy,
                                        .cost = PredictKind,
                                        .suppose = SupposeCopy,
                                        .context = &replay},
                              .seconds = SecondsOfCopy,
                              .write = r->write,
                              .finished = LearnCopy};
  PetscCall(SimulateWork(&work, ranks, ranks >= CTPG_MANY_RANKS ? PETSC_TRUE : PETSC_FALSE, result));
  PetscCall(ReplayDestroy(&replay));
  PetscFunctionReturn(0);
}
