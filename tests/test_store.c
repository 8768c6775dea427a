// test_store.c -- the results file: written by all ranks, read back, extended, damaged, refused; for any number of
// ranks

#include "store/digest.h"
#include "store/lock.h"
#include "store/store.h"
#include "base/system.h"
#include "test.h"
#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NPROBLEMS = 2, NX = 3, MOST_CASES = 8, MOST_RUNS = 64 };

static int rank, size;
static CtpgStoreWay way;
static char folder[PETSC_MAX_PATH_LEN];

// ---- a plan: `seeds` cases of each problem, two estimators, `accuracies` accuracies; `reverse` turns the order of
// problems, cases and runs around

typedef struct {
  CtpgStorePlan plan;
  CtpgLabelInfo problems[NPROBLEMS], estimators[2];
  CtpgCaseRow cases[MOST_CASES];
  CtpgRunRow runs[MOST_RUNS];
  PetscReal start[MOST_CASES][NX];
  const PetscReal *x0[MOST_CASES], *task[MOST_CASES], *theta[MOST_CASES];
  StoreRowLists lists;
} Plan;

static uint64_t KeyOf(const void *bytes, size_t n) {
  return CtpgHash(CTPG_HASH_START, bytes, n);
}

static CtpgLabelInfo Info(const char *label, PetscInt np, PetscInt ncases, PetscBool has_theta) {
  return (CtpgLabelInfo){.label = label,
                         .type = label,
                         .options = "alpha = 1\nbeta = 2",
                         .bibtex = "@misc{x}",
                         .version = 1,
                         .nx = NX,
                         .nu = 1,
                         .no = 2,
                         .np = np,
                         .ntask = 2,
                         .T = 2.5,
                         .policy = "2-1 linear",
                         .theta_source = "philox",
                         .has_theta = has_theta,
                         .derivatives = "analytic",
                         .cost_f = 1e-6,
                         .cost_vjp = 2e-6,
                         .ncases = ncases,
                         .knob = "rtol",
                         .order = 5};
}

static void AddCase(Plan *p, PetscInt problem, int64_t seed) {
  static const PetscReal numbers[] = {1, 2, 3, 4, 5, 6, 7, 8};
  const PetscInt c = p->plan.ncases++;
  CtpgCaseRow *row = &p->cases[c];
  const int64_t identity[] = {p->problems[problem].np, seed};
  CtpgCaseRowClear(row);
  row->case_key = KeyOf(identity, sizeof(identity));
  row->problem = (int32_t)problem, row->seed = seed, row->row = (int32_t)seed;
  for (int i = 0; i < NX; i++) p->start[c][i] = (PetscReal)(100 * p->problems[problem].np + 10 * seed + i);
  p->x0[c] = p->start[c], p->task[c] = numbers, p->theta[c] = p->problems[problem].has_theta ? numbers : NULL;
}

static void AddRun(Plan *p, PetscInt c, PetscInt estimator, PetscInt accuracy) {
  CtpgRunRow *row = &p->runs[p->plan.nruns++];
  const int64_t identity[] = {(int64_t)p->cases[c].case_key, estimator, accuracy};
  CtpgRunRowClear(row);
  row->run_key = KeyOf(identity, sizeof(identity));
  row->case_index = (int32_t)c, row->problem = p->cases[c].problem, row->estimator = (int32_t)estimator;
  row->seed = p->cases[c].seed, row->accuracy = pow(10, -(double)accuracy);
}

static void MakePlan(Plan *p, PetscInt seeds, PetscInt accuracies, int reverse, PetscBool save_gradients) {
  memset(p, 0, sizeof(*p));
  p->problems[reverse] = Info("lqr", 5, seeds, PETSC_FALSE);
  p->problems[!reverse] = Info("pendulum", 7, seeds, PETSC_TRUE);
  p->estimators[0] = Info("ctpg", 0, 0, PETSC_FALSE), p->estimators[1] = Info("euler-bptt", 0, 0, PETSC_FALSE);
  for (PetscInt i = 0; i < NPROBLEMS * seeds; i++) {
    const PetscInt k = reverse ? NPROBLEMS * seeds - 1 - i : i;
    AddCase(p, k / seeds, k % seeds);
  }
  for (PetscInt i = 0; i < p->plan.ncases * 2 * accuracies; i++) {
    const PetscInt k = reverse ? p->plan.ncases * 2 * accuracies - 1 - i : i;
    AddRun(p, k / (2 * accuracies), k / accuracies % 2, k % accuracies);
  }
  p->lists = (StoreRowLists){p->cases, p->runs, p->x0, p->task, p->theta};
  p->plan = (CtpgStorePlan){.kind = "sweep",
                            .plan_hash = 42,
                            .plan_options = "seeds = 0:3",
                            .isa = "x86-64-v3, reference BLAS",
                            .nproblems = NPROBLEMS,
                            .nestimators = 2,
                            .ncases = p->plan.ncases,
                            .nruns = p->plan.nruns,
                            .problems = p->problems,
                            .estimators = p->estimators,
                            .rows = StoreRowsFrom(&p->lists),
                            .save_gradients = save_gradients};
}

