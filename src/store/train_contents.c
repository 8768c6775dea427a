// train_contents.c -- what a training file holds, read serially
//
// Works while a job writes. The rows of the table tell which pairs were trained; the sizes of their arrays come from
// the arrays themselves.

#include "store/train_contents.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int OpenAll(hid_t file, TrainContents c, TrainPairArrays *pairs) {
  for (PetscInt i = 0; i < c->npairs; i++) {
    const TrainShape *shape = c->shapes + i;
    STORE_TRY(
        TrainPairOpen(file, c->base->problem[shape->problem], c->base->estimator[shape->estimator], shape, pairs + i));
  }
  return 0;
}

// Extent of dataset `name` along dimension d; 0 where there is none.
static PetscInt Extent(hid_t group, const char *name, int d) {
  hsize_t size[STORE_DIMENSIONS] = {0};
  if (H5Lexists(group, name, H5P_DEFAULT) <= 0) return 0;
  const hid_t set = H5Dopen2(group, name, H5P_DEFAULT), space = H5Dget_space(set);
  if (H5Sget_simple_extent_ndims(space) > d && H5Sget_simple_extent_ndims(space) <= STORE_DIMENSIONS)
    H5Sget_simple_extent_dims(space, size, NULL);
  H5Sclose(space), H5Dclose(set);
  return (PetscInt)size[d];
}

static int ReadScale(hid_t group, const char *name, PetscInt n, int64_t **values) {
  const hsize_t size = (hsize_t)n, zero = 0;
  TrainArray array = {0};
  if (!(*values = calloc((size_t)n + 1, sizeof **values))) return StoreFail("out of memory");
  if (!n) return 0;
  STORE_TRY(TrainArrayOpen(group, name, H5T_NATIVE_INT64, 1, &size, &array));
  const int failed = TrainArrayMove(&array, &zero, &size, *values, PETSC_FALSE);
  TrainArrayClose(&array);
  return failed;
}

static int ReadShape(hid_t file, const char *problem, const char *estimator, TrainShape *shape) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s/%s", problem, estimator);
  const hid_t group = H5Gopen2(file, path, H5P_DEFAULT);
  STORE_TRY(group);
  shape->np = Extent(group, "theta", 2), shape->nsnapshots = Extent(group, "theta", 1);
  shape->iterations = Extent(group, "loss", 1), shape->ntests = Extent(group, "test_loss", 1);
  shape->visited = Extent(group, "visited", 1), shape->naudits = Extent(group, "audit_error", 1);
  shape->path_starts = Extent(group, "path", 2), shape->path_points = Extent(group, "path", 3);
  shape->nx = shape->visited ? Extent(group, "visited", 2) : Extent(group, "path", 4);
  shape->nu = Extent(group, "path_control", 4);
  const hid_t slot = H5Gopen2(group, "slot", H5P_DEFAULT);
  STORE_TRY(slot);
  shape->noptimizer = Extent(slot, "optimizer", 2), shape->nmemory = Extent(slot, "memory", 2);
  H5Gclose(slot);
  STORE_TRY(ReadScale(group, "snapshot", shape->nsnapshots, &shape->snapshots));
  STORE_TRY(ReadScale(group, "test_iteration", shape->ntests, &shape->tests));
  STORE_TRY(ReadScale(group, "audit_iteration", shape->naudits, &shape->audits));
  STORE_TRY(ReadScale(group, "seed", shape->nseeds, &shape->seeds));
  H5Gclose(group);
  return 0;
}

// Attribute `options` of training/<problem>.
static int ReadTrainingOptions(hid_t file, const char *problem, char **text) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof path, "training/%s", problem);
  const hid_t attribute = H5Aopen_by_name(file, path, "options", H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(attribute);
  const hid_t stored = H5Aget_type(attribute), type = H5Tcopy(H5T_C_S1);
  const size_t size = H5Tget_size(stored) + 1;
  int failed = (*text = calloc(1, size)) ? 0 : StoreFail("out of memory");
  H5Tset_size(type, size);
  if (!failed && H5Aread(attribute, type, *text) < 0) failed = StoreFailHDF5();
  H5Tclose(type), H5Tclose(stored), H5Aclose(attribute);
  return failed;
}

