// reference.c -- the reference gradient of a case, by the methods of reference.h
//
// Method 1 is solved first, with an estimator's own parts: forward.h records an order-8 solve, reverse.h sweeps back,
// and adds up the length of the parameters' integral on the way (cond). Method 2 integrates backwards over the same
// record (backsolve.h). Compare sets their difference; where it is large, method 2 is made again with another table in
// place of method 1. The check of the loss displaces the case along random directions and extrapolates differences of
// plain losses, which no derivative enters. All evaluations are counted together, as the price of the reference. A
// sweep of method 1 that diverges (of a very stiff loop: the mesh of the state says nothing of the adjoint) is left
// aside, and method 2 is made twice.

#include "run/reference.h"
#include "run/case.h"
#include "base/vector.h"
#include "ctpgbench/toolkit/backsolve.h"
#include "ctpgbench/toolkit/reverse.h"
#include "base/random_engine.h"
#include <math.h>

#define REFERENCE_RTOL 1e-13
#define NOISY_RTOL     1e-10 // of method 2 at first, where products are differences: below it steps shrink with noise
#define GOOD_ENOUGH    1e-9  // difference of the methods that NOISY_RTOL may leave
#define STEP_LIMIT     50000
#define USELESS        0.1 // relative error of method 1
#define DIRECTIONS     2
#define NEARLY_ZERO    1e-6 // relative error that rounding alone may make
#define STEP           1e-3 // the longer one of the differences, relative to the size of x0 and theta

struct ReferenceSolver_s {
  const CtpgProblem *problem;
  PetscInt nx, np;
  CtpgClosedLoop loop;
  CtpgForwardSolve forward, plain; // plain: losses alone
  CtpgReverseSweep sweep;
  CtpgBacksolve back;
  CtpgForwardSolve other_forward; // of method 2 with another table; made when first needed
  CtpgBacksolve other_back;
  CtpgCounts left;                                  // spent before the loop was started anew
  PetscReal *increment;                             // [np] of one step
  PetscReal *check_gx0, *check_gtheta;              // [nx], [np] of the method compared with
  PetscReal *dx0, *dtheta, *moved_x0, *moved_theta; // direction and displaced case
};

PetscErrorCode ReferenceCreate(const CtpgProblem *problem, ReferenceSolver *solver) {
  ReferenceSolver r;
  CtpgRKOptions rk = {.atol_factor = CTPG_DEFAULT_ATOL_FACTOR, .respect_breaks = PETSC_TRUE, .step_limit = STEP_LIMIT};

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&r));
  *solver = r;
  r->problem = problem;
  r->nx = problem->dims.nx;
  r->np = PolicyGetSize(problem->policy);
  PetscCall(CtpgRKTableFind("-rk", "8vr", &rk.table));
  PetscCall(ProblemCreateLoop(problem, &r->loop));
  PetscCall(CtpgForwardCreate(r->loop, &rk, NULL, CTPG_KEEP_STATES | CTPG_KEEP_STAGES, &r->forward));
  PetscCall(CtpgForwardCreate(r->loop, &rk, NULL, CTPG_KEEP_NOTHING, &r->plain));
  PetscCall(CtpgReverseCreate(r->loop, &rk.table, &r->sweep));
  PetscCall(CtpgBacksolveCreate(r->loop, &rk, PETSC_FALSE, PETSC_FALSE, &r->back));
  PetscCall(PetscMalloc3(r->np, &r->increment, r->nx, &r->check_gx0, r->np, &r->check_gtheta));
  PetscCall(PetscMalloc4(r->nx, &r->dx0, r->np, &r->dtheta, r->nx, &r->moved_x0, r->np, &r->moved_theta));
  PetscFunctionReturn(0);
}

PetscErrorCode ReferenceDestroy(ReferenceSolver *solver) {
  PetscFunctionBeginUser;
  if (!*solver) PetscFunctionReturn(0);
  ReferenceSolver r = *solver;
  PetscCall(CtpgForwardDestroy(&r->forward));
  PetscCall(CtpgForwardDestroy(&r->plain));
  PetscCall(CtpgReverseDestroy(&r->sweep));
  PetscCall(CtpgBacksolveDestroy(&r->back));
  PetscCall(CtpgForwardDestroy(&r->other_forward));
  PetscCall(CtpgBacksolveDestroy(&r->other_back));
  PetscCall(CtpgClosedLoopDestroy(&r->loop));
  PetscCall(PetscFree3(r->increment, r->check_gx0, r->check_gtheta));
  PetscCall(PetscFree4(r->dx0, r->dtheta, r->moved_x0, r->moved_theta));
  PetscCall(PetscFree(*solver));
  PetscFunctionReturn(0);
}

