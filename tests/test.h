// test.h -- the few words of a C test: CHECK counts, TestsEnd reports and gives the exit code
#ifndef CTPG_TEST_H
#define CTPG_TEST_H

#include <math.h>
#include <petscsys.h>
#include <stdio.h>

static int test_passed, test_failed;

// Prints where and what when `condition` is false; further arguments are a printf format with the values found.
#define CHECK(condition, ...)                                                                                          \
  do {                                                                                                                 \
    if (condition)                                                                                                     \
      test_passed++;                                                                                                   \
    else {                                                                                                             \
      test_failed++;                                                                                                   \
      printf("%s:%d: %s is false: ", __FILE__, __LINE__, #condition);                                                  \
      printf(" " __VA_ARGS__);                                                                                         \
      printf("\n");                                                                                                    \
    }                                                                                                                  \
  } while (0)

// |a - b| <= tolerance max(|a|, |b|, floor); CTPG_TEST_TOLERANCE_SCALE=0 makes every comparison print its residual.
static inline PetscBool TestClose(double a, double b, double tolerance, double floor) {
  const char *scale = getenv("CTPG_TEST_TOLERANCE_SCALE");
  const double size = fmax(fmax(fabs(a), fabs(b)), floor);
  return fabs(a - b) <= tolerance * size * (scale ? atof(scale) : 1) ? PETSC_TRUE : PETSC_FALSE;
}
#define CHECK_CLOSE(a, b, tolerance, floor)                                                                            \
  do {                                                                                                                 \
    const double close_a = (a), close_b = (b);                                                                         \
    CHECK(TestClose(close_a, close_b, tolerance, floor), "%.17g against %.17g", close_a, close_b);                     \
  } while (0)

static inline int TestsEnd(void) {
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed || !test_passed ? 1 : 0;
}

#endif
