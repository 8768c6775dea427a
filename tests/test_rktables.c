// test_rktables.c -- every Runge-Kutta table, its embedded formula and its dense output; the solver that steps with
// them
//
//   coefficients  order conditions of all rooted trees (E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary
//                 Differential Equations I", Theorem II.2.13), also of embedded formulas and of the dense output
//   error norm    of each accepted step, and the steps that follow from it, against the formula
//   order         slope of the error on the time-dependent plant, stepped by CtpgRKSolver, and by a loop of five lines
//                 for the embedded formula
//   splines       slope between the knots, values at the knots, TSInterpolate
//   solver        exact step times, counts of rejections, the same bits on reuse, failures without a PETSc error

#include "plant.h"
#include "ctpgbench/toolkit/spline.h"

enum { MAX_N = PLANT_NX + 1 }; // the state and the loss

// ---- coefficients ----

enum { MAX_ROWS = CTPG_RK_MAX_STAGES, MAX_ORDER = 8, MAX_TREES = 1 + 1 + 2 + 4 + 9 + 20 + 48 + 115 + 286 };

typedef PetscReal Stages[MAX_ROWS];

// A rooted tree is the multiset of trees that hang on its root (none: the root alone).
typedef struct {
  int order, nchildren, child[MAX_ORDER];
  PetscReal density;
} Tree;

static Tree trees[MAX_TREES];
static int num_trees;

// All ways to hang trees of together `remaining` vertices, none later in the list than `latest`, on the root of `tree`.
static void Grow(Tree tree, int remaining, int latest) {
  if (remaining == 0) {
    tree.density = tree.order;
    for (int k = 0; k < tree.nchildren; k++) tree.density *= trees[tree.child[k]].density;
    trees[num_trees++] = tree;
    return;
  }
  for (int c = latest; c >= 0; c--) {
    if (trees[c].order > remaining) continue;
    Tree more = tree;
    more.child[more.nchildren++] = c;
    Grow(more, remaining - trees[c].order, c);
  }
}

static void GrowTrees(void) {
  for (int order = 1; order <= MAX_ORDER + 1; order++) Grow((Tree){.order = order}, order - 1, num_trees - 1);
  CHECK(num_trees == MAX_TREES, "%d trees", num_trees);
}

// Stages and, for the dense output, the derivative at the end and extra stages, as one lower triangular matrix.
typedef struct {
  PetscInt n;
  PetscReal A[MAX_ROWS][MAX_ROWS];
} Rows;

static Rows RowsOf(const CtpgRKTable *table) {
  static Rows rows;
  const PetscInt s = table->s;
  rows = (Rows){.n = table->ndense};
  for (PetscInt i = 0; i < rows.n; i++)
    for (PetscInt j = 0; j < i; j++)
      rows.A[i][j] = i < s ? table->A[i * s + j] : i > s ? table->Aextra[i - s - 1][j] : j < s ? table->b[j] : 0;
  return rows;
}

// sum_i weights_i prod_children (A child)_i of all trees: into sums and, with absolute values, into sizes.
static void ElementaryWeights(const Rows *rows, const PetscReal *weights, const PetscReal *weight_sizes, PetscInt n,
                              PetscReal *sums, PetscReal *sizes) {
  static Stages value[MAX_TREES], size[MAX_TREES];
  for (int k = 0; k < num_trees; k++) {
    sums[k] = sizes[k] = 0;
    for (PetscInt i = 0; i < rows->n; i++) {
      value[k][i] = size[k][i] = 1;
      for (int c = 0; c < trees[k].nchildren; c++) {
        PetscReal sum = 0, total = 0;
        for (PetscInt j = 0; j < i; j++) {
          sum += rows->A[i][j] * value[trees[k].child[c]][j];
          total += fabs(rows->A[i][j]) * size[trees[k].child[c]][j];
        }
        value[k][i] *= sum;
        size[k][i] *= total;
      }
    }
    for (PetscInt i = 0; i < n; i++) {
      sums[k] += weights[i] * value[k][i];
      sizes[k] += weight_sizes[i] * size[k][i];
    }
  }
}

// sum = theta^order / density for all trees up to `order`, to rounding of the terms that cancel; not for all of the
// next.
static void CheckConditions(const CtpgRKTable *table, const char *what, const PetscReal *weights,
                            const PetscReal *weight_sizes, PetscInt n, PetscReal theta, int order) {
  static PetscReal sums[MAX_TREES], sizes[MAX_TREES];
  const Rows rows = RowsOf(table);
  PetscReal beyond = 0;
  ElementaryWeights(&rows, weights, weight_sizes, n, sums, sizes);
  for (int k = 0; k < num_trees && trees[k].order <= order + 1; k++) {
    const PetscReal off = fabs(sums[k] - pow(theta, trees[k].order) / trees[k].density);
    if (trees[k].order <= order)
      CHECK(off <= 1e-15 * sizes[k], "%s, %s, tree %d of order %d, theta %g: off by %.1e, terms %.1e", table->name,
            what, k, trees[k].order, theta, off, sizes[k]);
    else
      beyond = fmax(beyond, off);
  }
  CHECK(beyond > 1e-9, "%s, %s: order above %d", table->name, what, order);
}

