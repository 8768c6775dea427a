// test_trial_steps.c -- trial steps to where f is not defined: an error control takes shorter ones, equal steps fail
//
//   x = (q, v), o = x;  q' = v,  v' = -1 + 0.1 u + spring max(0, 0.05 - q)^2 / q, not defined where q <= 0
//   w = q^2 + 0.1 v^2 + u^2,  J = q at T
// A fall from q = 1 onto a spring that nothing tells of before: steps grow until one leads below the floor. The path
// itself stays above it. Without the spring it ends there, at sqrt(2) s where u = 0.

#include "plant.h"

enum { NX = 2, HIDDEN = 3 };

typedef struct {
  PetscReal spring;
  CtpgStatus below; // what the plant answers below the floor: CTPG_OK with NaN, or CTPG_DOMAIN
  int64_t points, undefined;
} Floor;

static PetscReal Depth(PetscReal q) {
  return fmax(0, 0.05 - q);
}

static CtpgStatus FloorEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                            const PetscReal *u, PetscReal *f, PetscReal *w) {
  Floor *floor = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, f += NX) {
    floor->points++;
    if (!(x[0] > 0)) floor->undefined++;
    if (!(x[0] > 0) && floor->below != CTPG_OK) return floor->below;
    f[0] = x[1];
    f[1] = x[0] > 0 ? -1 + 0.1 * u[i] + floor->spring * PetscSqr(Depth(x[0])) / x[0] : NAN;
    w[i] = x[0] * x[0] + 0.1 * x[1] * x[1] + u[i] * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus FloorEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                               PetscReal *gu) {
  Floor *floor = ctx;
  (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += NX, v += NX, gx += NX) {
    const PetscReal depth = Depth(x[0]);
    floor->points++;
    gx[0] += -v[1] * floor->spring * (2 * depth / x[0] + PetscSqr(depth / x[0])) + c[i] * 2 * x[0];
    gx[1] += v[0] + c[i] * 0.2 * x[1];
    gu[i] += 0.1 * v[1] + c[i] * 2 * u[i];
  }
  return CTPG_OK;
}

static CtpgStatus FloorTerminal(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J, PetscReal *Jx) {
  (void)ctx, (void)task;
  *J = x[0];
  Jx[0] = 1;
  Jx[1] = 0;
  return CTPG_OK;
}

static const CtpgProblemType FLOOR_TYPE = {.abi = CTPG_ABI,
                                           .size = sizeof(CtpgProblemType),
                                           .name = "floor",
                                           .version = 1,
                                           .eval = FloorEval,
                                           .eval_vjp = FloorEvalVJP,
                                           .terminal = FloorTerminal};

static PetscErrorCode SettingOfFloor(Floor *floor, Setting *s) {
  const PetscInt layers[] = {NX, HIDDEN, 1};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_LINEAR};
  CtpgStream stream = CtpgStreamOpen(1, "floor", CTPG_STREAM_CHECK, 0, 0);

  PetscFunctionBeginUser;
  *s = (Setting){.is_plant = PETSC_TRUE};
  s->problem.type = &FLOOR_TYPE;
  s->problem.ctx = floor;
  s->problem.dims = (CtpgDims){.nx = NX, .nu = 1, .no = NX, .T = 2.5};
  PetscCall(PolicyCreate(2, layers, activations, &s->problem.policy));
  const PetscInt np = PolicyGetSize(s->problem.policy);
  s->c = (CtpgCase){.seed = 1, .T = s->problem.dims.T};
  PetscCall(PetscMalloc3(NX, &s->c.x0, 0, &s->c.task, np, &s->c.theta));
  s->c.x0[0] = 1;
  s->c.x0[1] = 0;
  for (PetscInt i = 0; i < np; i++) s->c.theta[i] = CtpgStreamUniformIn(&stream, -0.5, 0.5);
  PetscFunctionReturn(0);
}

// ---- every estimator that controls its error ----

