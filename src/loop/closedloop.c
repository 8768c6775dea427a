// closedloop.c -- plant and policy joined; every evaluation is admitted, counted and checked here

#include "loop/closedloop_engine.h"
#include "base/system.h"
#include "base/vector.h"
#include "base/visitors.h"
#include "loop/combine.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define POINTS          8      // points per pass; more are worked off in chunks, so that nothing allocates
#define CLOCK_INTERVAL  256    // evaluations between two looks at the clock
#define DIFFERENCE_STEP 6.1e-6 // cube root of the rounding unit: best for central differences
#define SHORTEST_STEP   1e-14  // of the time: a failed step that is shorter is not tried again

struct CtpgClosedLoop_s {
  const CtpgProblemType *type;
  void *ctx;
  CtpgDims dims;
  CtpgPolicy policy;
  const PetscReal *theta, *tasks; // theta: in use
  const PetscReal *case_theta;    // of the case
  const PetscReal *weights;       // theta in use, packed for the policy's kernels
  const PetscReal *given_weights; // theta of the case: ours, or those of another loop
  PetscReal *case_weights, *other_weights, *weights_memory;
  PetscReal *other_theta; // [np] of which other_weights are
  PetscInt B;             // starts of the case
  CtpgTask task;          // as set, from the first point on
  CtpgTask here;          // the same, from the points at hand on
  const PetscInt *start;  // [nstart] start of each point; NULL: all of one
  PetscInt nstart;
  PetscReal *breaks; // [nbreak] s
  PetscReal *zeros;  // parameters and tasks of a loop that has no case yet

  CtpgStatus status;
  char reason[128];
  PetscBool at_point;    // failed at one point: the plant is not defined there, or a result not finite
  PetscReal failed_at;   // s, that point
  CtpgStatus taken_back; // by CtpgClosedLoopRetry, last; CTPG_OK: nothing
  char taken_back_reason[128];
  CtpgLimits limits;
  double deadline; // s on the monotonic clock; infinite without a limit
  int64_t evaluations, next_look;
  CtpgPurpose purpose;
  CtpgCounts counts[CTPG_NUM_PURPOSES], mark;
  CtpgCounts setup;  // of the estimator's setup, start-up of every run
  PetscBool stopped; // nothing is evaluated between CtpgClosedLoopStop and CtpgClosedLoopStart

  CtpgObserver observer;
  void *observer_context;
  CtpgStepObserver step_observer;
  void *step_observer_context;

  // Work space for POINTS points.
  PetscReal *o, *go, *u, *gu, *gx, *f, *w, *kept, *scratch;
  // Work space for one point: a perturbed state and control, f and w of two such.
  PetscReal *x1, *u1, *f1, *f2;
  // Of a Jacobian: f_u and w_u as its last row [nx + 1, nu]; of the products one row each [nu, nu], [nu, no], [nu, nx].
  PetscReal *fu, *seeds, *seen, *through;
  // Of POINTS points of as many loops: x, v, what was drawn with their starts.
  PetscReal *many_x, *many_v, *many_values;
};

// ---- life cycle ----

#define CACHE_LINE 8 // reals

// The first whole cache line of a block that has CACHE_LINE reals to spare.
static PetscReal *FirstLine(PetscReal *block) {
  const uintptr_t bytes = CACHE_LINE * sizeof(PetscReal);
  return (PetscReal *)(((uintptr_t)block + bytes - 1) / bytes * bytes);
}

static PetscErrorCode CreateWeights(CtpgClosedLoop l) {
  const PetscInt lines = (PolicyGetWeightsSize(l->policy) + CACHE_LINE - 1) / CACHE_LINE;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2((2 * lines + 1) * CACHE_LINE, &l->weights_memory, PolicyGetSize(l->policy), &l->other_theta));
  l->case_weights = FirstLine(l->weights_memory);
  l->other_weights = l->case_weights + lines * CACHE_LINE;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgClosedLoopCreate(const CtpgProblemType *type, void *ctx, const CtpgDims *dims, CtpgPolicy policy,
                                    CtpgClosedLoop *loop) {
  const PetscInt nx = dims->nx, nu = dims->nu, no = dims->no, np = PolicyGetSize(policy);
  CtpgClosedLoop l;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&l));
  l->type = type;
  l->ctx = ctx;
  l->dims = *dims;
  l->policy = policy;
  PetscCall(PetscCalloc2(dims->nbreak, &l->breaks, PetscMax(np, dims->ntask), &l->zeros));
  PetscCall(PetscMalloc4(POINTS * no, &l->o, POINTS * no, &l->go, POINTS * nu, &l->u, POINTS * nu, &l->gu));
  PetscCall(PetscMalloc5(POINTS * nx, &l->gx, POINTS * nx, &l->f, POINTS, &l->w, POINTS * PolicyGetKeptSize(policy),
                         &l->kept, PolicyGetScratchSize(policy, POINTS), &l->scratch));
  PetscCall(CreateWeights(l));
  PetscCall(PetscMalloc4(nx, &l->x1, nu, &l->u1, nx + 1, &l->f1, nx + 1, &l->f2));
  PetscCall(PetscMalloc4((nx + 1) * nu, &l->fu, nu * nu, &l->seeds, nu * no, &l->seen, nu * nx, &l->through));
  PetscCall(PetscMalloc3(POINTS * nx, &l->many_x, POINTS * nx, &l->many_v, POINTS * dims->ntask, &l->many_values));
  CtpgClosedLoopSetCase(l, l->zeros, 1, l->zeros, dims->T);
  CtpgClosedLoopStart(l, NULL);
  *loop = l;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgClosedLoopDestroy(CtpgClosedLoop *loop) {
  PetscFunctionBeginUser;
  if (!*loop) PetscFunctionReturn(0);
  CtpgClosedLoop l = *loop;
  PetscCall(PetscFree2(l->breaks, l->zeros));
  PetscCall(PetscFree4(l->o, l->go, l->u, l->gu));
  PetscCall(PetscFree5(l->gx, l->f, l->w, l->kept, l->scratch));
  PetscCall(PetscFree2(l->weights_memory, l->other_theta));
  PetscCall(PetscFree4(l->x1, l->u1, l->f1, l->f2));
  PetscCall(PetscFree4(l->fu, l->seeds, l->seen, l->through));
  PetscCall(PetscFree3(l->many_x, l->many_v, l->many_values));
  PetscCall(PetscFree(*loop));
  PetscFunctionReturn(0);
}

static void SetCase(CtpgClosedLoop loop, const PetscReal *theta, const PetscReal *weights, PetscInt B,
                    const PetscReal *tasks, PetscReal T) {
  loop->case_theta = theta;
  loop->given_weights = weights;
  CtpgClosedLoopUseTheta(loop, NULL);
  loop->B = B;
  loop->tasks = tasks;
  loop->task.T = T;
  for (PetscInt k = 0; k < loop->dims.nbreak; k++) loop->breaks[k] = loop->dims.breaks[k] * T;
  CtpgClosedLoopSetStart(loop, 0);
  CtpgClosedLoopSetPiece(loop, -1);
}

void CtpgClosedLoopSetCase(CtpgClosedLoop loop, const PetscReal *theta, PetscInt B, const PetscReal *tasks,
                           PetscReal T) {
  PolicyPack(loop->policy, theta, loop->case_weights);
  SetCase(loop, theta, loop->case_weights, B, tasks, T);
}

void CtpgClosedLoopSetCaseLike(CtpgClosedLoop loop, CtpgClosedLoop other, const PetscReal *task) {
  SetCase(loop, other->case_theta, other->given_weights, 1, task, other->task.T);
}

const PetscReal *CtpgClosedLoopGetTheta(CtpgClosedLoop loop) {
  return loop->case_theta;
}

static void PackOther(CtpgClosedLoop loop) {
  memcpy(loop->other_theta, loop->theta, (size_t)PolicyGetSize(loop->policy) * sizeof *loop->theta);
  PolicyPack(loop->policy, loop->theta, loop->other_weights);
}

// An estimator may change the parameters that it lent.
static void FollowTheta(CtpgClosedLoop loop) {
  const size_t bytes = (size_t)PolicyGetSize(loop->policy) * sizeof *loop->theta;
  if (loop->theta != loop->case_theta && memcmp(loop->theta, loop->other_theta, bytes)) PackOther(loop);
}

