// combine.h -- four terms of weighted sums of vectors at a time: what the sums over Runge-Kutta stages are made of
//
// Terms are added in a fixed order: the same bits for any width of vectors.
#ifndef CTPG_COMBINE_H
#define CTPG_COMBINE_H

#include <petscsys.h>

// Compiled twice, and chosen at start: with the vectors that every x86-64 has, and with ones of twice the width. These
// have no fused multiply-add, so the bits are the same.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__AVX__) &&                       \
    !defined(__SANITIZE_ADDRESS__)
#define CTPG_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define CTPG_WIDE
#endif

// sum [n] += c_0 K_0 + ... + c_3 K_3, all read from `offset` on.
static inline void CtpgAddFour(PetscInt n, PetscInt offset, const PetscReal *c, const PetscReal *const *K,
                               PetscReal *restrict sum) {
  const PetscReal c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
  const PetscReal *K0 = K[0] + offset, *K1 = K[1] + offset, *K2 = K[2] + offset, *K3 = K[3] + offset;
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) sum[i] += c0 * K0[i] + c1 * K1[i] + c2 * K2[i] + c3 * K3[i];
}

// The same with two sums at once.
static inline void CtpgAddFourTwice(PetscInt n, PetscInt offset, const PetscReal *c, const PetscReal *d,
                                    const PetscReal *const *K, PetscReal *restrict sum, PetscReal *restrict other) {
  const PetscReal c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3], d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
  const PetscReal *K0 = K[0] + offset, *K1 = K[1] + offset, *K2 = K[2] + offset, *K3 = K[3] + offset;
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) {
    sum[i] += c0 * K0[i] + c1 * K1[i] + c2 * K2[i] + c3 * K3[i];
    other[i] += d0 * K0[i] + d1 * K1[i] + d2 * K2[i] + d3 * K3[i];
  }
}

#endif
