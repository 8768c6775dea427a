// fingerprint.h -- of the arithmetic of this process (which bits it gives) and of its machine (how fast they come)
#ifndef CTPG_FINGERPRINT_H
#define CTPG_FINGERPRINT_H

#include <petscsys.h>

#define FINGERPRINT_SIZE 64

// "libm 0123abcd blas 0123abcd kernels 0123abcd": a small fixed computation through each of them, hashed. Two processes
// with different texts do not give the same bits. Computed once; owned by the function.
PetscErrorCode FingerprintArithmetic(const char **text);
// Does every entry of such texts ("entry x 4,entry", as sessions hold them) equal `begun`, the first of one? If not,
// difference names the parts in which the first other one differs: "libm is 0123abcd there and 4567abcd here".
PetscBool FingerprintAgrees(const char *begun, const char *entries, char *difference, size_t size);
// The first entry of such a list.
void FingerprintFirst(const char *entries, char begun[FINGERPRINT_SIZE]);

// Collective; the same on every rank: "MODEL 3.1e+09 multiply-adds/s", or with several models and rates the list of
// models, each with its lowest and highest rate. The rate is that of dependent chains in one core, per s of CPU time.
PetscErrorCode FingerprintMachines(MPI_Comm comm, const char *model, char *text, size_t size);
// May times taken on these two (such texts) be compared? The same models, rates within a quarter.
PetscBool FingerprintSameMachine(const char *a, const char *b);

#endif
