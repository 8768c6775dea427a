// ctpg.c -- continuous-time policy gradient: adjoint and gradient on a spline of the forward path
//
//   forward   adaptive Runge-Kutta solve of (x, loss), kept as a spline x~(t)
//   adjoint   in s = T - t:  d alpha/ds = f_x' alpha + w_x,  alpha(T) = J_x(x(T)),  all at (t, x~(t))
//   gradient  dL/dtheta = int_0^T (f_theta' alpha + w_theta) dt,  dL/dx0 = alpha(0)
//
// Derivative of the continuous problem: order min(p, q + 1) for a table of order p and a spline of order q.
//   spline      native (default), hermite3 (order 4 at most), constant (order 1)
//   quadrature  augmented  g rides in the state and in the error norm: the paper's, default
//               weights    g is summed with the adjoint's own Runge-Kutta weights, outside the error norm (the seminorm
//                          of P. Kidger, R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE", ICML 2021)
// Price: s f forward and s vjp backward a step, no f on the way back. Memory N s nx (native), 2 N nx (hermite3).
// Weakness: two discretisations, hence two errors; with `augmented` and large np each backward step moves np numbers.
// Source: S. Ainsworth, K. Lowrey, J. Thickstun, Z. Harchaoui, S. Srinivasa, "Faster Policy Learning with Continuous-Time
// Gradients", L4DC 2021 (arXiv 2012.06684), Algorithm 1.

#include "estimator.h"
#include "spline.h"

typedef enum { QUADRATURE_AUGMENTED, QUADRATURE_WEIGHTS } Quadrature;

typedef struct {
  RKOptions rk;
  CtpgSplineKind spline_kind;
  Quadrature quadrature;
  ClosedLoop loop;
  CtpgLoopSizes sizes;
  ForwardSolve forward;
  RKSolver adjoint;
  CtpgSpline spline;
  PetscReal *x, *v; // [nx] state on the spline, scaled adjoint
  // Quadrature with weights, all [np]: the sum over accepted steps; the same with the step being attempted; the
  // integrands of its first stage and of a last stage that is the first of the next step.
  PetscReal *total, *attempt, *first, *last;
  PetscBool attempt_begun;
} CTPG;

static PetscErrorCode EstimatorCreate_CTPG(CtpgOptions options, CtpgTraits *traits, void **est) {
  static const char *const splines[] = {"native", "hermite3", "constant", NULL};
  static const char *const quadratures[] = {"augmented", "weights", NULL};
  static const PetscReal spline_limit[] = {1000, 4, 1};
  PetscInt spline = CTPG_SPLINE_NATIVE, quadrature = QUADRATURE_AUGMENTED;
  CTPG *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(RKOptionsRead(options, "tsit5", &e->rk, traits));
  PetscCall(CtpgOptionsChoice(options, "spline", "native, hermite3 or constant", splines, &spline));
  PetscCall(CtpgOptionsChoice(options, "quadrature", "augmented or weights", quadratures, &quadrature));
  e->spline_kind = (CtpgSplineKind)spline;
  e->quadrature = (Quadrature)quadrature;
  PetscCheck(e->spline_kind != CTPG_SPLINE_NATIVE || RKTableHasDenseOutput(&e->rk.table), PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT,
             "%s: spline native needs a table with a dense output of its own (tsit5, 5dp), not rk %s; -%s_spline "
             "hermite3 works with every table",
             CtpgOptionsLabel(options), e->rk.table.name, CtpgOptionsLabel(options));
  traits->order = PetscMin(traits->order, spline_limit[spline]);
  PetscFunctionReturn(0);
}

// ---- the adjoint's right-hand side ----

// d alpha/ds [nx] and the integrand g, at stage state alpha [nx] and s = T - t.
static CtpgStatus AdjointAugmented(void *context, PetscInt i, PetscReal s, const PetscReal *y, PetscReal *ydot) {
  CTPG *e = context;
  const PetscReal one = 1, t = SplineEval(&e->spline, e->sizes.T - s, e->x);
  (void)i;
  memset(ydot, 0, (size_t)(e->sizes.nx + e->sizes.np) * sizeof *ydot);
  return ClosedLoopVJP(e->loop, 1, &t, e->x, y, &one, ydot, ydot + e->sizes.nx, NULL);
}

