// test_closedloop.c -- parameters in use, the observer, pieces between breaks, kept products and g's error norm made of
// them: what `check` does not look at

#include "run/instance.h"
#include "run/case.h"
#include "ctpgbench/toolkit/quadrature.h"
#include "test.h"
#include "base/random_engine.h"

#define MOST 16

typedef struct {
  CtpgProblem problem;
  CtpgCase c;
  CtpgClosedLoop loop;
} Setup;

static PetscErrorCode SetUp(const char *type, Setup *s) {
  CtpgLabel label = {"", ""};
  PetscFunctionBeginUser;
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(ProblemCreate(&label, &s->problem));
  PetscCall(CaseDraw(&s->problem, 3, 0, &s->c));
  PetscCall(ProblemCreateLoop(&s->problem, &s->loop));
  CtpgClosedLoopSetCase(s->loop, s->c.theta, 1, s->c.task, s->c.T);
  CtpgClosedLoopStart(s->loop, NULL);
  PetscFunctionReturn(0);
}

static PetscErrorCode TearDown(Setup *s) {
  PetscFunctionBeginUser;
  PetscCall(CtpgClosedLoopDestroy(&s->loop));
  PetscCall(CaseDestroy(&s->c));
  PetscCall(ProblemDestroy(&s->problem));
  PetscFunctionReturn(0);
}

// Evaluations with other parameters are those of a case with these parameters, until they are given back.
static PetscErrorCode ParametersInUse(void) {
  PROPERTY("evaluations with other parameters are those of a case with these parameters");
  PetscReal f[MOST], moved[MOST], again[MOST], w, *theta;
  const PetscReal t = 0.5;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  PetscCall(PetscMalloc1(np, &theta));
  for (PetscInt k = 0; k < np; k++) theta[k] = 1.1 * s.c.theta[k];
  CHECK(CtpgClosedLoopGetTheta(s.loop) == s.c.theta);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w);
  CtpgClosedLoopUseTheta(s.loop, theta);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, moved, &w);
  CHECK(CtpgClosedLoopGetTheta(s.loop) == s.c.theta, "the case's own parameters are lost");
  CtpgClosedLoopUseTheta(s.loop, NULL);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w);
  CHECK(!memcmp(f, again, (size_t)nx * sizeof *f), "parameters were not given back");
  CHECK(memcmp(f, moved, (size_t)nx * sizeof *f), "other parameters change nothing");
  CtpgClosedLoopUseTheta(s.loop, theta);
  for (PetscInt k = 0; k < np; k++) theta[k] = s.c.theta[k];
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w);
  CHECK(!memcmp(f, again, (size_t)nx * sizeof *f), "parameters that change while they are lent are not followed");
  for (PetscInt k = 0; k < np; k++) theta[k] = 1.1 * s.c.theta[k];
  CtpgClosedLoopSetCase(s.loop, theta, 1, s.c.task, s.c.T);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w);
  CHECK(!memcmp(moved, again, (size_t)nx * sizeof *f), "not the evaluation of a case with these parameters");
  CtpgClosedLoopSetCase(s.loop, s.c.theta, 1, s.c.task, s.c.T);
  CtpgClosedLoopUseTheta(s.loop, theta);
  CtpgClosedLoopStart(s.loop, NULL);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w);
  CHECK(!memcmp(f, again, (size_t)nx * sizeof *f), "a new run begins with the parameters of the one before");
  PetscCall(PetscFree(theta));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// Products from kept evaluations: the bits and counts of products that begin anew, for any number of points.
static PetscErrorCode KeptEvaluations(const char *problem) {
  PROPERTY("%s: products from kept evaluations have the bits of products", problem);
  enum { POINTS = 11 };
  PetscReal t[POINTS], c[POINTS], w[2][POINTS], *x, *f[2], *gx[2], *gtheta[2], *kept;
  CtpgCounts counts[2];
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(problem, &s));
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  PetscCall(PetscMalloc2(POINTS * nx, &x, POINTS * CtpgClosedLoopGetKeptSize(s.loop), &kept));
  for (PetscInt p = 0; p < POINTS; p++) {
    t[p] = 0.1 * (PetscReal)p, c[p] = 0.5 - (PetscReal)p;
    for (PetscInt i = 0; i < nx; i++) x[p * nx + i] = s.c.x0[i] * (1 + 0.05 * (PetscReal)p);
  }
  for (int k = 0; k < 2; k++) {
    PetscCall(PetscCalloc3(POINTS * nx, &f[k], POINTS * nx, &gx[k], np, &gtheta[k]));
    CtpgClosedLoopStart(s.loop, NULL);
    if (k == 0)
      CtpgClosedLoopEval(s.loop, POINTS, t, x, f[k], w[k]);
    else
      CtpgClosedLoopEvalKeep(s.loop, POINTS, t, x, f[k], w[k], kept);
    CtpgClosedLoopVJPKept(s.loop, POINTS, t, x, k ? kept : NULL, f[k], c, gx[k], gtheta[k]);
    CtpgClosedLoopVJPKept(s.loop, 3, t + 4, x + 4 * nx, k ? kept + 4 * CtpgClosedLoopGetKeptSize(s.loop) : NULL, f[k],
                          c, NULL, gtheta[k]);
    CtpgClosedLoopGetTotals(s.loop, &counts[k]);
  }
  CHECK(CtpgClosedLoopGetStatus(s.loop) == CTPG_OK, "%s", CtpgClosedLoopGetReason(s.loop));
  CHECK(!memcmp(f[0], f[1], (size_t)(POINTS * nx) * sizeof **f) && !memcmp(w[0], w[1], sizeof w[0]), "f or w");
  CHECK(!memcmp(gx[0], gx[1], (size_t)(POINTS * nx) * sizeof **gx) && gx[0][0] != 0, "products for x");
  CHECK(!memcmp(gtheta[0], gtheta[1], (size_t)np * sizeof **gtheta) && gtheta[0][0] != 0, "products for theta");
  CHECK(!memcmp(&counts[0], &counts[1], sizeof counts[0]) && counts[0].nvjp == POINTS + 3, "counts");
  for (int k = 0; k < 2; k++) PetscCall(PetscFree3(f[k], gx[k], gtheta[k]));
  PetscCall(PetscFree2(x, kept));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

