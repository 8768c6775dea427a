// takeover.c -- rows of a new file: identity of all, and what other files have finished already
//
// Rows go by their keys. Of several files that have finished a row the first is taken, but rather one whose run did not
// end by its environment. Runs are read from their file when they are copied, so that memory does not grow with their
// size. A copied row keeps its numbers and gets the row numbers of the new file.

#include "store/takeover.h"
#include "base/keys.h"
#include "store/arrays.h"
#include "store/digest.h"
#include <stdlib.h>
#include <string.h>

// Those that are taken over, and room for more.
PetscInt StoreCountSessions(PetscInt n, const CtpgContents *old) {
  PetscInt sessions = CTPG_SESSIONS;
  for (PetscInt i = 0; i < n; i++) sessions += old[i]->nsessions;
  return sessions;
}

// What a file has finished, and where it is copied from; a closed one is all zero.
typedef struct {
  CtpgContents old;
  hid_t file;
  StoreArrays arrays;
  KeyEntry *cases, *runs; // rows of the file that are finished
  PetscInt ncases, nruns;
  PetscBool *is_weak; // [runs of the file] the finished run ended by its environment
  int first_session;  // of the new file, to which those of this one go
} Source;

typedef struct {
  const CtpgStorePlan *plan;
  StoreArrays to;
  PetscInt n;
  Source *from;            // [n]
  PetscReal *gx0, *gtheta; // as long as the longest row of any source
} Copy;

#define CHUNK 4096 // runs that are read or written at a time

static int ListRuns(Source *source) {
  const PetscInt nruns = source->old->nruns;
  CtpgRunRow *rows = malloc(CHUNK * sizeof *rows);
  int failed = rows ? 0 : StoreFail("out of memory");
  for (PetscInt first = 0; first < nruns && !failed; first += CHUNK) {
    const PetscInt n = PetscMin(CHUNK, nruns - first);
    failed = StoreArraysReadRuns(&source->arrays, (hsize_t)first, (hsize_t)n, rows);
    for (PetscInt i = 0; i < n && !failed; i++) {
      if (!source->old->run_done[first + i]) continue;
      source->runs[source->nruns++] = (KeyEntry){rows[i].run_key, first + i};
      source->is_weak[first + i] = CtpgIsEnvironment(rows[i].status);
    }
  }
  free(rows);
  return failed;
}

static int ListFinished(Source *source) {
  const CtpgContents old = source->old;
  source->cases = calloc((size_t)old->ncases + 1, sizeof(KeyEntry));
  source->runs = calloc((size_t)old->nruns + 1, sizeof(KeyEntry));
  source->is_weak = calloc((size_t)old->nruns + 1, sizeof(PetscBool));
  if (!source->cases || !source->runs || !source->is_weak) return StoreFail("out of memory");
  for (PetscInt c = 0; c < old->ncases; c++) {
    if (old->case_done[c]) source->cases[source->ncases++] = (KeyEntry){old->cases[c].case_key, c};
  }
  STORE_TRY(ListRuns(source));
  KeysSort(source->ncases, source->cases);
  KeysSort(source->nruns, source->runs);
  return 0;
}

static int OpenSource(Source *source, CtpgContents old) {
  source->old = old;
  source->file = StoreFileOpenSerial(old->path);
  STORE_TRY(source->file);
  STORE_TRY(StoreArraysOpen(source->file, old->schema, old->nproblems, old->problem, &source->arrays));
  return ListFinished(source);
}

static void CloseSource(Source *source) {
  if (!source->old) return;
  StoreArraysClose(&source->arrays);
  if (source->file >= 0) H5Fclose(source->file);
  free(source->cases), free(source->runs), free(source->is_weak);
}

