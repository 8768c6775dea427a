// create.c -- workspace of a trainer, see trainer_private.h

#include "train/trainer_private.h"
#include <stdlib.h>

PetscErrorCode TrainerCreate(CtpgPair *pair, const TrainSettings *settings, const TrainAccuracy *accuracy,
                             Trainer *trainer) {
  Trainer t;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&t));
  *trainer = t;
  t->pair = pair;
  t->settings = settings;
  t->accuracy = *accuracy;
  if (settings->optimizer.kind == CTPG_STEP_SEARCH) PetscCall(TrainerReadSearchMethod(t));
  PetscFunctionReturn(0);
}

// The largest of three gatherings: the batch, the tests with their paths, the candidates of a search.
static size_t SampleBytes(Trainer t) {
  const TrainSettings *s = t->settings;
  size_t bytes = (size_t)s->batch * TrainerGradientBytes(t);
  bytes = PetscMax(bytes, (size_t)s->test_starts * TrainerPathBytes(t));
  return PetscMax(bytes, (size_t)s->batch * (size_t)(s->optimizer.nsteps + 1) * sizeof(TrainSample));
}

// Samples go side by side where the estimator takes them so; not under a limit of time, which is each sample's own.
static PetscErrorCode CreateLoops(Trainer t) {
  const CtpgEstimator *e = &t->pair->estimator;
  const PetscInt most = e->run_time_limit > 0 || t->nmemory || !e->type->gradients ? 0 : e->traits.at_once;
  PetscFunctionBeginUser;
  t->at_once = PetscMin(PetscMin(most, CTPG_MOST_AT_ONCE), t->settings->batch);
  for (PetscInt i = 0; i < t->at_once; i++) PetscCall(ProblemCreateLoop(t->pair->problem, &t->loops[i]));
  PetscCall(PetscMalloc3(t->at_once * t->nx, &t->many_x0, t->at_once * t->ntask, &t->many_task, t->at_once * t->nx,
                         &t->many_gx0));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerSetUp(Trainer t) {
  const TrainSettings *s = t->settings;
  const CtpgProblem *problem = t->pair->problem;
  int size;

  PetscFunctionBeginUser;
  t->nx = problem->dims.nx;
  t->nu = problem->dims.nu;
  t->ntask = problem->dims.ntask;
  t->np = PolicyGetSize(problem->policy);
  t->noptimizer = OptimizerStateSize(&s->optimizer, t->np) + TrainerContractSize(t);
  PetscCall(TrainerMeasureMemory(t));
  PetscCall(ProblemCreateLoop(problem, &t->loss_loop));
  PetscCall(ExactCreate(t->loss_loop, s->test_step_limit, &t->exact));
  if (s->optimizer.kind == CTPG_STEP_SEARCH)
    PetscCall(CtpgForwardCreate(t->loss_loop, &t->search_rk, NULL, CTPG_KEEP_NOTHING, &t->search_forward));
  PetscCall(PetscMalloc6(t->np, &t->theta, t->np, &t->gradient, t->np, &t->candidate, t->noptimizer, &t->optimizer,
                         t->nx, &t->x0, t->ntask, &t->task));
  PetscCallMPI(MPI_Comm_size(PETSC_COMM_WORLD, &size));
  PetscCall(PetscMalloc5(t->nmemory, &t->memory, SampleBytes(t), &t->samples, TRAIN_BUFFER, &t->buffer, size,
                         &t->counts, size, &t->displacements));
  PetscCall(CreateLoops(t));
  const size_t points = (size_t)(s->test_starts * s->path_points);
  PetscCall(PetscMalloc2(points * (size_t)t->nx, &t->paths, points * (size_t)t->nu, &t->controls));
  const size_t at_once = (size_t)TRAIN_BUFFER * (size_t)s->batch * (size_t)TrainerLargestQuota(t);
  PetscCall(PetscMalloc1(PetscMin(at_once, (size_t)s->visited) * (size_t)t->nx, &t->visited));
  PetscFunctionReturn(0);
}

PetscErrorCode TrainerDestroy(Trainer *trainer) {
  Trainer t = *trainer;
  PetscFunctionBeginUser;
  if (!t) PetscFunctionReturn(0);
  PetscCall(ExactDestroy(&t->exact));
  PetscCall(CtpgForwardDestroy(&t->search_forward));
  PetscCall(CtpgClosedLoopDestroy(&t->loss_loop));
  PetscCall(PetscFree6(t->theta, t->gradient, t->candidate, t->optimizer, t->x0, t->task));
  PetscCall(PetscFree5(t->memory, t->samples, t->buffer, t->counts, t->displacements));
  PetscCall(PetscFree2(t->paths, t->controls));
  PetscCall(PetscFree(t->visited));
  for (PetscInt i = 0; i < CTPG_MOST_AT_ONCE; i++) free(t->seen[i].states);
  for (PetscInt i = 0; i < t->at_once; i++) PetscCall(CtpgClosedLoopDestroy(&t->loops[i]));
  PetscCall(PetscFree3(t->many_x0, t->many_task, t->many_gx0));
  PetscCall(PetscFree(*trainer));
  PetscFunctionReturn(0);
}

void TrainerGetShape(Trainer t, TrainShape *shape) {
  const TrainSettings *s = t->settings;
  *shape = (TrainShape){.np = t->np,
                        .nx = t->nx,
                        .nu = t->nu,
                        .T = t->pair->problem->dims.T,
                        .path_starts = s->path_points ? s->test_starts : 0,
                        .path_points = s->path_points,
                        .naudits = s->naudits,
                        .audits = s->audits,
                        .iterations = s->iterations,
                        .nsnapshots = s->nsnapshots,
                        .ntests = s->ntests,
                        .visited = s->visited,
                        .noptimizer = t->noptimizer,
                        .nmemory = t->nmemory,
                        .contract = TrainerContractSize(t) ? PETSC_TRUE : PETSC_FALSE,
                        .snapshots = s->snapshots,
                        .tests = s->tests};
}