// The same for the formula b [s] of a step.
static void CheckFormula(const CtpgRKTable *table, const char *what, const PetscReal *b, int order) {
  Stages sizes;
  for (PetscInt i = 0; i < table->s; i++) sizes[i] = fabs(b[i]);
  CheckConditions(table, what, b, sizes, table->s, 1, order);
}

// b_i(theta) of the dense output, and the sums of its terms without signs.
static void DenseWeights(const CtpgRKTable *table, PetscReal theta, PetscReal *weights, PetscReal *sizes) {
  for (PetscInt i = 0; i < table->ndense; i++) {
    weights[i] = sizes[i] = 0;
    for (PetscInt j = 0; j < table->pinterp; j++) {
      const PetscReal term = table->binterp[i * table->pinterp + j] * pow(theta, (PetscReal)(j + 1));
      weights[i] += term;
      sizes[i] += fabs(term);
    }
  }
}

// Order of the error estimate's formula.
static int EmbeddedOrder(const CtpgRKTable *table) {
  return table->bsecond ? 5 : (int)table->order - 1;
}

static PetscErrorCode TestCoefficients(const char *name) {
  PROPERTY("%s: coefficients meet the order conditions", name);
  CtpgRKTable table;
  Stages weights, sizes;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", name, &table));
  const Rows rows = RowsOf(&table);
  for (PetscInt i = 0; i < rows.n; i++) {
    PetscReal sum = 0, size = 0;
    for (PetscInt j = 0; j < i; j++) sum += rows.A[i][j], size += fabs(rows.A[i][j]);
    const PetscReal c = i < table.s ? table.c[i] : i == table.s ? 1 : table.cextra[i - table.s - 1];
    CHECK(fabs(sum - c) <= 1e-15 * size, "%s: c_%d", name, (int)i);
  }
  CheckFormula(&table, "b", table.b, (int)table.order);
  if (table.bembed) CheckFormula(&table, "embedded", table.bembed, EmbeddedOrder(&table));
  if (table.bsecond) CheckFormula(&table, "second", table.bsecond, 3);
  for (int k = 1; k <= 4 && CtpgRKTableHasDenseOutput(&table); k++) {
    DenseWeights(&table, k / 4.0, weights, sizes);
    if (k < 4) CheckConditions(&table, "dense", weights, sizes, table.ndense, k / 4.0, (int)table.dense_order);
    for (PetscInt i = 0; i < table.ndense && k == 4; i++) {
      const PetscReal off = weights[i] - (i < table.s ? table.b[i] : 0);
      CHECK(fabs(off) <= 1e-15 * sizes[i], "%s: b_%d(1) is off by %.1e", name, (int)i, off);
    }
  }
  PetscFunctionReturn(0);
}

// The nodes as they are printed, and the first digits of the weights.
static PetscErrorCode TestTsit5(void) {
  PROPERTY("tsit5: nodes and weights are the printed ones");
  const PetscReal c[7] = {0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1};
  CtpgRKTable table;
  Stages dense, sizes;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", "tsit5", &table));
  CHECK(table.s == 7 && table.order == 5 && table.fsal && table.bembed && table.pinterp == 4, "%d %d", (int)table.s,
        (int)table.order);
  for (int i = 0; i < 7; i++) CHECK_CLOSE(table.c[i], c[i], 2e-15, 1);
  DenseWeights(&table, 1, dense, sizes);
  for (int i = 0; i < 7; i++)
    CHECK(fabs(dense[i] - table.b[i]) <= 5e-15, "b_%d(1) - b_%d = %.1e", i, i, dense[i] - table.b[i]);
  PetscFunctionReturn(0);
}

// ---- order ----

enum { MAX_POINTS = 64 };

// Errors at numbers of steps, and the least-squares slope of those that are neither rounding nor first guesses: the
// last four below 1e-2 and above 3e-12.
typedef struct {
  int n;
  double steps[MAX_POINTS], error[MAX_POINTS];
} Convergence;

static void AddPoint(Convergence *c, PetscInt steps, double error) {
  if (!(error < 1e-2 && error > 3e-12) || c->n == MAX_POINTS) return;
  c->steps[c->n] = (double)steps;
  c->error[c->n++] = error;
}

