// takeover.h -- rows of a new file: identity of all, and what other files have finished already
#ifndef CTPG_STORE_TAKEOVER_H
#define CTPG_STORE_TAKEOVER_H

#include "store/create.h"

// Rows for the sessions of n files, and room for more.
PetscInt StoreCountSessions(PetscInt n, const CtpgContents *old);
// Fills the tables of a new skeleton: identity columns of the plan; rows that one of the n files has finished, by key,
// with their arrays; sessions one after the other. 0, or -1: see hdf5.h.
int StoreTakeOver(hid_t file, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old);

#endif