// Integrand of a stage whose weight in this step is not known yet: kept as it is.
static CtpgStatus KeepIntegrand(CTPG *e, PetscReal t, const PetscReal *alpha, PetscReal *ydot, PetscReal *integrand) {
  const PetscReal one = 1;
  memset(integrand, 0, (size_t)e->sizes.np * sizeof *integrand);
  return ClosedLoopVJP(e->loop, 1, &t, e->x, alpha, &one, ydot, integrand, NULL);
}

// attempt = total + h b_1 first, once per attempt: a rejected one is simply begun anew, an accepted one becomes the total.
static void BeginAttempt(CTPG *e, PetscReal h) {
  const PetscReal weight = h * e->rk.table.b[0];
  if (e->attempt_begun) return;
  e->attempt_begun = PETSC_TRUE;
#pragma omp simd
  for (PetscInt k = 0; k < e->sizes.np; k++) e->attempt[k] = e->total[k] + weight * e->first[k];
}

// The product is linear in (v, c): with both scaled by h b_i it adds the weighted integrand to the attempt in place.
static CtpgStatus AddIntegrand(CTPG *e, PetscReal t, PetscReal weight, const PetscReal *alpha, PetscReal *ydot) {
  for (PetscInt k = 0; k < e->sizes.nx; k++) e->v[k] = weight * alpha[k];
  const CtpgStatus status = ClosedLoopVJP(e->loop, 1, &t, e->x, e->v, &weight, ydot, e->attempt, NULL);
  for (PetscInt k = 0; k < e->sizes.nx; k++) ydot[k] /= weight;
  return status;
}

static CtpgStatus AdjointWithWeights(void *context, PetscInt i, PetscReal s, const PetscReal *alpha, PetscReal *ydot) {
  CTPG *e = context;
  const CtpgRKTable *table = &e->rk.table;
  const PetscReal one = 1, t = SplineEval(&e->spline, e->sizes.T - s, e->x);
  PetscReal start, h;
  memset(ydot, 0, (size_t)e->sizes.nx * sizeof *ydot);
  if (i == 0) return KeepIntegrand(e, t, alpha, ydot, e->first);
  if (i == table->s - 1 && table->fsal) return KeepIntegrand(e, t, alpha, ydot, e->last);
  if (i < 0 || table->b[i] == 0) return ClosedLoopVJP(e->loop, 1, &t, e->x, alpha, &one, ydot, NULL, NULL);
  RKSolverGetStep(e->adjoint, &start, &h);
  BeginAttempt(e, h);
  return AddIntegrand(e, t, h * table->b[i], alpha, ydot);
}

static void OnStage(void *context, PetscInt i, const PetscReal *alpha) {
  CTPG *e = context;
  (void)alpha;
  if (i == 0) e->attempt_begun = PETSC_FALSE;
}

static void Swap(PetscReal **a, PetscReal **b) {
  PetscReal *kept = *a;
  *a = *b;
  *b = kept;
}

static void OnAccept(void *context, const PetscReal *alpha) {
  CTPG *e = context;
  PetscReal start, h;
  (void)alpha;
  RKSolverGetStep(e->adjoint, &start, &h);
  BeginAttempt(e, h); // a table of one stage has not begun it
  Swap(&e->total, &e->attempt);
  if (e->rk.table.fsal) Swap(&e->first, &e->last);
}

// ---- life cycle ----

static PetscErrorCode EstimatorSetUp_CTPG(void *est, ClosedLoop loop) {
  CTPG *e = est;
  const PetscBool augmented = e->quadrature == QUADRATURE_AUGMENTED ? PETSC_TRUE : PETSC_FALSE;

  PetscFunctionBeginUser;
  e->loop = loop;
  ClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx, np = e->sizes.np;
  const RKCallbacks in_state = {.context = e, .rhs = AdjointAugmented};
  const RKCallbacks beside = {.context = e, .rhs = AdjointWithWeights, .stage = OnStage, .accept = OnAccept};
  PetscCall(ForwardCreate(loop, &e->rk, NULL, SplineKeeps(e->spline_kind), &e->forward));
  PetscCall(RKSolverCreate(loop, &e->rk, NULL, augmented ? np : 0, augmented ? nx + np : nx,
                           augmented ? &in_state : &beside, &e->adjoint));
  PetscCall(PetscMalloc2(nx, &e->x, nx, &e->v));
  if (!augmented) {
    PetscCall(PetscMalloc1(np, &e->total));
    PetscCall(PetscMalloc1(np, &e->attempt));
    PetscCall(PetscMalloc1(np, &e->first));
    PetscCall(PetscMalloc1(np, &e->last));
  }
  PetscFunctionReturn(0);
}

