// keys.h -- lists sorted by 64-bit key (run keys, case keys), for hashing in one order and for finding
#ifndef CTPG_KEYS_H
#define CTPG_KEYS_H

#include <petscsys.h>
#include <stdint.h>

typedef struct {
  uint64_t key;
  PetscInt number; // what the key belongs to, such as the row of a run; not negative
} KeyEntry;

// By key, of equal keys the smallest number first.
void KeysSort(PetscInt n, KeyEntry *entries);
// In a sorted list: the number of `key`, the smallest if there are several; -1 where it is not there.
PetscInt KeysFind(PetscInt n, const KeyEntry *entries, uint64_t key);

#endif
