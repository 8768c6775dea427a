// ctpg.c -- continuous-time policy gradient: adjoint and gradient on a spline of the forward path
//
//   forward   adaptive Runge-Kutta solve of (x, loss), kept as a spline x~(t)
//   adjoint   in s = T - t:  d alpha/ds = f_x' alpha + w_x,  alpha(T) = J_x(x(T)),  all at (t, x~(t))
//   gradient  dL/dtheta = int_0^T (f_theta' alpha + w_theta) dt,  dL/dx0 = alpha(0)
//
// Derivative of the continuous problem: order min(p, q + 1, and with Gauss nodes 2 n_q and r + 1) for a table of order
// p, a spline of order q and a dense output of alpha of order r.
//   spline      native (default), the table's own: order 4 for tsit5 and 5dp, 7 for dop853 (three more f a step,
//               counted as dense); hermite3 (3); constant (0)
//   quadrature  augmented  g is in the error norm with every component: the paper's, default
//               weights    g is summed with the adjoint's own Runge-Kutta weights, outside the error norm
//               gauss      the integrand at floor((p + 1) / 2) Gauss nodes of every accepted step, alpha there by the
//                          table's dense output or cubic Hermite; one product for theta alone at each node, none in the
//                          stages
//   tolerances  forward_rtol_factor, adjoint_rtol_factor, quadrature_rtol_factor times those of the run;
//               adjoint_atol_factor of alpha; scale_atol: alpha's absolute tolerance times its own size
// The first two quadratures are those of quadrature.h.
// Price: s f forward and s vjp backward a step, no f on the way back. Memory N s nx (native), 2 N nx (hermite3).
// Weakness: two discretisations, hence two errors and two sets of rejected steps. The spline's error is not controlled:
// on the long steps of a table of higher order it is all there is (dop853 with hermite3, rtol 1e-10, lqr: 1e-5).
// Source: S. Ainsworth, K. Lowrey, J. Thickstun, Z. Harchaoui, S. Srinivasa, "Faster Policy Learning with
// Continuous-Time Gradients", L4DC 2021 (arXiv 2012.06684), Algorithm 1.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/quadrature.h"
#include "ctpgbench/toolkit/spline.h"
#include <petscdt.h>

typedef enum { QUADRATURE_AUGMENTED, QUADRATURE_WEIGHTS, QUADRATURE_GAUSS } QuadratureKind;

#define MAX_NODES 4

// The step of the adjoint that is being attempted, for its Gauss nodes.
typedef struct {
  PetscInt n;
  PetscReal node[MAX_NODES], weight[MAX_NODES]; // on [0, 1]
  PetscReal *start, *K;                         // [nx] alpha at its start, [s, nx] derivatives
  PetscReal *alpha, *total;                     // [nx] at a node, [np] the integral so far
} Gauss;

typedef struct {
  CtpgRKOptions rk, rk_adjoint;
  CtpgSplineKind spline_kind;
  QuadratureKind kind;
  PetscReal forward_factor, adjoint_factor, quadrature_factor;
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgForwardSolve forward;
  CtpgRKSolver adjoint;
  CtpgSpline spline;
  PetscReal *x; // [nx] state on the spline
  CtpgQuadrature quadrature;
  Gauss gauss;
} CTPG;

// ---- options ----

static PetscErrorCode ReadTolerances(CtpgOptions options, CTPG *e) {
  PetscFunctionBeginUser;
  e->forward_factor = e->adjoint_factor = e->quadrature_factor = 1;
  PetscCall(CtpgOptionsReal(options, "forward_rtol_factor",
                            "tolerance of the forward solve = factor times that of the run", 1e-12, 1e12,
                            &e->forward_factor));
  PetscCall(CtpgOptionsReal(options, "adjoint_rtol_factor", "the same for the adjoint solve", 1e-12, 1e12,
                            &e->adjoint_factor));
  PetscCall(CtpgOptionsReal(options, "quadrature_rtol_factor",
                            "quadrature augmented: tolerance of g = factor times that of alpha", 1e-12, 1e12,
                            &e->quadrature_factor));
  e->rk_adjoint = e->rk;
  PetscCall(
      CtpgOptionsReal(options, "adjoint_atol_factor", "the adjoint's atol_factor", 0, 1e6, &e->rk_adjoint.atol_factor));
  PetscCall(CtpgOptionsBool(options, "scale_atol", "alpha's absolute tolerance times the largest |alpha| so far",
                            &e->rk_adjoint.scale_atol));
  PetscFunctionReturn(0);
}

