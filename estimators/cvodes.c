// cvodes.c -- adjoint sensitivity analysis by SUNDIALS CVODES: multistep methods of variable order and step
//
//   forward   CVodeF on (x, loss), Adams-Moulton (default) or BDF; the path is kept for interpolation, with checkpoints
//   backward  CVodeB on  d alpha/dt = -(f_x' alpha + w_x),  alpha(T) = J_x(x(T)),  at (t, x~(t)): CVODES' interpolation
//             of the forward path, polynomial (default; of the order of each step) or cubic Hermite
//   gradient  dL/dx0 = alpha(0),  dL/dtheta = int_0^T (f_theta' alpha + w_theta) dt
//   quadrature of that integral
//     nodes   (default) the sum of one product at each accepted backward node, outside the error control, with the
//             weights of the polynomials of degree 7 through eight neighbouring nodes, integrated over each step
//     cvodes  CVODES' own backward quadratures, in its error control as in SUNDIALS' examples
//
// Derivative of the continuous problem. The loss is a component without weight in the error norm, and in the low orders
// of the first steps that shows: it is one to two digits less accurate than the gradient.
// nonlinear_solver, for Adams: fixed_point (default), or newton as for BDF.
// linear_solver, for Newton's method: dense with f_x from CtpgClosedLoopJacobian, or gmres with products (directional
// forward, transposed backward), without a preconditioner.
// jacobian, for dense: fresh (default) evaluates f_x on the way back too; kept takes it, linear in time, from those
// that the forward solve asked for: the adjoint's Newton iterations then cost no Jacobian.
// scale_atol: alpha's absolute tolerance is adjoint_atol_factor rtol times the largest |alpha_i| so far.
// respect_breaks: one solve, with checkpoints and an adjoint of its own, for each piece between break times.
// Price: 1 to 2 f and 1 to 2 vjp a step (corrector iterations), 1 vjp a node; forward steps between checkpoints are
// made again (recompute). Evaluations in rejected steps are booked with the others: CVODES does not tell them apart.
// Memory, by formula: steps_per_checkpoint rows of the interpolation, the Nordsieck array of each checkpoint, and the
// recorded nodes.
// Weakness: low order in the first steps and after each jump of f; Hermite interpolation caps at order 4; CVODES' own
// quadratures carry a Nordsieck array of 13 np reals through every step.
// Source: A. C. Hindmarsh et al., "SUNDIALS: suite of nonlinear and differential/algebraic equation solvers", ACM TOMS
// 31 (2005); adjoint: R. Serban, A. C. Hindmarsh, "CVODES: the sensitivity-enabled ODE solver in SUNDIALS", ASME IDETC
// 2005, Sec. 3.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"

#ifdef CTPG_HAVE_SUNDIALS
#include <cvodes/cvodes.h>
#include <cvodes/cvodes_ls.h>
#include <math.h>
#include <nvector/nvector_serial.h>
#include <stdlib.h>
#include <sundials/sundials_version.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunlinsol/sunlinsol_spgmr.h>
#include <sunmatrix/sunmatrix_dense.h>
#include <sunnonlinsol/sunnonlinsol_fixedpoint.h>

#define STENCIL 8 // nodes of a quadrature polynomial
#define GAUSS   4 // exact for its degree, 7
#define BATCH   8 // nodes of one product call

typedef enum { QUADRATURE_NODES, QUADRATURE_CVODES } CtpgQuadrature;
typedef enum { SOLVER_DENSE, SOLVER_GMRES } LinearSolver;

// What an integrator needs to solve the equations of its steps.
typedef struct {
  SUNNonlinearSolver fixed_point;
  SUNMatrix A;
  SUNLinearSolver linear;
} Solver;

// A solve from t_low to t_high, the whole or between two breaks, with its adjoint.
typedef struct {
  PetscReal t_low, t_high;
  void *cvodes;
  int which; // number of the backward problem; -1: not made yet, for CVODES wants a forward solve before
  Solver forward, backward;
  PetscReal *end;       // [nx + 1] y at t_high
  PetscInt first, last; // range of its kept Jacobians
} Piece;

typedef struct {
  int lmm, interpolation;
  LinearSolver linear_solver;
  CtpgQuadrature quadrature;
  PetscBool newton, keep_jacobians, scale_atol, respect_breaks;
  PetscReal atol_factor, adjoint_atol_factor, adjoint_rtol_factor;
  PetscInt steps_per_checkpoint, step_limit;
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  SUNContext context;
  PetscInt npieces;
  Piece *pieces, *piece;    // [npieces], the one at hand
  N_Vector y, alpha, g, at; // [nx + 1] (x, loss), [nx], [np], [nx + 1] interpolated
  PetscReal rtol, size;     // of the run; largest |alpha_i| so far
  PetscBool backward;
  PetscBool undefined; // something was not, at the last evaluation: CVODES tries a shorter step
  PetscReal *fx;       // [nx, nx]
  CtpgArena arena;
  CtpgRows nodes;     // t, x [nx], alpha [nx] of each accepted backward node of a piece, from its end down
  CtpgRows jacobians; // t, f_x [nx, nx] as kept
  PetscReal *weights; // [nodes] of the quadrature, grown when needed
  PetscInt nweights;
} CVodes;

