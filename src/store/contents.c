// contents.c -- what a results file holds, read serially and verified row by row
//
// Works while a job writes: no locks, commits before the payload that they vouch for. Nothing in a file is trusted:
// sizes are checked against the file, rows against their checksum, row numbers against the tables they lead to.

#include "store/contents.h"
#include "store/arrays.h"
#include "store/fileguard.h"
#include "store/fixed.h"
#include "store/labels.h"
#include "store/plants.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the file

static int OpenFile(const char *path, hid_t *file) {
  *file = StoreFileOpenSerial(path);
  return *file < 0 ? -1 : 0;
}

static int ReadSchema(hid_t file, PetscBool old_too, CtpgContents contents) {
  STORE_TRY(StoreReadSchema(file, &contents->schema));
  if (contents->schema == CTPG_SCHEMA) return 0;
  if (contents->schema != CTPG_SCHEMA_OLD)
    return StoreFail("its schema is %d; this program reads schema %d", (int)contents->schema, CTPG_SCHEMA);
  snprintf(contents->unverified, sizeof contents->unverified,
           "converted from schema %d, in which rows alone had checksums", CTPG_SCHEMA_OLD);
  if (old_too) return 0;
  return StoreFail("its schema is %d; this program reads schema %d, which ctpgbench convert OLD -out NEW makes of it",
                   (int)contents->schema, CTPG_SCHEMA);
}

static int ReadRoot(hid_t file, CtpgContents contents) {
  if (H5Aexists(file, "unverified") > 0)
    STORE_TRY(StoreReadTextAttribute(file, "unverified", contents->unverified, sizeof(contents->unverified)));
  STORE_TRY(StoreReadTextAttribute(file, "kind", contents->kind, sizeof(contents->kind)));
  STORE_TRY(StoreReadTextAttribute(file, "uuid", contents->uuid, sizeof(contents->uuid)));
  STORE_TRY(StoreReadTextAttribute(file, "isa", contents->isa, sizeof(contents->isa)));
  return StoreReadNumberAttribute(file, "plan_hash", H5T_NATIVE_UINT64, &contents->plan_hash);
}

// ---- plan and labels

// plan/options, a text of its own size, and the shard.
static int ReadPlan(hid_t file, CtpgContents contents) {
  const hid_t group = H5Gopen2(file, "plan", H5P_DEFAULT);
  STORE_TRY(group);
  int failed = StoreReadTextAttribute(group, "shard", contents->shard, sizeof(contents->shard));
  const hid_t set = H5Dopen2(group, "options", H5P_DEFAULT), type = H5Dget_type(set), space = H5Dget_space(set);
  hsize_t bytes = 0;
  const PetscBool known = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                          H5Sget_simple_extent_npoints(space) == 1 && H5Fget_filesize(file, &bytes) >= 0;
  if (!failed && (!known || H5Tget_size(type) > bytes)) failed = StoreFail("plan/options is damaged");
  if (!failed && !(contents->plan_options = calloc(H5Tget_size(type) + 1, 1))) failed = StoreFail("out of memory");
  if (!failed && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, contents->plan_options) < 0)
    failed = StoreFailHDF5();
  H5Sclose(space), H5Tclose(type), H5Dclose(set), H5Gclose(group);
  return failed;
}