static double Slope(const Convergence *c) {
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  const int first = c->n - 4;
  if (first < 0) return NAN;
  for (int k = first; k < c->n; k++) {
    const double x = -log(c->steps[k]), y = log(c->error[k]);
    sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  return (4 * sxy - sx * sy) / (4 * sxx - sx * sx);
}

// 4, 6, 8, 12, 16, ... up to `last`
static PetscInt NextSteps(PetscInt N) {
  return (N & (N - 1)) ? N / 3 * 4 : N / 2 * 3;
}

typedef struct {
  Setting s;
  CtpgClosedLoop loop;
  PetscReal exact[MAX_N];
} Bed;

typedef struct {
  CtpgForwardSolve forward;
  PetscReal y[MAX_N]; // x(T), loss without terminal cost
  CtpgResult result;
  PetscReal loss;
} Solve;

static PetscErrorCode SolveCreate(const Bed *bed, const char *table, PetscBool fixed, int keep, Solve *solve) {
  CtpgRKOptions rk;
  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(table, fixed, &rk));
  PetscCall(CtpgForwardCreate(bed->loop, &rk, NULL, keep, &solve->forward));
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveRun(const Bed *bed, PetscReal accuracy, Solve *solve) {
  PetscReal terminal;
  PetscFunctionBeginUser;
  solve->result = (CtpgResult){.loss = &solve->loss};
  PetscCall(CtpgForwardRun(solve->forward, bed->s.c.x0, accuracy, &solve->result));
  PetscCall(PetscArraycpy(solve->y, CtpgForwardGetEnd(solve->forward), PLANT_NX));
  CtpgClosedLoopTerminal(bed->loop, solve->y, &terminal, NULL);
  solve->y[PLANT_NX] = solve->loss - terminal;
  PetscFunctionReturn(0);
}

static PetscErrorCode BedCreate(const Plant *plant, Bed *bed) {
  Solve exact;
  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(plant, 3, &bed->s));
  PetscCall(SettingCreateLoop(&bed->s, &bed->loop));
  PetscCall(SolveCreate(bed, "8vr", PETSC_TRUE, CTPG_KEEP_NOTHING, &exact));
  PetscCall(SolveRun(bed, 0.01, &exact));
  PetscCall(PetscArraycpy(bed->exact, exact.y, MAX_N));
  PetscCall(CtpgForwardDestroy(&exact.forward));
  CtpgClosedLoopStart(bed->loop, NULL);
  PetscFunctionReturn(0);
}

static PetscErrorCode BedDestroy(Bed *bed) {
  PetscFunctionBeginUser;
  PetscCall(CtpgClosedLoopDestroy(&bed->loop));
  PetscCall(SettingDestroy(&bed->s));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOrder(const Bed *bed, const char *name) {
  PROPERTY("%s: the error falls with the order claimed", name);
  Convergence convergence = {0};
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SolveCreate(bed, name, PETSC_TRUE, CTPG_KEEP_NOTHING, &solve));
  const PetscReal order = CtpgForwardGetTable(solve.forward)->order;
  for (PetscInt N = 4; N <= 16384; N = NextSteps(N)) {
    PetscCall(SolveRun(bed, bed->s.c.T / N, &solve));
    AddPoint(&convergence, N, Distance(MAX_N, solve.y, bed->exact));
  }
  CHECK(Slope(&convergence) >= order - 0.25, "%s of order %g: slope %.3f", name, order, Slope(&convergence));
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// N steps with the weights given, in place in y = (x, loss).
static void Integrate(CtpgClosedLoop loop, const CtpgRKTable *table, const PetscReal *weights, PetscReal T, PetscInt N,
                      PetscReal *y) {
  PetscReal K[CTPG_RK_MAX_STAGES][MAX_N], X[MAX_N];
  const PetscReal h = T / N;
  for (PetscInt n = 0; n < N; n++) {
    for (PetscInt i = 0; i < table->s; i++) {
      const PetscReal t = n * h + table->c[i] * h;
      memcpy(X, y, sizeof X);
      for (PetscInt j = 0; j < i; j++)
        for (PetscInt k = 0; k < MAX_N; k++) X[k] += h * table->A[i * table->s + j] * K[j][k];
      CtpgClosedLoopEval(loop, 1, &t, X, K[i], K[i] + PLANT_NX);
    }
    for (PetscInt i = 0; i < table->s; i++)
      for (PetscInt k = 0; k < MAX_N; k++) y[k] += h * weights[i] * K[i][k];
  }
}

static PetscErrorCode TestEmbedded(const Bed *bed, const char *name) {
  PROPERTY("%s: steps are those of a plain loop, the embedded method has its order", name);
  Convergence convergence = {0};
  PetscReal y[MAX_N];
  CtpgRKTable table;
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", name, &table));
  PetscCall(SolveCreate(bed, name, PETSC_TRUE, CTPG_KEEP_NOTHING, &solve));
  PetscCall(SolveRun(bed, bed->s.c.T / 50, &solve));
  memcpy(y, bed->s.c.x0, PLANT_NX * sizeof *y), y[PLANT_NX] = 0;
  Integrate(bed->loop, &table, table.b, bed->s.c.T, 50, y);
  CheckNear(name, "loop of the test", MAX_N, y, solve.y, fmax(1e-14, 1e-15 * LargestRow(&table)));
  PetscCall(CtpgForwardDestroy(&solve.forward));
  for (PetscInt N = 4; N <= 16384 && table.bembed; N = NextSteps(N)) {
    memcpy(y, bed->s.c.x0, PLANT_NX * sizeof *y), y[PLANT_NX] = 0;
    Integrate(bed->loop, &table, table.bembed, bed->s.c.T, N, y);
    AddPoint(&convergence, N, Distance(MAX_N, y, bed->exact));
  }
  if (table.bembed)
    CHECK(Slope(&convergence) >= EmbeddedOrder(&table) - 0.25, "%s, embedded: slope %.3f", name, Slope(&convergence));
  PetscFunctionReturn(0);
}

// ---- error norm ----

// sum_i ((h sum_j (weights_j - b_j) K_j,i) / tol_i)^2 of a recorded step.
static PetscReal ScaledSquares(const CtpgRKTable *table, const PetscReal *weights, const CtpgStep *step,
                               PetscReal rtol) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < PLANT_NX; i++) {
    PetscReal e = 0, first = 0, y = step->x[i];
    for (PetscInt j = 0; j < table->s; j++) {
      const PetscReal K = step->h * step->slopes[j * PLANT_NX + i];
      y += table->b[j] * K;
      first += (table->bembed[j] - table->b[j]) * K;
      e += (weights[j] - table->b[j]) * K;
    }
    sum += PetscSqr(e / (1e-3 * rtol + rtol * fmax(fabs(y), fabs(y + first))));
  }
  return sum;
}

