// heap.h -- numbers by priority: binary heap, the largest key on top, of equal keys the smallest number
#ifndef CTPG_HEAP_H
#define CTPG_HEAP_H

#include <petscsys.h>

typedef struct {
  double key;
  PetscInt number;
} HeapEntry;

// Zero-initialised it is empty; it grows.
typedef struct {
  PetscInt n, room;
  HeapEntry *entry;
} Heap;

PetscErrorCode HeapPush(Heap *heap, double key, PetscInt number);
HeapEntry HeapPop(Heap *heap); // the top, of a heap that is not empty: heap->entry[0]
PetscErrorCode HeapDestroy(Heap *heap);

#endif
