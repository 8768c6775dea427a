// random.h -- random streams: Philox4x64-10, counter based, the same numbers on every rank and in every order
//
//   key     = (seed, FNV-1a64 of the problem type's name)
//   counter = (block + 1, index, purpose, experiment), word 0 first; numpy's Philox, which increments before its first
//             block, gives the same words from key = [seed, hash], counter = [0, index, purpose, experiment]
//   uniform = (word >> 11) 2^-53 in [0, 1), bitwise numpy's
//   normal  = Box-Muller from the next two uniforms: r = sqrt(-2 ln(1 - U1)), first r cos(2 pi U2), then
//             r sin(2 pi U2); the sine is kept for the next normal, also across uniforms drawn in between
// Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, Sec. 3.
#ifndef CTPG_RANDOM_H
#define CTPG_RANDOM_H

#include "ctpgbench/base.h"

#pragma GCC visibility push(default)

typedef struct {
  uint64_t key[2], counter[4]; // counter[0] = blocks generated so far
  uint64_t word[4];            // the current block
  int unused;                  // words of it not handed out yet
  PetscBool has_spare;
  PetscReal spare; // second normal of the last Box-Muller pair
} CtpgStream;

uint64_t CtpgStreamWord(CtpgStream *stream);
PetscReal CtpgStreamUniform(CtpgStream *stream);
PetscReal CtpgStreamUniformIn(CtpgStream *stream, PetscReal low, PetscReal high); // low + (high - low) U
PetscReal CtpgStreamNormal(CtpgStream *stream);

#pragma GCC visibility pop

#endif
