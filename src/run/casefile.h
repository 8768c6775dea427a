// casefile.h -- small HDF5 files that people hand in and take out: case files, and the gradient of one case
#ifndef CTPG_CASEFILE_H
#define CTPG_CASEFILE_H

#include "ctpgbench/base.h"

// One group of a case file as it stands; arrays allocated here, see CaseFileDestroy.
typedef struct {
  PetscInt nx, np, ntask;
  PetscReal *x0, *theta, *task; // task: dataset `goals`, flattened; NULL where there is none
  PetscReal horizon;            // 0: not given
  PetscInt nlayers;             // 0: not given, else layers [nlayers + 1] and activations
  PetscInt *layers;
  char activations[1024]; // "tanh,linear"
} CtpgCaseFile;

// An error names the file, the group and what is missing or malformed.
PetscErrorCode CaseFileRead(const char *path, const char *name, CtpgCaseFile *file);
PetscErrorCode CaseFileDestroy(CtpgCaseFile *file);

// What `ctpgbench gradient -out` leaves: datasets and attributes of the root.
typedef struct {
  PetscInt nx, np;
  const PetscReal *x0, *theta, *gx0, *gtheta;
  PetscReal loss;
  const char *problem, *estimator, *knob, *name, *status, *reason;
  PetscReal accuracy, horizon, wall;
  CtpgCounts counts;
  int64_t nfe;
} CtpgGradientFile;

// Dataset grad_theta of a file, which must hold np finite numbers, into gtheta [np]; an error says what is wrong.
PetscErrorCode GradientFileRead(const char *path, PetscInt np, PetscReal *gtheta);
// An error where GradientFileWrite would fail, or would replace a file that is no gradient file.
PetscErrorCode GradientFileCheck(const char *path);
// Written beside and renamed: a failure leaves what was at path.
PetscErrorCode GradientFileWrite(const char *path, const CtpgGradientFile *file);

#endif
