// train_create.c -- the groups of training, complete and filled
//
// Group by group as train_schema.h describes it, then what an older file brings along (train_takeover.c). The rest of
// the file is create.c's, which calls Extend.

#include "store/train_create.h"
#include "store/fixed.h"
#include "store/train_takeover.h"
#include <hdf5_hl.h>
#include <stdlib.h>
#include <string.h>

// ---- creation

static int CreateHistory(hid_t group, const TrainShape *shape, const StoreDimension *dimension) {
  const double nothing = NAN;
  const int64_t zero = 0; // in I32 columns its first half
  for (int c = 0; c < TrainHistoryLength(shape); c++) {
    const StoreColumn *column = TrainHistoryColumns + c;
    const PetscBool real = column->kind == STORE_F64 ? PETSC_TRUE : PETSC_FALSE;
    const hid_t whole = column->kind == STORE_I64 ? H5T_STD_I64LE : H5T_STD_I32LE;
    STORE_TRY(StoreDatasetCreate(group, column->name, 2, dimension, real ? H5T_IEEE_F64LE : whole,
                                 real ? (const void *)&nothing : &zero, column->unit, column->text));
  }
  return 0;
}

static int CreateSlots(hid_t group, hsize_t nseeds, const TrainShape *shape) {
  const int64_t none = -1;
  const hid_t slot = H5Gcreate2(group, "slot", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const StoreDimension theta[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->np}};
  const StoreDimension counts[] = {{NULL, nseeds}, {NULL, 2}, {NULL, TRAIN_NCOUNTS}};
  const StoreDimension sums[] = {{NULL, nseeds}, {NULL, 2}, {NULL, 2}};
  const StoreDimension optimizer[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->noptimizer}};
  const StoreDimension memory[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->nmemory}};
  STORE_TRY(slot);
  STORE_TRY(
      StoreDatasetCreate(slot, "iteration", 2, theta, H5T_STD_I64LE, &none, "1", "updates made; -1: not used yet"));
  STORE_TRY(StoreDatasetCreate(slot, "count", 3, counts, H5T_STD_I64LE, NULL, "1",
                               "entries of history, theta, test, path, path_control, audit, visited before it"));
  STORE_TRY(StoreDatasetCreate(slot, "checksum", 3, sums, H5T_STD_U64LE, NULL, "",
                               "sum of what it holds and of all these entries: bytes 0-7 and 8-15 of SHA-256"));
  STORE_TRY(StoreRealsCreate(slot, "theta", 3, theta, "1", "parameters of the policy"));
  if (shape->noptimizer)
    STORE_TRY(StoreRealsCreate(slot, "optimizer", 3, optimizer, "1",
                               "state of the optimiser; then, under a contract, what it remembers"));
  if (shape->nmemory)
    STORE_TRY(StoreDatasetCreate(slot, "memory", 3, memory, H5T_STD_U8LE, NULL, "1", "what the estimator remembers"));
  H5Gclose(slot);
  return 0;
}

// Times at which paths are sampled.
static int CreatePathTimes(hid_t group, const TrainShape *shape) {
  const StoreDimension dimension = {NULL, (hsize_t)shape->path_points};
  double *times = malloc((size_t)shape->path_points * sizeof *times);
  if (!times) return StoreFail("out of memory");
  for (PetscInt i = 0; i < shape->path_points; i++) times[i] = shape->T * i / (shape->path_points - 1);
  int failed = StoreDatasetCreate(group, "path_time", 1, &dimension, H5T_IEEE_F64LE, NULL, "s", "time along a path");
  const hid_t set = failed ? -1 : H5Dopen2(group, "path_time", H5P_DEFAULT);
  if (set >= 0 && (H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, times) < 0 ||
                   H5DSset_scale(set, "path_time") < 0))
    failed = StoreFailHDF5();
  if (set >= 0) H5Dclose(set);
  free(times);
  return failed ? -1 : StoreFixedWrite(group, "path_time");
}

static int CreatePaths(hid_t group, const TrainShape *shape) {
  const StoreDimension path[] = {{"seed", (hsize_t)shape->nseeds},
                                 {"snapshot", (hsize_t)shape->nsnapshots},
                                 {NULL, (hsize_t)shape->path_starts},
                                 {"path_time", (hsize_t)shape->path_points},
                                 {NULL, (hsize_t)shape->nx}};
  StoreDimension control[5];
  memcpy(control, path, sizeof control);
  control[4].size = (hsize_t)shape->nu;
  STORE_TRY(CreatePathTimes(group, shape));
  STORE_TRY(StoreRealsCreate(group, "path", 5, path, "SI", "states from the test starts under theta of the snapshot"));
  return StoreRealsCreate(group, "path_control", 5, control, "SI", "controls along these paths");
}

