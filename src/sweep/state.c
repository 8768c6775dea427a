// state.c -- see state.h
//
// The parts in the order of the page: who has the file and what crashed, references, a tally for each pair of problem
// and estimator, reasons of failures, then single runs, each with the command that repeats it alone. Rows of a damaged
// file may lead nowhere (row numbers of -1): those are tallied and not named.

#include "sweep/state.h"
#include "base/options_engine.h"
#include "base/parse.h"
#include "base/wrap.h"
#include "job/crash.h"
#include "job/filestate.h"
#include "run/accuracy.h"
#include "store/digest.h"
#include "sweep/import.h"
#include <stdio.h>
#include <string.h>

// Runs of one estimator on one problem, by how they ended.
typedef struct {
  PetscInt total, done, by_status[CTPG_NUM_STATUSES];
} Tally;

static Tally Count(CtpgContents f, PetscInt p, PetscInt e) {
  Tally t = {0};
  for (PetscInt r = 0; r < f->nruns; r++) {
    if (f->runs[r].problem != p || f->runs[r].estimator != e) continue;
    t.total++;
    if (!f->run_done[r]) continue;
    t.done++;
    if (f->runs[r].status >= 0 && f->runs[r].status < CTPG_NUM_STATUSES) t.by_status[f->runs[r].status]++;
  }
  return t;
}

static PetscErrorCode PrintTally(CtpgContents f, PetscInt p, PetscInt e) {
  const Tally t = Count(f, p, e);
  char ends[CTPG_NUM_STATUSES * 32] = "";
  int used = 0;
  PetscFunctionBeginUser;
  for (int status = 0; status < CTPG_NUM_STATUSES; status++)
    if (t.by_status[status])
      used += snprintf(ends + used, sizeof ends - (size_t)used, "  %d %s", (int)t.by_status[status],
                       CtpgStatusName((CtpgStatus)status));
  PetscCall(CtpgPrintWrapped(54, "%-18s %-18s %6d of %6d%s", f->problem[p], f->estimator[e], (int)t.done, (int)t.total,
                             ends));
  PetscFunctionReturn(0);
}

// The reasons of runs that did not end ok, each once, with how often it was given.
static PetscErrorCode PrintReasons(CtpgContents f) {
  PetscInt shown = 0;
  PetscBool *told;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(f->nruns, &told));
  for (PetscInt r = 0; r < f->nruns && shown < 10; r++) {
    const CtpgRunRow *row = f->runs + r;
    PetscInt times = 0;
    if (!f->run_done[r] || row->status == CTPG_OK || told[r]) continue;
    for (PetscInt q = r; q < f->nruns; q++) {
      const CtpgRunRow *other = f->runs + q;
      const PetscBool same = f->run_done[q] && other->status == row->status && other->problem == row->problem &&
                                     other->estimator == row->estimator
                                 ? PETSC_TRUE
                                 : PETSC_FALSE;
      if (same) told[q] = PETSC_TRUE;
      times += same ? 1 : 0;
    }
    PetscCall(CtpgPrintWrapped(
        4, "%s%d x %s, %s on %s, as seed %lld at accuracy %.6g: %s", shown++ ? "" : "\nnot ok\n", (int)times,
        CtpgStatusName((CtpgStatus)row->status), row->estimator >= 0 ? f->estimator[row->estimator] : "?",
        row->problem >= 0 ? f->problem[row->problem] : "?", (long long)row->seed, row->accuracy, row->reason));
  }
  PetscCall(PetscFree(told));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintReferences(CtpgContents f) {
  PetscInt done = 0, failed = 0, inaccurate = 0, first = -1;
  PetscReal worst = 0;
  char good[64] = "";
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < f->ncases; c++) {
    if (!f->case_done[c]) continue;
    done++;
    failed += f->cases[c].status != CTPG_OK;
    if (f->cases[c].status != CTPG_OK && first < 0) first = c;
    inaccurate += (f->cases[c].flags & CTPG_FLAG_INACCURATE) != 0;
    if (f->cases[c].ref_err > worst) worst = f->cases[c].ref_err;
  }
  if (done > failed) snprintf(good, sizeof good, ", %d not good to 1e-10, worst %.1e", (int)inaccurate, worst);
  PetscCall(
      CtpgPrintWrapped(4, "references: %d of %d done, %d failed%s", (int)done, (int)f->ncases, (int)failed, good));
  if (first >= 0)
    PetscCall(CtpgPrintWrapped(4, "first failed: %s, seed %lld, %s: %s", f->problem[f->cases[first].problem],
                               (long long)f->cases[first].seed, CtpgStatusName((CtpgStatus)f->cases[first].status),
                               f->cases[first].reason));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
  PetscFunctionReturn(0);
}

