// trace.c -- `ctpgbench trace`: the forward path, and the path each estimator believes in on its way back
//
// An estimator believes the state to be where it asks for vector-Jacobian products: the closed loop's observer records
// these points, so that a trace needs nothing from the estimator. Into an HDF5 file of kind "trace":
//   forward/{t [m], x [m, nx], u [m, nu]}        the true path, by the spline of a solve at rtol 1e-10
//   bodies/{solid [g], size [g, 3], pose [m, g 12]}   of a problem that has solids (problem.h): what they are, where
//                                                they are along the true path
//   out/<label>/{t [n], x [n, nx]}               the start and the end of each step on the way out, where the
//                                                estimator's forward solve is that of the toolkit
//   back/<label>/{t [k], x [k, nx]}              in the order in which the estimator went
// with attributes problem, case, horizon, policy, theta (from where: -theta_file, or ""), and on each back/<label>
// type, accuracy, status, err_rel.

#include "base/options_engine.h"
#include "commands/program.h"
#include "ctpgbench/toolkit/spline.h"
#include "job/signals.h"
#include "run/accuracy.h"
#include "run/case.h"
#include "run/describe.h"
#include "run/labels.h"
#include "run/run.h"
#include "store/plants.h"
#include "store/smallfile.h"
#include "store/store.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SAMPLES 401

// The points at which one estimator asked for products, or at which its steps ended.
typedef struct {
  PetscInt nx, count, capacity;
  PetscReal *t, *x; // [count], [count, nx]
} Path;

typedef struct {
  CtpgOptions options;
  PetscInt seed, nproblems, nestimators;
  CtpgLabel *problem_label, *estimator_labels;
  char out[PETSC_MAX_PATH_LEN];
  PetscBool compare; // with the reference gradient
  CtpgProblem problem;
  CtpgPair *pairs; // [nestimators]
  PetscReal *accuracies;
  CtpgCase c;
} Trace;

static PetscErrorCode ReadOptions(Trace *r) {
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "trace", &r->options));
  PetscCall(CtpgLabelOption(r->options, "problem", NULL, &r->nproblems, &r->problem_label));
  PetscCall(CtpgLabelOption(r->options, "estimator", "euler-bptt,neural-ode,neural-ode-ckpt,ctpg", &r->nestimators,
                            &r->estimator_labels));
  PetscCheck(r->nproblems == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "trace takes one problem, not %d",
             (int)r->nproblems);
  PetscCall(CtpgOptionsInt(r->options, "seed", "seed of the case", 0, PETSC_MAX_INT, &r->seed));
  PetscCall(PetscStrncpy(r->out, "trace.h5", sizeof r->out));
  PetscCall(CtpgOptionsText(r->options, "out", "trace file", r->out, sizeof r->out));
  r->compare = PETSC_TRUE;
  PetscCall(CtpgOptionsBool(r->options, "reference", "compare with the reference gradient", &r->compare));
  PetscFunctionReturn(0);
}

// Coarse by default: a picture should show the paths apart.
static PetscErrorCode CreateParts(Trace *r) {
  PetscFunctionBeginUser;
  PetscCall(ProblemCreate(r->problem_label, &r->problem));
  PetscCall(PetscCalloc2(r->nestimators, &r->pairs, r->nestimators, &r->accuracies));
  for (PetscInt e = 0; e < r->nestimators; e++) {
    CtpgPair *pair = r->pairs + e;
    PetscCall(PairCreate(&r->problem, r->estimator_labels + e, pair));
    r->accuracies[e] = pair->estimator.traits.knob == CTPG_KNOB_DT ? r->problem.dims.T / 20 : 1e-3;
    PetscCall(CtpgOptionsReal(pair->estimator.options, CtpgKnobName(pair->estimator.traits.knob),
                              "accuracy: relative tolerance, or step in s", 1e-15, 1e6, r->accuracies + e));
  }
  PetscCall(RefuseUnusedOptions());
  PetscCall(SmallFileCheck(r->out, "forward", "trace"));
  PetscCall(CaseDraw(&r->problem, r->seed, 0, &r->c));
  for (PetscInt e = 0; e < r->nestimators; e++) PetscCall(PairSetUp(r->pairs + e));
  PetscFunctionReturn(0);
}