static int CreateAudits(hid_t group, const TrainShape *shape) {
  const StoreDimension audit[] = {{"seed", (hsize_t)shape->nseeds}, {"audit_iteration", (hsize_t)shape->naudits}};
  STORE_TRY(StoreScaleCreate(group, "audit_iteration", shape->naudits, shape->audits, "updates made before the audit"));
  STORE_TRY(StoreRealsCreate(group, "audit_error", 2, audit, "1",
                             "||g - g*||, g* the batch's gradient by an accurate solve"));
  STORE_TRY(StoreRealsCreate(group, "audit_stderr", 2, audit, "1",
                             "standard error of g* as a mean over the batch: sqrt(trace of the covariance / batch)"));
  return StoreRealsCreate(group, "audit_norm", 2, audit, "1", "||g*||");
}

static int FillPair(hid_t group, const TrainShape *shape) {
  const hsize_t n = (hsize_t)shape->nseeds;
  const StoreDimension history[] = {{"seed", n}, {"iteration", (hsize_t)shape->iterations}};
  const StoreDimension theta[] = {
      {"seed", n}, {"snapshot", (hsize_t)shape->nsnapshots}, {"parameter", (hsize_t)shape->np}};
  const StoreDimension sums[] = {{"seed", n}, {"snapshot", (hsize_t)shape->nsnapshots}, {NULL, 2}};
  const StoreDimension test[] = {{"seed", n}, {"test_iteration", (hsize_t)shape->ntests}};
  const StoreDimension visited[] = {{"seed", n}, {NULL, (hsize_t)shape->visited}, {NULL, (hsize_t)shape->nx}};
  const int32_t zero = 0;
  STORE_TRY(StoreScaleCreate(group, "seed", shape->nseeds, shape->seeds, "seed of the run"));
  STORE_TRY(StoreScaleCreate(group, "iteration", shape->iterations, NULL, "number of the update, from 0"));
  STORE_TRY(
      StoreScaleCreate(group, "snapshot", shape->nsnapshots, shape->snapshots, "updates made before theta was stored"));
  STORE_TRY(
      StoreScaleCreate(group, "parameter", shape->np, NULL, "component of theta, layer by layer: W [out, in], then b"));
  STORE_TRY(CreateHistory(group, shape, history));
  STORE_TRY(StoreRealsCreate(group, "theta", 3, theta, "1", "parameters of the policy"));
  STORE_TRY(StoreDatasetCreate(group, "theta_checksum", 3, sums, H5T_STD_U64LE, NULL, "",
                               "sum of snapshot and theta: bytes 0-7 and 8-15 of SHA-256; 0: not there yet"));
  if (shape->ntests) {
    STORE_TRY(StoreScaleCreate(group, "test_iteration", shape->ntests, shape->tests, "updates made before the test"));
    STORE_TRY(
        StoreRealsCreate(group, "test_loss", 2, test, "1", "mean loss over the test starts, integrated accurately"));
    STORE_TRY(
        StoreDatasetCreate(group, "test_failures", 2, test, H5T_STD_I32LE, &zero, "1", "test starts that failed"));
  }
  if (shape->visited)
    STORE_TRY(
        StoreRealsCreate(group, "visited", 3, visited, "SI", "states of forward solves, evenly over all samples"));
  if (shape->path_points) STORE_TRY(CreatePaths(group, shape));
  if (shape->naudits) STORE_TRY(CreateAudits(group, shape));
  return CreateSlots(group, n, shape);
}

static int CreateTestStarts(hid_t group, const TrainLayout *layout, PetscInt p) {
  const CtpgLabelInfo *problem = layout->plan->problems + p;
  const hsize_t n = (hsize_t)layout->nseeds[p], starts = (hsize_t)layout->test_starts[p];
  const StoreDimension x0[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->nx}};
  const StoreDimension task[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->ntask}};
  const hsize_t zero[STORE_DIMENSIONS] = {0}, x0_size[] = {n, starts, (hsize_t)problem->nx};
  const hsize_t task_size[] = {n, starts, (hsize_t)problem->ntask};
  TrainArray array = {0};
  STORE_TRY(StoreScaleCreate(group, "seed", layout->nseeds[p], layout->seeds[p], "seed of the run"));
  STORE_TRY(StoreTextWrite(group, "options", layout->options[p]));
  if (!starts) return 0;
  STORE_TRY(StoreRealsCreate(group, "test_x0", 3, x0, "SI", "starts of the tests"));
  STORE_TRY(TrainArrayOpen(group, "test_x0", H5T_NATIVE_DOUBLE, 3, x0_size, &array));
  STORE_TRY(TrainArrayMove(&array, zero, x0_size, layout->test_x0[p], PETSC_TRUE));
  TrainArrayClose(&array);
  STORE_TRY(StoreFixedWrite(group, "test_x0"));
  if (!problem->ntask) return 0;
  STORE_TRY(StoreRealsCreate(group, "test_task", 3, task, "SI", "what is random beside them"));
  STORE_TRY(TrainArrayOpen(group, "test_task", H5T_NATIVE_DOUBLE, 3, task_size, &array));
  STORE_TRY(TrainArrayMove(&array, zero, task_size, layout->test_task[p], PETSC_TRUE));
  TrainArrayClose(&array);
  return StoreFixedWrite(group, "test_task");
}

