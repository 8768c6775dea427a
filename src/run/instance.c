// instance.c -- problems and estimators made from their options

#include "run/instance.h"
#include "base/options_engine.h"
#include "base/random_engine.h"
#include "base/visitors.h"
#include "run/casefile.h"
#include "run/registry.h"
#include <string.h>

// ---- problems ----

PetscErrorCode ProblemCreate(const CtpgLabel *label, CtpgProblem *problem) {
  const CtpgProblemType *type;
  PetscFunctionBeginUser;
  PetscCall(ProblemTypeFind("-problem", label->type, &type));
  PetscCall(ProblemCreateFromType(type, label, problem));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadFixedStart(CtpgProblem *problem) {
  PetscInt n;
  PetscFunctionBeginUser;
  PetscCall(OptionsReadReals(problem->options, OPTION_IN_KEY_UNLESS_DEFAULT, "fixed_start",
                             "x0 of every start in place of a drawn one", &n, &problem->fixed_start));
  PetscCheck(!n || n == problem->dims.nx, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-fixed_start has %d numbers; %s has %d states", (int)n, problem->label, (int)problem->dims.nx);
  PetscFunctionReturn(0);
}

// The path stays out of the keys: theta's content is in them.
static PetscErrorCode ReadThetaFile(CtpgProblem *problem) {
  char text[PETSC_MAX_PATH_LEN] = "";
  PetscFunctionBeginUser;
  PetscCall(OptionsReadText(problem->options, OPTION_ELSEWHERE_IN_KEY, "theta_file",
                            "parameters: FILE:/training/<problem>/<estimator>[@iteration], or a dataset", text,
                            sizeof text));
  if (text[0])
    PetscCall(ThetaFileRead(text, PolicyDescribe(problem->policy), PolicyGetSize(problem->policy), &problem->thetas));
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemCreateFromType(const CtpgProblemType *type, const CtpgLabel *label, CtpgProblem *problem) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(problem, sizeof *problem));
  problem->type = type;
  PetscCall(PetscStrncpy(problem->label, label->label, sizeof problem->label));
  PetscCall(CtpgOptionsCreate(label->label, type->name, &problem->options));
  PetscCall(problem->type->create(PETSC_COMM_SELF, problem->options, &problem->dims, &problem->ctx));
  VisitorsLoaded(problem->label);
  PetscCall(OptionsCheckContent(problem->options));
  PetscCheck(type->observe || problem->dims.no == problem->dims.nx, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "problem %s has no slot .observe, so that its policy sees the state: no = %d must be nx = %d", type->name,
             (int)problem->dims.no, (int)problem->dims.nx);
  PetscCall(CtpgOptionsReal(problem->options, "horizon", "horizon T, s", 1e-6, 1e6, &problem->dims.T));
  PetscCall(PolicyCreateFromOptions(problem->options, problem->dims.no, problem->dims.nu, problem->dims.policy,
                                    problem->dims.widths, problem->dims.activations, &problem->policy));
  problem->init_scale = problem->dims.init_scale;
  PetscCall(CtpgOptionsReal(problem->options, "policy_init_scale", "factor of the initial weights", 0, 1e6,
                            &problem->init_scale));
  PetscCall(ReadFixedStart(problem));
  PetscCall(ReadThetaFile(problem));
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemDestroy(CtpgProblem *problem) {
  PetscFunctionBeginUser;
  if (problem->ctx) problem->type->destroy(&problem->ctx);
  PetscCall(PolicyDestroy(&problem->policy));
  PetscCall(PetscFree(problem->fixed_start));
  PetscCall(ThetaTableDestroy(&problem->thetas));
  PetscCall(CtpgOptionsDestroy(&problem->options));
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemCreateLoop(const CtpgProblem *problem, CtpgClosedLoop *loop) {
  PetscFunctionBeginUser;
  PetscCall(CtpgClosedLoopCreate(problem->type, problem->ctx, &problem->dims, problem->policy, loop));
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemDrawStart(const CtpgProblem *problem, CtpgStream *x0_stream, CtpgStream *task_stream,
                                PetscReal *x0, PetscReal *task) {
  PetscFunctionBeginUser;
  PetscCall(problem->type->draw(problem->ctx, x0_stream, task_stream, x0, task));
  if (problem->fixed_start) PetscCall(PetscArraycpy(x0, problem->fixed_start, problem->dims.nx));
  PetscFunctionReturn(0);
}

// ---- estimators ----

PetscErrorCode EstimatorCreate(const CtpgLabel *label, CtpgEstimator *estimator) {
  const CtpgEstimatorType *type;
  PetscFunctionBeginUser;
  PetscCall(EstimatorTypeFind("-estimator", label->type, &type));
  PetscCall(EstimatorCreateFromType(type, label, estimator));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadErrorBar(CtpgEstimator *estimator) {
  static const char *const words[] = {"none", "sweep", NULL};
  PetscInt kind = 0;
  PetscFunctionBeginUser;
  if (estimator->traits.measures) PetscFunctionReturn(0);
  PetscCall(OptionsReadChoice(estimator->options, OPTION_IN_KEY_UNLESS_DEFAULT, "error_bar",
                              "measure the error of dL/dtheta by a solve with a sweep beside it", words, &kind));
  estimator->judged = kind == 1 ? PETSC_TRUE : PETSC_FALSE;
  if (estimator->judged) estimator->traits.flags &= ~(CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS);
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorCreateFromType(const CtpgEstimatorType *type, const CtpgLabel *label,
                                       CtpgEstimator *estimator) {
  PetscInt eval_limit = 100000000;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(estimator, sizeof *estimator));
  estimator->type = type;
  PetscCall(PetscStrncpy(estimator->label, label->label, sizeof estimator->label));
  PetscCall(CtpgOptionsCreate(label->label, type->name, &estimator->options));
  estimator->traits = (CtpgTraits){.knob = type->knob, .order = type->order, .flags = type->flags};
  PetscCall(estimator->type->create(estimator->options, &estimator->traits, &estimator->est));
  VisitorsLoaded(estimator->label);
  PetscCall(OptionsCheckContent(estimator->options));
  PetscCall(CtpgOptionsInt(estimator->options, "eval_limit", "evaluations of one run before it counts as failed", 1,
                           PETSC_MAX_INT, &eval_limit));
  estimator->eval_limit = eval_limit;
  PetscCall(ReadErrorBar(estimator));
  PetscCall(OptionsReadReal(estimator->options, OPTION_NOT_IN_KEY, "run_time_limit",
                            "seconds of one run before it counts as failed, 0: none", 0, 1e9,
                            &estimator->run_time_limit));
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorDestroy(CtpgEstimator *estimator) {
  PetscFunctionBeginUser;
  if (estimator->est) estimator->type->destroy(&estimator->est);
  PetscCall(CtpgOptionsDestroy(&estimator->options));
  PetscFunctionReturn(0);
}

uint64_t EstimatorKeyFrom(const char *type, int version, const char *options) {
  uint64_t hash = CtpgHashString(CTPG_HASH_START, type);
  hash = CtpgHash(hash, &version, sizeof version);
  return CtpgHashString(hash, options);
}

uint64_t EstimatorKey(const CtpgEstimator *estimator) {
  return EstimatorKeyFrom(estimator->type->name, estimator->type->version, CtpgOptionsResolved(estimator->options));
}

const char *CtpgKnobName(CtpgKnob knob) {
  static const char *const names[] = {[CTPG_KNOB_RTOL] = "rtol",
                                      [CTPG_KNOB_DT] = "dt",
                                      [CTPG_KNOB_GRAD_RTOL] = "grad_rtol",
                                      [CTPG_KNOB_SAMPLES] = "samples"};
  return names[knob];
}
