// schema.h -- the format of a results file in plain words, then as lists of columns
//
// WHAT IT IS. One HDF5 file holds one plan: a sweep (gradients of many estimators, compared with reference gradients)
// or a training (policies improved with them). It is laid out completely before the first number is computed: every
// dataset has its final size, is contiguous, has its space on the disk and is filled (NaN, zero, -1). Afterwards rows
// are only written into it. Nothing is extended, nothing compressed, nothing has variable length. So a disk that fills
// up later loses nothing, ranks need not write together, and a file whose job was killed opens like any other.
//
// WHO MAKES IT. Rank 0 writes the skeleton under another name with serial HDF5, flushes it, brings it to the disk and
// renames it. Then the ranks that write (all, or rank 0 for all: store.h) open it and put rows.
//
// ROWS AND COMMITS. What is computed is one row of a table and the arrays that belong to it (the payload), and one row
// of the table `commit` beside it. The payload is written first, the commit after it. A commit holds the status of its
// row (-1: pending, nothing has been committed) and a checksum over the payload: the packed bytes of the row as they
// lie in the file, then the bytes of its arrays. A row counts when its commit is there and its checksum is right. A
// kill between the two leaves the row pending; a bit that flips later makes it torn: it is named, left out, and
// computed again.
//
// WHAT LIES WHERE.
//   @schema                     number of this format, CTPG_SCHEMA; a program reads its own
//   @kind                       "sweep" or "train"
//   @uuid                       of this file; a copy that is laid out anew gets another one
//   @plan_hash                  over the keys of its runs
//   @isa                        instruction set and CPU on which it was begun
//   @statuses                   words of the statuses, in order
//   plan/options  plan@shard    resolved options of the command; "i/n": part i of n parts of a plan, "1/1" a whole one
//   sessions [S]                one row for each job that wrote: who, when, where, with what
//   problems [P]                one row per problem label: type, version, options, sizes
//   policies [P]                of the same labels: layers, where theta comes from
//   plants/<label>              names and units of states and controls, constants of the problem: plants.h
//   estimators [E]              one row per estimator label
//   plants/<label>              names, units and constants of a problem, for readers (plants.h)
//   cases/table [C]             one row per case (problem label and seed): its reference gradient, how good that is
//   cases/commit [C]
//   cases/<label>/              arrays of the cases of one problem label, row cases/table.row:
//     seed [c]  x0 [c, nx]  task [c, ntask]  theta [c, np]      what the case is; theta only where it came from a file
//     grad_x0 [c, nx]  grad_theta [c, np]                       payload: the reference gradient
//   runs/table [R]              one row per run (case, estimator label, accuracy): errors, counts, clocks
//   runs/commit [R]
//   runs/sketch [R, 16]         payload: projections of the run's gradient
//   runs/gradients/<label>/     with -save_gradients: run [r] (row of runs/table), gradient [r, np] (payload)
// A training has the same head, with empty tables of cases and runs, and its own groups: train_schema.h.
//
// KEYS. A run is known by run_key, a case by case_key: hashes of everything that determines the result and of nothing
// else. Row numbers are places in one file; whoever unites or enlarges files goes by the keys.
//
// BYTES. Tables are compound types without padding, little-endian, in the order of the lists below. Texts have a fixed
// length and zeros behind them. Numbers that are not known are NaN.
//
// DIGEST. Columns marked 1 in the lists are science: they must not depend on clocks, hosts, ranks or the order of work.
// The digest of a file is SHA-256 over these columns of its finished rows (digest.h).
//
// This header is that description as code: X-macros list the columns once, and structs, HDF5 types, units,
// descriptions, checksums and the digest come from them.
#ifndef CTPG_SCHEMA_H
#define CTPG_SCHEMA_H

#include "ctpgbench/base.h"

#define CTPG_SCHEMA      3
#define CTPG_SCHEMA_OLD  2    // convert reads it, too
#define CTPG_PENDING     (-1) // status of a row without a result
#define CTPG_SKETCH_SIZE 16
#define CTPG_REASON_SIZE 128
#define CTPG_LABEL_SIZE  64
#define CTPG_SESSIONS    64 // preallocated; the last one is overwritten when they are used up

