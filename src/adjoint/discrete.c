// discrete.c -- the discrete adjoint: a reverse sweep over the steps of a Runge-Kutta solve (discrete.h)
//
// A forward solve (forward.h) leaves a record of its steps. Three ways lead back over it. With storage stages each row
// holds the stages of its step, and the sweep (reverse.h) reads them. With storage states each row holds the state
// alone, and the stages of a step are made again (repeat.h) just before it is reversed. With storage checkpoints only K
// rows are kept: from the latest one the steps are made again, new checkpoints being put where the schedule
// (checkpoints.h) wants them, until the step before `end` is at hand and can be reversed. All three give the same bits.
// With error_norm adjoint a coarse pilot solve and its sweep come first, and leave |alpha| over time, by which the
// forward solve weighs its errors.

#include "ctpgbench/toolkit/discrete.h"
#include <math.h>

#define AT_ONCE 4 // starts side by side: the kernels take points by fours, and records of more do not fit into a cache

PetscErrorCode CtpgDiscreteAdjointReadOptions(CtpgOptions options, CtpgDiscreteAdjoint *d, CtpgTraits *traits) {
  static const char *const storages[] = {"stages", "states", "checkpoints", NULL};
  static const char *const words[] = {"N s nx", "N nx", "min(N, K) nx + s nx"};
  static const char *const norms[] = {"plain", "adjoint", NULL};
  PetscInt storage = CTPG_STORE_STAGES, norm = 0;

  PetscFunctionBeginUser;
  d->checkpoints = 16;
  d->pilot.rtol = 1e-2;
  PetscCall(CtpgOptionsChoice(options, "storage", "stages, states or checkpoints", storages, &storage));
  PetscCall(CtpgOptionsInt(options, "checkpoints", "states that storage checkpoints may keep", 1, 100000000,
                           &d->checkpoints));
  PetscCall(
      CtpgOptionsChoice(options, "error_norm", "plain, or adjoint: weighted with |alpha| of a pilot", norms, &norm));
  PetscCall(
      CtpgOptionsReal(options, "pilot_rtol", "tolerance of the pilot of error_norm adjoint", 1e-14, 1, &d->pilot.rtol));
  d->storage = (CtpgStorage)storage;
  traits->storage = words[storage];
  d->weighted = norm == 1 && !d->rk.fixed ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgDiscreteAdjointReadKeep(CtpgOptions options, CtpgDiscreteAdjoint *d, CtpgTraits *traits) {
  const PetscBool stages = d->storage == CTPG_STORE_STAGES ? PETSC_TRUE : PETSC_FALSE;

  PetscFunctionBeginUser;
  d->keep_outputs = stages;
  PetscCall(CtpgOptionsBool(options, "keep_outputs",
                            "keep the outputs of the policy's layers at each stage for the products there",
                            &d->keep_outputs));
  PetscCheck(stages || !d->keep_outputs, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s: keep_outputs needs storage stages, which keeps the stages that they belong to",
             CtpgOptionsLabel(options));
  if (d->keep_outputs) traits->storage = d->rk.table.s > 1 ? "N s (nx + nz)" : "N (nx + nz)";
  PetscFunctionReturn(0);
}

// ---- the pilot ----

#define SMALLEST_WEIGHT 1e-2

// |alpha(t)|, linear between the pilot's steps.
static const PetscReal *PilotWeights(void *context, PetscReal t) {
  CtpgPilot *p = context;
  PetscInt n = p->cursor;
  while (n > 0 && CtpgRowsAt(&p->rows, n)[0] < t) n--;
  while (n + 2 < p->rows.count && CtpgRowsAt(&p->rows, n + 1)[0] >= t) n++;
  const PetscReal *late = CtpgRowsAt(&p->rows, n), *early = CtpgRowsAt(&p->rows, PetscMin(n + 1, p->rows.count - 1));
  const PetscReal s = late[0] > early[0] ? PetscMin(1, PetscMax(0, (late[0] - t) / (late[0] - early[0]))) : 0;
  p->cursor = n;
  for (PetscInt k = 0; k < p->nx; k++)
    p->weights[k] = PetscMax((1 - s) * late[1 + k] + s * early[1 + k], SMALLEST_WEIGHT);
  return p->weights;
}

static PetscErrorCode PilotCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, int keep, PetscInt nx, CtpgPilot *p) {
  PetscFunctionBeginUser;
  p->nx = nx;
  CtpgRowsInit(&p->rows, &p->arena, 1 + nx);
  PetscCall(PetscMalloc1(nx, &p->weights));
  PetscCall(CtpgForwardCreate(loop, rk, NULL, keep, &p->forward));
  CtpgForwardSetPurpose(p->forward, CTPG_STARTUP);
  PetscFunctionReturn(0);
}

