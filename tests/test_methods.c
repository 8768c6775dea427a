// test_methods.c -- estimators outside the Runge-Kutta family's usual way: reversible, alf, forward, finite-difference,
// spsa, cvodes, rosenbrock-w
//
//   own loss      the gradient of a discrete scheme is the derivative of its own loss, also at a step where that is far
//                 from the true gradient
//   same mesh     forward sensitivities and frozen differences give the gradient of rk-adjoint on its mesh
//   truth         at a tight accuracy all of them agree
//   any matrix    rosenbrock-w has its order with no Jacobian, exact and old ones; cvodes keeps its own
//   SUNDIALS      Robertson's kinetics as in SUNDIALS' example cvsRoberts_ASAi_dns, against its published output

#include "plant.h"

// ---- own loss ----

static PetscErrorCode LossOf(const Setting *s, const char *type, const char *options, PetscReal dt, PetscReal *loss) {
  Gradient g;
  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, type, options, 1, dt, &g));
  *loss = g.loss[0];
  PetscFunctionReturn(0);
}

// (4 D(h/2) - D(h)) / 3 with central differences D of the estimator's loss.
static PetscErrorCode Richardson(const Setting *s, const char *type, const char *options, PetscReal dt,
                                 PetscReal *component, PetscReal *derivative) {
  const PetscReal at = *component;
  PetscReal D[2], above, below, h = 2e-3;

  PetscFunctionBeginUser;
  for (int k = 0; k < 2; k++, h /= 2) {
    *component = at + h;
    PetscCall(LossOf(s, type, options, dt, &above));
    *component = at - h;
    PetscCall(LossOf(s, type, options, dt, &below));
    D[k] = (above - below) / (2 * h);
  }
  *component = at;
  *derivative = (4 * D[1] - D[0]) / 3;
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOwnLoss(const Setting *s, const Gradient *truth, const char *type, const char *options,
                                  PetscBool reconstructs) {
  PROPERTY("the gradient of %s is that of its own discrete loss: %s", type, options);
  const PetscReal dt = 0.1;
  Gradient g, differences = *truth;

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, type, options, 1, dt, &g));
  differences.loss[0] = g.loss[0];
  for (PetscInt k = 0; k < g.nx; k++) PetscCall(Richardson(s, type, options, dt, s->c.x0 + k, differences.gx0 + k));
  for (PetscInt k = 0; k < g.np; k++)
    PetscCall(Richardson(s, type, options, dt, s->c.theta + k, differences.gtheta + k));
  CheckSameGradient(type, &g, &differences, 1e-9);
  CHECK(Distance(g.np, g.gtheta, truth->gtheta) > 1e-6, "%s %s: so close to the truth that nothing is tested", type,
        options);
  if (reconstructs)
    CHECK(g.result.backsolve_error > 0 && g.result.backsolve_error < 1e-11, "%s %s: x0 is reconstructed to %.1e", type,
          options, g.result.backsolve_error);
  PetscFunctionReturn(0);
}

// ---- same mesh, truth ----

static PetscErrorCode TestSameMesh(const Setting *s, const Gradient *truth, const char *options, PetscReal accuracy) {
  PROPERTY("forward, finite-difference and rk-adjoint agree on one mesh: %s", options);
  Gradient reverse, g;
  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "rk-adjoint", options, 1, accuracy, &reverse));
  CHECK(Distance(truth->np, reverse.gtheta, truth->gtheta) > 1e-5, "%s: too close to the truth", options);
  PetscCall(RunEstimator(s, "forward", options, 1, accuracy, &g));
  CheckSameGradient("forward", &g, &reverse, 2e-9);
  CHECK(g.result.steps == reverse.result.steps, "forward: another mesh");
  PetscCall(RunEstimator(s, "finite-difference", options, 1, accuracy, &g));
  CheckSameGradient("finite-difference", &g, &reverse, 2e-9);
  CHECK(g.result.steps == reverse.result.steps, "finite-difference: another mesh");
  PetscFunctionReturn(0);
}

