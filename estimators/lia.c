// lia.c -- linearly implicit Adams of variable order with a few frozen Jacobians, one evaluation a step both ways
//
//   forward   the steps of multistep.h for x' = f(t, x) from break to break, M the newest Jacobian of the closed loop;
//             corrected slopes F_n are kept, x~(t) is x_n plus the integral of the interpolant of the 9 nearest slopes;
//             of the step's own k + 1 where these two differ by more than the tolerance, which is at kinks of f
//   loss      int w by the composite interpolation on 8 nodes, w at corrected points: w(x^P) + w_x (x - x^P), w_x
//             linear between the Jacobians
//   adjoint   the same steps in s = T - t for d alpha/ds = f_x(x~)' alpha + w_x, on a mesh of their own, M = J(t)'
//             linear between the Jacobians
//   gradient  om_i: each step of order k integrates the interpolant of its k + 2 newest values, the terms that its
//             error control sees (a two-sided one is closer where all is smooth, and 10 times off where it is not);
//             g_i what the product at alpha_i^P gave, l_c the hats of the Jacobians' times t_c,
//             d_i = alpha_i - alpha_i^P,
//               dL/dtheta = sum_i om_i g_i + sum_c f_theta(t_c, x_c)' sum_i om_i l_c(t_i) d_i,   dL/dx0 = alpha(0)
//             The second sum repairs that products were taken at predicted points; it is free, the Jacobians kept the
//             factors.
//
// Derivative of the continuous problem; order k + 1 for steps of order k <= 8, whatever the Jacobians are.
//   Jacobians    at both ends of a piece; after jacobian_steps steps (jacobian_steps_late beyond step 45); after 4 or
//                more steps when |dF - M dx| > jacobian_change max(|dF|, |M dx|) since the last one; after rejections
//                that follow one another (multistep.h). On the way back after such rejections only.
//                Where one costs more than 8 products a piece begins without, by explicit steps, and the first comes
//                when the steps to come, each as long as the last one, outnumber its products: on a smooth path never.
//                None is renewed before as many steps as it costs products.
//   theta        dL/dtheta is in the error norm of the backward solve: fixed +-1 projections of g_i, 8 for each layer
//                of the policy, are watched (multistep.h), at theta_rtol_factor times the tolerance. Their scale is the
//                whole int |q|, estimated beforehand with the adjoint of the kept Jacobians alone (jacobians.h).
//   jumps        f may jump where there is no break, and the path may rest there: steps that miss what no order could
//                foretell end close to the jump (multistep.h), and components at rest, or nearly, stay between their
//                nodes in x~, so that they do not slip across it (nodes.h)
//   coefficients bdf: the same step with BDF coefficients, orders up to 5 (multistep.h): for stiff loops, where Adams'
//                are bound by stability; elsewhere they take more evaluations
//   error_bar    sweep: the error of dL/dtheta is measured by gausssweep.h, at a vjp on 0.85 nodes a backward step and
//                at Jacobians where f_x is not linear between those of the solve
//   contract     the knob is grad_rtol: tolerance grad_rtol / 10, then the one at which 1.8 times the measured error d
//                would be allowed, until 1.2 d is; forward a sixth of it, for of the adjoint's tolerance comes its own
//                error, of the path's up to 50 times that; allowed are max(grad_rtol |g|, grad_atol, grad_integral_rtol
//                int |f_theta' alpha + w_theta|). At most four times; the last gradient is delivered as it is, with d
//                as its error bar
//   guard        then f and w are probed until no stretch of T/guard is without an evaluation (guard.h); where three
//                times more may be missing there than d and what is allowed, that is the error bar
// Price: 1 f and 1 vjp a step, and min(nu, rows of f_u that can be nonzero) products for each Jacobian.
// Memory N (3 nx + 3) and for each Jacobian nx^2 + 4 nx and as many products' factors; with the sweep
// 3 N nx and N' (2 nx + 2).
// Weakness: no stiff method. With M = f_x steps of order k are A-stable at k = 1 alone, with real stability intervals
// from 6.1 (k = 2) to 0.31 (k = 8), and the error estimate does not see how far M is from f_x. A jump of f that is no
// break costs a dozen steps and a Jacobian, and above a tolerance of 1e-3 accuracy; kinks of f cost steps, and some
// accuracy.
// Source: this suite. The parts: F. T. Krogh, "A variable step variable order multistep method", IFIP Congress 1968,
// for Adams methods in divided differences; T. Steihaug, A. Wolfbrandt, Math. Comp. 33 (1979), for methods that any
// matrix serves.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/gausssweep.h"
#include "ctpgbench/toolkit/guard.h"
#include "ctpgbench/toolkit/multistep.h"
#include <math.h>

