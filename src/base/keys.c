// keys.c -- see keys.h; qsort, and a search by halves

#include "base/keys.h"
#include "ctpgbench/base.h"
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

static uint64_t KeyAt(KeyColumn column, PetscInt row) {
  return *(const uint64_t *)((const char *)column.first + (size_t)row * column.stride);
}

PetscErrorCode KeysSortColumn(KeyColumn column, KeyEntry **sorted) {
  PetscFunctionBegin;
  PetscCall(PetscMalloc1(column.n, sorted));
  for (PetscInt i = 0; i < column.n; i++) (*sorted)[i] = (KeyEntry){KeyAt(column, i), i};
  KeysSort(column.n, *sorted);
  PetscFunctionReturn(0);
}

uint64_t KeysHashSorted(PetscInt n, const KeyEntry *sorted) {
  uint64_t hash = CTPG_HASH_START;
  for (PetscInt i = 0; i < n; i++) hash = CtpgHash(hash, &sorted[i].key, sizeof sorted[i].key);
  return hash;
}

PetscErrorCode KeysHash(KeyColumn column, uint64_t *hash) {
  KeyEntry *sorted;
  PetscFunctionBegin;
  PetscCall(KeysSortColumn(column, &sorted));
  *hash = KeysHashSorted(column.n, sorted);
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}

PetscErrorCode KeysFindMissing(KeyColumn old, KeyColumn now, PetscInt *missing, PetscInt *first) {
  KeyEntry *sorted;
  PetscFunctionBegin;
  *missing = 0;
  *first = -1;
  PetscCall(KeysSortColumn(now, &sorted));
  for (PetscInt i = 0; i < old.n; i++)
    if (KeysFind(now.n, sorted, KeyAt(old, i)) < 0 && !(*missing)++) *first = i;
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}
