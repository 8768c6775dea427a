// plan.c -- a sweep written out from its options (plan.h)
//
// Options of the command come first, then every label is created once, which reads its options. Cases are listed for
// each problem over its seeds, and a shard keeps every n-th of them. Runs are cases x accuracies x repeats of each pair
// of labels, each with its key: the hash of case, estimator, accuracy and repeat. Two runs with one key are refused by
// name, since one row could not hold both. The plan's hash is that of all keys, sorted; it names the plan in the file.

#include "sweep/plan.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/keys.h"
#include "base/options_engine.h"
#include "run/accuracy.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const SEEDS = "0:8";

// ---- labels ----

// i/n, 1 <= i <= n.
static PetscErrorCode ReadShard(CtpgPlan *plan) {
  char text[32] = "1/1", rest[2] = "";
  long long i = 0, n = 0;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(plan->options, "shard", "i/n: only the i-th of n parts of the plan, see merge", text,
                            sizeof text));
  const int numbers = sscanf(text, "%9lld/%9lld%1s", &i, &n, rest);
  PetscCheck(numbers == 2 && 1 <= i && i <= n, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-shard %s is no part of a plan; expected i/n with 1 <= i <= n, as in 2/8", text);
  plan->shard = (PetscInt)i;
  plan->nshards = (PetscInt)n;
  PetscFunctionReturn(0);
}

// What belongs to one session, not to the plan.
static PetscErrorCode ReadSession(CtpgPlan *plan) {
  static const char *const ways[] = {
      [CTPG_STORE_INDEPENDENT] = "independent", [CTPG_STORE_WRITER] = "writer", [CTPG_STORE_WRITER + 1] = NULL};
  PetscInt way = CTPG_STORE_WRITER;

  PetscFunctionBeginUser;
  PetscCall(OptionsReadChoice(plan->options, OPTION_NOT_IN_KEY, "store",
                              "who writes rows: rank 0 for all, or each rank its own", ways, &way));
  PetscCall(JobLimitsRead(plan->options, 60, "s after which rows are brought to the disk (fsync), 0: only at the end",
                          &plan->limits));
  PetscCall(OptionsReadList(plan->options, OPTION_NOT_IN_KEY, "retime",
                            "labels (or all) whose finished rows are measured again, alone, and nothing else is done",
                            plan->retime, sizeof plan->retime));
  PetscCall(OptionsReadList(plan->options, OPTION_NOT_IN_KEY, "redo",
                            "labels (or all) whose finished rows are thrown away and computed anew", plan->redo,
                            sizeof plan->redo));
  plan->store = (CtpgStoreWay){.kind = (CtpgStoreKind)way, .checkpoint_interval = plan->limits.checkpoint_interval};
  PetscFunctionReturn(0);
}

// Where a comma list of files lies, whatever folder is the working one later.
static PetscErrorCode AbsolutePaths(const char *list, char *text, size_t size) {
  char **files, path[PATH_MAX];
  PetscInt n;
  PetscFunctionBeginUser;
  text[0] = 0;
  PetscCall(PetscStrToArray(list, ',', &n, &files));
  for (PetscInt i = 0; i < n; i++) {
    if (i) PetscCall(PetscStrlcat(text, ",", size));
    PetscCall(PetscStrlcat(text, realpath(files[i], path) ? path : files[i], size));
  }
  PetscCall(PetscStrToArrayDestroy(n, files));
  PetscFunctionReturn(0);
}

// Plug-ins, which the program has loaded already: for the provenance, and for commands that repeat a run.
static PetscErrorCode RecordLibraries(CtpgPlan *plan) {
  static const char *const names[] = {"problem_library", "estimator_library"};
  PetscFunctionBeginUser;
  for (int i = 0; i < 2; i++) {
    char key[64], list[8192], text[8192];
    PetscBool given;
    PetscCall(PetscSNPrintf(key, sizeof key, "-%s", names[i]));
    PetscCall(PetscOptionsGetString(NULL, NULL, key, list, sizeof list, &given));
    if (!given) continue;
    PetscCall(AbsolutePaths(list, text, sizeof text));
    PetscCall(CtpgOptionsRecord(plan->options, names[i], text));
  }
  PetscFunctionReturn(0);
}

