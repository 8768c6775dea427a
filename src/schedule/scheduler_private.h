// scheduler_private.h -- a scheduler at work, shared by the parts that make it up: scheduler.c, coordinator.c, worker.c
#ifndef CTPG_SCHEDULER_PRIVATE_H
#define CTPG_SCHEDULER_PRIVATE_H

#include "schedule/outbox.h"
#include "schedule/post.h"
#include "schedule/scheduler.h"

typedef struct Coordinator_s *Coordinator;
typedef struct Worker_s *Worker;

struct CtpgScheduler_s {
  MPI_Comm comm;
  int rank, size, first; // ranks first .. size - 1 work
  volatile int *stop;
  const CtpgWork *work; // while it runs
  Worker worker;
  Coordinator coordinator; // rank 0
  Outbox outbox;
  PetscBool stirred;        // a message came
  PetscBool looking;        // inside SchedulerPoll
  double next_look, polled; // when SchedulerPoll looks again; seconds it has taken in all
  PetscErrorCode error;     // met in SchedulerPoll
};

static inline size_t SchedulerProductBytes(CtpgScheduler s, PetscInt item) {
  return s->work->product_bytes ? (size_t)s->work->product_bytes(s->work->context, item) : 0;
}
static inline size_t SchedulerPadded(size_t bytes) {
  return (bytes + 15) / 16 * 16;
}
// Item whose product `item` needs, -1: none.
static inline PetscInt SchedulerNeeds(CtpgScheduler s, PetscInt item) {
  const PetscInt before = s->work->predecessor ? s->work->predecessor(s->work->context, item) : -1;
  return before >= 0 && SchedulerProductBytes(s, before) ? before : -1;
}

PetscErrorCode CoordinatorCreate(CtpgScheduler s);
PetscErrorCode CoordinatorDestroy(CtpgScheduler s);
PetscErrorCode CoordinatorLook(CtpgScheduler s);
PetscErrorCode CoordinatorConclude(CtpgScheduler s); // the last progress line
PetscBool CoordinatorIsDone(CtpgScheduler s);        // every rank has said farewell and every product is here

PetscErrorCode WorkerCreate(CtpgScheduler s);
PetscErrorCode WorkerDestroy(CtpgScheduler s);
PetscErrorCode WorkerLook(CtpgScheduler s);
PetscBool WorkerHasGrant(CtpgScheduler s);
PetscBool WorkerIsDone(CtpgScheduler s); // dismissed, and through with every grant
PetscErrorCode WorkerDoGrant(CtpgScheduler s);
PetscErrorCode WorkerFarewell(CtpgScheduler s);

#endif
