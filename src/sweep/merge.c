// merge.c -- shards, or any files of parts of a plan, united into one
//
// Labels are united first: one label must mean the same in all files. Then cases and runs are listed from all files,
// sorted by key, the first of each key kept, and put into the order of an undivided plan. Two files that have finished
// one run must agree on it. The store copies what is finished (store/takeover.c). The digest is that of one sweep over
// the whole plan, and the same sweep command goes on with the new file.

#include "sweep/merge.h"
#include "base/keys.h"
#include "base/options_engine.h"
#include "job/resume.h"
#include "run/describe.h"
#include "store/create.h"
#include "store/digest.h"
#include "store/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char out[PETSC_MAX_PATH_LEN];
  int n;
  CtpgContents *file;                    // [n]
  PetscInt nproblems, nestimators;       // of all files
  CtpgLabelInfo *problems, *estimators;  // texts are the files'
  PetscInt **problem_of, **estimator_of; // [n][labels of the file]
  PetscInt ncases, nruns, unreadable;
  CtpgCaseRow *cases;
  CtpgRunRow *runs;
  const PetscReal **case_x0, **case_task, **case_theta;
  char *plan_options, shard[256], isa[128];
  PetscBool allow_mixed;
} Merge;

// ---- do the files go together?

static PetscErrorCode CheckFiles(const Merge *m) {
  char first[64], other[64];
  PetscFunctionBeginUser;
  CtpgResolvedFind(m->file[0]->plan_options, "experiment", first, sizeof first);
  for (int i = 0; i < m->n; i++) {
    const CtpgContents f = m->file[i];
    PetscCheck(!strcmp(f->kind, "sweep"), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
               "%s is of kind %s; merge takes files of sweeps", f->path, f->kind);
    for (int k = 0; k < i; k++)
      PetscCheck(strcmp(f->uuid, m->file[k]->uuid), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
                 "%s and %s are one and the same file", m->file[k]->path, f->path);
    CtpgResolvedFind(f->plan_options, "experiment", other, sizeof other);
    PetscCheck(!strcmp(first, other), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
               "%s is of -experiment %s, %s of -experiment %s; expected files of one experiment", m->file[0]->path,
               first, f->path, other);
  }
  PetscFunctionReturn(0);
}

// One label must mean the same everywhere.
static PetscErrorCode CheckSameMeaning(const char *kind, const CtpgLabelInfo *a, const char *a_path,
                                       const CtpgLabelInfo *b, const char *b_path) {
  const size_t line = DescribeFirstDifference(a->options, b->options);
  PetscFunctionBeginUser;
  PetscCheck(!strcmp(a->type, b->type) && a->version == b->version, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "%s %s is %s, version %d, in %s, and %s, version %d, in %s", kind, a->label, a->type, a->version, a_path,
             b->type, b->version, b_path);
  PetscCheck(!strcmp(a->options, b->options), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "%s %s has %.*s in %s and %.*s in %s; give one of them another label", kind, a->label,
             (int)strcspn(a->options + line, "\n"), a->options + line, a_path, (int)strcspn(b->options + line, "\n"),
             b->options + line, b_path);
  PetscCheck(a->nx == b->nx && a->np == b->np && a->ntask == b->ntask && a->T == b->T &&
                 !strcmp(a->policy ? a->policy : "", b->policy ? b->policy : ""),
             PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "%s %s has another policy or horizon in %s than in %s", kind,
             a->label, a_path, b_path);
  PetscFunctionReturn(0);
}

