// arrays.h -- all arrays of an open results file that are written after its creation, and a row put into them
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_ARRAYS_H
#define CTPG_STORE_ARRAYS_H

#include "store/hdf5.h"
#include "store/schema.h"

// Everything of the file that is written after its creation.
typedef struct {
  PetscInt nproblems;
  StoreArray sessions, cases, case_commit, runs, run_commit, sketch;
  StoreArray *grad_x0, *grad_theta; // [nproblems]
  StoreArray *gradient;             // [nproblems], NULL without -save_gradients
  int64_t *gradient_row;            // [runs] row in its gradient array, -1 none; NULL likewise
  hsize_t widest;                   // columns of the widest array of reals
  double *nan;                      // [widest]
} StoreArrays;

int StoreArraysOpen(hid_t file, PetscInt nproblems, char (*label)[CTPG_LABEL_SIZE], StoreArrays *arrays);
void StoreArraysClose(StoreArrays *arrays);
// Payload, then commit. A NULL array is stored as NaN.
int StoreArraysPutRun(StoreArrays *arrays, PetscInt r, const CtpgRunRow *row, const PetscReal *sketch,
                      const PetscReal *gtheta);
int StoreArraysPutCase(StoreArrays *arrays, PetscInt c, const CtpgCaseRow *row, const PetscReal *gx0,
                       const PetscReal *gtheta);

#endif