static PetscReal RelativeDifference(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return CtpgRatio(VectorDistance(n, a, b), CtpgNorm(n, a));
}

// The sweep has diverged: r->check_* are far from everything, and the loop goes on.
static void LeaveDiscrete(ReferenceSolver r, const CtpgLimits *limits) {
  CtpgCounts counts;
  CtpgClosedLoopGetTotals(r->loop, &counts);
  CtpgCountsAdd(&r->left, &counts);
  CtpgClosedLoopStart(r->loop, limits);
  for (PetscInt k = 0; k < r->np; k++) r->check_gtheta[k] = PETSC_MAX_REAL;
  for (PetscInt i = 0; i < r->nx; i++) r->check_gx0[i] = PETSC_MAX_REAL;
}

// Method 1, into `loss` and r->check_*. The length of the path of g over the steps is the integral in cond.
static PetscErrorCode SolveDiscrete(ReferenceSolver r, const CtpgCase *c, const CtpgLimits *limits, PetscReal *loss,
                                    PetscReal *cond) {
  CtpgResult result = {.loss = loss};
  PetscReal terminal, length = 0;

  PetscFunctionBeginUser;
  PetscCall(PetscArrayzero(r->check_gtheta, r->np));
  PetscCall(CtpgForwardRun(r->forward, c->x0, REFERENCE_RTOL, &result));
  if (CtpgClosedLoopGetStatus(r->loop) != CTPG_OK) PetscFunctionReturn(0);
  CtpgClosedLoopTerminal(r->loop, CtpgForwardGetEnd(r->forward), &terminal, r->check_gx0);
  CtpgClosedLoopSetPurpose(r->loop, CTPG_ADJOINT);
  for (PetscInt n = CtpgForwardGetSteps(r->forward) - 1; n >= 0 && CtpgClosedLoopGetStatus(r->loop) == CTPG_OK; n--) {
    PetscCall(PetscArrayzero(r->increment, r->np));
    const CtpgStep step = CtpgForwardGetStep(r->forward, n);
    CtpgReverseStep(r->sweep, &step, r->check_gx0, r->increment);
    for (PetscInt k = 0; k < r->np; k++) r->check_gtheta[k] += r->increment[k];
    length += CtpgNorm(r->np, r->increment);
  }
  if (CtpgClosedLoopGetStatus(r->loop) == CTPG_DIVERGED) LeaveDiscrete(r, limits);
  *cond = length > 0 ? CtpgRatio(length, CtpgNorm(r->np, r->check_gtheta)) : 1; // nothing is added, nothing cancels
  PetscFunctionReturn(0);
}

// Method 2, over the steps that `forward` recorded, into gx0 [nx] and gtheta [np].
static PetscErrorCode SolveContinuous(ReferenceSolver r, const CtpgCase *c, CtpgForwardSolve forward,
                                      CtpgBacksolve back, PetscReal rtol, PetscReal *gx0, PetscReal *gtheta) {
  CtpgResult result = {.gx0 = gx0, .gtheta = gtheta, .backsolve_error = NAN};

  PetscFunctionBeginUser;
  PetscCall(PetscArrayzero(gtheta, r->np));
  PetscCall(
      CtpgBacksolveStart(back, CtpgForwardGetEnd(forward), CtpgRKSolverGetNextStep(CtpgForwardGetSolver(forward))));
  PetscCall(CtpgBacksolveRunSteps(back, forward, rtol));
  PetscCall(CtpgBacksolveFinish(back, c->x0, &result));
  PetscFunctionReturn(0);
}

// Differences have a noise of 1e-10 or so, below which method 2 can only shrink its steps: a thousand times the price
// on a free body. A coarse tolerance first, the fine one where that leaves a difference between the methods.
static PetscErrorCode SolveContinuousOnce(ReferenceSolver r, const CtpgCase *c, CtpgReference *reference) {
  PetscReal *gx0 = reference->gx0, *gtheta = reference->gtheta;
  PetscFunctionBeginUser;
  if (CtpgClosedLoopUsesDifferences(r->loop)) {
    PetscCall(SolveContinuous(r, c, r->forward, r->back, NOISY_RTOL, gx0, gtheta));
    if (CtpgClosedLoopGetStatus(r->loop) == CTPG_OK &&
        RelativeDifference(r->np, r->check_gtheta, gtheta) <= GOOD_ENOUGH &&
        RelativeDifference(r->nx, r->check_gx0, gx0) <= GOOD_ENOUGH)
      PetscFunctionReturn(0);
  }
  PetscCall(SolveContinuous(r, c, r->forward, r->back, REFERENCE_RTOL, gx0, gtheta));
  PetscFunctionReturn(0);
}

