// search.c -- losses of the candidates of step-search, see trainer_private.h

#include "train/trainer_private.h"
#include "base/options_engine.h"
#include "base/system.h"
#include "base/random_engine.h"
#include <math.h>
#include <string.h>

static PetscBool HasRead(CtpgOptions options, const char *line) {
  const char *resolved = CtpgOptionsResolved(options), *found = strstr(resolved, line);
  while (found && found > resolved && found[-1] != '\n') found = strstr(found + 1, line);
  return found ? PETSC_TRUE : PETSC_FALSE;
}

// The estimator's own forward method for the losses of a step search: its -rk where it has one, else forward Euler for
// fixed steps and Tsit5 for adaptive ones.
PetscErrorCode TrainerReadSearchMethod(Trainer t) {
  const CtpgEstimator *e = &t->pair->estimator;
  const PetscBool fixed = e->traits.knob == CTPG_KNOB_DT ? PETSC_TRUE : PETSC_FALSE;
  CtpgOptions options;
  CtpgTraits traits;

  PetscFunctionBeginUser;
  if (HasRead(e->options, "rk = ")) {
    PetscCall(CtpgOptionsCreate(e->label, e->type->name, &options));
    PetscCall(CtpgRKOptionsRead(options, fixed ? "1fe" : "tsit5", &t->search_rk, &traits));
    PetscCall(CtpgOptionsDestroy(&options));
    PetscFunctionReturn(0);
  }
  t->search_rk =
      (CtpgRKOptions){.fixed = fixed, .atol_factor = CTPG_DEFAULT_ATOL_FACTOR, .step_limit = CTPG_DEFAULT_STEP_LIMIT};
  PetscCall(CtpgRKTableFind("-rk", fixed ? "1fe" : "tsit5", &t->search_rk.table));
  PetscFunctionReturn(0);
}

static void Candidate(Trainer t, PetscReal step) {
  memcpy(t->candidate, t->theta, (size_t)t->np * sizeof *t->theta);
  OptimizerUpdate(&t->settings->optimizer, t->np, t->gradient, step, NULL, t->candidate);
}

// Mean loss of candidate c over the samples that succeed without a step; infinite where one of them fails.
static PetscReal CandidateLoss(Trainer t, PetscInt c, TrainBatch *batch) {
  const PetscInt B = t->settings->batch;
  PetscReal sum = 0;
  PetscInt n = 0;
  for (PetscInt b = 0; b < B; b++) {
    const TrainSample *sample = TrainerSampleAt(t, c * B + b, sizeof(TrainSample));
    CtpgCountsAdd(&batch->counts, &sample->counts);
    if (sample->status == CTPG_INTERRUPTED) t->interrupted = PETSC_TRUE;
    if (TrainerSampleAt(t, b, sizeof(TrainSample))->status != CTPG_OK) continue;
    sum += sample->status == CTPG_OK ? sample->loss : INFINITY;
    n++;
  }
  return n ? sum / n : INFINITY;
}

// The best of the step sizes; candidate 0 is no step at all.
PetscErrorCode TrainerSearchStep(Trainer t, PetscReal accuracy, TrainBatch *batch, PetscReal *step) {
  const CtpgOptimizer *o = &t->settings->optimizer;
  const PetscInt B = t->settings->batch, n = (o->nsteps + 1) * B;
  PetscInt first, last;

  PetscFunctionBeginUser;
  TrainerShare(t, n, PETSC_FALSE, t->rank, &first, &last);
  for (PetscInt i = first; i < last; i++) {
    TrainSample *sample = TrainerSampleAt(t, i, sizeof(TrainSample));
    CtpgResult result = {.loss = &sample->loss, .h = NAN};
    if (i == first || i % B == 0) Candidate(t, i < B ? 0 : o->steps[i / B - 1]);
    PetscCall(TrainerDrawStart(t, CTPG_STREAM_BATCH, TrainerBatchIndex(t, i % B)));
    sample->loss = 0;
    TrainerStartLoop(t, i < B ? t->theta : t->candidate, TrainerHorizon(t));
    const double before = CtpgSeconds();
    PetscCall(CtpgForwardRun(t->search_forward, t->x0, accuracy, &result));
    t->solve_seconds += CtpgSeconds() - before;
    TrainerReadLoss(t, sample);
  }
  PetscCall(TrainerGather(t, n, PETSC_FALSE, sizeof(TrainSample)));
  PetscReal least = CandidateLoss(t, 0, batch);
  *step = o->fallback;
  for (PetscInt c = 1; c <= o->nsteps; c++) {
    const PetscReal loss = CandidateLoss(t, c, batch);
    if (!(loss < least)) continue;
    least = loss;
    *step = o->steps[c - 1];
  }
  PetscFunctionReturn(0);
}