// ---- results: functions of the key alone, so that any rank and any row can make them

static PetscReal Number(uint64_t key, int i) {
  return (PetscReal)(CtpgHash(key, &i, sizeof(i)) >> 11) / 3;
}

static CtpgRunRow RunResult(const CtpgRunRow *identity) {
  CtpgRunRow row = *identity;
  row.status = row.run_key % 5 == 0 ? CTPG_DIVERGED : CTPG_OK;
  if (row.status == CTPG_DIVERGED) strcpy(row.reason, "the state stopped being finite");
  row.loss = Number(row.run_key, 100), row.err_rel = Number(row.run_key, 101), row.nf = (int64_t)(row.run_key % 1000);
  row.wall = 1e-3 * (rank + 1), row.rank = rank;
  snprintf(row.host, sizeof(row.host), "node%d", rank);
  return row;
}

static CtpgCaseRow CaseResult(const CtpgCaseRow *identity) {
  CtpgCaseRow row = *identity;
  row.status = CTPG_OK, row.loss = Number(row.case_key, 100), row.ref_err = 1e-13, row.flags = CTPG_FLAG_CLOSED_FORM;
  row.wall = 0.1 * (rank + 1), row.rank = rank;
  return row;
}

static void Vector(uint64_t key, int first, PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = Number(key, first + (int)i);
}

static PetscErrorCode PutRun(CtpgStore store, const Plan *p, PetscInt r) {
  PetscReal sketch[CTPG_SKETCH_SIZE], gtheta[8];
  CtpgRunRow row = RunResult(&p->runs[r]);
  PetscFunctionBeginUser;
  Vector(row.run_key, 0, CTPG_SKETCH_SIZE, sketch), Vector(row.run_key, 50, p->problems[row.problem].np, gtheta);
  PetscCall(StorePutRun(store, r, &row, sketch, row.status == CTPG_OK ? gtheta : NULL));
  PetscFunctionReturn(0);
}

static PetscErrorCode PutCase(CtpgStore store, const Plan *p, PetscInt c) {
  PetscReal gx0[NX], gtheta[8];
  CtpgCaseRow row = CaseResult(&p->cases[c]);
  PetscFunctionBeginUser;
  Vector(row.case_key, 0, NX, gx0), Vector(row.case_key, 50, p->problems[row.problem].np, gtheta);
  PetscCall(StorePutCase(store, c, &row, gx0, gtheta));
  PetscFunctionReturn(0);
}

