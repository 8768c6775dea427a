// test_check_detects.c -- the conformance checks find what they are there for: one fault at a time, one check that
// fails
//
// The problem is a pendulum of this file, registered nowhere, with every slot filled:
//   x = (q, v),  q' = gear v,  v' = -sin q + u,  w = q^2 + 0.1 v^2 + 0.01 u^2,  J = q^2 + v^2,  o = (sin q, cos q, v)
// The estimators are one of the shipped ones with a wrapper around its slots.

#include "check/estimator.h"
#include "check/problem.h"
#include "run/registry.h"
#include "test.h"
#include "base/random_engine.h"
#include <stdlib.h>
#include <string.h>

typedef enum {
  SOUND,
  WRONG_SIGN,
  LEAKING_STATE,
  LEAKING_INTO_PRODUCT,
  NONDETERMINISTIC,
  OVERWRITING_PRODUCT,
  NONLINEAR_PRODUCT,
  FIRST_POINT_FOR_ALL,
  ADDING_TERMINAL,
  WRONG_CONTROL_DERIVATIVE,
  WRONG_COST_DERIVATIVE,
  WRONG_OBSERVATION_DERIVATIVE,
  WRONG_TERMINAL_DERIVATIVE,
  WRONG_DIRECTIONAL_DERIVATIVE,
  WRONG_COST_DIRECTION,
  WRONG_OBSERVATION_DIRECTION,
  NONLINEAR_DIRECTION,
  WRONG_JACOBIAN,
  WRONG_ENTRY_OF_JACOBIAN,
  WRONG_ENTRY_OF_DIRECTION,
  WRONG_POSITIONS,
  SEES_STATES,
  MOVED_ROW,
  WORD_MISSING,
  WORD_EMPTY,
  CONSTANT_NOT_FINITE,
  CONSTANT_NAMELESS,
  SOLID_NEGATIVE,
  CONSTANT_DRAW,
  WRONG_START,
  INFINITE_COST,
  NAN_LATER
} ProblemFault;

static ProblemFault fault;
static PetscBool pushed;                 // the pendulum has a task, a constant force
static PetscInt wrong_row, wrong_column; // of [f_x, f_u; w_x, w_u]
static PetscReal last_control, calls;

// ---- the pendulum ----

static PetscReal Gear(void) {
  return fault == WRONG_POSITIONS ? 1.5 : 1;
}

static PetscErrorCode PendulumCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  static const PetscInt rows[2][1] = {{1}, {0}};
  static const PetscReal one[] = {1}, infinite[] = {INFINITY};
  static const CtpgConstant gear = {.name = "gear", .unit = "1", .rows = 1, .values = one},
                            not_finite = {.name = "gear", .unit = "1", .rows = 1, .values = infinite},
                            nameless = {.unit = "1", .rows = 1, .values = one};
  static const CtpgShape bob = {.solid = CTPG_SPHERE, .size = {0.1}}, negative = {.size = {-0.1}};
  PetscFunctionBeginUser;
  (void)comm, (void)options;
  PetscCall(PetscMalloc1(1, (PetscReal **)ctx));
  *dims = (CtpgDims){.nx = 2,
                     .nu = 1,
                     .no = fault == SEES_STATES ? 2 : 3,
                     .nq = 1,
                     .ntask = pushed ? 1 : 0,
                     .T = 2,
                     .policy = "mlp",
                     .widths = "4",
                     .activations = "tanh,linear",
                     .init_scale = 1,
                     .actuated = rows[fault == MOVED_ROW],
                     .nactuated = 1,
                     .state_names = fault == WORD_MISSING ? "angle"
                                    : fault == WORD_EMPTY ? "angle,"
                                                          : "angle,rate",
                     .state_units = "rad,",
                     .control_names = "torque",
                     .control_units = "N m",
                     .constants = fault == CONSTANT_NOT_FINITE ? &not_finite
                                  : fault == CONSTANT_NAMELESS ? &nameless
                                                               : &gear,
                     .nconstants = 1,
                     .shapes = fault == SOLID_NEGATIVE ? &negative : &bob,
                     .nshapes = 1};
  PetscFunctionReturn(0);
}