// Adds what is new of a file's labels to `all` and says where each of them is there. from: the file of each of `all`.
static PetscErrorCode UniteLabels(const char *kind, CtpgContents f, PetscInt n, const CtpgLabelInfo *info,
                                  PetscInt *nall, CtpgLabelInfo *all, CtpgContents *from, PetscInt *place) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    for (place[i] = 0; place[i] < *nall && strcmp(all[place[i]].label, info[i].label);) place[i]++;
    if (place[i] < *nall) {
      PetscCall(CheckSameMeaning(kind, all + place[i], from[place[i]]->path, info + i, f->path));
      all[place[i]].has_theta = all[place[i]].has_theta || info[i].has_theta ? PETSC_TRUE : PETSC_FALSE;
      continue;
    }
    from[*nall] = f;
    all[(*nall)++] = info[i];
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode UniteAllLabels(Merge *m) {
  PetscInt problems = 0, estimators = 0;
  CtpgContents *problem_from, *estimator_from;

  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) problems += m->file[i]->nproblems, estimators += m->file[i]->nestimators;
  PetscCall(
      PetscCalloc4(problems, &m->problems, estimators, &m->estimators, m->n, &m->problem_of, m->n, &m->estimator_of));
  PetscCall(PetscCalloc2(problems, &problem_from, estimators, &estimator_from));
  for (int i = 0; i < m->n; i++) {
    const CtpgContents f = m->file[i];
    PetscCall(PetscMalloc1(f->nproblems, &m->problem_of[i]));
    PetscCall(PetscMalloc1(f->nestimators, &m->estimator_of[i]));
    PetscCall(UniteLabels("problem", f, f->nproblems, f->problem_info, &m->nproblems, m->problems, problem_from,
                          m->problem_of[i]));
    PetscCall(UniteLabels("estimator", f, f->nestimators, f->estimator_info, &m->nestimators, m->estimators,
                          estimator_from, m->estimator_of[i]));
  }
  PetscCall(PetscFree2(problem_from, estimator_from));
  PetscFunctionReturn(0);
}

// ---- cases and runs of all files

// A row of a file; those of one key lie together once sorted.
typedef struct {
  uint64_t key;
  int32_t problem, estimator; // of all files
  int64_t seed;
  int file;
  PetscInt row, place; // place: in the new file
} Entry;

static int ByKey(const void *first, const void *second) {
  const Entry *a = first, *b = second;
  KEYS_ORDER(a->key, b->key);
  KEYS_ORDER(a->file, b->file);
  return 0;
}

// The order of an undivided plan: rows of one shard come in the order of its plan.
static int ByPlan(const void *first, const void *second) {
  const Entry *a = first, *b = second;
  KEYS_ORDER(a->problem, b->problem);
  KEYS_ORDER(a->estimator, b->estimator);
  KEYS_ORDER(a->seed, b->seed);
  KEYS_ORDER(a->file, b->file);
  KEYS_ORDER(a->row, b->row);
  return 0;
}

// Sorted by key, the first of each key alone. Returns how many are left.
static PetscInt KeepFirst(Entry *entry, PetscInt n) {
  PetscInt kept = 0;
  qsort(entry, (size_t)n, sizeof *entry, ByKey);
  for (PetscInt i = 0; i < n; i++)
    if (!kept || entry[kept - 1].key != entry[i].key) entry[kept++] = entry[i];
  qsort(entry, (size_t)kept, sizeof *entry, ByPlan);
  for (PetscInt i = 0; i < kept; i++) entry[i].place = i;
  return kept;
}

static PetscErrorCode ListCases(const Merge *m, PetscInt *n, Entry **entries) {
  PetscInt most = 0;
  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) most += m->file[i]->ncases;
  PetscCall(PetscMalloc1(most, entries));
  *n = 0;
  for (int i = 0; i < m->n; i++)
    for (PetscInt c = 0; c < m->file[i]->ncases; c++) {
      const CtpgCaseRow *row = m->file[i]->cases + c;
      if (row->problem < 0 || row->row < 0) continue;
      (*entries)[(*n)++] = (Entry){.key = row->case_key,
                                   .problem = (int32_t)m->problem_of[i][row->problem],
                                   .seed = row->seed,
                                   .file = i,
                                   .row = c};
    }
  PetscFunctionReturn(0);
}

