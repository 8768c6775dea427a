// check_problem.c -- conformance of a problem: its descriptor, its draws, and its slots called directly
//
// Derivatives are compared entry by entry, with unit vectors in the products, against differences that carry an error
// estimate (check_report.c). The closed loop over the problem is checked in check_loop.c.

#include "check_problem.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define STARTS          20 // drawn for "finite at drawn starts"
#define TRIES           50 // until a random point is one where the plant is defined
#define ROUNDING_LIMIT  1e-12
#define UNDECIDED_ABOVE 1e-3 // estimated error of a difference, relative, beyond which it says nothing

// ---- slots, called alike ----

typedef enum { EVAL, OBSERVE, EVAL_VJP, OBSERVE_VJP, EVAL_JVP, JACOBIAN, TERMINAL, NUM_SLOTS } Slot;

static const char *const SLOT_NAMES[] = {"eval",     "observe",  "eval_vjp", "observe_vjp",
                                         "eval_jvp", "jacobian", "terminal"};

static PetscBool HasSlot(const ProblemCheck *k, Slot slot) {
  const CtpgProblemType *p = k->problem.type;
  const PetscBool present[] = {PETSC_TRUE,    PETSC_TRUE,    !!p->eval_vjp, !!p->observe_vjp,
                               !!p->eval_jvp, !!p->jacobian, !!p->terminal};
  return present[slot];
}

static PetscBool Accumulates(Slot slot) {
  return slot == EVAL_VJP || slot == OBSERVE_VJP ? PETSC_TRUE : PETSC_FALSE;
}

// Reals per point of a slot's two outputs, which lie one behind the other: [n, first], [n, second].
static void SlotWidths(const ProblemCheck *k, Slot slot, PetscInt *first, PetscInt *second) {
  const PetscInt nx = k->nx, nu = k->nu, no = k->no;
  const PetscInt widths[][2] = {{nx, 1}, {no, 0}, {nx, nu}, {nx, 0}, {nx, 1}, {nx * nx, nx * nu}, {1, nx}};
  *first = widths[slot][0];
  *second = widths[slot][1];
}

static PetscInt SlotSize(const ProblemCheck *k, Slot slot, PetscInt n) {
  PetscInt first, second;
  SlotWidths(k, slot, &first, &second);
  return n * (first + second);
}

// Points p .. p + n - 1, all with the task of point `start`, into out [SlotSize].
static CtpgStatus CallSlot(const ProblemCheck *k, Slot slot, PetscInt start, PetscInt p, PetscInt n, PetscReal *out) {
  const CtpgProblemType *type = k->problem.type;
  const CtpgTask task = ProblemCheckTask(k, start);
  const PetscReal *t = k->t + p, *x = k->x + p * k->nx, *u = k->u + p * k->nu, *v = k->v + p * k->nx, *c = k->c + p;
  void *ctx = k->problem.ctx;
  CtpgStatus status = CTPG_OK;
  PetscInt a, b;
  SlotWidths(k, slot, &a, &b);
  PetscReal *second = out + n * a;
  switch (slot) {
  case EVAL: return type->eval(ctx, &task, n, t, x, u, out, second);
  case OBSERVE: return type->observe(ctx, &task, n, t, x, out);
  case EVAL_VJP: return type->eval_vjp(ctx, &task, n, t, x, u, v, c, out, second);
  case OBSERVE_VJP: return type->observe_vjp(ctx, &task, n, t, x, k->go + p * k->no, out);
  case EVAL_JVP: return type->eval_jvp(ctx, &task, n, t, x, u, v, k->du + p * k->nu, out, second);
  case JACOBIAN:
    for (PetscInt i = 0; i < n && status == CTPG_OK; i++)
      status = type->jacobian(ctx, &task, t[i], x + i * k->nx, u + i * k->nu, out + i * a, second + i * b);
    return status;
  case TERMINAL:
    for (PetscInt i = 0; i < n && status == CTPG_OK; i++)
      status = type->terminal(ctx, &task, x + i * k->nx, out + i * a, second + i * b);
    return status;
  case NUM_SLOTS: break;
  }
  return CTPG_SKIPPED;
}

static void Fill(PetscInt n, PetscReal value, PetscReal *out) {
  for (PetscInt i = 0; i < n; i++) out[i] = value;
}