static CtpgStatus PendulumPlace(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, PetscReal *pose) {
  const PetscReal where[CTPG_POSE] = {sin(x[0]), 0, -cos(x[0]), 1, 0, 0, 0, 1, 0, 0, 0, 1};
  (void)ctx, (void)task, (void)t;
  memcpy(pose, where, sizeof where);
  return CTPG_OK;
}

static void PendulumDestroy(void **ctx) {
  (void)PetscFree(*ctx);
}

static PetscErrorCode PendulumDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                   PetscReal *task) {
  PetscFunctionBeginUser;
  (void)ctx;
  if (pushed) task[0] = CtpgStreamNormal(task_stream);
  x0[0] = fault == CONSTANT_DRAW ? 1 : CtpgStreamNormal(x0_stream);
  x0[1] = fault == CONSTANT_DRAW ? 0 : CtpgStreamNormal(x0_stream);
  PetscFunctionReturn(0);
}

static PetscReal Push(const CtpgTask *task, PetscInt p) {
  if (!pushed) return 0;
  return fault == WRONG_START ? task->values[0] : *CtpgTaskValues(task, 1, p);
}

static CtpgStatus PendulumEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, PetscReal *f, PetscReal *w) {
  (void)ctx, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    const PetscReal q = x[2 * i], v = x[2 * i + 1], control = fault == FIRST_POINT_FOR_ALL ? u[0] : u[i];
    f[2 * i] = Gear() * v;
    f[2 * i + 1] = -sin(q) + control + Push(task, i);
    w[i] = q * q + 0.1 * v * v + 0.01 * control * control;
    if (fault == LEAKING_STATE) f[2 * i + 1] += 1e-10 * last_control;
    if (fault == NONDETERMINISTIC) f[2 * i + 1] += 1e-10 * ++calls;
    if (fault == INFINITE_COST) w[i] = INFINITY;
    if (fault == NAN_LATER && t[i] > 1) f[2 * i] = NAN;
    last_control = u[i];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                  PetscReal *gu) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    const PetscReal sign = fault == WRONG_SIGN ? 1 : -1;
    const PetscReal effort = fault == WRONG_COST_DERIVATIVE ? 0.011 : 0.01;
    const PetscReal push = fault == WRONG_CONTROL_DERIVATIVE ? 1.00001 : 1;
    const PetscReal gq = sign * cos(x[2 * i]) * v[2 * i + 1] + 2 * c[i] * x[2 * i];
    const PetscReal leak = fault == LEAKING_INTO_PRODUCT ? 1e-10 * last_control : 0;
    gx[2 * i] = (fault == OVERWRITING_PRODUCT ? 0 : gx[2 * i]) + gq + leak;
    gx[2 * i + 1] += Gear() * v[2 * i] + 0.2 * c[i] * x[2 * i + 1];
    gu[i] += push * v[2 * i + 1] + 2 * effort * c[i] * u[i];
    if (fault == NONLINEAR_PRODUCT) gu[i] += v[2 * i] * v[2 * i + 1];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  PetscReal *o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    o[3 * i] = sin(x[2 * i]);
    o[3 * i + 1] = cos(x[2 * i]);
    o[3 * i + 2] = x[2 * i + 1];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *go, PetscReal *gx) {
  const PetscReal factor = fault == WRONG_OBSERVATION_DERIVATIVE ? 0.9999 : 1;
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    gx[2 * i] += go[3 * i] * cos(x[2 * i]) - factor * go[3 * i + 1] * sin(x[2 * i]);
    gx[2 * i + 1] += go[3 * i + 2];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                  const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                                  PetscReal *dw) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    const PetscReal dq = dx[2 * i], dv = dx[2 * i + 1];
    df[2 * i] = Gear() * dv;
    df[2 * i + 1] = -cos(x[2 * i]) * dq + (fault == WRONG_DIRECTIONAL_DERIVATIVE ? 2 : 1) * du[i];
    dw[i] = 2 * x[2 * i] * dq + (fault == WRONG_COST_DIRECTION ? 0.1 : 0.2) * x[2 * i + 1] * dv + 0.02 * u[i] * du[i];
    if (fault == NONLINEAR_DIRECTION) df[2 * i] += dq * dv;
    if (fault == WRONG_ENTRY_OF_DIRECTION)
      *(wrong_row < 2 ? df + 2 * i + wrong_row : dw + i) +=
          1e-9 * (wrong_column < 2 ? dx[2 * i + wrong_column] : du[i]);
  }
  return CTPG_OK;
}

