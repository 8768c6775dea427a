// test_policy.c -- policies against an independent evaluation in long double and its Richardson differences
//
// Reference: plain loops over the definition in policy.h, in long double. Derivatives of F = gu . u by
// (4 D(h/2) - D(h)) / 3 with central differences D: error O(h^4), round-off 1e-19 / h, both below 1e-14 at h = 1e-4.

#include "loop/policy.h"
#include "base/options_engine.h"
#include "message.h"
#include "test.h"
#include "base/random_engine.h"
#include <string.h>

#define POINTS  6
#define WIDEST  9
#define SIZES   400 // largest np of the tests
#define SCRATCH 1024

typedef struct {
  PetscInt nlayers, layers[5];
  CtpgActivation activations[4];
} Shape;

static const Shape shapes[] = {
    {1, {3, 2}, {CTPG_LINEAR}},
    {1, {5, 4}, {CTPG_TANH}},
    {1, {1, 1}, {CTPG_ELU}},
    {2, {4, 7, 2}, {CTPG_ELU, CTPG_LINEAR}},
    {2, {3, 9, 6}, {CTPG_TANH, CTPG_TANH}},
    {3, {7, 5, 8, 3}, {CTPG_TANH, CTPG_ELU, CTPG_LINEAR}},
    {3, {2, 6, 5, 1}, {CTPG_ELU, CTPG_ELU, CTPG_TANH}},
    {4, {3, 4, 9, 5, 2}, {CTPG_TANH, CTPG_LINEAR, CTPG_ELU, CTPG_TANH}},
};
#define NUM_SHAPES (sizeof shapes / sizeof *shapes)

// ---- the reference ----

static long double ReferenceActivation(CtpgActivation activation, long double a) {
  if (activation == CTPG_TANH) return tanhl(a);
  return activation == CTPG_ELU && a < 0 ? expm1l(a) : a;
}

static void ReferenceEval(const Shape *shape, const long double *theta, const long double *o, long double *u) {
  long double in[WIDEST], out[WIDEST];
  memcpy(in, o, (size_t)shape->layers[0] * sizeof *in);
  for (PetscInt l = 0; l < shape->nlayers; l++) {
    const PetscInt columns = shape->layers[l], rows = shape->layers[l + 1];
    for (PetscInt i = 0; i < rows; i++) {
      long double a = theta[rows * columns + i];
      for (PetscInt j = 0; j < columns; j++) a += theta[i * columns + j] * in[j];
      out[i] = ReferenceActivation(shape->activations[l], a);
    }
    memcpy(in, out, (size_t)rows * sizeof *in);
    theta += rows * (columns + 1);
  }
  memcpy(u, in, (size_t)shape->layers[shape->nlayers] * sizeof *u);
}

// gu . u at one point
static long double Functional(const Shape *shape, const long double *theta, const long double *o, const double *gu) {
  long double u[WIDEST], F = 0;
  ReferenceEval(shape, theta, o, u);
  for (PetscInt i = 0; i < shape->layers[shape->nlayers]; i++) F += gu[i] * u[i];
  return F;
}

// Derivative of the functional along *component, an element of theta or o.
static double Richardson(const Shape *shape, const long double *theta, const long double *o, const double *gu,
                         long double *component) {
  const long double centre = *component;
  long double D[2], h = 1e-4L;
  for (int k = 0; k < 2; k++, h /= 2) {
    *component = centre + h;
    const long double above = Functional(shape, theta, o, gu);
    *component = centre - h;
    D[k] = (above - Functional(shape, theta, o, gu)) / (2 * h);
  }
  *component = centre;
  return (double)((4 * D[1] - D[0]) / 3);
}

// ---- numbers to test with ----

typedef struct {
  CtpgPolicy policy;
  PetscInt np, no, nu;
  double theta[SIZES], o[POINTS * WIDEST], gu[POINTS * WIDEST], u[POINTS * WIDEST];
  double weights[4 * SIZES], kept[SCRATCH], scratch[SCRATCH];
} Sample;

static void Fill(CtpgStream *stream, PetscInt n, double *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = CtpgStreamUniformIn(stream, -1, 1);
}