static PetscInt HighestOrder(const CVodes *e) {
  return e->lmm == CV_ADAMS ? 12 : 5;
}

// After lmm is known.
static PetscErrorCode ReadSolvers(CtpgOptions options, CVodes *e) {
  static const char *const nonlinear[] = {"fixed_point", "newton", NULL}, *const linear[] = {"dense", "gmres", NULL};
  static const char *const jacobians[] = {"fresh", "kept", NULL};
  PetscInt newton = 0, solver = SOLVER_DENSE, kept = 0;

  PetscFunctionBeginUser;
  PetscCall(
      CtpgOptionsChoice(options, "nonlinear_solver", "of Adams: fixed_point, or newton as BDF's", nonlinear, &newton));
  PetscCall(CtpgOptionsChoice(options, "linear_solver", "of Newton's method: dense or gmres", linear, &solver));
  PetscCall(CtpgOptionsChoice(options, "jacobian", "of the adjoint, dense: fresh, or kept from the forward solve",
                              jacobians, &kept));
  e->newton = newton || e->lmm == CV_BDF ? PETSC_TRUE : PETSC_FALSE;
  e->linear_solver = (LinearSolver)solver;
  e->keep_jacobians = kept && e->newton && solver == SOLVER_DENSE ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadTolerances(CtpgOptions options, CVodes *e) {
  CtpgRKOptions rk;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKOptionsReadLimits(options, &rk));
  PetscCall(CtpgRKOptionsReadBreaks(options, &rk));
  e->respect_breaks = rk.respect_breaks;
  e->step_limit = rk.step_limit;
  e->atol_factor = e->adjoint_atol_factor = rk.atol_factor;
  PetscCall(CtpgOptionsReal(options, "adjoint_rtol_factor", "tolerance of the adjoint = factor times that of the run",
                            1e-12, 1e12, &e->adjoint_rtol_factor));
  PetscCall(
      CtpgOptionsReal(options, "adjoint_atol_factor", "the adjoint's atol_factor", 0, 1e6, &e->adjoint_atol_factor));
  PetscCall(CtpgOptionsBool(options, "scale_atol", "alpha's absolute tolerance times the largest |alpha| so far",
                            &e->scale_atol));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorCreate_CVodes(CtpgOptions options, CtpgTraits *traits, void **est) {
  static const char *const lmms[] = {"adams", "bdf", NULL}, *const interpolations[] = {"polynomial", "hermite", NULL};
  static const char *const quadratures[] = {"nodes", "cvodes", NULL};
  PetscInt lmm = 0, interpolation = 0, quadrature = QUADRATURE_NODES;
  CVodes *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->adjoint_rtol_factor = 1;
  e->steps_per_checkpoint = 1000;
  PetscCall(CtpgOptionsChoice(options, "lmm", "linear multistep method: adams or bdf", lmms, &lmm));
  PetscCall(CtpgOptionsChoice(options, "interpolation", "of the forward path: polynomial or hermite", interpolations,
                              &interpolation));
  PetscCall(CtpgOptionsChoice(options, "quadrature", "nodes or cvodes", quadratures, &quadrature));
  PetscCall(CtpgOptionsInt(options, "steps_per_checkpoint", "steps kept for interpolation at a time", 2, 10000000,
                           &e->steps_per_checkpoint));
  e->lmm = lmm ? CV_BDF : CV_ADAMS;
  e->interpolation = interpolation ? CV_HERMITE : CV_POLYNOMIAL;
  PetscCall(ReadSolvers(options, e));
  PetscCall(ReadTolerances(options, e));
  // with fewer CVODES reads beyond the end of its array
  const PetscInt fewest = interpolation ? 2 : HighestOrder(e) + 1;
  PetscCheck(e->steps_per_checkpoint >= fewest, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: steps_per_checkpoint %d is too small; a polynomial of order %d needs %d or more, hermite 2",
             CtpgOptionsLabel(options), (int)e->steps_per_checkpoint, (int)HighestOrder(e), (int)fewest);
  e->quadrature = (CtpgQuadrature)quadrature;
  traits->order = lmm ? 3 : 5;
  if (interpolation) traits->order = PetscMin(traits->order, 4);
  PetscFunctionReturn(0);
}

// ---- what CVODES calls ----

// 1: to be tried again with a shorter step, as often as CVODES would, unless the last one was too short to go on; -1:
// not.
static int Answer(CVodes *e) {
  PetscReal last = 0;
  e->undefined = PETSC_FALSE;
  if (CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) return 0;
  if (!e->backward) CVodeGetLastStep(e->piece->cvodes, &last);
  e->undefined = CtpgClosedLoopRetry(e->loop, last > 0 ? last : INFINITY);
  return e->undefined ? 1 : -1;
}

static int RightHandSide(sunrealtype t, N_Vector y, N_Vector ydot, void *context) {
  CVodes *e = context;
  PetscReal *f = N_VGetArrayPointer(ydot);
  long steps = 0;
  CVodeGetNumSteps(e->piece->cvodes, &steps);
  if (steps >= e->step_limit)
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "%d steps (-step_limit) used up at t = %.3g", (int)e->step_limit, t);
  CtpgClosedLoopSetPurpose(e->loop, e->backward ? CTPG_RECOMPUTE : CTPG_FORWARD);
  CtpgClosedLoopEval(e->loop, 1, &t, N_VGetArrayPointer(y), f, f + e->sizes.nx);
  return Answer(e);
}

