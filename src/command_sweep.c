// command_sweep.c -- `ctpgbench sweep`: the plan over MPI ranks into one file; the same command again resumes
//
//   plan -> file (new, resumed or enlarged) -> reference gradients -> runs -> digest
// References and runs are dealt to ranks by the scheduler; a reference travels by message to all ranks before the runs
// begin, for MPI-IO gives no read-after-write across ranks.

#include "plan.h"
#include "program.h"
#include "scheduler.h"
#include "session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  CtpgPlan plan;
  MPI_Comm comm;
  int rank, size;
  CtpgStore store;
  CtpgScheduler scheduler;
  char host[MPI_MAX_PROCESSOR_NAME];
  PetscBool *case_done, *run_done; // in the file when the sweep began
  PetscInt *owner;                 // [ncases] rank that has the reference, -1: nobody
  CtpgReference *references;       // [ncases]
  ReferenceSolver *solvers;        // [nproblems], made when first needed
} Sweep;

static CtpgLimits Limits(Sweep *s) {
  return (CtpgLimits){.stop = &CtpgStopRequested, .tick = SchedulerPoll, .tick_context = s->scheduler};
}

// ---- the file ----

// Seconds of one evaluation of the closed loop and of one joint product, at the first case of a problem.
static PetscErrorCode MeasureCosts(Sweep *s, PetscInt p, CtpgLabelInfo *info) {
  const CtpgProblem *problem = s->plan.problems + p;
  const PetscInt nx = problem->dims.nx, np = PolicyGetSize(problem->policy), repeats = 200;
  const PetscReal t = 0, one = 1;
  PetscReal *f, *gx, *gtheta, w;
  ClosedLoop loop;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(problem, s->plan.first_seed, (uint64_t)s->plan.experiment, &c));
  PetscCall(ProblemCreateLoop(problem, &loop));
  PetscCall(PetscCalloc3(nx, &f, nx, &gx, np, &gtheta));
  ClosedLoopSetCase(loop, c.theta, c.task, c.T);
  info->cost_f = info->cost_vjp = INFINITY;
  for (int batch = 0; batch < 5; batch++) { // the least disturbed batch counts
    const double start = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) ClosedLoopEval(loop, 1, &t, c.x0, f, &w, NULL);
    const double middle = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) ClosedLoopVJP(loop, 1, &t, c.x0, f, &one, gx, gtheta, NULL);
    const double end = CtpgSeconds();
    info->cost_f = fmin(info->cost_f, (middle - start) / repeats);
    info->cost_vjp = fmin(info->cost_vjp, (end - middle) / repeats);
  }
  PetscCall(PetscFree3(f, gx, gtheta));
  PetscCall(ClosedLoopDestroy(&loop));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}

static PetscErrorCode DescribeLabels(Sweep *s, CtpgLabelInfo *problems, CtpgLabelInfo *estimators) {
  const CtpgPlan *plan = &s->plan;
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const CtpgProblem *q = plan->problems + p;
    problems[p] = (CtpgLabelInfo){.label = q->label,
                                  .type = q->type->name,
                                  .options = CtpgOptionsResolved(q->options),
                                  .bibtex = q->type->bibtex,
                                  .version = q->type->version,
                                  .nx = q->dims.nx,
                                  .nu = q->dims.nu,
                                  .no = q->dims.no,
                                  .np = PolicyGetSize(q->policy),
                                  .ntask = q->dims.ntask,
                                  .T = q->dims.T,
                                  .policy = PolicyDescribe(q->policy),
                                  .theta_source = "philox",
                                  .derivatives = ProblemTypeDerivatives(q->type),
                                  .ncases = plan->ncases / plan->nproblems};
    if (!s->rank) PetscCall(MeasureCosts(s, p, problems + p));
  }
  for (PetscInt e = 0; e < plan->nestimators; e++) {
    const CtpgEstimator *q = &plan->pairs[e].estimator;
    estimators[e] = (CtpgLabelInfo){.label = q->label,
                                    .type = q->type->name,
                                    .options = CtpgOptionsResolved(q->options),
                                    .bibtex = q->type->bibtex,
                                    .version = q->type->version,
                                    .knob = CtpgKnobName(q->traits.knob),
                                    .order = q->traits.order};
  }
  PetscFunctionReturn(0);
}

