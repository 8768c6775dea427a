// kernels.c -- the policy's kernels: time of a point, beside what the core's fused multiply-adds could do in it
//
// f is one evaluation, vjp one joint product that goes forward anew; of one point alone and of eight in a call; thread
// CPU time, the best of many.

#include "base/random_engine.h"
#include "base/system.h"
#include "bench/kernels.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__clang__)
typedef double Vector __attribute__((vector_size(32)));
// Fused multiply-adds per s on vectors of four, the best of some slices; 0 where the CPU has none.
__attribute__((target("avx2,fma"), optimize("fp-contract=fast"))) static double FusedRate(void) {
  enum { CHAINS = 10, ROUNDS = 20000 };
  double best = 0;
  if (!__builtin_cpu_supports("fma")) return 0;
  for (int slice = 0; slice < 50; slice++) {
    Vector x[CHAINS], factor = {0.999, 0.999, 0.999, 0.999}, term = {1e-3, 1e-3, 1e-3, 1e-3};
    for (int k = 0; k < CHAINS; k++) x[k] = term * k;
    const double start = CtpgThreadSeconds();
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 10
      for (int k = 0; k < CHAINS; k++) x[k] = x[k] * factor + term;
    const double seconds = CtpgThreadSeconds() - start;
    volatile double sink = 0;
    for (int k = 0; k < CHAINS; k++) sink += x[k][0] + x[k][3];
    best = fmax(best, 4.0 * CHAINS * ROUNDS / seconds);
  }
  return best;
}
#else
static double FusedRate(void) {
  return 0;
}
#endif

PetscErrorCode BenchRigCreate(int shape, PetscInt n, BenchRig *r) {
  static const struct {
    PetscInt nlayers, layers[4];
  } shapes[BENCH_SHAPES] = {{3, {7, 32, 32, 2}}, {2, {8, 64, 8}}, {3, {32, 64, 64, 4}}, {3, {32, 256, 256, 4}}};
  const PetscInt *layers = shapes[shape].layers, nlayers = shapes[shape].nlayers;
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_TANH, CTPG_TANH};
  CtpgStream stream = CtpgStreamOpen(1, "bench", CTPG_STREAM_CHECK, 0, 0);
  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(nlayers, layers, activations, &r->policy));
  const PetscInt np = PolicyGetSize(r->policy), no = layers[0], nu = layers[nlayers];
  const char *words = PolicyDescribe(r->policy);
  snprintf(r->shape, sizeof r->shape, "%.*s", (int)strcspn(words, " "), words);
  r->n = n;
  PetscCall(PetscMalloc4(np, &r->theta, PolicyGetWeightsSize(r->policy), &r->weights, n * no, &r->o, n * nu, &r->u));
  PetscCall(PetscMalloc4(n * PolicyGetKeptSize(r->policy), &r->kept, PolicyGetScratchSize(r->policy, n), &r->scratch,
                         n * no, &r->go, np, &r->gtheta));
  PolicyDraw(r->policy, &stream, 1, r->theta);
  PolicyPack(r->policy, r->theta, r->weights);
  for (PetscInt i = 0; i < n * no; i++) r->o[i] = CtpgStreamNormal(&stream), r->go[i] = 0;
  PetscCall(PetscArrayzero(r->gtheta, np));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchRigDestroy(BenchRig *r) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree4(r->theta, r->weights, r->o, r->u));
  PetscCall(PetscFree4(r->kept, r->scratch, r->go, r->gtheta));
  PetscCall(PolicyDestroy(&r->policy));
  PetscFunctionReturn(0);
}

void BenchRigCall(BenchRig *r, PetscBool product) {
  PolicyEval(r->policy, r->weights, r->n, r->o, r->kept, r->u);
  if (product) PolicyVJP(r->policy, r->weights, r->n, NULL, r->kept, r->u, r->scratch, r->go, r->gtheta, NULL);
}

// s for one point.
static double TimeKernel(BenchRig *r, PetscBool product) {
  const int calls = 1 + (int)(200000 / PolicyGetSize(r->policy));
  double best = INFINITY;
  for (int round = 0; round < 60; round++) {
    const double start = CtpgThreadSeconds();
    for (int i = 0; i < calls; i++) BenchRigCall(r, product);
    best = fmin(best, (CtpgThreadSeconds() - start) / (double)(calls * r->n));
  }
  return best;
}

static PetscErrorCode AddTimes(BenchRig *r, double rate, BenchRows *rows) {
  const double terms = PolicyGetSize(r->policy);
  PetscFunctionBeginUser;
  for (int product = 0; product < 2; product++) {
    const double seconds = TimeKernel(r, product ? PETSC_TRUE : PETSC_FALSE);
    const char *what = product ? "vjp" : "f";
    PetscCall(BenchAdd(rows, 1e6 * seconds, "us", PETSC_FALSE, "kernel %s, n %d, %s", r->shape, (int)r->n, what));
    if (rate > 0)
      PetscCall(BenchAdd(rows, (product ? 3 : 1) * terms / seconds / rate, "of peak", PETSC_FALSE,
                         "kernel %s, n %d, %s, peak", r->shape, (int)r->n, what));
  }
  PetscFunctionReturn(0);
}

PetscErrorCode BenchKernels(BenchRows *rows) {
  const double rate = FusedRate();
  PetscFunctionBeginUser;
  PetscCall(BenchAdd(rows, rate, "1/s", PETSC_FALSE, "fused multiply-adds"));
  for (int shape = 0; shape < BENCH_SHAPES; shape++)
    for (PetscInt n = 1; n <= 8; n += 7) {
      BenchRig rig;
      PetscCall(BenchRigCreate(shape, n, &rig));
      PetscCall(AddTimes(&rig, rate, rows));
      PetscCall(BenchRigDestroy(&rig));
    }
  PetscFunctionReturn(0);
}
