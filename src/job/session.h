// session.h -- provenance: who runs this program, on what, built how
#ifndef CTPG_SESSION_H
#define CTPG_SESSION_H

#include "store/schema.h"

// "ctpgbench 0.1.0; Petsc ...; Open MPI ...; HDF5 ...", and the plug-ins that were loaded.
PetscErrorCode SessionVersions(char *text, size_t size);

// Collective; the same on every rank. Instruction set and CPU, hosts and core masks of all ranks,
// versions, command line.
PetscErrorCode SessionDescribe(MPI_Comm comm, CtpgSession *session);

#endif