#define PATH_NODES    9    // of the interpolant of the slopes
#define SUM_NODES     8    // of the composite integrals
#define FORWARD_FLOOR 1e-3 // of the error norm, see multistep.h
#define ADJOINT_FLOOR 0.1
#define REST          0.1  // of the tolerance: who moves by less between two nodes is at rest (nodes.h)
#define LATE          45   // steps after which Jacobians become rarer
#define FEWEST_STEPS  4    // between two Jacobians that a change asks for
#define CHEAP         8    // products of a Jacobian that a piece begins with
#define SETTLED       8    // steps after which the length of one says how many are to come
#define WINDOW        32   // backward nodes that wait for their weights
#define SWEEP_NODES   0.85 // for each backward step
#define FORETOLD      0.1  // of F': what a sweep's Jacobians may miss (jacobians.h)
// The contract: first tolerance; what the measured error is trusted to; how often it is tried; how far down.
#define ERROR_OF_TOLERANCE 10
#define FORWARD_PART       (1.0 / 6) // of the tolerance, forward
#define MARGIN             1.2
#define NEXT_MARGIN        1.8 // of the error at the next tolerance, when it is foretold
#define MOST_RUNS          4
#define USUAL_GUARD        50    // of so many parts of the horizon none is without an evaluation
#define ALARM              3     // what probes do not find is below this times the error where the path is smooth
#define TIGHTEST           1e-12 // of both
#define BDF_ORDER          4     // that -coefficients bdf claims; 5 in the end
#define CLAIMED_ORDER      5     // of steps against error while the order still rises with the accuracy; 9 in the end

// A backward node whose weight in the integrals is not complete yet.
typedef struct {
  PetscReal s, weight;
  PetscReal *difference, *factors; // [nx] alpha - alpha^P; of g
} Waiting;

typedef struct {
  // Options.
  PetscInt order, jacobian_steps, jacobian_steps_late, step_limit;
  PetscReal jacobian_change, forward_factor, adjoint_factor, theta_factor;
  PetscBool respect_breaks, theta_control, correction, start_rule, bdf, jumps;
  PetscBool contract;                 // the knob is grad_rtol
  PetscBool sweep;                    // the error is measured
  PetscReal grad_atol, integral_rtol; // terms of the contract
  PetscReal guarded;                  // parts of the horizon

  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgArena arena;
  CtpgRows nodes; // t, x, F, own (nodes.h), w, x - x^P; with the sweep M (x - x^P)
  CtpgJacobians jacobians;
  CtpgMultistep forward, adjoint;
  CtpgRows adjoint_nodes; // with the sweep: s, alpha, slope, own
  CtpgGaussSweep gauss;
  CtpgGuard guard;
  PetscReal *g, *g_swept, *gx0_swept; // [np], [np], [nx]
  PetscInt products;                  // of a Jacobian
  PetscInt npieces, k;                // k: the piece at hand
  CtpgPathPiece *pieces;              // [npieces]
  PetscReal *gtheta;                  // of the call

  // Forward: w of the newest evaluation, steps since the newest Jacobian.
  PetscReal w;
  PetscInt since;
  PetscBool renewed; // M is not the one of the last step

  // Backward: the newest evaluation, M, and nodes without their weights.
  PetscInt interval, repairs;
  PetscReal *x, *factors, *M; // [nx], of the product, [nx, nx]
  PetscReal *alpha, *whole;   // [nx], [nprojections]
  Waiting waiting[WINDOW];
  PetscInt nwaiting;
} LIA;

// ---- options ----

