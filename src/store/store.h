// store.h -- the results file: its rows, and how they reach the disk so that nothing that was finished is ever lost
//
// Rank 0 writes the complete skeleton with serial HDF5 (fixed sizes, early allocation, identity columns filled, every
// status pending) under another name, flushes, syncs, renames. Then rows are written into it, by one rank or by all (see
// CtpgStoreWay): payload first, then its commit (checksum and status). Killed at any moment the file opens and holds
// every committed row. No collective write after creation, no variable-length data, no filters, no extension in place.
//
// A row is acknowledged once its commit was written: it then lies in the page cache of a node, where the death of any
// process cannot reach it. The death of a node can, until that node's next checkpoint (fsync).
//
//   @schema @kind @uuid @plan_hash @isa   attributes of the root
//   plan/options                          resolved options of the command, one text
//   plan@shard                            "i/n": the i-th of n parts of a plan; "1/1": a whole one
//   sessions [S]                          who ran when with what
//   problems [P] policies [P] estimators [E]
//   cases/table [C]  cases/commit [C]  cases/<label>/{seed [c], x0 [c, nx], task [c, ntask], grad_x0 [c, nx],
//                                         grad_theta [c, np], theta [c, np] where it came from a file}
//   runs/table [R]   runs/commit [R]   runs/sketch [R, 16]
//   runs/gradients/<problem label>/{run [r], gradient [r, np]} with -save_gradients
#ifndef CTPG_STORE_H
#define CTPG_STORE_H

#include "ctpgbench/base.h"

#define CTPG_SCHEMA      2
#define CTPG_PENDING     (-1) // status of a row without a result
#define CTPG_SKETCH_SIZE 16
#define CTPG_REASON_SIZE 128
#define CTPG_LABEL_SIZE  64
#define CTPG_SESSIONS    64 // preallocated; the last one is overwritten when they are used up

// Columns of runs/table: X(kind, name, digest, unit, description). kind: U64, I64, I32, F64, TEXT (reason), HOST.
// digest 1: a science column, part of the digest (no clocks, hosts, row numbers).
#define CTPG_RUN_NF_PURPOSE(X)                                                                                         \
  X(I64, nf_forward, 1, "1", "nf in accepted forward steps")                                                           \
  X(I64, nf_adjoint, 1, "1", "nf in accepted backward steps")                                                          \
  X(I64, nf_dense, 1, "1", "nf for a dense output")                                                                    \
  X(I64, nf_recompute, 1, "1", "nf repeated on the way back")                                                          \
  X(I64, nf_startup, 1, "1", "nf to choose first steps")                                                               \
  X(I64, nf_rejected, 1, "1", "nf in rejected steps")                                                                  \
  X(I64, nvjp_forward, 1, "1", "nvjp in accepted forward steps")                                                       \
  X(I64, nvjp_adjoint, 1, "1", "nvjp in accepted backward steps")                                                      \
  X(I64, nvjp_dense, 1, "1", "nvjp for a dense output")                                                                \
  X(I64, nvjp_recompute, 1, "1", "nvjp repeated on the way back")                                                      \
  X(I64, nvjp_startup, 1, "1", "nvjp to choose first steps")                                                           \
  X(I64, nvjp_rejected, 1, "1", "nvjp in rejected steps")
