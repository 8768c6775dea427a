// trainer.h -- one training run: a policy of one problem, one estimator, one seed
//
//   theta_0 = the case's theta (Philox purpose 1, or -theta_file)
//   iteration i = 0, 1, ..:  horizon T_i = min(T, first + (T - first) i / ramp), or T where -horizon_ramp is not given
//                            starts b = 0..B-1 from Philox purpose 3, index i B + b: x0 first, then the task, from one
//                            stream g = mean over b of dL_b/dtheta, in sample order;  theta_{i+1} = update(theta_i, g)
//   tests: horizon T; starts k = 0.. from purpose 4, index k; their losses, and at snapshots their paths, by accurate
//   solves audits: error of a batch's gradient against an accurate one, beside the standard error of the mean over the
//   batch
// Tests and audits (exact.h) are not counted and not timed. The streams know nothing of estimator and policy: all
// train on the same batches.
//
// A sample whose gradient fails is counted and left out of the mean. Where all fail, or theta is not finite any more,
// the run ends as diverged, with iteration and reason; its history stays.
#ifndef CTPG_TRAIN_H
#define CTPG_TRAIN_H

#include "train/create.h"

typedef struct {
  MPI_Comm group;   // ranks that share the batch; rank 0 leads: it alone writes
  TrainStore store; // NULL: nothing is kept
  PetscInt run;     // of the store
  int64_t seed;
  uint64_t experiment;
  double checkpoint_interval; // s
  // Has this rank another arithmetic for the run than the file was begun with; had earlier sessions, from whose slots
  // it goes on?
  PetscBool mixed, was_mixed;
  CtpgLimits limits; // tick is called between iterations too
  void (*progress)(void *context, PetscInt run, PetscInt iteration, PetscReal loss); // by the leader; NULL: not wanted
  void *context;
} TrainTask;
// Collective over the group. Goes on from the run's newest valid slot. row: identity columns on entry, complete on
// return (and written) when *finished; else the run was stopped and its slot is up to date.
PetscErrorCode TrainerRun(Trainer trainer, const TrainTask *task, TrainRow *row, PetscBool *finished);

#endif