static PetscErrorCode ReadOrderAndJacobians(CtpgOptions options, LIA *e) {
  PetscFunctionBeginUser;
  e->order = CTPG_MULTISTEP_ORDERS;
  e->jacobian_steps = 9;
  e->jacobian_steps_late = 20;
  e->jacobian_change = 0.4;
  PetscCall(CtpgOptionsInt(options, "order", "highest order of a step", 1, CTPG_MULTISTEP_ORDERS, &e->order));
  PetscCall(CtpgOptionsInt(options, "jacobian_steps", "steps with one Jacobian at most; 0: none, explicit steps", 0,
                           1000000, &e->jacobian_steps));
  PetscCall(
      CtpgOptionsInt(options, "jacobian_steps_late", "the same beyond step 45", 1, 1000000, &e->jacobian_steps_late));
  PetscCall(CtpgOptionsReal(options, "jacobian_change",
                            "a new Jacobian where |dF - M dx| / max(|dF|, |M dx|) is larger", 0, 1e300,
                            &e->jacobian_change));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadTolerances(CtpgOptions options, LIA *e) {
  PetscFunctionBeginUser;
  e->forward_factor = e->contract ? FORWARD_PART : 1;
  e->adjoint_factor = 1;
  e->theta_factor = 0.2;
  PetscCall(CtpgOptionsReal(options, "forward_rtol_factor",
                            "tolerance of the forward solve = factor times that of the run; 1, of a contract 1/6",
                            1e-12, 1e12, &e->forward_factor));
  PetscCall(CtpgOptionsReal(options, "adjoint_rtol_factor", "the same for the adjoint solve", 1e-12, 1e12,
                            &e->adjoint_factor));
  PetscCall(CtpgOptionsReal(options, "theta_rtol_factor", "the same for dL/dtheta, as far as it is in the error norm",
                            1e-12, 1e12, &e->theta_factor));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadErrorBar(CtpgOptions options, LIA *e, CtpgTraits *traits) {
  static const char *const words[] = {"none", "sweep", NULL};
  PetscInt kind = 0;
  PetscFunctionBeginUser;
  PetscCall(
      CtpgOptionsBool(options, "contract", "the knob is grad_rtol, the relative error of dL/dtheta", &e->contract));
  PetscCall(
      CtpgOptionsChoice(options, "error_bar", "measure the error of dL/dtheta by a Newton-Gauss sweep", words, &kind));
  traits->measures = PETSC_TRUE;
  e->sweep = e->contract || kind == 1 ? PETSC_TRUE : PETSC_FALSE;
  if (e->contract) traits->knob = CTPG_KNOB_GRAD_RTOL;
  if (e->sweep) traits->flags &= ~CTPG_IS_WITHOUT_LIBM; // PETSc's nodes
  e->integral_rtol = 1e-11;
  PetscCall(CtpgOptionsReal(options, "grad_atol", "an error of dL/dtheta that the contract always allows", 0, 1e300,
                            &e->grad_atol));
  PetscCall(CtpgOptionsReal(options, "grad_integral_rtol",
                            "the same as a part of int |f_theta' alpha + w_theta|, which at an optimum is far above "
                            "|dL/dtheta|",
                            0, 1, &e->integral_rtol));
  e->guarded = e->contract ? USUAL_GUARD : 0;
  PetscCall(CtpgOptionsReal(options, "guard",
                            "probe f and w until no stretch of horizon / guard is without an evaluation; 0: no probes",
                            0, 1e9, &e->guarded));
  PetscFunctionReturn(0);
}

// What the method would be without a part of it.
static PetscErrorCode ReadParts(CtpgOptions options, LIA *e) {
  static const char *const words[] = {"adams", "bdf", NULL};
  PetscInt kind = 0;
  PetscFunctionBeginUser;
  e->theta_control = e->correction = e->start_rule = PETSC_TRUE;
  PetscCall(CtpgOptionsBool(options, "theta_control", "dL/dtheta is in the error norm of the backward solve",
                            &e->theta_control));
  PetscCall(
      CtpgOptionsBool(options, "correction", "repair that products are taken at predicted points", &e->correction));
  PetscCall(CtpgOptionsBool(options, "start_rule", "first steps by what the Jacobian says of them", &e->start_rule));
  PetscCall(CtpgOptionsChoice(options, "coefficients", "of the steps; bdf: orders up to 5", words, &kind));
  e->bdf = kind == 1 ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorCreate_LIA(CtpgOptions options, CtpgTraits *traits, void **est) {
  LIA *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->respect_breaks = e->jumps = PETSC_TRUE;
  e->step_limit = 100000;
  PetscCall(ReadErrorBar(options, e, traits));
  PetscCall(ReadOrderAndJacobians(options, e));
  PetscCheck(!e->sweep || e->jacobian_steps > 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-jacobian_steps 0 leaves no Jacobians, which the sweep of -error_bar and -contract needs; expected 1 or "
             "more");
  PetscCall(ReadTolerances(options, e));
  PetscCall(ReadParts(options, e));
  PetscCall(CtpgOptionsBool(options, "respect_breaks", "stop at the problem's break times", &e->respect_breaks));
  PetscCall(CtpgOptionsBool(options, "jumps", "look for jumps of f that are no break times", &e->jumps));
  PetscCall(CtpgOptionsInt(options, "step_limit", "accepted and rejected steps of one solve", 1, PETSC_MAX_INT,
                           &e->step_limit));
  traits->order = PetscMin(e->bdf ? PetscMin(e->order, BDF_ORDER) : e->order + 1, CLAIMED_ORDER);
  PetscFunctionReturn(0);
}

// ---- forward ----

static CtpgStatus RightHandSide(void *context, PetscReal t, const PetscReal *x, PetscReal *f, PetscReal *q) {
  LIA *e = context;
  (void)q;
  return CtpgClosedLoopEval(e->loop, 1, &t, x, f, &e->w);
}

static PetscReal *RowOwn(const LIA *e, PetscReal *row) {
  return row + 1 + 2 * e->sizes.nx;
}

static PetscReal *RowCost(const LIA *e, PetscReal *row) {
  return RowOwn(e, row) + 1;
}

static PetscInt DifferenceColumn(const LIA *e) {
  return 3 + 2 * e->sizes.nx;
}

static PetscReal *RowDifference(const LIA *e, PetscReal *row) {
  return row + DifferenceColumn(e);
}

// w(x^P) + w_x (x - x^P) at the nodes since the last Jacobian but one, now that w_x is known on both sides; before the
// first one it is that one's.
static void RepairCost(LIA *e, PetscInt from) {
  const PetscInt last = CtpgJacobiansCount(e->jacobians) - 1, before = PetscMax(last - 1, e->pieces[e->k].first);
  const CtpgJacobian low = CtpgJacobiansGet(e->jacobians, before), high = CtpgJacobiansGet(e->jacobians, last);
  for (PetscInt n = from; n < e->nodes.count; n++) {
    PetscReal *row = CtpgRowsAt(&e->nodes, n), *w = RowCost(e, row);
    const PetscReal part = before < last ? (row[0] - low.t) / (high.t - low.t) : 1, *difference = RowDifference(e, row);
    for (PetscInt i = 0; i < e->sizes.nx; i++) *w += ((1 - part) * low.wx[i] + part * high.wx[i]) * difference[i];
  }
}

// A Jacobian at the newest node.
static void AddJacobian(LIA *e) {
  const PetscReal *row = CtpgRowsAt(&e->nodes, e->nodes.count - 1), *x = row + 1;
  CtpgJacobiansAdd(e->jacobians, CtpgJacobiansCount(e->jacobians), row[0], x, x + e->sizes.nx);
  if (CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) RepairCost(e, e->nodes.count - e->since);
  e->since = 0;
  e->renewed = PETSC_TRUE;
}

// What counts as the size of components that stay small.
static PetscReal LeastSize(const LIA *e) {
  const PetscReal *size = CtpgMultistepGetSizes(e->forward);
  PetscReal largest = 1e-30;
  for (PetscInt i = 0; i < e->sizes.nx; i++) largest = PetscMax(largest, size[i]);
  return FORWARD_FLOOR * largest;
}

// Is f no longer what the newest Jacobian says it is?
static PetscBool HasChanged(const LIA *e, const CtpgMultistepNode *node) {
  const PetscInt nx = e->sizes.nx;
  const CtpgJacobian last = CtpgJacobiansGet(e->jacobians, CtpgJacobiansCount(e->jacobians) - 1);
  const PetscReal *size = CtpgMultistepGetSizes(e->forward);
  const PetscReal least = LeastSize(e);
  PetscReal slope = 0, linear = 0, difference = 0;
  for (PetscInt i = 0; i < nx; i++) {
    const PetscReal scale = PetscMax(size[i], least), dF = node->slope[i] - last.slope[i];
    PetscReal Mdx = 0;
    for (PetscInt j = 0; j < nx; j++) Mdx += last.fx[i * nx + j] * (node->y[j] - last.x[j]);
    slope += PetscSqr(dF / scale);
    linear += PetscSqr(Mdx / scale);
    difference += PetscSqr((dF - Mdx) / scale);
  }
  const PetscReal change = sqrt(fmax(slope, linear)), length = e->pieces[e->k].t_high - e->pieces[e->k].t_low;
  return change * length > 0.3 && sqrt(difference) > e->jacobian_change * change ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool HasJacobian(const LIA *e) {
  return CtpgJacobiansCount(e->jacobians) > e->pieces[e->k].first ? PETSC_TRUE : PETSC_FALSE;
}

// Are the steps to come, each as long as the last one, more than what a first Jacobian costs?
static PetscBool FirstPays(const LIA *e, const CtpgMultistepNode *node) {
  if (e->sweep || e->products <= CHEAP) return PETSC_TRUE;
  if (node->number < SETTLED) return PETSC_FALSE;
  const PetscReal h = node->t - CtpgRowsAt(&e->nodes, e->nodes.count - 2)[0];
  return e->pieces[e->k].t_high - node->t > (PetscReal)e->products * h ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool RenewalPays(const LIA *e, const CtpgMultistepNode *node) {
  const PetscInt most = node->number < LATE ? e->jacobian_steps : e->jacobian_steps_late;
  return e->since >= PetscMax(most, e->products) ||
                 (e->since >= PetscMax(FEWEST_STEPS, e->products) && HasChanged(e, node))
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static void RenewJacobian(LIA *e, const CtpgMultistepNode *node) {
  const CtpgPathPiece *piece = &e->pieces[e->k];
  const PetscBool early = node->number > 0 && node->number <= 3 ? PETSC_TRUE : PETSC_FALSE;
  if (!e->jacobian_steps || early || node->t >= piece->t_high - 1e-9 * (piece->t_high - piece->t_low)) return;
  if (HasJacobian(e) ? RenewalPays(e, node) : FirstPays(e, node)) AddJacobian(e);
}

// M (x - x^P), what the slope of the newest node holds of the way from x^P to x.
static void RecordByMatrix(LIA *e, PetscReal *row) {
  const PetscInt nx = e->sizes.nx;
  const PetscReal *M = HasJacobian(e) ? CtpgJacobiansGet(e->jacobians, CtpgJacobiansCount(e->jacobians) - 1).fx : NULL;
  PetscReal *difference = RowDifference(e, row), *product = difference + nx;
  for (PetscInt i = 0; i < nx; i++) {
    product[i] = 0;
    for (PetscInt j = 0; M && j < nx; j++) product[i] += M[i * nx + j] * difference[j];
  }
}

static void AcceptForward(void *context, const CtpgMultistepNode *node) {
  LIA *e = context;
  const PetscInt nx = e->sizes.nx;
  PetscReal *row = CtpgRowsPush(&e->nodes);
  if (!row) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory to record more than %d steps", (int)e->nodes.count);
    return;
  }
  row[0] = node->t;
  memcpy(row + 1, node->y, (size_t)nx * sizeof *row);
  memcpy(row + 1 + nx, node->slope, (size_t)nx * sizeof *row);
  *RowOwn(e, row) = (PetscReal)(node->order + 1);
  *RowCost(e, row) = e->w;
  for (PetscInt i = 0; i < nx; i++) RowDifference(e, row)[i] = node->y[i] - node->predicted[i];
  if (e->sweep) RecordByMatrix(e, row);
  e->since++;
  RenewJacobian(e, node);
}

static const PetscReal *ForwardMatrix(void *context, PetscReal t, PetscBool *changed) {
  LIA *e = context;
  (void)t;
  if (!HasJacobian(e)) return NULL;
  *changed = e->renewed;
  e->renewed = PETSC_FALSE;
  return CtpgJacobiansGet(e->jacobians, CtpgJacobiansCount(e->jacobians) - 1).fx;
}

static void TroubleForward(void *context, const CtpgMultistepNode *node) {
  LIA *e = context;
  if (!e->jacobian_steps || e->since < 3) return;
  if (HasJacobian(e) ? e->since + 1 >= e->products : FirstPays(e, node)) AddJacobian(e);
}

// Between two nodes the nearest slopes of both sides count, where they agree with the step itself; near a kink of f
// they do not, and the step's own k + 1 slopes count, which its error control has seen.
static void ChooseSlopes(LIA *e, CtpgMultistep solver, const CtpgNodePath *path) {
  for (PetscInt i = 0; i + 1 < path->count; i++) {
    PetscReal *start = CtpgNodePathRow(path, i), *end = CtpgNodePathRow(path, i + 1);
    CtpgNodePathDefect(path, PATH_NODES, i, e->x);
    if (CtpgMultistepNorm(solver, e->x, start + 1, end + 1) <= 1) *RowOwn(e, end) = 0;
  }
}

static void KnowRest(const LIA *e, PetscReal rtol, CtpgNodePath *path) {
  path->rest = REST * rtol;
  path->least = LeastSize(e);
}

static void SolvePiece(LIA *e, PetscInt k, PetscReal rtol) {
  CtpgPathPiece *piece = &e->pieces[k];
  e->k = k;
  e->since = 0;
  CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &piece->t_low, &piece->t_high);
  piece->path = (CtpgNodePath){.rows = &e->nodes, .n = e->sizes.nx, .first = e->nodes.count};
  piece->first = CtpgJacobiansCount(e->jacobians);
  CtpgMultistepSolve(e->forward, CTPG_FORWARD, piece->t_low, piece->t_high, rtol);
  if (HasJacobian(e) && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) AddJacobian(e);
  piece->path.count = e->nodes.count - piece->path.first;
  ChooseSlopes(e, e->forward, &piece->path);
  if (e->jumps) KnowRest(e, rtol, &piece->path);
  piece->end = CtpgJacobiansCount(e->jacobians);
}

// Loss, alpha(T), steps.
static void SolveForward(LIA *e, const PetscReal *x0, PetscReal rtol, CtpgResult *result) {
  int64_t steps, rejected;
  PetscReal J, loss = 0;
  CtpgRowsTruncate(&e->nodes, 0);
  CtpgJacobiansClear(e->jacobians);
  CtpgMultistepStart(e->forward, x0);
  for (PetscInt k = 0; k < e->npieces && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k++) SolvePiece(e, k, rtol);
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgMultistepGetCounts(e->forward, &steps, &rejected);
  result->steps += steps;
  result->rejected += rejected;
  if (CtpgClosedLoopTerminal(e->loop, CtpgMultistepGetState(e->forward), &J, e->alpha) != CTPG_OK) return;
  for (PetscInt k = 0; k < e->npieces; k++)
    loss += CtpgNodePathIntegral(&e->pieces[k].path, SUM_NODES, 2 + 2 * e->sizes.nx);
  *result->loss = loss + J;
}

// ---- the gradient: weights and sums of backward nodes ----

// The first `count` nodes of the window have their weights: they enter dL/dtheta, and leave.
static void Flush(LIA *e, PetscInt count) {
  const PetscReal *factors[WINDOW];
  PetscReal weights[WINDOW];
  const PetscReal *const sets[] = {weights};
  const CtpgPathPiece *piece = &e->pieces[e->k];
  for (PetscInt i = 0; i < count; i++) {
    const Waiting *node = &e->waiting[i];
    factors[i] = node->factors;
    weights[i] = node->weight;
    if (e->correction && piece->end > piece->first)
      CtpgJacobiansCollect(e->jacobians, piece->first, piece->end, piece->t_high - node->s, node->weight,
                           node->difference);
  }
  CtpgClosedLoopSumKept(e->loop, count, factors, 1, sets, CtpgAddPiece, e->gtheta);
  for (PetscInt i = count; i < e->nwaiting; i++) {
    const Waiting free = e->waiting[i - count];
    e->waiting[i - count] = e->waiting[i];
    e->waiting[i] = free;
  }
  e->nwaiting -= count;
}

// A node more. The step that led there gives weights to the nodes of its corrector and to one more: those of
// int_{t_n}^{t} of the interpolant through its k + 2 newest values, whose terms are what the step's own error control
// sees.
static void PushWaiting(LIA *e, const CtpgMultistepNode *node) {
  PetscReal z[CTPG_NODES_MOST], weights[CTPG_NODES_MOST];
  if (e->nwaiting == WINDOW) Flush(e, WINDOW - (CTPG_NODES_MOST - 1));
  Waiting *newest = &e->waiting[e->nwaiting++];
  PetscReal *factors = newest->factors;
  newest->s = node->t;
  newest->weight = 0;
  newest->factors = e->factors;
  e->factors = factors;
  for (PetscInt i = 0; i < e->sizes.nx; i++) newest->difference[i] = node->y[i] - node->predicted[i];
  if (node->number == 0) return;
  const PetscInt m = PetscMin(node->order + 2, node->number + 1);
  for (PetscInt j = 0; j < m; j++) z[j] = newest[-j].s;
  CtpgNodesIntegral(m, z, z[1], z[0], weights);
  for (PetscInt j = 0; j < m; j++) newest[-j].weight += weights[j];
}

// ---- backward ----

static CtpgStatus Adjoint(void *context, PetscReal s, const PetscReal *alpha, PetscReal *slope, PetscReal *q) {
  LIA *e = context;
  const CtpgPathPiece *piece = &e->pieces[e->k];
  const PetscReal t = piece->t_high - s, one = 1;
  CtpgNodePathAt(&piece->path, PATH_NODES, t, &e->interval, e->x);
  memset(slope, 0, (size_t)e->sizes.nx * sizeof *slope);
  const CtpgStatus status = CtpgClosedLoopVJPKeep(e->loop, 1, &t, e->x, alpha, &one, slope, e->factors);
  if (e->theta_control) {
    memset(q, 0, (size_t)CtpgClosedLoopGetProjections(e->loop) * sizeof *q);
    CtpgClosedLoopAddProjections(e->loop, 1, e->factors, q);
  }
  return status;
}

static void RecordAdjoint(LIA *e, const CtpgMultistepNode *node) {
  const PetscInt nx = e->sizes.nx;
  PetscReal *row = CtpgRowsPush(&e->adjoint_nodes);
  if (!row) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory to record more than %d backward steps",
                       (int)e->adjoint_nodes.count);
    return;
  }
  row[0] = node->t;
  memcpy(row + 1, node->y, (size_t)nx * sizeof *row);
  memcpy(row + 1 + nx, node->slope, (size_t)nx * sizeof *row);
  *RowOwn(e, row) = (PetscReal)(node->order + 1);
}

static void AcceptAdjoint(void *context, const CtpgMultistepNode *node) {
  LIA *e = context;
  PushWaiting(e, node);
  if (e->sweep) RecordAdjoint(e, node);
}

static const PetscReal *AdjointMatrix(void *context, PetscReal s, PetscBool *changed) {
  LIA *e = context;
  const CtpgPathPiece *piece = &e->pieces[e->k];
  if (piece->end == piece->first) return NULL;
  CtpgJacobiansTransposedAt(e->jacobians, piece->first, piece->end, piece->t_high - s, e->M, NULL);
  *changed = PETSC_TRUE;
  return e->M;
}

// Piece k has n Jacobians more.
static void MoveJacobians(LIA *e, PetscInt k, PetscInt n) {
  e->pieces[k].end += n;
  for (PetscInt later = k + 1; later < e->npieces; later++) e->pieces[later].first += n, e->pieces[later].end += n;
}

// One Jacobian more where there is none nearby.
static void TroubleAdjoint(void *context, const CtpgMultistepNode *node) {
  LIA *e = context;
  const CtpgPathPiece *piece = &e->pieces[e->k];
  const PetscReal t = piece->t_high - node->t, nearby = 0.02 * (piece->t_high - piece->t_low);
  if (piece->end == piece->first) return;
  const CtpgHats hats = CtpgJacobiansHats(e->jacobians, piece->first, piece->end, t);
  const PetscReal low = CtpgJacobiansGet(e->jacobians, hats.number[0]).t,
                  high = CtpgJacobiansGet(e->jacobians, hats.number[1]).t;
  e->repairs++;
  if (fmin(t - low, high - t) < nearby || e->repairs < PetscMax(2, e->products / 2)) return;
  e->repairs = 0;
  CtpgNodePathAt(&piece->path, PATH_NODES, t, &e->interval, e->x);
  CtpgJacobiansAdd(e->jacobians, hats.number[1], t, e->x, node->slope);
  MoveJacobians(e, e->k, 1);
}

static void EstimateWhole(LIA *e) {
  memset(e->whole, 0, (size_t)CtpgClosedLoopGetProjections(e->loop) * sizeof *e->whole);
  memcpy(e->x, e->alpha, (size_t)e->sizes.nx * sizeof *e->x);
  for (PetscInt k = e->npieces - 1; k >= 0; k--) {
    const CtpgPathPiece *piece = &e->pieces[k];
    CtpgJacobiansEstimateWhole(e->jacobians, piece->first, piece->end, &piece->path, e->x, e->whole);
  }
}

static void SolvePieceBackward(LIA *e, PetscInt k, PetscReal rtol) {
  CtpgPathPiece *piece = &e->pieces[k];
  const PetscReal length = piece->t_high - piece->t_low;
  e->k = k;
  e->interval = piece->path.count - 2;
  e->nwaiting = 0;
  piece->adjoint = (CtpgNodePath){.rows = &e->adjoint_nodes, .n = e->sizes.nx, .first = e->adjoint_nodes.count};
  CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &piece->t_low, &piece->t_high);
  CtpgMultistepSolve(e->adjoint, CTPG_ADJOINT, 0, length, rtol);
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return;
  piece->adjoint.count = e->adjoint_nodes.count - piece->adjoint.first;
  ChooseSlopes(e, e->adjoint, &piece->adjoint);
  Flush(e, e->nwaiting);
  CtpgJacobiansAddCollected(e->jacobians, piece->first, piece->end, e->gtheta);
}

// gtheta [np] += dL/dtheta.
static void SolveBackward(LIA *e, PetscReal rtol, PetscReal *gtheta, CtpgResult *result) {
  int64_t steps, rejected;
  e->gtheta = gtheta;
  if (e->sweep) CtpgRowsTruncate(&e->adjoint_nodes, 0);
  e->repairs = 0;
  CtpgMultistepStart(e->adjoint, e->alpha);
  if (e->theta_control) {
    const PetscBool known = CtpgJacobiansCount(e->jacobians) > 0 ? PETSC_TRUE : PETSC_FALSE;
    if (known) EstimateWhole(e);
    CtpgMultistepWatch(e->adjoint, rtol * e->theta_factor, known ? e->whole : NULL);
  }
  for (PetscInt k = e->npieces - 1; k >= 0 && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k--)
    SolvePieceBackward(e, k, rtol * e->adjoint_factor);
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgMultistepGetCounts(e->adjoint, &steps, &rejected);
  result->steps_adjoint += steps;
  result->rejected_adjoint += rejected;
  memcpy(result->gx0, CtpgMultistepGetState(e->adjoint), (size_t)e->sizes.nx * sizeof *result->gx0);
}

// int |f_theta' alpha + w_theta| of the last backward solve: of a random +-1 projection of v the mean square is |v|^2.
static PetscReal IntegralOfModulus(const LIA *e) {
  const PetscInt n = e->theta_control ? CtpgClosedLoopGetProjections(e->loop) : 0;
  const PetscReal *integral = CtpgMultistepGetIntegrals(e->adjoint);
  PetscReal sum = 0;
  for (PetscInt p = 0; p < n; p++) sum += PetscSqr(integral[p]) / CTPG_PROJECTIONS;
  return sqrt(sum);
}

// One gradient at rtol: gtheta [np] += .
static void SolveBoth(LIA *e, const PetscReal *x0, PetscReal rtol, PetscReal *gtheta, CtpgResult *result) {
  SolveForward(e, x0, rtol * e->forward_factor, result);
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return;
  SolveBackward(e, rtol, gtheta, result);
  result->integral = IntegralOfModulus(e);
}

// ---- the measured error, and the contract on it ----

static PetscReal Distance(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += PetscSqr(a[i] - b[i]);
  return sqrt(sum);
}

// Jacobians where a sweep would be wrong without them.
static void RefineJacobians(LIA *e) {
  const PetscReal *size = CtpgMultistepGetSizes(e->forward);
  const PetscReal least = LeastSize(e);
  PetscReal *scale = e->x;
  for (PetscInt i = 0; i < e->sizes.nx; i++) scale[i] = PetscMax(size[i], least);
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt k = 0; k < e->npieces && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; k++) {
    CtpgPathPiece *piece = &e->pieces[k];
    CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &piece->t_low, &piece->t_high);
    MoveJacobians(e, k, CtpgJacobiansRefine(e->jacobians, piece->first, piece->end, &piece->path, scale, FORETOLD));
  }
}