#define CTPG_RUN_COLUMNS(X)                                                                                            \
  X(U64, run_key, 1, "", "64-bit hash of everything that determines the result")                                       \
  X(I32, case_index, 0, "", "row of cases/table")                                                                      \
  X(I32, problem, 0, "", "row of problems")                                                                            \
  X(I32, estimator, 0, "", "row of estimators")                                                                        \
  X(I64, seed, 1, "", "seed of the case; the row of the file for a case file")                                         \
  X(F64, accuracy, 1, "", "value of the estimator's knob: rtol (1) or dt (s)")                                         \
  X(I32, repeat, 1, "", "number of the repetition, from 0")                                                            \
  X(F64, h, 1, "s", "fixed step used, NaN for adaptive steps")                                                         \
  X(I32, status, 1, "", "how the run ended; -1 pending, else the enumeration in @statuses")                            \
  X(TEXT, reason, 0, "", "why it ended so, empty when ok")                                                             \
  X(F64, loss, 1, "1", "loss")                                                                                         \
  X(F64, grad_norm, 1, "1", "||dL/dtheta||")                                                                           \
  X(F64, err_rel, 1, "1", "||g - g*|| / ||g*|| of dL/dtheta")                                                          \
  X(F64, err_abs, 1, "1", "||g - g*|| of dL/dtheta")                                                                   \
  X(F64, err_x0, 1, "1", "relative error of dL/dx0")                                                                   \
  X(F64, err_joint, 1, "1", "relative error of (dL/dx0, dL/dtheta), the paper's")                                      \
  X(F64, cosine, 1, "1", "cosine between g and g*")                                                                    \
  X(F64, error_bar, 1, "1", "the estimator's own estimate of err_rel")                                                 \
  X(F64, backsolve_error, 1, "1", "||x_back(0) - x0|| where the state is integrated backwards")                        \
  X(I64, nf, 1, "1", "evaluations of f")                                                                               \
  X(I64, nvjp, 1, "1", "vector-Jacobian products, joint or single")                                                    \
  X(I64, nvjp_x, 1, "1", "products that delivered lambda' f_x")                                                        \
  X(I64, nvjp_theta, 1, "1", "products that delivered lambda' f_theta")                                                \
  X(I64, njvp, 1, "1", "directional derivatives")                                                                      \
  X(I64, njac, 1, "1", "full Jacobians")                                                                               \
  X(I64, njac_products, 1, "1", "products of the policy that full Jacobians took")                                     \
  X(I64, nplant, 1, "1", "calls of the plant, finite differences included")                                            \
  X(I64, nfe, 1, "1", "nf + nvjp + njvp + njac_products")                                                              \
  CTPG_RUN_NF_PURPOSE(X)                                                                                               \
  X(I64, steps, 1, "1", "accepted forward steps")                                                                      \
  X(I64, rejected, 1, "1", "rejected forward steps")                                                                   \
  X(I64, steps_adjoint, 1, "1", "accepted backward steps")                                                             \
  X(I64, rejected_adjoint, 1, "1", "rejected backward steps")                                                          \
  X(I64, bytes, 1, "B", "peak of what the estimator stored")                                                           \
  X(F64, wall, 0, "s", "median of the samples")                                                                        \
  X(F64, wall_0, 0, "s", "wallclock sample 0 of the estimator's solve")                                                \
  X(F64, wall_1, 0, "s", "sample 1, NaN where a single solve is long enough")                                          \
  X(F64, wall_2, 0, "s", "sample 2, likewise")                                                                         \
  X(I32, timing, 0, "", "0 isolated: one rank; 1 throughput: other ranks worked at the same time")                     \
  X(F64, busy, 0, "s", "all that the rank spent on it: solves, comparison, storing")                                   \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that ran it")                                                                          \
  X(HOST, host, 0, "", "host that ran it")

// Columns of cases/table, likewise.
#define CTPG_CASE_COLUMNS(X)                                                                                           \
  X(U64, case_key, 1, "", "64-bit hash of problem, policy, x0, task, theta, horizon")                                  \
  X(I32, problem, 0, "", "row of problems and policies")                                                               \
  X(I64, seed, 1, "", "seed of the case; the row of the file for a case file")                                         \
  X(I32, row, 0, "", "row in cases/<label>")                                                                           \
  X(I32, status, 1, "", "how the reference gradient ended; -1 pending")                                                \
  X(TEXT, reason, 0, "", "why it ended so, empty when ok")                                                             \
  X(F64, loss, 1, "1", "reference loss")                                                                               \
  X(F64, grad_norm, 1, "1", "||dL/dtheta||")                                                                           \
  X(F64, grad_x0_norm, 1, "1", "||dL/dx0||")                                                                           \
  X(F64, ref_err, 1, "1", "relative difference of two reference methods, dL/dtheta")                                   \
  X(F64, ref_err_x0, 1, "1", "relative difference of two reference methods, dL/dx0")                                   \
  X(F64, ref_err_loss, 1, "1", "relative error of two directional derivatives against differences of the loss")        \
  X(F64, cond, 1, "1", "int |f_theta' alpha + w_theta| dt / ||dL/dtheta||")                                            \
  X(I32, flags, 1, "", "1: ref_err > 1e-10; 2: products by finite differences; 4: closed form; 8: nonsmooth")          \
  X(I64, nfe, 1, "1", "evaluations that the reference cost")                                                           \
  X(F64, wall, 0, "s", "wallclock of the reference")                                                                   \
  X(F64, busy, 0, "s", "all that the rank spent on it: wall, and storing")                                             \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that ran it")

typedef enum {
  CTPG_FLAG_INACCURATE = 1,
  CTPG_FLAG_DIFFERENCES = 2,
  CTPG_FLAG_CLOSED_FORM = 4,
  CTPG_FLAG_NONSMOOTH = 8
} CtpgCaseFlag;