// Order 2 takes long steps at a loose tolerance only.
static const struct {
  const char *type, *options;
  PetscReal rtol, tolerance; // of the loss; ten times that of dL/dtheta, unless that is no digit
} ADAPTIVE[] = {{"rk-adjoint", "", 1e-4, 2e-2},
                {"rk-adjoint", "-rk_loop ts", 1e-4, 2e-2},
                {"rk-adjoint", "-controller pi42", 1e-4, 2e-2},
                {"rk-adjoint", "-rk 8vr", 1e-4, 2e-2},
                {"tsadjoint", "", 1e-4, 2e-2},
                {"tsadjoint", "-tsadjoint_stride 7", 1e-4, 2e-2},
                {"tsadjoint", "-ts_type cn -steps adaptive", 0.3, 0.3},
                {"tsadjoint", "-ts_type theta -steps adaptive", 0.3, 0.3},
                {"neural-ode", "", 1e-4, 2e-2},
                {"neural-ode-ckpt", "", 1e-4, 2e-2},
                {"ctpg", "", 1e-4, 2e-2},
                {"ctpg", "-rk dop853", 1e-4, 2e-2},
                {"lia", "", 1e-4, 2e-2},
                {"lia", "-lia_jacobian_steps 0", 1e-4, 2e-2},
                {"rosenbrock-w", "", 1e-4, 2e-2},
                {"rosenbrock-w", "-table euler4", 1e-4, 2e-2},
                {"cvodes", "", 1e-4, 2e-2},
                {"cvodes", "-lmm bdf", 1e-4, 2e-2},
                {"cvodes", "-lmm bdf -linear_solver gmres", 1e-4, 2e-2},
                {"forward", "", 1e-4, 2e-2},
                {"finite-difference", "", 1e-4, 2e-2}};
enum { NUM_ADAPTIVE = sizeof ADAPTIVE / sizeof *ADAPTIVE };

// That of a file in Python is the file's own business.
static void TestTable(void) {
  PROPERTY("every estimator with the knob rtol is put to the test");
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *type = CtpgEstimatorTypes[i];
    PetscBool listed = strcmp(type->name, "python") ? PETSC_FALSE : PETSC_TRUE;
    for (size_t k = 0; k < NUM_ADAPTIVE; k++)
      if (!strcmp(ADAPTIVE[k].type, type->name)) listed = PETSC_TRUE;
    CHECK(listed || type->unavailable || type->knob != CTPG_KNOB_RTOL, "%s", type->name);
  }
}