// ---- the true path ----

// Where the problem's solids are at the samples of the true path.
static PetscErrorCode WriteBodies(Trace *r, hid_t file, const PetscReal *t, const PetscReal *x, int *status) {
  const CtpgProblem *p = &r->problem;
  const CtpgTask task = {.values = r->c.task, .T = r->c.T, .piece = -1};
  const PetscInt n = p->dims.nshapes, width = n * CTPG_POSE;
  PetscReal *solid, *size, *pose;

  PetscFunctionBeginUser;
  if (!n || !p->type->place) PetscFunctionReturn(0);
  PetscCall(PetscCalloc3(n, &solid, 3 * n, &size, SAMPLES * width, &pose));
  for (PetscInt g = 0; g < n; g++) {
    solid[g] = p->dims.shapes[g].solid;
    for (int k = 0; k < 3; k++) size[3 * g + k] = p->dims.shapes[g].size[k];
  }
  for (PetscInt i = 0; i < SAMPLES; i++) p->type->place(p->ctx, &task, t[i], x + i * p->dims.nx, pose + i * width);
  *status = SmallFileReals(file, "bodies/solid", n, 1, solid) < 0 ||
                    SmallFileReals(file, "bodies/size", n, 3, size) < 0 ||
                    SmallFileReals(file, "bodies/pose", SAMPLES, width, pose) < 0
                ? -1
                : 0;
  PetscCall(PetscFree3(solid, size, pose));
  PetscFunctionReturn(0);
}

static PetscErrorCode WriteForward(Trace *r, hid_t file, int *status) {
  const PetscInt nx = r->problem.dims.nx, nu = r->problem.dims.nu;
  CtpgRKOptions rk = {
      .atol_factor = CTPG_DEFAULT_ATOL_FACTOR, .step_limit = CTPG_DEFAULT_STEP_LIMIT, .respect_breaks = PETSC_TRUE};
  PetscReal loss, *t, *x, *u;
  CtpgResult result = {.loss = &loss};
  CtpgForwardSolve forward;
  CtpgSpline spline;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", "tsit5", &rk.table));
  PetscCall(ProblemCreateLoop(&r->problem, &loop));
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, CtpgSplineKeeps(CTPG_SPLINE_NATIVE), &forward));
  PetscCall(PetscCalloc3(SAMPLES, &t, SAMPLES * nx, &x, SAMPLES * nu, &u));
  CtpgClosedLoopSetCase(loop, r->c.theta, 1, r->c.task, r->c.T);
  CtpgClosedLoopStart(loop, NULL);
  PetscCall(CtpgForwardRun(forward, r->c.x0, 1e-10, &result));
  PetscCheck(CtpgClosedLoopGetStatus(loop) == CTPG_OK, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "the path of %s, %s cannot be traced: %s", r->problem.label, r->c.name, CtpgClosedLoopGetReason(loop));
  CtpgSplineOpen(&spline, CTPG_SPLINE_NATIVE, forward, nx);
  for (PetscInt i = 0; i < SAMPLES; i++) {
    t[i] = r->c.T * i / (SAMPLES - 1);
    CtpgSplineEval(&spline, t[i], x + i * nx);
    CtpgClosedLoopControl(loop, t[i], x + i * nx, u + i * nu);
  }
  *status = SmallFileReals(file, "forward/t", SAMPLES, 1, t) < 0 ||
                    SmallFileReals(file, "forward/x", SAMPLES, nx, x) < 0 ||
                    SmallFileReals(file, "forward/u", SAMPLES, nu, u) < 0
                ? -1
                : 0;
  if (*status == 0) PetscCall(WriteBodies(r, file, t, x, status));
  PetscCall(PetscFree3(t, x, u));
  PetscCall(CtpgForwardDestroy(&forward));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

