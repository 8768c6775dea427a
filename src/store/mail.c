// mail.c -- rows as messages: from the ranks that compute to the one that writes
//
// A message is a header, the row as it lies in memory (all ranks run one binary) and its arrays. Nonblocking sends from
// buffers that are kept; two-sided only, and synchronous, for a small message is else done with when it is posted, and
// lies in the memory of rank 0. Messages of one rank arrive in order, so its last one closes its account.

#include "store/mail.h"
#include "base/system.h"
#include <stdlib.h>
#include <string.h>

enum { TAG_LETTER = 1 };

typedef struct {
  int64_t kind, index, row_bytes, n[2]; // row_bytes: multiple of 8
} Header;

static size_t RowBytes(StoreLetterKind kind) {
  const size_t bytes = kind == STORE_RUN ? sizeof(CtpgRunRow) : kind == STORE_CASE ? sizeof(CtpgCaseRow) : 0;
  return (bytes + 7) / 8 * 8;
}

static PetscErrorCode Grow(char **bytes, size_t *room, size_t wanted) {
  PetscFunctionBeginUser;
  if (wanted <= *room) PetscFunctionReturn(0);
  char *grown = realloc(*bytes, wanted);
  PetscCheck(grown, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  *bytes = grown;
  *room = wanted;
  PetscFunctionReturn(0);
}

PetscErrorCode StoreMailCreate(MPI_Comm comm, StoreMail *mail) {
  int size;
  PetscFunctionBeginUser;
  memset(mail, 0, sizeof *mail);
  PetscCallMPI(MPI_Comm_dup(comm, &mail->comm));
  PetscCallMPI(MPI_Comm_size(comm, &size));
  mail->in_flight = PetscMax(1, PetscMin(CTPG_STORE_IN_FLIGHT, CTPG_STORE_QUEUED / size));
  for (int i = 0; i < CTPG_STORE_IN_FLIGHT; i++) mail->request[i] = MPI_REQUEST_NULL;
  PetscFunctionReturn(0);
}

PetscErrorCode StoreMailDestroy(StoreMail *mail) {
  PetscFunctionBeginUser;
  for (int i = 0; i < CTPG_STORE_IN_FLIGHT; i++) free(mail->bytes[i]);
  free(mail->inbox);
  PetscCallMPI(MPI_Comm_free(&mail->comm));
  PetscFunctionReturn(0);
}

void StoreMailNap(void) {
  SystemNap(20e-6);
}

// A buffer whose message has left.
static PetscErrorCode FindFree(StoreMail *mail, int *slot) {
  PetscFunctionBeginUser;
  for (;; StoreMailNap()) {
    int left;
    PetscCallMPI(MPI_Testany(mail->in_flight, mail->request, slot, &left, MPI_STATUS_IGNORE));
    for (*slot = 0; *slot < mail->in_flight; (*slot)++)
      if (mail->request[*slot] == MPI_REQUEST_NULL) PetscFunctionReturn(0);
  }
}

PetscErrorCode StoreMailSend(StoreMail *mail, const StoreLetter *letter) {
  const size_t row = RowBytes(letter->kind);
  const Header header = {letter->kind, letter->index, (int64_t)row, {letter->n[0], letter->n[1]}};
  const size_t size = sizeof header + row + (size_t)(letter->n[0] + letter->n[1]) * sizeof(PetscReal);
  int slot;

  PetscFunctionBeginUser;
  PetscCall(FindFree(mail, &slot));
  PetscCall(Grow(&mail->bytes[slot], &mail->room[slot], size));
  char *to = mail->bytes[slot];
  memcpy(to, &header, sizeof header);
  to += sizeof header;
  if (letter->row) memcpy(to, letter->row, letter->kind == STORE_RUN ? sizeof(CtpgRunRow) : sizeof(CtpgCaseRow));
  to += row;
  for (int i = 0; i < 2; i++) {
    if (letter->n[i]) memcpy(to, letter->values[i], (size_t)letter->n[i] * sizeof(PetscReal));
    to += (size_t)letter->n[i] * sizeof(PetscReal);
  }
  PetscCallMPI(MPI_Issend(mail->bytes[slot], (int)size, MPI_BYTE, 0, TAG_LETTER, mail->comm, &mail->request[slot]));
  PetscFunctionReturn(0);
}

PetscErrorCode StoreMailFlush(StoreMail *mail) {
  MPI_Status status[CTPG_STORE_IN_FLIGHT]; // gcc takes MPICH's MPI_STATUSES_IGNORE for an array that is too short
  int left = 0;
  PetscFunctionBeginUser;
  for (; !left; StoreMailNap()) PetscCallMPI(MPI_Testall(mail->in_flight, mail->request, &left, status));
  PetscFunctionReturn(0);
}

static void OpenLetter(const char *bytes, StoreLetter *letter) {
  Header header;
  memcpy(&header, bytes, sizeof header);
  const PetscReal *values = (const PetscReal *)(bytes + sizeof header + header.row_bytes);
  *letter = (StoreLetter){.kind = (StoreLetterKind)header.kind,
                          .index = (PetscInt)header.index,
                          .row = bytes + sizeof header,
                          .values = {values, values + header.n[0]},
                          .n = {(PetscInt)header.n[0], (PetscInt)header.n[1]}};
}

PetscErrorCode StoreMailReceive(StoreMail *mail, StoreLetter *letter, PetscBool *found) {
  PetscFunctionBeginUser;
  for (*found = PETSC_FALSE; !*found;) {
    MPI_Status status;
    int waiting, size;
    PetscCallMPI(MPI_Iprobe(MPI_ANY_SOURCE, TAG_LETTER, mail->comm, &waiting, &status));
    if (!waiting) break;
    PetscCallMPI(MPI_Get_count(&status, MPI_BYTE, &size));
    PetscCall(Grow(&mail->inbox, &mail->inbox_room, (size_t)size));
    PetscCallMPI(MPI_Recv(mail->inbox, size, MPI_BYTE, status.MPI_SOURCE, TAG_LETTER, mail->comm, MPI_STATUS_IGNORE));
    OpenLetter(mail->inbox, letter);
    if (letter->kind == STORE_END)
      mail->ended++;
    else
      *found = PETSC_TRUE;
  }
  PetscFunctionReturn(0);
}
