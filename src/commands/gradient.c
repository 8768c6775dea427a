// gradient.c -- `ctpgbench gradient`: one gradient, compared with its reference

#include "run/accuracy.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/options_engine.h"
#include "run/casefile.h"
#include "job/errors.h"
#include "commands/program.h"
#include "run/run.h"
#include "job/marks.h"
#include "job/signals.h"
#include "job/watchdog.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  CtpgOptions options;
  CtpgLabel *problem_label, *estimator_label;
  CtpgProblem problem;
  CtpgPair pair;
  PetscBool by_reference; // -estimator reference: the reference gradient itself
  CtpgCaseChoice choice;
  char out[PETSC_MAX_PATH_LEN];
  PetscBool compare;
  PetscReal accuracy;
  CtpgCase c;
} Request;

static PetscErrorCode ReadAccuracy(Request *r) {
  static const char *const fallback[] = {
      [CTPG_KNOB_RTOL] = "1e-6", [CTPG_KNOB_DT] = "1e-2", [CTPG_KNOB_GRAD_RTOL] = "1e-6", [CTPG_KNOB_SAMPLES] = "100"};
  const CtpgKnob knob = r->pair.estimator.traits.knob;
  PetscInt n;
  PetscReal *values;

  PetscFunctionBeginUser;
  PetscCall(PairReadAccuracies(&r->pair, fallback[knob], &n, &values));
  PetscCheck(n == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "gradient takes one -%s, not %d; use sweep for several",
             CtpgKnobName(knob), (int)n);
  r->accuracy = values[0];
  PetscCall(PetscFree(values));
  PetscFunctionReturn(0);
}

// One label each; options of the command; everything before the first run.
static PetscErrorCode ReadRequest(Request *r) {
  PetscInt np, ne;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "gradient", &r->options));
  PetscCall(CtpgLabelOption(r->options, "problem", NULL, &np, &r->problem_label));
  PetscCall(CtpgLabelOption(r->options, "estimator", "ctpg", &ne, &r->estimator_label));
  PetscCheck(np == 1 && ne == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "gradient takes one problem and one estimator, not %d and %d; use sweep for several", (int)np, (int)ne);
  PetscCall(LabelsCheckApart(np, r->problem_label, ne, r->estimator_label));
  PetscCall(CaseChoiceRead(r->options, &r->choice));
  PetscCall(CtpgOptionsText(r->options, "out", "HDF5 file for the gradient", r->out, sizeof r->out));
  r->compare = PETSC_TRUE;
  PetscCall(CtpgOptionsBool(r->options, "reference", "compare with the reference gradient", &r->compare));
  PetscCall(CaseChoiceCheck(&r->choice));
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateParts(Request *r) {
  PetscFunctionBeginUser;
  PetscCall(ProblemCreate(r->problem_label, &r->problem));
  r->by_reference = !strcmp(r->estimator_label->type, "reference") ? PETSC_TRUE : PETSC_FALSE;
  if (!r->by_reference) {
    PetscCall(PairCreate(&r->problem, r->estimator_label, &r->pair));
    PetscCall(ReadAccuracy(r));
  }
  PetscCall(RefuseUnusedOptions());
  if (r->out[0]) PetscCall(GradientFileCheck(r->out));
  PetscCall(CaseChoose(&r->problem, &r->choice, &r->c));
  if (!r->by_reference) PetscCall(PairSetUp(&r->pair));
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroyParts(Request *r) {
  PetscFunctionBeginUser;
  PetscCall(CaseDestroy(&r->c));
  if (!r->by_reference) PetscCall(PairDestroy(&r->pair));
  PetscCall(ProblemDestroy(&r->problem));
  PetscCall(CtpgOptionsDestroy(&r->options));
  PetscCall(PetscFree(r->problem_label));
  PetscCall(PetscFree(r->estimator_label));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintReference(const Request *r, const CtpgReference *g) {
  const char *remark = g->status == CTPG_OK ? ReferenceRemark(g, PolicyGetSize(r->problem.policy)) : "";
  PetscFunctionBeginUser;
  if (g->status != CTPG_OK) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "reference   none: %s: %s\n", CtpgStatusName(g->status), g->reason));
    PetscFunctionReturn(0);
  }
  PetscCall(PetscPrintf(
      PETSC_COMM_WORLD, "reference   %s, good to %.1e (theta), %.1e (x0); loss differences %.1e; cond %.3g\n",
      g->closed_form ? "closed form" : "two methods", g->ref_err, g->ref_err_x0, g->ref_err_loss, g->cond));
  if (remark[0]) PetscCall(PetscPrintf(PETSC_COMM_WORLD, "note        %s\n", remark));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintHead(const Request *r) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "problem     %s, %s, T = %.6g s, policy %s (np = %d)\n", r->problem.label,
                        r->c.name, r->c.T, PolicyDescribe(r->problem.policy), (int)PolicyGetSize(r->problem.policy)));
  PetscFunctionReturn(0);
}

