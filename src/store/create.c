// create.c -- the complete skeleton of a results file, written by rank 0 with serial HDF5 and then moved into place
//
// Group by group as schema.h describes it, datasets as datasets.c makes them; then the rows that older files have
// finished (takeover.c), then what a file of another kind adds. It becomes visible under its name when all of it is on
// the disk.

#define _GNU_SOURCE // memfd_create
#include "store/create.h"
#include "store/datasets.h"
#include "store/fixed.h"
#include "store/foreign.h"
#include "store/labels.h"
#include "store/place.h"
#include "store/plants.h"
#include "store/takeover.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

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
  STORE_TRY(StoreNumberWrite(file, "schema", H5T_STD_I32LE, H5T_NATIVE_INT32, &schema));
  STORE_TRY(StoreTextWrite(file, "kind", plan->kind));
  STORE_TRY(StoreTextWrite(file, "uuid", uuid));
  STORE_TRY(StoreNumberWrite(file, "plan_hash", H5T_STD_U64LE, H5T_NATIVE_UINT64, &plan->plan_hash));
  STORE_TRY(StoreTextWrite(file, "isa", plan->isa ? plan->isa : "unknown"));
  if (plan->unverified) STORE_TRY(StoreTextWrite(file, "unverified", plan->unverified));
  return StoreStatusesWrite(file);
}

