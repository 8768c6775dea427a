// problem.c -- conformance of a problem: its descriptor and its draws
//
// Its slots, called directly, are checked in slots.c and derivatives.c, the closed loop over it in loop.c.

#include "base/options_engine.h"
#include "base/random_engine.h"
#include "base/vector.h"
#include "check/clock.h"
#include "check/problem.h"
#include "check/problem_private.h"
#include "run/case.h"
#include "run/registry.h"
#include <math.h>
#include <stdio.h>

#define STARTS 20 // drawn for "finite at drawn starts"
#define TRIES  50 // until a random point is one where the plant is defined

// ---- descriptor and sizes ----

static PetscBool DescriptorSane(const CtpgProblemType *type, CheckReport *report) {
  return CheckDescriptor(report, type, sizeof *type, "CtpgProblemType", ProblemTypeFault(type));
}

static PetscBool BreaksSane(const CtpgDims *dims) {
  for (PetscInt i = 0; i < dims->nbreak; i++)
    if (!(dims->breaks[i] > (i ? dims->breaks[i - 1] : 0) && dims->breaks[i] < 1)) return PETSC_FALSE;
  return PETSC_TRUE;
}

static PetscBool ActuatedSane(const CtpgDims *dims) {
  if (!dims->actuated) return dims->nactuated == 0 ? PETSC_TRUE : PETSC_FALSE;
  for (PetscInt i = 0; i < dims->nactuated; i++)
    if (dims->actuated[i] <= (i ? dims->actuated[i - 1] : -1) || dims->actuated[i] >= dims->nx) return PETSC_FALSE;
  return PETSC_TRUE;
}

static PetscBool SizesSane(const CtpgProblemType *type, const CtpgDims *d, CheckReport *report) {
  const char *name = "sizes";
  if (d->nx < 1 || d->nu < 1 || d->no < 1 || d->ntask < 0 || d->nbreak < 0)
    CheckFail(report, name, "nx = %d, nu = %d, no = %d, ntask = %d, nbreak = %d; expected 1 or more of the first three",
              (int)d->nx, (int)d->nu, (int)d->no, (int)d->ntask, (int)d->nbreak);
  else if (d->nq < 0 || 2 * d->nq > d->nx)
    CheckFail(report, name, "nq = %d, but positions and velocities are 2 nq of nx = %d states", (int)d->nq, (int)d->nx);
  else if (!(d->T > 0) || !isfinite(d->T))
    CheckFail(report, name, "T = %g; expected a positive horizon", d->T);
  else if (!type->observe && d->no != d->nx)
    CheckFail(report, name, "no = %d, but without observe the policy sees the nx = %d states", (int)d->no, (int)d->nx);
  else if (!ActuatedSane(d))
    CheckFail(report, name,
              "actuated: expected nactuated rows of f_u, rising, from 0 to nx - 1 = %d; NULL and 0 for all",
              (int)d->nx - 1);
  else if (!BreaksSane(d))
    CheckFail(report, name, "breaks are not rising inside (0, 1); they are fractions of T");
  else if (!d->policy || !d->widths || !d->activations)
    CheckFail(report, name, "policy, widths or activations is NULL; expected the default policy");
  else {
    CheckPass(report, name, "nx = %d, nu = %d, no = %d, T = %g s", (int)d->nx, (int)d->nu, (int)d->no, d->T);
    return PETSC_TRUE;
  }
  return PETSC_FALSE;
}

// The bare life of an instance, before the engine builds a policy on its sizes.
static PetscErrorCode LifeCycle(const CtpgProblemType *type, const char *label, CheckReport *report, PetscBool *sane) {
  CtpgOptions options;
  CtpgDims dims = {0};
  void *ctx = NULL, *none = NULL;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(label, type->name, &options));
  PetscCall(type->create(PETSC_COMM_SELF, options, &dims, &ctx));
  *sane = SizesSane(type, &dims, report);
  type->destroy(&ctx);
  type->destroy(&none);
  if (ctx)
    CheckFail(report, "destroy", "destroy leaves the handle set; expected NULL");
  else
    CheckPass(report, "destroy", "nulls the handle, takes an empty one");
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// ---- draws ----

static PetscBool SameCase(const ProblemCheck *k, const CtpgCase *a, const CtpgCase *b, PetscBool with_theta) {
  return VectorSameBits(k->nx, a->x0, b->x0) && VectorSameBits(k->problem.dims.ntask, a->task, b->task) &&
                 (!with_theta || VectorSameBits(k->np, a->theta, b->theta))
             ? PETSC_TRUE
             : PETSC_FALSE;
}