// Orders of the spline, in the error it leaves in a gradient, and of alpha between the knots.
static PetscReal SplineLimit(const CTPG *e) {
  if (e->spline_kind == CTPG_SPLINE_CONSTANT) return 1;
  return e->spline_kind == CTPG_SPLINE_HERMITE3 ? 4 : e->rk.table.dense_order + 1;
}

static PetscReal QuadratureLimit(const CTPG *e) {
  if (e->kind != QUADRATURE_GAUSS) return e->rk.table.order;
  return PetscMin(2 * e->gauss.n, CtpgRKTableHasDenseOutput(&e->rk.table) ? e->rk.table.dense_order + 1 : 4);
}

static PetscErrorCode EstimatorCreate_CTPG(CtpgOptions options, CtpgTraits *traits, void **est) {
  static const char *const splines[] = {"native", "hermite3", "constant", NULL};
  static const char *const quadratures[] = {"augmented", "weights", "gauss", NULL};
  PetscInt spline = CTPG_SPLINE_NATIVE, kind = QUADRATURE_AUGMENTED;
  CTPG *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(CtpgRKOptionsRead(options, "tsit5", &e->rk, traits));
  PetscCall(CtpgOptionsChoice(options, "spline", "native, hermite3 or constant", splines, &spline));
  PetscCall(CtpgOptionsChoice(options, "quadrature", "augmented, weights or gauss", quadratures, &kind));
  PetscCall(ReadTolerances(options, e));
  e->spline_kind = (CtpgSplineKind)spline;
  e->kind = (QuadratureKind)kind;
  PetscCheck(
      e->spline_kind != CTPG_SPLINE_NATIVE || CtpgRKTableHasDenseOutput(&e->rk.table), PETSC_COMM_WORLD,
      PETSC_ERR_USER_INPUT,
      "%s: spline native needs a table with a dense output of its own (tsit5, 5dp, dop853), not rk %s; -%s_spline "
      "hermite3 works with every table",
      CtpgOptionsLabel(options), e->rk.table.name, CtpgOptionsLabel(options));
  PetscCheck(e->kind != QUADRATURE_GAUSS || e->rk.table.fsal, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: quadrature gauss needs a table whose last stage is the first of the next step (tsit5, 3bs, 5dp, 5bs, "
             "6vr, 6ve), not rk %s",
             CtpgOptionsLabel(options), e->rk.table.name);
  e->gauss.n = (e->rk.table.order + 1) / 2;
  if (e->kind == QUADRATURE_GAUSS) traits->flags &= ~CTPG_IS_WITHOUT_LIBM; // PETSc's nodes
  traits->order = PetscMin(traits->order, PetscMin(SplineLimit(e), QuadratureLimit(e)));
  PetscFunctionReturn(0);
}

// ---- the adjoint, with g beside it ----

// d alpha/ds [nx] at stage state alpha [nx] and s = T - t.
static CtpgStatus AdjointWithQuadrature(void *context, PetscInt i, PetscReal s, const PetscReal *alpha,
                                        PetscReal *ydot) {
  CTPG *e = context;
  const PetscReal t = CtpgSplineEval(&e->spline, e->sizes.T - s, e->x);
  memset(ydot, 0, (size_t)e->sizes.nx * sizeof *ydot);
  return CtpgQuadratureProduct(e->quadrature, i, t, e->x, alpha, ydot);
}

static void OnAccept(void *context, const PetscReal *alpha) {
  CTPG *e = context;
  (void)alpha;
  CtpgQuadratureAccept(e->quadrature, e->adjoint);
}

static void OnError(void *context, PetscReal h, PetscReal rtol, PetscReal atol, CtpgRKErrorSums *sums) {
  CtpgQuadratureError(((CTPG *)context)->quadrature, h, rtol, atol, sums);
}

// ---- the adjoint alone, and Gauss nodes in its accepted steps ----

static CtpgStatus AdjointAlone(void *context, PetscInt i, PetscReal s, const PetscReal *alpha, PetscReal *ydot) {
  CTPG *e = context;
  const PetscInt nx = e->sizes.nx;
  const PetscReal one = 1, t = CtpgSplineEval(&e->spline, e->sizes.T - s, e->x);
  memset(ydot, 0, (size_t)nx * sizeof *ydot);
  const CtpgStatus status = CtpgClosedLoopVJP(e->loop, 1, &t, e->x, alpha, &one, ydot, NULL);
  if (i >= 0) memcpy(e->gauss.K + i * nx, ydot, (size_t)nx * sizeof *ydot);
  return status;
}

static void KeepStart(void *context, PetscInt i, const PetscReal *alpha) {
  CTPG *e = context;
  if (i == 0) memcpy(e->gauss.start, alpha, (size_t)e->sizes.nx * sizeof *alpha);
}

// alpha at start + theta h, from the recorded derivatives and alpha [nx] at the end.
static void AdjointBetween(const CTPG *e, PetscReal theta, PetscReal h, const PetscReal *end, PetscReal *alpha) {
  const CtpgRKTable *table = &e->rk.table;
  const PetscInt nx = e->sizes.nx;
  if (CtpgRKTableHasDenseOutput(table))
    CtpgRKTableDense(table, theta, h, nx, e->gauss.start, e->gauss.K, alpha);
  else
    CtpgHermite3(theta, h, nx, e->gauss.start, end, e->gauss.K, e->gauss.K + (table->s - 1) * nx, alpha);
}

// The weighted integrand at every node; the last derivative is the first of the next step.
static void AddGaussNodes(void *context, const PetscReal *end) {
  CTPG *e = context;
  const PetscInt nx = e->sizes.nx;
  PetscReal start, h;
  CtpgRKSolverGetStep(e->adjoint, &start, &h);
  for (PetscInt k = 0; k < e->gauss.n; k++) {
    const PetscReal t = CtpgSplineEval(&e->spline, e->sizes.T - (start + e->gauss.node[k] * h), e->x);
    const PetscReal weight = h * e->gauss.weight[k];
    AdjointBetween(e, e->gauss.node[k], h, end, e->gauss.alpha);
    for (PetscInt j = 0; j < nx; j++) e->gauss.alpha[j] *= weight;
    CtpgClosedLoopVJP(e->loop, 1, &t, e->x, e->gauss.alpha, &weight, NULL, e->gauss.total);
  }
  memcpy(e->gauss.K, e->gauss.K + (e->rk.table.s - 1) * nx, (size_t)nx * sizeof *end);
}

// ---- life cycle ----

static PetscErrorCode SetUpGauss(CTPG *e, CtpgRKCallbacks *callbacks) {
  Gauss *gauss = &e->gauss;
  const PetscInt nx = e->sizes.nx;

  PetscFunctionBeginUser;
  PetscCall(PetscDTGaussQuadrature(gauss->n, 0, 1, gauss->node, gauss->weight));
  PetscCall(
      PetscMalloc4(nx, &gauss->start, e->rk.table.s * nx, &gauss->K, nx, &gauss->alpha, e->sizes.np, &gauss->total));
  *callbacks = (CtpgRKCallbacks){.context = e, .rhs = AdjointAlone, .stage = KeepStart, .accept = AddGaussNodes};
  PetscFunctionReturn(0);
}

static PetscErrorCode SetUpQuadrature(CTPG *e, CtpgRKCallbacks *callbacks) {
  PetscFunctionBeginUser;
  PetscCall(CtpgQuadratureCreate(e->loop, &e->rk_adjoint, e->kind == QUADRATURE_AUGMENTED ? PETSC_TRUE : PETSC_FALSE,
                                 e->quadrature_factor, &e->quadrature));
  *callbacks = (CtpgRKCallbacks){.context = e,
                                 .rhs = AdjointWithQuadrature,
                                 .accept = OnAccept,
                                 .error = CtpgQuadratureIsControlled(e->quadrature) ? OnError : NULL};
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_CTPG(void *est, CtpgClosedLoop loop) {
  CTPG *e = est;
  CtpgRKCallbacks callbacks;

  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(PetscMalloc1(e->sizes.nx, &e->x));
  if (e->kind == QUADRATURE_GAUSS)
    PetscCall(SetUpGauss(e, &callbacks));
  else
    PetscCall(SetUpQuadrature(e, &callbacks));
  PetscCall(CtpgForwardCreate(loop, &e->rk, NULL, CtpgSplineKeeps(e->spline_kind), &e->forward));
  PetscCall(CtpgRKSolverCreate(loop, &e->rk_adjoint, NULL, 0, e->sizes.nx, &callbacks, &e->adjoint));
  PetscFunctionReturn(0);
}

// In s = T - t, from the last piece to the first.
static PetscErrorCode SolvePieces(CTPG *e, PetscReal accuracy) {
  PetscReal h = CtpgRKSolverGetNextStep(CtpgForwardGetSolver(e->forward)), t_low, t_high;
  PetscFunctionBeginUser;
  for (PetscInt k = CtpgClosedLoopGetPieces(e->loop, e->rk.respect_breaks) - 1; k >= 0; k--) {
    CtpgClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, k, &t_low, &t_high);
    PetscCall(CtpgRKSolverSolve(e->adjoint, CTPG_ADJOINT, e->sizes.T - t_high, e->sizes.T - t_low, accuracy, h));
    h = CtpgRKSolverGetNextStep(e->adjoint);
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  PetscFunctionReturn(0);
}

// alpha(T) into the solver's state, solve in s from 0 to T, read alpha(0) and the gradient.
static PetscErrorCode SolveAdjoint(CTPG *e, PetscReal accuracy, CtpgResult *result) {
  const PetscInt nx = e->sizes.nx, np = e->sizes.np;
  PetscReal *y, terminal;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(e->adjoint, &y));
  CtpgClosedLoopTerminal(e->loop, CtpgForwardGetEnd(e->forward), &terminal, y);
  PetscCall(CtpgRKSolverRestoreState(e->adjoint, &y));
  if (e->kind == QUADRATURE_GAUSS)
    PetscCall(PetscArrayzero(e->gauss.total, np));
  else
    CtpgQuadratureStart(e->quadrature);
  PetscCall(SolvePieces(e, accuracy));
  PetscCall(CtpgRKSolverGetState(e->adjoint, &y));
  PetscCall(PetscArraycpy(result->gx0, y, nx));
  PetscCall(CtpgRKSolverRestoreState(e->adjoint, &y));
  const PetscReal *g = e->kind == QUADRATURE_GAUSS ? e->gauss.total : CtpgQuadratureGet(e->quadrature);
  for (PetscInt k = 0; k < np; k++) result->gtheta[k] += g[k];
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorGradientOfStart_CTPG(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                    PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  CTPG *e = est;
  int64_t steps, rejected;

  PetscFunctionBeginUser;
  (void)stream;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(CtpgForwardRun(e->forward, x0, e->rk.fixed ? accuracy : e->forward_factor * accuracy, result));
  result->bytes = PetscMax(result->bytes, CtpgForwardGetBytes(e->forward));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  CtpgSplineOpen(&e->spline, e->spline_kind, e->forward, e->sizes.nx);
  CtpgRKSolverResetCounts(e->adjoint);
  PetscCall(SolveAdjoint(e, e->rk.fixed ? accuracy : e->adjoint_factor * accuracy, result));
  CtpgRKSolverGetCounts(e->adjoint, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_CTPG(void **est) {
  CTPG *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgForwardDestroy(&e->forward));
  PetscCallVoid(CtpgRKSolverDestroy(&e->adjoint));
  PetscCallVoid(CtpgQuadratureDestroy(&e->quadrature));
  PetscCallVoid(PetscFree4(e->gauss.start, e->gauss.K, e->gauss.alpha, e->gauss.total));
  PetscCallVoid(PetscFree(e->x));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_ctpg = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "ctpg",
    .version = 4,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex = "@inproceedings{Ainsworth2021, author={Samuel Ainsworth and Kendall Lowrey and John Thickstun and Zaid "
              "Harchaoui and Siddhartha Srinivasa}, title={Faster Policy Learning with Continuous-Time Gradients}, "
              "booktitle={Learning for Dynamics and Control}, series={PMLR}, volume={144}, year={2021}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s vjp",
    .storage = "N s nx",
    .create = EstimatorCreate_CTPG,
    .setup = EstimatorSetUp_CTPG,
    .gradient_of_start = EstimatorGradientOfStart_CTPG,
    .destroy = EstimatorDestroy_CTPG,
    .needs = "vjp"};
