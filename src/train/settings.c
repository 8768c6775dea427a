// settings.c -- options of training, and the starts that follow from them

#include "train/settings.h"
#include "run/accuracy.h"
#include "run/judge.h"
#include "base/options_engine.h"
#include "base/parse.h"
#include "train/trainer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int CompareIterations(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

// "5000,7500,10000", or a number n of them: n at equal distances. The last one is always `iterations`.
static PetscErrorCode ParseSnapshots(const char *text, PetscInt iterations, PetscInt *n, int64_t **list) {
  PetscInt given;
  PetscReal *values;

  PetscFunctionBeginUser;
  PetscCall(CtpgParseReals("-snapshots", text, &given, &values));
  const PetscBool counted = strchr(text, ',') || strchr(text, ':') ? PETSC_FALSE : PETSC_TRUE;
  for (PetscInt i = 0; i < given; i++)
    PetscCheck(values[i] >= (counted ? 1 : 0) && values[i] <= iterations && values[i] == floor(values[i]),
               PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-snapshots %s has %.6g; expected a number of snapshots, or a comma list of iterations, from %d to %d",
               text, values[i], counted ? 1 : 0, (int)iterations);
  const PetscInt wanted = counted ? (PetscInt)values[0] : given;
  PetscCall(PetscMalloc1(wanted + 1, list));
  for (PetscInt i = 0; i < wanted; i++)
    (*list)[i] = counted ? (int64_t)iterations * (i + 1) / wanted : (int64_t)values[i];
  (*list)[wanted] = iterations;
  qsort(*list, (size_t)wanted + 1, sizeof **list, CompareIterations);
  *n = 0;
  for (PetscInt i = 0; i <= wanted; i++)
    if (!i || (*list)[i] != (*list)[i - 1]) (*list)[(*n)++] = (*list)[i];
  PetscCall(PetscFree(values));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListTests(PetscInt every, PetscInt iterations, PetscInt *n, int64_t **list) {
  PetscFunctionBeginUser;
  *n = every ? iterations / every + 1 + (iterations % every ? 1 : 0) : 0;
  PetscCall(PetscMalloc1(*n, list));
  for (PetscInt k = 0; k < *n; k++) (*list)[k] = PetscMin((int64_t)k * every, iterations);
  PetscFunctionReturn(0);
}

static PetscErrorCode ListAudits(PetscInt every, PetscInt iterations, PetscInt *n, int64_t **list) {
  PetscFunctionBeginUser;
  *n = every ? (iterations - 1) / every + 1 : 0;
  PetscCall(PetscMalloc1(*n, list));
  for (PetscInt a = 0; a < *n; a++) (*list)[a] = (int64_t)a * every;
  PetscFunctionReturn(0);
}

// Options that only say how something is done which others ask for.
static PetscErrorCode RefuseAlone(CtpgOptions options) {
  static const char *const tests[] = {"test_every", "test_paths", NULL}, *const ramp[] = {"horizon_ramp", NULL},
                           *const solves[] = {"test_every", "test_paths", "audit_every", NULL};
  PetscFunctionBeginUser;
  PetscCall(OptionsRefuseAlone(options, "test_starts", tests));
  PetscCall(OptionsRefuseAlone(options, "test_step_limit", solves));
  PetscCall(OptionsRefuseAlone(options, "horizon_first", ramp));
  PetscFunctionReturn(0);
}

// Policies, tests, paths and audits.
static PetscErrorCode ReadMilestones(CtpgOptions options, TrainSettings *s) {
  char snapshots[4096] = "1";
  PetscInt test_every = 0, audit_every = 0, intervals = 0;

  PetscFunctionBeginUser;
  PetscCall(OptionsReadText(options, OPTION_NOT_IN_KEY, "snapshots",
                            "policies to keep: their number, or a comma list of iterations", snapshots,
                            sizeof snapshots));
  PetscCall(ParseSnapshots(snapshots, s->iterations, &s->nsnapshots, &s->snapshots));
  PetscCall(OptionsReadInt(options, OPTION_NOT_IN_KEY, "test_every", "iterations between tests, 0: no tests", 0,
                           1000000000, &test_every));
  PetscCall(ListTests(test_every, s->iterations, &s->ntests, &s->tests));
  PetscCall(OptionsReadInt(options, OPTION_NOT_IN_KEY, "test_paths",
                           "equal intervals at whose ends the paths of the test starts are kept, at every snapshot; 0: "
                           "no paths",
                           0, 1000000, &intervals));
  s->path_points = intervals ? intervals + 1 : 0;
  PetscCall(OptionsReadInt(options, s->ntests || intervals ? OPTION_IN_KEY : OPTION_NOT_IN_KEY, "test_starts",
                           "held-out starts of a test", 1, 1000000, &s->test_starts));
  PetscCall(OptionsReadInt(options, OPTION_NOT_IN_KEY, "audit_every",
                           "iterations between audits of the gradient: its error, and the standard error of the batch; "
                           "0: no audits",
                           0, 1000000000, &audit_every));
  PetscCall(ListAudits(audit_every, s->iterations, &s->naudits, &s->audits));
  PetscCall(OptionsReadInt(
      options, s->ntests || intervals || s->naudits ? OPTION_IN_KEY : OPTION_NOT_IN_KEY, "test_step_limit",
      "steps of one accurate solve, of a test, a path or an audit, before that start counts as failed", 1, 100000000,
      &s->test_step_limit));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadRamp(CtpgOptions options, TrainSettings *s) {
  PetscFunctionBeginUser;
  PetscCall(OptionsReadInt(options, OPTION_IN_KEY_UNLESS_DEFAULT, "horizon_ramp",
                           "iterations over which the horizon grows from -horizon_first to -horizon, 0: it is constant",
                           0, 1000000000, &s->ramp));
  PetscCall(OptionsReadReal(options, s->ramp ? OPTION_IN_KEY : OPTION_NOT_IN_KEY, "horizon_first",
                            "horizon of the first iteration of -horizon_ramp", 1e-9, 1e9, &s->ramp_first));
  PetscFunctionReturn(0);
}

PetscReal TrainHorizon(const TrainSettings *s, PetscReal T, PetscInt i) {
  if (i >= s->ramp || s->ramp_first >= T) return T;
  return s->ramp_first + (T - s->ramp_first) * (PetscReal)i / (PetscReal)s->ramp;
}

PetscReal TrainMeanHorizon(const TrainSettings *s, PetscReal T) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < s->iterations; i++) sum += TrainHorizon(s, T, i);
  return sum / (PetscReal)s->iterations;
}

