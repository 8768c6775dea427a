// narrow.h -- fewer labels than a plan's file has: -problems lqr beside a file of five problems
#ifndef CTPG_NARROW_H
#define CTPG_NARROW_H

#include <petscsys.h>

typedef struct {
  char problems[8192], estimators[8192]; // comma lists of label or label=type, "" without any
} PlanLists;

// -problems and -estimators as PETSc's database has them now.
PetscErrorCode PlanListsRead(PlanLists *lists);
// Once files and command line are in the database; file: the lists as the files left them. Where the command line's
// words choose from them, a label takes its type from the file, estimators that none of the chosen problems is trained
// with are left out, and what the files say of labels that were not chosen counts as read.
PetscErrorCode PlanNarrow(int argc, char **argv, const PlanLists *file);

#endif