typedef struct {
  int evaluations, products;
  PetscReal last_t;
} Seen;

static void Observe(void *context, CtpgPurpose purpose, PetscBool product, PetscReal t, const PetscReal *x) {
  Seen *seen = context;
  (void)purpose, (void)x;
  if (product)
    seen->products++;
  else
    seen->evaluations++;
  seen->last_t = t;
}

static PetscErrorCode Observer(void) {
  PROPERTY("an observer sees every evaluation and product until it leaves");
  PetscReal x[3 * MOST], f[3 * MOST], g[3 * MOST] = {0}, w[3];
  const PetscReal t[] = {0, 1, 2}, c[] = {1, 1, 1};
  Seen seen = {0};
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  const PetscInt nx = s.problem.dims.nx;
  for (PetscInt i = 0; i < 3 * nx; i++) x[i] = s.c.x0[i % nx];
  CtpgClosedLoopSetObserver(s.loop, Observe, &seen);
  CtpgClosedLoopEval(s.loop, 3, t, x, f, w);
  CHECK(seen.evaluations == 3 && seen.products == 0 && seen.last_t == 2);
  CtpgClosedLoopVJP(s.loop, 2, t, x, f, c, g, NULL);
  CHECK(seen.evaluations == 3 && seen.products == 2 && seen.last_t == 1);
  CtpgClosedLoopSetObserver(s.loop, NULL, NULL);
  CtpgClosedLoopEval(s.loop, 1, t, x, f, w);
  CHECK(seen.evaluations == 3, "an observer that left still sees");
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// electric's control jumps at T/2: each piece sees its own side of the break.
static PetscErrorCode Pieces(void) {
  PROPERTY("at a break each piece sees its own side");
  PetscReal left[MOST], right[MOST], plain[MOST], w, t_low, t_high;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("electric", &s));
  const PetscReal T = s.c.T, middle = T / 2;
  const size_t bytes = (size_t)s.problem.dims.nx * sizeof *left;
  CHECK(CtpgClosedLoopGetPieces(s.loop, PETSC_FALSE) == 1);
  CHECK(CtpgClosedLoopGetPieces(s.loop, PETSC_TRUE) == 2);
  CtpgClosedLoopEnterPiece(s.loop, PETSC_TRUE, 0, &t_low, &t_high);
  CHECK(t_low == 0 && t_high == middle, "[%g, %g]", t_low, t_high);
  CtpgClosedLoopEval(s.loop, 1, &middle, s.c.x0, left, &w);
  CtpgClosedLoopEnterPiece(s.loop, PETSC_TRUE, 1, &t_low, &t_high);
  CHECK(t_low == middle && t_high == T, "[%g, %g]", t_low, t_high);
  CtpgClosedLoopEval(s.loop, 1, &middle, s.c.x0, right, &w);
  CtpgClosedLoopEnterPiece(s.loop, PETSC_FALSE, 0, &t_low, &t_high);
  CHECK(t_low == 0 && t_high == T, "[%g, %g]", t_low, t_high);
  CtpgClosedLoopEval(s.loop, 1, &middle, s.c.x0, plain, &w);
  CHECK(memcmp(left, right, bytes), "the control does not jump");
  CHECK(!memcmp(plain, right, bytes), "not right-continuous");
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// ---- products kept as factors ----

// State i of a path about x0 with its adjoint, for products.
static void PointOf(const Setup *s, PetscInt i, PetscReal *x, PetscReal *alpha) {
  for (PetscInt k = 0; k < s->problem.dims.nx; k++) {
    x[k] = s->c.x0[k] * (1 + 0.03 * (PetscReal)i) + 0.01 * (PetscReal)(k * i);
    alpha[k] = cos((PetscReal)(k + 2 * i));
  }
}

static void AddToSum(void *context, PetscInt offset, PetscInt n, const PetscReal *const *pieces) {
  PetscReal *sum = context;
  for (PetscInt k = 0; k < n; k++) sum[offset + k] += pieces[0][k];
}

// A kept product is the joint one: the same gx and counts, and from its factors the same gtheta.
static PetscErrorCode KeptProduct(const char *type) {
  PetscReal x[MOST], alpha[MOST], gx[MOST] = {0}, kept_gx[MOST] = {0}, *gtheta, *kept_gtheta, *factors;
  const PetscReal t = 0.5, c = 0.7, one = 1;
  const PetscReal *const weights[] = {&one};
  CtpgCounts counts, kept_counts;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(type, &s));
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  PetscCall(PetscMalloc1(CtpgClosedLoopGetFactorSize(s.loop), &factors));
  PetscCall(PetscCalloc2(np, &gtheta, np, &kept_gtheta));
  const PetscReal *const kept[] = {factors};
  PointOf(&s, 1, x, alpha);
  CHECK(CtpgClosedLoopVJP(s.loop, 1, &t, x, alpha, &c, gx, gtheta) == CTPG_OK);
  CtpgClosedLoopGetTotals(s.loop, &counts);
  CtpgClosedLoopStart(s.loop, NULL);
  CHECK(CtpgClosedLoopVJPKeep(s.loop, 1, &t, x, alpha, &c, kept_gx, factors) == CTPG_OK);
  CtpgClosedLoopSumKept(s.loop, 1, kept, 1, weights, AddToSum, kept_gtheta);
  CtpgClosedLoopGetTotals(s.loop, &kept_counts);
  CHECK(!memcmp(&counts, &kept_counts, sizeof counts), "%s: %lld products for theta, not %lld", type,
        (long long)kept_counts.nvjp_theta, (long long)counts.nvjp_theta);
  CHECK(!memcmp(gx, kept_gx, (size_t)nx * sizeof *gx), "%s: another gx", type);
  CHECK(CtpgNorm(np, gtheta) > 0);
  for (PetscInt k = 0; k < np; k++) CHECK_CLOSE(kept_gtheta[k], gtheta[k], 1e-14, 0);
  PetscCall(PetscFree2(gtheta, kept_gtheta));
  PetscCall(PetscFree(factors));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// The error norm of g from factors is that of the stages' integrands, direct products, in one array each.
static PetscErrorCode ErrorOfKept(const char *type, const char *table) {
  const PetscReal h = 0.3, rtol = 1e-4, atol = 1e-7, factor = 2, one = 1;
  PetscReal x[MOST], alpha[MOST], gx[MOST] = {0}, *K[CTPG_RK_MAX_STAGES], *y0, *y1;
  CtpgRKOptions rk = {0};
  CtpgRKErrorSums sums = {0}, direct = {0};
  CtpgQuadrature q;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(type, &s));
  const PetscInt np = PolicyGetSize(s.problem.policy);
  PetscCall(CtpgRKTableFind("-rk", table, &rk.table));
  PetscCall(CtpgQuadratureCreate(s.loop, &rk, PETSC_TRUE, factor, &q));
  CtpgQuadratureStart(q);
  PetscCall(PetscCalloc2(np, &y0, np, &y1));
  for (PetscInt i = 0; i < rk.table.s; i++) {
    const PetscReal t = 0.1 * (PetscReal)i;
    PetscCall(PetscCalloc1(np, &K[i]));
    PointOf(&s, i, x, alpha);
    CHECK(CtpgQuadratureProduct(q, i, t, x, alpha, gx) == CTPG_OK);
    CHECK(CtpgClosedLoopVJP(s.loop, 1, &t, x, alpha, &one, NULL, K[i]) == CTPG_OK);
  }
  const CtpgRKErrorBlock block = {.n = np, .rtol = factor * rtol, .atol = factor * atol, .y1 = y1};
  CtpgQuadratureError(q, h, rtol, atol, &sums);
  CtpgRKErrorAdd(&rk.table, h, y0, (const PetscReal *const *)K, &block, &direct);
  CHECK(sums.n == np && direct.n == np, "%d and %d components", (int)sums.n, (int)direct.n);
  CHECK(direct.first > 0 && (direct.second > 0) == (rk.table.bsecond != NULL));
  CHECK_CLOSE(sums.first, direct.first, 1e-12, 0);
  CHECK_CLOSE(sums.second, direct.second, 1e-12, 0);
  for (PetscInt i = 0; i < rk.table.s; i++) PetscCall(PetscFree(K[i]));
  PetscCall(PetscFree2(y0, y1));
  PetscCall(CtpgQuadratureDestroy(&q));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// x' = u with a policy u = theta o whose observation is lost after 1 s: neither u' f_u nor gx shows it.
static CtpgStatus IntegratorEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n; i++) f[i] = u[i], w[i] = 0;
  return CTPG_OK;
}

