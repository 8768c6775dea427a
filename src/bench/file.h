// file.h -- a bench as a small HDF5 file
#ifndef CTPG_BENCH_FILE_H
#define CTPG_BENCH_FILE_H

#include "bench/rows.h"

PetscErrorCode BenchFileWrite(const char *path, const BenchRows *rows);
PetscErrorCode BenchFileRead(const char *path, BenchRows *rows);

#endif