static int WritePlan(hid_t file, const CtpgStorePlan *plan) {
  const char *text = plan->plan_options ? plan->plan_options : "";
  const hid_t group = H5Gcreate2(file, "plan", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, strlen(text) + 1), H5Tset_strpad(type, H5T_STR_NULLPAD);
  const hid_t set = H5Dcreate2(group, "options", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  int failed = set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0 ? StoreFailHDF5() : 0;
  if (!failed) failed = StoreTextWrite(group, "shard", plan->shard ? plan->shard : "1/1");
  H5Dclose(set), H5Sclose(space), H5Tclose(type);
  if (!failed) failed = StoreFixedWrite(group, "options");
  H5Gclose(group);
  return failed;
}

// ---- cases/<label>

static void GetCase(const void *context, PetscInt c, CtpgCaseRow *row) {
  *row = ((const StoreRowLists *)context)->cases[c];
}

static void GetRun(const void *context, PetscInt r, CtpgRunRow *row) {
  *row = ((const StoreRowLists *)context)->runs[r];
}

static PetscErrorCode GetStart(void *context, PetscInt c, StoreStart *start) {
  const StoreRowLists *lists = context;
  *start = (StoreStart){lists->x0[c], lists->task[c], lists->theta[c]};
  return 0;
}

StoreRows StoreRowsFrom(StoreRowLists *lists) {
  return (StoreRows){.get_case = GetCase, .get_run = GetRun, .get_start = GetStart, .context = lists};
}

// The arrays of cases/<label> that hold starts, closed where there are none.
typedef struct {
  StoreArray x0, task, theta;
} StartArrays;

static int WriteStart(StartArrays *to, int32_t row, const StoreStart *start) {
  StoreArray *const array[] = {&to->x0, &to->task, &to->theta};
  const PetscReal *const values[] = {start->x0, start->task, start->theta};
  for (int i = 0; i < 3; i++)
    if (values[i] && array[i]->rows) STORE_TRY(StoreArrayWrite(array[i], (hsize_t)row, values[i]));
  return 0;
}

static int WriteStartsTo(const CtpgStorePlan *plan, PetscInt p, StartArrays *to) {
  for (PetscInt c = 0; c < plan->ncases; c++) {
    StoreStart start;
    CtpgCaseRow row;
    plan->rows.get_case(plan->rows.context, c, &row);
    if (row.problem != p) continue;
    if (plan->rows.get_start(plan->rows.context, c, &start)) return StoreFail("its cases cannot be drawn");
    STORE_TRY(WriteStart(to, row.row, &start));
  }
  return 0;
}

// Of the cases of problem p.
static int WriteStarts(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  const CtpgLabelInfo *info = &plan->problems[p];
  StartArrays to = {0};
  int failed = StoreArrayOpen(group, "x0", H5T_NATIVE_DOUBLE, &to.x0);
  if (!failed && info->ntask > 0) failed = StoreArrayOpen(group, "task", H5T_NATIVE_DOUBLE, &to.task);
  if (!failed && info->has_theta) failed = StoreArrayOpen(group, "theta", H5T_NATIVE_DOUBLE, &to.theta);
  if (!failed) failed = WriteStartsTo(plan, p, &to);
  StoreArrayClose(&to.x0);
  StoreArrayClose(&to.task);
  StoreArrayClose(&to.theta);
  return failed;
}

static int CreateCaseArray(hid_t group, const char *name, PetscInt rows, PetscInt width, const char *columns,
                           const char *unit, const char *text) {
  const StoreDimension dimension[] = {{"seed", (hsize_t)rows}, {columns, (hsize_t)width}};
  return StoreRealsCreate(group, name, 2, dimension, unit, text);
}

static int WriteSeeds(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  int64_t *seed = calloc((size_t)plan->problems[p].ncases + 1, sizeof(*seed));
  int failed = seed ? 0 : StoreFail("out of memory");
  for (PetscInt c = 0; !failed && c < plan->ncases; c++) {
    CtpgCaseRow row;
    plan->rows.get_case(plan->rows.context, c, &row);
    if (row.problem == p) seed[row.row] = row.seed;
  }
  if (!failed) failed = StoreScaleCreate(group, "seed", plan->problems[p].ncases, seed, "seed of the case");
  free(seed);
  return failed;
}

static int FillCaseGroup(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  const CtpgLabelInfo *info = &plan->problems[p];
  const PetscInt n = info->ncases;
  STORE_TRY(WriteSeeds(group, plan, p));
  STORE_TRY(StoreScaleCreate(group, "state", info->nx, NULL, "component of the state"));
  STORE_TRY(
      StoreScaleCreate(group, "parameter", info->np, NULL, "component of theta, layer by layer: W [out, in], then b"));
  STORE_TRY(CreateCaseArray(group, "x0", n, info->nx, "state", "SI", "initial state"));
  STORE_TRY(CreateCaseArray(group, "grad_x0", n, info->nx, "state", "1/SI", "reference gradient dL/dx0"));
  STORE_TRY(CreateCaseArray(group, "grad_theta", n, info->np, "parameter", "1", "reference gradient dL/dtheta"));
  if (info->ntask > 0) {
    STORE_TRY(StoreScaleCreate(group, "task_component", info->ntask, NULL, "component of the task"));
    STORE_TRY(CreateCaseArray(group, "task", n, info->ntask, "task_component", "SI", "what is random beside x0"));
  }
  if (info->has_theta)
    STORE_TRY(CreateCaseArray(group, "theta", n, info->np, "parameter", "1", "parameters of the policy"));
  return WriteStarts(group, plan, p);
}

static int CreateCases(hid_t file, const CtpgStorePlan *plan) {
  static const char *const bit[] = {"inaccurate", "differences", "closed_form", "nonsmooth"};
  const hid_t group = H5Gcreate2(file, "cases", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  STORE_TRY(StoreTableCreate(group, "table", &StoreCaseLayout, plan->ncases, NULL));
  STORE_TRY(StoreWordsWrite(group, "flag_bits", STORE_LENGTH(bit), bit));
  STORE_TRY(StoreCommitsCreate(group, plan->ncases));
  STORE_TRY(StoreIdentitiesCreate(group, plan->ncases));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t inner = H5Gcreate2(group, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(inner);
    STORE_TRY(FillCaseGroup(inner, plan, p));
    STORE_TRY(StoreFileReserve(file));
    H5Gclose(inner);
  }
  H5Gclose(group);
  return 0;
}

// ---- runs

static int CreateGradientsOf(hid_t group, const CtpgStorePlan *plan, PetscInt p) {
  PetscInt n = 0;
  int64_t *run = calloc((size_t)plan->nruns + 1, sizeof(*run));
  int failed = run ? 0 : StoreFail("out of memory");
  for (PetscInt r = 0; !failed && r < plan->nruns; r++) {
    CtpgRunRow row;
    plan->rows.get_run(plan->rows.context, r, &row);
    if (row.problem == p) run[n++] = r;
  }
  if (!failed) failed = StoreScaleCreate(group, "run", n, run, "row of runs/table");
  free(run);
  if (failed) return -1;
  STORE_TRY(StoreScaleCreate(group, "parameter", plan->problems[p].np, NULL, "component of theta"));
  const StoreDimension dimension[] = {{"run", (hsize_t)n}, {"parameter", (hsize_t)plan->problems[p].np}};
  return StoreRealsCreate(group, "gradient", 2, dimension, "1", "dL/dtheta of the run");
}

static int CreateGradients(hid_t file, const CtpgStorePlan *plan) {
  const hid_t group = H5Gcreate2(file, "runs/gradients", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const hid_t inner = H5Gcreate2(group, plan->problems[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(inner);
    STORE_TRY(CreateGradientsOf(inner, plan, p));
    STORE_TRY(StoreFileReserve(file));
    H5Gclose(inner);
  }
  H5Gclose(group);
  return 0;
}

static int CreateRuns(hid_t file, const CtpgStorePlan *plan) {
  static const char *const timing[] = {"isolated", "throughput", "crowded"};
  const StoreDimension sketch[] = {{NULL, (hsize_t)plan->nruns}, {NULL, CTPG_SKETCH_SIZE}};
  const hid_t group = H5Gcreate2(file, "runs", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(group);
  STORE_TRY(StoreTableCreate(group, "table", &StoreRunLayout, plan->nruns, NULL));
  STORE_TRY(StoreCommitsCreate(group, plan->nruns));
  STORE_TRY(StoreIdentitiesCreate(group, plan->nruns));
  STORE_TRY(StoreRealsCreate(group, "sketch", 2, sketch, "1", "Philox projections of dL/dtheta"));
  STORE_TRY(StoreWordsWrite(group, "timings", STORE_LENGTH(timing), timing));
  if (plan->save_gradients) STORE_TRY(CreateGradients(file, plan));
  H5Gclose(group);
  return 0;
}

static int CreateSkeleton(hid_t file, const CtpgStorePlan *plan, PetscInt sessions) {
  STORE_TRY(WriteRoot(file, plan));
  STORE_TRY(WritePlan(file, plan));
  STORE_TRY(StoreTableCreate(file, "sessions", &StoreSessionLayout, sessions, NULL));
  STORE_TRY(StoreLabelsWrite(file, "problems", &StoreProblemLayout, plan->nproblems, plan->problems));
  STORE_TRY(StoreLabelsWrite(file, "policies", &StorePolicyLayout, plan->nproblems, plan->problems));
  STORE_TRY(StorePlantsWrite(file, plan->nproblems, plan->problems));
  STORE_TRY(StoreLabelsWrite(file, "estimators", &StoreEstimatorLayout, plan->nestimators, plan->estimators));
  STORE_TRY(CreateCases(file, plan));
  return CreateRuns(file, plan);
}

// ---- the file

// Closing a file writes what HDF5 holds back: that of a failed one goes to memory, not to a disk that is full.
static void CloseIntoMemory(hid_t file) {
  const int memory = memfd_create("failed", MFD_CLOEXEC), descriptor = StoreFileDescriptor(file);
  if (memory >= 0 && descriptor >= 0) dup2(memory, descriptor);
  if (memory >= 0) close(memory);
  H5Fclose(file);
}

// In the format of HDF5 1.8, which has checksums over everything that HDF5 keeps beside the data.
static hid_t CreateFile(const char *path) {
  const hid_t access = StoreSerialAccess();
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
  if (file < 0) StoreFailHDF5();
  H5Pclose(access);
  return file;
}

static int BuildFile(const StorePart *part, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  const hid_t file = CreateFile(part->part);
  int failed;
  STORE_TRY(file);
  failed = CreateSkeleton(file, plan, StoreCountSessions(n, old)) || StoreTakeOver(file, plan, n, old) ||
           (plan->extend && plan->extend(file, plan->extend_context)) ||
           (part->replaces && StoreForeignCopy(part->path, file)) || StoreFileReserve(file);
  if (!failed && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) failed = StoreFailHDF5();
  if (failed)
    CloseIntoMemory(file);
  else if (H5Fclose(file) < 0)
    failed = StoreFailHDF5();
  return failed ? -1 : 0;
}

static PetscErrorCode CheckPlan(const CtpgStorePlan *plan) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const char *label = plan->problems[p].label;
    PetscCheck(strcmp(label, "table") && strcmp(label, "commit"), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
               "The label %s is taken by the results file; expected any other name", label);
  }
  for (PetscInt c = 0; c < plan->ncases; c++) {
    CtpgCaseRow row;
    plan->rows.get_case(plan->rows.context, c, &row);
    PetscCheck(row.problem >= 0 && row.problem < plan->nproblems && row.row >= 0 &&
                   row.row < plan->problems[row.problem].ncases,
               PETSC_COMM_SELF, PETSC_ERR_PLIB, "Case %" PetscInt_FMT " of the plan has no place in cases/<label>", c);
  }
  for (PetscInt r = 0; r < plan->nruns; r++) {
    CtpgRunRow row;
    plan->rows.get_run(plan->rows.context, r, &row);
    PetscCheck(row.problem >= 0 && row.problem < plan->nproblems, PETSC_COMM_SELF, PETSC_ERR_PLIB,
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
  CtpgStorePlan marked = *plan;
  StorePart part;
  int failed;
  PetscFunctionBeginUser;
  PetscCall(CheckPlan(plan));
  for (PetscInt i = 0; i < n && !marked.unverified; i++)
    if (old[i]->unverified[0]) marked.unverified = old[i]->unverified;
  if (n && old[0]->isa[0]) marked.isa = old[0]->isa; // where it was begun
  StoreBegin();
  failed = StorePartBegin(path, &part) || BuildFile(&part, &marked, n, old) || StorePartEnd(&part);
  StorePartCancel(&part);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot create %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}
