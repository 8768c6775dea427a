// plan.c -- labels, pairs and runs of a training, and their keys

#include "train/plan.h"
#include "run/labels.h"
#include "run/case.h"
#include "run/describe.h"
#include "base/keys.h"
#include "base/parse.h"
#include "base/options_engine.h"
#include "run/accuracy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- names ----

PetscInt TrainPairOf(const Train *t, PetscInt run) {
  return TrainFindPair(t->npairs, t->shapes, run);
}

// A contract's judge, and its statistics, call everything.
int TrainBits(const Train *t, PetscInt pair) {
  const CtpgPair *p = t->pairs + pair;
  if (t->accuracies[pair].contract.rtol > 0) return CTPG_BITS_ALWAYS | CTPG_BITS_LIBM | CTPG_BITS_BLAS;
  return DescribeBits(p->problem->type->flags) | DescribeBits(p->estimator.traits.flags);
}

const char *TrainProblemLabel(const Train *t, PetscInt pair) {
  return t->problem_labels[t->shapes[pair].problem].label;
}

const char *TrainEstimatorLabel(const Train *t, PetscInt pair) {
  return t->estimator_labels[t->shapes[pair].estimator].label;
}

// ---- options of the command ----

static PetscErrorCode ReadRanksPerRun(Train *t) {
  char text[32] = "auto";
  int64_t first, last;
  PetscFunctionBeginUser;
  PetscCall(OptionsReadText(t->options, OPTION_NOT_IN_KEY, "ranks_per_run", "ranks that share a batch, or auto", text,
                            sizeof text));
  if (!strcmp(text, "auto")) PetscFunctionReturn(0);
  PetscCall(CtpgParseRange("-ranks_per_run", text, &first, &last));
  PetscCheck(last == first + 1 && first >= 1 && first <= t->size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-ranks_per_run %s: expected auto, or a number from 1 to the %d ranks there are", text, t->size);
  t->ranks_per_run = (PetscInt)first;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadCommandOptions(Train *t) {
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "train", &t->options));
  PetscCall(CtpgLabelOption(t->options, "problem", NULL, &t->nproblems, &t->problem_labels));
  PetscCall(CtpgLabelOption(t->options, "estimator", NULL, &t->nestimators, &t->estimator_labels));
  PetscCall(LabelsCheckApart(t->nproblems, t->problem_labels, t->nestimators, t->estimator_labels));
  PetscCall(CtpgOptionsInt(t->options, "experiment", "number of the experiment: other random streams", 0, PETSC_MAX_INT,
                           &t->experiment));
  PetscCall(ReadRanksPerRun(t));
  PetscCall(JobLimitsRead(t->options, 10, "s between two points from which a killed run goes on", &t->limits));
  PetscCall(PetscStrncpy(t->out, "training.h5", sizeof t->out));
  PetscCall(CtpgOptionsText(t->options, "out", "results file", t->out, sizeof t->out));
  PetscFunctionReturn(0);
}

// ---- options of a problem's training ----

static PetscErrorCode ReadSeeds(Train *t, PetscInt p) {
  int64_t first, last;

  PetscFunctionBeginUser;
  PetscCall(SeedsRead(t->training[p], "0:1", &first, &last));
  t->nseeds[p] = (PetscInt)(last - first);
  PetscCall(PetscMalloc1(t->nseeds[p], &t->seeds[p]));
  for (PetscInt s = 0; s < t->nseeds[p]; s++) t->seeds[p][s] = first + s;
  PetscFunctionReturn(0);
}

static PetscInt FindEstimator(const Train *t, const char *label) {
  for (PetscInt e = 0; e < t->nestimators; e++)
    if (!strcmp(t->estimator_labels[e].label, label)) return e;
  return -1;
}

static const char *NearestEstimator(const Train *t, const char *label) {
  const char *labels[CTPG_MAX_LABELS + 1];
  for (PetscInt e = 0; e < t->nestimators; e++) labels[e] = t->estimator_labels[e].label;
  labels[t->nestimators] = NULL;
  return CtpgNearest(label, labels);
}

