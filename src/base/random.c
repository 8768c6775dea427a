// random.c -- Philox4x64-10 and the two distributions made of it (see random.h for the layout and the source)

#include "base/random_engine.h"
#include "ctpgbench/functions.h"
#include <math.h>

static uint64_t MultiplyHighLow(uint64_t a, uint64_t b, uint64_t *low) {
  const unsigned __int128 product = (unsigned __int128)a * b;
  *low = (uint64_t)product;
  return (uint64_t)(product >> 64);
}

void CtpgPhilox4x64(const uint64_t counter[4], const uint64_t key[2], uint64_t word[4]) {
  uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t low0, low1;
    const uint64_t high0 = MultiplyHighLow(UINT64_C(0xD2E7470EE14C6C93), c0, &low0);
    const uint64_t high1 = MultiplyHighLow(UINT64_C(0xCA5A826395121157), c2, &low1);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += UINT64_C(0x9E3779B97F4A7C15); // golden ratio
    k1 += UINT64_C(0xBB67AE8584CAA73B); // sqrt(3) - 1
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

CtpgStream CtpgStreamOpen(uint64_t seed, const char *type, CtpgStreamPurpose purpose, uint64_t index,
                          uint64_t experiment) {
  return (CtpgStream){.key = {seed, CtpgHashString(CTPG_HASH_START, type)},
                      .counter = {0, index, (uint64_t)purpose, experiment}};
}

uint64_t CtpgStreamWord(CtpgStream *stream) {
  if (!stream->unused) {
    stream->counter[0]++;
    CtpgPhilox4x64(stream->counter, stream->key, stream->word);
    stream->unused = 4;
  }
  return stream->word[4 - stream->unused--];
}

PetscReal CtpgStreamUniform(CtpgStream *stream) {
  return (PetscReal)(CtpgStreamWord(stream) >> 11) * 0x1p-53;
}

PetscReal CtpgStreamUniformIn(CtpgStream *stream, PetscReal low, PetscReal high) {
  return low + (high - low) * CtpgStreamUniform(stream);
}

PetscReal CtpgStreamNormal(CtpgStream *stream) {
  if (stream->has_spare) {
    stream->has_spare = PETSC_FALSE;
    return stream->spare;
  }
  const PetscReal radius = sqrt(-2 * log1p(-CtpgStreamUniform(stream)));
  const PetscReal angle = 2 * PETSC_PI * CtpgStreamUniform(stream);
  PetscReal sine, cosine;
  CtpgSinCos(angle, &sine, &cosine);
  stream->spare = radius * sine;
  stream->has_spare = PETSC_TRUE;
  return radius * cosine;
}