// All cases and the runs before `until`, dealt to ranks starting with rank `shift`.
static PetscErrorCode PutAll(CtpgStore store, const Plan *p, int shift, PetscInt until) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < p->plan.ncases; c++) {
    if ((c + shift) % size == rank) PetscCall(PutCase(store, p, c));
  }
  for (PetscInt r = 0; r < until; r++) {
    if ((r + shift) % size == rank) PetscCall(PutRun(store, p, r));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode Open(const char *path, const Plan *p, CtpgStore *store) {
  const CtpgSession session = {.command_line = "ctpgbench sweep",
                               .commit = "abc123",
                               .compiler = "gcc",
                               .flags = "-O2",
                               .versions = "PETSc",
                               .hosts = "localhost",
                               .binding = "core",
                               .isa = "x86",
                               .ranks = size};
  return StoreOpen(PETSC_COMM_WORLD, path, &p->plan, &session, &way, store);
}

static PetscErrorCode Create(const char *path, const Plan *p, CtpgContents old) {
  PetscFunctionBeginUser;
  if (rank == 0) PetscCall(StoreCreate(path, &p->plan, old));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  PetscFunctionReturn(0);
}

static PetscErrorCode Sweep(const char *path, const Plan *p, int shift, PetscInt until) {
  CtpgStore store;
  PetscFunctionBeginUser;
  PetscCall(Open(path, p, &store));
  PetscCall(PutAll(store, p, shift, until));
  PetscCall(StoreClose(&store));
  PetscFunctionReturn(0);
}

static const char *Path(const char *name) {
  static char path[4][PETSC_MAX_PATH_LEN + 32];
  static int next;
  next = (next + 1) % 4;
  snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
  return path[next];
}

// ---- errors: the message of the first one

static char message[2048];

static PetscErrorCode Capture(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                              PetscErrorType type, const char *text, void *context) {
  (void)comm, (void)line, (void)function, (void)file, (void)context;
  if (type == PETSC_ERROR_INITIAL) snprintf(message, sizeof(message), "%s", text ? text : "");
  return code;
}

#define CHECK_FAILS(call, path, word)                                                                                  \
  do {                                                                                                                 \
    message[0] = 0;                                                                                                    \
    PetscCall(PetscPushErrorHandler(Capture, NULL));                                                                   \
    const int code = (int)(call);                                                                                      \
    PetscCall(PetscPopErrorHandler());                                                                                 \
    CHECK(code != 0, "%s succeeded", #call);                                                                           \
    CHECK(strstr(message, path) && strstr(message, word), "expected %s and %s, found: %s", path, word, message);       \
    CHECK(!strchr(message, '\n'), "more than one line: %s", message);                                                  \
  } while (0)

// ---- tests

static PetscErrorCode CheckRows(const char *path, const Plan *p, PetscInt until) {
  CtpgContents found;
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(path, &found));
  CHECK(found->nruns == p->plan.nruns && found->ncases == p->plan.ncases, "%d", (int)found->nruns);
  CHECK(found->torn == 0, "%d torn", (int)found->torn);
  for (PetscInt r = 0; r < found->nruns; r++) {
    CtpgRunRow want = RunResult(&p->runs[r]);
    CHECK(found->run_done[r] == (r < until), "run %d", (int)r);
    CHECK(found->runs[r].run_key == want.run_key, "run %d", (int)r);
    if (r >= until) {
      CHECK(found->runs[r].status == CTPG_PENDING && isnan(found->runs[r].loss), "run %d", (int)r);
      continue;
    }
    want.wall = found->runs[r].wall, want.rank = found->runs[r].rank, want.session = found->runs[r].session;
    memcpy(want.host, found->runs[r].host, sizeof(want.host));
    CHECK(!memcmp(&want, &found->runs[r], sizeof(want)), "run %d is not what was written", (int)r);
    CHECK(found->sketch[CTPG_SKETCH_SIZE * r + 3] == Number(want.run_key, 3), "sketch %d", (int)r);
  }
  for (PetscInt c = 0; c < found->ncases; c++) {
    PetscReal gx0[NX], gtheta[8];
    CHECK(found->case_done[c] && found->cases[c].loss == Number(p->cases[c].case_key, 100), "case %d", (int)c);
    PetscCall(ContentsReadGradients(found, 1, &(ContentsGradient){c, gx0, gtheta}));
    CHECK(gx0[NX - 1] == Number(p->cases[c].case_key, NX - 1), "case %d", (int)c);
    CHECK(gtheta[0] == Number(p->cases[c].case_key, 50), "case %d", (int)c);
  }
  PetscCall(ContentsDestroy(&found));
  PetscFunctionReturn(0);
}

static PetscErrorCode Digest(const char *path, char hex[65], PetscInt *environment) {
  CtpgContents contents;
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(path, &contents));
  PetscCall(ContentsDigest(contents, hex, environment));
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

// All ranks have put their rows, and rank 0 has written what came as a message.
static PetscErrorCode WaitForRows(CtpgStore store, const char *path, PetscInt expected) {
  const double start = CtpgSeconds();
  PetscInt done = 0;
  MPI_Request arrival;
  int arrived = 0;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Ibarrier(PETSC_COMM_WORLD, &arrival));
  while (!arrived) {
    PetscCall(StorePoll(store));
    PetscCallMPI(MPI_Test(&arrival, &arrived, MPI_STATUS_IGNORE));
  }
  while (rank == 0 && done < expected && CtpgSeconds() - start < 20) {
    CtpgContents found;
    PetscCall(StorePoll(store));
    PetscCall(ContentsRead(path, &found));
    for (PetscInt r = done = 0; r < found->nruns; r++) done += found->run_done[r];
    PetscCall(ContentsDestroy(&found));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRoundTrip(PetscBool save_gradients) {
  PROPERTY("rows come back as they were put, %s gradients", save_gradients ? "with" : "without");
  Plan p;
  CtpgStore store;
  CtpgContents found;
  const char *path = Path("round.h5");
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, save_gradients);
  PetscCall(Create(path, &p, NULL));
  PetscCall(Open(path, &p, &store));
  PetscCall(PutAll(store, &p, 0, 30));
  PetscCall(WaitForRows(store, path, 30));
  if (rank == 0) PetscCall(CheckRows(path, &p, 30)); // while the job still has it open
  CHECK(StoreGetSession(store) == 0, "%d", StoreGetSession(store));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  PetscCall(StoreClose(&store));
  PetscCall(Sweep(path, &p, 1, p.plan.nruns));
  if (rank) PetscFunctionReturn(0);
  PetscCall(CheckRows(path, &p, p.plan.nruns));
  PetscCall(ContentsRead(path, &found));
  CHECK(found->nsessions == 2, "%d sessions", (int)found->nsessions);
  CHECK(!strcmp(found->kind, "sweep") && found->plan_hash == 42 && strlen(found->uuid) == 36, "%s", found->uuid);
  CHECK(!strcmp(found->problem[1], "pendulum") && !strcmp(found->estimator[1], "euler-bptt"), "labels");
  CHECK(!strcmp(found->problem_options[1], "alpha = 1\nbeta = 2"), "%s", found->problem_options[1]);
  CHECK(found->np[1] == p.problems[1].np && found->save_gradients == save_gradients, "%d", (int)found->np[1]);
  PetscCall(ContentsDestroy(&found));
  CHECK(access(Path("round.h5.new"), F_OK), "round.h5.new is left");
  PetscFunctionReturn(0);
}

static PetscErrorCode TestDigest(void) {
  PROPERTY("the digest does not depend on the order of rows");
  Plan p, q;
  char first[65], second[65], third[65];
  PetscInt environment;
  CtpgStore store;
  const char *a = Path("a.h5"), *b = Path("b.h5");
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, PETSC_FALSE), MakePlan(&q, 3, 4, 1, PETSC_TRUE);
  PetscCall(Create(a, &p, NULL));
  PetscCall(Create(b, &q, NULL));
  PetscCall(Sweep(a, &p, 0, p.plan.nruns));
  PetscCall(Sweep(b, &q, 1, q.plan.nruns));
  if (rank == 0) PetscCall(Digest(a, first, &environment));
  if (rank == 0) PetscCall(Digest(b, second, &environment));
  if (rank == 0) CHECK(!strcmp(first, second) && strlen(first) == 64, "%s against %s", first, second);
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  PetscCall(Open(a, &p, &store));
  if (rank == 0) {
    CtpgRunRow row = RunResult(&p.runs[0]);
    row.status = CTPG_TIMEOUT;
    PetscCall(StorePutRun(store, 0, &row, NULL, NULL));
  }
  PetscCall(StoreClose(&store));
  if (rank) PetscFunctionReturn(0);
  PetscCall(Digest(a, third, &environment));
  CHECK(strcmp(first, third) && environment == 1, "%s, %d by the environment", third, (int)environment);
  PetscFunctionReturn(0);
}

