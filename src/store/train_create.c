// store_train_create.c -- the groups of training, complete and filled, and what an older file brings along

#include "store/smallfile.h"
#include "store/train_private.h"
#include <hdf5_hl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- creation

typedef struct {
  const char *scale; // name of the scale of this dimension; NULL: a bare index
  hsize_t size;
} Dimension;

static int CreateArray(hid_t place, const char *name, int n, const Dimension *dimension, hid_t type, const void *fill,
                       const char *unit, const char *text) {
  hsize_t size[TRAIN_DIMENSIONS];
  for (int d = 0; d < n; d++) size[d] = dimension[d].size;
  const hid_t space = H5Screate_simple(n, size, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY), H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
  H5Pset_obj_track_times(how, 0);
  if (fill) H5Pset_fill_value(how, type, fill);
  const hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  int failed = set < 0 ? StoreFailHDF5() : SmallFileText(set, "units", unit) || SmallFileText(set, "description", text);
  for (int d = 0; !failed && d < n; d++) {
    if (!dimension[d].scale) continue;
    const hid_t scale = H5Dopen2(place, dimension[d].scale, H5P_DEFAULT);
    if (scale < 0 || H5DSattach_scale(set, scale, (unsigned)d) < 0) failed = StoreFailHDF5();
    H5Dclose(scale);
  }
  H5Dclose(set), H5Pclose(how), H5Sclose(space);
  return failed;
}

static int CreateReals(hid_t place, const char *name, int n, const Dimension *dimension, const char *unit,
                       const char *text) {
  const double fill = NAN;
  return CreateArray(place, name, n, dimension, H5T_IEEE_F64LE, &fill, unit, text);
}

// values NULL: 0, 1, .. n - 1.
static int CreateScale(hid_t place, const char *name, PetscInt n, const int64_t *values, const char *text) {
  const Dimension dimension = {NULL, (hsize_t)n};
  int64_t *index = malloc(((size_t)n + 1) * sizeof *index);
  STORE_TRY(CreateArray(place, name, 1, &dimension, H5T_STD_I64LE, NULL, "1", text));
  if (!index) return StoreFail("out of memory");
  for (PetscInt i = 0; i < n; i++) index[i] = values ? values[i] : i;
  const hid_t set = H5Dopen2(place, name, H5P_DEFAULT);
  const int failed =
      (n && H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, index) < 0) || H5DSset_scale(set, name) < 0;
  if (failed) StoreFailHDF5();
  H5Dclose(set);
  free(index);
  return failed ? -1 : 0;
}

static int CreateHistory(hid_t group, const Dimension *dimension) {
  const double nothing = NAN;
  const int32_t zero = 0;
  for (int c = 0; c < TRAIN_NHISTORY; c++) {
    const StoreColumn *column = TrainHistoryColumns + c;
    const PetscBool real = column->kind == STORE_F64 ? PETSC_TRUE : PETSC_FALSE;
    STORE_TRY(CreateArray(group, column->name, 2, dimension, real ? H5T_IEEE_F64LE : H5T_STD_I32LE,
                          real ? (const void *)&nothing : &zero, column->unit, column->text));
  }
  return 0;
}

static int CreateSlots(hid_t group, hsize_t nseeds, const TrainShape *shape) {
  const int64_t none = -1;
  const hid_t slot = H5Gcreate2(group, "slot", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const Dimension theta[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->np}};
  const Dimension optimizer[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->noptimizer}};
  const Dimension memory[] = {{NULL, nseeds}, {NULL, 2}, {NULL, (hsize_t)shape->nmemory}};
  STORE_TRY(slot);
  STORE_TRY(CreateArray(slot, "iteration", 2, theta, H5T_STD_I64LE, &none, "1", "updates made; -1: not used yet"));
  STORE_TRY(CreateArray(slot, "checksum", 2, theta, H5T_STD_U64LE, NULL, "1",
                        "FNV-1a64 over the history before, then iteration, theta, optimizer, memory"));
  STORE_TRY(CreateReals(slot, "theta", 3, theta, "1", "parameters of the policy"));
  if (shape->noptimizer) STORE_TRY(CreateReals(slot, "optimizer", 3, optimizer, "1", "state of the optimiser"));
  if (shape->nmemory)
    STORE_TRY(CreateArray(slot, "memory", 3, memory, H5T_STD_U8LE, NULL, "1", "what the estimator remembers"));
  H5Gclose(slot);
  return 0;
}