static PetscReal Largest(PetscInt n, const PetscReal *v) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < n; i++) largest = fmax(largest, fabs(v[i]));
  return largest;
}

// The loss has no weight, and the norm, which is a mean over nx + 1 components, is that over nx. GMRES scales by the
// weights and back: there the loss has one that vanishes beside the others.
static int ErrorWeights(N_Vector y, N_Vector weights, void *context) {
  const CVodes *e = context;
  const PetscInt nx = e->sizes.nx;
  const PetscReal *x = N_VGetArrayPointer(y), scale = sqrt((PetscReal)(nx + 1) / (PetscReal)nx);
  PetscReal *w = N_VGetArrayPointer(weights);
  for (PetscInt i = 0; i < nx; i++) {
    w[i] = scale / (e->rtol * fabs(x[i]) + e->atol_factor * e->rtol);
    if (!isfinite(w[i])) return -1;
  }
  w[nx] = e->newton && e->linear_solver == SOLVER_GMRES ? 1e-12 * w[0] : 0;
  return 0;
}

// CVODES' own context for a backward problem is the memory of the forward one.
static int AdjointWeights(N_Vector alpha, N_Vector weights, void *forward) {
  const PetscReal *a = N_VGetArrayPointer(alpha);
  PetscReal *w = N_VGetArrayPointer(weights);
  void *context;
  if (CVodeGetUserData(forward, &context) < 0) return -1;
  CVodes *e = context;
  const PetscReal rtol = e->adjoint_rtol_factor * e->rtol;
  e->size = fmax(e->size, Largest(e->sizes.nx, a));
  const PetscReal atol = e->adjoint_atol_factor * rtol * (e->scale_atol ? e->size : 1);
  for (PetscInt i = 0; i < e->sizes.nx; i++) {
    w[i] = 1 / (rtol * fabs(a[i]) + atol);
    if (!isfinite(w[i])) return -1;
  }
  return 0;
}

static int Adjoint(sunrealtype t, N_Vector y, N_Vector alpha, N_Vector alphadot, void *context) {
  CVodes *e = context;
  const PetscReal one = 1;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  N_VConst(0, alphadot);
  CtpgClosedLoopVJP(e->loop, 1, &t, N_VGetArrayPointer(y), N_VGetArrayPointer(alpha), &one,
                    N_VGetArrayPointer(alphadot), NULL);
  N_VScale(-1, alphadot, alphadot);
  return Answer(e);
}

static int Integrand(sunrealtype t, N_Vector y, N_Vector alpha, N_Vector gdot, void *context) {
  CVodes *e = context;
  const PetscReal one = 1;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  N_VConst(0, gdot);
  CtpgClosedLoopVJP(e->loop, 1, &t, N_VGetArrayPointer(y), N_VGetArrayPointer(alpha), &one, NULL,
                    N_VGetArrayPointer(gdot));
  N_VScale(-1, gdot, gdot);
  return Answer(e);
}

// e->fx, unless one is there from a later time: CVODES asks again where a step is rejected.
static void KeepJacobian(CVodes *e, PetscReal t) {
  const PetscInt nx = e->sizes.nx, count = e->jacobians.count;
  if (count > e->piece->first && CtpgRowsAt(&e->jacobians, count - 1)[0] >= t) return;
  PetscReal *row = CtpgRowsPush(&e->jacobians);
  if (!row) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory to keep more than %d Jacobians", (int)count);
    return;
  }
  row[0] = t;
  memcpy(row + 1, e->fx, (size_t)(nx * nx) * sizeof *row);
}

// e->fx from those kept on this piece, linear in time and constant beyond the first and the last.
static void KeptJacobianAt(CVodes *e, PetscReal t) {
  const PetscInt size = e->sizes.nx * e->sizes.nx;
  PetscInt i = e->piece->first;
  while (i < e->piece->last - 2 && CtpgRowsAt(&e->jacobians, i + 1)[0] < t) i++;
  const PetscReal *low = CtpgRowsAt(&e->jacobians, i),
                  *high = CtpgRowsAt(&e->jacobians, PetscMin(i + 1, e->piece->last - 1));
  const PetscReal part = high[0] > low[0] ? PetscMax(0, PetscMin(1, (t - low[0]) / (high[0] - low[0]))) : 0;
  for (PetscInt k = 0; k < size; k++) e->fx[k] = (1 - part) * low[1 + k] + part * high[1 + k];
}

// The loss feeds nothing back and its own row need not be exact for Newton's iteration to converge.
static int Jacobian(sunrealtype t, N_Vector y, N_Vector f, SUNMatrix J, void *context, N_Vector a, N_Vector b,
                    N_Vector c) {
  CVodes *e = context;
  const PetscInt nx = e->sizes.nx;
  (void)f, (void)a, (void)b, (void)c;
  CtpgClosedLoopSetPurpose(e->loop, e->backward ? CTPG_RECOMPUTE : CTPG_FORWARD);
  if (CtpgClosedLoopJacobian(e->loop, t, N_VGetArrayPointer(y), e->fx) != CTPG_OK) return Answer(e);
  if (e->keep_jacobians && !e->backward) KeepJacobian(e, t);
  SUNMatZero(J);
  for (PetscInt i = 0; i < nx; i++)
    for (PetscInt j = 0; j < nx; j++) SM_ELEMENT_D(J, i, j) = e->fx[i * nx + j];
  return 0;
}

