// keys.h -- lists sorted by 64-bit key (run keys, case keys), for hashing in one order and for finding
#ifndef CTPG_KEYS_H
#define CTPG_KEYS_H

#include <petscsys.h>
#include <stdint.h>

typedef struct {
  uint64_t key;
  PetscInt number; // what the key belongs to, such as the row of a run; not negative
} KeyEntry;

// In a comparison for qsort: its result where a and b differ; else it goes on.
#define KEYS_ORDER(a, b)                                                                                               \
  if ((a) != (b)) return (a) < (b) ? -1 : 1;

// By key, of equal keys the smallest number first.
void KeysSort(PetscInt n, KeyEntry *entries);
// In a sorted list: the number of `key`, the smallest if there are several; -1 where it is not there.
PetscInt KeysFind(PetscInt n, const KeyEntry *entries, uint64_t key);

// The keys of a table of rows, row i's at i * stride bytes from the first.
typedef struct {
  const uint64_t *first;
  size_t stride;
  PetscInt n;
} KeyColumn;
#define KEY_COLUMN(n, rows, key) ((KeyColumn){(rows) ? &(rows)->key : NULL, sizeof *(rows), n})

// Sorted, with the rows as numbers; [column.n], allocated here (PetscFree).
PetscErrorCode KeysSortColumn(KeyColumn column, KeyEntry **sorted);
// FNV-1a64 over the sorted keys: the same for equal sets, in whatever order.
PetscErrorCode KeysHash(KeyColumn column, uint64_t *hash);
uint64_t KeysHashSorted(PetscInt n, const KeyEntry *sorted); // the same, for who has them sorted
// How many rows of `old` have a key that `now` lacks, and the first of them, -1 where there is none.
PetscErrorCode KeysFindMissing(KeyColumn old, KeyColumn now, PetscInt *missing, PetscInt *first);

#endif