void CtpgClosedLoopUseTheta(CtpgClosedLoop loop, const PetscReal *theta) {
  loop->theta = theta ? theta : loop->case_theta;
  loop->weights = theta ? loop->other_weights : loop->given_weights;
  if (theta) PackOther(loop);
}

void CtpgClosedLoopStart(CtpgClosedLoop loop, const CtpgLimits *limits) {
  loop->limits = limits ? *limits : (CtpgLimits){0};
  loop->deadline = loop->limits.time_limit > 0 ? CtpgSeconds() + loop->limits.time_limit : INFINITY;
  loop->status = loop->taken_back = CTPG_OK;
  loop->reason[0] = 0;
  CtpgClosedLoopUseTheta(loop, NULL);
  loop->stopped = PETSC_FALSE;
  loop->evaluations = loop->setup.nf + loop->setup.nvjp + loop->setup.njvp;
  loop->next_look = loop->evaluations + CLOCK_INTERVAL;
  memset(loop->counts, 0, sizeof loop->counts);
  loop->counts[CTPG_STARTUP] = loop->setup;
  CtpgClosedLoopSetPurpose(loop, CTPG_FORWARD);
  CtpgClosedLoopSetStart(loop, 0);
  CtpgClosedLoopSetPiece(loop, -1);
}

void CtpgClosedLoopStop(CtpgClosedLoop loop) {
  loop->stopped = PETSC_TRUE;
}

void CtpgClosedLoopStartSetUp(CtpgClosedLoop loop) {
  loop->setup = (CtpgCounts){0};
  CtpgClosedLoopSetCase(loop, loop->zeros, 1, loop->zeros, loop->task.T);
  CtpgClosedLoopStart(loop, NULL);
}

void CtpgClosedLoopStopSetUp(CtpgClosedLoop loop) {
  CtpgClosedLoopGetTotals(loop, &loop->setup);
  CtpgClosedLoopStop(loop);
}

// Is there a start b? Latches the reason when not.
static PetscBool HasStart(CtpgClosedLoop loop, PetscInt b) {
  if (b >= 0 && b < loop->B) return PETSC_TRUE;
  CtpgClosedLoopFail(loop, CTPG_SKIPPED, "asks for start %d of %d", (int)b, (int)loop->B);
  return PETSC_FALSE;
}

void CtpgClosedLoopSetStart(CtpgClosedLoop loop, PetscInt b) {
  if (!HasStart(loop, b)) return;
  loop->start = loop->task.start = loop->task.pieces = NULL;
  loop->task.values = loop->tasks ? loop->tasks + b * loop->dims.ntask : NULL;
}

// A plant without tasks or breaks need not know that there are several starts.
void CtpgClosedLoopSetStarts(CtpgClosedLoop loop, PetscInt n, const PetscInt *start, const PetscInt *piece) {
  for (PetscInt p = 0; p < n; p++)
    if (!HasStart(loop, start[p])) return;
  loop->start = start;
  loop->nstart = n;
  loop->task.values = loop->tasks;
  loop->task.start = loop->dims.ntask ? start : NULL;
  loop->task.pieces = loop->dims.nbreak ? piece : NULL;
  loop->task.piece = -1;
}

void CtpgClosedLoopSetPiece(CtpgClosedLoop loop, PetscInt k) {
  loop->task.piece = k;
  loop->task.pieces = NULL;
}

PetscInt CtpgClosedLoopGetPieces(CtpgClosedLoop loop, PetscBool respect_breaks) {
  return respect_breaks ? loop->dims.nbreak + 1 : 1;
}

void CtpgClosedLoopEnterPiece(CtpgClosedLoop loop, PetscBool respect_breaks, PetscInt k, PetscReal *t_low,
                              PetscReal *t_high) {
  const PetscInt last = CtpgClosedLoopGetPieces(loop, respect_breaks) - 1;
  *t_low = k > 0 ? loop->breaks[k - 1] : 0;
  *t_high = k < last ? loop->breaks[k] : loop->task.T;
  CtpgClosedLoopSetPiece(loop, last > 0 ? k : -1);
}

PetscErrorCode CtpgClosedLoopCreateState(CtpgClosedLoop loop, PetscInt extra, Vec *state) {
  PetscFunctionBeginUser;
  PetscCall(VecCreateSeq(PETSC_COMM_SELF, loop->dims.nx + extra, state));
  PetscFunctionReturn(0);
}

void CtpgClosedLoopGetSizes(CtpgClosedLoop loop, CtpgLoopSizes *sizes) {
  *sizes = (CtpgLoopSizes){.nx = loop->dims.nx,
                           .np = PolicyGetSize(loop->policy),
                           .nq = loop->dims.nq,
                           .nbreak = loop->dims.nbreak,
                           .T = loop->task.T,
                           .breaks = loop->breaks};
}

PetscBool CtpgClosedLoopUsesDifferences(CtpgClosedLoop loop) {
  const CtpgProblemType *type = loop->type;
  const PetscBool differenced = type->flags & CTPG_IS_DIFFERENCED ? PETSC_TRUE : PETSC_FALSE;
  return type->eval_vjp && (type->observe_vjp || !type->observe) && !differenced ? PETSC_FALSE : PETSC_TRUE;
}

// ---- counts ----

// A purpose that there is: whatever else comes is booked as forward, and counted all the same.
static CtpgPurpose Known(CtpgPurpose purpose) {
  return (unsigned)purpose < CTPG_NUM_PURPOSES ? purpose : CTPG_FORWARD;
}

void CtpgClosedLoopSetPurpose(CtpgClosedLoop loop, CtpgPurpose purpose) {
  loop->purpose = Known(purpose);
  CtpgClosedLoopMarkCounts(loop);
}

void CtpgClosedLoopMarkCounts(CtpgClosedLoop loop) {
  loop->mark = loop->counts[loop->purpose];
}

void CtpgClosedLoopMoveCounts(CtpgClosedLoop loop, CtpgPurpose purpose) {
  CtpgCounts *from = &loop->counts[loop->purpose], *to = &loop->counts[Known(purpose)];
  if (from == to) return; // they are where they belong; the lines below would lose them
#define MOVE(kind) to->kind += from->kind - loop->mark.kind;
  CTPG_COUNTS(MOVE)
#undef MOVE
  *from = loop->mark;
}

void CtpgClosedLoopGetCounts(CtpgClosedLoop loop, CtpgPurpose purpose, CtpgCounts *counts) {
  *counts = loop->counts[purpose];
}

void CtpgClosedLoopGetTotals(CtpgClosedLoop loop, CtpgCounts *counts) {
  *counts = (CtpgCounts){0};
  for (int purpose = 0; purpose < CTPG_NUM_PURPOSES; purpose++) CtpgCountsAdd(counts, &loop->counts[purpose]);
}

int64_t CtpgNFE(const CtpgCounts *counts) {
  return counts->nf + counts->nvjp + counts->njvp + counts->njac_products;
}

// ---- status ----

CtpgStatus CtpgClosedLoopGetStatus(CtpgClosedLoop loop) {
  return loop->status;
}

const char *CtpgClosedLoopGetReason(CtpgClosedLoop loop) {
  return loop->reason;
}

CtpgStatus CtpgClosedLoopFail(CtpgClosedLoop loop, CtpgStatus status, const char *format, ...) {
  if (loop->status == CTPG_OK) {
    va_list arguments;
    loop->status = status;
    loop->at_point = PETSC_FALSE;
    va_start(arguments, format);
    vsnprintf(loop->reason, sizeof loop->reason, format, arguments);
    va_end(arguments);
  }
  return loop->status;
}

PetscBool CtpgClosedLoopRetry(CtpgClosedLoop loop, PetscReal h) {
  if (loop->status == CTPG_OK || !loop->at_point) return PETSC_FALSE;
  if (h < SHORTEST_STEP * loop->failed_at || h < PetscSqr(SHORTEST_STEP) * loop->task.T) return PETSC_FALSE;
  loop->taken_back = loop->status;
  memcpy(loop->taken_back_reason, loop->reason, sizeof loop->reason);
  loop->status = CTPG_OK;
  loop->reason[0] = 0;
  return PETSC_TRUE;
}

