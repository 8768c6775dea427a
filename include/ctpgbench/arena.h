// arena.h -- memory for what an estimator keeps between its forward and its backward solve, and the measure of it
//
// An arena counts bytes; CtpgRows are growing arrays of equal rows that draw on it. Addresses of rows stay valid while
// the array grows, and memory is kept until Destroy, so that a repeated run allocates nothing.
#ifndef CTPG_ARENA_H
#define CTPG_ARENA_H

#include "ctpgbench/base.h"

#pragma GCC visibility push(default)

typedef struct {
  size_t used, peak; // bytes in rows in use, and the most of them since CtpgArenaReset
} CtpgArena;

void CtpgArenaReset(CtpgArena *arena); // the peak starts anew from what is in use

#define CTPG_ROWS_BLOCKS 40
typedef struct {
  CtpgArena *arena;
  PetscInt width, count;              // reals per row, rows in use
  PetscInt nblocks;                   // blocks with memory
  PetscReal *block[CTPG_ROWS_BLOCKS]; // block b holds 64 << b rows
} CtpgRows;

// width reals per row; arena is borrowed and must outlive the rows.
void CtpgRowsInit(CtpgRows *rows, CtpgArena *arena, PetscInt width);
void CtpgRowsFree(CtpgRows *rows);
// One row more, contents undefined; NULL when memory is used up.
PetscReal *CtpgRowsPush(CtpgRows *rows);
void CtpgRowsTruncate(CtpgRows *rows, PetscInt count); // keeps the first `count`
PetscReal *CtpgRowsAt(const CtpgRows *rows, PetscInt i);

#pragma GCC visibility pop

#endif