static PetscErrorCode RunCounted(const Setting *s, const char *type, const char *options, PetscReal accuracy,
                                 Gradient *g) {
  Floor *floor = s->problem.ctx;
  PetscFunctionBeginUser;
  floor->points = floor->undefined = 0;
  PetscCall(RunEstimator(s, type, options, 1, accuracy, g));
  CHECK(g->totals.nplant == floor->points, "%s %s: nplant %lld of %lld calls", type, options,
        (long long)g->totals.nplant, (long long)floor->points);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRejected(const Setting *s, const Gradient *truth, size_t k) {
  PROPERTY("%s %s: a trial step below the floor is taken again, shorter", ADAPTIVE[k].type, ADAPTIVE[k].options);
  const Floor *floor = s->problem.ctx;
  Gradient g;
  PetscFunctionBeginUser;
  PetscCall(RunCounted(s, ADAPTIVE[k].type, ADAPTIVE[k].options, ADAPTIVE[k].rtol, &g));
  CHECK(g.status == CTPG_OK, "%s: %s", CtpgStatusName(g.status), g.reason);
  CHECK(floor->undefined > 0, "no step led below the floor: nothing is tested");
  CHECK(g.result.rejected > 0, "no rejection is counted");
  CheckNear(ADAPTIVE[k].type, "loss", 1, g.loss, truth->loss, ADAPTIVE[k].tolerance);
  if (ADAPTIVE[k].tolerance < 0.1)
    CheckNear(ADAPTIVE[k].type, "dL/dtheta", g.np, g.gtheta, truth->gtheta, 10 * ADAPTIVE[k].tolerance);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestSameBits(const Setting *s) {
  PROPERTY("TSRK rejects the same steps as the loop of our own");
  Gradient own, ts;
  PetscFunctionBeginUser;
  PetscCall(RunCounted(s, "rk-adjoint", "", 1e-5, &own));
  PetscCall(RunCounted(s, "rk-adjoint", "-rk_loop ts", 1e-5, &ts));
  CHECK(own.result.rejected == ts.result.rejected && !memcmp(&own.totals, &ts.totals, sizeof own.totals),
        "%lld and %lld rejections", (long long)own.result.rejected, (long long)ts.result.rejected);
  CHECK(!memcmp(own.gtheta, ts.gtheta, sizeof own.gtheta) && own.loss[0] == ts.loss[0], "other bits");
  PetscFunctionReturn(0);
}

// ---- where shorter steps are of no use ----

// Of the sentence: where something was not defined.
static double TimeOf(const char *reason) {
  const char *mark = strstr(reason, "at t = ");
  return mark ? atof(mark + strlen("at t = ")) : NAN;
}

static PetscErrorCode TestEnd(const Setting *s, size_t k) {
  Floor *floor = s->problem.ctx;
  const CtpgStatus expected = floor->below == CTPG_OK ? CTPG_DIVERGED : CTPG_DOMAIN;
  PROPERTY("%s %s ends with the fall, status %s", ADAPTIVE[k].type, ADAPTIVE[k].options, CtpgStatusName(expected));
  const char *words = floor->below == CTPG_OK ? "not finite" : "the plant is not defined";
  Gradient g;
  PetscFunctionBeginUser;
  PetscCall(RunCounted(s, ADAPTIVE[k].type, ADAPTIVE[k].options, 1e-5, &g));
  CHECK(g.status == expected && strstr(g.reason, words), "%s: %s", CtpgStatusName(g.status), g.reason);
  CHECK(fabs(TimeOf(g.reason) - sqrt(2)) < 1e-3, "%s", g.reason);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestEqualSteps(const Setting *s, const char *type, const char *options) {
  PROPERTY("equal steps end at the first point below the floor: %s %s", type, options);
  const Floor *floor = s->problem.ctx;
  Gradient g;
  PetscFunctionBeginUser;
  PetscCall(RunCounted(s, type, options, 0.1, &g));
  CHECK(g.status == CTPG_DIVERGED && strstr(g.reason, "f is not finite at t = "), "%s: %s", CtpgStatusName(g.status),
        g.reason);
  CHECK(floor->undefined == 1, "%lld points", (long long)floor->undefined);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllEnds(const Setting *s) {
  Floor *floor = s->problem.ctx;
  PetscFunctionBeginUser;
  for (int domain = 0; domain < 2; domain++) {
    floor->below = domain ? CTPG_DOMAIN : CTPG_OK;
    for (size_t k = 0; k < NUM_ADAPTIVE; k++)
      if (IsAvailable(ADAPTIVE[k].type)) PetscCall(TestEnd(s, k));
  }
  floor->below = CTPG_OK;
  PetscCall(TestEqualSteps(s, "rk-adjoint", "-steps fixed"));
  PetscCall(TestEqualSteps(s, "rk-adjoint", "-steps fixed -rk_loop ts"));
  PetscCall(TestEqualSteps(s, "tsadjoint", "-ts_type cn"));
  PetscCall(TestEqualSteps(s, "rosenbrock-w", "-steps fixed"));
  PetscCall(TestEqualSteps(s, "reversible", ""));
  PetscCall(TestEqualSteps(s, "alf", ""));
  PetscCall(TestEqualSteps(s, "euler-bptt", ""));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  Floor floor = {.spring = 1000};
  Setting s;
  Gradient truth;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestTable();
  PetscCall(SettingOfFloor(&floor, &s));
  PetscCall(RunEstimator(&s, "rk-adjoint", "", 1, 1e-12, &truth));
  for (size_t k = 0; k < NUM_ADAPTIVE; k++)
    if (IsAvailable(ADAPTIVE[k].type)) PetscCall(TestRejected(&s, &truth, k));
  PetscCall(TestSameBits(&s));
  floor.spring = 0;
  for (PetscInt i = 0; i < PolicyGetSize(s.problem.policy); i++) s.c.theta[i] = 0;
  PetscCall(TestAllEnds(&s));
  PetscCall(SettingDestroy(&s));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