// Accepted steps have norms up to 1; the next one, where nothing was rejected and the end is far, has PETSc's length
// h 0.9 norm^(-1/order), at most 10 h. The messenger and TS's own norm are held against the same formula.
static PetscErrorCode TestErrorNorm(const Bed *bed, const char *name, PetscReal rtol) {
  PROPERTY("%s: the error norm is the formula's, and steps follow it", name);
  PetscInt predicted = 0;
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SolveCreate(bed, name, PETSC_FALSE, CTPG_KEEP_STATES | CTPG_KEEP_SLOPES, &solve));
  PetscCall(SolveRun(bed, rtol, &solve));
  const CtpgRKTable *table = CtpgForwardGetTable(solve.forward);
  const PetscInt N = CtpgForwardGetSteps(solve.forward);
  for (PetscInt n = 0; n < N; n++) {
    const CtpgStep step = CtpgForwardGetStep(solve.forward, n);
    const PetscReal first = ScaledSquares(table, table->bembed, &step, rtol);
    const PetscReal second = table->bsecond ? ScaledSquares(table, table->bsecond, &step, rtol) : 0;
    const PetscReal norm = first / sqrt(PLANT_NX * (first + 0.01 * second));
    CHECK(norm <= 1 + 1e-6, "%s: accepted with %g", name, norm);
    if (n + 1 == N) continue;
    const PetscReal h = step.h * fmin(10, 0.9 * pow(norm, -1.0 / (PetscReal)table->order));
    if (fabs(CtpgForwardGetStep(solve.forward, n + 1).h / h - 1) < 1e-5) predicted++;
  }
  CHECK(predicted + solve.result.rejected + 2 >= N - 1 && predicted >= N / 3, "%s: %d of %d steps follow, %d rejected",
        name, (int)predicted, (int)N, (int)solve.result.rejected);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// ---- splines ----

enum { SAMPLES = 37 };

static PetscReal SampleTime(PetscInt k, PetscReal T) {
  return T * (k + 0.5 * sin(k)) / SAMPLES;
}

// Largest distance between the spline and the states at the sample times.
static PetscReal SplineError(const Bed *bed, Solve *solve, CtpgSplineKind kind, PetscReal (*states)[PLANT_NX]) {
  PetscReal worst = 0, x[PLANT_NX];
  CtpgSpline spline;
  CtpgSplineOpen(&spline, kind, solve->forward, PLANT_NX);
  for (PetscInt k = SAMPLES; k >= 1; k--) {
    CtpgSplineEval(&spline, SampleTime(k, bed->s.c.T), x);
    worst = PetscMax(worst, Distance(PLANT_NX, x, states[k]));
  }
  return worst;
}

// States at the sample times by short solves of order 8 from one to the next.
static PetscErrorCode SampleStates(const Bed *bed, PetscReal (*states)[PLANT_NX]) {
  CtpgRKTable table;
  PetscReal K[CTPG_RK_MAX_STAGES][PLANT_NX], X[PLANT_NX], x[PLANT_NX], w;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", "8vr", &table));
  PetscCall(PetscArraycpy(x, bed->s.c.x0, PLANT_NX));
  for (PetscInt sample = 1; sample <= SAMPLES; sample++) {
    const PetscReal start = SampleTime(sample - 1, bed->s.c.T), h = (SampleTime(sample, bed->s.c.T) - start) / 20;
    for (PetscInt n = 0; n < 20; n++) {
      for (PetscInt i = 0; i < table.s; i++) {
        const PetscReal t = start + (n + table.c[i]) * h;
        memcpy(X, x, sizeof X);
        for (PetscInt j = 0; j < i; j++)
          for (PetscInt k = 0; k < PLANT_NX; k++) X[k] += h * table.A[i * table.s + j] * K[j][k];
        CtpgClosedLoopEval(bed->loop, 1, &t, X, K[i], &w);
      }
      for (PetscInt i = 0; i < table.s; i++)
        for (PetscInt k = 0; k < PLANT_NX; k++) x[k] += h * table.b[i] * K[i][k];
    }
    memcpy(states[sample], x, sizeof x);
  }
  PetscFunctionReturn(0);
}

