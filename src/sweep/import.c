// import.c -- see import.h
//
// Rows are brought into the order of a plan (problem, estimator, seed, accuracy). Each problem and seed is drawn as a
// sweep draws it and gets its reference gradient, so that its case has the key and the numbers that it has in a sweep,
// and `merge` puts both together. Of a run the file knows what the row says and nothing else.

#include "sweep/import.h"
#include "base/keys.h"
#include "base/system.h"
#include "job/session.h"
#include "job/signals.h"
#include "run/describe.h"
#include "store/digest.h"
#include "store/lock.h"
#include "store/store.h"
#include "sweep/fill.h"
#include "sweep/plan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  CtpgCase drawn;
  CtpgReference reference; // with arrays of its own
  double wall, cpu;        // s of it
} Case;

typedef struct {
  PetscInt problem, estimator, one; // one: its case
  const RowsFileRow *row;
} Entry;

typedef struct {
  const ImportRequest *request;
  PetscInt nestimators, ncases;
  const RowsFileRow **first; // [nestimators] the row that named it first
  CtpgLabelInfo *problems, *estimators;
  char (*options)[512];   // [nestimators]
  Entry *entry;           // [nrows] in the order of a plan
  Case *cases;            // [ncases]
  CtpgCaseRow *case_rows; // [ncases] pending, as runs are
  CtpgRunRow *runs;       // [nrows]
} Import;

// ---- labels

PetscErrorCode ImportCheckLabels(const char *path, PetscInt n, const RowsFileRow *rows, PetscInt nproblems,
                                 const CtpgLabel *problems) {
  char culprit[PETSC_MAX_PATH_LEN + 128];
  CtpgLabel *label;
  PetscInt one;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    PetscInt p = 0;
    while (p < nproblems && strcmp(problems[p].label, rows[i].problem)) p++;
    PetscCheck(p < nproblems, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s, line %d: problem %s is none of -problems; expected one of them", path, (int)rows[i].line,
               rows[i].problem);
    if (i && !strcmp(rows[i].estimator, rows[i - 1].estimator)) continue;
    snprintf(culprit, sizeof culprit, "%s, line %d: estimator %s", path, (int)rows[i].line, rows[i].estimator);
    PetscCall(TypeNameCheckFree(culprit, rows[i].estimator));
    snprintf(culprit, sizeof culprit, "%s, line %d: estimator", path, (int)rows[i].line);
    PetscCall(LabelsParse(culprit, rows[i].estimator, &one, &label));
    PetscCheck(!strcmp(label->label, rows[i].estimator), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "%s %s is not usable; expected at most 47 letters, digits, '_', '-' or '.'", culprit, rows[i].estimator);
    PetscCall(LabelsCheckApart(nproblems, problems, 1, label));
    PetscCall(PetscFree(label));
  }
  PetscFunctionReturn(0);
}

// A label has one knob and one batch; they are what is known of its set-up.
static PetscErrorCode CheckSameSetUp(const Import *m, const RowsFileRow *first, const RowsFileRow *row) {
  const char *path = m->request->path;
  PetscFunctionBeginUser;
  PetscCheck(first->batch == row->batch, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "%s, line %d: estimator %s has batch %d, and %d in line %d; expected a label for each batch", path,
             (int)row->line, row->estimator, (int)row->batch, (int)first->batch, (int)first->line);
  PetscCheck(first->knob == row->knob, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "%s, line %d: estimator %s has knob %s, and %s in line %d; expected a label for each knob", path,
             (int)row->line, row->estimator, CtpgKnobName((CtpgKnob)row->knob), CtpgKnobName((CtpgKnob)first->knob),
             (int)first->line);
  PetscFunctionReturn(0);
}

