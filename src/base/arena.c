// arena.c -- rows in blocks that double, so that an address never moves and an index is found by its highest bit

#include "ctpgbench/arena.h"
#include <stdlib.h>

#define FIRST_BLOCK_BITS 6

void CtpgArenaReset(CtpgArena *arena) {
  arena->peak = arena->used;
}

void CtpgRowsInit(CtpgRows *rows, CtpgArena *arena, PetscInt width) {
  *rows = (CtpgRows){.arena = arena, .width = width};
}

void CtpgRowsFree(CtpgRows *rows) {
  if (rows->arena) CtpgRowsTruncate(rows, 0);
  for (PetscInt b = 0; b < rows->nblocks; b++) free(rows->block[b]);
  *rows = (CtpgRows){.arena = rows->arena, .width = rows->width};
}

// Row i lies in block b = log2(i / 64 + 1); blocks before it hold 64 (2^b - 1) rows.
static PetscInt BlockOf(PetscInt i) {
  return 63 - __builtin_clzll(((uint64_t)i >> FIRST_BLOCK_BITS) + 1);
}

PetscReal *CtpgRowsAt(const CtpgRows *rows, PetscInt i) {
  const PetscInt b = BlockOf(i);
  const size_t before = ((size_t)1 << (b + FIRST_BLOCK_BITS)) - ((size_t)1 << FIRST_BLOCK_BITS);
  return rows->block[b] + ((size_t)i - before) * (size_t)rows->width;
}

PetscReal *CtpgRowsPush(CtpgRows *rows) {
  const PetscInt b = BlockOf(rows->count);
  const size_t row_bytes = (size_t)rows->width * sizeof(PetscReal);
  if (b == rows->nblocks) {
    if (b == CTPG_ROWS_BLOCKS) return NULL;
    rows->block[b] = malloc(((size_t)1 << (b + FIRST_BLOCK_BITS)) * row_bytes);
    if (!rows->block[b]) return NULL;
    rows->nblocks++;
  }
  rows->arena->used += row_bytes;
  if (rows->arena->used > rows->arena->peak) rows->arena->peak = rows->arena->used;
  return CtpgRowsAt(rows, rows->count++);
}

void CtpgRowsTruncate(CtpgRows *rows, PetscInt count) {
  rows->arena->used -= (size_t)(rows->count - count) * (size_t)rows->width * sizeof(PetscReal);
  rows->count = count;
}