static CtpgStatus CallFresh(const ProblemCheck *k, Slot slot, PetscInt start, PetscInt p, PetscInt n, PetscReal *out) {
  Fill(SlotSize(k, slot, n), 0, out);
  return CallSlot(k, slot, start, p, n, out);
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
  const PetscInt size = SlotSize(k, slot, n);
  if (CheckSameBits(size, a, b)) return;
  const PetscReal difference = LargestDifference(size, a, b);
  CheckOffer(worst, fmax(difference, DBL_MIN), "%s at point %d gives other bits %s", SLOT_NAMES[slot], (int)p, how);
}

// ---- purity ----

static PetscBool SameCallSameBits(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  for (Slot slot = 0; slot < NUM_SLOTS; slot++)
    for (PetscInt p = 0; p < k->n && HasSlot(k, slot); p++) {
      CallFresh(k, slot, p, p, 1, k->out[0]); // what is left of calls elsewhere is the next check's business
      CallFresh(k, slot, p, p, 1, k->out[0]);
      CallFresh(k, slot, p, p, 1, k->out[1]);
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
      if (!HasSlot(k, slot) || !HasSlot(k, other)) continue;
      CallFresh(k, other, 0, 0, 1, k->out[1]);
      CallFresh(k, slot, 0, 0, 1, k->out[0]);
      CallFresh(k, slot, 0, 0, 1, k->out[0]);
      for (PetscInt p = 1; p < k->n; p++) CallFresh(k, other, p, p, 1, k->out[1]);
      CallFresh(k, slot, 0, 0, 1, k->out[1]);
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
    if (!HasSlot(k, slot) || slot == JACOBIAN || slot == TERMINAL) continue;
    const CtpgStatus status = CallFresh(k, slot, 0, 0, k->n, k->out[0]);
    for (PetscInt p = 0; p < k->n && status == CTPG_OK; p++) {
      OnePointOf(k, slot, p, k->out[0], k->out[1]);
      if (CallFresh(k, slot, 0, p, 1, k->out[2]) == CTPG_OK)
        OfferSame(k, &worst, slot, p, 1, k->out[1], k->out[2], "in a call of several points than in a call of its own");
    }
  }
  return CheckConclude(k->report, "n points equal n calls", &worst);
}

static void OutputsOverwritten(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  for (Slot slot = 0; slot < NUM_SLOTS; slot++) {
    if (!HasSlot(k, slot) || Accumulates(slot)) continue;
    CallFresh(k, slot, 0, 0, 1, k->out[0]);
    Fill(SlotSize(k, slot, 1), 1e30, k->out[1]);
    CallSlot(k, slot, 0, 0, 1, k->out[1]);
    OfferSame(k, &worst, slot, 0, 1, k->out[0], k->out[1], "when its output held something before; it must overwrite");
  }
  CheckConclude(k->report, "outputs are overwritten", &worst);
}

