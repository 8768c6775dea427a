// check_slots.c -- the slots of a problem called alike, and whether they are functions of their arguments, at one point and
// at many

#include "check/problem_private.h"
#include "base/vector.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define ROUNDING_LIMIT 1e-12

// ---- slots, called alike ----

static const char *const SLOT_NAMES[] = {"eval",     "observe",     "eval_vjp", "observe_vjp",
                                         "eval_jvp", "observe_jvp", "jacobian", "terminal"};

PetscBool CheckHasSlot(const ProblemCheck *k, Slot slot) {
  const CtpgProblemType *p = k->problem.type;
  const PetscBool present[] = {PETSC_TRUE,    !!p->observe,     !!p->eval_vjp, !!p->observe_vjp,
                               !!p->eval_jvp, !!p->observe_jvp, !!p->jacobian, !!p->terminal};
  return present[slot];
}

static PetscBool Accumulates(Slot slot) {
  return slot == EVAL_VJP || slot == OBSERVE_VJP ? PETSC_TRUE : PETSC_FALSE;
}

// Reals per point of a slot's two outputs, which lie one behind the other: [n, first], [n, second].
static void SlotWidths(const ProblemCheck *k, Slot slot, PetscInt *first, PetscInt *second) {
  const PetscInt nx = k->nx, nu = k->nu, no = k->no;
  const PetscInt widths[][2] = {{nx, 1}, {no, 0}, {nx, nu}, {nx, 0}, {nx, 1}, {no, 0}, {nx * nx, nx * nu}, {1, nx}};
  *first = widths[slot][0];
  *second = widths[slot][1];
}

PetscInt CheckSlotSize(const ProblemCheck *k, Slot slot, PetscInt n) {
  PetscInt first, second;
  SlotWidths(k, slot, &first, &second);
  return n * (first + second);
}

// Points p .. p + n - 1 into out [SlotSize].
static CtpgStatus CallSlot(const ProblemCheck *k, Slot slot, const CtpgTask *task, PetscInt p, PetscInt n,
                           PetscReal *out) {
  const CtpgProblemType *type = k->problem.type;
  const PetscReal *t = k->t + p, *x = k->x + p * k->nx, *u = k->u + p * k->nu, *v = k->v + p * k->nx, *c = k->c + p;
  void *ctx = k->problem.ctx;
  CtpgStatus status = CTPG_OK;
  PetscInt a, b;
  SlotWidths(k, slot, &a, &b);
  PetscReal *second = out + n * a;
  switch (slot) {
  case EVAL: return type->eval(ctx, task, n, t, x, u, out, second);
  case OBSERVE: return type->observe(ctx, task, n, t, x, out);
  case EVAL_VJP: return type->eval_vjp(ctx, task, n, t, x, u, v, c, out, second);
  case OBSERVE_VJP: return type->observe_vjp(ctx, task, n, t, x, k->go + p * k->no, out);
  case EVAL_JVP: return type->eval_jvp(ctx, task, n, t, x, u, v, k->du + p * k->nu, out, second);
  case OBSERVE_JVP: return type->observe_jvp(ctx, task, n, t, x, v, out);
  case JACOBIAN:
    for (PetscInt i = 0; i < n && status == CTPG_OK; i++)
      status = type->jacobian(ctx, task, t[i], x + i * k->nx, u + i * k->nu, out + i * a, second + i * b);
    return status;
  case TERMINAL:
    for (PetscInt i = 0; i < n && status == CTPG_OK; i++)
      status = type->terminal(ctx, task, x + i * k->nx, out + i * a, second + i * b);
    return status;
  case NUM_SLOTS: break;
  }
  return CTPG_SKIPPED;
}

static void Fill(PetscInt n, PetscReal value, PetscReal *out) {
  for (PetscInt i = 0; i < n; i++) out[i] = value;
}

static CtpgStatus CallFresh(const ProblemCheck *k, Slot slot, const CtpgTask *task, PetscInt p, PetscInt n,
                            PetscReal *out) {
  Fill(CheckSlotSize(k, slot, n), 0, out);
  return CallSlot(k, slot, task, p, n, out);
}

CtpgStatus CheckCallFresh(const ProblemCheck *k, Slot slot, PetscInt start, PetscInt p, PetscInt n, PetscReal *out) {
  const CtpgTask task = ProblemCheckTask(k, start);
  return CallFresh(k, slot, &task, p, n, out);
}

static PetscReal LargestDifference(PetscInt n, const PetscReal *a, const PetscReal *b) {
  PetscReal largest = 0;
  for (PetscInt i = 0; i < n; i++)
    if (!(fabs(a[i] - b[i]) <= largest)) largest = fabs(a[i] - b[i]);
  return largest;
}

// Two outputs that should agree in every bit.
static void OfferSame(const ProblemCheck *k, CheckWorst *worst, Slot slot, PetscInt p, PetscInt n, const PetscReal *a,
                      const PetscReal *b, const char *how) {
  const PetscInt size = CheckSlotSize(k, slot, n);
  if (VectorSameBits(size, a, b)) return;
  const PetscReal difference = LargestDifference(size, a, b);
  CheckOffer(worst, fmax(difference, DBL_MIN), "%s at point %d gives other bits %s", SLOT_NAMES[slot], (int)p, how);
}

