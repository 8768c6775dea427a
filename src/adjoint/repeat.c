// repeat.c -- see repeat.h

#include "ctpgbench/toolkit/repeat.h"

struct Repeater_s {
  CtpgClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx;
  CtpgRKSolver solver;
  PetscBool whole;                     // the whole step is made, or its stages alone
  PetscReal *stages;                   // where they go
  PetscBool feeds[CTPG_RK_MAX_STAGES]; // is a later stage of the reverse sweep made from this one?
};

static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  CtpgRepeater r = context;
  if (r->whole ? r->table.reversed[i] : r->feeds[i]) return CtpgClosedLoopEval(r->loop, 1, &t, y, ydot, ydot + r->nx);
  memset(ydot, 0, (size_t)(r->nx + 1) * sizeof *ydot);
  return CTPG_OK;
}

static void OnStage(void *context, PetscInt i, const PetscReal *y) {
  CtpgRepeater r = context;
  const PetscInt row = r->table.stage_row[i];
  if (!r->whole && row >= 0) memcpy(r->stages + row * r->nx, y, (size_t)r->nx * sizeof *y);
}

PetscErrorCode CtpgRepeaterCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, CtpgRepeater *repeater) {
  const PetscInt s = rk->table.s;
  CtpgRKOptions fixed = *rk;
  CtpgLoopSizes sizes;
  CtpgRepeater r;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&r));
  *repeater = r;
  CtpgClosedLoopGetSizes(loop, &sizes);
  r->loop = loop;
  r->table = rk->table;
  r->nx = sizes.nx;
  for (PetscInt i = 0; i < s; i++)
    for (PetscInt j = i + 1; j < s; j++)
      if (rk->table.stage_row[j] >= 0 && rk->table.A[j * s + i] != 0) r->feeds[i] = PETSC_TRUE;
  fixed.fixed = PETSC_TRUE;
  const CtpgRKCallbacks callbacks = {.context = r, .rhs = RightHandSide, .stage = OnStage};
  PetscCall(CtpgRKSolverCreate(loop, &fixed, NULL, 1, sizes.nx, &callbacks, &r->solver));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRepeaterDestroy(CtpgRepeater *repeater) {
  PetscFunctionBeginUser;
  if (!*repeater) PetscFunctionReturn(0);
  PetscCall(CtpgRKSolverDestroy(&(*repeater)->solver));
  PetscCall(PetscFree(*repeater));
  PetscFunctionReturn(0);
}

static PetscErrorCode Repeat(CtpgRepeater r, const CtpgStep *step) {
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(r->solver, &y));
  PetscCall(PetscArraycpy(y, step->x, r->nx));
  y[r->nx] = 0;
  PetscCall(CtpgRKSolverRestoreState(r->solver, &y));
  CtpgClosedLoopSetPiece(r->loop, step->piece);
  PetscCall(CtpgRKSolverRepeat(r->solver, CTPG_RECOMPUTE, step->t, step->h));
  CtpgClosedLoopSetPiece(r->loop, -1);
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRepeatStep(CtpgRepeater r, const CtpgStep *step, PetscReal *x) {
  PetscReal *y;
  PetscFunctionBeginUser;
  r->whole = PETSC_TRUE;
  PetscCall(Repeat(r, step));
  PetscCall(CtpgRKSolverGetState(r->solver, &y));
  PetscCall(PetscArraycpy(x, y, r->nx));
  PetscCall(CtpgRKSolverRestoreState(r->solver, &y));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRepeatStages(CtpgRepeater r, const CtpgStep *step, PetscReal *stages) {
  PetscFunctionBeginUser;
  r->whole = PETSC_FALSE;
  r->stages = stages;
  PetscCall(Repeat(r, step));
  PetscFunctionReturn(0);
}