// Times at which paths are sampled.
static int CreatePathTimes(hid_t group, const TrainShape *shape) {
  const Dimension dimension = {NULL, (hsize_t)shape->path_points};
  double *times = malloc((size_t)shape->path_points * sizeof *times);
  if (!times) return StoreFail("out of memory");
  for (PetscInt i = 0; i < shape->path_points; i++) times[i] = shape->T * i / (shape->path_points - 1);
  int failed = CreateArray(group, "path_time", 1, &dimension, H5T_IEEE_F64LE, NULL, "s", "time along a path");
  const hid_t set = failed ? -1 : H5Dopen2(group, "path_time", H5P_DEFAULT);
  if (set >= 0 && (H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, times) < 0 ||
                   H5DSset_scale(set, "path_time") < 0))
    failed = StoreFailHDF5();
  if (set >= 0) H5Dclose(set);
  free(times);
  return failed;
}

static int CreatePaths(hid_t group, const TrainShape *shape) {
  const Dimension path[] = {{"seed", (hsize_t)shape->nseeds},
                            {"snapshot", (hsize_t)shape->nsnapshots},
                            {NULL, (hsize_t)shape->path_starts},
                            {"path_time", (hsize_t)shape->path_points},
                            {NULL, (hsize_t)shape->nx}};
  Dimension control[5];
  memcpy(control, path, sizeof control);
  control[4].size = (hsize_t)shape->nu;
  STORE_TRY(CreatePathTimes(group, shape));
  STORE_TRY(CreateReals(group, "path", 5, path, "SI", "states from the test starts under theta of the snapshot"));
  return CreateReals(group, "path_control", 5, control, "SI", "controls along these paths");
}

static int CreateAudits(hid_t group, const TrainShape *shape) {
  const Dimension audit[] = {{"seed", (hsize_t)shape->nseeds}, {"audit_iteration", (hsize_t)shape->naudits}};
  STORE_TRY(CreateScale(group, "audit_iteration", shape->naudits, shape->audits, "updates made before the audit"));
  STORE_TRY(
      CreateReals(group, "audit_error", 2, audit, "1", "||g - g*||, g* the batch's gradient by an accurate solve"));
  STORE_TRY(CreateReals(group, "audit_stderr", 2, audit, "1",
                        "standard error of g* as a mean over the batch: sqrt(trace of the covariance / batch)"));
  return CreateReals(group, "audit_norm", 2, audit, "1", "||g*||");
}

static int FillPair(hid_t group, const TrainShape *shape) {
  const hsize_t n = (hsize_t)shape->nseeds;
  const Dimension history[] = {{"seed", n}, {"iteration", (hsize_t)shape->iterations}};
  const Dimension theta[] = {{"seed", n}, {"snapshot", (hsize_t)shape->nsnapshots}, {"parameter", (hsize_t)shape->np}};
  const Dimension test[] = {{"seed", n}, {"test_iteration", (hsize_t)shape->ntests}};
  const Dimension visited[] = {{"seed", n}, {NULL, (hsize_t)shape->visited}, {NULL, (hsize_t)shape->nx}};
  const int32_t zero = 0;
  STORE_TRY(CreateScale(group, "seed", shape->nseeds, shape->seeds, "seed of the run"));
  STORE_TRY(CreateScale(group, "iteration", shape->iterations, NULL, "number of the update, from 0"));
  STORE_TRY(
      CreateScale(group, "snapshot", shape->nsnapshots, shape->snapshots, "updates made before theta was stored"));
  STORE_TRY(
      CreateScale(group, "parameter", shape->np, NULL, "component of theta, layer by layer: W [out, in], then b"));
  STORE_TRY(CreateHistory(group, history));
  STORE_TRY(CreateReals(group, "theta", 3, theta, "1", "parameters of the policy"));
  if (shape->ntests) {
    STORE_TRY(CreateScale(group, "test_iteration", shape->ntests, shape->tests, "updates made before the test"));
    STORE_TRY(CreateReals(group, "test_loss", 2, test, "1", "mean loss over the test starts, integrated accurately"));
    STORE_TRY(CreateArray(group, "test_failures", 2, test, H5T_STD_I32LE, &zero, "1", "test starts that failed"));
  }
  if (shape->visited)
    STORE_TRY(CreateReals(group, "visited", 3, visited, "SI", "states of forward solves, evenly over all samples"));
  if (shape->path_points) STORE_TRY(CreatePaths(group, shape));
  if (shape->naudits) STORE_TRY(CreateAudits(group, shape));
  return CreateSlots(group, n, shape);
}

