// train_arrays.h -- arrays of a training file, shared by what creates, writes and reads it
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_TRAIN_ARRAYS_H
#define CTPG_TRAIN_ARRAYS_H

#include "store/datasets.h"
#include "store/sum.h"
#include "store/train_schema.h"

enum { TRAIN_PIECE = 4096 }; // iterations moved at a time when reading

typedef struct {
  hid_t set, type; // 0: not in this file
  int dimensions;
  hsize_t size[STORE_DIMENSIONS];
} TrainArray;

// Of training/<problem>/<estimator>.
typedef struct {
  TrainArray history[TRAIN_NHISTORY], theta, theta_checksum, test_loss, test_failures, visited;
  TrainArray path, path_control, audit_error, audit_stderr, audit_norm;
  TrainArray slot_iteration, slot_count, slot_checksum, slot_theta, slot_optimizer, slot_memory;
} TrainPairArrays;

// A dataset of `dimensions` that must have the expected size (NULL: any).
int TrainArrayOpen(hid_t place, const char *name, hid_t type, int dimensions, const hsize_t *expected,
                   TrainArray *array);
void TrainArrayClose(TrainArray *array);
// The block [start, start + count) between the file and contiguous memory, for all its dimensions.
int TrainArrayMove(const TrainArray *array, const hsize_t *start, const hsize_t *count, void *values, PetscBool write);
// `n` entries of [rows, columns] in one row; `n` vectors of [rows, vectors, ..] in one row, and the length of one.
int TrainMoveInRow(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write);
int TrainMoveVectors(const TrainArray *array, PetscInt row, PetscInt first, PetscInt n, void *values, PetscBool write);
hsize_t TrainVectorLength(const TrainArray *array);
int TrainMoveHistory(const TrainPairArrays *a, PetscInt row, PetscInt first, PetscInt n, TrainHistory *rows,
                     PetscBool write);

int TrainTestMove(const TrainPairArrays *a, PetscInt row, PetscInt k, TrainTest *test, PetscBool write);
int TrainAuditMove(const TrainPairArrays *a, PetscInt row, PetscInt k, TrainAudit *audit, PetscBool write);

// All arrays of training/<problem>/<estimator>; those that are new since the schema of the file are left out.
int TrainPairOpen(hid_t file, int32_t schema, const char *problem, const char *estimator, const TrainShape *shape,
                  TrainPairArrays *a);
void TrainPairClose(TrainPairArrays *a);

// The same for all pairs of a layout.
int TrainLayoutOpen(hid_t file, const TrainLayout *layout, TrainPairArrays *pairs);

// Row `run` of training/table; its commit, whose sum is that of row and arrays (train_sums.h); the sum of what it is.
int TrainRowWrite(StoreArray *table, PetscInt run, const TrainRow *row);
int TrainCommitWrite(StoreArray *commits, PetscInt run, int32_t status, const StoreSum *sum);
StoreSum TrainRowIdentity(const TrainRow *row);

#endif