static CtpgStatus IntegratorVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                PetscReal *gu) {
  (void)ctx, (void)task, (void)t, (void)x, (void)u, (void)c, (void)gx;
  for (PetscInt i = 0; i < n; i++) gu[i] += v[i];
  return CTPG_OK;
}

static CtpgStatus LostObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                              PetscReal *o) {
  (void)ctx, (void)task;
  for (PetscInt i = 0; i < n; i++) o[i] = t[i] > 1 ? NAN : x[i];
  return CTPG_OK;
}

static CtpgStatus LostObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n; i++) gx[i] += go[i];
  return CTPG_OK;
}

static PetscErrorCode FactorNotFinite(void) {
  static const CtpgProblemType type = {
      .eval = IntegratorEval, .eval_vjp = IntegratorVJP, .observe = LostObserve, .observe_vjp = LostObserveVJP};
  const CtpgDims dims = {.nx = 1, .nu = 1, .no = 1, .T = 2};
  const PetscInt layers[] = {1, 1};
  const CtpgActivation activations[] = {CTPG_LINEAR};
  const PetscReal theta[] = {-1, 0}, x = 1, alpha = 1, one = 1, early = 0.5, late = 1.5;
  PetscReal gx = 0, *factors;
  CtpgPolicy policy;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(1, layers, activations, &policy));
  PetscCall(CtpgClosedLoopCreate(&type, NULL, &dims, policy, &loop));
  CtpgClosedLoopSetCase(loop, theta, 1, NULL, 2);
  PetscCall(PetscMalloc1(CtpgClosedLoopGetFactorSize(loop), &factors));
  CHECK(CtpgClosedLoopVJPKeep(loop, 1, &early, &x, &alpha, &one, &gx, factors) == CTPG_OK);
  CHECK(gx == -1, "%g", gx);
  CHECK(CtpgClosedLoopVJPKeep(loop, 1, &late, &x, &alpha, &one, &gx, factors) == CTPG_DIVERGED);
  CHECK(strstr(CtpgClosedLoopGetReason(loop), "theta is not finite at t = 1.5"), "%s", CtpgClosedLoopGetReason(loop));
  CHECK(isnan(gx) && isnan(factors[0]), "a failed product leaves numbers");
  CHECK(CtpgClosedLoopVJPKeep(loop, 1, &early, &x, &alpha, &one, &gx, factors) == CTPG_DIVERGED, "not latched");
  PetscCall(PetscFree(factors));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(PolicyDestroy(&policy));
  PetscFunctionReturn(0);
}

