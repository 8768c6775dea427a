// functions.h -- sine, cosine and powers with the same bits on every CPU
//
// The C library has several versions of its own, and takes the one with fused multiply-adds where a CPU has them: the
// last bit of a result then depends on the machine. These have one version. Problems use them; so does the engine.
#ifndef CTPG_FUNCTIONS_H
#define CTPG_FUNCTIONS_H

#include <petscsys.h>

#pragma GCC visibility push(default)

// Within 0.55 ulp. Beyond |x| = 1.6e6 they are the C library's: an angle of so many turns has lost its digits.
PetscReal CtpgSin(PetscReal x);
PetscReal CtpgCos(PetscReal x);
void CtpgSinCos(PetscReal x, PetscReal *sine,
                PetscReal *cosine); // the bits of both, at little more than the price of one
// x^y for x >= 0 and finite y, relative error below 1e-15 (1 + |y log x|): for step sizes.
PetscReal CtpgPow(PetscReal x, PetscReal y);

#pragma GCC visibility pop

#endif