static PetscErrorCode TestTruth(const Setting *s, const Gradient *truth, PetscBool have_cvodes) {
  PROPERTY("every method comes to the truth as its accuracy is tightened");
  static const struct {
    const char *type, *options;
    PetscReal accuracy, tolerance;
  } tests[] = {{"reversible", "", 2e-3, 1e-9},
               {"reversible", "-rk 5bs -reversible_mu 0.99", 1e-2, 1e-9},
               {"alf", "", 5e-4, 1e-5},
               {"forward", "", 1e-11, 1e-8},
               {"finite-difference", "", 1e-11, 1e-8},
               {"cvodes", "", 1e-12, 1e-9},
               {"cvodes", "-quadrature cvodes", 1e-12, 1e-9},
               {"cvodes", "-steps_per_checkpoint 13", 1e-12, 1e-9},
               {"cvodes", "-interpolation hermite -steps_per_checkpoint 2", 1e-12, 1e-7},
               {"cvodes", "-lmm bdf", 1e-12, 1e-8},
               {"cvodes", "-lmm bdf -linear_solver gmres -steps_per_checkpoint 50", 1e-12, 1e-8},
               {"cvodes", "-lmm bdf -jacobian kept", 1e-12, 1e-8},
               {"cvodes", "-nonlinear_solver newton -jacobian kept -steps_per_checkpoint 13", 1e-12, 1e-9},
               {"cvodes", "-scale_atol -adjoint_atol_factor 0.1 -adjoint_rtol_factor 0.3", 1e-12, 1e-9},
               {"rosenbrock-w", "", 1e-11, 1e-8},
               {"rosenbrock-w", "-table euler4 -jacobian_steps 5", 1e-12, 1e-9},
               {"rosenbrock-w", "-table euler5", 1e-12, 1e-9}};
  Gradient g;

  PetscFunctionBeginUser;
  for (size_t k = 0; k < sizeof tests / sizeof *tests; k++) {
    if (!have_cvodes && !strcmp(tests[k].type, "cvodes")) continue;
    PetscCall(RunEstimator(s, tests[k].type, tests[k].options, 1, tests[k].accuracy, &g));
    CheckSameGradient(tests[k].type, &g, truth, tests[k].tolerance);
  }
  PetscFunctionReturn(0);
}

// ---- W-methods, kept Jacobians ----

static PetscErrorCode GradientErrorOf(const Setting *s, const Gradient *truth, const char *options, PetscReal dt,
                                      PetscReal *error) {
  Gradient g;
  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "rosenbrock-w", options, 1, dt, &g));
  *error = Distance(g.np, g.gtheta, truth->gtheta);
  PetscFunctionReturn(0);
}

// Each time the steps are halved, from a tenth of the horizon on.
static PetscErrorCode TestAnyMatrix(const Setting *s, const Gradient *truth) {
  static const char *const matrices[] = {"-jacobian_steps 0", "-jacobian_steps 1", "-jacobian_steps 7"};
  static const struct {
    const char *table;
    PetscReal order;
  } tables[] = {{"ra34pw2", 3}, {"euler3", 3}, {"euler4", 4}};
  char options[128];
  PetscReal coarse, fine;

  PetscFunctionBeginUser;
  for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
    PROPERTY("the gradient of rosenbrock-w, table %s, has order %g with any Jacobian", tables[k].table,
             tables[k].order);
    for (size_t m = 0; m < sizeof matrices / sizeof *matrices; m++) {
      PetscCall(PetscSNPrintf(options, sizeof options, "-steps fixed -table %s %s", tables[k].table, matrices[m]));
      PetscCall(GradientErrorOf(s, truth, options, s->c.T / 80, &coarse));
      PetscCall(GradientErrorOf(s, truth, options, s->c.T / 320, &fine));
      const PetscReal order = log(coarse / fine) / log(4);
      CHECK(order > tables[k].order - 0.3 && order < tables[k].order + 1, "%s: %.1e and %.1e, order %.2f", options,
            coarse, fine, order);
    }
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestKeptJacobians(const Setting *s, const Gradient *truth) {
  PROPERTY("cvodes: the adjoint takes the forward solve's Jacobians, and evaluates none");
  static const char *const methods[] = {"-lmm bdf", "-nonlinear_solver newton"};
  char options[96];
  Gradient fresh, kept;

  PetscFunctionBeginUser;
  for (int k = 0; k < 2; k++) {
    PetscCall(RunEstimator(s, "cvodes", methods[k], 1, 1e-6, &fresh));
    PetscCall(PetscSNPrintf(options, sizeof options, "%s -jacobian kept", methods[k]));
    PetscCall(RunEstimator(s, "cvodes", options, 1, 1e-6, &kept));
    CHECK(kept.adjoint.njac == 0 && fresh.adjoint.njac > 0 && kept.totals.njac > 0, "%s: %lld Jacobians, %lld fresh",
          methods[k], (long long)kept.adjoint.njac, (long long)fresh.adjoint.njac);
    CHECK(kept.totals.njac == fresh.totals.njac - fresh.adjoint.njac, "%s: another forward solve", methods[k]);
    CheckSameGradient(options, &kept, truth, 1e-3);
    CHECK(kept.result.bytes > fresh.result.bytes, "%s: kept Jacobians take no memory", methods[k]);
  }
  PetscFunctionReturn(0);
}

// ---- spsa: several starts ----

static PetscErrorCode TestDraws(const Setting *s) {
  PROPERTY("draws of spsa do not depend on the batch, its error bar falls with the root of the samples");
  Gradient together, alone, few;
  Setting one = *s;

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "spsa", "", MAX_STARTS, 400, &together));
  for (PetscInt b = 0; b < MAX_STARTS; b++) {
    one.c.x0 = s->c.x0 + b * PLANT_NX;
    PetscCall(RunEstimator(&one, "spsa", "", 1, 400, &alone));
    CHECK(alone.loss[0] == together.loss[b], "spsa: loss of start %d", (int)b);
    CheckNear("spsa", "dL/dx0", PLANT_NX, together.gx0 + b * PLANT_NX, alone.gx0, 1e-14);
  }
  PetscCall(RunEstimator(s, "spsa", "", 1, 25, &few));
  PetscCall(RunEstimator(s, "spsa", "", 1, 400, &alone));
  CHECK_CLOSE(few.result.error_bar / alone.result.error_bar, 4, 0.3, 1);
  PetscCall(RunEstimator(s, "spsa", "-spsa_start_gradient false -directions normal", 1, 25, &few));
  CHECK(few.status == CTPG_OK && few.gx0[0] == 0 && few.gtheta[0] != 0, "spsa: dL/dx0 was not asked for");
  CHECK(few.totals.nf < alone.totals.nf, "spsa: fewer samples, more work");
  PetscFunctionReturn(0);
}

