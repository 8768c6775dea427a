// check_draws.c -- conformance of a stochastic estimator: unbiased, with an honest error bar, converging as it claims
//
// Over D independent draws g_d of a gradient, along a unit vector v: the mean of g_d.v must lie within STANDARD_ERRORS of
// its own standard error of the true g.v, and BIAS |g| for what smoothing and the solver leave. v: along g, and some random
// ones.

#include "check/draws.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define DRAWS           100
#define FEW_DRAWS       25
#define DIRECTIONS      4 // along the truth, and random ones
#define STANDARD_ERRORS 4.5
#define BIAS            1e-3
#define LEVELS          3
#define SLOPE_SLACK     0.15
static const PetscReal SAMPLES[LEVELS] = {16, 64, 256};

// Moments of a set of draws.
typedef struct {
  PetscInt n, draws;
  PetscReal *mean, *v;                                // [n], [DIRECTIONS, n] unit vectors
  PetscReal along[DIRECTIONS], squared[DIRECTIONS];   // sums of g.v and its square
  PetscReal error_squared, norm_squared, bar_squared; // sums of |g - truth|^2, |g|^2, (error_bar |g|)^2
} Moments;

static void Normalise(PetscInt n, PetscReal *v) {
  const PetscReal norm = fmax(CtpgNorm(n, v), DBL_MIN);
  for (PetscInt i = 0; i < n; i++) v[i] /= norm;
}

static PetscErrorCode MomentsCreate(PetscInt n, const PetscReal *truth, Moments *m) {
  CtpgStream stream = CtpgStreamOpen(0, "draws", CTPG_STREAM_CHECK, 0, 0);
  PetscFunctionBeginUser;
  *m = (Moments){.n = n};
  PetscCall(PetscCalloc2(n, &m->mean, DIRECTIONS * n, &m->v));
  PetscCall(PetscArraycpy(m->v, truth, n));
  for (PetscInt i = n; i < DIRECTIONS * n; i++) m->v[i] = CtpgStreamNormal(&stream);
  for (PetscInt k = 0; k < DIRECTIONS; k++) Normalise(n, m->v + k * n);
  PetscFunctionReturn(0);
}

static PetscErrorCode MomentsDestroy(Moments *m) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree2(m->mean, m->v));
  PetscFunctionReturn(0);
}

static PetscReal Dot(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void Add(Moments *m, const PetscReal *g, const PetscReal *truth, PetscReal error_bar) {
  const PetscReal norm = CtpgNorm(m->n, g);
  m->draws++;
  for (PetscInt i = 0; i < m->n; i++) m->mean[i] += (g[i] - m->mean[i]) / (PetscReal)m->draws;
  for (PetscInt k = 0; k < DIRECTIONS; k++) {
    const PetscReal along = Dot(m->n, g, m->v + k * m->n);
    m->along[k] += along;
    m->squared[k] += along * along;
  }
  m->error_squared += PetscSqr(VectorDistance(m->n, g, truth));
  m->norm_squared += norm * norm;
  m->bar_squared += PetscSqr(error_bar * norm);
}

static PetscErrorCode DrawMany(CheckDraw draw, void *context, PetscReal samples, PetscInt draws, PetscReal *g,
                               const PetscReal *truth, Moments *m, PetscBool *good) {
  PetscReal error_bar;
  PetscFunctionBeginUser;
  for (PetscInt d = 0; d < draws && *good; d++) {
    PetscCall(draw(context, samples, (uint64_t)d, g, &error_bar, good));
    Add(m, g, truth, error_bar);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ConcludeBias(CheckReport *report, const Moments *m, const PetscReal *truth) {
  const char *name = "unbiased";
  const PetscReal D = (PetscReal)m->draws, size = CtpgNorm(m->n, truth);
  PetscReal worst = 0, width = 0;

  PetscFunctionBeginUser;
  for (PetscInt k = 0; k < DIRECTIONS; k++) {
    const PetscReal mean = m->along[k] / D, variance = fmax(0, m->squared[k] / D - mean * mean);
    const PetscReal error = sqrt(variance / (D - 1)), truth_along = Dot(m->n, truth, m->v + k * m->n);
    const PetscReal off = fabs(mean - truth_along);
    worst = fmax(worst, off / fmax(error, DBL_MIN));
    if (!k) width = error / size;
    if (off <= STANDARD_ERRORS * error + BIAS * size) continue;
    CheckFail(
        report, name,
        "the mean of %d draws of %.0f samples is %.6g along %s, the true gradient %.6g: off by %.1f standard errors",
        (int)m->draws, SAMPLES[1], mean, k ? "a random direction" : "the true gradient", truth_along, off / error);
    PetscFunctionReturn(0);
  }
  if (width == 0)
    CheckFail(report, name, "%d draws with streams of their own give one and the same gradient; draw from the stream",
              (int)m->draws);
  else
    CheckPass(report, name, "mean of %d draws within %.1f standard errors; along the true gradient that is %.1e of it",
              (int)m->draws, worst, width);
  PetscFunctionReturn(0);
}

static void ConcludeErrorBar(CheckReport *report, const Moments *m) {
  const char *name = "error bar";
  const PetscReal D = (PetscReal)m->draws;
  const PetscReal spread = sqrt(fmax(0, m->norm_squared / D - PetscSqr(CtpgNorm(m->n, m->mean))) * D / (D - 1));
  const PetscReal said = sqrt(m->bar_squared / D);
  if (isnan(said))
    CheckSkip(report, name, "the estimator gives none");
  else if (said < 0.6 * spread || said > 1.6 * spread)
    CheckFail(report, name, "the error bars say %.3g, the draws spread by %.3g around their mean", said, spread);
  else
    CheckPass(report, name, "says %.3g, draws spread by %.3g", said, spread);
}

static void ConcludeSlope(CheckReport *report, PetscReal order, const PetscReal error[LEVELS]) {
  const PetscReal slope = log(error[0] / error[LEVELS - 1]) / log(SAMPLES[LEVELS - 1] / SAMPLES[0]);
  if (!(slope > order - SLOPE_SLACK))
    CheckFail(report, "order",
              "%.3g is claimed, but the error goes like samples^(%.2f): %.2e with %.0f, %.2e with %.0f", order, -slope,
              error[0], SAMPLES[0], error[LEVELS - 1], SAMPLES[LEVELS - 1]);
  else
    CheckPass(report, "order", "%.2f over %.0f to %.0f samples, claimed %.3g", slope, SAMPLES[0], SAMPLES[LEVELS - 1],
              order);
}

PetscErrorCode CheckDraws(CheckReport *report, CheckDraw draw, void *context, PetscInt n, const PetscReal *truth,
                          PetscReal order) {
  PetscReal *g, error[LEVELS];
  PetscBool good = PETSC_TRUE;
  Moments m;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(n, &g));
  for (int level = 0; level < LEVELS; level++) {
    PetscCall(MomentsCreate(n, truth, &m));
    PetscCall(DrawMany(draw, context, SAMPLES[level], level == 1 ? DRAWS : FEW_DRAWS, g, truth, &m, &good));
    error[level] = sqrt(m.error_squared / (PetscReal)m.draws);
    if (level == 1 && good) PetscCall(ConcludeBias(report, &m, truth));
    if (level == 1 && good) ConcludeErrorBar(report, &m);
    PetscCall(MomentsDestroy(&m));
  }
  if (good)
    ConcludeSlope(report, order, error);
  else
    CheckFail(report, "unbiased", "a draw ends without a result");
  PetscCall(PetscFree(g));
  PetscFunctionReturn(0);
}
