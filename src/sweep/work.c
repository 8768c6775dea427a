// work.c -- the items of a sweep: references, and the runs that are compared with them
//
// Each item is dealt by the scheduler (schedule/scheduler.h) to one rank, which computes it, watched (job/marks.h),
// and stores its row. A run waits for the reference of its case alone. References travel by message to
// the ranks that compute such runs, for MPI-IO gives no read-after-write across ranks.

#include "sweep/work.h"
#include "sweep/again.h"
#include "sweep/fill.h"
#include "run/case.h"
#include "run/describe.h"
#include "base/system.h"
#include "job/heartbeat.h"
#include "job/marks.h"
#include "job/signals.h"
#include "base/random_engine.h"
#include "job/watchdog.h"
#include <math.h>
#include <stdio.h>

// Every rank, now and then.
static PetscErrorCode LookAround(void *context) {
  const Sweep *s = context;
  JobLimitsLook(&s->plan.limits, s->start);
  return StorePoll(s->store);
}

static PetscBool IsSilent(void *context, int rank) {
  (void)context;
  return HeartbeatIsSilent(rank);
}

// What has reached this rank is brought to the disk first.
static void Abandon(void *context, int n, const int *ranks) {
  const Sweep *s = context;
  (void)StorePoll(s->store);
  (void)StoreSync(s->store);
  HeartbeatAbandon(n, ranks);
}

static CtpgLimits Limits(Sweep *s) {
  return (CtpgLimits){.stop = &CtpgStopRequested, .tick = SchedulerPoll, .tick_context = s->scheduler};
}

// What the rank spends on an item goes into its row, so the storing that follows counts as long as that of the row
// before.
static void StartItem(Sweep *s) {
  s->item_start = CtpgSeconds();
  s->item_polled = SchedulerGetPolled(s->scheduler);
}

static double GetBusy(const Sweep *s) {
  return CtpgSeconds() - s->item_start - (SchedulerGetPolled(s->scheduler) - s->item_polled) + s->put_seconds;
}

// Of a row: 1 where its bits are those of another arithmetic.
static int32_t IsMixed(const Sweep *s, PetscInt problem, const CtpgEstimator *estimator) {
  const int bits = DescribeBits(s->plan.problems[problem].type->flags);
  return s->mixed & (estimator ? bits | DescribeBits(estimator->traits.flags) : bits) ? 1 : 0;
}

// ---- references ----

static void FillCaseRow(Sweep *s, const CtpgReference *g, double wall, double cpu, CtpgCaseRow *row) {
  FillReference(s->plan.problems + row->problem, g, row);
  row->wall = wall;
  row->cpu = cpu;
  row->busy = GetBusy(s);
  row->session = StoreGetSession(s->store);
  row->mixed = IsMixed(s, row->problem, NULL);
  row->rank = s->rank;
}

// row: identity columns on return.
static PetscErrorCode SolveReference(Sweep *s, PetscInt c, CtpgReference *g, CtpgCaseRow *row, double *wall,
                                     double *cpu) {
  const PetscInt p = PlanProblemOf(&s->plan, c);
  const CtpgLimits limits = Limits(s);
  char name[128];
  CtpgCase drawn;

  PetscFunctionBeginUser;
  if (!s->solvers[p]) PetscCall(ReferenceCreate(s->plan.problems + p, &s->solvers[p]));
  PetscCall(PlanDrawCase(&s->plan, c, &drawn));
  PlanFillCase(&s->plan, c, CaseKey(s->plan.problems + p, &drawn), row);
  snprintf(name, sizeof name, "the reference of %s, seed %lld", s->plan.problems[p].label, (long long)row->seed);
  JobEnter(CTPG_CRASH_CASE, row->case_key, 0, name);
  PetscCall(PetscLogEventBegin(s->reference_event, 0, 0, 0, 0));
  const double start = CtpgSeconds();
  const double cpu_start = CtpgThreadSeconds();
  PetscCall(ReferenceSolve(s->solvers[p], &drawn, &limits, g));
  *cpu = CtpgThreadSeconds() - cpu_start;
  *wall = CtpgSeconds() - start;
  PetscCall(PetscLogEventEnd(s->reference_event, 0, 0, 0, 0));
  JobLeave();
  PetscCall(CaseDestroy(&drawn));
  PetscFunctionReturn(0);
}

