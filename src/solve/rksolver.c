// rksolver.c -- one TSRK, and callbacks of TS turned into the callbacks of rksolver.h
//
// TSStep_RK calls, per attempt, PostStage(i) just before the right-hand side of stage i, for FSAL types without a
// right-hand side at i = 0; after an accepted step, PostStep. A second PostStage(0) without a PostStep is a rejection.
//
// The error norm is that of rkerror.h, which knows a second formula, components beside the state, weights and a moving
// tolerance; the controller that of rkcontrol.h. Both are handed to TS: one component more, the messenger, alone has a
// tolerance (1), and its derivative, zero in all stages but the last, is such that its error estimate
// h (bembed_s - b_s) K_s is below or above 1 as the controller accepts or not; the bounds on TS's change of h are drawn
// together about the factor wanted.
//
// The loop of our own does what TSSolve, TSStep_RK and TSAdaptChoose do, operation by operation, without their 1.8 us a
// step: stages by VecMAXPY's order (the first terms that fill no four, then by fours), times and lengths as TS has
// them. tests/test_rktables.c compares the bits.

#include "ctpgbench/toolkit/rksolver.h"
#include "ctpgbench/functions.h"
#include "loop/combine.h"
#include "solve/rkcontrol.h"
#include <math.h>

#define REJECTIONS_IN_A_ROW 40
#define LARGEST_NORM        1e100 // TS must not meet an infinity
#define SHORTEST_STEP       1e-20 // of TSAdapt, which takes it whatever its error; also the inverse of the longest

// What a solve waits for: the derivative at its start, at the end of the trial step, of a stage.
typedef enum { WAIT_OVER, WAIT_FOR_SLOPE, WAIT_FOR_TRIAL, WAIT_FOR_STAGE } Wait;

struct RKSolver_s {
  CtpgClosedLoop loop;
  CtpgRKOptions rk;
  CtpgRKCallbacks callbacks;
  TS ts;
  Vec y, residual, atol, rtol;
  Vec last_stage; // borrowed from TS
  PetscInt n, controlled;
  PetscReal *rows;                         // in whole lanes: K, k0, k_last, state, Y
  PetscReal *K[CTPG_RK_MAX_STAGES];        // [s] -> [n] derivatives of the stages
  PetscReal *k0, *k_last;                  // [n] derivative at the start of the step, of its last stage
  PetscReal *state;                        // [n] at the start of the step being attempted
  PetscReal *trial, *k1;                   // [n] trial state of the first step and its derivative
  PetscBool k0_known, attempt_open, retry; // retry: the attempt before was rejected
  PetscBool undefined;                     // f is not, at a stage of the attempt
  PetscReal t0, h;                         // current attempt
  PetscReal start;                         // of a solve with equal steps
  PetscBool equal;                         // are the steps equal?
  const CtpgInterval *interval;            // of steps made again
  PetscInt step, stage;
  PetscReal next_h;
  int64_t steps, rejected;
  PetscBool messenger; // hands the decision of the error control to TS
  PetscReal *y1;       // [controlled] state at the end of the attempt
  RKControlMemory memory;
  // Of the own loop:
  PetscReal *Y; // [n] state of the stage at hand
  PetscReal time, time_step;
  Wait wait;
  CtpgRKRequest request;
  PetscReal first_h, d1; // of the trial step, and the size of the slope at its start
  PetscInt rejections;   // in a row
  // Of a solve:
  CtpgPurpose purpose;
  PetscReal t_low, t_high, r, a, size; // from, to; tolerances; largest |y_i| so far
  PetscInt made, max_steps;
  TSConvergedReason reason; // of either loop, as TS says it
};

// ---- what TS calls ----

// A rejected attempt has been undone by a subtraction: the state is put back to the bit. The messenger starts at zero.
static PetscErrorCode SetAttemptState(CtpgRKSolver s, Vec Y0) {
  const size_t bytes = (size_t)s->n * sizeof(PetscReal);
  PetscReal *y;
  Vec solution;

  PetscFunctionBeginUser;
  PetscCall(TSGetSolution(s->ts, &solution));
  PetscCall(VecGetArray(solution, &y));
  if (s->attempt_open)
    memcpy(y, s->state, bytes);
  else
    memcpy(s->state, y, bytes);
  if (s->messenger) y[s->n] = 0;
  PetscCall(VecRestoreArray(solution, &y));
  PetscCall(VecCopy(solution, Y0));
  PetscFunctionReturn(0);
}

// From `time` over h; where the steps are equal their times are not sums.
static void BeginAttempt(CtpgRKSolver s, PetscReal time, PetscReal h) {
  if (s->attempt_open) {
    s->rejected++;
    CtpgClosedLoopMoveCounts(s->loop, CTPG_REJECTED);
  }
  CtpgClosedLoopMarkCounts(s->loop);
  s->retry = s->attempt_open;
  s->attempt_open = PETSC_TRUE;
  s->undefined = PETSC_FALSE;
  s->h = h;
  s->t0 = s->equal ? s->start + (PetscReal)s->step * s->h : time;
}

