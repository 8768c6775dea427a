// instance.c -- labels, instances, cases from random streams, and the keys of both

#include "run/instance.h"
#include "run/casefile.h"
#include <string.h>

// ---- labels ----

// -<type>_name is looked up for every label of a type: a label may carry the name of its own type, but of no other.
static PetscErrorCode CheckTypeName(const char *option, const CtpgLabel *label, const char *type) {
  PetscFunctionBeginUser;
  PetscCheck(strcmp(label->label, type) || !strcmp(label->type, type), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: label %s is the name of another type than %s; choose another, as in my_%s=%s", option, type,
             label->type, type, label->type);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckTypeNames(const char *option, const CtpgLabel *label) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) PetscCall(CheckTypeName(option, label, CtpgProblemTypes[i]->name));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) PetscCall(CheckTypeName(option, label, CtpgEstimatorTypes[i]->name));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckLabel(const char *option, const char *label) {
  static const char *const reserved[] = {"ts", "mat", "snes", "ksp", "tao", "log", NULL};
  PetscFunctionBeginUser;
  PetscCheck(label[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s has an empty entry; expected a comma list of types or label=type", option);
  PetscCheck(strlen(label) < 48 &&
                 strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(label),
             PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: label %s is not usable; expected at most 47 letters, digits, '_', '-' or '.'", option,
             CtpgShown(label));
  for (PetscInt i = 0; reserved[i]; i++)
    PetscCheck(strcmp(label, reserved[i]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s: label %s is a prefix of PETSc's own options; choose another, as in my_%s=type", option, label,
               label);
  PetscFunctionReturn(0);
}

// Options of `a` could be read as options of `b` when "b_" begins like "a_".
static PetscErrorCode CheckPrefix(const char *option, const char *a, const char *b) {
  const size_t n = strlen(a);
  PetscFunctionBeginUser;
  PetscCheck(strncmp(a, b, n) || b[n] != '_', PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: -%s_... could belong to label %s or to label %s; rename one of them", option, b, a, b);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckPair(const char *option, const char *a, const char *b) {
  PetscFunctionBeginUser;
  PetscCheck(strcmp(a, b), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s names %s twice; give one of them a label of its own, as in other=%s", option, a, a);
  PetscCall(CheckPrefix(option, a, b));
  PetscFunctionReturn(0);
}

PetscErrorCode LabelsCheckApart(PetscInt nproblems, const CtpgLabel *problems, PetscInt nestimators,
                                const CtpgLabel *estimators) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < nproblems; p++)
    for (PetscInt e = 0; e < nestimators; e++) {
      const char *problem = problems[p].label, *estimator = estimators[e].label;
      PetscCheck(strcmp(problem, estimator), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
                 "-problems and -estimators both have a label %s; rename one of them", problem);
      PetscCall(CheckPrefix("-problems and -estimators", problem, estimator));
      PetscCall(CheckPrefix("-problems and -estimators", estimator, problem));
    }
  PetscFunctionReturn(0);
}

PetscErrorCode LabelsParse(const char *option, const char *text, PetscInt *n, CtpgLabel **labels) {
  PetscInt count;
  char **entries;

  PetscFunctionBeginUser;
  PetscCheck(text[0] != ',' && !strstr(text, ",,") && (!text[0] || text[strlen(text) - 1] != ','), PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT, "%s %s has an empty entry; expected a comma list of types or label=type", option,
             text);
  PetscCall(PetscStrToArray(text, ',', &count, &entries));
  PetscCheck(count > 0 && count <= CTPG_MAX_LABELS, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s '%s' names %d labels; expected 1 to %d", option, CtpgShown(text), (int)count, CTPG_MAX_LABELS);
  PetscCall(PetscCalloc1(count, labels));
  for (PetscInt i = 0; i < count; i++) {
    CtpgLabel *label = *labels + i;
    char *equals = strchr(entries[i], '=');
    if (equals) *equals = 0;
    PetscCall(CheckLabel(option, entries[i]));
    PetscCall(PetscStrncpy(label->label, entries[i], sizeof label->label));
    PetscCall(PetscStrncpy(label->type, equals ? equals + 1 : entries[i], sizeof label->type));
    PetscCall(CheckTypeNames(option, label));
  }
  for (PetscInt i = 0; i < count; i++)
    for (PetscInt j = 0; j < count; j++)
      if (i != j) PetscCall(CheckPair(option, (*labels)[i].label, (*labels)[j].label));
  PetscCall(PetscStrToArrayDestroy(count, entries));
  *n = count;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels) {
  char plural[64], key[80], text[8192] = "", singular_text[8192] = "";
  PetscBool one, many, help;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  PetscCall(PetscSNPrintf(plural, sizeof plural, "%ss", name));
  PetscCall(CtpgOptionsFind(options, name, NULL, 0, &one));
  PetscCall(CtpgOptionsFind(options, plural, NULL, 0, &many));
  PetscCheck(!(one && many), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s and -%s are both given; they mean the same",
             name, plural);
  PetscCheck(one || many || fallback || help, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s is missing; expected a comma list of types or label=type (see ctpgbench list)", plural);
  if (fallback) PetscCall(PetscStrncpy(text, fallback, sizeof text));
  PetscCall(CtpgOptionsText(options, plural, "comma list of types or label=type", text, sizeof text));
  if (one) PetscCall(CtpgOptionsText(options, name, "the same", singular_text, sizeof singular_text));
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s", one ? name : plural));
  if (!text[0] && !many) // -help alone shows the options of the first type as an example
    PetscCall(PetscStrncpy(text, strcmp(name, "problem") ? CtpgEstimatorTypes[0]->name : CtpgProblemTypes[0]->name,
                           sizeof text));
  PetscCall(LabelsParse(key, one ? singular_text : text, n, labels));
  PetscFunctionReturn(0);
}

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
  PetscCall(CtpgOptionsReals(problem->options, "fixed_start", "x0 of every start in place of a drawn one", &n,
                             &problem->fixed_start));
  if (!n) CtpgOptionsForget(problem->options);
  PetscCheck(!n || n == problem->dims.nx, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-fixed_start has %d numbers; %s has %d states", (int)n, problem->label, (int)problem->dims.nx);
  PetscFunctionReturn(0);
}

// The path stays out of the keys: theta's content is in them.
static PetscErrorCode ReadThetaFile(CtpgProblem *problem) {
  char text[PETSC_MAX_PATH_LEN] = "";
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(problem->options, "theta_file",
                            "parameters: FILE:/training/<problem>/<estimator>[@iteration], or a dataset", text,
                            sizeof text));
  CtpgOptionsForget(problem->options);
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

// ---- cases ----

PetscErrorCode ProblemDrawStart(const CtpgProblem *problem, CtpgStream *x0_stream, CtpgStream *task_stream,
                                PetscReal *x0, PetscReal *task) {
  PetscFunctionBeginUser;
  PetscCall(problem->type->draw(problem->ctx, x0_stream, task_stream, x0, task));
  if (problem->fixed_start) PetscCall(PetscArraycpy(x0, problem->fixed_start, problem->dims.nx));
  PetscFunctionReturn(0);
}

static PetscErrorCode DrawTheta(const CtpgProblem *problem, int64_t seed, CtpgStream *stream, PetscReal *theta) {
  PetscFunctionBeginUser;
  if (problem->thetas.text)
    PetscCall(ThetaTableGet(&problem->thetas, seed, theta));
  else if (problem->type->draw_linear && PolicyIsLinear(problem->policy))
    PetscCall(problem->type->draw_linear(problem->ctx, stream, theta, theta + problem->dims.nu * problem->dims.no));
  else
    PolicyDraw(problem->policy, stream, problem->init_scale, theta);
  PetscFunctionReturn(0);
}

PetscErrorCode CaseDraw(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgCase *c) {
  const char *type = problem->type->name;
  CtpgStream x0 = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_X0, 0, experiment);
  CtpgStream task = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_TASK, 0, experiment);
  CtpgStream theta = CtpgStreamOpen((uint64_t)seed, type, CTPG_STREAM_THETA, 0, experiment);

  PetscFunctionBeginUser;
  *c = (CtpgCase){.seed = seed, .T = problem->dims.T};
  PetscCall(PetscSNPrintf(c->name, sizeof c->name, "seed %lld", (long long)seed));
  PetscCall(
      PetscMalloc3(problem->dims.nx, &c->x0, problem->dims.ntask, &c->task, PolicyGetSize(problem->policy), &c->theta));
  PetscCall(ProblemDrawStart(problem, &x0, &task, c->x0, c->task));
  PetscCall(DrawTheta(problem, seed, &theta, c->theta));
  PetscFunctionReturn(0);
}

// The policy that a case file describes; NULL where it says nothing.
static PetscErrorCode PolicyFromFile(const CtpgProblem *problem, const char *path, const CtpgCaseFile *file,
                                     CtpgPolicy *policy) {
  char option[PETSC_MAX_PATH_LEN + 32];
  CtpgActivation *activations;

  PetscFunctionBeginUser;
  *policy = NULL;
  if (!file->nlayers) PetscFunctionReturn(0);
  PetscCheck(file->layers[0] == problem->dims.no && file->layers[file->nlayers] == problem->dims.nu, PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT, "-case_file %s: layers go from %d to %d, but %s observes %d and controls %d", path,
             (int)file->layers[0], (int)file->layers[file->nlayers], problem->label, (int)problem->dims.no,
             (int)problem->dims.nu);
  PetscCall(PetscMalloc1(file->nlayers, &activations));
  PetscCall(PetscSNPrintf(option, sizeof option, "-case_file %s: activations", path));
  PetscCall(CtpgActivationsParse(option, file->activations, file->nlayers, activations));
  PetscCall(PolicyCreate(file->nlayers, file->layers, activations, policy));
  PetscCall(PetscFree(activations));
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeOverPolicy(CtpgProblem *problem, const char *path, const CtpgCaseFile *file) {
  CtpgPolicy policy;
  PetscFunctionBeginUser;
  PetscCall(PolicyFromFile(problem, path, file, &policy));
  if (!policy) PetscFunctionReturn(0);
  if (strcmp(PolicyDescribe(policy), PolicyDescribe(problem->policy)))
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "note: policy %s from %s instead of %s\n", PolicyDescribe(policy), path,
                          PolicyDescribe(problem->policy)));
  PetscCall(PolicyDestroy(&problem->policy));
  problem->policy = policy;
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeOverHorizon(CtpgProblem *problem, const char *path, const CtpgCaseFile *file) {
  PetscFunctionBeginUser;
  if (file->horizon > 0 && file->horizon != problem->dims.T) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "note: horizon %.6g s from %s instead of %.6g s\n", file->horizon, path,
                          problem->dims.T));
    problem->dims.T = file->horizon;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckSize(const char *path, const char *name, const char *what, PetscInt found, PetscInt wanted,
                                const CtpgProblem *problem) {
  PetscFunctionBeginUser;
  PetscCheck(found == wanted, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-case_file %s, case %s: %s has %d numbers, but %s with policy %s needs %d", path, name, what, (int)found,
             problem->label, PolicyDescribe(problem->policy), (int)wanted);
  PetscFunctionReturn(0);
}

PetscErrorCode CaseRead(CtpgProblem *problem, const char *path, const char *name, CtpgCase *c) {
  CtpgCaseFile file;

  PetscFunctionBeginUser;
  PetscCall(CaseFileRead(path, name, &file));
  PetscCall(TakeOverPolicy(problem, path, &file));
  PetscCall(TakeOverHorizon(problem, path, &file));
  const PetscInt nx = problem->dims.nx, ntask = problem->dims.ntask, np = PolicyGetSize(problem->policy);
  PetscCall(CheckSize(path, name, "x0", file.nx, nx, problem));
  PetscCall(CheckSize(path, name, "theta", file.np, np, problem));
  PetscCall(CheckSize(path, name, "goals", file.ntask, ntask, problem));
  *c = (CtpgCase){.T = problem->dims.T};
  PetscCall(PetscStrncpy(c->name, name, sizeof c->name));
  PetscCall(PetscMalloc3(nx, &c->x0, ntask, &c->task, np, &c->theta));
  PetscCall(PetscArraycpy(c->x0, file.x0, nx));
  PetscCall(PetscArraycpy(c->task, file.task, ntask));
  PetscCall(PetscArraycpy(c->theta, file.theta, np));
  PetscCall(CaseFileDestroy(&file));
  PetscFunctionReturn(0);
}

PetscErrorCode CaseDestroy(CtpgCase *c) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree3(c->x0, c->task, c->theta));
  PetscFunctionReturn(0);
}

