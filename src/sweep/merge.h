// merge.h -- files of parts of a plan united into one
#ifndef CTPG_SWEEP_MERGE_H
#define CTPG_SWEEP_MERGE_H

#include "ctpgbench/base.h"

// Rank 0. Unites n files of sweeps into a new one at `out`; no file is changed. Cases and runs go by their keys: what
// one file has finished and another has not is taken from the former. Says what is there, what is missing, and the
// digest. Files that disagree on a run, or in what a label means, are refused.
PetscErrorCode SweepMerge(const char *out, int n, const char *const *paths, PetscBool allow_mixed);
// The same of one file of the schema before: its rows are verified, the rest is taken as it is, and the new file says
// so.
PetscErrorCode SweepConvert(const char *out, const char *path);

#endif
