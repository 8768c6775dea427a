// worker.c -- a rank's side of the scheduler: grants in, one of them ahead, items worked on, reports out

#include "schedule/scheduler_private.h"
#include "base/system.h"
#include <string.h>

struct Worker_s {
  Grant next; // the grant in hand, where there is one
  enum { NO_GRANT, PRODUCTS_COMING, GRANT_HERE } state;
  char *landing; // [next.bytes]
  MPI_Request request;
  char *slot[SLOTS];         // products, padded
  PetscInt64 taken, granted; // grants received; all there will be, once dismissed
  PetscBool dismissed;
  double busy; // s
};

PetscErrorCode WorkerCreate(CtpgScheduler s) {
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&s->worker));
  PetscFunctionReturn(0);
}

PetscErrorCode WorkerDestroy(CtpgScheduler s) {
  Worker w = s->worker;
  PetscFunctionBeginUser;
  if (!w) PetscFunctionReturn(0);
  for (int k = 0; k < SLOTS; k++) PetscCall(PetscFree(w->slot[k]));
  PetscCall(PetscFree(w->landing));
  PetscCall(PetscFree(s->worker));
  PetscFunctionReturn(0);
}

// ---- what comes in ----

static PetscErrorCode ReceiveHeader(CtpgScheduler s, int tag, size_t bytes, void *message, PetscBool *received) {
  int waiting;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Iprobe(0, tag, s->comm, &waiting, MPI_STATUS_IGNORE));
  *received = waiting ? PETSC_TRUE : PETSC_FALSE;
  if (!waiting) PetscFunctionReturn(0);
  PetscCallMPI(MPI_Recv(message, (int)bytes, MPI_BYTE, 0, tag, s->comm, MPI_STATUS_IGNORE));
  s->stirred = PETSC_TRUE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReceiveGrant(CtpgScheduler s) {
  Worker w = s->worker;
  PetscBool received;
  PetscFunctionBeginUser;
  PetscCall(ReceiveHeader(s, TAG_GRANT, sizeof w->next, &w->next, &received));
  if (!received) PetscFunctionReturn(0);
  w->taken++;
  w->state = GRANT_HERE;
  if (!w->next.bytes) PetscFunctionReturn(0);
  w->state = PRODUCTS_COMING;
  PetscCall(PetscMalloc1(w->next.bytes, &w->landing));
  PetscCallMPI(MPI_Irecv(w->landing, (int)w->next.bytes, MPI_BYTE, 0, TAG_GRANT_PRODUCTS, s->comm, &w->request));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReceiveProducts(CtpgScheduler s) {
  int here;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Test(&s->worker->request, &here, MPI_STATUS_IGNORE));
  if (!here) PetscFunctionReturn(0);
  s->worker->state = GRANT_HERE;
  s->stirred = PETSC_TRUE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReceiveDismissal(CtpgScheduler s) {
  Dismissal dismissal;
  PetscFunctionBeginUser;
  PetscCall(ReceiveHeader(s, TAG_DISMISSAL, sizeof dismissal, &dismissal, &s->worker->dismissed));
  if (!s->worker->dismissed) PetscFunctionReturn(0);
  s->worker->granted = dismissal.grants;
  if (dismissal.stop) *s->stop = 1;
  PetscFunctionReturn(0);
}

PetscErrorCode WorkerLook(CtpgScheduler s) {
  Worker w = s->worker;
  PetscFunctionBeginUser;
  if (w->state == NO_GRANT) PetscCall(ReceiveGrant(s));
  if (w->state == PRODUCTS_COMING) PetscCall(ReceiveProducts(s));
  if (!w->dismissed) PetscCall(ReceiveDismissal(s));
  PetscFunctionReturn(0);
}

PetscBool WorkerHasGrant(CtpgScheduler s) {
  return s->worker->state == GRANT_HERE ? PETSC_TRUE : PETSC_FALSE;
}

PetscBool WorkerIsDone(CtpgScheduler s) {
  const Worker w = s->worker;
  return w->dismissed && w->taken == w->granted && w->state == NO_GRANT ? PETSC_TRUE : PETSC_FALSE;
}

// ---- work ----

// The grant in hand becomes the one to work on: its products go into their slots, and the next one may come.
static PetscErrorCode TakeGrant(CtpgScheduler s, Grant *grant) {
  Worker w = s->worker;
  const char *from = w->landing;

  PetscFunctionBeginUser;
  *grant = w->next;
  for (int i = 0; i < grant->n; i++) {
    if (!grant->fresh[i]) continue;
    const size_t bytes = SchedulerPadded(SchedulerProductBytes(s, SchedulerNeeds(s, grant->item[i])));
    char **slot = w->slot + grant->slot[i];
    PetscCall(PetscFree(*slot));
    PetscCall(PetscMalloc1(bytes, slot));
    memcpy(*slot, from, bytes);
    from += bytes;
  }
  PetscCall(PetscFree(w->landing));
  w->state = NO_GRANT;
  PetscCall(WorkerLook(s));
  PetscFunctionReturn(0);
}

static PetscErrorCode DoItem(CtpgScheduler s, CtpgItem *item, double *seconds) {
  const double start = CtpgSeconds(), polled = s->polled;
  PetscFunctionBeginUser;
  if (*s->stop) {
    item->status = CTPG_INTERRUPTED;
    *seconds = 0;
    PetscFunctionReturn(0);
  }
  PetscCall(s->work->work(s->work->context, item));
  *seconds = CtpgSeconds() - start - (s->polled - polled);
  PetscFunctionReturn(0);
}

PetscErrorCode WorkerDoGrant(CtpgScheduler s) {
  Worker w = s->worker;
  Report report = {0};
  size_t bytes = 0;
  char *products = NULL;
  Grant grant;

  PetscFunctionBeginUser;
  PetscCall(TakeGrant(s, &grant));
  for (int i = 0; i < grant.n; i++) bytes += SchedulerPadded(SchedulerProductBytes(s, grant.item[i]));
  if (bytes) PetscCall(PetscCalloc1(bytes, &products));
  report.n = grant.n;
  for (int i = 0; i < grant.n; i++) {
    const size_t size = SchedulerProductBytes(s, grant.item[i]);
    CtpgItem item = {.number = grant.item[i],
                     .needed = grant.slot[i] < 0 ? NULL : w->slot[grant.slot[i]],
                     .product = size ? products + report.bytes : NULL};
    PetscCall(DoItem(s, &item, &report.seconds[i]));
    report.status[i] = item.status;
    if (item.status != CTPG_INTERRUPTED) report.bytes += SchedulerPadded(size);
    w->busy += report.seconds[i];
  }
  report.busy = w->busy;
  report.stop = *s->stop;
  PetscCall(OutboxSendCopy(&s->outbox, s->comm, &report, sizeof report, 0, TAG_REPORT));
  if (report.bytes)
    PetscCall(OutboxSend(&s->outbox, s->comm, products, report.bytes, 0, TAG_REPORT_PRODUCTS));
  else
    PetscCall(PetscFree(products));
  PetscFunctionReturn(0);
}

PetscErrorCode WorkerFarewell(CtpgScheduler s) {
  const Report report = {.stop = *s->stop, .busy = s->worker->busy};
  PetscFunctionBeginUser;
  PetscCall(OutboxSendCopy(&s->outbox, s->comm, &report, sizeof report, 0, TAG_REPORT));
  PetscFunctionReturn(0);
}
