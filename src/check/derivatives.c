// derivatives.c -- the derivatives of a problem, entry by entry, and its optional slots against its products
//
// Entries are compared, with unit vectors in the products, against differences that carry an error estimate (report.c).

#include "check/problem_private.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNDECIDED_ABOVE 1e-3 // estimated error of a difference, relative, beyond which it says nothing

// How far entries may be from ours. Where products are differences themselves, the rounding of f is divided by their
// step: 2e-7 on a chain of ten hinges.
static PetscReal EntryLimit(const ProblemCheck *k) {
  return k->problem.type->flags & CTPG_IS_DIFFERENCED ? 1e-6 : 1e-7;
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
  const CtpgStatus status = CheckCallFresh(k, line->slot, line->p, line->p, 1, values);
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

const char *CheckWhere(const ProblemCheck *k, PetscInt p, size_t size, char *text) {
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
             uncertainty, CheckWhere(k, p, sizeof where, where));
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
  CheckCallFresh(k, EVAL, p, p, 1, k->out[0]);
  for (PetscInt j = 0; j < nz; j++) {
    const PetscReal at = j < nx ? k->x[p * nx + j] : k->u[p * k->nu + j - nx];
    EntryLine line = {.k = k, .slot = EVAL, .p = p, .j = j};
    CheckDifferences(AlongEntry, &line, k->problem.type->flags, nx + 1, fmax(1, fabs(at)), k->work, k->expected,
                     k->uncertainty);
    for (PetscInt i = 0; i <= nx; i++)
      OfferEntry(&blocks[(i == nx ? 2 : 0) + (j >= nx)], i == nx ? 0 : i, j < nx ? j : j - nx, k, p,
                 k->found[i * nz + j], k->expected[i], k->uncertainty[i],
                 RowScale(nz, k->found + i * nz, k->out[0][i]));
  }
}

static void EvalDerivatives(ProblemCheck *k) {
  const CheckWorst none = {.limit = EntryLimit(k)};
  Block blocks[] = {{.name = "f_x against Richardson differences", .label = "f_x", .worst = none},
                    {.name = "f_u against Richardson differences", .label = "f_u", .worst = none},
                    {.name = "w_x against Richardson differences", .label = "w_x", .worst = none},
                    {.name = "w_u against Richardson differences", .label = "w_u", .worst = none}};
  if (!k->problem.type->eval_vjp) {
    CheckSkip(k->report, "f_x, f_u, w_x, w_u", "no eval_vjp: the closed loop takes differences");
    return;
  }
  for (PetscInt p = 0; p < k->n; p++) CompareEval(k, p, blocks);
  for (int b = 0; b < 4; b++) ConcludeBlock(k, &blocks[b]);
}

// found [no, nx]: row i of o_x is the product with the unit vector i.
static void ObservationByProducts(ProblemCheck *k, PetscInt p, PetscReal *found) {
  const PetscInt nx = k->nx, no = k->no;
  const CtpgTask task = ProblemCheckTask(k, p);
  PetscReal *go = k->kept;
  memset(found, 0, (size_t)(no * nx) * sizeof *found);
  for (PetscInt i = 0; i < no; i++) {
    memset(go, 0, (size_t)no * sizeof *go);
    go[i] = 1;
    k->problem.type->observe_vjp(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, go, found + i * nx);
  }
}

