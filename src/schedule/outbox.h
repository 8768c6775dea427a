// outbox.h -- messages under way, with their buffers
#ifndef CTPG_SCHEDULE_OUTBOX_H
#define CTPG_SCHEDULE_OUTBOX_H

#include <petscsys.h>

typedef struct {
  int n, room;
  MPI_Request *request;
  void **buffer;
} Outbox;

PetscErrorCode OutboxSend(Outbox *outbox, MPI_Comm comm, void *buffer, size_t bytes, int to, int tag); // takes buffer
PetscErrorCode OutboxSendCopy(Outbox *outbox, MPI_Comm comm, const void *message, size_t bytes, int to, int tag);
PetscErrorCode OutboxClear(Outbox *outbox); // of what has arrived
PetscErrorCode OutboxDestroy(Outbox *outbox);

#endif
