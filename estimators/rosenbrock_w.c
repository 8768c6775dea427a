// rosenbrock_w.c -- reverse sweep through a Rosenbrock-W method, its Jacobians held constant
//
//   forward   stages X_i = x_n + sum_{j<i} a_ij k_j,  (I - g_ii h M) k_i = h f(t_n + c_i h, X_i) + h M sum_{j<i} g_ij
//             k_j,  x_{n+1} = x_n + sum_i b_i k_i,  loss = J(x_N) + sum_n h sum_i b_i w(X_i);  M: the newest Jacobian
//             of the closed loop, kept for jacobian_steps steps
//   reverse   u_i = b_i alpha_{n+1} + sum_{j>i} (a_ji Xbar_j + g_ji h M' v_j),  v_i = (I - g_ii h M)^-T u_i,
//             (Xbar_i, gbar_i) = vjp(t_n + c_i h, X_i; h v_i, c = h b_i),  alpha_n = alpha_{n+1} + sum_i Xbar_i
//   gradient  dL/dtheta = sum of gbar_i,  dL/dx0 = alpha_0
//
// The derivative of the discrete map but for that of M, which is left out: the order conditions of a W-method hold for
// any matrix, so the sweep is the same method at work on the variational equation, and its error is of the same order.
//   table       ra34pw2  order 3, 4 stages, stiffly accurate, L-stable with M = f_x (default)
//               euler3 .. euler5  the linearly implicit Euler method with 1, 2, .. K substeps, extrapolated to order K;
//               the blocks share their first f, so K (K - 1) / 2 + 1 evaluations
//   jacobian_steps  steps with one Jacobian; 0: M = 0, an explicit method
// Error norm: rms of the difference to the embedded formula over rtol max(|x_n,i|, |x_i|, 1e-3 max size), that of lia.
// Steps by the elementary controller, h safety err^(-1/p), factors from 0.2 to 5; 0.2 where a stage is not defined.
// Price: one f and one vjp for each evaluation of the table, and for each Jacobian min(nu, rows of f_u that can be
// nonzero) products. Memory N s nx for s evaluations, and nx^2 for each Jacobian.
// Weakness: low order, or many stages; no stage of euler3 .. euler5 sees a jump of f in the last part of a step; the
// derivative of M is missed.
// Sources: T. Steihaug, A. Wolfbrandt, Math. Comp. 33 (1979); ra34pw2: J. Rang, L. Angermann, "New Rosenbrock W-methods
// of order 3 for partial differential algebraic equations of index 1", BIT 45 (2005), ROS34PW2; extrapolation: P.
// Deuflhard, "Recent progress in extrapolation methods for ordinary differential equations", SIAM Review 27 (1985),
// Sec. 3.

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/rksolver.h"
#include <math.h>
#include <petscblaslapack.h>

#define MOST_STAGES 15 // of euler5
#define FLOOR       1e-3
#define TINY        1e-30

typedef struct {
  const char *name;
  PetscInt s, order;                            // of the embedded formula one less
  PetscReal A[MOST_STAGES][MOST_STAGES];        // below the diagonal
  PetscReal Gamma[MOST_STAGES][MOST_STAGES];    // on it too
  PetscReal b[MOST_STAGES], error[MOST_STAGES]; // error: b less the embedded formula's
  PetscReal c[MOST_STAGES];
  PetscInt evaluation[MOST_STAGES], nevaluations; // which f a stage takes: that of an earlier one, or its own
} Table;

typedef struct {
  Table table;
  PetscInt jacobian_steps, step_limit;
  PetscReal safety;
  PetscBool fixed, respect_breaks;

  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgArena arena;
  CtpgRows steps;     // t, h, piece, number of its Jacobian, X of each evaluation [nevaluations, nx]
  CtpgRows jacobians; // [nx, nx]

  PetscReal *x, *next, *size;    // [nx]; largest |x_i| so far
  PetscReal *k, *f, *w;          // [s, nx], [nevaluations, nx], [nevaluations]
  PetscReal *u, *v, *hMv, *xbar; // [nx], [nevaluations, nx], [s, nx], [nevaluations, nx]
  PetscReal *cost;               // [nevaluations]
  PetscInt since;                // steps since the newest Jacobian
  PetscReal *factors, shift;     // of I - shift M, NaN: none
  PetscBLASInt *pivots;
} RosenbrockW;