static PetscErrorCode ListRuns(Merge *m, PetscInt *n, Entry **entries) {
  PetscInt most = 0;
  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) most += m->file[i]->nruns;
  PetscCall(PetscMalloc1(most, entries));
  *n = 0;
  for (int i = 0; i < m->n; i++)
    for (PetscInt r = 0; r < m->file[i]->nruns; r++) {
      const CtpgRunRow *row = m->file[i]->runs + r;
      if (row->problem < 0 || row->estimator < 0 || row->case_index < 0 || m->file[i]->cases[row->case_index].row < 0) {
        m->unreadable++;
        continue;
      }
      (*entries)[(*n)++] = (Entry){.key = row->run_key,
                                   .problem = (int32_t)m->problem_of[i][row->problem],
                                   .estimator = (int32_t)m->estimator_of[i][row->estimator],
                                   .seed = row->seed,
                                   .file = i,
                                   .row = r};
    }
  PetscFunctionReturn(0);
}

// Two files that have finished one run must agree on it, unless it ended by its environment in one of them; also where
// -allow_mixed lets both in, for nobody could say which of the two counts.
static PetscErrorCode RefuseOtherRun(const Merge *m, const Entry *mine, const Entry *theirs) {
  const CtpgContents one = m->file[mine->file], other = m->file[theirs->file];
  const CtpgRunRow *a = one->runs + mine->row, *b = other->runs + theirs->row;
  char difference[128];
  PetscFunctionBeginUser;
  if (!one->run_done[mine->row] || !other->run_done[theirs->row]) PetscFunctionReturn(0);
  if (CtpgIsEnvironment(a->status) || CtpgIsEnvironment(b->status) || ContentsSameScience(a, b)) PetscFunctionReturn(0);
  ContentsDifference(&StoreRunLayout, a, b, difference, sizeof difference);
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
          "%s and %s disagree on one run: %s on %s, seed %lld, accuracy %.6g: %s (written on '%s' and on '%s')",
          one->path, other->path, one->estimator[a->estimator], one->problem[a->problem], (long long)a->seed,
          a->accuracy, difference, one->isa, other->isa);
}

static PetscErrorCode RefuseOtherReference(const Merge *m, const Entry *mine, const Entry *theirs) {
  const CtpgContents one = m->file[mine->file], other = m->file[theirs->file];
  const CtpgCaseRow *a = one->cases + mine->row, *b = other->cases + theirs->row;
  char difference[128];
  PetscFunctionBeginUser;
  if (!one->case_done[mine->row] || !other->case_done[theirs->row]) PetscFunctionReturn(0);
  if (CtpgIsEnvironment(a->status) || CtpgIsEnvironment(b->status) || ContentsSameCase(a, b)) PetscFunctionReturn(0);
  ContentsDifference(&StoreCaseLayout, a, b, difference, sizeof difference);
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
          "%s and %s disagree on one reference: %s, seed %lld: %s (written on '%s' and on '%s')", one->path,
          other->path, one->problem[a->problem], (long long)a->seed, difference, one->isa, other->isa);
}

// Every two entries of one key.
static PetscErrorCode RefuseConflicts(const Merge *m, Entry *entry, PetscInt n,
                                      PetscErrorCode (*refuse)(const Merge *, const Entry *, const Entry *)) {
  PetscFunctionBeginUser;
  qsort(entry, (size_t)n, sizeof *entry, ByKey);
  for (PetscInt i = 0; i < n; i++)
    for (PetscInt k = i + 1; k < n && entry[k].key == entry[i].key; k++) PetscCall(refuse(m, entry + i, entry + k));
  PetscFunctionReturn(0);
}

static int FindByKey(const void *key, const void *entry) {
  const uint64_t a = *(const uint64_t *)key, b = ((const Entry *)entry)->key;
  return (a > b) - (a < b);
}

static const PetscReal *StartOf(PetscReal *const *array, PetscInt p, PetscInt row, PetscInt width) {
  return array[p] ? array[p] + row * width : NULL;
}

