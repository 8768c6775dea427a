// count.h -- instructions, counted one by one
#ifndef CTPG_BENCH_COUNT_H
#define CTPG_BENCH_COUNT_H

#include "ctpgbench/base.h"

// Instructions of work(context) by this thread; -1 where that is not possible: see count.c.
int64_t BenchCount(void (*work)(void *context), void *context);
const char *BenchCountObstacle(void); // NULL: they can be counted

#endif
