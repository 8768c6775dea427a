// held.c -- see held.h
//
// The first pass compares keys, the second one, over a file of this plan alone, takes what is there. Rows are verified
// in the first: a run whose key is damaged is no run of another plan.

#include "sweep/held.h"
#include "base/keys.h"
#include "store/hdf5.h"
#include <string.h>

typedef struct {
  Held *held;
  CtpgContents file;
  PetscInt next;    // run
  PetscBool passed; // the first pass is over
  KeyEntry *sorted; // [nruns] keys of the plan, once the file is known to be of another one
} Reading;

static PetscErrorCode SortKeys(const CtpgPlan *plan, KeyEntry **sorted) {
  uint64_t *keys;
  PetscFunctionBeginUser;
  PetscCall(PlanListRunKeys(plan, &keys));
  PetscCall(KeysSortColumn((KeyColumn){keys, sizeof *keys, plan->nruns}, sorted));
  PetscCall(PetscFree(keys));
  PetscFunctionReturn(0);
}

static int Differs(Reading *r) {
  r->held->same = PETSC_FALSE;
  return SortKeys(r->held->plan, &r->sorted) ? StoreFail("out of memory") : 0;
}

static int Begin(void *reading, CtpgContents file) {
  Reading *r = reading;
  const CtpgPlan *plan = r->held->plan;
  r->file = file;
  r->held->same = PETSC_TRUE;
  return file->ncases == plan->ncases && file->nruns == plan->nruns ? 0 : Differs(r);
}

static int Compare(Reading *r, const CtpgRunRow *row, PetscBool done) {
  Held *held = r->held;
  held->done += done ? 1 : 0;
  if (held->same && row->run_key != PlanKeyOf(held->plan, r->next)) STORE_TRY(Differs(r));
  if (held->same || row->problem < 0 || KeysFind(held->plan->nruns, r->sorted, row->run_key) >= 0) return 0;
  if (!held->missing++) held->stranger = *row;
  return 0;
}

static int Take(Reading *r, const CtpgRunRow *row, PetscBool done) {
  const Held *held = r->held;
  if (done) CostLearn(held->costs, PlanKindOf(held->plan, held->plan->ncases + r->next), row->busy);
  if (held->take) held->take(held->context, r->next, row, done);
  return 0;
}

static int Visit(void *reading, PetscInt n, const CtpgRunRow *rows, const PetscBool *done) {
  Reading *r = reading;
  for (PetscInt i = 0; i < n; i++, r->next++) STORE_TRY((r->passed ? Take : Compare)(r, rows + i, done[i]));
  return 0;
}

static void LearnCases(const Reading *r) {
  const CtpgPlan *plan = r->held->plan;
  for (PetscInt c = 0; c < plan->ncases; c++)
    if (r->file->case_done[c]) CostLearn(r->held->costs, PlanKindOf(plan, c), r->file->cases[c].busy);
}

// Same labels in the same places; a file that holds gradients keeps them.
static PetscBool HasLayout(CtpgContents file, const CtpgStorePlan *layout) {
  PetscBool same = file->writable && file->nproblems == layout->nproblems && file->nestimators == layout->nestimators &&
                           (file->save_gradients || !layout->save_gradients)
                       ? PETSC_TRUE
                       : PETSC_FALSE;
  for (PetscInt p = 0; same && p < file->nproblems; p++)
    if (strcmp(file->problem[p], layout->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < file->nestimators; e++)
    if (strcmp(file->estimator[e], layout->estimators[e].label)) same = PETSC_FALSE;
  return same;
}

static int End(void *reading) {
  Reading *r = reading;
  Held *held = r->held;
  if (r->passed) return 0;
  if (held->same && held->layout) held->same = HasLayout(r->file, held->layout);
  if (held->same) LearnCases(r);
  r->passed = PETSC_TRUE;
  r->next = 0;
  return held->same ? 1 : 0;
}

PetscErrorCode HeldRead(const char *path, Held *held) {
  Reading reading = {.held = held};
  const ContentsVisitor visitor = {&reading, Begin, Visit, End};
  PetscFunctionBeginUser;
  held->done = held->missing = 0;
  PetscCall(ContentsVisit(path, &visitor, &held->file));
  PetscCall(PetscFree(reading.sorted));
  PetscFunctionReturn(0);
}
