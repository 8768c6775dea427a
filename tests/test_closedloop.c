// test_closedloop.c -- parameters in use, the observer, pieces between breaks, kept products and g's error norm made of
// them: what `check` does not look at

#include "run/instance.h"
#include "ctpgbench/toolkit/quadrature.h"
#include "test.h"

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

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(ParametersInUse());
  PetscCall(Observer());
  PetscCall(Pieces());
  PetscCall(KeptProducts());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