// NaN of any sign and payload is one pattern; clocks and hosts do not enter; a science column does.
static PetscErrorCode TestDigestColumns(void) {
  PROPERTY("clocks and hosts do not enter the digest, science columns do");
  Plan p;
  char hex[3][65];
  PetscInt environment;
  CtpgContents contents;
  PetscFunctionBeginUser;
  if (rank) PetscFunctionReturn(0);
  MakePlan(&p, 3, 4, 0, PETSC_FALSE);
  PetscCall(ContentsRead(Path("b.h5"), &contents));
  PetscCall(ContentsDigest(contents, hex[0], &environment));
  contents->runs[1].h = -NAN, contents->runs[1].wall = 9, contents->runs[1].host[0] = 'x';
  PetscCall(ContentsDigest(contents, hex[1], &environment));
  contents->runs[1].nf++;
  PetscCall(ContentsDigest(contents, hex[2], &environment));
  CHECK(!strcmp(hex[0], hex[1]), "%s against %s", hex[0], hex[1]);
  CHECK(strcmp(hex[1], hex[2]), "%s twice", hex[1]);
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

// Rows of b.h5 three at a time, sorted in ten parts or so; of a.h5 one run is pending.
static PetscErrorCode TestDigestInParts(void) {
  PROPERTY("the digest of a file that is larger than memory is the same");
  const size_t at_once = ContentsAtOnce;
  ContentsSummary all, parts, pending;
  CtpgContents contents;
  PetscInt environment;
  char hex[65];
  Plan p;
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, PETSC_FALSE);
  PetscCall(Create(Path("parts.h5"), &p, NULL));
  PetscCall(Sweep(Path("parts.h5"), &p, 0, p.plan.nruns - 1));
  if (rank) PetscFunctionReturn(0);
  PetscCall(ContentsSummarise(Path("b.h5"), &all));
  ContentsAtOnce = 2 * sizeof(CtpgRunRow);
  PetscCall(ContentsSummarise(Path("b.h5"), &parts));
  PetscCall(ContentsSummarise(Path("parts.h5"), &pending));
  PetscCall(ContentsRead(Path("b.h5"), &contents));
  PetscCall(ContentsDigest(contents, hex, &environment));
  ContentsAtOnce = at_once;
  CHECK(!strcmp(all.digest, parts.digest) && !strcmp(all.digest, hex), "%s, %s, %s", all.digest, parts.digest, hex);
  CHECK(parts.done == p.plan.nruns && parts.n == parts.done && !parts.torn && !parts.without, "%d", (int)parts.done);
  CHECK(parts.failed == all.failed && all.failed > 0 && parts.cases == p.plan.ncases, "%d", (int)parts.failed);
  CHECK(pending.done == p.plan.nruns - 1 && !pending.digest[0], "%d", (int)pending.done);
  unlink(Path("parts.h5"));
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

static void ChangeByte(const char *path, off_t at) {
  unsigned char byte = 0;
  const int file = open(path, O_RDWR);
  CHECK(pread(file, &byte, 1, at) == 1, "cannot read byte %ld", (long)at);
  byte ^= 0x10;
  CHECK(pwrite(file, &byte, 1, at) == 1, "cannot write byte %ld", (long)at);
  close(file);
}

// Where row `row` of a dataset begins in the file.
static off_t PlaceOf(const char *path, const char *name, int row) {
  const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
  const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
  hsize_t extent[2] = {0, 1};
  H5Sget_simple_extent_dims(space, extent, NULL);
  const off_t place = (off_t)(H5Dget_offset(set) + (haddr_t)row * H5Tget_size(type) * extent[1]);
  H5Sclose(space), H5Tclose(type), H5Dclose(set), H5Fclose(file);
  return place;
}

// One changed byte at `offset` in row 1 of a dataset: that row alone is torn and not done; changed back, nothing is.
static PetscErrorCode TestTorn(const char *name, int offset, PetscBool is_run) {
  const char *path = Path("b.h5");
  const off_t place = PlaceOf(path, name, 1) + offset;
  CtpgContents contents;
  PetscInt done = 0;
  PetscFunctionBeginUser;
  ChangeByte(path, place);
  PetscCall(ContentsRead(path, &contents));
  CHECK(contents->torn == 1, "%s + %d: %d torn", name, offset, (int)contents->torn);
  CHECK(!(is_run ? contents->run_done : contents->case_done)[1], "%s + %d: row 1 is done", name, offset);
  for (PetscInt r = 0; r < contents->nruns; r++) done += contents->run_done[r];
  CHECK(done == contents->nruns - (PetscInt)is_run, "%d runs done", (int)done);
  PetscCall(ContentsDestroy(&contents));
  ChangeByte(path, place);
  PetscCall(ContentsRead(path, &contents));
  CHECK(contents->torn == 0, "%d torn", (int)contents->torn);
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestTornRows(void) {
  PROPERTY("a changed byte makes its row torn, and no other");
  PetscFunctionBeginUser;
  if (rank) PetscFunctionReturn(0);
  for (int offset = 0; offset < 16; offset += 5) PetscCall(TestTorn("runs/table", offset, PETSC_TRUE));
  PetscCall(TestTorn("runs/table", 300, PETSC_TRUE));
  PetscCall(TestTorn("runs/table", 52 + 100, PETSC_TRUE)); // zeros behind the text of the reason
  PetscCall(TestTorn("runs/sketch", 9, PETSC_TRUE));
  PetscCall(TestTorn("runs/commit", 3, PETSC_TRUE));
  PetscCall(TestTorn("cases/table", 9, PETSC_FALSE));
  PetscFunctionReturn(0);
}

// A row that is acknowledged is out of this process: read without HDF5, whose buffers a kill would take along.
static PetscErrorCode TestAcknowledged(void) {
  PROPERTY("an acknowledged row is out of the process");
  Plan p;
  CtpgStore store;
  int32_t status;
  int64_t seed;
  const char *path = Path("ack.h5");
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, PETSC_FALSE);
  PetscCall(Create(path, &p, NULL));
  const off_t commit = PlaceOf(path, "runs/commit", rank) + (off_t)offsetof(StoreCommit, status),
              row = PlaceOf(path, "runs/table", rank);
  PetscCall(Open(path, &p, &store));
  if (way.kind == CTPG_STORE_INDEPENDENT || rank == 0) {
    const int file = open(path, O_RDONLY);
    p.runs[rank].seed = 4711;
    PetscCall(PutRun(store, &p, rank));
    CHECK(pread(file, &status, sizeof(status), commit) == sizeof(status) && status >= 0, "status %d", (int)status);
    CHECK(pread(file, &seed, sizeof(seed), row + 20) == sizeof(seed) && seed == 4711, "seed %lld", (long long)seed);
    close(file);
  }
  PetscCall(StoreClose(&store));
  if (rank == 0) unlink(path);
  PetscFunctionReturn(0);
}

// A copied run has the numbers of the old file and the place of the new plan.
static void CheckCopiedRun(CtpgContents found, const Plan *p, PetscInt r) {
  const CtpgRunRow *row = &found->runs[r], want = RunResult(&p->runs[r]);
  CHECK(row->problem == want.problem && row->case_index == want.case_index && row->estimator == want.estimator,
        "run %d: problem %d, case %d, estimator %d", (int)r, row->problem, row->case_index, row->estimator);
  CHECK(row->loss == want.loss && row->nf == want.nf && row->wall > 0 && row->session == 0, "run %d", (int)r);
  CHECK(found->sketch[CTPG_SKETCH_SIZE * r + 7] == Number(row->run_key, 7), "sketch of run %d", (int)r);
}

// Gradient of run r, straight from the file.
static PetscReal SavedGradient(const char *path, const Plan *p, PetscInt r) {
  char name[128];
  int place = 0;
  PetscReal value = 0;
  for (PetscInt k = 0; k < r; k++) place += p->runs[k].problem == p->runs[r].problem;
  snprintf(name, sizeof(name), "runs/gradients/%s/gradient", p->problems[p->runs[r].problem].label);
  const int file = open(path, O_RDONLY);
  CHECK(pread(file, &value, sizeof(value), PlaceOf(path, name, place)) == sizeof(value), "cannot read %s", name);
  close(file);
  return value;
}

static void CheckCopies(const char *path, CtpgContents found, const Plan *p, PetscInt expected) {
  PetscInt kept = 0;
  for (PetscInt r = 0; r < found->nruns; r++) {
    if (!found->run_done[r]) continue;
    kept++;
    CheckCopiedRun(found, p, r);
    if (found->runs[r].status != CTPG_OK) continue;
    const PetscReal first = SavedGradient(path, p, r);
    CHECK(first == Number(found->runs[r].run_key, 50), "gradient of run %d begins with %g", (int)r, first);
  }
  CHECK(kept == expected && found->torn == 0, "%d runs kept, %d torn", (int)kept, (int)found->torn);
  CHECK(found->nsessions == 1, "%d sessions", (int)found->nsessions);
}

static int LookAtNothing(void *context, CtpgContents contents) {
  (void)context, (void)contents;
  return 0;
}

static int PassOver(void *context, PetscInt n, const CtpgRunRow *rows, const PetscBool *done) {
  (void)context, (void)n, (void)rows, (void)done;
  return 0;
}

static int IsEnough(void *context) {
  (void)context;
  return 0;
}

// Either all rows, or none of them in memory.
static PetscErrorCode ReadOld(const char *path, PetscBool with_rows, CtpgContents *old) {
  const ContentsVisitor visitor = {NULL, LookAtNothing, PassOver, IsEnough};
  PetscFunctionBeginUser;
  PetscCall(with_rows ? ContentsRead(path, old) : ContentsVisit(path, &visitor, old));
  CHECK(((*old)->runs != NULL) == with_rows, "rows %s memory", (*old)->runs ? "in" : "out of");
  PetscFunctionReturn(0);
}

// The finished rows of a smaller plan in other rows: kept, with gradients, sketches and sessions.
static PetscErrorCode TestExtend(PetscBool with_rows) {
  PROPERTY("a larger plan keeps the finished rows, which are %s memory", with_rows ? "in" : "out of");
  Plan small, large;
  CtpgContents old = NULL, found;
  char before[65], after[65], complete[65];
  PetscInt environment;
  const char *path = Path("extend.h5");
  PetscFunctionBeginUser;
  MakePlan(&small, 2, 3, 0, PETSC_TRUE), MakePlan(&large, 3, 4, 1, PETSC_TRUE);
  PetscCall(Create(path, &small, NULL));
  PetscCall(Sweep(path, &small, 0, 10));
  if (rank == 0) {
    PetscCall(Digest(path, before, &environment));
    PetscCall(ReadOld(path, with_rows, &old));
  }
  PetscCall(Create(path, &large, old));
  if (rank == 0) {
    PetscCall(ContentsRead(path, &found));
    CheckCopies(path, found, &large, 10);
    PetscCall(ContentsDigest(found, after, &environment));
    CHECK(!strcmp(before, after), "%s against %s", before, after);
    CHECK(strcmp(old->uuid, found->uuid), "%s twice", found->uuid);
    PetscCall(ContentsDestroy(&found));
    PetscCall(ContentsDestroy(&old));
  }
  PetscCall(Sweep(path, &large, 0, large.plan.nruns));
  if (rank) PetscFunctionReturn(0);
  PetscCall(CheckRows(path, &large, large.plan.nruns));
  PetscCall(Digest(path, complete, &environment));
  PetscCall(Digest(Path("b.h5"), after, &environment));
  CHECK(!strcmp(complete, after), "%s against %s", complete, after);
  PetscFunctionReturn(0);
}

static void WriteFile(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  fputs(text, file);
  fclose(file);
}

// A file of one root attribute `name` = value, or of none.
static void WriteHDF5(const char *path, const char *name, int value) {
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
  if (name) {
    const hid_t attribute = H5Acreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT, &value);
    H5Aclose(attribute);
  }
  H5Sclose(space), H5Fclose(file);
}