void CtpgClosedLoopFailAgain(CtpgClosedLoop loop) {
  if (loop->taken_back != CTPG_OK) CtpgClosedLoopFail(loop, loop->taken_back, "%s", loop->taken_back_reason);
}

PetscBool CtpgClosedLoopIsDue(CtpgClosedLoop loop) {
  return (loop->limits.stop && *loop->limits.stop) || (loop->deadline < INFINITY && CtpgSeconds() > loop->deadline)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

CtpgStatus CtpgClosedLoopLook(CtpgClosedLoop loop) {
  if (loop->limits.stop && *loop->limits.stop) CtpgClosedLoopFail(loop, CTPG_INTERRUPTED, "stopped by a signal");
  if (loop->deadline < INFINITY && CtpgSeconds() > loop->deadline)
    CtpgClosedLoopFail(loop, CTPG_TIMEOUT, "more than %.6g s (-run_time_limit)", loop->limits.time_limit);
  return loop->status;
}

volatile int CtpgClosedLoopsLookAtOnce;

static void LookAround(CtpgClosedLoop loop) {
  CtpgClosedLoopsLookAtOnce = 0;
  loop->next_look = loop->evaluations + CLOCK_INTERVAL;
  if (loop->limits.tick) loop->limits.tick(loop->limits.tick_context);
  CtpgClosedLoopLook(loop);
}

// May n more evaluations be made? Latches the reason when not.
static PetscBool Admit(CtpgClosedLoop loop, PetscInt n) {
  if (loop->stopped) CtpgClosedLoopFail(loop, CTPG_SKIPPED, "evaluates outside setup and gradient");
  if (loop->status != CTPG_OK) return PETSC_FALSE;
  if (loop->limits.stop && *loop->limits.stop) CtpgClosedLoopFail(loop, CTPG_INTERRUPTED, "stopped by a signal");
  if (VisitorsAreForked())
    CtpgClosedLoopFail(loop, CTPG_DIVERGED, "evaluated by a forked copy of the process, where nobody counts it");
  FollowTheta(loop);
  loop->evaluations += n;
  if (loop->limits.eval_limit && loop->evaluations > loop->limits.eval_limit)
    CtpgClosedLoopFail(loop, CTPG_EVAL_LIMIT, "more than %lld evaluations (-eval_limit)",
                       (long long)loop->limits.eval_limit);
  if (loop->evaluations >= loop->next_look || CtpgClosedLoopsLookAtOnce) LookAround(loop);
  return loop->status == CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
}

// The task of a call's points from `first` on.
static CtpgTask TaskFrom(const CtpgTask *task, PetscInt first) {
  CtpgTask rest = *task;
  if (rest.start) rest.start += first;
  if (rest.pieces) rest.pieces += first;
  return rest;
}

static void StandAt(CtpgClosedLoop loop, PetscInt first) {
  loop->here = TaskFrom(&loop->task, first);
}

// How many points of a call of n, from `done` on, come next, at most `most`. 0: none, or none that may be evaluated.
static PetscInt NextPoints(CtpgClosedLoop loop, PetscInt done, PetscInt n, PetscInt most) {
  const PetscInt next = PetscMin(most, n - done);
  if (loop->start && n > loop->nstart)
    CtpgClosedLoopFail(loop, CTPG_SKIPPED, "asks for %d points, of which %d have a start", (int)n, (int)loop->nstart);
  if (next <= 0 || !Admit(loop, next)) return 0;
  StandAt(loop, done);
  return next;
}

static CtpgStatus FillNaN(CtpgClosedLoop loop, PetscInt n, PetscReal *values) {
  VectorFillNaN(n, values);
  return loop->status;
}

// Latches what a pass over points found: the plant's status, or a result that is not finite.
static CtpgStatus Judge(CtpgClosedLoop loop, CtpgStatus plant, PetscInt n, const PetscReal *values, const char *what,
                        PetscReal t) {
  if (plant == CTPG_OK && VectorIsFinite(n, values)) return CTPG_OK;
  if (loop->status != CTPG_OK) return loop->status;
  if (plant != CTPG_OK)
    CtpgClosedLoopFail(loop, plant, "the plant is not defined at t = %.6g", t);
  else
    CtpgClosedLoopFail(loop, CTPG_DIVERGED, "%s not finite at t = %.6g", what, t);
  loop->failed_at = t;
  loop->at_point = plant == CTPG_OK || plant == CTPG_DOMAIN ? PETSC_TRUE : PETSC_FALSE;
  return loop->status;
}

// ---- evaluations ----

// Plant calls that the problem has counted itself; 0 where it leaves that to us.
static int64_t PlantCalls(CtpgClosedLoop loop) {
  return loop->type->plant_calls ? loop->type->plant_calls(loop->ctx) : 0;
}

// The problem was called with n points; it had counted `before` plant calls of its own until then.
static void CountPlant(CtpgClosedLoop loop, int64_t before, PetscInt n) {
  loop->counts[loop->purpose].nplant += loop->type->plant_calls ? PlantCalls(loop) - before : n;
}

static CtpgStatus PlantEval(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, const PetscReal *u,
                            PetscReal *f, PetscReal *w) {
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->eval(loop->ctx, &loop->here, n, t, x, u, f, w);
  CountPlant(loop, before, n);
  return status;
}

// An observation calls the plant only where an engine has to be asked for it (sensors).
static CtpgStatus Observe(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x) {
  if (!loop->type->observe) {
    memcpy(loop->o, x, (size_t)(n * loop->dims.nx) * sizeof *x);
    return CTPG_OK;
  }
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->observe(loop->ctx, &loop->here, n, t, x, loop->o);
  CountPlant(loop, before, 0);
  return status;
}

void CtpgClosedLoopSetObserver(CtpgClosedLoop loop, CtpgObserver observer, void *context) {
  loop->observer = observer;
  loop->observer_context = context;
}

void CtpgClosedLoopSetStepObserver(CtpgClosedLoop loop, CtpgStepObserver observer, void *context) {
  loop->step_observer = observer;
  loop->step_observer_context = context;
}

void CtpgClosedLoopPass(CtpgClosedLoop loop, PetscReal t, const PetscReal *x) {
  if (loop->step_observer) loop->step_observer(loop->step_observer_context, t, x);
}

static void Notify(CtpgClosedLoop loop, PetscBool product, PetscInt n, const PetscReal *t, const PetscReal *x) {
  for (PetscInt p = 0; loop->observer && p < n; p++)
    loop->observer(loop->observer_context, loop->purpose, product, t[p], x + p * loop->dims.nx);
}

// o and u of n <= POINTS points, with the outputs of all layers in `kept`.
static CtpgStatus Act(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *u,
                      PetscReal *kept) {
  const CtpgStatus status = Observe(loop, n, t, x);
  if (status == CTPG_OK) PolicyEval(loop->policy, loop->weights, n, loop->o, kept, u);
  return status;
}

CtpgStatus CtpgClosedLoopControl(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *u) {
  StandAt(loop, 0);
  return Act(loop, 1, &t, x, u, loop->kept);
}

static CtpgStatus EvalPoints(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                             PetscReal *w, PetscReal *kept) {
  Notify(loop, PETSC_FALSE, n, t, x);
  CtpgStatus status = Act(loop, n, t, x, loop->u, kept);
  loop->counts[loop->purpose].nf += n;
  if (status == CTPG_OK) status = PlantEval(loop, n, t, x, loop->u, f, w);
  status = Judge(loop, status, n * loop->dims.nx, f, "f is", t[0]);
  return status == CTPG_OK ? Judge(loop, status, n, w, "the running cost is", t[0]) : status;
}

CtpgStatus CtpgClosedLoopEval(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                              PetscReal *w) {
  const PetscInt nx = loop->dims.nx;
  for (PetscInt done = 0, m; (m = NextPoints(loop, done, n, POINTS)) > 0; done += m)
    EvalPoints(loop, m, t + done, x + done * nx, f + done * nx, w + done, loop->kept);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, f), FillNaN(loop, n, w);
  return loop->status;
}