static int AdjointJacobian(sunrealtype t, N_Vector y, N_Vector alpha, N_Vector alphadot, SUNMatrix J, void *context,
                           N_Vector a, N_Vector b, N_Vector c) {
  CVodes *e = context;
  const PetscInt nx = e->sizes.nx;
  (void)alpha, (void)alphadot, (void)a, (void)b, (void)c;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  if (e->piece->last > e->piece->first)
    KeptJacobianAt(e, t);
  else if (CtpgClosedLoopJacobian(e->loop, t, N_VGetArrayPointer(y), e->fx) != CTPG_OK)
    return Answer(e);
  for (PetscInt i = 0; i < nx; i++)
    for (PetscInt j = 0; j < nx; j++) SM_ELEMENT_D(J, i, j) = -e->fx[j * nx + i];
  return 0;
}

static int JacobianTimes(N_Vector v, N_Vector Jv, sunrealtype t, N_Vector y, N_Vector f, void *context, N_Vector a) {
  CVodes *e = context;
  PetscReal *df = N_VGetArrayPointer(Jv);
  (void)f, (void)a;
  CtpgClosedLoopSetPurpose(e->loop, e->backward ? CTPG_RECOMPUTE : CTPG_FORWARD);
  CtpgClosedLoopJVP(e->loop, 1, &t, N_VGetArrayPointer(y), N_VGetArrayPointer(v), NULL, df, df + e->sizes.nx);
  return Answer(e);
}

static int AdjointJacobianTimes(N_Vector v, N_Vector Jv, sunrealtype t, N_Vector y, N_Vector alpha, N_Vector alphadot,
                                void *context, N_Vector a) {
  CVodes *e = context;
  const PetscReal zero = 0;
  (void)alpha, (void)alphadot, (void)a;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  N_VConst(0, Jv);
  CtpgClosedLoopVJP(e->loop, 1, &t, N_VGetArrayPointer(y), N_VGetArrayPointer(v), &zero, N_VGetArrayPointer(Jv), NULL);
  N_VScale(-1, Jv, Jv);
  return Answer(e);
}

// ---- life cycle ----

// CVODES reports what went wrong by its return flags as well; nothing is printed.
#if SUNDIALS_VERSION_MAJOR < 7
static void Silent(int code, const char *module, const char *function, char *message, void *context) {
  (void)code, (void)module, (void)function, (void)message, (void)context;
}
#define COMMUNICATOR       NULL
#define SILENCE(e, memory) CVodeSetErrHandlerFn(memory, Silent, NULL)
#else
#define COMMUNICATOR       SUN_COMM_NULL
#define SILENCE(e, memory) ((void)(memory), SUNContext_ClearErrHandlers((e)->context))
#endif