// -<problem>_estimators: labels out of -estimators, into trained [nestimators]; all of them without that option.
static PetscErrorCode ReadEstimators(Train *t, PetscInt p, PetscBool *trained) {
  char text[4096] = "", key[128], *rest = NULL;
  PetscBool given;

  PetscFunctionBeginUser;
  PetscCall(OptionsReadList(t->training[p], OPTION_NOT_IN_KEY, "estimators",
                            "those of -estimators that this problem is trained with", text, sizeof text));
  PetscCall(CtpgOptionsFind(t->training[p], "estimators", key, sizeof key, &given));
  const PetscBool own = given && strcmp(key, "-estimators") ? PETSC_TRUE : PETSC_FALSE;
  for (PetscInt e = 0; e < t->nestimators; e++) trained[e] = own ? PETSC_FALSE : PETSC_TRUE;
  if (!own) PetscFunctionReturn(0);
  for (char *label = strtok_r(text, ",", &rest); label; label = strtok_r(NULL, ",", &rest)) {
    const PetscInt e = FindEstimator(t, label);
    PetscCheck(e >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s names %s; expected labels that are in -estimators (nearest: %s)", key, label,
               NearestEstimator(t, label));
    trained[e] = PETSC_TRUE;
  }
  PetscFunctionReturn(0);
}

// ---- pairs ----

