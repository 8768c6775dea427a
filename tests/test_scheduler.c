// test_scheduler.c -- the dealer against bounds, the cost model against made-up laws, the scheduler with real messages
//
// Run alone it does all of it; under mpirun only the last part, with as many ranks as there are.

#include "sweep/cost.h"
#include "base/system.h"
#include "ctpgbench/random.h"
#include "schedule/scheduler.h"
#include "sweep/simulate.h"
#include "test.h"
#include "base/random_engine.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- made-up work on made-up ranks ----

typedef struct {
  PetscInt n, *predecessor;
  double *seconds, *guess, *start;
} Made;

static PetscErrorCode MakeUp(PetscInt n, Made *made) {
  PetscFunctionBeginUser;
  made->n = n;
  PetscCall(PetscCalloc4(n, &made->predecessor, n, &made->seconds, n, &made->guess, n, &made->start));
  PetscFunctionReturn(0);
}

static PetscErrorCode Forget(Made *made) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree4(made->predecessor, made->seconds, made->guess, made->start));
  PetscFunctionReturn(0);
}

static double Guess(void *context, PetscInt item) {
  return ((Made *)context)->guess[item];
}

static PetscInt Predecessor(void *context, PetscInt item) {
  return ((Made *)context)->predecessor[item];
}

static double Seconds(void *context, PetscInt item) {
  return ((Made *)context)->seconds[item];
}

// A sweep: `cases` references, then runs whose costs span five orders of magnitude; guesses are off by up to `wrong`.
static PetscErrorCode MakeSweep(PetscInt cases, PetscInt runs, double wrong, Made *made) {
  CtpgStream stream = CtpgStreamOpen(1, "scheduler", 0, 0, 0);
  PetscFunctionBeginUser;
  PetscCall(MakeUp(cases + runs, made));
  for (PetscInt i = 0; i < made->n; i++) {
    made->predecessor[i] = i < cases ? -1 : (i - cases) % cases;
    made->seconds[i] = i < cases ? 0.1 : 1e-4 * pow(10, 5 * CtpgStreamUniform(&stream));
    made->guess[i] = made->seconds[i] * pow(wrong, 2 * CtpgStreamUniform(&stream) - 1);
  }
  PetscFunctionReturn(0);
}

static SimulatedWork WorkOf(Made *made) {
  return (SimulatedWork){.dealt = {.n = made->n, .predecessor = Predecessor, .cost = Guess, .context = made},
                         .seconds = Seconds,
                         .start = made->start};
}

static void CheckPredecessors(const Made *made) {
  PetscInt early = 0;
  for (PetscInt i = 0; i < made->n; i++) {
    const PetscInt before = made->predecessor[i];
    early += before >= 0 && made->start[i] < made->start[before] + made->seconds[before];
  }
  CHECK(early == 0, "%d items began before what they wait for was finished", (int)early);
}

static PetscErrorCode TestBound(void) {
  PROPERTY("simulated: close to the best possible time on up to 1000 ranks");
  const struct {
    PetscInt cases, runs;
    int ranks;
    double wrong, slack;
  } plans[] = {{20, 2000, 1, 1, 1.001},       {20, 2000, 2, 1, 1.01},       {20, 2000, 7, 1, 1.05},
               {20, 2000, 64, 1, 1.05},       {60, 4000, 2, 3, 1.02},       {60, 4000, 16, 3, 1.05},
               {2000, 100000, 1000, 1, 1.05}, {2000, 100000, 1000, 3, 1.05}};
  PetscFunctionBeginUser;
  for (size_t k = 0; k < sizeof plans / sizeof *plans; k++) {
    Simulation result;
    Made made;
    PetscCall(MakeSweep(plans[k].cases, plans[k].runs, plans[k].wrong, &made));
    const SimulatedWork work = WorkOf(&made);
    const double before = CtpgSeconds();
    PetscCall(SimulateWork(&work, plans[k].ranks, PETSC_FALSE, &result));
    CHECK(CtpgSeconds() - before < 20, "%g s of simulation", CtpgSeconds() - before);
    CHECK(result.makespan >= result.bound, "%g below the bound %g", result.makespan, result.bound);
    CHECK(result.makespan <= plans[k].slack * result.bound, "plan %d: %g against the bound %g", (int)k, result.makespan,
          result.bound);
    CheckPredecessors(&made);
    PetscCall(Forget(&made));
  }
  PetscFunctionReturn(0);
}

