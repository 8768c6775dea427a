// store.c -- the results file while a job runs: opened by those who write, rows written by each or by rank 0 for all
//
// Opening and closing are collective in HDF5's MPI-IO: after each of these calls the ranks agree on its success, so
// that a failure on one rank is the same sentence on all and nobody waits for ever.

#include "store/store.h"
#include "base/system.h"
#include "store/arrays.h"
#include "store/syncer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct CtpgStore_s {
  MPI_Comm comm;
  int rank, session;
  CtpgStoreWay way;
  PetscBool writes; // this rank has the file open
  char *path;
  hid_t file;
  StoreArrays arrays;
  StoreMail mail;    // with one writer: from the others to rank 0
  int descriptor;    // of the rank that syncs for its node, else -1
  Syncer syncer;     // likewise
  double synced;     // CtpgSeconds() of the last checkpoint
  PetscInt *nx, *np; // [nproblems]
  PetscBool saves_gradients;
  PetscBool failed; // to write: it was told
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
  struct stat info;
  if (access(path, R_OK | W_OK) || stat(path, &info)) return StoreFail("%s", strerror(errno));
  return info.st_mode & 0222 ? 0 : StoreFail("it is read-only");
}

// ROMIO, which MPICH and Intel MPI come with, reads what stands before a colon as a kind of file system, and the rest
// as the name: a name with a colon gets a kind. Open MPI takes names as they are.
static hid_t OpenByMPI(const char *path, hid_t access) {
  char name[PETSC_MAX_PATH_LEN + 8];
  PetscBool has_kinds = PETSC_TRUE;
#ifdef OPEN_MPI
  has_kinds = PETSC_FALSE;
#endif
  snprintf(name, sizeof name, "%s%s", has_kinds && strchr(path, ':') ? "ufs:" : "", path);
  return H5Fopen(name, H5F_ACC_RDWR, access);
}

// A lone writer goes through serial HDF5, which would hold rows back in its sieve buffer.
static hid_t OpenToWrite(CtpgStore store) {
  const PetscBool alone = store->way.kind == CTPG_STORE_WRITER ? PETSC_TRUE : PETSC_FALSE;
  const hid_t access = alone ? StoreSerialAccess() : H5Pcreate(H5P_FILE_ACCESS);
  if (alone)
    H5Pset_sieve_buf_size(access, 0);
  else
    H5Pset_fapl_mpio(access, store->comm, MPI_INFO_NULL);
  const hid_t file = alone ? H5Fopen(store->path, H5F_ACC_RDWR, access) : OpenByMPI(store->path, access);
  if (file < 0) StoreFailHDF5();
  H5Pclose(access);
  return file;
}

// Of those who write, one rank on each node: fsync of any descriptor takes all pages of the file that lie on its node.
static PetscErrorCode OpenToSync(CtpgStore store, int *failed) {
  MPI_Comm node;
  int node_rank;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_split_type(store->comm, MPI_COMM_TYPE_SHARED, store->rank, MPI_INFO_NULL, &node));
  PetscCallMPI(MPI_Comm_rank(node, &node_rank));
  PetscCallMPI(MPI_Comm_free(&node));
  if (store->writes && !node_rank) store->descriptor = open(store->path, O_RDWR | O_CLOEXEC);
  *failed = store->writes && !node_rank && store->descriptor < 0 ? StoreFail("%s", strerror(errno)) : 0;
  if (store->descriptor >= 0) SyncerStart(&store->syncer, store->descriptor);
  store->synced = CtpgSeconds();
  PetscFunctionReturn(0);
}

static int CheckFile(hid_t file) {
  int32_t schema;
  STORE_TRY(StoreReadSchema(file, &schema));
  if (schema != CTPG_SCHEMA) return StoreFail("its schema is %d, not %d", (int)schema, CTPG_SCHEMA);
  return StoreFileIsClosed(file);
}

// On two nodes one path can mean two files: all ranks must see the uuid that rank 0 sees.
static PetscErrorCode CheckSameFile(CtpgStore store, int *failed) {
  char mine[40] = "", first[40];
  PetscFunctionBeginUser;
  *failed =
      store->writes && (CheckFile(store->file) || StoreReadTextAttribute(store->file, "uuid", mine, sizeof(mine)));
  memcpy(first, mine, sizeof(first));
  PetscCallMPI(MPI_Bcast(first, sizeof(first), MPI_CHAR, 0, store->comm));
  if (!*failed && store->writes && strcmp(mine, first))
    *failed = StoreFail("ranks see different files; expected a shared file system");
  PetscFunctionReturn(0);
}