static PetscErrorCode ListEstimators(Import *m) {
  const ImportRequest *q = m->request;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < q->nrows; i++) {
    const RowsFileRow *row = q->rows + i;
    PetscInt e = 0, p = 0;
    while (e < m->nestimators && strcmp(m->first[e]->estimator, row->estimator)) e++;
    if (e == m->nestimators) m->first[m->nestimators++] = row;
    PetscCall(CheckSameSetUp(m, m->first[e], row));
    while (strcmp(q->problems[p].label, row->problem)) p++;
    m->entry[i] = (Entry){.problem = p, .estimator = e, .row = row};
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode DescribeLabels(Import *m) {
  const ImportRequest *q = m->request;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(m->nestimators, &m->estimators, m->nestimators, &m->options));
  for (PetscInt e = 0; e < m->nestimators; e++) {
    const RowsFileRow *first = m->first[e];
    snprintf(m->options[e], sizeof m->options[e], "label = %s\nbatch = %d\nsource = %s\n", first->estimator,
             (int)first->batch, q->source);
    m->estimators[e] = (CtpgLabelInfo){.label = first->estimator,
                                       .type = IMPORT_TYPE,
                                       .version = 1,
                                       .options = m->options[e],
                                       .given = "",
                                       .bibtex = "",
                                       .knob = CtpgKnobName((CtpgKnob)first->knob),
                                       .order = NAN,
                                       .language = IMPORT_TYPE};
  }
  PetscCall(PetscCalloc1(q->nproblems, &m->problems));
  for (PetscInt p = 0; p < q->nproblems; p++) DescribeProblem(q->problems + p, m->problems + p);
  PetscFunctionReturn(0);
}

// ---- the order of a plan

static int BySeed(const void *first, const void *second) {
  const Entry *a = first, *b = second;
  KEYS_ORDER(a->problem, b->problem);
  KEYS_ORDER(a->row->seed, b->row->seed);
  return 0;
}

static int ByPlan(const void *first, const void *second) {
  const Entry *a = first, *b = second;
  KEYS_ORDER(a->problem, b->problem);
  KEYS_ORDER(a->estimator, b->estimator);
  KEYS_ORDER(a->row->seed, b->row->seed);
  KEYS_ORDER(a->row->accuracy, b->row->accuracy);
  return 0;
}

static PetscErrorCode RefuseDoubles(const Import *m) {
  PetscFunctionBeginUser;
  for (PetscInt i = 1; i < m->request->nrows; i++)
    PetscCheck(ByPlan(m->entry + i - 1, m->entry + i), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
               "%s, line %d: the row is that of line %d again: %s on %s, seed %d, accuracy %.6g", m->request->path,
               (int)PetscMax(m->entry[i].row->line, m->entry[i - 1].row->line),
               (int)PetscMin(m->entry[i].row->line, m->entry[i - 1].row->line), m->entry[i].row->estimator,
               m->entry[i].row->problem, (int)m->entry[i].row->seed, m->entry[i].row->accuracy);
  PetscFunctionReturn(0);
}

static PetscErrorCode AddCase(Import *m, PetscInt p, PetscInt seed) {
  const ImportRequest *q = m->request;
  Case *one = m->cases + m->ncases;
  CtpgCaseRow *row = m->case_rows + m->ncases++;
  PetscFunctionBeginUser;
  PetscCall(CaseDraw(q->problems + p, seed, q->experiment, &one->drawn));
  CtpgCaseRowClear(row);
  row->case_key = CaseKey(q->problems + p, &one->drawn);
  row->problem = (int32_t)p;
  row->row = (int32_t)m->problems[p].ncases++;
  row->seed = seed;
  PetscFunctionReturn(0);
}