// Chains of any length; a short item that unlocks a long chain goes before long items that unlock nothing.
static PetscErrorCode TestChains(void) {
  PROPERTY("simulated: what unlocks a long chain goes first");
  const PetscInt links = 10, others = 300;
  Simulation result;
  Made made;
  PetscFunctionBeginUser;
  PetscCall(MakeUp(links + others, &made));
  for (PetscInt i = 0; i < made.n; i++) {
    made.predecessor[i] = i == 0 || i >= links ? -1 : i - 1;
    made.seconds[i] = made.guess[i] = i < links ? 1 : 0.1 + 1e-3 * (double)(i % 7);
  }
  made.seconds[0] = made.guess[0] = 0.01;
  const SimulatedWork work = WorkOf(&made);
  PetscCall(SimulateWork(&work, 5, PETSC_FALSE, &result));
  CHECK(result.makespan <= result.bound + (double)links * 0.106, "%g against %g: a link waits for one item at most",
        result.makespan, result.bound);
  CHECK(made.start[0] < 1e-3, "the chain begins at %g", made.start[0]);
  CheckPredecessors(&made);
  PetscCall(Forget(&made));
  PetscFunctionReturn(0);
}

// A rank with a long item must not be given another one to hold while others could do that.
static PetscErrorCode TestNoHoarding(void) {
  PROPERTY("simulated: nobody holds work that others could do");
  Simulation result;
  Made made;
  PetscFunctionBeginUser;
  PetscCall(MakeUp(8, &made));
  for (PetscInt i = 0; i < 8; i++) {
    made.predecessor[i] = -1;
    made.seconds[i] = made.guess[i] = i ? 1 : 10;
  }
  const SimulatedWork work = WorkOf(&made);
  PetscCall(SimulateWork(&work, 4, PETSC_FALSE, &result));
  CHECK(result.makespan < 10.01, "%g where one item takes 10", result.makespan);
  PetscCall(Forget(&made));
  PetscFunctionReturn(0);
}

// Ten times the items of as many kinds: what the dealer asks for again and again must not grow with them.
typedef struct {
  PetscInt cases;
  PetscInt64 asked;
} Counted;

static PetscInt CountedKind(void *context, PetscInt item) {
  return item < ((Counted *)context)->cases ? 0 : 1 + item % 50;
}

static PetscInt CountedCase(void *context, PetscInt item) {
  const PetscInt cases = ((Counted *)context)->cases;
  return item < cases ? -1 : (item - cases) / 100;
}

static double CountedCost(void *context, PetscInt kind) {
  ((Counted *)context)->asked++;
  return kind ? 1e-3 * (double)kind : 0.1;
}

static double CountedSeconds(void *context, PetscInt item) {
  const PetscInt kind = CountedKind(context, item);
  return kind ? 1e-3 * (double)kind : 0.1;
}

static PetscErrorCode TestPrices(void) {
  PROPERTY("costs are asked for by kind: as good as never, however many items there are");
  PetscFunctionBeginUser;
  for (PetscInt cases = 100; cases <= 1000; cases *= 10) {
    Counted counted = {.cases = cases};
    const SimulatedWork work = {.dealt = {.n = 101 * cases,
                                          .predecessor = CountedCase,
                                          .nkinds = 51,
                                          .kind = CountedKind,
                                          .cost = CountedCost,
                                          .context = &counted},
                                .seconds = CountedSeconds};
    Simulation result;
    PetscCall(SimulateWork(&work, 16, PETSC_FALSE, &result));
    CHECK(counted.asked < 51 * (2 + log(101 * (double)cases) / log(1.5)), "%lld costs for %d items",
          (long long)counted.asked, (int)(101 * cases));
    CHECK(result.makespan < 1.01 * result.bound, "%g against %g", result.makespan, result.bound);
  }
  PetscFunctionReturn(0);
}

static PetscInt LongKind(void *context, PetscInt item) {
  (void)context;
  return item % 50;
}

static double LongCost(void *context, PetscInt kind) {
  (void)context;
  return 0.16 * (double)(kind + 1);
}

static double LongSeconds(void *context, PetscInt item) {
  return LongCost(context, LongKind(context, item));
}

