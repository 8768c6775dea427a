// loop.c -- conformance of the closed loop over a problem: products, directions, Jacobian, counts, closed form
//
// Here the counts are taken by a spy behind the closed loop, not by the closed loop itself.

#include "check/problem.h"
#include "check/problem_private.h"
#include "check/spy.h"
#include "run/case.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define ANALYTIC_LIMIT   1e-7 // products against Richardson differences
#define DIFFERENCE_LIMIT 1e-5 // where the closed loop itself takes simple differences

typedef struct {
  ProblemCheck *k;
  CheckSpy spy;
  CtpgClosedLoop loop;
  CtpgCase c;
  PetscReal *dx, *dtheta;                 // [n, nx], [np] direction of length about one
  PetscReal *x, *theta, *f, *w;           // [n, nx], [np], [n, nx], [n] displaced point and its values
  PetscReal *gx, *gtheta, *gx2, *gtheta2; // [n, nx], [np]
  PetscReal *fx, *df, *dw;                // [nx, nx], [n, nx], [n]
  PetscReal *wx, *coupling, *factors;     // of a kept Jacobian: see CtpgClosedLoopJacobianKeep
} LoopCheck;

static PetscReal Limit(const LoopCheck *l) {
  return CtpgClosedLoopUsesDifferences(l->loop) ? DIFFERENCE_LIMIT : ANALYTIC_LIMIT;
}

// A new run at theta, of the task of point p.
static void Begin(LoopCheck *l, const PetscReal *theta, PetscInt p) {
  CtpgClosedLoopSetCase(l->loop, theta, l->k->n, l->k->tasks, l->k->problem.dims.T);
  CtpgClosedLoopStart(l->loop, NULL);
  CtpgClosedLoopSetStart(l->loop, p);
}