static int ReadShapes(hid_t file, TrainContents c) {
  const CtpgContents base = c->base;
  c->options = calloc((size_t)base->nproblems + 1, sizeof *c->options);
  if (!c->options) return StoreFail("out of memory");
  for (PetscInt p = 0; p < base->nproblems; p++) STORE_TRY(ReadTrainingOptions(file, base->problem[p], c->options + p));
  for (PetscInt i = 0; i < c->npairs; i++)
    STORE_TRY(
        ReadShape(file, base->problem[c->shapes[i].problem], base->estimator[c->shapes[i].estimator], c->shapes + i));
  return 0;
}

// Commits first: a row that is seen committed has been written.
static int ReadRows(hid_t file, TrainContents c) {
  unsigned char bytes[sizeof(TrainRow)], packed[sizeof(StoreCommit)];
  StoreArray table = {0}, commits = {0};
  StoreCommit commit;
  STORE_TRY(StoreTableOpen(file, "training/commit", &StoreCommitLayout, &commits));
  STORE_TRY(StoreTableOpen(file, "training/table", &TrainRowLayout, &table));
  c->nruns = (PetscInt)table.rows;
  if (commits.rows != table.rows) return StoreFail("its tables do not fit together");
  c->rows = calloc((size_t)c->nruns + 1, sizeof *c->rows);
  c->done = calloc((size_t)c->nruns + 1, sizeof *c->done);
  c->slot = calloc((size_t)c->nruns + 1, sizeof *c->slot);
  if (!c->rows || !c->done || !c->slot) return StoreFail("out of memory");
  for (PetscInt r = 0; r < c->nruns; r++) {
    STORE_TRY(StoreArrayRead(&commits, (hsize_t)r, 1, packed));
    STORE_TRY(StoreArrayRead(&table, (hsize_t)r, 1, bytes));
    StoreRowUnpack(&StoreCommitLayout, packed, &commit);
    StoreRowUnpack(&TrainRowLayout, bytes, c->rows + r);
    const uint64_t checksum = CtpgHash(CTPG_HASH_START, bytes, StoreRowBytes(&TrainRowLayout));
    c->done[r] = commit.status != CTPG_PENDING && commit.checksum == checksum ? PETSC_TRUE : PETSC_FALSE;
    if (commit.status != CTPG_PENDING && !c->done[r]) c->base->torn++;
  }
  StoreArrayClose(&table), StoreArrayClose(&commits);
  return 0;
}

// Which pairs were trained: the rows tell, pair by pair.
static int ListPairs(TrainContents c) {
  const CtpgContents base = c->base;
  c->shapes = calloc((size_t)c->nruns + 1, sizeof *c->shapes);
  if (!c->shapes) return StoreFail("out of memory");
  for (PetscInt r = 0; r < c->nruns; r++) {
    const TrainRow *row = c->rows + r;
    if (row->problem < 0 || row->problem >= base->nproblems || row->estimator < 0 ||
        row->estimator >= base->nestimators)
      return StoreFail("row %d of its table is damaged", (int)r);
    TrainShape *last = c->npairs ? c->shapes + c->npairs - 1 : NULL;
    if (!last || last->problem != row->problem || last->estimator != row->estimator) {
      last = c->shapes + c->npairs++;
      *last = (TrainShape){.problem = row->problem, .estimator = row->estimator, .first_run = r};
    }
    last->nseeds++;
  }
  return 0;
}