// Error of the spline over a whole solve: h^wanted.
static PetscErrorCode TestSplineOrder(const Bed *bed, const char *name, CtpgSplineKind kind, double wanted) {
  PROPERTY("%s: the spline converges with order %g", name, wanted);
  PetscReal states[SAMPLES + 1][PLANT_NX];
  Convergence convergence = {0};
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SampleStates(bed, states));
  PetscCall(SolveCreate(bed, name, PETSC_TRUE, CtpgSplineKeeps(kind), &solve));
  for (PetscInt N = 4; N <= 8192; N = NextSteps(N)) {
    PetscCall(SolveRun(bed, bed->s.c.T / N, &solve));
    AddPoint(&convergence, N, SplineError(bed, &solve, kind, states));
  }
  const double slope = Slope(&convergence);
  CHECK(slope >= wanted - 0.25 && slope <= wanted + 0.5, "%s, spline %d: slope %.3f", name, (int)kind, slope);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// Every spline meets the recorded states, from the left; and from the right, where it is continuous.
static PetscErrorCode TestKnots(const Bed *bed, const char *name, CtpgSplineKind kind, PetscBool fixed) {
  PROPERTY("%s: the spline meets the recorded states, %s steps", name, fixed ? "fixed" : "adaptive");
  PetscReal x[PLANT_NX];
  CtpgSpline spline;
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SolveCreate(bed, name, fixed, CtpgSplineKeeps(kind), &solve));
  PetscCall(SolveRun(bed, fixed ? 0.05 : 1e-8, &solve));
  CtpgSplineOpen(&spline, kind, solve.forward, PLANT_NX);
  const PetscInt N = CtpgForwardGetSteps(solve.forward);
  CHECK(N > 10, "%d steps", (int)N);
  for (PetscInt n = N - 1; n >= 0; n--) {
    const CtpgStep step = CtpgForwardGetStep(solve.forward, n);
    const PetscReal *end = n == N - 1 ? CtpgForwardGetEnd(solve.forward) : CtpgForwardGetStep(solve.forward, n + 1).x;
    const PetscReal at = n == N - 1 ? bed->s.c.T : CtpgForwardGetStep(solve.forward, n + 1).t;
    const PetscReal t = CtpgSplineEval(&spline, at, x);
    CHECK(t == (kind == CTPG_SPLINE_CONSTANT ? step.t : at), "time %.17g at knot %.17g", t, at);
    CheckNear(name, "knot from the left", PLANT_NX, x, kind == CTPG_SPLINE_CONSTANT ? step.x : end, 1e-13);
    CtpgSplineEval(&spline, step.t + 1e-9 * step.h, x);
    CheckNear(name, "knot from the right", PLANT_NX, x, step.x, 1e-8);
  }
  CtpgSplineEval(&spline, 0, x);
  CheckNear(name, "start", PLANT_NX, x, bed->s.c.x0, 1e-15);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// TSInterpolate at three points of every accepted step, taken while TS still knows the step.
typedef struct {
  CtpgClosedLoop loop;
  CtpgRKSolver solver;
  Vec Y;
  PetscInt n;
  PetscReal t[600], x[600][PLANT_NX];
} Interpolated;

static CtpgStatus InterpolatedRHS(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  Interpolated *p = context;
  (void)i;
  return CtpgClosedLoopEval(p->loop, 1, &t, y, ydot, ydot + PLANT_NX);
}

static void InterpolatedAccept(void *context, const PetscReal *y) {
  Interpolated *p = context;
  const PetscReal *interpolated;
  PetscReal start, h;
  (void)y;
  CtpgRKSolverGetStep(p->solver, &start, &h);
  for (int k = 1; k <= 3 && p->n < 600; k++, p->n++) {
    p->t[p->n] = start + 0.25 * k * h;
    PetscCallVoid(TSInterpolate(CtpgRKSolverGetTS(p->solver), p->t[p->n], p->Y));
    PetscCallVoid(VecGetArrayRead(p->Y, &interpolated));
    memcpy(p->x[p->n], interpolated, sizeof *p->x);
    PetscCallVoid(VecRestoreArrayRead(p->Y, &interpolated));
  }
}

static PetscErrorCode InterpolateWithTS(const Bed *bed, const CtpgRKOptions *rk, PetscReal rtol, Interpolated *p) {
  PetscReal *y;
  PetscFunctionBeginUser;
  p->loop = bed->loop;
  p->n = 0;
  const CtpgRKCallbacks callbacks = {.context = p, .rhs = InterpolatedRHS, .accept = InterpolatedAccept};
  Vec solution;
  CtpgRKOptions by_ts = *rk;
  by_ts.by_ts = PETSC_TRUE;
  PetscCall(CtpgRKSolverCreate(bed->loop, &by_ts, NULL, 1, PLANT_NX, &callbacks, &p->solver));
  PetscCall(TSGetSolution(CtpgRKSolverGetTS(p->solver), &solution));
  PetscCall(VecDuplicate(solution, &p->Y));
  PetscCall(CtpgRKSolverGetState(p->solver, &y));
  PetscCall(PetscArraycpy(y, bed->s.c.x0, PLANT_NX));
  y[PLANT_NX] = 0;
  PetscCall(CtpgRKSolverRestoreState(p->solver, &y));
  PetscCall(CtpgRKSolverSolve(p->solver, CTPG_FORWARD, 0, bed->s.c.T, rtol, 0));
  PetscCall(CtpgRKSolverDestroy(&p->solver));
  PetscCall(VecDestroy(&p->Y));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestTSInterpolate(const Bed *bed, const char *name) {
  PROPERTY("%s: the native spline is TSInterpolate's", name);
  static Interpolated p;
  CtpgSpline spline;
  CtpgRKOptions rk;
  PetscReal x[PLANT_NX];
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, PETSC_FALSE, &rk));
  PetscCall(InterpolateWithTS(bed, &rk, 1e-5, &p));
  PetscCall(SolveCreate(bed, name, PETSC_FALSE, CtpgSplineKeeps(CTPG_SPLINE_NATIVE), &solve));
  PetscCall(SolveRun(bed, 1e-5, &solve));
  CHECK(solve.result.rejected > 0, "%s: no rejected step among them", name);
  CHECK(p.n == 3 * CtpgForwardGetSteps(solve.forward) && p.n > 30, "%s: %d points", name, (int)p.n);
  CtpgSplineOpen(&spline, CTPG_SPLINE_NATIVE, solve.forward, PLANT_NX);
  for (PetscInt k = p.n - 1; k >= 0; k--) {
    CtpgSplineEval(&spline, p.t[k], x);
    CheckNear(name, "TSInterpolate", PLANT_NX, x, p.x[k], 1e-14);
  }
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// ---- solver ----