// For calls that fail only for lack of memory or by misuse.
#define PetscCallSundials(call)                                                                                        \
  do {                                                                                                                 \
    const int flag_ = (call);                                                                                          \
    PetscCheck(flag_ >= 0, PETSC_COMM_SELF, PETSC_ERR_LIB, "SUNDIALS returns %d from %s", flag_, #call);               \
  } while (0)

// For a state like y of n components.
static PetscErrorCode SolverCreate(CVodes *e, N_Vector y, PetscInt n, Solver *solver) {
  PetscFunctionBeginUser;
  if (!e->newton)
    solver->fixed_point = SUNNonlinSol_FixedPoint(y, 0, e->context);
  else if (e->linear_solver == SOLVER_DENSE) {
    solver->A = SUNDenseMatrix(n, n, e->context);
    solver->linear = SUNLinSol_Dense(y, solver->A, e->context);
  } else
    solver->linear = SUNLinSol_SPGMR(y, SUN_PREC_NONE, 0, e->context);
  PetscCheck(solver->linear || solver->fixed_point, PETSC_COMM_SELF, PETSC_ERR_MEM, "SUNDIALS makes no solver");
  PetscFunctionReturn(0);
}

static void SolverDestroy(Solver *solver) {
  if (solver->fixed_point) SUNNonlinSolFree(solver->fixed_point);
  if (solver->linear) SUNLinSolFree(solver->linear);
  if (solver->A) SUNMatDestroy(solver->A);
  *solver = (Solver){0};
}

static PetscErrorCode SetForwardSolver(CVodes *e, Piece *piece) {
  Solver *solver = &piece->forward;
  PetscFunctionBeginUser;
  PetscCall(SolverCreate(e, e->y, e->sizes.nx + 1, solver));
  if (!e->newton) {
    PetscCallSundials(CVodeSetNonlinearSolver(piece->cvodes, solver->fixed_point));
    PetscFunctionReturn(0);
  }
  PetscCallSundials(CVodeSetLinearSolver(piece->cvodes, solver->linear, solver->A));
  if (e->linear_solver == SOLVER_DENSE)
    PetscCallSundials(CVodeSetJacFn(piece->cvodes, Jacobian));
  else
    PetscCallSundials(CVodeSetJacTimes(piece->cvodes, NULL, JacobianTimes));
  PetscFunctionReturn(0);
}

static PetscErrorCode PieceCreate(CVodes *e, Piece *piece) {
  PetscFunctionBeginUser;
  piece->which = -1;
  PetscCall(PetscMalloc1(e->sizes.nx + 1, &piece->end));
  piece->cvodes = CVodeCreate(e->lmm, e->context);
  PetscCheck(piece->cvodes, PETSC_COMM_SELF, PETSC_ERR_MEM, "SUNDIALS: out of memory");
  SILENCE(e, piece->cvodes);
  PetscCallSundials(CVodeSetUserData(piece->cvodes, e));
  PetscCallSundials(CVodeInit(piece->cvodes, RightHandSide, 0, e->y));
  PetscCallSundials(CVodeWFtolerances(piece->cvodes, ErrorWeights));
  PetscCallSundials(CVodeSetMaxNumSteps(piece->cvodes, -1)); // RightHandSide watches step_limit
  PetscCall(SetForwardSolver(e, piece));
  PetscCallSundials(CVodeAdjInit(piece->cvodes, e->steps_per_checkpoint, e->interpolation));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_CVodes(void *est, CtpgClosedLoop loop) {
  CVodes *e = est;
  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx;
  CtpgRowsInit(&e->nodes, &e->arena, 1 + 2 * nx);
  CtpgRowsInit(&e->jacobians, &e->arena, 1 + nx * nx);
  PetscCall(PetscMalloc1(nx * nx, &e->fx));
  PetscCallSundials(SUNContext_Create(COMMUNICATOR, &e->context));
  e->y = N_VNew_Serial(nx + 1, e->context);
  e->at = N_VNew_Serial(nx + 1, e->context);
  e->alpha = N_VNew_Serial(nx, e->context);
  if (e->quadrature == QUADRATURE_CVODES) e->g = N_VNew_Serial(e->sizes.np, e->context);
  PetscCheck(e->y && e->at && e->alpha, PETSC_COMM_SELF, PETSC_ERR_MEM, "SUNDIALS: out of memory");
  N_VConst(0, e->y);
  e->npieces = CtpgClosedLoopGetPieces(loop, e->respect_breaks);
  PetscCall(PetscCalloc1(e->npieces, &e->pieces));
  for (PetscInt k = 0; k < e->npieces; k++) PetscCall(PieceCreate(e, &e->pieces[k]));
  PetscFunctionReturn(0);
}

static PetscErrorCode SetBackwardSolver(CVodes *e, Piece *piece) {
  Solver *solver = &piece->backward;
  PetscFunctionBeginUser;
  PetscCall(SolverCreate(e, e->alpha, e->sizes.nx, solver));
  if (!e->newton) {
    PetscCallSundials(CVodeSetNonlinearSolverB(piece->cvodes, piece->which, solver->fixed_point));
    PetscFunctionReturn(0);
  }
  PetscCallSundials(CVodeSetLinearSolverB(piece->cvodes, piece->which, solver->linear, solver->A));
  if (e->linear_solver == SOLVER_DENSE)
    PetscCallSundials(CVodeSetJacFnB(piece->cvodes, piece->which, AdjointJacobian));
  else
    PetscCallSundials(CVodeSetJacTimesB(piece->cvodes, piece->which, NULL, AdjointJacobianTimes));
  PetscFunctionReturn(0);
}

// After the first forward solve, with alpha(t_high) in place.
static PetscErrorCode CreateBackward(CVodes *e, Piece *piece) {
  PetscFunctionBeginUser;
  PetscCallSundials(CVodeCreateB(piece->cvodes, e->lmm, &piece->which));
  SILENCE(e, CVodeGetAdjCVodeBmem(piece->cvodes, piece->which));
  PetscCallSundials(CVodeSetUserDataB(piece->cvodes, piece->which, e));
  PetscCallSundials(CVodeInitB(piece->cvodes, piece->which, Adjoint, piece->t_high, e->alpha));
  PetscCall(SetBackwardSolver(e, piece));
  if (e->quadrature == QUADRATURE_CVODES) {
    PetscCallSundials(CVodeQuadInitB(piece->cvodes, piece->which, Integrand, e->g));
    PetscCallSundials(CVodeSetQuadErrConB(piece->cvodes, piece->which, SUNTRUE));
  }
  PetscFunctionReturn(0);
}

// ---- the integral over recorded nodes ----

static PetscReal NodeTime(const CVodes *e, PetscInt k) {
  return CtpgRowsAt(&e->nodes, k)[0];
}

// The next node from `from` in direction `way` that is at least `gap` away; -1: there is none.
static PetscInt NextNode(const CVodes *e, PetscInt from, PetscInt way, PetscReal gap) {
  for (PetscInt k = from + way; k >= 0 && k < e->nodes.count; k += way)
    if (fabs(NodeTime(e, k) - NodeTime(e, from)) >= gap) return k;
  return -1;
}

// Nodes of the polynomial for the step between nodes k and k + 1: those two and their neighbours, evenly from both
// sides. Nodes closer than a third of the step are passed over: weights of clustered ones are large and of both signs,
// and rounding would show. Returns how many.
static PetscInt ChooseStencil(const CVodes *e, PetscInt k, PetscInt stencil[STENCIL]) {
  const PetscReal gap = (NodeTime(e, k) - NodeTime(e, k + 1)) / 3;
  PetscInt count = 2, end[2] = {k, k + 1};
  stencil[0] = k;
  stencil[1] = k + 1;
  for (int side = 0; count < STENCIL && (end[0] >= 0 || end[1] >= 0); side = !side) {
    if (end[side] >= 0) end[side] = NextNode(e, end[side], side ? 1 : -1, gap);
    if (end[side] >= 0) stencil[count++] = end[side];
  }
  return count;
}

// Integral over the step between nodes k and k + 1 of Lagrange's polynomials, added to the weights of their nodes.
static void AddStepWeights(CVodes *e, PetscInt k) {
  static const PetscReal point[GAUSS] = {-0.8611363115940526, -0.3399810435848563, 0.3399810435848563,
                                         0.8611363115940526};
  static const PetscReal weight[GAUSS] = {0.3478548451374538, 0.6521451548625461, 0.6521451548625461,
                                          0.3478548451374538};
  const PetscReal high = NodeTime(e, k), low = NodeTime(e, k + 1);
  PetscInt stencil[STENCIL];
  const PetscInt count = ChooseStencil(e, k, stencil);
  for (int q = 0; q < GAUSS; q++) {
    const PetscReal t = 0.5 * (high + low) + 0.5 * (high - low) * point[q];
    for (PetscInt j = 0; j < count; j++) {
      PetscReal product = 0.5 * (high - low) * weight[q];
      for (PetscInt i = 0; i < count; i++)
        if (i != j) product *= (t - NodeTime(e, stencil[i])) / (NodeTime(e, stencil[j]) - NodeTime(e, stencil[i]));
      e->weights[stencil[j]] += product;
    }
  }
}

static PetscErrorCode FindWeights(CVodes *e) {
  PetscFunctionBeginUser;
  if (e->nweights < e->nodes.count) {
    PetscCall(PetscFree(e->weights));
    e->nweights = 2 * e->nodes.count;
    PetscCall(PetscMalloc1(e->nweights, &e->weights));
  }
  PetscCall(PetscArrayzero(e->weights, e->nodes.count));
  for (PetscInt k = 0; k + 1 < e->nodes.count; k++) AddStepWeights(e, k);
  PetscFunctionReturn(0);
}

// The product is linear in (v, c): the weights go into them.
static PetscErrorCode SumOverNodes(CVodes *e, PetscReal *gtheta) {
  const PetscInt nx = e->sizes.nx;
  PetscReal *t, *x, *v;

  PetscFunctionBeginUser;
  PetscCall(FindWeights(e));
  PetscCall(PetscMalloc3(BATCH, &t, BATCH * nx, &x, BATCH * nx, &v));
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt first = 0; first < e->nodes.count; first += BATCH) {
    const PetscInt n = PetscMin(BATCH, e->nodes.count - first);
    for (PetscInt p = 0; p < n; p++) {
      const PetscReal *node = CtpgRowsAt(&e->nodes, first + p);
      t[p] = node[0];
      for (PetscInt i = 0; i < nx; i++) {
        x[p * nx + i] = node[1 + i];
        v[p * nx + i] = e->weights[first + p] * node[1 + nx + i];
      }
    }
    if (CtpgClosedLoopVJP(e->loop, n, t, x, v, e->weights + first, NULL, gtheta) != CTPG_OK) break;
  }
  PetscCall(PetscFree3(t, x, v));
  PetscFunctionReturn(0);
}

static void RecordNode(CVodes *e, PetscReal t) {
  const PetscInt nx = e->sizes.nx;
  PetscReal *node = CtpgRowsPush(&e->nodes);
  if (!node) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory to record more than %d steps", (int)e->nodes.count);
    return;
  }
  node[0] = t;
  memcpy(node + 1, N_VGetArrayPointer(e->at), (size_t)nx * sizeof *node);
  memcpy(node + 1 + nx, N_VGetArrayPointer(e->alpha), (size_t)nx * sizeof *node);
}

