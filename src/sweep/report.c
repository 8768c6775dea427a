// report.c -- what a sweep would do: references and runs, what they are expected to cost, the size of the file
//
// Expected seconds come from the cost model (sweep/cost.h), which the file at -out corrects where it has finished some
// of this very plan. The size adds up what the store lays out (store/schema.h) and a constant for what HDF5 adds.

#include "sweep/report.h"
#include "job/errors.h"
#include "store/hdf5.h"
#include "sweep/held.h"
#include <unistd.h>

#define FILE_OVERHEAD 30000.0 // bytes of attributes and group structures, and

#define LABEL_OVERHEAD 5000.0 // of each label

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
  for (PetscInt p = 0; p < plan->nproblems; p++) bytes += PlanCountCases(plan, p) * CaseBytes(plan->problems + p);
  for (PetscInt i = 0; i < plan->nproblems * plan->nestimators; i++)
    bytes += plan->blocks[i].n * RunBytes(plan, plan->problems + plan->blocks[i].problem);
  return bytes;
}

// Expected seconds of the references of a problem (e < 0) or of the runs of a pair, and how many they are.
static double SumCosts(const CtpgPlan *plan, CostModel costs, PetscInt p, PetscInt e, PetscInt *n) {
  double seconds = 0;
  if (e < 0) {
    *n = PlanCountCases(plan, p);
    return *n * CostPredict(costs, p);
  }
  const PlanBlock *block = plan->blocks + p * plan->nestimators + e;
  *n = block->n;
  for (PetscInt a = 0; a < block->naccuracies; a++)
    seconds += CostPredict(costs, block->first_kind + a) * (block->n / block->naccuracies);
  return seconds;
}

// What the file at -out has finished of this very plan; another file teaches nothing.
static PetscErrorCode LearnFromFile(const CtpgPlan *plan, CostModel costs, PetscInt *done) {
  Held held = {.plan = plan, .costs = costs};

  PetscFunctionBeginUser;
  *done = 0;
  if (access(plan->out, F_OK)) PetscFunctionReturn(0);
  PetscCall(HeldRead(plan->out, &held));
  if (held.same) *done = held.done;
  PetscCall(ContentsDestroy(&held.file));
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
  PetscErrorCode error = 0;
  int rank;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) error = PrintPlan(plan);
  PetscCall(CtpgAgreeOnSuccess(PETSC_COMM_WORLD, error));
  PetscFunctionReturn(0);
}
