// counts.c -- ratios of instructions: kernels per multiply-add; gradients, and a training, over the bare evaluations
// that they make; a row of a results file over an evaluation

#include "bench/counts.h"
#include "bench/count.h"
#include "bench/kernels.h"
#include "bench/path.h"
#include "bench/storing.h"
#include "bench/training.h"

#define COUNTED_SHAPES 3 // of BENCH_SHAPES: up to 15 microseconds go by for each instruction

typedef struct {
  BenchRig *rig;
  BenchPath *path;
  CtpgPair *pair;
  TrainSingle *training;
  BenchStoring *storing;
  PetscBool product;
  PetscReal accuracy;
} Work;

static void CallRig(void *work) {
  BenchRigCall(((Work *)work)->rig, ((Work *)work)->product);
}

static void CallLoop(void *context) {
  Work *work = context;
  work->product ? BenchPathProduct(work->path, 1) : BenchPathEval(work->path, 1);
}

// The estimator alone, without what the engine does around it.
static void CallPair(void *context) {
  const Work *work = context;
  const CtpgCase *c = &work->path->c;
  const CtpgEstimator *e = &work->pair->estimator;
  PetscReal loss = 0;
  CtpgResult result = EstimatorResult(&loss, work->pair->gx0, work->pair->gtheta);
  CtpgClosedLoopSetCase(work->pair->loop, c->theta, 1, c->task, c->T);
  CtpgClosedLoopStart(work->pair->loop, NULL);
  (void)EstimatorGradient(e->type, e->est, work->pair->loop, 1, c->x0, work->accuracy, NULL, &result);
}

static void CallTraining(void *work) {
  (void)BenchTrainingRun(((Work *)work)->training, NULL);
}

static void CallStoring(void *work) {
  (void)BenchStoringPut(((Work *)work)->storing);
}

// The first call of anything looks up its functions.
static double Count(void (*call)(void *), Work *work) {
  call(work);
  return (double)BenchCount(call, work);
}

static PetscErrorCode CountShape(int shape, BenchRows *rows) {
  BenchRig rig;
  PetscFunctionBeginUser;
  PetscCall(BenchRigCreate(shape, 1, &rig));
  for (int product = 0; product < 2; product++) {
    Work work = {.rig = &rig, .product = product ? PETSC_TRUE : PETSC_FALSE};
    const double terms = (product ? 3.0 : 1.0) * PolicyGetSize(rig.policy);
    PetscCall(BenchAdd(rows, Count(CallRig, &work) / terms, "instructions/term", PETSC_TRUE,
                       "instructions of kernel %s, %s", rig.shape, product ? "vjp" : "f"));
  }
  PetscCall(BenchRigDestroy(&rig));
  PetscFunctionReturn(0);
}

// Instructions of an evaluation of the closed loop, and of a joint product.
typedef struct {
  double f, vjp;
} Bare;

static Bare CountBare(BenchPath *path) {
  Work work = {.path = path};
  CtpgClosedLoopStart(path->loop, NULL);
  const double f = Count(CallLoop, &work);
  work.product = PETSC_TRUE;
  return (Bare){f, Count(CallLoop, &work)};
}

// instructions / (nf those of f + nvjp those of a joint product)
static PetscErrorCode CountGradient(BenchPath *path, const Bare *bare, const CtpgLabel *estimator, PetscReal rtol,
                                    BenchRows *rows) {
  CtpgPair pair;
  Work work = {.path = path, .pair = &pair, .accuracy = rtol};
  PetscFunctionBeginUser;
  PetscCall(PairCreate(&path->problem, estimator, &pair));
  PetscCall(PairSetUp(&pair));
  PetscCall(PetscArrayzero(pair.gx0, path->problem.dims.nx));
  PetscCall(PetscArrayzero(pair.gtheta, PolicyGetSize(path->problem.policy)));
  const double all = Count(CallPair, &work);
  CtpgCounts made;
  CtpgClosedLoopGetTotals(pair.loop, &made);
  PetscCall(BenchAdd(rows, all / ((double)made.nf * bare->f + (double)made.nvjp * bare->vjp), "of evaluations",
                     PETSC_TRUE, "instructions of %s on lqr, T = %g s", estimator->label, path->c.T));
  PetscCall(PairDestroy(&pair));
  PetscFunctionReturn(0);
}

// The same of a training of the same problem, one start an iteration.
static PetscErrorCode CountTraining(const CtpgLabel *problem, const Bare *bare, BenchRows *rows) {
  const CtpgLabel estimator = {"rk-adjoint", "rk-adjoint"};
  TrainSingle training;
  Work work = {.training = &training};
  PetscFunctionBeginUser;
  PetscCall(BenchTrainingCreate(problem, &estimator, 2, 1, &training));
  const double all = Count(CallTraining, &work), nf = (double)training.row.nf, nvjp = (double)training.row.nvjp;
  PetscCall(BenchAdd(rows, all / (nf * bare->f + nvjp * bare->vjp), "of evaluations", PETSC_TRUE,
                     "instructions of a training on lqr, T = %g s", training.problem.dims.T));
  PetscCall(TrainSingleDestroy(&training));
  PetscFunctionReturn(0);
}

static PetscErrorCode CountStoring(const Bare *bare, BenchRows *rows) {
  BenchStoring storing;
  Work work = {.storing = &storing};
  PetscFunctionBeginUser;
  PetscCall(BenchStoringOpen(2, &storing));
  PetscCall(BenchAdd(rows, Count(CallStoring, &work) / bare->f, "of an evaluation", PETSC_TRUE,
                     "instructions of a row of a sweep into its file"));
  PetscCall(BenchStoringClose(&storing));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchCounts(BenchRows *rows, const char **why) {
  static const char *const horizon = "-count_horizon";
  const CtpgLabel lqr = {"count", "lqr"}, estimators[] = {{"rk-adjoint", "rk-adjoint"}, {"ctpg", "ctpg"}};
  BenchPath path;
  PetscFunctionBeginUser;
  *why = BenchCountObstacle();
  if (*why) PetscFunctionReturn(0);
  for (int shape = 0; shape < COUNTED_SHAPES; shape++) PetscCall(CountShape(shape, rows));
  PetscCall(PetscOptionsSetValue(NULL, horizon, "1"));
  PetscCall(BenchPathCreate(&lqr, &path));
  const Bare bare = CountBare(&path);
  for (int e = 0; e < 2; e++) PetscCall(CountGradient(&path, &bare, estimators + e, 1e-2, rows));
  PetscCall(CountTraining(&lqr, &bare, rows));
  PetscCall(CountStoring(&bare, rows));
  PetscCall(BenchPathDestroy(&path));
  PetscCall(PetscOptionsClearValue(NULL, horizon));
  PetscFunctionReturn(0);
}