// ---- tables ----

static const Table RA34PW2 = {
    .name = "ra34pw2",
    .s = 4,
    .order = 3,
    .A = {{0}, {0.87173304301691801}, {0.84457060015369423, -0.11299064236484185}, {0, 0, 1}},
    .Gamma = {{0.43586652150845900},
              {-0.87173304301691801, 0.43586652150845900},
              {-0.90338057013044082, 0.054180672388095326, 0.43586652150845900},
              {0.24212380706095346, -1.2232505839045147, 0.54526025533510214, 0.43586652150845900}},
    .b = {0.24212380706095346, -1.2232505839045147, 1.5452602553351020, 0.43586652150845900},
    .error = {0.24212380706095346 - 0.37810903145819369, -1.2232505839045147 + 0.096042292212423178,
              1.5452602553351020 - 0.5, 0.43586652150845900 - 0.21793326075422950}};

// Weight of the result with m substeps in the extrapolation of those with first .. last ones.
static PetscReal ExtrapolationWeight(PetscInt m, PetscInt first, PetscInt last) {
  PetscReal weight = m >= first ? 1 : 0;
  for (PetscInt i = first; i <= last; i++)
    if (i != m) weight *= (PetscReal)m / (PetscReal)(m - i);
  return weight;
}

// Linearly implicit Euler with 1 .. order substeps, one block of stages for each.
static void MakeExtrapolation(PetscInt order, Table *table) {
  table->order = order;
  for (PetscInt m = 1; m <= order; m++) {
    const PetscInt first = table->s;
    const PetscReal weight = ExtrapolationWeight(m, 1, order), embedded = ExtrapolationWeight(m, 2, order);
    for (PetscInt i = first; i < first + m; i++, table->s++) {
      for (PetscInt j = first; j < i; j++) table->A[i][j] = 1.0 / (PetscReal)m;
      table->Gamma[i][i] = 1.0 / (PetscReal)m;
      table->b[i] = weight / (PetscReal)m;
      table->error[i] = (weight - embedded) / (PetscReal)m;
    }
  }
}

// Nodes c_i, and who shares an evaluation: all stages at x_n itself.
static void CompleteTable(Table *table) {
  for (PetscInt i = 0; i < table->s; i++) {
    table->c[i] = 0;
    for (PetscInt j = 0; j < i; j++) table->c[i] += table->A[i][j];
    const PetscBool own = i == 0 || table->c[i] != 0 ? PETSC_TRUE : PETSC_FALSE;
    table->evaluation[i] = own ? table->nevaluations++ : 0;
  }
}

static PetscErrorCode EstimatorCreate_RosenbrockW(CtpgOptions options, CtpgTraits *traits, void **est) {
  static const char *const tables[] = {"ra34pw2", "euler3", "euler4", "euler5", NULL};
  static const char *const steps[] = {"adaptive", "fixed", NULL};
  PetscInt table = 0, choice = 0;
  RosenbrockW *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  e->jacobian_steps = 1;
  e->safety = 0.9;
  e->step_limit = CTPG_DEFAULT_STEP_LIMIT;
  PetscCall(CtpgOptionsChoice(options, "table", "ra34pw2, or euler3 .. euler5", tables, &table));
  PetscCall(CtpgOptionsInt(options, "jacobian_steps", "steps with one Jacobian; 0: none, explicit steps", 0, 1000000,
                           &e->jacobian_steps));
  PetscCall(CtpgOptionsChoice(options, "steps", "adaptive (knob rtol) or fixed (knob dt)", steps, &choice));
  PetscCall(CtpgOptionsReal(options, "safety", "of the step that the error estimate allows", 0.01, 1, &e->safety));
  PetscCall(CtpgOptionsBool(options, "respect_breaks", "stop at the problem's break times", &e->respect_breaks));
  PetscCall(CtpgOptionsInt(options, "step_limit", "steps of one solve before it counts as failed", 1, 100000000,
                           &e->step_limit));
  e->fixed = choice ? PETSC_TRUE : PETSC_FALSE;
  if (table)
    MakeExtrapolation(table + 2, &e->table);
  else
    e->table = RA34PW2;
  CompleteTable(&e->table);
  traits->knob = e->fixed ? CTPG_KNOB_DT : CTPG_KNOB_RTOL;
  traits->order = (PetscReal)e->table.order;
  PetscFunctionReturn(0);
}

