// train_schema.h -- the format of a training file (kind "train"): a row per run, its history, its policies, two slots
//
// Beside what every results file has (schema.h; its tables of cases and runs are empty):
//   training/table [M]    one row per run = (problem label, estimator label, seed), in this order
//   training/commit [M]   checksum and status, written after the row; the sum goes over the row and all of its arrays
//   training/identity [M] sums of the rows' first columns
//   training/<problem>/   seed [s], test_x0 [s, test_start, state], test_task [s, test_start, task_component]
//   training/<problem>/<estimator>/    of pairs that are trained; a problem has its own seeds and estimators
//     seed [s]  iteration [i]  snapshot [k]  test_iteration [j]  audit_iteration [a]  parameter [np]  path_time [m]
//                             scales, which name the rows of the arrays
//     loss, grad_norm, accuracy, step_size, backsolve_error, elapsed, nf, nvjp, .., failures [s, i]
//                             the history
//     promise, promise_term, error_bar, nfe_bar, solves [s, i]    likewise, under a contract for the batch
//     theta [s, k, np]        policies after snapshot[k] updates; the last one is the final policy
//     test_loss, test_failures [s, j]    after test_iteration[j] updates
//     path [s, k, test_start, m, nx], path_control [.., nu]    of the test starts under theta[s, k], at path_time (s)
//     audit_error, audit_stderr, audit_norm [s, a]    of the batch gradient before the update of audit_iteration[a]
//     visited [s, v, nx]      states at which the estimator asked for products, spread evenly over all samples
//     theta_checksum [s, k, 2]    sum of snapshot[k] (64 bits) and theta[s, k]: each policy is vouched for by itself
//     slot/{iteration [s, 2], count [s, 2, 7], checksum [s, 2, 2], theta, optimizer, memory [s, 2, *]}
// Example: f["training/electric/ctpg/loss"][3, :1000] is the loss of the first 1000 iterations of the fourth seed;
// f["training/electric/ctpg/theta"][3, -1] its final policy.
//
// All is preallocated and filled (NaN; -1 in slot/iteration). The rank that leads a run writes it, independently of the
// others: history in pieces, policies, tests and so on when they are due; then, at a checkpoint, a slot, in turns. A
// slot vouches for everything that the run has written before it: slot/count says how many entries of each array these
// are (history, theta, test, path, path_control, audit, visited), and its sum goes over all of them, and over what the
// slot itself holds. Before a slot is overwritten all of that is on the disk, and the other slot with it. What lies
// beyond the newest valid slot is recomputed, bit by bit.
#ifndef CTPG_TRAIN_SCHEMA_H
#define CTPG_TRAIN_SCHEMA_H

#include "store/create.h"

// Columns of training/table, as in schema.h, the first ones being identity: X(kind, name, digest, unit, description).
#define CTPG_TRAIN_IDENTITY 5
#define CTPG_TRAIN_COLUMNS(X)                                                                                          \
  X(U64, run_key, 1, "", "64-bit hash of all that determines the run but its length")                                  \
  X(I32, problem, 0, "", "row of problems")                                                                            \
  X(I32, estimator, 0, "", "row of estimators")                                                                        \
  X(I32, row, 0, "", "row in the arrays of training/<problem>/<estimator>")                                            \
  X(I64, seed, 1, "", "seed of theta, of the batches and of the test starts")                                          \
  X(F64, accuracy, 1, "", "value of the estimator's knob at the first iteration: rtol (1) or dt (s)")                  \
  X(F64, h, 1, "s", "fixed step used, NaN for adaptive steps")                                                         \
  X(I64, iterations, 1, "1", "iterations that were asked for")                                                         \
  X(I32, status, 1, "", "how the run ended; -1 pending, else the enumeration in @statuses")                            \
  X(TEXT, reason, 0, "", "why it ended so, empty when ok")                                                             \
  X(I64, iterations_done, 1, "1", "updates of theta that were made")                                                   \
  X(F64, loss, 1, "1", "mean loss of the last batch")                                                                  \
  X(F64, test_loss, 1, "1", "last test loss")                                                                          \
  X(F64, best_test_loss, 1, "1", "least test loss")                                                                    \
  CTPG_COUNTS_FOR(CTPG_RUN_COUNT, X)                                                                                   \
  X(I64, nfe, 1, "1", "nf + nvjp + njvp + njac_products")                                                              \
  X(I64, failures, 1, "1", "samples that failed")                                                                      \
  X(F64, seconds, 0, "s", "wallclock of training, tests left out")                                                     \
  X(F64, session_seconds, 0, "s", "that of the last session alone")                                                    \
  X(F64, solve_seconds, 0, "s", "of session_seconds, time inside the estimator and the solves of a step search")       \
  X(F64, cpu_seconds, 0, "s", "CPU time of the leading thread within seconds; NaN: not measured")                      \
  X(F64, test_seconds, 0, "s", "wallclock of the tests of the last session")                                           \
  X(I32, ranks, 0, "1", "MPI ranks that worked on it in the last session")                                             \
  X(I32, mixed, 0, "", "1: some of it was computed with another arithmetic than the file was begun with")              \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that led it")                                                                          \
  X(HOST, host, 0, "", "host of that rank")

