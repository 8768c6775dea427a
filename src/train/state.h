// state.h -- what `ctpgbench status` says of a file of `ctpgbench train`
#ifndef CTPG_TRAIN_STATE_H
#define CTPG_TRAIN_STATE_H

#include <petscsys.h>

// Reads the file at this path and prints progress, losses, provenance and digest; with verify it is an error where
// anything is damaged.
PetscErrorCode TrainPrintState(const char *path, PetscBool verify);

#endif