static int ReadLabels(hid_t file, CtpgContents contents) {
  STORE_TRY(
      StoreTextsRead(file, "problems", "label", CTPG_LABEL_SIZE, &contents->nproblems, (char **)&contents->problem));
  STORE_TRY(StoreTextsRead(file, "estimators", "label", CTPG_LABEL_SIZE, &contents->nestimators,
                           (char **)&contents->estimator));
  STORE_TRY(StoreTextListRead(file, "problems", "options", &contents->problem_options));
  STORE_TRY(StoreTextListRead(file, "estimators", "options", &contents->estimator_options));
  STORE_TRY(StoreIntegersRead(file, "problems", "version", &contents->problem_version));
  STORE_TRY(StoreIntegersRead(file, "estimators", "version", &contents->estimator_version));
  STORE_TRY(StoreIntegersRead(file, "problems", "nx", &contents->nx));
  STORE_TRY(StoreIntegersRead(file, "problems", "np", &contents->np));
  STORE_TRY(StoreLabelsRead(file, "problems", &StoreProblemLayout, contents->nproblems, &contents->problem_info));
  STORE_TRY(StoreLabelsRead(file, "policies", &StorePolicyLayout, contents->nproblems, &contents->problem_info));
  STORE_TRY(StorePlantsRead(file, contents->nproblems, contents->problem_info));
  return StoreLabelsRead(file, "estimators", &StoreEstimatorLayout, contents->nestimators, &contents->estimator_info);
}

static int CheckGradientSizes(const StoreArrays *arrays, CtpgContents contents) {
  for (PetscInt p = 0; p < contents->nproblems; p++) {
    const hsize_t nx = (hsize_t)contents->nx[p], np = (hsize_t)contents->np[p];
    const int fit = arrays->grad_x0[p].width == nx && arrays->grad_theta[p].width == np &&
                    (!arrays->gradient || arrays->gradient[p].width == np);
    if (!fit) return StoreFail("the gradients of %s do not have the sizes of the problem", contents->problem[p]);
  }
  return 0;
}

// ---- rows

// Rows of a table of the file: as structs, as their packed bytes, and as the bytes that lie in the file, which differ
// where the file has other columns (the schema before).
typedef struct {
  hsize_t n;
  size_t packed, stored_size;
  unsigned char *bytes, *stored; // [n, packed], [n, stored_size]; stored is bytes where both are the same
  char *rows;                    // [n] structs
} Table;

static void FreeTable(Table *table) {
  if (table->stored != table->bytes) free(table->stored);
  free(table->bytes), free(table->rows);
  memset(table, 0, sizeof *table);
}

static int ReadStored(const StoreArray *array, hsize_t first, Table *table) {
  const hid_t type = H5Dget_type(array->set);
  StoreArray as_stored = *array;
  table->stored_size = H5Tget_size(type);
  const PetscBool same = H5Tequal(type, array->type) > 0 ? PETSC_TRUE : PETSC_FALSE;
  int failed = 0;
  if (same)
    table->stored = table->bytes;
  else if (!(table->stored = malloc(table->n * table->stored_size + 1)))
    failed = StoreFail("out of memory");
  else {
    as_stored.type = type;
    failed = StoreArrayRead(&as_stored, first, table->n, table->stored);
  }
  H5Tclose(type);
  return failed;
}

// Of rows first, first + 1, .., n of them. blank: a row with the values of columns that the file does not have; NULL:
// zeros.
static int ReadTable(StoreArray *array, hsize_t first, hsize_t n, const StoreLayout *layout, size_t size,
                     const void *blank, Table *table) {
  table->n = n;
  table->packed = StoreRowBytes(layout);
  table->bytes = calloc(table->n + 1, table->packed), table->rows = calloc(table->n + 1, size);
  if (!table->bytes || !table->rows) return StoreFail("out of memory");
  for (hsize_t r = 0; blank && r < table->n; r++) StoreRowPack(layout, blank, table->bytes + r * table->packed);
  STORE_TRY(StoreArrayRead(array, first, table->n, table->bytes));
  for (hsize_t r = 0; r < table->n; r++)
    StoreRowUnpack(layout, table->bytes + r * table->packed, table->rows + r * size);
  return ReadStored(array, first, table);
}

// Rows that are being verified, of cases or of runs, from the `first` on; below, row 0 is that one. Commits are read
// first: a row that is seen committed has been written.
typedef struct {
  StoreArrays *arrays;
  hsize_t first;
  Table table, commit;
  uint64_t *identity; // [n, 2]; NULL: the file has none
  double *scratch;    // [widest]
  uint64_t old;       // sum of the row at hand, of the schema before
} Check;