static PetscReal Dot(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

// sqrt(sum (a_i b_i)^2): the size of a sum whose terms may cancel.
static PetscReal TermSize(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += PetscSqr(a[i] * b[i]);
  return sqrt(sum);
}

static CtpgStatus Products(LoopCheck *l, PetscInt p, PetscReal *gx, PetscReal *gtheta) {
  const ProblemCheck *k = l->k;
  if (gx) memset(gx, 0, (size_t)k->nx * sizeof *gx);
  if (gtheta) memset(gtheta, 0, (size_t)k->np * sizeof *gtheta);
  Begin(l, l->c.theta, p);
  return CtpgClosedLoopVJP(l->loop, 1, k->t + p, k->x + p * k->nx, k->v + p * k->nx, k->c + p, gx, gtheta);
}

// ---- products against differences ----

typedef struct {
  LoopCheck *l;
  PetscInt p;
  PetscReal along_x, along_theta; // 1 or 0
} LoopLine;

// v.f + c w of the closed loop, displaced.
static CtpgStatus AlongDirection(void *context, PetscReal s, PetscReal *value) {
  const LoopLine *line = context;
  LoopCheck *l = line->l;
  const ProblemCheck *k = l->k;
  const PetscInt nx = k->nx, p = line->p;
  for (PetscInt i = 0; i < nx; i++) l->x[i] = k->x[p * nx + i] + line->along_x * s * l->dx[p * nx + i];
  for (PetscInt i = 0; i < k->np; i++) l->theta[i] = l->c.theta[i] + line->along_theta * s * l->dtheta[i];
  Begin(l, l->theta, p);
  const CtpgStatus status = CtpgClosedLoopEval(l->loop, 1, k->t + p, l->x, l->f, l->w);
  *value = Dot(nx, k->v + p * nx, l->f) + k->c[p] * l->w[0];
  return status;
}

// True: the differences were good enough to say something.
static PetscBool OfferDirection(CheckWorst *worst, LoopLine *line, const char *what, PetscInt n, const PetscReal *g,
                                const PetscReal *direction) {
  PetscReal work[CHECK_LEVELS + 2], expected, uncertainty;
  const PetscReal found = Dot(n, g, direction), scale = TermSize(n, g, direction);
  CheckDifferences(AlongDirection, line, line->l->k->problem.type->flags, 1, 1, work, &expected, &uncertainty);
  if (!(uncertainty < 1e-3 * scale)) return PETSC_FALSE;
  CheckOffer(worst, CheckDiscrepancy(found, expected, uncertainty, scale, worst->limit),
             "%s along a random direction at point %d is %.9g, differences of v.f + c w give %.9g +- %.0e", what,
             (int)line->p, found, expected, uncertainty);
  return PETSC_TRUE;
}

static PetscBool ConcludeDirections(const ProblemCheck *k, const char *name, PetscInt decided,
                                    const CheckWorst *worst) {
  if (decided) return CheckConclude(k->report, name, worst);
  CheckSkip(k->report, name, "differences say nothing at any of %d points: not smooth there", (int)k->n);
  return PETSC_TRUE;
}

static PetscBool ProductsAgainstDifferences(LoopCheck *l) {
  const ProblemCheck *k = l->k;
  CheckWorst x = {.limit = Limit(l)}, theta = {.limit = Limit(l)};
  PetscInt decided_x = 0, decided_theta = 0;
  for (PetscInt p = 0; p < k->n; p++) {
    LoopLine along_x = {.l = l, .p = p, .along_x = 1}, along_theta = {.l = l, .p = p, .along_theta = 1};
    if (Products(l, p, l->gx, l->gtheta) != CTPG_OK) continue;
    decided_x += OfferDirection(&x, &along_x, "(f_x' v + c w_x)", k->nx, l->gx, l->dx + p * k->nx);
    decided_theta += OfferDirection(&theta, &along_theta, "(f_theta' v + c w_theta)", k->np, l->gtheta, l->dtheta);
  }
  const PetscBool good_x = ConcludeDirections(k, "closed loop: f_x' v against differences", decided_x, &x);
  const PetscBool good_theta =
      ConcludeDirections(k, "closed loop: f_theta' v against differences", decided_theta, &theta);
  return good_x && good_theta ? PETSC_TRUE : PETSC_FALSE;
}

// ---- the other ways to the same numbers ----

static void SingleProducts(LoopCheck *l) {
  const ProblemCheck *k = l->k;
  CheckWorst worst = {.limit = 1e-13};
  for (PetscInt p = 0; p < k->n; p++) {
    Products(l, p, l->gx, l->gtheta);
    Products(l, p, l->gx2, NULL);
    Products(l, p, NULL, l->gtheta2);
    const PetscReal scale_x = fmax(CtpgNorm(k->nx, l->gx), DBL_MIN);
    const PetscReal scale_theta = fmax(CtpgNorm(k->np, l->gtheta), DBL_MIN);
    CheckOffer(&worst, VectorDistance(k->nx, l->gx, l->gx2) / scale_x,
               "f_x' v alone differs from the joint product at point %d", (int)p);
    CheckOffer(&worst, VectorDistance(k->np, l->gtheta, l->gtheta2) / scale_theta,
               "f_theta' v alone differs from the joint product at point %d", (int)p);
  }
  CheckConclude(k->report, "closed loop: joint and single products", &worst);
}

static PetscReal DirectionalLimit(const LoopCheck *l) {
  const CtpgProblemType *type = l->spy.real;
  const PetscBool exact =
      type->eval_jvp && (type->observe_jvp || !type->observe) && !CtpgClosedLoopUsesDifferences(l->loop);
  return exact ? 1e-11 : DIFFERENCE_LIMIT;
}

// v.(f_x dx + f_theta dtheta) + c (...) both ways.
static void DirectionalDerivatives(LoopCheck *l) {
  const ProblemCheck *k = l->k;
  CheckWorst worst = {.limit = DirectionalLimit(l)};
  for (PetscInt p = 0; p < k->n; p++) {
    const PetscInt at = p * k->nx;
    const PetscReal *dx = l->dx + at;
    if (Products(l, p, l->gx, l->gtheta) != CTPG_OK) continue;
    Begin(l, l->c.theta, p);
    CtpgClosedLoopJVP(l->loop, 1, k->t + p, k->x + at, dx, l->dtheta, l->df, l->dw);
    const PetscReal found = Dot(k->nx, k->v + at, l->df) + k->c[p] * l->dw[0];
    const PetscReal expected = Dot(k->nx, l->gx, dx) + Dot(k->np, l->gtheta, l->dtheta);
    const PetscReal scale = TermSize(k->nx, l->gx, dx) + TermSize(k->np, l->gtheta, l->dtheta);
    CheckOffer(&worst, fabs(found - expected) / fmax(scale, DBL_MIN),
               "at point %d CtpgClosedLoopJVP gives %.9g along a random direction, CtpgClosedLoopVJP %.9g", (int)p,
               found, expected);
  }
  CheckConclude(k->report, "closed loop: JVP against VJP", &worst);
}

// v' f_x by the full Jacobian; c = 0, for it knows no w.
static void FullJacobian(LoopCheck *l) {
  ProblemCheck *k = l->k;
  const PetscInt nx = k->nx;
  CheckWorst worst = {.limit = CtpgClosedLoopUsesDifferences(l->loop) ? DIFFERENCE_LIMIT : 1e-11};
  for (PetscInt p = 0; p < k->n; p++) {
    const PetscReal c = k->c[p], *v = k->v + p * nx;
    k->c[p] = 0;
    const CtpgStatus status = Products(l, p, l->gx, NULL);
    k->c[p] = c;
    if (status != CTPG_OK) continue;
    Begin(l, l->c.theta, p);
    CtpgClosedLoopJacobian(l->loop, k->t[p], k->x + p * nx, l->fx);
    const PetscReal scale = fmax(CtpgNorm(nx * nx, l->fx) * CtpgNorm(nx, v), DBL_MIN);
    for (PetscInt j = 0; j < nx; j++) {
      PetscReal found = 0;
      for (PetscInt i = 0; i < nx; i++) found += v[i] * l->fx[i * nx + j];
      CheckOffer(&worst, fabs(found - l->gx[j]) / scale,
                 "at point %d entry %d of v' f_x is %.9g by CtpgClosedLoopJacobian, %.9g by CtpgClosedLoopVJP", (int)p,
                 (int)j, found, l->gx[j]);
    }
  }
  CheckConclude(k->report, "closed loop: Jacobian against VJP", &worst);
}

// f_theta' v + c w_theta from the products that a Jacobian at point p kept.
static void SumKeptJacobian(LoopCheck *l, PetscInt p, PetscReal *gtheta) {
  const ProblemCheck *k = l->k;
  const PetscInt nx = k->nx, m = CtpgClosedLoopGetJacobianProducts(l->loop);
  memset(gtheta, 0, (size_t)k->np * sizeof *gtheta);
  for (PetscInt i = 0; i < m; i++) {
    const PetscReal *coupling = l->coupling + i * (nx + 1),
                    *factors = l->factors + i * CtpgClosedLoopGetFactorSize(l->loop);
    const PetscReal weight = Dot(nx, coupling, k->v + p * nx) + coupling[nx] * k->c[p], *const weights = &weight;
    CtpgClosedLoopSumKept(l->loop, 1, &factors, 1, &weights, CtpgAddPiece, gtheta);
  }
}

// (f_x' v + c w_x, f_theta' v + c w_theta) from what a Jacobian kept, without an evaluation.
static void KeptJacobian(LoopCheck *l) {
  const ProblemCheck *k = l->k;
  const PetscInt nx = k->nx;
  CheckWorst worst = {.limit = CtpgClosedLoopUsesDifferences(l->loop) ? DIFFERENCE_LIMIT : 1e-11};
  for (PetscInt p = 0; p < k->n; p++) {
    if (Products(l, p, l->gx, l->gtheta) != CTPG_OK) continue;
    Begin(l, l->c.theta, p);
    CtpgClosedLoopJacobianKeep(l->loop, k->t[p], k->x + p * nx, l->fx, l->wx, l->coupling, l->factors);
    for (PetscInt j = 0; j < nx; j++) {
      l->gx2[j] = k->c[p] * l->wx[j];
      for (PetscInt i = 0; i < nx; i++) l->gx2[j] += k->v[p * nx + i] * l->fx[i * nx + j];
    }
    SumKeptJacobian(l, p, l->gtheta2);
    const PetscReal scale_x = fmax(CtpgNorm(nx * nx, l->fx) * CtpgNorm(nx, k->v + p * nx), CtpgNorm(nx, l->gx));
    CheckOffer(&worst, VectorDistance(nx, l->gx, l->gx2) / fmax(scale_x, DBL_MIN),
               "at point %d (f_x' v + c w_x) by CtpgClosedLoopJacobianKeep is not that of CtpgClosedLoopVJP", (int)p);
    CheckOffer(&worst, VectorDistance(k->np, l->gtheta, l->gtheta2) / fmax(CtpgNorm(k->np, l->gtheta), DBL_MIN),
               "at point %d (f_theta' v + c w_theta) by CtpgClosedLoopJacobianKeep is not that of CtpgClosedLoopVJP",
               (int)p);
  }
  CheckConclude(k->report, "closed loop: kept Jacobian against VJP", &worst);
}

// ---- counts ----

typedef struct {
  const char *call;
  CtpgCounts asked; // nplant: by the spy
} Asked;

static void OfferCounts(LoopCheck *l, CheckWorst *worst, Asked asked) {
  CtpgCounts found;
  CtpgClosedLoopGetTotals(l->loop, &found);
  asked.asked.nplant = CheckSpyCalls(&l->spy);
#define COMPARE(kind)                                                                                                  \
  CheckOffer(worst, (PetscReal)llabs((long long)(found.kind - asked.asked.kind)),                                      \
             "%s counts " #kind " = %lld; expected %lld", asked.call, (long long)found.kind,                           \
             (long long)asked.asked.kind);
  CTPG_COUNTS(COMPARE)
#undef COMPARE
  CheckSpyReset(&l->spy, CHECK_NO_MISCHIEF, 0);
  Begin(l, l->c.theta, 0);
}

static void CountsAreWhatWasAsked(LoopCheck *l) {
  const ProblemCheck *k = l->k;
  const PetscInt n = k->n;
  CheckWorst worst = {.limit = 0};
  CtpgCounts kept;
  Begin(l, l->c.theta, 0);
  CheckSpyReset(&l->spy, CHECK_NO_MISCHIEF, 0);
  CtpgClosedLoopEval(l->loop, n, k->t, k->x, l->f, l->w);
  OfferCounts(l, &worst, (Asked){"CtpgClosedLoopEval", {.nf = n}});
  CtpgClosedLoopVJP(l->loop, n, k->t, k->x, k->v, k->c, l->gx, l->gtheta);
  OfferCounts(l, &worst, (Asked){"the joint CtpgClosedLoopVJP", {.nvjp = n, .nvjp_x = n, .nvjp_theta = n}});
  CtpgClosedLoopVJP(l->loop, n, k->t, k->x, k->v, k->c, l->gx, NULL);
  OfferCounts(l, &worst, (Asked){"CtpgClosedLoopVJP for x", {.nvjp = n, .nvjp_x = n}});
  CtpgClosedLoopVJP(l->loop, n, k->t, k->x, k->v, k->c, NULL, l->gtheta);
  OfferCounts(l, &worst, (Asked){"CtpgClosedLoopVJP for theta", {.nvjp = n, .nvjp_theta = n}});
  CtpgClosedLoopJVP(l->loop, n, k->t, k->x, l->dx, l->dtheta, l->df, l->dw);
  OfferCounts(l, &worst, (Asked){"CtpgClosedLoopJVP", {.njvp = n}});
  CtpgClosedLoopJacobian(l->loop, k->t[0], k->x, l->fx);
  const PetscInt products = PetscMin(k->nu, CtpgCountActuated(&k->problem.dims));
  OfferCounts(l, &worst, (Asked){"CtpgClosedLoopJacobian", {.njac = 1, .njac_products = products}});
  CtpgClosedLoopJacobianKeep(l->loop, k->t[0], k->x, l->fx, l->wx, l->coupling, l->factors);
  CtpgClosedLoopGetTotals(l->loop,
                          &kept); // by rows w_u takes one more where it is not zero: whether it did, values tell
  const PetscBool more = kept.njac_products > products && products < k->nu ? PETSC_TRUE : PETSC_FALSE;
  OfferCounts(l, &worst,
              (Asked){"CtpgClosedLoopJacobianKeep", {.njac = 1, .njac_products = products + (more ? 1 : 0)}});
  CheckConclude(k->report, "closed loop: counts", &worst);
}

// ---- closed form ----

// The reference of the same problem without its closed form.
static PetscErrorCode NumericalReference(const ProblemCheck *k, const CtpgCase *c, CtpgReference *reference) {
  CtpgProblemType bare = *k->problem.type;
  CtpgProblem problem = k->problem;
  ReferenceSolver solver = NULL;

  PetscFunctionBeginUser;
  bare.closed_form = NULL;
  problem.type = &bare;
  PetscCall(ReferenceCreate(&problem, &solver));
  PetscCall(ReferenceSolve(solver, c, NULL, reference));
  PetscCall(ReferenceDestroy(&solver));
  PetscFunctionReturn(0);
}

static PetscReal Relative(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return VectorDistance(n, a, b) / fmax(CtpgNorm(n, b), DBL_MIN);
}

static PetscErrorCode ClosedForm(const ProblemCheck *k, PetscReal *gx0, PetscReal *gtheta, CtpgReference *g) {
  const char *name = "closed form against the reference";
  const CtpgProblem *p = &k->problem;
  const PetscInt nK = k->nu * k->no;
  CheckWorst worst = {.limit = 1e-9};
  PetscReal loss;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(p, k->settings->seed, 0, &c));
  const CtpgTask task = {.values = c.task, .T = c.T, .piece = -1};
  const CtpgLinearPolicy policy = {.nu = k->nu, .no = k->no, .K = c.theta, .b = c.theta + nK};
  const CtpgStatus status = p->type->closed_form(p->ctx, &task, &policy, c.x0, &loss, gx0, gtheta, gtheta + nK);
  PetscCall(NumericalReference(k, &c, g));
  if (status == CTPG_OK && g->status == CTPG_OK) {
    CheckOffer(&worst, Relative(1, &loss, &g->loss), "the loss is %.12g, two numerical methods give %.12g", loss,
               g->loss);
    CheckOffer(&worst, Relative(k->nx, gx0, g->gx0), "gx0 differs, relative, from that of two numerical methods");
    CheckOffer(&worst, Relative(k->np, gtheta, g->gtheta),
               "gK, gb differ, relative, from those of two numerical methods");
    CheckConclude(k->report, name, &worst);
  } else
    CheckSkip(k->report, name, "%s, reference %s", CtpgStatusName(status), CtpgStatusName(g->status));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}

