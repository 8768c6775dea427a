// store_train.h -- training in a results file (kind "train"): a row per run, its history, its policies, two slots to resume
//
// Beside what every results file has (store.h; its tables of cases and runs are empty):
//   training/table [M]    one row per run = (problem label, estimator label, seed), in this order
//   training/commit [M]   checksum and status, written after the row
//   training/<problem>/   seed [s], test_x0 [s, test_start, state], test_task [s, test_start, task_component]
//   training/<problem>/<estimator>/    of pairs that are trained; a problem has its own seeds and estimators
//     seed [s]  iteration [i]  snapshot [k]  test_iteration [j]  audit_iteration [a]  parameter [np]  path_time [m]   scales
//     loss, grad_norm, accuracy, step_size, backsolve_error, elapsed, nf, nvjp, .., failures [s, i]    the history
//     theta [s, k, np]        policies after snapshot[k] updates; the last one is the final policy
//     test_loss, test_failures [s, j]    after test_iteration[j] updates
//     path [s, k, test_start, m, nx], path_control [.., nu]    of the test starts under theta[s, k], at path_time (s)
//     audit_error, audit_stderr, audit_norm [s, a]    of the batch gradient before the update of audit_iteration[a]
//     visited [s, v, nx]      states at which the estimator asked for products, spread evenly over all samples
//     slot/{iteration, checksum [s, 2], theta, optimizer, memory [s, 2, *]}
// Example: f["training/electric/ctpg/loss"][3, :1000] is the loss of the first 1000 iterations of the fourth seed;
// f["training/electric/ctpg/theta"][3, -1] its final policy.
//
// All is preallocated and filled (NaN; -1 in slot/iteration). The rank that leads a run writes it, independently of the
// others: history in pieces, then a slot, in turns; a slot is valid when its checksum, which goes over the history before
// it too, is right. What lies beyond the newest valid slot is recomputed, bit by bit.
#ifndef CTPG_STORE_TRAIN_H
#define CTPG_STORE_TRAIN_H

#include "store/store.h"

// Columns of training/table, as in store.h: X(kind, name, digest, unit, description).
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
  X(I64, nf, 1, "1", "evaluations of f in training, those of a step search included")                                  \
  X(I64, nvjp, 1, "1", "vector-Jacobian products, joint or single")                                                    \
  X(I64, nvjp_x, 1, "1", "products that delivered lambda' f_x")                                                        \
  X(I64, nvjp_theta, 1, "1", "products that delivered lambda' f_theta")                                                \
  X(I64, njvp, 1, "1", "directional derivatives")                                                                      \
  X(I64, njac, 1, "1", "full Jacobians")                                                                               \
  X(I64, njac_products, 1, "1", "products of the policy that full Jacobians took")                                     \
  X(I64, nplant, 1, "1", "calls of the plant, finite differences included")                                            \
  X(I64, nfe, 1, "1", "nf + nvjp + njvp + njac_products")                                                              \
  X(I64, failures, 1, "1", "samples that failed")                                                                      \
  X(F64, seconds, 0, "s", "wallclock of training, tests left out")                                                     \
  X(F64, session_seconds, 0, "s", "that of the last session alone")                                                    \
  X(F64, solve_seconds, 0, "s", "of session_seconds, time inside the estimator and the solves of a step search")       \
  X(F64, test_seconds, 0, "s", "wallclock of the tests of the last session")                                           \
  X(I32, ranks, 0, "1", "MPI ranks that worked on it in the last session")                                             \
  X(I32, session, 0, "", "row of sessions")                                                                            \
  X(I32, rank, 0, "", "MPI rank that led it")                                                                          \
  X(HOST, host, 0, "", "host of that rank")

// Columns of the history, each an array [seed, iteration].
#define CTPG_HISTORY_COLUMNS(X)                                                                                        \
  X(F64, loss, 1, "1", "mean loss of the batch before the update, by the estimator")                                   \
  X(F64, grad_norm, 1, "1", "||mean dL/dtheta of the batch||, before clipping")                                        \
  X(F64, accuracy, 1, "", "value of the estimator's knob: rtol (1) or dt (s)")                                         \
  X(F64, step_size, 1, "1", "learning rate, or the step that step-search chose")                                       \
  X(F64, backsolve_error, 1, "1", "largest ||x_back(0) - x0|| of the batch, where the state is integrated backwards")  \
  X(F64, elapsed, 0, "s", "wallclock of training so far, tests and interruptions left out")                            \
  X(I32, nf, 1, "1", "evaluations of f")                                                                               \
  X(I32, nvjp, 1, "1", "vector-Jacobian products, joint or single")                                                    \
  X(I32, nvjp_x, 1, "1", "products that delivered lambda' f_x")                                                        \
  X(I32, nvjp_theta, 1, "1", "products that delivered lambda' f_theta")                                                \
  X(I32, njvp, 1, "1", "directional derivatives")                                                                      \
  X(I32, njac, 1, "1", "full Jacobians")                                                                               \
  X(I32, njac_products, 1, "1", "products of the policy that full Jacobians took")                                     \
  X(I32, nplant, 1, "1", "calls of the plant, finite differences included")                                            \
  X(I64, failures, 1, "1", "samples of the batch that failed and were left out")

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

