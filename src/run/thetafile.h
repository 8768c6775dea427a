// thetafile.h -- policies that travel: parameters from the file of a training, or from any dataset
//
// -theta_file F:/training/<problem>/<estimator>[@iteration]   row of each seed; the last snapshot, or that of `iteration`
// -theta_file F:/path, a dataset, or a group with a dataset `theta`, of [np] (one policy for every seed) or [rows, np]
//   (seed s takes the row that a dataset `seed` beside it names, else row s)
#ifndef CTPG_THETAFILE_H
#define CTPG_THETAFILE_H

#include "ctpgbench/base.h"

typedef struct {
  char *text; // the option's value; NULL: no file
  PetscInt rows, np;
  PetscBool single;   // one policy for every seed
  int64_t *seeds;     // [rows]
  PetscReal *theta;   // [rows, np]
  PetscBool *damaged; // [rows] this policy fails its checksum; NULL: the file has none
} CtpgThetaTable;

// policy: "7-32-32-2 tanh,tanh,linear", with np parameters. Another architecture is an error that names both.
PetscErrorCode ThetaFileRead(const char *text, const char *policy, PetscInt np, CtpgThetaTable *table);
PetscErrorCode ThetaTableDestroy(CtpgThetaTable *table);
// theta [np] of a seed; an error where there is none, or where its training has not come so far.
PetscErrorCode ThetaTableGet(const CtpgThetaTable *table, int64_t seed, PetscReal *theta);

#endif