static uint64_t HashReals(uint64_t hash, PetscInt n, const PetscReal *values) {
  return CtpgHash(hash, values, (size_t)n * sizeof *values);
}

uint64_t CaseKey(const CtpgProblem *problem, const CtpgCase *c) {
  uint64_t hash = CtpgHashString(CTPG_HASH_START, problem->type->name);
  hash = CtpgHash(hash, &problem->type->version, sizeof problem->type->version);
  hash = CtpgHashString(hash, CtpgOptionsResolved(problem->options));
  hash = CtpgHashString(hash, PolicyDescribe(problem->policy));
  hash = CtpgHash(hash, &c->seed, sizeof c->seed);
  hash = HashReals(hash, 1, &c->T);
  hash = HashReals(hash, problem->dims.nx, c->x0);
  hash = HashReals(hash, problem->dims.ntask, c->task);
  return HashReals(hash, PolicyGetSize(problem->policy), c->theta);
}

// ---- estimators ----

PetscErrorCode EstimatorCreate(const CtpgLabel *label, CtpgEstimator *estimator) {
  const CtpgEstimatorType *type;
  PetscFunctionBeginUser;
  PetscCall(EstimatorTypeFind("-estimator", label->type, &type));
  PetscCall(EstimatorCreateFromType(type, label, estimator));
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
  estimator->traits = (CtpgTraits){.knob = estimator->type->knob, .order = estimator->type->order};
  PetscCall(estimator->type->create(estimator->options, &estimator->traits, &estimator->est));
  PetscCall(CtpgOptionsInt(estimator->options, "eval_limit", "evaluations of one run before it counts as failed", 1,
                           PETSC_MAX_INT, &eval_limit));
  estimator->eval_limit = eval_limit;
  PetscCall(CtpgOptionsReal(estimator->options, "run_time_limit",
                            "seconds of one run before it counts as failed, 0: none", 0, 1e9,
                            &estimator->run_time_limit));
  CtpgOptionsForget(estimator->options); // the environment's business, not the result's
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorDestroy(CtpgEstimator *estimator) {
  PetscFunctionBeginUser;
  if (estimator->est) estimator->type->destroy(&estimator->est);
  PetscCall(CtpgOptionsDestroy(&estimator->options));
  PetscFunctionReturn(0);
}

uint64_t EstimatorKey(const CtpgEstimator *estimator) {
  uint64_t hash = CtpgHashString(CTPG_HASH_START, estimator->type->name);
  hash = CtpgHash(hash, &estimator->type->version, sizeof estimator->type->version);
  return CtpgHashString(hash, CtpgOptionsResolved(estimator->options));
}

const char *CtpgKnobName(CtpgKnob knob) {
  static const char *const names[] = {[CTPG_KNOB_RTOL] = "rtol",
                                      [CTPG_KNOB_DT] = "dt",
                                      [CTPG_KNOB_GRAD_RTOL] = "grad_rtol",
                                      [CTPG_KNOB_SAMPLES] = "samples"};
  return names[knob];
}
