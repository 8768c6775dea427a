// filestate.h -- what `ctpgbench status` says of any results file, of a sweep or of a training, on stdout
#ifndef CTPG_JOB_FILESTATE_H
#define CTPG_JOB_FILESTATE_H

#include "store/contents.h"

// What is not what was written, and what nobody vouches for; rows: the word for what has checksums of its own.
PetscErrorCode StatePrintDamage(CtpgContents file, const char *rows);
// The job that has the file at this path now, and what its ranks do; nothing where nobody has it.
PetscErrorCode StatePrintHolder(const char *path);
// Provenance: the first session and the last ones; machines and arithmetics that differ.
PetscErrorCode StatePrintSessions(CtpgContents file);
// What -verify (verify) ends with; an error where anything is damaged.
PetscErrorCode StateConclude(CtpgContents file, PetscBool verify);

#endif