static PetscErrorCode BeginAttemptOfTS(CtpgRKSolver s, Vec Y0) {
  PetscReal time, h;
  PetscFunctionBeginUser;
  if (!s->rk.fixed) PetscCall(SetAttemptState(s, Y0));
  s->rejections = s->attempt_open ? s->rejections + 1 : 0;
  PetscCall(TSGetTimeStep(s->ts, &h));
  PetscCall(TSGetTime(s->ts, &time));
  BeginAttempt(s, time, h);
  PetscFunctionReturn(0);
}

static PetscErrorCode PostStage(TS ts, PetscReal stage_time, PetscInt i, Vec *Y) {
  CtpgRKSolver s;
  const PetscReal *y;

  PetscFunctionBeginUser;
  (void)stage_time;
  PetscCall(TSGetApplicationContext(ts, &s));
  s->stage = i;
  if (i == 0) PetscCall(BeginAttemptOfTS(s, Y[0]));
  if (i == s->rk.table.s - 1) s->last_stage = Y[i];
  if (s->callbacks.stage) {
    PetscCall(VecGetArrayRead(Y[i], &y));
    s->callbacks.stage(s->callbacks.context, i, y);
    PetscCall(VecRestoreArrayRead(Y[i], &y));
  }
  PetscFunctionReturn(0);
}

// A stage of the attempt has failed: does that only reject it? Stage 0 is the same in any shorter step.
static PetscBool IsRejection(CtpgRKSolver s) {
  if (s->rk.fixed || s->stage == 0 || s->rejections >= REJECTIONS_IN_A_ROW || s->h < 2 * SHORTEST_STEP)
    return PETSC_FALSE;
  s->undefined = CtpgClosedLoopRetry(s->loop, s->h);
  return s->undefined;
}

// ydot, or zeros once the loop or the attempt has failed: TS must not meet a NaN (it would raise an error).
static CtpgStatus EvaluateOrZero(CtpgRKSolver s, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  CtpgStatus status = CtpgClosedLoopGetStatus(s->loop);
  if (status == CTPG_OK && !s->undefined) status = s->callbacks.rhs(s->callbacks.context, i, t, y, ydot);
  if (status != CTPG_OK && IsRejection(s)) status = CTPG_OK;
  if (status != CTPG_OK || s->undefined) memset(ydot, 0, (size_t)s->n * sizeof *ydot);
  return status;
}

static PetscReal Largest(PetscInt n, const PetscReal *y) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < n; i++) largest = fmax(largest, fabs(y[i]));
  return largest;
}

// Absolute tolerance of this attempt, when it follows the size of y: that of the start, and of a first step by Euler's
// rule (an adjoint without terminal cost starts at zero).
static PetscReal AbsoluteTolerance(CtpgRKSolver s) {
  if (!s->rk.scale_atol) return s->a;
  if (s->size == 0)
    for (PetscInt i = 0; i < s->controlled; i++) s->size = fmax(s->size, fabs(s->state[i] + s->h * s->k0[i]));
  s->size = fmax(s->size, Largest(s->controlled, s->state));
  return s->a * s->size;
}

// The error norm of the attempt, all of whose derivatives are known, or one is not defined.
static PetscReal ErrorNorm(CtpgRKSolver s) {
  if (s->undefined) return LARGEST_NORM;
  const PetscReal atol = AbsoluteTolerance(s);
  const CtpgRKErrorBlock block = {.n = s->controlled,
                                  .rtol = s->r,
                                  .atol = atol,
                                  .weights = s->rk.weights ? s->rk.weights(s->rk.weights_context, s->t0 + s->h) : NULL,
                                  .y1 = s->y1};
  CtpgRKErrorSums sums = {0};
  CtpgRKErrorAdd(&s->rk.table, s->h, s->state, (const PetscReal *const *)s->K, &block, &sums);
  if (s->callbacks.error) s->callbacks.error(s->callbacks.context, s->h, s->r, s->a, &sums);
  return PetscMin(CtpgRKErrorNorm(&sums), LARGEST_NORM);
}

// The norm that TS is told, and the bounds on its factor: with safety 0 it takes the lower one, which is at most 1, and
// with a tiny norm the upper one, which is at least 1.
static PetscErrorCode TellTS(CtpgRKSolver s, PetscReal norm, PetscReal *told) {
  PetscReal factor;
  const PetscBool accepted = RKControl(&s->rk, norm, s->retry, &s->memory, &factor);
  const PetscBool grow = factor > 1 ? PETSC_TRUE : PETSC_FALSE;
  TSAdapt adapt;

  PetscFunctionBeginUser;
  PetscCall(TSGetAdapt(s->ts, &adapt));
  PetscCall(TSAdaptSetSafety(adapt, grow ? 1 : 0, 1));
  PetscCall(TSAdaptSetClip(adapt, PetscMin(factor, 1), PetscMax(factor, 1)));
  *told = !accepted ? 2 : grow ? 1e-100 : 0.5;
  PetscFunctionReturn(0);
}

