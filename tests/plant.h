// plant.h -- what the tests of solvers and estimators share: a small plant that is explicit in time, and runs on it
//
//   x = (p, q, r), u = (u1, u2), o = (p, q cos t, r, sin 2t)
//   p' = q + 0.2 u1 sin 2t,  q' = -sin p - 0.1 q + u1 cos t,  r' = 0.5 p q - r + u2 + 0.3 cos 3t
//   w  = cost (p^2 + 0.5 q^2 r^2 + 0.1 (1 + 0.5 sin t) (u1^2 + u2^2) + 0.2 q t)
//   J  = terminal (p^2 + sin q + p r) at T
// On request f is not a number after some time, or its product before some time.
#ifndef CTPG_PLANT_H
#define CTPG_PLANT_H

#include "ctpgbench/toolkit/forward.h"
#include "run/case.h"
#include "run/instance.h"
#include "run/registry.h"
#include "test.h"
#include "base/random_engine.h"
#include <string.h>

enum { PLANT_NX = 3, PLANT_NU = 2, PLANT_NO = 4, PLANT_HIDDEN = 5, MAX_STARTS = 3, MAX_NX = 12, MAX_NP = 2000 };

typedef struct {
  PetscReal cost, terminal;
  PetscReal f_ends, product_begins; // s; outside [product_begins, f_ends] something is not finite
} Plant;

static const Plant PLANT = {.cost = 1, .terminal = 1, .f_ends = 1e9, .product_begins = -1e9};

static inline CtpgStatus PlantEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Plant *plant = ctx;
  (void)task;
  for (PetscInt i = 0; i < n; i++, x += PLANT_NX, u += PLANT_NU, f += PLANT_NX) {
    f[0] = x[1] + 0.2 * u[0] * sin(2 * t[i]);
    f[1] = -sin(x[0]) - 0.1 * x[1] + u[0] * cos(t[i]);
    f[2] = t[i] > plant->f_ends ? NAN : 0.5 * x[0] * x[1] - x[2] + u[1] + 0.3 * cos(3 * t[i]);
    w[i] = plant->cost * (x[0] * x[0] + 0.5 * x[1] * x[1] * x[2] * x[2] +
                          0.1 * (1 + 0.5 * sin(t[i])) * (u[0] * u[0] + u[1] * u[1]) + 0.2 * x[1] * t[i]);
  }
  return CTPG_OK;
}

static inline CtpgStatus PlantEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *u, const PetscReal *v, const PetscReal *c,
                                      PetscReal *gx, PetscReal *gu) {
  const Plant *plant = ctx;
  (void)task;
  for (PetscInt i = 0; i < n; i++, x += PLANT_NX, u += PLANT_NU, v += PLANT_NX, gx += PLANT_NX, gu += PLANT_NU) {
    const PetscReal cw = c[i] * plant->cost, effort = 0.2 * (1 + 0.5 * sin(t[i]));
    gx[0] += -v[1] * cos(x[0]) + 0.5 * v[2] * x[1] + cw * 2 * x[0];
    gx[1] += v[0] - 0.1 * v[1] + 0.5 * v[2] * x[0] + cw * (x[1] * x[2] * x[2] + 0.2 * t[i]);
    gx[2] += t[i] < plant->product_begins ? NAN : -v[2] + cw * x[1] * x[1] * x[2];
    gu[0] += 0.2 * v[0] * sin(2 * t[i]) + v[1] * cos(t[i]) + cw * effort * u[0];
    gu[1] += v[2] + cw * effort * u[1];
  }
  return CTPG_OK;
}

static inline CtpgStatus PlantObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, PetscReal *o) {
  (void)ctx, (void)task;
  for (PetscInt i = 0; i < n; i++, x += PLANT_NX, o += PLANT_NO) {
    o[0] = x[0];
    o[1] = x[1] * cos(t[i]);
    o[2] = x[2];
    o[3] = sin(2 * t[i]);
  }
  return CTPG_OK;
}

static inline CtpgStatus PlantObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                         const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)x;
  for (PetscInt i = 0; i < n; i++, go += PLANT_NO, gx += PLANT_NX) {
    gx[0] += go[0];
    gx[1] += go[1] * cos(t[i]);
    gx[2] += go[2];
  }
  return CTPG_OK;
}

