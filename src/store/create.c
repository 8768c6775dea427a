// store_create.c -- the complete skeleton of a results file, written by rank 0 with serial HDF5 and then moved into place
//
// Every dataset is contiguous, takes its space now and is filled: a disk that fills up later loses nothing, and nothing
// has to be written collectively while ranks work. What `old` finished is copied by key.

#define _GNU_SOURCE // memfd_create
#include "store/store_private.h"
#include <errno.h>
#include <fcntl.h>
#include <hdf5_hl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

// ---- attributes

// n texts as an array of fixed length, or one text as a scalar (n = 0).
static int WriteTexts(hid_t place, const char *name, int n, const char *const *text) {
  const hsize_t extent = (hsize_t)n;
  const int count = n ? n : 1;
  size_t size = 1;
  for (int i = 0; i < count; i++) size = PetscMax(size, strlen(text[i]));
  char *bytes = calloc((size_t)count, size);
  if (!bytes) return StoreFail("out of memory");
  for (int i = 0; i < count; i++) memcpy(bytes + (size_t)i * size, text[i], strlen(text[i]));
  const hid_t type = H5Tcopy(H5T_C_S1), space = n ? H5Screate_simple(1, &extent, NULL) : H5Screate(H5S_SCALAR);
  H5Tset_size(type, size), H5Tset_strpad(type, H5T_STR_NULLPAD);
  const hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const int failed = attribute < 0 || H5Awrite(attribute, type, bytes) < 0 ? StoreFailHDF5() : 0;
  H5Aclose(attribute), H5Sclose(space), H5Tclose(type);
  free(bytes);
  return failed;
}

static int WriteText(hid_t place, const char *name, const char *text) {
  return WriteTexts(place, name, 0, &text);
}

static int WriteNumber(hid_t place, const char *name, hid_t file_type, hid_t type, const void *value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(place, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
  const int failed = attribute < 0 || H5Awrite(attribute, type, value) < 0 ? StoreFailHDF5() : 0;
  H5Aclose(attribute), H5Sclose(space);
  return failed;
}

// Words of columns that are enumerations; -1 in `status` is pending.
static int WriteStatuses(hid_t place) {
  const char *word[CTPG_NUM_STATUSES];
  for (int s = 0; s < CTPG_NUM_STATUSES; s++) word[s] = CtpgStatusName((CtpgStatus)s);
  return WriteTexts(place, "statuses", CTPG_NUM_STATUSES, word);
}

int StoreWriteStatuses(hid_t group, const char *table_name) {
  const hid_t table = H5Dopen2(group, table_name, H5P_DEFAULT);
  const int failed = table < 0 || WriteStatuses(table) ? StoreFailHDF5() : 0;
  H5Dclose(table);
  return failed;
}

static int WriteWords(hid_t group, const char *name, int n, const char *const *word) {
  const hid_t table = H5Dopen2(group, "table", H5P_DEFAULT);
  const int failed = table < 0 || WriteStatuses(table) || WriteTexts(table, name, n, word) ? StoreFailHDF5() : 0;
  H5Dclose(table);
  return failed;
}

// Units and descriptions of a table, in column order.
static int WriteColumns(hid_t table, const StoreLayout *layout) {
  const char *unit[128], *text[128];
  for (int i = 0; i < layout->n; i++) unit[i] = layout->column[i].unit, text[i] = layout->column[i].text;
  STORE_TRY(WriteTexts(table, "units", layout->n, unit));
  return WriteTexts(table, "description", layout->n, text);
}

// ---- datasets

// [rows] where width is 0, else [rows, width]; fill: value of an element or NULL for zeros. The caller closes it.
static hid_t CreateArray(hid_t place, const char *name, hsize_t rows, hsize_t width, hid_t type, const void *fill) {
  const hsize_t extent[2] = {rows, width};
  const hid_t space = H5Screate_simple(width ? 2 : 1, extent, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY), H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
  H5Pset_obj_track_times(how, 0);
  if (fill) H5Pset_fill_value(how, type, fill);
  const hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  if (set < 0) StoreFailHDF5();
  H5Pclose(how), H5Sclose(space);
  return set;
}

static int Describe(hid_t set, const char *unit, const char *text) {
  STORE_TRY(WriteText(set, "units", unit));
  return WriteText(set, "description", text);
}

static int CreateReals(hid_t place, const char *name, hsize_t rows, hsize_t width, const char *unit, const char *text) {
  const double fill = NAN;
  const hid_t set = CreateArray(place, name, rows, width, H5T_IEEE_F64LE, &fill);
  const int failed = set < 0 ? -1 : Describe(set, unit, text);
  H5Dclose(set);
  return failed;
}

static int CreateInts(hid_t place, const char *name, hsize_t rows, const int64_t *value, const char *text) {
  const hid_t set = CreateArray(place, name, rows, 0, H5T_STD_I64LE, NULL);
  int failed = set < 0 ? -1 : Describe(set, "1", text);
  if (!failed && rows && H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) < 0)
    failed = StoreFailHDF5();
  H5Dclose(set);
  return failed;
}

