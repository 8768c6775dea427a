// tsadjoint.c -- PETSc's discrete adjoint: TSAdjointSolve over an adaptive TSRK solve, as a PETSc user gets it
//
//   forward   TSRK solve of (x, loss), stages kept by a TSTrajectory of type memory
//   adjoint   lambda(T) = (J_x, 1), mu(T) = 0;  TSAdjointSolve;  dL/dx0 = lambda_x(0), dL/dtheta = mu(0)
//
// Derivative of the discrete map, of the order of the table: the gradient of rk-adjoint on the same mesh.
// J is a MATSHELL, whose product at a stage is the joint one; v is of (x, loss), so its last component multiplies w.
// PETSc passes over np components five times a stage: it is told of one parameter instead, on which nothing depends and
// whose Jp it asks for at each stage, and so names it. The part for theta waits as factors and enters mu, scaled by
// -h b_i as PETSc would do it, for many stages at a time. The bits are those of PETSc's sum.
// Stages with zero weight would be dropped from mu by PETSc 3.16.5 to 3.21.3: the table is registered anew with tiny
// weights (rktable.h). An error-only stage (7vr, 8vr) has such a weight too: its product is known to vanish and is not
// made.
// -ts_type theta | cn: the implicit midpoint rule or Crank-Nicolson in place of TSRK, for stiff loops (implicit.h);
// equal steps by default, -steps adaptive for PETSc's own control of them.
// -stride K bounds the memory: the forward solve leaves a state every K steps, and on the way back each interval of K
// steps is made again with a trajectory, and reversed (stride.h). The gradient is the same to the bit.
// respect_breaks (rk): a TS with a trajectory of its own for each piece between break times.
// Price: s f + s vjp a step; implicit: per Newton iteration 1 f, 1 Jacobian and 1 product, per step back the same with
// theta's product. Stride: the forward solve's accepted steps once more, without the stages that serve the error
// estimate alone.
// Memory: the trajectory's, by formula: (s + 1)(nx + 1) + 3 reals a step, implicit 2 (nx + 1) + 3; stride: K steps of
// that, a state and a time per interval, and the steps' lengths where they differ; least where K^2 is about N / s.
// PETSc's own book-keeping of some KB a step comes on top and is not counted.
// Weakness: memory of some KB a step; without a stride, step_limit pointers are allocated at once.
// Source: H. Zhang, E. M. Constantinescu, B. F. Smith, "PETSc TSAdjoint: a discrete adjoint ODE solver for first-order
// and second-order sensitivity analysis", SIAM J. Sci. Comput. 44 (2022), Sec. 2.

#include "ctpgbench/toolkit/rksolver.h"
#include "ctpgbench/toolkit/implicit.h"
#include "ctpgbench/toolkit/stride.h"

#define MOST_WAITING 16 // products

// A solve of the whole or of a piece between two breaks.
typedef struct {
  CtpgRKSolver solver;
  CtpgStride stride;         // with a stride: states every K steps
  PetscInt number;           // of the piece
  PetscBool trajectory_used; // by a forward solve whose adjoint was not solved
} Piece;

typedef struct {
  CtpgRKOptions rk;
  PetscInt ts_type; // index of TS_TYPES
  CtpgImplicitAdjoint implicit;
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  PetscInt npieces;
  Piece *pieces;      // [npieces]
  PetscInt K;         // length of an interval, 0: all steps are kept
  CtpgRKSolver again; // with it: what makes an interval again,
  PetscInt left;      // and how many of its steps are left
  Mat J, Jp;          // shells: (x, loss)' products [nx + 1, nx + 1], and of the one parameter [nx + 1, 1]
  Vec lambda, none;   // [nx + 1], of the one parameter [1]
  PetscReal *y;       // [nx + 1] between pieces
  PetscReal t, *x;    // where the products are asked for; x [nx]
  PetscInt stage;     // which one that is,
  PetscReal weight;   // and -h b_i
  PetscReal *mu;      // [np]
  const PetscReal *b; // weights of the table that TS has
  PetscInt nwaiting, factor_size;
  PetscReal *factors, weights[MOST_WAITING]; // [MOST_WAITING, factor_size] of the products that wait, and their scale
} TSAdjoint;

