// multistep.c -- linearly implicit Adams: Newton's interpolation on the newest nodes
//
// Slopes and watched quantities of a node lie side by side in one row, so that one table of differences serves both.
// Kept are the divided differences from the newest node back, F[t_n], F[t_n, t_{n-1}], ..: those from t on, of f^P,
// follow in one pass; where the step is accepted, those of the corrected slope F from these, (F - f^P) / prod (t -
// t_{n-j}) added. At most max_order + 2 are needed: order k uses k + 1 nodes and f^P, its neighbour k + 1 one more. The
// factors of I - beta_0 M are kept until beta_0 or M changes; y* - y^P and the three error terms are solved for
// together.
//
//   accepted    h times clip((0.3 / E_m)^(1/(m+1)), 0.4, 2) for the order m with the largest step (x 1.02 for staying,
//               x 0.95 for m = k + 1); a gain below 5 % is not taken, so that the steps stay equal;
//               E_m once more with the tolerances of the new state
//   rejected    h times clip((0.5 / E_k)^(1/(k+1)), 0.2, 0.8); times 0.2 where f is not defined at y^P
//   jump        of f, or of a derivative, since t_n: corrected slopes F miss what polynomials of all orders foretold by
//               the same, d_m = F - P_m(t), |d_m - d_1| <= 1/4 |d_1| for m = 2 .. k+1; or |d_m - d_2| <= 1/10 |d_2| for
//               m = 3 .. k+1, k >= 3, where other components' slopes change by much since t_n, which d_1 has, too. High
//               differences of steps of unequal length take it for a feature of theirs, and E_k is far too small;
//               h/2 |d_1|, or |d_2|, stands for it. The step behind it begins at order 1, with M anew
//   start       d2 = M F_0, d3 = M d2: h = min(L/8, (1.5/|d3|)^(1/3), 8 |d2|^(-1/2)), the error of the first step
//               max(|h^3/12 d3|, |h/6 (F_1 - F_0 - h d2)|); then one order more a step, growth at most 3, with the
//               error E_k clip(E_k / E_{k-1}, 0.02, 1), until the highest order, or E_k > 0.7 E_{k-1}, or growth below
//               1.2; without (plain_start) h = |d2|^(-1/2), the tolerance of Euler's step, then as everywhere
//
// BDF coefficients: y^P the polynomial through y_n .. y_{n-k} at t, D the slope there of that through y^P, y_n ..
// y_{n-k+1}, beta_0 = 1 / sum_{i<k} 1/(t - t_{n-i}), y* - y^P = beta_0 (f^P - D); the error terms are T_m = y[t, t_n ..
// t_{n-m}] prod_{j<m} (t - t_{n-j}) / sum_{j<m} 1/(t - t_{n-j}) with the corrected y, so S is in them already.

#include "ctpgbench/toolkit/multistep.h"
#include "ctpgbench/toolkit/nodes.h"
#include "loop/combine.h"
#include "solve/linear.h"
#include <math.h>

#define ROWS           (CTPG_MULTISTEP_ORDERS + 2) // kept nodes
#define MAX_TERMS      (CTPG_MULTISTEP_ORDERS + 2) // T_0 .. T_{k+1}
#define TINY           1e-30                       // in place of a zero that is divided by
#define SAFETY         0.3
#define LN2            0.69314718055994531
#define BITS_OF_LEAST  0x3FE6A09E667F3BCD // sqrt(1/2)
#define WATCHED_FLOOR  1e-3               // of the largest integral
#define JUMP_SAME      0.25               // how far orders may differ in what they miss where f jumped
#define JUMP_SAME_BENT 0.1                // the same, the first order apart
#define JUMP_ORDERS    4                  // that are compared then, at least
#define BDF_MOST       5                  // highest order of BDF coefficients; beyond 6 they are not zero-stable

struct Multistep_s {
  CtpgClosedLoop loop;
  PetscInt n, nwatched;
  CtpgMultistepOptions options;
  CtpgMultistepCallbacks callbacks;
  PetscReal rtol, watch_rtol;
  int64_t steps, rejected; // of all solves since the start

  // Nodes, newest first.
  PetscReal time[ROWS], *row[ROWS]; // row i [n + nwatched]: of corrected slopes, of watched: F[t_n .. t_{n-i}]
  PetscReal *state[ROWS];           // [n] y, with BDF coefficients
  PetscInt nodes;                   // times in use
  PetscInt differences;             // rows of m->term that hold differences
  PetscReal *y, *size;              // [n] at the newest node; largest so far
  PetscReal *whole, *integral;      // [nwatched] given; int |q| so far
  PetscBool whole_known;            // else it is what |q| makes of it if it stays as it is to the end
  PetscReal end;                    // of the solve