// 40 items for each rank, of four seconds on average.
static PetscErrorCode TestManyRanks(void) {
  PROPERTY("simulated: 16,384 ranks work nine tenths of the time, while rank 0 deals and writes");
  const SimulatedWork work = {.dealt = {.n = 40 * 16383, .nkinds = 50, .kind = LongKind, .cost = LongCost},
                              .seconds = LongSeconds,
                              .write = SIMULATE_WRITE};
  Simulation result;
  PetscFunctionBeginUser;
  PetscCall(SimulateWork(&work, 16384, PETSC_TRUE, &result));
  CHECK(result.busy > 0.9, "they work %g of the time, rank 0 %g", result.busy, result.coordinator);
  CHECK(result.coordinator < 0.7, "rank 0 works %g of the time", result.coordinator);
  PetscFunctionReturn(0);
}

static PetscErrorCode Silent(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                             PetscErrorType kind, const char *message, void *context) {
  (void)comm, (void)line, (void)function, (void)file, (void)kind, (void)message, (void)context;
  return code;
}

static PetscErrorCode TestCircle(void) {
  PROPERTY("work that waits for itself is an error");
  Simulation result;
  Made made;
  PetscFunctionBeginUser;
  PetscCall(MakeUp(3, &made));
  for (PetscInt i = 0; i < 3; i++) made.predecessor[i] = (i + 1) % 3;
  const SimulatedWork work = {.dealt = {.n = 3, .predecessor = Predecessor, .context = &made}, .seconds = Seconds};
  PetscCall(PetscPushErrorHandler(Silent, NULL));
  const PetscErrorCode error = SimulateWork(&work, 2, PETSC_FALSE, &result);
  PetscCall(PetscPopErrorHandler());
  CHECK(error, "a circle of three was dealt");
  PetscCall(Forget(&made));
  PetscFunctionReturn(0);
}

// ---- the cost model ----

#define ACCURACIES 9
#define SEEDS      20

// Items: a reference for each seed, then the runs of two estimators.
typedef struct {
  CostKind kinds[1 + 2 * ACCURACIES];
  CostModel model;
} MadeSweep;

static PetscInt MadeKind(PetscInt item) {
  const PetscInt run = item - SEEDS;
  return item < SEEDS ? 0 : 1 + run / (SEEDS * ACCURACIES) * ACCURACIES + run % ACCURACIES;
}

static PetscErrorCode MakeCosts(MadeSweep *sweep) {
  const PetscInt np[1] = {500};
  const PetscReal T[1] = {10}, order[2] = {5, 1};
  const CtpgKnob knob[2] = {CTPG_KNOB_RTOL, CTPG_KNOB_DT};
  PetscFunctionBeginUser;
  memset(sweep, 0, sizeof *sweep);
  sweep->kinds[0].estimator = -1;
  for (int e = 0; e < 2; e++)
    for (int a = 0; a < ACCURACIES; a++)
      sweep->kinds[1 + e * ACCURACIES + a] =
          (CostKind){.estimator = e, .accuracy = pow(10, e ? -1 - 0.25 * a : -2 - a)};
  PetscCall(CostCreate(&(CostPlan){.nproblems = 1,
                                   .nestimators = 2,
                                   .nkinds = 1 + 2 * ACCURACIES,
                                   .kinds = sweep->kinds,
                                   .np = np,
                                   .T = T,
                                   .knob = knob,
                                   .order = order,
                                   .timing_threshold = 0.02},
                       &sweep->model));
  PetscFunctionReturn(0);
}

// Nothing like the formula: 30 times dearer, another power of the accuracy, 20 % of scatter.
static double TrueCost(const MadeSweep *sweep, PetscInt item, CtpgStream *stream) {
  const double scatter = exp(0.2 * (2 * CtpgStreamUniform(stream) - 1));
  const CostKind *kind = sweep->kinds + MadeKind(item);
  if (kind->estimator < 0) return 3 * scatter;
  return scatter * (kind->estimator ? 0.02 * pow(kind->accuracy, -0.7) : 1e-3 * pow(kind->accuracy, -0.35));
}

static double TotalError(const MadeSweep *sweep) {
  double predicted = 0, truth = 0;
  CtpgStream stream = CtpgStreamOpen(2, "scheduler", 0, 0, 0);
  for (PetscInt i = 0; i < SEEDS + 2 * SEEDS * ACCURACIES; i++) {
    predicted += CostPredict(sweep->model, MadeKind(i));
    truth += TrueCost(sweep, i, &stream);
  }
  return fabs(log(predicted / truth));
}

