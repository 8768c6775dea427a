// registry.c -- the generated list, expanded twice: declarations, then tables with room for plug-ins

#include "run/registry.h"
#include "base/parse.h"
#include "run/plugins.h"
#include <string.h>

#define MAX_TYPES 256

#define PROBLEM(stem)   extern const CtpgProblemType CtpgProblem_##stem;
#define ESTIMATOR(stem) extern const CtpgEstimatorType CtpgEstimator_##stem;
#include "generated/registry_list.h"
#undef PROBLEM
#undef ESTIMATOR

const CtpgProblemType *CtpgProblemTypes[MAX_TYPES] = {
#define PROBLEM(stem) &CtpgProblem_##stem,
#define ESTIMATOR(stem)
#include "generated/registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
};

const CtpgEstimatorType *CtpgEstimatorTypes[MAX_TYPES] = {
#define PROBLEM(stem)
#define ESTIMATOR(stem) &CtpgEstimator_##stem,
#include "generated/registry_list.h"
#undef PROBLEM
#undef ESTIMATOR
};

// ---- what problems and estimators have in common ----

// Entry i of a table, NULL behind the last one.
typedef const CtpgHead *TypeAt(PetscInt i);

static const CtpgHead *ProblemAt(PetscInt i) {
  return (const CtpgHead *)CtpgProblemTypes[i];
}

static const CtpgHead *EstimatorAt(PetscInt i) {
  return (const CtpgHead *)CtpgEstimatorTypes[i];
}

// The error for a name that is not in the NULL-terminated list `known`.
static PetscErrorCode UnknownName(const char *option, const char *name, const char *noun, const char *const *known) {
  char list[1024] = "";
  PetscFunctionBeginUser;
  for (PetscInt i = 0; known[i]; i++) {
    PetscCall(PetscStrlcat(list, " ", sizeof list));
    PetscCall(PetscStrlcat(list, known[i], sizeof list));
  }
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
          "%s %s is not a known %s; did you mean %s? Known:%s; one of your own needs -%s_library FILE.so%s", option,
          name, noun, CtpgNearest(name, known), list, noun, PluginsDescribe()[0] ? "" : ", and no library is given");
}