// cases [ncases], their starts, and `entry` sorted by key.
static PetscErrorCode UniteCases(Merge *m, PetscInt *n, Entry **entry) {
  PetscFunctionBeginUser;
  PetscCall(ListCases(m, n, entry));
  PetscCall(RefuseConflicts(m, *entry, *n, RefuseOtherReference));
  m->ncases = *n = KeepFirst(*entry, *n);
  PetscCall(PetscCalloc4(*n, &m->cases, *n, &m->case_x0, *n, &m->case_task, *n, &m->case_theta));
  for (PetscInt c = 0; c < *n; c++) {
    const Entry *e = *entry + c;
    const CtpgCaseRow *old = m->file[e->file]->cases + e->row;
    CtpgLabelInfo *problem = m->problems + e->problem;
    CtpgCaseRow *row = m->cases + c;
    CtpgCaseRowClear(row);
    row->case_key = old->case_key;
    row->problem = e->problem;
    row->seed = old->seed;
    row->row = (int32_t)problem->ncases++;
    m->case_x0[c] = StartOf(m->file[e->file]->x0, old->problem, old->row, problem->nx);
    m->case_task[c] = StartOf(m->file[e->file]->task, old->problem, old->row, problem->ntask);
    m->case_theta[c] = StartOf(m->file[e->file]->theta, old->problem, old->row, problem->np);
  }
  qsort(*entry, (size_t)*n, sizeof **entry, ByKey);
  PetscFunctionReturn(0);
}

static PetscErrorCode UniteRuns(Merge *m, PetscInt ncases, const Entry *cases) {
  Entry *entry = NULL;
  PetscInt n = 0;
  PetscFunctionBeginUser;
  PetscCall(ListRuns(m, &n, &entry));
  PetscCall(RefuseConflicts(m, entry, n, RefuseOtherRun));
  m->nruns = n = KeepFirst(entry, n);
  PetscCall(PetscCalloc1(n, &m->runs));
  for (PetscInt r = 0; r < n; r++) {
    const CtpgContents f = m->file[entry[r].file];
    const CtpgRunRow *old = f->runs + entry[r].row;
    const Entry *home = bsearch(&f->cases[old->case_index].case_key, cases, (size_t)ncases, sizeof *cases, FindByKey);
    CtpgRunRow *row = m->runs + r;
    CtpgRunRowClear(row);
    row->run_key = old->run_key;
    row->case_index = (int32_t)home->place;
    row->problem = entry[r].problem;
    row->estimator = entry[r].estimator;
    row->seed = old->seed;
    row->accuracy = old->accuracy;
    row->repeat = old->repeat;
  }
  PetscCall(PetscFree(entry));
  PetscFunctionReturn(0);
}

// ---- what the new file says of itself

// Shards "2/4" or, of a merged file, "1+2/4". FALSE: no shards of n.
static PetscBool MarkShards(const char *text, long n, PetscBool *present) {
  char *end = (char *)text;
  const char *slash = strchr(text, '/');
  if (!slash || atol(slash + 1) != n) return PETSC_FALSE;
  while (end < slash) {
    const long i = strtol(end, &end, 10);
    if (i < 1 || i > n || (*end != '+' && end != slash)) return PETSC_FALSE;
    present[i - 1] = PETSC_TRUE;
    end += *end == '+';
  }
  return PETSC_TRUE;
}

static void Join(char *text, size_t size, const char *separator, long number) {
  const size_t used = strlen(text);
  snprintf(text + used, size - used, "%s%ld", used ? separator : "", number);
}

// "1/1", or the shards that are here; those that are missing are said.
static PetscErrorCode DescribeShards(Merge *m) {
  const char *slash = strchr(m->file[0]->shard, '/');
  const long n = slash ? atol(slash + 1) : 1;
  char here[200] = "", missing[200] = "";
  PetscBool *present, same = PETSC_TRUE;
  long found = 0;

  PetscFunctionBeginUser;
  snprintf(m->shard, sizeof m->shard, "1/1");
  if (n < 2 || n > 1000000) PetscFunctionReturn(0);
  PetscCall(PetscCalloc1(n, &present));
  for (int i = 0; i < m->n && same; i++) same = MarkShards(m->file[i]->shard, n, present);
  for (long k = 0; k < n; k++) {
    found += present[k] ? 1 : 0;
    present[k] ? Join(here, sizeof here, "+", k + 1) : Join(missing, sizeof missing, ", ", k + 1);
  }
  PetscCall(PetscFree(present));
  if (!same || found == n) PetscFunctionReturn(0);
  snprintf(m->shard, sizeof m->shard, "%s/%ld", here, n);
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%ld of %ld shards; missing: %s\n", found, n, missing));
  PetscFunctionReturn(0);
}