static PetscErrorCode Draws(ProblemCheck *k) {
  const int seed = (int)k->settings->seed;
  const char *name = "draws";
  CtpgCase first, next, again;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&k->problem, seed, 0, &first));
  PetscCall(CaseDraw(&k->problem, seed + 1, 0, &next));
  PetscCall(CaseDraw(&k->problem, seed, 0, &again));
  if (!SameCase(k, &first, &again, PETSC_TRUE))
    CheckFail(k->report, name,
              "seed %d gives another x0, task or theta when it is drawn again; draw must use its streams alone", seed);
  else if (SameCase(k, &first, &next, PETSC_FALSE))
    CheckFail(k->report, name, "seeds %d and %d give the same x0 and task", seed, seed + 1);
  else
    CheckPass(k->report, name, "the same again for one seed, another for the next");
  PetscCall(CaseDestroy(&first));
  PetscCall(CaseDestroy(&next));
  PetscCall(CaseDestroy(&again));
  PetscFunctionReturn(0);
}

// x0 and task are filled and the closed loop has a beginning there.
static PetscErrorCode FiniteAtStarts(ProblemCheck *k, PetscBool *finite) {
  CheckWorst worst = {.limit = 0};
  const PetscReal zero = 0;
  CtpgCase c;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(ProblemCreateLoop(&k->problem, &loop));
  for (PetscInt i = 0; i < STARTS; i++) {
    PetscCall(CaseDraw(&k->problem, k->settings->seed + i, 0, &c));
    CtpgClosedLoopSetCase(loop, c.theta, 1, c.task, c.T);
    CtpgClosedLoopStart(loop, NULL);
    if (CtpgClosedLoopEval(loop, 1, &zero, c.x0, k->out[0], k->out[1]) != CTPG_OK)
      CheckOffer(&worst, 1, "seed %d: %s (%s)", (int)(k->settings->seed + i), CtpgClosedLoopGetReason(loop),
                 CtpgStatusName(CtpgClosedLoopGetStatus(loop)));
    PetscCall(CaseDestroy(&c));
  }
  *finite = worst.worst > 0 ? PETSC_FALSE : PETSC_TRUE;
  if (!*finite)
    CheckFail(k->report, "finite at drawn starts", "%s", worst.sentence);
  else
    CheckPass(k->report, "finite at drawn starts", "%d starts", STARTS);
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

// ---- random points ----

CtpgTask ProblemCheckTask(const ProblemCheck *k, PetscInt p) {
  const PetscInt ntask = k->problem.dims.ntask;
  return (CtpgTask){.values = ntask ? k->tasks + p * ntask : NULL, .T = k->problem.dims.T, .piece = -1};
}

// Is the plant defined at this point? One that says CTPG_OK and returns what is not finite is remembered: it should say
// CTPG_DOMAIN.
static PetscBool Defined(ProblemCheck *k, PetscInt p) {
  const CtpgStatus eval = CheckCallFresh(k, EVAL, p, p, 1, k->out[0]),
                   observe = CheckHasSlot(k, OBSERVE) ? CheckCallFresh(k, OBSERVE, p, p, 1, k->out[1]) : CTPG_OK;
  if (eval != CTPG_OK || observe != CTPG_OK) return PETSC_FALSE;
  PetscBool finite = PETSC_TRUE;
  for (PetscInt i = 0; i <= k->nx; i++)
    if (!isfinite(k->out[0][i])) finite = PETSC_FALSE;
  for (PetscInt i = 0; i < k->no && k->problem.type->observe; i++)
    if (!isfinite(k->out[1][i])) finite = PETSC_FALSE;
  if (!finite && !k->not_finite[0]) CheckWhere(k, p, sizeof k->not_finite, k->not_finite);
  return finite;
}

static void DrawNormals(CtpgStream *stream, PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; i < n; i++) values[i] = CtpgStreamNormal(stream);
}

// A drawn start, displaced by a tenth of its size, at a random time under random controls.
static PetscErrorCode DrawPoint(ProblemCheck *k, CtpgStream *stream, PetscInt p) {
  const PetscInt nx = k->nx, ntask = k->problem.dims.ntask;
  PetscReal *x = k->x + p * nx;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(&k->problem, k->settings->seed + p, 0, &c));
  PetscCall(PetscArraycpy(k->tasks + p * ntask, c.task, ntask));
  for (int i = 0; i < TRIES; i++) {
    k->t[p] = CtpgStreamUniformIn(stream, 0, k->problem.dims.T);
    for (PetscInt j = 0; j < nx; j++) x[j] = c.x0[j] + 0.1 * fmax(1, fabs(c.x0[j])) * CtpgStreamNormal(stream);
    DrawNormals(stream, k->nu, k->u + p * k->nu);
    if (Defined(k, p)) break;
  }
  PetscCall(CaseDestroy(&c));
  DrawNormals(stream, nx, k->v + p * nx);
  DrawNormals(stream, 1, k->c + p);
  DrawNormals(stream, k->no, k->go + p * k->no);
  DrawNormals(stream, k->nu, k->du + p * k->nu);
  PetscFunctionReturn(0);
}

static PetscErrorCode DrawPoints(ProblemCheck *k) {
  CtpgStream stream = CtpgStreamOpen((uint64_t)k->settings->seed, k->problem.type->name, CTPG_STREAM_CHECK, 1, 0);
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < k->n; p++) PetscCall(DrawPoint(k, &stream, p));
  PetscFunctionReturn(0);
}

