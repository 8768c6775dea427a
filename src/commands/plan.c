// command_plan.c -- `ctpgbench plan`: what a sweep would do; with -simulate, how fast a finished one would have been

#include "job/errors.h"
#include "commands/program.h"
#include "sweep/simulate.h"
#include "store/store_private.h"
#include "sweep/sweep.h"
#include <math.h>
#include <unistd.h>

// Rank 0 worked alone: its error, which it has told, is everybody's.
static PetscErrorCode AgreeWithFirstRank(int failed) {
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(&failed, 1, MPI_INT, 0, PETSC_COMM_WORLD));
  if (failed) CtpgErrorWasTold();
  PetscFunctionReturn(failed ? PETSC_ERR_USER_INPUT : 0);
}

// ---- what a sweep would do ----

#define FILE_OVERHEAD  30000.0 // bytes of attributes and group structures, and
#define LABEL_OVERHEAD 5000.0  // of each label

static double CaseBytes(const CtpgProblem *problem) {
  const double reals = 2.0 * problem->dims.nx + problem->dims.ntask + PolicyGetSize(problem->policy) + 1;
  return (double)(StoreRowBytes(&StoreCaseLayout) + StoreRowBytes(&StoreCommitLayout)) + 8 * reals;
}

static double RunBytes(const CtpgPlan *plan, const CtpgProblem *problem) {
  const double gradient = plan->save_gradients ? 1.0 + PolicyGetSize(problem->policy) : 0;
  return (double)(StoreRowBytes(&StoreRunLayout) + StoreRowBytes(&StoreCommitLayout)) +
         8 * (CTPG_SKETCH_SIZE + gradient);
}

static double FileBytes(const CtpgPlan *plan) {
  double bytes = FILE_OVERHEAD + LABEL_OVERHEAD * (plan->nproblems + plan->nestimators) +
                 (double)(CTPG_SESSIONS * StoreRowBytes(&StoreSessionLayout));
  for (PetscInt c = 0; c < plan->ncases; c++) bytes += CaseBytes(plan->problems + plan->cases[c].problem);
  for (PetscInt r = 0; r < plan->nruns; r++) bytes += RunBytes(plan, plan->problems + plan->runs[r].problem);
  return bytes;
}

// Expected seconds of the references of a problem (e < 0) or of the runs of a pair, and how many they are.
static double SumCosts(const CtpgPlan *plan, CostModel costs, PetscInt p, PetscInt e, PetscInt *n) {
  double seconds = 0;
  *n = 0;
  for (PetscInt c = 0; e < 0 && c < plan->ncases; c++) {
    if (plan->cases[c].problem != p) continue;
    seconds += CostPredict(costs, c);
    (*n)++;
  }
  for (PetscInt r = 0; e >= 0 && r < plan->nruns; r++) {
    if (plan->runs[r].problem != p || plan->runs[r].estimator != e) continue;
    seconds += CostPredict(costs, plan->ncases + r);
    (*n)++;
  }
  return seconds;
}

