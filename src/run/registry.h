// registry.h -- the problems and estimators of this program: those CMake found in their folders, then plug-ins
#ifndef CTPG_REGISTRY_H
#define CTPG_REGISTRY_H

#include "ctpgbench/estimator.h"

// NULL-terminated: sorted by file name, plug-ins behind in the order they were loaded.
extern const CtpgProblemType *CtpgProblemTypes[];
extern const CtpgEstimatorType *CtpgEstimatorTypes[];

// By name; an unknown one is answered with the nearest and the list, one that is unavailable with the reason. `option`
// names the culprit.
PetscErrorCode ProblemTypeFind(const char *option, const char *name, const CtpgProblemType **type);
PetscErrorCode EstimatorTypeFind(const char *option, const char *name, const CtpgEstimatorType **type);

// Called by the loader of plug-ins. A descriptor of another ABI, without a needed slot, or of a name that is taken is
// refused; `file` names the culprit. One built with fewer slots (size) is copied, the missing ones NULL.
PetscErrorCode ProblemTypeRegister(const char *file, const CtpgProblemType *type);
PetscErrorCode EstimatorTypeRegister(const char *file, const CtpgEstimatorType *type);
// An error that begins with `culprit` when a problem or an estimator has this name: options are looked up by both.
PetscErrorCode TypeNameCheckFree(const char *culprit, const char *name);

// What is wrong with the slots of a descriptor, as a sentence that goes on from its name ("lacks the slot .eval, which is
// needed"); NULL: nothing.
const char *ProblemTypeFault(const CtpgProblemType *type);
const char *EstimatorTypeFault(const CtpgEstimatorType *type);

// Where the products of a problem come from: "analytic", "central differences" of its eval, or "engine differences" that
// it takes itself. For tables and results.
const char *ProblemTypeDerivatives(const CtpgProblemType *type);

#endif
