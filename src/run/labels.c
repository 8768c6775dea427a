// labels.c -- see labels.h; a label is an options prefix, so no two may be mistaken for each other

#include "run/labels.h"
#include "base/options_engine.h"
#include "base/parse.h"
#include "run/registry.h"
#include <string.h>

enum { PLURAL = 64 };

// -<type>_name is looked up for every label of a type: a label may carry the name of its own type, but of no other.
static PetscErrorCode CheckTypeName(const char *option, const CtpgLabel *label, const char *type) {
  PetscFunctionBeginUser;
  PetscCheck(strcmp(label->label, type) || !strcmp(label->type, type), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: label %s is the name of another type than %s; choose another, as in my_%s=%s", option, type,
             label->type, type, label->type);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckTypeNames(const char *option, const CtpgLabel *label) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) PetscCall(CheckTypeName(option, label, CtpgProblemTypes[i]->name));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) PetscCall(CheckTypeName(option, label, CtpgEstimatorTypes[i]->name));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckLabel(const char *option, const char *label) {
  static const char *const reserved[] = {"ts", "mat", "snes", "ksp", "tao", "log", NULL};
  PetscFunctionBeginUser;
  PetscCheck(label[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s has an empty entry; expected a comma list of types or label=type", option);
  PetscCheck(strlen(label) < 48 &&
                 strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(label),
             PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: label %s is not usable; expected at most 47 letters, digits, '_', '-' or '.'", option,
             CtpgShown(label));
  for (PetscInt i = 0; reserved[i]; i++)
    PetscCheck(strcmp(label, reserved[i]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s: label %s is a prefix of PETSc's own options; choose another, as in my_%s=type", option, label,
               label);
  PetscFunctionReturn(0);
}

// Options of `a` could be read as options of `b` when "b_" begins like "a_".
static PetscErrorCode CheckPrefix(const char *option, const char *a, const char *b) {
  const size_t n = strlen(a);
  PetscFunctionBeginUser;
  PetscCheck(strncmp(a, b, n) || b[n] != '_', PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: -%s_... could belong to label %s or to label %s; rename one of them", option, b, a, b);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckPair(const char *option, const char *a, const char *b) {
  PetscFunctionBeginUser;
  PetscCheck(strcmp(a, b), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s names %s twice; give one of them a label of its own, as in other=%s", option, a, a);
  PetscCall(CheckPrefix(option, a, b));
  PetscFunctionReturn(0);
}

PetscErrorCode LabelsCheckApart(PetscInt nproblems, const CtpgLabel *problems, PetscInt nestimators,
                                const CtpgLabel *estimators) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < nproblems; p++)
    for (PetscInt e = 0; e < nestimators; e++) {
      const char *problem = problems[p].label, *estimator = estimators[e].label;
      PetscCheck(strcmp(problem, estimator), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
                 "-problems and -estimators both have a label %s; rename one of them", problem);
      PetscCall(CheckPrefix("-problems and -estimators", problem, estimator));
      PetscCall(CheckPrefix("-problems and -estimators", estimator, problem));
    }
  PetscFunctionReturn(0);
}

PetscErrorCode LabelsParse(const char *option, const char *text, PetscInt *n, CtpgLabel **labels) {
  PetscInt count;
  char **entries;

  PetscFunctionBeginUser;
  PetscCheck(text[0] != ',' && !strstr(text, ",,") && (!text[0] || text[strlen(text) - 1] != ','), PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT, "%s %s has an empty entry; expected a comma list of types or label=type", option,
             text);
  PetscCall(PetscStrToArray(text, ',', &count, &entries));
  PetscCheck(count > 0 && count <= CTPG_MAX_LABELS, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s '%s' names %d labels; expected 1 to %d", option, CtpgShown(text), (int)count, CTPG_MAX_LABELS);
  PetscCall(PetscCalloc1(count, labels));
  for (PetscInt i = 0; i < count; i++) {
    CtpgLabel *label = *labels + i;
    char *equals = strchr(entries[i], '=');
    if (equals) *equals = 0;
    PetscCall(CheckLabel(option, entries[i]));
    PetscCall(PetscStrncpy(label->label, entries[i], sizeof label->label));
    PetscCall(PetscStrncpy(label->type, equals ? equals + 1 : entries[i], sizeof label->type));
    PetscCall(CheckTypeNames(option, label));
  }
  for (PetscInt i = 0; i < count; i++)
    for (PetscInt j = 0; j < count; j++)
      if (i != j) PetscCall(CheckPair(option, (*labels)[i].label, (*labels)[j].label));
  PetscCall(PetscStrToArrayDestroy(count, entries));
  *n = count;
  PetscFunctionReturn(0);
}

// plural [PLURAL]: the name of the list.
static PetscErrorCode FindEither(CtpgOptions options, const char *name, char *plural, PetscBool *one, PetscBool *many) {
  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(plural, PLURAL, "%ss", name));
  PetscCall(CtpgOptionsFind(options, name, NULL, 0, one));
  PetscCall(CtpgOptionsFind(options, plural, NULL, 0, many));
  PetscFunctionReturn(0);
}

PetscErrorCode LabelsAreGiven(CtpgOptions options, const char *name, PetscBool *given) {
  char plural[PLURAL];
  PetscBool one, many;
  PetscFunctionBeginUser;
  PetscCall(FindEither(options, name, plural, &one, &many));
  *given = one || many ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels) {
  char plural[PLURAL], key[80], text[8192] = "", singular_text[8192] = "";
  PetscBool one, many, help;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  PetscCall(FindEither(options, name, plural, &one, &many));
  PetscCheck(!(one && many), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s and -%s are both given; they mean the same",
             name, plural);
  PetscCheck(one || many || fallback || help, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s is missing; expected a comma list of types or label=type (see ctpgbench list)", plural);
  if (fallback) PetscCall(PetscStrncpy(text, fallback, sizeof text));
  PetscCall(CtpgOptionsList(options, plural, "comma list of types or label=type", text, sizeof text));
  if (one) PetscCall(CtpgOptionsList(options, name, "the same", singular_text, sizeof singular_text));
  PetscCall(PetscSNPrintf(key, sizeof key, "-%s", one ? name : plural));
  if (!text[0] && !many) // -help alone shows the options of the first type as an example
    PetscCall(PetscStrncpy(text, strcmp(name, "problem") ? CtpgEstimatorTypes[0]->name : CtpgProblemTypes[0]->name,
                           sizeof text));
  PetscCall(LabelsParse(key, one ? singular_text : text, n, labels));
  PetscFunctionReturn(0);
}
