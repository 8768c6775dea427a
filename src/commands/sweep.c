// sweep.c -- `ctpgbench sweep`: the plan over MPI ranks into one file; the same command again resumes
//
//   plan (sweep/plan.c) -> file (new, resumed or enlarged: sweep/file.c) -> references and runs (sweep/work.c) ->
//   digest

#include "base/system.h"
#include "commands/program.h"
#include "job/conclude.h"
#include "job/heartbeat.h"
#include "job/watchdog.h"
#include "store/digest.h"
#include "sweep/again.h"
#include "sweep/file.h"
#include "sweep/report.h"
#include "sweep/work.h"
#include <stdio.h>

// More ranks than cores on this host: the clock then measures the crowd, too.
static PetscErrorCode NoteCrowd(Sweep *s) {
  MPI_Comm host;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  PetscCallMPI(MPI_Comm_size(host, &s->neighbours));
  PetscCallMPI(MPI_Comm_free(&host));
  const long cores = SystemCores();
  if (s->neighbours > cores)
    PetscCall(PetscPrintf(s->comm, "note: %d ranks on %ld cores: wallclocks of this session are those of a crowd\n",
                          s->neighbours, cores));
  PetscFunctionReturn(0);
}

// Rank 0: what is true of each item.
static PetscErrorCode CreateProgress(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(plan->ncases + plan->nruns, &s->done, plan->ncases, &s->products));
  s->case_done = s->done;
  s->run_done = s->done + plan->ncases;
  PetscCall(PlanCreateCosts(plan, &s->costs));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateSweep(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  int length;

  PetscFunctionBeginUser;
  s->comm = PETSC_COMM_WORLD;
  PetscCallMPI(MPI_Comm_rank(s->comm, &s->rank));
  PetscCallMPI(MPI_Comm_size(s->comm, &s->size));
  PetscCallMPI(MPI_Get_processor_name(s->host, &length));
  PetscCall(PetscCalloc1(plan->nproblems, &s->solvers));
  if (!s->rank) PetscCall(CreateProgress(s));
  PetscCall(RunEvent("reference", &s->reference_event));
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroySweep(Sweep *s) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; s->products && c < s->plan.ncases; c++) PetscCall(PetscFree(s->products[c]));
  for (PetscInt p = 0; p < s->plan.nproblems; p++) PetscCall(ReferenceDestroy(&s->solvers[p]));
  PetscCall(PetscFree(s->solvers));
  PetscCall(PetscFree2(s->done, s->products));
  PetscCall(CostDestroy(&s->costs));
  PetscCall(AgainDestroy(s));
  PetscFunctionReturn(0);
}

// What the file holds now, and its digest.
static PetscErrorCode ReadOutcome(void *sweep, JobOutcome *o) {
  ContentsSummary summary;

  PetscFunctionBeginUser;
  PetscCall(ContentsSummarise(((Sweep *)sweep)->plan.out, &summary));
  o->n = summary.n, o->done = summary.done, o->failed = summary.failed, o->torn = summary.torn;
  if (summary.without)
    snprintf(o->remark, sizeof o->remark,
             "%d of %d cases have no reference gradient (status tells why): no errors there", (int)summary.without,
             (int)summary.cases);
  PetscCall(PetscStrncpy(o->digest, summary.digest, sizeof o->digest));
  PetscFunctionReturn(0);
}

// Stage of -log_view in place of the one before.
static PetscErrorCode EnterStage(const char *name) {
  PetscLogStage stage;
  PetscFunctionBeginUser;
  PetscCall(PetscLogStageGetId(name, &stage));
  if (stage < 0) PetscCall(PetscLogStageRegister(name, &stage));
  PetscCall(PetscLogStagePop());
  PetscCall(PetscLogStagePush(stage));
  PetscFunctionReturn(0);
}

static PetscErrorCode RunSweep(Sweep *s, int *exit_code) {
  PetscFunctionBeginUser;
  PetscCall(CreateSweep(s));
  PetscCall(AgainCheck(&s->plan, s->size));
  PetscCall(NoteCrowd(s));
  PetscCall(JobLimitsAskBatch(s->comm, s->start, "sweep", &s->plan.limits));
  PetscCall(SweepOpenFile(s));
  PetscCall(EnterStage("references and runs"));
  JobLimitsWatch(&s->plan.limits, s->rank, s->start);
  PetscCall(HeartbeatStart(s->comm, &s->plan.limits));
  PetscCall(SweepComputeItems(s));
  HeartbeatWorkIsOver();
  WatchdogStop();
  PetscCall(EnterStage("closing"));
  PetscCall(SweepCloseFile(s));
  PetscCall(AgainConclude(s));
  PetscCall(JobConclude(s->comm, s->plan.out, ReadOutcome, s, exit_code));
  PetscCall(DestroySweep(s));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandSweep(const char *word, int *exit_code) {
  Sweep s = {.start = CtpgSeconds()};

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(PetscLogStagePush(0));
  PetscCall(EnterStage("set-up"));
  PetscCall(PlanCreate(&s.plan));
  if (s.plan.limits.dry_run)
    PetscCall(PlanReport(&s.plan));
  else
    PetscCall(RunSweep(&s, exit_code));
  PetscCall(PlanDestroy(&s.plan));
  PetscCall(PetscLogStagePop());
  PetscFunctionReturn(0);
}
