// list.c -- `ctpgbench list`: problems and estimators, as tables or as JSON

#include "base/wrap.h"
#include "run/registry.h"
#include "base/parse.h"
#include "run/instance.h"
#include "run/accuracy.h"
#include "base/options_engine.h"
#include "commands/program.h"
#include "generated/build_info.h"

static PetscErrorCode ListProblem(const CtpgProblemType *type) {
  CtpgLabel label = {"", ""};
  CtpgProblem p;

  PetscFunctionBeginUser;
  if (type->unavailable) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s unavailable: %s\n", type->name, type->unavailable));
    PetscFunctionReturn(0);
  }
  PetscCall(PetscStrncpy(label.label, type->name, sizeof label.label));
  PetscCall(PetscStrncpy(label.type, type->name, sizeof label.type));
  PetscCall(ProblemCreate(&label, &p));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %4d %4d %4d %6g  %-32s %s\n", p.label, (int)p.dims.nx, (int)p.dims.nu,
                        (int)p.dims.no, p.dims.T, PolicyDescribe(p.policy), ProblemTypeDerivatives(type)));
  PetscCall(ProblemDestroy(&p));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListProblems(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %4s %4s %4s %6s  %-32s %s\n", "problem", "nx", "nu", "no", "T (s)",
                        "default policy", "derivatives"));
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) PetscCall(ListProblem(CtpgProblemTypes[i]));
  if (CTPG_BESIDE[0]) PetscCall(PetscPrintf(PETSC_COMM_WORLD, "built with %s\n", CTPG_BESIDE));
  PetscFunctionReturn(0);
}

static const char *Needs(const CtpgEstimatorType *e) {
  return e->needs ? e->needs : "vjp";
}

static PetscErrorCode ListEstimators(void) {
  static const char *const format = "%-17s %-7s %5s  %-27s %-17s %s\n";
  char order[CTPG_NUMBER_SIZE];

  PetscFunctionBeginUser;
  PetscCall(
      PetscPrintf(PETSC_COMM_WORLD, format, "estimator", "knob", "order", "work per step", "memory (reals)", "needs"));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *e = CtpgEstimatorTypes[i];
    if (e->unavailable) {
      PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-17s unavailable: %s\n", e->name, e->unavailable));
      continue;
    }
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, format, e->name, CtpgKnobName(e->knob), CtpgShortReal(e->order, order),
                          e->cost, e->storage, Needs(e)));
  }
  PetscFunctionReturn(0);
}

// The letters of the columns, and the BibTeX keys, which -json gives in full.
static PetscErrorCode ExplainEstimators(void) {
  char keys[4096] = "";
  size_t used = 0;

  PetscFunctionBeginUser;
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *e = CtpgEstimatorTypes[i];
    const char *key = strchr(e->bibtex, '{');
    if (!key || used >= sizeof keys) continue;
    used += (size_t)snprintf(keys + used, sizeof keys - used, "%s%s %.*s", used ? ", " : "", e->name,
                             (int)strcspn(key + 1, ","), key + 1);
  }
  PetscCall(CtpgPrintWrapped(0,
                             "f: an evaluation of the closed loop; vjp, jvp: a product with its Jacobian from the left "
                             "or from the right; N steps of s stages; M samples; nx states; np parameters"));
  PetscCall(CtpgPrintWrapped(0, "BibTeX keys (entries: -json): %s", keys));
  PetscFunctionReturn(0);
}

// Quotes and backslashes are escaped; line breaks, the only control characters in a descriptor's strings, become
// spaces.
static PetscErrorCode PrintJSONString(const char *text) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\""));
  for (; *text; text++)
    PetscCall(
        PetscPrintf(PETSC_COMM_WORLD, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text == '\n' ? ' ' : *text));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\""));
  PetscFunctionReturn(0);
}

// A descriptor's last two entries; "unavailable" only where there is something to say.
static PetscErrorCode PrintJSONTail(const char *unavailable, const char *bibtex) {
  PetscFunctionBeginUser;
  if (unavailable) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\"unavailable\": "));
    PetscCall(PrintJSONString(unavailable));
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, ", "));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\"bibtex\": "));
  PetscCall(PrintJSONString(bibtex));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "}"));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListAsJSON(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "{\"built with\": \"%s\",\n \"problems\": [", CTPG_BESIDE));
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) {
    const CtpgProblemType *p = CtpgProblemTypes[i];
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%s{\"name\": \"%s\", \"version\": %d, \"derivatives\": \"%s\", ",
                          i ? ",\n " : "\n ", p->name, p->version, ProblemTypeDerivatives(p)));
    PetscCall(PrintJSONTail(p->unavailable, p->bibtex));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "],\n \"estimators\": ["));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *e = CtpgEstimatorTypes[i];
    PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                          "%s{\"name\": \"%s\", \"version\": %d, \"knob\": \"%s\", \"order\": %.6g, \"cost\": \"%s\", "
                          "\"storage\": \"%s\", \"needs\": \"%s\", \"interpreted\": %s, ",
                          i ? ",\n " : "\n ", e->name, e->version, CtpgKnobName(e->knob), e->order, e->cost, e->storage,
                          Needs(e), e->flags & CTPG_IS_INTERPRETED ? "true" : "false"));
    PetscCall(PrintJSONTail(e->unavailable, e->bibtex));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "]}\n"));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandList(const char *word, int *exit_code) {
  CtpgOptions options;
  PetscBool json = PETSC_FALSE, problems = PETSC_FALSE, estimators = PETSC_FALSE;

  PetscFunctionBeginUser;
  (void)word, (void)exit_code;
  PetscCall(CtpgOptionsCreate(NULL, "list", &options));
  PetscCall(CtpgOptionsBool(options, "json", "print JSON", &json));
  PetscCall(CtpgOptionsBool(options, "problems", "problems only", &problems));
  PetscCall(CtpgOptionsBool(options, "estimators", "estimators only", &estimators));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(RefuseUnusedOptions());
  if (json)
    PetscCall(ListAsJSON());
  else {
    if (problems || !estimators) PetscCall(ListProblems());
    if (estimators == problems) PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
    if (estimators || !problems) {
      PetscCall(ListEstimators());
      PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
      PetscCall(ExplainEstimators());
    }
  }
  PetscFunctionReturn(0);
}