static CtpgStatus PendulumObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t,
                                     const PetscReal *x, const PetscReal *dx, PetscReal *d_o) {
  (void)ctx, (void)task, (void)t;
  for (PetscInt i = 0; i < n; i++) {
    d_o[3 * i] = cos(x[2 * i]) * dx[2 * i];
    d_o[3 * i + 1] = (fault == WRONG_OBSERVATION_DIRECTION ? 1 : -1) * sin(x[2 * i]) * dx[2 * i];
    d_o[3 * i + 2] = dx[2 * i + 1];
  }
  return CTPG_OK;
}

static CtpgStatus PendulumJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                   PetscReal *fx, PetscReal *fu) {
  (void)ctx, (void)task, (void)t, (void)u;
  fx[0] = fx[3] = 0;
  fx[1] = Gear();
  fx[2] = fault == WRONG_JACOBIAN ? cos(x[0]) : -cos(x[0]);
  fu[0] = 0;
  fu[1] = 1;
  if (fault == WRONG_ENTRY_OF_JACOBIAN)
    *(wrong_column < 2 ? fx + 2 * wrong_row + wrong_column : fu + wrong_row) += 1e-9;
  return CTPG_OK;
}

static CtpgStatus PendulumTerminal(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J, PetscReal *Jx) {
  (void)ctx, (void)task;
  *J = x[0] * x[0] + x[1] * x[1];
  Jx[0] = (fault == ADDING_TERMINAL ? Jx[0] : 0) + 2 * x[0];
  Jx[1] = fault == WRONG_TERMINAL_DERIVATIVE ? -2 * x[1] : 2 * x[1];
  return CTPG_OK;
}

static const CtpgProblemType PENDULUM = {.abi = CTPG_ABI,
                                         .size = sizeof(CtpgProblemType),
                                         .name = "pendulum",
                                         .bibtex = "",
                                         .version = 1,
                                         .create = PendulumCreate,
                                         .draw = PendulumDraw,
                                         .eval = PendulumEval,
                                         .observe = PendulumObserve,
                                         .eval_vjp = PendulumEvalVJP,
                                         .observe_vjp = PendulumObserveVJP,
                                         .place = PendulumPlace,
                                         .eval_jvp = PendulumEvalJVP,
                                         .observe_jvp = PendulumObserveJVP,
                                         .jacobian = PendulumJacobian,
                                         .terminal = PendulumTerminal,
                                         .destroy = PendulumDestroy};

// ---- faults of problems ----