static PetscErrorCode FindPlace(const char *option, const char *name, const char *noun, TypeAt *at, PetscInt *place) {
  const char *known[MAX_TYPES] = {NULL};
  PetscFunctionBeginUser;
  *place = -1;
  for (PetscInt i = 0; at(i); i++) {
    known[i] = at(i)->name;
    if (!strcmp(known[i], name)) *place = i;
  }
  if (*place < 0) PetscCall(UnknownName(option, name, noun, known));
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseUnavailable(const char *option, const char *name, const char *reason) {
  PetscFunctionBeginUser;
  PetscCheck(!reason, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not available: %s", option, name, reason);
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemTypeFind(const char *option, const char *name, const CtpgProblemType **type) {
  PetscInt place;
  PetscFunctionBeginUser;
  PetscCall(FindPlace(option, name, "problem", ProblemAt, &place));
  *type = CtpgProblemTypes[place];
  PetscCall(RefuseUnavailable(option, name, (*type)->unavailable));
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorTypeFind(const char *option, const char *name, const CtpgEstimatorType **type) {
  PetscInt place;
  PetscFunctionBeginUser;
  PetscCall(FindPlace(option, name, "estimator", EstimatorAt, &place));
  *type = CtpgEstimatorTypes[place];
  PetscCall(RefuseUnavailable(option, name, (*type)->unavailable));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckFree(const char *culprit, const char *name, const char *noun, TypeAt *at) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; at(i); i++)
    PetscCheck(strcmp(at(i)->name, name), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s: there is %s %s already; rename yours", culprit, noun, name);
  PetscFunctionReturn(0);
}

PetscErrorCode TypeNameCheckFree(const char *culprit, const char *name) {
  PetscFunctionBeginUser;
  PetscCall(CheckFree(culprit, name, "a problem", ProblemAt));
  PetscCall(CheckFree(culprit, name, "an estimator", EstimatorAt));
  PetscFunctionReturn(0);
}

// ---- needed slots: here and nowhere else ----

#define PROBLEM_NEEDS(X)   X(create) X(draw) X(eval) X(destroy)
#define ESTIMATOR_NEEDS(X) X(cost) X(storage) X(create) X(setup) X(destroy)
#define RETURN_IF_EMPTY(slot)                                                                                          \
  if (!type->slot) return "lacks the slot ." #slot ", which is needed";
// Bytes of a descriptor up to the end of a slot.
#define BYTES_TO(slot) offsetof(Type, slot) + sizeof(((Type *)NULL)->slot)
#define STRETCH(slot)  needed = PetscMax(needed, BYTES_TO(slot));

const char *ProblemTypeFault(const CtpgProblemType *type) {
  PROBLEM_NEEDS(RETURN_IF_EMPTY)
  return NULL;
}

const char *EstimatorTypeFault(const CtpgEstimatorType *type) {
  ESTIMATOR_NEEDS(RETURN_IF_EMPTY)
#define ONE_OF_THEM "; it needs one of them: gradient_of_start for one start at a time, gradient for a batch"
  if (type->gradient && type->gradient_of_start) return "has .gradient and .gradient_of_start" ONE_OF_THEM;
  if (!type->gradient && !type->gradient_of_start) return "has no .gradient_of_start and no .gradient" ONE_OF_THEM;
#undef ONE_OF_THEM
  return NULL;
}

static size_t ProblemBytes(void) {
  typedef CtpgProblemType Type;
  size_t needed = 0;
  PROBLEM_NEEDS(STRETCH)
  return needed;
}

static size_t EstimatorBytes(void) {
  typedef CtpgEstimatorType Type;
  size_t needed = BYTES_TO(gradient_of_start);
  ESTIMATOR_NEEDS(STRETCH)
  return needed;
}

// ---- plug-ins ----

static PetscErrorCode CheckHead(const char *file, const CtpgHead *head, size_t needed) {
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

// A copy [size] of a descriptor that has `needed` bytes at least, slots of which its file knows nothing left empty; and
// the place of the new entry.
static PetscErrorCode CopyType(const char *file, const CtpgHead *head, size_t needed, size_t size, const char *noun,
                               TypeAt *at, PetscInt *place, void *copy) {
  PetscFunctionBeginUser;
  PetscCall(CheckHead(file, head, needed));
  PetscCall(TypeNameCheckFree(file, head->name));
  for (*place = 0; at(*place);) (*place)++;
  PetscCheck(*place + 1 < MAX_TYPES, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: more than %d %ss", file, MAX_TYPES,
             noun);
  PetscCall(PetscCalloc1(size, (char **)copy));
  memcpy(*(char **)copy, head, PetscMin(head->size, size));
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseFault(const char *file, const char *name, const char *fault) {
  PetscFunctionBeginUser;
  PetscCheck(!fault, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: %s %s", file, name, fault);
  PetscFunctionReturn(0);
}

PetscErrorCode ProblemTypeRegister(const char *file, const CtpgProblemType *type) {
  CtpgProblemType *copy;
  PetscInt place;

  PetscFunctionBeginUser;
  PetscCall(CopyType(file, (const CtpgHead *)type, ProblemBytes(), sizeof *copy, "problem", ProblemAt, &place, &copy));
  if (!copy->unavailable) PetscCall(RefuseFault(file, copy->name, ProblemTypeFault(copy)));
  CtpgProblemTypes[place] = copy;
  PetscFunctionReturn(0);
}

PetscErrorCode EstimatorTypeRegister(const char *file, const CtpgEstimatorType *type) {
  CtpgEstimatorType *copy;
  PetscInt place;

  PetscFunctionBeginUser;
  PetscCall(
      CopyType(file, (const CtpgHead *)type, EstimatorBytes(), sizeof *copy, "estimator", EstimatorAt, &place, &copy));
  if (!copy->unavailable) PetscCall(RefuseFault(file, copy->name, EstimatorTypeFault(copy)));
  if (!copy->cost) copy->cost = "";
  if (!copy->storage) copy->storage = "";
  CtpgEstimatorTypes[place] = copy;
  PetscFunctionReturn(0);
}

const char *ProblemTypeDerivatives(const CtpgProblemType *type) {
  if (type->flags & CTPG_IS_DIFFERENCED) return "engine differences";
  return type->eval_vjp ? "analytic" : "central differences";
}