static int CopyCase(Copy *copy, PetscInt c, const CtpgCaseRow *identity, Source *from, PetscInt old_c) {
  const PetscInt p = identity->problem, q = from->old->cases[old_c].problem;
  CtpgCaseRow row = from->old->cases[old_c];
  if (from->arrays.grad_x0[q].width != copy->to.grad_x0[p].width ||
      from->arrays.grad_theta[q].width != copy->to.grad_theta[p].width)
    return StoreFail("%s has the same case with other sizes", from->old->path);
  STORE_TRY(StoreArrayRead(&from->arrays.grad_x0[q], (hsize_t)row.row, 1, copy->gx0));
  STORE_TRY(StoreArrayRead(&from->arrays.grad_theta[q], (hsize_t)row.row, 1, copy->gtheta));
  row.problem = identity->problem, row.row = identity->row, row.session += from->first_session;
  if (from->old->mixed & LabelBits(from->old->problem_info + q)) row.mixed = 1;
  return StoreArraysPutCase(&copy->to, c, &row, copy->gx0, copy->gtheta);
}

// A gradient that the old file did not save stays NaN.
static int CopyRun(Copy *copy, PetscInt r, const CtpgRunRow *identity, Source *from, PetscInt old_r) {
  const int both = from->arrays.gradient && copy->to.gradient;
  PetscReal sketch[CTPG_SKETCH_SIZE];
  CtpgRunRow row;
  STORE_TRY(StoreArraysReadRuns(&from->arrays, (hsize_t)old_r, 1, &row));
  STORE_TRY(StoreArrayRead(&from->arrays.sketch, (hsize_t)old_r, 1, sketch));
  const PetscInt p = identity->problem, q = row.problem;
  const int bits = LabelBits(from->old->problem_info + q) | LabelBits(from->old->estimator_info + row.estimator);
  if (both && from->arrays.gradient[q].width != copy->to.gradient[p].width)
    return StoreFail("%s has the same run with other sizes", from->old->path);
  if (both)
    STORE_TRY(StoreArrayRead(&from->arrays.gradient[q], (hsize_t)from->arrays.gradient_row[old_r], 1, copy->gtheta));
  row.case_index = identity->case_index, row.problem = identity->problem, row.estimator = identity->estimator;
  row.session += from->first_session;
  if (from->old->mixed & bits) row.mixed = 1;
  return StoreArraysPutRun(&copy->to, r, &row, sketch, both ? copy->gtheta : NULL);
}

static int CopySessions(Copy *copy) {
  unsigned char bytes[sizeof(CtpgSession)];
  CtpgSession session;
  int next = 0;
  for (PetscInt i = 0; i < copy->n; i++) {
    Source *from = &copy->from[i];
    from->first_session = next;
    for (PetscInt s = 0; s < from->old->nsessions; s++) {
      memset(bytes, 0, sizeof bytes);
      STORE_TRY(StoreArrayRead(&from->arrays.sessions, (hsize_t)s, 1, bytes));
      StoreRowUnpack(&StoreSessionLayout, bytes, &session);
      STORE_TRY(StoreSessionWrite(&copy->to.sessions, next++, &session));
    }
  }
  return 0;
}

static int WriteCases(Copy *copy) {
  const CtpgStorePlan *plan = copy->plan;
  for (PetscInt c = 0; c < plan->ncases; c++) {
    unsigned char bytes[sizeof(CtpgCaseRow)];
    StoreStart start;
    CtpgCaseRow row;
    plan->rows.get_case(plan->rows.context, c, &row);
    if (plan->rows.get_start(plan->rows.context, c, &start)) return StoreFail("its cases cannot be drawn");
    const StoreSum sum = StoreCaseIdentity(&copy->to, &row, start.x0, start.task, start.theta);
    STORE_TRY(StoreArrayWrite(&copy->to.case_identity, (hsize_t)c, sum.word));
    StoreRowPack(&StoreCaseLayout, &row, bytes);
    STORE_TRY(StoreArrayWrite(&copy->to.cases, (hsize_t)c, bytes));
  }
  return 0;
}

// Runs first .. first + n - 1, through room for a chunk of them.
static int WriteChunk(Copy *copy, PetscInt first, PetscInt n, unsigned char *bytes, StoreSum *sums) {
  const size_t size = StoreRowBytes(&StoreRunLayout);
  for (PetscInt i = 0; i < n; i++) {
    CtpgRunRow row;
    copy->plan->rows.get_run(copy->plan->rows.context, first + i, &row);
    sums[i] = StoreRunIdentity(&row);
    StoreRowPack(&StoreRunLayout, &row, bytes + (size_t)i * size);
  }
  STORE_TRY(StoreArrayWriteRows(&copy->to.run_identity, (hsize_t)first, (hsize_t)n, sums));
  return StoreArrayWriteRows(&copy->to.runs, (hsize_t)first, (hsize_t)n, bytes);
}

