// limits.c -- see limits.h; every option is read whatever the others say, so that none counts as unknown

#include "job/limits.h"
#include "base/options_engine.h"
#include "base/system.h"
#include "job/batch.h"
#include "job/signals.h"
#include "job/watchdog.h"

// A word that plans of earlier versions use.
static PetscErrorCode RefuseOldWord(void) {
  PetscBool given;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasName(NULL, NULL, "-checkpoint_every", &given));
  PetscCheck(!given, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-checkpoint_every is not an option any more; expected -checkpoint_interval, its name now");
  PetscFunctionReturn(0);
}

PetscErrorCode JobLimitsRead(CtpgOptions options, PetscReal interval, const char *saves, JobLimits *limits) {
  const OptionRole role = OPTION_NOT_IN_KEY;

  PetscFunctionBeginUser;
  *limits = (JobLimits){
      .checkpoint_interval = interval, .time_limit = -1, .time_margin = -1, .silence_limit = 60, .stop_grace = 30};
  PetscCall(RefuseOldWord());
  PetscCall(OptionsReadBool(options, role, "dry_run", "tell what would be done, and do nothing", &limits->dry_run));
  PetscCall(OptionsReadBool(options, role, "retry_crashed", "run again what crashed in earlier sessions",
                            &limits->retry_crashed));
  PetscCall(OptionsReadBool(options, role, "allow_mixed",
                            "go on where libm, BLAS or kernels give other bits than those the file was begun with, and "
                            "mark the rows",
                            &limits->allow_mixed));
  PetscCall(OptionsReadReal(options, role, "checkpoint_interval", saves, 0, 1e9, &limits->checkpoint_interval));
  PetscCall(OptionsReadReal(options, role, "time_limit",
                            "s; then the program stops in good order with exit code 75, 0: never; without it, what is "
                            "left of the Slurm or PBS job less -time_margin",
                            0, 1e9, &limits->time_limit));
  PetscCall(OptionsReadReal(options, role, "time_margin",
                            "s that are left to a batch job to end in good order; default: 60, or a quarter of what is "
                            "left",
                            0, 1e9, &limits->time_margin));
  PetscCall(OptionsReadReal(options, role, "stop_grace",
                            "s; a run that hangs and does not stop for so long is given up, and the job with it", 1,
                            1e9, &limits->stop_grace));
  PetscCall(
      OptionsReadReal(options, role, "silence_limit",
                      "s without a sign of life of a rank (its process stopped, its node lost, its link cut), until "
                      "the others, having finished the rest, end the job with exit code 75; 0: they wait for ever",
                      0, 1e9, &limits->silence_limit));
  PetscFunctionReturn(0);
}

PetscErrorCode JobLimitsAskBatch(MPI_Comm comm, double start, const char *noun, JobLimits *limits) {
  PetscFunctionBeginUser;
  if (limits->time_limit < 0) PetscCall(BatchTimeLimit(comm, start, limits->time_margin, noun, &limits->time_limit));
  PetscFunctionReturn(0);
}

void JobLimitsWatch(const JobLimits *limits, int rank, double start) {
  WatchdogStart(rank, &CtpgStopRequested, limits->time_limit > 0 ? start + limits->time_limit : 0, limits->stop_grace);
}

void JobLimitsLook(const JobLimits *limits, double start) {
  WatchdogBeat();
  if (limits->time_limit > 0 && CtpgSeconds() - start > limits->time_limit) CtpgStopRequested = 1;
}