#define CTPG_TYPE_U64(name)                            uint64_t name;
#define CTPG_TYPE_I64(name)                            int64_t name;
#define CTPG_TYPE_I32(name)                            int32_t name;
#define CTPG_TYPE_F64(name)                            double name;
#define CTPG_TYPE_TEXT(name)                           char name[CTPG_REASON_SIZE];
#define CTPG_TYPE_HOST(name)                           char name[32];
#define CTPG_ROW_FIELD(kind, name, digest, unit, text) CTPG_TYPE_##kind(name)
typedef struct {
  CTPG_RUN_COLUMNS(CTPG_ROW_FIELD)
} CtpgRunRow;
typedef struct {
  CTPG_CASE_COLUMNS(CTPG_ROW_FIELD)
} CtpgCaseRow;
#undef CTPG_ROW_FIELD

// Did the row end by what is around it (timeout, interrupted, crashed)? Such rows are no part of the digest.
PetscBool CtpgIsEnvironment(int32_t status);

// Rows with every number NaN or zero, every status pending.
void CtpgRunRowClear(CtpgRunRow *row);
void CtpgCaseRowClear(CtpgCaseRow *row);

// One label of problems (with its policy) or of estimators. Strings are copied into fixed-length columns of the file.
typedef struct {
  const char *label, *type, *options, *bibtex; // options: resolved, "name = value" lines
  const char *given;                           // those of them that were given, as they were
  int version;
  // problems
  PetscInt nx, nu, no, np, ntask;
  PetscReal T;
  const char *policy;       // "7-32-32-2 tanh,tanh,linear"
  const char *theta_source; // "philox" or the name of a case or theta file
  PetscBool has_theta;      // thetas are stored, not drawn
  const char *derivatives;  // "analytic" or "central differences"
  double cost_f, cost_vjp;  // measured, s per evaluation of the closed loop and per joint product
  PetscInt ncases;          // rows of cases/<label>
  // estimators
  const char *knob; // "rtol", "dt", "grad_rtol", "samples"
  double order;
  const char *language; // "C", or that of an interpreted estimator
} CtpgLabelInfo;

typedef struct {
  const char *kind;         // "sweep", "train"
  uint64_t plan_hash;       // FNV-1a64 over the sorted run keys
  const char *plan_options; // resolved options of the command
  const char *isa;          // instruction set and BLAS class that created the file; NULL: unknown
  PetscInt nproblems, nestimators, ncases, nruns;
  const CtpgLabelInfo *problems, *estimators;
  CtpgCaseRow *cases; // [ncases] identity columns filled, status pending
  CtpgRunRow *runs;   // [nruns] likewise
  // Per case: start and parameters, as they go into cases/<label>.
  const PetscReal *const *x0, *const *task, *const *theta; // [ncases]; theta[c] NULL where it is drawn from Philox
  PetscBool save_gradients;
  const char *shard; // "i/n", the part of a plan that this is; NULL: the whole
  // Files of another kind: adds its groups to the skeleton (an HDF5 file; -1 after StoreFail). NULL: nothing.
  int (*extend)(int64_t file, void *context);
  void *extend_context;
} CtpgStorePlan;

// Who runs, recorded in sessions at open; end is written at close.
typedef struct {
  const char *command_line, *commit, *compiler, *flags, *versions, *hosts, *binding, *isa;
  int ranks;
} CtpgSession;

typedef struct CtpgStore_s *CtpgStore;

// Rank 0 only. The skeleton of `plan` at path (via path.new, fsync and rename); rows in `old` (NULL: none), the
// contents of another file (which may lie at path), are taken over by key, with its sessions. An error names what failed
// ("No space left on device") and removes path.new; whatever was at path is untouched then.
typedef struct CtpgContents_s *CtpgContents;
PetscErrorCode StoreCreate(const char *path, const CtpgStorePlan *plan, CtpgContents old);
// The same with rows from n files. Where several have finished a row, one that did not end by its environment wins, then
// the first. Their sessions follow one another.
PetscErrorCode StoreCreateFrom(const char *path, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old);

// How rows reach the file (docs/store.md has the measurements).
//   independent  every rank opens the file with MPI-IO and writes its own rows. A row is acknowledged when Put returns.
//                Needs a file system that is coherent between nodes: one node, Lustre, GPFS; not NFS.
//   writer       rank 0 alone opens the file, with serial HDF5 and no locks; the others send row and arrays in one message,
//                which rank 0 writes when it polls. Its own rows are acknowledged when Put returns; those of another rank
//                only when rank 0 has taken them up: until then a kill of either loses them, and they are run again. At most
//                CTPG_STORE_IN_FLIGHT messages of a rank are under way; one more makes its Put wait.
typedef enum { CTPG_STORE_INDEPENDENT, CTPG_STORE_WRITER } CtpgStoreKind;
#define CTPG_STORE_IN_FLIGHT 16
typedef struct {
  CtpgStoreKind kind;
  double checkpoint_interval; // s between two fsyncs, 0: only at close
} CtpgStoreWay;

