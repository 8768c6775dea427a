// sum.c -- SHA-256 by OpenSSL, cut to 128 bits
//
// The algorithm is fetched once: with OpenSSL 3 that costs as much as hashing a row. One context serves all short sums.

#include "store/sum.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct StoreHash_s {
  EVP_MD_CTX *context, *copy; // copy: for values before the end
};

static const EVP_MD *Algorithm(void) {
  static EVP_MD *fetched = NULL;
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
  if (!fetched) fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
#endif
  return fetched ? fetched : EVP_sha256();
}

void StoreHashCreate(StoreHash *hash) {
  *hash = calloc(1, sizeof **hash);
  if (!*hash) return;
  (*hash)->context = EVP_MD_CTX_new(), (*hash)->copy = EVP_MD_CTX_new();
  StoreHashReset(*hash);
}

void StoreHashDestroy(StoreHash *hash) {
  if (!*hash) return;
  EVP_MD_CTX_free((*hash)->context), EVP_MD_CTX_free((*hash)->copy);
  free(*hash);
  *hash = NULL;
}

void StoreHashReset(StoreHash hash) {
  if (hash && hash->context) EVP_DigestInit_ex(hash->context, Algorithm(), NULL);
}

void StoreHashAdd(StoreHash hash, const void *bytes, size_t n) {
  if (hash && hash->context && n) EVP_DigestUpdate(hash->context, bytes, n);
}

StoreSum StoreHashValue(StoreHash hash) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {0};
  StoreSum sum;
  if (hash && hash->copy && EVP_MD_CTX_copy_ex(hash->copy, hash->context)) EVP_DigestFinal_ex(hash->copy, digest, NULL);
  memcpy(&sum, digest, sizeof sum);
  return sum;
}

StoreSum StoreSumOf(const void *bytes, size_t n) {
  static StoreHash hash = NULL; // kept to the end of the program
  if (!hash) StoreHashCreate(&hash);
  StoreHashReset(hash);
  StoreHashAdd(hash, bytes, n);
  return StoreHashValue(hash);
}

PetscBool StoreSumsAgree(const StoreSum *a, const StoreSum *b) {
  return a->word[0] == b->word[0] && a->word[1] == b->word[1] ? PETSC_TRUE : PETSC_FALSE;
}
