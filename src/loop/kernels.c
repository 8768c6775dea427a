// kernels.c -- see kernels.h: the kernels for every CPU, the choice between them and wider ones, and packing

#define LANES 2
#include "loop/kernels_lanes.h"
#include "loop/kernels_avx2.h"
#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#define HAS_AVX2() CPU_FEATURE_ACTIVE(AVX2) // glibc's answer, which GLIBC_TUNABLES can change
#elif defined(__x86_64__)
#define HAS_AVX2() __builtin_cpu_supports("avx2")
#else
#define HAS_AVX2() 0
#endif

const CtpgKernels *KernelsBaseline(void) {
  static const CtpgKernels kernels = KERNELS("baseline");
  return &kernels;
}

const CtpgKernels *KernelsBest(void) {
  return HAS_AVX2() && KernelsAVX2() ? KernelsAVX2() : KernelsBaseline();
}

static void Pack(PetscInt inner, PetscInt outer, PetscInt by_i, PetscInt by_j, const PetscReal *W, PetscReal *M) {
  const PetscInt padded = KernelsPadded(outer);
  for (PetscInt panel = 0; panel < padded; panel += KERNELS_PANEL) {
    const PetscInt width = PetscMin(KERNELS_PANEL, padded - panel), filled = PetscMin(KERNELS_PANEL, outer - panel);
    for (PetscInt j = 0; j < inner; j++, M += width) {
      for (PetscInt i = 0; i < filled; i++) M[i] = W[(panel + i) * by_i + j * by_j];
      for (PetscInt i = filled; i < width; i++) M[i] = 0;
    }
  }
}

void KernelsPack(PetscInt inner, PetscInt outer, const PetscReal *W, PetscReal *M) {
  Pack(inner, outer, inner, 1, W, M);
}

void KernelsPackTransposed(PetscInt inner, PetscInt outer, const PetscReal *W, PetscReal *M) {
  Pack(inner, outer, 1, outer, W, M);
}
