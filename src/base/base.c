// base.c -- names of statuses and purposes, sums of counts, FNV-1a, and a little arithmetic

#include "ctpgbench/base.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>

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

PetscReal CtpgNorm(PetscInt n, const PetscReal *v) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += v[i] * v[i];
  return sqrt(sum);
}

PetscBool CtpgIsNoFile(const char *path) {
  struct stat info;
  return !stat(path, &info) && !S_ISREG(info.st_mode) ? PETSC_TRUE : PETSC_FALSE;
}