PetscInt CtpgClosedLoopGetKeptSize(CtpgClosedLoop loop) {
  return PolicyGetKeptSize(loop->policy);
}

CtpgStatus CtpgClosedLoopEvalKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, PetscReal *f,
                                  PetscReal *w, PetscReal *kept) {
  const PetscInt nx = loop->dims.nx, size = PolicyGetKeptSize(loop->policy);
  for (PetscInt done = 0, m; (m = NextPoints(loop, done, n, POINTS)) > 0; done += m)
    EvalPoints(loop, m, t + done, x + done * nx, f + done * nx, w + done, kept + done * size);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, f), FillNaN(loop, n, w);
  return loop->status;
}

// f and w of one point at a displaced state or control: a plant call of a finite difference.
static CtpgStatus Probe(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *f_and_w) {
  return PlantEval(loop, 1, &t, x, u, f_and_w, f_and_w + loop->dims.nx);
}

static PetscReal DifferenceStep(PetscReal at) {
  return DIFFERENCE_STEP * fmax(1, fabs(at));
}

// Central difference of v.f + c w with respect to one entry of x or u.
static CtpgStatus DifferenceEntry(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *u,
                                  PetscReal *entry, const PetscReal *v, PetscReal c, PetscReal *g) {
  const PetscInt nx = loop->dims.nx;
  const PetscReal at = *entry, step = DifferenceStep(at);
  *entry = at + step;
  CtpgStatus status = Probe(loop, t, x, u, loop->f1);
  *entry = at - step;
  if (status == CTPG_OK) status = Probe(loop, t, x, u, loop->f2);
  *entry = at;
  PetscReal sum = c * (loop->f1[nx] - loop->f2[nx]);
  for (PetscInt i = 0; i < nx; i++) sum += v[i] * (loop->f1[i] - loop->f2[i]);
  *g += sum / (2 * step);
  return status;
}

// Twin of eval_vjp by central differences, for a problem without one.
static CtpgStatus PlantVJPFD(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  const CtpgTask here = loop->here;
  CtpgStatus status = CTPG_OK;
  for (PetscInt p = 0; p < n && status == CTPG_OK; p++) {
    loop->here = TaskFrom(&here, p);
    memcpy(loop->x1, x + p * nx, (size_t)nx * sizeof *x);
    memcpy(loop->u1, u + p * nu, (size_t)nu * sizeof *u);
    for (PetscInt j = 0; j < nx && status == CTPG_OK; j++)
      status = DifferenceEntry(loop, t[p], loop->x1, loop->u1, &loop->x1[j], v + p * nx, c[p], &gx[p * nx + j]);
    for (PetscInt j = 0; j < nu && status == CTPG_OK; j++)
      status = DifferenceEntry(loop, t[p], loop->x1, loop->u1, &loop->u1[j], v + p * nx, c[p], &gu[p * nu + j]);
  }
  loop->here = here;
  return status;
}

// Twin of observe_vjp by central differences; overwrites loop->o.
static CtpgStatus ObserveVJPFD(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *go, PetscReal *gx) {
  const PetscInt nx = loop->dims.nx, no = loop->dims.no;
  const CtpgTask here = loop->here;
  CtpgStatus status = CTPG_OK;
  for (PetscInt p = 0; p < n; p++) {
    loop->here = TaskFrom(&here, p);
    memcpy(loop->x1, x + p * nx, (size_t)nx * sizeof *x);
    for (PetscInt j = 0; j < nx && status == CTPG_OK; j++) {
      const PetscReal at = loop->x1[j], step = DifferenceStep(at);
      PetscReal sum = 0;
      for (int sign = 1; sign >= -1 && status == CTPG_OK; sign -= 2) {
        loop->x1[j] = at + sign * step;
        status = Observe(loop, 1, t + p, loop->x1);
        for (PetscInt i = 0; i < no; i++) sum += sign * go[p * no + i] * loop->o[i];
      }
      loop->x1[j] = at;
      gx[p * nx + j] += sum / (2 * step);
    }
  }
  loop->here = here;
  return status;
}

static CtpgStatus PlantVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x, const PetscReal *u,
                           const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  if (!loop->type->eval_vjp) return PlantVJPFD(loop, n, t, x, u, v, c, gx, gu);
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->eval_vjp(loop->ctx, &loop->here, n, t, x, u, v, c, gx, gu);
  CountPlant(loop, before, n);
  return status;
}

static CtpgStatus ObserveVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *go, PetscReal *gx) {
  if (!loop->type->observe) {
    for (PetscInt i = 0; i < n * loop->dims.nx; i++) gx[i] += go[i];
    return CTPG_OK;
  }
  if (!loop->type->observe_vjp) return ObserveVJPFD(loop, n, t, x, go, gx);
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->observe_vjp(loop->ctx, &loop->here, n, t, x, go, gx);
  CountPlant(loop, before, 0);
  return status;
}

// loop->u [n, nu] of kept evaluations.
static void ReadControls(CtpgClosedLoop loop, PetscInt n, const PetscReal *kept) {
  const PetscInt nu = loop->dims.nu, size = PolicyGetKeptSize(loop->policy);
  for (PetscInt p = 0; p < n; p++)
    memcpy(loop->u + p * nu, PolicyGetKeptControl(loop->policy, kept + p * size), (size_t)nu * sizeof(PetscReal));
}

// One pass of at most POINTS points: forward through observation and policy, unless that was kept, back through plant,
// policy, observation. start [n]: row of gtheta for each point, NULL: there is one row.
static CtpgStatus VJPPoints(CtpgClosedLoop loop, PetscInt n, const PetscInt *start, const PetscReal *t,
                            const PetscReal *x, const PetscReal *kept, const PetscReal *v, const PetscReal *c,
                            PetscReal *gx, PetscReal *gtheta, PetscReal *factors) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu, no = loop->dims.no;
  CtpgCounts *counts = &loop->counts[loop->purpose];
  PetscReal *plant_gx = gx ? gx : loop->gx;

  Notify(loop, PETSC_TRUE, n, t, x);
  counts->nvjp += n;
  if (gx) counts->nvjp_x += n;
  if (gtheta || factors) counts->nvjp_theta += n;
  memset(loop->gu, 0, (size_t)(n * nu) * sizeof(PetscReal));
  if (!gx) memset(plant_gx, 0, (size_t)(n * nx) * sizeof(PetscReal));
  CtpgStatus status = CTPG_OK;
  if (kept)
    ReadControls(loop, n, kept);
  else
    status = Act(loop, n, t, x, loop->u, loop->kept);
  if (status == CTPG_OK) status = PlantVJP(loop, n, t, x, loop->u, v, c, plant_gx, loop->gu);
  if (Judge(loop, status, n * nu, loop->gu, "u' f_u is", t[0]) != CTPG_OK) return loop->status;
  memset(loop->go, 0, (size_t)(n * no) * sizeof(PetscReal));
  PolicyVJP(loop->policy, loop->weights, n, start, kept ? kept : loop->kept, loop->gu, loop->scratch,
            gx ? loop->go : NULL, gtheta, factors);
  if (factors &&
      Judge(loop, status, n * PolicyGetFactorSize(loop->policy), factors, "a product for theta is", t[0]) != CTPG_OK)
    return loop->status;
  if (gx) status = ObserveVJP(loop, n, t, x, loop->go, gx);
  return Judge(loop, status, n * nx, plant_gx, "a vector-Jacobian product is", t[0]);
}

// Start of each point from `first` on, which is its row of gtheta; NULL: there is one row.
static const PetscInt *StartsFrom(CtpgClosedLoop loop, PetscInt first) {
  return loop->start ? loop->start + first : NULL;
}

// Reals of gtheta: a row for each start where the points are of several.
static PetscInt ThetaSize(CtpgClosedLoop loop) {
  return (loop->start ? loop->B : 1) * PolicyGetSize(loop->policy);
}

CtpgStatus CtpgClosedLoopVJPKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *kept, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                 PetscReal *gtheta) {
  const PetscInt nx = loop->dims.nx, size = PolicyGetKeptSize(loop->policy);
  for (PetscInt done = 0, m; (m = NextPoints(loop, done, n, POINTS)) > 0; done += m)
    VJPPoints(loop, m, StartsFrom(loop, done), t + done, x + done * nx, kept ? kept + done * size : NULL, v + done * nx,
              c + done, gx ? gx + done * nx : NULL, gtheta, NULL);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, gx), FillNaN(loop, ThetaSize(loop), gtheta);
  return loop->status;
}

CtpgStatus CtpgClosedLoopVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gtheta) {
  return CtpgClosedLoopVJPKept(loop, n, t, x, NULL, v, c, gx, gtheta);
}

CtpgStatus CtpgClosedLoopVJPKeptKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                     const PetscReal *kept, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                     PetscReal *factors) {
  const PetscInt nx = loop->dims.nx, size = PolicyGetFactorSize(loop->policy),
                 of_kept = PolicyGetKeptSize(loop->policy);
  for (PetscInt done = 0, m; (m = NextPoints(loop, done, n, POINTS)) > 0; done += m)
    VJPPoints(loop, m, NULL, t + done, x + done * nx, kept ? kept + done * of_kept : NULL, v + done * nx, c + done,
              gx ? gx + done * nx : NULL, NULL, factors + done * size);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, gx), FillNaN(loop, n * size, factors);
  return loop->status;
}

CtpgStatus CtpgClosedLoopVJPKeep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                                 const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *factors) {
  return CtpgClosedLoopVJPKeptKeep(loop, n, t, x, NULL, v, c, gx, factors);
}

PetscInt CtpgClosedLoopGetFactorSize(CtpgClosedLoop loop) {
  return PolicyGetFactorSize(loop->policy);
}

void CtpgClosedLoopSumKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *const *factors, PetscInt nsums,
                           const PetscReal *const *weights, CtpgTakePiece take, void *context) {
  PolicySumProducts(loop->policy, n, factors, nsums, weights, take, context);
}

CTPG_WIDE static void AddTo(PetscInt n, const PetscReal *restrict piece, PetscReal *restrict sum) {
#pragma omp simd
  for (PetscInt i = 0; i < n; i++) sum[i] += piece[i];
}

void CtpgAddPiece(void *vector, PetscInt offset, PetscInt length, const PetscReal *const *pieces) {
  AddTo(length, pieces[0], (PetscReal *)vector + offset);
}

void CtpgClosedLoopAddKept(CtpgClosedLoop loop, PetscInt n, const PetscReal *const *factors, const PetscReal *weights,
                           PetscReal *gtheta) {
  for (PetscInt done = 0; done < n; done += POINTS)
    PolicyAddProducts(loop->policy, PetscMin(POINTS, n - done), factors + done, weights + done, loop->scratch, gtheta);
}

void CtpgClosedLoopAddFactors(CtpgClosedLoop loop, PetscInt n, const PetscReal *factors, PetscReal *gtheta) {
  PolicyAddFactors(loop->policy, n, factors, gtheta);
}

void CtpgClosedLoopAddScaled(CtpgClosedLoop loop, PetscInt n, const PetscReal *factors, const PetscReal *scale,
                             PetscReal *gtheta) {
  PolicyAddScaled(loop->policy, n, factors, scale, gtheta);
}

PetscInt CtpgClosedLoopGetProjections(CtpgClosedLoop loop) {
  return PolicyGetProjections(loop->policy);
}

void CtpgClosedLoopAddProjections(CtpgClosedLoop loop, PetscReal weight, const PetscReal *factors, PetscReal *q) {
  PolicyAddProjections(loop->policy, weight, factors, q);
}

// ---- points of several loops ----

