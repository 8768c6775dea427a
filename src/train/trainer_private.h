// trainer_private.h -- a trainer at work, shared by the parts that make it up; nobody else includes it
//
//   trainer.c     one iteration, and the run that is made of them
//   create.c      its workspace
//   batch.c       starts, samples and their gradients, gathered and summed
//   contract.c    the error of their mean, measured, and the tolerance that follows from it
//   search.c      the losses of step-search
//   record.c      history, visited states and slots: what is written, and from where a run goes on
//   milestones.c  tests, snapshots with their paths, audits
// In a group of ranks each computes a block of the batch; the samples are gathered and summed in sample order on every
// rank, so that all hold the same theta and the same optimiser, whatever their number.
#ifndef CTPG_TRAIN_PRIVATE_H
#define CTPG_TRAIN_PRIVATE_H

#include "ctpgbench/toolkit/forward.h"
#include "run/judge.h"
#include "train/trainer.h"
#include "train/exact.h"
#include "base/random_engine.h"

#define TRAIN_BUFFER 512 // iterations between two writes of the history

// What a rank reports of one start. What follows it: gradient [np], states [quota, nx] and, under a contract, errors
// [np] in a batch; path [points, nx] and control [points, nu] where paths are kept.
typedef struct {
  double loss, backsolve_error;
  double integral; // with errors: mean int |f_theta' alpha + w_theta|
  int64_t nfe_bar; // evaluations that measuring the errors took
  int64_t measured;
  CtpgCounts counts;
  int64_t status;
  char reason[CTPG_REASON_SIZE];
} TrainSample;

// States seen during a sample [n, nx].
typedef struct {
  PetscInt nx, n, capacity;
  PetscReal *states;
} TrainSeen;

// What a batch amounts to.
typedef struct {
  CtpgStatus status; // ok; interrupted; or that of the first sample where none is left
  char reason[CTPG_REASON_SIZE];
  double loss, backsolve_error;
  CtpgCounts counts;
  PetscInt failures;
  // Under a contract: error of the mean that is allowed, and foretold, relative to its norm; evaluations of the judge.
  double promise, error_bar;
  CtpgPromiseTerm promise_term;
  PetscInt solves;
  int64_t nfe_bar;
} TrainBatch;

struct Trainer_s {
  CtpgPair *pair;
  const TrainSettings *settings;
  TrainAccuracy accuracy;
  PetscInt nx, nu, ntask, np, noptimizer, nmemory;
  CtpgRKOptions search_rk;
  CtpgClosedLoop loss_loop; // of all solves beside the estimator's
  CtpgForwardSolve search_forward;
  ExactSolver exact;
  PetscReal *theta, *gradient, *candidate, *optimizer, *x0, *task;
  unsigned char *memory;
  char *samples; // [widest gathering]
  // For samples side by side: how many, a loop for each, x0 [at_once, nx], task [at_once, ntask], gx0 [at_once, nx].
  PetscInt at_once;
  CtpgClosedLoop loops[CTPG_MOST_AT_ONCE];
  PetscReal *many_x0, *many_task, *many_gx0;
  PetscReal *paths, *controls; // [test_starts, points, nx], [.., nu]
  int *counts, *displacements;

  // of the run
  const TrainTask *to;
  const volatile int *stop; // see TrainerComputeBatch
  int rank, size;
  PetscInt iteration, next_snapshot, next_test, next_audit;
  PetscReal previous_norm; // ||g|| of the iteration before; NaN: there is none
  PetscInt solves;         // of the batch, so far
  TrainHistory *buffer;    // [TRAIN_BUFFER] iterations that are not written yet
  PetscInt nbuffered;
  PetscReal *visited; // states that are not written yet, of the same iterations
  PetscInt first_visited, nvisited;
  int slot; // the next to be written
  TrainRow *row;
  PetscBool interrupted, mixed;
  double cpu_begun, cpu_before, test_cpu; // s of CPU time, as begun, elapsed_before and test_seconds
  double begun, elapsed_before, test_seconds, solve_seconds, last_checkpoint, last_tick;
  TrainSeen seen[CTPG_MOST_AT_ONCE]; // of samples side by side
};

// ---- starts and samples ----