static PetscErrorCode WorkOnReference(Sweep *s, CtpgItem *item) {
  const PetscInt c = item->number, nx = s->plan.problems[PlanProblemOf(&s->plan, c)].dims.nx;
  PetscReal *product = item->product;
  CtpgReference g = {.gx0 = product + 2, .gtheta = product + 2 + nx};
  CtpgCaseRow row;
  double wall = 0, cpu = 0;

  PetscFunctionBeginUser;
  PetscCall(SolveReference(s, c, &g, &row, &wall, &cpu));
  item->status = g.status;
  product[0] = g.status;
  product[1] = g.loss;
  if (g.status == CTPG_INTERRUPTED) PetscFunctionReturn(0); // stays pending
  FillCaseRow(s, &g, wall, cpu, &row);
  const double before = CtpgSeconds();
  PetscCall(StorePutCase(s->store, c, &row, g.status == CTPG_OK ? g.gx0 : NULL, g.status == CTPG_OK ? g.gtheta : NULL));
  s->put_seconds = CtpgSeconds() - before;
  PetscFunctionReturn(0);
}

// The other way round; g borrows from the product.
static CtpgReference OpenProduct(const void *product, PetscInt nx) {
  const PetscReal *values = product;
  return (CtpgReference){.status = (CtpgStatus)values[0],
                         .loss = values[1],
                         .gx0 = (PetscReal *)values + 2,
                         .gtheta = (PetscReal *)values + 2 + nx};
}

// Rank 0: of a reference that the file had.
static PetscErrorCode RecallReference(void *context, PetscInt c, void *product) {
  Sweep *s = context;
  PetscFunctionBeginUser;
  PetscCall(PetscArraycpy((PetscReal *)product, s->products[c], PlanProductSize(&s->plan, c)));
  PetscCall(PetscFree(s->products[c]));
  PetscFunctionReturn(0);
}

// ---- runs ----

// Sixteen projections of g on vectors of random signs: bit k of word j of one Philox stream is the sign of entry j in
// projection k. The mean square of a projection is ||g||^2, so differences of gradients can be estimated later.
static void Sketch(PetscInt np, const PetscReal *g, PetscReal *sketch) {
  CtpgStream stream = CtpgStreamOpen(0, "sketch", CTPG_STREAM_SKETCH, 0, 0);
  for (int k = 0; k < CTPG_SKETCH_SIZE; k++) sketch[k] = 0;
  for (PetscInt j = 0; j < np; j++) {
    const uint64_t bits = CtpgStreamWord(&stream);
    for (int k = 0; k < CTPG_SKETCH_SIZE; k++) sketch[k] += bits >> k & 1 ? g[j] : -g[j];
  }
}

// Repeats take no more than a third of the CPU time of a rank, that is half of what all the rest takes.
static CtpgRepeats Repeats(const Sweep *s) {
  const double rest = CtpgThreadSeconds() - s->cpu_start - s->repeat_cpu;
  return (CtpgRepeats){.threshold = s->plan.timing_threshold,
                       .budget = s->plan.retime[0] ? INFINITY : PetscMax(0, rest / 2 - s->repeat_cpu)};
}

#define STRANGERS 0.5 // processes beside the program, on average, that make nobody call it alone

static CtpgTiming Timing(const Sweep *s, const CtpgOutcome *o, double load) {
  if (FillIsCrowded(o->wall_median, o->cpu_median, load)) return CTPG_TIMING_CROWDED;
  if (s->size > 1 || load * (double)SystemCores() - s->neighbours > STRANGERS) return CTPG_TIMING_THROUGHPUT;
  return CTPG_TIMING_ISOLATED;
}