// What the file says of itself, for `compare`; nothing here depends on it.
static PetscErrorCode ReadSuite(CtpgPlan *plan) {
  char suite[64] = "";
  PetscInt attempt = 0;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(plan->options, "suite", "name and version of the standard suite, kept in the file", suite,
                            sizeof suite));
  PetscCall(CtpgOptionsInt(plan->options, "final_attempt", "which attempt at a final claim, kept in the file; 0: none",
                           0, 1000000, &attempt));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadCommandOptions(CtpgPlan *plan) {
  PetscReal threshold = 0.02;
  int64_t first, last;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "sweep", &plan->options));
  PetscCall(CtpgLabelOption(plan->options, "problem", NULL, &plan->nproblems, &plan->problem_labels));
  PetscCall(CtpgLabelOption(plan->options, "estimator", NULL, &plan->nestimators, &plan->estimator_labels));
  PetscCall(LabelsCheckApart(plan->nproblems, plan->problem_labels, plan->nestimators, plan->estimator_labels));
  PetscCall(SeedsRead(plan->options, SEEDS, &first, &last)); // for -help and the message: problems read their own
  PetscCall(CtpgOptionsInt(plan->options, "experiment", "number of the experiment: other random streams", 0,
                           PETSC_MAX_INT, &plan->experiment));
  PetscCall(CtpgOptionsReal(plan->options, "timing_threshold",
                            "s; shorter solves are a warm-up and are timed three times more", 0, 1e9, &threshold));
  plan->timing_threshold = threshold;
  PetscCall(ReadSuite(plan));
  PetscCall(CtpgOptionsBool(plan->options, "save_gradients", "store every gradient", &plan->save_gradients));
  PetscCall(SchedulerReadOptions(plan->options, &plan->coordinator));
  PetscCall(ReadShard(plan));
  PetscCall(ReadSession(plan));
  PetscCall(PetscStrncpy(plan->out, "results.h5", sizeof plan->out));
  PetscCall(CtpgOptionsText(plan->options, "out", "results file", plan->out, sizeof plan->out));
  PetscCall(RecordLibraries(plan));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateLabels(CtpgPlan *plan) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(plan->nproblems, &plan->problems));
  PetscCall(PetscCalloc1(plan->nproblems * plan->nestimators, &plan->pairs));
  PetscCall(PetscMalloc2(plan->nproblems, &plan->first_seed, plan->nproblems, &plan->last_seed));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    PetscCall(ProblemCreate(plan->problem_labels + p, plan->problems + p));
    PetscCall(SeedsRead(plan->problems[p].options, SEEDS, plan->first_seed + p, plan->last_seed + p));
    for (PetscInt e = 0; e < plan->nestimators; e++)
      PetscCall(PairCreate(plan->problems + p, plan->estimator_labels + e, plan->pairs + p * plan->nestimators + e));
  }
  PetscFunctionReturn(0);
}

// ---- cases and runs ----

// A shard takes whole cases, so that no reference is computed twice: every n-th one, which spreads it over the
// problems.
static PetscErrorCode ListCases(CtpgPlan *plan) {
  int64_t total = 0, number = 0;

  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) total += plan->last_seed[p] - plan->first_seed[p];
  PetscCall(PetscCalloc1(total / plan->nshards + 1, &plan->cases));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    int32_t place = 0;
    for (int64_t seed = plan->first_seed[p]; seed < plan->last_seed[p]; seed++) {
      CtpgCaseRow *row = plan->cases + plan->ncases;
      CtpgCase drawn;
      if (number++ % plan->nshards != plan->shard - 1) continue;
      CtpgCaseRowClear(row);
      row->problem = p;
      row->row = place++;
      row->seed = seed;
      PetscCall(PlanDrawCase(plan, plan->ncases++, &drawn));
      row->case_key = CaseKey(plan->problems + p, &drawn);
      PetscCall(CaseDestroy(&drawn));
    }
  }
  PetscCheck(plan->ncases, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-shard %d/%d holds no case; expected at most %lld shards", (int)plan->shard, (int)plan->nshards,
             (long long)total);
  PetscFunctionReturn(0);
}