static PetscBool ProductsAccumulate(ProblemCheck *k) {
  CheckWorst worst = {.limit = ROUNDING_LIMIT};
  for (Slot slot = EVAL_VJP; slot <= OBSERVE_VJP; slot++)
    for (PetscInt p = 0; p < k->n && HasSlot(k, slot); p++) {
      const PetscInt size = SlotSize(k, slot, 1);
      CallFresh(k, slot, p, p, 1, k->out[0]);
      for (PetscInt i = 0; i < size; i++) k->out[1][i] = 1 + (PetscReal)i;
      CallSlot(k, slot, p, p, 1, k->out[1]);
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
  CallFresh(k, slot, p, p, 1, out);
  memcpy(v, k->kept, nx);
  memcpy(go, k->kept + k->nx, no);
  k->c[p] = c;
}

static PetscBool ProductsLinear(ProblemCheck *k) {
  const PetscReal a = 0.75, b = -1.25;
  CheckWorst worst = {.limit = ROUNDING_LIMIT};
  for (Slot slot = EVAL_VJP; slot <= OBSERVE_VJP; slot++)
    for (PetscInt p = 0; p < k->n && HasSlot(k, slot); p++) {
      const PetscInt q = (p + 1) % k->n, size = SlotSize(k, slot, 1);
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

// ---- derivatives entry by entry ----

// A line through point p along entry j of x (j < nx) or of u.
typedef struct {
  ProblemCheck *k;
  Slot slot; // EVAL, OBSERVE or TERMINAL
  PetscInt p, j;
} EntryLine;

static CtpgStatus AlongEntry(void *context, PetscReal s, PetscReal *values) {
  const EntryLine *line = context;
  ProblemCheck *k = line->k;
  PetscReal *entry = line->j < k->nx ? k->x + line->p * k->nx + line->j : k->u + line->p * k->nu + line->j - k->nx;
  const PetscReal at = *entry;
  *entry = at + s;
  const CtpgStatus status = CallFresh(k, line->slot, line->p, line->p, 1, values);
  *entry = at;
  return status;
}

// What is compared in a block of entries, and how it went.
typedef struct {
  const char *name, *label; // of the check; "f_x"
  CheckWorst worst;
  PetscInt entries, undecided;
} Block;

// ", x = (1, 2, 3)", at most eight entries.
static void AppendVector(const char *name, PetscInt n, const PetscReal *values, size_t size, char *text) {
  for (PetscInt i = 0; i < PetscMin(8, n); i++) {
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%.4g", i ? ", " : name, i ? "" : " = (", values[i]);
  }
  const size_t used = strlen(text);
  snprintf(text + used, size - used, n > 8 ? ", ...)" : ")");
}

static const char *Where(const ProblemCheck *k, PetscInt p, size_t size, char *text) {
  snprintf(text, size, "point %d: t = %.4g", (int)p, k->t[p]);
  AppendVector(", x", k->nx, k->x + p * k->nx, size, text);
  AppendVector(", u", k->nu, k->u + p * k->nu, size, text);
  return text;
}

static void OfferEntry(Block *block, PetscInt i, PetscInt j, const ProblemCheck *k, PetscInt p, PetscReal found,
                       PetscReal expected, PetscReal uncertainty, PetscReal scale) {
  block->entries++;
  if (!(uncertainty < UNDECIDED_ABOVE * scale)) {
    block->undecided++;
    return;
  }
  char where[256];
  CheckOffer(&block->worst, CheckDiscrepancy(found, expected, uncertainty, scale, block->worst.limit),
             "%s[%d, %d] is %.9g, differences give %.9g +- %.0e, at %s", block->label, (int)i, (int)j, found, expected,
             uncertainty, Where(k, p, sizeof where, where));
}

static void ConcludeBlock(ProblemCheck *k, Block *block) {
  const PetscBool smooth = k->problem.type->flags & CTPG_IS_NONSMOOTH ? PETSC_FALSE : PETSC_TRUE;
  if (smooth && 2 * block->undecided > block->entries)
    CheckOffer(
        &block->worst, INFINITY,
        "%d of %d entries of %s cannot be found by differences: not smooth or not defined near the drawn states; "
        "a problem with kinks says so with CTPG_IS_NONSMOOTH",
        (int)block->undecided, (int)block->entries, block->label);
  k->derivatives_right &= CheckConclude(k->report, block->name, &block->worst);
}

// found [(nx + 1), (nx + nu)]: rows of f_x, f_u by unit vectors v, last row w_x, w_u by c = 1.
static void MatrixByProducts(ProblemCheck *k, PetscInt p, PetscReal *found) {
  const PetscInt nx = k->nx, nu = k->nu;
  const CtpgTask task = ProblemCheckTask(k, p);
  PetscReal *v = k->kept;
  memset(found, 0, (size_t)((nx + 1) * (nx + nu)) * sizeof *found);
  for (PetscInt i = 0; i <= nx; i++) {
    const PetscReal c = i == nx;
    memset(v, 0, (size_t)nx * sizeof *v);
    if (i < nx) v[i] = 1;
    k->problem.type->eval_vjp(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, k->u + p * nu, v, &c,
                              found + i * (nx + nu), found + i * (nx + nu) + nx);
  }
}

// Largest entry of a row and the size of the function itself: what its entries are compared with.
static PetscReal RowScale(PetscInt n, const PetscReal *row, PetscReal value) {
  PetscReal scale = fabs(value);
  for (PetscInt j = 0; j < n; j++) scale = fmax(scale, fabs(row[j]));
  return fmax(scale, DBL_MIN);
}

static void CompareEval(ProblemCheck *k, PetscInt p, Block blocks[4]) {
  const PetscInt nx = k->nx, nz = nx + k->nu;
  MatrixByProducts(k, p, k->found);
  CallFresh(k, EVAL, p, p, 1, k->out[0]);
  for (PetscInt j = 0; j < nz; j++) {
    const PetscReal at = j < nx ? k->x[p * nx + j] : k->u[p * k->nu + j - nx];
    EntryLine line = {.k = k, .slot = EVAL, .p = p, .j = j};
    CheckDifferences(AlongEntry, &line, nx + 1, fmax(1, fabs(at)), k->work, k->expected, k->uncertainty);
    for (PetscInt i = 0; i <= nx; i++)
      OfferEntry(&blocks[(i == nx ? 2 : 0) + (j >= nx)], i == nx ? 0 : i, j < nx ? j : j - nx, k, p,
                 k->found[i * nz + j], k->expected[i], k->uncertainty[i],
                 RowScale(nz, k->found + i * nz, k->out[0][i]));
  }
}

static void EvalDerivatives(ProblemCheck *k) {
  Block blocks[] = {{.name = "f_x against Richardson differences", .label = "f_x", .worst = {.limit = 1e-7}},
                    {.name = "f_u against Richardson differences", .label = "f_u", .worst = {.limit = 1e-7}},
                    {.name = "w_x against Richardson differences", .label = "w_x", .worst = {.limit = 1e-7}},
                    {.name = "w_u against Richardson differences", .label = "w_u", .worst = {.limit = 1e-7}}};
  if (!k->problem.type->eval_vjp) {
    CheckSkip(k->report, "f_x, f_u, w_x, w_u", "no eval_vjp: the closed loop takes differences");
    return;
  }
  for (PetscInt p = 0; p < k->n; p++) CompareEval(k, p, blocks);
  for (int b = 0; b < 4; b++) ConcludeBlock(k, &blocks[b]);
}

// Row i of o_x is the product with the unit vector i.
static void ObserveDerivatives(ProblemCheck *k) {
  const PetscInt nx = k->nx, no = k->no;
  const CtpgProblemType *type = k->problem.type;
  Block block = {.name = "o_x against Richardson differences", .label = "o_x", .worst = {.limit = 1e-7}};
  if (!type->observe_vjp) {
    CheckSkip(k->report, block.name, "no observe_vjp: the closed loop takes differences");
    return;
  }
  for (PetscInt p = 0; p < k->n; p++) {
    const CtpgTask task = ProblemCheckTask(k, p);
    PetscReal *go = k->kept;
    memset(k->found, 0, (size_t)(no * nx) * sizeof(PetscReal));
    for (PetscInt i = 0; i < no; i++) {
      memset(go, 0, (size_t)no * sizeof *go);
      go[i] = 1;
      type->observe_vjp(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, go, k->found + i * nx);
    }
    CallFresh(k, OBSERVE, p, p, 1, k->out[0]);
    for (PetscInt j = 0; j < nx; j++) {
      EntryLine line = {.k = k, .slot = OBSERVE, .p = p, .j = j};
      CheckDifferences(AlongEntry, &line, no, fmax(1, fabs(k->x[p * nx + j])), k->work, k->expected, k->uncertainty);
      for (PetscInt i = 0; i < no; i++)
        OfferEntry(&block, i, j, k, p, k->found[i * nx + j], k->expected[i], k->uncertainty[i],
                   RowScale(nx, k->found + i * nx, k->out[0][i]));
    }
  }
  ConcludeBlock(k, &block);
}

static void TerminalDerivatives(ProblemCheck *k) {
  Block block = {.name = "J_x against Richardson differences", .label = "J_x", .worst = {.limit = 1e-7}};
  if (!k->problem.type->terminal) return;
  for (PetscInt p = 0; p < k->n; p++) {
    CallFresh(k, TERMINAL, p, p, 1, k->found);
    for (PetscInt j = 0; j < k->nx; j++) {
      EntryLine line = {.k = k, .slot = TERMINAL, .p = p, .j = j};
      CheckDifferences(AlongEntry, &line, 1 + k->nx, fmax(1, fabs(k->x[p * k->nx + j])), k->work, k->expected,
                       k->uncertainty);
      OfferEntry(&block, 0, j, k, p, k->found[1 + j], k->expected[0], k->uncertainty[0],
                 RowScale(k->nx, k->found + 1, k->found[0]));
    }
  }
  ConcludeBlock(k, &block);
}

// ---- optional slots against the products ----

static void OfferProduct(CheckWorst *worst, const char *slot, PetscInt i, PetscInt p, PetscReal found,
                         PetscReal expected, PetscReal scale) {
  CheckOffer(worst, fabs(found - expected) / fmax(scale, DBL_MIN),
             "%s, output %d at point %d is %.9g, the rows of eval_vjp give %.9g", slot, (int)i, (int)p, found,
             expected);
}

static PetscBool DirectionalSlot(ProblemCheck *k) {
  const PetscInt nx = k->nx, nu = k->nu, nz = nx + nu;
  CheckWorst worst = {.limit = 1e-11};
  if (!k->problem.type->eval_jvp || !k->problem.type->eval_vjp) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    MatrixByProducts(k, p, k->found);
    CallFresh(k, EVAL_JVP, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i <= nx; i++) {
      PetscReal expected = 0;
      for (PetscInt j = 0; j < nx; j++) expected += k->found[i * nz + j] * k->v[p * nx + j];
      for (PetscInt j = 0; j < nu; j++) expected += k->found[i * nz + nx + j] * k->du[p * nu + j];
      OfferProduct(&worst, "eval_jvp", i, p, k->out[0][i], expected, RowScale(nz, k->found + i * nz, expected));
    }
  }
  return CheckConclude(k->report, "eval_jvp against eval_vjp", &worst);
}

static PetscBool JacobianSlot(ProblemCheck *k) {
  const PetscInt nx = k->nx, nu = k->nu, nz = nx + nu;
  CheckWorst worst = {.limit = 1e-11};
  if (!k->problem.type->jacobian || !k->problem.type->eval_vjp) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    MatrixByProducts(k, p, k->found);
    CallFresh(k, JACOBIAN, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i < nx; i++)
      for (PetscInt j = 0; j < nz; j++) {
        const PetscInt at = j < nx ? i * nx + j : nx * nx + i * nu + j - nx;
        OfferProduct(&worst, "jacobian", at, p, k->out[0][at], k->found[i * nz + j],
                     RowScale(nz, k->found + i * nz, 0));
      }
  }
  return CheckConclude(k->report, "jacobian against eval_vjp", &worst);
}

static void PositionsFollowVelocities(ProblemCheck *k) {
  const CtpgDims *dims = &k->problem.dims;
  const PetscInt q = CtpgFirstPosition(dims), v = CtpgFirstVelocity(dims);
  CheckWorst worst = {.limit = 0};
  if (!dims->nq) return;
  for (PetscInt p = 0; p < k->n; p++) {
    CallFresh(k, EVAL, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i < dims->nq; i++) {
      const PetscReal velocity = k->x[p * k->nx + v + i], f = k->out[0][q + i];
      CheckOffer(&worst, fabs(f - velocity),
                 "dims.nq = %d says that f[%d] is x[%d] = %.9g, but f[%d] = %.9g at point %d", (int)dims->nq,
                 (int)(q + i), (int)(v + i), velocity, (int)(q + i), f, (int)p);
    }
  }
  CheckConclude(k->report, "q' = v for dims.nq", &worst);
}

// ---- descriptor and sizes ----

static PetscBool DescriptorSane(const CtpgProblemType *type, CheckReport *report) {
  const char *missing = !type->create    ? "create"
                        : !type->draw    ? "draw"
                        : !type->eval    ? "eval"
                        : !type->observe ? "observe"
                        : !type->destroy ? "destroy"
                                         : NULL;
  return CheckDescriptor(report, type, sizeof *type, "CtpgProblemType", missing);
}

static PetscBool BreaksSane(const CtpgDims *dims) {
  for (PetscInt i = 0; i < dims->nbreak; i++)
    if (!(dims->breaks[i] > (i ? dims->breaks[i - 1] : 0) && dims->breaks[i] < 1)) return PETSC_FALSE;
  return PETSC_TRUE;
}

static PetscBool SizesSane(const CtpgDims *d, CheckReport *report) {
  const char *name = "sizes";
  if (d->nx < 1 || d->nu < 1 || d->no < 1 || d->ntask < 0 || d->nbreak < 0)
    CheckFail(report, name, "nx = %d, nu = %d, no = %d, ntask = %d, nbreak = %d; expected 1 or more of the first three",
              (int)d->nx, (int)d->nu, (int)d->no, (int)d->ntask, (int)d->nbreak);
  else if (d->nq < 0 || 2 * d->nq > d->nx)
    CheckFail(report, name, "nq = %d, but positions and velocities are 2 nq of nx = %d states", (int)d->nq, (int)d->nx);
  else if (!(d->T > 0) || !isfinite(d->T))
    CheckFail(report, name, "T = %g; expected a positive horizon", d->T);
  else if (!BreaksSane(d))
    CheckFail(report, name, "breaks are not rising inside (0, 1); they are fractions of T");
  else if (!d->policy || !d->widths || !d->activations)
    CheckFail(report, name, "policy, widths or activations is NULL; expected the default policy");
  else {
    CheckPass(report, name, "nx = %d, nu = %d, no = %d, T = %g s", (int)d->nx, (int)d->nu, (int)d->no, d->T);
    return PETSC_TRUE;
  }
  return PETSC_FALSE;
}

// The bare life of an instance, before the engine builds a policy on its sizes.
static PetscErrorCode LifeCycle(const CtpgProblemType *type, const char *label, CheckReport *report, PetscBool *sane) {
  CtpgOptions options;
  CtpgDims dims = {0};
  void *ctx = NULL, *none = NULL;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(label, type->name, &options));
  PetscCall(type->create(PETSC_COMM_SELF, options, &dims, &ctx));
  *sane = SizesSane(&dims, report);
  type->destroy(&ctx);
  type->destroy(&none);
  if (ctx)
    CheckFail(report, "destroy", "destroy leaves the handle set; expected NULL");
  else
    CheckPass(report, "destroy", "nulls the handle, takes an empty one");
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// ---- draws ----

static PetscBool SameCase(const ProblemCheck *k, const CtpgCase *a, const CtpgCase *b, PetscBool with_theta) {
  return CheckSameBits(k->nx, a->x0, b->x0) && CheckSameBits(k->problem.dims.ntask, a->task, b->task) &&
                 (!with_theta || CheckSameBits(k->np, a->theta, b->theta))
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static PetscErrorCode Draws(ProblemCheck *k) {
  const int seed = (int)k->settings->seed;
  const char *name = "draws";
  CtpgCase first, next, again;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&k->problem, seed, 0, &first));
  PetscCall(CaseDraw(&k->problem, seed + 1, 0, &next));
  PetscCall(CaseDraw(&k->problem, seed, 0, &again));
  if (!SameCase(k, &first, &again, PETSC_TRUE))
    CheckFail(k->report, name,
              "seed %d gives another x0, task or theta when it is drawn again; draw must use its streams alone", seed);
  else if (SameCase(k, &first, &next, PETSC_FALSE))
    CheckFail(k->report, name, "seeds %d and %d give the same x0 and task", seed, seed + 1);
  else
    CheckPass(k->report, name, "the same again for one seed, another for the next");
  PetscCall(CaseDestroy(&first));
  PetscCall(CaseDestroy(&next));
  PetscCall(CaseDestroy(&again));
  PetscFunctionReturn(0);
}

// x0 and task are filled and the closed loop has a beginning there.
static PetscErrorCode FiniteAtStarts(ProblemCheck *k, PetscBool *finite) {
  CheckWorst worst = {.limit = 0};
  const PetscReal zero = 0;
  CtpgCase c;
  ClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(ProblemCreateLoop(&k->problem, &loop));
  for (PetscInt i = 0; i < STARTS; i++) {
    PetscCall(CaseDraw(&k->problem, k->settings->seed + i, 0, &c));
    ClosedLoopSetCase(loop, c.theta, c.task, c.T);
    ClosedLoopStart(loop, NULL);
    if (ClosedLoopEval(loop, 1, &zero, c.x0, k->out[0], k->out[1], NULL) != CTPG_OK)
      CheckOffer(&worst, 1, "seed %d: %s (%s)", (int)(k->settings->seed + i), ClosedLoopGetReason(loop),
                 CtpgStatusName(ClosedLoopGetStatus(loop)));
    PetscCall(CaseDestroy(&c));
  }
  *finite = worst.worst > 0 ? PETSC_FALSE : PETSC_TRUE;
  if (!*finite)
    CheckFail(k->report, "finite at drawn starts", "%s", worst.sentence);
  else
    CheckPass(k->report, "finite at drawn starts", "%d starts", STARTS);
  PetscCall(ClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

// ---- random points ----

CtpgTask ProblemCheckTask(const ProblemCheck *k, PetscInt p) {
  const PetscInt ntask = k->problem.dims.ntask;
  return (CtpgTask){.values = ntask ? k->tasks + p * ntask : NULL, .T = k->problem.dims.T, .piece = -1};
}

// Is the plant defined at this point? One that says CTPG_OK and returns what is not finite is remembered: it should say
// CTPG_DOMAIN.
static PetscBool Defined(ProblemCheck *k, PetscInt p) {
  const CtpgStatus eval = CallFresh(k, EVAL, p, p, 1, k->out[0]), observe = CallFresh(k, OBSERVE, p, p, 1, k->out[1]);
  if (eval != CTPG_OK || observe != CTPG_OK) return PETSC_FALSE;
  PetscBool finite = PETSC_TRUE;
  for (PetscInt i = 0; i <= k->nx; i++)
    if (!isfinite(k->out[0][i])) finite = PETSC_FALSE;
  for (PetscInt i = 0; i < k->no; i++)
    if (!isfinite(k->out[1][i])) finite = PETSC_FALSE;
  if (!finite && !k->not_finite[0]) Where(k, p, sizeof k->not_finite, k->not_finite);
  return finite;
}

static void DrawNormals(CtpgStream *stream, PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = CtpgStreamNormal(stream);
}

// A drawn start, displaced by a tenth of its size, at a random time under random controls.
static PetscErrorCode DrawPoint(ProblemCheck *k, CtpgStream *stream, PetscInt p) {
  const PetscInt nx = k->nx, ntask = k->problem.dims.ntask;
  PetscReal *x = k->x + p * nx;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&k->problem, k->settings->seed + p, 0, &c));
  PetscCall(PetscArraycpy(k->tasks + p * ntask, c.task, ntask));
  for (int i = 0; i < TRIES; i++) {
    k->t[p] = CtpgStreamUniformIn(stream, 0, k->problem.dims.T);
    for (PetscInt j = 0; j < nx; j++) x[j] = c.x0[j] + 0.1 * fmax(1, fabs(c.x0[j])) * CtpgStreamNormal(stream);
    DrawNormals(stream, k->nu, k->u + p * k->nu);
    if (Defined(k, p)) break;
  }
  PetscCall(CaseDestroy(&c));
  DrawNormals(stream, nx, k->v + p * nx);
  DrawNormals(stream, 1, k->c + p);
  DrawNormals(stream, k->no, k->go + p * k->no);
  DrawNormals(stream, k->nu, k->du + p * k->nu);
  PetscFunctionReturn(0);
}

static PetscErrorCode DrawPoints(ProblemCheck *k) {
  CtpgStream stream = CtpgStreamOpen((uint64_t)k->settings->seed, k->problem.type->name, CTPG_STREAM_CHECK, 1, 0);
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < k->n; p++) PetscCall(DrawPoint(k, &stream, p));
  PetscFunctionReturn(0);
}

