// repeat.c -- see repeat.h

#include "ctpgbench/toolkit/repeat.h"

struct Repeater_s {
  ClosedLoop loop;
  CtpgRKTable table;
  PetscInt nx;
  RKSolver solver;
  PetscBool whole;                     // the whole step is made, or its stages alone
  PetscReal *stages;                   // where they go
  PetscBool feeds[CTPG_RK_MAX_STAGES]; // is a later stage of the reverse sweep made from this one?
};

static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  Repeater r = context;
  if (r->whole ? r->table.reversed[i] : r->feeds[i]) return ClosedLoopEval(r->loop, 1, &t, y, ydot, ydot + r->nx, NULL);
  memset(ydot, 0, (size_t)(r->nx + 1) * sizeof *ydot);
  return CTPG_OK;
}

static void OnStage(void *context, PetscInt i, const PetscReal *y) {
  Repeater r = context;
  const PetscInt row = r->table.stage_row[i];
  if (!r->whole && row >= 0) memcpy(r->stages + row * r->nx, y, (size_t)r->nx * sizeof *y);
}

PetscErrorCode RepeaterCreate(ClosedLoop loop, const RKOptions *rk, Repeater *repeater) {
  const PetscInt s = rk->table.s;
  RKOptions fixed = *rk;
  CtpgLoopSizes sizes;
  Repeater r;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&r));
  *repeater = r;
  ClosedLoopGetSizes(loop, &sizes);
  r->loop = loop;
  r->table = rk->table;
  r->nx = sizes.nx;
  for (PetscInt i = 0; i < s; i++)
    for (PetscInt j = i + 1; j < s; j++)
      if (rk->table.stage_row[j] >= 0 && rk->table.A[j * s + i] != 0) r->feeds[i] = PETSC_TRUE;
  fixed.fixed = PETSC_TRUE;
  const RKCallbacks callbacks = {.context = r, .rhs = RightHandSide, .stage = OnStage};
  PetscCall(RKSolverCreate(loop, &fixed, NULL, 1, sizes.nx, &callbacks, &r->solver));
  PetscFunctionReturn(0);
}

PetscErrorCode RepeaterDestroy(Repeater *repeater) {
  PetscFunctionBeginUser;
  if (!*repeater) PetscFunctionReturn(0);
  PetscCall(RKSolverDestroy(&(*repeater)->solver));
  PetscCall(PetscFree(*repeater));
  PetscFunctionReturn(0);
}

static PetscErrorCode Repeat(Repeater r, const CtpgStep *step) {
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(RKSolverGetState(r->solver, &y));
  PetscCall(PetscArraycpy(y, step->x, r->nx));
  y[r->nx] = 0;
  PetscCall(RKSolverRestoreState(r->solver, &y));
  ClosedLoopSetPiece(r->loop, step->piece);
  PetscCall(RKSolverRepeat(r->solver, CTPG_RECOMPUTE, step->t, step->h));
  ClosedLoopSetPiece(r->loop, -1);
  PetscFunctionReturn(0);
}

PetscErrorCode RepeatStep(Repeater r, const CtpgStep *step, PetscReal *x) {
  PetscReal *y;
  PetscFunctionBeginUser;
  r->whole = PETSC_TRUE;
  PetscCall(Repeat(r, step));
  PetscCall(RKSolverGetState(r->solver, &y));
  PetscCall(PetscArraycpy(x, y, r->nx));
  PetscCall(RKSolverRestoreState(r->solver, &y));
  PetscFunctionReturn(0);
}

PetscErrorCode RepeatStages(Repeater r, const CtpgStep *step, PetscReal *stages) {
  PetscFunctionBeginUser;
  r->whole = PETSC_FALSE;
  r->stages = stages;
  PetscCall(Repeat(r, step));
  PetscFunctionReturn(0);
}