// "1.2e-08 (dL/dtheta, relative)"; absolute where the reference is zero, and nothing relative to it exists.
static const char *DescribeError(const char *what, PetscReal relative, PetscReal absolute, PetscReal reference,
                                 char text[96]) {
  snprintf(text, 96, "%.3e (%s, %s)", reference == 0 ? absolute : relative, what,
           reference == 0 ? "absolute: the reference is zero" : "relative");
  return text;
}

static PetscErrorCode PrintErrors(const CtpgOutcome *o, const CtpgErrors *e, const CtpgReference *g, PetscInt nx,
                                  PetscInt np) {
  const PetscReal norm = CtpgNorm(np, g->gtheta);
  char theta[96], x0[96], direction[64] = "no cosine with a zero";

  PetscFunctionBeginUser;
  if (o->status != CTPG_OK || g->status != CTPG_OK) {
    PetscCall(
        PetscPrintf(PETSC_COMM_WORLD, "error       unknown: no %s\n", o->status != CTPG_OK ? "gradient" : "reference"));
    PetscFunctionReturn(0);
  }
  if (norm > 0 && e->norm > 0) snprintf(direction, sizeof direction, "cosine 1 - %.1e", fmax(0, 1 - e->cosine));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "error       %s, %s, %s\n",
                        DescribeError("dL/dtheta", e->err_rel, e->err_abs, norm, theta),
                        DescribeError("dL/dx0", e->err_x0, e->err_abs_x0, CtpgNorm(nx, g->gx0), x0), direction));
  PetscFunctionReturn(0);
}

// What the estimator, or a judge, says of the error without a reference, and what a contract allows.
static PetscErrorCode PrintMeasured(const CtpgOutcome *o) {
  char judge[64] = "", allowed[64] = "";
  PetscFunctionBeginUser;
  if (isnan(o->error_bar)) PetscFunctionReturn(0);
  if (o->nfe_bar) snprintf(judge, sizeof judge, ", at %lld evaluations of a judge", (long long)o->nfe_bar);
  if (!isnan(o->promise)) snprintf(allowed, sizeof allowed, "; allowed are %.3e", o->promise);
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "measured    error %.3e (dL/dtheta, relative), without a reference%s%s\n",
                        o->error_bar, judge, allowed));
  PetscFunctionReturn(0);
}

// The terms add up to the NFE.
static PetscErrorCode PrintWork(const CtpgOutcome *o) {
  const long long nf = o->totals.nf, nvjp = o->totals.nvjp, njvp = o->totals.njvp, rest = o->nfe - nf - nvjp - njvp;
  char more[96] = "";

  PetscFunctionBeginUser;
  if (njvp) snprintf(more, sizeof more, " + %lld jvp", njvp);
  if (rest) snprintf(more + strlen(more), sizeof more - strlen(more), " + %lld vjp of Jacobians", rest);
  PetscCall(PetscPrintf(
      PETSC_COMM_WORLD,
      "work        NFE %lld = %lld f + %lld vjp%s; %lld + %lld steps, %lld + %lld rejected; %lld bytes stored\n",
      (long long)o->nfe, nf, nvjp, more, (long long)o->steps, (long long)o->steps_adjoint, (long long)o->rejected,
      (long long)o->rejected_adjoint, (long long)o->bytes));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintOutcome(const Request *r, const CtpgOutcome *o, const CtpgErrors *e,
                                   const CtpgReference *g) {
  const CtpgPair *pair = &r->pair;
  const PetscInt nx = r->problem.dims.nx, np = PolicyGetSize(r->problem.policy);

  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "estimator   %s, %s = %.6g\n", pair->estimator.label,
                        CtpgKnobName(pair->estimator.traits.knob), r->accuracy));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "status      %s%s%s\n", CtpgStatusName(o->status), o->reason[0] ? ": " : "",
                        o->reason));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "loss        %.15g\n", o->loss));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "gradient    ||dL/dtheta|| = %.10g, ||dL/dx0|| = %.10g\n",
                        CtpgNorm(np, pair->gtheta), CtpgNorm(nx, pair->gx0)));
  if (r->compare) PetscCall(PrintErrors(o, e, g, nx, np));
  PetscCall(PrintMeasured(o));
  PetscCall(PrintWork(o));
  if (!isnan(o->backsolve_error))
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "backsolve   ||x_back(0) - x0|| = %.3e\n", o->backsolve_error));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "time        %.6g s\n", o->wall_median));
  PetscFunctionReturn(0);
}