// In s = T - t, from the last piece to the first.
static PetscErrorCode SolvePieces(CTPG *e, PetscReal accuracy) {
  PetscReal h = RKSolverGetNextStep(ForwardGetSolver(e->forward)), t_low, t_high;
  PetscFunctionBeginUser;
  for (PetscInt k = ClosedLoopGetPieces(e->loop, e->rk.respect_breaks) - 1; k >= 0; k--) {
    ClosedLoopEnterPiece(e->loop, e->rk.respect_breaks, k, &t_low, &t_high);
    PetscCall(RKSolverSolve(e->adjoint, CTPG_ADJOINT, e->sizes.T - t_high, e->sizes.T - t_low, accuracy, h));
    h = RKSolverGetNextStep(e->adjoint);
  }
  ClosedLoopSetPiece(e->loop, -1);
  PetscFunctionReturn(0);
}

// alpha(T) into the solver's state, solve in s from 0 to T, read alpha(0) and the gradient.
static PetscErrorCode SolveAdjoint(CTPG *e, PetscReal accuracy, CtpgResult *result) {
  const PetscInt nx = e->sizes.nx, np = e->sizes.np;
  PetscReal *y, terminal;

  PetscFunctionBeginUser;
  PetscCall(RKSolverGetState(e->adjoint, &y));
  if (e->quadrature == QUADRATURE_AUGMENTED) PetscCall(PetscArrayzero(y + nx, np));
  ClosedLoopTerminal(e->loop, ForwardGetEnd(e->forward), &terminal, y);
  PetscCall(RKSolverRestoreState(e->adjoint, &y));
  if (e->quadrature == QUADRATURE_WEIGHTS) PetscCall(PetscArrayzero(e->total, np));
  PetscCall(SolvePieces(e, accuracy));
  PetscCall(RKSolverGetState(e->adjoint, &y));
  PetscCall(PetscArraycpy(result->gx0, y, nx));
  const PetscReal *integral = e->quadrature == QUADRATURE_AUGMENTED ? y + nx : e->total;
  for (PetscInt k = 0; k < np; k++) result->gtheta[k] += integral[k];
  PetscCall(RKSolverRestoreState(e->adjoint, &y));
  PetscFunctionReturn(0);
}

static PetscErrorCode GradientOfOneStart(void *est, ClosedLoop loop, const PetscReal *x0, PetscReal accuracy,
                                         CtpgResult *result) {
  CTPG *e = est;
  int64_t steps, rejected;

  PetscFunctionBeginUser;
  ClosedLoopGetSizes(loop, &e->sizes);
  PetscCall(ForwardRun(e->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, ForwardGetBytes(e->forward));
  if (ClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  SplineOpen(&e->spline, e->spline_kind, e->forward, e->sizes.nx);
  RKSolverResetCounts(e->adjoint);
  PetscCall(SolveAdjoint(e, accuracy, result));
  RKSolverGetCounts(e->adjoint, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorGradient_CTPG(void *est, ClosedLoop loop, PetscInt B, const PetscReal *x0,
                                             PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  PetscFunctionBeginUser;
  (void)stream;
  PetscCall(CtpgGradientOverStarts(est, loop, B, x0, accuracy, result, GradientOfOneStart));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_CTPG(void **est) {
  CTPG *e = *est;
  if (!e) return;
  PetscCallVoid(ForwardDestroy(&e->forward));
  PetscCallVoid(RKSolverDestroy(&e->adjoint));
  PetscCallVoid(PetscFree2(e->x, e->v));
  PetscCallVoid(PetscFree(e->total));
  PetscCallVoid(PetscFree(e->attempt));
  PetscCallVoid(PetscFree(e->first));
  PetscCallVoid(PetscFree(e->last));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_ctpg = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "ctpg",
    .version = 1,
    .bibtex = "@inproceedings{Ainsworth2021, author={Samuel Ainsworth and Kendall Lowrey and John Thickstun and Zaid "
              "Harchaoui and Siddhartha Srinivasa}, title={Faster Policy Learning with Continuous-Time Gradients}, "
              "booktitle={Learning for Dynamics and Control}, series={PMLR}, volume={144}, year={2021}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s vjp per step",
    .storage = "N s nx",
    .create = EstimatorCreate_CTPG,
    .setup = EstimatorSetUp_CTPG,
    .gradient = EstimatorGradient_CTPG,
    .destroy = EstimatorDestroy_CTPG,
    .needs = "vjp"};