static int CompareKeys(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// "; problem lqr has horizon = 10 there and horizon = 5 here" for the first line in which two resolved texts differ.
static void CompareOptions(const char *what, const char *label, const char *there, const char *here, char *text,
                           size_t size) {
  size_t line = 0;
  for (size_t i = 0; there[i] && there[i] == here[i]; i++)
    if (there[i] == '\n') line = i + 1;
  if (strcmp(there, here))
    snprintf(text, size, "; %s %s has %.*s there and %.*s here", what, label, (int)strcspn(there + line, "\n"),
             there + line, (int)strcspn(here + line, "\n"), here + line);
}

// "; problem my_cart is of version 1 there and of version 2 here" where that is so.
static void CompareVersions(const char *what, const char *label, PetscInt there, PetscInt here, char *text,
                            size_t size) {
  if (there != here)
    snprintf(text, size, "; %s %s is of version %d there and of version %d here", what, label, (int)there, (int)here);
}

// The first version or option in which a label of the file differs from the plan's; "" where there is none.
static void NameDifference(const CtpgPlan *plan, CtpgContents old, char *text, size_t size) {
  text[0] = 0;
  for (PetscInt i = 0; i < old->nproblems; i++)
    for (PetscInt p = 0; p < plan->nproblems && !text[0]; p++) {
      const CtpgProblem *mine = plan->problems + p;
      const char *label = old->problem[i];
      if (strcmp(label, mine->label)) continue;
      CompareOptions("problem", label, old->problem_options[i], CtpgOptionsResolved(mine->options), text, size);
      CompareVersions("problem", label, old->problem_version[i], mine->type->version, text, size);
    }
  for (PetscInt i = 0; i < old->nestimators; i++)
    for (PetscInt e = 0; e < plan->nestimators && !text[0]; e++) {
      const CtpgEstimator *mine = &plan->pairs[e].estimator;
      const char *label = old->estimator[i];
      if (strcmp(label, mine->label)) continue;
      CompareOptions("estimator", label, old->estimator_options[i], CtpgOptionsResolved(mine->options), text, size);
      CompareVersions("estimator", label, old->estimator_version[i], mine->type->version, text, size);
    }
}

// A file may be enlarged by a plan that holds all its runs; any other file is refused.
static PetscErrorCode RefuseOtherPlan(const CtpgPlan *plan, CtpgContents old) {
  char difference[512];
  PetscInt missing = 0, first = -1;
  uint64_t *keys;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(plan->nruns, &keys));
  for (PetscInt r = 0; r < plan->nruns; r++) keys[r] = plan->runs[r].run_key;
  qsort(keys, (size_t)plan->nruns, sizeof *keys, CompareKeys);
  for (PetscInt r = 0; r < old->nruns; r++)
    if (!bsearch(&old->runs[r].run_key, keys, (size_t)plan->nruns, sizeof *keys, CompareKeys) && !missing++) first = r;
  PetscCall(PetscFree(keys));
  if (!missing) PetscFunctionReturn(0);
  NameDifference(plan, old, difference, sizeof difference);
  const CtpgRunRow *row = old->runs + first;
  SETERRQ(
      PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "-out %s holds another plan: %d of its %d runs are not in this one, first %s on %s, seed %lld, accuracy %.6g%s; "
      "give another -out, or a plan that includes them",
      plan->out, (int)missing, (int)old->nruns, row->estimator >= 0 ? old->estimator[row->estimator] : "?",
      row->problem >= 0 ? old->problem[row->problem] : "?", (long long)row->seed, row->accuracy, difference);
}

// Same labels in the same places, same runs in the same rows: the file can be written into as it is.
static PetscBool HasLayout(CtpgContents old, const CtpgStorePlan *layout) {
  PetscBool same = old->nproblems == layout->nproblems && old->nestimators == layout->nestimators &&
                           old->ncases == layout->ncases && old->nruns == layout->nruns &&
                           old->save_gradients == layout->save_gradients
                       ? PETSC_TRUE
                       : PETSC_FALSE;
  for (PetscInt p = 0; same && p < old->nproblems; p++)
    if (strcmp(old->problem[p], layout->problems[p].label)) same = PETSC_FALSE;
  for (PetscInt e = 0; same && e < old->nestimators; e++)
    if (strcmp(old->estimator[e], layout->estimators[e].label)) same = PETSC_FALSE;
  for (PetscInt r = 0; same && r < old->nruns; r++)
    if (old->runs[r].run_key != layout->runs[r].run_key) same = PETSC_FALSE;
  return same;
}