// May points of the two be worked off in one pass? Plant calls that a problem counts itself belong to nobody then.
static PetscBool GoTogether(CtpgClosedLoop a, CtpgClosedLoop b) {
  return a->type == b->type && a->ctx == b->ctx && a->policy == b->policy && a->weights == b->weights &&
                 a->task.T == b->task.T && !a->start && !b->start && !a->type->plant_calls
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// Where the point at hand of a loop stands in a pass of `host`: which[p], and its side of a break.
static void TakePlace(CtpgClosedLoop host, CtpgClosedLoop loop, PetscInt p, const PetscReal *x, PetscInt *which,
                      PetscInt *piece) {
  const PetscInt nx = host->dims.nx, ntask = host->dims.ntask;
  memcpy(host->many_x + p * nx, x, (size_t)nx * sizeof *x);
  if (ntask) memcpy(host->many_values + p * ntask, loop->task.values, (size_t)ntask * sizeof *x);
  which[p] = p;
  piece[p] = loop->task.piece;
}

// The task of such a pass.
static void StandApart(CtpgClosedLoop host, const PetscInt *which, const PetscInt *piece) {
  host->here = (CtpgTask){.values = host->many_values,
                          .T = host->task.T,
                          .piece = -1,
                          .start = host->dims.ntask ? which : NULL,
                          .pieces = host->dims.nbreak ? piece : NULL};
}

// Evaluates n <= POINTS admitted points with the work space of the first one's loop. PETSC_FALSE, and nothing counted,
// where the plant or a result of any is at fault: then they are evaluated one by one.
static PetscBool EvalTogether(PetscInt n, const CtpgEvalPoint *const *points) {
  CtpgClosedLoop host = points[0]->loop;
  const PetscInt nx = host->dims.nx, size = PolicyGetKeptSize(host->policy);
  PetscInt which[POINTS], piece[POINTS];
  PetscReal t[POINTS];
  for (PetscInt p = 0; p < n; p++) {
    t[p] = points[p]->t;
    TakePlace(host, points[p]->loop, p, points[p]->x, which, piece);
  }
  StandApart(host, which, piece);
  if (Act(host, n, t, host->many_x, host->u, host->kept) != CTPG_OK ||
      host->type->eval(host->ctx, &host->here, n, t, host->many_x, host->u, host->f, host->w) != CTPG_OK ||
      !VectorIsFinite(n * nx, host->f) || !VectorIsFinite(n, host->w))
    return PETSC_FALSE;
  for (PetscInt p = 0; p < n; p++) {
    const CtpgEvalPoint *point = points[p];
    CtpgCounts *counts = &point->loop->counts[point->loop->purpose];
    counts->nf++, counts->nplant++;
    Notify(point->loop, PETSC_FALSE, 1, &point->t, point->x);
    memcpy(point->f, host->f + p * nx, (size_t)nx * sizeof *t);
    *point->w = host->w[p];
    if (point->kept) memcpy(point->kept, host->kept + p * size, (size_t)size * sizeof *t);
  }
  return PETSC_TRUE;
}

static void EvalAlone(const CtpgEvalPoint *point) {
  CtpgClosedLoop loop = point->loop;
  StandAt(loop, 0);
  EvalPoints(loop, 1, &point->t, point->x, point->f, point->w, point->kept ? point->kept : loop->kept);
  if (loop->status != CTPG_OK) FillNaN(loop, loop->dims.nx, point->f), FillNaN(loop, 1, point->w);
}

static void EvalGroup(PetscInt n, const CtpgEvalPoint *const *points) {
  if (n > 1 && EvalTogether(n, points)) return;
  for (PetscInt p = 0; p < n; p++) EvalAlone(points[p]);
}

void CtpgClosedLoopsEval(PetscInt n, const CtpgEvalPoint *points) {
  const CtpgEvalPoint *group[POINTS];
  PetscInt m = 0;
  for (PetscInt p = 0; p < n; p++) {
    CtpgClosedLoop loop = points[p].loop;
    if (!Admit(loop, 1)) {
      FillNaN(loop, loop->dims.nx, points[p].f), FillNaN(loop, 1, points[p].w);
      continue;
    }
    if (m == POINTS || (m && !GoTogether(group[0]->loop, loop))) EvalGroup(m, group), m = 0;
    group[m++] = points + p;
  }
  EvalGroup(m, group);
}

// As EvalTogether.
static PetscBool ProductsTogether(PetscInt n, const CtpgProductPoint *const *points) {
  CtpgClosedLoop host = points[0]->loop;
  const PetscInt nx = host->dims.nx, nu = host->dims.nu, no = host->dims.no, size = PolicyGetKeptSize(host->policy);
  const size_t bytes = (size_t)nx * sizeof(PetscReal);
  PetscInt which[POINTS], piece[POINTS];
  PetscReal t[POINTS], c[POINTS], *factors[POINTS];
  const PetscReal *kept[POINTS];
  if (!host->type->eval_vjp) return PETSC_FALSE;
  for (PetscInt p = 0; p < n; p++) {
    const CtpgProductPoint *point = points[p];
    t[p] = point->t, c[p] = point->c;
    TakePlace(host, point->loop, p, point->x, which, piece);
    memcpy(host->many_v + p * nx, point->v, bytes);
    memcpy(host->gx + p * nx, point->gx, bytes);
    kept[p] = point->kept ? point->kept : host->kept + p * size;
    factors[p] = point->factors;
    if (point->kept) memcpy(host->u + p * nu, PolicyGetKeptControl(host->policy, kept[p]), (size_t)nu * sizeof *t);
  }
  StandApart(host, which, piece);
  if (!points[0]->kept && Act(host, n, t, host->many_x, host->u, host->kept) != CTPG_OK) return PETSC_FALSE;
  memset(host->gu, 0, (size_t)(n * nu) * sizeof *t);
  if (host->type->eval_vjp(host->ctx, &host->here, n, t, host->many_x, host->u, host->many_v, c, host->gx, host->gu) !=
          CTPG_OK ||
      !VectorIsFinite(n * nu, host->gu))
    return PETSC_FALSE;
  memset(host->go, 0, (size_t)(n * no) * sizeof *t);
  PolicyVJPApart(host->policy, host->weights, n, kept, host->gu, host->scratch, host->go, factors);
  for (PetscInt p = 0; p < n; p++)
    if (!VectorIsFinite(PolicyGetFactorSize(host->policy), factors[p])) return PETSC_FALSE;
  if (ObserveVJP(host, n, t, host->many_x, host->go, host->gx) != CTPG_OK || !VectorIsFinite(n * nx, host->gx))
    return PETSC_FALSE;
  for (PetscInt p = 0; p < n; p++) {
    CtpgClosedLoop loop = points[p]->loop;
    CtpgCounts *counts = &loop->counts[loop->purpose];
    counts->nvjp++, counts->nvjp_x++, counts->nvjp_theta++, counts->nplant++;
    Notify(loop, PETSC_TRUE, 1, t + p, points[p]->x);
    memcpy(points[p]->gx, host->gx + p * nx, bytes);
  }
  return PETSC_TRUE;
}

static void ProductAlone(const CtpgProductPoint *point) {
  CtpgClosedLoop loop = point->loop;
  StandAt(loop, 0);
  VJPPoints(loop, 1, NULL, &point->t, point->x, point->kept, point->v, &point->c, point->gx, NULL, point->factors);
  if (loop->status == CTPG_OK) return;
  FillNaN(loop, loop->dims.nx, point->gx);
  FillNaN(loop, PolicyGetFactorSize(loop->policy), point->factors);
}

static void ProductGroup(PetscInt n, const CtpgProductPoint *const *points) {
  if (n > 1 && ProductsTogether(n, points)) return;
  for (PetscInt p = 0; p < n; p++) ProductAlone(points[p]);
}

void CtpgClosedLoopsVJPKeep(PetscInt n, const CtpgProductPoint *points) {
  const CtpgProductPoint *group[POINTS];
  PetscInt m = 0;
  for (PetscInt p = 0; p < n; p++) {
    CtpgClosedLoop loop = points[p].loop;
    if (!Admit(loop, 1)) {
      FillNaN(loop, loop->dims.nx, points[p].gx);
      FillNaN(loop, PolicyGetFactorSize(loop->policy), points[p].factors);
      continue;
    }
    if (m == POINTS || (m && (!GoTogether(group[0]->loop, loop) || !group[0]->kept != !points[p].kept)))
      ProductGroup(m, group), m = 0;
    group[m++] = points + p;
  }
  ProductGroup(m, group);
}

// ---- semi-implicit Euler: two plant calls under one control ----

// How many points come next, as NextPoints; none where positions and velocities are not told apart.
static PetscInt NextSemiImplicit(CtpgClosedLoop loop, PetscInt done, PetscInt n) {
  if (!loop->dims.nq) CtpgClosedLoopFail(loop, CTPG_SKIPPED, "needs positions and velocities (nq > 0)");
  return NextPoints(loop, done, n, POINTS);
}

// x_next = x + h f, then positions by the new velocities.
static void MoveSemiImplicit(const CtpgDims *dims, PetscReal h, const PetscReal *x, const PetscReal *f,
                             PetscReal *x_next) {
  const PetscInt q = CtpgFirstPosition(dims), v = CtpgFirstVelocity(dims);
  for (PetscInt i = 0; i < dims->nx; i++) x_next[i] = x[i] + h * f[i];
  for (PetscInt i = 0; i < dims->nq; i++) x_next[q + i] = x[q + i] + h * x_next[v + i];
}

static void SemiImplicitSteps(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, PetscReal h, const PetscReal *x,
                              PetscReal *x_next, PetscReal *w) {
  const PetscInt nx = loop->dims.nx;
  if (EvalPoints(loop, n, t, x, loop->f, w, loop->kept) != CTPG_OK) return;
  for (PetscInt p = 0; p < n; p++) MoveSemiImplicit(&loop->dims, h, x + p * nx, loop->f + p * nx, x_next + p * nx);
  const CtpgStatus status = PlantEval(loop, n, t, x_next, loop->u, loop->f, w);
  Judge(loop, status, n, w, "the running cost is", t[0]);
}

CtpgStatus CtpgClosedLoopSemiImplicitStep(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, PetscReal h,
                                          const PetscReal *x, PetscReal *x_next, PetscReal *w) {
  const PetscInt nx = loop->dims.nx;
  for (PetscInt done = 0, m; (m = NextSemiImplicit(loop, done, n)) > 0; done += m)
    SemiImplicitSteps(loop, m, t + done, h, x + done * nx, x_next + done * nx, w + done);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, x_next), FillNaN(loop, n, w);
  return loop->status;
}

// alpha becomes that of (q, v_next, rest) before the step's f; v [nx]: the factors of f.
static void PullBackSemiImplicit(const CtpgDims *dims, PetscReal h, PetscReal *alpha, PetscReal *factors) {
  const PetscInt q = CtpgFirstPosition(dims), v = CtpgFirstVelocity(dims);
  for (PetscInt i = 0; i < dims->nq; i++) alpha[v + i] += h * alpha[q + i];
  for (PetscInt i = 0; i < dims->nx; i++) factors[i] = h * alpha[i];
  for (PetscInt i = 0; i < dims->nq; i++) factors[q + i] = 0;
}

static CtpgStatus SemiImplicitVJPs(CtpgClosedLoop loop, PetscInt n, const PetscInt *start, const PetscReal *t,
                                   PetscReal h, const PetscReal *x, const PetscReal *x_next, PetscReal *alpha,
                                   PetscReal *gtheta) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  PetscReal steps[POINTS], zeros[POINTS] = {0}, *factors = loop->f;
  CtpgCounts *counts = &loop->counts[loop->purpose];

  Notify(loop, PETSC_TRUE, n, t, x);
  counts->nvjp += n, counts->nvjp_x += n, counts->nvjp_theta += n;
  for (PetscInt p = 0; p < n; p++) steps[p] = h;
  memset(loop->gu, 0, (size_t)(n * nu) * sizeof(PetscReal));
  memset(factors, 0, (size_t)(n * nx) * sizeof(PetscReal));
  CtpgStatus status = Act(loop, n, t, x, loop->u, loop->kept);
  if (status == CTPG_OK) status = PlantVJP(loop, n, t, x_next, loop->u, factors, steps, alpha, loop->gu);
  for (PetscInt p = 0; p < n; p++) PullBackSemiImplicit(&loop->dims, h, alpha + p * nx, factors + p * nx);
  if (status == CTPG_OK) status = PlantVJP(loop, n, t, x, loop->u, factors, zeros, alpha, loop->gu);
  if (Judge(loop, status, n * nu, loop->gu, "u' f_u is", t[0]) != CTPG_OK) return loop->status;
  memset(loop->go, 0, (size_t)(n * loop->dims.no) * sizeof(PetscReal));
  PolicyVJP(loop->policy, loop->weights, n, start, loop->kept, loop->gu, loop->scratch, loop->go, gtheta, NULL);
  status = ObserveVJP(loop, n, t, x, loop->go, alpha);
  return Judge(loop, status, n * nx, alpha, "a vector-Jacobian product is", t[0]);
}

