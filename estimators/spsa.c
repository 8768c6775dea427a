// spsa.c -- simultaneous perturbation: the slope of the loss along random directions, by antithetic pairs
//
//   g ~ 1/M sum_m (L(theta + r d_m) - L(theta - r d_m)) / 2r  d_m,   M = samples, each start with directions of its own
//   d: rademacher (default), each component +1 or -1; or normal, each N(0, 1): evolution strategies
//   L: the loss of an adaptive solve at loss_rtol, all on the mesh of the undisturbed one (frozenloss.h)
//   dL/dx0 by central differences along its nx components, unless start_gradient is off (then zero)
//
// Unbiased for the gradient of the loss smoothed over the distribution of r d, whose distance to the gradient is
// O(r^2); the radius r is small, for a frozen mesh adds no noise that a larger one would have to drown. Variance of
// component i: (|g|^2 - g_i^2) / M for rademacher directions, hence a relative error of sqrt((np - 1) / M).
// error_bar: the relative standard error, estimated from the samples.
// Price: 2 M solves of s f a step, no product. Memory: the mesh, N (nx + 3) reals.
// Weakness: the variance, which grows with np. The zeroth-order opponent: nothing is asked of the plant but its loss.
// Sources: J. C. Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient
// approximation", IEEE Trans. Automatic Control 37 (1992), Eq. (2.2); normal directions: T. Salimans et al., "Evolution
// strategies as a scalable alternative to reinforcement learning", arXiv 1703.03864 (2017), Sec. 2.

#include "ctpgbench/toolkit/frozenloss.h"
#include <math.h>

typedef enum { DIRECTIONS_RADEMACHER, DIRECTIONS_NORMAL } Directions;

typedef struct {
  CtpgRKOptions rk;
  PetscReal loss_rtol, radius;
  Directions directions;
  PetscBool start_gradient;
  CtpgLoopSizes sizes;
  CtpgFrozenLoss loss;
  CtpgStream *stream;  // of the current call
  PetscReal *theta;    // [np] disturbed
  PetscReal *d, *mean; // [np] direction; mean over the samples of one start
} SPSA;