// ---- purity ----

static PetscBool SameCallSameBits(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  for (Slot slot = 0; slot < NUM_SLOTS; slot++)
    for (PetscInt p = 0; p < k->n && CheckHasSlot(k, slot); p++) {
      CheckCallFresh(k, slot, p, p, 1, k->out[0]); // what is left of calls elsewhere is the next check's business
      CheckCallFresh(k, slot, p, p, 1, k->out[0]);
      CheckCallFresh(k, slot, p, p, 1, k->out[1]);
      OfferSame(k, &worst, slot, p, 1, k->out[0], k->out[1], "when it is called again with the same arguments");
    }
  return CheckConclude(k->report, "same call, same bits", &worst);
}

// The same call after every slot was called at the same point, and after it was called at other points.
static PetscBool NoStateBetweenCalls(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  char how[128];
  for (Slot slot = 0; slot < NUM_SLOTS; slot++)
    for (Slot other = 0; other < NUM_SLOTS; other++) {
      if (!CheckHasSlot(k, slot) || !CheckHasSlot(k, other)) continue;
      CheckCallFresh(k, other, 0, 0, 1, k->out[1]);
      CheckCallFresh(k, slot, 0, 0, 1, k->out[0]);
      CheckCallFresh(k, slot, 0, 0, 1, k->out[0]);
      for (PetscInt p = 1; p < k->n; p++) CheckCallFresh(k, other, p, p, 1, k->out[1]);
      CheckCallFresh(k, slot, 0, 0, 1, k->out[1]);
      (void)PetscSNPrintf(how, sizeof how, "after calls of %s at other points; ctx must hold no state",
                          SLOT_NAMES[other]);
      OfferSame(k, &worst, slot, 0, 1, k->out[0], k->out[1], how);
    }
  return CheckConclude(k->report, "no state from call to call", &worst);
}

// out [n, .] of one call, in the order of n single calls.
static void OnePointOf(const ProblemCheck *k, Slot slot, PetscInt p, const PetscReal *all, PetscReal *one) {
  PetscInt a, b;
  SlotWidths(k, slot, &a, &b);
  memcpy(one, all + p * a, (size_t)a * sizeof *one);
  memcpy(one + a, all + k->n * a + p * b, (size_t)b * sizeof *one);
}

static PetscBool ManyPointsEqualSingleCalls(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  for (Slot slot = 0; slot < NUM_SLOTS; slot++) {
    if (!CheckHasSlot(k, slot) || slot == JACOBIAN || slot == TERMINAL) continue;
    const CtpgStatus status = CheckCallFresh(k, slot, 0, 0, k->n, k->out[0]);
    for (PetscInt p = 0; p < k->n && status == CTPG_OK; p++) {
      OnePointOf(k, slot, p, k->out[0], k->out[1]);
      if (CheckCallFresh(k, slot, 0, p, 1, k->out[2]) == CTPG_OK)
        OfferSame(k, &worst, slot, p, 1, k->out[1], k->out[2], "in a call of several points than in a call of its own");
    }
  }
  return CheckConclude(k->report, "n points equal n calls", &worst);
}

// What is given with the start of point p, on the side of a break that is its own here.
static CtpgTask TaskOnSide(const ProblemCheck *k, PetscInt p) {
  CtpgTask task = ProblemCheckTask(k, p);
  task.piece = k->pieces[p];
  return task;
}

// Nothing of this can be wrong where the plant depends on neither task nor side: then the engine tells it of one start.
static PetscBool StartsOfTheirOwn(ProblemCheck *k) {
  const PetscInt ntask = k->problem.dims.ntask;
  const CtpgTask all = {.values = ntask ? k->tasks : NULL,
                        .T = k->problem.dims.T,
                        .piece = -1,
                        .start = ntask ? k->starts : NULL,
                        .pieces = k->pieces};
  CheckWorst worst = {.limit = 0};
  if (!ntask && !k->problem.dims.nbreak) return PETSC_TRUE;
  for (Slot slot = 0; slot < NUM_SLOTS; slot++) {
    if (!CheckHasSlot(k, slot) || slot == JACOBIAN || slot == TERMINAL) continue;
    const CtpgStatus status = CallFresh(k, slot, &all, 0, k->n, k->out[0]);
    for (PetscInt p = 0; p < k->n && status == CTPG_OK; p++) {
      const CtpgTask own = TaskOnSide(k, p);
      OnePointOf(k, slot, p, k->out[0], k->out[1]);
      if (CallFresh(k, slot, &own, p, 1, k->out[2]) == CTPG_OK)
        OfferSame(k, &worst, slot, p, 1, k->out[1], k->out[2],
                  "in a call for several starts than in a call of its own; see CtpgTaskValues and CtpgTaskPiece");
    }
  }
  return CheckConclude(k->report, "points of several starts", &worst);
}