// Where f has kinks, or the mesh of the state does not resolve the adjoint, method 1 is the worse one and says little
// of the reference: then method 2 is made again, with a forward solve and a table of its own, in place of method 1.
static PetscErrorCode SolveContinuousAgain(ReferenceSolver r, const CtpgCase *c) {
  CtpgRKOptions rk = {.atol_factor = CTPG_DEFAULT_ATOL_FACTOR, .step_limit = STEP_LIMIT, .respect_breaks = PETSC_TRUE};
  PetscReal loss;
  CtpgResult result = {.loss = &loss};

  PetscFunctionBeginUser;
  if (!r->other_forward) {
    PetscCall(CtpgRKTableFind("-rk", "7vr", &rk.table));
    PetscCall(CtpgForwardCreate(r->loop, &rk, NULL, CTPG_KEEP_STATES, &r->other_forward));
    PetscCall(CtpgBacksolveCreate(r->loop, &rk, PETSC_FALSE, PETSC_FALSE, &r->other_back));
  }
  PetscCall(CtpgForwardRun(r->other_forward, c->x0, REFERENCE_RTOL, &result));
  PetscCall(SolveContinuous(r, c, r->other_forward, r->other_back, REFERENCE_RTOL, r->check_gx0, r->check_gtheta));
  PetscFunctionReturn(0);
}

// The problem's closed form, where there is one.
static PetscBool SolveClosedForm(ReferenceSolver r, const CtpgCase *c, CtpgReference *reference) {
  const CtpgProblem *p = r->problem;
  const PetscInt nK = p->dims.nu * p->dims.no;
  const CtpgTask task = {.values = c->task, .T = c->T, .piece = -1};
  const CtpgLinearPolicy policy = {.nu = p->dims.nu, .no = p->dims.no, .K = c->theta, .b = c->theta + nK};
  if (!p->type->closed_form || !PolicyIsLinear(p->policy)) return PETSC_FALSE;
  const CtpgStatus status = p->type->closed_form(p->ctx, &task, &policy, c->x0, &reference->loss, reference->gx0,
                                                 reference->gtheta, reference->gtheta + nK);
  return status == CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
}

// ---- the check of the loss ----

// Loss of the case displaced by `step` along (dx0, dtheta).
static PetscErrorCode DisplacedLoss(ReferenceSolver r, const CtpgCase *c, PetscReal step, PetscReal *loss) {
  CtpgResult result = {.loss = loss};
  PetscFunctionBeginUser;
  for (PetscInt k = 0; k < r->nx; k++) r->moved_x0[k] = c->x0[k] + step * r->dx0[k];
  for (PetscInt k = 0; k < r->np; k++) r->moved_theta[k] = c->theta[k] + step * r->dtheta[k];
  CtpgClosedLoopSetCase(r->loop, r->moved_theta, 1, c->task, c->T);
  PetscCall(CtpgForwardRun(r->plain, r->moved_x0, REFERENCE_RTOL, &result));
  PetscFunctionReturn(0);
}

// A central difference at this step. size: of what it is the difference of, at least what is there.
static PetscErrorCode LossDifference(ReferenceSolver r, const CtpgCase *c, PetscReal step, PetscReal *difference,
                                     PetscReal *size) {
  PetscReal plus, minus;
  PetscFunctionBeginUser;
  PetscCall(DisplacedLoss(r, c, step, &plus));
  PetscCall(DisplacedLoss(r, c, -step, &minus));
  *difference = (plus - minus) / (2 * step);
  *size = fmax(*size, (fabs(plus) + fabs(minus)) / (2 * step));
  PetscFunctionReturn(0);
}

// Differences at steps h and h/2, extrapolated in h^2 (Richardson): short ones, for what is left goes with h^4 times
// the fifth derivative, which is large where paths part; at rtol 1e-13 rounding makes 1e-10 or so. `check` has a table
// of its own (check/report.c), and is not to be joined with this one: it checks what the reference says, and a fault in
// shared code would agree with itself.
static PetscErrorCode LossDerivative(ReferenceSolver r, const CtpgCase *c, PetscReal *derivative, PetscReal *size) {
  PetscReal coarse, fine;
  PetscFunctionBeginUser;
  *size = 0;
  PetscCall(LossDifference(r, c, STEP, &coarse, size));
  PetscCall(LossDifference(r, c, STEP / 2, &fine, size));
  *derivative = fine + (fine - coarse) / 3;
  PetscFunctionReturn(0);
}