// Columns of the history, each an array [seed, iteration]; the last ones are there under a contract alone.
#define CTPG_CONTRACT_COLUMNS(X)                                                                                       \
  X(F64, promise, 1, "1", "error of the mean that the contract allows, relative to grad_norm")                         \
  X(F64, error_bar, 1, "1", "error of the mean as measured errors of earlier samples foretell it, likewise")           \
  X(I32, promise_term, 1, "", "term that allows it: 1 relative, 2 absolute, 3 standard error, 4 integral")             \
  X(I32, solves, 1, "1", "times the batch was solved until the contract was kept")                                     \
  X(I64, nfe_bar, 1, "1", "evaluations that measuring errors took, in none of the counts")
#define CTPG_HISTORY_COUNT(X, name, text) X(I32, name, 1, "1", text)
#define CTPG_HISTORY_COLUMNS(X)                                                                                        \
  X(F64, loss, 1, "1", "mean loss of the batch before the update, by the estimator")                                   \
  X(F64, grad_norm, 1, "1", "||mean dL/dtheta of the batch||, before clipping")                                        \
  X(F64, accuracy, 1, "", "value of the estimator's knob: rtol (1) or dt (s)")                                         \
  X(F64, step_size, 1, "1", "learning rate, or the step that step-search chose")                                       \
  X(F64, backsolve_error, 1, "1", "largest ||x_back(0) - x0|| of the batch, where the state is integrated backwards")  \
  X(F64, elapsed, 0, "s", "wallclock of training so far, tests and interruptions left out")                            \
  X(F64, cpu, 0, "s", "CPU time of the leading thread so far, likewise; NaN: not measured")                            \
  CTPG_COUNTS_FOR(CTPG_HISTORY_COUNT, X)                                                                               \
  X(I64, failures, 1, "1", "samples of the batch that failed and were left out")                                       \
  CTPG_CONTRACT_COLUMNS(X)

#define CTPG_ROW_FIELD(kind, name, digest, unit, text) CTPG_TYPE_##kind(name)
typedef struct {
  CTPG_TRAIN_COLUMNS(CTPG_ROW_FIELD)
} TrainRow;
typedef struct {
  CTPG_HISTORY_COLUMNS(CTPG_ROW_FIELD)
} TrainHistory;
#undef CTPG_ROW_FIELD

void TrainRowClear(TrainRow *row); // numbers NaN or zero, status pending

// A trained pair of labels: its runs, the sizes of training/<problem>/<estimator>, and its scales.
typedef struct {
  PetscInt problem, estimator; // rows of the tables of labels
  PetscInt first_run, nseeds;  // its runs: first_run + s is that of seeds[s]
  int64_t *seeds;              // [nseeds]
  PetscInt np, nx, nu;
  PetscInt iterations, nsnapshots, ntests, naudits, visited;
  PetscInt path_starts, path_points;   // paths at each snapshot; 0: none
  PetscReal T;                         // s, their length
  PetscInt noptimizer, nmemory;        // reals, bytes
  PetscBool contract;                  // the history has all of its columns
  int64_t *snapshots, *tests, *audits; // [nsnapshots], [ntests], [naudits] iterations, ascending
} TrainShape;

// What a training file is made for. Runs are listed pair by pair.
typedef struct {
  const CtpgStorePlan *plan; // labels; no cases, no runs
  PetscInt npairs, nruns;
  const TrainShape *shapes;    // [npairs]
  TrainRow *rows;              // [nruns] identity columns, pending
  const PetscInt *nseeds;      // [nproblems]
  const int64_t *const *seeds; // [nproblems] [nseeds]
  const PetscInt *test_starts; // [nproblems]
  const char *const *options;  // [nproblems] resolved options of training
  PetscReal *const *test_x0;   // [nproblems] [nseeds, test_starts, nx]
  PetscReal *const *test_task; // [nproblems] [nseeds, test_starts, ntask]
} TrainLayout;

// Whose run is this? Number of the pair.
PetscInt TrainFindPair(PetscInt npairs, const TrainShape *shapes, PetscInt run);
// Bytes of the file for this layout, within a few per cent.
double TrainLayoutBytes(const TrainLayout *layout);

// ---- entries of several arrays at once

typedef struct {
  double loss;
  int64_t failures;
} TrainTest;
typedef struct {
  double error, stderror, norm; // audit_error, audit_stderr, audit_norm
} TrainAudit;
enum { TRAIN_NCOUNTS = 7 }; // columns of slot/count

// ---- the lists as data, for rows.h

#define CTPG_COUNT_COLUMN(kind, name, digest, unit, text) +1
enum { TRAIN_NHISTORY = 0 CTPG_HISTORY_COLUMNS(CTPG_COUNT_COLUMN) };
enum { TRAIN_NPLAIN = TRAIN_NHISTORY - (0 CTPG_CONTRACT_COLUMNS(CTPG_COUNT_COLUMN)) }; // without a contract
#undef CTPG_COUNT_COLUMN
extern const StoreLayout TrainRowLayout;
extern const StoreColumn TrainHistoryColumns[TRAIN_NHISTORY];
int TrainHistoryLength(const TrainShape *shape); // columns of the history of a pair

#endif