// ---- what a file holds, read serially

typedef struct {
  CtpgContents base; // labels, sessions, provenance
  PetscInt nruns, npairs;
  TrainRow *rows;
  PetscBool *done;    // [nruns] committed, with the right checksum
  int64_t *slot;      // [nruns] iteration of the newest slot, -1: none; not verified
  TrainShape *shapes; // [npairs]
  char **options;     // [nproblems] resolved options of training
} * TrainContents;
PetscErrorCode TrainContentsRead(const char *path, TrainContents *contents);
PetscErrorCode TrainContentsDestroy(TrainContents *contents);
// Loss of iteration slot[run] - 1; NaN where there is none.
PetscErrorCode TrainContentsReadLoss(TrainContents contents, PetscInt run, PetscReal *loss);
// SHA-256 over the science columns of the finished runs, sorted by key: row, history, test losses, policies, paths, audits,
// visited states; NaN as one pattern. Runs that ended by timeout or crashed are not in it but counted in *environment.
// hex [65].
PetscErrorCode TrainContentsDigest(TrainContents contents, char *hex, PetscInt *environment);

// ---- creation and writing

// Rank 0: the file for `layout`, in place of `old` (NULL: none), whose runs go on where they stand. An error says what of
// `old` does not fit.
PetscErrorCode TrainStoreCreate(const char *path, const TrainLayout *layout, TrainContents old);
// Can the file be written into as it is?
PetscBool TrainContentsHasLayout(TrainContents contents, const TrainLayout *layout);

typedef struct TrainStore_s *TrainStore;
// Collective, as StoreOpen and StoreClose.
PetscErrorCode TrainStoreOpen(MPI_Comm comm, const char *path, const TrainLayout *layout, const CtpgSession *session,
                              TrainStore *store);
PetscErrorCode TrainStoreClose(TrainStore *store);
int TrainStoreGetSession(TrainStore store);
// As StorePoll and StoreSync.
PetscErrorCode TrainStorePoll(TrainStore store);
PetscErrorCode TrainStoreSync(TrainStore store);

// Independent; by the rank that leads the run. A PETSc error names the file and the reason.
PetscErrorCode TrainStorePutHistory(TrainStore store, PetscInt run, PetscInt first, PetscInt n,
                                    const TrainHistory *rows);
PetscErrorCode TrainStorePutTheta(TrainStore store, PetscInt run, PetscInt k, const PetscReal *theta);
PetscErrorCode TrainStorePutTest(TrainStore store, PetscInt run, PetscInt k, PetscReal loss, PetscInt failures);
// path [path_starts, path_points, nx] and control [path_starts, path_points, nu] at snapshot k.
PetscErrorCode TrainStorePutPaths(TrainStore store, PetscInt run, PetscInt k, const PetscReal *path,
                                  const PetscReal *control);
typedef struct {
  PetscReal error, stderror, norm; // see CTPG_AUDITS
} TrainAudit;
PetscErrorCode TrainStorePutAudit(TrainStore store, PetscInt run, PetscInt a, const TrainAudit *audit);
PetscErrorCode TrainStorePutVisited(TrainStore store, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x);
PetscErrorCode TrainStorePutRow(TrainStore store, PetscInt run, TrainRow *row);

// A point to go on from. The arrays are the caller's; history_hash: TrainHistoryHash over all iterations before.
typedef struct {
  int64_t iteration;
  uint64_t history_hash;
  PetscReal *theta, *optimizer;
  unsigned char *memory;
} TrainSlot;
PetscErrorCode TrainStorePutSlot(TrainStore store, PetscInt run, int k, const TrainSlot *slot);
// The newest valid slot, with the history and the last test before it. *k = -1: there is none.
PetscErrorCode TrainStoreGetSlot(TrainStore store, PetscInt run, TrainSlot *slot, int *k);
PetscErrorCode TrainStoreGetHistory(TrainStore store, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows);
PetscErrorCode TrainStoreGetTest(TrainStore store, PetscInt run, PetscInt k, PetscReal *loss);

uint64_t TrainHistoryHash(uint64_t hash, PetscInt n, const TrainHistory *rows);

#endif