static void FiniteAtPoints(const ProblemCheck *k) {
  if (k->not_finite[0])
    CheckFail(k->report, "finite at sampled states",
              "f, w or o is not finite at %s, but the status is CTPG_OK; where the "
              "plant is not defined return CTPG_DOMAIN",
              k->not_finite);
  else
    CheckPass(k->report, "finite at sampled states", "%d states", (int)k->n);
}

static PetscErrorCode Allocate(ProblemCheck *k) {
  const PetscInt n = k->n, nx = k->nx, nu = k->nu, no = k->no, rows = PetscMax(nx + 1, no);
  PetscInt largest = 0;

  PetscFunctionBeginUser;
  for (Slot slot = 0; slot < NUM_SLOTS; slot++)
    if (HasSlot(k, slot)) largest = PetscMax(largest, SlotSize(k, slot, n));
  PetscCall(PetscCalloc5(n, &k->t, n * nx, &k->x, n * nu, &k->u, n * nx, &k->v, n, &k->c));
  PetscCall(PetscCalloc3(n * no, &k->go, n * nu, &k->du, n * k->problem.dims.ntask, &k->tasks));
  PetscCall(PetscCalloc3(largest, &k->out[0], largest, &k->out[1], largest, &k->out[2]));
  PetscCall(PetscCalloc5(nx + no, &k->kept, rows * (nx + nu), &k->found, (CHECK_LEVELS + 2) * rows, &k->work, rows,
                         &k->expected, rows, &k->uncertainty));
  PetscFunctionReturn(0);
}