static PetscErrorCode CheckFailures(const CtpgProblemType *type, const char *expected) {
  CheckReport report = {.quiet = PETSC_TRUE};
  PetscFunctionBeginUser;
  PetscCall(CheckProblem(type, "pendulum", &CheckDefaults, &report));
  CHECK(!strcmp(report.failures, expected), "fault %d: found '%s', expected '%s'", (int)fault, report.failures,
        expected);
  CHECK(report.failed == (expected[0] ? 1 : 0), "fault %d: %d checks fail", (int)fault, (int)report.failed);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestProblemFaults(void) {
  PROPERTY("of every fault built into a problem, check names that fault alone");
  static const struct {
    ProblemFault fault;
    const char *expected;
  } cases[] = {{SOUND, ""},
               {WRONG_SIGN, "f_x against Richardson differences"},
               {LEAKING_STATE, "no state from call to call"},
               {LEAKING_INTO_PRODUCT, "no state from call to call"},
               {NONDETERMINISTIC, "same call, same bits"},
               {OVERWRITING_PRODUCT, "products accumulate"},
               {FIRST_POINT_FOR_ALL, "n points equal n calls"},
               {ADDING_TERMINAL, "outputs are overwritten"},
               {WRONG_CONTROL_DERIVATIVE, "f_u against Richardson differences"},
               {WRONG_COST_DERIVATIVE, "w_u against Richardson differences"},
               {WRONG_OBSERVATION_DERIVATIVE, "o_x against Richardson differences"},
               {WRONG_TERMINAL_DERIVATIVE, "J_x against Richardson differences"},
               {NONLINEAR_PRODUCT, "products linear in (v, c)"},
               {WRONG_DIRECTIONAL_DERIVATIVE, "eval_jvp against eval_vjp"},
               {WRONG_COST_DIRECTION, "eval_jvp against eval_vjp"},
               {WRONG_OBSERVATION_DIRECTION, "observe_jvp against observe_vjp"},
               {NONLINEAR_DIRECTION, "eval_jvp against eval_vjp"},
               {WRONG_JACOBIAN, "jacobian against eval_vjp"},
               {WRONG_POSITIONS, "q' = v for dims.nq"},
               {MOVED_ROW, "rows of f that no control moves"},
               {WORD_MISSING, "names, units, constants"},
               {WORD_EMPTY, "names, units, constants"},
               {CONSTANT_NOT_FINITE, "names, units, constants"},
               {CONSTANT_NAMELESS, "names, units, constants"},
               {SOLID_NEGATIVE, "names, units, constants"},
               {CONSTANT_DRAW, "draws"},
               {INFINITE_COST, "finite at drawn starts"},
               {NAN_LATER, "finite at sampled states"}};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fault = cases[i].fault;
    PetscCall(CheckFailures(&PENDULUM, cases[i].expected));
  }
  fault = SOUND;
  PetscFunctionReturn(0);
}

// A wrong entry of a matrix is called by its name.
static PetscErrorCode TestWrongEntries(ProblemFault which, const char *slot, PetscInt rows) {
  PROPERTY("a wrong entry of %s is called by its name", slot);
  static const char *const blocks[] = {"f_x", "f_u", "w_x", "w_u"};
  char name[64];

  PetscFunctionBeginUser;
  fault = which;
  for (wrong_row = 0; wrong_row < rows; wrong_row++)
    for (wrong_column = 0; wrong_column < 3; wrong_column++) {
      CheckReport report = {.quiet = PETSC_TRUE};
      PetscCall(CheckProblem(&PENDULUM, "pendulum", &CheckDefaults, &report));
      PetscCall(PetscSNPrintf(name, sizeof name, "%s: %s[%d, %d] is", slot,
                              blocks[2 * (wrong_row == 2) + (wrong_column == 2)], wrong_row == 2 ? 0 : (int)wrong_row,
                              wrong_column == 2 ? 0 : (int)wrong_column));
      CHECK(report.failed == 1 && !strncmp(report.why, name, strlen(name)), "expected %s, found %s", name, report.why);
    }
  fault = SOUND;
  PetscFunctionReturn(0);
}

