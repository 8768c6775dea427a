// test_multistep.c -- linearly implicit Adams steps: order k + 1 with any matrix, stability, what is watched,
// quadratures; BDF coefficients; without the rules of the start; linear systems
//
//   pendulum  y0' = y1, y1' = -sin y0 - 0.2 y1 + cos t; watched along with it a peak at t = 3
//   decay     y' = lambda (y - cos t) - sin t: y = cos t from y(0) = 1, lambda = -1000
//   stop      y' = 0.8 up to y = 2, lambda (y - STOPPED) beyond: y rests a little beyond the jump from t = 1.25 on

#include "ctpgbench/toolkit/multistep.h"
#include "ctpgbench/toolkit/nodes.h"
#include "solve/linear.h"
#include "plant.h"

#define T_END   ((PetscReal)6)
#define ENDS    6
#define STOPPED ((PetscReal)2 + 4e-6)

typedef struct {
  PetscReal lambda; // of decay; 0: the pendulum
  PetscReal factor; // M = factor times the exact Jacobian at the newest node
  PetscReal peak;   // width of the watched peak at t = 3
  PetscInt nwatched;
  PetscBool bdf, plain_start;
  PetscBool stop, jumps; // the model with the jump; the solver looks for it
  PetscReal M[4], at[2];
  PetscReal evaluations;
  PetscReal finest, last; // shortest step, time of the newest node
  PetscReal farthest;     // any node from the path of `stop`
} Model;

static CtpgStatus Slope(void *context, PetscReal t, const PetscReal *y, PetscReal *f, PetscReal *q) {
  Model *m = context;
  m->evaluations++;
  if (m->stop) {
    f[0] = y[0] < 2 ? 0.8 : m->lambda * (y[0] - STOPPED);
    return CTPG_OK;
  }
  if (m->lambda != 0) {
    f[0] = m->lambda * (y[0] - cos(t)) - sin(t);
    return CTPG_OK;
  }
  f[0] = y[1];
  f[1] = -sin(y[0]) - 0.2 * y[1] + cos(t);
  if (m->nwatched) q[0] = 1 / (PetscSqr(m->peak) + PetscSqr(t - 3));
  return CTPG_OK;
}

static const PetscReal *Matrix(void *context, PetscReal t, PetscBool *changed) {
  Model *m = context;
  (void)t;
  *changed = PETSC_TRUE;
  if (m->factor == 0) return NULL;
  if (m->lambda != 0)
    m->M[0] = m->stop && m->at[0] < 2 ? 0 : m->factor * m->lambda;
  else {
    const PetscReal exact[] = {0, 1, -cos(m->at[0]), -0.2};
    for (int i = 0; i < 4; i++) m->M[i] = m->factor * exact[i];
  }
  return m->M;
}

static void Accept(void *context, const CtpgMultistepNode *node) {
  Model *m = context;
  m->at[0] = node->y[0];
  if (node->number > 0) m->finest = fmin(m->finest, node->t - m->last);
  m->last = node->t;
  m->farthest = fmax(m->farthest, fabs(node->y[0] - fmin(1 + 0.8 * node->t, STOPPED)));
}

typedef struct {
  PetscReal y[2];
  int64_t steps, rejected;
} Path;

static PetscErrorCode SolveTo(CtpgClosedLoop loop, Model *model, PetscReal T, PetscInt order, PetscReal rtol,
                              Path *path) {
  const PetscInt n = model->lambda != 0 ? 1 : 2;
  const PetscReal start[2] = {1, 0.5};
  const CtpgMultistepOptions options = {.max_order = order,
                                        .floor = 1e-3,
                                        .step_limit = 100000,
                                        .bdf = model->bdf,
                                        .plain_start = model->plain_start,
                                        .jumps = model->jumps};
  const CtpgMultistepCallbacks callbacks = {.context = model, .rhs = Slope, .matrix = Matrix, .accept = Accept};
  CtpgMultistep m;

  PetscFunctionBeginUser;
  model->evaluations = 0;
  model->finest = T;
  PetscCall(CtpgMultistepCreate(loop, n, model->nwatched, &options, &callbacks, &m));
  CtpgMultistepStart(m, start);
  CtpgMultistepWatch(m, rtol, NULL);
  CtpgMultistepSolve(m, CTPG_FORWARD, 0, T, rtol);
  PetscCall(PetscArraycpy(path->y, CtpgMultistepGetState(m), n));
  CtpgMultistepGetCounts(m, &path->steps, &path->rejected);
  CHECK(model->evaluations == (PetscReal)(path->steps + path->rejected + 1), "%g evaluations in %d + %d steps",
        model->evaluations, (int)path->steps, (int)path->rejected);
  PetscCall(CtpgMultistepDestroy(&m));
  PetscFunctionReturn(0);
}