static PetscErrorCode Free(ProblemCheck *k) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree5(k->t, k->x, k->u, k->v, k->c));
  PetscCall(PetscFree3(k->go, k->du, k->tasks));
  PetscCall(PetscFree3(k->out[0], k->out[1], k->out[2]));
  PetscCall(PetscFree5(k->kept, k->found, k->work, k->expected, k->uncertainty));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode CheckSlots(ProblemCheck *k) {
  PetscFunctionBeginUser;
  k->derivatives_right = PETSC_TRUE;
  const PetscBool pure = SameCallSameBits(k) && NoStateBetweenCalls(k) ? PETSC_TRUE : PETSC_FALSE;
  if (!pure) {
    CheckSkip(k->report, "derivatives, closed loop", "the slots must be functions of their arguments first");
    PetscFunctionReturn(0);
  }
  const PetscBool single = ManyPointsEqualSingleCalls(k);
  OutputsOverwritten(k);
  const PetscBool linear = ProductsAccumulate(k) && ProductsLinear(k) ? PETSC_TRUE : PETSC_FALSE;
  EvalDerivatives(k);
  ObserveDerivatives(k);
  TerminalDerivatives(k);
  PositionsFollowVelocities(k);
  PetscBool sound = single && linear && k->derivatives_right ? PETSC_TRUE : PETSC_FALSE;
  if (sound) {
    const PetscBool directional = DirectionalSlot(k), jacobian = JacobianSlot(k);
    sound = directional && jacobian ? PETSC_TRUE : PETSC_FALSE;
  }
  if (sound)
    PetscCall(CheckLoopOfProblem(k));
  else
    CheckSkip(k->report, "closed loop", "the slots must be right first");
  PetscFunctionReturn(0);
}