static PetscErrorCode TestDescriptorFaults(void) {
  PROPERTY("check refuses descriptors of another ABI, size or version, and solids that nothing puts in their places");
  CtpgProblemType type;
  PetscFunctionBeginUser;
  type = PENDULUM, type.abi = CTPG_ABI + 1;
  PetscCall(CheckFailures(&type, "descriptor"));
  type = PENDULUM, type.size = 0;
  PetscCall(CheckFailures(&type, "descriptor"));
  type = PENDULUM, type.version = 0;
  PetscCall(CheckFailures(&type, "descriptor"));
  type = PENDULUM, type.place = NULL;
  PetscCall(CheckFailures(&type, "names, units, constants"));
  PetscFunctionReturn(0);
}

// Points of several starts in one call, each with its own force.
static PetscErrorCode TestTasks(void) {
  PROPERTY("check finds a plant that gives all points the task of one start");
  PetscFunctionBeginUser;
  pushed = PETSC_TRUE;
  PetscCall(CheckFailures(&PENDULUM, ""));
  fault = WRONG_START;
  PetscCall(CheckFailures(&PENDULUM, "points of several starts"));
  fault = SOUND;
  pushed = PETSC_FALSE;
  PetscFunctionReturn(0);
}

// Optional slots may be empty: the closed loop takes differences then.
static PetscErrorCode TestEmptySlots(void) {
  PROPERTY("check passes a problem whose optional slots are empty");
  CtpgProblemType type = PENDULUM;
  PetscFunctionBeginUser;
  type.eval_vjp = NULL;
  type.observe_vjp = NULL;
  type.eval_jvp = NULL;
  type.observe_jvp = NULL;
  type.jacobian = NULL;
  type.terminal = NULL;
  PetscCall(CheckFailures(&type, ""));
  PetscFunctionReturn(0);
}

// So may all that observe: o = x then.
static PetscErrorCode TestStatesObserved(void) {
  PROPERTY("without observe the policy sees the state, which must have as many numbers");
  CtpgProblemType type = PENDULUM;
  PetscFunctionBeginUser;
  type.observe = NULL;
  type.observe_vjp = NULL;
  type.observe_jvp = NULL;
  PetscCall(CheckFailures(&type, "sizes")); // three numbers cannot be the two states
  fault = SEES_STATES;
  PetscCall(CheckFailures(&type, ""));
  fault = SOUND;
  PetscFunctionReturn(0);
}

// ---- estimators with faults ----

typedef enum {
  FAITHFUL,
  WRONG_ORDER,
  KEEPS_STATE,
  SCALES_GRADIENT,
  SCALES_LOSS,
  LEAKS_MEMORY,
  SUMS_STARTS,
  STORES_NOTHING,
  RAISES_ERRORS,
  HARMED_BY_FAILURE,
  SWALLOWS_FAILURE,
  EVALUATES_IN_SETUP,
  BENDS_COUNTS,
  BIASED,
  ONE_DRAW,
  BOASTS,
  HALVES_STEPS,
  MIXES_NEIGHBOURS,
  LOSES_NEIGHBOURS
} EstimatorFault;

static EstimatorFault estimator_fault;
static const CtpgEstimatorType *real;
static PetscBool harmed;

static PetscErrorCode FaultyCreate(CtpgOptions options, CtpgTraits *traits, void **est) {
  PetscFunctionBeginUser;
  PetscCall(real->create(options, traits, est));
  if (estimator_fault == WRONG_ORDER) traits->order += 1;
  PetscFunctionReturn(0);
}

// No fault: it is counted.
static PetscErrorCode FaultySetUp(void *est, CtpgClosedLoop loop) {
  const PetscReal t = 0, x[2] = {0.1, 0.2};
  PetscReal f[2], w;
  PetscFunctionBeginUser;
  for (int i = 0; i < 7 && estimator_fault == EVALUATES_IN_SETUP; i++) CtpgClosedLoopEval(loop, 1, &t, x, f, &w);
  PetscCall(real->setup(est, loop));
  PetscFunctionReturn(0);
}