static PetscErrorCode MakeSample(const Shape *shape, Sample *s) {
  PetscFunctionBeginUser;
  CtpgStream stream = CtpgStreamOpen(1, "test", CTPG_STREAM_CHECK, (uint64_t)(shape - shapes), 0);
  PetscCall(PolicyCreate(shape->nlayers, shape->layers, shape->activations, &s->policy));
  s->np = PolicyGetSize(s->policy);
  s->no = shape->layers[0];
  s->nu = shape->layers[shape->nlayers];
  CHECK(s->np <= SIZES && PolicyGetWeightsSize(s->policy) <= 4 * SIZES, "np %d", (int)s->np);
  CHECK(PetscMax(PolicyGetScratchSize(s->policy, POINTS), POINTS * PolicyGetKeptSize(s->policy)) <= SCRATCH, "scratch");
  Fill(&stream, s->np, s->theta);
  PolicyPack(s->policy, s->theta, s->weights);
  Fill(&stream, POINTS * s->no, s->o);
  Fill(&stream, POINTS * s->nu, s->gu);
  PetscFunctionReturn(0);
}

static void Widen(PetscInt n, const double *narrow, long double *wide) {
  for (PetscInt i = 0; i < n; i++) wide[i] = narrow[i];
}

// ---- tests ----

