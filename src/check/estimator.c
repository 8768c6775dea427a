// estimator.c -- conformance of an estimator: the checks in their order, on a problem behind a spy
//
// The spy (spy.c) counts the plant's calls and fails on demand.

#include "base/options_engine.h"
#include "check/clock.h"
#include "check/estimator.h"
#include "check/estimator_private.h"
#include "run/case.h"
#include "run/registry.h"
#include <stdio.h>

// ---- draws ----

static PetscErrorCode Draw(void *context, PetscReal samples, uint64_t index, PetscReal *g, PetscReal *error_bar,
                           PetscBool *good) {
  EstimatorCheck *k = context;
  CheckRequest q = CheckRequestOf(samples);
  PetscFunctionBeginUser;
  q.draw = index;
  PetscCall(CheckSolve(k, &k->given, q, &k->other));
  PetscCall(PetscArraycpy(g, k->other.gtheta, k->np));
  *error_bar = k->other.result.error_bar;
  *good = CheckSucceeded(k, &k->other);
  PetscFunctionReturn(0);
}

// ---- descriptor ----

static PetscBool DescriptorSane(const CtpgEstimatorType *type, CheckReport *report) {
  return CheckDescriptor(report, type, sizeof *type, "CtpgEstimatorType", EstimatorTypeFault(type));
}

// create without setup, then destroy; destroy of nothing.
static PetscErrorCode HalfBuilt(EstimatorCheck *k) {
  CtpgEstimator e;
  void *none = NULL;

  PetscFunctionBeginUser;
  PetscCall(EstimatorCreateFromType(k->type, &k->label, &e));
  k->type->destroy(&e.est);
  k->type->destroy(&none);
  if (e.est)
    CheckFail(k->report, "destroy", "destroy leaves the handle set; expected NULL");
  else
    CheckPass(k->report, "destroy", "takes a half-built instance, nulls the handle");
  PetscCall(CtpgOptionsDestroy(&e.options));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode RunChecks(EstimatorCheck *k) {
  const PetscBool sampled =
      k->type->flags & CTPG_IS_STOCHASTIC || k->given.e.traits.knob == CTPG_KNOB_SAMPLES ? PETSC_TRUE : PETSC_FALSE;
  PetscBool pure = PETSC_FALSE, agrees = PETSC_FALSE;

  PetscFunctionBeginUser;
  if (sampled) {
    CheckBegin(k->report, "draws");
    PetscCall(CheckDraws(k->report, Draw, k, k->np, k->reference.gtheta, k->given.e.traits.order));
  } else {
    PetscCall(CheckCreateStepper(k));
    CheckBegin(k->report, "agreement with the reference");
    PetscCall(CheckAgreement(k, &agrees));
    CheckBegin(k->report, "order");
    if (agrees) PetscCall(CheckErrorFalls(k));
    if (agrees) PetscCall(CheckOrder(k));
    if (!agrees) CheckSkip(k->report, "order", "the result must agree with the reference first");
    CheckBegin(k->report, "steps");
    PetscCall(CheckSteps(k));
  }
  CheckBegin(k->report, "counts and memory");
  PetscCall(CheckCounts(k));
  PetscCall(CheckBytes(k));
  PetscCall(CheckHeap(k));
  CheckBegin(k->report, "same bits when called again");
  PetscCall(CheckSecondCall(k, &pure));
  CheckBegin(k->report, "several starts");
  if (pure && !sampled) PetscCall(CheckSeveralStarts(k));
  if (pure && !sampled) PetscCall(CheckSideBySide(k));
  CheckBegin(k->report, "eval_limit");
  if (pure) PetscCall(CheckEvalLimit(k));
  CheckBegin(k->report, "failures of the plant");
  if (pure) PetscCall(CheckFailures(k));
  if (!pure) CheckSkip(k->report, "several starts, failures", "the same call must give the same bits first");
  PetscFunctionReturn(0);
}

static PetscErrorCode AllocateRun(const EstimatorCheck *k, CheckRun *run) {
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(CHECK_STARTS * k->nx, &run->gx0, k->np, &run->gtheta));
  PetscFunctionReturn(0);
}

