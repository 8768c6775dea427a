// test_frozen_mesh.c -- the problem frozen-mesh does what it promises
//
//   trap       with the loss right to rounding, discrete adjoint and uncontrolled sensitivities are wrong at any
//              tolerance, the more the larger the rate
//   no trap    who controls the adjoint's error is right; so are fixed steps inside the region of stability
//   reference  with and without its closed form, and says how good it is; differences of the loss agree

#include "plant.h"
#include "run/reference.h"

typedef struct {
  PetscReal gx0[2], gtheta[3];
  CtpgReference r;
} Truth;

// The reference of the case, of the closed form or (bare) of numerical methods alone.
static PetscErrorCode Solve(const Setting *s, PetscBool bare, Truth *truth) {
  CtpgProblemType type = *s->problem.type;
  CtpgProblem problem = s->problem;
  ReferenceSolver solver;

  PetscFunctionBeginUser;
  *truth = (Truth){0};
  truth->r.gx0 = truth->gx0;
  truth->r.gtheta = truth->gtheta;
  if (bare) type.closed_form = NULL;
  problem.type = &type;
  PetscCall(ReferenceCreate(&problem, &solver));
  PetscCall(ReferenceSolve(solver, &s->c, NULL, &truth->r));
  PetscCall(ReferenceDestroy(&solver));
  CHECK(truth->r.status == CTPG_OK && truth->r.closed_form == !bare, "%s", truth->r.reason);
  PetscFunctionReturn(0);
}

static void CheckReference(const char *who, const Truth *closed, const Truth *numerical) {
  CHECK(closed->r.ref_err < 1e-10 && closed->r.ref_err_x0 < 1e-10, "%s: %.2e, %.2e", who, closed->r.ref_err,
        closed->r.ref_err_x0);
  CHECK(numerical->r.ref_err < 1e-10 && numerical->r.ref_err_x0 < 1e-10, "%s: %.2e, %.2e", who, numerical->r.ref_err,
        numerical->r.ref_err_x0);
  CHECK(closed->r.ref_err_loss < 1e-8, "%s: differences of the loss are off by %.2e", who, closed->r.ref_err_loss);
  CheckNear(who, "loss", 1, &numerical->r.loss, &closed->r.loss, 1e-12);
  CheckNear(who, "dL/dx0", 2, numerical->gx0, closed->gx0, 1e-10);
  CheckNear(who, "dL/dtheta", 3, numerical->gtheta, closed->gtheta, 1e-10);
}

// wrong: least relative error of the gradients; 0: the estimator must be right to 1e-5.
static PetscErrorCode CheckEstimator(const char *who, const Setting *s, const Truth *truth, const char *type,
                                     const char *options, PetscReal accuracy, PetscReal wrong) {
  Gradient g;

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, type, options, 1, accuracy, &g));
  CHECK(g.status == CTPG_OK, "%s, %s: %s", who, type, CtpgStatusName(g.status));
  CheckNear(who, "loss", 1, g.loss, &truth->r.loss, 1e-12);
  const double off = Distance(3, g.gtheta, truth->gtheta), off_x0 = Distance(2, g.gx0, truth->gx0);
  if (wrong > 0)
    CHECK(off > wrong && off_x0 > wrong, "%s, %s at %g: dL/dtheta is off by %.2e, dL/dx0 by %.2e", who, type, accuracy,
          off, off_x0);
  else
    CHECK(off < 1e-5 && off_x0 < 1e-5, "%s, %s at %g: dL/dtheta is off by %.2e, dL/dx0 by %.2e", who, type, accuracy,
          off, off_x0);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRate(PetscReal rate, int64_t seed, PetscReal wrong) {
  PROPERTY("at rate %g who freezes the mesh is wrong, who controls the adjoint's error is right: seed %d", rate,
           (int)seed);
  static const char *const fooled[] = {"rk-adjoint", "tsadjoint", "forward"};
  char options[64], who[64];
  Truth closed, numerical;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(options, sizeof options, "-frozen-mesh_rate %g", (double)rate));
  PetscCall(PetscSNPrintf(who, sizeof who, "rate %g, seed %d", (double)rate, (int)seed));
  PetscCall(SettingOf("frozen-mesh", options, seed, &s));
  PetscCall(Solve(&s, PETSC_FALSE, &closed));
  PetscCall(Solve(&s, PETSC_TRUE, &numerical));
  CheckReference(who, &closed, &numerical);
  for (PetscReal rtol = 1e-3; rtol > 1e-10; rtol *= 1e-3) {
    for (int k = 0; k < 3; k++) PetscCall(CheckEstimator(who, &s, &closed, fooled[k], "", rtol, wrong));
    if (rtol > 1e-5) continue;
    PetscCall(CheckEstimator(who, &s, &closed, "ctpg", "", rtol, 0));
    if (IsAvailable("cvodes")) PetscCall(CheckEstimator(who, &s, &closed, "cvodes", "", rtol, 0));
  }
  PetscCall(CheckEstimator(who, &s, &closed, "rk-adjoint", "-steps fixed", 0.5 / rate, 0));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// The sweep of the reference overflows there; the two methods that are left must agree with the closed form.
static PetscErrorCode TestOverflow(PetscReal rate) {
  PROPERTY("at rate %g the reference does without the sweep that overflows", rate);
  char options[64];
  Truth closed, numerical;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(options, sizeof options, "-frozen-mesh_rate %g", (double)rate));
  PetscCall(SettingOf("frozen-mesh", options, 0, &s));
  PetscCall(Solve(&s, PETSC_FALSE, &closed));
  PetscCall(Solve(&s, PETSC_TRUE, &numerical));
  CheckReference("very stiff", &closed, &numerical);
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  for (int64_t seed = 0; seed < 3; seed++) {
    PetscCall(TestRate(10, seed, 1e2));
    PetscCall(TestRate(100, seed, 1e10));
    PetscCall(TestRate(1000, seed, 1e30));
  }
  PetscCall(TestOverflow(1e4));
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