static PetscErrorCode KeptProducts(void) {
  PROPERTY("sums of kept products are those of the products themselves");
  static const char *const types[] = {"lqr", "diffdrive", "quadrotor", "electric", "cartpole-analytic"};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    PetscCall(KeptProduct(types[i]));
    PetscCall(ErrorOfKept(types[i], "tsit5"));
    PetscCall(ErrorOfKept(types[i], "3bs"));
    PetscCall(ErrorOfKept(types[i], "dop853"));
  }
  PetscCall(FactorNotFinite());
  PetscFunctionReturn(0);
}

// ---- points of several starts ----

#define POINTS 11 // more than one pass of the loop
#define STARTS 3

static const PetscInt START[POINTS] = {2, 0, 1, 1, 2, 0, 0, 2, 1, 0, 2},
                      PIECE[POINTS] = {0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0};

// The calls of a closed loop at n points from p on; every output lies where the caller says.
typedef struct {
  PetscReal *t, *x, *v, *c, *dx;                    // in: [POINTS], [POINTS, nx] ...
  PetscReal *f, *w, *gx, *kept_gx, *df, *dw, *next; // out
  PetscReal *factors, *gtheta, *steps_gtheta;       // [POINTS, size], [STARTS, np] twice
  PetscReal *tasks;                                 // [STARTS, ntask]
} Points;

