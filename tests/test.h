// test.h -- the few words of a C test: PROPERTY names what the following CHECKs are about, TestsEnd gives the exit code
//
// A test prints one line for each property, "ok" behind it or FAIL; every failed CHECK repeats the name of its property. The
// name stands there before the property is put to the test, so that a crash is named, too.
#ifndef CTPG_TEST_H
#define CTPG_TEST_H

#include <math.h>
#include <petscsys.h>
#include <stdarg.h>
#include <stdio.h>

static int test_passed, test_failed, test_failed_before; // CHECKs; failures of earlier properties
static char test_property[200], test_broken[4000];       // the one under test; all that failed, "; " between

// The last property is over.
static inline void TestPropertyEnd(void) {
  const size_t used = strlen(test_broken);
  if (!test_property[0]) return;
  if (test_failed == test_failed_before)
    printf(" ok\n");
  else
    snprintf(test_broken + used, sizeof test_broken - used, "%s%s", used ? "; " : "", test_property);
  test_property[0] = 0;
  test_failed_before = test_failed;
}

static inline void PETSC_ATTRIBUTE_FORMAT(1, 2) TestPropertyBegin(const char *format, ...) {
  va_list arguments;
  TestPropertyEnd();
  va_start(arguments, format);
  vsnprintf(test_property, sizeof test_property, format, arguments);
  va_end(arguments);
  printf("%s ...", test_property);
  fflush(stdout);
}
// A sentence, as a printf format with its arguments: the first line of each test function.
#define PROPERTY(...) TestPropertyBegin(__VA_ARGS__)

// Prints where and what when `condition` is false; further arguments are a printf format with the values found.
#define CHECK(condition, ...)                                                                                          \
  do {                                                                                                                 \
    if (condition)                                                                                                     \
      test_passed++;                                                                                                   \
    else {                                                                                                             \
      printf("%s%s:%d: FAIL, %s: %s is false: ", test_failed++ == test_failed_before ? "\n" : "", __FILE__, __LINE__,  \
             test_property, #condition);                                                                               \
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
  TestPropertyEnd();
  printf("%d passed, %d failed%s%s\n", test_passed, test_failed, test_broken[0] ? ": " : "", test_broken);
  return test_failed || !test_passed ? 1 : 0;
}

#endif