static void ObserveDerivatives(ProblemCheck *k) {
  const PetscInt nx = k->nx, no = k->no;
  Block block = {.name = "o_x against Richardson differences", .label = "o_x", .worst = {.limit = EntryLimit(k)}};
  if (!k->problem.type->observe) return;
  if (!k->problem.type->observe_vjp) {
    CheckSkip(k->report, block.name, "no observe_vjp: the closed loop takes differences");
    return;
  }
  for (PetscInt p = 0; p < k->n; p++) {
    ObservationByProducts(k, p, k->found);
    CheckCallFresh(k, OBSERVE, p, p, 1, k->out[0]);
    for (PetscInt j = 0; j < nx; j++) {
      EntryLine line = {.k = k, .slot = OBSERVE, .p = p, .j = j};
      CheckDifferences(AlongEntry, &line, k->problem.type->flags, no, fmax(1, fabs(k->x[p * nx + j])), k->work,
                       k->expected, k->uncertainty);
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
    CheckCallFresh(k, TERMINAL, p, p, 1, k->found);
    for (PetscInt j = 0; j < k->nx; j++) {
      EntryLine line = {.k = k, .slot = TERMINAL, .p = p, .j = j};
      CheckDifferences(AlongEntry, &line, k->problem.type->flags, 1 + k->nx, fmax(1, fabs(k->x[p * k->nx + j])),
                       k->work, k->expected, k->uncertainty);
      OfferEntry(&block, 0, j, k, p, k->found[1 + j], k->expected[0], k->uncertainty[0],
                 RowScale(k->nx, k->found + 1, k->found[0]));
    }
  }
  ConcludeBlock(k, &block);
}

// ---- optional slots against the products, entry by entry ----

// Entry (i, j) of [f_x, f_u; w_x, w_u] by `slot`, against the same entry of the products' matrix k->found.
static void OfferPlantEntry(const ProblemCheck *k, CheckWorst *worst, const char *slot, PetscInt p, PetscInt i,
                            PetscInt j, PetscReal found) {
  const PetscInt nx = k->nx, nz = nx + k->nu;
  const PetscReal expected = k->found[i * nz + j];
  char where[256];
  CheckOffer(worst, fabs(found - expected) / RowScale(nz, k->found + i * nz, 0),
             "%s: %s_%s[%d, %d] is %.9g, the rows of eval_vjp give %.9g, at %s", slot, i == nx ? "w" : "f",
             j < nx ? "x" : "u", (int)(i == nx ? 0 : i), (int)(j < nx ? j : j - nx), found, expected,
             CheckWhere(k, p, sizeof where, where));
}

// A direction that is no unit vector: the slot must be linear.
static void OfferDirection(const ProblemCheck *k, CheckWorst *worst, const char *slot, PetscInt p, PetscInt i,
                           PetscReal found, PetscReal expected, PetscReal scale) {
  char where[256];
  CheckOffer(worst, fabs(found - expected) / fmax(scale, DBL_MIN),
             "%s: output %d along a random direction is %.9g, its entries give %.9g, at %s", slot, (int)i, found,
             expected, CheckWhere(k, p, sizeof where, where));
}

// What is wrong with the entries is said first: a direction only mixes them.
static const CheckWorst *EntriesFirst(const CheckWorst *entries, const CheckWorst *mixed) {
  return entries->worst > entries->limit || entries->worst > mixed->worst ? entries : mixed;
}

static void SetUnit(ProblemCheck *k, PetscInt size, PetscInt j) {
  memset(k->unit, 0, (size_t)size * sizeof *k->unit);
  k->unit[j] = 1;
}

static PetscReal Combine(PetscInt n, const PetscReal *row, const PetscReal *direction, PetscReal *scale) {
  PetscReal sum = 0;
  for (PetscInt j = 0; j < n; j++) sum += row[j] * direction[j], *scale += fabs(row[j] * direction[j]);
  return sum;
}

static PetscBool DirectionalSlot(ProblemCheck *k) {
  const PetscInt nx = k->nx, nu = k->nu, nz = nx + nu;
  const CtpgProblemType *type = k->problem.type;
  CheckWorst worst = {.limit = 1e-11}, mixed = worst;
  if (!type->eval_jvp || !type->eval_vjp) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    const CtpgTask task = ProblemCheckTask(k, p);
    MatrixByProducts(k, p, k->found);
    for (PetscInt j = 0; j < nz; j++) {
      SetUnit(k, nz, j);
      type->eval_jvp(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, k->u + p * nu, k->unit, k->unit + nx, k->out[0],
                     k->out[0] + nx);
      for (PetscInt i = 0; i <= nx; i++) OfferPlantEntry(k, &worst, "eval_jvp", p, i, j, k->out[0][i]);
    }
    CheckCallFresh(k, EVAL_JVP, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i <= nx; i++) {
      PetscReal scale = 0, expected = Combine(nx, k->found + i * nz, k->v + p * nx, &scale);
      expected += Combine(nu, k->found + i * nz + nx, k->du + p * nu, &scale);
      OfferDirection(k, &mixed, "eval_jvp", p, i, k->out[0][i], expected, scale);
    }
  }
  return CheckConclude(k->report, "eval_jvp against eval_vjp", EntriesFirst(&worst, &mixed));
}

static void OfferObservationEntry(const ProblemCheck *k, CheckWorst *worst, PetscInt p, PetscInt i, PetscInt j,
                                  PetscReal found) {
  const PetscReal expected = k->found[i * k->nx + j];
  char where[256];
  CheckOffer(worst, fabs(found - expected) / RowScale(k->nx, k->found + i * k->nx, 0),
             "observe_jvp: o_x[%d, %d] is %.9g, the rows of observe_vjp give %.9g, at %s", (int)i, (int)j, found,
             expected, CheckWhere(k, p, sizeof where, where));
}

