// settings.h -- what a training run is asked for: lengths, horizons, tests, accuracy, and the starts that it draws
#ifndef CTPG_TRAIN_SETTINGS_H
#define CTPG_TRAIN_SETTINGS_H

#include "base/random_engine.h"
#include "run/run.h"
#include "train/optimizer.h"

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

// A contract on the error of a batch's mean gradient, see contract.c. rtol 0: there is none.
typedef struct {
  PetscReal rtol, atol, stderr_part, integral_rtol;
  PetscInt every; // iterations from one measurement to the next
} TrainContract;

// Accuracy of iteration i: that of the row, or, where per_gradient > 0 and i > 0, per_gradient ||g_{i-1}||, or what the
// contract asks for, within [tightest, loosest]. first: the row's, as it was asked for.
typedef struct {
  PetscReal first, per_gradient, tightest, loosest;
  TrainContract contract;
} TrainAccuracy;
PetscErrorCode TrainAccuracyRead(CtpgPair *pair, TrainAccuracy *accuracy);
PetscReal TrainAccuracyClip(const TrainAccuracy *accuracy, PetscReal tolerance); // into [tightest, loosest]

// A start: x0 [nx] and task [ntask] of sample `index`. purpose: CTPG_STREAM_BATCH or CTPG_STREAM_TEST.
PetscErrorCode TrainDrawStart(const CtpgProblem *problem, int64_t seed, CtpgStreamPurpose purpose, uint64_t index,
                              uint64_t experiment, PetscReal *x0, PetscReal *task);

#endif
