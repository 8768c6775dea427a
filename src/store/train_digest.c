// train_digest.c -- the science of finished runs: row, history, tests, policies, paths, audits, visited states
//
// Runs go in sorted by key, numbers as their little-endian bytes, every NaN as one pattern.

#include "store/train_digest.h"
#include "base/keys.h"
#include "store/digest.h"
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void DigestReals(EVP_MD_CTX *digest, size_t n, double *values) {
  static const uint64_t one_nan = UINT64_C(0x7ff8000000000000);
  for (size_t i = 0; i < n; i++)
    if (isnan(values[i])) memcpy(values + i, &one_nan, 8);
  EVP_DigestUpdate(digest, values, n * sizeof *values);
}

// The first n entries, or vectors, of one row.
static int DigestArray(EVP_MD_CTX *digest, const TrainArray *array, PetscInt row, PetscInt n) {
  const size_t width = (size_t)TrainVectorLength(array);
  double *values = malloc((size_t)n * width * sizeof *values + 1);
  int failed = values ? 0 : StoreFail("out of memory");
  if (!failed)
    failed = array->dimensions > 2 ? TrainMoveVectors(array, row, 0, n, values, PETSC_FALSE)
                                   : TrainMoveInRow(array, row, 0, n, values, PETSC_FALSE);
  if (!failed) DigestReals(digest, (size_t)n * width, values);
  free(values);
  return failed;
}

static int DigestHistory(EVP_MD_CTX *digest, const TrainPairArrays *a, PetscInt row, PetscInt n) {
  int failed = 0;
  int64_t *counts = malloc((size_t)n * sizeof *counts + 1); // I32 columns fill half of it
  if (!counts) return StoreFail("out of memory");
  for (int c = 0; !failed && c < TRAIN_NHISTORY; c++) {
    if (!TrainHistoryColumns[c].digest || a->history[c].set <= 0) continue;
    if (TrainHistoryColumns[c].kind == STORE_F64)
      failed = DigestArray(digest, &a->history[c], row, n);
    else {
      failed = TrainMoveInRow(&a->history[c], row, 0, n, counts, PETSC_FALSE);
      if (!failed) EVP_DigestUpdate(digest, counts, (size_t)n * TrainHistoryColumns[c].size);
    }
  }
  free(counts);
  return failed;
}

// Iterations whose history was written: the one in which a run failed is among them.
static PetscInt HistoryLength(const TrainRow *row, const TrainShape *shape) {
  const int64_t n = row->iterations_done + (row->status == CTPG_OK ? 0 : 1);
  return (PetscInt)PetscMax(0, PetscMin(n, shape->iterations));
}

static int DigestRun(EVP_MD_CTX *digest, TrainContents c, const TrainPairArrays *pairs, PetscInt run) {
  const PetscInt pair = TrainFindPair(c->npairs, c->shapes, run), row = run - c->shapes[pair].first_run;
  const TrainShape *shape = c->shapes + pair;
  const TrainPairArrays *a = pairs + pair;
  unsigned char science[sizeof(TrainRow)];
  EVP_DigestUpdate(digest, science, StoreRowScience(&TrainRowLayout, c->rows + run, science));
  STORE_TRY(DigestHistory(digest, a, row, HistoryLength(c->rows + run, shape)));
  if (shape->ntests) STORE_TRY(DigestArray(digest, &a->test_loss, row, shape->ntests));
  STORE_TRY(DigestArray(digest, &a->theta, row, shape->nsnapshots));
  if (shape->path_points) {
    STORE_TRY(DigestArray(digest, &a->path, row, shape->nsnapshots));
    STORE_TRY(DigestArray(digest, &a->path_control, row, shape->nsnapshots));
  }
  if (shape->naudits) {
    STORE_TRY(DigestArray(digest, &a->audit_error, row, shape->naudits));
    STORE_TRY(DigestArray(digest, &a->audit_stderr, row, shape->naudits));
    STORE_TRY(DigestArray(digest, &a->audit_norm, row, shape->naudits));
  }
  return shape->visited ? DigestArray(digest, &a->visited, row, shape->visited) : 0;
}
typedef struct {
  EVP_MD_CTX *digest;
  PetscInt environment; // runs that are not in it
} DigestWork;

static int DigestRuns(TrainContents c, const TrainPairArrays *pairs, void *context) {
  DigestWork *work = context;
  KeyEntry *sorted = malloc(((size_t)c->nruns + 1) * sizeof *sorted);
  PetscInt n = 0;
  int failed = sorted ? 0 : StoreFail("out of memory");
  for (PetscInt r = 0; !failed && r < c->nruns; r++) {
    if (!c->done[r]) continue;
    if (CtpgIsEnvironment(c->rows[r].status))
      work->environment++;
    else
      sorted[n++] = (KeyEntry){c->rows[r].run_key, r};
  }
  if (!failed) KeysSort(n, sorted);
  for (PetscInt i = 0; !failed && i < n; i++) failed = DigestRun(work->digest, c, pairs, sorted[i].number);
  free(sorted);
  return failed;
}

PetscErrorCode TrainContentsDigest(TrainContents c, char *hex, PetscInt *environment) {
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  DigestWork work = {digest, 0};
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  PetscFunctionBeginUser;
  PetscCheck(digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL), PETSC_COMM_SELF, PETSC_ERR_LIB,
             "OpenSSL has no SHA-256");
  StoreBegin();
  const int failed = TrainWithPairs(c, DigestRuns, &work);
  *environment = work.environment;
  EVP_DigestFinal_ex(digest, bytes, &size);
  EVP_MD_CTX_free(digest);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "Cannot read %s: %s", c->base->path, StoreReason());
  for (unsigned int i = 0; i < size; i++) sprintf(hex + 2 * i, "%02x", bytes[i]);
  PetscFunctionReturn(0);
}