// What the fault does to a result that was right.
static void Spoil(CtpgClosedLoop loop, PetscInt B, CtpgResult *result) {
  CtpgLoopSizes sizes;
  PetscReal factor = 1;
  CtpgClosedLoopGetSizes(loop, &sizes);
  if (estimator_fault == SCALES_GRADIENT) factor = 1.001;
  if (estimator_fault == SUMS_STARTS) factor = (PetscReal)B;
  if (estimator_fault == BIASED) factor = 1.15;
  if (estimator_fault == KEEPS_STATE) factor = 1 + 1e-14 * ++calls;
  if (estimator_fault == HARMED_BY_FAILURE && harmed) factor = 1 + 1e-14;
  for (PetscInt i = 0; i < sizes.np; i++) result->gtheta[i] *= factor;
  for (PetscInt b = 0; b < B && estimator_fault == SCALES_LOSS; b++) result->loss[b] *= 1.001;
  if (estimator_fault == STORES_NOTHING) result->bytes = 0;
  if (estimator_fault == BOASTS) result->error_bar /= 2;
  if (estimator_fault == HALVES_STEPS) result->steps /= 2, result->steps_adjoint /= 2, result->h *= 2;
}

// As the engine runs it, in a slot `gradient` of its own.
static PetscErrorCode RealGradient(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                                   CtpgStream *stream, CtpgResult *result) {
  CtpgLoopSizes sizes;
  const CtpgResult all = *result;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  for (PetscInt b = 0; b < B && CtpgClosedLoopGetStatus(loop) == CTPG_OK; b++) {
    CtpgClosedLoopSetStart(loop, b);
    result->loss = all.loss + b;
    result->gx0 = all.gx0 + b * sizes.nx;
    PetscCall(real->gradient_of_start(est, loop, x0 + b * sizes.nx, accuracy, stream, result));
  }
  result->loss = all.loss;
  result->gx0 = all.gx0;
  for (PetscInt i = 0; i < sizes.np; i++) result->gtheta[i] /= (PetscReal)B;
  PetscFunctionReturn(0);
}

static PetscErrorCode FaultyGradient(void *est, CtpgClosedLoop loop, PetscInt B, const PetscReal *x0,
                                     PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  static void *volatile lost;
  PetscFunctionBeginUser;
  if (estimator_fault == LEAKS_MEMORY) lost = malloc(100);
  (void)lost;
  CtpgStream always = CtpgStreamOpen(1, "always", CTPG_STREAM_ESTIMATOR, 0, 0);
  if (estimator_fault == ONE_DRAW) stream = &always;
  if (estimator_fault == HALVES_STEPS) {
    CtpgLoopSizes sizes;
    CtpgClosedLoopGetSizes(loop, &sizes);
    accuracy = sizes.T / (2 * ceil(sizes.T / accuracy - 1e-9)); // and the result will speak of the whole ones
  }
  PetscCall(RealGradient(est, loop, B, x0, accuracy, stream, result));
  const PetscBool failed = CtpgClosedLoopGetStatus(loop) != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  PetscCheck(!failed || estimator_fault != RAISES_ERRORS, PETSC_COMM_SELF, PETSC_ERR_FP, "the solve failed");
  if (failed && estimator_fault == SWALLOWS_FAILURE) CtpgClosedLoopStart(loop, NULL);
  if (!failed && estimator_fault == BENDS_COUNTS) CtpgClosedLoopStart(loop, NULL);
  if (failed) harmed = PETSC_TRUE;
  Spoil(loop, B, result);
  PetscFunctionReturn(0);
}