int StoreTableCreate(hid_t place, const char *name, const StoreLayout *layout, PetscInt rows, const void *fill) {
  const hid_t type = StoreRowType(layout);
  const hid_t set = CreateArray(place, name, (hsize_t)rows, 0, type, fill);
  const int failed = set < 0 ? -1 : WriteColumns(set, layout);
  H5Dclose(set), H5Tclose(type);
  return failed;
}

int StoreCommitsCreate(hid_t place, PetscInt rows) {
  const StoreCommit pending = {0, CTPG_PENDING};
  unsigned char fill[sizeof(StoreCommit)];
  StoreRowPack(&StoreCommitLayout, &pending, fill);
  return StoreTableCreate(place, "commit", &StoreCommitLayout, rows, fill);
}

// ---- dimension scales: what xarray calls coordinates

static int MakeScale(hid_t place, const char *name) {
  const hid_t scale = H5Dopen2(place, name, H5P_DEFAULT);
  const int failed = scale < 0 || H5DSset_scale(scale, name) < 0 ? StoreFailHDF5() : 0;
  H5Dclose(scale);
  return failed;
}

// 0, 1, .. n - 1, the numbers of components.
static int CreateIndex(hid_t place, const char *name, PetscInt n, const char *text) {
  int64_t *index = calloc((size_t)n + 1, sizeof(*index));
  int failed = index ? 0 : StoreFail("out of memory");
  for (PetscInt i = 0; !failed && i < n; i++) index[i] = i;
  if (!failed) failed = CreateInts(place, name, (hsize_t)n, index, text);
  if (!failed) failed = MakeScale(place, name);
  free(index);
  return failed;
}

static int Attach(hid_t place, const char *name, const char *rows, const char *columns) {
  const hid_t set = H5Dopen2(place, name, H5P_DEFAULT), row_scale = H5Dopen2(place, rows, H5P_DEFAULT);
  const hid_t column_scale = H5Dopen2(place, columns, H5P_DEFAULT);
  const int failed =
      H5DSattach_scale(set, row_scale, 0) < 0 || H5DSattach_scale(set, column_scale, 1) < 0 ? StoreFailHDF5() : 0;
  H5Dclose(column_scale), H5Dclose(row_scale), H5Dclose(set);
  return failed;
}

// ---- tables of labels

// Strings get the length of the longest.
static int WriteLabels(hid_t file, const char *name, const StoreLayout *columns, PetscInt rows,
                       const CtpgLabelInfo *info) {
  StoreColumn column[32];
  const StoreLayout layout = {columns->n, column};
  memcpy(column, columns->column, (size_t)columns->n * sizeof(*column));
  for (int i = 0; i < columns->n; i++) {
    if (column[i].kind != STORE_STRING) continue;
    for (PetscInt p = 0; p < rows; p++) {
      const char *text = *(const char *const *)((const char *)&info[p] + column[i].offset);
      if (text) column[i].size = PetscMax(column[i].size, strlen(text) + 1);
    }
  }
  STORE_TRY(StoreTableCreate(file, name, &layout, rows, NULL));
  StoreArray table = {0};
  unsigned char *bytes = malloc(StoreRowBytes(&layout));
  int failed = bytes ? StoreTableOpen(file, name, &layout, &table) : StoreFail("out of memory");
  for (PetscInt p = 0; !failed && p < rows; p++) {
    StoreRowPack(&layout, &info[p], bytes);
    failed = StoreArrayWrite(&table, (hsize_t)p, bytes);
  }
  free(bytes);
  StoreArrayClose(&table);
  return failed;
}

// ---- the root, the plan, the sessions