// Rows that another program measured.
static PetscErrorCode PrintImported(CtpgContents f) {
  PetscInt imported = 0;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < f->nruns; r++)
    imported += f->run_done[r] && !strcmp(f->estimator_info[f->runs[r].estimator].type, IMPORT_TYPE);
  if (imported)
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "imported: %d rows were measured by another program\n", (int)imported));
  PetscFunctionReturn(0);
}

// ---- single runs, each with the command that repeats it alone

#define MOST_LISTED 20 // failed runs

// Seeds, accuracy and repeats are options of a label, too, but those of the run count.
static PetscBool IsOfTheRun(const char *name) {
  static const char *const names[] = {"seeds", "rtol", "dt", "grad_rtol", "samples", "repeats"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], name)) return PETSC_TRUE;
  return PETSC_FALSE;
}

// -problem label=type -label_name value ... for what was given.
static PetscErrorCode PrintLabel(CtpgShellLine *line, const char *key, const CtpgLabelInfo *info) {
  char word[2 * CTPG_LABEL_SIZE + 2], name[256];
  char *given, *assignment, *rest;
  PetscFunctionBeginUser;
  snprintf(word, sizeof word, strcmp(info->label, info->type) ? "%s=%s" : "%s", info->label, info->type);
  PetscCall(CtpgShellWord(line, key, word));
  PetscCall(PetscStrallocpy(info->given, &given));
  for (assignment = strtok_r(given, "\n", &rest); assignment; assignment = strtok_r(NULL, "\n", &rest)) {
    char *value = strstr(assignment, " = ");
    if (!value) continue;
    *value = 0;
    if (IsOfTheRun(assignment)) continue;
    snprintf(name, sizeof name, "-%s_%s", info->label, assignment);
    PetscCall(CtpgShellWord(line, name, value + 3));
  }
  PetscCall(PetscFree(given));
  PetscFunctionReturn(0);
}

// The command that computes one run of the file again, or with run < 0 the reference of a case.
static PetscErrorCode PrintRepetition(CtpgContents f, PetscInt c, PetscInt run) {
  static const char *const of_plan[] = {"experiment", "problem_library", "estimator_library"};
  char text[8192], key[64], **argv;
  int argc;
  CtpgShellLine line = {0};

  PetscFunctionBeginUser;
  PetscCall(PetscGetArgs(&argc, &argv));
  PetscCall(CtpgShellWord(&line, argv[0], NULL));
  PetscCall(CtpgShellWord(&line, "gradient", NULL));
  PetscCall(PrintLabel(&line, "-problem", f->problem_info + f->cases[c].problem));
  snprintf(text, sizeof text, "%lld", (long long)f->cases[c].seed);
  PetscCall(CtpgShellWord(&line, "-seed", text));
  if (run < 0)
    PetscCall(CtpgShellWord(&line, "-estimator", "reference"));
  else {
    const CtpgLabelInfo *estimator = f->estimator_info + f->runs[run].estimator;
    PetscCall(PrintLabel(&line, "-estimator", estimator));
    snprintf(key, sizeof key, "-%s", estimator->knob);
    PetscCall(CtpgShellWord(&line, key, CtpgShortReal(f->runs[run].accuracy, text)));
  }
  for (int i = 0; i < 3; i++) {
    CtpgResolvedFind(f->plan_options, of_plan[i], text, sizeof text);
    snprintf(key, sizeof key, "-%s", of_plan[i]);
    if (text[0] && strcmp(text, "0")) PetscCall(CtpgShellWord(&line, key, text));
  }
  PetscCall(CtpgShellEnd(&line));
  PetscFunctionReturn(0);
}