// The arithmetic of a file is that of its first session; "" where it is not known.
static void ReadArithmetic(CtpgContents f, char begun[FINGERPRINT_SIZE]) {
  CtpgSession unknown;
  memset(&unknown, 0, sizeof unknown);
  ResumeBegun(f, &unknown, begun);
}

// Files of one arithmetic, as far as it takes part in their rows, go together; others are refused, or what is copied of
// them is marked.
static PetscErrorCode CompareArithmetic(Merge *m) {
  char first[FINGERPRINT_SIZE], other[FINGERPRINT_SIZE], difference[256];
  PetscFunctionBeginUser;
  ReadArithmetic(m->file[0], first);
  PetscCall(PetscStrncpy(m->isa, m->file[0]->isa, sizeof m->isa));
  for (int i = 1; i < m->n; i++) {
    const CtpgContents f = m->file[i];
    ReadArithmetic(f, other);
    const FingerprintLabels labels = {f->nproblems, f->nestimators, f->problem_info, f->estimator_info};
    if (!first[0] || !other[0]) continue;
    f->mixed = FingerprintDifference(first, other, &labels, difference, sizeof difference);
    if (!f->mixed) continue;
    PetscCheck(
        m->allow_mixed, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
        "%s was computed with another arithmetic than %s (%s; there is the latter, on '%s', here the former, on "
        "'%s'): together they have the bits of no program; compute one of them anew, or give -allow_mixed, which "
        "marks the rows",
        f->path, m->file[0]->path, difference, m->file[0]->isa, f->isa);
    PetscCall(PetscPrintf(PETSC_COMM_SELF,
                          "note: %s has another arithmetic than %s (%s): rows that it concerns are marked\n", f->path,
                          m->file[0]->path, difference));
  }
  PetscFunctionReturn(0);
}

// The options of the first file, of which a shard is no longer true, and what was merged.
static PetscErrorCode DescribePlan(Merge *m) {
  size_t size = strlen(m->file[0]->plan_options) + 16;
  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) size += strlen(m->file[i]->path) + 1;
  PetscCall(PetscCalloc1(size, &m->plan_options));
  for (const char *line = m->file[0]->plan_options; *line;) {
    const size_t length = strcspn(line, "\n") + (strchr(line, '\n') ? 1 : 0);
    if (strncmp(line, "shard = ", 8)) strncat(m->plan_options, line, length);
    line += length;
  }
  strcat(m->plan_options, "merged =");
  for (int i = 0; i < m->n; i++) {
    strcat(m->plan_options, " ");
    strcat(m->plan_options, m->file[i]->path);
  }
  PetscFunctionReturn(0);
}

// ---- the whole

static PetscErrorCode WriteMerged(Merge *m) {
  StoreRowLists rows = {
      .cases = m->cases, .runs = m->runs, .x0 = m->case_x0, .task = m->case_task, .theta = m->case_theta};
  CtpgStorePlan plan = {.kind = "sweep",
                        .plan_options = m->plan_options,
                        .isa = m->isa,
                        .shard = m->shard,
                        .nproblems = m->nproblems,
                        .nestimators = m->nestimators,
                        .ncases = m->ncases,
                        .nruns = m->nruns,
                        .problems = m->problems,
                        .estimators = m->estimators,
                        .rows = StoreRowsFrom(&rows)};
  PetscFunctionBeginUser;
  PetscCall(KeysHash(KEY_COLUMN(m->nruns, m->runs, run_key), &plan.plan_hash));
  for (int i = 0; i < m->n; i++)
    if (m->file[i]->save_gradients) plan.save_gradients = PETSC_TRUE;
  PetscCall(StoreCreateFrom(m->out, &plan, m->n, m->file));
  PetscFunctionReturn(0);
}