static PetscErrorCode TestRefusals(void) {
  PROPERTY("foreign, old and broken files are refused by name");
  CtpgContents contents;
  struct stat info;
  const char *path = Path("foreign.h5");
  PetscFunctionBeginUser;
  if (rank) PetscFunctionReturn(0);
  CHECK_FAILS(ContentsRead(path, &contents), path, "No such file");
  WriteFile(path, "these are no results\n");
  CHECK_FAILS(ContentsRead(path, &contents), path, "not an HDF5 file");
  WriteHDF5(path, NULL, 0);
  CHECK_FAILS(ContentsRead(path, &contents), path, "not a results file of ctpgbench");
  WriteHDF5(path, "schema", 99);
  CHECK_FAILS(ContentsRead(path, &contents), path, "schema is 99");
  WriteHDF5(path, "schema", CTPG_SCHEMA);
  CHECK_FAILS(ContentsRead(path, &contents), path, "kind");
  CHECK_FAILS(ContentsRead(folder, &contents), folder, "not a regular file");
  path = Path("a.h5");
  CHECK(!stat(path, &info) && !truncate(path, info.st_size / 2), "cannot truncate");
  CHECK_FAILS(ContentsRead(path, &contents), path, "truncated");
  CHECK(!contents, "contents of a truncated file");
  PetscFunctionReturn(0);
}