// Rank 0: the file at -out for this plan: a new one, the one that is there, or another one with its rows. Gradients that
// a file holds stay in it.
static PetscErrorCode PrepareFile(Sweep *s, CtpgStorePlan *layout) {
  const CtpgPlan *plan = &s->plan;
  CtpgContents old = NULL;
  PetscInt done = 0;

  PetscFunctionBeginUser;
  if (access(plan->out, F_OK)) {
    PetscCall(StoreCreate(plan->out, layout, NULL));
    PetscFunctionReturn(0);
  }
  PetscCall(ContentsRead(plan->out, &old));
  PetscCall(RefuseOtherPlan(plan, old));
  for (PetscInt r = 0; r < old->nruns; r++) done += old->run_done[r] ? 1 : 0;
  if (old->save_gradients) layout->save_gradients = PETSC_TRUE;
  if (HasLayout(old, layout))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: resumed, %d of %d runs done\n", plan->out, (int)done, (int)old->nruns));
  else {
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: laid out anew for %d runs in place of %d, %d of them done\n", plan->out,
                          (int)plan->nruns, (int)old->nruns, (int)done));
    PetscCall(StoreCreate(plan->out, layout, old));
  }
  if (strcmp(old->isa, layout->isa))
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: %s was begun on '%s', this is '%s': bits may differ between them\n",
                          plan->out, old->isa, layout->isa));
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// Starts of all cases, which the skeleton holds.
static PetscErrorCode PrepareWithStarts(Sweep *s, CtpgStorePlan *layout) {
  const PetscInt n = s->plan.ncases;
  CtpgCase *cases;
  const PetscReal **x0, **task, **theta;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc4(n, &cases, n, &x0, n, &task, n, &theta));
  for (PetscInt c = 0; c < n; c++) {
    PetscCall(PlanDrawCase(&s->plan, c, cases + c));
    x0[c] = cases[c].x0;
    task[c] = cases[c].task;
  }
  layout->x0 = x0;
  layout->task = task;
  layout->theta = theta;
  PetscCall(PrepareFile(s, layout));
  for (PetscInt c = 0; c < n; c++) PetscCall(CaseDestroy(cases + c));
  PetscCall(PetscFree4(cases, x0, task, theta));
  PetscFunctionReturn(0);
}

// What is done already, read by rank 0 and told to all; references of finished cases likewise.
static PetscErrorCode ReadProgress(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  CtpgContents old;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(plan->out, &old));
  PetscCall(PetscArraycpy(s->case_done, old->case_done, plan->ncases));
  PetscCall(PetscArraycpy(s->run_done, old->run_done, plan->nruns));
  for (PetscInt c = 0; c < plan->ncases; c++) {
    CtpgReference *g = s->references + c;
    if (!s->case_done[c]) continue;
    s->owner[c] = 0;
    g->loss = old->cases[c].loss;
    g->status = (CtpgStatus)old->cases[c].status;
    if (g->status == CTPG_OK) PetscCall(ContentsReadGradient(old, c, g->gx0, g->gtheta));
  }
  PetscCall(ContentsDestroy(&old));
  PetscFunctionReturn(0);
}

// Rank 0 works alone here; its error becomes everybody's, so that nobody waits in a collective call.
static PetscErrorCode AgreeOnSuccess(Sweep *s, PetscErrorCode error) {
  int failed = error ? 1 : 0;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Bcast(&failed, 1, MPI_INT, 0, s->comm));
  if (failed) CtpgErrorWasTold();
  if (failed) PetscFunctionReturn(PETSC_ERR_USER_INPUT);
  PetscFunctionReturn(0);
}

static PetscErrorCode OpenFile(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  CtpgLabelInfo *problems, *estimators;
  CtpgSession session;
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(plan->nproblems, &problems, plan->nestimators, &estimators));
  PetscCall(SessionDescribe(s->comm, &session));
  PetscCall(DescribeLabels(s, problems, estimators));
  CtpgStorePlan layout = {.kind = "sweep",
                          .plan_hash = plan->hash,
                          .plan_options = CtpgOptionsResolved(plan->options),
                          .isa = session.isa,
                          .nproblems = plan->nproblems,
                          .nestimators = plan->nestimators,
                          .ncases = plan->ncases,
                          .nruns = plan->nruns,
                          .problems = problems,
                          .estimators = estimators,
                          .cases = plan->cases,
                          .runs = plan->runs,
                          .save_gradients = plan->save_gradients};
  if (!s->rank) error = PrepareWithStarts(s, &layout);
  PetscCall(AgreeOnSuccess(s, error));
  if (!s->rank) error = ReadProgress(s);
  PetscCall(AgreeOnSuccess(s, error));
  PetscCallMPI(MPI_Bcast(s->run_done, plan->nruns, MPIU_BOOL, 0, s->comm));
  PetscCallMPI(MPI_Bcast(s->case_done, plan->ncases, MPIU_BOOL, 0, s->comm));
  PetscCall(StoreOpen(s->comm, plan->out, &layout, &session, &s->store));
  PetscCall(SessionDestroy(&session));
  PetscCall(PetscFree2(problems, estimators));
  PetscFunctionReturn(0);
}

