// test_random.c -- Philox4x64-10 against its published known answers, and what a stream promises
//
// Known answers: file kat_vectors of Random123 (Salmon et al., SC11), lines "philox4x64 10".
// `test_random dump SEED TYPE PURPOSE INDEX EXPERIMENT N` prints N uniforms, then N normals, of streams at their
// beginning, as hexadecimal floats: test_random.py compares them with numpy's.

#include "ctpgbench/random.h"
#include "test.h"
#include "base/random_engine.h"
#include <stdlib.h>
#include <string.h>

static void TestKnownAnswers(void) {
  PROPERTY("Philox gives the published answers");
  static const struct {
    uint64_t counter[4], key[2], word[4];
  } known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b}},
      {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
       {UINT64_MAX, UINT64_MAX},
       {0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0}},
      {{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89},
       {0x452821e638d01377, 0xbe5466cf34e90c6c},
       {0xa528f45403e61d95, 0x38c72dbd566e9788, 0xa5a1610e72fd18b5, 0x57bd43b5e52b7fe6}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    uint64_t word[4];
    CtpgPhilox4x64(known[i].counter, known[i].key, word);
    for (int k = 0; k < 4; k++)
      CHECK(word[k] == known[i].word[k], "vector %zu word %d is %016llx", i, k, (unsigned long long)word[k]);
  }
}

static void TestWordsAreBlocks(void) {
  PROPERTY("words of a stream are the blocks of its counter, in order");
  CtpgStream stream = CtpgStreamOpen(3, "lqr", CTPG_STREAM_TASK, 17, 2);
  const uint64_t key[2] = {3, CtpgHashString(CTPG_HASH_START, "lqr")};
  for (uint64_t block = 1; block <= 3; block++) {
    const uint64_t counter[4] = {block, 17, CTPG_STREAM_TASK, 2};
    uint64_t word[4];
    CtpgPhilox4x64(counter, key, word);
    for (int k = 0; k < 4; k++) CHECK(CtpgStreamWord(&stream) == word[k], "block %d word %d", (int)block, k);
  }
}

// Every coordinate of a stream matters.
static void TestStreamsDiffer(void) {
  PROPERTY("every coordinate of a stream matters");
  CtpgStream streams[] = {
      CtpgStreamOpen(1, "lqr", CTPG_STREAM_X0, 0, 0),      CtpgStreamOpen(2, "lqr", CTPG_STREAM_X0, 0, 0),
      CtpgStreamOpen(1, "electric", CTPG_STREAM_X0, 0, 0), CtpgStreamOpen(1, "lqr", CTPG_STREAM_THETA, 0, 0),
      CtpgStreamOpen(1, "lqr", CTPG_STREAM_X0, 1, 0),      CtpgStreamOpen(1, "lqr", CTPG_STREAM_X0, 0, 1)};
  uint64_t first[6];
  for (int i = 0; i < 6; i++) {
    first[i] = CtpgStreamWord(&streams[i]);
    for (int j = 0; j < i; j++) CHECK(first[i] != first[j], "streams %d and %d begin alike", i, j);
  }
}

static void TestUniforms(void) {
  PROPERTY("uniforms are the upper 53 bits, in [0, 1)");
  CtpgStream stream = CtpgStreamOpen(5, "lqr", CTPG_STREAM_X0, 0, 0), words = stream, scaled = stream;
  for (int i = 0; i < 1000; i++) {
    const PetscReal u = CtpgStreamUniform(&stream), v = CtpgStreamUniformIn(&scaled, -2, 3);
    CHECK(u >= 0 && u < 1, "%.17g", u);
    CHECK(u == ldexp((double)(CtpgStreamWord(&words) >> 11), -53), "%.17g", u);
    CHECK(v == -2 + 5 * u, "%.17g", v);
  }
}

// The sine of a Box-Muller pair waits for the next normal, whatever is drawn in between.
static void TestSpareNormal(void) {
  PROPERTY("the second normal of a pair waits for the next call");
  CtpgStream plain = CtpgStreamOpen(7, "lqr", CTPG_STREAM_X0, 0, 0), mixed = plain, uniforms = plain;
  const PetscReal cosine = CtpgStreamNormal(&plain), sine = CtpgStreamNormal(&plain);
  CHECK(CtpgStreamNormal(&mixed) == cosine, "first normal");
  for (int i = 0; i < 2; i++) (void)CtpgStreamUniform(&uniforms);
  CHECK(CtpgStreamUniform(&mixed) == CtpgStreamUniform(&uniforms), "uniform between the normals");
  CHECK(CtpgStreamNormal(&mixed) == sine, "second normal");
}

// Mean and variance of n draws within five standard errors: 1 / sqrt(n) and sqrt(2 / n).
static void TestNormalMoments(void) {
  PROPERTY("mean and variance of normals are 0 and 1");
  const int n = 100000;
  double sum = 0, squares = 0;
  CtpgStream stream = CtpgStreamOpen(11, "lqr", CTPG_STREAM_X0, 0, 0);
  for (int i = 0; i < n; i++) {
    const double z = CtpgStreamNormal(&stream);
    sum += z;
    squares += z * z;
  }
  CHECK(fabs(sum / n) < 5 / sqrt(n), "mean %g", sum / n);
  CHECK(fabs(squares / n - 1) < 5 * sqrt(2.0 / n), "variance %g", squares / n);
}

static int Dump(char **argument) {
  const uint64_t seed = strtoull(argument[0], NULL, 10), index = strtoull(argument[3], NULL, 10),
                 experiment = strtoull(argument[4], NULL, 10);
  const CtpgStreamPurpose purpose = (CtpgStreamPurpose)atoi(argument[2]);
  CtpgStream uniforms = CtpgStreamOpen(seed, argument[1], purpose, index, experiment), normals = uniforms;
  const int n = atoi(argument[5]);
  for (int i = 0; i < n; i++) printf("%a\n", CtpgStreamUniform(&uniforms));
  for (int i = 0; i < n; i++) printf("%a\n", CtpgStreamNormal(&normals));
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 8 && !strcmp(argv[1], "dump")) return Dump(argv + 2);
  TestKnownAnswers();
  TestWordsAreBlocks();
  TestStreamsDiffer();
  TestUniforms();
  TestSpareNormal();
  TestNormalMoments();
  return TestsEnd();
}