// ---- the matrix ----

// The number of the newest Jacobian: also a row's entry, so that M of that row can be found again.
static PetscInt NewestJacobian(const RosenbrockW *e) {
  return e->jacobians.count - 1;
}

// Factors of I - shift M, in LAPACK's eyes of its transpose.
static CtpgStatus Factor(RosenbrockW *e, PetscInt jacobian, PetscReal shift) {
  const PetscInt nx = e->sizes.nx;
  const PetscBLASInt n = (PetscBLASInt)nx;
  PetscBLASInt info;
  if (jacobian < 0 || e->shift == shift) return CTPG_OK;
  const PetscReal *M = CtpgRowsAt(&e->jacobians, jacobian);
  for (PetscInt i = 0; i < nx * nx; i++) e->factors[i] = -shift * M[i];
  for (PetscInt i = 0; i < nx; i++) e->factors[i * nx + i] += 1;
  LAPACKgetrf_(&n, &n, e->factors, &n, e->pivots, &info);
  e->shift = info ? NAN : shift;
  return info ? CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "I - %.3g M is singular", shift) : CTPG_OK;
}

// r [nx] <- (I - shift M)^-1 r, or with the transpose.
static void Solve(const RosenbrockW *e, PetscInt jacobian, PetscBool transposed, PetscReal *r) {
  const PetscBLASInt n = (PetscBLASInt)e->sizes.nx, one = 1;
  PetscBLASInt info;
  if (jacobian >= 0) LAPACKgetrs_(transposed ? "N" : "T", &n, &one, e->factors, &n, e->pivots, r, &n, &info);
}

// y [nx] += M v, or M' v.
static void AddMatrixTimes(RosenbrockW *e, PetscInt jacobian, PetscBool transposed, PetscReal weight,
                           const PetscReal *v, PetscReal *y) {
  const PetscInt nx = e->sizes.nx;
  if (jacobian < 0 || weight == 0) return;
  const PetscReal *M = CtpgRowsAt(&e->jacobians, jacobian);
  for (PetscInt i = 0; i < nx; i++)
    for (PetscInt j = 0; j < nx; j++) {
      if (transposed)
        y[j] += weight * M[i * nx + j] * v[i];
      else
        y[i] += weight * M[i * nx + j] * v[j];
    }
}

// At the start of a step, when it is due. On failure the loop has latched why.
static void RenewJacobian(RosenbrockW *e, PetscReal t) {
  if (!e->jacobian_steps || (e->jacobians.count && e->since < e->jacobian_steps)) return;
  PetscReal *M = CtpgRowsPush(&e->jacobians);
  if (M)
    CtpgClosedLoopJacobian(e->loop, t, e->x, M);
  else
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory for more than %d Jacobians", (int)e->jacobians.count);
  e->since = 0;
  e->shift = NAN;
}

// ---- forward ----

static PetscReal *RowStage(const RosenbrockW *e, PetscReal *row, PetscInt evaluation) {
  return row + 4 + evaluation * e->sizes.nx;
}

// f and w of evaluation n at (t, X [nx]); the first one of a step is known when the step is tried again.
static CtpgStatus Evaluate(RosenbrockW *e, PetscInt n, PetscReal t, const PetscReal *X) {
  return CtpgClosedLoopEval(e->loop, 1, &t, X, e->f + n * e->sizes.nx, e->w + n);
}