// ---- references ----

static void FillCaseRow(Sweep *s, PetscInt c, const CtpgReference *g, double wall, CtpgCaseRow *row) {
  const CtpgProblem *problem = s->plan.problems + row->problem;
  *row = s->plan.cases[c];
  row->status = g->status;
  (void)PetscStrncpy(row->reason, g->reason, sizeof row->reason);
  row->nfe = CtpgNFE(&g->counts, problem->dims.nu);
  row->wall = wall;
  row->session = StoreGetSession(s->store);
  row->rank = s->rank;
  row->flags = (problem->type->eval_vjp ? 0 : CTPG_FLAG_DIFFERENCES) |
               (problem->type->flags & CTPG_IS_DIFFERENCED ? CTPG_FLAG_DIFFERENCES : 0) |
               (g->closed_form ? CTPG_FLAG_CLOSED_FORM : 0) |
               (problem->type->flags & CTPG_IS_NONSMOOTH ? CTPG_FLAG_NONSMOOTH : 0);
  if (g->status != CTPG_OK) return;
  row->loss = g->loss;
  row->grad_norm = CtpgNorm(PolicyGetSize(problem->policy), g->gtheta);
  row->grad_x0_norm = CtpgNorm(problem->dims.nx, g->gx0);
  row->ref_err = g->ref_err;
  row->ref_err_x0 = g->ref_err_x0;
  row->ref_err_loss = g->ref_err_loss;
  row->cond = g->cond;
  if (!(g->ref_err <= 1e-10)) row->flags |= CTPG_FLAG_INACCURATE;
}

static PetscErrorCode WorkOnReference(void *context, PetscInt c, PetscBool *failed) {
  Sweep *s = context;
  const PetscInt p = s->plan.cases[c].problem;
  const CtpgLimits limits = Limits(s);
  CtpgReference *g = s->references + c;
  CtpgCaseRow row = s->plan.cases[c];
  CtpgCase drawn;

  PetscFunctionBeginUser;
  if (!s->solvers[p]) PetscCall(ReferenceCreate(s->plan.problems + p, &s->solvers[p]));
  PetscCall(PlanDrawCase(&s->plan, c, &drawn));
  const double start = CtpgSeconds();
  PetscCall(ReferenceSolve(s->solvers[p], &drawn, &limits, g));
  const double wall = CtpgSeconds() - start;
  PetscCall(CaseDestroy(&drawn));
  if (g->status == CTPG_INTERRUPTED) PetscFunctionReturn(0); // stays pending
  *failed = g->status != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  s->owner[c] = s->rank;
  FillCaseRow(s, c, g, wall, &row);
  PetscCall(
      StorePutCase(s->store, c, &row, g->status == CTPG_OK ? g->gx0 : NULL, g->status == CTPG_OK ? g->gtheta : NULL));
  PetscFunctionReturn(0);
}

// Every reference from its owner to all ranks.
static PetscErrorCode ShareReferences(Sweep *s) {
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Allreduce(MPI_IN_PLACE, s->owner, s->plan.ncases, MPIU_INT, MPI_MAX, s->comm));
  for (PetscInt c = 0; c < s->plan.ncases; c++) {
    CtpgReference *g = s->references + c;
    const CtpgProblem *problem = s->plan.problems + s->plan.cases[c].problem;
    int status = g->status;
    if (s->owner[c] < 0) continue;
    PetscCallMPI(MPI_Bcast(&status, 1, MPI_INT, s->owner[c], s->comm));
    PetscCallMPI(MPI_Bcast(&g->loss, 1, MPIU_REAL, s->owner[c], s->comm));
    PetscCallMPI(MPI_Bcast(g->gx0, problem->dims.nx, MPIU_REAL, s->owner[c], s->comm));
    PetscCallMPI(MPI_Bcast(g->gtheta, PolicyGetSize(problem->policy), MPIU_REAL, s->owner[c], s->comm));
    g->status = (CtpgStatus)status;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ComputeReferences(Sweep *s) {
  const CtpgWork work = {.context = s, .work = WorkOnReference};
  PetscInt *order, n = 0;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(s->plan.ncases, &order));
  for (PetscInt c = s->plan.ncases - 1; c >= 0; c--)
    if (!s->case_done[c]) order[n++] = c;
  PetscCall(SchedulerCreate(s->comm, "references", &CtpgStopRequested, &s->scheduler));
  PetscCall(SchedulerRun(s->scheduler, n, order, &work));
  PetscCall(SchedulerDestroy(&s->scheduler));
  PetscCall(PetscFree(order));
  PetscCall(ShareReferences(s));
  PetscFunctionReturn(0);
}