static void FillTimes(Sweep *s, const CtpgOutcome *o, CtpgRunRow *row) {
  row->wall = o->wall_median;
  row->wall_0 = o->wall[0];
  row->wall_1 = o->wall[1];
  row->wall_2 = o->wall[2];
  row->cpu = o->cpu_median;
  row->cpu_0 = o->cpu[0];
  row->cpu_1 = o->cpu[1];
  row->cpu_2 = o->cpu[2];
  row->load = SystemLoad();
  row->timing = Timing(s, o, row->load);
}

static void FillRunRow(Sweep *s, const CtpgOutcome *o, const CtpgErrors *e, CtpgRunRow *row) {
  row->status = o->status;
  (void)PetscStrncpy(row->reason, o->reason, sizeof row->reason);
  row->h = o->h;
  row->backsolve_error = o->backsolve_error;
  row->steps = o->steps;
  row->rejected = o->rejected;
  row->steps_adjoint = o->steps_adjoint;
  row->rejected_adjoint = o->rejected_adjoint;
  row->bytes = o->bytes;
  row->nfe = o->nfe;
#define COPY_COUNT(kind) row->kind = o->totals.kind;
  CTPG_COUNTS(COPY_COUNT)
#undef COPY_COUNT
#define COPY_PURPOSE(name, word)                                                                                       \
  row->nf_##word = o->counts[name].nf;                                                                                 \
  row->nvjp_##word = o->counts[name].nvjp;                                                                             \
  row->njvp_##word = o->counts[name].njvp;                                                                             \
  row->njac_##word = o->counts[name].njac;
  CTPG_PURPOSES(COPY_PURPOSE)
#undef COPY_PURPOSE
  FillTimes(s, o, row);
  row->busy = GetBusy(s);
  row->session = StoreGetSession(s->store);
  row->mixed = IsMixed(s, row->problem, &s->plan.pairs[row->estimator].estimator);
  row->rank = s->rank;
  (void)PetscStrncpy(row->host, s->host, sizeof row->host);
  if (o->status != CTPG_OK) return;
  row->loss = o->loss;
  row->error_bar = o->error_bar;
  row->nfe_bar = o->nfe_bar;
  row->promise = o->promise;
  row->promise_term = (int32_t)o->promise_term;
  row->grad_norm = e->norm;
  row->err_rel = e->err_rel;
  row->err_abs = e->err_abs;
  row->err_x0 = e->err_x0;
  row->err_joint = e->err_joint;
  row->cosine = e->cosine;
  row->err_layer = e->err_layer;
  row->sign_share = e->sign_share;
}

static PetscErrorCode WorkOnRun(Sweep *s, CtpgItem *item) {
  const PetscInt r = item->number - s->plan.ncases;
  CtpgPair *pair = PlanGetPair(&s->plan, r);
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  const CtpgReference reference = OpenProduct(item->needed, nx);
  CtpgRunRow row;
  PetscReal sketch[CTPG_SKETCH_SIZE];
  char name[256];
  CtpgOutcome o;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(PlanDrawCase(&s->plan, PlanCaseOf(&s->plan, r), &c));
  PlanFillRun(&s->plan, r, CaseKey(pair->problem, &c), &row);
  snprintf(name, sizeof name, "%s on %s, seed %lld, accuracy %.6g", pair->estimator.label, pair->problem->label,
           (long long)row.seed, row.accuracy);
  JobEnter(CTPG_CRASH_RUN, row.run_key, pair->estimator.run_time_limit, name);
  PetscCall(
      PairRun(pair, &c, (uint64_t)s->plan.experiment, (uint64_t)row.repeat, row.accuracy, Limits(s), Repeats(s), &o));
  s->repeat_cpu += o.repeat_cpu;
  JobLeave();
  PetscCall(CaseDestroy(&c));
  item->status = o.status;
  if (o.status == CTPG_INTERRUPTED) PetscFunctionReturn(0); // stays pending
  const PetscBool failed = o.status != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  CtpgErrors e = GradientErrors(nx, np, pair->gx0, pair->gtheta, &reference);
  if (!failed && reference.status == CTPG_OK)
    GradientErrorsByEntry(pair->problem->policy, pair->gtheta, reference.gtheta, &e);
  Sketch(np, pair->gtheta, sketch);
  FillRunRow(s, &o, &e, &row);
  if (AgainIsRetimed(s, r)) {
    PetscBool same;
    AgainCompare(s, r, &row, &same);
    if (!same) PetscFunctionReturn(0);
  }
  const double before = CtpgSeconds();
  PetscCall(StorePutRun(s->store, r, &row, failed ? NULL : sketch, failed ? NULL : pair->gtheta));
  s->put_seconds = CtpgSeconds() - before;
  PetscFunctionReturn(0);
}