static PetscErrorCode EstimatorCreate_SPSA(CtpgOptions options, CtpgTraits *traits, void **est) {
  static const char *const words[] = {"rademacher", "normal", NULL};
  PetscInt directions = DIRECTIONS_RADEMACHER;
  CtpgTraits of_loss = *traits;
  SPSA *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->loss_rtol = 1e-6;
  e->radius = 1e-4;
  e->start_gradient = PETSC_TRUE;
  PetscCall(CtpgRKOptionsRead(options, "5bs", &e->rk, &of_loss));
  PetscCheck(!e->rk.fixed, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: the loss is solved with adaptive steps, at -%s_loss_rtol; expected -%s_steps adaptive and a table "
             "with an error estimate, not %s",
             CtpgOptionsLabel(options), CtpgOptionsLabel(options), CtpgOptionsLabel(options), e->rk.table.name);
  PetscCall(CtpgOptionsReal(options, "loss_rtol", "relative tolerance of the loss", 1e-15, 1, &e->loss_rtol));
  PetscCall(CtpgOptionsReal(options, "radius", "length of a perturbation per parameter", 1e-12, 1e3, &e->radius));
  PetscCall(CtpgOptionsChoice(options, "directions", "rademacher or normal", words, &directions));
  PetscCall(CtpgOptionsBool(options, "start_gradient", "dL/dx0 too, by central differences", &e->start_gradient));
  e->directions = (Directions)directions;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_SPSA(void *est, CtpgClosedLoop loop) {
  SPSA *e = est;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(CtpgFrozenLossCreate(loop, &e->rk, &e->loss));
  PetscCall(PetscMalloc3(e->sizes.np, &e->theta, e->sizes.np, &e->d, e->sizes.np, &e->mean));
  PetscFunctionReturn(0);
}

// d [np]; a word of the stream gives 64 signs.
static void DrawDirection(SPSA *e) {
  uint64_t bits = 0;
  for (PetscInt i = 0; i < e->sizes.np; i++) {
    if (e->directions == DIRECTIONS_NORMAL) {
      e->d[i] = CtpgStreamNormal(e->stream);
      continue;
    }
    if (i % 64 == 0) bits = CtpgStreamWord(e->stream);
    e->d[i] = bits >> (i % 64) & 1 ? 1 : -1;
  }
}

static PetscReal LossAlong(SPSA *e, CtpgClosedLoop loop, const PetscReal *x0, PetscReal distance) {
  const PetscReal *theta = CtpgClosedLoopGetTheta(loop);
  for (PetscInt i = 0; i < e->sizes.np; i++) e->theta[i] = theta[i] + distance * e->d[i];
  return CtpgFrozenLossAt(e->loss, x0);
}

// Adds one sample's g to the mean of M; returns |g|^2.
static PetscReal Sample(SPSA *e, CtpgClosedLoop loop, const PetscReal *x0, PetscReal M) {
  DrawDirection(e);
  const PetscReal above = LossAlong(e, loop, x0, e->radius);
  const PetscReal slope = (above - LossAlong(e, loop, x0, -e->radius)) / (2 * e->radius);
  for (PetscInt i = 0; i < e->sizes.np; i++) e->mean[i] += slope / M * e->d[i];
  return PetscSqr(slope * CtpgNorm(e->sizes.np, e->d));
}

static PetscErrorCode EstimatorGradientOfStart_SPSA(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                    PetscReal samples, CtpgStream *stream, CtpgResult *result) {
  SPSA *e = est;
  const PetscReal M = fmax(1, round(samples));
  // of the sum over the starts before this one
  const PetscReal before = isnan(result->error_bar) ? 0 : result->error_bar * CtpgNorm(e->sizes.np, result->gtheta);
  PetscReal squares = 0;

  PetscFunctionBeginUser;
  e->stream = stream;
  PetscCall(CtpgFrozenLossRun(e->loss, x0, e->loss_rtol, result));
  if (e->start_gradient) CtpgFrozenLossDifferenceStart(e->loss, x0, CTPG_FROZENLOSS_BEST_STEP, result->gx0);
  PetscCall(PetscArrayzero(e->mean, e->sizes.np));
  CtpgClosedLoopUseTheta(loop, e->theta);
  for (PetscReal m = 0; m < M && CtpgClosedLoopGetStatus(loop) == CTPG_OK; m++) squares += Sample(e, loop, x0, M);
  CtpgClosedLoopUseTheta(loop, NULL);
  for (PetscInt i = 0; i < e->sizes.np; i++) result->gtheta[i] += e->mean[i];
  const PetscReal variance = (squares / M - PetscSqr(CtpgNorm(e->sizes.np, e->mean))) / (M - 1); // M = 1: unknown
  if (M > 1) result->error_bar = sqrt(PetscSqr(before) + fmax(0, variance)) / CtpgNorm(e->sizes.np, result->gtheta);
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_SPSA(void **est) {
  SPSA *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgFrozenLossDestroy(&e->loss));
  PetscCallVoid(PetscFree3(e->theta, e->d, e->mean));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_spsa = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "spsa",
    .version = 2,
    .flags = CTPG_IS_STOCHASTIC,
    .bibtex = "@article{Spall1992, author={James C. Spall}, title={Multivariate stochastic approximation using a "
              "simultaneous perturbation gradient approximation}, journal={IEEE Transactions on Automatic Control}, "
              "volume={37}, number={3}, pages={332--341}, year={1992}}",
    .knob = CTPG_KNOB_SAMPLES,
    .order = 0.5,
    .cost = "2 M s f",
    .storage = "N nx",
    .create = EstimatorCreate_SPSA,
    .setup = EstimatorSetUp_SPSA,
    .gradient_of_start = EstimatorGradientOfStart_SPSA,
    .destroy = EstimatorDestroy_SPSA,
    .needs = "loss alone"};