  // The step being attempted.
  PetscInt order, nterms;
  PetscReal h, *attempt, *predicted, *slope; // [n], [n], [n + nwatched]
  PetscReal *term[MAX_TERMS];                // [n + nwatched] differences of slopes, over z_0 .. z_i
  PetscReal integrals[MAX_TERMS];            // of what goes with them: T_i is their product
  PetscReal weight[MAX_TERMS];               // 1 / that of f^P in each difference
  PetscBool jump;                            // one was met since the newest node
  PetscReal *solved;                         // [4, n] S times y* - y^P, T_{k-1}, T_k, T_{k+1}
  PetscReal error[3];                        // E_{k-1}, E_k, E_{k+1}; infinite where there is none
  PetscReal watched_error[3];                // the same of the watched quantities alone
  PetscReal *scale;                          // [n + nwatched] 1 / tolerances
  PetscReal *change, *d2, *d3;               // [n]
  PetscReal *missed;                         // [n + nwatched]

  // I - beta_0 M.
  PetscReal beta0, *factors; // [n, n]; beta0 NaN: none are valid
  const PetscReal *M;        // NULL: 0
  PetscBLASInt *pivots;

  // The solve.
  PetscInt accepted, last_rejection;
  PetscBool starting;
};

static PetscReal Larger(PetscReal a, PetscReal b) { // fmax without its care for NaN, which takes a call
  return a > b ? a : b;
}

// ---- life cycle ----

PetscErrorCode CtpgMultistepCreate(CtpgClosedLoop loop, PetscInt n, PetscInt nwatched,
                                   const CtpgMultistepOptions *options, const CtpgMultistepCallbacks *callbacks,
                                   CtpgMultistep *multistep) {
  const PetscInt width = n + nwatched;
  CtpgMultistep m;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&m));
  *multistep = m;
  m->loop = loop;
  m->n = n;
  m->nwatched = nwatched;
  m->options = *options;
  m->callbacks = *callbacks;
  if (m->options.bdf) m->options.max_order = PetscMin(m->options.max_order, BDF_MOST);
  for (PetscInt i = 0; i < ROWS; i++) PetscCall(PetscMalloc1(m->options.bdf ? n : 0, &m->state[i]));
  for (PetscInt i = 0; i < ROWS; i++) PetscCall(PetscMalloc1(width, &m->row[i]));
  for (PetscInt i = 0; i < MAX_TERMS; i++) PetscCall(PetscMalloc1(width, &m->term[i]));
  PetscCall(PetscCalloc4(n, &m->y, n, &m->size, nwatched, &m->whole, nwatched, &m->integral));
  PetscCall(PetscMalloc5(n, &m->attempt, n, &m->predicted, width, &m->slope, 4 * n, &m->solved, width, &m->scale));
  PetscCall(PetscMalloc6(n, &m->change, n, &m->d2, n, &m->d3, width, &m->missed, n * n, &m->factors, n, &m->pivots));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgMultistepDestroy(CtpgMultistep *multistep) {
  CtpgMultistep m = *multistep;
  PetscFunctionBeginUser;
  if (!m) PetscFunctionReturn(0);
  for (PetscInt i = 0; i < ROWS; i++) PetscCall(PetscFree(m->state[i]));
  for (PetscInt i = 0; i < ROWS; i++) PetscCall(PetscFree(m->row[i]));
  for (PetscInt i = 0; i < MAX_TERMS; i++) PetscCall(PetscFree(m->term[i]));
  PetscCall(PetscFree4(m->y, m->size, m->whole, m->integral));
  PetscCall(PetscFree5(m->attempt, m->predicted, m->slope, m->solved, m->scale));
  PetscCall(PetscFree6(m->change, m->d2, m->d3, m->missed, m->factors, m->pivots));
  PetscCall(PetscFree(*multistep));
  PetscFunctionReturn(0);
}

static void EnlargeSizes(CtpgMultistep m) {
  for (PetscInt i = 0; i < m->n; i++) m->size[i] = Larger(m->size[i], fabs(m->y[i]));
}

void CtpgMultistepStart(CtpgMultistep m, const PetscReal *y) {
  memcpy(m->y, y, (size_t)m->n * sizeof *y);
  memset(m->size, 0, (size_t)m->n * sizeof *m->size);
  if (m->nwatched) memset(m->integral, 0, (size_t)m->nwatched * sizeof *m->integral);
  EnlargeSizes(m);
  CtpgMultistepWatch(m, 1, NULL);
  m->steps = m->rejected = 0;
}