static PetscBool ObserveDirectionalSlot(ProblemCheck *k) {
  const PetscInt nx = k->nx, no = k->no;
  const CtpgProblemType *type = k->problem.type;
  CheckWorst worst = {.limit = type->flags & CTPG_IS_DIFFERENCED ? 1e-7 : 1e-11}, mixed = worst;
  if (!type->observe_jvp || !type->observe_vjp) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    const CtpgTask task = ProblemCheckTask(k, p);
    ObservationByProducts(k, p, k->found);
    for (PetscInt j = 0; j < nx; j++) {
      SetUnit(k, nx, j);
      type->observe_jvp(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, k->unit, k->out[0]);
      for (PetscInt i = 0; i < no; i++) OfferObservationEntry(k, &worst, p, i, j, k->out[0][i]);
    }
    CheckCallFresh(k, OBSERVE_JVP, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i < no; i++) {
      PetscReal scale = 0;
      const PetscReal expected = Combine(nx, k->found + i * nx, k->v + p * nx, &scale);
      OfferDirection(k, &mixed, "observe_jvp", p, i, k->out[0][i], expected, scale);
    }
  }
  return CheckConclude(k->report, "observe_jvp against observe_vjp", EntriesFirst(&worst, &mixed));
}

static PetscBool JacobianSlot(ProblemCheck *k) {
  const PetscInt nx = k->nx, nu = k->nu, nz = nx + nu;
  CheckWorst worst = {.limit = 1e-11};
  if (!k->problem.type->jacobian || !k->problem.type->eval_vjp) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    MatrixByProducts(k, p, k->found);
    CheckCallFresh(k, JACOBIAN, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i < nx; i++)
      for (PetscInt j = 0; j < nz; j++)
        OfferPlantEntry(k, &worst, "jacobian", p, i, j, k->out[0][j < nx ? i * nx + j : nx * nx + i * nu + j - nx]);
  }
  return CheckConclude(k->report, "jacobian against eval_vjp", &worst);
}

// ---- what dims say of f ----

static PetscBool IsActuated(const CtpgDims *dims, PetscInt i) {
  for (PetscInt r = 0; dims->actuated && r < dims->nactuated; r++)
    if (dims->actuated[r] == i) return PETSC_TRUE;
  return dims->actuated ? PETSC_FALSE : PETSC_TRUE;
}

// f at point p under the controls of point q, for the rows that no control should move.
static void OfferOtherControls(ProblemCheck *k, CheckWorst *worst, PetscInt p, PetscInt q) {
  const PetscInt nx = k->nx;
  const CtpgTask task = ProblemCheckTask(k, p);
  if (k->problem.type->eval(k->problem.ctx, &task, 1, k->t + p, k->x + p * nx, k->u + q * k->nu, k->out[1],
                            k->out[1] + nx) != CTPG_OK)
    return;
  for (PetscInt i = 0; i < nx; i++) {
    if (IsActuated(&k->problem.dims, i)) continue;
    CheckOffer(worst, fabs(k->out[1][i] - k->out[0][i]),
               "dims.actuated says that no control moves f[%d], but at point %d it is %.9g under one control and %.9g "
               "under another",
               (int)i, (int)p, k->out[0][i], k->out[1][i]);
  }
}

static PetscBool OthersIgnoreControls(ProblemCheck *k) {
  CheckWorst worst = {.limit = 0};
  if (!k->problem.dims.actuated) return PETSC_TRUE;
  for (PetscInt p = 0; p < k->n; p++) {
    CheckCallFresh(k, EVAL, p, p, 1, k->out[0]);
    for (PetscInt q = 0; q < k->n; q++) OfferOtherControls(k, &worst, p, q);
  }
  return CheckConclude(k->report, "rows of f that no control moves", &worst);
}

static void PositionsFollowVelocities(ProblemCheck *k) {
  const CtpgDims *dims = &k->problem.dims;
  const PetscInt q = CtpgFirstPosition(dims), v = CtpgFirstVelocity(dims);
  CheckWorst worst = {.limit = 0};
  if (!dims->nq) return;
  for (PetscInt p = 0; p < k->n; p++) {
    CheckCallFresh(k, EVAL, p, p, 1, k->out[0]);
    for (PetscInt i = 0; i < dims->nq; i++) {
      const PetscReal velocity = k->x[p * k->nx + v + i], f = k->out[0][q + i];
      CheckOffer(&worst, fabs(f - velocity),
                 "dims.nq = %d says that f[%d] is x[%d] = %.9g, but f[%d] = %.9g at point %d", (int)dims->nq,
                 (int)(q + i), (int)(v + i), velocity, (int)(q + i), f, (int)p);
    }
  }
  CheckConclude(k->report, "q' = v for dims.nq", &worst);
}

// ---- all of them ----

PetscBool CheckDerivatives(ProblemCheck *k) {
  k->derivatives_right = PETSC_TRUE;
  EvalDerivatives(k);
  ObserveDerivatives(k);
  TerminalDerivatives(k);
  PositionsFollowVelocities(k);
  if (!OthersIgnoreControls(k)) k->derivatives_right = PETSC_FALSE;
  return k->derivatives_right;
}

PetscBool CheckOptionalSlots(ProblemCheck *k) {
  const PetscBool plant = DirectionalSlot(k), observation = ObserveDirectionalSlot(k), jacobian = JacobianSlot(k);
  return plant && observation && jacobian ? PETSC_TRUE : PETSC_FALSE;
}