PetscErrorCode TrainSettingsRead(CtpgOptions options, TrainSettings *s) {
  PetscFunctionBeginUser;
  *s = (TrainSettings){.iterations = 1000, .batch = 1, .ramp_first = 1, .test_starts = 16, .test_step_limit = 10000};
  PetscCall(
      OptionsReadInt(options, OPTION_NOT_IN_KEY, "iterations", "updates of theta", 1, 1000000000, &s->iterations));
  PetscCall(CtpgOptionsInt(options, "batch", "starts per iteration", 1, 1000000, &s->batch));
  PetscCheck((int64_t)s->iterations * s->batch < INT64_C(1) << 40, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-iterations %d times -batch %d are too many samples", (int)s->iterations, (int)s->batch);
  PetscCall(ReadRamp(options, s));
  PetscCall(OptimizerRead(options, &s->optimizer));
  PetscCall(ReadMilestones(options, s));
  PetscCall(OptionsReadInt(options, OPTION_NOT_IN_KEY, "visited",
                           "states to keep of those visited in training, 0: none", 0, 100000000, &s->visited));
  PetscCall(RefuseAlone(options));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSettingsDestroy(TrainSettings *s) {
  PetscFunctionBeginUser;
  PetscCall(OptimizerDestroy(&s->optimizer));
  PetscCall(PetscFree(s->snapshots));
  PetscCall(PetscFree(s->tests));
  PetscCall(PetscFree(s->audits));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadTolerancePerGradient(CtpgOptions options, TrainAccuracy *a) {
  PetscFunctionBeginUser;
  PetscCall(OptionsReadReal(options, OPTION_IN_KEY_UNLESS_DEFAULT, "tolerance_per_gradient",
                            "tolerance of an iteration as a multiple of the gradient's norm before it, 0: constant", 0,
                            1e6, &a->per_gradient));
  PetscFunctionReturn(0);
}

// -batch_grad_rtol and what belongs to it.
static PetscErrorCode ReadContract(CtpgOptions options, TrainContract *c) {
  PetscFunctionBeginUser;
  *c = (TrainContract){.stderr_part = 0.1, .integral_rtol = 1e-11, .every = 16};
  PetscCall(OptionsReadReal(options, OPTION_IN_KEY_UNLESS_DEFAULT, "batch_grad_rtol",
                            "relative error of the batch's mean gradient that is allowed; the tolerance follows from "
                            "measured errors. 0: constant tolerance",
                            0, 1, &c->rtol));
  const OptionRole role = c->rtol > 0 ? OPTION_IN_KEY : OPTION_NOT_IN_KEY;
  PetscCall(OptionsReadReal(options, role, "batch_grad_atol", "an error of the mean that is always allowed", 0, 1e300,
                            &c->atol));
  PetscCall(OptionsReadReal(options, role, "batch_grad_stderr",
                            "the same as a part of the standard error of the mean over the starts of the batch", 0, 1,
                            &c->stderr_part));
  PetscCall(OptionsReadReal(options, role, "batch_grad_integral_rtol",
                            "the same as a part of the mean int |f_theta' alpha + w_theta|", 0, 1, &c->integral_rtol));
  PetscCall(
      OptionsReadInt(options, role, "batch_grad_every",
                     "iterations after which the error of another sample is measured; more where that would take more "
                     "than a quarter of the evaluations",
                     1, 1000000, &c->every));
  static const char *const needed[] = {"batch_grad_rtol", NULL};
  PetscCall(OptionsRefuseAlone(options, "batch_grad_atol", needed));
  PetscCall(OptionsRefuseAlone(options, "batch_grad_stderr", needed));
  PetscCall(OptionsRefuseAlone(options, "batch_grad_integral_rtol", needed));
  PetscCall(OptionsRefuseAlone(options, "batch_grad_every", needed));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadLimits(CtpgOptions options, TrainAccuracy *a) {
  PetscFunctionBeginUser;
  a->tightest = 1e-12;
  a->loosest = a->contract.rtol > 0 ? 1 : 0.1;
  const OptionRole role = a->per_gradient > 0 || a->contract.rtol > 0 ? OPTION_IN_KEY : OPTION_NOT_IN_KEY;
  PetscCall(OptionsReadReal(options, role, "tolerance_tightest", "its least value", 1e-15, 1, &a->tightest));
  PetscCall(OptionsReadReal(options, role, "tolerance_loosest", "its largest value", 1e-15, 1e3, &a->loosest));
  PetscCheck(a->tightest <= a->loosest, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-tolerance_tightest %.6g is above -tolerance_loosest %.6g", a->tightest, a->loosest);
  static const char *const needed[] = {"tolerance_per_gradient", "batch_grad_rtol", NULL};
  PetscCall(OptionsRefuseAlone(options, "tolerance_tightest", needed));
  PetscCall(OptionsRefuseAlone(options, "tolerance_loosest", needed));
  PetscFunctionReturn(0);
}

// Tolerances that change from iteration to iteration; a contract needs a judge.
static PetscErrorCode ReadChangingTolerance(CtpgPair *pair, TrainAccuracy *a) {
  CtpgOptions options = pair->estimator.options;
  PetscFunctionBeginUser;
  PetscCall(ReadTolerancePerGradient(options, a));
  if (pair->estimator.traits.knob == CTPG_KNOB_RTOL) PetscCall(ReadContract(options, &a->contract));
  PetscCheck(!(a->per_gradient > 0 && a->contract.rtol > 0), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-tolerance_per_gradient and -batch_grad_rtol are both given for %s; expected one of them",
             pair->estimator.label);
  PetscCall(ReadLimits(options, a));
  if (a->contract.rtol > 0 && !pair->judge) PetscCall(JudgeCreate(pair->problem, &pair->judge));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainAccuracyRead(CtpgPair *pair, TrainAccuracy *a) {
  const CtpgKnob knob = pair->estimator.traits.knob;
  PetscInt n;
  PetscReal *values;

  PetscFunctionBeginUser;
  *a = (TrainAccuracy){0};
  PetscCall(PairReadAccuracies(pair, knob == CTPG_KNOB_DT ? "1e-2" : "1e-3", &n, &values));
  PetscCheck(n == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "train takes one -%s for %s on %s, not %d; give each its own label, as in fine=%s -fine_%s %g",
             CtpgKnobName(knob), pair->estimator.label, pair->problem->label, (int)n, pair->estimator.type->name,
             CtpgKnobName(knob), values[n - 1]);
  a->first = values[0];
  PetscCall(PetscFree(values));
  if (knob != CTPG_KNOB_DT && knob != CTPG_KNOB_SAMPLES) PetscCall(ReadChangingTolerance(pair, a));
  PetscFunctionReturn(0);
}

PetscReal TrainAccuracyClip(const TrainAccuracy *a, PetscReal tolerance) {
  return PetscMin(PetscMax(tolerance, a->tightest), a->loosest);
}

PetscErrorCode TrainDrawStart(const CtpgProblem *problem, int64_t seed, CtpgStreamPurpose purpose, uint64_t index,
                              uint64_t experiment, PetscReal *x0, PetscReal *task) {
  CtpgStream stream = CtpgStreamOpen((uint64_t)seed, problem->type->name, purpose, index, experiment);
  PetscFunctionBeginUser;
  PetscCall(ProblemDrawStart(problem, &stream, &stream, x0, task));
  PetscFunctionReturn(0);
}
