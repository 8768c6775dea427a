// scheduler.h -- items dealt to ranks one by one, in the order given (costly ones first); no core is lost to dealing
//
// Rank 0 works like the others and answers their requests between its items and, through SchedulerPoll, from the closed
// loop's look-around while it computes. Two-sided messages only: nothing relies on one-sided progress.
#ifndef CTPG_SCHEDULER_H
#define CTPG_SCHEDULER_H

#include "base.h"

typedef struct CtpgScheduler_s *CtpgScheduler;

typedef struct {
  void *context;
  // One item on this rank; *failed tells the progress line that it did not end ok.
  PetscErrorCode (*work)(void *context, PetscInt item, PetscBool *failed);
} CtpgWork;

// Collective. title: first word of the progress line on stderr; stop: no new items once it is set.
PetscErrorCode SchedulerCreate(MPI_Comm comm, const char *title, const volatile int *stop, CtpgScheduler *scheduler);
PetscErrorCode SchedulerDestroy(CtpgScheduler *scheduler);
// Collective. order [n]: the items; cost [n]: what each is expected to cost, in any unit, for the time left (NULL: all the
// same). Rank 0's copies count.
PetscErrorCode SchedulerRun(CtpgScheduler scheduler, PetscInt n, const PetscInt *order, const double *cost,
                            const CtpgWork *work);
// Rank 0, anywhere during an item: answers waiting requests, refreshes the progress line. Others: nothing.
void SchedulerPoll(void *scheduler);

#endif