// ---- the paths back ----

static void RecordPoint(void *context, PetscReal t, const PetscReal *x) {
  Path *path = context;
  if (path->count == path->capacity) {
    const PetscInt capacity = path->capacity ? 2 * path->capacity : 1024;
    PetscReal *longer_t = realloc(path->t, (size_t)capacity * sizeof *path->t);
    if (longer_t) path->t = longer_t;
    PetscReal *longer_x = realloc(path->x, (size_t)(capacity * path->nx) * sizeof *path->x);
    if (longer_x) path->x = longer_x;
    if (!longer_t || !longer_x) return; // the picture ends here
    path->capacity = capacity;
  }
  path->t[path->count] = t;
  memcpy(path->x + path->count++ * path->nx, x, (size_t)path->nx * sizeof *x);
}

static void RecordProduct(void *context, CtpgPurpose purpose, PetscBool product, PetscReal t, const PetscReal *x) {
  if (product && purpose != CTPG_STARTUP) RecordPoint(context, t, x);
}

// group/{t, x}, if there is a point; frees it.
static int WritePath(hid_t file, const char *group, Path *path) {
  char name[160];
  int status = 0;
  snprintf(name, sizeof name, "%s/t", group);
  if (path->count) status = SmallFileReals(file, name, path->count, 1, path->t);
  snprintf(name, sizeof name, "%s/x", group);
  if (path->count && status == 0) status = SmallFileReals(file, name, path->count, path->nx, path->x);
  free(path->t);
  free(path->x);
  return status;
}

static int WriteBackAttributes(hid_t file, const char *group, const CtpgPair *pair, PetscReal accuracy,
                               const CtpgOutcome *o, const CtpgErrors *errors) {
  const hid_t object = H5Gopen2(file, group, H5P_DEFAULT);
  const int status = SmallFileText(object, "type", pair->estimator.type->name) < 0 ||
                             SmallFileText(object, "knob", CtpgKnobName(pair->estimator.traits.knob)) < 0 ||
                             SmallFileText(object, "status", CtpgStatusName(o->status)) < 0 ||
                             SmallFileAttribute(object, "accuracy", H5T_NATIVE_DOUBLE, &accuracy) < 0 ||
                             SmallFileAttribute(object, "err_rel", H5T_NATIVE_DOUBLE, &errors->err_rel) < 0
                         ? -1
                         : 0;
  H5Gclose(object);
  return status;
}

static PetscErrorCode WriteBack(Trace *r, PetscInt e, const CtpgReference *reference, hid_t file, int *status) {
  CtpgPair *pair = r->pairs + e;
  Path path = {.nx = r->problem.dims.nx}, out = path;
  char group[128], error[32];
  CtpgOutcome o;

  PetscFunctionBeginUser;
  CtpgClosedLoopSetObserver(pair->loop, RecordProduct, &path);
  CtpgClosedLoopSetStepObserver(pair->loop, RecordPoint, &out);
  PetscCall(
      PairRun(pair, &r->c, 0, 0, r->accuracies[e], (CtpgLimits){.stop = &CtpgStopRequested}, CTPG_REPEATS_NONE, &o));
  const CtpgErrors errors =
      GradientErrors(path.nx, PolicyGetSize(r->problem.policy), pair->gx0, pair->gtheta, reference);
  PetscCall(PetscSNPrintf(group, sizeof group, "out/%s", pair->estimator.label));
  *status = WritePath(file, group, &out);
  PetscCall(PetscSNPrintf(group, sizeof group, "back/%s", pair->estimator.label));
  const PetscInt products = path.count;
  if (*status == 0) *status = WritePath(file, group, &path);
  if (products && *status == 0) *status = WriteBackAttributes(file, group, pair, r->accuracies[e], &o, &errors);
  PetscCall(PetscSNPrintf(error, sizeof error, ", error %.2e", errors.err_rel));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%-18s %s %.3g: %s%s, %d products on the way back\n", pair->estimator.label,
                        CtpgKnobName(pair->estimator.traits.knob), r->accuracies[e],
                        o.status == CTPG_OK ? "ok" : o.reason, r->compare ? error : "", (int)products));
  PetscFunctionReturn(0);
}

