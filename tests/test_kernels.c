// test_kernels.c -- the kernels of dense layers: tanh and elu against the C library's long double, products and sums
// against plain loops, and the bits of one instruction set against those of another

#include "loop/kernels.h"
#include "loop/policy.h"
#include "base/random_engine.h"
#include "test.h"
#include <float.h>
#include <string.h>

#define BLOCK 4096

// ---- activations ----

// Distance in units of the last place of the witness.
static double Ulps(double found, long double expected) {
  const double nearest = fabs((double)expected);
  const double ulp = nearest < DBL_MIN ? 0x1p-1074 : nextafter(nearest, INFINITY) - nearest;
  return (double)(fabsl((long double)found - expected) / ulp);
}

static long double Witness(CtpgActivation activation, double x) {
  if (activation == CTPG_TANH) return tanhl(x);
  return x > 0 ? x : expm1l(x);
}

// The largest error over a block, and where.
static double WorstOf(const CtpgKernels *k, CtpgActivation activation, const double *x, double *where) {
  double z[BLOCK], worst = 0;
  memcpy(z, x, sizeof z);
  k->activate(activation, BLOCK, z);
  for (int i = 0; i < BLOCK; i++) {
    const double ulps = Ulps(z[i], Witness(activation, x[i]));
    if (ulps > worst) worst = ulps, *where = x[i];
  }
  return worst;
}

// Every exponent, with many mantissas where something happens (2^-9 to 64), fewer elsewhere, both signs.
static double WorstOverAll(const CtpgKernels *k, CtpgActivation activation, double *where) {
  CtpgStream stream = CtpgStreamOpen(3, "activations", CTPG_STREAM_CHECK, (uint64_t)activation, 0);
  double worst = 0;
  for (int e = -1074; e < 1024; e++) {
    const int blocks = e >= -9 && e < 6 ? 24 : e % 64 ? 0 : 1;
    for (int b = 0; b < blocks; b++) {
      double x[BLOCK], at = 0;
      for (int i = 0; i < BLOCK; i++) x[i] = ldexp(1 + CtpgStreamUniform(&stream), e) * (i % 2 ? 1 : -1);
      const double found = WorstOf(k, activation, x, &at);
      if (found > worst) worst = found, *where = at;
    }
  }
  return worst;
}

// Neighbours on both sides of where the branch or the reduction changes.
static double WorstAtSeams(const CtpgKernels *k, CtpgActivation activation, double *where) {
  double worst = 0;
  for (int seam = 0; seam < 90; seam++) {
    double x[BLOCK], at = 0, start = seam < 80 ? (seam + 0.5) * 0.34657359027997264 / 2 : (seam - 79) * 0.275;
    for (int i = 0; i < BLOCK / 2; i++) start = nextafter(start, 0);
    for (int i = 0; i < BLOCK; i++, start = nextafter(start, INFINITY)) x[i] = activation == CTPG_ELU ? -start : start;
    const double found = WorstOf(k, activation, x, &at);
    if (found > worst) worst = found, *where = at;
  }
  return worst;
}

static void TestAccuracy(const CtpgKernels *k) {
  PROPERTY("tanh and elu of kernels %s are within 2 ulp", k->name);
  for (CtpgActivation activation = CTPG_TANH; activation <= CTPG_ELU; activation++) {
    double where = 0, found = WorstOverAll(k, activation, &where);
    CHECK(found <= 2 && found > 0, "activation %d: %.3f ulp at %a", (int)activation, found, where);
    found = WorstAtSeams(k, activation, &where);
    CHECK(found <= 2 && found > 0, "activation %d, seams: %.3f ulp at %a", (int)activation, found, where);
  }
}

static double One(const CtpgKernels *k, CtpgActivation activation, double x) {
  double z[KERNELS_LANES] = {0, x, 1, -2};
  k->activate(activation, KERNELS_LANES, z);
  return z[1];
}

static PetscBool SameBits(double a, double b) {
  return memcmp(&a, &b, sizeof a) ? PETSC_FALSE : PETSC_TRUE;
}

