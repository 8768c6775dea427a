// kernels_avx2.h -- the kernels of kernels.h for CPUs with AVX2
#ifndef CTPG_KERNELS_AVX2_H
#define CTPG_KERNELS_AVX2_H

#include "loop/kernels.h"

const CtpgKernels *KernelsAVX2(void); // NULL where the compiler makes none

#endif
