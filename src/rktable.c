// rktable.c -- the tables of TSRK, Tsit5, and the copies that TSAdjoint needs

#include "rktable.h"
#include "options.h"
#include <string.h>

static const char *const NAMES[] = {"1fe", "2a",  "2b",  "3",   "3bs", "4",     "5f",
                                    "5dp", "5bs", "6vr", "7vr", "8vr", "tsit5", NULL};

const char *const *RKTableNames(void) {
  return NAMES;
}

// Ch. Tsitouras, "Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption", Computers
// and Mathematics with Applications 62 (2011), Table 1 and Section 3 (dense output of order 4).
static PetscErrorCode RegisterTsit5(void) {
  const PetscReal A[7][7] = {
      {0},
      {0.161},
      {-0.008480655492356989, 0.335480655492357},
      {2.8971530571054935, -6.359448489975075, 4.3622954328695815},
      {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525},
      {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383},
      {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774}};
  const PetscReal difference[7] = {-0.00178001105222577714,
                                   -0.0008164344596567469,
                                   0.007880878010261995,
                                   -0.1447110071732629,
                                   0.5823571654525552,
                                   -0.45808210592918697,
                                   1.0 / 66};
  const PetscReal dense[7][4] = {{1, -2.763706197274826, 2.9132554618219126, -1.0530884977290216},
                                 {0, 0.13169999999999998, -0.2234, 0.1017},
                                 {0, 3.9302962368947516, -5.941033872131505, 2.490627285651253},
                                 {0, -12.411077166933676, 30.33818863028232, -16.548102889244902},
                                 {0, 37.50931341651104, -88.1789048947664, 47.37952196281928},
                                 {0, -27.896526289197286, 65.09189467479366, -34.87065786149661},
                                 {0, 1.5, -4, 2.5}};
  PetscReal embedded[7];

  PetscFunctionBeginUser;
  for (int i = 0; i < 7; i++) embedded[i] = A[6][i] + difference[i];
  PetscCall(TSRKRegister("tsit5", 5, 7, &A[0][0], A[6], NULL, embedded, 4, &dense[0][0]));
  PetscFunctionReturn(0);
}

static PetscErrorCode RegisterOnce(void) {
  static PetscBool registered = PETSC_FALSE;
  PetscFunctionBeginUser;
  if (registered) PetscFunctionReturn(0);
  PetscCall(RegisterTsit5());
  registered = PETSC_TRUE;
  PetscFunctionReturn(0);
}

// A stage takes part in the reverse sweep when it has a weight or feeds a stage that takes part.
static void FindReversedStages(CtpgRKTable *table) {
  for (PetscInt i = table->s - 1; i >= 0; i--) {
    table->reversed[i] = table->b[i] != 0 ? PETSC_TRUE : PETSC_FALSE;
    for (PetscInt j = i + 1; j < table->s; j++)
      if (table->reversed[j] && table->A[j * table->s + i] != 0) table->reversed[i] = PETSC_TRUE;
  }
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
  FindReversedStages(table);
  PetscFunctionReturn(0);
}

PetscErrorCode RKTableFind(const char *option, const char *name, CtpgRKTable *table) {
  PetscInt i = 0;

  PetscFunctionBeginUser;
  PetscCall(RegisterOnce());
  while (NAMES[i] && strcmp(NAMES[i], name)) i++;
  PetscCheck(NAMES[i], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a Runge-Kutta table; did you mean %s? Known: 1fe 2a 2b 3 3bs 4 5f 5dp 5bs 6vr 7vr 8vr tsit5",
             option, name, CtpgNearest(name, NAMES));
  *table = (CtpgRKTable){.name = NAMES[i]};
  PetscCall(ReadTableau(NAMES[i], table));
  PetscFunctionReturn(0);
}

PetscBool RKTableHasDenseOutput(const CtpgRKTable *table) {
  return table->pinterp > 1 ? PETSC_TRUE : PETSC_FALSE;
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

PetscErrorCode RKTableRegisterForAdjoint(const CtpgRKTable *table, char *type, size_t size) {
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
  if (changed && !registered)
    PetscCall(TSRKRegister(type, table->order, s, A, b, table->c, table->bembed, table->pinterp, table->binterp));
  PetscFunctionReturn(0);
}