static void TestSpecialValues(const CtpgKernels *k) {
  PROPERTY("kernels %s: zeros with their sign, tiny and infinite numbers, NaN", k->name);
  const double same[] = {0.0, -0.0, 0x1p-1074, -0x1p-1074, 0x1.8p-1030, -DBL_MIN, 1e-200, -1e-20};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    for (CtpgActivation activation = CTPG_LINEAR; activation <= CTPG_ELU; activation++)
      CHECK(SameBits(One(k, activation, same[i]), same[i]), "activation %d of %a is %a", (int)activation, same[i],
            One(k, activation, same[i]));
  CHECK(One(k, CTPG_TANH, INFINITY) == 1 && One(k, CTPG_TANH, -INFINITY) == -1 && One(k, CTPG_TANH, DBL_MAX) == 1,
        "tanh of infinity");
  CHECK(One(k, CTPG_ELU, INFINITY) == INFINITY && One(k, CTPG_ELU, -INFINITY) == -1 && One(k, CTPG_ELU, -1e300) == -1,
        "elu of infinity");
  CHECK(One(k, CTPG_ELU, 1e300) == 1e300 && One(k, CTPG_ELU, 0.3) == 0.3, "elu of positive numbers");
  for (int sign = -1; sign <= 1; sign += 2)
    CHECK(isnan(One(k, CTPG_TANH, sign * NAN)) && isnan(One(k, CTPG_ELU, sign * NAN)), "NaN");
  for (double x = 1e-9; x < 100; x *= 1.01)
    CHECK(SameBits(One(k, CTPG_TANH, -x), -One(k, CTPG_TANH, x)) && One(k, CTPG_TANH, x) <= 1, "tanh of -+ %a", x);
}

static void TestDerivatives(const CtpgKernels *k) {
  PROPERTY("kernels %s: derivatives from outputs", k->name);
  const double z[KERNELS_LANES] = {0.5, -0.25, 0, -1};
  double d[KERNELS_LANES] = {2, 3, -5, 7};
  k->times_derivative(CTPG_LINEAR, KERNELS_LANES, z, d);
  CHECK(d[0] == 2 && d[1] == 3 && d[2] == -5 && d[3] == 7, "linear");
  k->times_derivative(CTPG_TANH, KERNELS_LANES, z, d);
  CHECK(d[0] == 1.5 && d[1] == 3 * 0.9375 && d[2] == -5 && d[3] == 0, "tanh: %g %g %g %g", d[0], d[1], d[2], d[3]);
  k->times_derivative(CTPG_ELU, KERNELS_LANES, z, d);
  CHECK(d[0] == 1.5 && d[1] == 3 * 0.9375 * 0.75 && d[2] == -5 && d[3] == 0, "elu: %g %g %g", d[0], d[1], d[2]);
}

// ---- layers ----

#define SIDE   80
#define POINTS 9
#define FENCE  42.5

typedef struct {
  PetscInt n, inner, outer, padded;
  double W[SIDE * SIDE], M[SIDE * SIDE], init[SIDE], in[POINTS * SIDE], out[POINTS * SIDE + 1];
  double gW[SIDE * SIDE + SIDE + 1];
} Layer;

static void Draw(CtpgStream *stream, PetscInt n, double *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = CtpgStreamUniformIn(stream, -1, 1);
}

static void MakeLayer(PetscInt n, PetscInt inner, PetscInt outer, Layer *l) {
  CtpgStream stream = CtpgStreamOpen(5, "layers", CTPG_STREAM_CHECK, (uint64_t)(inner * SIDE + outer), 0);
  l->n = n, l->inner = inner, l->outer = outer, l->padded = KernelsPadded(outer);
  Draw(&stream, SIDE * SIDE, l->W);
  Draw(&stream, SIDE, l->init);
  Draw(&stream, POINTS * SIDE, l->in);
  for (PetscInt i = outer; i < SIDE; i++) l->init[i] = 0;
  for (PetscInt i = 0; i <= POINTS * SIDE; i++) l->out[i] = FENCE;
  Draw(&stream, SIDE * SIDE + SIDE, l->gW);
  l->gW[SIDE * SIDE + SIDE] = FENCE;
  KernelsPack(inner, outer, l->W, l->M);
}