// A gradient at rtol into e->g, the swept one into e->g_swept; the distance of the two, NaN on failure.
static PetscReal Measure(LIA *e, const PetscReal *x0, PetscReal rtol, CtpgResult *result) {
  const PetscInt np = e->sizes.np;
  memset(e->g, 0, (size_t)np * sizeof *e->g);
  SolveBoth(e, x0, rtol, e->g, result);
  if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return NAN;
  RefineJacobians(e);
  CtpgGaussSweepRun(e->gauss, e->npieces, e->pieces, DifferenceColumn(e), SWEEP_NODES, e->g_swept, e->gx0_swept);
  return Distance(np, e->g, e->g_swept);
}

static PetscReal SizeOfGradient(const LIA *e) {
  return fmax(CtpgNorm(e->sizes.np, e->g_swept), 1e-300);
}

// error: absolute.
static void Deliver(const LIA *e, PetscReal error, CtpgResult *result) {
  const PetscReal bar = error / SizeOfGradient(e);
  for (PetscInt i = 0; i < e->sizes.np; i++) result->gtheta[i] += e->g[i];
  result->error_bar = result->error_bar > bar ? result->error_bar : bar; // of several starts the largest
}

// The error that is allowed, and in the result which term allows it.
static PetscReal AllowedError(const LIA *e, PetscReal grad_rtol, CtpgResult *result) {
  const PetscReal size = SizeOfGradient(e), integral = e->integral_rtol * result->integral;
  PetscReal allowed = grad_rtol * size;
  result->promise_term = CTPG_PROMISE_RELATIVE;
  if (e->grad_atol > allowed) {
    allowed = e->grad_atol;
    result->promise_term = CTPG_PROMISE_ABSOLUTE;
  }
  if (integral > allowed) {
    allowed = integral;
    result->promise_term = CTPG_PROMISE_INTEGRAL;
  }
  result->promise = allowed / size;
  return allowed;
}