static int DrawUUID(char *uuid) { // version 4: 122 random bits
  unsigned char b[16];
  if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b)) return StoreFail("%s", strerror(errno));
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40), b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  sprintf(uuid, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
          b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
  return 0;
}

static int WriteRoot(hid_t file, const CtpgStorePlan *plan) {
  const int32_t schema = CTPG_SCHEMA;
  char uuid[40];
  STORE_TRY(DrawUUID(uuid));
  STORE_TRY(WriteNumber(file, "schema", H5T_STD_I32LE, H5T_NATIVE_INT32, &schema));
  STORE_TRY(WriteText(file, "kind", plan->kind));
  STORE_TRY(WriteText(file, "uuid", uuid));
  STORE_TRY(WriteNumber(file, "plan_hash", H5T_STD_U64LE, H5T_NATIVE_UINT64, &plan->plan_hash));
  STORE_TRY(WriteText(file, "isa", plan->isa ? plan->isa : "unknown"));
  return WriteStatuses(file);
}

static int WritePlan(hid_t file, const CtpgStorePlan *plan) {
  const char *text = plan->plan_options ? plan->plan_options : "";
  const hid_t group = H5Gcreate2(file, "plan", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, strlen(text) + 1), H5Tset_strpad(type, H5T_STR_NULLPAD);
  const hid_t set = H5Dcreate2(group, "options", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  int failed = set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0 ? StoreFailHDF5() : 0;
  if (!failed) failed = WriteText(group, "shard", plan->shard ? plan->shard : "1/1");
  H5Dclose(set), H5Sclose(space), H5Tclose(type), H5Gclose(group);
  return failed;
}

// ---- space

static int DescriptorOf(hid_t file) {
  int *descriptor = NULL;
  return H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&descriptor) < 0 || !descriptor ? -1 : *descriptor;
}

// HDF5 holds metadata back until the flush, and a flush that fails leaves 1.10.8 with a file that it cannot close
// ("slist already enabled?") and crashes on at exit. So the space is taken first, where running out of it is harmless.
int StoreReserve(hid_t file) {
  hsize_t bytes = 0;
  int error;
  STORE_TRY(H5Fget_filesize(file, &bytes));
  error = posix_fallocate(DescriptorOf(file), 0, (off_t)bytes);
  if (error && error != EOPNOTSUPP && error != EINVAL) return StoreFail("%s", strerror(error));
  return 0;
}

// ---- cases/<label>

typedef const PetscReal *const *Starts; // [ncases] one row each, or NULL

// Writes row cases[c].row of an array of problem p from values[c].
static int WriteStarts(hid_t group, const char *name, const CtpgStorePlan *plan, PetscInt p, Starts values) {
  StoreArray array = {0};
  int failed = StoreArrayOpen(group, name, H5T_NATIVE_DOUBLE, &array);
  for (PetscInt c = 0; !failed && c < plan->ncases; c++) {
    if (plan->cases[c].problem != p || !values[c]) continue;
    failed = StoreArrayWrite(&array, (hsize_t)plan->cases[c].row, values[c]);
  }
  StoreArrayClose(&array);
  return failed;
}

static int CreateCaseArray(hid_t group, const char *name, PetscInt rows, PetscInt width, const char *columns,
                           const char *unit, const char *text) {
  STORE_TRY(CreateReals(group, name, (hsize_t)rows, (hsize_t)width, unit, text));
  return Attach(group, name, "seed", columns);
}

static int WriteSeeds(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  int64_t *seed = calloc((size_t)plan->problems[p].ncases + 1, sizeof(*seed));
  int failed = seed ? 0 : StoreFail("out of memory");
  for (PetscInt c = 0; !failed && c < plan->ncases; c++) {
    if (plan->cases[c].problem == p) seed[plan->cases[c].row] = plan->cases[c].seed;
  }
  if (!failed) failed = CreateInts(group, "seed", (hsize_t)plan->problems[p].ncases, seed, "seed of the case");
  if (!failed) failed = MakeScale(group, "seed");
  free(seed);
  return failed;
}