static PetscErrorCode PointsCreate(const Setup *s, Points *k) {
  const PetscInt nx = s->problem.dims.nx, ntask = s->problem.dims.ntask, np = PolicyGetSize(s->problem.policy);
  CtpgStream stream = CtpgStreamOpen(5, "points", CTPG_STREAM_CHECK, 0, 0);
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc5(POINTS, &k->t, POINTS * nx, &k->x, POINTS * nx, &k->v, POINTS, &k->c, POINTS * nx, &k->dx));
  PetscCall(PetscCalloc7(POINTS * nx, &k->f, POINTS, &k->w, POINTS * nx, &k->gx, POINTS * nx, &k->kept_gx, POINTS * nx,
                         &k->df, POINTS, &k->dw, POINTS * nx, &k->next));
  PetscCall(PetscCalloc4(POINTS * CtpgClosedLoopGetFactorSize(s->loop), &k->factors, STARTS * np, &k->gtheta,
                         STARTS * np, &k->steps_gtheta, STARTS * ntask, &k->tasks));
  for (PetscInt b = 0; b < STARTS; b++) {
    PetscCall(CaseDraw(&s->problem, 3 + b, 0, &c));
    PetscCall(PetscArraycpy(k->tasks + b * ntask, c.task, ntask));
    for (PetscInt p = 0; p < POINTS; p++)
      if (START[p] == b) PetscCall(PetscArraycpy(k->x + p * nx, c.x0, nx));
    PetscCall(CaseDestroy(&c));
  }
  for (PetscInt p = 0; p < POINTS; p++) k->t[p] = s->problem.dims.nbreak ? s->c.T / 2 : 0.1 * (PetscReal)p;
  for (PetscInt p = 0; p < POINTS; p++) k->c[p] = CtpgStreamNormal(&stream);
  for (PetscInt i = 0; i < POINTS * nx; i++) {
    k->v[i] = CtpgStreamNormal(&stream);
    k->dx[i] = CtpgStreamNormal(&stream);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode PointsDestroy(Points *k) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree5(k->t, k->x, k->v, k->c, k->dx));
  PetscCall(PetscFree7(k->f, k->w, k->gx, k->kept_gx, k->df, k->dw, k->next));
  PetscCall(PetscFree4(k->factors, k->gtheta, k->steps_gtheta, k->tasks));
  PetscFunctionReturn(0);
}

// Every call at points p .. p + n - 1; row: of gtheta, where the calls have one row.
static void CallAll(const Setup *s, Points *k, PetscInt p, PetscInt n, PetscInt row) {
  const PetscInt nx = s->problem.dims.nx, size = CtpgClosedLoopGetFactorSize(s->loop), at = p * nx;
  const PetscInt first = row * PolicyGetSize(s->problem.policy);
  const PetscReal *t = k->t + p, *x = k->x + at, *v = k->v + at, *c = k->c + p;
  CtpgClosedLoopEval(s->loop, n, t, x, k->f + at, k->w + p);
  CtpgClosedLoopVJP(s->loop, n, t, x, v, c, k->gx + at, k->gtheta + first);
  CtpgClosedLoopVJPKeep(s->loop, n, t, x, v, c, k->kept_gx + at, k->factors + p * size);
  CtpgClosedLoopJVP(s->loop, n, t, x, k->dx + at, NULL, k->df + at, k->dw + p);
  if (!s->problem.dims.nq) return;
  CtpgClosedLoopSemiImplicitStep(s->loop, n, t, 0.1, x, k->next + at, k->w + p);
  CtpgClosedLoopSemiImplicitVJP(s->loop, n, t, 0.1, x, k->next + at, k->gx + at, k->steps_gtheta + first);
}

static PetscBool SameReals(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return memcmp(a, b, (size_t)n * sizeof *a) ? PETSC_FALSE : PETSC_TRUE;
}

static void CompareAll(const Setup *s, const char *what, const Points *a, const Points *b) {
  const PetscInt all = POINTS * s->problem.dims.nx, size = CtpgClosedLoopGetFactorSize(s->loop);
  CHECK(SameReals(all, a->f, b->f) && SameReals(POINTS, a->w, b->w), "%s: f, w", what);
  CHECK(SameReals(all, a->gx, b->gx), "%s: gx", what);
  CHECK(SameReals(all, a->kept_gx, b->kept_gx) && SameReals(POINTS * size, a->factors, b->factors), "%s: kept", what);
  CHECK(SameReals(all, a->df, b->df) && SameReals(POINTS, a->dw, b->dw), "%s: directional derivatives", what);
  CHECK(SameReals(all, a->next, b->next), "%s: semi-implicit steps", what);
  const PetscInt rows = STARTS * PolicyGetSize(s->problem.policy);
  CHECK(SameReals(rows, a->gtheta, b->gtheta), "%s: rows of gtheta", what);
  CHECK(SameReals(rows, a->steps_gtheta, b->steps_gtheta), "%s: rows of gtheta, semi-implicit", what);
}

// One call for points of several starts gives the bits, and counts, of as many calls for one point.
static PetscErrorCode MixedStarts(const char *name, PetscBool differences) {
  CtpgCounts mixed_counts, single_counts;
  CtpgProblemType type;
  Points mixed, single;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(name, &s));
  type = *s.problem.type;
  if (differences) { // taken in place of the empty slots
    type.eval_vjp = NULL, type.observe_vjp = NULL, type.eval_jvp = NULL, type.observe_jvp = NULL;
    s.problem.type = &type;
    PetscCall(CtpgClosedLoopDestroy(&s.loop));
    PetscCall(ProblemCreateLoop(&s.problem, &s.loop));
  }
  PetscCall(PointsCreate(&s, &mixed));
  PetscCall(PointsCreate(&s, &single));
  CtpgClosedLoopSetCase(s.loop, s.c.theta, STARTS, mixed.tasks, s.c.T);
  CtpgClosedLoopStart(s.loop, NULL);
  CtpgClosedLoopSetStarts(s.loop, POINTS, START, PIECE);
  CallAll(&s, &mixed, 0, POINTS, 0);
  CHECK(CtpgClosedLoopGetStatus(s.loop) == CTPG_OK, "%s: %s", name, CtpgClosedLoopGetReason(s.loop));
  CtpgClosedLoopGetTotals(s.loop, &mixed_counts);
  CtpgClosedLoopStart(s.loop, NULL);
  for (PetscInt p = 0; p < POINTS; p++) {
    CtpgClosedLoopSetStart(s.loop, START[p]);
    CtpgClosedLoopSetPiece(s.loop, s.problem.dims.nbreak ? PIECE[p] : -1);
    CallAll(&s, &single, p, 1, START[p]);
  }
  CtpgClosedLoopGetTotals(s.loop, &single_counts);
  CHECK(!memcmp(&mixed_counts, &single_counts, sizeof mixed_counts), "%s: counts", name);
  CompareAll(&s, name, &mixed, &single);
  PetscCall(PointsDestroy(&mixed));
  PetscCall(PointsDestroy(&single));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// A start that there is not, and points without one, end the run with a reason instead of reading somewhere else.