// ---- runs ----

// Sixteen projections of g on vectors of random signs: bit k of word j of one Philox stream is the sign of entry j in
// projection k. The mean square of a projection is ||g||^2, so differences of gradients can be estimated later.
static void Sketch(PetscInt np, const PetscReal *g, PetscReal *sketch) {
  CtpgStream stream = CtpgStreamOpen(0, "sketch", CTPG_STREAM_SKETCH, 0, 0);
  for (int k = 0; k < CTPG_SKETCH_SIZE; k++) sketch[k] = 0;
  for (PetscInt j = 0; j < np; j++) {
    const uint64_t bits = CtpgStreamWord(&stream);
    for (int k = 0; k < CTPG_SKETCH_SIZE; k++) sketch[k] += bits >> k & 1 ? g[j] : -g[j];
  }
}

static void FillRunRow(Sweep *s, const CtpgOutcome *o, const CtpgErrors *e, CtpgRunRow *row) {
  row->status = o->status;
  (void)PetscStrncpy(row->reason, o->reason, sizeof row->reason);
  row->h = o->h;
  row->backsolve_error = o->backsolve_error;
  row->steps = o->steps;
  row->rejected = o->rejected;
  row->steps_adjoint = o->steps_adjoint;
  row->rejected_adjoint = o->rejected_adjoint;
  row->bytes = o->bytes;
  row->nfe = o->nfe;
#define COPY_COUNT(kind) row->kind = o->totals.kind;
  CTPG_COUNTS(COPY_COUNT)
#undef COPY_COUNT
#define COPY_PURPOSE(name, word)                                                                                       \
  row->nf_##word = o->counts[name].nf;                                                                                 \
  row->nvjp_##word = o->counts[name].nvjp;
  CTPG_PURPOSES(COPY_PURPOSE)
#undef COPY_PURPOSE
  row->wall = o->wall_median;
  row->wall_0 = o->wall[0];
  row->wall_1 = o->wall[1];
  row->wall_2 = o->wall[2];
  row->timing = s->size > 1;
  row->session = StoreGetSession(s->store);
  row->rank = s->rank;
  (void)PetscStrncpy(row->host, s->host, sizeof row->host);
  if (o->status != CTPG_OK) return;
  row->loss = o->loss;
  row->error_bar = o->error_bar;
  row->grad_norm = e->norm;
  row->err_rel = e->err_rel;
  row->err_abs = e->err_abs;
  row->err_x0 = e->err_x0;
  row->err_joint = e->err_joint;
  row->cosine = e->cosine;
}

static PetscErrorCode WorkOnRun(void *context, PetscInt r, PetscBool *failed) {
  Sweep *s = context;
  CtpgPair *pair = PlanGetPair(&s->plan, r);
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  CtpgRunRow row = s->plan.runs[r];
  PetscReal sketch[CTPG_SKETCH_SIZE];
  CtpgOutcome o;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(PlanDrawCase(&s->plan, row.case_index, &c));
  PetscCall(PairRun(pair, &c, (uint64_t)s->plan.experiment, row.accuracy, Limits(s), s->plan.timing_threshold, &o));
  PetscCall(CaseDestroy(&c));
  if (o.status == CTPG_INTERRUPTED) PetscFunctionReturn(0); // stays pending
  *failed = o.status != CTPG_OK ? PETSC_TRUE : PETSC_FALSE;
  const CtpgErrors e = GradientErrors(nx, np, pair->gx0, pair->gtheta, s->references + row.case_index);
  FillRunRow(s, &o, &e, &row);
  Sketch(np, pair->gtheta, sketch);
  PetscCall(StorePutRun(s->store, r, &row, *failed ? NULL : sketch, *failed ? NULL : pair->gtheta));
  PetscFunctionReturn(0);
}

typedef struct {
  double cost;
  PetscInt item;
} CostedItem;

