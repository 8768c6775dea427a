// path.h -- a problem with points of its path
#ifndef CTPG_BENCH_PATH_H
#define CTPG_BENCH_PATH_H

#include "run/run.h"

// A problem at seed 0, and the points that its forward path goes through.
typedef struct {
  CtpgProblem problem;
  CtpgCase c;
  CtpgClosedLoop loop;
  PetscInt n;
  PetscReal *t, *x, *v;       // [n], [n, nx], [n, nx]
  PetscReal *f, *gx, *gtheta; // [nx], [nx], [np] of a call
} BenchPath;

PetscErrorCode BenchPathCreate(const CtpgLabel *label, BenchPath *path);
PetscErrorCode BenchPathDestroy(BenchPath *path);
void BenchPathEval(BenchPath *path, PetscInt i);    // f at point i modulo n
void BenchPathProduct(BenchPath *path, PetscInt i); // likewise a joint product

#endif