static PetscErrorCode StartsThatAreNot(void) {
  const PetscInt beyond[] = {0, STARTS};
  Points k;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("electric", &s));
  PetscCall(PointsCreate(&s, &k));
  CtpgClosedLoopSetCase(s.loop, s.c.theta, STARTS, k.tasks, s.c.T);
  CtpgClosedLoopSetStarts(s.loop, 2, beyond, NULL);
  CHECK(CtpgClosedLoopEval(s.loop, 1, k.t, k.x, k.f, k.w) == CTPG_SKIPPED && isnan(k.f[0]), "start beyond the batch");
  CHECK(strstr(CtpgClosedLoopGetReason(s.loop), "start 3 of 3"), "%s", CtpgClosedLoopGetReason(s.loop));
  CtpgClosedLoopStart(s.loop, NULL);
  CtpgClosedLoopSetStart(s.loop, -1);
  CHECK(CtpgClosedLoopEval(s.loop, 1, k.t, k.x, k.f, k.w) == CTPG_SKIPPED, "a negative start");
  CtpgClosedLoopStart(s.loop, NULL);
  CtpgClosedLoopSetStarts(s.loop, 2, START, NULL);
  CHECK(CtpgClosedLoopEval(s.loop, 3, k.t, k.x, k.f, k.w) == CTPG_SKIPPED, "more points than starts");
  CHECK(strstr(CtpgClosedLoopGetReason(s.loop), "3 points, of which 2"), "%s", CtpgClosedLoopGetReason(s.loop));
  PetscCall(PointsDestroy(&k));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

static PetscErrorCode SeveralStarts(void) {
  PROPERTY("a call for points of several starts gives the bits and counts of single calls");
  static const char *const types[] = {"lqr", "diffdrive", "electric", "cartpole-analytic", "track"};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    PetscCall(MixedStarts(types[i], PETSC_FALSE));
    PetscCall(MixedStarts(types[i], PETSC_TRUE));
  }
  PetscCall(StartsThatAreNot());
  PetscFunctionReturn(0);
}

// ---- points of several loops ----

static void StartAtPoint(const Setup *s, CtpgClosedLoop loop, PetscInt p) {
  CtpgClosedLoopStart(loop, NULL);
  CtpgClosedLoopSetPiece(loop, s->problem.dims.nbreak ? PIECE[p] : -1);
  CtpgClosedLoopSetPurpose(loop, p % 2 ? CTPG_ADJOINT : CTPG_DENSE);
}