PetscErrorCode CheckProblem(const CtpgProblemType *type, const char *label_text, const CheckSettings *settings,
                            CheckReport *report) {
  ProblemCheck k = {.report = report, .settings = settings, .n = PetscMax(2, settings->points)};
  CtpgLabel label = {"", ""};
  PetscBool sane = PETSC_FALSE, finite = PETSC_FALSE;

  PetscFunctionBeginUser;
  report->subject = label_text;
  if (!DescriptorSane(type, report)) PetscFunctionReturn(0);
  PetscCall(LifeCycle(type, label_text, report, &sane));
  if (!sane) PetscFunctionReturn(0);
  PetscCall(PetscStrncpy(label.label, label_text, sizeof label.label));
  PetscCall(ProblemCreateFromType(type, &label, &k.problem));
  k.nx = k.problem.dims.nx;
  k.nu = k.problem.dims.nu;
  k.no = k.problem.dims.no;
  k.np = PolicyGetSize(k.problem.policy);
  PetscCall(Allocate(&k));
  PetscCall(Draws(&k));
  PetscCall(FiniteAtStarts(&k, &finite));
  PetscCall(DrawPoints(&k));
  if (finite) {
    FiniteAtPoints(&k);
    PetscCall(CheckSlots(&k));
  } else
    CheckSkip(report, "slots, closed loop", "the plant must be defined where it starts first");
  PetscCall(Free(&k));
  PetscCall(ProblemDestroy(&k.problem));
  PetscFunctionReturn(0);
}