// Each problem and seed once.
static PetscErrorCode ListCases(Import *m) {
  const ImportRequest *q = m->request;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(q->nrows, &m->cases, q->nrows, &m->case_rows));
  qsort(m->entry, (size_t)q->nrows, sizeof *m->entry, BySeed);
  for (PetscInt i = 0; i < q->nrows; i++) {
    Entry *entry = m->entry + i;
    if (!i || BySeed(entry - 1, entry)) PetscCall(AddCase(m, entry->problem, entry->row->seed));
    entry->one = m->ncases - 1;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ListRuns(Import *m) {
  const ImportRequest *q = m->request;
  PetscFunctionBeginUser;
  qsort(m->entry, (size_t)q->nrows, sizeof *m->entry, ByPlan);
  PetscCall(RefuseDoubles(m));
  PetscCall(PetscCalloc1(q->nrows, &m->runs));
  for (PetscInt i = 0; i < q->nrows; i++) {
    const Entry *entry = m->entry + i;
    const CtpgLabelInfo *estimator = m->estimators + entry->estimator;
    CtpgRunRow *row = m->runs + i;
    CtpgRunRowClear(row);
    row->case_index = (int32_t)entry->one;
    row->problem = (int32_t)entry->problem;
    row->estimator = (int32_t)entry->estimator;
    row->seed = entry->row->seed;
    row->accuracy = entry->row->accuracy;
    row->run_key =
        PlanRunKey(m->case_rows[row->case_index].case_key,
                   EstimatorKeyFrom(estimator->type, estimator->version, estimator->options), row->accuracy, 0);
  }
  PetscFunctionReturn(0);
}

// ---- references

static PetscErrorCode SolveCase(ReferenceSolver solver, const CtpgProblem *problem, Case *one) {
  const CtpgLimits limits = {.stop = &CtpgStopRequested};
  PetscFunctionBeginUser;
  PetscCall(
      PetscCalloc2(problem->dims.nx, &one->reference.gx0, PolicyGetSize(problem->policy), &one->reference.gtheta));
  const double start = CtpgSeconds();
  const double cpu_start = CtpgThreadSeconds();
  PetscCall(ReferenceSolve(solver, &one->drawn, &limits, &one->reference));
  one->cpu = CtpgThreadSeconds() - cpu_start;
  one->wall = CtpgSeconds() - start;
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveCases(Import *m) {
  ReferenceSolver solver = NULL;
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < m->ncases && !CtpgStopRequested; c++) {
    const CtpgProblem *problem = m->request->problems + m->case_rows[c].problem;
    if (!c || m->case_rows[c].problem != m->case_rows[c - 1].problem) {
      PetscCall(ReferenceDestroy(&solver));
      PetscCall(ReferenceCreate(problem, &solver));
    }
    PetscCall(SolveCase(solver, problem, m->cases + c));
  }
  PetscCall(ReferenceDestroy(&solver));
  PetscFunctionReturn(0);
}

// ---- the file

static PetscErrorCode PutCases(const Import *m, CtpgStore store) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < m->ncases; c++) {
    const Case *one = m->cases + c;
    const PetscBool ok = one->reference.status == CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
    CtpgCaseRow row = m->case_rows[c];
    FillReference(m->request->problems + row.problem, &one->reference, &row);
    row.wall = row.busy = one->wall;
    row.cpu = one->cpu;
    row.session = StoreGetSession(store);
    PetscCall(StorePutCase(store, c, &row, ok ? one->reference.gx0 : NULL, ok ? one->reference.gtheta : NULL));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode PutRuns(const Import *m, CtpgStore store, const char *host) {
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < m->request->nrows; r++) {
    const RowsFileRow *given = m->entry[r].row;
    CtpgRunRow row = m->runs[r];
    row.status = (int32_t)given->status;
    if (given->status != CTPG_OK) (void)PetscStrncpy(row.reason, "as the imported row says", sizeof row.reason);
    row.err_rel = given->error;
    row.nfe = given->nfe;
    row.cpu = row.cpu_0 = given->seconds;
    row.wall = row.wall_0 = given->wall;
    row.compile = given->compile;
    row.timing = FillIsCrowded(given->wall, given->seconds, NAN) ? CTPG_TIMING_CROWDED : CTPG_TIMING_ISOLATED;
    row.session = StoreGetSession(store);
    (void)PetscStrncpy(row.host, host, sizeof row.host);
    PetscCall(StorePutRun(store, r, &row, NULL, NULL));
  }
  PetscFunctionReturn(0);
}

static void GetCase(const void *import, PetscInt c, CtpgCaseRow *row) {
  *row = ((const Import *)import)->case_rows[c];
}

static void GetRun(const void *import, PetscInt r, CtpgRunRow *row) {
  *row = ((const Import *)import)->runs[r];
}

static PetscErrorCode GetStart(void *import, PetscInt c, StoreStart *start) {
  const Import *m = import;
  const CtpgCase *drawn = &m->cases[c].drawn;
  *start = (StoreStart){drawn->x0, drawn->task, m->problems[m->case_rows[c].problem].has_theta ? drawn->theta : NULL};
  return 0;
}

