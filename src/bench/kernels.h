// kernels.h -- the policy's kernels, and a policy with points to call them at
#ifndef CTPG_BENCH_KERNELS_H
#define CTPG_BENCH_KERNELS_H

#include "bench/rows.h"
#include "loop/policy.h"

#define BENCH_SHAPES 4 // 7-32-32-2, 8-64-8, 32-64-64-4, 32-256-256-4

typedef struct {
  CtpgPolicy policy;
  char shape[24]; // "7-32-32-2"
  PetscInt n;
  double *theta, *weights, *o, *u, *kept, *scratch, *go, *gtheta;
} BenchRig;

PetscErrorCode BenchRigCreate(int shape, PetscInt n, BenchRig *rig); // n points of the shape of this number
PetscErrorCode BenchRigDestroy(BenchRig *rig);
// One evaluation of all points, or (product) one joint product, which goes forward anew.
void BenchRigCall(BenchRig *rig, PetscBool product);

// us of a point, and the multiply-adds as a share of what the core's fused ones could do.
PetscErrorCode BenchKernels(BenchRows *rows);

#endif
