// counts.c -- ratios of instructions: kernels per multiply-add, gradients over the bare evaluations that they make

#include "bench/counts.h"
#include "bench/count.h"
#include "bench/kernels.h"
#include "bench/path.h"

#define COUNTED_SHAPES 3 // of BENCH_SHAPES: up to 15 microseconds go by for each instruction

typedef struct {
  BenchRig *rig;
  BenchPath *path;
  CtpgPair *pair;
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

// instructions / (nf those of f + nvjp those of a joint product)
static PetscErrorCode CountGradient(BenchPath *path, const CtpgLabel *estimator, PetscReal rtol, BenchRows *rows) {
  CtpgPair pair;
  Work work = {.path = path, .pair = &pair, .accuracy = rtol};
  PetscFunctionBeginUser;
  PetscCall(PairCreate(&path->problem, estimator, &pair));
  PetscCall(PairSetUp(&pair));
  PetscCall(PetscArrayzero(pair.gx0, path->problem.dims.nx));
  PetscCall(PetscArrayzero(pair.gtheta, PolicyGetSize(path->problem.policy)));
  CtpgClosedLoopStart(path->loop, NULL);
  const double f = Count(CallLoop, &work);
  work.product = PETSC_TRUE;
  const double vjp = Count(CallLoop, &work), all = Count(CallPair, &work);
  CtpgCounts made;
  CtpgClosedLoopGetTotals(pair.loop, &made);
  PetscCall(BenchAdd(rows, all / ((double)made.nf * f + (double)made.nvjp * vjp), "of evaluations", PETSC_TRUE,
                     "instructions of %s on lqr, T = %g s", estimator->label, path->c.T));
  PetscCall(PairDestroy(&pair));
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
  for (int e = 0; e < 2; e++) PetscCall(CountGradient(&path, estimators + e, 1e-2, rows));
  PetscCall(BenchPathDestroy(&path));
  PetscCall(PetscOptionsClearValue(NULL, horizon));
  PetscFunctionReturn(0);
}
