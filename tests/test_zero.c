// test_zero.c -- errors of gradients that are zero, or whose squares are

#include "base/vector.h"
#include "run/run.h"
#include "tests/test.h"
#include <math.h>

// Relative error and cosine of (a, b) against (c, d), as dL/dtheta and as dL/dx0.
static CtpgErrors Errors(PetscReal a, PetscReal b, PetscReal c, PetscReal d) {
  const PetscReal g[] = {a, b};
  PetscReal truth[] = {c, d};
  const CtpgReference reference = {.gx0 = truth, .gtheta = truth, .status = CTPG_OK};
  return GradientErrors(2, 2, g, g, &reference);
}

static void TestZeros(void) {
  PROPERTY("a gradient that is zero: no error for zero, an infinite one for anything else, cosine 1 or 0");
  CtpgErrors e = Errors(0, 0, 0, 0);
  CHECK(e.err_rel == 0 && e.err_x0 == 0 && e.err_joint == 0 && e.err_abs == 0 && e.cosine == 1, "%g", e.err_rel);
  e = Errors(1, 0, 0, 0);
  CHECK(isinf(e.err_rel) && isinf(e.err_x0) && isinf(e.err_joint) && e.err_abs == 1 && e.cosine == 0, "%g", e.err_rel);
  e = Errors(0, 0, 3, 4);
  CHECK(e.err_rel == 1 && e.err_joint == 1 && e.err_abs == 5 && e.cosine == 0, "%g", e.err_rel);
}

static void TestSquaresThatVanish(void) {
  PROPERTY("gradients whose squares are zero in double precision have the errors of any other");
  CtpgErrors e = Errors(2e-200, 0, 1e-200, 0);
  CHECK(fabs(e.err_rel - 1) < 1e-12 && fabs(e.err_joint - 1) < 1e-12 && fabs(e.cosine - 1) < 1e-12, "%g", e.err_rel);
  e = Errors(0, 1e-200, 1e-200, 0);
  CHECK(fabs(e.err_rel - sqrt(2)) < 1e-12 && e.cosine == 0 && e.norm == 1e-200, "%g", e.err_rel);
}

static void TestNoNumber(void) {
  PROPERTY("what is not a number stays so; a norm of nothing and the ratio of zeros are 0");
  const CtpgErrors e = Errors(NAN, 0, 1, 0);
  CHECK(isnan(e.err_rel) && isnan(e.cosine), "%g", e.err_rel);
  CHECK(CtpgNorm(0, NULL) == 0 && CtpgRatio(0, 0) == 0 && isnan(CtpgRatio(NAN, 0)), "empty");
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestZeros();
  TestSquaresThatVanish();
  TestNoNumber();
  PetscCall(PetscFinalize());
  return TestsEnd();
}