typedef struct {
  CtpgRKSolver solver;
  PetscReal start;
  PetscInt N, s;
  PetscBool fsal;
  const PetscReal *c;
  PetscInt stages, steps, wrong_steps, wrong_times;
} Clock;

static CtpgStatus ClockRHS(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  Clock *clock = context;
  PetscReal start, h;
  (void)y;
  CtpgRKSolverGetStep(clock->solver, &start, &h);
  const PetscReal next = clock->start + (clock->steps + 1) * h; // of a last stage that is the first of the next step
  if (t != (clock->fsal && i == clock->s - 1 ? next : start + clock->c[i] * h)) clock->wrong_times++;
  clock->stages++;
  for (PetscInt k = 0; k < PLANT_NX; k++) ydot[k] = cos(t);
  return CTPG_OK;
}

static void ClockAccept(void *context, const PetscReal *y) {
  Clock *clock = context;
  PetscReal start, h;
  (void)y;
  CtpgRKSolverGetStep(clock->solver, &start, &h);
  if (start != clock->start + clock->steps * h) clock->wrong_steps++;
  clock->steps++;
}

// From t0 over 1e5 steps: t_n = t0 + n h, which a sum of rounded steps misses.
static PetscErrorCode TestClock(const Bed *bed, const char *name, PetscReal t0, PetscReal t1) {
  PROPERTY("%s: times are t0 + n h from %g to %g", name, t0, t1);
  Clock clock = {.start = t0, .N = 100000};
  int64_t steps, rejected;
  CtpgRKOptions rk;

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, PETSC_TRUE, &rk));
  clock.s = rk.table.s;
  clock.fsal = rk.table.fsal;
  clock.c = rk.table.c;
  const CtpgRKCallbacks callbacks = {.context = &clock, .rhs = ClockRHS, .accept = ClockAccept};
  PetscCall(CtpgRKSolverCreate(bed->loop, &rk, NULL, 0, PLANT_NX, &callbacks, &clock.solver));
  CtpgRKSolverResetCounts(clock.solver);
  PetscCall(CtpgRKSolverSolve(clock.solver, CTPG_FORWARD, t0, t1, (t1 - t0) / clock.N, 0));
  CtpgRKSolverGetCounts(clock.solver, &steps, &rejected);
  CHECK(clock.steps == clock.N && steps == clock.N && rejected == 0, "%s: %d steps", name, (int)clock.steps);
  CHECK(!clock.wrong_steps && !clock.wrong_times, "%s: %d starts and %d stage times are off", name,
        (int)clock.wrong_steps, (int)clock.wrong_times);
  CHECK(clock.stages == clock.N * (clock.s - (rk.table.fsal ? 1 : 0)) + (rk.table.fsal ? 1 : 0), "%s: %d stages", name,
        (int)clock.stages);
  PetscCall(CtpgRKSolverDestroy(&clock.solver));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestFixedSteps(const Bed *bed) {
  PROPERTY("fixed steps: N = ceil(T / dt)");
  Solve solve;

  PetscFunctionBeginUser;
  CHECK(CtpgFixedSteps(10, 0.1) == 100, "%d", (int)CtpgFixedSteps(10, 0.1));
  CHECK(CtpgFixedSteps(0.3, 0.1) == 3, "%d", (int)CtpgFixedSteps(0.3, 0.1));
  CHECK(CtpgFixedSteps(10, 1e-5) == 1000000, "%d", (int)CtpgFixedSteps(10, 1e-5));
  CHECK(CtpgFixedSteps(1, 0.3) == 4, "%d", (int)CtpgFixedSteps(1, 0.3));
  CHECK(CtpgFixedSteps(3 + 1e-10, 1) == 3, "%d", (int)CtpgFixedSteps(3 + 1e-10, 1));
  CHECK(CtpgFixedSteps(3 + 1e-8, 1) == 4, "%d", (int)CtpgFixedSteps(3 + 1e-8, 1));
  CHECK(CtpgFixedSteps(3 - 1e-10, 1) == 3, "%d", (int)CtpgFixedSteps(3 - 1e-10, 1));
  CHECK(CtpgFixedSteps(1, 1) == 1 && CtpgFixedSteps(1, 5) == 1, "a single step");
  CHECK(CtpgFixedSteps(10, 1e-15) == PETSC_MAX_INT, "%d", (int)CtpgFixedSteps(10, 1e-15));
  PetscCall(SolveCreate(bed, "1fe", PETSC_TRUE, CTPG_KEEP_NOTHING, &solve));
  PetscCall(SolveRun(bed, 1e-15, &solve));
  CHECK(CtpgClosedLoopGetStatus(bed->loop) == CTPG_STEP_LIMIT, "%s",
        CtpgStatusName(CtpgClosedLoopGetStatus(bed->loop)));
  CtpgClosedLoopStart(bed->loop, NULL);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// An attempt costs s stages, less the first where it is known: from the choice of the first step, from the step before
// (FSAL), from an attempt at the same step. The choice itself costs two evaluations.
static PetscErrorCode TestRejections(const Bed *bed, const char *name) {
  PROPERTY("%s: an attempt costs the stages that are counted", name);
  CtpgCounts counts[CTPG_NUM_PURPOSES], totals, sum = {0};
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SolveCreate(bed, name, PETSC_FALSE, CTPG_KEEP_NOTHING, &solve));
  CtpgClosedLoopStart(bed->loop, NULL);
  PetscCall(SolveRun(bed, 1e-6, &solve));
  for (int p = 0; p < CTPG_NUM_PURPOSES; p++) {
    CtpgClosedLoopGetCounts(bed->loop, (CtpgPurpose)p, &counts[p]);
    CtpgCountsAdd(&sum, &counts[p]);
  }
  CtpgClosedLoopGetTotals(bed->loop, &totals);
  const CtpgRKTable *table = CtpgForwardGetTable(solve.forward);
  const int64_t s = table->s, steps = solve.result.steps, rejected = solve.result.rejected;
  const int64_t first_stages = table->fsal ? 0 : steps - 1; // those that are evaluated for themselves
  CHECK(rejected > 0, "%s: no rejected step to count", name);
  CHECK(counts[CTPG_STARTUP].nf == 2, "%s: %lld", name, (long long)counts[CTPG_STARTUP].nf);
  CHECK(counts[CTPG_FORWARD].nf + counts[CTPG_REJECTED].nf == (steps + rejected) * (s - 1) + first_stages,
        "%s: %lld forward, %lld rejected in %lld + %lld steps", name, (long long)counts[CTPG_FORWARD].nf,
        (long long)counts[CTPG_REJECTED].nf, (long long)steps, (long long)rejected);
  CHECK(counts[CTPG_REJECTED].nf >= rejected * (s - 1) && counts[CTPG_REJECTED].nf <= rejected * s, "%s: %lld", name,
        (long long)counts[CTPG_REJECTED].nf);
  if (table->fsal)
    CHECK(counts[CTPG_FORWARD].nf == steps * (s - 1), "%s: %lld", name, (long long)counts[CTPG_FORWARD].nf);
  CHECK(totals.nf == sum.nf && totals.nplant == sum.nplant, "%s: purposes must add up", name);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// One solver a hundred times, with another accuracy in between: the same bits.
static PetscErrorCode TestReuse(const Bed *bed, const char *name, PetscBool fixed) {
  PROPERTY("%s: a solver used again gives the same bits, %s steps", name, fixed ? "fixed" : "adaptive");
  PetscReal first[MAX_N];
  PetscInt different = 0;
  Solve solve;

  PetscFunctionBeginUser;
  PetscCall(SolveCreate(bed, name, fixed, CTPG_KEEP_STATES | CTPG_KEEP_SLOPES, &solve));
  PetscCall(SolveRun(bed, fixed ? 0.1 : 1e-5, &solve));
  const int64_t steps = solve.result.steps;
  memcpy(first, solve.y, sizeof first);
  for (int k = 0; k < 100; k++) {
    PetscCall(SolveRun(bed, fixed ? 0.07 : 1e-3, &solve));
    PetscCall(SolveRun(bed, fixed ? 0.1 : 1e-5, &solve));
    if (memcmp(first, solve.y, sizeof first) || solve.result.steps != steps) different++;
  }
  CHECK(!different, "%s: %d of 100 differ", name, (int)different);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscFunctionReturn(0);
}

// A plant that is not a number from 1.5 s on, then the same solver on the sound one.
static PetscErrorCode TestFailure(const char *name, PetscBool fixed) {
  PROPERTY("%s: a failed solve leaves the solver sound, %s steps", name, fixed ? "fixed" : "adaptive");
  Plant plant = PLANT;
  PetscReal sound[MAX_N];
  Solve solve;
  Bed bed;

  PetscFunctionBeginUser;
  PetscCall(BedCreate(&plant, &bed));
  PetscCall(SolveCreate(&bed, name, fixed, CTPG_KEEP_STATES | CTPG_KEEP_SLOPES, &solve));
  PetscCall(SolveRun(&bed, fixed ? 0.1 : 1e-5, &solve));
  memcpy(sound, solve.y, sizeof sound);
  plant.f_ends = 1.5;
  const PetscErrorCode error = SolveRun(&bed, fixed ? 0.1 : 1e-5, &solve);
  CHECK(!error && CtpgClosedLoopGetStatus(bed.loop) == CTPG_DIVERGED, "%s: error %d, %s", name, (int)error,
        CtpgStatusName(CtpgClosedLoopGetStatus(bed.loop)));
  plant.f_ends = 1e9;
  CtpgClosedLoopStart(bed.loop, NULL);
  PetscCall(SolveRun(&bed, fixed ? 0.1 : 1e-5, &solve));
  CHECK(!memcmp(sound, solve.y, sizeof sound), "%s: other bits after a failure", name);
  PetscCall(CtpgForwardDestroy(&solve.forward));
  PetscCall(BedDestroy(&bed));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestStepLimit(const Bed *bed, const char *name) {
  PROPERTY("%s: -step_limit stops the solve", name);
  CtpgForwardSolve forward;
  PetscReal loss;
  CtpgResult result = {.loss = &loss};
  CtpgRKOptions rk;

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, PETSC_FALSE, &rk));
  rk.step_limit = 9;
  PetscCall(CtpgForwardCreate(bed->loop, &rk, NULL, CTPG_KEEP_NOTHING, &forward));
  PetscCall(CtpgForwardRun(forward, bed->s.c.x0, 1e-10, &result));
  CHECK(CtpgClosedLoopGetStatus(bed->loop) == CTPG_STEP_LIMIT && result.steps == 9, "%s: %s after %lld steps", name,
        CtpgStatusName(CtpgClosedLoopGetStatus(bed->loop)), (long long)result.steps);
  CtpgClosedLoopStart(bed->loop, NULL);
  PetscCall(CtpgForwardDestroy(&forward));
  PetscFunctionReturn(0);
}

