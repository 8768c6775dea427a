// storing.h -- what a finished row of a sweep costs on its way into the results file
#ifndef CTPG_BENCH_STORING_H
#define CTPG_BENCH_STORING_H

#include "bench/rows.h"
#include "store/store.h"

// A file of n rows in the temporary folder, open; it is gone with BenchStoringClose.
typedef struct {
  char path[PETSC_MAX_PATH_LEN];
  StoreRowLists lists;
  CtpgCaseRow single;
  CtpgRunRow *runs; // [n]
  CtpgLabelInfo problem, estimator;
  CtpgStorePlan plan;
  CtpgStore store;
  PetscInt next; // row to be put
} BenchStoring;

PetscErrorCode BenchStoringOpen(PetscInt n, BenchStoring *storing);
PetscErrorCode BenchStoringPut(BenchStoring *storing); // the next row
PetscErrorCode BenchStoringClose(BenchStoring *storing);
// Rows a second, of CPU time, by one rank that writes its own.
PetscErrorCode BenchStoringRate(BenchRows *rows);

// A path in the folder for temporary files, where an empty file lies now.
PetscErrorCode BenchTemporaryFile(char *path, size_t size);

#endif
