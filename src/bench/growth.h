// growth.h -- how cost and memory grow with the sizes of a problem
#ifndef CTPG_BENCH_GROWTH_H
#define CTPG_BENCH_GROWTH_H

#include "bench/rows.h"

// Exponents e of cost ~ size^e, fitted: with states, parameters, horizon and starts; of memory with the horizon.
PetscErrorCode BenchGrowth(BenchRows *rows);

#endif