static PetscErrorCode Conclude(const Merge *m) {
  CtpgContents all;
  char digest[65];
  PetscInt environment, done = 0;
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(m->out, &all));
  PetscCall(ContentsDigest(all, digest, &environment));
  for (PetscInt r = 0; r < all->nruns; r++) done += all->run_done[r] ? 1 : 0;
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, from %d files\n", m->out, (int)done, (int)all->nruns,
                        m->n));
  if (m->unreadable)
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%d damaged rows were left out; the sweep command repeats them\n",
                          (int)m->unreadable));
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", digest));
  PetscCall(ContentsDestroy(&all));
  PetscFunctionReturn(0);
}

static PetscErrorCode Destroy(Merge *m) {
  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) {
    PetscCall(PetscFree(m->problem_of[i]));
    PetscCall(PetscFree(m->estimator_of[i]));
    PetscCall(ContentsDestroy(&m->file[i]));
  }
  PetscCall(PetscFree4(m->problems, m->estimators, m->problem_of, m->estimator_of));
  PetscCall(PetscFree4(m->cases, m->case_x0, m->case_task, m->case_theta));
  PetscCall(PetscFree(m->runs));
  PetscCall(PetscFree(m->plan_options));
  PetscCall(PetscFree(m->file));
  PetscFunctionReturn(0);
}

static PetscErrorCode SayWhatIsDamaged(const Merge *m) {
  PetscFunctionBeginUser;
  for (int i = 0; i < m->n; i++) {
    const CtpgContents f = m->file[i];
    PetscCall(ContentsRefuseDamaged(f));
    if (f->misread)
      PetscCall(PetscPrintf(PETSC_COMM_SELF,
                            "%s: %d rows are not what they were when it was made (key, seed or start); they are left "
                            "out, with the runs of such starts\n",
                            f->path, (int)f->misread));
    if (f->torn)
      PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d finished rows fail their checksum; they are left out\n", f->path,
                            (int)f->torn));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode UniteFiles(Merge *m) {
  Entry *cases = NULL;
  PetscInt ncases = 0;
  PetscFunctionBeginUser;
  PetscCall(CheckFiles(m));
  PetscCall(SayWhatIsDamaged(m));
  PetscCall(CompareArithmetic(m));
  PetscCall(UniteAllLabels(m));
  PetscCall(UniteCases(m, &ncases, &cases));
  PetscCall(UniteRuns(m, ncases, cases));
  PetscCall(PetscFree(cases));
  PetscCall(DescribeShards(m));
  PetscCall(DescribePlan(m));
  PetscCall(WriteMerged(m));
  PetscCall(Conclude(m));
  PetscFunctionReturn(0);
}

// With the name at -out taken, so that no sweep begins there meanwhile.
typedef PetscErrorCode FileRead(const char *path, CtpgContents *contents);
static PetscErrorCode MergeFiles(Merge *m, const char *const *paths, FileRead *read) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(m->n, &m->file));
  for (int i = 0; i < m->n; i++) PetscCall(read(paths[i], &m->file[i]));
  PetscCall(UniteFiles(m));
  PetscCall(Destroy(m));
  PetscFunctionReturn(0);
}

static PetscErrorCode MergeInto(const char *out, int n, const char *const *paths, PetscBool allow_mixed,
                                FileRead *read) {
  Merge merge = {.n = n, .allow_mixed = allow_mixed};
  PetscFunctionBeginUser;
  PetscCall(PetscStrncpy(merge.out, out, sizeof merge.out));
  PetscCall(StoreLockNew(out));
  const PetscErrorCode error = MergeFiles(&merge, paths, read);
  StoreUnlock();
  PetscCall(error);
  PetscFunctionReturn(0);
}

PetscErrorCode SweepMerge(const char *out, int n, const char *const *paths, PetscBool allow_mixed) {
  PetscFunctionBeginUser;
  PetscCall(MergeInto(out, n, paths, allow_mixed, ContentsRead));
  PetscFunctionReturn(0);
}

PetscErrorCode SweepConvert(const char *out, const char *path) {
  PetscFunctionBeginUser;
  PetscCall(MergeInto(out, 1, &path, PETSC_FALSE, ContentsReadOld));
  PetscFunctionReturn(0);
}