static PetscErrorCode SolveReferences(EstimatorCheck *k) {
  ReferenceSolver solver = NULL;
  PetscFunctionBeginUser;
  PetscCall(ReferenceCreate(k->problem, &solver));
  for (int b = 0; b < CHECK_STARTS; b++) {
    PetscCall(PetscCalloc2(k->nx, &k->references[b].gx0, k->np, &k->references[b].gtheta));
    PetscCall(ReferenceSolve(solver, &k->c[b], NULL, &k->references[b]));
  }
  k->reference = k->references[0];
  PetscCall(ReferenceDestroy(&solver));
  PetscFunctionReturn(0);
}

// Cases and reference are made before the spy comes.
static PetscErrorCode Create(EstimatorCheck *k) {
  const PetscInt ntask = k->problem->dims.ntask;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(CHECK_STARTS * k->nx, &k->x0, CHECK_STARTS * ntask, &k->tasks));
  for (PetscInt b = 0; b < CHECK_STARTS; b++) {
    PetscCall(CaseDraw(k->problem, k->settings->seed + b, 0, &k->c[b]));
    PetscCall(PetscArraycpy(k->x0 + b * k->nx, k->c[b].x0, k->nx));
    PetscCall(PetscArraycpy(k->tasks + b * ntask, k->c[b].task, ntask));
  }
  PetscCall(SolveReferences(k));
  PetscCall(AllocateRun(k, &k->base));
  PetscCall(AllocateRun(k, &k->other));
  PetscCall(AllocateRun(k, &k->third));
  PetscCall(AllocateRun(k, &k->fourth));
  CheckSpyAttach(&k->spy, k->problem);
  CheckBegin(k->report, "setup");
  PetscCall(CheckInstanceCreate(k, &k->given));
  PetscFunctionReturn(0);
}

static PetscErrorCode Destroy(EstimatorCheck *k) {
  PetscFunctionBeginUser;
  PetscCall(CheckInstanceDestroy(&k->given));
  PetscCall(CheckInstanceDestroy(&k->fixed));
  CheckSpyDetach(&k->spy, k->problem);
  for (PetscInt b = 0; b < CHECK_STARTS; b++) PetscCall(CaseDestroy(&k->c[b]));
  PetscCall(PetscFree2(k->x0, k->tasks));
  for (int b = 0; b < CHECK_STARTS; b++) PetscCall(PetscFree2(k->references[b].gx0, k->references[b].gtheta));
  PetscCall(PetscFree2(k->base.gx0, k->base.gtheta));
  PetscCall(PetscFree2(k->other.gx0, k->other.gtheta));
  PetscCall(PetscFree2(k->third.gx0, k->third.gtheta));
  PetscCall(PetscFree2(k->fourth.gx0, k->fourth.gtheta));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckOnProblem(EstimatorCheck *k) {
  PetscFunctionBeginUser;
  CheckBegin(k->report, "reference");
  PetscCall(Create(k));
  CheckBegin(k->report, "run");
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->base));
  if (k->reference.status != CTPG_OK)
    CheckSkip(k->report, "run", "the reference ends with %s: %s", CtpgStatusName(k->reference.status),
              k->reference.reason);
  else if (k->base.status == CTPG_SKIPPED)
    CheckSkip(k->report, "run", "%s", k->base.reason);
  else if (!CheckSucceeded(k, &k->base))
    CheckFail(k->report, "run", "status %s (%s), PETSc error %d, %s", CtpgStatusName(k->base.status), k->base.reason,
              (int)k->base.error, k->base.status == CTPG_OK ? "loss or gradient is not finite" : "no result");
  else
    PetscCall(RunChecks(k));
  PetscCall(Destroy(k));
  PetscFunctionReturn(0);
}

PetscErrorCode CheckEstimator(const CtpgEstimatorType *type, const char *label, CtpgProblem *problem,
                              const CheckSettings *settings, CheckReport *report) {
  const PetscReal T = problem->dims.T;
  char subject[160];
  EstimatorCheck k = {.report = report, .settings = settings, .type = type, .problem = problem};

  PetscFunctionBeginUser;
  snprintf(subject, sizeof subject, "%s on %s", label, problem->label);
  report->subject = subject;
  CheckBegin(report, "create and destroy");
  if (DescriptorSane(type, report)) {
    problem->dims.T = k.T = PetscMin(T, settings->horizon);
    k.nx = problem->dims.nx;
    k.np = PolicyGetSize(problem->policy);
    PetscCall(PetscStrncpy(k.label.label, label, sizeof k.label.label));
    PetscCall(HalfBuilt(&k));
    PetscCall(CheckOnProblem(&k));
    problem->dims.T = T;
  }
  report->subject = "";
  PetscFunctionReturn(0);
}