void CtpgMultistepWatch(CtpgMultistep m, PetscReal rtol, const PetscReal *whole) {
  m->watch_rtol = rtol;
  m->whole_known = whole ? PETSC_TRUE : PETSC_FALSE;
  for (PetscInt p = 0; p < m->nwatched; p++) m->whole[p] = whole ? whole[p] : 0;
}

const PetscReal *CtpgMultistepGetState(CtpgMultistep m) {
  return m->y;
}

const PetscReal *CtpgMultistepGetSizes(CtpgMultistep m) {
  return m->size;
}

const PetscReal *CtpgMultistepGetIntegrals(CtpgMultistep m) {
  return m->integral;
}

void CtpgMultistepGetCounts(CtpgMultistep m, int64_t *steps, int64_t *rejected) {
  *steps = m->steps;
  *rejected = m->rejected;
}

// ---- roots ----

// x^(1/n), x > 0, to 1e-9, which a step size needs by far not: log2 x = e + 2 artanh((m - 1) / (m + 1)) / ln 2 for x =
// m 2^e, and Taylor's series of 2^r.
static PetscReal Root(PetscReal x, PetscInt n) {
  int64_t bits;
  memcpy(&bits, &x, sizeof bits);
  const int64_t e = (bits - BITS_OF_LEAST) >> 52; // so that m is within a factor sqrt 2 of one
  const int64_t of_m = bits - e * ((int64_t)1 << 52);
  PetscReal m, power;
  memcpy(&m, &of_m, sizeof m);
  const PetscReal f = (m - 1) / (m + 1), f2 = f * f;
  const PetscReal series = 1 + f2 * (1.0 / 3 + f2 * (1.0 / 5 + f2 * (1.0 / 7 + f2 * (1.0 / 9))));
  const PetscReal y = ((PetscReal)e + 2 / LN2 * f * series) / (PetscReal)n;
  const int64_t k = (int64_t)floor(y + 0.5), of_power = (k + 1023) * ((int64_t)1 << 52);
  const PetscReal r = (y - (PetscReal)k) * LN2;
  memcpy(&power, &of_power, sizeof power);
  return power *
         (1 + r * (1 + r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720 + r / 5040)))))));
}

// ---- error norms ----

// m->scale [n]: of the tolerances between states a and b.
static void FindScale(CtpgMultistep m, const PetscReal *a, const PetscReal *b) {
  PetscReal largest = TINY;
  for (PetscInt i = 0; i < m->n; i++) largest = Larger(largest, Larger(fabs(b[i]), m->size[i]));
  for (PetscInt i = 0; i < m->n; i++)
    m->scale[i] = 1 / (m->rtol * Larger(Larger(fabs(a[i]), fabs(b[i])), m->options.floor * largest));
}

