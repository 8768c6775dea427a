// trainer.h -- one training run: a policy of one problem, one estimator, one seed
//
//   theta_0 = the case's theta (Philox purpose 1, or -theta_file)
//   iteration i = 0, 1, ..:  horizon T_i = min(T, first + (T - first) i / ramp), or T where -horizon_ramp is not given
//                            starts b = 0..B-1 from Philox purpose 3, index i B + b: x0 first, then the task, from one
//                            stream g = mean over b of dL_b/dtheta, in sample order;  theta_{i+1} = update(theta_i, g)
//   tests: horizon T; starts k = 0.. from purpose 4, index k; their losses, and at snapshots their paths, by accurate
//   solves audits: error of a batch's gradient against an accurate one, beside the standard error of the mean over the
//   batch
// Tests and audits (train_exact.h) are not counted and not timed. The streams know nothing of estimator and policy: all
// train on the same batches.
//
// A sample whose gradient fails is counted and left out of the mean. Where all fail, or theta is not finite any more,
// the run ends as diverged, with iteration and reason; its history stays.
#ifndef CTPG_TRAIN_H
#define CTPG_TRAIN_H

#include "train/optimizer.h"
#include "run/run.h"
#include "store/train_store.h"
#include "base/random_engine.h"

// Of a problem label.
typedef struct {
  PetscInt iterations, batch;
  PetscInt ramp;        // iterations until the horizon is whole, 0: it always is
  PetscReal ramp_first; // horizon of iteration 0, at most T
  CtpgOptimizer optimizer;
  PetscInt nsnapshots, ntests, naudits;
  int64_t *snapshots, *tests, *audits; // ascending; the last snapshot and the last test are `iterations`
  PetscInt test_starts, test_step_limit, path_points, visited;
} TrainSettings;
// What cannot change a result or may be extended later (iterations, snapshots, tests, audits) is left out of the
// resolved text.
PetscErrorCode TrainSettingsRead(CtpgOptions options, TrainSettings *settings);
// Horizon of iteration i where that of the problem is T, and its mean over all iterations.
PetscReal TrainHorizon(const TrainSettings *settings, PetscReal T, PetscInt i);
PetscReal TrainMeanHorizon(const TrainSettings *settings, PetscReal T);
PetscErrorCode TrainSettingsDestroy(TrainSettings *settings);

// Accuracy of iteration i: that of the row, or, where per_gradient > 0 and i > 0, per_gradient ||g_{i-1}|| within
// [tightest, loosest]. first: the row's, as it was asked for.
typedef struct {
  PetscReal first, per_gradient, tightest, loosest;
} TrainAccuracy;
PetscErrorCode TrainAccuracyRead(CtpgPair *pair, TrainAccuracy *accuracy);

// A start: x0 [nx] and task [ntask] of sample `index`. purpose: CTPG_STREAM_BATCH or CTPG_STREAM_TEST.
PetscErrorCode TrainDrawStart(const CtpgProblem *problem, int64_t seed, CtpgStreamPurpose purpose, uint64_t index,
                              uint64_t experiment, PetscReal *x0, PetscReal *task);

// Workspace of a pair. Create reads options, SetUp makes the workspace (after PairSetUp).
typedef struct Trainer_s *Trainer;
PetscErrorCode TrainerCreate(CtpgPair *pair, const TrainSettings *settings, const TrainAccuracy *accuracy,
                             Trainer *trainer);
PetscErrorCode TrainerSetUp(Trainer trainer);
PetscErrorCode TrainerDestroy(Trainer *trainer);
// Sizes and scales; labels, runs and seeds are left out. Its lists are the settings'.
void TrainerGetShape(Trainer trainer, TrainShape *shape);

typedef struct {
  MPI_Comm group;   // ranks that share the batch; rank 0 leads: it alone writes
  TrainStore store; // NULL: nothing is kept
  PetscInt run;     // of the store
  int64_t seed;
  uint64_t experiment;
  double checkpoint_every; // s
  CtpgLimits limits;       // tick is called between iterations too
  void (*progress)(void *context, PetscInt run, PetscInt iteration, PetscReal loss); // by the leader; NULL: not wanted
  void *context;
} TrainTask;
// Collective over the group. Goes on from the run's newest valid slot. row: identity columns on entry, complete on
// return
// (and written) when *finished; else the run was stopped and its slot is up to date.
PetscErrorCode TrainerRun(Trainer trainer, const TrainTask *task, TrainRow *row, PetscBool *finished);

#endif
