// train_slots.c -- the two points of each run from which it goes on
//
// The sum of a slot goes over its content and over the sums of everything before it. Its iteration is written last: until
// then the old sum stands against new content, and the slot is invalid.

#include "store/train_slots.h"
#include <stdlib.h>
#include <string.h>

static StoreSum SlotSum(const TrainShape *shape, const TrainSlot *slot, TrainSums *sums) {
  const StoreSum before = TrainSumsValue(sums);
  StoreHash hash;
  StoreHashCreate(&hash);
  StoreHashAdd(hash, &before, sizeof before);
  StoreHashAdd(hash, &slot->iteration, sizeof slot->iteration);
  StoreHashAdd(hash, slot->theta, (size_t)shape->np * sizeof *slot->theta);
  StoreHashAdd(hash, slot->optimizer, (size_t)shape->noptimizer * sizeof *slot->optimizer);
  StoreHashAdd(hash, slot->memory, (size_t)shape->nmemory);
  const StoreSum sum = StoreHashValue(hash);
  StoreHashDestroy(&hash);
  return sum;
}

int TrainSlotWrite(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, const TrainSlot *slot,
                   TrainSums *sums) {
  StoreSum sum = SlotSum(shape, slot, sums);
  int64_t iteration = slot->iteration;
  STORE_TRY(TrainMoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_count, row, k, 1, sums->count, PETSC_TRUE));
  STORE_TRY(TrainMoveVectors(&a->slot_checksum, row, k, 1, sum.word, PETSC_TRUE));
  return TrainMoveInRow(&a->slot_iteration, row, k, 1, &iteration, PETSC_TRUE);
}

static int ReadContent(const TrainPairArrays *a, PetscInt row, int k, TrainSlot *slot) {
  STORE_TRY(TrainMoveInRow(&a->slot_iteration, row, k, 1, &slot->iteration, PETSC_FALSE));
  STORE_TRY(TrainMoveVectors(&a->slot_theta, row, k, 1, slot->theta, PETSC_FALSE));
  STORE_TRY(TrainMoveVectors(&a->slot_optimizer, row, k, 1, slot->optimizer, PETSC_FALSE));
  return TrainMoveVectors(&a->slot_memory, row, k, 1, slot->memory, PETSC_FALSE);
}

static PetscBool IsInside(const TrainShape *shape, const TrainSlot *slot, const int64_t *count) {
  int64_t most[TRAIN_NSUMS];
  TrainSumsMost(shape, most);
  for (int k = 0; k < TRAIN_NSUMS; k++)
    if (count[k] < 0 || count[k] > most[k]) return PETSC_FALSE;
  return slot->iteration >= 0 && slot->iteration == count[TRAIN_SUM_HISTORY] ? PETSC_TRUE : PETSC_FALSE;
}

int TrainSlotRead(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, int k, TrainSlot *slot,
                  TrainSums *sums, PetscBool *valid) {
  int64_t count[TRAIN_NSUMS];
  StoreSum stored;
  *valid = PETSC_FALSE;
  STORE_TRY(ReadContent(a, row, k, slot));
  STORE_TRY(TrainMoveVectors(&a->slot_count, row, k, 1, count, PETSC_FALSE));
  STORE_TRY(TrainMoveVectors(&a->slot_checksum, row, k, 1, stored.word, PETSC_FALSE));
  if (!IsInside(shape, slot, count)) return 0;
  TrainSumsBegin(sums, shape->first_run + row);
  STORE_TRY(TrainSumsRead(sums, a, row, count));
  const StoreSum found = SlotSum(shape, slot, sums);
  *valid = StoreSumsAgree(&stored, &found);
  return 0;
}

int TrainSlotFind(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, TrainSlot *slot, TrainSums *sums,
                  int *k) {
  int64_t iteration[2];
  PetscBool valid;
  STORE_TRY(TrainMoveInRow(&a->slot_iteration, row, 0, 2, iteration, PETSC_FALSE));
  const int newer = iteration[1] > iteration[0] ? 1 : 0;
  for (int i = 0; i < 2; i++) {
    *k = i ? 1 - newer : newer;
    STORE_TRY(TrainSlotRead(a, shape, row, *k, slot, sums, &valid));
    if (valid) return 0;
  }
  *k = -1;
  TrainSumsBegin(sums, shape->first_run + row);
  return 0;
}
