// session.h -- provenance: who runs this program, on what, built how
#ifndef CTPG_SESSION_H
#define CTPG_SESSION_H

#include "store.h"

// Collective; the same on every rank, texts allocated here. Instruction set and CPU, hosts and core masks of all ranks,
// versions, command line.
PetscErrorCode SessionDescribe(MPI_Comm comm, CtpgSession *session);
PetscErrorCode SessionDestroy(CtpgSession *session);

#endif
