// checkpoints.c -- see checkpoints.h

#include "ctpgbench/toolkit/checkpoints.h"
#include <math.h>
#include <string.h>

// ---- the optimum ----

// (c + r)! / (c! r!); 0 for r < 0.
static double Beta(PetscInt c, PetscInt r) {
  double beta = 1;
  if (r < 0) return 0;
  for (PetscInt k = 1; k <= PetscMin(c, r); k++) beta *= (double)(PetscMax(c, r) + k) / (double)k;
  return round(beta);
}

// Smallest r with L <= beta(c, r): how often a step is repeated at most.
static PetscInt Repetitions(PetscInt L, PetscInt c) {
  PetscInt r = 0;
  while (Beta(c, r) < (double)L) r++;
  return r;
}

double CtpgCheckpointCost(PetscInt L, PetscInt c) {
  if (c == 1) return 0.5 * (double)L * (double)(L - 1);
  const PetscInt r = Repetitions(L, c);
  return (double)r * (double)L - Beta(c + 1, r - 1);
}

// The shortest of the optimal first parts: the second one has L - m <= beta(c - 1, r).
PetscInt CtpgCheckpointSplit(PetscInt L, PetscInt c) {
  const PetscInt r = Repetitions(L, c);
  return (PetscInt)fmax(1, fmax(Beta(c, r - 2), (double)L - Beta(c - 1, r)));
}

// ---- slots ----

PetscErrorCode CtpgCheckpointsCreate(CtpgArena *arena, PetscInt capacity, PetscInt nx, CtpgCheckpoints *c) {
  PetscFunctionBeginUser;
  *c = (CtpgCheckpoints){.capacity = capacity, .nx = nx};
  CtpgRowsInit(&c->rows, arena, 3 + nx);
  PetscCall(PetscMalloc1(capacity, &c->slot));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgCheckpointsDestroy(CtpgCheckpoints *c) {
  PetscFunctionBeginUser;
  CtpgRowsFree(&c->rows);
  PetscCall(PetscFree(c->slot));
  PetscFunctionReturn(0);
}

static PetscReal *Row(const CtpgCheckpoints *c, PetscInt k) {
  return CtpgRowsAt(&c->rows, c->slot[k]);
}

static PetscBool Push(CtpgCheckpoints *c, PetscReal level, PetscInt n, PetscReal t, const PetscReal *x) {
  if (c->count == c->rows.count) {
    if (!CtpgRowsPush(&c->rows)) return PETSC_FALSE;
    c->slot[c->count] = c->count;
  }
  PetscReal *row = Row(c, c->count++);
  row[0] = level;
  row[1] = (PetscReal)n;
  row[2] = t;
  memcpy(row + 3, x, (size_t)c->nx * sizeof *x);
  return PETSC_TRUE;
}

// Takes the k-th out of the order; its slot is the next to be used.
static void Remove(CtpgCheckpoints *c, PetscInt k) {
  const PetscInt slot = c->slot[k];
  c->count--;
  memmove(c->slot + k, c->slot + k + 1, (size_t)(c->count - k) * sizeof *c->slot);
  c->slot[c->count] = slot;
}

PetscBool CtpgCheckpointsPush(CtpgCheckpoints *c, PetscInt n, PetscReal t, const PetscReal *x) {
  return Push(c, 0, n, t, x);
}

void CtpgCheckpointsPop(CtpgCheckpoints *c) {
  c->count--;
}

CtpgCheckpoint CtpgCheckpointsTop(const CtpgCheckpoints *c) {
  PetscReal *row = Row(c, c->count - 1);
  return (CtpgCheckpoint){.n = (PetscInt)row[1], .t = row[2], .x = row + 3};
}

PetscInt CtpgCheckpointsAdvance(const CtpgCheckpoints *c, PetscInt end, PetscBool *store) {
  const PetscInt L = end - CtpgCheckpointsTop(c).n, free = c->capacity - c->count;
  *store = L > 1 && free > 0 ? PETSC_TRUE : PETSC_FALSE;
  return *store ? CtpgCheckpointSplit(L, free + 1) : L - 1;
}

// ---- the forward solve ----

void CtpgCheckpointsStart(CtpgCheckpoints *c, PetscInt steps) {
  CtpgRowsTruncate(&c->rows, 0);
  c->count = 0;
  c->steps = steps;
  c->next = 0;
}

// N is known: from each stored state on, the next one is the optimum's for the slots that are left.
static PetscBool OfferPlanned(CtpgCheckpoints *c, PetscInt n, PetscReal t, const PetscReal *x) {
  PetscBool store;
  if (n != c->next) return PETSC_TRUE;
  if (!Push(c, 0, n, t, x)) return PETSC_FALSE;
  const PetscInt m = CtpgCheckpointsAdvance(c, c->steps, &store);
  c->next = store ? n + m : -1;
  return PETSC_TRUE;
}

// One that a later one of a higher level makes dispensable; -1: none.
static PetscInt FindDispensable(const CtpgCheckpoints *c) {
  PetscReal highest = -1;
  for (PetscInt k = c->count - 1; k > 0; k--) {
    const PetscReal level = Row(c, k)[0];
    if (level < highest) return k;
    highest = PetscMax(highest, level);
  }
  return -1;
}

static PetscBool OfferOnline(CtpgCheckpoints *c, PetscInt n, PetscReal t, const PetscReal *x) {
  PetscReal level = 0;
  if (n > 0 && c->count == c->capacity) {
    const PetscInt dispensable = FindDispensable(c), last = c->count - 1;
    if (last == 0) return PETSC_TRUE; // the only slot holds the start
    if (dispensable < 0) level = Row(c, last)[0] + 1;
    Remove(c, dispensable < 0 ? last : dispensable);
  }
  return Push(c, level, n, t, x);
}

PetscBool CtpgCheckpointsOffer(CtpgCheckpoints *c, PetscInt n, PetscReal t, const PetscReal *x) {
  return c->steps ? OfferPlanned(c, n, t, x) : OfferOnline(c, n, t, x);
}
