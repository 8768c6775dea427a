// labels.h -- names of the instances of a command, each a prefix of options
//
// `-problems lqr,wide=lqr` makes two instances of the type lqr; the label is the options prefix (see options.h). Labels
// never enter a random stream or a run key: variants of a problem share their starts, and equal variants their results.
#ifndef CTPG_RUN_LABELS_H
#define CTPG_RUN_LABELS_H

#include "ctpgbench/options.h"

#define CTPG_MAX_LABELS 256

// A label and the type it stands for.
typedef struct {
  char label[64], type[64];
} CtpgLabel;

// "a,b=c" into labels [*n], allocated here (PetscFree). Reserved words (ts, mat, snes, ksp, tao, log), doubles, and
// labels of which one is the options prefix of another ("lqr" and "lqr_wide") are refused. `option` names the culprit.
PetscErrorCode LabelsParse(const char *option, const char *text, PetscInt *n, CtpgLabel **labels);
// The same between the labels of problems and those of estimators, whose options share one namespace.
PetscErrorCode LabelsCheckApart(PetscInt nproblems, const CtpgLabel *problems, PetscInt nestimators,
                                const CtpgLabel *estimators);

// Does -<name> or -<name>s say anything? For commands whose default is not a text.
PetscErrorCode LabelsAreGiven(CtpgOptions options, const char *name, PetscBool *given);
// Value of -<name>s or -<name> (problems, estimators): the singular and the plural mean the same. Error when both are
// given, or neither and `fallback` is NULL.
PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels);

#endif
