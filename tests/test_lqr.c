// test_lqr.c -- closed form and optimum of problems/lqr.c, with matrices given in full
//
// The closed form's loss against an RK4 quadrature of the plant itself, its gradient against differences of its loss,
// the optimum against -I and against its own property (dL/dK vanishes when the horizon is long), and what is refused.

#include "ctpgbench/problem.h"
#include "base/options_engine.h"
#include "test.h"
#include "base/random_engine.h"
#include <string.h>

extern const CtpgProblemType CtpgProblem_lqr;

enum { MAX_N = 3, MAX_NP = MAX_N * MAX_N + 2 * MAX_N };

static const char *const SQUARE = "-lqr_nx 2 -lqr_nu 2 -lqr_A 0.3,-0.8,0.5,0.1 -lqr_B 1,0.4,-0.2,0.9 "
                                  "-lqr_Q 1.5,0.2,0.2,0.7 -lqr_R 0.8,-0.1,-0.1,0.5 -lqr_perturbation 0";
static const char *const TALL = "-lqr_nx 3 -lqr_nu 2 -lqr_A 0.1,0.7,0,-0.4,0.2,0.3,0.5,0,-0.6 "
                                "-lqr_B 1,0,0.3,0.8,-0.5,0.2 -lqr_Q 1,0.1,0,0.1,2,0.3,0,0.3,0.5 -lqr_R 0.6,0.2,0.2,1.1 "
                                "-lqr_perturbation 0";

typedef struct {
  CtpgOptions options;
  CtpgDims dims;
  void *ctx;
} Lqr;

static PetscErrorCode Create(const char *text, Lqr *lqr) {
  PetscErrorCode error;

  PetscFunctionBeginUser;
  memset(lqr, 0, sizeof(*lqr));
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscOptionsInsertString(NULL, text));
  PetscCall(CtpgOptionsCreate("lqr", "lqr", &lqr->options));
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  error = CtpgProblem_lqr.create(PETSC_COMM_SELF, lqr->options, &lqr->dims, &lqr->ctx);
  PetscCall(PetscPopErrorHandler());
  PetscFunctionReturn(error);
}

static PetscErrorCode Destroy(Lqr *lqr) {
  PetscFunctionBeginUser;
  CtpgProblem_lqr.destroy(&lqr->ctx);
  CHECK(!lqr->ctx, "destroy must null the handle");
  PetscCall(CtpgOptionsDestroy(&lqr->options));
  PetscFunctionReturn(0);
}

// Start and policy as one vector: x0 [nx], K [nu, nx], b [nu]; the gradient comes in the same order.
static PetscReal ClosedForm(const Lqr *lqr, PetscReal T, const PetscReal *point, PetscReal *gradient) {
  const PetscInt nx = lqr->dims.nx, nu = lqr->dims.nu;
  const CtpgTask task = {.T = T, .piece = -1};
  const CtpgLinearPolicy policy = {nu, nx, point + nx, point + nx + nu * nx};
  PetscReal loss = NAN;
  const CtpgStatus status = CtpgProblem_lqr.closed_form(lqr->ctx, &task, &policy, point, &loss, gradient, gradient + nx,
                                                        gradient + nx + nu * nx);
  CHECK(status == CTPG_OK, "%s", CtpgStatusName(status));
  return loss;
}

// Closed loop (f, w) at x.
static void Rate(const Lqr *lqr, const PetscReal *point, const PetscReal *x, PetscReal *f) {
  const PetscInt nx = lqr->dims.nx, nu = lqr->dims.nu;
  const CtpgTask task = {.T = 1, .piece = -1};
  const PetscReal t = 0, *K = point + nx, *b = K + nu * nx;
  PetscReal u[MAX_N];
  for (PetscInt k = 0; k < nu; k++) {
    u[k] = b[k];
    for (PetscInt i = 0; i < nx; i++) u[k] += K[k * nx + i] * x[i];
  }
  CtpgProblem_lqr.eval(lqr->ctx, &task, 1, &t, x, u, f, f + nx);
}

