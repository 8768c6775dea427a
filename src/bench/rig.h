// rig.h -- a policy with points to evaluate it at; a problem with points of a path
#ifndef CTPG_BENCH_RIG_H
#define CTPG_BENCH_RIG_H

#include "bench/bench.h"
#include "loop/policy.h"
#include "run/run.h"

#define BENCH_SHAPES 4 // 7-32-32-2, 8-64-8, 32-64-64-4, 32-256-256-4

typedef struct {
  CtpgPolicy policy;
  PetscInt n;
  double *theta, *weights, *o, *u, *kept, *scratch, *go, *gtheta;
} BenchRig;

PetscErrorCode BenchRigCreate(int shape, PetscInt n, BenchRig *rig); // n points of the shape of this number
PetscErrorCode BenchRigDestroy(BenchRig *rig);
// One evaluation of all points, or (product) one joint product, which goes forward anew.
void BenchRigCall(BenchRig *rig, PetscBool product);

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
