// sum.h -- checksums of what a results file holds: the first 128 bits of SHA-256
//
// Long enough that no damage goes by chance, and an algorithm that every language has. In the file a sum is two 64-bit
// numbers: bytes 0 to 7 and 8 to 15 of the SHA-256, little-endian.
#ifndef CTPG_STORE_SUM_H
#define CTPG_STORE_SUM_H

#include <petscsys.h>
#include <stdint.h>

typedef struct {
  uint64_t word[2];
} StoreSum;

// A sum that grows. Where OpenSSL fails (no memory), every value is wrong and nothing is vouched for.
typedef struct StoreHash_s *StoreHash;
void StoreHashCreate(StoreHash *hash);
void StoreHashDestroy(StoreHash *hash);
void StoreHashReset(StoreHash hash);
void StoreHashAdd(StoreHash hash, const void *bytes, size_t n);
StoreSum StoreHashValue(StoreHash hash); // of all that was added; more may follow

StoreSum StoreSumOf(const void *bytes, size_t n);
PetscBool StoreSumsAgree(const StoreSum *a, const StoreSum *b);

#endif
