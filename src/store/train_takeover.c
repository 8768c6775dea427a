// train_takeover.c -- what an older training file brings along: its runs go on where they stand
//
// A run keeps its history, its policies and its slots; scales may grow at their ends. Everything at iterations that the
// old run may have passed must be in the old file, else it is said what is missing.

#include "store/train_takeover.h"
#include "store/train_slots.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static PetscInt Find(PetscInt n, const int64_t *values, int64_t value) {
  for (PetscInt i = 0; i < n; i++)
    if (values[i] == value) return i;
  return -1;
}

// Everything at iterations that the old run may have passed must be in the old file.
static int CheckPassed(const char *option, PetscInt n, const int64_t *wanted, PetscInt have, const int64_t *old,
                       PetscInt passed) {
  for (PetscInt i = 0; i < n && wanted[i] <= passed; i++)
    if (Find(have, old, wanted[i]) < 0)
      return StoreFail("%s asks for iteration %lld, which was not stored when it was passed; expected the old list, "
                       "and more of it beyond iteration %d",
                       option, (long long)wanted[i], (int)passed);
  return 0;
}

static int CheckContinues(const TrainShape *from, const TrainShape *to) {
  if (to->iterations < from->iterations)
    return StoreFail("it has %d iterations, and training cannot be made shorter (%d)", (int)from->iterations,
                     (int)to->iterations);
  if (to->visited != from->visited || (to->visited && to->iterations != from->iterations))
    return StoreFail("-visited states are spread over all iterations: their number and -iterations cannot change");
  if (to->path_points != from->path_points)
    return StoreFail("it has paths of %d points, and -test_paths cannot change", (int)from->path_points);
  STORE_TRY(CheckPassed("-audit_every", to->naudits, to->audits, from->naudits, from->audits, from->iterations - 1));
  STORE_TRY(
      CheckPassed("-snapshots", to->nsnapshots, to->snapshots, from->nsnapshots, from->snapshots, from->iterations));
  return CheckPassed("-test_every", to->ntests, to->tests, from->ntests, from->tests, from->iterations);
}

// Scratch for copying one run.
typedef struct {
  const TrainLayout *layout;
  TrainPairArrays *to;         // [pairs]
  StoreArray *table, *commits; // of the new file
  TrainHistory *history;       // [TRAIN_PIECE]
} Copy;

static int CopyVector(const TrainArray *from, PetscInt i, PetscInt k, const TrainArray *to, PetscInt j, PetscInt m,
                      size_t element) {
  if (from->set <= 0) return 0;
  void *values = malloc((size_t)TrainVectorLength(from) * element + 1);
  const int failed = !values ? StoreFail("out of memory")
                             : TrainMoveVectors(from, i, k, 1, values, PETSC_FALSE) ||
                                   TrainMoveVectors(to, j, m, 1, values, PETSC_TRUE);
  free(values);
  return failed ? -1 : 0;
}

static int CopyHistory(Copy *copy, const TrainPairArrays *from, PetscInt i, const TrainPairArrays *to, PetscInt j,
                       PetscInt n) {
  for (PetscInt first = 0; first < n; first += TRAIN_PIECE) {
    const PetscInt count = PetscMin(TRAIN_PIECE, n - first);
    STORE_TRY(TrainMoveHistory(from, i, first, count, copy->history, PETSC_FALSE));
    STORE_TRY(TrainMoveHistory(to, j, first, count, copy->history, PETSC_TRUE));
  }
  return 0;
}

static int CopyTests(const TrainPairArrays *from, const TrainShape *old, PetscInt i, const TrainPairArrays *to,
                     const TrainShape *new, PetscInt j) {
  for (PetscInt m = 0; m < new->ntests; m++) {
    const PetscInt k = Find(old->ntests, old->tests, new->tests[m]);
    double loss;
    int32_t failures;
    if (k < 0) continue;
    STORE_TRY(TrainMoveInRow(&from->test_loss, i, k, 1, &loss, PETSC_FALSE));
    STORE_TRY(TrainMoveInRow(&from->test_failures, i, k, 1, &failures, PETSC_FALSE));
    STORE_TRY(TrainMoveInRow(&to->test_loss, j, m, 1, &loss, PETSC_TRUE));
    STORE_TRY(TrainMoveInRow(&to->test_failures, j, m, 1, &failures, PETSC_TRUE));
  }
  return 0;
}

static int CopyReal(const TrainArray *from, PetscInt i, PetscInt k, const TrainArray *to, PetscInt j, PetscInt m) {
  double value;
  STORE_TRY(TrainMoveInRow(from, i, k, 1, &value, PETSC_FALSE));
  return TrainMoveInRow(to, j, m, 1, &value, PETSC_TRUE);
}