static int OpenArrays(CtpgStore store, const CtpgStorePlan *plan) {
  char(*label)[CTPG_LABEL_SIZE] = calloc((size_t)plan->nproblems + 1, CTPG_LABEL_SIZE);
  int failed;
  if (!label) return StoreFail("out of memory");
  for (PetscInt p = 0; p < plan->nproblems; p++) StoreTextCopy(label[p], plan->problems[p].label, CTPG_LABEL_SIZE);
  failed = StoreArraysOpen(store->file, CTPG_SCHEMA, plan->nproblems, label, &store->arrays);
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
    CtpgCaseRow row;
    plan->rows.get_case(plan->rows.context, (PetscInt)c, &row);
    if (key[c] != row.case_key) failed = StoreFail("row %zu of cases/table is not the plan's", c);
  }
  if (!failed) failed = ReadKeys(store->file, "runs/table", "run_key", nruns, key);
  for (size_t r = 0; !failed && r < nruns; r++) {
    CtpgRunRow row;
    plan->rows.get_run(plan->rows.context, (PetscInt)r, &row);
    if (key[r] != row.run_key) failed = StoreFail("row %zu of runs/table is not the plan's", r);
  }
  free(key);
  return failed;
}

static int ReadSession(CtpgStore store, int session, CtpgSession *row) {
  unsigned char bytes[sizeof(CtpgSession)];
  STORE_TRY(StoreArrayRead(&store->arrays.sessions, (hsize_t)session, 1, bytes));
  StoreRowUnpack(&StoreSessionLayout, bytes, row);
  return 0;
}

// The first unused row, or the last one.
static int BeginSession(CtpgStore store, const CtpgSession *session) {
  const int last = (int)store->arrays.sessions.rows - 1;
  CtpgSession row;
  for (store->session = 0; store->session < last; store->session++) {
    STORE_TRY(ReadSession(store, store->session, &row));
    if (!row.start[0]) break;
  }
  row = *session;
  SystemUTC(row.start);
  memset(row.end, 0, sizeof(row.end));
  return StoreSessionWrite(&store->arrays.sessions, store->session, &row);
}

