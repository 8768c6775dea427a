// session.h -- provenance: who runs this program, on what, built how
#ifndef CTPG_SESSION_H
#define CTPG_SESSION_H

#include "store/schema.h"

// "ctpgbench 0.1.0; Petsc ...; Open MPI ...; HDF5 ...", and the plug-ins that were loaded.
PetscErrorCode SessionVersions(char *text, size_t size);

// Collective. Instruction set and CPU, versions, command line; on rank 0 hosts, core masks and arithmetic of all ranks.
PetscErrorCode SessionDescribe(MPI_Comm comm, CtpgSession *session);

// all: an entry for each of n ranks, one behind the other with their zeros. text [length]: a comma list of them, equal
// neighbours counted ("node1 x 4"). Where that is too long and `fold` is set, entries that count up become one
// ("node[001-107] x 96"); what is still too long is cut.
PetscErrorCode SessionJoin(const char *all, int n, PetscBool fold, char *text, size_t length);

#endif
