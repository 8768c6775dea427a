// state.h -- what `ctpgbench status` says of a file of `ctpgbench sweep`, also while it is being written
#ifndef CTPG_SWEEP_STATE_H
#define CTPG_SWEEP_STATE_H

#include "store/contents.h"

// Prints progress, failures, each with the command that repeats it, provenance and digest; with verify it is an error
// where anything is damaged.
PetscErrorCode SweepPrintState(CtpgContents file, PetscBool verify);

#endif