static void CheckApply(const CtpgKernels *k, Layer *l) {
  k->apply(l->n, l->inner, l->outer, l->M, l->init, l->in, SIDE, l->out, SIDE);
  for (PetscInt p = 0; p < l->n; p++)
    for (PetscInt i = 0; i < SIDE; i++) {
      long double expected = i < l->padded ? l->init[i] : FENCE;
      for (PetscInt j = 0; i < l->outer && j < l->inner; j++)
        expected += (long double)l->W[i * l->inner + j] * l->in[p * SIDE + j];
      CHECK(fabsl(l->out[p * SIDE + i] - expected) <= 1e-15L * (l->inner + 1), "%d x %d, point %d of %d, result %d: %g",
            (int)l->outer, (int)l->inner, (int)p, (int)l->n, (int)i, l->out[p * SIDE + i]);
    }
}

// outer x inner sums d [n, outer] z [n, inner]'; exactly what is inside changes.
static void CheckOuter(const CtpgKernels *k, const Layer *l) {
  const PetscInt size = (l->inner + 1) * l->outer;
  double gW[SIDE * SIDE + SIDE + 1];
  memcpy(gW, l->gW, sizeof gW);
  k->add_outer(l->n, l->outer, l->inner, l->W, SIDE, l->in, SIDE, gW);
  for (PetscInt i = 0; i < l->outer; i++)
    for (PetscInt j = 0; j <= l->inner; j++) {
      const PetscInt at = j < l->inner ? i * l->inner + j : l->outer * l->inner + i;
      double expected = l->gW[at];
      for (PetscInt p = 0; p < l->n; p++)
        expected += j < l->inner ? l->W[p * SIDE + i] * l->in[p * SIDE + j] : l->W[p * SIDE + i];
      CHECK(gW[at] == expected, "%d x %d, %d points, entry %d %d", (int)l->outer, (int)l->inner, (int)l->n, (int)i,
            (int)j);
    }
  CHECK(!memcmp(gW + size, l->gW + size, sizeof gW - (size_t)size * sizeof *gW), "written beyond %d", (int)size);
}

static void TestLayers(const CtpgKernels *k) {
  PROPERTY("kernels %s: every size of a layer, one point and several", k->name);
  static Layer l;
  for (PetscInt inner = 1; inner <= 72; inner += inner < 12 ? 1 : 7)
    for (PetscInt outer = 1; outer <= 76; outer += outer < 36 ? 1 : 5)
      for (PetscInt n = 1; n <= POINTS; n += n == 1 ? 4 : POINTS - 5) {
        MakeLayer(n, inner, outer, &l);
        CheckApply(k, &l);
        CheckOuter(k, &l);
      }
}

static void TestTransposed(void) {
  PROPERTY("a transpose is packed as the matrix that it is");
  static Layer l;
  double T[SIDE * SIDE], M[SIDE * SIDE];
  for (PetscInt outer = 1; outer <= 70; outer += 3) {
    MakeLayer(1, 11, outer, &l);
    for (PetscInt i = 0; i < outer; i++)
      for (PetscInt j = 0; j < 11; j++) T[j * outer + i] = l.W[i * 11 + j];
    KernelsPackTransposed(11, outer, T, M);
    CHECK(!memcmp(M, l.M, (size_t)(11 * l.padded) * sizeof *M), "%d results", (int)outer);
  }
}

// ---- one instruction set against another ----

