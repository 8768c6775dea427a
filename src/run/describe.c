// describe.c -- see describe.h

#include "run/describe.h"
#include "base/options_engine.h"
#include <stdio.h>
#include <string.h>

int DescribeBits(uint64_t flags) {
  return CTPG_BITS_ALWAYS | (flags & CTPG_IS_WITHOUT_LIBM ? 0 : CTPG_BITS_LIBM) |
         (flags & CTPG_IS_WITHOUT_BLAS ? 0 : CTPG_BITS_BLAS);
}

static const char *Outside(uint64_t flags) {
  static const char *const words[] = {"none", "libm", "blas", "libm,blas"};
  return words[DescribeBits(flags) & (CTPG_BITS_LIBM | CTPG_BITS_BLAS)];
}

void DescribeProblem(const CtpgProblem *q, CtpgLabelInfo *info) {
  *info = (CtpgLabelInfo){.label = q->label,
                          .type = q->type->name,
                          .options = CtpgOptionsResolved(q->options),
                          .given = CtpgOptionsGiven(q->options),
                          .bibtex = q->type->bibtex,
                          .version = q->type->version,
                          .nx = q->dims.nx,
                          .nu = q->dims.nu,
                          .no = q->dims.no,
                          .np = PolicyGetSize(q->policy),
                          .ntask = q->dims.ntask,
                          .T = q->dims.T,
                          .policy = PolicyDescribe(q->policy),
                          .theta_source = q->thetas.text ? q->thetas.text : "philox",
                          .has_theta = q->thetas.text ? PETSC_TRUE : PETSC_FALSE,
                          .derivatives = ProblemTypeDerivatives(q->type),
                          .outside = Outside(q->type->flags),
                          .state_names = q->dims.state_names,
                          .state_units = q->dims.state_units,
                          .control_names = q->dims.control_names,
                          .control_units = q->dims.control_units,
                          .constants = q->dims.constants,
                          .nconstants = q->dims.nconstants};
}

void DescribeEstimator(const CtpgEstimator *q, CtpgLabelInfo *info) {
  *info = (CtpgLabelInfo){.label = q->label,
                          .type = q->type->name,
                          .options = CtpgOptionsResolved(q->options),
                          .given = CtpgOptionsGiven(q->options),
                          .bibtex = q->type->bibtex,
                          .version = q->type->version,
                          .knob = CtpgKnobName(q->traits.knob),
                          .order = q->traits.order,
                          .outside = Outside(q->traits.flags),
                          .language = q->type->flags & CTPG_IS_INTERPRETED ? q->type->name : "C"};
}

size_t DescribeFirstDifference(const char *a, const char *b) {
  size_t line = 0;
  for (size_t i = 0; a[i] && a[i] == b[i]; i++)
    if (a[i] == '\n') line = i + 1;
  return line;
}

// "; problem lqr has horizon = 10 there and horizon = 5 here" for the first line in which two resolved texts differ.
void DescribeOptionDifference(const char *what, const char *label, const char *there, const char *here, char *text,
                              size_t size) {
  const size_t line = DescribeFirstDifference(there, here);
  if (strcmp(there, here))
    snprintf(text, size, "; %s %s has %.*s there and %.*s here", what, label, (int)strcspn(there + line, "\n"),
             there + line, (int)strcspn(here + line, "\n"), here + line);
}

// "; problem my_cart is of version 1 there and of version 2 here" where that is so.
static void CompareVersions(const char *what, const char *label, PetscInt there, PetscInt here, char *text,
                            size_t size) {
  if (there != here)
    snprintf(text, size, "; %s %s is of version %d there and of version %d here", what, label, (int)there, (int)here);
}

// The first version or option in which a label of the file differs from the plan's; "" where there is none.
void DescribeLabelDifference(PetscInt nproblems, const CtpgProblem *problems, PetscInt nestimators,
                             const CtpgPair *pairs, CtpgContents old, char *text, size_t size) {
  text[0] = 0;
  for (PetscInt i = 0; i < old->nproblems; i++)
    for (PetscInt p = 0; p < nproblems && !text[0]; p++) {
      const CtpgProblem *mine = problems + p;
      const char *label = old->problem[i];
      if (strcmp(label, mine->label)) continue;
      DescribeOptionDifference("problem", label, old->problem_options[i], CtpgOptionsResolved(mine->options), text,
                               size);
      CompareVersions("problem", label, old->problem_version[i], mine->type->version, text, size);
    }
  for (PetscInt i = 0; i < old->nestimators; i++)
    for (PetscInt e = 0; e < nestimators && !text[0]; e++) {
      const CtpgEstimator *mine = &pairs[e].estimator;
      const char *label = old->estimator[i];
      if (strcmp(label, mine->label)) continue;
      DescribeOptionDifference("estimator", label, old->estimator_options[i], CtpgOptionsResolved(mine->options), text,
                               size);
      CompareVersions("estimator", label, old->estimator_version[i], mine->type->version, text, size);
    }
}