// Each of POINTS loops, in pairs of an evaluation and a product from what it kept, or anew; `bad` has a state that is
// not finite.
static PetscErrorCode SideBySide(const char *name, PetscBool anew, PetscInt bad) {
  CtpgEvalPoint evals[POINTS];
  CtpgProductPoint products[POINTS];
  CtpgClosedLoop loops[POINTS];
  PetscReal *kept[2];
  CtpgCounts together, alone;
  Points a, b;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(name, &s));
  PetscCall(PointsCreate(&s, &a));
  PetscCall(PointsCreate(&s, &b));
  const PetscInt nx = s.problem.dims.nx, ntask = s.problem.dims.ntask, size = CtpgClosedLoopGetFactorSize(s.loop),
                 of_kept = CtpgClosedLoopGetKeptSize(s.loop);
  PetscCall(PetscMalloc2(POINTS * of_kept, &kept[0], POINTS * of_kept, &kept[1]));
  if (bad >= 0) a.x[bad * nx] = b.x[bad * nx] = NAN;
  for (PetscInt p = 0; p < POINTS; p++) {
    PetscCall(ProblemCreateLoop(&s.problem, &loops[p]));
    if (p)
      CtpgClosedLoopSetCaseLike(loops[p], loops[0], a.tasks + START[p] * ntask);
    else
      CtpgClosedLoopSetCase(loops[0], s.c.theta, 1, a.tasks + START[0] * ntask, s.c.T);
    StartAtPoint(&s, loops[p], p);
    evals[p] =
        (CtpgEvalPoint){loops[p], a.t[p], a.x + p * nx, a.f + p * nx, a.w + p, p % 3 ? kept[0] + p * of_kept : NULL};
    products[p] = (CtpgProductPoint){.loop = loops[p],
                                     .t = a.t[p],
                                     .c = a.c[p],
                                     .x = a.x + p * nx,
                                     .kept = p % 3 && !anew ? kept[0] + p * of_kept : NULL,
                                     .v = a.v + p * nx,
                                     .gx = a.gx + p * nx,
                                     .factors = a.factors + p * size};
  }
  CtpgClosedLoopsEval(POINTS, evals);
  CtpgClosedLoopsVJPKeep(POINTS, products);
  for (PetscInt p = 0; p < POINTS; p++) {
    const PetscInt at = p * nx;
    CtpgClosedLoopSetCase(s.loop, s.c.theta, 1, b.tasks + START[p] * ntask, s.c.T);
    StartAtPoint(&s, s.loop, p);
    CtpgClosedLoopEvalKeep(s.loop, 1, b.t + p, b.x + at, b.f + at, b.w + p, kept[1] + p * of_kept);
    CtpgClosedLoopVJPKeep(s.loop, 1, b.t + p, b.x + at, b.v + at, b.c + p, b.gx + at, b.factors + p * size);
    for (CtpgPurpose purpose = 0; purpose < CTPG_NUM_PURPOSES; purpose++) {
      CtpgClosedLoopGetCounts(loops[p], purpose, &together);
      CtpgClosedLoopGetCounts(s.loop, purpose, &alone);
      CHECK(!memcmp(&together, &alone, sizeof alone), "%s, point %d: counts of %s", name, (int)p,
            CtpgPurposeName(purpose));
    }
    CHECK(CtpgClosedLoopGetStatus(loops[p]) == (p == bad ? CTPG_DIVERGED : CTPG_OK), "%s, point %d", name, (int)p);
    CHECK(!strcmp(CtpgClosedLoopGetReason(loops[p]), CtpgClosedLoopGetReason(s.loop)), "%s", name);
    CHECK(p % 3 == 0 || p == bad || SameReals(of_kept, kept[0] + p * of_kept, kept[1] + p * of_kept), "%s: kept", name);
    CHECK(p == bad ? isnan(a.f[at]) && isnan(a.gx[at])
                   : SameReals(nx, a.f + at, b.f + at) && SameReals(nx, a.gx + at, b.gx + at) && a.w[p] == b.w[p] &&
                         SameReals(size, a.factors + p * size, b.factors + p * size),
          "%s, point %d", name, (int)p);
    PetscCall(CtpgClosedLoopDestroy(&loops[p]));
  }
  PetscCall(PetscFree2(kept[0], kept[1]));
  PetscCall(PointsDestroy(&a));
  PetscCall(PointsDestroy(&b));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// Products kept as factors, added in one call: the bits of products one by one.
static PetscErrorCode FactorsAdded(const char *name) {
  PetscReal *one_by_one, *added;
  Points k;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp(name, &s));
  PetscCall(PointsCreate(&s, &k));
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  PetscCall(PetscMalloc2(np, &one_by_one, np, &added));
  for (PetscInt i = 0; i < np; i++) one_by_one[i] = added[i] = 1.0 / (PetscReal)(3 + i);
  for (PetscInt p = 0; p < POINTS; p++)
    CtpgClosedLoopVJP(s.loop, 1, k.t + p, k.x + p * nx, k.v + p * nx, k.c + p, k.gx + p * nx, one_by_one);
  CtpgClosedLoopVJPKeptKeep(s.loop, POINTS, k.t, k.x, NULL, k.v, k.c, k.kept_gx, k.factors);
  CtpgClosedLoopAddFactors(s.loop, POINTS, k.factors, added);
  CHECK(SameReals(np, one_by_one, added), "%s: sum of factors", name);
  CHECK(SameReals(POINTS * nx, k.gx, k.kept_gx), "%s: products for x", name);
  PetscCall(PetscFree2(one_by_one, added));
  PetscCall(PointsDestroy(&k));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

static PetscErrorCode SeveralLoops(void) {
  PROPERTY("points of several loops give each the bits, counts and status of a call of its own");
  static const char *const types[] = {"lqr", "diffdrive", "electric", "cartpole-analytic", "track"};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    PetscCall(SideBySide(types[i], PETSC_FALSE, -1));
    PetscCall(SideBySide(types[i], PETSC_TRUE, -1));
    PetscCall(SideBySide(types[i], PETSC_FALSE, 4));
    PetscCall(FactorsAdded(types[i]));
  }
  PetscFunctionReturn(0);
}

// ---- when it may be evaluated ----