static PetscErrorCode CreatePair(Train *t, PetscInt p, PetscInt e) {
  const PetscInt i = t->npairs++;
  PetscFunctionBeginUser;
  t->shapes[i].problem = p;
  t->shapes[i].estimator = e;
  PetscCall(PairCreate(t->problems + p, t->estimator_labels + e, t->pairs + i));
  PetscCall(TrainAccuracyRead(t->pairs + i, t->accuracies + i));
  PetscCall(TrainerCreate(t->pairs + i, t->settings + p, t->accuracies + i, t->trainers + i));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateProblem(Train *t, PetscInt p) {
  const CtpgLabel *label = t->problem_labels + p;
  PetscBool *trained;

  PetscFunctionBeginUser;
  PetscCall(ProblemCreate(label, t->problems + p));
  PetscCall(CtpgOptionsCreate(label->label, t->problems[p].type->name, t->training + p));
  PetscCall(TrainSettingsRead(t->training[p], t->settings + p));
  PetscCall(ReadSeeds(t, p));
  PetscCall(PetscMalloc1(t->nestimators, &trained));
  PetscCall(ReadEstimators(t, p, trained));
  for (PetscInt e = 0; e < t->nestimators; e++)
    if (trained[e]) PetscCall(CreatePair(t, p, e));
  PetscCall(PetscFree(trained));
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseIdleEstimators(const Train *t) {
  PetscFunctionBeginUser;
  for (PetscInt e = 0; e < t->nestimators; e++) {
    PetscInt pairs = 0;
    for (PetscInt i = 0; i < t->npairs; i++) pairs += t->shapes[i].estimator == e ? 1 : 0;
    PetscCheck(pairs, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-estimators has %s, which is in no -<problem>_estimators; expected it on one problem at least",
               t->estimator_labels[e].label);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateLabels(Train *t) {
  const PetscInt most = t->nproblems * t->nestimators;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc5(t->nproblems, &t->problems, t->nproblems, &t->training, t->nproblems, &t->settings,
                         t->nproblems, &t->nseeds, t->nproblems, &t->seeds));
  PetscCall(PetscCalloc6(most, &t->pairs, most, &t->accuracies, most, &t->trainers, most, &t->shapes, most, &t->matched,
                         most, &t->match_factor));
  for (PetscInt p = 0; p < t->nproblems; p++) PetscCall(CreateProblem(t, p));
  PetscCall(RefuseIdleEstimators(t));
  PetscFunctionReturn(0);
}

// ---- the same NFE as another run ----

static PetscInt FindPair(const Train *t, PetscInt p, PetscInt e) {
  for (PetscInt i = 0; i < t->npairs; i++)
    if (t->shapes[i].problem == p && t->shapes[i].estimator == e) return i;
  return -1;
}

// -match_nfe of an estimator with fixed steps. The other run's length counts, so it enters the key, too.
static PetscErrorCode ReadMatch(Train *t, PetscInt i) {
  const CtpgEstimator *estimator = &t->pairs[i].estimator;
  const TrainSettings *settings = t->settings + t->shapes[i].problem;
  char label[64] = "", iterations[32];

  PetscFunctionBeginUser;
  t->matched[i] = -1;
  t->match_factor[i] = 1;
  if (estimator->traits.knob != CTPG_KNOB_DT) PetscFunctionReturn(0);
  PetscCall(
      OptionsReadText(estimator->options, OPTION_IN_KEY_UNLESS_DEFAULT, "match_nfe",
                      "label of the estimator whose mean NFE over its training, on the same problem and seed, sets "
                      "the number of steps, in place of -dt",
                      label, sizeof label));
  PetscCall(OptionsReadReal(estimator->options, label[0] ? OPTION_IN_KEY_UNLESS_DEFAULT : OPTION_NOT_IN_KEY,
                            "match_nfe_factor", "NFE of this estimator as a multiple of that of -match_nfe", 1e-3, 1e3,
                            &t->match_factor[i]));
  PetscCall(OptionsRefuseAlone(estimator->options, "match_nfe_factor", (const char *const[]){"match_nfe", NULL}));
  if (!label[0]) PetscFunctionReturn(0);
  const PetscInt e = FindEstimator(t, label), other = e < 0 ? -1 : FindPair(t, t->shapes[i].problem, e);
  PetscCheck(other >= 0 && other != i, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-match_nfe %s of %s: expected another estimator that %s is trained with", label, estimator->label,
             TrainProblemLabel(t, i));
  PetscCheck(settings->optimizer.kind != CTPG_STEP_SEARCH, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-match_nfe of %s on %s: the counts of step-search are not those of gradients alone; expected another "
             "-optimizer, or a -dt",
             estimator->label, TrainProblemLabel(t, i));
  PetscCall(PetscSNPrintf(iterations, sizeof iterations, "%d", (int)settings->iterations));
  PetscCall(CtpgOptionsRecord(estimator->options, "match_iterations", iterations));
  t->matched[i] = other;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadMatches(Train *t) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < t->npairs; i++) PetscCall(ReadMatch(t, i));
  for (PetscInt i = 0; i < t->npairs; i++)
    PetscCheck(t->matched[i] < 0 || t->matched[t->matched[i]] < 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-match_nfe %s of %s: %s itself matches another; expected one that sets its own steps",
               TrainEstimatorLabel(t, t->matched[i]), TrainEstimatorLabel(t, i), TrainEstimatorLabel(t, t->matched[i]));
  PetscFunctionReturn(0);
}

TrainWork TrainWorkOf(const Train *t, const TrainRow *row) {
  const double gradients = 3.0 * (double)row->iterations_done * t->settings[row->problem].batch;
  return (TrainWork){(double)(row->nf + row->nvjp_x + row->nvjp_theta) / gradients, row->status};
}

// ---- runs ----

// Everything that determines a run but its length.
static PetscErrorCode RunKey(const Train *t, PetscInt pair, int64_t seed, uint64_t *key) {
  const PetscInt p = t->shapes[pair].problem;
  const PetscBool matches = t->matched[pair] >= 0 ? PETSC_TRUE : PETSC_FALSE;
  const PetscReal accuracy = matches ? 0 : t->accuracies[pair].first;
  const uint64_t estimator = EstimatorKey(&t->pairs[pair].estimator), experiment = (uint64_t)t->experiment;
  uint64_t other = 0;
  CtpgCase c;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(t->problems + p, seed, experiment, &c));
  const uint64_t case_key = CaseKey(t->problems + p, &c);
  PetscCall(CaseDestroy(&c));
  *key = CtpgHash(CTPG_HASH_START, &case_key, sizeof case_key);
  *key = CtpgHash(*key, &estimator, sizeof estimator);
  *key = CtpgHash(*key, &experiment, sizeof experiment);
  *key = CtpgHash(*key, &accuracy, sizeof accuracy);
  *key = CtpgHashString(*key, CtpgOptionsResolved(t->training[p]));
  if (!matches) PetscFunctionReturn(0);
  PetscCall(RunKey(t, t->matched[pair], seed, &other));
  *key = CtpgHash(*key, &other, sizeof other);
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseDoubles(const Train *t) {
  KeyEntry *sorted;
  PetscFunctionBeginUser;
  PetscCall(KeysSortColumn(KEY_COLUMN(t->nruns, t->rows, run_key), &sorted));
  for (PetscInt r = 1; r < t->nruns; r++) {
    const PetscInt one = TrainPairOf(t, sorted[r - 1].number), other = TrainPairOf(t, sorted[r].number);
    PetscCheck(sorted[r].key != sorted[r - 1].key, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "the plan has one run twice: %s on %s and %s on %s; labels must differ in an option",
               TrainEstimatorLabel(t, one), TrainProblemLabel(t, one), TrainEstimatorLabel(t, other),
               TrainProblemLabel(t, other));
  }
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListPair(Train *t, PetscInt i) {
  const TrainShape *shape = t->shapes + i;
  PetscFunctionBeginUser;
  for (PetscInt s = 0; s < shape->nseeds; s++) {
    const PetscInt r = shape->first_run + s;
    TrainRow *row = t->rows + r;
    TrainRowClear(row);
    row->problem = shape->problem;
    row->estimator = shape->estimator;
    row->row = s;
    row->seed = shape->seeds[s];
    row->accuracy = t->matched[i] < 0 ? t->accuracies[i].first : NAN;
    row->iterations = shape->iterations;
    t->waits_for[r] = t->matched[i] < 0 ? -1 : t->shapes[t->matched[i]].first_run + s;
    if (t->matched[i] >= 0) t->is_waited[t->waits_for[r]] = PETSC_TRUE;
    PetscCall(RunKey(t, i, row->seed, &row->run_key));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ListRuns(Train *t) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < t->npairs; i++) {
    TrainShape *shape = t->shapes + i;
    const PetscInt p = shape->problem, e = shape->estimator;
    TrainerGetShape(t->trainers[i], shape);
    shape->problem = p, shape->estimator = e;
    shape->first_run = t->nruns;
    shape->nseeds = t->nseeds[p], shape->seeds = t->seeds[p];
    t->nruns += shape->nseeds;
  }
  PetscCall(PetscCalloc3(t->npairs + 1, &t->learnt, t->npairs + 1, &t->weight, t->nruns, &t->part));
  for (PetscInt r = 0; r < t->nruns; r++) t->part[r] = 1;
  t->here = -1;
  PetscCall(PetscCalloc5(t->nruns, &t->rows, t->nruns, &t->waits_for, t->nruns, &t->is_waited, t->nruns, &t->done,
                         t->nruns, &t->works));
  for (PetscInt i = 0; i < t->npairs; i++) PetscCall(ListPair(t, i));
  PetscCall(RefuseDoubles(t));
  PetscFunctionReturn(0);
}

// ---- the whole ----

PetscErrorCode TrainPlanCreate(Train *t) {
  PetscFunctionBeginUser;
  PetscCall(ReadCommandOptions(t));
  PetscCall(CreateLabels(t));
  PetscCall(ReadMatches(t));
  PetscCall(RefuseUnusedOptions());
  for (PetscInt i = 0; i < t->npairs; i++) {
    PetscCall(PairSetUp(t->pairs + i));
    PetscCall(TrainerSetUp(t->trainers[i]));
  }
  PetscCall(ListRuns(t));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainPlanDestroy(Train *t) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < t->npairs; i++) {
    PetscCall(TrainerDestroy(t->trainers + i));
    PetscCall(PairDestroy(t->pairs + i));
  }
  for (PetscInt p = 0; p < t->nproblems; p++) {
    PetscCall(TrainSettingsDestroy(t->settings + p));
    PetscCall(CtpgOptionsDestroy(t->training + p));
    PetscCall(ProblemDestroy(t->problems + p));
    PetscCall(PetscFree(t->seeds[p]));
  }
  PetscCall(PetscFree5(t->problems, t->training, t->settings, t->nseeds, t->seeds));
  PetscCall(PetscFree6(t->pairs, t->accuracies, t->trainers, t->shapes, t->matched, t->match_factor));
  PetscCall(PetscFree3(t->learnt, t->weight, t->part));
  PetscCall(PetscFree5(t->rows, t->waits_for, t->is_waited, t->done, t->works));
  PetscCall(PetscFree(t->problem_labels));
  PetscCall(PetscFree(t->estimator_labels));
  PetscCall(CtpgOptionsDestroy(&t->options));
  PetscFunctionReturn(0);
}
