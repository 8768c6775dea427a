// create.h -- the complete skeleton of a results file, and what other files have finished already
#ifndef CTPG_STORE_CREATE_H
#define CTPG_STORE_CREATE_H

#include "store/contents.h"
#include "store/hdf5.h"

// Where a case starts; NULL where it has none, or where it is drawn from Philox (theta).
typedef struct {
  const PetscReal *x0, *task, *theta;
} StoreStart;

// The rows of a file as they are before anything is done. What is pointed to may change with the next call.
typedef struct {
  void (*get_case)(const void *context, PetscInt c, CtpgCaseRow *row); // identity columns filled, status pending
  void (*get_run)(const void *context, PetscInt r, CtpgRunRow *row);   // likewise
  PetscErrorCode (*get_start)(void *context, PetscInt c, StoreStart *start);
  void *context;
} StoreRows;

// Those that lie in memory, in order: [ncases], [nruns].
typedef struct {
  const CtpgCaseRow *cases;
  const CtpgRunRow *runs;
  const PetscReal *const *x0, *const *task, *const *theta;
} StoreRowLists;
StoreRows StoreRowsFrom(StoreRowLists *lists); // borrowed

// What a file is made for.
typedef struct {
  const char *kind;         // "sweep", "train"
  uint64_t plan_hash;       // FNV-1a64 over the sorted run keys
  const char *plan_options; // resolved options of the command
  const char *isa;          // instruction set and BLAS class that created the file; NULL: unknown
  PetscInt nproblems, nestimators, ncases, nruns;
  const CtpgLabelInfo *problems, *estimators;
  StoreRows rows;
  PetscBool save_gradients;
  const char *shard; // "i/n", the part of a plan that this is; NULL: the whole
  // Files of another kind: adds its groups to the skeleton (an HDF5 file; -1 after StoreFail). NULL: nothing.
  int (*extend)(hid_t file, void *context);
  void *extend_context;
  const char *unverified; // why what it holds is not vouched for; NULL: it is
} CtpgStorePlan;

// Rank 0 only. The skeleton of `plan` at path (via path.new, fsync and rename); rows in `old` (NULL: none), the
// contents of another file (which may lie at path), are taken over by key, with its sessions. An error names what
// failed ("No space left on device") and removes path.new; whatever was at path is untouched then.
PetscErrorCode StoreCreate(const char *path, const CtpgStorePlan *plan, CtpgContents old);
// The same with rows from n files. Where several have finished a row, one that did not end by its environment wins,
// then the first. Their sessions follow one another.
PetscErrorCode StoreCreateFrom(const char *path, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old);

#endif