// Every rank gets the same sentence, and none waits for the others.
static PetscErrorCode TestOpenRefusals(void) {
  PROPERTY("every rank gets the same sentence");
  Plan p, q;
  CtpgStore store;
  const char *path = Path("open.h5");
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, PETSC_FALSE), MakePlan(&q, 3, 4, 1, PETSC_FALSE);
  CHECK_FAILS(Open(path, &p, &store), path, "No such file");
  PetscCall(Create(path, &p, NULL));
  CHECK_FAILS(Open(path, &q, &store), path, "not the plan's");
  p.plan.save_gradients = PETSC_TRUE;
  CHECK_FAILS(Open(path, &p, &store), path, "save_gradients");
  p.plan.nruns--;
  CHECK_FAILS(Open(path, &p, &store), path, "another plan");
  CHECK_FAILS(Open(Path("foreign.h5"), &p, &store), "foreign.h5", "");
  CHECK(!store, "a store of a foreign file");
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  if (rank == 0) unlink(path);
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestUnwritable(void) {
  PROPERTY("where no file can be, a sentence says so and nothing is left");
  Plan p;
  PetscFunctionBeginUser;
  if (rank) PetscFunctionReturn(0);
  MakePlan(&p, 3, 4, 0, PETSC_FALSE);
  WriteFile(Path("file"), "a regular file\n");
  CHECK_FAILS(StoreCreate(Path("file/x.h5"), &p.plan, NULL), "file/x.h5", "Not a directory");
  CHECK_FAILS(StoreCreate(Path("absent/x.h5"), &p.plan, NULL), "absent/x.h5", "No such file or directory");
  CHECK(!mkdir(Path("taken.h5"), 0777), "cannot make taken.h5");
  CHECK_FAILS(StoreCreate(Path("taken.h5"), &p.plan, NULL), "taken.h5", "directory");
  CHECK(access(Path("taken.h5.new"), F_OK), "taken.h5.new is left");
  p.problems[1].label = "table";
  CHECK_FAILS(StoreCreate(Path("x.h5"), &p.plan, NULL), "table", "label");
  PetscFunctionReturn(0);
}