static int WriteRuns(Copy *copy) {
  const PetscInt nruns = copy->plan->nruns;
  unsigned char *bytes = malloc(CHUNK * StoreRowBytes(&StoreRunLayout));
  StoreSum *sums = malloc(CHUNK * sizeof *sums);
  int failed = bytes && sums ? 0 : StoreFail("out of memory");
  for (PetscInt first = 0; first < nruns && !failed; first += CHUNK)
    failed = WriteChunk(copy, first, PetscMin(CHUNK, nruns - first), bytes, sums);
  free(bytes), free(sums);
  return failed;
}

// Rows that are pending, and sums of what every row is.
static int WriteIdentities(Copy *copy) {
  STORE_TRY(WriteCases(copy));
  return WriteRuns(copy);
}

// The source that row `key` is taken from, NULL if none has finished it: the first, but rather one that did not end by
// its environment.
static Source *ChooseSource(Copy *copy, PetscBool is_run, uint64_t key, PetscInt *row) {
  Source *chosen = NULL;
  for (PetscInt i = 0; i < copy->n; i++) {
    Source *from = &copy->from[i];
    const PetscInt found = is_run ? KeysFind(from->nruns, from->runs, key) : KeysFind(from->ncases, from->cases, key);
    if (found < 0) continue;
    const PetscBool weak = is_run ? from->is_weak[found] : CtpgIsEnvironment(from->old->cases[found].status);
    if (chosen && weak) continue;
    chosen = from;
    *row = found;
    if (!weak) break;
  }
  return chosen;
}

static int CopyRows(Copy *copy) {
  const CtpgStorePlan *plan = copy->plan;
  PetscInt row = 0;
  for (PetscInt c = 0; copy->n && c < plan->ncases; c++) {
    CtpgCaseRow identity;
    plan->rows.get_case(plan->rows.context, c, &identity);
    Source *from = ChooseSource(copy, PETSC_FALSE, identity.case_key, &row);
    if (from) STORE_TRY(CopyCase(copy, c, &identity, from, row));
  }
  for (PetscInt r = 0; copy->n && r < plan->nruns; r++) {
    CtpgRunRow identity;
    plan->rows.get_run(plan->rows.context, r, &identity);
    Source *from = ChooseSource(copy, PETSC_TRUE, identity.run_key, &row);
    if (from) STORE_TRY(CopyRun(copy, r, &identity, from, row));
  }
  return 0;
}

static int CopyAll(Copy *copy, const CtpgContents *old) {
  hsize_t widest = 1;
  for (PetscInt i = 0; i < copy->n; i++) {
    STORE_TRY(OpenSource(&copy->from[i], old[i]));
    widest = PetscMax(widest, copy->from[i].arrays.widest);
  }
  copy->gx0 = malloc(widest * sizeof(PetscReal)), copy->gtheta = malloc(widest * sizeof(PetscReal));
  if (!copy->gx0 || !copy->gtheta) return StoreFail("out of memory");
  STORE_TRY(CopySessions(copy));
  STORE_TRY(WriteIdentities(copy));
  return CopyRows(copy);
}

int StoreTakeOver(hid_t file, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  Copy copy = {.plan = plan, .n = n, .from = calloc((size_t)n + 1, sizeof(Source))};
  char(*label)[CTPG_LABEL_SIZE] = calloc((size_t)plan->nproblems + 1, CTPG_LABEL_SIZE);
  int failed = label && copy.from ? 0 : StoreFail("out of memory");
  for (PetscInt p = 0; !failed && p < plan->nproblems; p++)
    StoreTextCopy(label[p], plan->problems[p].label, CTPG_LABEL_SIZE);
  if (!failed) failed = StoreArraysOpen(file, CTPG_SCHEMA, plan->nproblems, label, &copy.to);
  if (!failed) failed = CopyAll(&copy, old);
  for (PetscInt i = 0; copy.from && i < n; i++) CloseSource(&copy.from[i]);
  StoreArraysClose(&copy.to);
  free(copy.from), free(copy.gx0), free(copy.gtheta), free(label);
  return failed;
}