static int ReadSlotIterations(const TrainPairArrays *pairs, TrainContents c) {
  for (PetscInt i = 0; i < c->npairs; i++)
    for (PetscInt s = 0; s < c->shapes[i].nseeds; s++) {
      int64_t iteration[2];
      STORE_TRY(TrainMoveInRow(&pairs[i].slot_iteration, s, 0, 2, iteration, PETSC_FALSE));
      c->slot[c->shapes[i].first_run + s] = PetscMin(PetscMax(iteration[0], iteration[1]), c->shapes[i].iterations);
    }
  return 0;
}

int TrainWithPairs(TrainContents c, TrainPairsWork *work, void *context) {
  const PetscInt npairs = c->npairs;
  TrainPairArrays *pairs = calloc((size_t)npairs + 1, sizeof *pairs);
  const hid_t file = StoreFileOpenSerial(c->base->path);
  int failed = file < 0 ? -1 : pairs ? 0 : StoreFail("out of memory");
  if (!failed) failed = OpenAll(file, c, pairs) || work(c, pairs, context);
  for (PetscInt i = 0; pairs && i < npairs; i++) TrainPairClose(pairs + i);
  free(pairs);
  if (file >= 0) H5Fclose(file);
  return failed ? -1 : 0;
}

static int ReadSlotsOf(TrainContents c, const TrainPairArrays *pairs, void *unused) {
  (void)unused;
  return ReadSlotIterations(pairs, c);
}

static int ReadTraining(TrainContents c) {
  const hid_t file = StoreFileOpenSerial(c->base->path);
  STORE_TRY(file);
  const int failed = ReadRows(file, c) || ListPairs(c) || ReadShapes(file, c);
  H5Fclose(file);
  return failed || TrainWithPairs(c, ReadSlotsOf, NULL) ? -1 : 0;
}

PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents) {
  TrainContents c;
  int failed;
  PetscFunctionBeginUser;
  c = calloc(1, sizeof *c);
  PetscCheck(c, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  *contents = c;
  PetscCall(ContentsRead(path, &c->base));
  PetscCheck(!strcmp(c->base->kind, "train"), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "%s is a file of kind %s, not of training", path, c->base->kind);
  StoreBegin();
  failed = ReadTraining(c);
  if (failed) PetscCall(TrainContentsDestroy(contents));
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode TrainContentsDestroy(TrainContents *contents) {
  TrainContents c = *contents;
  PetscFunctionBeginUser;
  if (!c) PetscFunctionReturn(0);
  for (PetscInt i = 0; c->shapes && i < c->npairs; i++)
    free(c->shapes[i].seeds), free(c->shapes[i].snapshots), free(c->shapes[i].tests), free(c->shapes[i].audits);
  for (PetscInt p = 0; c->options && p < c->base->nproblems; p++) free(c->options[p]);
  free(c->rows), free(c->done), free(c->slot), free(c->shapes), free(c->options);
  PetscCall(ContentsDestroy(&c->base));
  free(c);
  *contents = NULL;
  PetscFunctionReturn(0);
}

typedef struct {
  PetscInt run;
  PetscReal loss;
} LossQuestion;

static int ReadLoss(TrainContents c, const TrainPairArrays *pairs, void *context) {
  LossQuestion *question = context;
  const PetscInt pair = TrainFindPair(c->npairs, c->shapes, question->run);
  return TrainMoveInRow(&pairs[pair].history[0], question->run - c->shapes[pair].first_run,
                        (PetscInt)c->slot[question->run] - 1, 1, &question->loss, PETSC_FALSE);
}

PetscErrorCode TrainContentsReadLoss(TrainContents c, PetscInt run, PetscReal *loss) {
  LossQuestion question = {run, NAN};
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCheck(c->slot[run] < 1 || !TrainWithPairs(c, ReadLoss, &question), PETSC_COMM_SELF, PETSC_ERR_FILE_READ,
             "Cannot read %s: %s", c->base->path, StoreReason());
  *loss = question.loss;
  PetscFunctionReturn(0);
}