// k_i of the step in `row`, whose first evaluation is known.
static CtpgStatus Stage(RosenbrockW *e, PetscInt i, PetscReal *row) {
  const Table *table = &e->table;
  const PetscInt nx = e->sizes.nx, n = table->evaluation[i], jacobian = (PetscInt)row[3];
  const PetscReal h = row[1];
  PetscReal *k = e->k + i * nx, *X = RowStage(e, row, n);
  if (n > 0) {
    memcpy(X, e->x, (size_t)nx * sizeof *X);
    for (PetscInt j = 0; j < i; j++)
      for (PetscInt d = 0; table->A[i][j] != 0 && d < nx; d++) X[d] += table->A[i][j] * e->k[j * nx + d];
    if (Evaluate(e, n, row[0] + table->c[i] * h, X) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  }
  for (PetscInt d = 0; d < nx; d++) k[d] = h * e->f[n * nx + d];
  for (PetscInt j = 0; j < i; j++) AddMatrixTimes(e, jacobian, PETSC_FALSE, h * table->Gamma[i][j], e->k + j * nx, k);
  if (Factor(e, jacobian, h * table->Gamma[i][i]) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
  Solve(e, jacobian, PETSC_FALSE, k);
  return CTPG_OK;
}

// rms of v [nx] over the tolerances between states a and b.
static PetscReal Norm(const RosenbrockW *e, PetscReal rtol, const PetscReal *v, const PetscReal *a,
                      const PetscReal *b) {
  const PetscInt nx = e->sizes.nx;
  PetscReal largest = TINY, sum = 0;
  for (PetscInt d = 0; d < nx; d++) largest = fmax(largest, fmax(fabs(b[d]), e->size[d]));
  for (PetscInt d = 0; d < nx; d++)
    sum += PetscSqr(v[d] / (rtol * fmax(fmax(fabs(a[d]), fabs(b[d])), FLOOR * largest)));
  return sqrt(sum / (PetscReal)nx);
}

// The step in `row` from e->x into e->next; e->k keeps what it needs. *loss: its part.
static CtpgStatus Attempt(RosenbrockW *e, PetscReal *row, PetscReal *loss) {
  const Table *table = &e->table;
  const PetscInt nx = e->sizes.nx;
  memcpy(e->next, e->x, (size_t)nx * sizeof *e->x);
  *loss = 0;
  for (PetscInt i = 0; i < table->s; i++) {
    if (Stage(e, i, row) != CTPG_OK) return CtpgClosedLoopGetStatus(e->loop);
    for (PetscInt d = 0; d < nx; d++) e->next[d] += table->b[i] * e->k[i * nx + d];
    *loss += row[1] * table->b[i] * e->w[table->evaluation[i]];
  }
  return CTPG_OK;
}

static PetscReal ErrorOfAttempt(RosenbrockW *e, PetscReal rtol) {
  const PetscInt nx = e->sizes.nx;
  memset(e->u, 0, (size_t)nx * sizeof *e->u);
  for (PetscInt i = 0; i < e->table.s; i++)
    for (PetscInt d = 0; d < nx; d++) e->u[d] += e->table.error[i] * e->k[i * nx + d];
  return Norm(e, rtol, e->u, e->x, e->next);
}

// A row for the step from e->x at t, with Jacobian and first evaluation; NULL when the loop has failed.
static PetscReal *OpenStep(RosenbrockW *e, PetscInt piece, PetscReal t) {
  PetscReal *row = CtpgRowsPush(&e->steps);
  if (!row) {
    CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "no memory to record more than %d steps", (int)e->steps.count);
    return NULL;
  }
  RenewJacobian(e, t);
  row[0] = t;
  row[2] = (PetscReal)piece;
  row[3] = (PetscReal)NewestJacobian(e);
  memcpy(RowStage(e, row, 0), e->x, (size_t)e->sizes.nx * sizeof *e->x);
  return Evaluate(e, 0, t, e->x) == CTPG_OK ? row : NULL;
}

static void AcceptStep(RosenbrockW *e, CtpgResult *result, PetscReal loss) {
  memcpy(e->x, e->next, (size_t)e->sizes.nx * sizeof *e->x);
  for (PetscInt d = 0; d < e->sizes.nx; d++) e->size[d] = fmax(e->size[d], fabs(e->x[d]));
  *result->loss += loss;
  result->steps++;
  e->since++;
}

// From the sizes of x, f and M f at the start of a piece, as Hairer, Norsett and Wanner's starting step (Sec. II.4).
static PetscReal FirstStep(RosenbrockW *e, PetscInt jacobian, PetscReal length, PetscReal rtol) {
  memset(e->u, 0, (size_t)e->sizes.nx * sizeof *e->u);
  AddMatrixTimes(e, jacobian, PETSC_FALSE, 1, e->f, e->u);
  const PetscReal d0 = Norm(e, rtol, e->x, e->x, e->x), d1 = Norm(e, rtol, e->f, e->x, e->x),
                  d2 = Norm(e, rtol, e->u, e->x, e->x);
  const PetscReal h = pow(0.01 / fmax(fmax(d1, d2), TINY), 1 / (PetscReal)(e->table.order + 1));
  return fmin(length, fmin(h, d0 > TINY && d1 > TINY ? d0 / d1 : length));
}

// The step that begins at row[0], tried until its error is small enough; *h: its length, then what follows.
static void TryUntilAccepted(RosenbrockW *e, PetscReal *row, PetscReal end, PetscReal rtol, PetscReal *h,
                             CtpgResult *result) {
  const PetscReal power = -1 / (PetscReal)e->table.order;
  PetscReal loss;
  for (PetscInt attempts = 1;; attempts++) {
    row[1] = row[0] + *h >= end - 1e-9 * *h ? end - row[0] : row[0] + 2 * *h > end ? (end - row[0]) / 2 : *h;
    CtpgClosedLoopMarkCounts(e->loop);
    const PetscBool undefined = Attempt(e, row, &loss) != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
    if (undefined && !CtpgClosedLoopRetry(e->loop, row[1])) return;
    const PetscReal error = undefined ? INFINITY : ErrorOfAttempt(e, rtol);
    const PetscReal factor = error > 0 ? fmin(5, fmax(0.2, e->safety * pow(error, power))) : isnan(error) ? 0.2 : 5;
    *h = row[1] * factor;
    if (error <= 1) {
      AcceptStep(e, result, loss);
      return;
    }
    CtpgClosedLoopMoveCounts(e->loop, CTPG_REJECTED);
    result->rejected++;
    if (attempts >= e->step_limit || row[0] + *h <= row[0]) {
      CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "the step vanishes at %.3g", row[0]);
      return;
    }
  }
}

