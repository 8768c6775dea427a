// random.h -- random streams: Philox4x64-10, counter based, the same numbers on every rank and in every order
//
//   key     = (seed, FNV-1a64 of the problem type's name)
//   counter = (block + 1, index, purpose, experiment), word 0 first; numpy's Philox, which increments before its first
//             block, gives the same words from key = [seed, hash], counter = [0, index, purpose, experiment]
//   uniform = (word >> 11) 2^-53 in [0, 1), bitwise numpy's
//   normal  = Box-Muller from the next two uniforms: r = sqrt(-2 ln(1 - U1)), first r cos(2 pi U2), then
//             r sin(2 pi U2); the sine is kept for the next normal, also across uniforms drawn in between
// Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, Sec.
// 3.
#ifndef CTPG_RANDOM_H
#define CTPG_RANDOM_H

#include "ctpgbench/base.h"

#pragma GCC visibility push(default)

// What a stream is for; word 2 of its counter. Never renumbered: results depend on it.
typedef enum {
  CTPG_STREAM_X0 = 0,
  CTPG_STREAM_THETA = 1,
  CTPG_STREAM_TASK = 2,
  CTPG_STREAM_BATCH = 3,
  CTPG_STREAM_TEST = 4,
  CTPG_STREAM_ESTIMATOR = 5, // adds the FNV-1a64 of the estimator type, and the repeat, to the index
  CTPG_STREAM_SKETCH = 6,    // signs of the stored projections of a gradient
  CTPG_STREAM_CHECK = 7      // random points of `ctpgbench check` and directions of the loss check
} CtpgStreamPurpose;

typedef struct {
  uint64_t key[2], counter[4]; // counter[0] = blocks generated so far
  uint64_t word[4];            // the current block
  int unused;                  // words of it not handed out yet
  PetscBool has_spare;
  PetscReal spare; // second normal of the last Box-Muller pair
} CtpgStream;

// A stream at its beginning. type: name of the problem type; index: iteration * batch + sample in training, else 0.
CtpgStream CtpgStreamOpen(uint64_t seed, const char *type, CtpgStreamPurpose purpose, uint64_t index,
                          uint64_t experiment);
uint64_t CtpgStreamWord(CtpgStream *stream);
PetscReal CtpgStreamUniform(CtpgStream *stream);
PetscReal CtpgStreamUniformIn(CtpgStream *stream, PetscReal low, PetscReal high); // low + (high - low) U
PetscReal CtpgStreamNormal(CtpgStream *stream);

// The bare function, for its known answers: four words of (counter, key) after ten rounds.
void CtpgPhilox4x64(const uint64_t counter[4], const uint64_t key[2], uint64_t word[4]);

#pragma GCC visibility pop

#endif