// ---- both ----

static PetscErrorCode WorkOnItem(void *context, CtpgItem *item) {
  Sweep *s = context;
  PetscFunctionBeginUser;
  StartItem(s);
  if (item->number < s->plan.ncases)
    PetscCall(WorkOnReference(s, item));
  else
    PetscCall(WorkOnRun(s, item));
  PetscFunctionReturn(0);
}

static PetscInt PredecessorOf(void *context, PetscInt item) {
  const CtpgPlan *plan = &((const Sweep *)context)->plan;
  return item < plan->ncases ? -1 : PlanCaseOf(plan, item - plan->ncases);
}

static PetscInt ProductBytesOf(void *context, PetscInt item) {
  const CtpgPlan *plan = &((const Sweep *)context)->plan;
  return item < plan->ncases ? PlanProductSize(plan, item) * (PetscInt)sizeof(PetscReal) : 0;
}

static PetscInt KindOf(void *context, PetscInt item) {
  return PlanKindOf(&((const Sweep *)context)->plan, item);
}

static PetscBool IsEarly(void *context, PetscInt item) {
  const Sweep *s = context;
  const CtpgPlan *plan = &s->plan;
  const PetscInt c = item < plan->ncases ? item : PlanCaseOf(plan, item - plan->ncases);
  return CostShowsEarly(s->costs, PlanKindOf(plan, item), c - plan->first_case[PlanProblemOf(plan, c)]);
}

static double PredictCost(void *context, PetscInt kind) {
  return CostPredict(((Sweep *)context)->costs, kind);
}

static void LearnCost(void *context, PetscInt item, double seconds, CtpgStatus status) {
  (void)status;
  CostLearn(((Sweep *)context)->costs, KindOf(context, item), seconds);
}

static void SupposeCost(void *context, PetscInt item, double seconds, int weight) {
  CostSuppose(((Sweep *)context)->costs, KindOf(context, item), seconds, weight);
}

PetscErrorCode SweepComputeItems(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  const CtpgWork work = {.context = s,
                         .n = plan->ncases + plan->nruns,
                         .noun = "runs",
                         .work = WorkOnItem,
                         .nkinds = plan->nkinds,
                         .kind = KindOf,
                         .cost = PredictCost,
                         .finished = LearnCost,
                         .suppose = SupposeCost,
                         .poll = LookAround,
                         .is_silent = IsSilent,
                         .abandon = Abandon,
                         .predecessor = PredecessorOf,
                         .product_bytes = ProductBytesOf,
                         .early = IsEarly,
                         .done = s->done,
                         .recall = RecallReference,
                         .nfirst = plan->ncases,
                         .first_noun = "references"};

  PetscFunctionBeginUser;
  s->cpu_start = CtpgThreadSeconds();
  PetscCall(SchedulerCreate(s->comm, plan->coordinator, &CtpgStopRequested, &s->scheduler));
  PetscCall(SchedulerRun(s->scheduler, &work));
  PetscCall(SchedulerDestroy(&s->scheduler));
  PetscFunctionReturn(0);
}