static int FillCaseGroup(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  const CtpgLabelInfo *info = &plan->problems[p];
  const PetscInt n = info->ncases;
  STORE_TRY(WriteSeeds(group, plan, p));
  STORE_TRY(CreateIndex(group, "state", info->nx, "component of the state"));
  STORE_TRY(CreateIndex(group, "parameter", info->np, "component of theta, layer by layer: W [out, in], then b"));
  STORE_TRY(CreateCaseArray(group, "x0", n, info->nx, "state", "SI", "initial state"));
  STORE_TRY(CreateCaseArray(group, "grad_x0", n, info->nx, "state", "1/SI", "reference gradient dL/dx0"));
  STORE_TRY(CreateCaseArray(group, "grad_theta", n, info->np, "parameter", "1", "reference gradient dL/dtheta"));
  STORE_TRY(WriteStarts(group, "x0", plan, p, plan->x0));
  if (info->ntask > 0) {
    STORE_TRY(CreateIndex(group, "task_component", info->ntask, "component of the task"));
    STORE_TRY(CreateCaseArray(group, "task", n, info->ntask, "task_component", "SI", "what is random beside x0"));
    STORE_TRY(WriteStarts(group, "task", plan, p, plan->task));
  }
  if (info->has_theta) {
    STORE_TRY(CreateCaseArray(group, "theta", n, info->np, "parameter", "1", "parameters of the policy"));
    STORE_TRY(WriteStarts(group, "theta", plan, p, plan->theta));
  }
  return 0;
}