static PetscErrorCode TestCosts(void) {
  PROPERTY("predicted costs come near the true ones as runs end");
  const PetscInt n = SEEDS + 2 * SEEDS * ACCURACIES;
  CtpgStream stream = CtpgStreamOpen(2, "scheduler", 0, 0, 0);
  static MadeSweep sweep;
  double before, truth[SEEDS + 2 * SEEDS * ACCURACIES], worst = 0;

  PetscFunctionBeginUser;
  PetscCall(MakeCosts(&sweep));
  before = TotalError(&sweep);
  CHECK(before > log(3), "the formula is right already: exp(%g)", before);
  for (PetscInt i = 0; i < n; i++) truth[i] = TrueCost(&sweep, i, &stream);
  for (PetscInt i = 0; i < n; i += 37) CostLearn(sweep.model, MadeKind(i), truth[i]); // eleven items of all kinds
  CHECK(TotalError(&sweep) < log(2), "after 11 items the total is off by exp(%g)", TotalError(&sweep));
  for (PetscInt i = 0; i < n; i += 5) CostLearn(sweep.model, MadeKind(i), truth[i]);
  CHECK(TotalError(&sweep) < log(1.1), "after a fifth the total is off by exp(%g)", TotalError(&sweep));
  for (PetscInt i = 0; i < n; i++) worst = fmax(worst, fabs(log(CostPredict(sweep.model, MadeKind(i)) / truth[i])));
  CHECK(worst < log(2), "one item is off by exp(%g)", worst);
  PetscCall(CostDestroy(&sweep.model));
  PetscFunctionReturn(0);
}

// ---- real messages ----

#define CASES   12
#define RUNS    400
#define PRODUCT 25000 // doubles: far beyond any eager limit

typedef struct {
  CtpgScheduler scheduler;
  int rank, polls;
  volatile int stop;
  PetscInt stop_at; // item at which this rank is told to stop; -1: never
  int done[CASES + RUNS], wrong;
  PetscInt recalled;
} Real;

static double ProductEntry(PetscInt item, PetscInt k) {
  return (double)item + 1e-6 * (double)k;
}

static void FillProduct(PetscInt item, void *product) {
  for (PetscInt k = 0; k < PRODUCT; k++) ((double *)product)[k] = ProductEntry(item, k);
}

static PetscErrorCode DoReal(void *context, CtpgItem *item) {
  Real *real = context;
  const double *needed = item->needed;
  PetscFunctionBeginUser;
  usleep(item->number % 3 ? 0 : 2000);
  SchedulerPoll(real->scheduler);
  if (item->number == real->stop_at) real->stop = 1;
  if (real->stop) {
    item->status = CTPG_INTERRUPTED;
    PetscFunctionReturn(0);
  }
  real->done[item->number]++;
  if (item->number < CASES) FillProduct(item->number, item->product);
  for (PetscInt k = 0; item->number >= CASES && k < PRODUCT; k++)
    real->wrong += needed[k] != ProductEntry((item->number - CASES) % CASES, k);
  real->wrong += item->number < CASES ? item->needed != NULL : item->product != NULL;
  if (item->number % 100 == 50) item->status = CTPG_DIVERGED;
  PetscFunctionReturn(0);
}

static PetscErrorCode RecallReal(void *context, PetscInt item, void *product) {
  PetscFunctionBeginUser;
  ((Real *)context)->recalled++;
  FillProduct(item, product);
  PetscFunctionReturn(0);
}

static PetscErrorCode PollReal(void *context) {
  Real *real = context;
  real->polls++;
  SchedulerPoll(real->scheduler); // a hook may: it must not come back here
  return 0;
}

static PetscInt CaseBefore(void *context, PetscInt item) {
  (void)context;
  return item < CASES ? -1 : (item - CASES) % CASES;
}

static PetscInt ProductBytes(void *context, PetscInt item) {
  (void)context;
  return item < CASES ? PRODUCT * (PetscInt)sizeof(double) : 0;
}

