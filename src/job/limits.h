// limits.h -- options of one session: how long it may take, what it does with what crashed, how often it saves
//
// They are the same for a sweep and for a training, change no result, and are recorded nowhere.
#ifndef CTPG_LIMITS_H
#define CTPG_LIMITS_H

#include "ctpgbench/options.h"

typedef struct {
  PetscBool dry_run;             // tell what would be done, and do nothing
  PetscBool allow_mixed;         // go on with a file that was begun with another arithmetic: its rows are marked
  PetscBool retry_crashed;       // run again what crashed in earlier sessions
  PetscReal checkpoint_interval; // s, what is finished then survives a kill
  PetscReal time_limit;          // s of the whole command, 0: none, -1: not given; what is left then is left pending
  PetscReal time_margin;         // s that are left to a batch job to end in good order, -1: not given
  PetscReal silence_limit;       // s without a sign of life that give a rank up, 0: never (heartbeat.h)
  PetscReal stop_grace;          // s that a run may go on after it was told to stop, see watchdog.h
} JobLimits;

// interval, saves: default of -checkpoint_interval, and what its help says that it does.
PetscErrorCode JobLimitsRead(CtpgOptions options, PetscReal interval, const char *saves, JobLimits *limits);

// Collective. Without -time_limit, what is left of the batch job (batch.h) is the limit from here on. start:
// CtpgSeconds() when the command began. noun: "sweep", "training", for the line that says so.
PetscErrorCode JobLimitsAskBatch(MPI_Comm comm, double start, const char *noun, JobLimits *limits);
// The watchdog, with these limits, until WatchdogStop.
void JobLimitsWatch(const JobLimits *limits, int rank, double start);
// Every rank, now and then: it lives, and the time limit, once over, asks the program to stop.
void JobLimitsLook(const JobLimits *limits, double start);

#endif