static int CreateTestStarts(hid_t group, const TrainLayout *layout, PetscInt p) {
  const CtpgLabelInfo *problem = layout->plan->problems + p;
  const hsize_t n = (hsize_t)layout->nseeds[p], starts = (hsize_t)layout->test_starts[p];
  const Dimension x0[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->nx}};
  const Dimension task[] = {{"seed", n}, {NULL, starts}, {NULL, (hsize_t)problem->ntask}};
  const hsize_t zero[TRAIN_DIMENSIONS] = {0}, x0_size[] = {n, starts, (hsize_t)problem->nx};
  const hsize_t task_size[] = {n, starts, (hsize_t)problem->ntask};
  TrainArray array = {0};
  STORE_TRY(CreateScale(group, "seed", layout->nseeds[p], layout->seeds[p], "seed of the run"));
  STORE_TRY(SmallFileText(group, "options", layout->options[p]));
  if (!starts) return 0;
  STORE_TRY(CreateReals(group, "test_x0", 3, x0, "SI", "starts of the tests"));
  STORE_TRY(TrainArrayOpen(group, "test_x0", H5T_NATIVE_DOUBLE, 3, x0_size, &array));
  STORE_TRY(TrainArrayMove(&array, zero, x0_size, layout->test_x0[p], PETSC_TRUE));
  TrainArrayClose(&array);
  if (!problem->ntask) return 0;
  STORE_TRY(CreateReals(group, "test_task", 3, task, "SI", "what is random beside them"));
  STORE_TRY(TrainArrayOpen(group, "test_task", H5T_NATIVE_DOUBLE, 3, task_size, &array));
  STORE_TRY(TrainArrayMove(&array, zero, task_size, layout->test_task[p], PETSC_TRUE));
  TrainArrayClose(&array);
  return 0;
}

static int CreateGroups(hid_t file, const TrainLayout *layout) {
  const CtpgStorePlan *plan = layout->plan;
  const hid_t training = H5Gcreate2(file, "training", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(training);
  STORE_TRY(StoreTableCreate(training, "table", &TrainRowLayout, layout->nruns, NULL));
  STORE_TRY(StoreWriteStatuses(training, "table"));
  STORE_TRY(StoreCommitsCreate(training, layout->nruns));
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
      STORE_TRY(StoreReserve(file));
      H5Gclose(pair);
    }
    H5Gclose(problem);
  }
  H5Gclose(training);
  return 0;
}

// ---- a file in place of another

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
  PetscBool same = c->nruns == layout->nruns && c->npairs == layout->npairs && c->base->nproblems == plan->nproblems &&
                           c->base->nestimators == plan->nestimators
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

static int CopyArrays(Copy *copy, const TrainPairArrays *from, const TrainShape *old, PetscInt i,
                      const TrainPairArrays *to, const TrainShape *new, PetscInt j) {
  STORE_TRY(CopyHistory(copy, from, i, to, j, old->iterations));
  STORE_TRY(CopyTests(from, old, i, to, new, j));
  STORE_TRY(CopyAudits(from, old, i, to, new, j));
  for (PetscInt m = 0; m < new->nsnapshots; m++) {
    const PetscInt k = Find(old->nsnapshots, old->snapshots, new->snapshots[m]);
    if (k < 0) continue;
    STORE_TRY(CopyVector(&from->theta, i, k, &to->theta, j, m, sizeof(double)));
    STORE_TRY(CopyVector(&from->path, i, k, &to->path, j, m, sizeof(double)));
    STORE_TRY(CopyVector(&from->path_control, i, k, &to->path_control, j, m, sizeof(double)));
  }
  for (PetscInt v = 0; v < new->visited; v++)
    STORE_TRY(CopyVector(&from->visited, i, v, &to->visited, j, v, sizeof(double)));
  for (PetscInt k = 0; k < 2; k++) {
    int64_t iteration;
    uint64_t checksum;
    STORE_TRY(CopyVector(&from->slot_theta, i, k, &to->slot_theta, j, k, sizeof(double)));
    STORE_TRY(CopyVector(&from->slot_optimizer, i, k, &to->slot_optimizer, j, k, sizeof(double)));
    STORE_TRY(CopyVector(&from->slot_memory, i, k, &to->slot_memory, j, k, 1));
    STORE_TRY(TrainMoveInRow(&from->slot_checksum, i, k, 1, &checksum, PETSC_FALSE));
    STORE_TRY(TrainMoveInRow(&from->slot_iteration, i, k, 1, &iteration, PETSC_FALSE));
    STORE_TRY(TrainMoveInRow(&to->slot_checksum, j, k, 1, &checksum, PETSC_TRUE));
    STORE_TRY(TrainMoveInRow(&to->slot_iteration, j, k, 1, &iteration, PETSC_TRUE));
  }
  return 0;
}

