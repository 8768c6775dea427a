// train_slots.h -- the two points of each run from which it goes on, written and verified
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_TRAIN_SLOTS_H
#define CTPG_TRAIN_SLOTS_H

#include "store/train_sums.h"

// A point to go on from. The arrays are the caller's: theta [np], optimizer [noptimizer], memory [nmemory] bytes.
typedef struct {
  int64_t iteration; // updates made
  PetscReal *theta, *optimizer;
  unsigned char *memory;
} TrainSlot;

// Slot k of row `row`; sums: of all that the run has written before. What lies in it is invalid until the last number.
int TrainSlotWrite(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, const TrainSlot *slot,
                   TrainSums *sums);
// Reads slot k. *valid: it and all that it vouches for are what was written; sums are then those of that moment.
int TrainSlotRead(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, TrainSlot *slot,
                  TrainSums *sums, PetscBool *valid);
// The newest valid slot; *k = -1: there is none, and sums are those of nothing.
int TrainSlotFind(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, TrainSlot *slot, TrainSums *sums,
                  int *k);

#endif