static const char *const TS_TYPES[] = {"rk", "theta", "cn", NULL};

static PetscErrorCode EstimatorCreate_TSAdjoint(CtpgOptions options, CtpgTraits *traits, void **est) {
  TSAdjoint *e;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(
      CtpgOptionsChoice(options, "ts_type", "rk, or for stiff loops theta or cn, of order 2", TS_TYPES, &e->ts_type));
  PetscCall(CtpgOptionsInt(options, "stride", "keep a state every so many steps and make the others again; 0: keep all",
                           0, 100000000, &e->K));
  if (e->K) traits->storage = e->ts_type ? "(N / K + 2 min(N, K)) nx" : "(N / K + (s + 1) min(N, K)) nx";
  if (e->ts_type) {
    PetscCall(CtpgRKOptionsReadSteps(options, 2, &e->rk, traits));
    if (!e->K) traits->storage = "2 N nx";
    PetscFunctionReturn(0);
  }
  PetscCall(CtpgRKOptionsRead(options, "5dp", &e->rk, traits));
  PetscFunctionReturn(0);
}

// ---- Jacobians as products ----

// Which stage, by its vector.
static PetscErrorCode FindStage(TS ts, Vec Y, PetscInt *stage) {
  PetscInt s;
  Vec *stages;
  PetscFunctionBeginUser;
  PetscCall(TSGetStages(ts, &s, &stages));
  for (*stage = 0; *stage < s && Y != stages[*stage];) (*stage)++;
  PetscCheck(*stage < s, PETSC_COMM_SELF, PETSC_ERR_PLIB, "TSAdjointSolve asks for a Jacobian that is at no stage");
  PetscFunctionReturn(0);
}