// The row of a run that is finished in the new file too: one that ended early, or as long as it was.
static int CopyRow(Copy *copy, PetscInt run, const TrainRow *old, const TrainShape *new) {
  const TrainRow *identity = copy->layout->rows + run;
  TrainRow row = *old;
  if (row.status == CTPG_OK && row.iterations_done < new->iterations) return 0;
  row.problem = identity->problem, row.estimator = identity->estimator, row.row = identity->row;
  row.iterations = identity->iterations;
  STORE_TRY(TrainRowWrite(copy->table, run, &row));
  return TrainCommitWrite(copy->commits, run, &row);
}

static int CopyRuns(TrainContents c, const TrainPairArrays *pairs, void *context) {
  Copy *copy = context;
  const TrainLayout *layout = copy->layout;
  for (PetscInt r = 0; r < c->nruns; r++)
    for (PetscInt q = 0; q < layout->nruns; q++) {
      if (layout->rows[q].run_key != c->rows[r].run_key) continue;
      const PetscInt from = TrainFindPair(c->npairs, c->shapes, r),
                     to = TrainFindPair(layout->npairs, layout->shapes, q);
      const TrainShape *old = c->shapes + from, *new = layout->shapes + to;
      STORE_TRY(CheckContinues(old, new));
      STORE_TRY(CopyArrays(copy, pairs + from, old, r - old->first_run, copy->to + to, new, q - new->first_run));
      if (c->done[r]) STORE_TRY(CopyRow(copy, q, c->rows + r, layout->shapes + to));
    }
  return 0;
}

typedef struct {
  const TrainLayout *layout;
  TrainContents old;
} Extension;

static int FillRows(hid_t file, const Extension *x, Copy *copy) {
  STORE_TRY(StoreTableOpen(file, "training/table", &TrainRowLayout, copy->table));
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, copy->commits));
  for (PetscInt r = 0; r < x->layout->nruns; r++) STORE_TRY(TrainRowWrite(copy->table, r, x->layout->rows + r));
  if (!x->old) return 0;
  STORE_TRY(TrainLayoutOpen(file, x->layout, copy->to));
  return TrainWithPairs(x->old, CopyRuns, copy);
}

static int Extend(int64_t file, void *context) {
  const Extension *x = context;
  const PetscInt npairs = x->layout->npairs;
  StoreArray table = {0}, commits = {0};
  Copy copy = {.layout = x->layout, .table = &table, .commits = &commits};
  STORE_TRY(CreateGroups(file, x->layout));
  copy.to = calloc((size_t)npairs + 1, sizeof *copy.to);
  copy.history = malloc(TRAIN_PIECE * sizeof *copy.history);
  const int failed = copy.to && copy.history ? FillRows(file, x, &copy) : StoreFail("out of memory");
  for (PetscInt i = 0; copy.to && i < npairs; i++) TrainPairClose(copy.to + i);
  StoreArrayClose(&table), StoreArrayClose(&commits);
  free(copy.to), free(copy.history);
  return failed;
}

#define FILE_OVERHEAD 40000.0 // bytes of attributes and group structures, and
#define PAIR_OVERHEAD 30000.0 // of each pair

static double PairBytes(const TrainShape *shape) {
  double history = 8, points = (double)shape->path_starts * shape->path_points * (shape->nx + shape->nu);
  for (int c = 0; c < TRAIN_NHISTORY; c++) history += (double)TrainHistoryColumns[c].size;
  const double reals = shape->nsnapshots * (shape->np + points) + (double)shape->visited * shape->nx +
                       2.0 * (shape->np + shape->noptimizer);
  return shape->nseeds * (8 * reals + shape->iterations * history + 12.0 * shape->ntests + 24.0 * shape->naudits +
                          2.0 * shape->nmemory) +
         8.0 * (shape->iterations + shape->np) + PAIR_OVERHEAD;
}

double TrainLayoutBytes(const TrainLayout *layout) {
  double bytes = FILE_OVERHEAD + (double)(CTPG_SESSIONS * StoreRowBytes(&StoreSessionLayout)) +
                 (double)layout->nruns * (double)(StoreRowBytes(&TrainRowLayout) + StoreRowBytes(&StoreCommitLayout));
  for (PetscInt i = 0; i < layout->npairs; i++) bytes += PairBytes(layout->shapes + i);
  return bytes;
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