// Sums of squares of (a factor - b) scale, each [n]: four parts, by the place modulo four, and then these.
static inline __attribute__((always_inline)) PetscReal SumSquares(PetscInt n, const PetscReal *a, PetscReal factor,
                                                                  const PetscReal *b, const PetscReal *scale) {
  CtpgLanes sums = {0};
  PetscInt j = 0;
  for (; j + CTPG_LANES <= n; j += CTPG_LANES) {
    CtpgLanes e = CTPG_LANES_AT(a + j) * factor;
    if (b) e -= CTPG_LANES_AT(b + j);
    e *= CTPG_LANES_AT(scale + j);
    sums += e * e;
  }
  for (PetscInt lane = 0; j < n; j++, lane++) sums[lane] += PetscSqr((a[j] * factor - (b ? b[j] : 0)) * scale[j]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

CTPG_WIDE static PetscReal SumScaled(PetscInt n, const PetscReal *e, const PetscReal *scale) {
  return SumSquares(n, e, 1, NULL, scale);
}

CTPG_WIDE static PetscReal SumDistances(PetscInt n, const PetscReal *a, PetscReal factor, const PetscReal *b,
                                        const PetscReal *scale) {
  return SumSquares(n, a, factor, b, scale);
}

// rms of e [n] times scale [n]; 0 where there is nothing.
static PetscReal Norm(PetscInt n, const PetscReal *e, const PetscReal *scale) {
  return n ? sqrt(SumScaled(n, e, scale) / (PetscReal)n) : 0;
}

PetscReal CtpgMultistepNorm(CtpgMultistep m, const PetscReal *e, const PetscReal *a, const PetscReal *b) {
  FindScale(m, a, b);
  return Norm(m->n, e, m->scale);
}

// scale [n] = 1 / (rtol (s + floor max s)), s = max(so_far + ahead |q|, whole).
CTPG_WIDE static void ScaleIntegrals(PetscInt n, PetscReal ahead, const PetscReal *so_far, const PetscReal *q,
                                     const PetscReal *whole, PetscReal rtol, PetscReal floor, PetscReal *scale) {
  PetscReal largest = TINY;
#pragma omp simd
  for (PetscInt p = 0; p < n; p++) {
    const PetscReal now = so_far[p] + ahead * fabs(q[p]);
    scale[p] = now > whole[p] ? now : whole[p];
  }
  for (PetscInt p = 0; p < n; p++) largest = scale[p] > largest ? scale[p] : largest;
#pragma omp simd
  for (PetscInt p = 0; p < n; p++) scale[p] = 1 / (rtol * (scale[p] + floor * largest));
}

// E_{k-1}, E_k, E_{k+1} of the watched quantities: they hold for the attempt, and where it is accepted.
static void FindWatchedErrors(CtpgMultistep m) {
  const PetscReal ahead = m->whole_known ? m->h : m->end - m->time[0];
  ScaleIntegrals(m->nwatched, ahead, m->integral, m->slope + m->n, m->whole, m->watch_rtol, WATCHED_FLOOR,
                 m->scale + m->n);
  for (PetscInt r = 0; r < 3; r++) {
    const PetscInt i = m->order - 1 + r;
    m->watched_error[r] =
        i < m->nterms ? fabs(m->integrals[i]) * Norm(m->nwatched, m->term[i] + m->n, m->scale + m->n) : INFINITY;
  }
}

// ---- the matrix ----

static void TimesMatrix(const CtpgMultistep m, const PetscReal *v, PetscReal *out) {
  for (PetscInt i = 0; i < m->n; i++) {
    out[i] = 0;
    for (PetscInt j = 0; m->M && j < m->n; j++) out[i] += m->M[i * m->n + j] * v[j];
  }
}

static void AskForMatrix(CtpgMultistep m, PetscReal t) {
  PetscBool changed = PETSC_TRUE;
  m->M = m->callbacks.matrix ? m->callbacks.matrix(m->callbacks.context, t, &changed) : NULL;
  if (changed) m->beta0 = NAN;
}

// Factors of I - beta_0 M. False: it is singular.
static PetscBool Factor(CtpgMultistep m, PetscReal beta0) {
  if (m->beta0 == beta0) return PETSC_TRUE;
  for (PetscInt i = 0; i < m->n * m->n; i++) m->factors[i] = -beta0 * m->M[i];
  for (PetscInt i = 0; i < m->n; i++) m->factors[i * m->n + i] += 1;
  m->beta0 = NAN;
  if (!LinearFactor(m->n, m->factors, m->pivots)) return PETSC_FALSE;
  m->beta0 = beta0;
  return PETSC_TRUE;
}

// ---- one step ----

// The polynomial through the newest states, k + 1 where there are so many, at t_n + h. BDF coefficients.
static void Extrapolate(CtpgMultistep m) {
  const PetscInt count = PetscMin(m->order + 1, m->nodes);
  PetscReal product = 1;
  for (PetscInt i = 0; i < count; i++) memcpy(m->term[i], m->state[i], (size_t)m->n * sizeof(PetscReal));
  CtpgDivideDifferences(count, m->time, m->n, m->term);
  memset(m->predicted, 0, (size_t)m->n * sizeof(PetscReal));
  for (PetscInt i = 0; i < count; i++) {
    for (PetscInt j = 0; j < m->n; j++) m->predicted[j] += product * m->term[i][j];
    product *= m->time[0] + m->h - m->time[i];
  }
}

static void Predict(CtpgMultistep m) {
  const PetscInt k = m->order;
  PetscReal integrals[ROWS];
  if (m->options.bdf && m->accepted > 0) {
    Extrapolate(m);
    return;
  }
  CtpgNewtonIntegrals(k, m->time, m->time[0], m->time[0] + m->h, integrals);
  memcpy(m->predicted, m->y, (size_t)m->n * sizeof(PetscReal));
  for (PetscInt i = 0; i < k; i++)
    for (PetscInt j = 0; j < m->n; j++) m->predicted[j] += integrals[i] * m->row[i][j];
  for (PetscInt j = 0; m->accepted == 0 && j < m->n; j++) m->predicted[j] += 0.5 * m->h * m->h * m->d2[j];
}

// The differences that T_0 .. T_{k+1} are made of, as far as nodes go, of f^P and q in m->slope; returns beta_0.
static PetscReal FindTerms(CtpgMultistep m, PetscReal t) {
  const PetscInt width = m->n + m->nwatched;
  PetscReal z[ROWS + 1], beta0 = 0, weight = 1;
  m->nterms = m->differences = PetscMin(m->order + 2, m->nodes + 1);
  z[0] = t;
  memcpy(z + 1, m->time, (size_t)(m->nterms - 1) * sizeof *z);
  memcpy(m->term[0], m->slope, (size_t)width * sizeof(PetscReal));
  CtpgExtendDifferences(m->nterms, z, width, m->row, m->term);
  CtpgNewtonIntegrals(m->nterms, z, m->time[0], t, m->integrals);
  for (PetscInt i = 0; i < m->nterms; i++) {
    if (i > 0) weight *= z[0] - z[i];
    m->weight[i] = weight;
    if (i <= m->order) beta0 += m->integrals[i] / weight;
  }
  return beta0;
}

// 1 / sum_{i<k} 1/(t - t_{n-i}): beta_0 of BDF coefficients.
static PetscReal BackwardBeta(const CtpgMultistep m, PetscInt k) {
  const PetscReal t = m->time[0] + m->h;
  PetscReal sum = 0;
  for (PetscInt i = 0; i < k; i++) sum += 1 / (t - m->time[i]);
  return 1 / sum;
}

// y[t, t_n .. t_{n-i}] prod_{j<i} (t - t_{n-j}) into term[i + 1] for all i < count, of y at t. Of the polynomial
// through t, t_n .. t_{n-k+1} the slope at t is the sum of the first k.
static void DivideStates(CtpgMultistep m, PetscInt count, const PetscReal *y) {
  PetscReal z[ROWS + 1], product = 1;
  z[0] = m->time[0] + m->h;
  memcpy(m->term[0], y, (size_t)m->n * sizeof *y);
  for (PetscInt i = 0; i < count; i++) {
    z[i + 1] = m->time[i];
    memcpy(m->term[i + 1], m->state[i], (size_t)m->n * sizeof *y);
  }
  CtpgDivideDifferences(count + 1, z, m->n, m->term);
  for (PetscInt i = 0; i < count; i++) {
    for (PetscInt j = 0; j < m->n; j++) m->term[i + 1][j] *= product;
    product *= z[0] - z[i + 1];
  }
}

// As SolveTerms below.
static PetscBool SolveBackward(CtpgMultistep m, PetscReal beta0) {
  const PetscInt n = m->n, k = m->order;
  DivideStates(m, k, m->predicted);
  for (PetscInt j = 0; j < n; j++) {
    PetscReal slope = 0;
    for (PetscInt i = 1; i <= k; i++) slope += m->term[i][j];
    m->solved[j] = m->change[j] = beta0 * (m->slope[j] - slope);
  }
  if (m->M && !Factor(m, beta0)) return PETSC_FALSE;
  if (m->M) LinearSolve(n, 1, m->factors, m->pivots, m->solved);
  for (PetscInt j = 0; j < n; j++) m->attempt[j] = m->predicted[j] + m->solved[j];
  m->nterms = PetscMin(k + 2, m->nodes);
  DivideStates(m, m->nterms, m->attempt);
  for (PetscInt r = 1; r < 4; r++) {
    const PetscInt order = k - 2 + r;
    for (PetscInt j = 0; j < n; j++) // the first step has no difference: half of what it was corrected by
      m->solved[r * n + j] =
          order < m->nterms ? BackwardBeta(m, PetscMax(order, 1)) * m->term[order + 1][j] : 0.5 * m->solved[j];
  }
  m->nterms = PetscMax(m->nterms, 2);
  return PETSC_TRUE;
}

// S times (y* - y^P, T_{k-1}, T_k, T_{k+1}) into m->solved, y* - y^P into m->change.
static PetscBool SolveTerms(CtpgMultistep m, PetscReal beta0) {
  const PetscInt n = m->n, k = m->order;
  const PetscInt last = k + 1 < m->nterms ? 4 : 3;
  for (PetscInt j = 0; j < n; j++) m->change[j] = m->y[j] - m->predicted[j];
  for (PetscInt i = 0; i <= k; i++)
    for (PetscInt j = 0; j < n; j++) m->change[j] += m->integrals[i] * m->term[i][j];
  memcpy(m->solved, m->change, (size_t)n * sizeof *m->solved);
  for (PetscInt r = 1; r < last; r++)
    for (PetscInt j = 0; j < n; j++) m->solved[r * n + j] = m->integrals[k - 2 + r] * m->term[k - 2 + r][j];
  if (!m->M) return PETSC_TRUE;
  if (!Factor(m, beta0)) return PETSC_FALSE;
  LinearSolve(n, last, m->factors, m->pivots, m->solved);
  return PETSC_TRUE;
}

// y and F from y^P and d = S (y* - y^P): beta_0 M d = d - (y* - y^P), which m->change was and M d is now.
static void Correct(CtpgMultistep m, PetscReal beta0) {
  for (PetscInt j = 0; j < m->n; j++) {
    m->attempt[j] = m->predicted[j] + m->solved[j];
    m->change[j] = (m->solved[j] - m->change[j]) / beta0;
    m->slope[j] += m->change[j];
  }
}

// max(|h^3/12 d3|, |h/6 (F_1 - F_0 - h d2)|).
static PetscReal FirstError(CtpgMultistep m) {
  const PetscReal h = m->h;
  FindScale(m, m->y, m->attempt);
  for (PetscInt j = 0; j < m->n; j++) m->missed[j] = h * h * h / 12 * m->d3[j];
  const PetscReal cubic = Norm(m->n, m->missed, m->scale);
  for (PetscInt j = 0; j < m->n; j++) m->missed[j] = h / 6 * (m->slope[j] - m->row[0][j] - h * m->d2[j]);
  return fmax(cubic, Norm(m->n, m->missed, m->scale));
}

// from: y_n for the step itself, the new y for what follows.
static void FindErrors(CtpgMultistep m, const PetscReal *from) {
  FindScale(m, from, m->attempt);
  for (PetscInt r = 0; r < 3; r++) {
    m->error[r] = m->watched_error[r];
    if (m->order - 1 + r < m->nterms)
      m->error[r] = Larger(Norm(m->n, m->solved + (r + 1) * m->n, m->scale), m->error[r]);
  }
}

// The error that decides on the step: E_k, or what stands for it at the start.
static PetscReal DecisiveError(CtpgMultistep m) {
  if (m->starting && m->accepted == 0 && m->M) return FirstError(m);
  if (!m->starting) return m->error[1];
  return m->error[1] * fmin(1, fmax(0.02, m->error[1] / fmax(m->error[0], TINY)));
}

// h/2 |d_first| where all higher orders miss the same, but for `part` of it, of slopes [n] at `at`, else 0; at most 1
// is no jump. change [n]: of slopes by the corrector.
static PetscReal MissedAlike(const CtpgMultistep m, PetscInt n, PetscInt at, const PetscReal *change, PetscInt first,
                             PetscReal part) {
  const PetscInt last = PetscMin(m->order + 1, m->nterms - 1);
  const PetscReal *scale = m->scale + at, *difference = m->term[first] + at;
  const PetscReal missed = SumDistances(n, difference, -m->weight[first], change, scale);
  const PetscReal jump = n ? 0.5 * m->h * sqrt(missed / (PetscReal)n) : 0;
  if (!(jump > 1)) return 0;
  for (PetscInt j = 0; j < n; j++) m->missed[j] = m->weight[first] * difference[j];
  for (PetscInt i = first + 1; i <= last; i++) {
    const PetscReal between = SumDistances(n, m->term[i] + at, m->weight[i], m->missed, scale);
    if (!(between < PetscSqr(part) * missed)) return 0;
  }
  return jump;
}

// h/2 |d| where slopes [n] at `at` jumped, else 0.
static PetscReal JumpOf(const CtpgMultistep m, PetscInt n, PetscInt at, const PetscReal *change) {
  const PetscReal jump = MissedAlike(m, n, at, change, 1, JUMP_SAME);
  if (jump > 0 || PetscMin(m->order + 1, m->nterms - 1) < JUMP_ORDERS) return jump;
  return MissedAlike(m, n, at, change, 2, JUMP_SAME_BENT);
}

// The error of a step over a jump; 0: over none.
static PetscReal JumpError(const CtpgMultistep m) {
  if (!m->options.jumps || m->options.bdf || m->order < 2 || m->nterms < 3) return 0;
  const PetscReal of_state = JumpOf(m, m->n, 0, m->change), of_watched = JumpOf(m, m->nwatched, m->n, NULL);
  return Larger(of_state, of_watched);
}

// One attempt at a step of length h; its error, infinite where it has none.
static PetscReal Attempt(CtpgMultistep m) {
  const PetscReal t = m->time[0] + m->h;
  Predict(m);
  if (m->callbacks.rhs(m->callbacks.context, t, m->predicted, m->slope, m->slope + m->n) != CTPG_OK) return INFINITY;
  const PetscReal adams = FindTerms(m, t), beta0 = m->options.bdf ? BackwardBeta(m, m->order) : adams;
  AskForMatrix(m, t);
  if (!(m->options.bdf ? SolveBackward(m, beta0) : SolveTerms(m, beta0))) return INFINITY;
  Correct(m, beta0);
  FindWatchedErrors(m);
  FindErrors(m, m->y);
  const PetscReal error = DecisiveError(m), jump = JumpError(m);
  if (!isfinite(error)) return INFINITY;
  if (jump <= 1 || jump <= error) return error;
  m->jump = PETSC_TRUE;
  return jump;
}

// ---- a solve ----

static CtpgMultistepNode NewestNode(const CtpgMultistep m) {
  return (CtpgMultistepNode){.t = m->time[0],
                             .number = m->accepted,
                             .order = m->order,
                             .y = m->y,
                             .predicted = m->accepted ? m->predicted : m->y,
                             .slope = m->row[0]};
}

// y and slope at t become the newest node, of whose slopes m->term are the differences.
static void PushNode(CtpgMultistep m, PetscReal t) {
  PetscReal *state = m->state[ROWS - 1];
  memmove(m->state + 1, m->state, (ROWS - 1) * sizeof *m->state);
  memmove(m->time + 1, m->time, (ROWS - 1) * sizeof *m->time);
  m->time[0] = t;
  m->state[0] = state;
  if (m->options.bdf) memcpy(state, m->y, (size_t)m->n * sizeof *state);
  m->nodes = PetscMin(m->nodes + 1, ROWS);
  for (PetscInt i = 0; i < m->differences; i++) {
    PetscReal *newest = m->term[i];
    m->term[i] = m->row[i];
    m->row[i] = newest;
  }
  memcpy(m->row[0], m->slope, (size_t)(m->n + m->nwatched) * sizeof *m->slope);
}

// The differences of f^P at t_n + h become those of the corrected slope.
static void CorrectDifferences(CtpgMultistep m) {
  for (PetscInt i = 0; i < m->differences; i++) {
    const PetscReal share = 1 / m->weight[i];
    for (PetscInt j = 0; j < m->n; j++) m->term[i][j] += share * m->change[j];
  }
}

static void Accept(CtpgMultistep m) {
  FindErrors(m, m->attempt);
  for (PetscInt p = 0; p < m->nwatched; p++) m->integral[p] += m->h * fabs(m->slope[m->n + p]);
  memcpy(m->y, m->attempt, (size_t)m->n * sizeof *m->y);
  if (!m->options.bdf) CorrectDifferences(m);
  PushNode(m, m->time[0] + m->h);
  EnlargeSizes(m);
  m->accepted++;
  m->steps++;
  const CtpgMultistepNode node = NewestNode(m);
  m->callbacks.accept(m->callbacks.context, &node);
}

static void Reject(CtpgMultistep m, PetscReal error) {
  CtpgClosedLoopMoveCounts(m->loop, CTPG_REJECTED);
  m->rejected++;
  m->h *= isfinite(error) ? fmax(0.2, fmin(0.8, Root(0.5 / error, m->order + 1))) : 0.2;
  const PetscBool again = m->accepted - m->last_rejection <= 3 ? PETSC_TRUE : PETSC_FALSE;
  m->last_rejection = m->accepted;
  if (m->starting && m->accepted > 1)
    m->starting = PETSC_FALSE;
  else if (m->callbacks.trouble && !m->starting && (error > 10 || again)) {
    const CtpgMultistepNode node = NewestNode(m);
    m->callbacks.trouble(m->callbacks.context, &node);
  }
}

// Step and order after an accepted step of the start.
static void GoOnStarting(CtpgMultistep m, PetscReal error) {
  const PetscReal *E = m->error;
  const PetscInt power = m->accepted == 1 ? 3 : m->order + 2;
  const PetscReal h = m->h * fmin(3, Root(SAFETY / fmax(error, 1e-12), power));
  if (m->order > 2 && ((m->order + 1 < m->nterms && E[2] > 0.7 * E[1]) || E[1] > 0.7 * E[0])) m->starting = PETSC_FALSE;
  if (h < 1.2 * m->h && m->accepted > 2) m->starting = PETSC_FALSE;
  m->order = PetscMin(m->order + 1, m->options.max_order);
  m->h = fmax(h, 0.5 * m->h);
  if (m->order == m->options.max_order) m->starting = PETSC_FALSE;
}

// Step and order after any other accepted step.
static void ChooseOrder(CtpgMultistep m) {
  static const PetscReal preference[3] = {1, 1.02, 0.95};
  static const PetscInt sequence[3] = {1, 0, 2}; // the first of equals: stay
  const PetscInt k = m->order;
  PetscReal best = 0;
  for (PetscInt s = 0; s < 3; s++) {
    const PetscInt r = sequence[s], order = k - 1 + r;
    if (order < 1 || order > m->options.max_order || order >= m->nterms) continue;
    const PetscReal factor = preference[r] * Root(SAFETY / Larger(m->error[r], 1e-12), order + 1);
    if (factor > best) best = factor, m->order = order;
  }
  if (best > 1.05 || best < 1) m->h *= fmin(2, fmax(0.4, best));
}

// What was before the jump is no guide.
static void LeaveJump(CtpgMultistep m) {
  const CtpgMultistepNode node = NewestNode(m);
  m->jump = m->starting = PETSC_FALSE;
  m->order = 1;
  if (m->callbacks.trouble) m->callbacks.trouble(m->callbacks.context, &node);
}

static void ChooseFirstStep(CtpgMultistep m, PetscReal length) {
  const PetscReal ahead = fmin(length / 50, 1);
  TimesMatrix(m, m->row[0], m->d2);
  TimesMatrix(m, m->d2, m->d3);
  for (PetscInt j = 0; j < m->n; j++) m->attempt[j] = m->y[j] + ahead * m->row[0][j];
  for (PetscInt j = 0; !m->M && j < m->n; j++) m->size[j] = Larger(m->size[j], fabs(m->attempt[j]));
  const PetscReal *at = m->M ? m->y : m->attempt, n1 = CtpgMultistepNorm(m, m->row[0], at, at),
                  n2 = CtpgMultistepNorm(m, m->d2, m->attempt, m->attempt), n3 = Norm(m->n, m->d3, m->scale);
  if (m->starting)
    m->h = fmin(length / 8, fmin(cbrt(1.5 / fmax(n3, TINY)), 8 * sqrt(1 / fmax(n2, TINY))));
  else {
    m->h = fmin(length / 8, sqrt(1 / fmax(n2, TINY)));
    memset(m->d2, 0, (size_t)m->n * sizeof *m->d2);
  }
  if (n2 < 1e-12) m->h = fmin(m->h, 4 * CtpgPow(1 / fmax(n1, TINY), 0.4));
}

// Node 0, and what the first step starts from.
static CtpgStatus Begin(CtpgMultistep m, PetscReal t0, PetscReal t1) {
  m->accepted = m->nodes = 0;
  m->end = t1;
  m->differences = 1;
  m->last_rejection = -10;
  m->order = 1;
  m->starting = m->options.plain_start ? PETSC_FALSE : PETSC_TRUE;
  m->jump = PETSC_FALSE;
  m->beta0 = NAN;
  const CtpgStatus status = m->callbacks.rhs(m->callbacks.context, t0, m->y, m->slope, m->slope + m->n);
  if (status != CTPG_OK) return status;
  PushNode(m, t0);
  const CtpgMultistepNode node = NewestNode(m);
  m->callbacks.accept(m->callbacks.context, &node);
  AskForMatrix(m, t0);
  ChooseFirstStep(m, t1 - t0);
  return CtpgClosedLoopGetStatus(m->loop);
}

// The step must end at t1, or leave room for another one of its size.
static void MeetEnd(CtpgMultistep m, PetscReal t0, PetscReal t1) {
  const PetscReal t = m->time[0];
  if (t + m->h >= t1 - 1e-9 * (t1 - t0))
    m->h = t1 - t;
  else if (t + 2 * m->h > t1)
    m->h = (t1 - t) / 2;
}

static CtpgStatus Limit(CtpgMultistep m, PetscInt attempts) {
  if (attempts >= m->options.step_limit)
    CtpgClosedLoopFail(m->loop, CTPG_STEP_LIMIT, "%d steps (-step_limit) used up at %.3g", (int)attempts, m->time[0]);
  else if (m->time[0] + m->h <= m->time[0])
    CtpgClosedLoopFail(m->loop, CTPG_STEP_LIMIT, "the step vanishes at %.3g", m->time[0]);
  return CtpgClosedLoopGetStatus(m->loop);
}

void CtpgMultistepSolve(CtpgMultistep m, CtpgPurpose purpose, PetscReal t0, PetscReal t1, PetscReal rtol) {
  m->rtol = rtol;
  CtpgClosedLoopSetPurpose(m->loop, purpose);
  if (Begin(m, t0, t1) != CTPG_OK) return;
  for (PetscInt attempts = 0; m->time[0] < t1 - 1e-12 * (t1 - t0); attempts++) {
    m->order = PetscMin(m->order, m->options.bdf ? PetscMax(m->nodes - 1, 1) : m->nodes);
    MeetEnd(m, t0, t1);
    if (Limit(m, attempts) != CTPG_OK) return;
    CtpgClosedLoopMarkCounts(m->loop);
    const PetscReal error = Attempt(m);
    if (CtpgClosedLoopGetStatus(m->loop) != CTPG_OK && !CtpgClosedLoopRetry(m->loop, m->h)) return;
    if (error > 1) {
      Reject(m, error);
      continue;
    }
    Accept(m);
    if (m->jump)
      LeaveJump(m);
    else if (m->starting)
      GoOnStarting(m, error);
    else
      ChooseOrder(m);
  }
}
