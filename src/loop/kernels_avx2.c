// kernels_avx2.c -- see kernels_avx2.h; this file alone is compiled with -mavx2

#include "loop/kernels_avx2.h"

#ifdef __AVX2__
#define LANES 4
#include "loop/kernels_lanes.h"

const CtpgKernels *KernelsAVX2(void) {
  static const CtpgKernels kernels = KERNELS("avx2");
  return &kernels;
}
#else
const CtpgKernels *KernelsAVX2(void) {
  return NULL;
}
#endif
