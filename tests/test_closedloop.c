// test_closedloop.c -- parameters in use, the observer, pieces between breaks: what `check` does not look at

#include "instance.h"
#include "test.h"

#define MOST 16

typedef struct {
  CtpgProblem problem;
  CtpgCase c;
  ClosedLoop loop;
} Setup;

static PetscErrorCode SetUp(const char *type, Setup *s) {
  CtpgLabel label = {"", ""};
  PetscFunctionBeginUser;
  PetscCall(PetscStrncpy(label.label, type, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type, sizeof label.type));
  PetscCall(ProblemCreate(&label, &s->problem));
  PetscCall(CaseDraw(&s->problem, 3, 0, &s->c));
  PetscCall(ProblemCreateLoop(&s->problem, &s->loop));
  ClosedLoopSetCase(s->loop, s->c.theta, s->c.task, s->c.T);
  ClosedLoopStart(s->loop, NULL);
  PetscFunctionReturn(0);
}

static PetscErrorCode TearDown(Setup *s) {
  PetscFunctionBeginUser;
  PetscCall(ClosedLoopDestroy(&s->loop));
  PetscCall(CaseDestroy(&s->c));
  PetscCall(ProblemDestroy(&s->problem));
  PetscFunctionReturn(0);
}

// Evaluations with other parameters are those of a case with these parameters, until they are given back.
static PetscErrorCode ParametersInUse(void) {
  PetscReal f[MOST], moved[MOST], again[MOST], w, *theta;
  const PetscReal t = 0.5;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  const PetscInt nx = s.problem.dims.nx, np = PolicyGetSize(s.problem.policy);
  PetscCall(PetscMalloc1(np, &theta));
  for (PetscInt k = 0; k < np; k++) theta[k] = 1.1 * s.c.theta[k];
  CHECK(ClosedLoopGetTheta(s.loop) == s.c.theta);
  ClosedLoopEval(s.loop, 1, &t, s.c.x0, f, &w, NULL);
  ClosedLoopUseTheta(s.loop, theta);
  ClosedLoopEval(s.loop, 1, &t, s.c.x0, moved, &w, NULL);
  CHECK(ClosedLoopGetTheta(s.loop) == s.c.theta, "the case's own parameters are lost");
  ClosedLoopUseTheta(s.loop, NULL);
  ClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w, NULL);
  CHECK(!memcmp(f, again, (size_t)nx * sizeof *f), "parameters were not given back");
  CHECK(memcmp(f, moved, (size_t)nx * sizeof *f), "other parameters change nothing");
  ClosedLoopSetCase(s.loop, theta, s.c.task, s.c.T);
  ClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w, NULL);
  CHECK(!memcmp(moved, again, (size_t)nx * sizeof *f), "not the evaluation of a case with these parameters");
  ClosedLoopSetCase(s.loop, s.c.theta, s.c.task, s.c.T);
  ClosedLoopUseTheta(s.loop, theta);
  ClosedLoopStart(s.loop, NULL);
  ClosedLoopEval(s.loop, 1, &t, s.c.x0, again, &w, NULL);
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
  PetscReal x[3 * MOST], f[3 * MOST], g[3 * MOST] = {0}, w[3];
  const PetscReal t[] = {0, 1, 2}, c[] = {1, 1, 1};
  Seen seen = {0};
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("diffdrive", &s));
  const PetscInt nx = s.problem.dims.nx;
  for (PetscInt i = 0; i < 3 * nx; i++) x[i] = s.c.x0[i % nx];
  ClosedLoopSetObserver(s.loop, Observe, &seen);
  ClosedLoopEval(s.loop, 3, t, x, f, w, NULL);
  CHECK(seen.evaluations == 3 && seen.products == 0 && seen.last_t == 2);
  ClosedLoopVJP(s.loop, 2, t, x, f, c, g, NULL, NULL);
  CHECK(seen.evaluations == 3 && seen.products == 2 && seen.last_t == 1);
  ClosedLoopSetObserver(s.loop, NULL, NULL);
  ClosedLoopEval(s.loop, 1, t, x, f, w, NULL);
  CHECK(seen.evaluations == 3, "an observer that left still sees");
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

// electric's control jumps at T/2: each piece sees its own side of the break.
static PetscErrorCode Pieces(void) {
  PetscReal left[MOST], right[MOST], plain[MOST], w, t_low, t_high;
  Setup s;

  PetscFunctionBeginUser;
  PetscCall(SetUp("electric", &s));
  const PetscReal T = s.c.T, middle = T / 2;
  const size_t bytes = (size_t)s.problem.dims.nx * sizeof *left;
  CHECK(ClosedLoopGetPieces(s.loop, PETSC_FALSE) == 1);
  CHECK(ClosedLoopGetPieces(s.loop, PETSC_TRUE) == 2);
  ClosedLoopEnterPiece(s.loop, PETSC_TRUE, 0, &t_low, &t_high);
  CHECK(t_low == 0 && t_high == middle, "[%g, %g]", t_low, t_high);
  ClosedLoopEval(s.loop, 1, &middle, s.c.x0, left, &w, NULL);
  ClosedLoopEnterPiece(s.loop, PETSC_TRUE, 1, &t_low, &t_high);
  CHECK(t_low == middle && t_high == T, "[%g, %g]", t_low, t_high);
  ClosedLoopEval(s.loop, 1, &middle, s.c.x0, right, &w, NULL);
  ClosedLoopEnterPiece(s.loop, PETSC_FALSE, 0, &t_low, &t_high);
  CHECK(t_low == 0 && t_high == T, "[%g, %g]", t_low, t_high);
  ClosedLoopEval(s.loop, 1, &middle, s.c.x0, plain, &w, NULL);
  CHECK(memcmp(left, right, bytes), "the control does not jump");
  CHECK(!memcmp(plain, right, bytes), "not right-continuous");
  PetscCall(TearDown(&s));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(ParametersInUse());
  PetscCall(Observer());
  PetscCall(Pieces());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