// The block [first, last) of n items that rank r of the group works on. alone: rank 0 works on all of them.
void TrainerShare(Trainer t, PetscInt n, PetscBool alone, int r, PetscInt *first, PetscInt *last);
// Collective over the group: all of it is there, as far as anybody knows, and blocking calls may follow.
PetscErrorCode TrainerMeet(Trainer t);
// Collective over the group. Every rank's block of n samples, each of `bytes`, to all ranks.
PetscErrorCode TrainerGather(Trainer t, PetscInt n, PetscBool alone, size_t bytes);
TrainSample *TrainerSampleAt(Trainer t, PetscInt i, size_t bytes);
PetscReal *TrainSampleGradient(TrainSample *sample);
// States that a sample of the batch keeps, at most; its bytes with gradient and states.
PetscInt TrainerLargestQuota(Trainer t);
size_t TrainerGradientBytes(Trainer t);
size_t TrainerPathBytes(Trainer t); // of a test start with its path
// Into t->x0 and t->task.
PetscErrorCode TrainerDrawStart(Trainer t, CtpgStreamPurpose purpose, uint64_t index);
uint64_t TrainerBatchIndex(Trainer t, PetscInt b); // of sample b of this iteration in its stream
PetscReal TrainerHorizon(Trainer t);               // of the batch of this iteration
// The loop beside the estimator's, for the start drawn last.
void TrainerStartLoop(Trainer t, const PetscReal *theta, PetscReal T);
void TrainSampleReadStatus(TrainSample *sample, CtpgClosedLoop loop);
void TrainerReadLoss(Trainer t, TrainSample *sample); // its status, once its loss is there

// ---- an iteration ----

// Collective, as are the next ones. Mean loss and gradient (in t->gradient) at t->theta. An estimator with a memory is
// stopped between iterations only: half a batch would already have changed what it remembers.
PetscErrorCode TrainerComputeBatch(Trainer t, PetscReal accuracy, TrainBatch *batch);
// Of the mean [np] over the `good` samples that have a gradient; 0 where there is one alone. Not collective.
PetscReal TrainerStandardError(Trainer t, PetscInt good, const PetscReal *mean);
// The same until the contract is kept, with the tolerance that was used last; without one, once.
PetscErrorCode TrainerComputeBatchUnderContract(Trainer t, PetscReal *accuracy, TrainBatch *batch);
// Of step-search: its forward method from the options; the step, its evaluations added to the batch's counts.
PetscErrorCode TrainerReadSearchMethod(Trainer t);
PetscErrorCode TrainerSearchStep(Trainer t, PetscReal accuracy, TrainBatch *batch, PetscReal *step);
// What is due after t->iteration updates: tests, snapshots.
PetscErrorCode TrainerKeepMilestones(Trainer t);
// How good is the gradient of this batch? It must stand in t->gradient as the estimator left it.
PetscErrorCode TrainerAudit(Trainer t);

// ---- the contract (contract.c) ----

PetscInt TrainerContractSize(Trainer t); // reals that it remembers; 0: there is none
void TrainerContractStart(Trainer t);
PetscReal TrainerContractTolerance(Trainer t); // of this iteration
// Under one: is the error of sample b to be measured? That of the gradient [np] of the start drawn last, into errors
// [np], which are left alone where the judge fails.
PetscBool TrainerContractMeasures(Trainer t, PetscInt b);
PetscErrorCode TrainerContractMeasure(Trainer t, const PetscReal *gradient, TrainSample *sample, PetscReal *errors);
// After a solve of the batch at *tolerance: is it done? Else *tolerance is that of the next solve.
PetscBool TrainerContractJudge(Trainer t, TrainBatch *batch, PetscReal *tolerance);
PetscReal *TrainerSampleErrors(Trainer t, TrainSample *sample);

// ---- what is kept ----

PetscErrorCode TrainerMeasureMemory(Trainer t); // t->nmemory
// Does this rank write?
PetscBool TrainerWrites(Trainer t);
void TrainerKeepVisited(Trainer t); // of the batch just computed
void TrainerFillHistory(Trainer t, const TrainBatch *batch, PetscReal norm, PetscReal accuracy, PetscReal step,
                        TrainHistory *h);
// The iteration is over: into the buffer, which is written when it is full.
PetscErrorCode TrainerRecord(Trainer t, const TrainHistory *h);
PetscErrorCode TrainerFlushHistory(Trainer t);
// History first, then the slot that vouches for it.
PetscErrorCode TrainerCheckpoint(Trainer t);
// The newest slot of the leader, on all ranks of the group; the beginning where there is none.
PetscErrorCode TrainerResume(Trainer t);
// Sums of the row over one more iteration, and over one more test.
void TrainRowAccount(TrainRow *row, const TrainHistory *h);
void TrainRowAccountTest(TrainRow *row, PetscReal loss);

#endif