// Row numbers of a damaged row lead nowhere.
static PetscBool IsNamed(CtpgContents f, PetscInt r) {
  const CtpgRunRow *row = f->runs + r;
  return row->problem >= 0 && row->estimator >= 0 && row->case_index >= 0 && f->cases[row->case_index].problem >= 0
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static PetscErrorCode PrintRun(CtpgContents f, PetscInt r) {
  const CtpgRunRow *row = f->runs + r;
  char accuracy[CTPG_NUMBER_SIZE];
  PetscFunctionBeginUser;
  PetscCall(CtpgPrintWrapped(2, "%s on %s, seed %lld, %s %s, %.3g s, %s%s%s", f->estimator[row->estimator],
                             f->problem[row->problem], (long long)row->seed, f->estimator_info[row->estimator].knob,
                             CtpgShortReal(row->accuracy, accuracy), row->wall, CtpgStatusName((CtpgStatus)row->status),
                             row->reason[0] ? ": " : "", row->reason));
  PetscCall(PrintRepetition(f, row->case_index, r));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintSlowest(CtpgContents f) {
  PetscInt slowest[5], n = 0;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < f->nruns; r++) {
    if (!f->run_done[r] || !IsNamed(f, r) || !(f->runs[r].wall >= 0)) continue;
    if (n == 5 && f->runs[slowest[4]].wall >= f->runs[r].wall) continue;
    PetscInt k = n < 5 ? n++ : 4;
    for (; k > 0 && f->runs[slowest[k - 1]].wall < f->runs[r].wall; k--) slowest[k] = slowest[k - 1];
    slowest[k] = r;
  }
  if (n) printf("\nslowest, with the command that repeats each alone\n");
  for (PetscInt k = 0; k < n; k++) PetscCall(PrintRun(f, slowest[k]));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintFailed(CtpgContents f) {
  PetscInt failed = 0;
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < f->ncases; c++) {
    const CtpgCaseRow *row = f->cases + c;
    if (!f->case_done[c] || row->status == CTPG_OK || row->problem < 0 || ++failed > MOST_LISTED) continue;
    PetscCall(CtpgPrintWrapped(2, "%sreference of %s, seed %lld, %s: %s",
                               failed == 1 ? "\nfailed references, with the command that repeats each alone\n" : "",
                               f->problem[row->problem], (long long)row->seed, CtpgStatusName((CtpgStatus)row->status),
                               row->reason));
    PetscCall(PrintRepetition(f, c, -1));
  }
  if (failed > MOST_LISTED) printf("... and %d more\n", (int)failed - MOST_LISTED);
  failed = 0;
  for (PetscInt r = 0; r < f->nruns; r++) {
    if (!f->run_done[r] || f->runs[r].status == CTPG_OK || !IsNamed(f, r) || ++failed > MOST_LISTED) continue;
    if (failed == 1) printf("\nfailed runs, with the command that repeats each alone\n");
    PetscCall(PrintRun(f, r));
  }
  if (failed > MOST_LISTED) printf("... and %d more\n", (int)failed - MOST_LISTED);
  PetscFunctionReturn(0);
}

// ---- what lies beside the file

static PetscErrorCode PrintMark(CtpgContents f, const CtpgCrashMark *mark) {
  const char *name = CrashSignalName(mark->signal);
  PetscFunctionBeginUser;
  for (PetscInt r = 0; mark->kind == CTPG_CRASH_RUN && r < f->nruns; r++)
    if (f->runs[r].run_key == mark->key && IsNamed(f, r))
      PetscCall(CtpgPrintWrapped(2, "crashed, not yet a row: %s on %s, seed %lld, accuracy %.6g: %s",
                                 f->estimator[f->runs[r].estimator], f->problem[f->runs[r].problem],
                                 (long long)f->runs[r].seed, f->runs[r].accuracy, name));
  for (PetscInt c = 0; mark->kind == CTPG_CRASH_CASE && c < f->ncases; c++)
    if (f->cases[c].case_key == mark->key && f->cases[c].problem >= 0)
      PetscCall(CtpgPrintWrapped(2, "crashed, not yet a row: the reference of %s, seed %lld: %s",
                                 f->problem[f->cases[c].problem], (long long)f->cases[c].seed, name));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintNeighbours(CtpgContents f) {
  CtpgCrashMark *marks;
  PetscInt n;
  PetscFunctionBeginUser;
  PetscCall(StatePrintHolder(f->path));
  PetscCall(CrashRead(f->path, &n, &marks));
  for (PetscInt i = 0; i < n; i++) PetscCall(PrintMark(f, marks + i));
  if (n) printf("the next session of the sweep makes a row of each and skips it\n");
  PetscCall(PetscFree(marks));
  PetscFunctionReturn(0);
}

// ---- all of it

PetscErrorCode SweepPrintState(CtpgContents f, PetscBool verify) {
  char digest[65];
  PetscInt environment, done = 0;

  PetscFunctionBeginUser;
  for (PetscInt r = 0; r < f->nruns; r++) done += f->run_done[r] ? 1 : 0;
  PetscCall(CtpgPrintWrapped(2, "%s: %s, %d of %d runs done, %d sessions, begun on %s", f->path, f->kind, (int)done,
                             (int)f->nruns, (int)f->nsessions, f->isa[0] ? f->isa : "an unknown CPU"));
  PetscCall(StatePrintDamage(f, "committed rows"));
  if (strcmp(f->shard, "1/1")) printf("shard %s of its plan\n", f->shard);
  PetscCall(PrintNeighbours(f));
  PetscCall(PrintReferences(f));
  for (PetscInt p = 0; p < f->nproblems; p++)
    for (PetscInt e = 0; e < f->nestimators; e++) PetscCall(PrintTally(f, p, e));
  PetscCall(PrintImported(f));
  PetscCall(PrintReasons(f));
  PetscCall(PrintSlowest(f));
  PetscCall(PrintFailed(f));
  PetscCall(StatePrintSessions(f));
  PetscCall(ContentsDigest(f, digest, &environment));
  if (environment)
    PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                          "%d rows ended by their environment (timeout, crashed) are not in the digest\n",
                          (int)environment));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "digest: %s\n", digest));
  PetscCall(StateConclude(f, verify));
  PetscFunctionReturn(0);
}