// Columns of runs/table: X(kind, name, digest, unit, description). kind: U64, I64, I32, F64, TEXT (reason), HOST.
// digest 1: a science column, part of the digest (no clocks, hosts, row numbers).
#define CTPG_RUN_COUNT(X, name, text)      X(I64, name, 1, "1", text)
#define CTPG_RUN_NF(X, name, word, text)   X(I64, nf_##word, 1, "1", "nf " text)
#define CTPG_RUN_NVJP(X, name, word, text) X(I64, nvjp_##word, 1, "1", "nvjp " text)
#define CTPG_RUN_NJVP(X, name, word, text) X(I64, njvp_##word, 1, "1", "njvp " text)
#define CTPG_RUN_NJAC(X, name, word, text) X(I64, njac_##word, 1, "1", "njac " text)
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
  X(F64, err_layer, 1, "1", "largest relative error of the part of one layer of the policy")                           \
  X(F64, sign_share, 1, "1", "share of the entries of dL/dtheta whose sign is right")                                  \
  X(F64, error_bar, 1, "1", "err_rel as the estimator, or the judge of -error_bar sweep, estimates it")                \
  X(I64, nfe_bar, 1, "1", "evaluations that a judge took for error_bar, beside nfe")                                   \
  X(F64, promise, 1, "1", "err_rel that a contract allows; NaN: none")                                                 \
  X(I32, promise_term, 1, "",                                                                                          \
    "what allows it: 1 grad_rtol, 2 grad_atol, 3 the batch, 4 int |f_theta' alpha + w_theta|")                         \
  X(F64, backsolve_error, 1, "1", "||x_back(0) - x0|| where the state is integrated backwards")                        \
  CTPG_COUNTS_FOR(CTPG_RUN_COUNT, X)                                                                                   \
  X(I64, nfe, 1, "1", "nf + nvjp + njvp + njac_products")                                                              \
  CTPG_PURPOSES_FOR(CTPG_RUN_NF, X)                                                                                    \
  CTPG_PURPOSES_FOR(CTPG_RUN_NVJP, X)                                                                                  \
  CTPG_PURPOSES_FOR(CTPG_RUN_NJVP, X)                                                                                  \
  CTPG_PURPOSES_FOR(CTPG_RUN_NJAC, X)                                                                                  \
  X(I64, steps, 1, "1", "accepted forward steps")                                                                      \
  X(I64, rejected, 1, "1", "rejected forward steps")                                                                   \
  X(I64, steps_adjoint, 1, "1", "accepted backward steps")                                                             \
  X(I64, rejected_adjoint, 1, "1", "rejected backward steps")                                                          \
  X(I64, bytes, 1, "B", "peak of what the estimator stored")                                                           \
  X(F64, wall, 0, "s", "median of the samples")                                                                        \
  X(F64, wall_0, 0, "s", "wallclock sample 0 of the estimator's solve")                                                \
  X(F64, wall_1, 0, "s", "sample 1, NaN where a single solve is long enough")                                          \
  X(F64, wall_2, 0, "s", "sample 2, likewise")                                                                         \
  X(F64, cpu, 0, "s", "median of the samples of CPU time")                                                             \
  X(F64, cpu_0, 0, "s", "CPU time of the thread in sample 0; NaN: not measured")                                       \
  X(F64, cpu_1, 0, "s", "in sample 1")                                                                                 \
  X(F64, cpu_2, 0, "s", "in sample 2")                                                                                 \
  X(F64, compile, 0, "s", "imported rows: compilation before the first solve, in no other column; NaN: none")          \
  X(F64, load, 0, "1", "processes ready to run per core of the host when it ended; NaN: not known")                    \
  X(I32, timing, 0, "", "0 isolated; 1 throughput: others worked beside it; 2 crowded: wallclock far above CPU time")  \
  X(F64, busy, 0, "s", "all that the rank spent on it: solves, comparison, storing")                                   \
  X(I32, mixed, 0, "", "1: computed with another arithmetic than the file was begun with")                             \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that ran it")                                                                          \
  X(HOST, host, 0, "", "host that ran it")

// The first columns of a row are its identity: they are there from the beginning, and the row's sum in runs/identity is
// of them. The rest is payload.
#define CTPG_RUN_IDENTITY 7

// Columns of cases/table, likewise; the sum in cases/identity is of the first ones, then x0, task and theta.
#define CTPG_CASE_IDENTITY 4
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
  X(F64, cpu, 0, "s", "CPU time of the thread; NaN: not measured")                                                     \
  X(F64, busy, 0, "s", "all that the rank spent on it: wall, and storing")                                             \
  X(I32, mixed, 0, "", "1: computed with another arithmetic than the file was begun with")                             \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that ran it")