// What a rank that does not open the file must know of it.
static PetscErrorCode LearnSizes(CtpgStore store, const CtpgStorePlan *plan) {
  PetscFunctionBeginUser;
  store->saves_gradients = store->arrays.gradient ? PETSC_TRUE : PETSC_FALSE;
  PetscCallMPI(MPI_Bcast(&store->saves_gradients, 1, CTPG_MPI_BOOL, 0, store->comm));
  PetscCallMPI(MPI_Bcast(&store->session, 1, MPI_INT, 0, store->comm));
  PetscCall(PetscMalloc2(plan->nproblems, &store->nx, plan->nproblems, &store->np));
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    store->nx[p] = plan->problems[p].nx;
    store->np[p] = plan->problems[p].np;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode Attach(CtpgStore store, const CtpgStorePlan *plan, const CtpgSession *session, int *failed) {
  PetscFunctionBeginUser;
  PetscCall(CheckSameFile(store, failed));
  if (!*failed && store->writes) *failed = OpenArrays(store, plan) || CheckSizes(&store->arrays, plan);
  if (!*failed && store->rank == 0) *failed = CheckKeys(store, plan) || BeginSession(store, session);
  PetscCall(LearnSizes(store, plan));
  PetscFunctionReturn(0);
}

static void CloseFile(CtpgStore store, int *failed) {
  if (!store->writes) return;
  StoreArraysClose(&store->arrays);
  if (H5Fclose(store->file) < 0) *failed = StoreFailHDF5();
}

static PetscErrorCode Free(CtpgStore *store) {
  PetscFunctionBeginUser;
  SyncerStop(&(*store)->syncer);
  if ((*store)->descriptor >= 0) close((*store)->descriptor);
  PetscCall(PetscFree2((*store)->nx, (*store)->np));
  PetscCall(StoreMailDestroy(&(*store)->mail));
  free((*store)->path);
  free(*store);
  *store = NULL;
  PetscFunctionReturn(0);
}

// Where H5Fopen failed on some ranks only, the others cannot close the file (that is collective) and leave it to the
// end of the program; the agreement on access beforehand makes that unlikely.
static PetscErrorCode OpenAndAttach(CtpgStore store, const CtpgStorePlan *plan, const CtpgSession *session,
                                    int *anywhere) {
  int failed;
  PetscFunctionBeginUser;
  if (store->writes) store->file = OpenToWrite(store);
  PetscCall(Agree(store->comm, store->writes && store->file < 0, anywhere));
  if (*anywhere) PetscFunctionReturn(0);
  PetscCall(Attach(store, plan, session, &failed));
  PetscCall(Agree(store->comm, failed, anywhere));
  if (!*anywhere) {
    PetscCall(OpenToSync(store, &failed));
    PetscCall(Agree(store->comm, failed, anywhere));
  }
  if (*anywhere) CloseFile(store, &failed);
  PetscFunctionReturn(0);
}

static PetscErrorCode Allocate(MPI_Comm comm, const char *path, const CtpgStoreWay *way, CtpgStore *store) {
  PetscFunctionBeginUser;
  *store = calloc(1, sizeof(**store));
  // a name of one character Open MPI takes for something else
  const size_t length = strlen(path) + 3;
  PetscCheck(*store && ((*store)->path = malloc(length)), PETSC_COMM_SELF, PETSC_ERR_MEM, "Out of memory");
  snprintf((*store)->path, length, "%s%s", strchr(path, '/') ? "" : "./", path);
  (*store)->way = *way;
  (*store)->descriptor = -1;
  (*store)->file = -1;
  (*store)->comm = comm;
  PetscCallMPI(MPI_Comm_rank(comm, &(*store)->rank));
  PetscCall(StoreMailCreate(comm, &(*store)->mail));
  (*store)->writes = way->kind == CTPG_STORE_INDEPENDENT || !(*store)->rank ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

PetscErrorCode StoreOpen(MPI_Comm comm, const char *path, const CtpgStorePlan *plan, const CtpgSession *session,
                         const CtpgStoreWay *way, CtpgStore *store) {
  int failed;
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCall(Allocate(comm, path, way, store));
  PetscCall(Agree(comm, (*store)->writes && CheckAccess(path), &failed));
  if (!failed) PetscCall(OpenAndAttach(*store, plan, session, &failed));
  if (failed) PetscCall(Free(store));
  PetscCheck(!failed, comm, PETSC_ERR_FILE_OPEN, "Cannot open %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}

hid_t StoreGetFile(CtpgStore store) {
  return store->file;
}

int StoreGetSession(CtpgStore store) {
  return store->session;
}

// ---- put

// Told once: a failure of somebody else's row comes up in the closed loop, where no error can be returned.
static PetscErrorCode Raise(CtpgStore store, int failed, const char *what, PetscInt row) {
  PetscFunctionBeginUser;
  if (store->failed) PetscFunctionReturn(PETSC_ERR_FILE_WRITE);
  if (!failed) PetscFunctionReturn(0);
  store->failed = PETSC_TRUE;
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot write %s %" PetscInt_FMT " to %s: %s", what, row, store->path,
          StoreReason());
}

static PetscErrorCode WriteLetter(CtpgStore store, const StoreLetter *letter) {
  const PetscReal *first = letter->n[0] ? letter->values[0] : NULL, *second = letter->n[1] ? letter->values[1] : NULL;
  PetscFunctionBeginUser;
  StoreBegin();
  if (letter->kind == STORE_RUN)
    PetscCall(Raise(store, StoreArraysPutRun(&store->arrays, letter->index, letter->row, first, second), "run",
                    letter->index));
  else
    PetscCall(Raise(store, StoreArraysPutCase(&store->arrays, letter->index, letter->row, first, second), "case",
                    letter->index));
  PetscFunctionReturn(0);
}

static PetscErrorCode Put(CtpgStore store, const StoreLetter *letter) {
  PetscFunctionBeginUser;
  if (store->writes)
    PetscCall(WriteLetter(store, letter));
  else
    PetscCall(StoreMailSend(&store->mail, letter));
  PetscCall(StorePoll(store));
  PetscFunctionReturn(0);
}

PetscErrorCode StorePutRun(CtpgStore store, PetscInt r, CtpgRunRow *row, const PetscReal *sketch,
                           const PetscReal *gtheta) {
  const StoreLetter letter = {
      .kind = STORE_RUN,
      .index = r,
      .row = row,
      .values = {sketch, gtheta},
      .n = {sketch ? CTPG_SKETCH_SIZE : 0, gtheta && store->saves_gradients ? store->np[row->problem] : 0}};
  PetscFunctionBeginUser;
  row->session = store->session;
  PetscCall(Put(store, &letter));
  PetscFunctionReturn(0);
}

PetscErrorCode StorePutCase(CtpgStore store, PetscInt c, CtpgCaseRow *row, const PetscReal *gx0,
                            const PetscReal *gtheta) {
  const StoreLetter letter = {.kind = STORE_CASE,
                              .index = c,
                              .row = row,
                              .values = {gx0, gtheta},
                              .n = {gx0 ? store->nx[row->problem] : 0, gtheta ? store->np[row->problem] : 0}};
  PetscFunctionBeginUser;
  row->session = store->session;
  PetscCall(Put(store, &letter));
  PetscFunctionReturn(0);
}

// ---- now and then

static PetscErrorCode WriteArrived(CtpgStore store) {
  StoreLetter letter;
  PetscBool found;
  PetscFunctionBeginUser;
  PetscCall(StoreMailReceive(&store->mail, &letter, &found));
  while (found) {
    PetscCall(WriteLetter(store, &letter));
    PetscCall(StoreMailReceive(&store->mail, &letter, &found));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode RaiseSync(CtpgStore store, int reason) {
  PetscFunctionBeginUser;
  if (!reason) PetscFunctionReturn(0);
  store->failed = PETSC_TRUE;
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot bring %s to the disk: %s", store->path, strerror(reason));
}

PetscErrorCode StoreSync(CtpgStore store) {
  PetscFunctionBeginUser;
  if (store->failed) PetscFunctionReturn(PETSC_ERR_FILE_WRITE);
  store->synced = CtpgSeconds();
  if (store->descriptor >= 0) PetscCall(RaiseSync(store, SyncerNow(&store->syncer)));
  PetscFunctionReturn(0);
}

static PetscErrorCode Checkpoint(CtpgStore store) {
  const double interval = store->way.checkpoint_interval;
  PetscFunctionBeginUser;
  if (store->descriptor < 0 || !(interval > 0)) PetscFunctionReturn(0);
  PetscCall(RaiseSync(store, SyncerReason(&store->syncer)));
  if (CtpgSeconds() - store->synced < interval) PetscFunctionReturn(0);
  store->synced = CtpgSeconds();
  SyncerWant(&store->syncer);
  PetscFunctionReturn(0);
}

PetscErrorCode StorePoll(CtpgStore store) {
  PetscFunctionBeginUser;
  if (store->failed) PetscFunctionReturn(PETSC_ERR_FILE_WRITE);
  if (store->way.kind == CTPG_STORE_WRITER && !store->rank) PetscCall(WriteArrived(store));
  PetscCall(Checkpoint(store));
  PetscFunctionReturn(0);
}

// ---- close

static int EndSession(CtpgStore store) {
  CtpgSession row;
  STORE_TRY(ReadSession(store, store->session, &row));
  SystemUTC(row.end);
  return StoreSessionWrite(&store->arrays.sessions, store->session, &row);
}

// Every letter reaches rank 0 before its sender goes on.
static PetscErrorCode EmptyMail(CtpgStore store) {
  const StoreLetter end = {.kind = STORE_END};
  int size;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_size(store->comm, &size));
  if (store->way.kind == CTPG_STORE_INDEPENDENT) PetscFunctionReturn(0);
  if (store->rank) {
    PetscCall(StoreMailSend(&store->mail, &end));
    PetscCall(StoreMailFlush(&store->mail));
  }
  for (; !store->rank && store->mail.ended < size - 1; StoreMailNap()) PetscCall(WriteArrived(store));
  PetscFunctionReturn(0);
}

// Every rank makes every collective call, whatever fails on the way.
PetscErrorCode StoreClose(CtpgStore *store) {
  int failed = 0, anywhere;
  char path[PETSC_MAX_PATH_LEN];
  MPI_Comm comm;
  PetscFunctionBeginUser;
  if (!*store) PetscFunctionReturn(0);
  if ((*store)->failed) PetscFunctionReturn(PETSC_ERR_FILE_WRITE);
  PetscCall(EmptyMail(*store));
  StoreBegin();
  comm = (*store)->comm;
  StoreTextCopy(path, (*store)->path, sizeof(path));
  if ((*store)->rank == 0) failed = EndSession(*store);
  if ((*store)->writes && H5Fflush((*store)->file, H5F_SCOPE_GLOBAL) < 0) failed = StoreFailHDF5();
  CloseFile(*store, &failed);
  const int reason = (*store)->descriptor >= 0 ? SyncerNow(&(*store)->syncer) : 0;
  if (reason) failed = StoreFail("%s", strerror(reason));
  PetscCall(Free(store));
  PetscCall(Agree(comm, failed, &anywhere));
  PetscCheck(!anywhere, comm, PETSC_ERR_FILE_WRITE, "Cannot close %s: %s", path, StoreReason());
  PetscFunctionReturn(0);
}
