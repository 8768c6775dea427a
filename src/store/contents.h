// contents.h -- what a results file holds, read serially and verified row by row
#ifndef CTPG_STORE_CONTENTS_H
#define CTPG_STORE_CONTENTS_H

#include "store/schema.h"

// What a file holds, read serially (also while a job writes it). An error names the file and what is wrong: missing,
// not HDF5, truncated, not ours, another schema.
typedef struct CtpgContents_s {
  char kind[16], uuid[40], isa[128];
  uint64_t plan_hash;
  PetscBool save_gradients;
  PetscInt nproblems, nestimators, ncases, nruns, nsessions;
  char (*problem)[CTPG_LABEL_SIZE], (*estimator)[CTPG_LABEL_SIZE]; // labels
  char **problem_options, **estimator_options;
  char *plan_options, shard[256];
  CtpgLabelInfo *problem_info, *estimator_info;  // ncases is not filled in
  char **session;                                // [nsessions] who ran when, where, with what: some lines for people
  PetscInt *problem_version, *estimator_version; // of the types
  PetscInt *nx, *np;                             // [nproblems]
  CtpgCaseRow *cases;
  CtpgRunRow *runs; // row numbers in a damaged row (problem, estimator, case_index, row) that lead nowhere are -1
  PetscBool *case_done, *run_done; // committed, with the right checksum
  PetscInt torn;                   // committed rows whose checksum is wrong
  PetscReal *sketch;               // [nruns, 16]
  char *path;
} * CtpgContents;
PetscErrorCode ContentsRead(const char *path, CtpgContents *contents);
PetscErrorCode ContentsDestroy(CtpgContents *contents);
// Reference gradient of a finished case: gx0 [nx], gtheta [np].
PetscErrorCode ContentsReadGradient(CtpgContents contents, PetscInt c, PetscReal *gx0, PetscReal *gtheta);
// cases/<label of problem p>/<name>, [*rows, width], allocated here (free); NULL where the file has no such array.
PetscErrorCode ContentsReadArray(CtpgContents contents, PetscInt p, const char *name, PetscInt width, PetscInt *rows,
                                 PetscReal **values);

#endif