// Setup counts as start-up of every run; between runs nothing is evaluated, and it is said.
static PetscErrorCode SetUpAndBetween(void) {
  PROPERTY("what setup evaluates is start-up of every run, and between runs nothing is evaluated");
  CtpgCounts counts, totals;
  PetscReal f[MOST], w;
  const PetscReal t = 0.5;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  CtpgClosedLoopStartSetUp(s.loop);
  CtpgClosedLoopSetPurpose(s.loop, CTPG_ADJOINT);
  for (int i = 0; i < 3; i++) CHECK(CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w) == CTPG_OK, "in setup");
  CtpgClosedLoopStopSetUp(s.loop);
  CHECK(CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w) == CTPG_SKIPPED && isnan(f[0]) && isnan(w), "between runs");
  CHECK(strstr(CtpgClosedLoopGetReason(s.loop), "outside setup and gradient"), "%s", CtpgClosedLoopGetReason(s.loop));
  CtpgClosedLoopSetCase(s.loop, s.c.theta, 1, s.c.task, s.c.T);
  for (int run = 0; run < 2; run++) {
    CtpgClosedLoopStart(s.loop, NULL);
    CHECK(CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w) == CTPG_OK, "in a run");
    CtpgClosedLoopStop(s.loop);
    CHECK(CtpgClosedLoopGetStatus(s.loop) == CTPG_OK, "a run that was stopped is not a failed one");
    CtpgClosedLoopGetCounts(s.loop, CTPG_STARTUP, &counts);
    CtpgClosedLoopGetTotals(s.loop, &totals);
    CHECK(counts.nf == 3 && counts.nplant == 3 && totals.nf == 4, "run %d: %lld of %lld at start-up", run,
          (long long)counts.nf, (long long)totals.nf);
  }
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// Whatever purpose an estimator names, all that it evaluates is in the totals.
static PetscErrorCode NoSuchPurpose(void) {
  PROPERTY("no purpose takes an evaluation out of the totals");
  CtpgCounts totals;
  PetscReal f[MOST], w;
  const PetscReal t = 0.5;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  CtpgClosedLoopSetPurpose(s.loop, (CtpgPurpose)99);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w);
  CtpgClosedLoopMoveCounts(s.loop, (CtpgPurpose)-7);
  CtpgClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w);
  CtpgClosedLoopMoveCounts(s.loop, CTPG_REJECTED);
  CtpgClosedLoopMoveCounts(s.loop, CTPG_REJECTED);
  CtpgClosedLoopGetTotals(s.loop, &totals);
  CHECK(totals.nf == 2 && totals.nplant == 2, "%lld evaluations of 2", (long long)totals.nf);
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

static CtpgStatus CopyState(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                            PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < 4 * n; i++) o[i] = x[i];
  return CTPG_OK;
}

static CtpgStatus CopyStateVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < 4 * n; i++) gx[i] += go[i];
  return CTPG_OK;
}

// A problem whose policy sees the state says it by leaving its slots empty: the bits of one that copies.
static PetscErrorCode StateSeen(void) {
  PROPERTY("without observe the policy sees the state, to the bit");
  PetscReal f[2][MOST], gx[2][MOST] = {{0}}, w, *gtheta[2];
  const PetscReal t = 0.5, c = 1;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("cartpole-analytic", &s));
  CtpgProblemType copies = *s.problem.type, sees = copies;
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  copies.observe = CopyState, copies.observe_vjp = CopyStateVJP;
  sees.observe = NULL, sees.observe_vjp = NULL;
  PetscCall(PetscCalloc2(np, &gtheta[0], np, &gtheta[1]));
  for (int k = 0; k < 2; k++) {
    CtpgClosedLoop loop;
    PetscCall(CtpgClosedLoopCreate(k ? &sees : &copies, s.problem.ctx, &s.problem.dims, s.problem.policy, &loop));
    CtpgClosedLoopSetCase(loop, s.c.theta, 1, s.c.task, s.c.T);
    CtpgClosedLoopEval(loop, 1, &t, s.c.x0, f[k], &w);
    CHECK(CtpgClosedLoopVJP(loop, 1, &t, s.c.x0, f[k], &c, gx[k], gtheta[k]) == CTPG_OK, "%d", k);
    CHECK(!CtpgClosedLoopUsesDifferences(loop), "an identity needs no differences");
    PetscCall(CtpgClosedLoopDestroy(&loop));
  }
  CHECK(SameReals(nx, f[0], f[1]) && SameReals(nx, gx[0], gx[1]) && SameReals(np, gtheta[0], gtheta[1]), "o = x");
  PetscCall(PetscFree2(gtheta[0], gtheta[1]));
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(ParametersInUse());
  PetscCall(Observer());
  PetscCall(Pieces());
  PetscCall(KeptProducts());
  PetscCall(KeptEvaluations("diffdrive"));
  PetscCall(KeptEvaluations("lqr"));
  PetscCall(KeptEvaluations("electric"));
  PetscCall(SeveralStarts());
  PetscCall(SeveralLoops());
  PetscCall(SetUpAndBetween());
  PetscCall(NoSuchPurpose());
  PetscCall(StateSeen());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
