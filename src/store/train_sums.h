// train_sums.h -- sums over what a training run has written: a part of it, up to a slot, and all of it, at its end
//
// A run writes its arrays from their beginnings on, each in its own pace: history, snapshots, tests, audits, visited
// states. A slot vouches for all that was written before it: it holds how many entries of each array there are, and
// their sums. The commit of a finished run vouches for its row and for all entries of all its arrays. Functions that
// return int: see hdf5.h.
#ifndef CTPG_TRAIN_SUMS_H
#define CTPG_TRAIN_SUMS_H

#include "store/sum.h"
#include "store/train_arrays.h"

// The arrays of a run in the order in which they are summed; tests and audits entry by entry with all their numbers.
typedef enum {
  TRAIN_SUM_HISTORY,
  TRAIN_SUM_THETA,
  TRAIN_SUM_TEST,
  TRAIN_SUM_PATH,
  TRAIN_SUM_CONTROL,
  TRAIN_SUM_AUDIT,
  TRAIN_SUM_VISITED,
  TRAIN_NSUMS
} TrainSumKind;
_Static_assert((int)TRAIN_NSUMS == (int)TRAIN_NCOUNTS, "slot/count has a column for each");

typedef struct {
  PetscInt run; // -1: none
  StoreHash hash[TRAIN_NSUMS];
  int64_t count[TRAIN_NSUMS]; // entries that were summed
} TrainSums;

int TrainSumsCreate(TrainSums *sums);
void TrainSumsDestroy(TrainSums *sums);
void TrainSumsBegin(TrainSums *sums, PetscInt run); // nothing was written yet
// Entries first .. first + n - 1 of `size` bytes each. Entries that were summed before (a run that goes on from a slot
// makes some again) are passed over.
void TrainSumsAdd(TrainSums *sums, TrainSumKind kind, PetscInt first, PetscInt n, const void *entries, size_t size);
// Of rows of the history: the columns that the pair has.
void TrainSumsAddHistory(TrainSums *sums, PetscBool contract, PetscInt first, PetscInt n, const TrainHistory *rows);
// Of snapshot k: the policy and the sum that vouches for it by itself.
int TrainSumsAddTheta(TrainSums *sums, PetscInt k, PetscInt np, const PetscReal *theta, const StoreSum *sum);
// The same for what the file holds of row `row`, count[kind] entries of each array.
int TrainSumsRead(TrainSums *sums, const TrainPairArrays *a, PetscInt row, const int64_t *count);
StoreSum TrainSumsValue(TrainSums *sums); // of all counts and sums

// As many entries as the arrays of this shape have.
void TrainSumsMost(const TrainShape *shape, int64_t *count);

// What a commit holds: the sum of the packed row and of all that the arrays of the file hold in row `row`.
int TrainRunSum(const TrainPairArrays *a, const TrainShape *shape, PetscInt row, const unsigned char *packed,
                StoreSum *sum);
// Of a policy after `iteration` updates.
StoreSum TrainThetaSum(int64_t iteration, PetscInt np, const PetscReal *theta);

#endif
