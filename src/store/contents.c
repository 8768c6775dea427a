// contents.c -- what a results file holds, read serially and verified row by row
//
// Works while a job writes: no locks, commits before the payload that they vouch for. Nothing in a file is trusted:
// sizes are checked against the file, rows against their checksum, row numbers against the tables they lead to.

#include "store/contents.h"
#include "store/arrays.h"
#include "store/fileguard.h"
#include "store/labels.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- the file

static int CheckFile(const char *path) {
  struct stat info;
  if (stat(path, &info)) return StoreFail("%s", strerror(errno));
  if (!S_ISREG(info.st_mode)) return StoreFail("it is not a regular file");
  if (H5Fis_hdf5(path) <= 0) return StoreFail("it is not an HDF5 file");
  return 0;
}

static int OpenFile(const char *path, hid_t *file) {
  STORE_TRY(CheckFile(path));
  *file = StoreFileOpenSerial(path);
  return *file < 0 ? -1 : 0;
}

static int ReadRoot(hid_t file, CtpgContents contents) {
  STORE_TRY(StoreCheckSchema(file));
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

// A table of the file: its rows as structs and as the bytes that their checksums are of.
typedef struct {
  hsize_t n;
  size_t packed;
  unsigned char *bytes; // [n, packed]
  char *rows;           // [n] structs
} Table;

static int ReadTable(StoreArray *array, const StoreLayout *layout, size_t size, Table *table) {
  table->n = array->rows, table->packed = StoreRowBytes(layout);
  table->bytes = malloc((table->n + 1) * table->packed);
  table->rows = calloc(table->n + 1, size);
  if (!table->bytes || !table->rows) return StoreFail("out of memory");
  STORE_TRY(StoreArrayRead(array, 0, table->n, table->bytes));
  for (hsize_t r = 0; r < table->n; r++)
    StoreRowUnpack(layout, table->bytes + r * table->packed, table->rows + r * size);
  return 0;
}

// Commits first: a row that is seen committed has its payload in the file already.
static int ReadTables(StoreArray *commits, StoreArray *rows, const StoreLayout *layout, size_t size, Table *commit,
                      Table *table) {
  STORE_TRY(ReadTable(commits, &StoreCommitLayout, sizeof(StoreCommit), commit));
  return ReadTable(rows, layout, size, table);
}

static uint64_t HashRow(const Table *table, hsize_t r) {
  return CtpgHash(CTPG_HASH_START, table->bytes + r * table->packed, table->packed);
}

// Continues the checksum over row `row` of an array; scratch: as long as its longest row. False: there is no such row.
static PetscBool HashArray(StoreArray *array, int64_t row, double *scratch, uint64_t *checksum) {
  if (row < 0 || (hsize_t)row >= array->rows || StoreArrayRead(array, (hsize_t)row, 1, scratch)) return PETSC_FALSE;
  *checksum = CtpgHash(*checksum, scratch, array->width * sizeof(*scratch));
  return PETSC_TRUE;
}

static PetscBool IsBelow(int32_t i, PetscInt n) {
  return i >= 0 && i < n ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool CaseIsWhole(StoreArrays *arrays, const CtpgCaseRow *row, uint64_t checksum, const StoreCommit *commit,
                             double *scratch) {
  if (row->status != commit->status || !IsBelow(row->problem, arrays->nproblems)) return PETSC_FALSE;
  if (!HashArray(&arrays->grad_x0[row->problem], row->row, scratch, &checksum)) return PETSC_FALSE;
  if (!HashArray(&arrays->grad_theta[row->problem], row->row, scratch, &checksum)) return PETSC_FALSE;
  return checksum == commit->checksum ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool RunIsWhole(StoreArrays *arrays, const CtpgRunRow *row, int64_t gradient_row, uint64_t checksum,
                            const StoreCommit *commit, double *scratch) {
  if (row->status != commit->status || !IsBelow(row->problem, arrays->nproblems)) return PETSC_FALSE;
  if (arrays->gradient && !HashArray(&arrays->gradient[row->problem], gradient_row, scratch, &checksum))
    return PETSC_FALSE;
  return checksum == commit->checksum ? PETSC_TRUE : PETSC_FALSE;
}

static void VerifyCases(StoreArrays *arrays, const Table *table, const StoreCommit *commit, double *scratch,
                        CtpgContents contents) {
  for (hsize_t c = 0; c < table->n; c++) {
    const CtpgCaseRow *row = &contents->cases[c];
    if (commit[c].status == CTPG_PENDING) continue;
    contents->case_done[c] = CaseIsWhole(arrays, row, HashRow(table, c), &commit[c], scratch);
    contents->torn += !contents->case_done[c];
  }
}

static void VerifyRuns(StoreArrays *arrays, const Table *table, const StoreCommit *commit, double *scratch,
                       CtpgContents contents) {
  for (hsize_t r = 0; r < table->n; r++) {
    const PetscReal *sketch = contents->sketch + CTPG_SKETCH_SIZE * r;
    const uint64_t checksum = CtpgHash(HashRow(table, r), sketch, CTPG_SKETCH_SIZE * sizeof(*sketch));
    const int64_t gradient_row = arrays->gradient ? arrays->gradient_row[r] : -1;
    if (commit[r].status == CTPG_PENDING) continue;
    contents->run_done[r] = RunIsWhole(arrays, &contents->runs[r], gradient_row, checksum, &commit[r], scratch);
    contents->torn += !contents->run_done[r];
  }
}

static int ReadCases(StoreArrays *arrays, double *scratch, CtpgContents contents) {
  Table commit = {0}, table = {0};
  int failed = ReadTables(&arrays->case_commit, &arrays->cases, &StoreCaseLayout, sizeof(CtpgCaseRow), &commit, &table);
  contents->cases = (CtpgCaseRow *)table.rows;
  contents->ncases = (PetscInt)table.n;
  contents->case_done = calloc(table.n + 1, sizeof(PetscBool));
  if (!contents->case_done) failed = StoreFail("out of memory");
  if (!failed) VerifyCases(arrays, &table, (StoreCommit *)commit.rows, scratch, contents);
  free(table.bytes), free(commit.bytes), free(commit.rows);
  return failed;
}

static int ReadRuns(StoreArrays *arrays, double *scratch, CtpgContents contents) {
  Table commit = {0}, table = {0};
  int failed = ReadTables(&arrays->run_commit, &arrays->runs, &StoreRunLayout, sizeof(CtpgRunRow), &commit, &table);
  contents->runs = (CtpgRunRow *)table.rows;
  contents->nruns = (PetscInt)table.n;
  contents->run_done = calloc(table.n + 1, sizeof(PetscBool));
  contents->sketch = calloc(table.n + 1, CTPG_SKETCH_SIZE * sizeof(PetscReal));
  if (!contents->run_done || !contents->sketch) failed = StoreFail("out of memory");
  if (!failed) failed = StoreArrayRead(&arrays->sketch, 0, table.n, contents->sketch);
  if (!failed) VerifyRuns(arrays, &table, (StoreCommit *)commit.rows, scratch, contents);
  free(table.bytes), free(commit.bytes), free(commit.rows);
  return failed;
}

static void Bound(int32_t *i, PetscInt n) {
  if (!IsBelow(*i, n)) *i = -1;
}

// Row numbers of rows that are not done may be damaged.
static void BoundRowNumbers(const StoreArrays *arrays, CtpgContents contents) {
  for (PetscInt c = 0; c < contents->ncases; c++) {
    CtpgCaseRow *row = &contents->cases[c];
    Bound(&row->problem, contents->nproblems);
    Bound(&row->row, row->problem < 0 ? 0 : (PetscInt)arrays->grad_x0[row->problem].rows);
  }
  for (PetscInt r = 0; r < contents->nruns; r++) {
    Bound(&contents->runs[r].problem, contents->nproblems);
    Bound(&contents->runs[r].estimator, contents->nestimators);
    Bound(&contents->runs[r].case_index, contents->ncases);
  }
}

// When, on what, built from what, and the command line, in three lines.
static char *DescribeSession(const CtpgSession *session) {
  char text[sizeof *session + 256];
  snprintf(text, sizeof text, "%s to %s, %d ranks on %s (cores %s)\n  %s, commit %s, %s, %s\n  %s", session->start,
           session->end[0] ? session->end : "(not ended)", (int)session->ranks, session->hosts, session->binding,
           session->versions, session->commit, session->compiler, session->flags, session->command_line);
  return strdup(text);
}

static int ReadSessions(StoreArray *sessions, CtpgContents contents) {
  Table table = {0};
  int failed = ReadTable(sessions, &StoreSessionLayout, sizeof(CtpgSession), &table);
  contents->session = calloc(table.n + 1, sizeof *contents->session);
  if (!contents->session) failed = StoreFail("out of memory");
  for (hsize_t s = 0; !failed && s < table.n; s++) {
    const CtpgSession *session = (const CtpgSession *)table.rows + s;
    if (session->start[0]) contents->session[contents->nsessions++] = DescribeSession(session);
  }
  free(table.bytes), free(table.rows);
  return failed;
}

static int ReadArrays(StoreArrays *arrays, CtpgContents contents) {
  double *scratch = malloc(arrays->widest * sizeof(*scratch));
  int failed = scratch ? 0 : StoreFail("out of memory");
  if (!failed)
    failed = ReadSessions(&arrays->sessions, contents) || ReadCases(arrays, scratch, contents) ||
             ReadRuns(arrays, scratch, contents);
  if (!failed) BoundRowNumbers(arrays, contents);
  contents->save_gradients = arrays->gradient ? PETSC_TRUE : PETSC_FALSE;
  free(scratch);
  return failed;
}

// ---- public

static int ReadFile(hid_t file, CtpgContents contents) {
  StoreArrays arrays = {0};
  int failed;
  STORE_TRY(ReadRoot(file, contents));
  STORE_TRY(ReadPlan(file, contents));
  STORE_TRY(ReadLabels(file, contents));
  failed = StoreArraysOpen(file, contents->nproblems, contents->problem, &arrays) ||
           CheckGradientSizes(&arrays, contents) || ReadArrays(&arrays, contents);
  StoreArraysClose(&arrays);
  return failed;
}

PetscErrorCode ContentsRead(const char *path, CtpgContents *contents) {
  hid_t file = -1;
  int failed;
  PetscFunctionBeginUser;
  StoreBegin();
  *contents = calloc(1, sizeof(**contents));
  PetscCheck(*contents && ((*contents)->path = strdup(path)), PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  FileGuardBegin(path);
  failed = OpenFile(path, &file) || ReadFile(file, *contents);
  if (file >= 0) H5Fclose(file);
  FileGuardEnd();
  if (failed) PetscCall(ContentsDestroy(contents));
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
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
  StoreLabelsFree(c->nproblems, c->problem_info), StoreLabelsFree(c->nestimators, c->estimator_info);
  free(c->plan_options);
  free(c->problem), free(c->estimator), free(c->problem_version), free(c->estimator_version), free(c->nx), free(c->np);
  free(c->cases), free(c->runs), free(c->case_done), free(c->run_done), free(c->sketch), free(c->path);
  free(c);
  *contents = NULL;
  PetscFunctionReturn(0);
}

static int ReadGradientPart(hid_t file, const char *label, const char *name, PetscInt width, int32_t row,
                            PetscReal *values) {
  char path[3 * CTPG_LABEL_SIZE];
  StoreArray array = {0};
  int failed;
  snprintf(path, sizeof(path), "cases/%s/%s", label, name);
  failed = StoreArrayOpen(file, path, H5T_NATIVE_DOUBLE, &array);
  if (!failed && array.width != (hsize_t)width) failed = StoreFail("%s has changed", path);
  if (!failed) failed = StoreArrayRead(&array, (hsize_t)row, 1, values);
  StoreArrayClose(&array);
  return failed;
}

static int ReadGradient(hid_t file, CtpgContents contents, PetscInt c, PetscReal *gx0, PetscReal *gtheta) {
  const CtpgCaseRow *row = &contents->cases[c];
  const char *label = contents->problem[row->problem];
  char uuid[sizeof(contents->uuid)];
  STORE_TRY(StoreReadTextAttribute(file, "uuid", uuid, sizeof(uuid)));
  if (strcmp(uuid, contents->uuid)) return StoreFail("it was replaced by another file");
  STORE_TRY(ReadGradientPart(file, label, "grad_x0", contents->nx[row->problem], row->row, gx0));
  return ReadGradientPart(file, label, "grad_theta", contents->np[row->problem], row->row, gtheta);
}

PetscErrorCode ContentsReadGradient(CtpgContents contents, PetscInt c, PetscReal *gx0, PetscReal *gtheta) {
  hid_t file = -1;
  int failed;
  PetscFunctionBeginUser;
  PetscCheck(c >= 0 && c < contents->ncases && contents->case_done[c], PETSC_COMM_SELF, PETSC_ERR_ARG_OUTOFRANGE,
             "Case %" PetscInt_FMT " of %s is not finished", c, contents->path);
  StoreBegin();
  FileGuardBegin(contents->path);
  failed = OpenFile(contents->path, &file) || ReadGradient(file, contents, c, gx0, gtheta);
  if (file >= 0) H5Fclose(file);
  FileGuardEnd();
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", contents->path, StoreReason());
  PetscFunctionReturn(0);
}

static int ReadArray(CtpgContents contents, hid_t file, PetscInt p, const char *name, PetscInt width, PetscInt *rows,
                     PetscReal **values) {
  char path[3 * CTPG_LABEL_SIZE];
  StoreArray array = {0};
  int failed;
  snprintf(path, sizeof(path), "cases/%s/%s", contents->problem[p], name);
  if (H5Lexists(file, path, H5P_DEFAULT) <= 0) return 0;
  failed = StoreArrayOpen(file, path, H5T_NATIVE_DOUBLE, &array);
  if (!failed && array.width != (hsize_t)width) failed = StoreFail("%s does not have the size of the problem", path);
  if (!failed && !(*values = calloc(array.rows * array.width + 1, sizeof(**values))))
    failed = StoreFail("out of memory");
  if (!failed) failed = StoreArrayRead(&array, 0, array.rows, *values);
  *rows = (PetscInt)array.rows;
  StoreArrayClose(&array);
  return failed;
}

PetscErrorCode ContentsReadArray(CtpgContents contents, PetscInt p, const char *name, PetscInt width, PetscInt *rows,
                                 PetscReal **values) {
  hid_t file = -1;
  int failed;
  PetscFunctionBeginUser;
  *rows = 0;
  *values = NULL;
  StoreBegin();
  failed = OpenFile(contents->path, &file) || ReadArray(contents, file, p, name, width, rows, values);
  if (file >= 0) H5Fclose(file);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", contents->path, StoreReason());
  PetscFunctionReturn(0);
}
