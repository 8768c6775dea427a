// digest.c -- the science columns of finished rows: serialised, sorted by key, hashed
//
// Numbers go in as their little-endian bytes, every NaN as one pattern, so that neither the order of rows nor the rank
// that computed one can be seen.

#define _GNU_SOURCE // qsort_r
#include "store/digest.h"
#include "store/rows.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_SIZE 32 // bytes of SHA-256

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

static void PrintValue(const StoreColumn *column, const void *row, char *text, size_t size) {
  const void *at = (const char *)row + column->offset;
  if (column->kind == STORE_F64)
    snprintf(text, size, "%.17g", *(const double *)at);
  else if (column->kind == STORE_I32)
    snprintf(text, size, "%d", (int)*(const int32_t *)at);
  else if (column->kind == STORE_I64)
    snprintf(text, size, "%lld", (long long)*(const int64_t *)at);
  else
    snprintf(text, size, "%016llx", (unsigned long long)*(const uint64_t *)at);
}

// Science columns are numbers of these four kinds.
void ContentsDifference(const StoreLayout *layout, const void *a, const void *b, char *text, size_t size) {
  char first[32], second[32];
  text[0] = 0;
  for (int c = 0; c < layout->n && !text[0]; c++) {
    const StoreColumn *column = layout->column + c;
    if (!column->digest) continue;
    PrintValue(column, a, first, sizeof first);
    PrintValue(column, b, second, sizeof second);
    if (strcmp(first, second)) snprintf(text, size, "%s is %s and %s", column->name, first, second);
  }
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

// SHA-256 of what a case starts from: horizon, x0, task and, where it came from a file, theta.
static void DigestStart(CtpgContents contents, const CtpgCaseRow *row, unsigned char *digest) {
  const CtpgLabelInfo *info = contents->problem_info + row->problem;
  PetscReal *const start[] = {contents->x0[row->problem], contents->task[row->problem], contents->theta[row->problem]};
  const PetscInt width[] = {info->nx, info->ntask, info->np};
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  memset(digest, 0, START_SIZE);
  if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) return;
  EVP_DigestUpdate(context, &info->T, sizeof info->T);
  for (int i = 0; i < 3; i++)
    if (start[i])
      EVP_DigestUpdate(context, start[i] + (size_t)row->row * (size_t)width[i], (size_t)width[i] * sizeof *start[i]);
  EVP_DigestFinal_ex(context, digest, NULL);
  EVP_MD_CTX_free(context);
}

static void Sort(unsigned char *bytes, size_t used, size_t width) {
  qsort_r(bytes, used / width, width, CompareScience, &width);
}

// Appends what is science of the cases that are done, sorted; returns the bytes used.
static size_t SerialiseCases(CtpgContents contents, unsigned char *bytes, PetscInt *environment) {
  const size_t width = StoreRowScience(&StoreCaseLayout, contents->cases, NULL);
  size_t used = 0;
  for (PetscInt c = 0; c < contents->ncases; c++) {
    const CtpgCaseRow *row = contents->cases + c;
    if (!contents->case_done[c]) continue;
    if (CtpgIsEnvironment(row->status)) {
      (*environment)++;
      continue;
    }
    used += StoreRowScience(&StoreCaseLayout, row, bytes + used);
    DigestStart(contents, row, bytes + used);
    used += START_SIZE;
  }
  Sort(bytes, used, width + START_SIZE);
  return used;
}

static size_t SerialiseRuns(CtpgContents contents, unsigned char *bytes, PetscInt *environment) {
  size_t used = 0;
  for (PetscInt r = 0; r < contents->nruns; r++) {
    if (!contents->run_done[r]) continue;
    if (CtpgIsEnvironment(contents->runs[r].status))
      (*environment)++;
    else
      used += StoreRowScience(&StoreRunLayout, contents->runs + r, bytes + used);
  }
  Sort(bytes, used, StoreRowScience(&StoreRunLayout, contents->runs, NULL));
  return used;
}

static size_t SerialiseAll(CtpgContents contents, unsigned char *bytes, PetscInt *environment) {
  *environment = 0;
  const size_t used = SerialiseCases(contents, bytes, environment);
  return used + SerialiseRuns(contents, bytes + used, environment);
}

PetscErrorCode ContentsDigest(CtpgContents contents, char *hex, PetscInt *environment) {
  const size_t most =
      (size_t)contents->ncases * (sizeof(CtpgCaseRow) + START_SIZE) + (size_t)contents->nruns * sizeof(CtpgRunRow);
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
