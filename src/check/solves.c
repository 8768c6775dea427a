// solves.c -- an estimator with its own loop, solves by it as they are asked for, and what they are held against

#include "check/estimator_private.h"
#include "base/vector.h"
#include "base/random_engine.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- instances and runs ----

static CtpgCounts SpiedCounts(const CheckSpy *spy) {
  return (CtpgCounts){
      .nf = spy->evals, .nvjp = spy->vjps, .njvp = spy->jvps, .njac = spy->jacobians, .nplant = CheckSpyCalls(spy)};
}

PetscErrorCode CheckInstanceCreate(EstimatorCheck *k, CheckInstance *in) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorCreateFromType(k->type, &k->label, &in->e));
  PetscCall(ProblemCreateLoop(k->problem, &in->loop));
  CheckSpyReset(&k->spy, CHECK_NO_MISCHIEF, 0);
  PetscCall(EstimatorSetUp(in->e.type, in->e.est, in->loop));
  in->setup = SpiedCounts(&k->spy);
  PetscFunctionReturn(0);
}

PetscErrorCode CheckInstanceDestroy(CheckInstance *in) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorDestroy(&in->e));
  PetscCall(CtpgClosedLoopDestroy(&in->loop));
  PetscFunctionReturn(0);
}

PetscErrorCode CheckCreateStepper(EstimatorCheck *k) {
  char key[80], before[64];
  PetscBool was_set;

  PetscFunctionBeginUser;
  if (k->given.e.traits.knob == CTPG_KNOB_DT) {
    k->stepper = &k->given;
    PetscFunctionReturn(0);
  }
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s_steps", k->label.label));
  PetscCall(PetscOptionsGetString(NULL, NULL, key, before, sizeof before, &was_set));
  PetscCall(PetscOptionsSetValue(NULL, key, "fixed"));
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  const PetscErrorCode error = CheckInstanceCreate(k, &k->fixed);
  PetscCall(PetscPopErrorHandler());
  PetscCall(PetscOptionsClearValue(NULL, key));
  if (was_set) PetscCall(PetscOptionsSetValue(NULL, key, before));
  if (!error && k->fixed.e.traits.knob == CTPG_KNOB_DT) k->stepper = &k->fixed;
  PetscFunctionReturn(0);
}

PetscErrorCode CheckSolve(EstimatorCheck *k, CheckInstance *in, CheckRequest q, CheckRun *run) {
  const PetscInt ntask = k->problem->dims.ntask;
  const CtpgLimits limits = {.stop = &k->spy.stop, .eval_limit = q.eval_limit};
  CtpgStream stream = CtpgStreamOpen((uint64_t)k->settings->seed, k->spy.real->name, CTPG_STREAM_ESTIMATOR,
                                     CtpgHashString(CTPG_HASH_START, k->type->name) + q.draw, 0);

  PetscFunctionBeginUser;
  memset(run->loss, 0, sizeof run->loss);
  PetscCall(PetscArrayzero(run->gx0, CHECK_STARTS * k->nx));
  PetscCall(PetscArrayzero(run->gtheta, k->np));
  run->result = EstimatorResult(run->loss, run->gx0, run->gtheta);
  CheckSpyReset(&k->spy, q.mischief, q.when);
  CtpgClosedLoopSetCase(in->loop, k->c[q.theta].theta, q.B, k->tasks + q.first * ntask, k->T);
  CtpgClosedLoopStart(in->loop, &limits);
  if (in->e.type->memory) PetscCall(in->e.type->memory(in->e.est, NULL, PETSC_FALSE));
  PetscCall(PetscPushErrorHandler(PetscReturnErrorHandler, NULL));
  run->error = EstimatorGradient(in->e.type, in->e.est, in->loop, q.B, k->x0 + q.first * k->nx, q.accuracy, &stream,
                                 &run->result);
  PetscCall(PetscPopErrorHandler());
  run->status = CtpgClosedLoopGetStatus(in->loop);
  PetscCall(PetscStrncpy(run->reason, CtpgClosedLoopGetReason(in->loop), sizeof run->reason));
  CtpgClosedLoopGetTotals(in->loop, &run->totals);
  run->spied = SpiedCounts(&k->spy);
  CtpgCountsAdd(&run->spied, &in->setup);
  PetscFunctionReturn(0);
}

PetscBool CheckSucceeded(const EstimatorCheck *k, const CheckRun *run) {
  return !run->error && run->status == CTPG_OK && VectorIsFinite(1, run->loss) && VectorIsFinite(k->nx, run->gx0) &&
                 VectorIsFinite(k->np, run->gtheta)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

PetscBool CheckSameResult(const EstimatorCheck *k, const CheckRun *a, const CheckRun *b) {
  return VectorSameBits(1, a->loss, b->loss) && VectorSameBits(k->nx, a->gx0, b->gx0) &&
                 VectorSameBits(k->np, a->gtheta, b->gtheta) && a->totals.nf == b->totals.nf
             ? PETSC_TRUE
             : PETSC_FALSE;
}

const char *CheckWhatDiffers(const EstimatorCheck *k, const CheckRun *a, const CheckRun *b, char text[160]) {
  if (b->error || b->status != a->status)
    snprintf(text, 160, "PETSc error %d, status %s (%s)", (int)b->error, CtpgStatusName(b->status), b->reason);
  else if (!VectorSameBits(k->np, a->gtheta, b->gtheta))
    snprintf(text, 160, "dL/dtheta moves by %.1e (relative)", CheckRelative(k->np, b->gtheta, a->gtheta));
  else if (!VectorSameBits(k->nx, a->gx0, b->gx0))
    snprintf(text, 160, "dL/dx0 moves by %.1e (relative), dL/dtheta stays", CheckRelative(k->nx, b->gx0, a->gx0));
  else if (!VectorSameBits(1, a->loss, b->loss))
    snprintf(text, 160, "the loss moves by %.1e, the gradient stays", b->loss[0] - a->loss[0]);
  else
    snprintf(text, 160, "the result is the same, but after %lld evaluations of f instead of %lld%s",
             (long long)b->totals.nf, (long long)a->totals.nf,
             b->totals.nf < a->totals.nf ? ": something is kept from an earlier call" : "");
  return text;
}

// ---- accuracies ----

PetscBool CheckIsLow(const EstimatorCheck *k) {
  return k->given.e.traits.order < CHECK_LOW_ORDER && !k->stepper ? PETSC_TRUE : PETSC_FALSE;
}

PetscReal CheckAccuracy(const EstimatorCheck *k, CtpgKnob knob, int level) {
  static const PetscReal rtol[] = {1e-4, 1e-7, 1e-10}, samples[] = {16, 64, 256}, steps[] = {32, 128, 512};
  static const PetscReal payable[] = {1e-3, 1e-5, 1e-7};
  if (knob == CTPG_KNOB_DT) return k->T / steps[level];
  if (knob == CTPG_KNOB_RTOL && CheckIsLow(k)) return payable[level];
  return knob == CTPG_KNOB_SAMPLES ? samples[level] : rtol[level];
}

CheckRequest CheckRequestOf(PetscReal accuracy) {
  return (CheckRequest){.B = 1, .accuracy = accuracy};
}

CheckRequest CheckBaseRequest(const EstimatorCheck *k) {
  return CheckRequestOf(CheckAccuracy(k, k->given.e.traits.knob, 0));
}

PetscReal CheckRelative(PetscInt n, const PetscReal *a, const PetscReal *b) {
  return VectorDistance(n, a, b) / fmax(CtpgNorm(n, b), DBL_MIN);
}
