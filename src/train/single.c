// single.c -- see single.h

#include "train/single.h"
#include "base/options_engine.h"

static PetscErrorCode CreatePair(const CtpgLabel *estimator, const CtpgEstimatorType *type, TrainSingle *s) {
  PetscFunctionBeginUser;
  if (type) {
    s->pair.problem = &s->problem;
    PetscCall(EstimatorCreateFromType(type, estimator, &s->pair.estimator));
  } else
    PetscCall(PairCreate(&s->problem, estimator, &s->pair));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSingleCreate(const CtpgLabel *problem, const CtpgLabel *estimator, const CtpgEstimatorType *type,
                                 TrainSingle *s) {
  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(s, sizeof *s));
  PetscCall(ProblemCreate(problem, &s->problem));
  PetscCall(CtpgOptionsCreate(problem->label, problem->label, &s->options));
  PetscCall(TrainSettingsRead(s->options, &s->settings));
  PetscCall(CreatePair(estimator, type, s));
  PetscCall(TrainAccuracyRead(&s->pair, &s->accuracy));
  PetscCall(TrainerCreate(&s->pair, &s->settings, &s->accuracy, &s->trainer));
  PetscCall(PairSetUp(&s->pair));
  PetscCall(TrainerSetUp(s->trainer));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainSingleDestroy(TrainSingle *s) {
  PetscFunctionBeginUser;
  PetscCall(TrainerDestroy(&s->trainer));
  PetscCall(PairDestroy(&s->pair));
  PetscCall(TrainSettingsDestroy(&s->settings));
  PetscCall(CtpgOptionsDestroy(&s->options));
  PetscCall(ProblemDestroy(&s->problem));
  PetscFunctionReturn(0);
}

void TrainSingleClearRow(TrainSingle *s) {
  TrainRowClear(&s->row);
  s->row.accuracy = s->accuracy.first;
  s->row.iterations = s->settings.iterations;
}