static int CostlyFirst(const void *a, const void *b) {
  const CostedItem *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  return x->item - y->item;
}

static PetscErrorCode ComputeRuns(Sweep *s) {
  const CtpgWork work = {.context = s, .work = WorkOnRun};
  CostedItem *costed;
  PetscInt *order, n = 0;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc2(s->plan.nruns, &costed, s->plan.nruns, &order));
  for (PetscInt r = 0; r < s->plan.nruns; r++) {
    const PetscInt np = PolicyGetSize(PlanGetPair(&s->plan, r)->problem->policy);
    if (s->owner[s->plan.runs[r].case_index] < 0 || s->run_done[r]) continue;
    costed[n++] = (CostedItem){.cost = PlanPredictNFE(&s->plan, r) * (1000 + np), .item = r};
  }
  qsort(costed, (size_t)n, sizeof *costed, CostlyFirst);
  for (PetscInt i = 0; i < n; i++) order[i] = costed[i].item;
  PetscCall(SchedulerCreate(s->comm, "runs", &CtpgStopRequested, &s->scheduler));
  PetscCall(SchedulerRun(s->scheduler, n, order, &work));
  PetscCall(SchedulerDestroy(&s->scheduler));
  PetscCall(PetscFree2(costed, order));
  PetscFunctionReturn(0);
}

// ---- the whole ----

static PetscErrorCode CreateSweep(Sweep *s) {
  const CtpgPlan *plan = &s->plan;
  int length;

  PetscFunctionBeginUser;
  s->comm = PETSC_COMM_WORLD;
  PetscCallMPI(MPI_Comm_rank(s->comm, &s->rank));
  PetscCallMPI(MPI_Comm_size(s->comm, &s->size));
  PetscCallMPI(MPI_Get_processor_name(s->host, &length));
  PetscCall(PetscCalloc5(plan->ncases, &s->case_done, plan->nruns, &s->run_done, plan->ncases, &s->owner, plan->ncases,
                         &s->references, plan->nproblems, &s->solvers));
  for (PetscInt c = 0; c < plan->ncases; c++) {
    const CtpgProblem *problem = plan->problems + plan->cases[c].problem;
    s->owner[c] = -1;
    s->references[c].status = CTPG_SKIPPED;
    PetscCall(PetscCalloc2(problem->dims.nx, &s->references[c].gx0, PolicyGetSize(problem->policy),
                           &s->references[c].gtheta));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroySweep(Sweep *s) {
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < s->plan.ncases; c++) PetscCall(PetscFree2(s->references[c].gx0, s->references[c].gtheta));
  for (PetscInt p = 0; p < s->plan.nproblems; p++) PetscCall(ReferenceDestroy(&s->solvers[p]));
  PetscCall(PetscFree5(s->case_done, s->run_done, s->owner, s->references, s->solvers));
  PetscCall(PlanDestroy(&s->plan));
  PetscFunctionReturn(0);
}

// Rank 0: what the file holds now, and its digest.
static PetscErrorCode Conclude(Sweep *s, int *exit_code) {
  CtpgContents contents;
  char digest[65];
  PetscInt environment, done = 0, failed = 0;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(s->plan.out, &contents));
  PetscCall(ContentsDigest(contents, digest, &environment));
  for (PetscInt r = 0; r < contents->nruns; r++) {
    done += contents->run_done[r] ? 1 : 0;
    failed += contents->run_done[r] && contents->runs[r].status != CTPG_OK ? 1 : 0;
  }
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, %d of them not ok (each a row with its reason)\n",
                        s->plan.out, (int)done, (int)contents->nruns, (int)failed));
  if (done < contents->nruns) {
    *exit_code = CTPG_EXIT_INCOMPLETE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "incomplete: the same command goes on from here\n"));
  } else
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", digest));
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandSweep(const char *word, int *exit_code) {
  Sweep s = {.plan = {0}};
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(PlanCreate(&s.plan));
  PetscCall(CreateSweep(&s));
  PetscCall(OpenFile(&s));
  PetscCall(ComputeReferences(&s));
  PetscCall(ComputeRuns(&s));
  PetscCall(StoreClose(&s.store));
  if (!s.rank) error = Conclude(&s, exit_code);
  PetscCall(AgreeOnSuccess(&s, error));
  PetscCallMPI(MPI_Bcast(exit_code, 1, MPI_INT, 0, s.comm));
  PetscCall(DestroySweep(&s));
  PetscFunctionReturn(0);
}