// ---- SUNDIALS' example ----

// The parameters are the biases of a linear policy that sees nothing: theta = (0, 0, 0, p1, p2, p3), u = p.
static CtpgStatus RobertsonEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += 3, u += 3, f += 3) {
    f[0] = -u[0] * x[0] + u[1] * x[1] * x[2];
    f[2] = u[2] * x[1] * x[1];
    f[1] = -f[0] - f[2];
    w[i] = x[2];
  }
  return CTPG_OK;
}

static CtpgStatus RobertsonEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                   PetscReal *gu) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++, x += 3, u += 3, v += 3, gx += 3, gu += 3) {
    const PetscReal first = v[0] - v[1], last = v[2] - v[1];
    gx[0] += -u[0] * first;
    gx[1] += u[1] * x[2] * first + 2 * u[2] * x[1] * last;
    gx[2] += u[1] * x[1] * first + c[i];
    gu[0] += -x[0] * first;
    gu[1] += x[1] * x[2] * first;
    gu[2] += x[1] * x[1] * last;
  }
  return CTPG_OK;
}

static CtpgStatus RobertsonObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   PetscReal *o) {
  (void)ctx, (void)task, (void)t, (void)x;
  for (PetscInt i = 0; i < n; i++) o[i] = 0;
  return CTPG_OK;
}

static CtpgStatus RobertsonObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                      const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  (void)ctx, (void)task, (void)n, (void)t, (void)x, (void)go, (void)gx;
  return CTPG_OK;
}

// dG/dp and lambda(0) = dG/dy(0) of an integral up to T.
typedef struct {
  PetscReal T, dGdp[3], lambda[3];
} Sensitivities;