static PetscErrorCode TestEval(const Shape *shape) {
  PROPERTY("values are those in extended precision");
  Sample s;
  long double theta[SIZES], o[WIDEST], u[WIDEST];

  PetscFunctionBeginUser;
  PetscCall(MakeSample(shape, &s));
  PolicyEval(s.policy, s.weights, POINTS, s.o, s.kept, s.u);
  Widen(s.np, s.theta, theta);
  for (PetscInt p = 0; p < POINTS; p++) {
    Widen(s.no, s.o + p * s.no, o);
    ReferenceEval(shape, theta, o, u);
    for (PetscInt i = 0; i < s.nu; i++) CHECK_CLOSE(s.u[p * s.nu + i], (double)u[i], 1e-14, 1);
  }
  PetscCall(PolicyDestroy(&s.policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestGradients(const Shape *shape, PetscInt n) {
  PROPERTY("products are derivatives: %d points in a call", (int)n);
  Sample s;
  long double theta[SIZES], o[POINTS * WIDEST];
  double go[POINTS * WIDEST] = {0}, gtheta[SIZES] = {0};

  PetscFunctionBeginUser;
  PetscCall(MakeSample(shape, &s));
  Widen(s.np, s.theta, theta);
  Widen(n * s.no, s.o, o);
  PolicyEval(s.policy, s.weights, n, s.o, s.kept, s.u);
  PolicyVJP(s.policy, s.weights, n, NULL, s.kept, s.gu, s.scratch, go, gtheta, NULL);
  for (PetscInt p = 0; p < n; p++)
    for (PetscInt j = 0; j < s.no; j++)
      CHECK_CLOSE(go[p * s.no + j], Richardson(shape, theta, o + p * s.no, s.gu + p * s.nu, &o[p * s.no + j]), 1e-13,
                  1);
  for (PetscInt k = 0; k < s.np; k++) {
    double expected = 0;
    for (PetscInt p = 0; p < n; p++) expected += Richardson(shape, theta, o + p * s.no, s.gu + p * s.nu, &theta[k]);
    CHECK_CLOSE(gtheta[k], expected, 1e-13, 1);
  }
  PetscCall(PolicyDestroy(&s.policy));
  PetscFunctionReturn(0);
}

// Several points in one call give the bits of one call per point; results join what is there; NULL leaves out.
static PetscErrorCode TestAccumulation(const Shape *shape) {
  PROPERTY("n points in a call give the bits of n calls");
  Sample s;
  double go[POINTS * WIDEST], gtheta[SIZES], go_1[POINTS * WIDEST], gtheta_1[SIZES], u_1[POINTS * WIDEST];

  PetscFunctionBeginUser;
  PetscCall(MakeSample(shape, &s));
  for (PetscInt i = 0; i < POINTS * s.no; i++) go[i] = go_1[i] = 2 + i;
  for (PetscInt k = 0; k < s.np; k++) gtheta[k] = gtheta_1[k] = 3 + k;
  for (PetscInt p = 0; p < POINTS; p++) {
    PolicyEval(s.policy, s.weights, 1, s.o + p * s.no, s.kept, u_1 + p * s.nu);
    PolicyVJP(s.policy, s.weights, 1, NULL, s.kept, s.gu + p * s.nu, s.scratch, go_1 + p * s.no, NULL, NULL);
    PolicyVJP(s.policy, s.weights, 1, NULL, s.kept, s.gu + p * s.nu, s.scratch, NULL, gtheta_1, NULL);
  }
  PolicyEval(s.policy, s.weights, POINTS, s.o, s.kept, s.u);
  PolicyVJP(s.policy, s.weights, POINTS, NULL, s.kept, s.gu, s.scratch, NULL, NULL, NULL);
  PolicyVJP(s.policy, s.weights, POINTS, NULL, s.kept, s.gu, s.scratch, go, gtheta, NULL);
  CHECK(!memcmp(u_1, s.u, (size_t)(POINTS * s.nu) * sizeof *u_1), "shape %d", (int)(shape - shapes));
  CHECK(!memcmp(go_1, go, (size_t)(POINTS * s.no) * sizeof *go), "shape %d", (int)(shape - shapes));
  CHECK(!memcmp(gtheta_1, gtheta, (size_t)s.np * sizeof *gtheta), "shape %d", (int)(shape - shapes));
  PetscCall(PolicyDestroy(&s.policy));
  PetscFunctionReturn(0);
}

// The start values really are added to, not replaced: the same product on top of zeros.
static PetscErrorCode TestStartValues(const Shape *shape) {
  PROPERTY("products are added to what is there");
  Sample s;
  double go[2][POINTS * WIDEST] = {{0}}, gtheta[2][SIZES] = {{0}};

  PetscFunctionBeginUser;
  PetscCall(MakeSample(shape, &s));
  for (PetscInt i = 0; i < POINTS * s.no; i++) go[1][i] = 1;
  for (PetscInt k = 0; k < s.np; k++) gtheta[1][k] = 1;
  PolicyEval(s.policy, s.weights, POINTS, s.o, s.kept, s.u);
  for (int k = 0; k < 2; k++)
    PolicyVJP(s.policy, s.weights, POINTS, NULL, s.kept, s.gu, s.scratch, go[k], gtheta[k], NULL);
  for (PetscInt i = 0; i < POINTS * s.no; i++) CHECK_CLOSE(go[1][i], 1 + go[0][i], 1e-14, 1);
  for (PetscInt k = 0; k < s.np; k++) CHECK_CLOSE(gtheta[1][k], 1 + gtheta[0][k], 1e-14, 1);
  PetscCall(PolicyDestroy(&s.policy));
  PetscFunctionReturn(0);
}

// ---- sums of products ----

typedef struct {
  PetscInt nsums, np; // np: components taken so far
  double *sums[CTPG_MAX_SUMS];
} Taken;

static void Take(void *context, PetscInt offset, PetscInt length, const PetscReal *const *pieces) {
  Taken *taken = context;
  CHECK(offset == taken->np && length >= 1 && length <= CTPG_SUM_PIECE, "%d from %d, expected %d", (int)length,
        (int)offset, (int)taken->np);
  for (PetscInt k = 0; k < taken->nsums; k++)
    for (PetscInt i = 0; i < length; i++) taken->sums[k][offset + i] = pieces[k][i];
  taken->np += length;
}

// From factors of n points: what the products themselves sum up to, to the rounding of the largest sum.
static PetscErrorCode TestSums(CtpgPolicy policy, PetscInt no, PetscInt nu, PetscInt n, PetscInt nsums) {
  const PetscInt np = PolicyGetSize(policy), size = PolicyGetFactorSize(policy);
  CtpgStream stream = CtpgStreamOpen(2, "test", CTPG_STREAM_CHECK, (uint64_t)(n * np), 0);
  double *theta, *o, *gu, *u, *scratch, *factors, *weights, *products, *sums, *packed, *kept;
  const double *factor[CTPG_MAX_PRODUCTS], *weight[CTPG_MAX_SUMS];
  Taken taken = {.nsums = nsums};

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc5(np, &theta, n * no, &o, n * nu, &gu, n * nu, &u, PolicyGetScratchSize(policy, n), &scratch));
  PetscCall(PetscMalloc4(n * size, &factors, nsums * n, &weights, n * np, &products, nsums * np, &sums));
  PetscCall(PetscMalloc2(PolicyGetWeightsSize(policy), &packed, n * PolicyGetKeptSize(policy), &kept));
  Fill(&stream, np, theta);
  PolicyPack(policy, theta, packed);
  Fill(&stream, n * no, o);
  Fill(&stream, n * nu, gu);
  Fill(&stream, nsums * n, weights);
  PetscCall(PetscArrayzero(products, n * np));
  PolicyEval(policy, packed, n, o, kept, u);
  PolicyVJP(policy, packed, n, NULL, kept, gu, scratch, NULL, NULL, factors);
  for (PetscInt i = 0; i < n; i++) {
    PolicyEval(policy, packed, 1, o + i * no, kept, u);
    PolicyVJP(policy, packed, 1, NULL, kept, gu + i * nu, scratch, NULL, products + i * np, NULL);
    factor[i] = factors + i * size;
  }
  for (PetscInt k = 0; k < nsums; k++) {
    weight[k] = weights + k * n;
    taken.sums[k] = sums + k * np;
  }
  PolicySumProducts(policy, n, factor, nsums, weight, Take, &taken);
  CHECK(taken.np == np, "%d of %d components", (int)taken.np, (int)np);
  for (PetscInt k = 0; k < nsums; k++)
    for (PetscInt j = 0; j < np; j++) {
      double expected = 0;
      for (PetscInt i = 0; i < n; i++) expected += weight[k][i] * products[i * np + j];
      CHECK_CLOSE(taken.sums[k][j], expected, 1e-14, n);
    }
  PetscCall(PetscArrayzero(sums, np));
  PolicyAddProducts(policy, n, factor, weight[0], scratch, sums);
  for (PetscInt j = 0; j < np; j++) {
    double expected = 0;
    for (PetscInt i = 0; i < n; i++) expected += weight[0][i] * products[i * np + j];
    CHECK_CLOSE(sums[j], expected, 1e-14, n);
  }
  for (PetscInt j = 0; j < np; j++) sums[j] = 1;
  PolicyAddScaled(policy, n, factors, weight[0], sums);
  for (PetscInt j = 0; j < np; j++) {
    double expected = 1;
    for (PetscInt i = 0; i < n; i++) expected += weight[0][i] * products[i * np + j];
    CHECK(sums[j] == expected, "component %d: %.17g, expected %.17g", (int)j, sums[j], expected);
  }
  PetscCall(PetscFree5(theta, o, gu, u, scratch));
  PetscCall(PetscFree4(factors, weights, products, sums));
  PetscCall(PetscFree2(packed, kept));
  PetscFunctionReturn(0);
}

// Widths about a piece and well beyond it, beside the small shapes.
static PetscErrorCode TestSumsOfAll(void) {
  PROPERTY("sums from factors are the sums of the products");
  static const Shape wide[] = {{2, {3, 300, 2}, {CTPG_TANH, CTPG_LINEAR}},
                               {2, {257, 6, 700}, {CTPG_ELU, CTPG_TANH}},
                               {3, {256, 1, 255, 5}, {CTPG_TANH, CTPG_TANH, CTPG_LINEAR}}};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < NUM_SHAPES + 3; i++) {
    const Shape *shape = i < NUM_SHAPES ? &shapes[i] : &wide[i - NUM_SHAPES];
    CtpgPolicy policy;
    PetscCall(PolicyCreate(shape->nlayers, shape->layers, shape->activations, &policy));
    for (PetscInt n = 1; n <= 9; n++)
      PetscCall(TestSums(policy, shape->layers[0], shape->layers[shape->nlayers], n, 1 + n % CTPG_MAX_SUMS));
    PetscCall(TestSums(policy, shape->layers[0], shape->layers[shape->nlayers], CTPG_MAX_PRODUCTS, CTPG_MAX_SUMS));
    PetscCall(PolicyDestroy(&policy));
  }
  PetscFunctionReturn(0);
}

// Both calls keep to the memory they asked for.
static PetscErrorCode TestScratchBounds(const Shape *shape) {
  PROPERTY("calls keep to the memory they asked for");
  Sample s;
  double go[POINTS * WIDEST] = {0}, gtheta[SIZES] = {0};

  PetscFunctionBeginUser;
  PetscCall(MakeSample(shape, &s));
  for (PetscInt n = 1; n <= POINTS; n++) {
    for (PetscInt i = 0; i < SCRATCH; i++) s.scratch[i] = s.kept[i] = 42;
    PolicyEval(s.policy, s.weights, n, s.o, s.kept, s.u);
    PolicyVJP(s.policy, s.weights, n, NULL, s.kept, s.gu, s.scratch, go, gtheta, NULL);
    for (PetscInt i = PolicyGetScratchSize(s.policy, n); i < SCRATCH; i++) CHECK(s.scratch[i] == 42, "%d", (int)i);
    for (PetscInt i = n * PolicyGetKeptSize(s.policy); i < SCRATCH; i++) CHECK(s.kept[i] == 42, "%d", (int)i);
  }
  PetscCall(PolicyDestroy(&s.policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestDraw(void) {
  PROPERTY("initial weights are uniform in Glorot's bounds, and drawn again the same");
  const PetscInt layers[] = {40, 60, 2};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_LINEAR};
  const double limit_1 = 0.1 * sqrt(6.0 / 100), limit_2 = 0.1 * sqrt(6.0 / 62);
  static double theta[2582], again[2582];
  double largest = 0, sum = 0;
  CtpgPolicy policy;

  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(2, layers, activations, &policy));
  CHECK(PolicyGetSize(policy) == 2582, "%d", (int)PolicyGetSize(policy));
  CtpgStream stream = CtpgStreamOpen(4, "test", CTPG_STREAM_THETA, 0, 0), copy = stream, words = stream;
  PolicyDraw(policy, &stream, 0.1, theta);
  PolicyDraw(policy, &copy, 0.1, again);
  CHECK(!memcmp(theta, again, sizeof theta), "two draws of one stream differ");
  CHECK_CLOSE(theta[0], limit_1 * (2 * CtpgStreamUniform(&words) - 1), 1e-15, 0);
  for (int i = 0; i < 2400; i++) {
    largest = fmax(largest, fabs(theta[i]));
    sum += theta[i];
  }
  CHECK(largest <= limit_1 && largest > 0.99 * limit_1, "%g against %g", largest, limit_1);
  CHECK(fabs(sum / 2400) < 5 * limit_1 / sqrt(3 * 2400), "mean %g", sum / 2400);
  for (int i = 2400; i < 2460; i++) CHECK(theta[i] == 0, "bias %d is %g", i, theta[i]);
  for (int i = 2460; i < 2580; i++) CHECK(fabs(theta[i]) <= limit_2 && theta[i] != 0, "weight %d is %g", i, theta[i]);
  for (int i = 2580; i < 2582; i++) CHECK(theta[i] == 0, "bias %d is %g", i, theta[i]);
  PetscCall(PolicyDestroy(&policy));
  PetscFunctionReturn(0);
}

// ---- options ----

// Description of the policy [4 -> 2] that the options make of an "mlp 32,32 tanh,elu,linear" problem, the error message
// where there is none.
static const char *Describe(const char *type, const char *widths, const char *activations, PetscBool *linear) {
  static char text[2048];
  CtpgOptions options;
  CtpgPolicy policy = NULL;
  *linear = PETSC_FALSE;
  if (CtpgOptionsCreate("arm", "robot", &options)) return "no options";
  if (PolicyCreateFromOptions(options, 4, 2, type, widths, activations, &policy))
    snprintf(text, sizeof text, "%s", last_error);
  else {
    snprintf(text, sizeof text, "%s", PolicyDescribe(policy));
    *linear = PolicyIsLinear(policy);
  }
  if (PolicyDestroy(&policy) || CtpgOptionsDestroy(&options)) return "not destroyed";
  return text;
}

typedef struct {
  const char *set[3][2]; // options and values
  const char *expected;  // the description or a part of the error message
} OptionCase;

static PetscErrorCode CheckOptionCase(const OptionCase *c) {
  PetscBool linear;

  PetscFunctionBeginUser;
  for (int i = 0; i < 3; i++)
    if (c->set[i][0]) PetscCall(PetscOptionsSetValue(NULL, c->set[i][0], c->set[i][1]));
  const char *text = Describe("mlp", "32,32", "tanh,elu,linear", &linear);
  CHECK(strstr(text, c->expected), "\"%s\", expected \"%s\"", text, c->expected);
  CHECK(linear == (strcmp(text, "4-2 linear") ? PETSC_FALSE : PETSC_TRUE), "%s", text);
  for (int i = 0; i < 3; i++)
    if (c->set[i][0]) PetscCall(PetscOptionsClearValue(NULL, c->set[i][0]));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOptions(void) {
  PROPERTY("policy options give the layers they say, or a sentence");
  static const OptionCase cases[] = {
      {{{NULL}}, "4-32-32-2 tanh,elu,linear"},
      {{{"-policy", "linear"}}, "4-2 linear"},
      {{{"-robot_policy", "linear"}, {"-policy_widths", "8"}, {"-policy_activations", "elu"}}, "4-2 linear"},
      {{{"-arm_policy_widths", "5,6"}}, "4-5-6-2 tanh,elu,linear"},
      {{{"-policy_widths", "5"}}, "4-5-2 tanh,linear"},
      {{{"-policy_widths", "5,6,7"}}, "4-5-6-7-2 tanh,tanh,tanh,linear"},
      {{{"-policy_widths", ""}}, "4-2 linear"},
      {{{"-policy_activations", "elu"}}, "4-32-32-2 elu,elu,linear"},
      {{{"-policy_widths", "3"}, {"-policy_activations", "elu,tanh"}}, "4-3-2 elu,tanh"},
      {{{"-policy_widths", ""}, {"-policy_activations", "tanh"}}, "4-2 tanh"},
      {{{"-policy_widths", "5,x"}}, "-policy_widths 5,x is not a list of widths"},
      {{{"-arm_policy_widths", "5,,6"}}, "-arm_policy_widths 5,,6 is not a list of widths"},
      {{{"-policy_widths", "5,0"}}, "whole numbers from 1"},
      {{{"-policy_widths", "5,6,"}}, "is not a list of widths"},
      {{{"-policy_widths", "99999999999999999999"}}, "is not a list of widths"},
      {{{"-policy_activations", "tanhh"}}, "-policy_activations: unknown activation \"tanhh\""},
      {{{"-policy_activations", "relu"}}, "(nearest: elu)"},
      {{{"-policy_activations", "tanh,tanh"}}, "\"tanh,tanh\" has 2 activations; expected 3"},
      {{{"-policy_activations", "tanh,,linear"}}, "unknown activation \"\""},
      {{{"-policy_init_layers", "1,2"}}, "-policy_init_layers has 2 numbers, but the policy of arm is 4-32-32-2"},
      {{{"-policy_init_layers", "1,2,-1"}}, "-policy_init_layers: -1 is not a factor"},
      {{{"-policy_init_last", "0.1"}, {"-arm_policy_init_layers", "1,1,1"}}, "are both given for arm"},
      {{{"-policy_init_last", "-2"}}, "-policy_init_last -2"},
      {{{"-policy", "mpl"}}, "-policy mpl is unknown; expected one of linear, mlp (nearest: mlp)"},
  };

  PetscFunctionBeginUser;
  PetscCall(PetscPushErrorHandler(KeepMessage, NULL));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) PetscCall(CheckOptionCase(&cases[i]));
  PetscCall(PetscPopErrorHandler());
  PetscFunctionReturn(0);
}

// A problem whose default is linear still gives an mlp when asked for one; options that a linear policy ignores are
// not part of its resolved text.
static PetscErrorCode TestLinearDefault(void) {
  PROPERTY("a linear default gives an mlp where one is asked for");
  PetscBool linear;
  CtpgOptions options;
  CtpgPolicy policy;

  PetscFunctionBeginUser;
  CHECK(!strcmp(Describe("linear", "", "linear", &linear), "4-2 linear") && linear, "linear by default");
  PetscCall(CtpgOptionsCreate("arm", "robot", &options));
  PetscCall(PolicyCreateFromOptions(options, 4, 2, "linear", "", "linear", &policy));
  CHECK(!strcmp(CtpgOptionsResolved(options), "policy = linear\n"), "%s", CtpgOptionsResolved(options));
  PetscCall(PolicyDestroy(&policy));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(PetscOptionsSetValue(NULL, "-policy", "mlp"));
  PetscCall(PetscOptionsSetValue(NULL, "-policy_widths", "16,8"));
  const char *text = Describe("linear", "", "linear", &linear);
  CHECK(!strcmp(text, "4-16-8-2 tanh,tanh,linear"), "%s", text);
  PetscCall(PetscOptionsClearValue(NULL, "-policy"));
  PetscCall(PetscOptionsClearValue(NULL, "-policy_widths"));
  PetscFunctionReturn(0);
}

// The weights are those of the same draws, layer by layer times the factor; the run key knows factors that were given.
static PetscErrorCode CheckFactors(const char *name, const char *value, const PetscReal factors[3]) {
  static PetscReal theta[1282], plain[1282];
  const PetscInt sizes[] = {5 * 32, 33 * 32, 33 * 2};
  CtpgOptions options;
  CtpgPolicy policy, other;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("arm", "robot", &options));
  PetscCall(PolicyCreateFromOptions(options, 4, 2, "mlp", "32,32", "tanh,tanh,linear", &other));
  CHECK(!strstr(CtpgOptionsResolved(options), "policy_init"), "%s", CtpgOptionsResolved(options));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(PetscOptionsSetValue(NULL, name, value));
  PetscCall(CtpgOptionsCreate("arm", "robot", &options));
  PetscCall(PolicyCreateFromOptions(options, 4, 2, "mlp", "32,32", "tanh,tanh,linear", &policy));
  CHECK(strstr(CtpgOptionsResolved(options), strstr(name, "policy_init")), "%s", CtpgOptionsResolved(options));
  CtpgStream stream = CtpgStreamOpen(4, "test", CTPG_STREAM_THETA, 0, 0), copy = stream;
  PolicyDraw(policy, &stream, 0.1, theta);
  PolicyDraw(other, &copy, 0.1, plain);
  for (PetscInt l = 0, i = 0; l < 3; l++)
    for (PetscInt end = i + sizes[l]; i < end; i++) CHECK_CLOSE(theta[i], factors[l] * plain[i], 1e-15, 0);
  PetscCall(PolicyDestroy(&policy));
  PetscCall(PolicyDestroy(&other));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(PetscOptionsClearValue(NULL, name));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestInitialFactors(void) {
  PetscFunctionBeginUser;
  PetscCall(CheckFactors("-policy_init_last", "0.1", (const PetscReal[]){1, 1, 0.1}));
  PetscCall(CheckFactors("-arm_policy_init_last", "0", (const PetscReal[]){1, 1, 0}));
  PetscCall(CheckFactors("-policy_init_layers", "2,0.5,0.01", (const PetscReal[]){2, 0.5, 0.01}));
  PetscFunctionReturn(0);
}

// v.du = go.d_o + gtheta.dtheta for what PolicyVJP makes of v; without d_o or dtheta their parts.
static PetscErrorCode TestTangents(const Shape *shape) {
  const PetscInt n = 3, no = shape->layers[0], nu = shape->layers[shape->nlayers];
  PetscReal *o, *d_o, *u, *du, *v, *go, *theta, *dtheta, *gtheta, *scratch, *weights, *kept;
  CtpgStream stream = CtpgStreamOpen(9, "tangents", CTPG_STREAM_CHECK, 0, 0);
  CtpgPolicy policy;

  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(shape->nlayers, shape->layers, shape->activations, &policy));
  const PetscInt np = PolicyGetSize(policy);
  PetscCall(PetscMalloc5(n * no, &o, n * no, &d_o, n * nu, &u, n * nu, &du, n * nu, &v));
  PetscCall(PetscMalloc5(n * no, &go, np, &theta, np, &dtheta, np, &gtheta, PolicyGetScratchSize(policy, n), &scratch));
  PetscCall(PetscMalloc2(PolicyGetWeightsSize(policy), &weights, n * PolicyGetKeptSize(policy), &kept));
  for (PetscInt i = 0; i < n * no; i++) o[i] = CtpgStreamNormal(&stream), d_o[i] = CtpgStreamNormal(&stream);
  for (PetscInt i = 0; i < np; i++) theta[i] = CtpgStreamNormal(&stream), dtheta[i] = CtpgStreamNormal(&stream);
  for (PetscInt i = 0; i < n * nu; i++) v[i] = CtpgStreamNormal(&stream);
  for (int part = 1; part <= 3; part++) {
    PetscReal found = 0, expected = 0, size = 0;
    PetscCall(PetscArrayzero(go, n * no));
    PetscCall(PetscArrayzero(gtheta, np));
    for (PetscInt i = 0; i < n * nu; i++) du[i] = NAN;
    PolicyPack(policy, theta, weights);
    PolicyEval(policy, weights, n, o, kept, u);
    PolicyJVP(policy, theta, n, kept, part & 1 ? d_o : NULL, part & 2 ? dtheta : NULL, scratch, du);
    PolicyVJP(policy, weights, n, NULL, kept, v, scratch, go, gtheta, NULL); // of what Eval left
    for (PetscInt i = 0; i < n * nu; i++) found += v[i] * du[i];
    for (PetscInt i = 0; i < n * no && part & 1; i++) expected += go[i] * d_o[i], size += fabs(go[i] * d_o[i]);
    for (PetscInt i = 0; i < np && part & 2; i++)
      expected += gtheta[i] * dtheta[i], size += fabs(gtheta[i] * dtheta[i]);
    CHECK_CLOSE(found, expected, 1e-13, size);
  }
  PetscCall(PetscFree5(o, d_o, u, du, v));
  PetscCall(PetscFree5(go, theta, dtheta, gtheta, scratch));
  PetscCall(PetscFree2(weights, kept));
  PetscCall(PolicyDestroy(&policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestMisuse(void) {
  PROPERTY("empty and huge layers are refused");
  const PetscInt layers[] = {3, 0, 2}, huge[] = {100000, 100000};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_LINEAR};
  CtpgPolicy policy = NULL;

  PetscFunctionBeginUser;
  PetscCall(PetscPushErrorHandler(KeepMessage, NULL));
  CHECK(PolicyCreate(2, layers, activations, &policy) && strstr(last_error, "layer 1"), "%s", last_error);
  if (sizeof(PetscInt) == 4)
    CHECK(PolicyCreate(1, huge, activations, &policy) && strstr(last_error, "parameters"), "%s", last_error);
  CHECK(PolicyCreate(0, layers, activations, &policy) && strstr(last_error, "at least 1"), "%s", last_error);
  PetscCall(PetscPopErrorHandler());
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  for (size_t i = 0; i < NUM_SHAPES; i++) {
    PetscCall(TestEval(&shapes[i]));
    PetscCall(TestGradients(&shapes[i], 1));
    PetscCall(TestGradients(&shapes[i], POINTS));
    PetscCall(TestAccumulation(&shapes[i]));
    PetscCall(TestStartValues(&shapes[i]));
    PetscCall(TestScratchBounds(&shapes[i]));
    PetscCall(TestTangents(&shapes[i]));
  }
  PetscCall(TestSumsOfAll());
  PetscCall(TestDraw());
  PetscCall(TestOptions());
  PetscCall(TestLinearDefault());
  PetscCall(TestInitialFactors());
  PetscCall(TestMisuse());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
