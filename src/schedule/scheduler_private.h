// scheduler_private.h -- messages between the coordinator (rank 0) and the workers (all ranks; rank 0 too, unless it only
// coordinates: it writes to itself)
//
//   grant       coordinator to worker: items and where to find what they need; products that are new to the rank follow
//   report      worker to coordinator: how the items of a grant ended; their products follow
//   dismissal   coordinator to worker, once: nothing is left, or everybody stops; how many grants it was sent in all
//   farewell    worker to coordinator: a report of no items, its last message
// Headers have a fixed size, far below any eager limit. Products can be large: nobody waits inside a call for one.
#ifndef CTPG_SCHEDULER_PRIVATE_H
#define CTPG_SCHEDULER_PRIVATE_H

#include "schedule/dealer.h"
#include "schedule/scheduler.h"

enum { TAG_GRANT = 1, TAG_GRANT_PRODUCTS, TAG_REPORT, TAG_REPORT_PRODUCTS, TAG_DISMISSAL };

#define SLOTS DEALER_BATCH // products that a rank keeps: those of one grant at least

typedef struct {
  int n;
  PetscInt item[DEALER_BATCH];
  int slot[DEALER_BATCH];  // where the rank keeps the product that the item needs; -1: it needs none
  int fresh[DEALER_BATCH]; // 1: it comes with this grant
  size_t bytes;            // of all fresh ones, in order, each padded
} Grant;

typedef struct {
  int n, stop; // stop: this rank was told to
  CtpgStatus status[DEALER_BATCH];
  double seconds[DEALER_BATCH], busy; // of each item, and of all that the rank has worked on
  size_t bytes;                       // of the products of those that were not interrupted, in order, each padded
} Report;

typedef struct {
  int stop;
  PetscInt64 grants;
} Dismissal;

// Messages under way, with their buffers.
typedef struct {
  int n, room;
  MPI_Request *request;
  void **buffer;
} Outbox;

PetscErrorCode OutboxSend(Outbox *outbox, MPI_Comm comm, void *buffer, size_t bytes, int to, int tag); // takes buffer
PetscErrorCode OutboxSendCopy(Outbox *outbox, MPI_Comm comm, const void *message, size_t bytes, int to, int tag);
PetscErrorCode OutboxClear(Outbox *outbox); // of what has arrived
PetscErrorCode OutboxDestroy(Outbox *outbox);

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
  return s->work->product_bytes ? (size_t)s->work->product_bytes[item] : 0;
}
static inline size_t SchedulerPadded(size_t bytes) {
  return (bytes + 15) / 16 * 16;
}
// Item whose product `item` needs, -1: none.
static inline PetscInt SchedulerNeeds(CtpgScheduler s, PetscInt item) {
  const PetscInt before = s->work->predecessor ? s->work->predecessor[item] : -1;
  return before >= 0 && SchedulerProductBytes(s, before) ? before : -1;
}

PetscErrorCode CoordinatorCreate(CtpgScheduler s);
PetscErrorCode CoordinatorDestroy(CtpgScheduler s);
PetscErrorCode CoordinatorLook(CtpgScheduler s);
void CoordinatorConclude(CtpgScheduler s);    // the last progress line
PetscBool CoordinatorIsDone(CtpgScheduler s); // every rank has said farewell and every product is here

PetscErrorCode WorkerCreate(CtpgScheduler s);
PetscErrorCode WorkerDestroy(CtpgScheduler s);
PetscErrorCode WorkerLook(CtpgScheduler s);
PetscBool WorkerHasGrant(CtpgScheduler s);
PetscBool WorkerIsDone(CtpgScheduler s); // dismissed, and through with every grant
PetscErrorCode WorkerDoGrant(CtpgScheduler s);
PetscErrorCode WorkerFarewell(CtpgScheduler s);

#endif
