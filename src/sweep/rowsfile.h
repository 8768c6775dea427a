// rowsfile.h -- rows that another program measured, as a file of comma-separated values has them
//
// The first line names the columns, in any order: problem, estimator, seed, accuracy, nfe, error and seconds are
// needed; status, wall, compile, batch and knob may be there. What they mean: docs/import.md.
#ifndef CTPG_ROWSFILE_H
#define CTPG_ROWSFILE_H

#include "ctpgbench/estimator.h"

typedef struct {
  char problem[64], estimator[64];
  PetscInt line;                                     // of the file, from 1
  PetscInt seed, nfe, batch, knob, status;           // knob: CtpgKnob; status: CtpgStatus
  PetscReal accuracy, error, seconds, wall, compile; // NaN where nothing was given
} RowsFileRow;

// All rows, allocated here (PetscFree). An error names the file and the line. Labels are texts of any kind still.
PetscErrorCode RowsFileRead(const char *path, PetscInt *n, RowsFileRow **rows);

#endif