// Loss by the classical Runge-Kutta method on (x, L).
static PetscReal BruteForce(const Lqr *lqr, PetscReal T, const PetscReal *point) {
  static const PetscReal NODE[] = {0, 0.5, 0.5, 1}, WEIGHT[] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
  const PetscInt nx = lqr->dims.nx, nsteps = 4000;
  const PetscReal h = T / nsteps;
  PetscReal y[MAX_N + 1] = {0}, next[MAX_N + 1], stage[MAX_N + 1], f[MAX_N + 1] = {0};
  memcpy(y, point, sizeof(*y) * nx);
  for (PetscInt step = 0; step < nsteps; step++) {
    memcpy(next, y, sizeof(y));
    for (PetscInt s = 0; s < 4; s++) {
      for (PetscInt i = 0; i < nx; i++) stage[i] = y[i] + NODE[s] * h * f[i];
      Rate(lqr, point, stage, f);
      for (PetscInt i = 0; i <= nx; i++) next[i] += WEIGHT[s] * h * f[i];
    }
    memcpy(y, next, sizeof(y));
  }
  return y[nx];
}

// (4 D(h) - D(2 h)) / 3 with central differences D along component i.
static PetscReal Difference(const Lqr *lqr, PetscReal T, const PetscReal *point, PetscInt i) {
  PetscReal shifted[MAX_NP], gradient[MAX_NP], slope[2];
  memcpy(shifted, point, sizeof(shifted));
  for (PetscInt k = 0; k < 2; k++) {
    const PetscReal h = 5e-4 * (k + 1);
    shifted[i] = point[i] + h;
    slope[k] = ClosedForm(lqr, T, shifted, gradient);
    shifted[i] = point[i] - h;
    slope[k] = (slope[k] - ClosedForm(lqr, T, shifted, gradient)) / (2 * h);
  }
  return (4 * slope[0] - slope[1]) / 3;
}

static PetscErrorCode TestClosedForm(const char *text) {
  PROPERTY("closed form: its loss is the quadrature's, its gradient that of the loss: %s", text);
  const PetscReal T = 3;
  PetscReal point[MAX_NP], gradient[MAX_NP], largest = 0;
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create(text, &lqr));
  const PetscInt size = lqr.dims.nx + lqr.dims.nu * lqr.dims.nx + lqr.dims.nu;
  for (PetscInt i = 0; i < MAX_NP; i++) point[i] = 0.8 * sin(1 + 2.3 * i);
  CHECK_CLOSE(ClosedForm(&lqr, T, point, gradient), BruteForce(&lqr, T, point), 1e-11, 0);
  for (PetscInt i = 0; i < size; i++) largest = fmax(largest, fabs(gradient[i]));
  for (PetscInt i = 0; i < size; i++) CHECK_CLOSE(gradient[i], Difference(&lqr, T, point, i), 1e-9, largest);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

