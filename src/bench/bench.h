// bench.h -- what the parts of this program cost, as numbers that a file keeps and a later build is held against
//
// Times are thread CPU time, the best or the median of many. Counted rows are ratios of instructions: they hang on the
// compiler and the C library, not on the machine's speed or on who else uses it.
#ifndef CTPG_BENCH_H
#define CTPG_BENCH_H

#include "run/labels.h"

typedef struct {
  char name[64]; // "kernel 7-32-32-2, 1 point, f"
  double value;
  char unit[24];   // "us", "of peak", "1", "instructions/multiply-add", ...
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

// ---- what is measured

typedef struct {
  PetscInt nproblems, nestimators, rounds;
  const CtpgLabel *problems, *estimators;
  PetscReal rtol, dt;
} BenchChoice;

// Creates every problem and estimator of the choice once, so that options which nobody reads can be found.
PetscErrorCode BenchReadOptions(const BenchChoice *choice);
// The policy's kernels: us of a point, and the multiply-adds as a share of what the core's fused ones could do.
PetscErrorCode BenchKernels(BenchRows *rows);
// Time inside estimators beyond the bare evaluations that they make, median over interleaved rounds.
PetscErrorCode BenchOverheads(const BenchChoice *choice, BenchRows *rows);
// Exponents e of cost ~ size^e, fitted: with states, parameters, horizon; of memory with the horizon.
PetscErrorCode BenchGrowth(BenchRows *rows);
// The counted rows: kernels per multiply-add, estimators over the bare evaluations. *why: no rows, for this reason;
// NULL: they are there.
PetscErrorCode BenchCounts(BenchRows *rows, const char **why);

// ---- instructions

// Instructions of work(context) by this thread, counted one by one; -1 where that is not possible: see count.c.
int64_t BenchCount(void (*work)(void *context), void *context);
const char *BenchCountObstacle(void); // NULL: they can be counted

// ---- files

PetscErrorCode BenchFileWrite(const char *path, const BenchRows *rows);
PetscErrorCode BenchFileRead(const char *path, BenchRows *rows);

#endif