static int ReadCheck(Check *check, hsize_t n, StoreArray *commits, StoreArray *rows, StoreArray *identity,
                     const StoreLayout *layout, size_t size, const void *blank) {
  const hsize_t first = check->first;
  check->scratch = malloc(check->arrays->widest * sizeof(double));
  if (!check->scratch) return StoreFail("out of memory");
  STORE_TRY(ReadTable(commits, first, n, &StoreCommitLayout, sizeof(StoreCommit), NULL, &check->commit));
  STORE_TRY(ReadTable(rows, first, n, layout, size, blank, &check->table));
  if (!identity->set) return 0;
  check->identity = calloc(2 * n + 1, sizeof(uint64_t));
  return check->identity ? StoreArrayRead(identity, first, n, check->identity) : StoreFail("out of memory");
}

static void FreeCheck(Check *check) {
  FreeTable(&check->commit), FreeTable(&check->table);
  free(check->identity), free(check->scratch);
}

static void SumBegin(Check *check, hsize_t row) {
  const Table *table = &check->table;
  const unsigned char *bytes = table->stored + row * table->stored_size;
  StoreHashReset(check->arrays->hash);
  StoreHashAdd(check->arrays->hash, bytes, table->stored_size);
  if (check->arrays->schema != CTPG_SCHEMA) check->old = CtpgHash(CTPG_HASH_START, bytes, table->stored_size);
}

static void SumAdd(Check *check, const void *bytes, size_t n) {
  StoreHashAdd(check->arrays->hash, bytes, n);
  if (check->arrays->schema != CTPG_SCHEMA) check->old = CtpgHash(check->old, bytes, n);
}

// FALSE: there is no such row.
static PetscBool SumAddArray(Check *check, StoreArray *array, int64_t row) {
  if (row < 0 || (hsize_t)row >= array->rows || StoreArrayRead(array, (hsize_t)row, 1, check->scratch))
    return PETSC_FALSE;
  SumAdd(check, check->scratch, array->width * sizeof(double));
  return PETSC_TRUE;
}

