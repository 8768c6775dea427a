// storing.c -- see storing.h

#include "bench/storing.h"
#include "base/system.h"
#include "job/session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS   2000
#define ROUNDS 5

PetscErrorCode BenchTemporaryFile(char *path, size_t size) {
  const char *folder = getenv("TMPDIR");
  PetscFunctionBeginUser;
  snprintf(path, size, "%s/ctpg-bench-XXXXXX", folder && *folder ? folder : "/tmp");
  const int file = mkstemp(path);
  PetscCheck(file >= 0, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN,
             "%s cannot be written; expected a folder for temporary files (TMPDIR)", path);
  close(file);
  PetscFunctionReturn(0);
}

PetscErrorCode BenchStoringOpen(PetscInt n, BenchStoring *s) {
  static const PetscReal start[2];
  static const PetscReal *x0[] = {start}, *none[] = {NULL};
  const CtpgStoreWay way = {.kind = CTPG_STORE_WRITER};
  CtpgSession session;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(s, sizeof *s));
  PetscCall(BenchTemporaryFile(s->path, sizeof s->path));
  PetscCall(SessionDescribe(PETSC_COMM_SELF, &session));
  PetscCall(PetscCalloc1(n, &s->runs));
  for (PetscInt r = 0; r < n; r++) {
    CtpgRunRowClear(s->runs + r);
    s->runs[r].run_key = (uint64_t)r + 1;
  }
  CtpgCaseRowClear(&s->single);
  s->problem = (CtpgLabelInfo){.label = "lqr", .type = "lqr", .nx = 2, .nu = 1, .no = 2, .np = 3, .ncases = 1};
  s->estimator = (CtpgLabelInfo){.label = "ctpg", .type = "ctpg"};
  s->lists = (StoreRowLists){&s->single, s->runs, x0, none, none};
  s->plan = (CtpgStorePlan){.kind = "sweep",
                            .nproblems = 1,
                            .nestimators = 1,
                            .ncases = 1,
                            .nruns = n,
                            .problems = &s->problem,
                            .estimators = &s->estimator,
                            .rows = StoreRowsFrom(&s->lists)};
  PetscCall(StoreCreate(s->path, &s->plan, NULL));
  PetscCall(StoreOpen(PETSC_COMM_SELF, s->path, &s->plan, &session, &way, &s->store));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchStoringPut(BenchStoring *s) {
  CtpgRunRow row = s->runs[s->next];
  PetscFunctionBeginUser;
  row.status = CTPG_OK;
  PetscCall(StorePutRun(s->store, s->next++, &row, NULL, NULL));
  PetscFunctionReturn(0);
}

PetscErrorCode BenchStoringClose(BenchStoring *s) {
  PetscFunctionBeginUser;
  PetscCall(StoreClose(&s->store));
  PetscCall(PetscFree(s->runs));
  unlink(s->path);
  PetscFunctionReturn(0);
}

PetscErrorCode BenchStoringRate(BenchRows *rows) {
  double best = INFINITY;
  PetscFunctionBeginUser;
  for (int round = 0; round < ROUNDS; round++) {
    BenchStoring storing;
    PetscCall(BenchStoringOpen(ROWS, &storing));
    const double start = CtpgThreadSeconds();
    for (PetscInt r = 0; r < ROWS; r++) PetscCall(BenchStoringPut(&storing));
    best = fmin(best, CtpgThreadSeconds() - start);
    PetscCall(BenchStoringClose(&storing));
  }
  PetscCall(BenchAdd(rows, ROWS / best, "rows/s", PETSC_FALSE, "rows of a sweep into its file, one rank"));
  PetscFunctionReturn(0);
}
