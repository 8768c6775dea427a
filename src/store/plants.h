// plants.h -- group `plants`: what the states and controls of each problem are called, their units, its constants
//
//   plants/<label>@state_names @state_units [nx] @control_names @control_units [nu]   texts; absent where it does not say
//   plants/<label>/constants/<name> [k] or [k, m], @unit
// For whoever reads the file: no science, part of no digest and no key. Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_PLANTS_H
#define CTPG_STORE_PLANTS_H

#include "store/hdf5.h"
#include "store/schema.h"

int StorePlantsWrite(hid_t file, PetscInt n, const CtpgLabelInfo *info);
// Into info [n], as StoreLabelsRead has read it; texts and constants are allocated here, see StoreLabelsFree.
int StorePlantsRead(hid_t file, PetscInt n, CtpgLabelInfo *info);
void StorePlantFree(CtpgLabelInfo *info);

#endif
