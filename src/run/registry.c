// registry.c -- the generated list, expanded twice: declarations, then tables with room for plug-ins

#include "run/registry.h"
#include <string.h>

#define MAX_TYPES 256

#define PROBLEM(stem)   extern const CtpgProblemType CtpgProblem_##stem;
#define ESTIMATOR(stem) extern const CtpgEstimatorType CtpgEstimator_##stem;
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR

const CtpgProblemType *CtpgProblemTypes[MAX_TYPES] = {
#define PROBLEM(stem) &CtpgProblem_##stem,
#define ESTIMATOR(stem)
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
};

const CtpgEstimatorType *CtpgEstimatorTypes[MAX_TYPES] = {
#define PROBLEM(stem)
#define ESTIMATOR(stem) &CtpgEstimator_##stem,
#include "registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
};

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
  const char *known[MAX_TYPES] = {NULL};
  PetscFunctionBeginUser;
  *type = NULL;
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) {
    known[i] = CtpgProblemTypes[i]->name;
    if (!strcmp(known[i], name)) *type = CtpgProblemTypes[i];
  }
  if (!*type) PetscCall(UnknownName(option, name, "problem", known));
  PetscCheck(!(*type)->unavailable, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not available: %s", option, name,
             (*type)->unavailable);
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorTypeFind(const char *option, const char *name, const CtpgEstimatorType **type) {
  const char *known[MAX_TYPES] = {NULL};
  PetscFunctionBeginUser;
  *type = NULL;
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    known[i] = CtpgEstimatorTypes[i]->name;
    if (!strcmp(known[i], name)) *type = CtpgEstimatorTypes[i];
  }
  if (!*type) PetscCall(UnknownName(option, name, "estimator", known));
  PetscCheck(!(*type)->unavailable, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not available: %s", option, name,
             (*type)->unavailable);
  PetscFunctionReturn(0);
}

// ---- plug-ins ----

static PetscErrorCode CheckHead(const char *file, const void *descriptor, size_t needed) {
  const CtpgHead *head = descriptor;
  PetscFunctionBeginUser;
  PetscCheck(head->abi == CTPG_ABI, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s was built for ABI %u of ctpgbench, this is ABI %d; build it again with this version's headers", file,
             (unsigned)head->abi, CTPG_ABI);
  PetscCheck(head->size >= needed, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: its descriptor says .size = %u bytes, less than the needed slots take (%u); set .size = "
             "sizeof(CtpgProblemType) or sizeof(CtpgEstimatorType)",
             file, (unsigned)head->size, (unsigned)needed);
  PetscCheck(head->name && head->name[0] && head->bibtex, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: its descriptor lacks .name or .bibtex", file);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckSlot(const char *file, const char *name, const char *slot, PetscBool present) {
  PetscFunctionBeginUser;
  PetscCheck(present, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: %s lacks the slot .%s, which is needed", file, name,
             slot);
  PetscFunctionReturn(0);
}
#define CHECK_SLOT(slot) PetscCall(CheckSlot(file, type->name, #slot, type->slot ? PETSC_TRUE : PETSC_FALSE))

PetscErrorCode TypeNameCheckFree(const char *culprit, const char *name) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++)
    PetscCheck(strcmp(CtpgProblemTypes[i]->name, name), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s: there is a problem %s already; rename yours", culprit, name);
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++)
    PetscCheck(strcmp(CtpgEstimatorTypes[i]->name, name), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s: there is an estimator %s already; rename yours", culprit, name);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckProblemSlots(const char *file, const CtpgProblemType *type) {
  PetscFunctionBeginUser;
  CHECK_SLOT(create);
  CHECK_SLOT(draw);
  CHECK_SLOT(eval);
  CHECK_SLOT(destroy);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckEstimatorSlots(const char *file, const CtpgEstimatorType *type) {
  PetscFunctionBeginUser;
  CHECK_SLOT(cost);
  CHECK_SLOT(storage);
  CHECK_SLOT(create);
  CHECK_SLOT(setup);
  CHECK_SLOT(destroy);
  PetscCheck(!type->gradient != !type->gradient_of_start, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: %s has %s; it needs one of them: gradient_of_start for one start at a time, gradient for a batch",
             file, type->name,
             type->gradient ? ".gradient and .gradient_of_start" : "no .gradient_of_start and no .gradient");
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemTypeRegister(const char *file, const CtpgProblemType *type) {
  CtpgProblemType *copy;
  PetscInt n = 0;

  PetscFunctionBeginUser;
  PetscCall(CheckHead(file, type, offsetof(CtpgProblemType, eval) + sizeof type->eval));
  PetscCall(TypeNameCheckFree(file, type->name));
  while (CtpgProblemTypes[n]) n++;
  PetscCheck(n + 1 < MAX_TYPES, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: more than %d problems", file, MAX_TYPES);
  PetscCall(PetscCalloc1(1, &copy));
  memcpy(copy, type, PetscMin(type->size, sizeof *copy));
  if (!copy->unavailable) PetscCall(CheckProblemSlots(file, copy));
  CtpgProblemTypes[n] = copy;
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorTypeRegister(const char *file, const CtpgEstimatorType *type) {
  CtpgEstimatorType *copy;
  PetscInt n = 0;

  PetscFunctionBeginUser;
  PetscCall(CheckHead(file, type, offsetof(CtpgEstimatorType, gradient_of_start) + sizeof type->gradient_of_start));
  PetscCall(TypeNameCheckFree(file, type->name));
  while (CtpgEstimatorTypes[n]) n++;
  PetscCheck(n + 1 < MAX_TYPES, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: more than %d estimators", file, MAX_TYPES);
  PetscCall(PetscCalloc1(1, &copy));
  memcpy(copy, type, PetscMin(type->size, sizeof *copy));
  if (!copy->unavailable) PetscCall(CheckEstimatorSlots(file, copy));
  if (!copy->cost) copy->cost = "";
  if (!copy->storage) copy->storage = "";
  CtpgEstimatorTypes[n] = copy;
  PetscFunctionReturn(0);
}

const char *ProblemTypeDerivatives(const CtpgProblemType *type) {
  if (type->flags & CTPG_IS_DIFFERENCED) return "engine differences";
  return type->eval_vjp ? "analytic" : "central differences";
}