static int CreateCases(hid_t file, const CtpgStorePlan *plan) {
  static const char *const bit[] = {"inaccurate", "differences", "closed_form", "nonsmooth"};
  const hid_t group = H5Gcreate2(file, "cases", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  STORE_TRY(StoreTableCreate(group, "table", &StoreCaseLayout, plan->ncases, NULL));
  STORE_TRY(WriteWords(group, "flag_bits", LENGTH(bit), bit));
  STORE_TRY(StoreCommitsCreate(group, plan->ncases));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t inner = H5Gcreate2(group, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(inner);
    STORE_TRY(FillCaseGroup(inner, plan, p));
    STORE_TRY(StoreReserve(file));
    H5Gclose(inner);
  }
  H5Gclose(group);
  return 0;
}

// ---- runs

static int CreateGradientsOf(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  hsize_t n = 0;
  int64_t *run = calloc((size_t)plan->nruns + 1, sizeof(*run));
  int failed = run ? 0 : StoreFail("out of memory");
  for (PetscInt r = 0; !failed && r < plan->nruns; r++) {
    if (plan->runs[r].problem == p) run[n++] = r;
  }
  if (!failed) failed = CreateInts(group, "run", n, run, "row of runs/table");
  if (!failed) failed = MakeScale(group, "run");
  free(run);
  if (failed) return -1;
  STORE_TRY(CreateIndex(group, "parameter", plan->problems[p].np, "component of theta"));
  STORE_TRY(CreateReals(group, "gradient", n, (hsize_t)plan->problems[p].np, "1", "dL/dtheta of the run"));
  return Attach(group, "gradient", "run", "parameter");
}

static int CreateGradients(hid_t file, const CtpgStorePlan *plan) {
  const hid_t group = H5Gcreate2(file, "runs/gradients", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t inner = H5Gcreate2(group, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(inner);
    STORE_TRY(CreateGradientsOf(inner, plan, p));
    STORE_TRY(StoreReserve(file));
    H5Gclose(inner);
  }
  H5Gclose(group);
  return 0;
}

static int CreateRuns(hid_t file, const CtpgStorePlan *plan) {
  static const char *const timing[] = {"isolated", "throughput"};
  const hid_t group = H5Gcreate2(file, "runs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  STORE_TRY(StoreTableCreate(group, "table", &StoreRunLayout, plan->nruns, NULL));
  STORE_TRY(StoreCommitsCreate(group, plan->nruns));
  STORE_TRY(
      CreateReals(group, "sketch", (hsize_t)plan->nruns, CTPG_SKETCH_SIZE, "1", "Philox projections of dL/dtheta"));
  STORE_TRY(WriteWords(group, "timings", LENGTH(timing), timing));
  if (plan->save_gradients) STORE_TRY(CreateGradients(file, plan));
  H5Gclose(group);
  return 0;
}

// Those that are taken over, and room for more.
static PetscInt CountSessions(PetscInt n, const CtpgContents *old) {
  PetscInt sessions = CTPG_SESSIONS;
  for (PetscInt i = 0; i < n; i++) sessions += old[i]->nsessions;
  return sessions;
}

static int CreateSkeleton(hid_t file, const CtpgStorePlan *plan, PetscInt sessions) {
  STORE_TRY(WriteRoot(file, plan));
  STORE_TRY(WritePlan(file, plan));
  STORE_TRY(StoreTableCreate(file, "sessions", &StoreSessionLayout, sessions, NULL));
  STORE_TRY(WriteLabels(file, "problems", &StoreProblemLayout, plan->nproblems, plan->problems));
  STORE_TRY(WriteLabels(file, "policies", &StorePolicyLayout, plan->nproblems, plan->problems));
  STORE_TRY(WriteLabels(file, "estimators", &StoreEstimatorLayout, plan->nestimators, plan->estimators));
  STORE_TRY(CreateCases(file, plan));
  return CreateRuns(file, plan);
}

// ---- rows: identity of all, and what `old` finished

typedef struct {
  uint64_t key;
  PetscInt row; // of the old file
} Finished;

static int CompareKeys(const void *a, const void *b) {
  const uint64_t first = ((const Finished *)a)->key, second = ((const Finished *)b)->key;
  return first < second ? -1 : first > second;
}

static PetscInt FindFinished(const Finished *finished, PetscInt n, uint64_t key) {
  const Finished wanted = {key, 0};
  const Finished *found = n ? bsearch(&wanted, finished, (size_t)n, sizeof(*finished), CompareKeys) : NULL;
  return found ? found->row : -1;
}

// What a file has finished, and where it is copied from; a closed one is all zero.
typedef struct {
  CtpgContents old;
  hid_t file;
  StoreArrays arrays;
  Finished *cases, *runs; // sorted by key
  PetscInt ncases, nruns;
  int first_session; // of the new file, to which those of this one go
} Source;

typedef struct {
  const CtpgStorePlan *plan;
  StoreArrays to;
  PetscInt n;
  Source *from;            // [n]
  PetscReal *gx0, *gtheta; // as long as the longest row of any source
} Copy;

static int ListFinished(Source *source) {
  const CtpgContents old = source->old;
  source->cases = calloc((size_t)old->ncases + 1, sizeof(Finished));
  source->runs = calloc((size_t)old->nruns + 1, sizeof(Finished));
  if (!source->cases || !source->runs) return StoreFail("out of memory");
  for (PetscInt c = 0; c < old->ncases; c++) {
    if (old->case_done[c]) source->cases[source->ncases++] = (Finished){old->cases[c].case_key, c};
  }
  for (PetscInt r = 0; r < old->nruns; r++) {
    if (old->run_done[r]) source->runs[source->nruns++] = (Finished){old->runs[r].run_key, r};
  }
  qsort(source->cases, (size_t)source->ncases, sizeof(Finished), CompareKeys);
  qsort(source->runs, (size_t)source->nruns, sizeof(Finished), CompareKeys);
  return 0;
}

static int OpenSource(Source *source, CtpgContents old) {
  source->old = old;
  source->file = StoreFileOpenSerial(old->path);
  STORE_TRY(source->file);
  STORE_TRY(StoreArraysOpen(source->file, old->nproblems, old->problem, &source->arrays));
  return ListFinished(source);
}

static void CloseSource(Source *source) {
  if (!source->old) return;
  StoreArraysClose(&source->arrays);
  if (source->file >= 0) H5Fclose(source->file);
  free(source->cases), free(source->runs);
}

static int CopyCase(Copy *copy, PetscInt c, Source *from, PetscInt old_c) {
  const CtpgCaseRow *identity = &copy->plan->cases[c];
  const PetscInt p = identity->problem, q = from->old->cases[old_c].problem;
  CtpgCaseRow row = from->old->cases[old_c];
  if (from->arrays.grad_x0[q].width != copy->to.grad_x0[p].width ||
      from->arrays.grad_theta[q].width != copy->to.grad_theta[p].width)
    return StoreFail("%s has the same case with other sizes", from->old->path);
  STORE_TRY(StoreArrayRead(&from->arrays.grad_x0[q], (hsize_t)row.row, 1, copy->gx0));
  STORE_TRY(StoreArrayRead(&from->arrays.grad_theta[q], (hsize_t)row.row, 1, copy->gtheta));
  row.problem = identity->problem, row.row = identity->row, row.session += from->first_session;
  return StoreArraysPutCase(&copy->to, c, &row, copy->gx0, copy->gtheta);
}

// A gradient that the old file did not save stays NaN.
static int CopyRun(Copy *copy, PetscInt r, Source *from, PetscInt old_r) {
  const CtpgRunRow *identity = &copy->plan->runs[r];
  const PetscInt p = identity->problem, q = from->old->runs[old_r].problem;
  const int both = from->arrays.gradient && copy->to.gradient;
  CtpgRunRow row = from->old->runs[old_r];
  if (both && from->arrays.gradient[q].width != copy->to.gradient[p].width)
    return StoreFail("%s has the same run with other sizes", from->old->path);
  if (both)
    STORE_TRY(StoreArrayRead(&from->arrays.gradient[q], (hsize_t)from->arrays.gradient_row[old_r], 1, copy->gtheta));
  row.case_index = identity->case_index, row.problem = identity->problem, row.estimator = identity->estimator;
  row.session += from->first_session;
  return StoreArraysPutRun(&copy->to, r, &row, from->old->sketch + CTPG_SKETCH_SIZE * (size_t)old_r,
                           both ? copy->gtheta : NULL);
}

static int CopySessions(Copy *copy) {
  unsigned char bytes[sizeof(StoreSession)];
  int next = 0;
  for (PetscInt i = 0; i < copy->n; i++) {
    Source *from = &copy->from[i];
    from->first_session = next;
    for (PetscInt s = 0; s < from->old->nsessions; s++) {
      STORE_TRY(StoreArrayRead(&from->arrays.sessions, (hsize_t)s, 1, bytes));
      STORE_TRY(StoreArrayWrite(&copy->to.sessions, (hsize_t)next++, bytes));
    }
  }
  return 0;
}

static int WriteIdentity(StoreArray *table, const StoreLayout *layout, PetscInt r, const void *row) {
  unsigned char bytes[PetscMax(sizeof(CtpgRunRow), sizeof(CtpgCaseRow))];
  StoreRowPack(layout, row, bytes);
  return StoreArrayWrite(table, (hsize_t)r, bytes);
}

// The source that row `key` is taken from, NULL if none has finished it: the first, but rather one that did not end by
// its environment.
static Source *ChooseSource(Copy *copy, PetscBool is_run, uint64_t key, PetscInt *row) {
  Source *chosen = NULL;
  for (PetscInt i = 0; i < copy->n; i++) {
    Source *from = &copy->from[i];
    const PetscInt found =
        is_run ? FindFinished(from->runs, from->nruns, key) : FindFinished(from->cases, from->ncases, key);
    if (found < 0) continue;
    const PetscBool weak = CtpgIsEnvironment(is_run ? from->old->runs[found].status : from->old->cases[found].status);
    if (chosen && weak) continue;
    chosen = from;
    *row = found;
    if (!weak) break;
  }
  return chosen;
}

static int WriteRows(Copy *copy) {
  const CtpgStorePlan *plan = copy->plan;
  PetscInt row = 0;
  for (PetscInt c = 0; c < plan->ncases; c++) {
    Source *from = ChooseSource(copy, PETSC_FALSE, plan->cases[c].case_key, &row);
    if (from)
      STORE_TRY(CopyCase(copy, c, from, row));
    else
      STORE_TRY(WriteIdentity(&copy->to.cases, &StoreCaseLayout, c, &plan->cases[c]));
  }
  for (PetscInt r = 0; r < plan->nruns; r++) {
    Source *from = ChooseSource(copy, PETSC_TRUE, plan->runs[r].run_key, &row);
    if (from)
      STORE_TRY(CopyRun(copy, r, from, row));
    else
      STORE_TRY(WriteIdentity(&copy->to.runs, &StoreRunLayout, r, &plan->runs[r]));
  }
  return 0;
}

static int CopyAll(Copy *copy, const CtpgContents *old) {
  hsize_t widest = 1;
  for (PetscInt i = 0; i < copy->n; i++) {
    STORE_TRY(OpenSource(&copy->from[i], old[i]));
    widest = PetscMax(widest, copy->from[i].arrays.widest);
  }
  copy->gx0 = malloc(widest * sizeof(PetscReal)), copy->gtheta = malloc(widest * sizeof(PetscReal));
  if (!copy->gx0 || !copy->gtheta) return StoreFail("out of memory");
  STORE_TRY(CopySessions(copy));
  return WriteRows(copy);
}

static int FillRows(hid_t file, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  Copy copy = {.plan = plan, .n = n, .from = calloc((size_t)n + 1, sizeof(Source))};
  char(*label)[CTPG_LABEL_SIZE] = calloc((size_t)plan->nproblems + 1, CTPG_LABEL_SIZE);
  int failed = label && copy.from ? 0 : StoreFail("out of memory");
  for (PetscInt p = 0; !failed && p < plan->nproblems; p++)
    StoreTextCopy(label[p], plan->problems[p].label, CTPG_LABEL_SIZE);
  if (!failed) failed = StoreArraysOpen(file, plan->nproblems, label, &copy.to);
  if (!failed) failed = CopyAll(&copy, old);
  for (PetscInt i = 0; copy.from && i < n; i++) CloseSource(&copy.from[i]);
  StoreArraysClose(&copy.to);
  free(copy.from), free(copy.gx0), free(copy.gtheta), free(label);
  return failed;
}

// ---- the file

// Closing a file writes what HDF5 holds back: that of a failed one goes to memory, not to a disk that is full.
static void CloseIntoMemory(hid_t file) {
  const int memory = memfd_create("failed", MFD_CLOEXEC), descriptor = DescriptorOf(file);
  if (memory >= 0 && descriptor >= 0) dup2(memory, descriptor);
  if (memory >= 0) close(memory);
  H5Fclose(file);
}

static int BuildFile(const char *path, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  const hid_t access = StoreSerialAccess(), file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  int failed = file < 0 ? StoreFailHDF5() : 0;
  H5Pclose(access);
  if (failed) return -1;
  failed = CreateSkeleton(file, plan, CountSessions(n, old)) || FillRows(file, plan, n, old) ||
           (plan->extend && plan->extend(file, plan->extend_context)) || StoreReserve(file);
  if (!failed && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) failed = StoreFailHDF5();
  if (failed)
    CloseIntoMemory(file);
  else if (H5Fclose(file) < 0)
    failed = StoreFailHDF5();
  return failed ? -1 : 0;
}

// fsync of a file or of a directory; file systems that cannot sync a directory say EINVAL.
static int Sync(const char *path) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  const int failed = descriptor < 0 || (fsync(descriptor) && errno != EINVAL) ? StoreFail("%s", strerror(errno)) : 0;
  if (descriptor >= 0) close(descriptor);
  return failed;
}

static int SyncDirectoryOf(const char *path) {
  char *copy = strdup(path);
  const int failed = copy ? Sync(dirname(copy)) : StoreFail("out of memory");
  free(copy);
  return failed;
}

static int MoveIntoPlace(const char *from, const char *to) {
  STORE_TRY(Sync(from));
  if (rename(from, to)) return StoreFail("%s", strerror(errno));
  return SyncDirectoryOf(to);
}

static PetscErrorCode CheckPlan(const CtpgStorePlan *plan) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const char *label = plan->problems[p].label;
    PetscCheck(strcmp(label, "table") && strcmp(label, "commit"), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
               "The label %s is taken by the results file; expected any other name", label);
  }
  for (PetscInt c = 0; c < plan->ncases; c++) {
    const CtpgCaseRow *row = &plan->cases[c];
    PetscCheck(row->problem >= 0 && row->problem < plan->nproblems && row->row >= 0 &&
                   row->row < plan->problems[row->problem].ncases,
               PETSC_COMM_SELF, PETSC_ERR_PLIB, "Case %" PetscInt_FMT " of the plan has no place in cases/<label>", c);
  }
  for (PetscInt r = 0; r < plan->nruns; r++) {
    PetscCheck(plan->runs[r].problem >= 0 && plan->runs[r].problem < plan->nproblems, PETSC_COMM_SELF, PETSC_ERR_PLIB,
               "Run %" PetscInt_FMT " of the plan belongs to no problem", r);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode StoreCreate(const char *path, const CtpgStorePlan *plan, CtpgContents old) {
  PetscFunctionBeginUser;
  PetscCall(StoreCreateFrom(path, plan, old ? 1 : 0, &old));
  PetscFunctionReturn(0);
}

PetscErrorCode StoreCreateFrom(const char *path, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  char part[PETSC_MAX_PATH_LEN];
  int failed;
  PetscFunctionBeginUser;
  PetscCall(CheckPlan(plan));
  PetscCheck(strlen(path) + 5 < sizeof(part), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "The file name %s is too long",
             path);
  StoreBegin();
  snprintf(part, sizeof(part), "%s.new", path);
  failed = BuildFile(part, plan, n, old) || MoveIntoPlace(part, path);
  if (failed) unlink(part);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot create %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}
