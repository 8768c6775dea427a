// random_engine.h -- the half of the random streams that problems and estimators do not see: who opens them, and for what
#ifndef CTPG_RANDOM_ENGINE_H
#define CTPG_RANDOM_ENGINE_H

#include "ctpgbench/random.h"

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

// A stream at its beginning. type: name of the problem type; index: iteration * batch + sample in training, else 0.
CtpgStream CtpgStreamOpen(uint64_t seed, const char *type, CtpgStreamPurpose purpose, uint64_t index,
                          uint64_t experiment);

// The bare function, for its known answers: four words of (counter, key) after ten rounds.
void CtpgPhilox4x64(const uint64_t counter[4], const uint64_t key[2], uint64_t word[4]);

#endif
