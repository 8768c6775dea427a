// implicit.c -- PETSc's discrete adjoint of theta and Crank-Nicolson methods (implicit.h)
//
// TS integrates y = (x, loss) by Newton's method on dense Jacobians, from the closed loop, and its trajectory keeps the
// states. TSAdjointSolve then goes back with lambda = dL/dy and mu = dL/dtheta, and asks for products with the
// parameters' Jacobian, which is a shell: its transposed product is one product of the closed loop. With a stride there
// is no trajectory of the whole solve: states are kept every K steps, and each interval, from the last to the first, is
// made again with a trajectory of its own, with the step lengths that it had, and reversed. A closed loop that fails
// gives zeros and ends the solve; but where an adaptive step may be shortened, NaN that makes Newton's iteration fail.

#include "ctpgbench/toolkit/implicit.h"
#include "ctpgbench/toolkit/stride.h"
#include <math.h>

#define NEWTON_TOLERANCE  1e-13
#define NEWTON_ITERATIONS 50

struct ImplicitAdjoint_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgRKOptions rk;
  TS ts;
  PetscInt K;                   // steps of an interval, 0: all are kept
  CtpgStride stride;            // with it: states every K steps,
  TS again;                     // and what makes an interval again, and reverses it
  PetscReal h;                  // of the step being attempted
  PetscBool undefined;          // f was not, at its last evaluation, which rejects the step
  const CtpgInterval *interval; // being made again
  Vec y, residual, lambda, mu, atol, rtol;
  Mat J, Jp;               // [nx + 1, nx + 1] dense, [nx + 1, np] shell
  PetscReal t, *x;         // where Jp was asked for
  PetscReal *fx, *v, *row; // [nx, nx], [nx] zeros, [nx] w_x
};

// ---- what TS calls; a failed loop gives zeros, and its status ends the solve ----

// TS ends at the first failure of Newton's iteration: the one at hand shortens the step instead.
static PetscErrorCode AllowFailure(TS ts) {
  PetscInt failures;
  PetscFunctionBeginUser;
  PetscCall(TSGetSNESFailures(ts, &failures));
  PetscCall(TSSetMaxSNESFailures(ts, failures + 2));
  PetscFunctionReturn(0);
}

