// metadata.c -- do the lists of names and units have a word for every state and control, and are constants and solids
// what they claim?

#include "check/problem_private.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

#define LONGEST_NAME 31

static PetscInt CountWords(const char *list) {
  PetscInt n = 1;
  for (; *list; list++) n += *list == ',';
  return n;
}

// Words a figure can print; units may be empty.
static PetscBool WordsPrintable(const char *list, PetscBool may_be_empty) {
  size_t length = 0;
  for (;; list++) {
    if (*list && *list != ',') {
      if (!isprint((unsigned char)*list) || ++length > LONGEST_NAME) return PETSC_FALSE;
      continue;
    }
    if (!length && !may_be_empty) return PETSC_FALSE;
    if (!*list) return PETSC_TRUE;
    length = 0;
  }
}

static PetscBool ListSane(CheckReport *report, const char *name, const char *list, PetscInt n, PetscBool may_be_empty) {
  if (!list) return PETSC_TRUE;
  if (CountWords(list) != n)
    CheckFail(report, "names, units, constants", "dims.%s has %d words; expected %d, comma between them", name,
              (int)CountWords(list), (int)n);
  else if (!WordsPrintable(list, may_be_empty))
    CheckFail(report, "names, units, constants", "dims.%s is '%s'; expected words of 1 to %d ASCII characters", name,
              list, LONGEST_NAME);
  else
    return PETSC_TRUE;
  return PETSC_FALSE;
}

static PetscBool ConstantSane(CheckReport *report, const CtpgConstant *constant, PetscInt k) {
  const PetscInt n = constant->rows * PetscMax(1, constant->columns);
  const char *fault = !constant->name || !constant->name[0]         ? "has no name"
                      : strpbrk(constant->name, "/.")               ? "has a slash or a dot in its name"
                      : constant->rows < 1 || constant->columns < 0 ? "has no rows"
                      : !constant->values                           ? "has no values"
                                                                    : NULL;
  for (PetscInt i = 0; !fault && i < n; i++)
    if (!isfinite(constant->values[i])) fault = "is not finite";
  if (fault)
    CheckFail(report, "names, units, constants", "dims.constants[%d] (%s) %s", (int)k,
              constant->name ? constant->name : "", fault);
  return fault ? PETSC_FALSE : PETSC_TRUE;
}

static PetscBool ShapesSane(CheckReport *report, const CtpgProblem *problem) {
  const CtpgDims *d = &problem->dims;
  const char *fault = d->nshapes && (!d->shapes || !problem->type->place) ? "are without .shapes or .place" : NULL;
  for (PetscInt i = 0; i < d->nshapes && !fault; i++) {
    const CtpgShape *shape = d->shapes + i;
    if (shape->solid < 0 || shape->solid >= CTPG_NSOLIDS) fault = "have a solid that is none of CtpgSolid";
    for (int j = 0; j < 3; j++)
      if (!(shape->size[j] >= 0 && isfinite(shape->size[j]))) fault = "have a size that is negative or not finite";
  }
  if (fault) CheckFail(report, "names, units, constants", "dims.nshapes = %d solids %s", (int)d->nshapes, fault);
  return fault ? PETSC_FALSE : PETSC_TRUE;
}

void CheckMetadata(const ProblemCheck *k) {
  const CtpgDims *d = &k->problem.dims;
  if (!ListSane(k->report, "state_names", d->state_names, d->nx, PETSC_FALSE) ||
      !ListSane(k->report, "state_units", d->state_units, d->nx, PETSC_TRUE) ||
      !ListSane(k->report, "control_names", d->control_names, d->nu, PETSC_FALSE) ||
      !ListSane(k->report, "control_units", d->control_units, d->nu, PETSC_TRUE))
    return;
  for (PetscInt i = 0; i < d->nconstants; i++)
    if (!ConstantSane(k->report, d->constants + i, i)) return;
  if (!ShapesSane(k->report, &k->problem)) return;
  CheckPass(k->report, "names, units, constants", "%s, %d constants",
            d->state_names && d->control_names ? "named" : "unnamed", (int)d->nconstants);
}
