// overhead.c -- time inside estimators beyond the bare evaluations that they make
//
//   overhead = cpu / (nf cost_f + nvjp cost_vjp) - 1
// with the costs of one evaluation of the closed loop and of one joint product measured in the same round, at states of
// the same forward path. Medians over interleaved rounds. An estimator that keeps what f computed for its products may
// stay below zero.

#include "base/system.h"
#include "base/vector.h"
#include "bench/overhead.h"
#include "bench/path.h"

#define CALLS 300

// s of one evaluation and of one joint product.
static void MeasureCosts(BenchPath *path, double *f, double *vjp) {
  const double start = CtpgThreadSeconds();
  for (PetscInt i = 0; i < CALLS; i++) BenchPathEval(path, i);
  const double middle = CtpgThreadSeconds();
  for (PetscInt i = 0; i < CALLS; i++) BenchPathProduct(path, i);
  *vjp = (CtpgThreadSeconds() - middle) / CALLS;
  *f = (middle - start) / CALLS;
}

static PetscErrorCode BenchPair(BenchPath *path, CtpgPair *pair, PetscReal accuracy, PetscInt rounds, BenchRows *rows) {
  const char *problem = path->problem.label, *estimator = pair->estimator.label;
  double *ratios, *times, f, vjp;
  CtpgOutcome o;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(rounds, &ratios, rounds, &times));
  for (PetscInt r = 0; r < rounds; r++) {
    CtpgClosedLoopStart(path->loop, NULL);
    MeasureCosts(path, &f, &vjp);
    PetscCall(PairRun(pair, &path->c, 0, 0, accuracy, (CtpgLimits){0}, CTPG_REPEATS_NONE, &o));
    times[r] = 1e3 * o.cpu[0];
    ratios[r] = o.cpu[0] / ((double)o.totals.nf * f + (double)o.totals.nvjp * vjp) - 1;
  }
  PetscCall(
      BenchAdd(rows, CtpgMedian((size_t)rounds, times), "ms", PETSC_FALSE, "gradient %s, %s", problem, estimator));
  PetscCall(
      BenchAdd(rows, CtpgMedian((size_t)rounds, ratios), "1", PETSC_FALSE, "overhead %s, %s", problem, estimator));
  PetscCall(PetscFree2(ratios, times));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchReadOptions(const BenchChoice *choice) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < choice->nproblems; p++) {
    CtpgProblem problem;
    PetscCall(ProblemCreate(choice->problems + p, &problem));
    for (PetscInt e = 0; e < choice->nestimators; e++) {
      CtpgPair pair;
      PetscCall(PairCreate(&problem, choice->estimators + e, &pair));
      PetscCall(PairDestroy(&pair));
    }
    PetscCall(ProblemDestroy(&problem));
  }
  PetscFunctionReturn(0);
}

PetscErrorCode BenchOverheads(const BenchChoice *choice, BenchRows *rows) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < choice->nproblems; p++) {
    BenchPath path;
    PetscCall(BenchPathCreate(choice->problems + p, &path));
    for (PetscInt e = 0; e < choice->nestimators; e++) {
      CtpgPair pair;
      PetscCall(PairCreate(&path.problem, choice->estimators + e, &pair));
      PetscCall(PairSetUp(&pair));
      const PetscReal accuracy = pair.estimator.traits.knob == CTPG_KNOB_DT ? choice->dt : choice->rtol;
      PetscCall(BenchPair(&path, &pair, accuracy, choice->rounds, rows));
      PetscCall(PairDestroy(&pair));
    }
    PetscCall(BenchPathDestroy(&path));
  }
  PetscFunctionReturn(0);
}
