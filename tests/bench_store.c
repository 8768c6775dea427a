// bench_store.c -- rows per second of the two ways into a results file: mpirun -n 4 bench_store FOLDER [rows]
//
// Every rank puts its share of the rows as fast as it can; the clock runs until the file is closed, fsync included. The
// two ways take turns, so that what disturbs the machine disturbs both; medians, and the ratio, are what counts. What a
// row costs rank 0 is told in CPU time of its thread, which other work on the machine changes little: with the writing
// rank 0 that is all that limits a sweep of many ranks.

#include "store/store.h"
#include "base/system.h"
#include "base/vector.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 5, NP = 100 };

static int rank, size;

static PetscErrorCode MakePlan(PetscInt nruns, PetscBool gradients, StoreRowLists *lists, CtpgStorePlan *plan) {
  static CtpgLabelInfo problem = {.label = "lqr", .type = "lqr", .nx = 2, .nu = 1, .no = 2, .np = NP, .ncases = 1};
  static CtpgLabelInfo estimator = {.label = "ctpg", .type = "ctpg"};
  static CtpgCaseRow single;
  static const PetscReal start[2] = {0, 0};
  static const PetscReal *x0[] = {start}, *none[] = {NULL};
  CtpgRunRow *runs;

  PetscFunctionBeginUser;
  CtpgCaseRowClear(&single);
  PetscCall(PetscCalloc1(nruns, &runs));
  for (PetscInt r = 0; r < nruns; r++) {
    CtpgRunRowClear(runs + r);
    runs[r].run_key = (uint64_t)r + 1;
  }
  *lists = (StoreRowLists){&single, runs, x0, none, none};
  *plan = (CtpgStorePlan){.kind = "sweep",
                          .nproblems = 1,
                          .nestimators = 1,
                          .ncases = 1,
                          .nruns = nruns,
                          .problems = &problem,
                          .estimators = &estimator,
                          .rows = StoreRowsFrom(lists),
                          .save_gradients = gradients};
  PetscFunctionReturn(0);
}

// Seconds for all rows of the plan by way `kind`, and of the CPU time of this rank.
static PetscErrorCode Time(const char *path, const CtpgStorePlan *plan, CtpgStoreKind kind, double *seconds,
                           double *cpu) {
  const CtpgSession session = {.ranks = size};
  const CtpgStoreWay way = {.kind = kind};
  const PetscReal values[NP] = {1};
  CtpgStore store;

  PetscFunctionBeginUser;
  if (!rank) PetscCall(StoreCreate(path, plan, NULL));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  PetscCall(StoreOpen(PETSC_COMM_WORLD, path, plan, &session, &way, &store));
  const double start = CtpgSeconds(), cpu_start = CtpgThreadSeconds();
  for (PetscInt r = rank; r < plan->nruns; r += size) {
    CtpgRunRow row;
    plan->rows.get_run(plan->rows.context, r, &row);
    row.status = CTPG_OK;
    PetscCall(StorePutRun(store, r, &row, values, values));
  }
  PetscCall(StoreClose(&store));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  *seconds = CtpgSeconds() - start;
  *cpu = CtpgThreadSeconds() - cpu_start;
  if (!rank) unlink(path);
  PetscFunctionReturn(0);
}

static PetscErrorCode Bench(const char *path, PetscInt nruns, PetscBool gradients) {
  double seconds[2][TURNS], cpu[2][TURNS], ratio[TURNS];
  StoreRowLists lists;
  CtpgStorePlan plan;
  PetscFunctionBeginUser;
  PetscCall(MakePlan(nruns, gradients, &lists, &plan));
  for (int turn = 0; turn < TURNS; turn++) {
    PetscCall(Time(path, &plan, CTPG_STORE_INDEPENDENT, &seconds[0][turn], &cpu[0][turn]));
    PetscCall(Time(path, &plan, CTPG_STORE_WRITER, &seconds[1][turn], &cpu[1][turn]));
    ratio[turn] = seconds[0][turn] / seconds[1][turn];
  }
  const double rows = (double)nruns;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                        "%d ranks, %d rows%s: independent %8.0f rows/s, writer %8.0f rows/s, writer faster by %.2f\n",
                        size, (int)nruns, gradients ? " with gradients" : "", rows / CtpgMedian(TURNS, seconds[0]),
                        rows / CtpgMedian(TURNS, seconds[1]), CtpgMedian(TURNS, ratio)));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                        "  CPU time of rank 0: independent %.1f us a row of its own, writer %.1f us\n",
                        1e6 * CtpgMedian(TURNS, cpu[0]) / (rows / size), 1e6 * CtpgMedian(TURNS, cpu[1]) / rows));
  PetscCall(PetscFree(lists.runs));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  char path[PETSC_MAX_PATH_LEN];
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  snprintf(path, sizeof path, "%s/bench_store.h5", argc > 1 ? argv[1] : ".");
  const PetscInt nruns = argc > 2 ? atoi(argv[2]) : 20000;
  PetscCall(Bench(path, nruns, PETSC_FALSE));
  PetscCall(Bench(path, nruns, PETSC_TRUE));
  PetscCall(PetscFinalize());
  return 0;
}
