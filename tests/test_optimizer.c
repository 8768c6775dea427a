// test_optimizer.c -- updates against their formulas written out, step by step

#include "train/optimizer.h"
#include "base/options_engine.h"
#include "test.h"

enum { NP = 7, STEPS = 5 };

static PetscReal Gradient(int step, int k) {
  return sin(1.0 + 3 * step + k) * (k == 3 ? 20 : 1);
}

static void Fill(int step, PetscReal *g) {
  for (int k = 0; k < NP; k++) g[k] = Gradient(step, k);
}

// STEPS updates of theta from zero; theta after them.
static void Run(const CtpgOptimizer *o, PetscReal *theta) {
  PetscReal g[NP], state[3 * NP];
  for (int k = 0; k < NP; k++) theta[k] = 0;
  OptimizerStart(o, NP, state);
  for (int step = 0; step < STEPS; step++) {
    Fill(step, g);
    OptimizerClip(o, NP, g);
    OptimizerUpdate(o, NP, g, 0.5, state, theta);
  }
}

static void TestSgd(void) {
  PROPERTY("sgd: the sum of its steps");
  const CtpgOptimizer o = {.kind = CTPG_SGD, .learning_rate = 0.1};
  PetscReal theta[NP];
  Run(&o, theta);
  CHECK(OptimizerStateSize(&o, NP) == 0, "sgd remembers something");
  for (int k = 0; k < NP; k++) {
    PetscReal expected = 0;
    for (int step = 0; step < STEPS; step++) expected -= 0.1 * Gradient(step, k);
    CHECK_CLOSE(theta[k], expected, 1e-14, 1);
  }
}

// theta_n = - eta sum_i g_i (1 + rho + .. + rho^(n - 1 - i))
static void TestMomentum(void) {
  PROPERTY("momentum: the geometric sum of the gradients");
  const CtpgOptimizer o = {.kind = CTPG_MOMENTUM, .learning_rate = 0.1, .momentum = 0.9};
  PetscReal theta[NP];
  Run(&o, theta);
  CHECK(OptimizerStateSize(&o, NP) == NP, "%d", (int)OptimizerStateSize(&o, NP));
  for (int k = 0; k < NP; k++) {
    PetscReal expected = 0;
    for (int i = 0; i < STEPS; i++) expected -= 0.1 * Gradient(i, k) * (1 - pow(0.9, STEPS - i)) / (1 - 0.9);
    CHECK_CLOSE(theta[k], expected, 1e-13, 1);
  }
}

static void TestAdam(void) {
  PROPERTY("adam: its published recurrence");
  const CtpgOptimizer o = {.kind = CTPG_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-3};
  PetscReal theta[NP];
  Run(&o, theta);
  CHECK(OptimizerStateSize(&o, NP) == 2 * NP + 2, "%d", (int)OptimizerStateSize(&o, NP));
  for (int k = 0; k < NP; k++) {
    PetscReal expected = 0;
    for (int n = 1; n <= STEPS; n++) {
      PetscReal mean = 0, square = 0;
      for (int i = 1; i <= n; i++) {
        mean += 0.1 * pow(0.9, n - i) * Gradient(i - 1, k);
        square += 0.01 * pow(0.99, n - i) * PetscSqr(Gradient(i - 1, k));
      }
      expected -= 0.01 * mean / (1 - pow(0.9, n)) / (sqrt(square / (1 - pow(0.99, n))) + 1e-3);
    }
    CHECK_CLOSE(theta[k], expected, 1e-13, 0.01);
  }
}

static void TestStepSearchTakesTheStepGiven(void) {
  PROPERTY("step-search takes the step it is given");
  const CtpgOptimizer o = {.kind = CTPG_STEP_SEARCH, .learning_rate = 77};
  PetscReal theta[NP];
  Run(&o, theta);
  for (int k = 0; k < NP; k++) {
    PetscReal expected = 0;
    for (int step = 0; step < STEPS; step++) expected -= 0.5 * Gradient(step, k);
    CHECK_CLOSE(theta[k], expected, 1e-14, 1);
  }
}

static void TestClipAndClamp(void) {
  PROPERTY("clip bounds the gradient, clamp theta, and NaN stays NaN");
  const CtpgOptimizer clipped = {.kind = CTPG_SGD, .learning_rate = 1, .clip = 0.25};
  const CtpgOptimizer clamped = {.kind = CTPG_SGD, .learning_rate = 1, .clamp = 0.125};
  PetscReal g[NP], theta[NP] = {0};
  Fill(0, g);
  g[5] = NAN;
  OptimizerClip(&clipped, NP, g);
  for (int k = 0; k < NP; k++) {
    const PetscReal expected = PetscMax(-0.25, PetscMin(0.25, Gradient(0, k)));
    CHECK(k == 5 ? isnan(g[k]) : g[k] == expected, "%g against %g", g[k], expected);
  }
  Fill(0, g);
  OptimizerUpdate(&clamped, NP, g, 0, NULL, theta);
  for (int k = 0; k < NP; k++) CHECK(theta[k] == PetscMax(-0.125, PetscMin(0.125, -g[k])), "%g", theta[k]);
}

static PetscErrorCode TestOptions(void) {
  PROPERTY("defaults of step-search are a ladder of six steps");
  CtpgOptions options;
  CtpgOptimizer o;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, "-optimizer", "step-search"));
  PetscCall(CtpgOptionsCreate("a", "lqr", &options));
  PetscCall(OptimizerRead(options, &o));
  CHECK(o.kind == CTPG_STEP_SEARCH && o.nsteps == 6, "%d steps", (int)o.nsteps);
  for (PetscInt i = 0; i < o.nsteps; i++) CHECK_CLOSE(o.steps[i], 0.03 * pow(1e-3 / 0.03, i / 5.0), 1e-14, 0);
  CHECK(o.fallback == 1e-6, "%g", o.fallback);
  PetscCall(OptimizerDestroy(&o));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestSgd();
  TestMomentum();
  TestAdam();
  TestStepSearchTakesTheStepGiven();
  TestClipAndClamp();
  PetscCall(TestOptions());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