// Column timing. Isolated: one rank, and nothing else to speak of ready to run on its host. Crowded: its wallclock is
// far above its CPU time, or there were more processes than cores; the wallclock is that of the crowd.
typedef enum { CTPG_TIMING_ISOLATED, CTPG_TIMING_THROUGHPUT, CTPG_TIMING_CROWDED } CtpgTiming;

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

// Rows with every number NaN or zero, every status pending.
void CtpgRunRowClear(CtpgRunRow *row);
void CtpgCaseRowClear(CtpgCaseRow *row);

// What decides the bits of rows, as a set: libm and BLAS those of labels that do not do without, the rest (the policy's
// kernels, draws) those of every row.
enum { CTPG_BITS_LIBM = 1, CTPG_BITS_BLAS = 2, CTPG_BITS_ALWAYS = 12 };

// One label of problems (with its policy) or of estimators. Strings are copied into fixed-length columns of the file.
typedef struct {
  const char *label, *type, *options, *bibtex; // options: resolved, "name = value" lines
  const char *given;                           // those of them that were given, as they were
  int version;
  const char *outside; // "libm,blas", "blas", .., "none"; NULL or "": not known, see LabelBits
  // problems
  PetscInt nx, nu, no, np, ntask;
  PetscReal T;
  const char *policy;       // "7-32-32-2 tanh,tanh,linear"
  const char *theta_source; // "philox" or the name of a case or theta file
  PetscBool has_theta;      // thetas are stored, not drawn
  const char *derivatives;  // "analytic" or "central differences"
  double cost_f, cost_vjp;  // measured, s per evaluation of the closed loop and per joint product
  PetscInt ncases;          // rows of cases/<label>
  const char *state_names, *state_units, *control_names, *control_units; // as in CtpgDims
  const CtpgConstant *constants;                                         // [nconstants]
  PetscInt nconstants;
  // estimators
  const char *knob; // "rtol", "dt", "grad_rtol", "samples"
  double order;
  const char *language; // "C", that of an interpreted estimator, or "imported": another program measured it
} CtpgLabelInfo;

// What decides the bits of a label's rows, a set of CTPG_BITS_*: all where that is not known.
int LabelBits(const CtpgLabelInfo *info);

// Rows of .../commit: written after the payload that they vouch for.
typedef struct {
  uint64_t checksum_0, checksum_1; // sum of the packed row, then the arrays that belong to it (sum.h)
  int32_t status;                  // the row's status; -1: nothing is committed
} StoreCommit;

// Rows of sessions: who ran when with what. X(name, size, text) of its texts; `start` is empty in a row not used yet.
#define CTPG_SESSION_TEXTS(X)                                                                                          \
  X(start, 32, "UTC, ISO 8601; empty: row not used yet")                                                               \
  X(end, 32, "UTC; empty: still running, or killed")                                                                   \
  X(commit, 64, "commit of the program")                                                                               \
  X(compiler, 128, "compiler")                                                                                         \
  X(isa, 128, "instruction set and BLAS")                                                                              \
  X(flags, 512, "compiler flags")                                                                                      \
  X(versions, 512, "PETSc, MPI, HDF5 and others")                                                                      \
  X(binding, 512, "cores that the ranks are bound to")                                                                 \
  X(hosts, 2048, "hosts of the ranks")                                                                                 \
  X(command_line, 2048, "command line")                                                                                \
  X(environment, 512, "options that came from the environment")                                                        \
  X(arithmetic, 128, "fingerprint of the arithmetic: libm, BLAS, kernels; empty: not taken")                           \
  X(machine, 256, "fingerprint of the machine: CPU model, multiply-add rate; empty: not taken")
#define CTPG_SESSION_FIELD(name, size, text) char name[size];
typedef struct {
  CTPG_SESSION_TEXTS(CTPG_SESSION_FIELD)
  int32_t ranks;
  uint64_t checksum_0, checksum_1; // sum of the packed row before it
} CtpgSession;
#undef CTPG_SESSION_FIELD

// The lists as data, for rows.h.
struct StoreLayout;
extern const struct StoreLayout StoreRunLayout, StoreCaseLayout, StoreCommitLayout, StoreSessionLayout;
extern const struct StoreLayout StoreProblemLayout, StorePolicyLayout, StoreEstimatorLayout; // of CtpgLabelInfo

#endif
