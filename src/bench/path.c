// path.c -- see path.h

#include "base/vector.h"
#include "bench/path.h"
#include "ctpgbench/toolkit/forward.h"

// The states at the steps of an accurate solve.
static PetscErrorCode RecordPath(BenchPath *path) {
  const PetscInt nx = path->problem.dims.nx;
  CtpgRKOptions rk = {.atol_factor = 1e-3, .step_limit = 100000};
  PetscReal loss;
  CtpgResult result = {.loss = &loss};
  CtpgForwardSolve forward;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", "tsit5", &rk.table));
  PetscCall(CtpgForwardCreate(path->loop, &rk, NULL, CTPG_KEEP_STATES, &forward));
  CtpgClosedLoopStart(path->loop, NULL);
  PetscCall(CtpgForwardRun(forward, path->c.x0, 1e-6, &result));
  PetscCheck(CtpgClosedLoopGetStatus(path->loop) == CTPG_OK, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "the path of %s, %s cannot be traced: %s", path->problem.label, path->c.name,
             CtpgClosedLoopGetReason(path->loop));
  path->n = CtpgForwardGetSteps(forward);
  PetscCall(PetscMalloc3(path->n, &path->t, path->n * nx, &path->x, path->n * nx, &path->v));
  for (PetscInt i = 0; i < path->n; i++) {
    const CtpgStep step = CtpgForwardGetStep(forward, i);
    path->t[i] = step.t;
    PetscCall(PetscArraycpy(path->x + i * nx, step.x, nx));
    for (PetscInt k = 0; k < nx; k++) path->v[i * nx + k] = 1.0 / (PetscReal)(k + 1);
  }
  PetscCall(CtpgForwardDestroy(&forward));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchPathCreate(const CtpgLabel *label, BenchPath *path) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(path, sizeof *path));
  PetscCall(ProblemCreate(label, &path->problem));
  PetscCall(CaseDraw(&path->problem, 0, 0, &path->c));
  PetscCall(ProblemCreateLoop(&path->problem, &path->loop));
  CtpgClosedLoopSetCase(path->loop, path->c.theta, 1, path->c.task, path->c.T);
  const PetscInt nx = path->problem.dims.nx;
  PetscCall(PetscCalloc3(nx, &path->f, nx, &path->gx, PolicyGetSize(path->problem.policy), &path->gtheta));
  PetscCall(RecordPath(path));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchPathDestroy(BenchPath *path) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree3(path->t, path->x, path->v));
  PetscCall(PetscFree3(path->f, path->gx, path->gtheta));
  PetscCall(CtpgClosedLoopDestroy(&path->loop));
  PetscCall(CaseDestroy(&path->c));
  PetscCall(ProblemDestroy(&path->problem));
  PetscFunctionReturn(0);
}

void BenchPathEval(BenchPath *path, PetscInt i) {
  PetscReal w;
  CtpgClosedLoopEval(path->loop, 1, path->t + i % path->n, path->x + i % path->n * path->problem.dims.nx, path->f, &w);
}

void BenchPathProduct(BenchPath *path, PetscInt i) {
  const PetscInt at = i % path->n * path->problem.dims.nx;
  const PetscReal one = 1;
  CtpgClosedLoopVJP(path->loop, 1, path->t + i % path->n, path->x + at, path->v + at, &one, path->gx, path->gtheta);
}
