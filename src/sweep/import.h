// import.h -- rows that another program measured, put into a results file of their own
#ifndef CTPG_SWEEP_IMPORT_H
#define CTPG_SWEEP_IMPORT_H

#include "run/instance.h"
#include "sweep/rowsfile.h"

// The type of every estimator that is imported, and its language: whoever reads the file knows by it what was not
// measured by this program.
#define IMPORT_TYPE "imported"

typedef struct {
  const char *path, *out;  // of the rows, and of the results file, which must not exist
  const char *source;      // what measured them, kept in the file; "" nothing is said
  const char *options;     // resolved options of the command
  PetscBool measured_here; // their times may be compared with those of this machine
  uint64_t experiment;
  PetscInt nrows, nproblems;
  const RowsFileRow *rows;     // [nrows]
  const CtpgProblem *problems; // [nproblems]
} ImportRequest;

// Are all estimators of the rows labels of their own: usable, of no type of this program, apart from these labels of
// problems? An error names file and line.
PetscErrorCode ImportCheckLabels(const char *path, PetscInt n, const RowsFileRow *rows, PetscInt nproblems,
                                 const CtpgLabel *problems);
// One rank. Computes the reference gradient of each case that the rows name, then writes the file and says what is in
// it. *stopped: a signal came before the file was begun.
PetscErrorCode SweepImport(const ImportRequest *request, PetscBool *stopped);

#endif
