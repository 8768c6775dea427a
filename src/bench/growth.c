// growth.c -- exponents: how cost and memory grow with the sizes of a problem
//
// rk-adjoint at rtol 1e-6, least squares in (log size, log cost), thread CPU time, the best of some. With states and
// parameters it is the cost of one evaluation that counts, for the path changes with them; with the horizon the whole
// gradient, and what it stores; with the batch an iteration of a training.

#include "bench/growth.h"
#include "bench/path.h"
#include "bench/training.h"
#include <math.h>

#define SIZES  4
#define ROUNDS 5

typedef struct {
  double nx, np, T, cpu, nfe, bytes;
} Cost;

// With this option of the problem's label.
static PetscErrorCode MeasureAt(const CtpgLabel *problem, const char *option, const char *value, Cost *cost) {
  const CtpgLabel estimator = {"rk-adjoint", "rk-adjoint"};
  BenchPath path;
  CtpgPair pair;
  CtpgOutcome o;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, option, value));
  PetscCall(BenchPathCreate(problem, &path));
  PetscCall(PairCreate(&path.problem, &estimator, &pair));
  PetscCall(PairSetUp(&pair));
  *cost = (Cost){path.problem.dims.nx, PolicyGetSize(path.problem.policy), path.c.T, INFINITY, 0, 0};
  for (int round = 0; round < ROUNDS; round++) {
    PetscCall(PairRun(&pair, &path.c, 0, 0, 1e-6, (CtpgLimits){0}, CTPG_REPEATS_NONE, &o));
    cost->cpu = fmin(cost->cpu, o.cpu[0]);
  }
  cost->nfe = (double)o.nfe, cost->bytes = (double)o.bytes;
  PetscCall(PairDestroy(&pair));
  PetscCall(BenchPathDestroy(&path));
  PetscCall(PetscOptionsClearValue(NULL, option));
  PetscFunctionReturn(0);
}

static double Exponent(const double *size, const double *cost) {
  double x = 0, y = 0, xx = 0, xy = 0;
  for (int i = 0; i < SIZES; i++) {
    const double a = log(size[i]), b = log(cost[i]);
    x += a, y += b, xx += a * a, xy += a * b;
  }
  return (SIZES * xy - x * y) / (SIZES * xx - x * x);
}

// Seconds of a training's iteration with so many starts.
static PetscErrorCode MeasureBatch(PetscInt batch, double *seconds) {
  enum { ITERATIONS = 20 };
  const CtpgLabel diffdrive = {"grow", "diffdrive"}, estimator = {"rk-adjoint", "rk-adjoint"};
  TrainSingle training;
  PetscFunctionBeginUser;
  *seconds = INFINITY;
  PetscCall(BenchTrainingCreate(&diffdrive, &estimator, ITERATIONS, batch, &training));
  for (int round = 0; round < ROUNDS; round++) {
    PetscCall(BenchTrainingRun(&training, NULL));
    *seconds = fmin(*seconds, training.cpu / ITERATIONS);
  }
  PetscCall(TrainSingleDestroy(&training));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchGrowth(BenchRows *rows) {
  static const char *const states[] = {"8", "16", "32", "64"},
                           *const widths[] = {"32,32", "64,64", "128,128", "256,256"},
                           *const horizons[] = {"10", "20", "40", "80"};
  const CtpgLabel lqr = {"grow", "lqr"}, diffdrive = {"grow", "diffdrive"};
  static const PetscInt batches[] = {8, 16, 32, 64};
  double size[4][SIZES], cost[5][SIZES];
  Cost c;
  PetscFunctionBeginUser;
  for (int i = 0; i < SIZES; i++) {
    PetscCall(MeasureAt(&lqr, "-grow_nx", states[i], &c));
    size[0][i] = c.nx, cost[0][i] = c.cpu / c.nfe;
    PetscCall(MeasureAt(&diffdrive, "-grow_policy_widths", widths[i], &c));
    size[1][i] = c.np, cost[1][i] = c.cpu / c.nfe;
    PetscCall(MeasureAt(&diffdrive, "-grow_horizon", horizons[i], &c));
    size[2][i] = c.T, cost[2][i] = c.cpu, cost[3][i] = c.bytes;
    size[3][i] = batches[i];
    PetscCall(MeasureBatch(batches[i], &cost[4][i]));
  }
  PetscCall(
      BenchAdd(rows, Exponent(size[0], cost[0]), "exponent", PETSC_FALSE, "growth of an evaluation with nx, lqr"));
  PetscCall(BenchAdd(rows, Exponent(size[1], cost[1]), "exponent", PETSC_FALSE,
                     "growth of an evaluation with np, diffdrive"));
  PetscCall(
      BenchAdd(rows, Exponent(size[2], cost[2]), "exponent", PETSC_FALSE, "growth of a gradient with T, diffdrive"));
  PetscCall(BenchAdd(rows, Exponent(size[2], cost[3]), "exponent", PETSC_FALSE, "growth of memory with T, diffdrive"));
  PetscCall(
      BenchAdd(rows, Exponent(size[3], cost[4]), "exponent", PETSC_FALSE, "growth of an iteration with B, diffdrive"));
  PetscFunctionReturn(0);
}