// ---- the two solves ----

// A failure of CVODES' own becomes a status; one of the loop has been latched before, or is again.
static void Judge(CVodes *e, int flag, const char *solve) {
  if (flag < 0 && e->undefined) CtpgClosedLoopFailAgain(e->loop);
  if (flag >= 0 || CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return;
  char *name = CVodeGetReturnFlagName(flag);
  CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "CVODES ends the %s solve with %s", solve, name);
  free(name);
}

static void AddCounts(void *memory, int64_t *steps, int64_t *rejected) {
  long accepted = 0, errors = 0, convergence = 0;
  CVodeGetNumSteps(memory, &accepted);
  CVodeGetNumErrTestFails(memory, &errors);
  CVodeGetNumNonlinSolvConvFails(memory, &convergence);
  *steps += accepted;
  *rejected += errors + convergence;
}

// From e->y at t_low to t_high.
static PetscErrorCode SolvePiece(CVodes *e, Piece *piece, CtpgResult *result, int *checkpoints) {
  sunrealtype reached;
  int count = 0;

  PetscFunctionBeginUser;
  piece->first = piece->last = e->jacobians.count;
  PetscCallSundials(CVodeReInit(piece->cvodes, piece->t_low, e->y));
  PetscCallSundials(CVodeAdjReInit(piece->cvodes));
  PetscCallSundials(CVodeSetInitStep(piece->cvodes, 0));             // a recomputation leaves its own behind
  PetscCallSundials(CVodeSetStopTime(piece->cvodes, piece->t_high)); // never beyond it
  Judge(e, CVodeF(piece->cvodes, piece->t_high, e->y, &reached, CV_NORMAL, &count), "forward");
  AddCounts(piece->cvodes, &result->steps, &result->rejected);
  *checkpoints += count;
  piece->last = e->jacobians.count;
  PetscCall(PetscArraycpy(piece->end, N_VGetArrayPointer(e->y), e->sizes.nx + 1));
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveForward(CVodes *e, const PetscReal *x0, CtpgResult *result, int *checkpoints) {
  PetscReal *y = N_VGetArrayPointer(e->y), J;

  PetscFunctionBeginUser;
  e->backward = PETSC_FALSE;
  CtpgRowsTruncate(&e->nodes, 0);
  CtpgRowsTruncate(&e->jacobians, 0);
  CtpgArenaReset(&e->arena);
  PetscCall(PetscArraycpy(y, x0, e->sizes.nx));
  y[e->sizes.nx] = 0;
  for (PetscInt k = 0; k < e->npieces && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k++) {
    e->piece = &e->pieces[k];
    CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &e->piece->t_low, &e->piece->t_high);
    PetscCall(SolvePiece(e, e->piece, result, checkpoints));
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgClosedLoopTerminal(e->loop, y, &J, N_VGetArrayPointer(e->alpha));
  *result->loss = y[e->sizes.nx] + J;
  PetscFunctionReturn(0);
}

// Where alpha begins at zero its slope there tells its size, a hundredth of the piece ahead.
static PetscErrorCode FindFirstSize(CVodes *e, Piece *piece) {
  PetscFunctionBeginUser;
  e->size = fmax(e->size, Largest(e->sizes.nx, N_VGetArrayPointer(e->alpha)));
  if (!e->scale_atol || e->size > 0) PetscFunctionReturn(0);
  N_Vector slope = N_VClone(e->alpha);
  PetscCheck(slope, PETSC_COMM_SELF, PETSC_ERR_MEM, "SUNDIALS: out of memory");
  Adjoint(piece->t_high, e->at, e->alpha, slope, e);
  e->size = (piece->t_high - piece->t_low) / 100 * Largest(e->sizes.nx, N_VGetArrayPointer(slope));
  N_VDestroy(slope);
  PetscFunctionReturn(0);
}

static PetscErrorCode PrepareBackward(CVodes *e, Piece *piece) {
  PetscFunctionBeginUser;
  PetscCall(PetscArraycpy(N_VGetArrayPointer(e->at), piece->end, e->sizes.nx + 1));
  if (e->g) N_VConst(0, e->g);
  if (piece->which < 0)
    PetscCall(CreateBackward(e, piece));
  else {
    PetscCallSundials(CVodeReInitB(piece->cvodes, piece->which, piece->t_high, e->alpha));
    if (e->g) PetscCallSundials(CVodeQuadReInitB(piece->cvodes, piece->which, e->g));
  }
  PetscCallSundials(CVodeWFtolerances(CVodeGetAdjCVodeBmem(piece->cvodes, piece->which), AdjointWeights));
  if (e->g) PetscCallSundials(CVodeQuadSStolerancesB(piece->cvodes, piece->which, e->rtol, e->atol_factor * e->rtol));
  PetscCall(FindFirstSize(e, piece));
  PetscFunctionReturn(0);
}

// x~(t) into e->at. At the first point of a checkpoint's data that point itself is taken: there CVodeGetAdjY may answer
// with the polynomial of another step (6.4.1), for an evaluation a rounding error before that time, as at the end of
// a step, moves the search to the first interval without a new polynomial.
static PetscErrorCode PathAt(CVodes *e, PetscReal t) {
  sunrealtype first;
  int order;
  PetscFunctionBeginUser;
  if (e->interpolation == CV_HERMITE)
    PetscCallSundials(CVodeGetAdjDataPointHermite(e->piece->cvodes, 0, &first, e->at, NULL));
  else
    PetscCallSundials(CVodeGetAdjDataPointPolynomial(e->piece->cvodes, 0, &first, &order, e->at));
  if (t != first) PetscCallSundials(CVodeGetAdjY(e->piece->cvodes, t, e->at));
  PetscFunctionReturn(0);
}

// Step by step, so that every node can be recorded.
static PetscErrorCode SolvePieceBack(CVodes *e, Piece *piece, CtpgResult *result) {
  sunrealtype t = piece->t_high;
  PetscInt steps = 0;

  PetscFunctionBeginUser;
  PetscCall(PrepareBackward(e, piece));
  CtpgRowsTruncate(&e->nodes, 0);
  RecordNode(e, t);
  while (t > piece->t_low && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) {
    if (steps++ >= e->step_limit)
      CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "%d backward steps (-step_limit) used up at t = %.3g",
                         (int)e->step_limit, t);
    const int flag = CVodeB(piece->cvodes, piece->t_low, CV_ONE_STEP);
    Judge(e, flag, "backward");
    if (flag < 0) break;
    PetscCallSundials(CVodeGetB(piece->cvodes, piece->which, &t, e->alpha));
    PetscCall(PathAt(e, t));
    if (e->quadrature == QUADRATURE_NODES && t < NodeTime(e, e->nodes.count - 1)) RecordNode(e, t);
  }
  AddCounts(CVodeGetAdjCVodeBmem(piece->cvodes, piece->which), &result->steps_adjoint, &result->rejected_adjoint);
  PetscFunctionReturn(0);
}