// In which order the columns of the history that a pair has are summed (train_sums.c).
static int NameHistory(hid_t training) {
  const char *name[TRAIN_NHISTORY];
  for (int c = 0; c < TRAIN_NHISTORY; c++) name[c] = TrainHistoryColumns[c].name;
  return StoreTextsWrite(training, "history", TRAIN_NHISTORY, name);
}

static int CreateGroups(hid_t file, const TrainLayout *layout) {
  const CtpgStorePlan *plan = layout->plan;
  const hid_t training = H5Gcreate2(file, "training", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(training);
  STORE_TRY(StoreTableCreate(training, "table", &TrainRowLayout, layout->nruns, NULL));
  STORE_TRY(StoreWordsWrite(training, "", 0, NULL));
  STORE_TRY(NameHistory(training));
  STORE_TRY(StoreCommitsCreate(training, layout->nruns));
  STORE_TRY(StoreIdentitiesCreate(training, layout->nruns));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t problem = H5Gcreate2(training, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(problem);
    STORE_TRY(CreateTestStarts(problem, layout, p));
    for (PetscInt i = 0; i < layout->npairs; i++) {
      const TrainShape *shape = layout->shapes + i;
      if (shape->problem != p) continue;
      const hid_t pair =
          H5Gcreate2(problem, plan->estimators[shape->estimator].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
      STORE_TRY(pair);
      STORE_TRY(FillPair(pair, shape));
      STORE_TRY(StoreFileReserve(file));
      H5Gclose(pair);
    }
    H5Gclose(problem);
  }
  H5Gclose(training);
  return 0;
}

// ---- does the file that is there do?

static PetscBool SameList(PetscInt n, const int64_t *a, PetscInt m, const int64_t *b) {
  return n == m && (!n || !memcmp(a, b, (size_t)n * sizeof *a)) ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool SameShape(const TrainShape *a, const TrainShape *b) {
  return a->problem == b->problem && a->estimator == b->estimator && a->iterations == b->iterations &&
                 a->visited == b->visited && a->path_points == b->path_points && a->path_starts == b->path_starts &&
                 SameList(a->naudits, a->audits, b->naudits, b->audits) &&
                 SameList(a->nsnapshots, a->snapshots, b->nsnapshots, b->snapshots) &&
                 SameList(a->ntests, a->tests, b->ntests, b->tests)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

PetscBool TrainContentsHasLayout(TrainContents c, const TrainLayout *layout) {
  const CtpgStorePlan *plan = layout->plan;
  PetscBool same = c->base->writable && c->nruns == layout->nruns && c->npairs == layout->npairs &&
                           c->base->nproblems == plan->nproblems && c->base->nestimators == plan->nestimators
                       ? PETSC_TRUE
                       : PETSC_FALSE;
  for (PetscInt p = 0; same && p < plan->nproblems; p++)
    if (strcmp(c->base->problem[p], plan->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < plan->nestimators; e++)
    if (strcmp(c->base->estimator[e], plan->estimators[e].label)) same = PETSC_FALSE;
  for (PetscInt r = 0; same && r < c->nruns; r++)
    if (c->rows[r].run_key != layout->rows[r].run_key) same = PETSC_FALSE;
  for (PetscInt i = 0; same && i < layout->npairs; i++) same = SameShape(c->shapes + i, layout->shapes + i);
  return same;
}

// ---- the file

typedef struct {
  const TrainLayout *layout;
  TrainContents old;
} Extension;

static int Extend(hid_t file, void *context) {
  const Extension *x = context;
  STORE_TRY(CreateGroups(file, x->layout));
  return TrainTakeOver(file, x->layout, x->old);
}

PetscErrorCode TrainStoreCreate(const char *path, const TrainLayout *layout, TrainContents old) {
  Extension extension = {layout, old};
  CtpgStorePlan plan = *layout->plan;
  PetscFunctionBeginUser;
  plan.extend = Extend;
  plan.extend_context = &extension;
  PetscCall(StoreCreate(path, &plan, old ? old->base : NULL));
  PetscFunctionReturn(0);
}
