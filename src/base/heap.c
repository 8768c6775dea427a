// heap.c -- see heap.h

#include "base/heap.h"

static PetscBool Above(HeapEntry a, HeapEntry b) {
  if (a.key != b.key) return a.key > b.key ? PETSC_TRUE : PETSC_FALSE;
  return a.number < b.number ? PETSC_TRUE : PETSC_FALSE;
}

static PetscErrorCode Grow(Heap *heap) {
  HeapEntry *entry;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(2 * heap->room + 64, &entry));
  PetscCall(PetscArraycpy(entry, heap->entry, heap->n));
  PetscCall(PetscFree(heap->entry));
  heap->entry = entry;
  heap->room = 2 * heap->room + 64;
  PetscFunctionReturn(0);
}

PetscErrorCode HeapPush(Heap *heap, double key, PetscInt number) {
  const HeapEntry pushed = {key, number};
  PetscFunctionBeginUser;
  if (heap->n == heap->room) PetscCall(Grow(heap));
  PetscInt i = heap->n++;
  for (; i > 0 && Above(pushed, heap->entry[(i - 1) / 2]); i = (i - 1) / 2) heap->entry[i] = heap->entry[(i - 1) / 2];
  heap->entry[i] = pushed;
  PetscFunctionReturn(0);
}

HeapEntry HeapPop(Heap *heap) {
  const HeapEntry top = heap->entry[0], last = heap->entry[--heap->n];
  PetscInt i = 0;
  for (PetscInt child = 1; child < heap->n; child = 2 * i + 1) {
    if (child + 1 < heap->n && Above(heap->entry[child + 1], heap->entry[child])) child++;
    if (!Above(heap->entry[child], last)) break;
    heap->entry[i] = heap->entry[child];
    i = child;
  }
  heap->entry[i] = last;
  return top;
}

PetscErrorCode HeapDestroy(Heap *heap) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(heap->entry));
  heap->n = heap->room = 0;
  PetscFunctionReturn(0);
}