static int CopyAudits(const TrainPairArrays *from, const TrainShape *old, PetscInt i, const TrainPairArrays *to,
                      const TrainShape *new, PetscInt j) {
  for (PetscInt m = 0; m < new->naudits; m++) {
    const PetscInt k = Find(old->naudits, old->audits, new->audits[m]);
    if (k < 0) continue;
    STORE_TRY(CopyReal(&from->audit_error, i, k, &to->audit_error, j, m));
    STORE_TRY(CopyReal(&from->audit_stderr, i, k, &to->audit_stderr, j, m));
    STORE_TRY(CopyReal(&from->audit_norm, i, k, &to->audit_norm, j, m));
  }
  return 0;
}

// A policy keeps its sum; one of a file that has none gets it, unless it is still to come.
static int CopyThetaSum(const TrainPairArrays *from, PetscInt i, PetscInt k, const TrainPairArrays *to, PetscInt j,
                        PetscInt m, const TrainShape *new) {
  double *theta;
  StoreSum sum;
  if (from->theta_checksum.set > 0) return CopyVector(&from->theta_checksum, i, k, &to->theta_checksum, j, m, 8);
  if (!(theta = malloc((size_t) new->np * sizeof *theta + 1))) return StoreFail("out of memory");
  int failed = TrainMoveVectors(&from->theta, i, k, 1, theta, PETSC_FALSE);
  if (!failed && !isnan(theta[0])) {
    sum = TrainThetaSum(new->snapshots[m], new->np, theta);
    failed = TrainMoveVectors(&to->theta_checksum, j, m, 1, sum.word, PETSC_TRUE);
  }
  free(theta);
  return failed;
}

static int CopyArrays(Copy *copy, const TrainPairArrays *from, const TrainShape *old, PetscInt i,
                      const TrainPairArrays *to, const TrainShape *new, PetscInt j) {
  STORE_TRY(CopyHistory(copy, from, i, to, j, old->iterations));
  STORE_TRY(CopyTests(from, old, i, to, new, j));
  STORE_TRY(CopyAudits(from, old, i, to, new, j));
  for (PetscInt m = 0; m < new->nsnapshots; m++) {
    const PetscInt k = Find(old->nsnapshots, old->snapshots, new->snapshots[m]);
    if (k < 0) continue;
    STORE_TRY(CopyVector(&from->theta, i, k, &to->theta, j, m, sizeof(double)));
    STORE_TRY(CopyThetaSum(from, i, k, to, j, m, new));
    STORE_TRY(CopyVector(&from->path, i, k, &to->path, j, m, sizeof(double)));
    STORE_TRY(CopyVector(&from->path_control, i, k, &to->path_control, j, m, sizeof(double)));
  }
  for (PetscInt v = 0; v < new->visited; v++)
    STORE_TRY(CopyVector(&from->visited, i, v, &to->visited, j, v, sizeof(double)));
  return 0;
}

// How many entries of the new list are among the first n of the old one; both ascend, and the new one has all of them
// that were passed.
static int64_t CountKept(PetscInt nnew, const int64_t *new, PetscInt nold, const int64_t *old, int64_t n) {
  int64_t kept = 0;
  for (PetscInt m = 0; m < nnew; m++) {
    const PetscInt k = Find(nold, old, new[m]);
    kept += k >= 0 && k < n;
  }
  return kept;
}

static void CountEntries(const TrainShape *old, const int64_t *count, const TrainShape *new, int64_t *kept) {
  memcpy(kept, count, TRAIN_NSUMS * sizeof *kept); // history and visited states stay
  kept[TRAIN_SUM_THETA] =
      CountKept(new->nsnapshots, new->snapshots, old->nsnapshots, old->snapshots, count[TRAIN_SUM_THETA]);
  kept[TRAIN_SUM_PATH] = kept[TRAIN_SUM_CONTROL] =
      CountKept(new->nsnapshots, new->snapshots, old->nsnapshots, old->snapshots, count[TRAIN_SUM_PATH]);
  kept[TRAIN_SUM_TEST] = CountKept(new->ntests, new->tests, old->ntests, old->tests, count[TRAIN_SUM_TEST]);
  kept[TRAIN_SUM_AUDIT] = CountKept(new->naudits, new->audits, old->naudits, old->audits, count[TRAIN_SUM_AUDIT]);
}

// The newest point from which the run can go on, vouched for anew: the lists that it vouches for may have changed. A file
// of the schema before has none that can be trusted: a run that it has not finished begins anew.
static int CopySlot(const TrainPairArrays *from, const TrainShape *old, PetscInt i, const TrainPairArrays *to,
                    const TrainShape *new, PetscInt j, TrainSlot *slot, TrainSums *sums) {
  int64_t kept[TRAIN_NSUMS];
  int k;
  STORE_TRY(TrainSlotFind(from, old, i, slot, sums, &k));
  if (k < 0) return 0;
  CountEntries(old, sums->count, new, kept);
  TrainSumsBegin(sums, new->first_run + j);
  STORE_TRY(TrainSumsRead(sums, to, j, kept));
  return TrainSlotWrite(to, new, j, k, slot, sums);
}