static PetscErrorCode Solve(CtpgClosedLoop loop, Model *model, PetscInt order, PetscReal rtol, Path *path) {
  PetscFunctionBeginUser;
  PetscCall(SolveTo(loop, model, T_END, order, rtol, path));
  PetscFunctionReturn(0);
}

// Root mean square of the errors at ENDS times, for at one of them parts of the error may cancel; steps to the last.
static PetscErrorCode TypicalError(CtpgClosedLoop loop, PetscInt order, Model model, PetscReal rtol, const Path *truth,
                                   PetscReal *error, PetscReal *steps) {
  PetscReal sum = 0;
  Path path;
  PetscFunctionBeginUser;
  for (int k = 0; k < ENDS; k++) {
    PetscCall(SolveTo(loop, &model, T_END * (k + 1) / ENDS, order, rtol, &path));
    sum += PetscSqr(Distance(2, path.y, truth[k].y)) / ENDS;
  }
  *error = sqrt(sum);
  *steps = (PetscReal)path.steps;
  PetscFunctionReturn(0);
}

// Slope of log error against log steps over a factor of eight in steps: in variable ones, as the error control has
// them.
static PetscErrorCode FindSlope(CtpgClosedLoop loop, const Path *truth, PetscInt order, Model model, PetscReal *slope) {
  PetscReal x = 0, y = 0, xx = 0, xy = 0, error = 0, steps = 0;

  PetscFunctionBeginUser;
  for (int i = 0; i < 5; i++) {
    PetscCall(TypicalError(loop, order, model, pow(4 / (80 * pow(8, i / 4.0)), (PetscReal)(order + 1)), truth, &error,
                           &steps));
    const PetscReal n = log(steps), e = log(error);
    x += n / 5, y += e / 5, xx += n * n / 5, xy += n * e / 5;
  }
  *slope = -(xy - x * y) / (xx - x * x);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOrder(CtpgClosedLoop loop, const Path *truth, PetscInt order, PetscReal factor) {
  PROPERTY("steps of order %d with M = %g f_y have an error of order %d", (int)order, factor, (int)order + 1);
  PetscReal slope;
  PetscFunctionBeginUser;
  PetscCall(FindSlope(loop, truth, order, (Model){.factor = factor}, &slope));
  CHECK(slope > (PetscReal)order + 0.7 && slope < (PetscReal)order + 1.5, "slope %.2f", slope);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestBackwardOrder(CtpgClosedLoop loop, const Path *truth, PetscInt order, PetscReal factor) {
  PROPERTY("with BDF coefficients steps of order %d with M = %g f_y have an error of order %d", (int)order, factor,
           (int)order);
  PetscReal slope;
  PetscFunctionBeginUser;
  PetscCall(FindSlope(loop, truth, order, (Model){.factor = factor, .bdf = PETSC_TRUE}, &slope));
  CHECK(slope > (PetscReal)order - 0.3 && slope < (PetscReal)order + 0.95, "slope %.2f", slope);
  PetscFunctionReturn(0);
}

// Where Adams' formulas of higher order are bound by stability, BDF are not.
static PetscErrorCode TestBackwardStability(CtpgClosedLoop loop) {
  PROPERTY("BDF coefficients with M = f_y take long steps of high order where Adams' cannot");
  Model adams = {.lambda = -1000, .factor = 1}, bdf = {.lambda = -1000, .factor = 1, .bdf = PETSC_TRUE};
  Path a, b;
  PetscFunctionBeginUser;
  PetscCall(Solve(loop, &adams, 8, 1e-6, &a));
  PetscCall(Solve(loop, &bdf, 8, 1e-6, &b));
  CHECK(fabs(b.y[0] - cos(T_END)) < 1e-5 && 5 * b.steps < a.steps, "error %.1e, %d steps by BDF and %d by Adams",
        b.y[0] - cos(T_END), (int)b.steps, (int)a.steps);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestPlainStart(CtpgClosedLoop loop, const Path *truth) {
  PROPERTY("without the rules of the start the end is as accurate, and the first steps are more");
  Model ruled = {.factor = 1}, plain = {.factor = 1, .plain_start = PETSC_TRUE};
  Path a, b;
  PetscFunctionBeginUser;
  PetscCall(Solve(loop, &ruled, 8, 1e-8, &a));
  PetscCall(Solve(loop, &plain, 8, 1e-8, &b));
  CHECK(Distance(2, b.y, truth[ENDS - 1].y) < 1e-6, "error %.1e", Distance(2, b.y, truth[ENDS - 1].y));
  CHECK(b.steps + b.rejected > a.steps + a.rejected, "%d attempts without, %d with", (int)(b.steps + b.rejected),
        (int)(a.steps + a.rejected));
  PetscFunctionReturn(0);
}

// Explicit steps of a stiff problem are bound by stability; with its Jacobian they are not.
static PetscErrorCode TestStability(CtpgClosedLoop loop) {
  PROPERTY("order 1 with M = f_y takes long steps where explicit ones cannot");
  Model implicit = {.lambda = -1000, .factor = 1}, explicit = {.lambda = -1000};
  Path a, b;
  PetscFunctionBeginUser;
  PetscCall(Solve(loop, &implicit, 1, 1e-2, &a));
  PetscCall(Solve(loop, &explicit, 1, 1e-2, &b));
  CHECK(fabs(a.y[0] - cos(T_END)) < 5e-2 && a.steps < 100, "error %.1e in %d steps", a.y[0] - cos(T_END), (int)a.steps);
  CHECK(b.steps > 10 * a.steps, "%d explicit steps, %d implicit ones", (int)b.steps, (int)a.steps);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestWatched(CtpgClosedLoop loop) {
  PROPERTY("what is watched shortens the steps where it varies, and changes nothing where it does not");
  Model plain = {.factor = 1}, narrow = {.factor = 1, .nwatched = 1, .peak = 0.02},
        smooth = {.factor = 1, .nwatched = 1, .peak = 100};
  Path a, b, c;
  PetscFunctionBeginUser;
  PetscCall(Solve(loop, &plain, 8, 1e-6, &a));
  PetscCall(Solve(loop, &narrow, 8, 1e-6, &b));
  PetscCall(Solve(loop, &smooth, 8, 1e-6, &c));
  CHECK(narrow.finest < 0.02 && plain.finest < 0.02 && b.steps > a.steps + 20, "finest %.1e and %.1e, %d and %d steps",
        narrow.finest, plain.finest, (int)b.steps, (int)a.steps);
  CHECK(a.steps == c.steps && a.y[0] == c.y[0], "%d and %d steps", (int)a.steps, (int)c.steps);
  PetscFunctionReturn(0);
}

// Far fewer steps, and none of them leaves the path by much.
static PetscErrorCode TestJump(CtpgClosedLoop loop, PetscReal rtol) {
  PROPERTY(
      "at rtol %g a jump that is looked for is met closely, and a path that rests there does not cross it any more",
      rtol);
  Model blind = {.lambda = -100, .factor = 1, .stop = PETSC_TRUE}, looking = blind;
  Path a, b;
  PetscFunctionBeginUser;
  looking.jumps = PETSC_TRUE;
  PetscCall(Solve(loop, &blind, 8, rtol, &a));
  PetscCall(Solve(loop, &looking, 8, rtol, &b));
  CHECK(2 * (b.steps + b.rejected) < a.steps + a.rejected, "%d attempts, and %d of who does not look",
        (int)(b.steps + b.rejected), (int)(a.steps + a.rejected));
  CHECK(looking.farthest < 3 * rtol + 1e-3 && 4 * looking.farthest < blind.farthest, "off by %.1e, and by %.1e",
        looking.farthest, blind.farthest);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestStepLimit(CtpgClosedLoop loop) {
  PROPERTY("a solve that needs more steps than its limit says so");
  const CtpgMultistepOptions options = {.max_order = 2, .floor = 1e-3, .step_limit = 10};
  Model model = {.factor = 1};
  const CtpgMultistepCallbacks callbacks = {.context = &model, .rhs = Slope, .matrix = Matrix, .accept = Accept};
  const PetscReal start[2] = {1, 0.5};
  CtpgMultistep m;
  PetscFunctionBeginUser;
  PetscCall(CtpgMultistepCreate(loop, 2, 0, &options, &callbacks, &m));
  CtpgMultistepStart(m, start);
  CtpgMultistepSolve(m, CTPG_FORWARD, 0, T_END, 1e-8);
  CHECK(CtpgClosedLoopGetStatus(loop) == CTPG_STEP_LIMIT && model.evaluations == 11, "%s after %g evaluations",
        CtpgClosedLoopGetReason(loop), model.evaluations);
  PetscCall(CtpgMultistepDestroy(&m));
  CtpgClosedLoopStart(loop, NULL);
  PetscFunctionReturn(0);
}

// int_a^b s^p by weights on m uneven nodes, p < m.
static void TestNodes(void) {
  PROPERTY("weights on m nodes integrate polynomials of degree m - 1");
  const PetscReal nodes[CTPG_NODES_MOST] = {0.9, 0.1, -0.4, 1.7, 0.3, 2.2, -1.1, 1.2, -0.2, 0.6};
  PetscReal weights[CTPG_NODES_MOST];
  for (PetscInt m = 1; m <= CTPG_NODES_MOST; m++) {
    CtpgNodesIntegral(m, nodes, 0.3, 0.95, weights);
    for (PetscInt p = 0; p < m; p++) {
      PetscReal sum = 0;
      for (PetscInt j = 0; j < m; j++) sum += weights[j] * pow(nodes[j], (PetscReal)p);
      const PetscReal truth = (pow(0.95, (PetscReal)(p + 1)) - pow(0.3, (PetscReal)(p + 1))) / (PetscReal)(p + 1);
      CHECK_CLOSE(sum, truth, 1e-10, 0.01);
    }
  }
  CHECK(CtpgNodesFirst(8, 20, 10) == 7 && CtpgNodesFirst(8, 20, 1) == 0 && CtpgNodesFirst(8, 20, 18) == 12 &&
            CtpgNodesFirst(9, 5, 3) == 0,
        "stencils");
}

// Lowest and highest y between the two middle ones of ten nodes at 0 .. 9: y [2] at these, slopes [10] at all.
typedef struct {
  PetscReal low, high;
} Range;

static Range RangeOf(const PetscReal *y, const PetscReal *slope, PetscReal rest) {
  CtpgArena arena = {0};
  CtpgRows rows = {0};
  Range range = {INFINITY, -INFINITY};
  PetscInt interval = 0;
  CtpgRowsInit(&rows, &arena, 4);
  for (PetscInt i = 0; i < 10; i++) {
    PetscReal *row = CtpgRowsPush(&rows);
    row[0] = (PetscReal)i, row[1] = i < 5 ? y[0] : y[1], row[2] = slope[i], row[3] = 0;
  }
  const CtpgNodePath path = {.rows = &rows, .n = 1, .count = 10, .rest = rest, .least = 1};
  for (PetscInt i = 1; i < 20; i++) {
    PetscReal value;
    CtpgNodePathAt(&path, 9, 4 + 0.05 * (PetscReal)i, &interval, &value);
    range.low = fmin(range.low, value);
    range.high = fmax(range.high, value);
  }
  CtpgRowsFree(&rows);
  return range;
}

// Slopes of the first nodes are those of a path that still rose; the interpolant over all of them leaves the two ends.
static void TestRest(PetscReal move, PetscReal first, PetscReal last, PetscBool keeps) {
  PROPERTY("a move of %g with slopes %g and %g, of what may be called rest, %s between two nodes", move, first, last,
           keeps ? "does not leave what lies" : "is not held back");
  const PetscReal rest = 1e-3, unit = 1e-3 * 2, y[2] = {2, 2 + move * unit};
  const PetscReal slope[10] = {0.8, 0.8, 0.8, 0.8, first * unit, last * unit};
  const PetscReal low = fmin(y[0], y[1]) - 1e-12, high = fmax(y[0], y[1]) + 1e-12;
  const Range free = RangeOf(y, slope, 0), held = RangeOf(y, slope, rest);
  CHECK(free.low < low - unit || free.high > high + unit, "the interpolant stays in [%.6f, %.6f]", free.low, free.high);
  if (keeps)
    CHECK(held.low >= low && held.high <= high, "[%.6f, %.6f]", held.low, held.high);
  else
    CHECK(held.low == free.low && held.high == free.high, "[%.6f, %.6f], not [%.6f, %.6f]", held.low, held.high,
          free.low, free.high);
}

// Entries by a formula: rows must be exchanged, nothing is near singular.
static void FillSystem(PetscInt n, PetscReal *A, PetscReal *b) {
  for (PetscInt i = 0; i < n * n; i++) A[i] = sin(1.7 * (PetscReal)(i * i) + (PetscReal)n);
  for (PetscInt i = 0; i < n; i++) A[i * n + (i + 1) % n] += 3;
  for (PetscInt i = 0; i < LINEAR_MOST * n; i++) b[i] = cos((PetscReal)(3 * i));
}

static void TestLinear(void) {
  PROPERTY("small linear systems, and ones that go to LAPACK, are solved to rounding; a singular one is noticed");
  enum { MOST = LINEAR_SMALL + 4 };
  PetscReal A[MOST * MOST], factors[MOST * MOST], b[LINEAR_MOST * MOST], x[LINEAR_MOST * MOST];
  PetscBLASInt pivots[MOST];
  for (PetscInt n = 1; n <= MOST; n++) {
    FillSystem(n, A, b);
    memcpy(factors, A, sizeof A);
    memcpy(x, b, sizeof b);
    CHECK(LinearFactor(n, factors, pivots), "%d unknowns: singular", (int)n);
    LinearSolve(n, LINEAR_MOST, factors, pivots, x);
    for (PetscInt s = 0; s < LINEAR_MOST; s++)
      for (PetscInt i = 0; i < n; i++) {
        PetscReal sum = 0;
        for (PetscInt j = 0; j < n; j++) sum += A[i * n + j] * x[s * n + j];
        CHECK(fabs(sum - b[s * n + i]) < 1e-12, "%d unknowns, side %d: off by %.1e", (int)n, (int)s,
              sum - b[s * n + i]);
      }
    memset(A, 0, sizeof A);
    CHECK(!LinearFactor(n, A, pivots), "%d unknowns: zeros are not singular", (int)n);
  }
}

static PetscErrorCode Tests(void) {
  static const PetscReal factors[] = {1, 0.7, 0};
  Model model = {.factor = 1};
  Setting setting;
  CtpgClosedLoop loop;
  Path truth[ENDS];

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 1, &setting));
  PetscCall(SettingCreateLoop(&setting, &loop));
  for (int k = 0; k < ENDS; k++) PetscCall(SolveTo(loop, &model, T_END * (k + 1) / ENDS, 8, 1e-14, &truth[k]));
  for (int i = 0; i < 3; i++)
    for (PetscInt order = 1; order <= 5; order++) PetscCall(TestOrder(loop, truth, order, factors[i]));
  for (int i = 0; i < 3; i++)
    for (PetscInt order = 1; order <= 5; order++) PetscCall(TestBackwardOrder(loop, truth, order, factors[i]));
  PetscCall(TestStability(loop));
  PetscCall(TestBackwardStability(loop));
  PetscCall(TestPlainStart(loop, truth));
  PetscCall(TestWatched(loop));
  PetscCall(TestJump(loop, 1e-3));
  PetscCall(TestJump(loop, 1e-4));
  PetscCall(TestStepLimit(loop));
  TestNodes();
  TestRest(0.5, -0.5, 0.5, PETSC_TRUE);
  TestRest(-0.5, 9, -9, PETSC_TRUE);
  TestRest(-5, -30, 0, PETSC_TRUE);
  TestRest(5, 3, 20, PETSC_TRUE);
  TestRest(0.5, -12, 0, PETSC_FALSE);
  TestRest(-5, 2, -2, PETSC_FALSE);
  TestRest(11, 9, 9, PETSC_FALSE);
  TestLinear();
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(SettingDestroy(&setting));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(Tests());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
