// fingerprint.h -- of the arithmetic of this process (which bits it gives) and of its machine (how fast they come)
#ifndef CTPG_FINGERPRINT_H
#define CTPG_FINGERPRINT_H

#include "store/schema.h"

#define FINGERPRINT_SIZE 64

// "libm 0123abcd blas 0123abcd kernels 0123abcd draws 0123abcd": a small fixed computation through each, hashed.
// Kernels and draws take part in every row; libm and BLAS in those of types that do not do without (CTPG_IS_WITHOUT_*).
// Rows in which no part takes part that differs have the same bits. Computed once; owned by the function.
PetscErrorCode FingerprintArithmetic(const char **text);

// Labels whose rows are meant.
typedef struct {
  PetscInt nproblems, nestimators;
  const CtpgLabelInfo *problems, *estimators;
} FingerprintLabels;

// Entries of such texts ("entry x 4,entry", as sessions hold them) beside `begun`, the first of one: the set of parts
// (CTPG_BITS_*) in which one differs, and that take part in rows of the labels; 0: they may lie in one file. difference
// names them, and a label: "libm is 0123abcd there and 4567abcd here, and lqr calls it".
int FingerprintDifference(const char *begun, const char *entries, const FingerprintLabels *labels, char *difference,
                          size_t size);
// The first entry of such a list.
void FingerprintFirst(const char *entries, char begun[FINGERPRINT_SIZE]);

// Collective; the same on every rank: "MODEL 3.1e+09 multiply-adds/s", or with several models and rates the list of
// models, each with its lowest and highest rate. The rate is that of dependent chains in one core, per s of CPU time.
PetscErrorCode FingerprintMachines(MPI_Comm comm, const char *model, char *text, size_t size);
// May times taken on these two (such texts) be compared? The same models, rates within a quarter.
PetscBool FingerprintSameMachine(const char *a, const char *b);

#endif
