// case.h -- the cases of a problem: what is random, or read from a file
#ifndef CTPG_CASE_H
#define CTPG_CASE_H

#include "run/instance.h"

typedef struct {
  int64_t seed;
  char name[64];    // "seed 3" or the group of a case file
  PetscReal T;      // s
  PetscReal *x0;    // [nx]
  PetscReal *task;  // [ntask]
  PetscReal *theta; // [np]
} CtpgCase;

// x0, task and theta of (problem, seed) from their streams, theta from -theta_file where it is given: the same on every
// rank, whatever the order.
PetscErrorCode CaseDraw(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgCase *c);
// From group `name` of an HDF5 case file (datasets x0, theta, goals; attributes horizon, layers, activations). A policy
// of other layers and another horizon replace the problem's, with a note on stdout; wrong sizes are an error.
PetscErrorCode CaseRead(CtpgProblem *problem, const char *path, const char *name, CtpgCase *c);
PetscErrorCode CaseDestroy(CtpgCase *c);

// Which case a command was asked for: -seed and -experiment, or -case_file and -case.
typedef struct {
  PetscInt seed, experiment;
  char file[PETSC_MAX_PATH_LEN], name[64];
} CtpgCaseChoice;

PetscErrorCode CaseChoiceRead(CtpgOptions options, CtpgCaseChoice *choice);
// An error where only one of -case_file and -case is given.
PetscErrorCode CaseChoiceCheck(const CtpgCaseChoice *choice);
// CaseRead or CaseDraw.
PetscErrorCode CaseChoose(CtpgProblem *problem, const CtpgCaseChoice *choice, CtpgCase *c);
// 64-bit hash of everything that determines the true gradient: type, version, options, policy, horizon and content.
uint64_t CaseKey(const CtpgProblem *problem, const CtpgCase *c);

#endif