PetscInt PlanCountCases(const CtpgPlan *plan, PetscInt p) {
  PetscInt n = 0;
  for (PetscInt c = 0; c < plan->ncases; c++) n += plan->cases[c].problem == p ? 1 : 0;
  return n;
}

uint64_t PlanRunKey(uint64_t case_key, uint64_t estimator_key, PetscReal accuracy, int32_t repeat) {
  uint64_t key = CtpgHash(CTPG_HASH_START, &case_key, sizeof case_key);
  key = CtpgHash(key, &estimator_key, sizeof estimator_key);
  key = CtpgHash(key, &accuracy, sizeof accuracy);
  return CtpgHash(key, &repeat, sizeof repeat);
}

// Room for `more` rows at the end of plan->runs.
static PetscErrorCode GrowRuns(CtpgPlan *plan, int64_t more) {
  CtpgRunRow *grown;
  PetscFunctionBeginUser;
  PetscCheck(plan->nruns + more <= 100000000, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "the plan has more than 1e8 runs; take fewer seeds, accuracies or repeats");
  PetscCall(PetscMalloc1(plan->nruns + more, &grown));
  PetscCall(PetscArraycpy(grown, plan->runs, plan->nruns));
  PetscCall(PetscFree(plan->runs));
  plan->runs = grown;
  PetscFunctionReturn(0);
}

// The runs of one pair of labels: cases x accuracies x repeats.
static PetscErrorCode AppendRuns(CtpgPlan *plan, PetscInt p, PetscInt e) {
  static const char *const ladder[] = {[CTPG_KNOB_RTOL] = "1e-10:1e-2:9",
                                       [CTPG_KNOB_DT] = "1e-3:1e-1:5",
                                       [CTPG_KNOB_GRAD_RTOL] = "1e-10:1e-2:9",
                                       [CTPG_KNOB_SAMPLES] = "10,100,1000"};
  const CtpgPair *pair = plan->pairs + p * plan->nestimators + e;
  const PetscInt ncases = PlanCountCases(plan, p);
  PetscInt n, repeats;
  PetscReal *accuracies;

  PetscFunctionBeginUser;
  PetscCall(PairReadAccuracies(pair, ladder[pair->estimator.traits.knob], &n, &accuracies));
  PetscCall(PairReadRepeats(pair, &repeats));
  PetscCall(GrowRuns(plan, (int64_t)ncases * n * repeats));
  for (PetscInt c = 0; c < plan->ncases; c++)
    for (PetscInt a = 0; a < n && plan->cases[c].problem == p; a++)
      for (PetscInt repeat = 0; repeat < repeats; repeat++) {
        CtpgRunRow *row = plan->runs + plan->nruns++;
        CtpgRunRowClear(row);
        row->case_index = c;
        row->problem = p;
        row->estimator = e;
        row->seed = plan->cases[c].seed;
        row->accuracy = accuracies[a];
        row->repeat = repeat;
        row->run_key = PlanRunKey(plan->cases[c].case_key, EstimatorKey(&pair->estimator), accuracies[a], repeat);
      }
  PetscCall(PetscFree(accuracies));
  PetscFunctionReturn(0);
}

// Two runs of one key are the same run under two labels, or of an accuracy that was given twice.
static PetscErrorCode RefuseDouble(const CtpgPlan *plan, const CtpgRunRow *one, const CtpgRunRow *other) {
  const char *estimator = plan->estimator_labels[other->estimator].label;
  PetscFunctionBeginUser;
  PetscCheck(one->estimator != other->estimator || one->problem != other->problem, PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT,
             "-%s names %.6g twice for %s; expected different numbers (-repeats 2 makes two rows of each)",
             CtpgKnobName(plan->pairs[other->estimator].estimator.traits.knob), other->accuracy, estimator);
  SETERRQ(
      PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "the plan has one run twice: %s on %s and %s on %s, seed %lld, accuracy %.6g; labels must differ in an option",
      plan->estimator_labels[one->estimator].label, plan->problem_labels[one->problem].label, estimator,
      plan->problem_labels[other->problem].label, (long long)other->seed, other->accuracy);
}