static PetscErrorCode RunReal(Real *real, const PetscBool *done, CtpgCoordinator coordinator) {
  PetscFunctionBeginUser;
  const CtpgWork work = {.context = real,
                         .n = CASES + RUNS,
                         .noun = "runs",
                         .work = DoReal,
                         .poll = PollReal,
                         .predecessor = CaseBefore,
                         .product_bytes = ProductBytes,
                         .done = done,
                         .recall = RecallReal,
                         .nfirst = CASES,
                         .first_noun = "references"};
  PetscCall(SchedulerCreate(PETSC_COMM_WORLD, coordinator, &real->stop, &real->scheduler));
  PetscCall(SchedulerRun(real->scheduler, &work));
  PetscCall(SchedulerDestroy(&real->scheduler));
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, real->done, CASES + RUNS, MPI_INT, MPI_SUM, PETSC_COMM_WORLD));
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &real->wrong, 1, MPI_INT, MPI_SUM, PETSC_COMM_WORLD));
  CHECK(real->wrong == 0, "%d entries of products are wrong", real->wrong);
  CHECK(real->polls > 0, "nobody called the hook");
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAll(CtpgCoordinator coordinator) {
  PROPERTY("every item is done once: coordinator %s", coordinator == CTPG_COORDINATOR_AUTO ? "auto" : "dedicated");
  Real real = {.stop_at = -1};
  PetscFunctionBeginUser;
  PetscCall(RunReal(&real, NULL, coordinator));
  for (PetscInt i = 0; i < CASES + RUNS; i++)
    CHECK(real.done[i] == 1, "item %d was done %d times", (int)i, real.done[i]);
  PetscFunctionReturn(0);
}

// Half of the references and a third of the runs were done before: all those of every third case.
static PetscErrorCode TestResume(void) {
  PROPERTY("what was done before is not done again");
  PetscBool done[CASES + RUNS];
  Real real = {.stop_at = -1};
  int rank;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  for (PetscInt i = 0; i < CASES + RUNS; i++) done[i] = i % (i < CASES ? 2 : 3) ? PETSC_FALSE : PETSC_TRUE;
  PetscCall(RunReal(&real, done, CTPG_COORDINATOR_AUTO));
  for (PetscInt i = 0; i < CASES + RUNS; i++)
    CHECK(real.done[i] == (done[i] ? 0 : 1), "item %d was done %d times", (int)i, real.done[i]);
  CHECK(rank || real.recalled == 4, "%d products were recalled", (int)real.recalled);
  PetscFunctionReturn(0);
}

// One rank alone is told to stop: all do, and nothing is done twice.
static PetscErrorCode TestStop(void) {
  PROPERTY("one rank that is told to stop stops all");
  Real real = {.stop_at = 200};
  PetscInt done = 0;
  PetscFunctionBeginUser;
  PetscCall(RunReal(&real, NULL, CTPG_COORDINATOR_WORKING));
  for (PetscInt i = 0; i < CASES + RUNS; i++) {
    CHECK(real.done[i] <= 1, "item %d was done %d times", (int)i, real.done[i]);
    done += real.done[i];
  }
  CHECK(real.stop, "this rank was not told");
  CHECK(done < CASES + RUNS && real.done[200] == 0, "%d items were done", (int)done);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestNothing(void) {
  PROPERTY("no work at all ends");
  Real real = {.stop_at = -1};
  const CtpgWork work = {.context = &real, .n = 0, .noun = "runs", .work = DoReal};
  PetscFunctionBeginUser;
  PetscCall(SchedulerCreate(PETSC_COMM_WORLD, CTPG_COORDINATOR_AUTO, &real.stop, &real.scheduler));
  PetscCall(SchedulerRun(real.scheduler, &work));
  PetscCall(SchedulerDestroy(&real.scheduler));
  PetscFunctionReturn(0);
}

static PetscErrorCode RunAll(void) {
  int size;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  if (size == 1) {
    PetscCall(TestBound());
    PetscCall(TestChains());
    PetscCall(TestNoHoarding());
    PetscCall(TestPrices());
    PetscCall(TestManyRanks());
    PetscCall(TestCircle());
    PetscCall(TestCosts());
  }
  PetscCall(TestAll(CTPG_COORDINATOR_AUTO));
  if (size > 1) PetscCall(TestAll(CTPG_COORDINATOR_DEDICATED));
  PetscCall(TestResume());
  PetscCall(TestStop());
  PetscCall(TestNothing());
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(RunAll());
  const int failed = TestsEnd();
  PetscCall(PetscFinalize());
  return failed;
}