// error, or what probes say is missing between the nodes, where that is far more than error and `allowed`.
static PetscReal ErrorWithUnseen(LIA *e, PetscReal error, PetscReal allowed, CtpgStream *stream,
                                 const CtpgResult *result) {
  if (!e->guarded) return error;
  const PetscReal gap = e->sizes.T / e->guarded;
  const PetscReal unseen = CtpgGuardRun(&e->guard, e->gauss, e->npieces, e->pieces, gap, stream) * result->integral;
  return unseen > ALARM * fmax(error, allowed) ? unseen : error;
}

// Runs at tolerances that the measured errors suggest, until one keeps the promise; the last one is delivered as it is,
// with an error bar that says so. The swept gradient is never delivered: it is the better one where the path is smooth,
// but not where the integrand of dL/dtheta has more features than its nodes resolve.
static void KeepPromise(LIA *e, const PetscReal *x0, PetscReal grad_rtol, CtpgStream *stream, CtpgResult *result) {
  const PetscReal tightest = TIGHTEST / fmin(1, e->forward_factor);
  PetscReal rtol = fmax(tightest, grad_rtol / ERROR_OF_TOLERANCE);
  for (int run = 1;; run++) {
    const PetscReal error = Measure(e, x0, rtol, result);
    if (CtpgClosedLoopGetStatus(e->loop) != CTPG_OK) return;
    const PetscReal allowed = AllowedError(e, grad_rtol, result);
    if (MARGIN * error <= allowed || run == MOST_RUNS || rtol <= tightest) {
      Deliver(e, ErrorWithUnseen(e, error, allowed, stream, result), result);
      return;
    }
    rtol = fmax(tightest, rtol * fmax(1e-3, allowed / (NEXT_MARGIN * error)));
  }
}

