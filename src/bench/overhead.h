// overhead.h -- time inside estimators beyond the bare evaluations that they make
#ifndef CTPG_BENCH_OVERHEAD_H
#define CTPG_BENCH_OVERHEAD_H

#include "bench/rows.h"
#include "run/labels.h"

typedef struct {
  PetscInt nproblems, nestimators, rounds;
  const CtpgLabel *problems, *estimators;
  PetscReal rtol, dt;
} BenchChoice;

// Creates every problem and estimator of the choice once, so that options which nobody reads can be found.
PetscErrorCode BenchReadOptions(const BenchChoice *choice);
// Medians over interleaved rounds.
PetscErrorCode BenchOverheads(const BenchChoice *choice, BenchRows *rows);

#endif