static PetscErrorCode TestRobertson(const char *options, PetscReal rtol, const Sensitivities *expected,
                                    double tolerance) {
  PROPERTY("sensitivities of Robertson's stiff reactions are the published ones: %s, rtol %g", options, rtol);
  static const CtpgProblemType type = {.abi = CTPG_ABI,
                                       .size = sizeof(CtpgProblemType),
                                       .name = "robertson",
                                       .version = 1,
                                       .eval = RobertsonEval,
                                       .observe = RobertsonObserve,
                                       .eval_vjp = RobertsonEvalVJP,
                                       .observe_vjp = RobertsonObserveVJP};
  const PetscInt layers[] = {1, 3};
  const CtpgActivation linear[] = {CTPG_LINEAR};
  PetscReal x0[] = {1, 0, 0}, theta[] = {0, 0, 0, 0.04, 1e4, 3e7};
  Setting s = {.problem = {.type = &type, .dims = {.nx = 3, .nu = 3, .no = 1, .T = expected->T}},
               .c = {.T = expected->T, .x0 = x0, .theta = theta},
               .is_plant = PETSC_TRUE};
  Gradient g;

  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(1, layers, linear, &s.problem.policy));
  PetscCall(RunEstimator(&s, "cvodes", options, 1, rtol, &g));
  CHECK(g.status == CTPG_OK, "%s: %s", options, CtpgStatusName(g.status));
  for (int k = 0; k < 3; k++) {
    CHECK_CLOSE(g.gtheta[3 + k], expected->dGdp[k], tolerance, 0);
    CHECK_CLOSE(g.gx0[k], expected->lambda[k], tolerance, 0);
    CHECK(g.gtheta[k] == 0, "a weight of what is not seen");
  }
  PetscCall(PolicyDestroy(&s.problem.policy));
  PetscFunctionReturn(0);
}

// Published: examples/cvodes/serial/cvsRoberts_ASAi_dns.out of SUNDIALS, five digits at rtol 1e-6, which is good to
// 8e-5.
// Better: forward sensitivities by SciPy's Radau at rtol 1e-10.
static PetscErrorCode TestSundialsExample(void) {
  static const Sensitivities published[] = {
      {4e7, {7.6842e+05, -3.0691e+00, 5.1145e-04}, {3.9967e+07, 3.9967e+07, 3.9967e+07}},
      {50, {1.7341e+02, -5.0591e-04, 8.4323e-08}, {8.4191e+00, 1.6097e+01, 1.6097e+01}}};
  static const Sensitivities better[] = {
      {4e7, {7.68377327e+05, -3.06892094e+00, 5.11488998e-04}, {3.99671837e+07, 3.99672087e+07, 3.99672087e+07}},
      {50, {1.73414089e+02, -5.05919141e-04, 8.43234647e-08}, {8.41916101e+00, 1.60970233e+01, 1.60971509e+01}}};
  const char *nodes = "-lmm bdf -steps_per_checkpoint 150 -atol_factor 1e-6";
  const char *quadrature = "-lmm bdf -steps_per_checkpoint 150 -atol_factor 1e-6 -quadrature cvodes";

  PetscFunctionBeginUser;
  for (int k = 0; k < 2; k++) {
    PetscCall(TestRobertson(quadrature, 1e-8, &published[k], 1e-4));
    PetscCall(TestRobertson(quadrature, 1e-8, &better[k], 1e-6));
    PetscCall(TestRobertson(nodes, 1e-10, &published[k], 1e-4));
    PetscCall(TestRobertson(nodes, 1e-10, &better[k], 1e-5));
  }
  PetscFunctionReturn(0);
}

// ---- all ----

static PetscErrorCode TestOnPlant(PetscBool have_cvodes) {
  Gradient truth;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(RunEstimator(&s, "rk-adjoint", "-rk 8vr", 1, 1e-13, &truth));
  PetscCall(TestOwnLoss(&s, &truth, "alf", "", PETSC_TRUE));
  PetscCall(TestOwnLoss(&s, &truth, "reversible", "", PETSC_TRUE));
  PetscCall(TestOwnLoss(&s, &truth, "reversible", "-rk 3 -reversible_mu 0.9", PETSC_TRUE));
  PetscCall(TestOwnLoss(&s, &truth, "rk-adjoint", "-rk 4", PETSC_FALSE));
  PetscCall(TestOwnLoss(&s, &truth, "rosenbrock-w", "-steps fixed -jacobian_steps 0", PETSC_FALSE));
  PetscCall(TestOwnLoss(&s, &truth, "rosenbrock-w", "-steps fixed -jacobian_steps 0 -table euler3", PETSC_FALSE));
  PetscCall(TestAnyMatrix(&s, &truth));
  if (have_cvodes) PetscCall(TestKeptJacobians(&s, &truth));
  PetscCall(TestSameMesh(&s, &truth, "", 1e-4));
  PetscCall(TestSameMesh(&s, &truth, "-rk 3bs", 1e-5));
  PetscCall(TestSameMesh(&s, &truth, "-rk 4 -steps fixed", 0.2));
  PetscCall(TestTruth(&s, &truth, have_cvodes));
  PetscCall(TestDraws(&s));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  const PetscBool have_cvodes = IsAvailable("cvodes");
  PetscCall(TestOnPlant(have_cvodes));
  if (have_cvodes) PetscCall(TestSundialsExample());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