// What the file at -out has finished of this very plan; another file teaches nothing.
static PetscErrorCode LearnFromFile(const CtpgPlan *plan, CostModel costs, PetscInt *done) {
  CtpgContents old;
  PetscBool same;

  PetscFunctionBeginUser;
  *done = 0;
  if (access(plan->out, F_OK)) PetscFunctionReturn(0);
  PetscCall(ContentsRead(plan->out, &old));
  same = old->nruns == plan->nruns && old->ncases == plan->ncases ? PETSC_TRUE : PETSC_FALSE;
  for (PetscInt r = 0; same && r < plan->nruns; r++)
    if (old->runs[r].run_key != plan->runs[r].run_key) same = PETSC_FALSE;
  if (same) CostLearnFile(costs, old);
  for (PetscInt r = 0; same && r < plan->nruns; r++) *done += old->run_done[r] ? 1 : 0;
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintPlan(const CtpgPlan *plan) {
  CostModel costs;
  double total = 0;
  PetscInt done, n;
  int size;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCall(PlanCreateCosts(plan, &costs));
  PetscCall(LearnFromFile(plan, costs, &done));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%-18s %-18s %8s %12s\n", "problem", "estimator", "runs", "core-hours"));
  for (PetscInt p = 0; p < plan->nproblems; p++)
    for (PetscInt e = -1; e < plan->nestimators; e++) {
      const double seconds = SumCosts(plan, costs, p, e, &n);
      total += seconds;
      PetscCall(PetscPrintf(PETSC_COMM_SELF, "%-18s %-18s %8d %12.3g\n", plan->problems[p].label,
                            e < 0 ? "(references)" : plan->pairs[e].estimator.label, (int)n, seconds / 3600));
    }
  PetscCall(
      PetscPrintf(PETSC_COMM_SELF,
                  "%s: %d cases, %d runs, %d of them done; predicted %.3g core-hours, %.3g s on %d ranks, from %s; "
                  "%.0f bytes\n",
                  plan->out, (int)plan->ncases, (int)plan->nruns, (int)done, total / 3600, total / size, size,
                  done ? "what is done" : "a rough formula", FileBytes(plan)));
  PetscCall(CostDestroy(&costs));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanReport(const CtpgPlan *plan) {
  int rank, failed = 0;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) failed = PrintPlan(plan) ? 1 : 0;
  PetscCall(AgreeWithFirstRank(failed));
  PetscFunctionReturn(0);
}

// ---- how fast a finished one would have been ----

typedef struct {
  PetscInt n, replicate;
  PetscReal *ranks; // [n]
} SimulationOptions;

static PetscErrorCode ReadSimulationOptions(SimulationOptions *o) {
  CtpgOptions options;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "plan", &options));
  PetscCall(CtpgOptionsReals(options, "simulate", "numbers of ranks to replay a finished file on", &o->n, &o->ranks));
  for (PetscInt k = 0; k < o->n; k++)
    PetscCheck(o->ranks[k] >= 1 && o->ranks[k] <= 1e6 && o->ranks[k] == floor(o->ranks[k]), PETSC_COMM_WORLD,
               PETSC_ERR_USER_INPUT,
               "-simulate %.6g is not a number of ranks; expected whole numbers from 1 to 1000000", o->ranks[k]);
  o->replicate = 1;
  PetscCall(CtpgOptionsInt(options, "replicate", "with -simulate: so many copies of all recorded rows", 1, 100000,
                           &o->replicate));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

static PetscErrorCode SimulateFile(const char *path, const SimulationOptions *o) {
  Recording recording;
  Simulation result;

  PetscFunctionBeginUser;
  PetscCall(RecordingRead(path, o->replicate, &recording));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d references and %d runs recorded, %.4g s of work%s\n", path,
                        (int)recording.ncases, (int)recording.nruns, recording.total,
                        o->replicate > 1 ? " in each of the copies" : ""));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%-10s %8s %12s %12s %10s %6s %12s %10s %12s\n", "", "ranks", "makespan s",
                        "bound s", "efficiency", "busy", "messages/s", "rows/s", "coordinator"));
  for (PetscInt k = 0; k < o->n; k++) {
    PetscCall(Simulate(&recording, (int)o->ranks[k], &result));
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "simulated  %8d %12.4f %12.4f %10.3f %6.3f %12.0f %10.0f %12.3f%s\n",
                          (int)o->ranks[k], result.makespan, result.bound, result.bound / result.makespan, result.busy,
                          result.messages / result.makespan, result.rows / result.makespan, result.coordinator,
                          result.dedicated ? " (dedicated)" : ""));
  }
  PetscCall(RecordingDestroy(&recording));
  PetscFunctionReturn(0);
}

static PetscErrorCode SimulateOnFirstRank(const char *path, const SimulationOptions *o) {
  int rank, failed = 0;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsRefuseUnused());
  PetscCheck(path[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-simulate needs a file: ctpgbench plan -simulate 1024 results.h5");
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) failed = SimulateFile(path, o) ? 1 : 0;
  PetscCall(AgreeWithFirstRank(failed));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReportPlan(const char *word) {
  CtpgPlan plan;
  PetscFunctionBeginUser;
  PetscCheck(!word[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "plan takes a file only with -simulate; expected the options of a sweep, or -simulate 64 %s", word);
  PetscCall(PlanCreate(&plan));
  PetscCall(PlanReport(&plan));
  PetscCall(PlanDestroy(&plan));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandPlan(const char *word, int *exit_code) {
  SimulationOptions o;
  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(ReadSimulationOptions(&o));
  if (o.n)
    PetscCall(SimulateOnFirstRank(word, &o));
  else
    PetscCall(ReportPlan(word));
  PetscCall(PetscFree(o.ranks));
  PetscFunctionReturn(0);
}
