// command_list.c -- `ctpgbench list`: problems and estimators, as tables or as JSON

#include "program.h"

static PetscErrorCode ListProblems(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %4s %4s %4s %6s  %-32s %-20s\n", "problem", "nx", "nu", "no", "T (s)",
                        "default policy", "derivatives"));
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) {
    CtpgLabel label = {"", ""};
    CtpgProblem p;
    PetscCall(PetscStrncpy(label.label, CtpgProblemTypes[i]->name, sizeof label.label));
    PetscCall(PetscStrncpy(label.type, CtpgProblemTypes[i]->name, sizeof label.type));
    PetscCall(ProblemCreate(&label, &p));
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %4d %4d %4d %6g  %-32s %-20s\n", p.label, (int)p.dims.nx,
                          (int)p.dims.nu, (int)p.dims.no, p.dims.T, PolicyDescribe(p.policy),
                          p.type->eval_vjp ? "analytic" : "central differences"));
    PetscCall(ProblemDestroy(&p));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ListEstimators(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n%-18s %-5s %5s  %-32s %-12s %s\n", "estimator", "knob", "order", "cost",
                        "storage", "BibTeX"));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *e = CtpgEstimatorTypes[i];
    const char *key = strchr(e->bibtex, '{');
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %-5s %5g  %-32s %-12s %.*s\n", e->name, CtpgKnobName(e->knob),
                          e->order, e->cost, e->storage, key ? (int)strcspn(key + 1, ",") : 0, key ? key + 1 : ""));
  }
  PetscFunctionReturn(0);
}

// Quotes and backslashes are escaped; line breaks, the only control characters in a descriptor's strings, become spaces.
static PetscErrorCode PrintJSONString(const char *text) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\""));
  for (; *text; text++)
    PetscCall(
        PetscPrintf(PETSC_COMM_WORLD, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text == '\n' ? ' ' : *text));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\""));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListAsJSON(void) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "{\"problems\": ["));
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++) {
    const CtpgProblemType *p = CtpgProblemTypes[i];
    PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                          "%s{\"name\": \"%s\", \"version\": %d, \"derivatives\": \"%s\", \"bibtex\": ",
                          i ? ",\n " : "\n ", p->name, p->version, p->eval_vjp ? "analytic" : "central differences"));
    PetscCall(PrintJSONString(p->bibtex));
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "}"));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "],\n \"estimators\": ["));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++) {
    const CtpgEstimatorType *e = CtpgEstimatorTypes[i];
    PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                          "%s{\"name\": \"%s\", \"version\": %d, \"knob\": \"%s\", \"order\": %.6g, \"cost\": \"%s\", "
                          "\"storage\": \"%s\", \"bibtex\": ",
                          i ? ",\n " : "\n ", e->name, e->version, CtpgKnobName(e->knob), e->order, e->cost,
                          e->storage));
    PetscCall(PrintJSONString(e->bibtex));
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "}"));
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "]}\n"));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandList(int *exit_code) {
  CtpgOptions options;
  PetscBool json = PETSC_FALSE;

  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(CtpgOptionsCreate(NULL, "list", &options));
  PetscCall(CtpgOptionsBool(options, "json", "print JSON", &json));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscCall(CtpgOptionsRefuseUnused());
  if (json)
    PetscCall(ListAsJSON());
  else {
    PetscCall(ListProblems());
    PetscCall(ListEstimators());
  }
  PetscFunctionReturn(0);
}