// *h: the first step, 0: to be chosen; then what follows.
static void SolveAdaptive(RosenbrockW *e, PetscInt piece, PetscReal t, PetscReal end, PetscReal rtol, PetscReal *h,
                          CtpgResult *result) {
  while (t < end && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK) {
    if (e->steps.count >= e->step_limit) {
      CtpgClosedLoopFail(e->loop, CTPG_STEP_LIMIT, "%d steps (-step_limit) used up at t = %.3g", (int)e->step_limit, t);
      return;
    }
    PetscReal *row = OpenStep(e, piece, t);
    if (!row) return;
    if (*h <= 0) *h = FirstStep(e, (PetscInt)row[3], end - t, rtol);
    TryUntilAccepted(e, row, end, rtol, h, result);
    t = row[0] + row[1] >= end - 1e-12 * row[1] ? end : row[0] + row[1];
  }
}

static void SolveFixed(RosenbrockW *e, PetscInt piece, PetscReal t_low, PetscReal t_high, PetscReal dt,
                       CtpgResult *result) {
  const PetscInt N = CtpgFixedSteps(t_high - t_low, dt);
  const PetscReal h = (t_high - t_low) / (PetscReal)N;
  PetscReal loss;
  result->h = h;
  for (PetscInt n = 0; n < N && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; n++) {
    PetscReal *row = OpenStep(e, piece, t_low + (PetscReal)n * h);
    if (!row) return;
    row[1] = h;
    if (Attempt(e, row, &loss) == CTPG_OK) AcceptStep(e, result, loss);
  }
}

