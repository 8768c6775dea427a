// train_contents.c -- what a training file holds, read serially
//
// Works while a job writes. The rows of the table tell which pairs were trained; the sizes of their arrays come from
// the arrays themselves.

#include "store/train_contents.h"
#include "store/fileguard.h"
#include "store/train_sums.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int OpenAll(hid_t file, TrainContents c, TrainPairArrays *pairs) {
  for (PetscInt i = 0; i < c->npairs; i++) {
    const TrainShape *shape = c->shapes + i;
    STORE_TRY(TrainPairOpen(file, c->base->schema, c->base->problem[shape->problem],
                            c->base->estimator[shape->estimator], shape, pairs + i));
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
  shape->contract = Extent(group, "promise", 1) > 0 ? PETSC_TRUE : PETSC_FALSE;
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
typedef struct {
  StoreArray table, commits, identity;
} Tables;

static int OpenTables(hid_t file, int32_t schema, Tables *t) {
  int (*open)(hid_t, const char *, const StoreLayout *, StoreArray *) =
      schema == CTPG_SCHEMA ? StoreTableOpen : StoreTableOpenByName;
  STORE_TRY(open(file, "training/commit", &StoreCommitLayout, &t->commits));
  STORE_TRY(open(file, "training/table", &TrainRowLayout, &t->table));
  if (t->commits.rows != t->table.rows) return StoreFail("its tables do not fit together");
  if (schema != CTPG_SCHEMA) return 0;
  STORE_TRY(StoreArrayOpen(file, "training/identity", H5T_NATIVE_UINT64, &t->identity));
  return t->identity.rows == t->table.rows && t->identity.width == 2 ? 0 : StoreFail("its tables do not fit together");
}

static void CloseTables(Tables *t) {
  StoreArrayClose(&t->table), StoreArrayClose(&t->commits), StoreArrayClose(&t->identity);
}

static int ReadRow(Tables *t, PetscInt r, StoreCommit *commit, TrainRow *row, unsigned char *bytes) {
  unsigned char packed[sizeof(StoreCommit)] = {0};
  StoreSum stored;
  TrainRowClear(row);
  StoreRowPack(&TrainRowLayout, row, bytes);
  STORE_TRY(StoreArrayRead(&t->commits, (hsize_t)r, 1, packed));
  STORE_TRY(StoreArrayRead(&t->table, (hsize_t)r, 1, bytes));
  StoreRowUnpack(&StoreCommitLayout, packed, commit);
  StoreRowUnpack(&TrainRowLayout, bytes, row);
  if (!t->identity.set) return 0;
  STORE_TRY(StoreArrayRead(&t->identity, (hsize_t)r, 1, stored.word));
  const StoreSum found = TrainRowIdentity(row);
  return StoreSumsAgree(&stored, &found) ? 0 : StoreFail("row %d of training/table is damaged", (int)r);
}

static unsigned char *PackedRow(TrainContents c, PetscInt r) {
  return c->packed + (size_t)r * StoreRowBytes(&TrainRowLayout);
}

// Rows are taken for done where they are committed; VerifyRuns looks at what the commits vouch for.
static int ReadRows(hid_t file, TrainContents c) {
  Tables tables = {0};
  int failed = OpenTables(file, c->base->schema, &tables);
  c->nruns = failed ? 0 : (PetscInt)tables.table.rows;
  c->rows = calloc((size_t)c->nruns + 1, sizeof *c->rows);
  c->commits = calloc((size_t)c->nruns + 1, sizeof *c->commits);
  c->done = calloc((size_t)c->nruns + 1, sizeof *c->done);
  c->slot = calloc((size_t)c->nruns + 1, sizeof *c->slot);
  c->packed = calloc((size_t)c->nruns + 1, StoreRowBytes(&TrainRowLayout));
  if (!c->packed || !c->rows || !c->commits || !c->done || !c->slot) failed = StoreFail("out of memory");
  for (PetscInt r = 0; !failed && r < c->nruns; r++) {
    failed = ReadRow(&tables, r, c->commits + r, c->rows + r, PackedRow(c, r));
    c->done[r] = c->commits[r].status != CTPG_PENDING ? PETSC_TRUE : PETSC_FALSE;
  }
  CloseTables(&tables);
  return failed;
}

// The schema before vouched for rows alone, by FNV-1a64 over the bytes that lie in the file.
static int VerifyOldRows(hid_t file, TrainContents c) {
  const hid_t table = H5Dopen2(file, "training/table", H5P_DEFAULT), row = H5Dget_type(table);
  const hid_t commits = H5Dopen2(file, "training/commit", H5P_DEFAULT), commit = H5Dget_type(commits);
  const size_t n = (size_t)c->nruns, size = H5Tget_size(row), commit_size = H5Tget_size(commit);
  char *rows = malloc(n * size + 1), *sums = malloc(n * commit_size + 1);
  int failed = rows && sums ? 0 : StoreFail("out of memory");
  if (!failed && n &&
      (H5Dread(table, row, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0 ||
       H5Dread(commits, commit, H5S_ALL, H5S_ALL, H5P_DEFAULT, sums) < 0))
    failed = StoreFailHDF5();
  for (size_t r = 0; !failed && r < n; r++) {
    const uint64_t sum = CtpgHash(CTPG_HASH_START, rows + r * size, size);
    if (!c->done[r] || !memcmp(sums + r * commit_size, &sum, sizeof sum)) continue;
    c->done[r] = PETSC_FALSE;
    c->base->torn++;
  }
  free(rows), free(sums);
  H5Tclose(commit), H5Dclose(commits), H5Tclose(row), H5Dclose(table);
  return failed;
}

static int VerifyRuns(TrainContents c, const TrainPairArrays *pairs, void *unused) {
  (void)unused;
  for (PetscInt r = 0; r < c->nruns; r++) {
    const PetscInt i = TrainFindPair(c->npairs, c->shapes, r);
    const StoreSum stored = {{c->commits[r].checksum_0, c->commits[r].checksum_1}};
    StoreSum found;
    if (!c->done[r]) continue;
    STORE_TRY(TrainRunSum(pairs + i, c->shapes + i, r - c->shapes[i].first_run, PackedRow(c, r), &found));
    if (c->commits[r].status == c->rows[r].status && StoreSumsAgree(&stored, &found)) continue;
    c->done[r] = PETSC_FALSE;
    c->base->torn++;
  }
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
  const PetscBool old = c->base->schema != CTPG_SCHEMA ? PETSC_TRUE : PETSC_FALSE;
  const hid_t file = StoreFileOpenSerial(c->base->path);
  STORE_TRY(file);
  const int failed = ReadRows(file, c) || ListPairs(c) || ReadShapes(file, c) || (old && VerifyOldRows(file, c));
  H5Fclose(file);
  if (failed || TrainWithPairs(c, ReadSlotsOf, NULL)) return -1;
  return old ? 0 : TrainWithPairs(c, VerifyRuns, NULL);
}

typedef PetscErrorCode BaseRead(const char *path, CtpgContents *contents);
static PetscErrorCode Read(const char *path, BaseRead *read, TrainContents *contents) {
  TrainContents c;
  int failed;
  PetscFunctionBeginUser;
  c = calloc(1, sizeof *c);
  PetscCheck(c, PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  *contents = c;
  PetscCall(read(path, &c->base));
  PetscCheck(!strcmp(c->base->kind, "train"), PETSC_COMM_SELF, PETSC_ERR_FILE_UNEXPECTED,
             "%s is a file of kind %s, not of training", path, c->base->kind);
  StoreBegin();
  FileGuardBegin(path);
  failed = ReadTraining(c);
  FileGuardEnd();
  if (failed) PetscCall(TrainContentsDestroy(contents));
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents) {
  PetscFunctionBeginUser;
  PetscCall(Read(path, ContentsRead, contents));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainContentsReadOld(const char *path, TrainContents *contents) {
  PetscFunctionBeginUser;
  PetscCall(Read(path, ContentsReadOld, contents));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainContentsDestroy(TrainContents *contents) {
  TrainContents c = *contents;
  PetscFunctionBeginUser;
  if (!c) PetscFunctionReturn(0);
  for (PetscInt i = 0; c->shapes && i < c->npairs; i++)
    free(c->shapes[i].seeds), free(c->shapes[i].snapshots), free(c->shapes[i].tests), free(c->shapes[i].audits);
  for (PetscInt p = 0; c->options && p < c->base->nproblems; p++) free(c->options[p]);
  free(c->rows), free(c->packed), free(c->commits), free(c->done), free(c->slot), free(c->shapes), free(c->options);
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
