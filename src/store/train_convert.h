// train_convert.h -- a training file of the schema before, written anew in this one
#ifndef CTPG_TRAIN_CONVERT_H
#define CTPG_TRAIN_CONVERT_H

#include <petscsys.h>

// Rank 0. A new file at `out` from the one at path, of this schema or the one before: finished runs with all of their
// arrays, marked as unverified where nothing vouched for them; a run that was not finished begins anew.
PetscErrorCode TrainStoreConvert(const char *out, const char *path);

#endif
