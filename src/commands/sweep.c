// sweep.c -- `ctpgbench sweep`: the plan over MPI ranks into one file; the same command again resumes
//
//   plan (sweep/plan.c) -> file (new, resumed or enlarged: sweep/file.c) -> references and runs (sweep/work.c) -> digest

#include "base/system.h"
#include "commands/program.h"
#include "job/batch.h"
#include "job/errors.h"
#include "job/signals.h"
#include "job/watchdog.h"
#include "store/digest.h"
#include "sweep/report.h"
#include "sweep/work.h"
#include <unistd.h>

// More ranks than cores on this host: the clock then measures the crowd, too.
static PetscErrorCode NoteCrowd(const Sweep *s) {
  MPI_Comm host;
  int ranks;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  PetscCallMPI(MPI_Comm_size(host, &ranks));
  PetscCallMPI(MPI_Comm_free(&host));
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (ranks > cores)
    PetscCall(PetscPrintf(s->comm, "note: %d ranks on %ld cores: wallclocks of this session are those of a crowd\n",
                          ranks, cores));
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
  PetscCall(
      PetscCalloc3(plan->ncases + plan->nruns, &s->done, plan->ncases, &s->products, plan->nproblems, &s->solvers));
  s->case_done = s->done;
  s->run_done = s->done + plan->ncases;
  if (!s->rank) PetscCall(PlanCreateCosts(plan, &s->costs));
  PetscCall(RunEvent("reference", &s->reference_event));
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroySweep(Sweep *s) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < s->plan.ncases; c++) PetscCall(PetscFree(s->products[c]));
  for (PetscInt p = 0; p < s->plan.nproblems; p++) PetscCall(ReferenceDestroy(&s->solvers[p]));
  PetscCall(PetscFree3(s->done, s->products, s->solvers));
  PetscCall(CostDestroy(&s->costs));
  PetscFunctionReturn(0);
}

// Rank 0: what the file holds now, and its digest.
static PetscErrorCode Conclude(Sweep *s, PetscBool stopped, int *exit_code) {
  CtpgContents contents;
  char digest[65];
  PetscInt environment, done = 0, failed = 0, without = 0;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(s->plan.out, &contents));
  PetscCheck(
      stopped || !contents->torn, PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
      "%s: %d rows that were just written fail their checksum: it is damaged where rows are placed; move it away, "
      "the same command begins anew",
      s->plan.out, (int)contents->torn);
  PetscCall(ContentsDigest(contents, digest, &environment));
  for (PetscInt r = 0; r < contents->nruns; r++) {
    done += contents->run_done[r] ? 1 : 0;
    failed += contents->run_done[r] && contents->runs[r].status != CTPG_OK ? 1 : 0;
  }
  for (PetscInt c = 0; c < contents->ncases; c++)
    without += contents->case_done[c] && contents->cases[c].status != CTPG_OK ? 1 : 0;
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, %d of them not ok (each a row with its reason)\n",
                        s->plan.out, (int)done, (int)contents->nruns, (int)failed));
  if (without)
    PetscCall(PetscPrintf(PETSC_COMM_SELF,
                          "%d of %d cases have no reference gradient (status tells why): no errors there\n",
                          (int)without, (int)contents->ncases));
  if (done < contents->nruns) {
    *exit_code = CTPG_EXIT_INCOMPLETE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "incomplete: the same command goes on from here\n"));
  } else
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", digest));
  PetscCall(ContentsDestroy(&contents));
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

// Was any rank told to stop?
static PetscErrorCode AnyStopped(const Sweep *s, PetscBool *stopped) {
  int flag = CtpgStopRequested;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &flag, 1, MPI_INT, MPI_MAX, s->comm));
  *stopped = flag ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode RunSweep(Sweep *s, int *exit_code) {
  PetscErrorCode error = 0;
  PetscBool stopped;
  PetscFunctionBeginUser;
  PetscCall(CreateSweep(s));
  PetscCall(NoteCrowd(s));
  if (s->plan.time_limit < 0) PetscCall(BatchTimeLimit(s->comm, s->start, s->plan.time_margin, &s->plan.time_limit));
  PetscCall(SweepOpenFile(s));
  PetscCall(EnterStage("references and runs"));
  WatchdogStart(s->rank, &CtpgStopRequested, s->plan.time_limit > 0 ? s->start + s->plan.time_limit : 0,
                s->plan.stop_grace);
  PetscCall(SweepComputeItems(s));
  WatchdogStop();
  PetscCall(EnterStage("closing"));
  PetscCall(SweepCloseFile(s));
  PetscCall(AnyStopped(s, &stopped));
  if (!s->rank) error = Conclude(s, stopped, exit_code);
  PetscCall(SweepAgreeOnSuccess(s, error));
  PetscCallMPI(MPI_Bcast(exit_code, 1, MPI_INT, 0, s->comm));
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
  if (s.plan.dry_run)
    PetscCall(PlanReport(&s.plan));
  else
    PetscCall(RunSweep(&s, exit_code));
  PetscCall(PlanDestroy(&s.plan));
  PetscCall(PetscLogStagePop());
  PetscFunctionReturn(0);
}
