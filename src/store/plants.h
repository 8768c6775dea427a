// plants.h -- plants/<problem label>: what the numbers of a problem are called, for who reads the file
//
//   @state_names @state_units [nx]  @control_names @control_units [nu]   left out where the problem names nothing
//   constants/<name> [rows] or [rows, columns], with @unit               likewise
// No part of digests or keys. Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_PLANTS_H
#define CTPG_STORE_PLANTS_H

#include "store/create.h"

// What `dims` says of one problem, under plants/<label>; the group plants is made where it is missing.
int StorePlantWrite(hid_t file, const char *label, const CtpgDims *dims);
// All problems of a plan; of one that comes from another file alone, what the first of the n files says.
int StorePlantsCreate(hid_t file, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old);

#endif
