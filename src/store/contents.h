// contents.h -- what a results file holds, read serially and verified row by row
#ifndef CTPG_STORE_CONTENTS_H
#define CTPG_STORE_CONTENTS_H

#include "store/schema.h"

// What a file holds, read serially (also while a job writes it). Everything is verified: what is damaged is left out,
// counted and named. An error names the file and what is wrong: missing, not HDF5, truncated, not ours, another schema,
// data in other files.
typedef struct CtpgContents_s {
  char kind[16], uuid[40], isa[128];
  int32_t schema;
  char unverified[256]; // why what it holds is not vouched for (it was converted); "" it is
  uint64_t plan_hash;
  PetscBool save_gradients;
  PetscInt nproblems, nestimators, ncases, nruns, nsessions;
  char (*problem)[CTPG_LABEL_SIZE], (*estimator)[CTPG_LABEL_SIZE]; // labels
  char **problem_options, **estimator_options;
  char *plan_options, shard[256];
  CtpgLabelInfo *problem_info, *estimator_info;  // ncases is not filled in
  CtpgSession *session_row;                      // [nsessions] of those that are sound, else empty
  int mixed;                                     // CTPG_BITS_*, set by merge: rows that hang on them are marked
  char **session;                                // [nsessions] who ran when, where, with what: some lines for people
  PetscInt *problem_version, *estimator_version; // of the types
  PetscInt *nx, *np;                             // [nproblems]
  PetscReal **x0, **task, **theta; // [nproblems] [rows of cases/<label>, nx, ntask, np]; NULL where the file has none
  CtpgCaseRow *cases;
  CtpgRunRow *runs; // row numbers in a damaged row (problem, estimator, case_index, row) that lead nowhere are -1
  PetscBool *case_done, *run_done; // committed, with the right sum, and of a start that is what it was
  PetscReal *sketch;               // [nruns, 16]
  PetscInt torn;                   // committed rows whose sum is wrong
  PetscInt misread;                // rows whose identity has changed: key, seed, start, ..; pending or not
  char damaged[256];               // first dataset of what is fixed at creation that has changed; "" none
  PetscBool writable;              // rows can be put into it as it is: nothing of the layout is damaged or compressed
  char *path;
} * CtpgContents;
PetscErrorCode ContentsRead(const char *path, CtpgContents *contents);
// Bytes of rows that are held at a time where not all are kept; tests make it small.
extern size_t ContentsAtOnce;
// For files that are larger than memory: rows of runs are handed over a few thousand at a time, all of them as often as
// asked for, and not kept. The functions return 0, or -1 after StoreFail (hdf5.h).
typedef struct {
  void *context;
  int (*begin)(void *context, CtpgContents contents); // everything but runs is known
  // rows [n] and whether they are done, as in ContentsRead; those of later passes are not verified once more.
  int (*visit)(void *context, PetscInt n, const CtpgRunRow *rows, const PetscBool *done);
  int (*end)(void *context); // of a pass; 1: once more
} ContentsVisitor;
// As ContentsRead, without runs and sketch (NULL).
PetscErrorCode ContentsVisit(const char *path, const ContentsVisitor *visitor, CtpgContents *contents);
// The same of the schema before, too, whose rows alone have checksums; the rest is taken as it is, and marked so.
PetscErrorCode ContentsReadOld(const char *path, CtpgContents *contents);
// For whom damage of what is fixed (labels, options, scales) is an error: whoever copies it, or computes from it.
PetscErrorCode ContentsRefuseDamaged(CtpgContents contents);
PetscErrorCode ContentsDestroy(CtpgContents *contents);
// Reference gradient of a finished case, to be read: gx0 [nx], gtheta [np].
typedef struct {
  PetscInt c;
  PetscReal *gx0, *gtheta;
} ContentsGradient;
PetscErrorCode ContentsReadGradients(CtpgContents contents, PetscInt n, const ContentsGradient *wanted);

#endif
