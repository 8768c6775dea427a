// base.c -- names of statuses and purposes, sums of counts, FNV-1a, and a little arithmetic

#include "ctpgbench/base.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define NAME(name, word)         word,
#define NAME_OF_WORD(name, word) #word,
static const char *const STATUS_NAMES[] = {CTPG_STATUSES(NAME)};
static const char *const PURPOSE_NAMES[] = {CTPG_PURPOSES(NAME_OF_WORD)};

const char *CtpgStatusName(CtpgStatus status) {
  return (unsigned)status < CTPG_NUM_STATUSES ? STATUS_NAMES[status] : "pending";
}

const char *CtpgPurposeName(CtpgPurpose purpose) {
  return (unsigned)purpose < CTPG_NUM_PURPOSES ? PURPOSE_NAMES[purpose] : "unknown";
}

void CtpgCountsAdd(CtpgCounts *a, const CtpgCounts *b) {
#define ADD(kind) a->kind += b->kind;
  CTPG_COUNTS(ADD)
#undef ADD
}

// Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm" (draft-eastlake-fnv), 64-bit FNV-1a
uint64_t CtpgHash(uint64_t hash, const void *bytes, size_t n) {
  const unsigned char *byte = bytes;
  for (size_t i = 0; i < n; i++) hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
  return hash;
}

uint64_t CtpgHashString(uint64_t hash, const char *text) {
  return CtpgHash(hash, text, strlen(text));
}

// Below it squares may have been lost: the sum is made again with the largest entry as unit.
#define SMALLEST_SQUARE 1e-280

// ||a - b||, b NULL: 0.
static PetscReal SmallLength(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0, largest = 0;
  for (PetscInt i = 0; i < n; i++) largest = fmax(largest, fabs(a[i] - (b ? b[i] : 0)));
  for (PetscInt i = 0; i < n && largest > 0; i++) {
    const PetscReal entry = (a[i] - (b ? b[i] : 0)) / largest;
    sum += entry * entry;
  }
  return largest * sqrt(sum);
}

PetscReal CtpgNorm(PetscInt n, const PetscReal *v) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += v[i] * v[i];
  return sum < SMALLEST_SQUARE ? SmallLength(n, v, NULL) : sqrt(sum);
}

PetscReal CtpgDistance(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum < SMALLEST_SQUARE ? SmallLength(n, a, b) : sqrt(sum);
}

PetscReal CtpgRatio(PetscReal distance, PetscReal size) {
  return size > 0 || isnan(size) ? distance / size : distance > 0 ? INFINITY : distance;
}

static int CompareDoubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double CtpgMedian(size_t n, double *values) {
  qsort(values, n, sizeof *values, CompareDoubles);
  return n ? (values[(n - 1) / 2] + values[n / 2]) / 2 : NAN;
}

PetscBool CtpgIsNoFile(const char *path) {
  struct stat info;
  return !stat(path, &info) && !S_ISREG(info.st_mode) ? PETSC_TRUE : PETSC_FALSE;
}

double CtpgSeconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