// A small tmpfs of several sizes, so that different HDF5 calls meet its end; what was there stays.
static PetscErrorCode TestFullDisk(int kilobytes, PetscBool save_gradients, PetscBool *mounted) {
  Plan p;
  char option[32];
  struct stat info;
  const char *disk = Path("disk"), *path = Path("disk/x.h5");
  PetscFunctionBeginUser;
  snprintf(option, sizeof(option), "size=%dk", kilobytes);
  mkdir(disk, 0777);
  *mounted = mount("tmpfs", disk, "tmpfs", 0, option) ? PETSC_FALSE : PETSC_TRUE;
  if (!*mounted) PetscFunctionReturn(0);
  MakePlan(&p, 4, 4, 0, save_gradients);
  WriteFile(path, "precious\n");
  CHECK_FAILS(StoreCreate(path, &p.plan, NULL), path, "No space left on device");
  CHECK(access(Path("disk/x.h5.new"), F_OK), "x.h5.new is left");
  CHECK(!stat(path, &info) && info.st_size == 9, "what was at the path has changed");
  CHECK(!umount(disk), "the file is still open");
  PetscFunctionReturn(0);
}

static PetscErrorCode TestFullDisks(void) {
  PROPERTY("a full disk is a sentence, and what was there stays");
  PetscBool mounted = PETSC_TRUE;
  PetscFunctionBeginUser;
  for (int kilobytes = 4; rank == 0 && mounted && kilobytes <= 444; kilobytes += 8)
    PetscCall(TestFullDisk(kilobytes, kilobytes % 16 ? PETSC_TRUE : PETSC_FALSE, &mounted));
  if (!mounted) printf("skipped: full disks, for which a tmpfs must be mounted\n");
  PetscFunctionReturn(0);
}

// Rank 0 looks at nothing for a while: the others must wait with their rows, or they would pile up in its memory.
static PetscErrorCode TestLetters(void) {
  PROPERTY("rows that the writer has not taken up are few");
  const char *path = Path("a.h5");
  const double pause = 1;
  PetscInt put = 0;
  CtpgStore store;
  Plan p;
  PetscFunctionBeginUser;
  MakePlan(&p, 3, 4, 0, PETSC_FALSE);
  PetscCall(Create(path, &p, NULL));
  PetscCall(Open(path, &p, &store));
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  const double start = CtpgSeconds();
  if (rank == 0) usleep((useconds_t)(1e6 * pause));
  for (PetscInt r = 0; rank && r < p.plan.nruns; r++) {
    PetscCall(PutRun(store, &p, r));
    if (CtpgSeconds() - start < 0.7 * pause) put++;
  }
  CHECK(put <= CTPG_STORE_IN_FLIGHT, "%d of %d rows were put", (int)put, (int)p.plan.nruns);
  PetscCall(StoreClose(&store));
  PetscFunctionReturn(0);
}