static PetscErrorCode ClosedFormAgainstReference(const ProblemCheck *k) {
  CtpgReference g = {0};
  PetscReal *gx0, *gtheta;

  PetscFunctionBeginUser;
  if (!k->problem.type->closed_form || !PolicyIsLinear(k->problem.policy)) PetscFunctionReturn(0);
  PetscCall(PetscCalloc4(k->nx, &gx0, k->np, &gtheta, k->nx, &g.gx0, k->np, &g.gtheta));
  PetscCall(ClosedForm(k, gx0, gtheta, &g));
  PetscCall(PetscFree4(gx0, gtheta, g.gx0, g.gtheta));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode Create(LoopCheck *l) {
  ProblemCheck *k = l->k;
  const PetscInt n = k->n, nx = k->nx, np = k->np;
  CtpgStream stream = CtpgStreamOpen((uint64_t)k->settings->seed, k->problem.type->name, CTPG_STREAM_CHECK, 2, 0);

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&k->problem, k->settings->seed, 0, &l->c));
  CheckSpyAttach(&l->spy, &k->problem);
  PetscCall(ProblemCreateLoop(&k->problem, &l->loop));
  PetscCall(PetscCalloc2(n * nx, &l->dx, np, &l->dtheta));
  PetscCall(PetscCalloc4(n * nx, &l->x, np, &l->theta, n * nx, &l->f, n, &l->w));
  PetscCall(PetscCalloc4(n * nx, &l->gx, np, &l->gtheta, n * nx, &l->gx2, np, &l->gtheta2));
  PetscCall(PetscCalloc3(nx * nx, &l->fx, n * nx, &l->df, n, &l->dw));
  const PetscInt m = CtpgClosedLoopGetJacobianProducts(l->loop);
  PetscCall(
      PetscCalloc3(nx, &l->wx, m * (nx + 1), &l->coupling, m * CtpgClosedLoopGetFactorSize(l->loop), &l->factors));
  for (PetscInt i = 0; i < n * nx; i++) l->dx[i] = CtpgStreamNormal(&stream) / sqrt((PetscReal)nx);
  for (PetscInt i = 0; i < np; i++) l->dtheta[i] = CtpgStreamNormal(&stream) / sqrt((PetscReal)np);
  PetscFunctionReturn(0);
}

