// exact.c -- see exact.h

#include "train/exact.h"
#include "ctpgbench/toolkit/reverse.h"
#include "loop/closedloop_engine.h"
#include <math.h>

#define RTOL      1e-10
#define SAME_TIME 1e-12 // of T: sample times and breaks closer than this are one

struct ExactSolver_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgForwardSolve loss, record; // the second one keeps what the reverse sweep needs
  CtpgReverseSweep sweep;
  CtpgRKSolver path;
  PetscInt step_limit;
  PetscReal *alpha; // [nx]
};

static CtpgStatus PathRightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  ExactSolver e = context;
  PetscReal w;
  (void)i;
  return CtpgClosedLoopEval(e->loop, 1, &t, y, ydot, &w);
}

PetscErrorCode ExactCreate(CtpgClosedLoop loop, PetscInt step_limit, ExactSolver *exact) {
  CtpgRKOptions rk = {.atol_factor = CTPG_DEFAULT_ATOL_FACTOR, .step_limit = step_limit, .respect_breaks = PETSC_TRUE};
  ExactSolver e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *exact = e;
  e->loop = loop;
  e->step_limit = step_limit;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(CtpgRKTableFind("-rk", "8vr", &rk.table));
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, CTPG_KEEP_NOTHING, &e->loss));
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, CTPG_KEEP_STATES | CTPG_KEEP_STAGES, &e->record));
  PetscCall(CtpgReverseCreate(loop, &rk.table, &e->sweep));
  const CtpgRKCallbacks callbacks = {.context = e, .rhs = PathRightHandSide};
  PetscCall(CtpgRKSolverCreate(loop, &rk, NULL, 0, e->sizes.nx, &callbacks, &e->path));
  PetscCall(PetscMalloc1(e->sizes.nx, &e->alpha));
  PetscFunctionReturn(0);
}

PetscErrorCode ExactDestroy(ExactSolver *exact) {
  ExactSolver e = *exact;
  PetscFunctionBeginUser;
  if (!e) PetscFunctionReturn(0);
  PetscCall(CtpgForwardDestroy(&e->loss));
  PetscCall(CtpgForwardDestroy(&e->record));
  PetscCall(CtpgReverseDestroy(&e->sweep));
  PetscCall(CtpgRKSolverDestroy(&e->path));
  PetscCall(PetscFree(e->alpha));
  PetscCall(PetscFree(*exact));
  PetscFunctionReturn(0);
}

PetscErrorCode ExactLoss(ExactSolver e, const PetscReal *x0, PetscReal *loss) {
  CtpgResult result = {.loss = loss};
  PetscFunctionBeginUser;
  PetscCall(CtpgForwardRun(e->loss, x0, RTOL, &result));
  PetscFunctionReturn(0);
}

PetscErrorCode ExactGradient(ExactSolver e, const PetscReal *x0, PetscReal *gtheta) {
  PetscReal loss, terminal;
  CtpgResult result = {.loss = &loss};

  PetscFunctionBeginUser;
  PetscCall(PetscArrayzero(gtheta, e->sizes.np));
  PetscCall(CtpgForwardRun(e->record, x0, RTOL, &result));
  CtpgClosedLoopTerminal(e->loop, CtpgForwardGetEnd(e->record), &terminal, e->alpha);
  if (CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) CtpgReverseRun(e->sweep, e->record, e->alpha, gtheta);
  PetscFunctionReturn(0);
}

// One point of a path; CtpgClosedLoopControl asks for the side behind a break.
static PetscErrorCode KeepPoint(ExactSolver e, PetscReal t, PetscReal *x, PetscReal *u) {
  PetscReal *y;
  PetscFunctionBeginUser;
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(CtpgRKSolverGetState(e->path, &y));
  PetscCall(PetscArraycpy(x, y, e->sizes.nx));
  PetscCall(CtpgRKSolverRestoreState(e->path, &y));
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgClosedLoopControl(e->loop, t, x, u);
  PetscFunctionReturn(0);
}

// Within the piece that was entered. The limit is that of the whole path, the solver's that of this stretch.
static PetscErrorCode Advance(ExactSolver e, PetscReal t, PetscReal t_end) {
  int64_t steps, rejected;
  PetscFunctionBeginUser;
  if (t_end - t <= SAME_TIME * e->sizes.T) PetscFunctionReturn(0);
  PetscCall(CtpgRKSolverSolve(e->path, CTPG_FORWARD, t, t_end, RTOL, 0));
  CtpgRKSolverGetCounts(e->path, &steps, &rejected);
  if (steps > e->step_limit)
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "%d steps (-test_step_limit) used up at t = %.3g", (int)e->step_limit,
                       t_end);
  PetscFunctionReturn(0);
}

PetscErrorCode ExactPath(ExactSolver e, const PetscReal *x0, PetscInt n, PetscInt nu, PetscReal *path,
                         PetscReal *control) {
  const PetscInt nx = e->sizes.nx, npieces = CtpgClosedLoopGetPieces(e->loop, PETSC_TRUE);
  PetscReal *y, t = 0, low, high;

  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n * nx; i++) path[i] = NAN;
  for (PetscInt i = 0; i < n * nu; i++) control[i] = NAN;
  CtpgClosedLoopGetSizes(e->loop, &e->sizes);
  PetscCall(CtpgRKSolverGetState(e->path, &y));
  PetscCall(PetscArraycpy(y, x0, nx));
  PetscCall(CtpgRKSolverRestoreState(e->path, &y));
  CtpgRKSolverResetCounts(e->path);
  for (PetscInt i = 0, k = 0; i < n && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; i++) {
    const PetscReal sample = i < n - 1 ? e->sizes.T * i / (n - 1) : e->sizes.T;
    for (;; k++) { // through the breaks before it
      CtpgClosedLoopEnterPiece(e->loop, PETSC_TRUE, k, &low, &high);
      PetscCall(Advance(e, t, PetscMin(sample, high)));
      t = PetscMin(sample, high);
      if (sample <= high || k == npieces - 1) break;
    }
    PetscCall(KeepPoint(e, sample, path + i * nx, control + i * nu));
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  PetscFunctionReturn(0);
}
