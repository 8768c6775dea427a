// outbox.c -- messages under way, with their buffers
//
// Nonblocking sends whose buffers are kept until they have left. Requests are asked from the last to the first, so that
// the last one can take the place of one that is done.

#include "schedule/outbox.h"
#include <string.h>

PetscErrorCode OutboxSend(Outbox *o, MPI_Comm comm, void *buffer, size_t bytes, int to, int tag) {
  PetscFunctionBeginUser;
  if (o->n == o->room) {
    o->room = 2 * o->room + 16;
    PetscCall(PetscRealloc((size_t)o->room * sizeof *o->request, &o->request));
    PetscCall(PetscRealloc((size_t)o->room * sizeof *o->buffer, &o->buffer));
  }
  o->buffer[o->n] = buffer;
  PetscCallMPI(MPI_Isend(buffer, (int)bytes, MPI_BYTE, to, tag, comm, &o->request[o->n]));
  o->n++;
  PetscFunctionReturn(0);
}

PetscErrorCode OutboxSendCopy(Outbox *o, MPI_Comm comm, const void *message, size_t bytes, int to, int tag) {
  char *buffer;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(bytes, &buffer));
  memcpy(buffer, message, bytes);
  PetscCall(OutboxSend(o, comm, buffer, bytes, to, tag));
  PetscFunctionReturn(0);
}

PetscErrorCode OutboxClear(Outbox *o) {
  PetscFunctionBeginUser;
  for (int k = o->n - 1; k >= 0; k--) {
    int sent;
    PetscCallMPI(MPI_Test(&o->request[k], &sent, MPI_STATUS_IGNORE));
    if (!sent) continue;
    PetscCall(PetscFree(o->buffer[k]));
    o->n--;
    o->request[k] = o->request[o->n];
    o->buffer[k] = o->buffer[o->n];
  }
  PetscFunctionReturn(0);
}

PetscErrorCode OutboxDestroy(Outbox *o) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(o->request));
  PetscCall(PetscFree(o->buffer));
  o->n = o->room = 0;
  PetscFunctionReturn(0);
}