static inline CtpgStatus PlantTerminal(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J,
                                       PetscReal *Jx) {
  const PetscReal weight = ((const Plant *)ctx)->terminal;
  (void)task;
  *J = weight * (x[0] * x[0] + sin(x[1]) + x[0] * x[2]);
  Jx[0] = weight * (2 * x[0] + x[2]);
  Jx[1] = weight * cos(x[1]);
  Jx[2] = weight * x[0];
  return CTPG_OK;
}

static const CtpgProblemType PLANT_TYPE = {.abi = CTPG_ABI,
                                           .size = sizeof(CtpgProblemType),
                                           .name = "plant",
                                           .version = 1,
                                           .eval = PlantEval,
                                           .observe = PlantObserve,
                                           .eval_vjp = PlantEvalVJP,
                                           .observe_vjp = PlantObserveVJP,
                                           .terminal = PlantTerminal};

// ---- problems with a case ----

typedef struct {
  CtpgProblem problem;
  CtpgCase c; // with MAX_STARTS starts for the plant, one for a problem of the program
  PetscBool is_plant;
} Setting;

// Start b of the plant; theta uniform in (-0.7, 0.7), biases too. `plant` is borrowed.
static inline PetscErrorCode SettingOfPlant(const Plant *plant, PetscReal T, Setting *s) {
  const PetscInt layers[] = {PLANT_NO, PLANT_HIDDEN, PLANT_NU};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_LINEAR};
  CtpgStream stream = CtpgStreamOpen(1, "plant", CTPG_STREAM_CHECK, 0, 0);

  PetscFunctionBeginUser;
  *s = (Setting){.is_plant = PETSC_TRUE};
  s->problem.type = &PLANT_TYPE;
  s->problem.ctx = (void *)plant;
  s->problem.dims = (CtpgDims){.nx = PLANT_NX, .nu = PLANT_NU, .no = PLANT_NO, .T = T};
  PetscCall(PolicyCreate(2, layers, activations, &s->problem.policy));
  const PetscInt np = PolicyGetSize(s->problem.policy);
  s->c = (CtpgCase){.seed = 1, .T = T};
  PetscCall(PetscMalloc3(MAX_STARTS * PLANT_NX, &s->c.x0, 0, &s->c.task, np, &s->c.theta));
  for (PetscInt i = 0; i < MAX_STARTS * PLANT_NX; i++) s->c.x0[i] = CtpgStreamUniformIn(&stream, -1.5, 1.5);
  for (PetscInt i = 0; i < np; i++) s->c.theta[i] = CtpgStreamUniformIn(&stream, -0.7, 0.7);
  PetscFunctionReturn(0);
}

// Problem `type` of the program under the options in `text`, case of `seed`.
static inline PetscErrorCode SettingOf(const char *type, const char *text, int64_t seed, Setting *s) {
  CtpgLabel label;
  PetscFunctionBeginUser;
  *s = (Setting){.is_plant = PETSC_FALSE};
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, text));
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(ProblemCreate(&label, &s->problem));
  PetscCall(CaseDraw(&s->problem, seed, 0, &s->c));
  PetscFunctionReturn(0);
}

static inline PetscErrorCode SettingDestroy(Setting *s) {
  PetscFunctionBeginUser;
  PetscCall(CaseDestroy(&s->c));
  if (s->is_plant)
    PetscCall(PolicyDestroy(&s->problem.policy));
  else
    PetscCall(ProblemDestroy(&s->problem));
  PetscFunctionReturn(0);
}

static inline PetscErrorCode SettingCreateLoop(const Setting *s, CtpgClosedLoop *loop) {
  PetscFunctionBeginUser;
  PetscCall(ProblemCreateLoop(&s->problem, loop));
  CtpgClosedLoopSetCase(*loop, s->c.theta, 1, s->c.task, s->c.T);
  CtpgClosedLoopStart(*loop, NULL);
  PetscFunctionReturn(0);
}

// Runge-Kutta options by hand; fixed steps where the table has no error estimate.
static inline PetscErrorCode RKOptionsOf(const char *table, PetscBool fixed, CtpgRKOptions *rk) {
  PetscFunctionBeginUser;
  *rk = (CtpgRKOptions){.atol_factor = 1e-3, .step_limit = 100000};
  PetscCall(CtpgRKTableFind("-rk", table, &rk->table));
  rk->fixed = fixed || !rk->table.bembed ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

// Largest sum of a row of A without signs: coefficients that cancel lose digits, 6ve two of them.
static inline PetscReal LargestRow(const CtpgRKTable *table) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < table->s; i++) {
    PetscReal sum = 0;
    for (PetscInt j = 0; j < i; j++) sum += fabs(table->A[i * table->s + j]);
    largest = fmax(largest, sum);
  }
  return largest;
}

