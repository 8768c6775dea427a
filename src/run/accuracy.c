// accuracy.c -- see accuracy.h

#include "run/accuracy.h"
#include "base/unused.h"
#include "base/parse.h"
#include "base/options_engine.h"
#include <math.h>
#include <string.h>

// Whose option `name` counts for a pair: the estimator's, unless only the problem has one of its own. key: the one found.
static PetscErrorCode ChooseOptions(const CtpgPair *pair, const char *name, CtpgOptions *from, char *key, size_t size) {
  char bare[64], of_problem[128];
  PetscBool given;

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(bare, sizeof bare, "-%s", name));
  PetscCall(CtpgOptionsFind(pair->estimator.options, name, key, size, &given));
  PetscCall(CtpgOptionsFind(pair->problem->options, name, of_problem, sizeof of_problem, &given));
  *from = pair->estimator.options;
  if (strcmp(key, bare) || !strcmp(of_problem, bare)) PetscFunctionReturn(0);
  *from = pair->problem->options;
  PetscCall(PetscStrncpy(key, of_problem, size));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckAccuracies(const CtpgPair *pair, const char *key, PetscInt n, const PetscReal *values) {
  static const PetscReal lowest[] = {
      [CTPG_KNOB_RTOL] = 1e-15, [CTPG_KNOB_DT] = 1e-9, [CTPG_KNOB_GRAD_RTOL] = 1e-15, [CTPG_KNOB_SAMPLES] = 1};
  const CtpgKnob knob = pair->estimator.traits.knob;
  const PetscReal highest = knob == CTPG_KNOB_SAMPLES ? 1e9 : 1e3;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    PetscCheck(values[i] >= lowest[knob] && values[i] <= highest, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s %.6g for %s is out of range; expected a number from %.6g to %.6g", key, values[i],
               pair->estimator.label, lowest[knob], highest);
    PetscCheck(knob != CTPG_KNOB_SAMPLES || values[i] == floor(values[i]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s %.10g for %s is not a whole number of samples", key, values[i], pair->estimator.label);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode PairReadAccuracies(const CtpgPair *pair, const char *fallback, PetscInt *n, PetscReal **values) {
  const char *name = CtpgKnobName(pair->estimator.traits.knob);
  CtpgOptions from;
  char key[128];

  PetscFunctionBeginUser;
  PetscCall(ChooseOptions(pair, name, &from, key, sizeof key));
  PetscCall(OptionsReadReals(from, OPTION_ELSEWHERE_IN_KEY, name, "accuracy: one, a comma list or lo:hi:n", n, values));
  if (!*n) PetscCall(CtpgParseReals("default", fallback, n, values));
  PetscCall(CheckAccuracies(pair, key, *n, *values));
  PetscFunctionReturn(0);
}

PetscErrorCode SeedsRead(CtpgOptions options, const char *fallback, int64_t *first, int64_t *last) {
  char text[64], key[128];
  PetscBool given;

  PetscFunctionBeginUser;
  PetscCall(PetscStrncpy(text, fallback, sizeof text));
  PetscCall(OptionsReadText(options, OPTION_ELSEWHERE_IN_KEY, "seeds",
                            "first:last, half open; -<problem>_seeds for one problem", text, sizeof text));
  PetscCall(CtpgOptionsFind(options, "seeds", key, sizeof key, &given));
  PetscCall(CtpgParseRange(key, text, first, last));
  PetscCheck(*last - *first <= 1000000, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s are more than a million", key,
             text);
  PetscFunctionReturn(0);
}

PetscErrorCode PairReadRepeats(const CtpgPair *pair, PetscInt *repeats) {
  CtpgOptions from;
  char key[128];

  PetscFunctionBeginUser;
  *repeats = 1;
  PetscCall(ChooseOptions(pair, "repeats", &from, key, sizeof key));
  PetscCall(OptionsReadInt(from, OPTION_ELSEWHERE_IN_KEY, "repeats", "repetitions of every run, each a row", 1, 10000,
                           repeats));
  PetscFunctionReturn(0);
}

// An accuracy is known to some estimators, but not to those chosen.
static const char *ExplainKnob(const char *key) {
  for (int knob = CTPG_KNOB_RTOL; knob <= CTPG_KNOB_SAMPLES; knob++)
    if (!strcmp(key + 1, CtpgKnobName((CtpgKnob)knob)))
      return "is read by none of the estimators chosen: those with adaptive steps take -rtol, those with fixed steps "
             "-dt (see ctpgbench list)";
  return NULL;
}

PetscErrorCode RefuseUnusedOptions(void) {
  return UnusedRefuse(ExplainKnob);
}
