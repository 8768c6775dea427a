// rktable.c -- the tables of TSRK, those of rktable_data.h, and the copies that TSAdjoint needs

#include "ctpgbench/toolkit/rktable.h"
#include "base/parse.h"
#include "ctpgbench/options.h"
#include "loop/combine.h"
#include "solve/rktable_data.h"
#include <string.h>

static const char *const NAMES[] = {"1fe", "2a",  "2b",  "3",     "3bs", "4",   "5f",     "5dp", "5bs",
                                    "6vr", "7vr", "8vr", "tsit5", "6ve", "8ve", "dop853", NULL};

const char *const *CtpgRKTableNames(void) {
  return NAMES;
}

// Row i of a packed table.
static const PetscReal *PackedRow(const CtpgTableData *data, PetscInt i) {
  return data->A + i * (i - 1) / 2;
}

static PetscErrorCode RegisterTable(const CtpgTableData *data) {
  const PetscInt s = data->s;
  const PetscBool own_dense = data->dense && !data->nextra ? PETSC_TRUE : PETSC_FALSE;
  PetscReal A[CTPG_RK_MAX_STAGES * CTPG_RK_MAX_STAGES] = {0};

  PetscFunctionBeginUser;
  for (PetscInt i = 1; i < s; i++) PetscCall(PetscArraycpy(A + i * s, PackedRow(data, i), i));
  PetscCall(TSRKRegister(data->name, data->order, s, A, data->b ? data->b : A + (s - 1) * s, data->c, data->embedded,
                         own_dense ? data->pinterp : 0, own_dense ? data->dense : NULL));
  PetscFunctionReturn(0);
}

static PetscErrorCode RegisterOnce(void) {
  static PetscBool registered = PETSC_FALSE;
  PetscFunctionBeginUser;
  if (registered) PetscFunctionReturn(0);
  for (size_t k = 0; k < sizeof TABLES / sizeof *TABLES; k++) PetscCall(RegisterTable(&TABLES[k]));
  registered = PETSC_TRUE;
  PetscFunctionReturn(0);
}

// What TSRK has no room for: a second error estimate, and a dense output with extra stages.
static void AddOwnData(CtpgRKTable *table) {
  table->ndense = table->s;
  table->dense_order = table->pinterp > 1 ? 4 : 1;
  for (size_t k = 0; k < sizeof TABLES / sizeof *TABLES; k++) {
    const CtpgTableData *data = &TABLES[k];
    if (strcmp(data->name, table->name)) continue;
    table->bsecond = data->second;
    if (!data->nextra) continue;
    table->ndense = table->s + 1 + data->nextra;
    table->pinterp = data->pinterp;
    table->binterp = data->dense;
    table->dense_order = data->dense_order;
    table->cextra = data->c + table->s + 1;
    for (PetscInt e = 0; e < data->nextra; e++) table->Aextra[e] = PackedRow(data, table->s + 1 + e);
  }
}

// A stage takes part in the reverse sweep when it has a weight or feeds a stage that takes part.
static void FindReversedStages(CtpgRKTable *table) {
  for (PetscInt i = table->s - 1; i >= 0; i--) {
    table->reversed[i] = table->b[i] != 0 ? PETSC_TRUE : PETSC_FALSE;
    for (PetscInt j = i + 1; j < table->s; j++)
      if (table->reversed[j] && table->A[j * table->s + i] != 0) table->reversed[i] = PETSC_TRUE;
  }
  for (PetscInt i = 0; i < table->s; i++) table->stage_row[i] = i > 0 && table->reversed[i] ? table->nkept++ : -1;
}

static PetscErrorCode ReadTableau(const char *name, CtpgRKTable *table) {
  TS ts;
  PetscFunctionBeginUser;
  PetscCall(TSCreate(PETSC_COMM_SELF, &ts));
  PetscCall(TSSetType(ts, TSRK));
  PetscCall(TSRKSetType(ts, name));
  PetscCall(TSRKGetOrder(ts, &table->order));
  PetscCall(TSRKGetTableau(ts, &table->s, &table->A, &table->b, &table->c, &table->bembed, &table->pinterp,
                           &table->binterp, &table->fsal));
  PetscCall(TSDestroy(&ts));
  PetscCheck(table->s <= CTPG_RK_MAX_STAGES, PETSC_COMM_SELF, PETSC_ERR_SUP, "table %s has %d stages; at most %d", name,
             (int)table->s, CTPG_RK_MAX_STAGES);
  AddOwnData(table);
  FindReversedStages(table);
  PetscFunctionReturn(0);
}

#define DENSE_STAGES (CTPG_RK_MAX_STAGES + 1 + CTPG_RK_MAX_EXTRA)
#define DENSE_ROW    ((DENSE_STAGES + CTPG_LANES - 1) / CTPG_LANES * CTPG_LANES)
#define MOST_POWERS  8

// The dense output's coefficients power by power, zeros filling up the lanes.
static PetscErrorCode ListPowers(CtpgRKTable *table, PetscInt number) {
  static PetscReal powers[sizeof NAMES / sizeof *NAMES][MOST_POWERS][DENSE_ROW];
  PetscFunctionBeginUser;
  PetscCheck(table->pinterp <= MOST_POWERS, PETSC_COMM_SELF, PETSC_ERR_SUP, "table %s has a dense output of degree %d",
             table->name, (int)table->pinterp);
  for (PetscInt j = 0; j < table->pinterp; j++)
    for (PetscInt i = 0; i < table->ndense; i++) powers[number][j][i] = table->binterp[i * table->pinterp + j];
  table->binterp_powers = powers[number][0];
  PetscFunctionReturn(0);
}