// ---- all ----

static PetscErrorCode TestSplines(const Bed *bed) {
  PetscFunctionBeginUser;
  PetscCall(TestSplineOrder(bed, "tsit5", CTPG_SPLINE_NATIVE, 5));
  PetscCall(TestSplineOrder(bed, "5dp", CTPG_SPLINE_NATIVE, 5));
  PetscCall(TestSplineOrder(bed, "dop853", CTPG_SPLINE_NATIVE, 8));
  PetscCall(TestSplineOrder(bed, "6vr", CTPG_SPLINE_HERMITE3, 4));
  PetscCall(TestSplineOrder(bed, "8vr", CTPG_SPLINE_HERMITE3, 4));
  PetscCall(TestSplineOrder(bed, "4", CTPG_SPLINE_CONSTANT, 1));
  for (int fixed = 0; fixed < 2; fixed++) {
    PetscCall(TestKnots(bed, "tsit5", CTPG_SPLINE_NATIVE, fixed ? PETSC_TRUE : PETSC_FALSE));
    PetscCall(TestKnots(bed, "5dp", CTPG_SPLINE_NATIVE, fixed ? PETSC_TRUE : PETSC_FALSE));
    PetscCall(TestKnots(bed, "dop853", CTPG_SPLINE_NATIVE, fixed ? PETSC_TRUE : PETSC_FALSE));
    PetscCall(TestKnots(bed, "5bs", CTPG_SPLINE_HERMITE3, fixed ? PETSC_TRUE : PETSC_FALSE));
    PetscCall(TestKnots(bed, "5f", CTPG_SPLINE_HERMITE3, fixed ? PETSC_TRUE : PETSC_FALSE));
    PetscCall(TestKnots(bed, "3bs", CTPG_SPLINE_CONSTANT, fixed ? PETSC_TRUE : PETSC_FALSE));
  }
  PetscCall(TestTSInterpolate(bed, "5dp"));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestTable(const Bed *bed, const char *name) {
  CtpgRKTable table;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", name, &table));
  PetscCall(TestCoefficients(name));
  PetscCall(TestOrder(bed, name));
  PetscCall(TestEmbedded(bed, name));
  PetscCall(TestReuse(bed, name, PETSC_TRUE));
  PetscCall(TestFailure(name, PETSC_TRUE));
  if (table.bembed) {
    PetscCall(TestErrorNorm(bed, name, 1e-7));
    PetscCall(TestRejections(bed, name));
    PetscCall(TestReuse(bed, name, PETSC_FALSE));
    PetscCall(TestFailure(name, PETSC_FALSE));
    PetscCall(TestStepLimit(bed, name));
  }
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  Bed bed;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(BedCreate(&PLANT, &bed));
  GrowTrees();
  for (const char *const *name = CtpgRKTableNames(); *name; name++) PetscCall(TestTable(&bed, *name));
  PetscCall(TestTsit5());
  PetscCall(TestSplines(&bed));
  PetscCall(TestClock(&bed, "1fe", 0, 10));
  PetscCall(TestClock(&bed, "5bs", 0.3, 1));
  PetscCall(TestClock(&bed, "5f", 0, 0.7));
  PetscCall(TestFixedSteps(&bed));
  PetscCall(BedDestroy(&bed));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
