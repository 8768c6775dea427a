// plan.c -- a sweep written out from its options (plan.h)
//
// Options of the command come first, then every label is created once, which reads its options. Cases are counted for
// each problem over its seeds, of which a shard has every n-th; runs are cases x accuracies x repeats of each pair of
// labels. Rank 0 draws every case for its key; that of a run is the hash of case, estimator, accuracy and repeat. Two
// runs with one key are refused by name, since one row could not hold both. The plan's hash is that of all keys,
// sorted; it names the plan in the file.

#include "sweep/plan.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/keys.h"
#include "base/options_engine.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RUNS 1e8

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
static PetscErrorCode CountCases(CtpgPlan *plan) {
  const int64_t n = plan->nshards;
  int64_t before = 0, total = 0; // cases of the undivided plan; those of this shard

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(plan->nproblems + 1, &plan->first_case, plan->nproblems, &plan->first_own));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const int64_t count = plan->last_seed[p] - plan->first_seed[p];
    const int64_t skipped = ((plan->shard - 1 - before) % n + n) % n;
    plan->first_case[p] = (PetscInt)total;
    plan->first_own[p] = plan->first_seed[p] + skipped;
    total += skipped < count ? (count - skipped + n - 1) / n : 0;
    before += count;
    PetscCheck(total <= MOST_RUNS, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "the plan has more than 1e8 cases; take fewer seeds");
  }
  plan->first_case[plan->nproblems] = plan->ncases = (PetscInt)total;
  PetscCheck(plan->ncases, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-shard %d/%d holds no case; expected at most %lld shards", (int)plan->shard, (int)plan->nshards,
             (long long)before);
  PetscFunctionReturn(0);
}

PetscInt PlanCountCases(const CtpgPlan *plan, PetscInt p) {
  return plan->first_case[p + 1] - plan->first_case[p];
}

PetscInt PlanProblemOf(const CtpgPlan *plan, PetscInt c) {
  PetscInt low = 0, high = plan->nproblems; // it is one of low .. high - 1
  while (high - low > 1) {
    const PetscInt middle = low + (high - low) / 2;
    if (plan->first_case[middle] <= c)
      low = middle;
    else
      high = middle;
  }
  return low;
}

static int64_t SeedOf(const CtpgPlan *plan, PetscInt c) {
  const PetscInt p = PlanProblemOf(plan, c);
  return plan->first_own[p] + (int64_t)(c - plan->first_case[p]) * plan->nshards;
}

// The runs of one pair of labels.
static PetscErrorCode AddBlock(CtpgPlan *plan, PetscInt p, PetscInt e) {
  static const char *const ladder[] = {[CTPG_KNOB_RTOL] = "1e-10:1e-2:9",
                                       [CTPG_KNOB_DT] = "1e-3:1e-1:5",
                                       [CTPG_KNOB_GRAD_RTOL] = "1e-10:1e-2:9",
                                       [CTPG_KNOB_SAMPLES] = "10,100,1000"};
  const CtpgPair *pair = plan->pairs + p * plan->nestimators + e;
  PlanBlock *block = plan->blocks + p * plan->nestimators + e;

  PetscFunctionBeginUser;
  *block = (PlanBlock){.problem = p,
                       .estimator = e,
                       .first = plan->nruns,
                       .first_kind = plan->nkinds,
                       .key = EstimatorKey(&pair->estimator)};
  PetscCall(PairReadAccuracies(pair, ladder[pair->estimator.traits.knob], &block->naccuracies, &block->accuracies));
  PetscCall(PairReadRepeats(pair, &block->repeats));
  const double n = (double)PlanCountCases(plan, p) * block->naccuracies * block->repeats;
  PetscCheck(plan->nruns + n <= MOST_RUNS, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "the plan has more than 1e8 runs; take fewer seeds, accuracies or repeats");
  block->n = (PetscInt)n;
  plan->nruns += block->n;
  plan->nkinds += block->naccuracies;
  PetscFunctionReturn(0);
}

static PetscErrorCode AddBlocks(CtpgPlan *plan) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(plan->nproblems * plan->nestimators, &plan->blocks));
  plan->nkinds = plan->nproblems;
  for (PetscInt p = 0; p < plan->nproblems; p++)
    for (PetscInt e = 0; e < plan->nestimators; e++) PetscCall(AddBlock(plan, p, e));
  PetscFunctionReturn(0);
}

// A block of a problem without cases (of this shard) is empty, and begins where the next one does.
static const PlanBlock *BlockOf(const CtpgPlan *plan, PetscInt run) {
  PetscInt low = 0, high = plan->nproblems * plan->nestimators; // it is one of low .. high - 1
  while (high - low > 1) {
    const PetscInt middle = low + (high - low) / 2;
    if (plan->blocks[middle].first <= run)
      low = middle;
    else
      high = middle;
  }
  return plan->blocks + low;
}