// ---- runs of estimators ----

static const char *const ESTIMATORS[] = {"euler-bptt", "neural-ode", "neural-ode-ckpt",
                                         "ctpg",       "tsadjoint",  "rk-adjoint"};
enum { NUM_ESTIMATORS = sizeof ESTIMATORS / sizeof *ESTIMATORS };

typedef struct {
  PetscInt nx, np;
  PetscReal loss[MAX_STARTS], gx0[MAX_STARTS * MAX_NX], gtheta[MAX_NP];
  CtpgResult result;
  CtpgStatus status;
  char reason[128];
  CtpgCounts totals, recomputed, adjoint;
} Gradient;

static inline PetscBool IsAvailable(const char *name) {
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++)
    if (!strcmp(CtpgEstimatorTypes[i]->name, name))
      return CtpgEstimatorTypes[i]->unavailable ? PETSC_FALSE : PETSC_TRUE;
  return PETSC_FALSE;
}

// One call of a new instance of the estimator `type` under the options in `text`, over the first B starts.
static inline PetscErrorCode RunEstimator(const Setting *s, const char *type, const char *text, PetscInt B,
                                          PetscReal accuracy, Gradient *g) {
  CtpgStream stream = CtpgStreamOpen(1, "test", CTPG_STREAM_ESTIMATOR, 0, 0);
  CtpgEstimator estimator;
  CtpgClosedLoop loop;
  CtpgLabel label;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(g, sizeof *g));
  g->nx = s->problem.dims.nx;
  g->np = PolicyGetSize(s->problem.policy);
  PetscCheck(g->nx <= MAX_NX && g->np <= MAX_NP, PETSC_COMM_SELF, PETSC_ERR_PLIB, "test arrays too small");
  g->result = (CtpgResult){.loss = g->loss, .gx0 = g->gx0, .gtheta = g->gtheta, .backsolve_error = NAN, .h = NAN};
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, text));
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(EstimatorCreate(&label, &estimator));
  PetscCall(SettingCreateLoop(s, &loop));
  PetscCall(EstimatorSetUp(estimator.type, estimator.est, loop));
  CtpgClosedLoopSetCase(loop, s->c.theta, B, s->c.task, s->c.T);
  CtpgClosedLoopStart(loop, NULL);
  PetscCall(EstimatorGradient(estimator.type, estimator.est, loop, B, s->c.x0, accuracy, &stream, &g->result));
  g->status = CtpgClosedLoopGetStatus(loop);
  PetscCall(PetscStrncpy(g->reason, CtpgClosedLoopGetReason(loop), sizeof g->reason));
  CtpgClosedLoopGetTotals(loop, &g->totals);
  CtpgClosedLoopGetCounts(loop, CTPG_RECOMPUTE, &g->recomputed);
  CtpgClosedLoopGetCounts(loop, CTPG_ADJOINT, &g->adjoint);
  PetscCall(EstimatorDestroy(&estimator));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

// ---- comparisons ----

// ||a - b|| / ||b||
static inline double Distance(PetscInt n, const PetscReal *a, const PetscReal *b) {
  double difference = 0, size = 0;
  for (PetscInt i = 0; i < n; i++) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return sqrt(difference / size);
}

static inline void CheckNear(const char *who, const char *what, PetscInt n, const PetscReal *a, const PetscReal *b,
                             double tolerance) {
  const char *scale = getenv("CTPG_TEST_TOLERANCE_SCALE");
  const double distance = Distance(n, a, b);
  CHECK(distance <= tolerance * (scale ? atof(scale) : 1), "%s, %s: relative distance %.2e, allowed %.0e", who, what,
        distance, tolerance);
}

// Loss, dL/dx0 and dL/dtheta of one start.
static inline void CheckSameGradient(const char *who, const Gradient *a, const Gradient *b, double tolerance) {
  CHECK(a->status == CTPG_OK && b->status == CTPG_OK, "%s: %s, %s", who, CtpgStatusName(a->status),
        CtpgStatusName(b->status));
  CheckNear(who, "loss", 1, a->loss, b->loss, tolerance);
  CheckNear(who, "dL/dx0", a->nx, a->gx0, b->gx0, tolerance);
  CheckNear(who, "dL/dtheta", a->np, a->gtheta, b->gtheta, tolerance);
}

#endif
