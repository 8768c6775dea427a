// rows.h -- what the parts of this program cost, as numbers that a file keeps and a later build is held against
//
// Times are thread CPU time, the best or the median of many. Counted rows are ratios of instructions: they hang on the
// compiler and the C library, not on the machine's speed or on who else uses it.
#ifndef CTPG_BENCH_ROWS_H
#define CTPG_BENCH_ROWS_H

#include "ctpgbench/base.h"

typedef struct {
  char name[64]; // "kernel 7-32-32-2, n 1, f"
  double value;
  char unit[24];   // "us", "of peak", "1", "instructions/term", ...
  int32_t counted; // 1: a ratio of instructions
} BenchRow;

typedef struct {
  PetscInt n, room;
  BenchRow *row; // [room]
} BenchRows;

PetscErrorCode BenchAdd(BenchRows *rows, double value, const char *unit, PetscBool counted, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
PetscErrorCode BenchRowsDestroy(BenchRows *rows);
const BenchRow *BenchFind(const BenchRows *rows, const char *name); // NULL: there is none

#endif