PetscInt PlanCaseOf(const CtpgPlan *plan, PetscInt run) {
  const PlanBlock *block = BlockOf(plan, run);
  return plan->first_case[block->problem] + (run - block->first) / (block->naccuracies * block->repeats);
}

static PetscInt AccuracyOf(const PlanBlock *block, PetscInt run) {
  return (run - block->first) / block->repeats % block->naccuracies;
}

static int32_t RepeatOf(const PlanBlock *block, PetscInt run) {
  return (int32_t)((run - block->first) % block->repeats);
}

// ---- keys and rows ----

uint64_t PlanRunKey(uint64_t case_key, uint64_t estimator_key, PetscReal accuracy, int32_t repeat) {
  uint64_t key = CtpgHash(CTPG_HASH_START, &case_key, sizeof case_key);
  key = CtpgHash(key, &estimator_key, sizeof estimator_key);
  key = CtpgHash(key, &accuracy, sizeof accuracy);
  return CtpgHash(key, &repeat, sizeof repeat);
}

void PlanFillCase(const CtpgPlan *plan, PetscInt c, uint64_t case_key, CtpgCaseRow *row) {
  const PetscInt p = PlanProblemOf(plan, c);
  CtpgCaseRowClear(row);
  row->problem = (int32_t)p;
  row->row = (int32_t)(c - plan->first_case[p]);
  row->seed = SeedOf(plan, c);
  row->case_key = case_key;
}

void PlanFillRun(const CtpgPlan *plan, PetscInt run, uint64_t case_key, CtpgRunRow *row) {
  const PlanBlock *block = BlockOf(plan, run);
  CtpgRunRowClear(row);
  row->case_index = (int32_t)PlanCaseOf(plan, run);
  row->problem = (int32_t)block->problem;
  row->estimator = (int32_t)block->estimator;
  row->seed = SeedOf(plan, row->case_index);
  row->accuracy = block->accuracies[AccuracyOf(block, run)];
  row->repeat = RepeatOf(block, run);
  row->run_key = PlanRunKey(case_key, block->key, row->accuracy, row->repeat);
}

void PlanGetCase(const CtpgPlan *plan, PetscInt c, CtpgCaseRow *row) {
  PlanFillCase(plan, c, plan->case_keys[c], row);
}

void PlanGetRun(const CtpgPlan *plan, PetscInt run, CtpgRunRow *row) {
  PlanFillRun(plan, run, plan->case_keys[PlanCaseOf(plan, run)], row);
}

uint64_t PlanKeyOf(const CtpgPlan *plan, PetscInt run) {
  const PlanBlock *block = BlockOf(plan, run);
  return PlanRunKey(plan->case_keys[PlanCaseOf(plan, run)], block->key, block->accuracies[AccuracyOf(block, run)],
                    RepeatOf(block, run));
}

PetscErrorCode PlanListRunKeys(const CtpgPlan *plan, uint64_t **keys) {
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->nruns, keys));
  for (PetscInt r = 0; r < plan->nruns; r++) (*keys)[r] = PlanKeyOf(plan, r);
  PetscFunctionReturn(0);
}

static PetscErrorCode DrawCaseKeys(CtpgPlan *plan) {
  CtpgCase drawn;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->ncases, &plan->case_keys));
  for (PetscInt c = 0; c < plan->ncases; c++) {
    PetscCall(PlanDrawCase(plan, c, &drawn));
    plan->case_keys[c] = CaseKey(plan->problems + PlanProblemOf(plan, c), &drawn);
    PetscCall(CaseDestroy(&drawn));
  }
  PetscFunctionReturn(0);
}

// Two runs of one key are the same run under two labels, or of an accuracy that was given twice.
static PetscErrorCode RefuseDouble(const CtpgPlan *plan, PetscInt one, PetscInt other) {
  const PlanBlock *a = BlockOf(plan, one), *b = BlockOf(plan, other);
  const char *estimator = plan->estimator_labels[b->estimator].label;
  const PetscReal accuracy = b->accuracies[AccuracyOf(b, other)];
  PetscFunctionBeginUser;
  PetscCheck(a != b, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "-%s names %.6g twice for %s; expected different numbers (-repeats 2 makes two rows of each)",
             CtpgKnobName(plan->pairs[b->estimator].estimator.traits.knob), accuracy, estimator);
  SETERRQ(
      PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "the plan has one run twice: %s on %s and %s on %s, seed %lld, accuracy %.6g; labels must differ in an option",
      plan->estimator_labels[a->estimator].label, plan->problem_labels[a->problem].label, estimator,
      plan->problem_labels[b->problem].label, (long long)SeedOf(plan, PlanCaseOf(plan, other)), accuracy);
}

