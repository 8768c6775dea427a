// counts.h -- ratios of instructions
#ifndef CTPG_BENCH_COUNTS_H
#define CTPG_BENCH_COUNTS_H

#include "bench/rows.h"

// Kernels per multiply-add, estimators and a training over the bare evaluations, a stored row. *why: no rows, for this
// reason; NULL: they are there.
PetscErrorCode BenchCounts(BenchRows *rows, const char **why);

#endif
