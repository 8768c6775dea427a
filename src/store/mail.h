// mail.h -- rows on their way to the one writer
#ifndef CTPG_STORE_MAIL_H
#define CTPG_STORE_MAIL_H

#include "store/schema.h"

#define CTPG_STORE_IN_FLIGHT 16   // most messages of a rank under way; one more waits
#define CTPG_STORE_QUEUED    4096 // and of all ranks together, as long as each may have one

typedef enum { STORE_RUN, STORE_CASE, STORE_END } StoreLetterKind; // end: nothing follows from this rank

// What StorePutRun and StorePutCase are called with. A value array that is missing has n = 0.
typedef struct {
  StoreLetterKind kind;
  PetscInt index;  // row of the table
  const void *row; // CtpgRunRow, CtpgCaseRow; NULL at the end
  const PetscReal *values[2];
  PetscInt n[2];
} StoreLetter;

typedef struct {
  MPI_Comm comm; // own
  int in_flight; // messages of this rank that may be under way
  MPI_Request request[CTPG_STORE_IN_FLIGHT];
  char *bytes[CTPG_STORE_IN_FLIGHT]; // of the messages under way
  size_t room[CTPG_STORE_IN_FLIGHT];
  char *inbox; // rank 0: the last letter
  size_t inbox_room;
  int ended; // rank 0: ranks that have sent their last letter
} StoreMail;

PetscErrorCode StoreMailCreate(MPI_Comm comm, StoreMail *mail); // collective
PetscErrorCode StoreMailDestroy(StoreMail *mail);               // collective; NULL-safe
// The letter is copied; waits for the oldest messages while as many are under way as may be: while rank 0 has not
// taken them up.
PetscErrorCode StoreMailSend(StoreMail *mail, const StoreLetter *letter);
PetscErrorCode StoreMailFlush(StoreMail *mail); // waits until rank 0 has taken everything
void StoreMailNap(void);                        // between two looks: who waits must not take a core from who computes
// Rank 0: a letter that has arrived, valid until the next call; ends are counted and not handed out.
PetscErrorCode StoreMailReceive(StoreMail *mail, StoreLetter *letter, PetscBool *found);

#endif
