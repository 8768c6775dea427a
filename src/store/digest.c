// digest.c -- the science columns of finished rows: serialised, sorted by key, hashed
//
// Memory does not grow with the runs: where they are more than can be sorted at once, part after part of their keys is.
// Numbers go in as their little-endian bytes, every NaN as one pattern, so that neither the order of rows nor the rank
// that computed one can be seen.

#define _GNU_SOURCE // qsort_r
#include "store/digest.h"
#include "store/hdf5.h"
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
  if (used) qsort_r(bytes, used / width, width, CompareScience, &width);
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

// ---- runs: in passes over all of them, each of which takes those whose keys lie in its part of all possible keys

typedef struct {
  EVP_MD_CTX *sum;
  PetscBool works; // all that OpenSSL was asked for
  uint64_t pass, passes;
  size_t width, used, room;
  unsigned char *bytes; // [room] those of this pass
  PetscInt n;           // runs of the file
  ContentsSummary *summary;
} Digest;

static void Add(Digest *d, const void *bytes, size_t n) {
  if (EVP_DigestUpdate(d->sum, bytes, n) != 1) d->works = PETSC_FALSE;
}

static int BeginDigest(void *digest, CtpgContents contents) {
  const size_t most = (size_t)contents->ncases * (sizeof(CtpgCaseRow) + START_SIZE) + 1;
  unsigned char *cases = malloc(most);
  CtpgRunRow blank = {0};
  Digest *d = digest;
  if (!cases) return StoreFail("out of memory");
  d->n = contents->nruns;
  d->width = StoreRowScience(&StoreRunLayout, &blank, NULL);
  d->passes = 1 + (size_t)d->n * d->width / ContentsAtOnce;
  d->works = d->sum && EVP_DigestInit_ex(d->sum, EVP_sha256(), NULL) == 1 ? PETSC_TRUE : PETSC_FALSE;
  if (d->works) Add(d, cases, SerialiseCases(contents, cases, &d->summary->environment));
  free(cases);
  return d->works ? 0 : StoreFail("OpenSSL has no SHA-256");
}

static PetscBool IsOfPass(const Digest *d, uint64_t key) {
  return d->passes == 1 || key / (UINT64_MAX / d->passes + 1) == d->pass ? PETSC_TRUE : PETSC_FALSE;
}

static int AddRun(Digest *d, const CtpgRunRow *row) {
  if (d->used + d->width > d->room) {
    unsigned char *grown = realloc(d->bytes, d->room = d->room + d->room / 4 + 4096 * d->width);
    if (!grown) return StoreFail("out of memory");
    d->bytes = grown;
  }
  d->used += StoreRowScience(&StoreRunLayout, row, d->bytes + d->used);
  return 0;
}

static int VisitRuns(void *digest, PetscInt n, const CtpgRunRow *rows, const PetscBool *done) {
  Digest *d = digest;
  for (PetscInt r = 0; r < n; r++) {
    if (!done[r]) continue;
    const PetscBool environment = CtpgIsEnvironment(rows[r].status);
    if (!d->pass) {
      d->summary->done++;
      d->summary->failed += rows[r].status != CTPG_OK;
      d->summary->environment += environment;
    }
    if (!environment && IsOfPass(d, rows[r].run_key)) STORE_TRY(AddRun(d, rows + r));
  }
  return 0;
}

static int EndPass(void *digest) {
  Digest *d = digest;
  Sort(d->bytes, d->used, d->width);
  Add(d, d->bytes, d->used);
  d->used = 0;
  return ++d->pass < d->passes ? 1 : 0;
}

// At the end of a job, that of a file with runs to be done is not asked for.
static int EndPassOfJob(void *digest) {
  const Digest *d = digest;
  const int more = EndPass(digest);
  return d->summary->done == d->n ? more : 0;
}

static PetscErrorCode EndDigest(Digest *d, char *hex) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PetscFunctionBeginUser;
  if (d->works && EVP_DigestFinal_ex(d->sum, digest, &size) != 1) d->works = PETSC_FALSE;
  EVP_MD_CTX_free(d->sum);
  free(d->bytes);
  PetscCheck(d->works && size == 32, PETSC_COMM_SELF, PETSC_ERR_LIB, "OpenSSL has no SHA-256");
  for (unsigned int i = 0; i < size; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsDigest(CtpgContents contents, char *hex, PetscInt *environment) {
  ContentsSummary summary = {0};
  Digest d = {.sum = EVP_MD_CTX_new(), .summary = &summary};
  int failed, more = 1;
  PetscFunctionBeginUser;
  StoreBegin();
  failed = BeginDigest(&d, contents);
  while (!failed && more) {
    failed = VisitRuns(&d, contents->nruns, contents->runs, contents->run_done);
    more = EndPass(&d);
  }
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_LIB, "%s", StoreReason());
  PetscCall(EndDigest(&d, hex));
  *environment = summary.environment;
  PetscFunctionReturn(0);
}

PetscErrorCode ContentsSummarise(const char *path, ContentsSummary *summary) {
  Digest d = {.sum = EVP_MD_CTX_new(), .summary = summary};
  const ContentsVisitor visitor = {&d, BeginDigest, VisitRuns, EndPassOfJob};
  CtpgContents contents;

  PetscFunctionBeginUser;
  *summary = (ContentsSummary){0};
  PetscCall(ContentsVisit(path, &visitor, &contents));
  summary->n = contents->nruns, summary->cases = contents->ncases, summary->torn = contents->torn;
  for (PetscInt c = 0; c < contents->ncases; c++)
    summary->without += contents->case_done[c] && contents->cases[c].status != CTPG_OK ? 1 : 0;
  PetscCall(EndDigest(&d, summary->digest));
  if (summary->done < summary->n) summary->digest[0] = 0;
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}
