// kernels.h -- the arithmetic of dense layers, compiled for several instruction sets with the same bits in all of them
//
// Matrices are packed: an operator of `outer` results over `inner` inputs, out_i = init_i + sum_j M_ij in_j, stands in
// panels of KERNELS_PANEL results, each input's coefficients side by side: [panel][inner][KERNELS_PANEL]; the last
// panel is as wide as what is left of the padded results. Results are padded to whole KERNELS_LANES, with zeros.
// Order of every sum, the same for any number of points: j = 0, 1, ... from init_i on; in a last panel of at most four
// groups of lanes the terms go to two or four partial sums in turn (j mod 4), joined as (0 + 1) + (2 + 3).
// No fused multiply-adds: what a CPU without them would need a hundred times longer for.
#ifndef CTPG_KERNELS_H
#define CTPG_KERNELS_H

#include <petscsys.h>

#define KERNELS_LANES 4  // results are padded to multiples
#define KERNELS_PANEL 32 // results side by side in a packed matrix

typedef enum { CTPG_LINEAR, CTPG_TANH, CTPG_ELU } CtpgActivation;

// Vectors are [padded] or [n, stride], aligned as doubles are. tanh and expm1 within 2 ulp.
typedef struct {
  const char *name;
  // out [n, out_stride] = init + M in for in [n, in_stride]; init [padded outer], NULL: zeros.
  void (*apply)(PetscInt n, PetscInt inner, PetscInt outer, const PetscReal *M, const PetscReal *init,
                const PetscReal *in, PetscInt in_stride, PetscReal *out, PetscInt out_stride);
  // z [n] becomes act(z), n a multiple of KERNELS_LANES.
  void (*activate)(CtpgActivation activation, PetscInt n, PetscReal *z);
  // d [n] *= act' at the outputs z [n], n a multiple of KERNELS_LANES.
  void (*times_derivative)(CtpgActivation activation, PetscInt n, const PetscReal *z, PetscReal *d);
  // gW [rows, columns] += d z', gb [rows] += d for d [n, d_stride] and z [n, z_stride], point after point; gb follows
  // gW.
  void (*add_outer)(PetscInt n, PetscInt rows, PetscInt columns, const PetscReal *d, PetscInt d_stride,
                    const PetscReal *z, PetscInt z_stride, PetscReal *gW);
} CtpgKernels;

static inline PetscInt KernelsPadded(PetscInt n) {
  return (n + KERNELS_LANES - 1) / KERNELS_LANES * KERNELS_LANES;
}

const CtpgKernels *KernelsBaseline(void); // for every CPU of this architecture
const CtpgKernels *KernelsBest(void);     // for this CPU, by what the C library takes it for

// M [inner, padded outer] from the row-major W [outer, inner], or from its transpose [inner, outer].
void KernelsPack(PetscInt inner, PetscInt outer, const PetscReal *W, PetscReal *M);
void KernelsPackTransposed(PetscInt inner, PetscInt outer, const PetscReal *W, PetscReal *M);

#endif