static void SolveForward(RosenbrockW *e, const PetscReal *x0, PetscReal accuracy, CtpgResult *result) {
  PetscReal t_low, t_high, h = 0, J;
  CtpgRowsTruncate(&e->steps, 0);
  CtpgRowsTruncate(&e->jacobians, 0);
  CtpgArenaReset(&e->arena);
  memcpy(e->x, x0, (size_t)e->sizes.nx * sizeof *x0);
  for (PetscInt d = 0; d < e->sizes.nx; d++) e->size[d] = fabs(x0[d]);
  *result->loss = 0;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_FORWARD);
  for (PetscInt k = 0; k < CtpgClosedLoopGetPieces(e->loop, e->respect_breaks); k++) {
    CtpgClosedLoopEnterPiece(e->loop, e->respect_breaks, k, &t_low, &t_high);
    e->since = e->jacobian_steps; // on the other side of a break f_x is another one
    if (e->fixed)
      SolveFixed(e, k, t_low, t_high, accuracy, result);
    else
      SolveAdaptive(e, k, t_low, t_high, accuracy, &h, result);
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
  CtpgClosedLoopTerminal(e->loop, e->x, &J, result->gx0);
  *result->loss += J;
}

// ---- reverse ----

// u_i into e->u.
static void StageAdjoint(RosenbrockW *e, PetscInt i, const PetscReal *alpha) {
  const Table *table = &e->table;
  const PetscInt nx = e->sizes.nx;
  for (PetscInt d = 0; d < nx; d++) e->u[d] = table->b[i] * alpha[d];
  for (PetscInt j = i + 1; j < table->s; j++) {
    const PetscReal *xbar = e->xbar + table->evaluation[j] * nx, *hMv = e->hMv + j * nx;
    for (PetscInt d = 0; d < nx; d++) e->u[d] += table->A[j][i] * xbar[d] + table->Gamma[j][i] * hMv[d];
  }
}

// alpha [nx] from the end of the step in `row` to its start; gtheta [np] accumulates.
static void StepBack(RosenbrockW *e, PetscReal *row, PetscReal *alpha, PetscReal *gtheta) {
  const Table *table = &e->table;
  const PetscInt nx = e->sizes.nx, jacobian = (PetscInt)row[3];
  const PetscReal h = row[1];
  memset(e->v, 0, (size_t)(table->nevaluations * nx) * sizeof *e->v);
  memset(e->xbar, 0, (size_t)(table->nevaluations * nx) * sizeof *e->xbar);
  memset(e->hMv, 0, (size_t)(table->s * nx) * sizeof *e->hMv);
  memset(e->cost, 0, (size_t)table->nevaluations * sizeof *e->cost);
  e->shift = NAN;
  for (PetscInt i = table->s - 1; i >= 0; i--) {
    const PetscInt n = table->evaluation[i];
    const PetscReal t = row[0] + table->c[i] * h;
    StageAdjoint(e, i, alpha);
    if (Factor(e, jacobian, h * table->Gamma[i][i]) != CTPG_OK) return;
    Solve(e, jacobian, PETSC_TRUE, e->u);
    AddMatrixTimes(e, jacobian, PETSC_TRUE, h, e->u, e->hMv + i * nx);
    for (PetscInt d = 0; d < nx; d++) e->v[n * nx + d] += h * e->u[d];
    e->cost[n] += h * table->b[i];
    if (n > 0 || i == 0) // the stages at x_n share one product
      CtpgClosedLoopVJP(e->loop, 1, &t, RowStage(e, row, n), e->v + n * nx, e->cost + n, e->xbar + n * nx, gtheta);
  }
  for (PetscInt n = 0; n < table->nevaluations; n++)
    for (PetscInt d = 0; d < nx; d++) alpha[d] += e->xbar[n * nx + d];
}