static PetscErrorCode RefuseDoubles(const CtpgPlan *plan, const KeyEntry *sorted) {
  PetscFunctionBeginUser;
  for (PetscInt r = 1; r < plan->nruns; r++)
    if (sorted[r].key == sorted[r - 1].key) PetscCall(RefuseDouble(plan, sorted[r - 1].number, sorted[r].number));
  PetscFunctionReturn(0);
}

// Rank 0.
static PetscErrorCode CheckKeys(CtpgPlan *plan) {
  KeyEntry *sorted;
  uint64_t *keys;
  PetscFunctionBeginUser;
  PetscCall(DrawCaseKeys(plan));
  PetscCall(PlanListRunKeys(plan, &keys));
  PetscCall(KeysSortColumn((KeyColumn){keys, sizeof *keys, plan->nruns}, &sorted));
  PetscCall(PetscFree(keys));
  PetscCall(RefuseDoubles(plan, sorted));
  plan->hash = KeysHashSorted(plan->nruns, sorted);
  PetscCall(PetscFree(sorted));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanCreate(CtpgPlan *plan) {
  PetscErrorCode error = 0;
  int rank;
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(plan, sizeof *plan));
  PetscCall(ReadCommandOptions(plan));
  PetscCall(CreateLabels(plan));
  PetscCall(CountCases(plan));
  PetscCall(AddBlocks(plan));
  PetscCall(RefuseUnusedOptions());
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (!rank) error = CheckKeys(plan);
  PetscCall(CtpgAgreeOnSuccess(PETSC_COMM_WORLD, error));
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
  for (PetscInt i = 0; i < plan->nproblems * plan->nestimators; i++) PetscCall(PetscFree(plan->blocks[i].accuracies));
  PetscCall(PetscFree(plan->blocks));
  PetscCall(PetscFree2(plan->first_case, plan->first_own));
  PetscCall(PetscFree(plan->case_keys));
  PetscCall(CtpgOptionsDestroy(&plan->options));
  PetscFunctionReturn(0);
}

CtpgPair *PlanGetPair(const CtpgPlan *plan, PetscInt run) {
  return plan->pairs + (BlockOf(plan, run) - plan->blocks);
}

PetscErrorCode PlanDrawCase(const CtpgPlan *plan, PetscInt c, CtpgCase *drawn) {
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(plan->problems + PlanProblemOf(plan, c), SeedOf(plan, c), (uint64_t)plan->experiment, drawn));
  PetscFunctionReturn(0);
}

PetscInt PlanProductSize(const CtpgPlan *plan, PetscInt c) {
  const CtpgProblem *problem = plan->problems + PlanProblemOf(plan, c);
  return 2 + problem->dims.nx + PolicyGetSize(problem->policy);
}

// ---- what items cost ----

PetscInt PlanKindOf(const CtpgPlan *plan, PetscInt item) {
  if (item < plan->ncases) return PlanProblemOf(plan, item);
  const PetscInt run = item - plan->ncases;
  const PlanBlock *block = BlockOf(plan, run);
  return block->first_kind + AccuracyOf(block, run);
}

static void ListKinds(const CtpgPlan *plan, CostKind *kinds) {
  for (PetscInt p = 0; p < plan->nproblems; p++) kinds[p] = (CostKind){.problem = p, .estimator = -1};
  for (PetscInt i = 0; i < plan->nproblems * plan->nestimators; i++) {
    const PlanBlock *block = plan->blocks + i;
    for (PetscInt a = 0; a < block->naccuracies; a++)
      kinds[block->first_kind + a] = (CostKind){block->problem, block->estimator, block->accuracies[a]};
  }
}

PetscErrorCode PlanCreateCosts(const CtpgPlan *plan, CostModel *model) {
  CostKind *kinds;
  PetscInt *np;
  PetscReal *T, *order;
  CtpgKnob *knob;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc5(plan->nkinds, &kinds, plan->nproblems, &np, plan->nproblems, &T, plan->nestimators, &order,
                         plan->nestimators, &knob));
  ListKinds(plan, kinds);
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
                                   .nkinds = plan->nkinds,
                                   .kinds = kinds,
                                   .np = np,
                                   .T = T,
                                   .order = order,
                                   .knob = knob,
                                   .timing_threshold = plan->timing_threshold},
                       model));
  PetscCall(PetscFree5(kinds, np, T, order, knob));
  PetscFunctionReturn(0);
}