// Draws K and b into point, behind x0.
static PetscErrorCode DrawPolicy(const Lqr *lqr, PetscReal *point) {
  CtpgStream stream = CtpgStreamOpen(1, "lqr", CTPG_STREAM_THETA, 0, 0);
  const PetscInt nx = lqr->dims.nx, nu = lqr->dims.nu;

  PetscFunctionBeginUser;
  PetscCall(CtpgProblem_lqr.draw_linear(lqr->ctx, &stream, point + nx, point + nx + nu * nx));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestDefaultOptimum(const char *text) {
  PROPERTY("the optimum of the default plant is -I: %s", text);
  PetscReal point[MAX_NP];
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create(text, &lqr));
  PetscCall(DrawPolicy(&lqr, point));
  for (PetscInt i = 0; i < 4; i++) CHECK_CLOSE(point[2 + i], i % 3 ? 0 : -1, 1e-14, 1);
  for (PetscInt k = 0; k < 2; k++) CHECK(point[6 + k] == 0, "b = %g", point[6 + k]);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

// What the perturbation adds, in units of the normals drawn: s sqrt(2/nx) for K, s/3 for b.
static PetscErrorCode TestPerturbation(void) {
  PROPERTY("the perturbation of the optimum has the size that is written");
  CtpgStream stream = CtpgStreamOpen(1, "lqr", CTPG_STREAM_THETA, 0, 0);
  PetscReal point[MAX_NP];
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create("", &lqr));
  PetscCall(DrawPolicy(&lqr, point));
  for (PetscInt i = 0; i < 4; i++)
    CHECK_CLOSE(point[2 + i], (i % 3 ? 0 : -1) + 0.3 * CtpgStreamNormal(&stream), 1e-15, 1);
  for (PetscInt k = 0; k < 2; k++) CHECK_CLOSE(point[6 + k], 0.1 * CtpgStreamNormal(&stream), 1e-15, 1);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOptimumIsStationary(const char *text) {
  PROPERTY("dL/dK vanishes at the optimum: %s", text);
  PetscReal point[MAX_NP] = {1, -0.7, 0.4}, gradient[MAX_NP], size_x0 = 0, size_K = 0;
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create(text, &lqr));
  const PetscInt nx = lqr.dims.nx, nu = lqr.dims.nu;
  PetscCall(DrawPolicy(&lqr, point));
  ClosedForm(&lqr, 60, point, gradient);
  for (PetscInt i = 0; i < nx; i++) size_x0 += fabs(gradient[i]);
  for (PetscInt i = 0; i < nu * nx; i++) size_K += fabs(gradient[nx + i]);
  CHECK(size_K < 1e-12 * size_x0, "|dL/dK| = %g, |dL/dx0| = %g", size_K, size_x0);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestNoClosedForm(void) {
  PROPERTY("a plant too large for the closed form says so");
  const CtpgTask task = {.T = 1, .piece = -1};
  const CtpgLinearPolicy policy = {33, 33, NULL, NULL};
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create("-lqr_nx 33", &lqr));
  CHECK(CtpgProblem_lqr.closed_form(lqr.ctx, &task, &policy, NULL, NULL, NULL, NULL, NULL) == CTPG_SKIPPED, "nx = 33");
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRefused(const char *text) {
  PROPERTY("matrices of wrong size, symmetry or sign are refused: %s", text);
  Lqr lqr;

  PetscFunctionBeginUser;
  CHECK(Create(text, &lqr) == PETSC_ERR_USER_INPUT, "%s", text);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

// An uncontrolled state that does not decay: no optimum to start from.
static PetscErrorCode TestNoOptimum(const char *text) {
  PROPERTY("where there is no optimum, none is invented: %s", text);
  PetscReal point[MAX_NP];
  Lqr lqr;

  PetscFunctionBeginUser;
  PetscCall(Create(text, &lqr));
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  const PetscErrorCode error = DrawPolicy(&lqr, point);
  PetscCall(PetscPopErrorHandler());
  CHECK(error == PETSC_ERR_USER_INPUT, "%s", text);
  PetscCall(Destroy(&lqr));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestClosedForm(SQUARE));
  PetscCall(TestClosedForm(TALL));
  PetscCall(TestClosedForm("-lqr_nx 2 -lqr_nu 3 -lqr_A 0.2 -lqr_B 1.5 -lqr_Q 0.7 -lqr_R 2"));
  PetscCall(TestDefaultOptimum("-lqr_perturbation 0"));
  PetscCall(TestDefaultOptimum("-lqr_perturbation 0 -lqr_A 0,0,0,0"));
  PetscCall(TestPerturbation());
  PetscCall(TestOptimumIsStationary(SQUARE));
  PetscCall(TestOptimumIsStationary(TALL));
  PetscCall(TestOptimumIsStationary("-lqr_A 0.4 -lqr_B 1.5 -lqr_Q 0.7 -lqr_R 2 -lqr_perturbation 0"));
  PetscCall(TestNoClosedForm());
  PetscCall(TestRefused("-lqr_Q 1,2,3,4"));
  PetscCall(TestRefused("-lqr_R 1,2,3,4"));
  PetscCall(TestRefused("-lqr_R 1,2,2,1"));
  PetscCall(TestRefused("-lqr_R 0"));
  PetscCall(TestRefused("-lqr_B 1,2,3"));
  PetscCall(TestNoOptimum("-lqr_nx 3 -lqr_nu 2"));
  PetscCall(TestNoOptimum("-lqr_A -1 -lqr_Q -2"));
  PetscCall(TestNoOptimum("-lqr_nx 2 -lqr_nu 1 -lqr_A 0,0,0,0 -lqr_B 1,0"));
  PetscCall(PetscOptionsClear(NULL));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