static PetscErrorCode EstimatorGradient_LIA(void *est, CtpgClosedLoop loop, const PetscReal *x0, PetscReal accuracy,
                                            CtpgStream *stream, CtpgResult *result) {
  LIA *e = est;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &e->sizes); // the horizon belongs to the case
  if (e->sweep) CtpgRowsTruncate(&e->adjoint_nodes, 0);
  CtpgRowsTruncate(&e->nodes, 0);
  CtpgJacobiansClear(e->jacobians);
  CtpgArenaReset(&e->arena);
  if (e->contract)
    KeepPromise(e, x0, accuracy, stream, result);
  else if (e->sweep) {
    const PetscReal error = Measure(e, x0, accuracy, result);
    if (CtpgClosedLoopGetStatus(loop) == CTPG_OK) Deliver(e, ErrorWithUnseen(e, error, 0, stream, result), result);
  } else
    SolveBoth(e, x0, accuracy, result->gtheta, result);
  result->bytes = PetscMax(result->bytes, e->arena.peak);
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static PetscErrorCode CreateSolvers(LIA *e) {
  const CtpgMultistepOptions forward = {.max_order = e->order,
                                        .floor = FORWARD_FLOOR,
                                        .step_limit = e->step_limit,
                                        .bdf = e->bdf,
                                        .plain_start = !e->start_rule,
                                        .jumps = e->jumps};
  CtpgMultistepOptions adjoint = forward;
  const CtpgMultistepCallbacks on_forward = {
      .context = e, .rhs = RightHandSide, .matrix = ForwardMatrix, .accept = AcceptForward, .trouble = TroubleForward};
  const CtpgMultistepCallbacks on_adjoint = {
      .context = e, .rhs = Adjoint, .matrix = AdjointMatrix, .accept = AcceptAdjoint, .trouble = TroubleAdjoint};
  const PetscInt watched = e->theta_control ? CtpgClosedLoopGetProjections(e->loop) : 0;

  PetscFunctionBeginUser;
  adjoint.floor = ADJOINT_FLOOR;
  PetscCall(CtpgMultistepCreate(e->loop, e->sizes.nx, 0, &forward, &on_forward, &e->forward));
  PetscCall(CtpgMultistepCreate(e->loop, e->sizes.nx, watched, &adjoint, &on_adjoint, &e->adjoint));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_LIA(void *est, CtpgClosedLoop loop) {
  LIA *e = est;

  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx, size = CtpgClosedLoopGetFactorSize(loop);
  e->products = CtpgClosedLoopGetJacobianProducts(loop);
  e->npieces = CtpgClosedLoopGetPieces(loop, e->respect_breaks);
  CtpgRowsInit(&e->nodes, &e->arena, 3 + 3 * nx + (e->sweep ? nx : 0));
  PetscCall(CtpgJacobiansCreate(loop, &e->arena, &e->jacobians));
  PetscCall(CreateSolvers(e));
  if (e->sweep) {
    CtpgRowsInit(&e->adjoint_nodes, &e->arena, 2 + 2 * nx);
    PetscCall(
        CtpgGaussSweepCreate(loop, e->jacobians, e->forward, e->respect_breaks, PATH_NODES, &e->arena, &e->gauss));
    PetscCall(CtpgGuardCreate(loop, e->respect_breaks, SUM_NODES, 2 + 2 * nx, &e->guard));
    PetscCall(PetscMalloc3(e->sizes.np, &e->g, e->sizes.np, &e->g_swept, nx, &e->gx0_swept));
  }
  PetscCall(PetscMalloc2(e->npieces, &e->pieces, size, &e->factors));
  PetscCall(PetscMalloc4(nx, &e->x, nx * nx, &e->M, nx, &e->alpha, CtpgClosedLoopGetProjections(loop), &e->whole));
  for (PetscInt i = 0; i < WINDOW; i++)
    PetscCall(PetscMalloc2(nx, &e->waiting[i].difference, size, &e->waiting[i].factors));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_LIA(void **est) {
  LIA *e = *est;
  if (!e) return;
  CtpgRowsFree(&e->nodes);
  PetscCallVoid(CtpgJacobiansDestroy(&e->jacobians));
  CtpgRowsFree(&e->adjoint_nodes);
  PetscCallVoid(CtpgGaussSweepDestroy(&e->gauss));
  CtpgGuardFree(&e->guard);
  PetscCallVoid(PetscFree3(e->g, e->g_swept, e->gx0_swept));
  PetscCallVoid(CtpgMultistepDestroy(&e->forward));
  PetscCallVoid(CtpgMultistepDestroy(&e->adjoint));
  PetscCallVoid(PetscFree2(e->pieces, e->factors));
  PetscCallVoid(PetscFree4(e->x, e->M, e->alpha, e->whole));
  for (PetscInt i = 0; i < WINDOW; i++) PetscCallVoid(PetscFree2(e->waiting[i].difference, e->waiting[i].factors));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_lia = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "lia",
    .version = 6,
    .flags = CTPG_IS_WITHOUT_LIBM,
    .bibtex = "@article{Steihaug1979, author={Trond Steihaug and Arne Wolfbrandt}, title={An attempt to avoid exact "
              "{Jacobian} and nonlinear equations in the numerical solution of stiff differential equations}, "
              "journal={Mathematics of Computation}, volume={33}, number={146}, pages={521--534}, year={1979}}",
    .knob = CTPG_KNOB_RTOL,
    .order = CLAIMED_ORDER,
    .cost = "1 f + 1 vjp; J: <= nu vjp",
    .storage = "3 N nx",
    .needs = "vjp",
    .create = EstimatorCreate_LIA,
    .destroy = EstimatorDestroy_LIA,
    .setup = EstimatorSetUp_LIA,
    .gradient_of_start = EstimatorGradient_LIA};