static void OutputsOverwritten(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  const CtpgTask task = ProblemCheckTask(k, 0);
  for (Slot slot = 0; slot < NUM_SLOTS; slot++) {
    if (!CheckHasSlot(k, slot) || Accumulates(slot)) continue;
    CallFresh(k, slot, &task, 0, 1, k->out[0]);
    Fill(CheckSlotSize(k, slot, 1), 1e30, k->out[1]);
    CallSlot(k, slot, &task, 0, 1, k->out[1]);
    OfferSame(k, &worst, slot, 0, 1, k->out[0], k->out[1], "when its output held something before; it must overwrite");
  }
  CheckConclude(k->report, "outputs are overwritten", &worst);
}

static PetscBool ProductsAccumulate(ProblemCheck *k) {
  CheckWorst worst = {.limit = ROUNDING_LIMIT};
  for (Slot slot = EVAL_VJP; slot <= OBSERVE_VJP; slot++)
    for (PetscInt p = 0; p < k->n && CheckHasSlot(k, slot); p++) {
      const PetscInt size = CheckSlotSize(k, slot, 1);
      const CtpgTask task = ProblemCheckTask(k, p);
      CallFresh(k, slot, &task, p, 1, k->out[0]);
      for (PetscInt i = 0; i < size; i++) k->out[1][i] = 1 + (PetscReal)i;
      CallSlot(k, slot, &task, p, 1, k->out[1]);
      for (PetscInt i = 0; i < size; i++) {
        const PetscReal before = 1 + (PetscReal)i, product = k->out[0][i], expected = before + product;
        CheckOffer(
            &worst, fabs(k->out[1][i] - expected) / (before + fabs(product)),
            "%s, output %d at point %d: %.6g was there and %.6g belongs to it, but %.6g is found instead of %.6g; "
            "products must use +=",
            SLOT_NAMES[slot], (int)i, (int)p, before, product, k->out[1][i], expected);
      }
    }
  return CheckConclude(k->report, "products accumulate", &worst);
}

// The products at point p with (v, c) and go replaced by a combination of those of p and q.
static void CombinedProduct(ProblemCheck *k, Slot slot, PetscInt p, PetscInt q, PetscReal a, PetscReal b,
                            PetscReal *out) {
  const size_t nx = (size_t)k->nx * sizeof(PetscReal), no = (size_t)k->no * sizeof(PetscReal);
  const PetscReal c = k->c[p];
  PetscReal *v = k->v + p * k->nx, *go = k->go + p * k->no;
  memcpy(k->kept, v, nx);
  memcpy(k->kept + k->nx, go, no);
  for (PetscInt i = 0; i < k->nx; i++) v[i] = a * v[i] + b * k->v[q * k->nx + i];
  for (PetscInt i = 0; i < k->no; i++) go[i] = a * go[i] + b * k->go[q * k->no + i];
  k->c[p] = a * c + b * k->c[q];
  CheckCallFresh(k, slot, p, p, 1, out);
  memcpy(v, k->kept, nx);
  memcpy(go, k->kept + k->nx, no);
  k->c[p] = c;
}

static PetscBool ProductsLinear(ProblemCheck *k) {
  const PetscReal a = 0.75, b = -1.25;
  CheckWorst worst = {.limit = ROUNDING_LIMIT};
  for (Slot slot = EVAL_VJP; slot <= OBSERVE_VJP; slot++)
    for (PetscInt p = 0; p < k->n && CheckHasSlot(k, slot); p++) {
      const PetscInt q = (p + 1) % k->n, size = CheckSlotSize(k, slot, 1);
      CombinedProduct(k, slot, p, q, 1, 0, k->out[0]);
      CombinedProduct(k, slot, p, q, 0, 1, k->out[1]);
      CombinedProduct(k, slot, p, q, a, b, k->out[2]);
      const PetscReal scale = CtpgNorm(size, k->out[0]) + CtpgNorm(size, k->out[1]);
      for (PetscInt i = 0; i < size; i++) {
        const PetscReal expected = a * k->out[0][i] + b * k->out[1][i];
        CheckOffer(&worst, fabs(k->out[2][i] - expected) / fmax(scale, DBL_MIN),
                   "%s, output %d at point %d: P(a y + b z) is %.6g, a P(y) + b P(z) is %.6g for a = %g, b = %g",
                   SLOT_NAMES[slot], (int)i, (int)p, k->out[2][i], expected, a, b);
      }
    }
  return CheckConclude(k->report, "products linear in (v, c)", &worst);
}

// ---- all of them ----

PetscBool CheckSlotsPure(ProblemCheck *k) {
  return SameCallSameBits(k) && NoStateBetweenCalls(k) ? PETSC_TRUE : PETSC_FALSE;
}

PetscBool CheckSlotsAtManyPoints(ProblemCheck *k) {
  const PetscBool single = ManyPointsEqualSingleCalls(k) && StartsOfTheirOwn(k) ? PETSC_TRUE : PETSC_FALSE;
  OutputsOverwritten(k);
  const PetscBool linear = ProductsAccumulate(k) && ProductsLinear(k) ? PETSC_TRUE : PETSC_FALSE;
  return single && linear ? PETSC_TRUE : PETSC_FALSE;
}