static PetscErrorCode KeepPilotRow(CtpgClosedLoop loop, CtpgPilot *p, PetscReal t, const PetscReal *alpha) {
  PetscReal *row = CtpgRowsPush(&p->rows);
  PetscFunctionBeginUser;
  if (!row) {
    CtpgClosedLoopFail(loop, CTPG_STEP_LIMIT, "no memory for the pilot of error_norm adjoint");
    PetscFunctionReturn(0);
  }
  row[0] = t;
  for (PetscInt k = 0; k < p->nx; k++) row[1 + k] = fabs(alpha[k]);
  PetscFunctionReturn(0);
}

static void ScalePilot(CtpgPilot *p) {
  PetscReal sum = 0;
  for (PetscInt n = 0; n < p->rows.count; n++)
    for (PetscInt k = 0; k < p->nx; k++) sum += PetscSqr(CtpgRowsAt(&p->rows, n)[1 + k]);
  const PetscReal size = sqrt(sum / (PetscReal)(p->rows.count * p->nx));
  for (PetscInt n = 0; n < p->rows.count; n++)
    for (PetscInt k = 0; k < p->nx; k++) CtpgRowsAt(&p->rows, n)[1 + k] /= size > 0 ? size : 1;
}

// Leaves |alpha| for the forward solve of this start. alpha: workspace [nx].
static PetscErrorCode PilotRun(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, const PetscReal *x0, PetscReal *alpha) {
  CtpgPilot *p = &d->pilot;
  PetscReal loss, terminal;
  CtpgResult unused = {.loss = &loss};
  CtpgLoopSizes sizes;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  CtpgRowsTruncate(&p->rows, 0);
  CtpgArenaReset(&p->arena);
  p->cursor = 0;
  PetscCall(CtpgForwardRun(p->forward, x0, p->rtol, &unused));
  CtpgClosedLoopSetPurpose(loop, CTPG_STARTUP);
  CtpgClosedLoopTerminal(loop, CtpgForwardGetEnd(p->forward), &terminal, alpha);
  PetscCall(KeepPilotRow(loop, p, sizes.T, alpha));
  for (PetscInt n = CtpgForwardGetSteps(p->forward) - 1; n >= 0; n--) {
    const CtpgStep step = CtpgForwardGetStep(p->forward, n);
    if (CtpgReverseStep(d->sweep, &step, alpha, NULL) != CTPG_OK) PetscFunctionReturn(0);
    PetscCall(KeepPilotRow(loop, p, step.t, alpha));
  }
  ScalePilot(p);
  PetscFunctionReturn(0);
}

// ---- life cycle ----

// What the forward solve keeps where the sweep reads all stages.
static int KeepsStages(const CtpgDiscreteAdjoint *d) {
  return CTPG_KEEP_STATES | CTPG_KEEP_STAGES | (d->keep_outputs ? CTPG_KEEP_OUTPUTS : 0);
}

PetscErrorCode CtpgDiscreteAdjointSetUp(void *est, CtpgClosedLoop loop) {
  CtpgDiscreteAdjoint *d = est;
  const int stages = KeepsStages(d), keep = d->storage == CTPG_STORE_STATES ? CTPG_KEEP_STATES : stages;
  CtpgLoopSizes sizes;
  CtpgRKOptions rk = d->rk;

  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  d->nx = sizes.nx;
  if (d->weighted) {
    PetscCall(PilotCreate(loop, &d->rk, stages, d->nx, &d->pilot));
    rk.weights = PilotWeights;
    rk.weights_context = &d->pilot;
  }
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, keep, &d->forward));
  if (d->storage == CTPG_STORE_CHECKPOINTS) PetscCall(CtpgForwardUseCheckpoints(d->forward, d->checkpoints));
  PetscCall(CtpgReverseCreate(loop, &d->rk.table, &d->sweep));
  if (d->storage != CTPG_STORE_STAGES) PetscCall(CtpgRepeaterCreate(loop, &d->rk, &d->repeater));
  PetscCall(PetscMalloc2(d->nx, &d->x, d->rk.table.nkept * d->nx, &d->stages));
  PetscFunctionReturn(0);
}