// The piece's part of dL/dtheta.
static PetscErrorCode AddPart(CVodes *e, Piece *piece, PetscReal *gtheta) {
  sunrealtype t;
  PetscFunctionBeginUser;
  if (e->quadrature == QUADRATURE_NODES) {
    PetscCall(SumOverNodes(e, gtheta));
    PetscFunctionReturn(0);
  }
  PetscCallSundials(CVodeGetQuadB(piece->cvodes, piece->which, &t, e->g));
  for (PetscInt i = 0; i < e->sizes.np; i++) gtheta[i] += N_VGetArrayPointer(e->g)[i];
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveBackward(CVodes *e, CtpgResult *result) {
  PetscFunctionBeginUser;
  e->backward = PETSC_TRUE;
  e->size = 0;
  for (PetscInt k = e->npieces - 1; k >= 0 && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k--) {
    e->piece = &e->pieces[k];
    CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &e->piece->t_low, &e->piece->t_high);
    PetscCall(SolvePieceBack(e, e->piece, result));
    if (CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) PetscCall(AddPart(e, e->piece, result->gtheta));
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  PetscFunctionReturn(0);
}

// What CVODES keeps: rows of (t, y) and for Hermite y', and per checkpoint a Nordsieck array.
static size_t StoredBytes(const CVodes *e, int64_t steps, int checkpoints) {
  const size_t n = (size_t)e->sizes.nx + 1, order = (size_t)HighestOrder(e);
  const size_t row = 1 + n * (e->interpolation == CV_HERMITE ? 2 : 1);
  const size_t rows = (size_t)PetscMin(steps, e->npieces * e->steps_per_checkpoint) + 1;
  return (rows * row + (size_t)checkpoints * (order + 1) * n) * sizeof(PetscReal) + e->arena.peak;
}

static PetscErrorCode EstimatorGradientOfStart_CVodes(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                      PetscReal rtol, CtpgStream *stream, CtpgResult *result) {
  CVodes *e = est;
  const int64_t steps_before = result->steps;
  int checkpoints = 0;

  PetscFunctionBeginUser;
  (void)stream;
  CtpgClosedLoopGetSizes(loop, &e->sizes); // the horizon belongs to the case
  e->rtol = rtol;
  PetscCall(SolveForward(e, x0, result, &checkpoints));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(SolveBackward(e, result));
  result->bytes = PetscMax(result->bytes, StoredBytes(e, result->steps - steps_before, checkpoints));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(PetscArraycpy(result->gx0, N_VGetArrayPointer(e->alpha), e->sizes.nx));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_CVodes(void **est) {
  CVodes *e = *est;
  if (!e) return;
  for (PetscInt k = 0; k < e->npieces; k++) {
    CVodeFree(&e->pieces[k].cvodes);
    SolverDestroy(&e->pieces[k].forward);
    SolverDestroy(&e->pieces[k].backward);
    PetscCallVoid(PetscFree(e->pieces[k].end));
  }
  PetscCallVoid(PetscFree(e->pieces));
  const N_Vector vectors[] = {e->y, e->alpha, e->g, e->at};
  for (int k = 0; k < 4; k++)
    if (vectors[k]) N_VDestroy(vectors[k]);
  SUNContext_Free(&e->context);
  CtpgRowsFree(&e->nodes);
  CtpgRowsFree(&e->jacobians);
  PetscCallVoid(PetscFree(e->weights));
  PetscCallVoid(PetscFree(e->fx));
  PetscCallVoid(PetscFree(*est));
}
#endif

const CtpgEstimatorType CtpgEstimator_cvodes = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "cvodes",
    .version = 3,
    .bibtex =
        "@article{Hindmarsh2005, author={Alan C. Hindmarsh and Peter N. Brown and Keith E. Grant and Steven L. Lee "
        "and Radu Serban and Dan E. Shumaker and Carol S. Woodward}, title={{SUNDIALS}: Suite of nonlinear and "
        "differential/algebraic equation solvers}, journal={ACM Transactions on Mathematical Software}, "
        "volume={31}, number={3}, pages={363--396}, year={2005}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "1-2 f + 1-2 vjp, 1 per node",
    .storage = "4 N nx",
#ifdef CTPG_HAVE_SUNDIALS
    .create = EstimatorCreate_CVodes,
    .setup = EstimatorSetUp_CVodes,
    .gradient_of_start = EstimatorGradientOfStart_CVodes,
    .destroy = EstimatorDestroy_CVodes,
#else
    .unavailable = "built without SUNDIALS; install libsundials-dev and configure again",
#endif
    .needs = "SUNDIALS; vjp"};