static void FiniteAtPoints(const ProblemCheck *k) {
  if (k->not_finite[0])
    CheckFail(k->report, "finite at sampled states",
              "f, w or o is not finite at %s, but the status is CTPG_OK; where the "
              "plant is not defined return CTPG_DOMAIN",
              k->not_finite);
  else
    CheckPass(k->report, "finite at sampled states", "%d states", (int)k->n);
}

static PetscErrorCode Allocate(ProblemCheck *k) {
  const PetscInt n = k->n, nx = k->nx, nu = k->nu, no = k->no, rows = PetscMax(nx + 1, no);
  PetscInt largest = 0;

  PetscFunctionBeginUser;
  for (Slot slot = 0; slot < NUM_SLOTS; slot++)
    if (CheckHasSlot(k, slot)) largest = PetscMax(largest, CheckSlotSize(k, slot, n));
  PetscCall(PetscCalloc5(n, &k->t, n * nx, &k->x, n * nu, &k->u, n * nx, &k->v, n, &k->c));
  PetscCall(PetscCalloc4(n * no, &k->go, n * nu, &k->du, n * k->problem.dims.ntask, &k->tasks, nx + nu, &k->unit));
  PetscCall(PetscCalloc2(n, &k->starts, n, &k->pieces));
  for (PetscInt p = 0; p < n; p++) {
    k->starts[p] = p;
    k->pieces[p] = p % (k->problem.dims.nbreak + 1);
  }
  PetscCall(PetscCalloc3(largest, &k->out[0], largest, &k->out[1], largest, &k->out[2]));
  PetscCall(PetscCalloc5(nx + no, &k->kept, rows * (nx + nu), &k->found, (CHECK_LEVELS + 2) * rows, &k->work, rows,
                         &k->expected, rows, &k->uncertainty));
  PetscFunctionReturn(0);
}

static PetscErrorCode Free(ProblemCheck *k) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree5(k->t, k->x, k->u, k->v, k->c));
  PetscCall(PetscFree4(k->go, k->du, k->tasks, k->unit));
  PetscCall(PetscFree2(k->starts, k->pieces));
  PetscCall(PetscFree3(k->out[0], k->out[1], k->out[2]));
  PetscCall(PetscFree5(k->kept, k->found, k->work, k->expected, k->uncertainty));
  PetscFunctionReturn(0);
}

// ---- all of them ----

static PetscErrorCode CheckSlots(ProblemCheck *k) {
  PetscFunctionBeginUser;
  CheckBegin(k->report, "slots");
  if (!CheckSlotsPure(k)) {
    CheckSkip(k->report, "derivatives, closed loop", "the slots must be functions of their arguments first");
    PetscFunctionReturn(0);
  }
  const PetscBool at_many_points = CheckSlotsAtManyPoints(k), derivatives = CheckDerivatives(k);
  CheckBegin(k->report, "closed loop");
  if (at_many_points && derivatives && CheckOptionalSlots(k))
    PetscCall(CheckLoopOfProblem(k));
  else
    CheckSkip(k->report, "closed loop", "the slots must be right first");
  PetscFunctionReturn(0);
}

PetscErrorCode CheckProblem(const CtpgProblemType *type, const char *label_text, const CheckSettings *settings,
                            CheckReport *report) {
  ProblemCheck k = {.report = report, .settings = settings, .n = PetscMax(2, settings->points)};
  CtpgLabel label = {"", ""};
  PetscBool sane = PETSC_FALSE, finite = PETSC_FALSE;

  PetscFunctionBeginUser;
  report->subject = label_text;
  CheckBegin(report, "create and destroy");
  if (!DescriptorSane(type, report)) PetscFunctionReturn(0);
  PetscCall(LifeCycle(type, label_text, report, &sane));
  if (!sane) PetscFunctionReturn(0);
  PetscCall(PetscStrncpy(label.label, label_text, sizeof label.label));
  PetscCall(ProblemCreateFromType(type, &label, &k.problem));
  k.nx = k.problem.dims.nx;
  k.nu = k.problem.dims.nu;
  k.no = k.problem.dims.no;
  k.np = PolicyGetSize(k.problem.policy);
  PetscCall(Allocate(&k));
  CheckBegin(report, "metadata");
  CheckMetadata(&k);
  CheckBegin(report, "draws");
  PetscCall(Draws(&k));
  CheckBegin(report, "finite where it starts");
  PetscCall(FiniteAtStarts(&k, &finite));
  PetscCall(DrawPoints(&k));
  if (finite) {
    FiniteAtPoints(&k);
    PetscCall(CheckSlots(&k));
  } else
    CheckSkip(report, "slots, closed loop", "the plant must be defined where it starts first");
  PetscCall(Free(&k));
  PetscCall(ProblemDestroy(&k.problem));
  PetscFunctionReturn(0);
}