CtpgStatus CtpgClosedLoopSemiImplicitVJP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, PetscReal h,
                                         const PetscReal *x, const PetscReal *x_next, PetscReal *alpha,
                                         PetscReal *gtheta) {
  const PetscInt nx = loop->dims.nx;
  for (PetscInt done = 0, m; (m = NextSemiImplicit(loop, done, n)) > 0; done += m)
    SemiImplicitVJPs(loop, m, StartsFrom(loop, done), t + done, h, x + done * nx, x_next + done * nx, alpha + done * nx,
                     gtheta);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, alpha), FillNaN(loop, ThetaSize(loop), gtheta);
  return loop->status;
}

// ---- directional derivatives and Jacobian ----

static PetscReal Largest(PetscInt n, const PetscReal *values) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < n; i++) largest = fmax(largest, fabs(values[i]));
  return largest;
}

// Step along a direction that moves its largest entry by what is best for one entry of x.
static PetscReal StepAlong(CtpgClosedLoop loop, const PetscReal *x, PetscReal direction) {
  return DifferenceStep(Largest(loop->dims.nx, x)) / (direction > 0 ? direction : 1);
}

// x1 = x + step dx
static void Displace(PetscInt n, const PetscReal *x, PetscReal step, const PetscReal *dx, PetscReal *x1) {
  for (PetscInt i = 0; i < n; i++) x1[i] = x[i] + step * dx[i];
}

// Twin of observe_jvp by a central difference along dx, for a problem without one; overwrites loop->o.
static CtpgStatus ObserveJVPFD(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *dx,
                               PetscReal *d_o) {
  const PetscInt nx = loop->dims.nx, no = loop->dims.no;
  const PetscReal step = StepAlong(loop, x, Largest(nx, dx));
  Displace(nx, x, step, dx, loop->x1);
  CtpgStatus status = Observe(loop, 1, &t, loop->x1);
  for (PetscInt i = 0; i < no; i++) d_o[i] = loop->o[i];
  Displace(nx, x, -step, dx, loop->x1);
  if (status == CTPG_OK) status = Observe(loop, 1, &t, loop->x1);
  for (PetscInt i = 0; i < no; i++) d_o[i] = (d_o[i] - loop->o[i]) / (2 * step);
  return status;
}

// Twin of eval_jvp by a central difference along (dx, du).
static CtpgStatus PlantJVPFD(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *u,
                             const PetscReal *dx, const PetscReal *du, PetscReal *df, PetscReal *dw) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  const PetscReal step = StepAlong(loop, x, fmax(Largest(nx, dx), Largest(nu, du)));
  Displace(nx, x, step, dx, loop->x1);
  Displace(nu, u, step, du, loop->u1);
  CtpgStatus status = Probe(loop, t, loop->x1, loop->u1, loop->f2);
  Displace(nx, x, -step, dx, loop->x1);
  Displace(nu, u, -step, du, loop->u1);
  if (status == CTPG_OK) status = Probe(loop, t, loop->x1, loop->u1, loop->f1);
  for (PetscInt i = 0; i < nx; i++) df[i] = (loop->f2[i] - loop->f1[i]) / (2 * step);
  *dw = (loop->f2[nx] - loop->f1[nx]) / (2 * step);
  return status;
}

static CtpgStatus ObserveJVP(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *dx,
                             PetscReal *d_o) {
  if (!loop->type->observe) {
    memcpy(d_o, dx, (size_t)loop->dims.nx * sizeof *dx);
    return CTPG_OK;
  }
  if (!loop->type->observe_jvp) return ObserveJVPFD(loop, t, x, dx, d_o);
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->observe_jvp(loop->ctx, &loop->here, 1, &t, x, dx, d_o);
  CountPlant(loop, before, 0);
  return status;
}

static CtpgStatus PlantJVP(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *u,
                           const PetscReal *dx, const PetscReal *du, PetscReal *df, PetscReal *dw) {
  if (!loop->type->eval_jvp) return PlantJVPFD(loop, t, x, u, dx, du, df, dw);
  const int64_t before = PlantCalls(loop);
  const CtpgStatus status = loop->type->eval_jvp(loop->ctx, &loop->here, 1, &t, x, u, dx, du, df, dw);
  CountPlant(loop, before, 1);
  return status;
}

// Forward through observation, policy and plant, values and derivatives side by side.
static CtpgStatus JVPPoint(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, const PetscReal *dx,
                           const PetscReal *dtheta, PetscReal *df, PetscReal *dw) {
  PetscReal *d_o = loop->go, *du = loop->gu;
  loop->counts[loop->purpose].njvp++;
  CtpgStatus status = ObserveJVP(loop, t, x, dx, d_o);
  if (status == CTPG_OK) status = Act(loop, 1, &t, x, loop->u, loop->kept);
  if (status == CTPG_OK) PolicyJVP(loop->policy, loop->theta, 1, loop->kept, d_o, dtheta, loop->scratch, du);
  if (status == CTPG_OK) status = PlantJVP(loop, t, x, loop->u, dx, du, df, dw);
  status = Judge(loop, status, loop->dims.nx, df, "a directional derivative is", t);
  return status == CTPG_OK ? Judge(loop, status, 1, dw, "a directional derivative is", t) : status;
}

CtpgStatus CtpgClosedLoopJVP(CtpgClosedLoop loop, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *dx, const PetscReal *dtheta, PetscReal *df, PetscReal *dw) {
  const PetscInt nx = loop->dims.nx;
  for (PetscInt p = 0; p < n && NextPoints(loop, p, n, 1); p++)
    JVPPoint(loop, t[p], x + p * nx, dx + p * nx, dtheta, df + p * nx, dw + p);
  if (loop->status != CTPG_OK) FillNaN(loop, n * nx, df), FillNaN(loop, n, dw);
  return loop->status;
}

// fx [nx, nx] and fu [nx, nu] of the plant alone.
static CtpgStatus PlantJacobian(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx, PetscReal *fu) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  const PetscReal zero = 0;
  CtpgStatus status = CTPG_OK;
  if (loop->type->jacobian) {
    const int64_t before = PlantCalls(loop);
    status = loop->type->jacobian(loop->ctx, &loop->here, t, x, loop->u, fx, fu);
    CountPlant(loop, before, 1);
    return status;
  }
  memset(fx, 0, (size_t)(nx * nx) * sizeof *fx);
  memset(fu, 0, (size_t)(nx * nu) * sizeof *fu);
  for (PetscInt i = 0; i < nx && status == CTPG_OK; i++) {
    memset(loop->f, 0, (size_t)nx * sizeof(PetscReal));
    loop->f[i] = 1;
    status = PlantVJP(loop, 1, &t, x, loop->u, loop->f, &zero, fx + i * nx, fu + i * nu);
  }
  return status;
}

// wx [nx] and wu [nu] of the plant alone.
static CtpgStatus PlantCostGradient(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *wx,
                                    PetscReal *wu) {
  const PetscReal one = 1;
  memset(loop->f, 0, (size_t)loop->dims.nx * sizeof(PetscReal));
  memset(wx, 0, (size_t)loop->dims.nx * sizeof *wx);
  memset(wu, 0, (size_t)loop->dims.nu * sizeof *wu);
  return PlantVJP(loop, 1, &t, x, loop->u, loop->f, &one, wx, wu);
}

// The k-th row of f_u that can be nonzero; behind the last one w_u's.
static PetscInt ActuatedRow(CtpgClosedLoop loop, PetscInt k) {
  if (k == CtpgCountActuated(&loop->dims)) return loop->dims.nx;
  return loop->dims.actuated ? loop->dims.actuated[k] : k;
}

// The products of a Jacobian: seeds [m, nu] in control space, and through which rows of (f_x; w_x) they go.
typedef struct {
  PetscInt m;
  PetscBool by_rows; // seed k is row ActuatedRow(k) of (f_u; w_u); else control k
} JacobianPlan;

