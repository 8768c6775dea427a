// arrays.h -- all arrays of an open results file that are written after its creation, and a row put into them
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_ARRAYS_H
#define CTPG_STORE_ARRAYS_H

#include "store/hdf5.h"
#include "store/schema.h"
#include "store/sum.h"

// Everything of the file that is written after its creation.
typedef struct {
  int32_t schema;
  PetscInt nproblems;
  StoreArray sessions, cases, case_commit, case_identity, runs, run_commit, run_identity, sketch;
  StoreArray *x0, *task, *theta;    // [nproblems] fixed at creation; closed (set = 0) where the file has none
  StoreArray *grad_x0, *grad_theta; // [nproblems]
  StoreArray *gradient;             // [nproblems], NULL without -save_gradients
  int64_t *gradient_row;            // [runs] row in its gradient array, -1 none; NULL likewise
  hsize_t widest;                   // columns of the widest array of reals
  double *nan;                      // [widest]
  StoreHash hash;                   // of the row that is put
} StoreArrays;

// schema: CTPG_SCHEMA, or CTPG_SCHEMA_OLD to read alone: without identities, columns that are new are not touched.
int StoreArraysOpen(hid_t file, int32_t schema, PetscInt nproblems, char (*label)[CTPG_LABEL_SIZE],
                    StoreArrays *arrays);
void StoreArraysClose(StoreArrays *arrays);
// Payload, then commit. A NULL array is stored as NaN.
int StoreArraysPutRun(StoreArrays *arrays, PetscInt r, const CtpgRunRow *row, const PetscReal *sketch,
                      const PetscReal *gtheta);
int StoreArraysPutCase(StoreArrays *arrays, PetscInt c, const CtpgCaseRow *row, const PetscReal *gx0,
                       const PetscReal *gtheta);
// Rows first .. first + n - 1 of runs/table; columns that the file does not have are blank.
int StoreArraysReadRuns(StoreArrays *arrays, hsize_t first, hsize_t n, CtpgRunRow *rows);
// Sums of the identity of a row (see schema.h). A NULL array counts as NaN.
StoreSum StoreRunIdentity(const CtpgRunRow *row);
StoreSum StoreCaseIdentity(StoreArrays *arrays, const CtpgCaseRow *row, const PetscReal *x0, const PetscReal *task,
                           const PetscReal *theta);
// The sum of a session's row before its two last columns.
StoreSum StoreSessionSum(const CtpgSession *session);
int StoreSessionWrite(StoreArray *sessions, int row, CtpgSession *session); // sets its sum

#endif