// Collective. Opens the file that StoreCreate made for this plan (same runs and cases in the same rows, else an error
// that asks for StoreCreate with the old contents); the ranks agree on success after each collective HDF5 call. Appends a
// session.
PetscErrorCode StoreOpen(MPI_Comm comm, const char *path, const CtpgStorePlan *plan, const CtpgSession *session,
                         const CtpgStoreWay *way, CtpgStore *store);
// Independent; each payload row first, then its commit. Set row->session. sketch [16]; gtheta [np] is stored only with
// save_gradients; a NULL array is stored as NaN.
PetscErrorCode StorePutRun(CtpgStore store, PetscInt r, CtpgRunRow *row, const PetscReal *sketch,
                           const PetscReal *gtheta);
PetscErrorCode StorePutCase(CtpgStore store, PetscInt c, CtpgCaseRow *row, const PetscReal *gx0,
                            const PetscReal *gtheta);
// Every rank, now and then, at any time between open and close, also while it computes: a writing rank 0 writes what has
// arrived, one rank of each node that writes does the periodic checkpoint. An error is told once; whoever calls this
// where errors cannot be returned may drop it: the next Put or Close returns it again.
PetscErrorCode StorePoll(CtpgStore store);
// This rank, which is rank 0 or alone on its node: all that it has written is on disk on return.
PetscErrorCode StoreSync(CtpgStore store);
int StoreGetSession(CtpgStore store);
// Collective; writes what is under way and the session's end, then fsync, on every node that wrote.
PetscErrorCode StoreClose(CtpgStore *store);

// ---- one job at a time

// A job holds flock(2) on path.lock while it writes; what is in it says who. flock: released by the kernel when the
// holder dies, however it dies (a file left by a dead job does not hinder), and not, as with fcntl's locks, when some
// other descriptor of the process is closed; Linux passes it on to NFS servers, where it excludes other nodes too (a dead
// node's lock goes with its lease, after about 90 s). File systems without locks: a warning, no protection.
// Rank 0. Waits up to three seconds for a job that is dying; then the error names the holder.
PetscErrorCode StoreLock(const char *path);
void StoreUnlock(void); // removes path.lock; nothing without a lock
// Who holds the lock of a file: "node1, process 17, Slurm job 4, since ..."; "" nobody. Anybody may ask.
void StoreLockHolder(const char *path, char *holder, size_t size);

// What a file holds, read serially (also while a job writes it). An error names the file and what is wrong: missing,
// not HDF5, truncated, not ours, another schema.
struct CtpgContents_s {
  char kind[16], uuid[40], isa[128];
  uint64_t plan_hash;
  PetscBool save_gradients;
  PetscInt nproblems, nestimators, ncases, nruns, nsessions;
  char (*problem)[CTPG_LABEL_SIZE], (*estimator)[CTPG_LABEL_SIZE]; // labels
  char **problem_options, **estimator_options;
  char *plan_options, shard[256];
  CtpgLabelInfo *problem_info, *estimator_info;  // ncases is not filled in
  char **session;                                // [nsessions] who ran when, where, with what: some lines for people
  PetscInt *problem_version, *estimator_version; // of the types
  PetscInt *nx, *np;                             // [nproblems]
  CtpgCaseRow *cases;
  CtpgRunRow *runs; // row numbers in a damaged row (problem, estimator, case_index, row) that lead nowhere are -1
  PetscBool *case_done, *run_done; // committed, with the right checksum
  PetscInt torn;                   // committed rows whose checksum is wrong
  PetscReal *sketch;               // [nruns, 16]
  char *path;
};
PetscErrorCode ContentsRead(const char *path, CtpgContents *contents);
PetscErrorCode ContentsDestroy(CtpgContents *contents);
// Reference gradient of a finished case: gx0 [nx], gtheta [np].
PetscErrorCode ContentsReadGradient(CtpgContents contents, PetscInt c, PetscReal *gx0, PetscReal *gtheta);
// cases/<label of problem p>/<name>, [*rows, width], allocated here (free); NULL where the file has no such array.
PetscErrorCode ContentsReadArray(CtpgContents contents, PetscInt p, const char *name, PetscInt width, PetscInt *rows,
                                 PetscReal **values);
// Are all science columns the same, bit by bit (NaN as one pattern)?
PetscBool ContentsSameScience(const CtpgRunRow *a, const CtpgRunRow *b);
PetscBool ContentsSameCase(const CtpgCaseRow *a, const CtpgCaseRow *b);
// SHA-256 over the science columns of the finished cases and runs, little-endian, sorted by key, NaN as one pattern;
// rows that ended by timeout, interrupted or crashed are not in it but counted in *environment. hex [65].
PetscErrorCode ContentsDigest(CtpgContents contents, char *hex, PetscInt *environment);

#endif