// The schema before has one word of FNV-1a64 in a column of another name.
static PetscBool SumAgrees(const Check *check, hsize_t row) {
  const StoreCommit *commit = (const StoreCommit *)check->commit.rows + row;
  const StoreSum stored = {{commit->checksum_0, commit->checksum_1}}, found = StoreHashValue(check->arrays->hash);
  uint64_t old;
  if (check->arrays->schema == CTPG_SCHEMA) return StoreSumsAgree(&stored, &found);
  memcpy(&old, check->commit.stored + row * check->commit.stored_size, sizeof old);
  return old == check->old ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool IsBelow(int32_t i, PetscInt n) {
  return i >= 0 && i < n ? PETSC_TRUE : PETSC_FALSE;
}

// ---- cases

static PetscBool CaseIsWhole(Check *check, const CtpgCaseRow *row, hsize_t c) {
  StoreArrays *arrays = check->arrays;
  if (row->status != ((const StoreCommit *)check->commit.rows)[c].status || !IsBelow(row->problem, arrays->nproblems))
    return PETSC_FALSE;
  SumBegin(check, c);
  if (!SumAddArray(check, &arrays->grad_x0[row->problem], row->row)) return PETSC_FALSE;
  if (!SumAddArray(check, &arrays->grad_theta[row->problem], row->row)) return PETSC_FALSE;
  return SumAgrees(check, c);
}

static const PetscReal *RowOf(PetscReal *const *array, const StoreArray *shape, PetscInt p, int32_t row) {
  return array[p] ? array[p] + (hsize_t)row * shape[p].width : NULL;
}

// Is the case what it was when the file was made: key, seed, start, parameters?
static PetscBool CaseIsItself(const Check *check, CtpgContents contents, const CtpgCaseRow *row, hsize_t c) {
  StoreArrays *arrays = check->arrays;
  if (!check->identity) return PETSC_TRUE;
  if (!IsBelow(row->problem, arrays->nproblems)) return PETSC_FALSE;
  const PetscInt p = row->problem;
  if (!IsBelow(row->row, (PetscInt)arrays->grad_x0[p].rows)) return PETSC_FALSE;
  const StoreSum stored = {{check->identity[2 * c], check->identity[2 * c + 1]}};
  const StoreSum found = StoreCaseIdentity(arrays, row, RowOf(contents->x0, arrays->x0, p, row->row),
                                           RowOf(contents->task, arrays->task, p, row->row),
                                           RowOf(contents->theta, arrays->theta, p, row->row));
  return StoreSumsAgree(&stored, &found);
}

static void VerifyCases(Check *check, CtpgContents contents) {
  for (hsize_t c = 0; c < check->table.n; c++) {
    CtpgCaseRow *row = &contents->cases[c];
    const PetscBool itself = CaseIsItself(check, contents, row, c);
    const PetscBool committed = ((const StoreCommit *)check->commit.rows)[c].status != CTPG_PENDING;
    const PetscBool whole = committed && CaseIsWhole(check, row, c) ? PETSC_TRUE : PETSC_FALSE;
    contents->case_done[c] = whole && itself ? PETSC_TRUE : PETSC_FALSE;
    contents->torn += committed && !whole;
    contents->misread += !itself;
    if (!itself) row->problem = row->row = -1;
  }
}

static int ReadCases(StoreArrays *arrays, CtpgContents contents) {
  Check check = {.arrays = arrays};
  CtpgCaseRow blank;
  CtpgCaseRowClear(&blank);
  int failed = ReadCheck(&check, arrays->cases.rows, &arrays->case_commit, &arrays->cases, &arrays->case_identity,
                         &StoreCaseLayout, sizeof blank, &blank);
  contents->cases = (CtpgCaseRow *)check.table.rows, check.table.rows = NULL;
  contents->ncases = (PetscInt)check.table.n;
  contents->case_done = calloc(check.table.n + 1, sizeof(PetscBool));
  if (!contents->case_done) failed = StoreFail("out of memory");
  if (!failed) VerifyCases(&check, contents);
  FreeCheck(&check);
  return failed;
}

// ---- runs

size_t ContentsAtOnce = (size_t)128 << 20;

#define CHUNK 4096 // rows that are read at a time, at most

static hsize_t ChunkOf(hsize_t rows) {
  return PetscMin(rows, PetscMin(CHUNK, 1 + ContentsAtOnce / sizeof(CtpgRunRow)));
}

// Of a chunk.
typedef struct {
  CtpgRunRow *rows;
  PetscReal *sketch; // [.., CTPG_SKETCH_SIZE]
  PetscBool *done;
} Runs;

static PetscBool RunIsWhole(Check *check, const Runs *runs, hsize_t r) {
  StoreArrays *arrays = check->arrays;
  const CtpgRunRow *row = runs->rows + r;
  if (row->status != ((const StoreCommit *)check->commit.rows)[r].status || !IsBelow(row->problem, arrays->nproblems))
    return PETSC_FALSE;
  SumBegin(check, r);
  SumAdd(check, runs->sketch + CTPG_SKETCH_SIZE * r, CTPG_SKETCH_SIZE * sizeof(PetscReal));
  if (arrays->gradient && !SumAddArray(check, &arrays->gradient[row->problem], arrays->gradient_row[check->first + r]))
    return PETSC_FALSE;
  return SumAgrees(check, r);
}

static PetscBool RunIsItself(const Check *check, const CtpgRunRow *row, hsize_t r) {
  if (!check->identity) return PETSC_TRUE;
  const StoreSum stored = {{check->identity[2 * r], check->identity[2 * r + 1]}}, found = StoreRunIdentity(row);
  return StoreSumsAgree(&stored, &found);
}

static void VerifyRuns(Check *check, const Runs *runs, CtpgContents contents) {
  for (hsize_t r = 0; r < check->table.n; r++) {
    CtpgRunRow *row = runs->rows + r;
    const PetscBool committed = ((const StoreCommit *)check->commit.rows)[r].status != CTPG_PENDING;
    const PetscBool whole = committed && RunIsWhole(check, runs, r) ? PETSC_TRUE : PETSC_FALSE;
    const PetscBool itself = RunIsItself(check, row, r);
    runs->done[r] = whole && itself ? PETSC_TRUE : PETSC_FALSE;
    contents->torn += committed && !whole;
    if (itself) continue;
    contents->misread++;
    contents->writable = PETSC_FALSE;
    row->problem = row->estimator = row->case_index = -1;
  }
}

static void Bound(int32_t *i, PetscInt n) {
  if (!IsBelow(*i, n)) *i = -1;
}

// Row numbers of rows that are not done may be damaged.
static void BoundRuns(CtpgContents contents, hsize_t n, CtpgRunRow *rows) {
  for (CtpgRunRow *row = rows; row < rows + n; row++) {
    Bound(&row->problem, contents->nproblems);
    Bound(&row->estimator, contents->nestimators);
    Bound(&row->case_index, contents->ncases);
  }
}

// With sketches, and whether they are done.
static int ReadVerified(StoreArrays *arrays, hsize_t first, hsize_t n, const Runs *runs, CtpgContents contents) {
  Check check = {.arrays = arrays, .first = first};
  CtpgRunRow blank;
  CtpgRunRowClear(&blank);
  int failed = ReadCheck(&check, n, &arrays->run_commit, &arrays->runs, &arrays->run_identity, &StoreRunLayout,
                         sizeof blank, &blank);
  if (!failed) memcpy(runs->rows, check.table.rows, n * sizeof blank);
  if (!failed) failed = StoreArrayRead(&arrays->sketch, first, n, runs->sketch);
  if (!failed) VerifyRuns(&check, runs, contents);
  FreeCheck(&check);
  return failed;
}

static int ReadChunk(StoreArrays *arrays, hsize_t first, hsize_t n, PetscBool verify, const Runs *runs,
                     CtpgContents contents) {
  STORE_TRY(verify ? ReadVerified(arrays, first, n, runs, contents)
                   : StoreArraysReadRuns(arrays, first, n, runs->rows));
  BoundRuns(contents, n, runs->rows);
  return 0;
}

static int KeepRuns(StoreArrays *arrays, CtpgContents contents) {
  for (hsize_t first = 0, n; first < arrays->runs.rows; first += n) {
    const Runs runs = {contents->runs + first, contents->sketch + CTPG_SKETCH_SIZE * first, contents->run_done + first};
    n = ChunkOf(arrays->runs.rows - first);
    STORE_TRY(ReadChunk(arrays, first, n, PETSC_TRUE, &runs, contents));
  }
  return 0;
}

static int ShowRuns(StoreArrays *arrays, const ContentsVisitor *visitor, CtpgContents contents) {
  PetscBool verify = PETSC_TRUE;
  STORE_TRY(visitor->begin(visitor->context, contents));
  for (int more = 1; more; verify = PETSC_FALSE) {
    for (hsize_t first = 0, n; first < arrays->runs.rows; first += n) {
      const Runs runs = {contents->runs, contents->sketch, contents->run_done + first};
      n = ChunkOf(arrays->runs.rows - first);
      STORE_TRY(ReadChunk(arrays, first, n, verify, &runs, contents));
      STORE_TRY(visitor->visit(visitor->context, (PetscInt)n, runs.rows, runs.done));
    }
    STORE_TRY(more = visitor->end(visitor->context));
  }
  free(contents->runs), free(contents->sketch);
  contents->runs = NULL, contents->sketch = NULL;
  return 0;
}

static int ReadRuns(StoreArrays *arrays, const ContentsVisitor *visitor, CtpgContents contents) {
  const hsize_t n = arrays->runs.rows, kept = visitor ? ChunkOf(n) : n;
  contents->nruns = (PetscInt)n;
  contents->runs = calloc(kept + 1, sizeof *contents->runs);
  contents->sketch = calloc(kept + 1, CTPG_SKETCH_SIZE * sizeof(PetscReal));
  contents->run_done = calloc(n + 1, sizeof(PetscBool));
  if (!contents->runs || !contents->sketch || !contents->run_done) return StoreFail("out of memory");
  return visitor ? ShowRuns(arrays, visitor, contents) : KeepRuns(arrays, contents);
}

// ---- starts

// All rows of an array, allocated here; NULL where the file has none.
static int ReadStart(StoreArray *array, PetscInt width, const char *label, PetscReal **values) {
  if (!array->set) return 0;
  if (array->width != (hsize_t)width) return StoreFail("the starts of %s do not have the size of the problem", label);
  *values = calloc(array->rows * array->width + 1, sizeof **values);
  return *values ? StoreArrayRead(array, 0, array->rows, *values) : StoreFail("out of memory");
}

static int ReadStarts(StoreArrays *arrays, CtpgContents contents) {
  const size_t n = (size_t)contents->nproblems + 1;
  contents->x0 = calloc(n, sizeof(PetscReal *)), contents->task = calloc(n, sizeof(PetscReal *));
  contents->theta = calloc(n, sizeof(PetscReal *));
  if (!contents->x0 || !contents->task || !contents->theta) return StoreFail("out of memory");
  for (PetscInt p = 0; p < contents->nproblems; p++) {
    const CtpgLabelInfo *info = contents->problem_info + p;
    STORE_TRY(ReadStart(&arrays->x0[p], info->nx, info->label, &contents->x0[p]));
    STORE_TRY(ReadStart(&arrays->task[p], info->ntask, info->label, &contents->task[p]));
    STORE_TRY(ReadStart(&arrays->theta[p], info->np, info->label, &contents->theta[p]));
    if ((arrays->x0[p].set && arrays->x0[p].rows != arrays->grad_x0[p].rows) ||
        (arrays->task[p].set && arrays->task[p].rows != arrays->grad_x0[p].rows) ||
        (arrays->theta[p].set && arrays->theta[p].rows != arrays->grad_x0[p].rows))
      return StoreFail("the starts of %s do not fit together", info->label);
  }
  return 0;
}

// Row numbers of rows that are not done may be damaged.
static void BoundCases(const StoreArrays *arrays, CtpgContents contents) {
  for (PetscInt c = 0; c < contents->ncases; c++) {
    CtpgCaseRow *row = &contents->cases[c];
    Bound(&row->problem, contents->nproblems);
    Bound(&row->row, row->problem < 0 ? 0 : (PetscInt)arrays->grad_x0[row->problem].rows);
  }
}

// When, on what, built from what, its fingerprints, and the command line, in four lines.
static char *DescribeSession(const CtpgSession *session, PetscBool good) {
  char text[sizeof *session + 256];
  snprintf(text, sizeof text,
           "%s to %s, %d ranks on %s (cores %s)%s\n  %s, commit %s, %s, %s\n  arithmetic %s; "
           "machine %s\n  %s",
           session->start, session->end[0] ? session->end : "(not ended)", (int)session->ranks, session->hosts,
           session->binding, good ? "" : ", damaged", session->versions, session->commit, session->compiler,
           session->flags, session->arithmetic[0] ? session->arithmetic : "not known",
           session->machine[0] ? session->machine : "not known", session->command_line);
  return strdup(text);
}

static int ReadSessions(StoreArrays *arrays, CtpgContents contents) {
  Table table = {0};
  int failed =
      ReadTable(&arrays->sessions, 0, arrays->sessions.rows, &StoreSessionLayout, sizeof(CtpgSession), NULL, &table);
  contents->session = calloc(table.n + 1, sizeof *contents->session);
  contents->session_row = calloc(table.n + 1, sizeof *contents->session_row);
  if (!contents->session || !contents->session_row) failed = StoreFail("out of memory");
  for (hsize_t s = 0; !failed && s < table.n; s++) {
    const CtpgSession *session = (const CtpgSession *)table.rows + s;
    const StoreSum stored = {{session->checksum_0, session->checksum_1}}, found = StoreSessionSum(session);
    const PetscBool good = arrays->schema != CTPG_SCHEMA || StoreSumsAgree(&stored, &found) ? PETSC_TRUE : PETSC_FALSE;
    if (!session->start[0]) continue;
    if (good) contents->session_row[contents->nsessions] = *session;
    contents->session[contents->nsessions++] = DescribeSession(session, good);
  }
  FreeTable(&table);
  return failed;
}

static int ReadArrays(StoreArrays *arrays, const ContentsVisitor *visitor, CtpgContents contents) {
  STORE_TRY(ReadSessions(arrays, contents));
  STORE_TRY(ReadStarts(arrays, contents));
  STORE_TRY(ReadCases(arrays, contents));
  BoundCases(arrays, contents);
  contents->save_gradients = arrays->gradient ? PETSC_TRUE : PETSC_FALSE;
  contents->writable = contents->schema == CTPG_SCHEMA && !contents->misread && !contents->damaged[0] &&
                               StoreIsContiguous(arrays->runs.set) && StoreTableIsWhole(&arrays->cases) &&
                               StoreTableIsWhole(&arrays->runs)
                           ? PETSC_TRUE
                           : PETSC_FALSE;
  return ReadRuns(arrays, visitor, contents);
}

// ---- public

static int ReadFile(hid_t file, const ContentsVisitor *visitor, CtpgContents contents) {
  StoreArrays arrays = {0};
  int failed;
  STORE_TRY(StoreFixedCheck(file, contents->damaged, sizeof contents->damaged));
  STORE_TRY(ReadRoot(file, contents));
  STORE_TRY(ReadPlan(file, contents));
  STORE_TRY(ReadLabels(file, contents));
  failed = StoreArraysOpen(file, contents->schema, contents->nproblems, contents->problem, &arrays) ||
           CheckGradientSizes(&arrays, contents) || ReadArrays(&arrays, visitor, contents);
  StoreArraysClose(&arrays);
  return failed;
}

static PetscErrorCode Read(const char *path, PetscBool old_too, const ContentsVisitor *visitor,
                           CtpgContents *contents) {
  hid_t file = -1;
  int failed;
  PetscFunctionBeginUser;
  StoreBegin();
  *contents = calloc(1, sizeof(**contents));
  PetscCheck(*contents && ((*contents)->path = strdup(path)), PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  FileGuardBegin(path);
  failed = OpenFile(path, &file) || ReadSchema(file, old_too, *contents) || ReadFile(file, visitor, *contents);
  if (file >= 0) H5Fclose(file);
  FileGuardEnd();
  if (failed) PetscCall(ContentsDestroy(contents));
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsRead(const char *path, CtpgContents *contents) {
  PetscFunctionBeginUser;
  PetscCall(Read(path, PETSC_FALSE, NULL, contents));
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsVisit(const char *path, const ContentsVisitor *visitor, CtpgContents *contents) {
  PetscFunctionBeginUser;
  PetscCall(Read(path, PETSC_FALSE, visitor, contents));
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsReadOld(const char *path, CtpgContents *contents) {
  PetscFunctionBeginUser;
  PetscCall(Read(path, PETSC_TRUE, NULL, contents));
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsRefuseDamaged(CtpgContents contents) {
  PetscFunctionBeginUser;
  PetscCheck(!contents->damaged[0], PETSC_COMM_SELF, PETSC_ERR_FILE_READ,
             "%s is damaged: what %s holds is not what was written (its checksum is another)", contents->path,
             contents->damaged);
  PetscFunctionReturn(0);
}

static void FreeArrays(PetscReal **arrays, PetscInt n) {
  for (PetscInt p = 0; arrays && p < n; p++) free(arrays[p]);
  free(arrays);
}

static void FreeTexts(char **texts, PetscInt n) {
  for (PetscInt i = 0; texts && i < n; i++) free(texts[i]);
  free(texts);
}

PetscErrorCode ContentsDestroy(CtpgContents *contents) {
  const CtpgContents c = *contents;
  PetscFunctionBeginUser;
  if (!c) PetscFunctionReturn(0);
  FreeTexts(c->problem_options, c->nproblems), FreeTexts(c->estimator_options, c->nestimators);
  FreeTexts(c->session, c->nsessions);
  free(c->session_row);
  StoreLabelsFree(c->nproblems, c->problem_info), StoreLabelsFree(c->nestimators, c->estimator_info);
  FreeArrays(c->x0, c->nproblems), FreeArrays(c->task, c->nproblems), FreeArrays(c->theta, c->nproblems);
  free(c->plan_options);
  free(c->problem), free(c->estimator), free(c->problem_version), free(c->estimator_version), free(c->nx), free(c->np);
  free(c->cases), free(c->runs), free(c->case_done), free(c->run_done), free(c->sketch), free(c->path);
  free(c);
  *contents = NULL;
  PetscFunctionReturn(0);
}

// ---- reference gradients

static int OpenGradientPart(hid_t file, const char *label, const char *name, PetscInt width, StoreArray *array) {
  char path[3 * CTPG_LABEL_SIZE];
  snprintf(path, sizeof(path), "cases/%s/%s", label, name);
  STORE_TRY(StoreArrayOpen(file, path, H5T_NATIVE_DOUBLE, array));
  return array->width == (hsize_t)width ? 0 : StoreFail("%s has changed", path);
}

// Of one problem, whose arrays are open until another one's are asked for.
typedef struct {
  PetscInt problem;
  StoreArray gx0, gtheta;
} Gradients;

static void CloseGradients(Gradients *g) {
  StoreArrayClose(&g->gx0);
  StoreArrayClose(&g->gtheta);
}

static int OpenGradients(hid_t file, CtpgContents contents, PetscInt p, Gradients *g) {
  if (p == g->problem) return 0;
  CloseGradients(g);
  STORE_TRY(OpenGradientPart(file, contents->problem[p], "grad_x0", contents->nx[p], &g->gx0));
  STORE_TRY(OpenGradientPart(file, contents->problem[p], "grad_theta", contents->np[p], &g->gtheta));
  g->problem = p;
  return 0;
}

static int ReadGradients(hid_t file, CtpgContents contents, PetscInt n, const ContentsGradient *wanted) {
  char uuid[sizeof(contents->uuid)];
  Gradients g = {.problem = -1};
  int failed;
  STORE_TRY(StoreReadTextAttribute(file, "uuid", uuid, sizeof(uuid)));
  if (strcmp(uuid, contents->uuid)) return StoreFail("it was replaced by another file");
  failed = 0;
  for (PetscInt i = 0; i < n && !failed; i++) {
    const CtpgCaseRow *row = contents->cases + wanted[i].c;
    failed = OpenGradients(file, contents, row->problem, &g) ||
             StoreArrayRead(&g.gx0, (hsize_t)row->row, 1, wanted[i].gx0) ||
             StoreArrayRead(&g.gtheta, (hsize_t)row->row, 1, wanted[i].gtheta);
  }
  CloseGradients(&g);
  return failed;
}

PetscErrorCode ContentsReadGradients(CtpgContents contents, PetscInt n, const ContentsGradient *wanted) {
  hid_t file = -1;
  int failed;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++)
    PetscCheck(wanted[i].c >= 0 && wanted[i].c < contents->ncases && contents->case_done[wanted[i].c], PETSC_COMM_SELF,
               PETSC_ERR_ARG_OUTOFRANGE, "Case %" PetscInt_FMT " of %s is not finished", wanted[i].c, contents->path);
  StoreBegin();
  FileGuardBegin(contents->path);
  failed = OpenFile(contents->path, &file) || ReadGradients(file, contents, n, wanted);
  if (file >= 0) H5Fclose(file);
  FileGuardEnd();
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", contents->path, StoreReason());
  PetscFunctionReturn(0);
}
