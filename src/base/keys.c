// keys.c -- see keys.h; qsort, and a search by halves

#include "base/keys.h"
#include <stdlib.h>

static int Compare(const void *a, const void *b) {
  const KeyEntry *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? 1 : -1;
  return (x->number > y->number) - (x->number < y->number);
}

void KeysSort(PetscInt n, KeyEntry *entries) {
  if (n) qsort(entries, (size_t)n, sizeof *entries, Compare);
}

// entries[0, low) lie below the key, entries[high, n) do not.
PetscInt KeysFind(PetscInt n, const KeyEntry *entries, uint64_t key) {
  PetscInt low = 0, high = n;
  while (low < high) {
    const PetscInt middle = low + (high - low) / 2;
    if (entries[middle].key < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low < n && entries[low].key == key ? entries[low].number : -1;
}