static PetscErrorCode RefuseDoubles(const CtpgPlan *plan) {
  KeyEntry *sorted;
  PetscFunctionBeginUser;
  PetscCall(KeysSortColumn(KEY_COLUMN(plan->nruns, plan->runs, run_key), &sorted));
  for (PetscInt r = 1; r < plan->nruns; r++)
    if (sorted[r].key == sorted[r - 1].key)
      PetscCall(RefuseDouble(plan, plan->runs + sorted[r - 1].number, plan->runs + sorted[r].number));
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanCreate(CtpgPlan *plan) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(plan, sizeof *plan));
  PetscCall(ReadCommandOptions(plan));
  PetscCall(CreateLabels(plan));
  PetscCall(ListCases(plan));
  for (PetscInt p = 0; p < plan->nproblems; p++)
    for (PetscInt e = 0; e < plan->nestimators; e++) PetscCall(AppendRuns(plan, p, e));
  PetscCall(RefuseUnusedOptions());
  PetscCall(RefuseDoubles(plan));
  PetscCall(KeysHash(KEY_COLUMN(plan->nruns, plan->runs, run_key), &plan->hash));
  for (PetscInt i = 0; i < plan->nproblems * plan->nestimators; i++) PetscCall(PairSetUp(plan->pairs + i));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanDestroy(CtpgPlan *plan) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < plan->nproblems * plan->nestimators; i++) PetscCall(PairDestroy(plan->pairs + i));
  for (PetscInt p = 0; p < plan->nproblems; p++) PetscCall(ProblemDestroy(plan->problems + p));
  PetscCall(PetscFree(plan->pairs));
  PetscCall(PetscFree(plan->problems));
  PetscCall(PetscFree2(plan->first_seed, plan->last_seed));
  PetscCall(PetscFree(plan->problem_labels));
  PetscCall(PetscFree(plan->estimator_labels));
  PetscCall(PetscFree(plan->cases));
  PetscCall(PetscFree(plan->runs));
  PetscCall(CtpgOptionsDestroy(&plan->options));
  PetscFunctionReturn(0);
}

CtpgPair *PlanGetPair(const CtpgPlan *plan, PetscInt run) {
  return plan->pairs + plan->runs[run].problem * plan->nestimators + plan->runs[run].estimator;
}

PetscErrorCode PlanDrawCase(const CtpgPlan *plan, PetscInt c, CtpgCase *drawn) {
  const CtpgCaseRow *row = plan->cases + c;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(plan->problems + row->problem, row->seed, (uint64_t)plan->experiment, drawn));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanCreateCosts(const CtpgPlan *plan, CostModel *model) {
  PetscInt *np;
  PetscReal *T, *order;
  CtpgKnob *knob;

  PetscFunctionBeginUser;
  PetscCall(
      PetscMalloc4(plan->nproblems, &np, plan->nproblems, &T, plan->nestimators, &order, plan->nestimators, &knob));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    np[p] = PolicyGetSize(plan->problems[p].policy);
    T[p] = plan->problems[p].dims.T;
  }
  for (PetscInt e = 0; e < plan->nestimators; e++) {
    order[e] = plan->pairs[e].estimator.traits.order;
    knob[e] = plan->pairs[e].estimator.traits.knob;
  }
  PetscCall(CostCreate(&(CostPlan){.nproblems = plan->nproblems,
                                   .nestimators = plan->nestimators,
                                   .ncases = plan->ncases,
                                   .nruns = plan->nruns,
                                   .cases = plan->cases,
                                   .runs = plan->runs,
                                   .np = np,
                                   .T = T,
                                   .order = order,
                                   .knob = knob,
                                   .timing_threshold = plan->timing_threshold},
                       model));
  PetscCall(PetscFree4(np, T, order, knob));
  PetscFunctionReturn(0);
}

PetscInt PlanProductSize(const CtpgPlan *plan, PetscInt c) {
  const CtpgProblem *problem = plan->problems + plan->cases[c].problem;
  return 2 + problem->dims.nx + PolicyGetSize(problem->policy);
}