static PetscErrorCode RightHandSide(TS ts, PetscReal t, Vec Y, Vec F, void *context) {
  CtpgImplicitAdjoint e = context;
  const PetscReal *y;
  PetscReal *f;

  PetscFunctionBeginUser;
  PetscCall(TSGetTimeStep(ts, &e->h));
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(VecGetArrayWrite(F, &f));
  const CtpgStatus status = CtpgClosedLoopEval(e->loop, 1, &t, y, f, f + e->sizes.nx);
  e->undefined = status != CTPG_OK && !e->rk.fixed ? CtpgClosedLoopRetry(e->loop, e->h) : PETSC_FALSE;
  if (e->undefined)
    PetscCall(AllowFailure(ts));
  else if (status != CTPG_OK) {
    PetscCall(PetscArrayzero(f, e->sizes.nx + 1));
    PetscCall(TSSetConvergedReason(ts, TS_CONVERGED_USER));
  }
  PetscCall(VecRestoreArrayWrite(F, &f));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

// Rows f_x and w_x; nothing depends on the loss.
static PetscErrorCode Jacobian(TS ts, PetscReal t, Vec Y, Mat J, Mat P, void *context) {
  CtpgImplicitAdjoint e = context;
  const PetscInt nx = e->sizes.nx;
  const PetscReal one = 1, *y;

  PetscFunctionBeginUser;
  (void)ts, (void)J;
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(PetscArrayzero(e->row, nx));
  CtpgClosedLoopJacobian(e->loop, t, y, e->fx);
  const CtpgStatus status = CtpgClosedLoopVJP(e->loop, 1, &t, y, e->v, &one, e->row, NULL);
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscCall(MatZeroEntries(P));
  for (PetscInt i = 0; i < nx && status == CTPG_OK; i++)
    for (PetscInt j = 0; j < nx; j++) PetscCall(MatSetValue(P, i, j, e->fx[i * nx + j], INSERT_VALUES));
  for (PetscInt j = 0; j < nx && status == CTPG_OK; j++) PetscCall(MatSetValue(P, nx, j, e->row[j], INSERT_VALUES));
  PetscCall(MatAssemblyBegin(P, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(P, MAT_FINAL_ASSEMBLY));
  PetscFunctionReturn(0);
}

// TSComputeIJacobianP scales what it gets with -1, and a shell remembers that from call to call: the sign of every
// second step's part of mu would be wrong. Assembling a shell forgets the scaling.
static PetscErrorCode JacobianP(TS ts, PetscReal t, Vec Y, Mat Jp, void *context) {
  CtpgImplicitAdjoint e = context;
  const PetscReal *y;
  PetscFunctionBeginUser;
  (void)ts;
  PetscCall(MatAssemblyBegin(Jp, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(Jp, MAT_FINAL_ASSEMBLY));
  PetscCall(VecGetArrayRead(Y, &y));
  e->t = t;
  PetscCall(PetscArraycpy(e->x, y, e->sizes.nx));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

// G = f_theta' v + c w_theta, V = (v, c).
static PetscErrorCode MultTranspose(Mat A, Vec V, Vec G) {
  CtpgImplicitAdjoint e;
  const PetscReal *v;
  PetscReal *g;

  PetscFunctionBeginUser;
  PetscCall(MatShellGetContext(A, &e));
  PetscCall(VecGetArrayRead(V, &v));
  PetscCall(VecGetArrayWrite(G, &g));
  PetscCall(PetscArrayzero(g, e->sizes.np));
  if (CtpgClosedLoopVJP(e->loop, 1, &e->t, e->x, v, v + e->sizes.nx, NULL, g) != CTPG_OK)
    PetscCall(PetscArrayzero(g, e->sizes.np));
  PetscCall(VecRestoreArrayWrite(G, &g));
  PetscCall(VecRestoreArrayRead(V, &v));
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static PetscErrorCode CreateMatrices(CtpgImplicitAdjoint e) {
  const PetscInt n = e->sizes.nx + 1, np = e->sizes.np;
  PetscFunctionBeginUser;
  PetscCall(MatCreateSeqDense(PETSC_COMM_SELF, n, n, NULL, &e->J));
  PetscCall(MatCreateShell(PETSC_COMM_SELF, n, np, n, np, e, &e->Jp));
  PetscCall(MatShellSetOperation(e->Jp, MATOP_MULT_TRANSPOSE, (void (*)(void))MultTranspose));
  PetscCall(MatAssemblyBegin(e->Jp, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(e->Jp, MAT_FINAL_ASSEMBLY));
  PetscFunctionReturn(0);
}

// Newton's method, full steps, dense factors.
static PetscErrorCode SetUpNewton(TS ts) {
  SNES snes;
  SNESLineSearch search;
  KSP ksp;
  PC pc;

  PetscFunctionBeginUser;
  PetscCall(TSGetSNES(ts, &snes));
  PetscCall(SNESSetType(snes, SNESNEWTONLS));
  PetscCall(SNESGetLineSearch(snes, &search));
  PetscCall(SNESLineSearchSetType(search, SNESLINESEARCHBASIC));
  PetscCall(SNESSetTolerances(snes, 1e-50, NEWTON_TOLERANCE, NEWTON_TOLERANCE, NEWTON_ITERATIONS, PETSC_DEFAULT));
  PetscCall(SNESGetKSP(snes, &ksp));
  PetscCall(KSPSetType(ksp, KSPPREONLY));
  PetscCall(KSPGetPC(ksp, &pc));
  PetscCall(PCSetType(pc, PCLU));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateTS(CtpgImplicitAdjoint e, TSType type, PetscBool equal, TS *ts) {
  TSAdapt adapt;
  PetscFunctionBeginUser;
  PetscCall(TSCreate(PETSC_COMM_SELF, ts));
  PetscCall(TSSetType(*ts, type));
  PetscCall(TSSetRHSFunction(*ts, e->residual, RightHandSide, e));
  PetscCall(TSSetRHSJacobian(*ts, e->J, e->J, Jacobian, e));
  PetscCall(TSSetRHSJacobianP(*ts, e->Jp, JacobianP, e));
  PetscCall(TSSetErrorIfStepFails(*ts, PETSC_FALSE));
  PetscCall(TSGetAdapt(*ts, &adapt));
  PetscCall(TSAdaptSetType(adapt, equal ? TSADAPTNONE : TSADAPTBASIC));
  PetscCall(TSSetExactFinalTime(*ts, equal ? TS_EXACTFINALTIME_STEPOVER : TS_EXACTFINALTIME_MATCHSTEP));
  PetscCall(SetUpNewton(*ts));
  PetscCall(TSSetSolution(*ts, e->y));
  PetscFunctionReturn(0);
}

static PetscErrorCode OnStep(TS ts, PetscInt n, PetscReal t, Vec y, void *context) {
  CtpgImplicitAdjoint e = context;
  PetscFunctionBeginUser;
  PetscCall(CtpgStrideRecord(&e->stride, ts, n, t, y, e->h));
  PetscFunctionReturn(0);
}

// A step made again has the length that it had.
static PetscErrorCode OnStepAgain(TS ts, PetscInt n, PetscReal t, Vec y, void *context) {
  CtpgImplicitAdjoint e = context;
  TSConvergedReason reason;
  PetscFunctionBeginUser;
  (void)t, (void)y;
  PetscCall(TSGetConvergedReason(ts, &reason));
  if (!reason) PetscCall(TSSetTimeStep(ts, CtpgIntervalLength(e->interval, n)));
  PetscFunctionReturn(0);
}

static PetscErrorCode SetUpStride(CtpgImplicitAdjoint e, TSType type) {
  PetscFunctionBeginUser;
  CtpgStrideCreate(e->loop, e->K, e->sizes.nx + 1, e->rk.fixed, &e->stride);
  PetscCall(TSMonitorSet(e->ts, OnStep, e, NULL));
  PetscCall(CreateTS(e, type, PETSC_TRUE, &e->again));
  PetscCall(TSMonitorSet(e->again, OnStepAgain, e, NULL));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgImplicitAdjointCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, TSType type, PetscInt K,
                                         CtpgImplicitAdjoint *implicit) {
  CtpgImplicitAdjoint e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *implicit = e;
  e->loop = loop;
  e->rk = *rk;
  e->K = K;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx;
  PetscCall(CtpgClosedLoopCreateState(loop, 1, &e->y));
  PetscCall(VecDuplicate(e->y, &e->residual));
  PetscCall(VecDuplicate(e->y, &e->lambda));
  PetscCall(VecDuplicate(e->y, &e->atol));
  PetscCall(VecDuplicate(e->y, &e->rtol));
  PetscCall(VecCreateSeq(PETSC_COMM_SELF, e->sizes.np, &e->mu));
  PetscCall(PetscCalloc4(nx, &e->x, nx * nx, &e->fx, nx, &e->v, nx, &e->row));
  PetscCall(CreateMatrices(e));
  PetscCall(CreateTS(e, type, rk->fixed, &e->ts));
  if (K) PetscCall(SetUpStride(e, type));
  PetscCall(TSSetCostGradients(K ? e->again : e->ts, 1, &e->lambda, &e->mu));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgImplicitAdjointDestroy(CtpgImplicitAdjoint *implicit) {
  CtpgImplicitAdjoint e = *implicit;
  PetscFunctionBeginUser;
  if (!e) PetscFunctionReturn(0);
  PetscCall(TSDestroy(&e->ts));
  PetscCall(TSDestroy(&e->again));
  CtpgStrideDestroy(&e->stride);
  PetscCall(MatDestroy(&e->J));
  PetscCall(MatDestroy(&e->Jp));
  PetscCall(VecDestroy(&e->y));
  PetscCall(VecDestroy(&e->residual));
  PetscCall(VecDestroy(&e->lambda));
  PetscCall(VecDestroy(&e->mu));
  PetscCall(VecDestroy(&e->atol));
  PetscCall(VecDestroy(&e->rtol));
  PetscCall(PetscFree4(e->x, e->fx, e->v, e->row));
  PetscCall(PetscFree(*implicit));
  PetscFunctionReturn(0);
}

// ---- the gradient ----

// The state x0 and tolerances; the loss has none.
static PetscErrorCode SetStart(CtpgImplicitAdjoint e, const PetscReal *x0, PetscReal rtol) {
  const PetscInt nx = e->sizes.nx;
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayWrite(e->y, &y));
  PetscCall(PetscArraycpy(y, x0, nx));
  y[nx] = 0;
  PetscCall(VecRestoreArrayWrite(e->y, &y));
  if (e->rk.fixed) PetscFunctionReturn(0);
  PetscCall(VecSet(e->rtol, rtol));
  PetscCall(VecSet(e->atol, e->rk.atol_factor * rtol));
  PetscCall(VecSetValue(e->rtol, nx, 0, INSERT_VALUES));
  PetscCall(VecSetValue(e->atol, nx, 0, INSERT_VALUES));
  PetscCall(TSSetTolerances(e->ts, rtol, e->atol, rtol, e->rtol));
  PetscFunctionReturn(0);
}

// First step of an adaptive solve: what an error estimate of order 2 allows if y changes within the horizon.
static PetscReal FirstStep(const CtpgImplicitAdjoint e, PetscReal rtol) {
  return 1e-2 * sqrt(rtol) * e->sizes.T;
}

static PetscErrorCode SolveForward(CtpgImplicitAdjoint e, PetscReal accuracy, CtpgResult *result) {
  const PetscInt N = e->rk.fixed ? CtpgFixedSteps(e->sizes.T, accuracy) : 0;
  const PetscReal h = N ? e->sizes.T / (PetscReal)N : FirstStep(e, accuracy);
  PetscReal reached;
  PetscInt steps, rejected;

  PetscFunctionBeginUser;
  if (N == PETSC_MAX_INT) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "steps of %.3g are too many to count in %.3g", accuracy, e->sizes.T);
    PetscFunctionReturn(0);
  }
  CtpgClosedLoopSetPurpose(e->loop, CTPG_FORWARD);
  PetscCall(TSSetMaxSNESFailures(e->ts, 1));
  PetscCall(TSSetTime(e->ts, 0));
  PetscCall(TSSetStepNumber(e->ts, 0));
  PetscCall(TSSetTimeStep(e->ts, h));
  PetscCall(TSSetMaxTime(e->ts, N ? e->sizes.T + h : e->sizes.T));
  PetscCall(TSSetMaxSteps(e->ts, N ? N : e->rk.step_limit));
  PetscCall(TSRestartStep(e->ts));
  PetscCall(TSSolve(e->ts, e->y));
  PetscCall(TSGetTime(e->ts, &reached));
  PetscCall(TSGetStepNumber(e->ts, &steps));
  PetscCall(TSGetStepRejections(e->ts, &rejected));
  result->steps += steps;
  result->rejected += rejected;
  if (N) result->h = h;
  if (e->undefined) CtpgClosedLoopFailAgain(e->loop);
  if (fabs(reached - e->sizes.T) > 1e-9 * e->sizes.T)
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT,
                       "stopped at %.3g of %.3g after %d steps: step_limit, or Newton's iteration", reached, e->sizes.T,
                       (int)steps);
  PetscFunctionReturn(0);
}

// lambda = (J_x, 1), mu = 0; loss with its terminal cost.
static PetscErrorCode SetTerminal(CtpgImplicitAdjoint e, CtpgResult *result) {
  const PetscReal *y;
  PetscReal *lambda, terminal;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(e->y, &y));
  PetscCall(VecGetArrayWrite(e->lambda, &lambda));
  CtpgClosedLoopTerminal(e->loop, y, &terminal, lambda);
  lambda[e->sizes.nx] = 1;
  *result->loss = y[e->sizes.nx] + terminal;
  PetscCall(VecRestoreArrayWrite(e->lambda, &lambda));
  PetscCall(VecRestoreArrayRead(e->y, &y));
  PetscCall(VecZeroEntries(e->mu));
  PetscFunctionReturn(0);
}

// An interval is made again with its trajectory, and reversed: lambda and mu go on.
static PetscErrorCode ReverseInterval(CtpgImplicitAdjoint e, const CtpgInterval *interval) {
  PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(CtpgTrajectoryKeepSteps(e->again, interval->steps));
  PetscCall(VecGetArrayWrite(e->y, &y));
  PetscCall(PetscArraycpy(y, interval->y, e->sizes.nx + 1));
  PetscCall(VecRestoreArrayWrite(e->y, &y));
  e->interval = interval;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_RECOMPUTE);
  PetscCall(TSSetTime(e->again, interval->t));
  PetscCall(TSSetStepNumber(e->again, 0));
  PetscCall(TSSetMaxTime(e->again, PETSC_MAX_REAL));
  PetscCall(TSRestartStep(e->again));
  PetscCall(TSSolve(e->again, e->y));
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) PetscFunctionReturn(0);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  PetscCall(TSAdjointSolve(e->again));
  PetscFunctionReturn(0);
}

static PetscErrorCode Reverse(CtpgImplicitAdjoint e) {
  PetscFunctionBeginUser;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  if (!e->K) PetscCall(TSAdjointSolve(e->ts));
  for (PetscInt k = e->K ? CtpgStrideGetIntervals(&e->stride) - 1 : -1; k >= 0; k--) {
    const CtpgInterval interval = CtpgStrideGetInterval(&e->stride, k);
    if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) break;
    PetscCall(ReverseInterval(e, &interval));
  }
  PetscFunctionReturn(0);
}

static size_t StoredBytes(const CtpgImplicitAdjoint e, int64_t steps) {
  if (e->K) return CtpgStrideGetBytes(&e->stride, 2);
  return CtpgTrajectoryBytes(steps, 2, e->sizes.nx + 1);
}

PetscErrorCode CtpgImplicitAdjointGradient(CtpgImplicitAdjoint e, const PetscReal *x0, PetscReal accuracy,
                                           CtpgResult *result) {
  const int64_t steps_before = result->steps;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(e->loop, &e->sizes); // the horizon belongs to the case
  if (e->K)
    CtpgStrideStart(&e->stride, 0);
  else
    PetscCall(CtpgTrajectoryKeep(e->ts));
  PetscCall(SetStart(e, x0, accuracy));
  PetscCall(SolveForward(e, accuracy, result));
  const int64_t steps = result->steps - steps_before;
  result->bytes = PetscMax(result->bytes, StoredBytes(e, steps));
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(SetTerminal(e, result));
  PetscCall(Reverse(e));
  PetscCall(CtpgTrajectoryReadGradient(e->K ? e->again : e->ts, &e->sizes, result));
  result->steps_adjoint += steps;
  PetscFunctionReturn(0);
}