static int CopySlots(const TrainPairArrays *from, const TrainShape *old, PetscInt i, const TrainPairArrays *to,
                     const TrainShape *new, PetscInt j) {
  TrainSlot slot = {.theta = malloc((size_t) new->np * sizeof(PetscReal) + 1),
                    .optimizer = malloc((size_t) new->noptimizer * sizeof(PetscReal) + 1),
                    .memory = malloc((size_t) new->nmemory + 1)};
  TrainSums sums = {0};
  int failed = slot.theta && slot.optimizer && slot.memory ? TrainSumsCreate(&sums) : StoreFail("out of memory");
  if (!failed) failed = CopySlot(from, old, i, to, new, j, &slot, &sums);
  TrainSumsDestroy(&sums);
  free(slot.theta), free(slot.optimizer), free(slot.memory);
  return failed;
}

// The row of a run that is finished in the new file too: one that ended early, or as long as it was.
static int CopyRow(Copy *copy, PetscInt run, const TrainRow *old, const TrainPairArrays *to, const TrainShape *new) {
  const TrainRow *identity = copy->layout->rows + run;
  TrainRow row = *old;
  StoreSum sum;
  if (row.status == CTPG_OK && row.iterations_done < new->iterations) return 0;
  row.problem = identity->problem, row.estimator = identity->estimator, row.row = identity->row;
  row.iterations = identity->iterations;
  STORE_TRY(TrainRunSum(to, new, run - new->first_run, &row, &sum));
  STORE_TRY(TrainRowWrite(copy->table, run, &row));
  return TrainCommitWrite(copy->commits, run, row.status, &sum);
}

static int CopyRun(Copy *copy, TrainContents c, const TrainPairArrays *pairs, PetscInt r, PetscInt q) {
  const TrainLayout *layout = copy->layout;
  const PetscInt from = TrainFindPair(c->npairs, c->shapes, r);
  const PetscInt to = TrainFindPair(layout->npairs, layout->shapes, q);
  const TrainShape *old = c->shapes + from, *new = layout->shapes + to;
  const PetscInt i = r - old->first_run, j = q - new->first_run;
  STORE_TRY(CheckContinues(old, new));
  STORE_TRY(CopyArrays(copy, pairs + from, old, i, copy->to + to, new, j));
  if (c->base->schema == CTPG_SCHEMA) STORE_TRY(CopySlots(pairs + from, old, i, copy->to + to, new, j));
  return c->done[r] ? CopyRow(copy, q, c->rows + r, copy->to + to, new) : 0;
}

static int CopyRuns(TrainContents c, const TrainPairArrays *pairs, void *context) {
  Copy *copy = context;
  for (PetscInt r = 0; r < c->nruns; r++)
    for (PetscInt q = 0; q < copy->layout->nruns; q++)
      if (copy->layout->rows[q].run_key == c->rows[r].run_key) STORE_TRY(CopyRun(copy, c, pairs, r, q));
  return 0;
}

static int WriteIdentities(hid_t file, const TrainLayout *layout) {
  StoreArray identity = {0};
  int failed = StoreArrayOpen(file, "training/identity", H5T_NATIVE_UINT64, &identity);
  for (PetscInt r = 0; !failed && r < layout->nruns; r++) {
    const StoreSum sum = TrainRowIdentity(layout->rows + r);
    failed = StoreArrayWrite(&identity, (hsize_t)r, sum.word);
  }
  StoreArrayClose(&identity);
  return failed;
}

static int TakeOver(hid_t file, Copy *copy, TrainContents old) {
  const TrainLayout *layout = copy->layout;
  STORE_TRY(StoreTableOpen(file, "training/table", &TrainRowLayout, copy->table));
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, copy->commits));
  for (PetscInt r = 0; r < layout->nruns; r++) STORE_TRY(TrainRowWrite(copy->table, r, layout->rows + r));
  STORE_TRY(WriteIdentities(file, layout));
  if (!old) return 0;
  STORE_TRY(TrainLayoutOpen(file, layout, copy->to));
  return TrainWithPairs(old, CopyRuns, copy);
}

int TrainTakeOver(hid_t file, const TrainLayout *layout, TrainContents old) {
  const PetscInt npairs = layout->npairs;
  StoreArray table = {0}, commits = {0};
  Copy copy = {.layout = layout, .table = &table, .commits = &commits};
  copy.to = calloc((size_t)npairs + 1, sizeof *copy.to);
  copy.history = malloc(TRAIN_PIECE * sizeof *copy.history);
  const int failed = copy.to && copy.history ? TakeOver(file, &copy, old) : StoreFail("out of memory");
  for (PetscInt i = 0; copy.to && i < npairs; i++) TrainPairClose(copy.to + i);
  StoreArrayClose(&table), StoreArrayClose(&commits);
  free(copy.to), free(copy.history);
  return failed;
}