static PetscErrorCode WriteRows(const Import *m, const CtpgStorePlan *plan, const CtpgSession *session) {
  const CtpgStoreWay way = {.kind = CTPG_STORE_WRITER};
  CtpgStore store;
  PetscFunctionBeginUser;
  PetscCall(StoreOpen(PETSC_COMM_SELF, m->request->out, plan, session, &way, &store));
  PetscCall(PutCases(m, store));
  PetscCall(PutRuns(m, store, m->request->measured_here ? session->hosts : ""));
  PetscCall(StoreClose(&store));
  PetscFunctionReturn(0);
}

static PetscErrorCode WriteFile(const Import *m) {
  const ImportRequest *q = m->request;
  CtpgSession session;
  CtpgStorePlan plan = {.kind = "sweep",
                        .plan_options = q->options,
                        .isa = session.isa,
                        .shard = "1/1",
                        .nproblems = q->nproblems,
                        .nestimators = m->nestimators,
                        .ncases = m->ncases,
                        .nruns = q->nrows,
                        .problems = m->problems,
                        .estimators = m->estimators,
                        .rows = {GetCase, GetRun, GetStart, (void *)m}};
  PetscFunctionBeginUser;
  PetscCall(SessionDescribe(PETSC_COMM_SELF, &session));
  if (!q->measured_here) session.machine[0] = 0;
  PetscCall(KeysHash(KEY_COLUMN(q->nrows, m->runs, run_key), &plan.plan_hash));
  PetscCall(StoreCreate(q->out, &plan, NULL));
  PetscCall(WriteRows(m, &plan, &session));
  PetscFunctionReturn(0);
}

static PetscErrorCode Conclude(const Import *m) {
  PetscInt environment, failed = 0;
  CtpgContents file;
  char digest[65];
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(m->request->out, &file));
  PetscCall(ContentsDigest(file, digest, &environment));
  for (PetscInt c = 0; c < m->ncases; c++) failed += m->cases[c].reference.status != CTPG_OK;
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d rows imported, of %d estimators on %d problems; %d references",
                        m->request->out, (int)m->request->nrows, (int)m->nestimators, (int)m->request->nproblems,
                        (int)m->ncases));
  if (failed) PetscCall(PetscPrintf(PETSC_COMM_SELF, ", %d of them failed", (int)failed));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "\ndigest: %s\n", digest));
  PetscCall(ContentsDestroy(&file));
  PetscFunctionReturn(0);
}

static PetscErrorCode Destroy(Import *m) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < m->ncases; c++) {
    PetscCall(CaseDestroy(&m->cases[c].drawn));
    PetscCall(PetscFree2(m->cases[c].reference.gx0, m->cases[c].reference.gtheta));
  }
  PetscCall(PetscFree2(m->cases, m->case_rows));
  PetscCall(PetscFree2(m->estimators, m->options));
  PetscCall(PetscFree2(m->first, m->entry));
  PetscCall(PetscFree(m->problems));
  PetscCall(PetscFree(m->runs));
  PetscFunctionReturn(0);
}

static PetscErrorCode ImportRows(Import *m, PetscBool *stopped) {
  const ImportRequest *q = m->request;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(q->nrows, &m->first, q->nrows, &m->entry));
  PetscCall(ListEstimators(m));
  PetscCall(DescribeLabels(m));
  PetscCall(ListCases(m));
  PetscCall(ListRuns(m));
  for (PetscInt p = 0; p < q->nproblems; p++) PetscCall(FillCosts(q->problems + p, 0, q->experiment, m->problems + p));
  PetscCall(SolveCases(m));
  *stopped = CtpgStopRequested ? PETSC_TRUE : PETSC_FALSE;
  if (!*stopped) PetscCall(WriteFile(m));
  if (!*stopped) PetscCall(Conclude(m));
  PetscCall(Destroy(m));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepImport(const ImportRequest *request, PetscBool *stopped) {
  Import import = {.request = request};
  PetscFunctionBeginUser;
  PetscCall(StoreLockNew(request->out));
  const PetscErrorCode error = ImportRows(&import, stopped);
  StoreUnlock();
  PetscCall(error);
  PetscFunctionReturn(0);
}