static int WriteHead(const Trace *r, hid_t file) {
  const int schema = CTPG_SCHEMA;
  CtpgLabelInfo info;
  DescribeProblem(&r->problem, &info);
  const int64_t nq = r->problem.dims.nq, velocity_first = r->problem.dims.velocity_first;
  return SmallFileAttribute(file, "schema", H5T_NATIVE_INT, &schema) < 0 || SmallFileText(file, "kind", "trace") < 0 ||
                 SmallFileText(file, "problem", r->problem.label) < 0 ||
                 SmallFileText(file, "type", r->problem.type->name) < 0 || SmallFileText(file, "case", r->c.name) < 0 ||
                 SmallFileText(file, "policy", PolicyDescribe(r->problem.policy)) < 0 ||
                 SmallFileText(file, "theta", r->problem.thetas.text ? r->problem.thetas.text : "") < 0 ||
                 SmallFileAttribute(file, "nq", H5T_NATIVE_INT64, &nq) < 0 ||
                 SmallFileAttribute(file, "velocity_first", H5T_NATIVE_INT64, &velocity_first) < 0 ||
                 SmallFileAttribute(file, "horizon", H5T_NATIVE_DOUBLE, &r->c.T) < 0 ||
                 StorePlantsWrite(file, 1, &info) < 0
             ? -1
             : 0;
}

static PetscErrorCode DestroyParts(Trace *r) {
  PetscFunctionBeginUser;
  for (PetscInt e = 0; e < r->nestimators; e++) PetscCall(PairDestroy(r->pairs + e));
  PetscCall(PetscFree2(r->pairs, r->accuracies));
  PetscCall(CaseDestroy(&r->c));
  PetscCall(ProblemDestroy(&r->problem));
  PetscCall(CtpgOptionsDestroy(&r->options));
  PetscCall(PetscFree(r->problem_label));
  PetscCall(PetscFree(r->estimator_labels));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandTrace(const char *word, int *exit_code) {
  Trace r = {0};
  ReferenceSolver solver;
  CtpgReference reference = {.status = CTPG_SKIPPED};
  hid_t file;
  int status;

  PetscFunctionBeginUser;
  (void)word, (void)exit_code;
  PetscCall(RefuseSeveralRanks("trace", ""));
  PetscCall(ReadOptions(&r));
  PetscCall(CreateParts(&r));
  PetscCall(PetscCalloc2(r.problem.dims.nx, &reference.gx0, PolicyGetSize(r.problem.policy), &reference.gtheta));
  PetscCall(ReferenceCreate(&r.problem, &solver));
  if (r.compare) PetscCall(ReferenceSolve(solver, &r.c, NULL, &reference));
  PetscCall(SmallFileBegin(&file));
  status = WriteHead(&r, file);
  if (status == 0) PetscCall(WriteForward(&r, file, &status));
  for (PetscInt e = 0; e < r.nestimators && status == 0; e++) PetscCall(WriteBack(&r, e, &reference, file, &status));
  PetscCall(SmallFileEnd(r.out, status, &file));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "trace of %s, %s in %s\n", r.problem.label, r.c.name, r.out));
  PetscCall(ReferenceDestroy(&solver));
  PetscCall(PetscFree2(reference.gx0, reference.gtheta));
  PetscCall(DestroyParts(&r));
  PetscFunctionReturn(0);
}
