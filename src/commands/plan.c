// plan.c -- `ctpgbench plan`: what a sweep would do; with -simulate, how fast a finished one would have been

#include "commands/program.h"
#include "run/accuracy.h"
#include "base/options_engine.h"
#include "job/errors.h"
#include "sweep/report.h"
#include "sweep/simulate.h"
#include <math.h>

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
  PetscCall(OptionsRefuseAlone(options, "replicate", (const char *const[]){"simulate", NULL}));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

static PetscErrorCode SimulateFile(const char *path, const SimulationOptions *o) {
  Recording recording;
  Simulation result;

  PetscFunctionBeginUser;
  PetscCall(RecordingRead(path, o->replicate, &recording));
  recording.write = SIMULATE_WRITE;
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d references and %d runs recorded, %.4g s of work%s\n", path,
                        (int)recording.ncases, (int)recording.nruns, recording.total,
                        o->replicate > 1 ? " in each of the copies" : ""));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%-10s %8s %12s %12s %10s %9s %6s %12s %10s %12s\n", "", "ranks", "makespan s",
                        "bound s", "of bound", "speed-up", "busy", "messages/s", "rows/s", "coordinator"));
  for (PetscInt k = 0; k < o->n; k++) {
    PetscCall(Simulate(&recording, (int)o->ranks[k], &result));
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "simulated  %8d %12.4f %12.4f %10.3f %9.1f %6.3f %12.0f %10.0f %12.3f%s\n",
                          (int)o->ranks[k], result.makespan, result.bound, result.bound / result.makespan,
                          result.speed_up, result.busy, result.messages / result.makespan,
                          result.rows / result.makespan, result.coordinator, result.dedicated ? " (dedicated)" : ""));
    if (result.busy < 0.5)
      PetscCall(
          PetscPrintf(PETSC_COMM_SELF,
                      "           more ranks than this plan has work for: they work %.2g %% of the time, and about "
                      "%.0f would do (the longest chain of items takes %.3g s)\n",
                      100 * result.busy, ceil(recording.total * o->replicate / result.bound), result.bound));
    const double was = result.makespan - result.tenth;
    PetscCall(PetscPrintf(PETSC_COMM_SELF,
                          "           time left after a tenth of the work: said %.4g s, was %.4g s, ratio %.3g\n",
                          result.left, was, result.left / was));
  }
  PetscCall(RecordingDestroy(&recording));
  PetscFunctionReturn(0);
}

static PetscErrorCode SimulateOnFirstRank(const char *path, const SimulationOptions *o) {
  PetscErrorCode error = 0;
  int rank;
  PetscFunctionBeginUser;
  PetscCall(RefuseUnusedOptions());
  PetscCheck(path[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-simulate needs a file: ctpgbench plan -simulate 1024 results.h5");
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) error = SimulateFile(path, o);
  PetscCall(CtpgAgreeOnSuccess(PETSC_COMM_WORLD, error));
  PetscFunctionReturn(0);
}

// ---- what a sweep would do ----

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