// PETSc comes to a stage: the product with J follows.
static PetscErrorCode JacobianP(TS ts, PetscReal t, Vec Y, Mat Jp, void *context) {
  TSAdjoint *e = context;
  const PetscReal *y;
  PetscReal h;

  PetscFunctionBeginUser;
  (void)Jp;
  PetscCall(FindStage(ts, Y, &e->stage));
  PetscCall(TSGetTimeStep(ts, &h));
  e->weight = -h * e->b[e->stage];
  e->t = t;
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(PetscArraycpy(e->x, y, e->sizes.nx));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

// J stands for the Jacobian of whatever stage is at hand.
static PetscErrorCode Jacobian(TS ts, PetscReal t, Vec Y, Mat J, Mat P, void *context) {
  PetscFunctionBeginUser;
  (void)ts, (void)t, (void)Y, (void)J, (void)P, (void)context;
  PetscFunctionReturn(0);
}

static void AddWaiting(TSAdjoint *e) {
  if (e->nwaiting) CtpgClosedLoopAddScaled(e->loop, e->nwaiting, e->factors, e->weights, e->mu);
  e->nwaiting = 0;
}

static PetscBool IsZero(PetscInt n, const PetscReal *v) {
  for (PetscInt k = 0; k < n; k++)
    if (v[k] != 0) return PETSC_FALSE;
  return PETSC_TRUE;
}

// The joint product with v [nx + 1] at the stage at hand: gx [nx], and factors that wait. A failed loop leaves zeros,
// so that TS goes on without NaN; the estimator looks at the loop's status afterwards.
static void JointProduct(TSAdjoint *e, const PetscReal *v, PetscReal *gx) {
  const PetscInt nx = e->sizes.nx;
  memset(gx, 0, (size_t)nx * sizeof *gx);
  if (!e->rk.table.reversed[e->stage] || IsZero(nx + 1, v) || CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return;
  if (e->nwaiting == MOST_WAITING) AddWaiting(e);
  PetscReal *factors = e->factors + e->nwaiting * e->factor_size;
  if (CtpgClosedLoopVJPKeep(e->loop, 1, &e->t, e->x, v, v + nx, gx, factors) == CTPG_OK)
    e->weights[e->nwaiting++] = e->weight;
  else
    memset(gx, 0, (size_t)nx * sizeof *gx);
}

static PetscErrorCode MultTranspose(Mat A, Vec V, Vec G) {
  TSAdjoint *e;
  const PetscReal *v;
  PetscReal *g;

  PetscFunctionBeginUser;
  PetscCall(MatShellGetContext(A, &e));
  PetscCall(VecGetArrayRead(V, &v));
  PetscCall(VecGetArrayWrite(G, &g));
  if (A == e->J) JointProduct(e, v, g);
  g[A == e->J ? e->sizes.nx : 0] = 0; // nothing depends on the loss, nor on the one parameter
  PetscCall(VecRestoreArrayWrite(G, &g));
  PetscCall(VecRestoreArrayRead(V, &v));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateShell(TSAdjoint *e, PetscInt columns, Mat *A) {
  PetscFunctionBeginUser;
  PetscCall(MatCreateShell(PetscObjectComm((PetscObject)e->lambda), e->sizes.nx + 1, columns, e->sizes.nx + 1, columns,
                           e, A));
  PetscCall(MatShellSetOperation(*A, MATOP_MULT_TRANSPOSE, (void (*)(void))MultTranspose));
  PetscCall(MatAssemblyBegin(*A, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(*A, MAT_FINAL_ASSEMBLY));
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  TSAdjoint *e = context;
  (void)i;
  return CtpgClosedLoopEval(e->loop, 1, &t, y, ydot, ydot + e->sizes.nx);
}

static PetscErrorCode OnStep(TS ts, PetscInt n, PetscReal t, Vec y, void *context) {
  Piece *piece = context;
  PetscReal start, h;
  PetscFunctionBeginUser;
  CtpgRKSolverGetStep(piece->solver, &start, &h);
  PetscCall(CtpgStrideRecord(&piece->stride, ts, n, t, y, h));
  PetscFunctionReturn(0);
}

// A stage made again; those that no state and no product asks for are not evaluated.
static CtpgStatus RightHandSideAgain(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  TSAdjoint *e = context;
  const CtpgRKTable *table = &e->rk.table;
  const PetscBool begins_next = table->fsal && i == table->s - 1 && e->left > 1 ? PETSC_TRUE : PETSC_FALSE;
  if (table->reversed[i] || begins_next) return CtpgClosedLoopEval(e->loop, 1, &t, y, ydot, ydot + e->sizes.nx);
  memset(ydot, 0, (size_t)(e->sizes.nx + 1) * sizeof *ydot);
  return CTPG_OK;
}

static void OnStepAgain(void *context, const PetscReal *y) {
  (void)y;
  ((TSAdjoint *)context)->left--;
}

// What TSAdjointSolve on this TS needs.
static PetscErrorCode SetUpAdjoint(TSAdjoint *e, TS ts) {
  SNES snes;
  PetscFunctionBeginUser;
  PetscCall(TSRKGetTableau(ts, NULL, NULL, &e->b, NULL, NULL, NULL, NULL, NULL));
  PetscCall(TSGetSNES(ts, &snes));
  PetscCall(SNESSetLagJacobian(snes, -1)); // J is never made anew: that would look up six options a stage
  PetscCall(TSSetRHSJacobian(ts, e->J, e->J, Jacobian, e));
  PetscCall(TSSetRHSJacobianP(ts, e->Jp, JacobianP, e));
  PetscCall(TSSetCostGradients(ts, 1, &e->lambda, &e->none));
  PetscFunctionReturn(0);
}

// The forward solves leave states; their steps are made again, and reversed, on another TS.
static PetscErrorCode SetUpStride(TSAdjoint *e, const char *type) {
  const CtpgRKCallbacks callbacks = {.context = e, .rhs = RightHandSideAgain, .accept = OnStepAgain};
  CtpgRKOptions given = e->rk; // a mesh that is given

  PetscFunctionBeginUser;
  given.fixed = PETSC_TRUE;
  PetscCall(CtpgRKSolverCreate(e->loop, &given, type, 1, e->sizes.nx, &callbacks, &e->again));
  PetscCall(SetUpAdjoint(e, CtpgRKSolverGetTS(e->again)));
  PetscFunctionReturn(0);
}

static PetscErrorCode PieceCreate(TSAdjoint *e, const char *type, PetscInt k) {
  const CtpgRKCallbacks callbacks = {.context = e, .rhs = RightHandSide};
  Piece *piece = &e->pieces[k];

  PetscFunctionBeginUser;
  piece->number = k;
  PetscCall(CtpgRKSolverCreate(e->loop, &e->rk, type, 1, e->sizes.nx, &callbacks, &piece->solver));
  TS ts = CtpgRKSolverGetTS(piece->solver);
  if (e->K) {
    CtpgStrideCreate(e->loop, e->K, e->sizes.nx + 1, e->rk.fixed, &piece->stride);
    PetscCall(TSMonitorSet(ts, OnStep, piece, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(SetUpAdjoint(e, ts));
  PetscCall(CtpgTrajectoryKeep(ts));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_TSAdjoint(void *est, CtpgClosedLoop loop) {
  TSAdjoint *e = est;
  char type[64];

  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  if (e->ts_type) {
    PetscCall(CtpgImplicitAdjointCreate(loop, &e->rk, TS_TYPES[e->ts_type], e->K, &e->implicit));
    PetscFunctionReturn(0);
  }
  const PetscInt nx = e->sizes.nx, np = e->sizes.np;
  PetscCall(CtpgRKTableRegisterForAdjoint(&e->rk.table, type, sizeof type));
  PetscCall(CtpgClosedLoopCreateState(loop, 1, &e->lambda));
  PetscCall(VecCreateSeq(PetscObjectComm((PetscObject)e->lambda), 1, &e->none));
  PetscCall(CreateShell(e, nx + 1, &e->J));
  PetscCall(CreateShell(e, 1, &e->Jp));
  e->factor_size = CtpgClosedLoopGetFactorSize(loop);
  PetscCall(PetscMalloc4(nx, &e->x, nx + 1, &e->y, np, &e->mu, MOST_WAITING * e->factor_size, &e->factors));
  e->npieces = CtpgClosedLoopGetPieces(loop, e->rk.respect_breaks);
  PetscCall(PetscCalloc1(e->npieces, &e->pieces));
  for (PetscInt k = 0; k < e->npieces; k++) PetscCall(PieceCreate(e, type, k));
  if (e->K) PetscCall(SetUpStride(e, type));
  PetscFunctionReturn(0);
}

// lambda = (J_x, 1), mu = 0, from the end y [nx + 1].
static PetscErrorCode SetTerminal(TSAdjoint *e, const PetscReal *y, PetscReal *loss) {
  PetscReal *lambda, terminal;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayWrite(e->lambda, &lambda));
  CtpgClosedLoopTerminal(e->loop, y, &terminal, lambda);
  *loss = y[e->sizes.nx] + terminal;
  lambda[e->sizes.nx] = 1;
  PetscCall(VecRestoreArrayWrite(e->lambda, &lambda));
  PetscCall(VecZeroEntries(e->none));
  PetscCall(PetscArrayzero(e->mu, e->sizes.np));
  e->nwaiting = 0;
  PetscFunctionReturn(0);
}

// A new trajectory where the old one cannot serve again. With fixed steps its list of steps is as long as the first
// solve had steps, and a finer solve writes beyond the end; after a forward solve without its adjoint the list is not
// empty, and the next solve ends in a PETSc error. TSTrajectoryReset helps in neither case.
static PetscErrorCode RenewTrajectory(TSAdjoint *e, Piece *piece) {
  PetscFunctionBeginUser;
  if (!e->rk.fixed && !piece->trajectory_used) PetscFunctionReturn(0);
  PetscCall(CtpgTrajectoryKeep(CtpgRKSolverGetTS(piece->solver)));
  PetscFunctionReturn(0);
}

// y [nx + 1] from the start of the piece to its end; *h: the first step, 0: to be chosen; then what would follow.
static PetscErrorCode SolvePiece(TSAdjoint *e, Piece *piece, PetscReal accuracy, PetscReal *y, PetscReal *h,
                                 CtpgResult *result) {
  int64_t steps, rejected;
  PetscReal t_low, t_high, t, *state;

  PetscFunctionBeginUser;
  CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, piece->number, &t_low, &t_high);
  if (e->K)
    CtpgStrideStart(&piece->stride, t_low);
  else
    PetscCall(RenewTrajectory(e, piece));
  piece->trajectory_used = PETSC_TRUE;
  PetscCall(CtpgRKSolverGetState(piece->solver, &state));
  PetscCall(PetscArraycpy(state, y, e->sizes.nx + 1));
  PetscCall(CtpgRKSolverRestoreState(piece->solver, &state));
  CtpgRKSolverResetCounts(piece->solver);
  PetscCall(CtpgRKSolverSolve(piece->solver, CTPG_FORWARD, t_low, t_high, accuracy, *h));
  PetscCall(CtpgRKSolverGetState(piece->solver, &state));
  PetscCall(PetscArraycpy(y, state, e->sizes.nx + 1));
  PetscCall(CtpgRKSolverRestoreState(piece->solver, &state));
  CtpgRKSolverGetCounts(piece->solver, &steps, &rejected);
  result->steps += steps;
  result->rejected += rejected;
  if (e->rk.fixed) CtpgRKSolverGetStep(piece->solver, &t, &result->h);
  *h = CtpgRKSolverGetNextStep(piece->solver);
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveForward(TSAdjoint *e, const PetscReal *x0, PetscReal accuracy, CtpgResult *result) {
  PetscReal h = 0;
  PetscFunctionBeginUser;
  PetscCall(PetscArraycpy(e->y, x0, e->sizes.nx));
  e->y[e->sizes.nx] = 0;
  for (PetscInt k = 0; k < e->npieces && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k++)
    PetscCall(SolvePiece(e, &e->pieces[k], accuracy, e->y, &h, result));
  CtpgClosedLoopSetPiece(e->loop, -1);
  PetscCall(SetTerminal(e, e->y, result->loss));
  PetscFunctionReturn(0);
}

// An interval is made again with its trajectory, and reversed: lambda and mu go on.
static PetscErrorCode ReverseInterval(TSAdjoint *e, const CtpgStride *stride, PetscInt k) {
  const CtpgInterval interval = CtpgStrideGetInterval(stride, k);
  TS ts = CtpgRKSolverGetTS(e->again);
  PetscFunctionBeginUser;
  PetscCall(CtpgTrajectoryKeepSteps(ts, interval.steps));
  e->left = interval.steps;
  PetscCall(CtpgRKSolverRepeatInterval(e->again, CTPG_RECOMPUTE, &interval));
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) PetscFunctionReturn(0);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  PetscCall(TSAdjointSolve(ts));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReversePiece(TSAdjoint *e, Piece *piece) {
  PetscReal t_low, t_high;
  PetscFunctionBeginUser;
  CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, piece->number, &t_low, &t_high);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  if (!e->K) PetscCall(TSAdjointSolve(CtpgRKSolverGetTS(piece->solver)));
  for (PetscInt k = e->K ? CtpgStrideGetIntervals(&piece->stride) - 1 : -1; k >= 0; k--) {
    if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) break;
    PetscCall(ReverseInterval(e, &piece->stride, k));
  }
  piece->trajectory_used = PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadGradient(const TSAdjoint *e, CtpgResult *result) {
  const PetscReal *lambda;
  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(e->lambda, &lambda));
  PetscCall(PetscArraycpy(result->gx0, lambda, e->sizes.nx));
  PetscCall(VecRestoreArrayRead(e->lambda, &lambda));
  for (PetscInt k = 0; k < e->sizes.np; k++) result->gtheta[k] += e->mu[k];
  PetscFunctionReturn(0);
}

static size_t StoredBytes(const TSAdjoint *e, int64_t steps) {
  const PetscInt vectors = e->rk.table.s + 1;
  size_t bytes = 0;
  if (!e->K) return CtpgTrajectoryBytes(steps, vectors, e->sizes.nx + 1);
  for (PetscInt k = 0; k < e->npieces; k++) bytes += CtpgStrideGetBytes(&e->pieces[k].stride, vectors);
  return bytes;
}

static PetscErrorCode EstimatorGradientOfStart_TSAdjoint(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                         PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  TSAdjoint *e = est;
  const int64_t steps_before = result->steps;

  PetscFunctionBeginUser;
  (void)stream;
  if (e->implicit) {
    PetscCall(CtpgImplicitAdjointGradient(e->implicit, x0, accuracy, result));
    PetscFunctionReturn(0);
  }
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(SolveForward(e, x0, accuracy, result));
  const int64_t steps = result->steps - steps_before;
  result->bytes = PetscMax(result->bytes, StoredBytes(e, steps));
  for (PetscInt k = e->npieces - 1; k >= 0 && CtpgClosedLoopGetStatus(loop) == CTPG_OK; k--)
    PetscCall(ReversePiece(e, &e->pieces[k]));
  CtpgClosedLoopSetPiece(loop, -1);
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  AddWaiting(e);
  PetscCall(ReadGradient(e, result));
  result->steps_adjoint += steps;
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_TSAdjoint(void **est) {
  TSAdjoint *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgImplicitAdjointDestroy(&e->implicit));
  for (PetscInt k = 0; k < e->npieces; k++) {
    PetscCallVoid(CtpgRKSolverDestroy(&e->pieces[k].solver));
    if (e->K) CtpgStrideDestroy(&e->pieces[k].stride);
  }
  PetscCallVoid(PetscFree(e->pieces));
  PetscCallVoid(CtpgRKSolverDestroy(&e->again));
  PetscCallVoid(MatDestroy(&e->J));
  PetscCallVoid(MatDestroy(&e->Jp));
  PetscCallVoid(VecDestroy(&e->lambda));
  PetscCallVoid(VecDestroy(&e->none));
  PetscCallVoid(PetscFree4(e->x, e->y, e->mu, e->factors));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_tsadjoint = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "tsadjoint",
    .version = 4,
    .bibtex = "@article{Zhang2022, author={Hong Zhang and Emil M. Constantinescu and Barry F. Smith}, title={{PETSc} "
              "{TSAdjoint}: a discrete adjoint {ODE} solver for first-order and second-order sensitivity analysis}, "
              "journal={SIAM Journal on Scientific Computing}, volume={44}, number={1}, pages={C1--C24}, year={2022}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s vjp; -stride: 2 s f",
    .storage = "N (s + 1) nx",
    .create = EstimatorCreate_TSAdjoint,
    .setup = EstimatorSetUp_TSAdjoint,
    .gradient_of_start = EstimatorGradientOfStart_TSAdjoint,
    .destroy = EstimatorDestroy_TSAdjoint,
    .needs = "vjp"};