static PetscErrorCode WriteGradient(const Request *r, const CtpgGradientFile *parts) {
  CtpgGradientFile file = *parts;
  PetscFunctionBeginUser;
  file.nx = r->problem.dims.nx;
  file.np = PolicyGetSize(r->problem.policy);
  file.x0 = r->c.x0;
  file.theta = r->c.theta;
  file.problem = r->problem.type->name;
  file.name = r->c.name;
  file.horizon = r->c.T;
  PetscCall(GradientFileWrite(r->out, &file));
  PetscFunctionReturn(0);
}

static PetscErrorCode FinishReference(const Request *r, const CtpgReference *g) {
  const PetscInt nx = r->problem.dims.nx, np = PolicyGetSize(r->problem.policy);
  const CtpgGradientFile file = {.gx0 = g->gx0,
                                 .gtheta = g->gtheta,
                                 .loss = g->loss,
                                 .estimator = "reference",
                                 .knob = "",
                                 .status = CtpgStatusName(g->status),
                                 .reason = g->reason,
                                 .accuracy = NAN,
                                 .wall = NAN,
                                 .counts = g->counts,
                                 .nfe = CtpgNFE(&g->counts)};
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "status      %s%s%s\nloss        %.15g\n", CtpgStatusName(g->status),
                        g->reason[0] ? ": " : "", g->reason, g->loss));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "gradient    ||dL/dtheta|| = %.10g, ||dL/dx0|| = %.10g\n",
                        CtpgNorm(np, g->gtheta), CtpgNorm(nx, g->gx0)));
  if (r->out[0]) PetscCall(WriteGradient(r, &file));
  PetscFunctionReturn(0);
}

static void Beat(void *context) {
  (void)context;
  WatchdogBeat();
}

static PetscErrorCode FinishEstimator(Request *r, const CtpgReference *g) {
  const PetscInt nx = r->problem.dims.nx, np = PolicyGetSize(r->problem.policy);
  const CtpgLimits limits = {.stop = &CtpgStopRequested, .tick = Beat};
  char name[160];
  CtpgOutcome o;

  PetscFunctionBeginUser;
  snprintf(name, sizeof name, "%s on %s", r->pair.estimator.label, r->problem.label);
  WatchdogStart(0, &CtpgStopRequested, 0, INFINITY);
  JobEnter(CTPG_CRASH_UNMARKED, 0, r->pair.estimator.run_time_limit, name);
  PetscCall(PairRun(&r->pair, &r->c, (uint64_t)r->choice.experiment, 0, r->accuracy, limits,
                    (CtpgRepeats){.threshold = 0.02, .budget = INFINITY}, &o));
  JobLeave();
  WatchdogStop();
  const CtpgErrors e = GradientErrors(nx, np, r->pair.gx0, r->pair.gtheta, g);
  PetscCall(PrintOutcome(r, &o, &e, g));
  const CtpgGradientFile file = {.gx0 = r->pair.gx0,
                                 .gtheta = r->pair.gtheta,
                                 .loss = o.loss,
                                 .estimator = r->pair.estimator.type->name,
                                 .knob = CtpgKnobName(r->pair.estimator.traits.knob),
                                 .status = CtpgStatusName(o.status),
                                 .reason = o.reason,
                                 .accuracy = r->accuracy,
                                 .wall = o.wall_median,
                                 .counts = o.totals,
                                 .nfe = o.nfe};
  if (r->out[0]) PetscCall(WriteGradient(r, &file));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandGradient(const char *word, int *exit_code) {
  const CtpgLimits limits = {.stop = &CtpgStopRequested};
  Request r = {0};
  ReferenceSolver solver = NULL;
  CtpgReference g = {.status = CTPG_SKIPPED};

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(RefuseSeveralRanks("gradient", "; use sweep"));
  PetscCall(ReadRequest(&r));
  PetscCall(CreateParts(&r));
  PetscCall(PrintHead(&r));
  PetscCall(PetscCalloc2(r.problem.dims.nx, &g.gx0, PolicyGetSize(r.problem.policy), &g.gtheta));
  if (r.compare || r.by_reference) {
    PetscCall(ReferenceCreate(&r.problem, &solver));
    PetscCall(ReferenceSolve(solver, &r.c, &limits, &g));
    PetscCall(PrintReference(&r, &g));
  }
  if (r.by_reference)
    PetscCall(FinishReference(&r, &g));
  else
    PetscCall(FinishEstimator(&r, &g));
  if (r.by_reference && g.status != CTPG_OK) *exit_code = CTPG_EXIT_ERROR;
  if (CtpgStopRequested) *exit_code = CTPG_EXIT_INCOMPLETE;
  PetscCall(ReferenceDestroy(&solver));
  PetscCall(PetscFree2(g.gx0, g.gtheta));
  PetscCall(DestroyParts(&r));
  PetscFunctionReturn(0);
}