void CtpgDiscreteAdjointDestroy(void **est) {
  CtpgDiscreteAdjoint *d = *est;
  if (!d) return;
  PetscCallVoid(CtpgForwardDestroy(&d->pilot.forward));
  CtpgRowsFree(&d->pilot.rows);
  PetscCallVoid(PetscFree(d->pilot.weights));
  PetscCallVoid(CtpgForwardDestroy(&d->forward));
  PetscCallVoid(CtpgReverseDestroy(&d->sweep));
  PetscCallVoid(CtpgRepeaterDestroy(&d->repeater));
  for (PetscInt i = 0; i < d->nlanes; i++) {
    PetscCallVoid(CtpgForwardDestroy(&d->lane[i].forward));
    PetscCallVoid(CtpgReverseDestroy(&d->lane[i].sweep));
  }
  PetscCallVoid(PetscFree2(d->x, d->stages));
  PetscCallVoid(PetscFree(*est));
}

// ---- the sweep ----

// With the step's stages made again.
static PetscErrorCode ReverseRepeated(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, CtpgStep step, PetscReal *alpha,
                                      PetscReal *gtheta) {
  PetscFunctionBeginUser;
  PetscCall(CtpgRepeatStages(d->repeater, &step, d->stages));
  step.stages = d->stages;
  CtpgClosedLoopSetPurpose(loop, CTPG_ADJOINT);
  if (CtpgClosedLoopGetStatus(loop) == CTPG_OK) CtpgReverseStep(d->sweep, &step, alpha, gtheta);
  PetscFunctionReturn(0);
}

static PetscErrorCode ReverseStates(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, PetscReal *alpha, PetscReal *gtheta) {
  PetscFunctionBeginUser;
  for (PetscInt n = CtpgForwardGetSteps(d->forward) - 1; n >= 0 && CtpgClosedLoopGetStatus(loop) == CTPG_OK; n--)
    PetscCall(ReverseRepeated(d, loop, CtpgForwardGetStep(d->forward, n), alpha, gtheta));
  PetscFunctionReturn(0);
}

// From the latest checkpoint m steps on, into d->x; *t: where the last of them ended.
static PetscErrorCode Advance(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, PetscInt m, PetscReal *t) {
  const CtpgCheckpoint from = CtpgCheckpointsTop(CtpgForwardGetCheckpoints(d->forward));
  PetscFunctionBeginUser;
  *t = from.t;
  PetscCall(PetscArraycpy(d->x, from.x, d->nx));
  for (PetscInt n = from.n; n < from.n + m && CtpgClosedLoopGetStatus(loop) == CTPG_OK; n++) {
    CtpgStep step = CtpgForwardGetMesh(d->forward, n, *t);
    step.x = d->x;
    PetscCall(CtpgRepeatStep(d->repeater, &step, d->x));
    *t = step.t + step.h;
  }
  PetscFunctionReturn(0);
}