#define MOUNT "36 35 98:0 / /a rw,noatime master:1 - ext3 /dev/root rw\n"
static PetscErrorCode TestDoubts(void) {
  PROPERTY("locks that hold on one node alone are told from the mount table");
  const struct {
    const char *line, *word;
  } mounts[] = {{"40 35 0:50 / /b rw shared:2 - lustre 1.2.3.4@tcp:/fs rw,localflock\n", "localflock"},
                {"40 35 0:50 / /b rw shared:2 - lustre 1.2.3.4@tcp:/fs rw,flock,lazystatfs\n", NULL},
                {"40 35 0:50 / /b rw - nfs4 server:/x rw,vers=4.2,local_lock=none,addr=1.2.3.4\n", NULL},
                {"40 35 0:50 / /b rw - nfs server:/x rw,vers=3,nolock,addr=1.2.3.4\n", "local_lock"},
                {"40 35 0:50 / /b rw - nfs server:/x rw,vers=3,local_lock=all\n", "local_lock"},
                {"40 35 0:50 / /b rw - beegfs beegfs_nodev rw\n", "BeeGFS"},
                {"40 35 0:50 / /b rw - fuse.sshfs host: rw,user_id=0\n", "FUSE"},
                {"40 35 0:50 / /b rw - ext4 /dev/sda1 rw,nolock\n", NULL},
                {"40 35 0:51 / /b rw - fuse.sshfs host: rw,user_id=0\n", NULL}};
  PetscFunctionBeginUser;
  for (size_t i = 0; rank == 0 && i < sizeof mounts / sizeof *mounts; i++) {
    char table[512];
    snprintf(table, sizeof table, MOUNT "%s" MOUNT, mounts[i].line);
    FILE *file = fmemopen(table, strlen(table), "r");
    const char *doubt = StoreLockDoubt(file, 0, 50);
    CHECK(!doubt == !mounts[i].word && (!doubt || strstr(doubt, mounts[i].word)), "%s: %s", mounts[i].line,
          doubt ? doubt : "no doubt");
    fclose(file);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode MakeFolder(void) {
  const char *parent = getenv("TMPDIR");
  PetscFunctionBeginUser;
  snprintf(folder, sizeof(folder), "%s/test_store.XXXXXX", parent ? parent : "/tmp");
  if (rank == 0) PetscCheck(mkdtemp(folder), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot create %s", folder);
  PetscCallMPI(MPI_Bcast(folder, sizeof(folder), MPI_CHAR, 0, PETSC_COMM_WORLD));
  PetscFunctionReturn(0);
}

static void RemoveFolder(void) {
  static const char *const file[] = {"round.h5", "a.h5", "b.h5", "extend.h5", "foreign.h5", "open.h5", "file"};
  for (size_t i = 0; i < sizeof(file) / sizeof(file[0]); i++) unlink(Path(file[i]));
  rmdir(Path("taken.h5")), rmdir(Path("disk"));
  CHECK(!rmdir(folder), "%s holds more than was asked for", folder);
}

int main(int argc, char **argv) {
  int counts[2];
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCall(MakeFolder());
  for (int kind = 0; kind < 2; kind++) {
    way.kind = (CtpgStoreKind)kind;
    PetscCall(TestRoundTrip(PETSC_FALSE));
    PetscCall(TestRoundTrip(PETSC_TRUE));
    PetscCall(TestDigest());
    PetscCall(TestDigestColumns());
    PetscCall(TestDigestInParts());
    PetscCall(TestTornRows());
    PetscCall(TestExtend(PETSC_TRUE));
    PetscCall(TestExtend(PETSC_FALSE));
    PetscCall(TestAcknowledged());
  }
  PetscCall(TestRefusals());
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  for (int kind = 0; kind < 2; kind++) {
    way.kind = (CtpgStoreKind)kind;
    PetscCall(TestOpenRefusals());
  }
  PetscCall(TestUnwritable());
  way.kind = CTPG_STORE_WRITER;
  PetscCall(TestLetters());
  PetscCall(TestDoubts());
  PetscCall(TestFullDisks());
  PetscCallMPI(MPI_Barrier(PETSC_COMM_WORLD));
  if (rank == 0 && !getenv("CTPG_TEST_KEEP")) RemoveFolder();
  CHECK(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "HDF5 handles are left open");
  TestPropertyEnd();
  counts[0] = test_passed, counts[1] = test_failed;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT, MPI_SUM, PETSC_COMM_WORLD));
  test_passed = counts[0], test_failed = counts[1];
  PetscCall(PetscFinalize());
  return rank == 0 ? TestsEnd() : test_failed > 0;
}
