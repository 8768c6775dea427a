// combine.h -- weighted sums of a few vectors: what the sums over Runge-Kutta stages are made of
//
// Components do not mix and terms are added in a fixed order: the same bits for any width of the CPU's vectors.
#ifndef CTPG_COMBINE_H
#define CTPG_COMBINE_H

#include "base/lanes.h"
#include <petscsys.h>

// Compiled twice, and chosen at start: with the vectors that every x86-64 has, and with ones of twice the width. These
// have no fused multiply-add, so the bits are the same.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__AVX__) &&                       \
    !defined(__SANITIZE_ADDRESS__)
#define CTPG_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define CTPG_WIDE
#endif

#endif