// Derivative of the messenger in stage i.
static PetscErrorCode Messenger(CtpgRKSolver s, PetscInt i, const PetscReal *f, PetscReal *derivative) {
  const CtpgRKTable *table = &s->rk.table;
  const PetscInt last = table->s - 1;

  PetscFunctionBeginUser;
  memcpy(s->K[i], f, (size_t)s->controlled * sizeof *f);
  *derivative = 0;
  if (i < last || CtpgClosedLoopGetStatus(s->loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(TellTS(s, ErrorNorm(s), derivative));
  *derivative /= s->h * (table->bembed[last] - table->b[last]);
  PetscFunctionReturn(0);
}

// TS sums rounded steps, and rounds nodes: with equal steps times are whole multiples of h, and a last stage that is
// the first of the next step has that one's start.
static PetscReal StageTime(CtpgRKSolver s, PetscInt i) {
  const PetscBool next = s->rk.table.fsal && i == s->rk.table.s - 1 ? PETSC_TRUE : PETSC_FALSE;
  if (next) return s->equal ? s->start + (PetscReal)(s->step + 1) * s->h : s->t0 + s->h;
  return s->t0 + s->rk.table.c[i] * s->h;
}

static PetscErrorCode RightHandSide(TS ts, PetscReal t, Vec Y, Vec F, void *context) {
  CtpgRKSolver s = context;
  const PetscReal *y;
  PetscReal *f;

  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(VecGetArrayWrite(F, &f));
  t = StageTime(s, s->stage);
  if (s->stage == 0 && s->k0_known)
    PetscCall(PetscArraycpy(f, s->k0, s->n));
  else if (EvaluateOrZero(s, s->stage, t, y, f) != CTPG_OK)
    PetscCall(TSSetConvergedReason(ts, TS_CONVERGED_USER));
  else if (s->stage == 0) {
    PetscCall(PetscArraycpy(s->k0, f, s->n));
    s->k0_known = PETSC_TRUE;
  } else if (s->rk.table.fsal && s->stage == s->rk.table.s - 1)
    PetscCall(PetscArraycpy(s->k_last, f, s->n));
  if (s->messenger) PetscCall(Messenger(s, s->stage, f, f + s->n));
  PetscCall(VecRestoreArrayWrite(F, &f));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

// In the loop of our own k0 and k_last are rows of K.
static void NameRows(CtpgRKSolver s) {
  s->K[s->rk.table.s - 1] = s->k_last;
  s->K[0] = s->k0; // last: the two are one where there is one stage
}

// A FSAL step ends where its last stage was evaluated. With a messenger stage 0 is asked for in every step: TS would
// take over the messenger's derivative as well.
static void EndStep(CtpgRKSolver s) {
  s->attempt_open = s->k0_known = PETSC_FALSE;
  if (s->rk.table.fsal) {
    PetscReal *known = s->k_last;
    s->k_last = s->k0;
    s->k0 = known;
    s->k0_known = PETSC_TRUE;
    if (!s->ts) NameRows(s);
  }
  s->step++;
  s->steps++;
}

// Does an interval say how long the next step is?
static PetscBool HasNextLength(CtpgRKSolver s) {
  return s->interval && !s->equal && s->step < s->interval->steps ? PETSC_TRUE : PETSC_FALSE;
}

static PetscErrorCode EndStepOfTS(CtpgRKSolver s, Vec Y) {
  PetscFunctionBeginUser;
  if (s->rk.table.fsal) PetscCall(VecCopy(s->last_stage, Y));
  EndStep(s);
  if (s->messenger) PetscCall(TSRestartStep(s->ts));
  if (HasNextLength(s)) PetscCall(TSSetTimeStep(s->ts, CtpgIntervalLength(s->interval, s->step)));
  PetscFunctionReturn(0);
}

static PetscErrorCode PostStep(TS ts) {
  CtpgRKSolver s;
  Vec Y;
  const PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(TSGetApplicationContext(ts, &s));
  if (!s->attempt_open || CtpgClosedLoopGetStatus(s->loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(TSGetSolution(ts, &Y));
  PetscCall(EndStepOfTS(s, Y));
  if (s->callbacks.accept) {
    PetscCall(VecGetArrayRead(Y, &y));
    s->callbacks.accept(s->callbacks.context, y);
    PetscCall(VecRestoreArrayRead(Y, &y));
  }
  PetscFunctionReturn(0);
}

// ---- the loop of our own ----

// out [n] = y + sum over j < terms of h a[j] K_j, whole lanes at a time: all vectors have room for them.
CTPG_WIDE static void AddTerms(PetscInt n, PetscInt terms, PetscReal h, const PetscReal *a, PetscReal *const *K,
                               const PetscReal *y, PetscReal *out) {
  const PetscInt rest = terms % 4;
  PetscReal c[CTPG_RK_MAX_STAGES];
  for (PetscInt j = 0; j < terms; j++) c[j] = h * a[j];
  for (PetscInt k = 0; k < n; k += CTPG_LANES) {
    CtpgLanes sum = CTPG_LANES_AT(y + k);
    if (rest == 1) sum += c[0] * CTPG_LANES_AT(K[0] + k);
    if (rest == 2) sum += c[0] * CTPG_LANES_AT(K[0] + k) + c[1] * CTPG_LANES_AT(K[1] + k);
    if (rest == 3)
      sum += c[0] * CTPG_LANES_AT(K[0] + k) + c[1] * CTPG_LANES_AT(K[1] + k) + c[2] * CTPG_LANES_AT(K[2] + k);
    for (PetscInt j = rest; j < terms; j += 4)
      sum += c[j] * CTPG_LANES_AT(K[j] + k) + c[j + 1] * CTPG_LANES_AT(K[j + 1] + k) +
             c[j + 2] * CTPG_LANES_AT(K[j + 2] + k) + c[j + 3] * CTPG_LANES_AT(K[j + 3] + k);
    CTPG_LANES_AT(out + k) = sum;
  }
}

static void Ask(CtpgRKSolver s, Wait wait, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  s->wait = wait;
  s->request = (CtpgRKRequest){.i = i, .t = t, .y = y, .ydot = ydot};
}

// The first stage from i on whose derivative is not known. PETSC_FALSE: there is none, or the loop has failed.
static PetscBool AskForStage(CtpgRKSolver s, PetscInt i) {
  const CtpgRKTable *table = &s->rk.table;
  for (; i < table->s; i++) {
    AddTerms(s->n, i, s->h, table->A + i * table->s, s->K, s->state, s->Y);
    s->stage = i;
    if (s->callbacks.stage) s->callbacks.stage(s->callbacks.context, i, s->Y);
    if (CtpgClosedLoopGetStatus(s->loop) != CTPG_OK) return PETSC_FALSE;
    if (i > 0 || !s->k0_known) {
      Ask(s, WAIT_FOR_STAGE, i, StageTime(s, i), s->Y, s->K[i]);
      return PETSC_TRUE;
    }
  }
  return PETSC_FALSE;
}

// The length after an accepted step that ends at t: TSAdapt's, which avoids a short last step before t1.
static PetscReal MatchEnd(PetscReal t, PetscReal t1, PetscReal h) {
  const PetscReal left = t1 - t, end = t + h;
  PetscReal next = h;
  if (t < t1 && end > t1) next = left;
  if (t < t1 && end < t1 && 2 * h > left) next = left / 2;
  if (t < t1 && end < t1 && 1.01 * h > left) next = left;
  return next;
}

static void AcceptStep(CtpgRKSolver s) {
  PetscReal *next = s->Y;
  s->Y = s->state;
  s->state = next;
  s->rejections = 0;
  EndStep(s);
  if (HasNextLength(s)) s->time_step = CtpgIntervalLength(s->interval, s->step);
  if (s->callbacks.accept) s->callbacks.accept(s->callbacks.context, s->state);
  if (++s->made >= s->max_steps)
    s->reason = TS_CONVERGED_ITS;
  else if (s->time >= s->t_high)
    s->reason = TS_CONVERGED_TIME;
}

// All derivatives of the attempt are known, or it or the loop has failed; the length of what follows into time_step.
static void EndAttempt(CtpgRKSolver s) {
  const CtpgRKTable *table = &s->rk.table;
  PetscReal factor = 1;
  if (CtpgClosedLoopGetStatus(s->loop) != CTPG_OK) {
    s->reason = TS_CONVERGED_USER;
    return;
  }
  if (!table->fsal) AddTerms(s->n, table->s, s->h, table->b, s->K, s->state, s->Y);
  const PetscBool accepted = s->rk.fixed || RKControl(&s->rk, ErrorNorm(s), s->retry, &s->memory, &factor) ||
                                     s->time_step < (1 + PETSC_SQRT_MACHINE_EPSILON) * SHORTEST_STEP
                                 ? PETSC_TRUE
                                 : PETSC_FALSE;
  const PetscReal next = PetscMin(1 / SHORTEST_STEP, PetscMax(SHORTEST_STEP, s->time_step * factor));
  if (accepted) {
    const PetscReal end = s->time + s->time_step;
    s->time_step = s->rk.fixed ? s->time_step : MatchEnd(end, s->t_high, next);
    s->time = end;
    AcceptStep(s);
    return;
  }
  s->time_step = next;
  if (++s->rejections > REJECTIONS_IN_A_ROW) s->reason = TS_DIVERGED_STEP_REJECTED;
}

// To the next derivative that is not known, or to the end.
static void Attempt(CtpgRKSolver s) {
  while (!s->reason) {
    BeginAttempt(s, s->time, s->time_step);
    if (AskForStage(s, 0)) return;
    EndAttempt(s);
  }
  s->wait = WAIT_OVER;
  s->next_h = s->time_step;
}

static void StartSteps(CtpgRKSolver s) {
  const PetscReal h = s->time_step, longest = s->t_high - s->t_low;
  s->time = s->t_low;
  if (!s->rk.fixed && (h >= longest || PetscIsCloseAtTol(h, longest, 10 * PETSC_MACHINE_EPSILON, 0)))
    s->time_step = longest;
  if (s->t_low >= s->t_high) s->reason = TS_CONVERGED_TIME;
  s->made = s->rejections = 0;
  Attempt(s);
}

// ---- life cycle ----

PetscErrorCode CtpgRKOptionsReadBreaks(CtpgOptions options, CtpgRKOptions *rk) {
  PetscFunctionBeginUser;
  rk->respect_breaks = PETSC_FALSE;
  PetscCall(CtpgOptionsBool(options, "respect_breaks", "stop at the problem's break times", &rk->respect_breaks));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKOptionsReadLimits(CtpgOptions options, CtpgRKOptions *rk) {
  PetscFunctionBeginUser;
  rk->atol_factor = CTPG_DEFAULT_ATOL_FACTOR;
  rk->step_limit = CTPG_DEFAULT_STEP_LIMIT;
  PetscCall(CtpgOptionsReal(options, "atol_factor", "absolute tolerance = atol_factor rtol", 0, 1e6, &rk->atol_factor));
  PetscCheck(rk->atol_factor == 0 || rk->atol_factor >= 1e-100, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-atol_factor %.6g is out of range; expected 0 or a number from 1e-100 to 1e6", rk->atol_factor);
  PetscCall(CtpgOptionsInt(options, "step_limit", "steps of one solve before it counts as failed", 1, 100000000,
                           &rk->step_limit));
  PetscFunctionReturn(0);
}

// steps, by default `fixed`; the tolerances and the limit.
static PetscErrorCode ReadSteps(CtpgOptions options, PetscBool fixed, CtpgRKOptions *rk, CtpgTraits *traits) {
  static const char *const steps[] = {"adaptive", "fixed", NULL};
  PetscInt choice = fixed ? 1 : 0;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsChoice(options, "steps", "adaptive (knob rtol) or fixed (knob dt)", steps, &choice));
  rk->fixed = choice ? PETSC_TRUE : PETSC_FALSE;
  traits->knob = rk->fixed ? CTPG_KNOB_DT : CTPG_KNOB_RTOL;
  PetscCall(CtpgRKOptionsReadLimits(options, rk));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKOptionsReadSteps(CtpgOptions options, PetscReal order, CtpgRKOptions *rk, CtpgTraits *traits) {
  PetscFunctionBeginUser;
  PetscCall(ReadSteps(options, PETSC_TRUE, rk, traits));
  traits->order = order;
  PetscFunctionReturn(0);
}

// How steps follow from errors.
static PetscErrorCode ReadController(CtpgOptions options, CtpgRKOptions *rk) {
  static const char *const words[] = {"i", "pi42", "h211b", NULL};
  PetscInt controller = CTPG_CONTROLLER_I;
  PetscFunctionBeginUser;
  rk->safety = 0.9;
  PetscCall(CtpgOptionsReal(options, "safety", "of the step that the error estimate allows", 0.01, 1, &rk->safety));
  PetscCall(CtpgOptionsChoice(options, "controller",
                              "i: elementary; pi42, h211b: PETSc's filters of errors and steps before", words,
                              &controller));
  rk->controller = (CtpgController)controller;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadLoop(CtpgOptions options, CtpgRKOptions *rk, CtpgTraits *traits) {
  static const char *const words[] = {"own", "ts", NULL};
  PetscInt loop = 0;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsChoice(options, "rk_loop", "who makes the steps, with the same bits: own, or ts, PETSc's TSRK",
                              words, &loop));
  rk->by_ts = loop == 1 ? PETSC_TRUE : PETSC_FALSE;
  if (rk->by_ts) traits->flags &= ~CTPG_IS_WITHOUT_BLAS;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKOptionsRead(CtpgOptions options, const char *default_table, CtpgRKOptions *rk,
                                 CtpgTraits *traits) {
  char name[32], key[128] = "-rk";
  PetscBool found;

  PetscFunctionBeginUser;
  PetscCall(PetscStrncpy(name, default_table, sizeof name));
  PetscCall(
      CtpgOptionsText(options, "rk", "Runge-Kutta table: tsit5, dop853, 6ve, 8ve or one of TSRK's", name, sizeof name));
  PetscCall(CtpgOptionsFind(options, "rk", key, sizeof key, &found));
  PetscCall(CtpgRKTableFind(key, name, &rk->table));
  PetscCall(ReadSteps(options, rk->table.bembed ? PETSC_FALSE : PETSC_TRUE, rk, traits));
  PetscCheck(rk->fixed || rk->table.bembed, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s has no error estimate: steps adaptive needs a table with one (tsit5, 3bs, 5dp, ...)", key, name);
  traits->order = rk->table.order;
  PetscCall(ReadController(options, rk));
  PetscCall(ReadLoop(options, rk, traits));
  PetscCall(CtpgRKOptionsReadBreaks(options, rk));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateTS(CtpgRKSolver s, const char *type) {
  TSAdapt adapt;

  PetscFunctionBeginUser;
  PetscCall(VecDuplicate(s->y, &s->residual));
  PetscCall(VecDuplicate(s->y, &s->atol));
  PetscCall(VecDuplicate(s->y, &s->rtol));
  PetscCall(TSCreate(PetscObjectComm((PetscObject)s->y), &s->ts));
  PetscCall(TSSetType(s->ts, TSRK));
  PetscCall(TSRKSetType(s->ts, type ? type : s->rk.table.name));
  PetscCall(TSSetApplicationContext(s->ts, s));
  PetscCall(TSSetRHSFunction(s->ts, s->residual, RightHandSide, s));
  PetscCall(TSSetPostStage(s->ts, PostStage));
  PetscCall(TSSetPostStep(s->ts, PostStep));
  PetscCall(TSSetErrorIfStepFails(s->ts, PETSC_FALSE));
  PetscCall(TSSetMaxStepRejections(s->ts, REJECTIONS_IN_A_ROW));
  PetscCall(TSGetAdapt(s->ts, &adapt));
  PetscCall(TSAdaptSetType(adapt, s->rk.fixed ? TSADAPTNONE : TSADAPTBASIC));
  PetscCall(TSSetExactFinalTime(s->ts, s->rk.fixed ? TS_EXACTFINALTIME_STEPOVER : TS_EXACTFINALTIME_MATCHSTEP));
  PetscCall(TSSetSolution(s->ts, s->y));
  PetscFunctionReturn(0);
}

// Zeros fill up the lanes.
static PetscErrorCode CreateRows(CtpgRKSolver s) {
  const PetscInt stages = s->rk.table.s, row = (s->n + CTPG_LANES - 1) / CTPG_LANES * CTPG_LANES;
  PetscReal *next;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1((stages + 4) * row, &s->rows));
  next = s->rows;
  for (PetscInt i = 0; i < stages; i++, next += row) s->K[i] = next;
  s->k0 = next;
  s->k_last = next + row;
  s->state = next + 2 * row;
  s->Y = next + 3 * row;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, const char *type, PetscInt extra,
                                  PetscInt controlled, const CtpgRKCallbacks *callbacks, CtpgRKSolver *solver) {
  const PetscBool by_ts = type || rk->by_ts ? PETSC_TRUE : PETSC_FALSE;
  CtpgRKSolver s;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&s));
  *solver = s;
  s->loop = loop;
  s->rk = *rk;
  s->callbacks = *callbacks;
  s->controlled = controlled;
  s->messenger = by_ts && !rk->fixed ? PETSC_TRUE : PETSC_FALSE;
  PetscCall(CtpgClosedLoopCreateState(loop, extra + (s->messenger ? 1 : 0), &s->y));
  PetscCall(VecGetLocalSize(s->y, &s->n));
  if (s->messenger) s->n--;
  PetscCall(PetscMalloc3(s->n, &s->trial, s->n, &s->k1, controlled, &s->y1));
  PetscCall(CreateRows(s));
  if (by_ts)
    PetscCall(CreateTS(s, type));
  else
    NameRows(s);
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverDestroy(CtpgRKSolver *solver) {
  PetscFunctionBeginUser;
  if (!*solver) PetscFunctionReturn(0);
  PetscCall(TSDestroy(&(*solver)->ts));
  PetscCall(VecDestroy(&(*solver)->y));
  PetscCall(VecDestroy(&(*solver)->residual));
  PetscCall(VecDestroy(&(*solver)->atol));
  PetscCall(VecDestroy(&(*solver)->rtol));
  PetscCall(PetscFree3((*solver)->trial, (*solver)->k1, (*solver)->y1));
  PetscCall(PetscFree((*solver)->rows));
  PetscCall(PetscFree(*solver));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverGetState(CtpgRKSolver solver, PetscReal **y) {
  PetscFunctionBeginUser;
  PetscCall(VecGetArray(solver->y, y));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverRestoreState(CtpgRKSolver solver, PetscReal **y) {
  PetscFunctionBeginUser;
  PetscCall(VecRestoreArray(solver->y, y));
  PetscFunctionReturn(0);
}

// ---- solves ----

// Root mean square of v / (atol + rtol |y|) over the controlled components.
static PetscReal ScaledNorm(CtpgRKSolver s, const PetscReal *v, const PetscReal *y, PetscReal rtol, PetscReal atol) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < s->controlled; i++) sum += PetscSqr(v[i] / (atol + rtol * fabs(y[i])));
  return sqrt(sum / (PetscReal)s->controlled);
}

// E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary Differential Equations I", Sec. II.4, "Starting step size", in
// two parts: the trial step, once F(t0, y0) is in k0, where stage 0 finds it ..
static void AskForTrial(CtpgRKSolver s) {
  const PetscReal d0 = ScaledNorm(s, s->state, s->state, s->r, s->a), d1 = ScaledNorm(s, s->k0, s->state, s->r, s->a);
  const PetscReal h0 = PetscMin(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, s->t_high - s->t_low);
  s->k0_known = PETSC_TRUE;
  s->first_h = h0;
  s->d1 = d1;
  for (PetscInt i = 0; i < s->n; i++) s->trial[i] = s->state[i] + h0 * s->k0[i];
  Ask(s, WAIT_FOR_TRIAL, -1, s->t_low + h0, s->trial, s->k1);
}

// .. and the length that follows from the derivative at its end.
static PetscReal FirstLength(CtpgRKSolver s) {
  const PetscReal h0 = s->first_h;
  for (PetscInt i = 0; i < s->n; i++) s->k1[i] -= s->k0[i];
  const PetscReal curvature = PetscMax(s->d1, ScaledNorm(s, s->k1, s->state, s->r, s->a) / h0);
  const PetscReal h1 = curvature <= 1e-15 ? PetscMax(1e-6, 1e-3 * h0)
                                          : CtpgPow(0.01 / curvature, 1.0 / (PetscReal)(s->rk.table.order + 1));
  return PetscMin(PetscMin(100 * h0, h1), s->t_high - s->t_low);
}

// TS's: the messenger alone has one.
static PetscErrorCode TellTolerances(CtpgRKSolver s) {
  PetscReal *a;

  PetscFunctionBeginUser;
  if (!s->messenger) PetscFunctionReturn(0);
  PetscCall(VecZeroEntries(s->rtol));
  PetscCall(VecZeroEntries(s->atol));
  PetscCall(VecGetArray(s->atol, &a));
  a[s->n] = 1;
  PetscCall(VecRestoreArray(s->atol, &a));
  PetscCall(TSSetTolerances(s->ts, s->r, s->atol, s->r, s->rtol));
  PetscFunctionReturn(0);
}

// Before a solve from t0 to t1 in at most max_steps, whose steps are equal from `start` on, or not; `step` is the
// number of the first.
static PetscErrorCode Open(CtpgRKSolver s, PetscReal t0, PetscReal t1, PetscInt max_steps, PetscBool equal,
                           PetscReal start, PetscInt step) {
  const PetscReal *y;
  PetscFunctionBeginUser;
  s->t_low = t0;
  s->t_high = t1;
  s->max_steps = max_steps;
  s->k0_known = s->attempt_open = PETSC_FALSE;
  s->equal = equal;
  s->start = start;
  s->step = step;
  s->interval = NULL;
  s->memory = RKControlForget();
  s->wait = WAIT_OVER;
  s->reason = TS_CONVERGED_USER; // until steps are made
  s->size = 0;
  PetscCall(VecGetArrayRead(s->y, &y));
  PetscCall(PetscArraycpy(s->state, y, s->n));
  PetscCall(VecRestoreArrayRead(s->y, &y));
  PetscFunctionReturn(0);
}

// The first step has this length; TS's steps are made when the solve is closed.
static void Start(CtpgRKSolver s, PetscReal h) {
  CtpgClosedLoopSetPurpose(s->loop, s->purpose);
  s->time_step = h;
  s->wait = WAIT_OVER;
  s->reason = TS_CONVERGED_ITERATING;
  if (!s->ts) StartSteps(s);
}

static PetscErrorCode RunTS(CtpgRKSolver s) {
  PetscFunctionBeginUser;
  PetscCall(TellTolerances(s));
  PetscCall(TSSetTime(s->ts, s->t_low));
  PetscCall(TSSetStepNumber(s->ts, 0));
  PetscCall(TSSetTimeStep(s->ts, s->time_step));
  PetscCall(TSSetMaxTime(s->ts, s->t_high));
  PetscCall(TSSetMaxSteps(s->ts, s->max_steps));
  PetscCall(TSRestartStep(s->ts));
  PetscCall(TSSolve(s->ts, s->y));
  PetscCall(TSGetTimeStep(s->ts, &s->next_h));
  PetscCall(TSGetTime(s->ts, &s->time));
  PetscCall(TSGetConvergedReason(s->ts, &s->reason));
  PetscFunctionReturn(0);
}

// No request is left: the state is read, and TS's steps are made.
static PetscErrorCode Close(CtpgRKSolver s) {
  PetscReal *y;
  PetscFunctionBeginUser;
  if (s->ts) {
    if (!s->reason) PetscCall(RunTS(s));
    PetscFunctionReturn(0);
  }
  PetscCall(VecGetArray(s->y, &y));
  PetscCall(PetscArraycpy(y, s->state, s->n));
  PetscCall(VecRestoreArray(s->y, &y));
  PetscFunctionReturn(0);
}

static void BeginAdaptive(CtpgRKSolver s, PetscReal rtol, PetscReal h0) {
  s->r = rtol;
  s->a = s->rk.atol_factor * rtol;
  if (h0 > 0) {
    Start(s, PetscMin(h0, s->t_high - s->t_low));
    return;
  }
  CtpgClosedLoopSetPurpose(s->loop, CTPG_STARTUP);
  if (CtpgClosedLoopGetStatus(s->loop) == CTPG_OK)
    Ask(s, WAIT_FOR_SLOPE, 0, s->t_low, s->state, s->k0);
  else
    Start(s, s->t_high - s->t_low);
}

PetscErrorCode CtpgRKSolverBegin(CtpgRKSolver s, CtpgPurpose purpose, PetscReal t0, PetscReal t1, PetscReal accuracy,
                                 PetscReal h0) {
  const PetscInt N = s->rk.fixed ? CtpgFixedSteps(t1 - t0, accuracy) : 0;
  const PetscReal h = s->rk.fixed ? (t1 - t0) / (PetscReal)N : 0;

  PetscFunctionBeginUser;
  s->purpose = purpose;
  // TS sums rounded steps: it is the number of steps that ends the solve
  PetscCall(Open(s, t0, t1 + h, s->rk.fixed ? N : s->rk.step_limit, s->rk.fixed, t0, 0));
  if (N == PETSC_MAX_INT)
    CtpgClosedLoopFail(s->loop, CTPG_STEP_LIMIT, "steps of %.3g are too many to count in %.3g", accuracy, t1 - t0);
  else if (s->rk.fixed)
    Start(s, h);
  else
    BeginAdaptive(s, accuracy, h0);
  PetscFunctionReturn(0);
}

const CtpgRKRequest *CtpgRKSolverGetRequest(CtpgRKSolver s) {
  return s->wait == WAIT_OVER ? NULL : &s->request;
}

// The length of the first step; where f is not defined at the end of the trial step, a tenth of that one.
static PetscReal LengthAfterTrial(CtpgRKSolver s) {
  if (CtpgClosedLoopGetStatus(s->loop) == CTPG_OK) return FirstLength(s);
  return CtpgClosedLoopRetry(s->loop, s->first_h) ? s->first_h / 10 : s->t_high - s->t_low;
}

void CtpgRKSolverGoOn(CtpgRKSolver s) {
  const PetscBool failed = CtpgClosedLoopGetStatus(s->loop) != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  switch (s->wait) {
  case WAIT_OVER: return;
  case WAIT_FOR_SLOPE:
    if (failed)
      Start(s, s->t_high - s->t_low);
    else
      AskForTrial(s);
    return;
  case WAIT_FOR_TRIAL: Start(s, LengthAfterTrial(s)); return;
  case WAIT_FOR_STAGE:
    if (failed) IsRejection(s);
    if (!failed && s->stage == 0) s->k0_known = PETSC_TRUE;
    if (!failed && AskForStage(s, s->stage + 1)) return;
    EndAttempt(s);
    Attempt(s);
  }
}

PetscErrorCode CtpgRKSolverEnd(CtpgRKSolver s) {
  PetscFunctionBeginUser;
  PetscCall(Close(s));
  if (s->rk.fixed) PetscFunctionReturn(0);
  if (s->reason == TS_CONVERGED_ITS)
    CtpgClosedLoopFail(s->loop, CTPG_STEP_LIMIT, "%d steps (-step_limit) used up at %.3g of %.3g",
                       (int)s->rk.step_limit, s->time - s->t_low, s->t_high - s->t_low);
  else if (s->reason < 0)
    CtpgClosedLoopFail(s->loop, CTPG_STEP_LIMIT, "%d rejections in a row at %.3g of %.3g", REJECTIONS_IN_A_ROW,
                       s->time - s->t_low, s->t_high - s->t_low);
  PetscFunctionReturn(0);
}

// Each request by the callback.
static void Answer(CtpgRKSolver s) {
  for (; s->wait != WAIT_OVER; CtpgRKSolverGoOn(s))
    s->callbacks.rhs(s->callbacks.context, s->request.i, s->request.t, s->request.y, s->request.ydot);
}

PetscErrorCode CtpgRKSolverSolve(CtpgRKSolver s, CtpgPurpose purpose, PetscReal t0, PetscReal t1, PetscReal accuracy,
                                 PetscReal h0) {
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverBegin(s, purpose, t0, t1, accuracy, h0));
  Answer(s);
  PetscCall(CtpgRKSolverEnd(s));
  PetscFunctionReturn(0);
}

static PetscErrorCode Repeat(CtpgRKSolver s, CtpgPurpose purpose, PetscReal h) {
  PetscFunctionBeginUser;
  s->purpose = purpose;
  Start(s, h);
  Answer(s);
  PetscCall(Close(s));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverRepeat(CtpgRKSolver s, CtpgPurpose purpose, PetscReal t, PetscReal h) {
  PetscFunctionBeginUser;
  PetscCall(Open(s, t, t + 2 * h, 1, PETSC_TRUE, t, 0));
  PetscCall(Repeat(s, purpose, h));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKSolverRepeatInterval(CtpgRKSolver s, CtpgPurpose purpose, const CtpgInterval *interval) {
  PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(VecGetArrayWrite(s->y, &y));
  PetscCall(PetscArraycpy(y, interval->y, s->n));
  PetscCall(VecRestoreArrayWrite(s->y, &y));
  PetscCall(Open(s, interval->t, PETSC_MAX_REAL, interval->steps, interval->h > 0, interval->origin,
                 interval->h > 0 ? interval->first : 0));
  s->interval = interval;
  PetscCall(Repeat(s, purpose, CtpgIntervalLength(interval, 0)));
  s->interval = NULL;
  PetscFunctionReturn(0);
}

PetscReal CtpgIntervalLength(const CtpgInterval *interval, PetscInt k) {
  return interval->h > 0 ? interval->h : *CtpgRowsAt(interval->lengths, interval->first + k);
}

PetscInt CtpgFixedSteps(PetscReal length, PetscReal dt) {
  const PetscReal steps = ceil(length / dt - 1e-9);
  return steps < (PetscReal)PETSC_MAX_INT ? PetscMax(1, (PetscInt)steps) : PETSC_MAX_INT;
}

void CtpgRKSolverGetStep(CtpgRKSolver solver, PetscReal *t0, PetscReal *h) {
  *t0 = solver->t0;
  *h = solver->h;
}

void CtpgRKSolverGetCounts(CtpgRKSolver solver, int64_t *steps, int64_t *rejected) {
  *steps = solver->steps;
  *rejected = solver->rejected;
}

void CtpgRKSolverResetCounts(CtpgRKSolver solver) {
  solver->steps = solver->rejected = 0;
}

PetscReal CtpgRKSolverGetNextStep(CtpgRKSolver solver) {
  return solver->next_h;
}

PetscBool CtpgRKSolverIsFixed(CtpgRKSolver solver) {
  return solver->rk.fixed;
}

TS CtpgRKSolverGetTS(CtpgRKSolver solver) {
  return solver->ts;
}
