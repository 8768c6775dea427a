// test_functions.c -- sine, cosine and powers against the C library's long double

#include "ctpgbench/functions.h"
#include "base/random_engine.h"
#include "test.h"

static double Ulps(double found, long double expected) {
  const double nearest = fabs((double)expected), ulp = nextafter(nearest, INFINITY) - nearest;
  return (double)(fabsl((long double)found - expected) / ulp);
}

static double worst, where;

static void Compare(double x) {
  double s, c;
  const double sine = CtpgSin(x), cosine = CtpgCos(x);
  const double most = fmax(Ulps(sine, sinl(x)), Ulps(cosine, cosl(x)));
  CtpgSinCos(x, &s, &c);
  CHECK(!memcmp(&s, &sine, sizeof s) && !memcmp(&c, &cosine, sizeof c), "both at once have other bits at %a", x);
  if (most > worst) worst = most, where = x;
}

static void TestAngles(void) {
  PROPERTY("sine and cosine are within 0.55 ulp");
  CtpgStream stream = CtpgStreamOpen(4, "functions", CTPG_STREAM_CHECK, 0, 0);
  for (int e = -60; e <= 20; e++)
    for (int i = 0; i < 4000; i++) Compare(ldexp(1 + CtpgStreamUniform(&stream), e) * (i % 2 ? 1 : -1));
  for (int i = 0; i < 300000; i++) Compare(CtpgStreamUniformIn(&stream, -7, 7));
  CHECK(worst > 0.4 && worst <= 0.55, "%.3f ulp at %a", worst, where);
}

// Where the reduction changes, and where a result nearly vanishes.
static void TestMultiples(void) {
  PROPERTY("sine and cosine are within 0.55 ulp about multiples of pi/4");
  worst = 0;
  for (int k = 1; k < 1000000; k = k < 200 ? k + 1 : k + k / 50) {
    const long double multiple = k * 0.785398163397448309615660845819875721L;
    double x = (double)multiple;
    for (int i = 0; i < 8; i++) x = nextafter(x, 0);
    for (int i = 0; i < 16; i++, x = nextafter(x, INFINITY)) Compare(x);
  }
  CHECK(worst <= 0.55, "%.3f ulp at %a", worst, where);
}

static void TestEnds(void) {
  PROPERTY("sine and cosine of zeros, tiny, huge and infinite angles");
  CHECK(CtpgSin(0.0) == 0 && !signbit(CtpgSin(0.0)) && signbit(CtpgSin(-0.0)) && CtpgCos(-0.0) == 1, "zeros");
  CHECK(CtpgSin(0x1p-1074) == 0x1p-1074 && CtpgSin(-1e-300) == -1e-300 && CtpgCos(1e-300) == 1, "tiny");
  CHECK(CtpgSin(1e22) == sin(1e22) && CtpgCos(1e22) == cos(1e22), "huge");
  CHECK(isnan(CtpgSin(INFINITY)) && isnan(CtpgCos(-INFINITY)) && isnan(CtpgSin(NAN)) && isnan(CtpgCos(NAN)),
        "no angle");
}

static void TestPowers(void) {
  PROPERTY("powers to a few rounding errors");
  CtpgStream stream = CtpgStreamOpen(5, "functions", CTPG_STREAM_CHECK, 0, 0);
  for (int i = 0; i < 100000; i++) {
    const double x = ldexp(1 + CtpgStreamUniform(&stream), i % 200 - 100), y = CtpgStreamUniformIn(&stream, -3, 3);
    const long double expected = powl(x, y);
    CHECK(fabsl(CtpgPow(x, y) - expected) <= 1e-15L * expected * (1 + fabsl(y * logl(x))), "%a to the power of %a", x,
          y);
  }
  CHECK(CtpgPow(0, 0.2) == 0 && CtpgPow(INFINITY, 0.2) == INFINITY && isnan(CtpgPow(NAN, 0.2)) && CtpgPow(3, 0) == 1,
        "the ends");
  CHECK(CtpgPow(1, 0.3) == 1 && CtpgPow(1e-300, 3) == 0 && CtpgPow(1e300, 2) == INFINITY, "one, and beyond the range");
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestAngles();
  TestMultiples();
  TestEnds();
  TestPowers();
  PetscCall(PetscFinalize());
  return TestsEnd();
}
