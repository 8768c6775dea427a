// store.c -- the results file while a job runs: opened by all ranks with MPI-IO, rows written independently
//
// Opening and closing are collective in HDF5: after each of these calls the ranks agree on its success, so that a
// failure on one rank is the same sentence on all and nobody waits for ever.

#include "store_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct CtpgStore_s {
  MPI_Comm comm;
  int rank, session;
  char *path;
  hid_t file;
  StoreArrays arrays;
};

// Did anything fail on any rank? If so StoreReason() is, on every rank, that of the lowest one that failed.
static PetscErrorCode Agree(MPI_Comm comm, int failed, int *anywhere) {
  char reason[512];
  int rank, size, first;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(comm, &rank));
  PetscCallMPI(MPI_Comm_size(comm, &size));
  first = failed ? rank : size;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm));
  *anywhere = first < size;
  if (!*anywhere) PetscFunctionReturn(0);
  StoreTextCopy(reason, StoreReason(), sizeof(reason));
  PetscCallMPI(MPI_Bcast(reason, sizeof(reason), MPI_CHAR, first, comm));
  StoreBegin();
  if (first == 0)
    StoreFail("%s", reason);
  else
    StoreFail("%s (rank %d)", reason, first);
  PetscFunctionReturn(0);
}

// ---- open

static int CheckAccess(const char *path) {
  return access(path, R_OK | W_OK) ? StoreFail("%s", strerror(errno)) : 0;
}

static hid_t OpenParallel(MPI_Comm comm, const char *path) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, comm, MPI_INFO_NULL);
  const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
  if (file < 0) StoreFailHDF5();
  H5Pclose(access);
  return file;
}

// On two nodes one path can mean two files: all ranks must see the uuid that rank 0 sees.
static PetscErrorCode CheckSameFile(CtpgStore store, int *failed) {
  char mine[40] = "", first[40];
  PetscFunctionBeginUser;
  *failed = StoreCheckSchema(store->file) || StoreReadTextAttribute(store->file, "uuid", mine, sizeof(mine));
  memcpy(first, mine, sizeof(first));
  PetscCallMPI(MPI_Bcast(first, sizeof(first), MPI_CHAR, 0, store->comm));
  if (!*failed && strcmp(mine, first)) *failed = StoreFail("ranks see different files; expected a shared file system");
  PetscFunctionReturn(0);
}

static int OpenArrays(CtpgStore store, const CtpgStorePlan *plan) {
  char(*label)[CTPG_LABEL_SIZE] = calloc((size_t)plan->nproblems + 1, CTPG_LABEL_SIZE);
  int failed;
  if (!label) return StoreFail("out of memory");
  for (PetscInt p = 0; p < plan->nproblems; p++) StoreTextCopy(label[p], plan->problems[p].label, CTPG_LABEL_SIZE);
  failed = StoreArraysOpen(store->file, plan->nproblems, label, &store->arrays);
  free(label);
  return failed;
}

static int CheckSizes(const StoreArrays *arrays, const CtpgStorePlan *plan) {
  int fit = arrays->runs.rows == (hsize_t)plan->nruns && arrays->cases.rows == (hsize_t)plan->ncases;
  for (PetscInt p = 0; fit && p < plan->nproblems; p++) {
    const hsize_t nx = (hsize_t)plan->problems[p].nx, np = (hsize_t)plan->problems[p].np;
    fit = arrays->grad_x0[p].width == nx && arrays->grad_theta[p].width == np;
    if (fit && arrays->gradient) fit = arrays->gradient[p].width == np;
  }
  if (!fit) return StoreFail("it holds another plan");
  if (plan->save_gradients && !arrays->gradient) return StoreFail("it was created without -save_gradients");
  return 0;
}

// Reads one column of a table.
static int ReadKeys(hid_t file, const char *path, const char *column, size_t n, uint64_t *key) {
  const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(uint64_t));
  StoreArray table = {0};
  int failed;
  H5Tinsert(type, column, 0, H5T_NATIVE_UINT64);
  failed = StoreArrayOpen(file, path, type, &table) || StoreArrayRead(&table, 0, n, key);
  StoreArrayClose(&table);
  H5Tclose(type);
  return failed ? -1 : 0;
}