// The last step's stages are at hand; then, from the latest checkpoint to the earliest, either another checkpoint is
// put between it and `end`, or the step before `end` is reversed.
static PetscErrorCode ReverseCheckpoints(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, PetscReal *alpha,
                                         PetscReal *gtheta) {
  CtpgCheckpoints *checkpoints = CtpgForwardGetCheckpoints(d->forward);
  const CtpgStep last = CtpgForwardGetStep(d->forward, 0);
  PetscInt end = CtpgForwardGetSteps(d->forward) - 1;
  PetscReal t;

  PetscFunctionBeginUser;
  CtpgClosedLoopSetPurpose(loop, CTPG_ADJOINT);
  CtpgReverseStep(d->sweep, &last, alpha, gtheta);
  while (end > 0 && CtpgClosedLoopGetStatus(loop) == CTPG_OK) {
    const PetscInt n = CtpgCheckpointsTop(checkpoints).n;
    PetscBool store;
    if (n == end) {
      CtpgCheckpointsPop(checkpoints);
      continue;
    }
    const PetscInt m = CtpgCheckpointsAdvance(checkpoints, end, &store);
    PetscCall(Advance(d, loop, m, &t));
    if (store) {
      if (!CtpgCheckpointsPush(checkpoints, n + m, t, d->x))
        CtpgClosedLoopFail(loop, CTPG_STEP_LIMIT, "no memory for another checkpoint");
      continue;
    }
    CtpgStep step = CtpgForwardGetMesh(d->forward, --end, t);
    step.x = d->x;
    PetscCall(ReverseRepeated(d, loop, step, alpha, gtheta));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode Reverse(CtpgDiscreteAdjoint *d, CtpgClosedLoop loop, PetscReal *alpha, PetscReal *gtheta) {
  PetscFunctionBeginUser;
  switch (d->storage) {
  case CTPG_STORE_STAGES: CtpgReverseRun(d->sweep, d->forward, alpha, gtheta); break;
  case CTPG_STORE_STATES: PetscCall(ReverseStates(d, loop, alpha, gtheta)); break;
  case CTPG_STORE_CHECKPOINTS: PetscCall(ReverseCheckpoints(d, loop, alpha, gtheta)); break;
  }
  PetscFunctionReturn(0);
}

// What is stored between the solves; stages that are made again, one step's, are stored too.
static size_t StoredBytes(const CtpgDiscreteAdjoint *d) {
  const size_t again = d->repeater ? (size_t)(d->rk.table.nkept * d->nx) * sizeof(PetscReal) : 0;
  return CtpgForwardGetBytes(d->forward) + again + d->pilot.arena.peak;
}

PetscErrorCode CtpgDiscreteAdjointGradientOfStart(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                  PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  CtpgDiscreteAdjoint *d = est;
  PetscReal terminal;

  PetscFunctionBeginUser;
  (void)stream;
  if (d->weighted) PetscCall(PilotRun(d, loop, x0, result->gx0));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(CtpgForwardRun(d->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, StoredBytes(d));
  if (CtpgClosedLoopTerminal(loop, CtpgForwardGetEnd(d->forward), &terminal, result->gx0) != CTPG_OK)
    PetscFunctionReturn(0);
  PetscCall(Reverse(d, loop, result->gx0, result->gtheta));
  result->bytes = PetscMax(result->bytes, StoredBytes(d));
  result->steps_adjoint += CtpgForwardGetSteps(d->forward);
  PetscFunctionReturn(0);
}

// ---- several starts side by side ----

PetscInt CtpgDiscreteAdjointAtOnce(const CtpgDiscreteAdjoint *d) {
  return d->storage == CTPG_STORE_STAGES && !d->weighted && !d->rk.by_ts ? AT_ONCE : 0;
}

static PetscErrorCode LaneOf(CtpgDiscreteAdjoint *d, PetscInt i, CtpgClosedLoop loop) {
  CtpgDiscreteLane *lane = &d->lane[i];
  PetscFunctionBeginUser;
  if (i < d->nlanes) {
    PetscCheck(lane->loop == loop, PETSC_COMM_SELF, PETSC_ERR_ARG_WRONG, "another loop for start %d", (int)i);
    PetscFunctionReturn(0);
  }
  lane->loop = loop;
  PetscCall(CtpgForwardCreate(loop, &d->rk, NULL, KeepsStages(d), &lane->forward));
  PetscCall(CtpgReverseCreate(loop, &d->rk.table, &lane->sweep));
  d->nlanes++;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgDiscreteAdjointGradients(void *est, PetscInt n, const CtpgClosedLoop *loops, const PetscReal *x0,
                                            PetscReal accuracy, CtpgResult *results) {
  CtpgDiscreteAdjoint *d = est;
  CtpgForwardSolve forwards[CTPG_MOST_AT_ONCE] = {NULL}, recorded[CTPG_MOST_AT_ONCE];
  CtpgReverseSweep sweeps[CTPG_MOST_AT_ONCE];
  PetscReal *alpha[CTPG_MOST_AT_ONCE], *gtheta[CTPG_MOST_AT_ONCE], terminal;
  PetscInt m = 0;

  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    PetscCall(LaneOf(d, i, loops[i]));
    forwards[i] = d->lane[i].forward;
  }
  PetscCall(CtpgForwardRunMany(n, forwards, x0, accuracy, results));
  for (PetscInt i = 0; i < n; i++) {
    results[i].bytes = CtpgForwardGetBytes(forwards[i]);
    if (CtpgClosedLoopTerminal(loops[i], CtpgForwardGetEnd(forwards[i]), &terminal, results[i].gx0) != CTPG_OK)
      continue;
    results[i].steps_adjoint = CtpgForwardGetSteps(forwards[i]);
    recorded[m] = forwards[i];
    sweeps[m] = d->lane[i].sweep;
    alpha[m] = results[i].gx0;
    gtheta[m++] = results[i].gtheta;
  }
  CtpgReverseRunMany(m, sweeps, recorded, alpha, gtheta);
  PetscFunctionReturn(0);
}