// All names, for a message.
static const char *KnownNames(void) {
  static char names[256];
  size_t used = 0;
  for (PetscInt i = 0; NAMES[i]; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? " " : "", NAMES[i]);
  return names;
}

PetscErrorCode CtpgRKTableFind(const char *option, const char *name, CtpgRKTable *table) {
  PetscInt i = 0;

  PetscFunctionBeginUser;
  PetscCall(RegisterOnce());
  while (NAMES[i] && strcmp(NAMES[i], name)) i++;
  PetscCheck(NAMES[i], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a Runge-Kutta table; did you mean %s? Known: %s", option, name, CtpgNearest(name, NAMES),
             KnownNames());
  *table = (CtpgRKTable){.name = NAMES[i]};
  PetscCall(ReadTableau(NAMES[i], table));
  PetscCall(ListPowers(table, i));
  PetscFunctionReturn(0);
}

PetscBool CtpgRKTableHasDenseOutput(const CtpgRKTable *table) {
  return table->pinterp > 1 ? PETSC_TRUE : PETSC_FALSE;
}

// out [n] = scale y + sum over i < terms of c[i] K_i, term after term.
CTPG_WIDE static void AddTerms(PetscInt n, PetscReal scale, const PetscReal *y, PetscInt terms, const PetscReal *c,
                               const PetscReal *const *K, PetscReal *restrict out) {
  for (PetscInt next = 0; n >= CTPG_LANES && next < n; next += CTPG_LANES) {
    const PetscInt k = PetscMin(next, n - CTPG_LANES);
    CtpgLanes sum = scale * CTPG_LANES_AT(y + k);
    for (PetscInt i = 0; i < terms; i++) sum += c[i] * CTPG_LANES_AT(K[i] + k);
    CTPG_LANES_AT(out + k) = sum;
  }
  for (PetscInt k = 0; n < CTPG_LANES && k < n; k++) {
    out[k] = scale * y[k];
    for (PetscInt i = 0; i < terms; i++) out[k] += c[i] * K[i][k];
  }
}

// Horner's rule for several derivatives at a time.
CTPG_WIDE static void DenseWeights(const CtpgRKTable *table, PetscReal theta, PetscReal h, PetscReal *weights) {
  for (PetscInt i = 0; i < table->ndense; i += CTPG_LANES) {
    CtpgLanes weight = {0};
    for (PetscInt j = table->pinterp - 1; j >= 0; j--)
      weight = (weight + CTPG_LANES_AT(table->binterp_powers + j * DENSE_ROW + i)) * theta;
    CTPG_LANES_AT(weights + i) = h * weight;
  }
}

void CtpgRKTableDense(const CtpgRKTable *table, PetscReal theta, PetscReal h, PetscInt n, const PetscReal *x0,
                      const PetscReal *K, PetscReal *x) {
  PetscReal weights[DENSE_ROW];
  const PetscReal *slopes[DENSE_ROW];
  DenseWeights(table, theta, h, weights);
  for (PetscInt i = 0; i < table->ndense; i++) slopes[i] = K + i * n;
  AddTerms(n, 1, x0, table->ndense, weights, slopes, x);
}

void CtpgRKTableStageAdjoint(const CtpgRKTable *table, PetscInt i, PetscReal h, PetscInt n, const PetscReal *alpha,
                             const PetscReal *xbar, PetscReal *kbar) {
  PetscReal weights[CTPG_RK_MAX_STAGES];
  const PetscReal *after[CTPG_RK_MAX_STAGES];
  PetscInt terms = 0;
  for (PetscInt j = i + 1; j < table->s; j++) {
    const PetscReal a = h * table->A[j * table->s + i];
    if (!table->reversed[j] || a == 0) continue;
    weights[terms] = a;
    after[terms++] = xbar + j * n;
  }
  AddTerms(n, h * table->b[i], alpha, terms, weights, after, kbar);
}

static PetscErrorCode IsRegistered(const char *type, PetscBool *registered) {
  static char done[16][32];
  static PetscInt n = 0;
  PetscFunctionBeginUser;
  *registered = PETSC_FALSE;
  for (PetscInt i = 0; i < n; i++)
    if (!strcmp(done[i], type)) *registered = PETSC_TRUE;
  if (!*registered && n < 16) PetscCall(PetscStrncpy(done[n++], type, sizeof done[0]));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgRKTableRegisterForAdjoint(const CtpgRKTable *table, char *type, size_t size) {
  const PetscInt s = table->s, weighted = table->fsal ? s - 1 : s;
  const PetscReal tiny = 1e-40;
  PetscReal A[CTPG_RK_MAX_STAGES * CTPG_RK_MAX_STAGES], b[CTPG_RK_MAX_STAGES];
  PetscBool registered, changed = PETSC_FALSE;

  PetscFunctionBeginUser;
  PetscCall(PetscArraycpy(A, table->A, s * s));
  PetscCall(PetscArraycpy(b, table->b, s));
  for (PetscInt i = 0; i < weighted; i++) {
    if (b[i] != 0) continue;
    b[i] = tiny;
    if (table->fsal) A[(s - 1) * s + i] = tiny;
    changed = PETSC_TRUE;
  }
  PetscCall(PetscSNPrintf(type, size, changed ? "ctpg-%s" : "%s", table->name));
  PetscCall(IsRegistered(type, &registered));
  if (changed && !registered) PetscCall(TSRKRegister(type, table->order, s, A, b, table->c, table->bembed, 0, NULL));
  PetscFunctionReturn(0);
}