// A random direction, each part as long as what it displaces (x0 may be zero: then one).
static void DrawDirection(CtpgStream *stream, PetscInt n, const PetscReal *around, PetscReal *direction) {
  const PetscReal size = CtpgNorm(n, around), scale = (size > 0 ? size : 1) / sqrt((PetscReal)n);
  for (PetscInt k = 0; k < n; k++) direction[k] = scale * CtpgStreamNormal(stream);
}

static PetscErrorCode CheckLoss(ReferenceSolver r, const CtpgCase *c, CtpgReference *reference) {
  CtpgStream stream = CtpgStreamOpen((uint64_t)c->seed, r->problem->type->name, CTPG_STREAM_CHECK, 0, 0);
  PetscReal worst = 0;

  PetscFunctionBeginUser;
  for (int d = 0; d < DIRECTIONS && CtpgClosedLoopGetStatus(r->loop) == CTPG_OK; d++) {
    PetscReal by_differences = 0, by_gradient = 0, typical = 0, size;
    DrawDirection(&stream, r->nx, c->x0, r->dx0);
    DrawDirection(&stream, r->np, c->theta, r->dtheta);
    PetscCall(LossDerivative(r, c, &by_differences, &size));
    for (PetscInt k = 0; k < r->nx; k++) {
      by_gradient += reference->gx0[k] * r->dx0[k];
      typical += PetscSqr(reference->gx0[k] * r->dx0[k]);
    }
    for (PetscInt k = 0; k < r->np; k++) {
      by_gradient += reference->gtheta[k] * r->dtheta[k];
      typical += PetscSqr(reference->gtheta[k] * r->dtheta[k]);
    }
    worst = fmax(worst, CtpgRatio(fabs(by_differences - by_gradient), typical > 0 ? sqrt(typical) : size));
  }
  CtpgClosedLoopSetCase(r->loop, c->theta, 1, c->task, c->T);
  reference->ref_err_loss = worst;
  PetscFunctionReturn(0);
}

// The estimates of error, from what the check methods left in r.
static void Compare(ReferenceSolver r, CtpgReference *reference) {
  reference->ref_err = RelativeDifference(r->np, reference->gtheta, r->check_gtheta);
  reference->ref_err_x0 = RelativeDifference(r->nx, reference->gx0, r->check_gx0);
}

PetscErrorCode ReferenceSolve(ReferenceSolver r, const CtpgCase *c, const CtpgLimits *limits,
                              CtpgReference *reference) {
  PetscReal loss;

  PetscFunctionBeginUser;
  reference->ref_err = reference->ref_err_x0 = reference->ref_err_loss = NAN;
  CtpgClosedLoopSetCase(r->loop, c->theta, 1, c->task, c->T);
  CtpgClosedLoopStart(r->loop, limits);
  memset(&r->left, 0, sizeof r->left);
  PetscCall(SolveDiscrete(r, c, limits, &loss, &reference->cond));
  reference->closed_form = SolveClosedForm(r, c, reference);
  if (!reference->closed_form) {
    PetscCall(SolveContinuousOnce(r, c, reference));
    reference->loss = loss;
  }
  if (CtpgClosedLoopGetStatus(r->loop) == CTPG_OK) {
    Compare(r, reference);
    if (reference->ref_err > USELESS) reference->cond = NAN;
    if (reference->ref_err > (CtpgClosedLoopUsesDifferences(r->loop) ? GOOD_ENOUGH : 1e-10)) {
      PetscCall(SolveContinuousAgain(r, c));
      if (CtpgClosedLoopGetStatus(r->loop) == CTPG_OK) Compare(r, reference);
    }
    PetscCall(CheckLoss(r, c, reference));
  }
  CtpgClosedLoopGetTotals(r->loop, &reference->counts);
  CtpgCountsAdd(&reference->counts, &r->left);
  reference->status = CtpgClosedLoopGetStatus(r->loop);
  PetscCall(PetscStrncpy(reference->reason, CtpgClosedLoopGetReason(r->loop), sizeof reference->reason));
  if (reference->status == CTPG_STEP_LIMIT)
    PetscCall(PetscSNPrintf(reference->reason, sizeof reference->reason,
                            "%d steps at rtol %.0e do not suffice: the plant is not smooth (contacts?) or stiff",
                            STEP_LIMIT, REFERENCE_RTOL));
  PetscFunctionReturn(0);
}

const char *ReferenceRemark(const CtpgReference *reference, PetscInt np) {
  if (CtpgNorm(np, reference->gtheta) == 0) return "the gradient is zero: errors are absolute";
  if (reference->cond * PETSC_MACHINE_EPSILON > NEARLY_ZERO)
    return "the gradient is nearly zero: what it is added up from cancels, and double precision gives it few digits";
  return "";
}