// Row r of the file must be run r of the plan: a put replaces the whole row.
static int CheckKeys(CtpgStore store, const CtpgStorePlan *plan) {
  const size_t ncases = (size_t)plan->ncases, nruns = (size_t)plan->nruns;
  uint64_t *key = malloc((PetscMax(ncases, nruns) + 1) * sizeof(*key));
  int failed = key ? 0 : StoreFail("out of memory");
  if (!failed) failed = ReadKeys(store->file, "cases/table", "case_key", ncases, key);
  for (size_t c = 0; !failed && c < ncases; c++) {
    if (key[c] != plan->cases[c].case_key) failed = StoreFail("row %zu of cases/table is not the plan's", c);
  }
  if (!failed) failed = ReadKeys(store->file, "runs/table", "run_key", nruns, key);
  for (size_t r = 0; !failed && r < nruns; r++) {
    if (key[r] != plan->runs[r].run_key) failed = StoreFail("row %zu of runs/table is not the plan's", r);
  }
  free(key);
  return failed;
}

static void Now(char *text, size_t size) {
  const time_t now = time(NULL);
  struct tm utc;
  memset(text, 0, size);
  strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

static int WriteSession(CtpgStore store, const StoreSession *row) {
  unsigned char bytes[sizeof(StoreSession)];
  StoreRowPack(&StoreSessionLayout, row, bytes);
  return StoreArrayWrite(&store->arrays.sessions, (hsize_t)store->session, bytes);
}

static int ReadSession(CtpgStore store, int session, StoreSession *row) {
  unsigned char bytes[sizeof(StoreSession)];
  STORE_TRY(StoreArrayRead(&store->arrays.sessions, (hsize_t)session, 1, bytes));
  StoreRowUnpack(&StoreSessionLayout, bytes, row);
  return 0;
}

// The first unused row, or the last one.
static int BeginSession(CtpgStore store, const CtpgSession *session) {
  const int last = (int)store->arrays.sessions.rows - 1;
  StoreSession row;
  for (store->session = 0; store->session < last; store->session++) {
    STORE_TRY(ReadSession(store, store->session, &row));
    if (!row.start[0]) break;
  }
  memset(&row, 0, sizeof(row));
  Now(row.start, sizeof(row.start));
  row.ranks = session->ranks;
#define COPY(field) StoreTextCopy(row.field, session->field, sizeof(row.field))
  COPY(command_line), COPY(commit), COPY(compiler), COPY(flags), COPY(versions), COPY(hosts), COPY(binding), COPY(isa);
#undef COPY
  return WriteSession(store, &row);
}

static PetscErrorCode Attach(CtpgStore store, const CtpgStorePlan *plan, const CtpgSession *session, int *failed) {
  PetscFunctionBeginUser;
  PetscCall(CheckSameFile(store, failed));
  if (!*failed) *failed = OpenArrays(store, plan) || CheckSizes(&store->arrays, plan);
  if (!*failed && store->rank == 0) *failed = CheckKeys(store, plan) || BeginSession(store, session);
  PetscCallMPI(MPI_Bcast(&store->session, 1, MPI_INT, 0, store->comm));
  PetscFunctionReturn(0);
}

static void CloseFile(CtpgStore store, int *failed) {
  StoreArraysClose(&store->arrays);
  if (H5Fclose(store->file) < 0) *failed = StoreFailHDF5();
}

static void Free(CtpgStore *store) {
  free((*store)->path);
  free(*store);
  *store = NULL;
}

// Where H5Fopen failed on some ranks only, the others cannot close the file (that is collective) and leave it to the
// end of the program; the agreement on access beforehand makes that unlikely.
static PetscErrorCode OpenAndAttach(CtpgStore store, const CtpgStorePlan *plan, const CtpgSession *session,
                                    int *anywhere) {
  int failed;
  PetscFunctionBeginUser;
  store->file = OpenParallel(store->comm, store->path);
  PetscCall(Agree(store->comm, store->file < 0, anywhere));
  if (*anywhere) PetscFunctionReturn(0);
  PetscCall(Attach(store, plan, session, &failed));
  PetscCall(Agree(store->comm, failed, anywhere));
  if (*anywhere) CloseFile(store, &failed);
  PetscFunctionReturn(0);
}

PetscErrorCode StoreOpen(MPI_Comm comm, const char *path, const CtpgStorePlan *plan, const CtpgSession *session,
                         CtpgStore *store) {
  int failed;
  PetscFunctionBeginUser;
  *store = NULL;
  StoreBegin();
  PetscCall(Agree(comm, CheckAccess(path), &failed));
  PetscCheck(!failed, comm, PETSC_ERR_FILE_OPEN, "Cannot open %s: %s", path, StoreReason());
  *store = calloc(1, sizeof(**store));
  // a name of one character Open MPI takes for something else
  const size_t length = strlen(path) + 3;
  PetscCheck(*store && ((*store)->path = malloc(length)), PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  snprintf((*store)->path, length, "%s%s", strchr(path, '/') ? "" : "./", path);
  (*store)->comm = comm;
  PetscCallMPI(MPI_Comm_rank(comm, &(*store)->rank));
  PetscCall(OpenAndAttach(*store, plan, session, &failed));
  if (failed) Free(store);
  PetscCheck(!failed, comm, PETSC_ERR_FILE_OPEN, "Cannot open %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

int StoreGetSession(CtpgStore store) {
  return store->session;
}

// ---- put

PetscErrorCode StorePutRun(CtpgStore store, PetscInt r, CtpgRunRow *row, const PetscReal *sketch,
                           const PetscReal *gtheta) {
  PetscFunctionBeginUser;
  StoreBegin();
  row->session = store->session;
  PetscCheck(!StoreArraysPutRun(&store->arrays, r, row, sketch, gtheta), PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE,
             "Cannot write run %" PetscInt_FMT " to %s: %s", r, store->path, StoreReason());
  PetscFunctionReturn(0);
}

PetscErrorCode StorePutCase(CtpgStore store, PetscInt c, CtpgCaseRow *row, const PetscReal *gx0,
                            const PetscReal *gtheta) {
  PetscFunctionBeginUser;
  StoreBegin();
  row->session = store->session;
  PetscCheck(!StoreArraysPutCase(&store->arrays, c, row, gx0, gtheta), PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE,
             "Cannot write case %" PetscInt_FMT " to %s: %s", c, store->path, StoreReason());
  PetscFunctionReturn(0);
}

// ---- close

static int EndSession(CtpgStore store) {
  StoreSession row;
  STORE_TRY(ReadSession(store, store->session, &row));
  Now(row.end, sizeof(row.end));
  return WriteSession(store, &row);
}

static int SyncFile(const char *path) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  const int failed = descriptor < 0 || fsync(descriptor) ? StoreFail("%s", strerror(errno)) : 0;
  if (descriptor >= 0) close(descriptor);
  return failed;
}

// Every rank makes every collective call, whatever failed before it.
PetscErrorCode StoreClose(CtpgStore *store) {
  int failed = 0, anywhere;
  char path[PETSC_MAX_PATH_LEN];
  MPI_Comm comm;
  PetscFunctionBeginUser;
  if (!*store) PetscFunctionReturn(0);
  StoreBegin();
  comm = (*store)->comm;
  StoreTextCopy(path, (*store)->path, sizeof(path));
  if ((*store)->rank == 0) failed = EndSession(*store);
  if (H5Fflush((*store)->file, H5F_SCOPE_GLOBAL) < 0) failed = StoreFailHDF5();
  CloseFile(*store, &failed);
  if ((*store)->rank == 0 && SyncFile(path)) failed = -1;
  Free(store);
  PetscCall(Agree(comm, failed, &anywhere));
  PetscCheck(!anywhere, comm, PETSC_ERR_FILE_WRITE, "Cannot close %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}
