// registry.c -- the generated list, expanded twice: declarations, then tables

#include "registry.h"
#include <string.h>

#define PROBLEM(stem)   extern const CtpgProblemType CtpgProblem_##stem;
#define ESTIMATOR(stem) extern const CtpgEstimatorType CtpgEstimator_##stem;
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR

const CtpgProblemType *const CtpgProblemTypes[] = {
#define PROBLEM(stem) &CtpgProblem_##stem,
#define ESTIMATOR(stem)
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
    NULL};

const CtpgEstimatorType *const CtpgEstimatorTypes[] = {
#define PROBLEM(stem)
#define ESTIMATOR(stem) &CtpgEstimator_##stem,
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
    NULL};

// The error for a name that is not in the NULL-terminated list `known`.
static PetscErrorCode UnknownName(const char *option, const char *name, const char *what, const char *const *known) {
  char list[1024] = "";
  PetscFunctionBeginUser;
  for (PetscInt i = 0; known[i]; i++) {
    PetscCall(PetscStrlcat(list, " ", sizeof list));
    PetscCall(PetscStrlcat(list, known[i], sizeof list));
  }
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not a known %s; did you mean %s? Known:%s", option, name,
          what, CtpgNearest(name, known), list);
}

PetscErrorCode ProblemTypeFind(const char *option, const char *name, const CtpgProblemType **type) {
  const char *known[256] = {NULL};
  PetscFunctionBeginUser;
  *type = NULL;
  for (PetscInt i = 0; CtpgProblemTypes[i] && i < 255; i++) {
    known[i] = CtpgProblemTypes[i]->name;
    if (!strcmp(known[i], name)) *type = CtpgProblemTypes[i];
  }
  if (!*type) PetscCall(UnknownName(option, name, "problem", known));
  PetscCheck(!(*type)->unavailable, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not available: %s", option, name,
             (*type)->unavailable);
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorTypeFind(const char *option, const char *name, const CtpgEstimatorType **type) {
  const char *known[256] = {NULL};
  PetscFunctionBeginUser;
  *type = NULL;
  for (PetscInt i = 0; CtpgEstimatorTypes[i] && i < 255; i++) {
    known[i] = CtpgEstimatorTypes[i]->name;
    if (!strcmp(known[i], name)) *type = CtpgEstimatorTypes[i];
  }
  if (!*type) PetscCall(UnknownName(option, name, "estimator", known));
  PetscCheck(!(*type)->unavailable, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not available: %s", option, name,
             (*type)->unavailable);
  PetscFunctionReturn(0);
}
