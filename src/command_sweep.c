// command_sweep.c -- `ctpgbench sweep`: the plan over MPI ranks into one file; the same command again resumes
//
//   plan -> file (new, resumed or enlarged: sweep_file.c) -> reference gradients -> runs -> digest
// References and runs are dealt to ranks by the scheduler; a reference travels by message to all ranks before the runs
// begin, for MPI-IO gives no read-after-write across ranks.

#include "program.h"
#include "sweep.h"
#include "watchdog.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Called by the closed loop about every 256th evaluation.
static void Tick(void *sweep) {
  Sweep *s = sweep;
  WatchdogBeat();
  if (s->plan.time_limit > 0 && CtpgSeconds() - s->start > s->plan.time_limit) CtpgStopRequested = 1;
  SchedulerPoll(s->scheduler);
}

static CtpgLimits Limits(Sweep *s) {
  return (CtpgLimits){.stop = &CtpgStopRequested, .tick = Tick, .tick_context = s};
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
  WatchdogEnter("reference of %s, seed %lld", s->plan.problems[p].label, (long long)row.seed);
  PetscCall(ReferenceSolve(s->solvers[p], &drawn, &limits, g));
  WatchdogLeave();
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
  PetscCall(SchedulerRun(s->scheduler, n, order, NULL, &work));
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
  WatchdogEnter("%s on %s, seed %lld, accuracy %g", pair->estimator.label, pair->problem->label, (long long)row.seed,
                row.accuracy);
  PetscCall(PairRun(pair, &c, (uint64_t)s->plan.experiment, row.accuracy, Limits(s), s->plan.timing_threshold, &o));
  WatchdogLeave();
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
  double *cost;

  PetscFunctionBeginUser;
  PetscCall(PetscMalloc3(s->plan.nruns, &costed, s->plan.nruns, &order, s->plan.nruns, &cost));
  for (PetscInt r = 0; r < s->plan.nruns; r++) {
    if (s->owner[s->plan.runs[r].case_index] < 0 || s->run_done[r]) continue;
    costed[n++] = (CostedItem){.cost = PlanPredictSeconds(&s->plan, r), .item = r};
  }
  qsort(costed, (size_t)n, sizeof *costed, CostlyFirst);
  for (PetscInt i = 0; i < n; i++) {
    order[i] = costed[i].item;
    cost[i] = costed[i].cost;
  }
  PetscCall(SchedulerCreate(s->comm, "runs", &CtpgStopRequested, &s->scheduler));
  PetscCall(SchedulerRun(s->scheduler, n, order, cost, &work));
  PetscCall(SchedulerDestroy(&s->scheduler));
  PetscCall(PetscFree3(costed, order, cost));
  PetscFunctionReturn(0);
}

// ---- the whole ----

// More ranks than cores on this host: the clock then measures the crowd, too.
static PetscErrorCode NoteCrowd(const Sweep *s) {
  MPI_Comm host;
  int ranks;
  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  PetscCallMPI(MPI_Comm_size(host, &ranks));
  PetscCallMPI(MPI_Comm_free(&host));
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (ranks > cores)
    PetscCall(PetscPrintf(s->comm, "note: %d ranks on %ld cores: wallclocks of this session are those of a crowd\n",
                          ranks, cores));
  PetscFunctionReturn(0);
}

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
  PetscInt environment, done = 0, failed = 0, without = 0;

  PetscFunctionBeginUser;
  PetscCall(ContentsRead(s->plan.out, &contents));
  PetscCall(ContentsDigest(contents, digest, &environment));
  for (PetscInt r = 0; r < contents->nruns; r++) {
    done += contents->run_done[r] ? 1 : 0;
    failed += contents->run_done[r] && contents->runs[r].status != CTPG_OK ? 1 : 0;
  }
  for (PetscInt c = 0; c < contents->ncases; c++)
    without += contents->case_done[c] && contents->cases[c].status != CTPG_OK ? 1 : 0;
  PetscCall(PetscPrintf(PETSC_COMM_SELF, "%s: %d of %d runs done, %d of them not ok (each a row with its reason)\n",
                        s->plan.out, (int)done, (int)contents->nruns, (int)failed));
  if (without)
    PetscCall(PetscPrintf(PETSC_COMM_SELF,
                          "%d of %d cases have no reference gradient (status tells why): no errors there\n",
                          (int)without, (int)contents->ncases));
  if (done < contents->nruns) {
    *exit_code = CTPG_EXIT_INCOMPLETE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "incomplete: the same command goes on from here\n"));
  } else
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "digest: %s\n", digest));
  PetscCall(ContentsDestroy(&contents));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandSweep(const char *word, int *exit_code) {
  Sweep s = {.start = CtpgSeconds()};
  PetscErrorCode error = 0;

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(PlanCreate(&s.plan));
  PetscCall(CreateSweep(&s));
  PetscCall(NoteCrowd(&s));
  PetscCall(SweepOpenFile(&s));
  const double left = s.plan.time_limit - (CtpgSeconds() - s.start);
  WatchdogStart(s.rank, &CtpgStopRequested, s.plan.time_limit > 0 ? PetscMax(left, 0.001) : 0, s.plan.stop_grace);
  PetscCall(ComputeReferences(&s));
  PetscCall(ComputeRuns(&s));
  WatchdogStop();
  PetscCall(StoreClose(&s.store));
  if (!s.rank) error = Conclude(&s, exit_code);
  PetscCall(SweepAgreeOnSuccess(&s, error));
  PetscCallMPI(MPI_Bcast(exit_code, 1, MPI_INT, 0, s.comm));
  PetscCall(DestroySweep(&s));
  PetscFunctionReturn(0);
}
