// registry.h -- the problems and estimators of this program, as CMake found them in their folders
#ifndef CTPG_REGISTRY_H
#define CTPG_REGISTRY_H

#include "estimator.h"

// NULL-terminated, sorted by file name; every descriptor has been checked against CTPG_ABI at compile time.
extern const CtpgProblemType *const CtpgProblemTypes[];
extern const CtpgEstimatorType *const CtpgEstimatorTypes[];

// By name; an unknown one is answered with the nearest and the list, one that is unavailable with the reason. `option`
// names the culprit.
PetscErrorCode ProblemTypeFind(const char *option, const char *name, const CtpgProblemType **type);
PetscErrorCode EstimatorTypeFind(const char *option, const char *name, const CtpgEstimatorType **type);

#endif