static PetscBool IsZero(PetscInt n, const PetscReal *values) {
  for (PetscInt i = 0; i < n; i++)
    if (values[i] != 0) return PETSC_FALSE;
  return PETSC_TRUE;
}

static JacobianPlan PlanJacobian(CtpgClosedLoop loop, PetscBool with_cost) {
  const PetscInt nu = loop->dims.nu, rows = CtpgCountActuated(&loop->dims);
  const PetscInt all = rows + (with_cost && !IsZero(nu, loop->fu + loop->dims.nx * nu) ? 1 : 0);
  return (JacobianPlan){.m = PetscMin(nu, all), .by_rows = all < nu ? PETSC_TRUE : PETSC_FALSE};
}

PetscInt CtpgClosedLoopGetJacobianProducts(CtpgClosedLoop loop) {
  return PetscMin(loop->dims.nu, CtpgCountActuated(&loop->dims) + 1);
}

// seeds [m, nu], and how much of product k enters f_theta' v + c w_theta: coupling [m, nx + 1], may be NULL.
static void SeedProducts(CtpgClosedLoop loop, const JacobianPlan *plan, PetscReal *coupling) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  memset(loop->seeds, 0, (size_t)(plan->m * nu) * sizeof(PetscReal));
  if (coupling) memset(coupling, 0, (size_t)(CtpgClosedLoopGetJacobianProducts(loop) * (nx + 1)) * sizeof *coupling);
  for (PetscInt k = 0; k < plan->m; k++) {
    if (plan->by_rows) {
      const PetscInt row = ActuatedRow(loop, k);
      memcpy(loop->seeds + k * nu, loop->fu + row * nu, (size_t)nu * sizeof(PetscReal));
      if (coupling) coupling[k * (nx + 1) + row] = 1;
    } else
      loop->seeds[k * nu + k] = 1;
  }
  for (PetscInt r = 0; coupling && !plan->by_rows && r <= CtpgCountActuated(&loop->dims); r++) {
    const PetscInt i = ActuatedRow(loop, r);
    for (PetscInt k = 0; k < nu; k++) coupling[k * (nx + 1) + i] = loop->fu[i * nu + k];
  }
}

// through [m, nx] = seeds u_x, with the outputs that Act kept; their parts for theta are kept in factors
// (NULL: not).
static CtpgStatus PolicyProducts(CtpgClosedLoop loop, PetscInt m, PetscReal t, const PetscReal *x, PetscReal *factors) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu, no = loop->dims.no, size = PolicyGetFactorSize(loop->policy);
  CtpgStatus status = CTPG_OK;
  memset(loop->seen, 0, (size_t)(m * no) * sizeof(PetscReal));
  memset(loop->through, 0, (size_t)(m * nx) * sizeof(PetscReal));
  for (PetscInt done = 0; done < m; done += POINTS) {
    const PetscInt count = PetscMin(POINTS, m - done);
    const PetscReal *kept[POINTS];
    PetscReal *at_factors[POINTS];
    for (PetscInt k = 0; k < count; k++) {
      kept[k] = loop->kept;
      at_factors[k] = factors ? factors + (done + k) * size : NULL;
    }
    PolicyVJPApart(loop->policy, loop->weights, count, kept, loop->seeds + done * nu, loop->scratch,
                   loop->seen + done * no, factors ? at_factors : NULL);
  }
  for (PetscInt k = 0; k < m && status == CTPG_OK; k++) // last: differences overwrite o
    status = ObserveVJP(loop, 1, &t, x, loop->seen + k * no, loop->through + k * nx);
  loop->counts[loop->purpose].njac_products += m;
  return status;
}

// row [nx] += f_u u_x, a row of f_u [nu] without its zeros: most entries, where a problem is large.
static void AddControlled(CtpgClosedLoop loop, const PetscReal *fu, PetscReal *row) {
  const PetscInt nx = loop->dims.nx;
  for (PetscInt k = 0; k < loop->dims.nu; k++)
    for (PetscInt j = 0; fu[k] != 0 && j < nx; j++) row[j] += fu[k] * loop->through[k * nx + j];
}

// fx += f_u u_x, wx += w_u u_x (NULL: not wanted).
static void JoinProducts(CtpgClosedLoop loop, const JacobianPlan *plan, PetscReal *fx, PetscReal *wx) {
  const PetscInt nx = loop->dims.nx, nu = loop->dims.nu;
  const PetscInt rows = plan->by_rows ? plan->m : CtpgCountActuated(&loop->dims) + (wx ? 1 : 0);
  for (PetscInt r = 0; r < rows; r++) {
    const PetscInt i = ActuatedRow(loop, r);
    PetscReal *row = i < nx ? fx + i * nx : wx;
    if (plan->by_rows)
      for (PetscInt j = 0; j < nx; j++) row[j] += loop->through[r * nx + j];
    else
      AddControlled(loop, loop->fu + i * nu, row);
  }
}

static CtpgStatus JacobianPoint(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx, PetscReal *wx,
                                PetscReal *coupling, PetscReal *factors) {
  const PetscInt nx = loop->dims.nx;
  StandAt(loop, 0);
  loop->counts[loop->purpose].njac++;
  CtpgStatus status = Act(loop, 1, &t, x, loop->u, loop->kept);
  if (status == CTPG_OK) status = PlantJacobian(loop, t, x, fx, loop->fu);
  if (status == CTPG_OK && wx) status = PlantCostGradient(loop, t, x, wx, loop->fu + nx * loop->dims.nu);
  if (status == CTPG_OK) {
    const JacobianPlan plan = PlanJacobian(loop, wx ? PETSC_TRUE : PETSC_FALSE);
    if (factors)
      memset(factors, 0,
             (size_t)(CtpgClosedLoopGetJacobianProducts(loop) * PolicyGetFactorSize(loop->policy)) * sizeof *factors);
    SeedProducts(loop, &plan, coupling);
    status = PolicyProducts(loop, plan.m, t, x, factors);
    JoinProducts(loop, &plan, fx, wx);
  }
  status = Judge(loop, status, nx * nx, fx, "f_x is", t);
  return status == CTPG_OK && wx ? Judge(loop, status, nx, wx, "w_x is", t) : status;
}

CtpgStatus CtpgClosedLoopJacobian(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx) {
  const PetscInt products = PetscMin(loop->dims.nu, CtpgCountActuated(&loop->dims));
  if (!Admit(loop, products) || JacobianPoint(loop, t, x, fx, NULL, NULL, NULL) != CTPG_OK)
    FillNaN(loop, loop->dims.nx * loop->dims.nx, fx);
  return loop->status;
}

CtpgStatus CtpgClosedLoopJacobianKeep(CtpgClosedLoop loop, PetscReal t, const PetscReal *x, PetscReal *fx,
                                      PetscReal *wx, PetscReal *coupling, PetscReal *factors) {
  const PetscInt nx = loop->dims.nx, m = CtpgClosedLoopGetJacobianProducts(loop);
  if (!Admit(loop, m) || JacobianPoint(loop, t, x, fx, wx, coupling, factors) != CTPG_OK)
    FillNaN(loop, nx * nx, fx), FillNaN(loop, nx, wx), FillNaN(loop, m * (nx + 1), coupling),
        FillNaN(loop, m * PolicyGetFactorSize(loop->policy), factors);
  return loop->status;
}

CtpgStatus CtpgClosedLoopTerminal(CtpgClosedLoop loop, const PetscReal *x, PetscReal *J, PetscReal *Jx) {
  const PetscInt nx = loop->dims.nx;
  PetscReal *gradient = Jx ? Jx : loop->gx;
  if (loop->status != CTPG_OK) {
    FillNaN(loop, nx, Jx);
    return FillNaN(loop, 1, J);
  }
  *J = 0;
  memset(gradient, 0, (size_t)nx * sizeof(PetscReal));
  if (!loop->type->terminal) return CTPG_OK;
  StandAt(loop, 0);
  const CtpgStatus status = loop->type->terminal(loop->ctx, &loop->here, x, J, gradient);
  return Judge(loop, status, nx, gradient, "the gradient of the terminal cost is", loop->task.T);
}