static void TestSameBits(const CtpgKernels *a, const CtpgKernels *b) {
  PROPERTY("kernels %s have the bits of kernels %s", b->name, a->name);
  static Layer l, m;
  for (CtpgActivation activation = CTPG_TANH; activation <= CTPG_ELU; activation++)
    for (int e = -40; e < 12; e++) {
      CtpgStream stream = CtpgStreamOpen(7, "bits", CTPG_STREAM_CHECK, (uint64_t)(e + 40), 0);
      double x[BLOCK], y[BLOCK];
      for (int i = 0; i < BLOCK; i++) x[i] = y[i] = ldexp(CtpgStreamUniformIn(&stream, -1, 1), e);
      a->activate(activation, BLOCK, x);
      b->activate(activation, BLOCK, y);
      CHECK(!memcmp(x, y, sizeof x), "activation %d at 2^%d", (int)activation, e);
    }
  for (PetscInt inner = 1; inner <= 70; inner += 3)
    for (PetscInt outer = 1; outer <= 76; outer++)
      for (PetscInt n = 1; n <= POINTS; n += 2) {
        MakeLayer(n, inner, outer, &l);
        MakeLayer(n, inner, outer, &m);
        a->apply(n, inner, outer, l.M, n % 4 == 1 ? l.init : NULL, l.in, SIDE, l.out, SIDE);
        b->apply(n, inner, outer, m.M, n % 4 == 1 ? m.init : NULL, m.in, SIDE, m.out, SIDE);
        a->add_outer(n, outer, inner, l.W, SIDE, l.in, SIDE, l.gW);
        b->add_outer(n, outer, inner, m.W, SIDE, m.in, SIDE, m.gW);
        CHECK(!memcmp(l.out, m.out, sizeof l.out) && !memcmp(l.gW, m.gW, sizeof l.gW), "%d x %d, %d points", (int)outer,
              (int)inner, (int)n);
      }
}

// u, go and gtheta of a whole policy one after the other in all [size].
static PetscErrorCode RunPolicy(const CtpgKernels *k, PetscInt n, PetscInt size, double *all) {
  const PetscInt layers[] = {7, 32, 45, 2};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_ELU, CTPG_TANH};
  CtpgStream stream = CtpgStreamOpen(8, "policy", CTPG_STREAM_CHECK, 0, 0);
  double *theta, *weights, *kept, *scratch, o[POINTS * 7], *u = all, *go = all + n * 2, *gtheta = go + n * 7;
  CtpgPolicy policy;

  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(3, layers, activations, &policy));
  PolicySetKernels(policy, k);
  CHECK(n * 9 + PolicyGetSize(policy) == size, "np %d", (int)PolicyGetSize(policy));
  PetscCall(PetscMalloc4(PolicyGetSize(policy), &theta, PolicyGetWeightsSize(policy), &weights,
                         n * PolicyGetKeptSize(policy), &kept, PolicyGetScratchSize(policy, n), &scratch));
  PetscCall(PetscArrayzero(all, size));
  PolicyDraw(policy, &stream, 3, theta);
  Draw(&stream, n * 7, o);
  PolicyPack(policy, theta, weights);
  PolicyEval(policy, weights, n, o, kept, u);
  PolicyVJP(policy, weights, n, NULL, kept, u, scratch, go, gtheta, NULL);
  PetscCall(PetscFree4(theta, weights, kept, scratch));
  PetscCall(PolicyDestroy(&policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestWholePolicy(const CtpgKernels *a, const CtpgKernels *b) {
  PROPERTY("a whole policy has the same bits with kernels %s and %s", a->name, b->name);
  PetscFunctionBeginUser;
  for (PetscInt n = 1; n <= POINTS; n++) {
    double all[2][POINTS * 9 + 1833];
    const PetscInt size = n * 9 + 1833;
    PetscCall(RunPolicy(a, n, size, all[0]));
    PetscCall(RunPolicy(b, n, size, all[1]));
    CHECK(!memcmp(all[0], all[1], (size_t)size * sizeof **all), "%d points", (int)n);
    CHECK(all[0][0] != 0 && all[0][size - 1] != 0, "nothing computed");
  }
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  const CtpgKernels *kernels[] = {KernelsBaseline(), KernelsBest()};
  const int n = kernels[0] == kernels[1] ? 1 : 2;
  for (int i = 0; i < n; i++) {
    TestAccuracy(kernels[i]);
    TestSpecialValues(kernels[i]);
    TestDerivatives(kernels[i]);
    TestLayers(kernels[i]);
  }
  TestTransposed();
  if (n == 2) TestSameBits(kernels[0], kernels[1]);
  if (n == 2) PetscCall(TestWholePolicy(kernels[0], kernels[1]));
  const int code = TestsEnd();
  PetscCall(PetscFinalize());
  return code;
}
