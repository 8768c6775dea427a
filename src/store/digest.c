// digest.c -- the science columns of finished rows: serialised, sorted by key, hashed
//
// Numbers go in as their little-endian bytes, every NaN as one pattern, so that neither the order of rows nor the rank
// that computed one can be seen.

#define _GNU_SOURCE // qsort_r
#include "store/digest.h"
#include "store/rows.h"
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PetscBool ContentsSameScience(const CtpgRunRow *a, const CtpgRunRow *b) {
  unsigned char first[sizeof *a], second[sizeof *b];
  const size_t n = StoreRowScience(&StoreRunLayout, a, first);
  StoreRowScience(&StoreRunLayout, b, second);
  return memcmp(first, second, n) ? PETSC_FALSE : PETSC_TRUE;
}

PetscBool ContentsSameCase(const CtpgCaseRow *a, const CtpgCaseRow *b) {
  unsigned char first[sizeof *a], second[sizeof *b];
  const size_t n = StoreRowScience(&StoreCaseLayout, a, first);
  StoreRowScience(&StoreCaseLayout, b, second);
  return memcmp(first, second, n) ? PETSC_FALSE : PETSC_TRUE;
}

PetscBool CtpgIsEnvironment(int32_t status) {
  return status == CTPG_TIMEOUT || status == CTPG_INTERRUPTED || status == CTPG_CRASHED ? PETSC_TRUE : PETSC_FALSE;
}

// The key is the first science column; rows of the same key go by their bytes.
static int CompareScience(const void *a, const void *b, void *size) {
  uint64_t first, second;
  memcpy(&first, a, sizeof(first)), memcpy(&second, b, sizeof(second));
  if (first != second) return first < second ? -1 : 1;
  return memcmp(a, b, *(size_t *)size);
}

// Appends the science columns of the done rows, sorted; returns the bytes used.
static size_t Serialise(const StoreLayout *layout, PetscInt n, const void *rows, size_t size, size_t status_offset,
                        const PetscBool *done, unsigned char *bytes, PetscInt *environment) {
  size_t width = StoreRowScience(layout, rows, NULL), used = 0;
  for (PetscInt r = 0; r < n; r++) {
    const char *row = (const char *)rows + (size_t)r * size;
    if (!done[r]) continue;
    if (CtpgIsEnvironment(*(const int32_t *)(row + status_offset)))
      (*environment)++;
    else
      used += StoreRowScience(layout, row, bytes + used);
  }
  qsort_r(bytes, used / width, width, CompareScience, &width);
  return used;
}

static size_t SerialiseAll(CtpgContents contents, unsigned char *bytes, PetscInt *environment) {
  size_t used;
  *environment = 0;
  used = Serialise(&StoreCaseLayout, contents->ncases, contents->cases, sizeof(CtpgCaseRow),
                   offsetof(CtpgCaseRow, status), contents->case_done, bytes, environment);
  return used + Serialise(&StoreRunLayout, contents->nruns, contents->runs, sizeof(CtpgRunRow),
                          offsetof(CtpgRunRow, status), contents->run_done, bytes + used, environment);
}

PetscErrorCode ContentsDigest(CtpgContents contents, char *hex, PetscInt *environment) {
  const size_t most = (size_t)contents->ncases * sizeof(CtpgCaseRow) + (size_t)contents->nruns * sizeof(CtpgRunRow);
  unsigned char *bytes, digest[EVP_MAX_MD_SIZE];
  unsigned int size;
  int done;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(most + 1, &bytes));
  done = EVP_Digest(bytes, SerialiseAll(contents, bytes, environment), digest, &size, EVP_sha256(), NULL);
  PetscCall(PetscFree(bytes));
  PetscCheck(done == 1 && size == 32, PETSC_COMM_SELF, PETSC_ERR_LIB, "OpenSSL has no SHA-256");
  for (unsigned int i = 0; i < size; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
  PetscFunctionReturn(0);
}