// The second start's gradient in the last bit, or a start that is never made.
static PetscErrorCode FaultyGradients(void *est, PetscInt n, const CtpgClosedLoop *loops, const PetscReal *x0,
                                      PetscReal accuracy, CtpgResult *results) {
  PetscFunctionBeginUser;
  PetscCall(real->gradients(est, n - (estimator_fault == LOSES_NEIGHBOURS), loops, x0, accuracy, results));
  if (estimator_fault == MIXES_NEIGHBOURS) results[1].gtheta[0] = nextafter(results[1].gtheta[0], 1e9);
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckEstimatorFailures(const CtpgEstimatorType *type, CtpgProblem *problem,
                                             const char *expected) {
  CheckReport report = {.quiet = PETSC_TRUE};
  PetscFunctionBeginUser;
  calls = 0;
  harmed = PETSC_FALSE;
  PetscCall(CheckEstimator(type, "faulty", problem, &CheckDefaults, &report));
  CHECK(!strcmp(report.failures, expected), "estimator fault %d: found '%s', expected '%s'", (int)estimator_fault,
        report.failures, expected);
  CHECK(report.passed > 0, "estimator fault %d: nothing passes", (int)estimator_fault);
  PetscFunctionReturn(0);
}

typedef struct {
  EstimatorFault fault;
  const char *expected; // failures, "; " between them
} FaultCase;

static PetscErrorCode TestFaultCases(const char *name, size_t n, const FaultCase *cases) {
  const CtpgLabel label = {"pendulum", "pendulum"};
  CtpgEstimatorType type;
  CtpgProblem problem;

  PetscFunctionBeginUser;
  PetscCall(EstimatorTypeFind("-estimator", name, &real));
  PetscCall(ProblemCreateFromType(&PENDULUM, &label, &problem));
  type = *real;
  type.create = FaultyCreate;
  type.setup = FaultySetUp;
  type.gradient_of_start = NULL;
  type.gradient = FaultyGradient;
  for (size_t i = 0; i < n; i++) {
    estimator_fault = cases[i].fault;
    type.gradients = estimator_fault >= MIXES_NEIGHBOURS ? FaultyGradients : NULL;
    PetscCall(CheckEstimatorFailures(&type, &problem, cases[i].expected));
  }
  PetscCall(ProblemDestroy(&problem));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestEstimatorFaults(const char *name) {
  PROPERTY("of every fault built into %s, check names that fault alone", name);
  static const FaultCase cases[] = {
      {FAITHFUL, ""},
      {WRONG_ORDER, "order"},
      {KEEPS_STATE, "same bits when called again"},
      {SCALES_GRADIENT, "dL/dtheta against the reference"},
      {SCALES_LOSS, "loss against the reference"},
      {LEAKS_MEMORY, "heap does not grow"},
      {SUMS_STARTS, "B starts equal the mean of B calls"},
      {STORES_NOTHING, "bytes stored"},
      {RAISES_ERRORS, "eval_limit; NaN from the plant; CTPG_DOMAIN from the plant; stop flag"},
      {HARMED_BY_FAILURE, "eval_limit; the run after a failure is unharmed"},
      {EVALUATES_IN_SETUP, ""},
      {BENDS_COUNTS, "counts"},
      {SWALLOWS_FAILURE, "eval_limit; NaN from the plant; CTPG_DOMAIN from the plant; stop flag"}};
  PetscFunctionBeginUser;
  PetscCall(TestFaultCases(name, sizeof cases / sizeof *cases, cases));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestFaultsSideBySide(void) {
  PROPERTY("check sees starts side by side that are not those of calls of their own");
  static const FaultCase cases[] = {{MIXES_NEIGHBOURS, "starts side by side"},
                                    {LOSES_NEIGHBOURS, "starts side by side"}};
  PetscFunctionBeginUser;
  PetscCall(TestFaultCases("rk-adjoint", sizeof cases / sizeof *cases, cases));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestFaultsOfDraws(void) {
  PROPERTY("check finds bias, false error bars and false orders of a stochastic estimator");
  static const FaultCase cases[] = {{FAITHFUL, ""},        {WRONG_ORDER, "order"},
                                    {BIASED, "unbiased"},  {ONE_DRAW, "unbiased; error bar"},
                                    {BOASTS, "error bar"}, {KEEPS_STATE, "same bits when called again"}};
  PetscFunctionBeginUser;
  PetscCall(TestFaultCases("spsa", sizeof cases / sizeof *cases, cases));
  PetscFunctionReturn(0);
}

// Of order 1, 2 and 4.
static PetscErrorCode TestHalfSteps(void) {
  PROPERTY("check finds estimators of any order that take dt / 2 for dt");
  static const char *const names[] = {"euler-bptt", "alf", "reversible"};
  static const FaultCase cases[] = {{FAITHFUL, ""}, {HALVES_STEPS, "steps are those asked for"}};
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    PetscCall(TestFaultCases(names[i], sizeof cases / sizeof *cases, cases));
  PetscFunctionReturn(0);
}

// sin(3 s + 1) and, beyond s = place, a kink of a height, of the slope or (power 2) of the curvature.
typedef struct {
  PetscReal place, height;
  int power;
} Kink;

static CtpgStatus AlongKink(void *context, PetscReal s, PetscReal *value) {
  const Kink *kink = context;
  *value = sin(3 * s + 1) + kink->height * (s > kink->place ? pow(s - kink->place, kink->power) : 0);
  return CTPG_OK;
}

// Places from 2e-5, beyond the two shortest steps, to 0.1 away.
static PetscErrorCode TestKinks(void) {
  PROPERTY("differences beside a kink are right, or say that they are not");
  PetscReal work[CHECK_LEVELS + 2], found, error;
  PetscInt wrong = 0;
  PetscFunctionBeginUser;
  for (int i = 0; i < 1200; i++) {
    Kink kink = {.place = pow(10, -4.7 + i / 324.), .height = pow(10, i % 3), .power = 1 + i % 2};
    CheckDifferences(AlongKink, &kink, CTPG_IS_NONSMOOTH, 1, 1, work, &found, &error);
    if (error < 1e-3 * kink.height && fabs(found - 3 * cos(1)) > 3 * error + 1e-7 * kink.height) wrong++;
  }
  CHECK(!wrong, "%d of 1200 differences are wrong and do not say so", (int)wrong);
  PetscFunctionReturn(0);
}

// Products that are central differences of this step are off by what the error allows for, and not by more.
static PetscErrorCode TestTruncation(void) {
  PROPERTY("what products by differences are off by is allowed for, and no more");
  const PetscReal step = 1e-5;
  Kink none = {.place = 1e9};
  PetscReal work[CHECK_LEVELS + 2], found, error, exact, ahead, behind;
  PetscFunctionBeginUser;
  AlongKink(&none, step, &ahead);
  AlongKink(&none, -step, &behind);
  const PetscReal off = fabs((ahead - behind) / (2 * step) - 3 * cos(1));
  CheckDifferences(AlongKink, &none, CTPG_IS_DIFFERENCED, 1, 1, work, &found, &error);
  CheckDifferences(AlongKink, &none, 0, 1, 1, work, &found, &exact);
  CHECK(error >= off / 2 && error <= 3 * off && exact < off / 3, "off by %g, allowed %g, or %g", off, error, exact);
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestProblemFaults());
  PetscCall(TestWrongEntries(WRONG_ENTRY_OF_JACOBIAN, "jacobian", 2));
  PetscCall(TestWrongEntries(WRONG_ENTRY_OF_DIRECTION, "eval_jvp", 3));
  PetscCall(TestDescriptorFaults());
  PetscCall(TestEmptySlots());
  PetscCall(TestTasks());
  PetscCall(TestStatesObserved());
  PetscCall(TestEstimatorFaults("rk-adjoint"));
  PetscCall(TestEstimatorFaults("euler-bptt"));
  PetscCall(TestHalfSteps());
  PetscCall(TestFaultsSideBySide());
  PetscCall(TestFaultsOfDraws());
  PetscCall(TestKinks());
  PetscCall(TestTruncation());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