static void SolveBack(RosenbrockW *e, CtpgResult *result) {
  const PetscBool pieces = e->respect_breaks && e->sizes.nbreak ? PETSC_TRUE : PETSC_FALSE;
  CtpgClosedLoopSetPurpose(e->loop, CTPG_ADJOINT);
  for (PetscInt n = e->steps.count - 1; n >= 0 && CtpgClosedLoopGetStatus(e->loop) == CTPG_OK; n--) {
    PetscReal *row = CtpgRowsAt(&e->steps, n);
    CtpgClosedLoopSetPiece(e->loop, pieces ? (PetscInt)row[2] : -1);
    StepBack(e, row, result->gx0, result->gtheta);
    result->steps_adjoint++;
  }
  CtpgClosedLoopSetPiece(e->loop, -1);
}

static PetscErrorCode EstimatorGradientOfStart_RosenbrockW(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                           PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  RosenbrockW *e = est;

  PetscFunctionBeginUser;
  (void)stream;
  CtpgClosedLoopGetSizes(loop, &e->sizes); // the horizon belongs to the case
  SolveForward(e, x0, accuracy, result);
  result->bytes = PetscMax(result->bytes, e->arena.peak);
  if (CtpgClosedLoopGetStatus(loop) == CTPG_OK) SolveBack(e, result);
  PetscFunctionReturn(0);
}

// ---- life cycle ----

static PetscErrorCode EstimatorSetUp_RosenbrockW(void *est, CtpgClosedLoop loop) {
  RosenbrockW *e = est;

  PetscFunctionBeginUser;
  e->loop = loop;
  CtpgClosedLoopGetSizes(loop, &e->sizes);
  const PetscInt nx = e->sizes.nx, s = e->table.s, n = e->table.nevaluations;
  CtpgRowsInit(&e->steps, &e->arena, 4 + n * nx);
  CtpgRowsInit(&e->jacobians, &e->arena, nx * nx);
  PetscCall(PetscMalloc4(nx, &e->x, nx, &e->next, nx, &e->size, nx, &e->u));
  PetscCall(PetscMalloc4(s * nx, &e->k, s * nx, &e->hMv, n * nx, &e->f, n, &e->w));
  PetscCall(PetscMalloc3(n * nx, &e->v, n * nx, &e->xbar, n, &e->cost));
  PetscCall(PetscMalloc2(nx * nx, &e->factors, nx, &e->pivots));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_RosenbrockW(void **est) {
  RosenbrockW *e = *est;
  if (!e) return;
  CtpgRowsFree(&e->steps);
  CtpgRowsFree(&e->jacobians);
  PetscCallVoid(PetscFree4(e->x, e->next, e->size, e->u));
  PetscCallVoid(PetscFree4(e->k, e->hMv, e->f, e->w));
  PetscCallVoid(PetscFree3(e->v, e->xbar, e->cost));
  PetscCallVoid(PetscFree2(e->factors, e->pivots));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_rosenbrock_w = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "rosenbrock-w",
    .version = 1,
    .bibtex = "@article{Rang2005, author={Joachim Rang and Lutz Angermann}, title={New {Rosenbrock} {W}-methods of "
              "order 3 for partial differential algebraic equations of index 1}, journal={BIT Numerical Mathematics}, "
              "volume={45}, pages={761--787}, year={2005}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 3,
    .cost = "s f + s vjp; J: <= nu vjp",
    .storage = "N (s + nx) nx",
    .create = EstimatorCreate_RosenbrockW,
    .setup = EstimatorSetUp_RosenbrockW,
    .gradient_of_start = EstimatorGradientOfStart_RosenbrockW,
    .destroy = EstimatorDestroy_RosenbrockW,
    .needs = "vjp"};