static PetscErrorCode Destroy(LoopCheck *l) {
  PetscFunctionBeginUser;
  PetscCall(CtpgClosedLoopDestroy(&l->loop));
  CheckSpyDetach(&l->spy, &l->k->problem);
  PetscCall(CaseDestroy(&l->c));
  PetscCall(PetscFree2(l->dx, l->dtheta));
  PetscCall(PetscFree4(l->x, l->theta, l->f, l->w));
  PetscCall(PetscFree4(l->gx, l->gtheta, l->gx2, l->gtheta2));
  PetscCall(PetscFree3(l->fx, l->df, l->dw));
  PetscCall(PetscFree3(l->wx, l->coupling, l->factors));
  PetscFunctionReturn(0);
}

PetscErrorCode CheckLoopOfProblem(ProblemCheck *k) {
  LoopCheck l = {.k = k};

  PetscFunctionBeginUser;
  PetscCall(Create(&l));
  if (ProductsAgainstDifferences(&l)) {
    SingleProducts(&l);
    DirectionalDerivatives(&l);
    FullJacobian(&l);
    KeptJacobian(&l);
  }
  CountsAreWhatWasAsked(&l);
  PetscCall(Destroy(&l));
  PetscCall(ClosedFormAgainstReference(k));
  PetscFunctionReturn(0);
}
