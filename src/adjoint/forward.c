// forward.c -- forward solve on an CtpgRKSolver; a row of the record is filled while its step is attempted, and kept
// when it is accepted

#include "ctpgbench/toolkit/forward.h"
#include "loop/closedloop_engine.h"

struct ForwardSolve_s {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgRKTable table;
  PetscBool respect_breaks;
  PetscInt k, piece;     // of the pieces between breaks the one being solved; as it is recorded, -1: the whole
  PetscReal accuracy, h; // of the run; the first step of the next piece, 0: to be chosen
  CtpgRKSolver solver;
  CtpgPurpose purpose;
  int keep;
  CtpgArena arena;
  CtpgRows rows;  // t, h, piece, x [nx], stages [nstages, nx], slopes [nslopes, nx], kept [nkept, kept_size]
  PetscReal *row; // the step being attempted; NULL before its first stage, or where it is not to be recorded
  PetscInt limit, stride, accepted; // at most `limit` rows: every stride-th of the steps accepted so far
  PetscInt nstages, nslopes, nkept, kept_size;
  PetscBool keep_ends, extra_stages; // slopes at the ends of pieces; further stages for the dense output
  PetscBool checkpointing;           // one row for the newest step, the lengths of all, and checkpoints
  CtpgRows lengths;                  // h of the accepted steps, where they are not equal
  CtpgCheckpoints checkpoints;
  PetscInt npieces, *piece_first;        // [npieces] first step of a piece
  PetscReal *piece_low, *piece_h;        // [npieces] its start, and the length of its steps when they are equal
  PetscReal *end, *newest_slope, *extra; // [nx]
  PetscReal *end_slopes;                 // [npieces, nx]
  PetscReal *newest_kept;                // [kept_size] of the first stage of a step whose row is not there yet
};

static PetscReal *RowState(PetscReal *row) {
  return row + 3;
}

static PetscReal *RowStages(CtpgForwardSolve f, PetscReal *row) {
  return RowState(row) + f->sizes.nx;
}

static PetscReal *RowSlopes(CtpgForwardSolve f, PetscReal *row) {
  return RowStages(f, row) + f->nstages * f->sizes.nx;
}

static PetscReal *RowKept(CtpgForwardSolve f, PetscReal *row) {
  return RowSlopes(f, row) + f->nslopes * f->sizes.nx;
}

// ---- what the solver calls ----

// Every second row of the full record goes.
static void ThinRecord(CtpgForwardSolve f) {
  const PetscInt kept = (f->rows.count + 1) / 2;
  for (PetscInt n = 1; n < kept; n++)
    memcpy(CtpgRowsAt(&f->rows, n), CtpgRowsAt(&f->rows, 2 * n), (size_t)f->rows.width * sizeof(PetscReal));
  CtpgRowsTruncate(&f->rows, kept);
  f->stride *= 2;
}

// A row for the step that begins, NULL where the record does without.
static PetscReal *PushStep(CtpgForwardSolve f) {
  PetscReal *row;
  if (f->checkpointing && f->rows.count) return CtpgRowsAt(&f->rows, 0);
  while (f->limit && f->accepted % f->stride == 0 && f->rows.count == f->limit) ThinRecord(f);
  if (f->accepted % f->stride) return NULL;
  row = CtpgRowsPush(&f->rows);
  if (!row) CtpgClosedLoopFail(f->loop, CTPG_STEP_LIMIT, "no memory to record more than %d steps", (int)f->rows.count);
  return row;
}

static void OfferCheckpoint(CtpgForwardSolve f, const PetscReal *x) {
  if (!CtpgCheckpointsOffer(&f->checkpoints, f->accepted, f->row[0], x))
    CtpgClosedLoopFail(f->loop, CTPG_STEP_LIMIT, "no memory for another checkpoint");
}

static void KeepLength(CtpgForwardSolve f) {
  PetscReal *length = CtpgRowsPush(&f->lengths);
  if (length)
    *length = f->row[1];
  else
    CtpgClosedLoopFail(f->loop, CTPG_STEP_LIMIT, "no memory for the lengths of more than %d steps", (int)f->accepted);
}

static void OnStage(void *context, PetscInt i, const PetscReal *y) {
  CtpgForwardSolve f = context;
  const size_t bytes = (size_t)f->sizes.nx * sizeof *y;
  if (!f->keep) return;
  if (i == 0) {
    PetscReal *before = f->row;
    if (!f->row) f->row = PushStep(f);
    if (!f->row) return;
    CtpgRKSolverGetStep(f->solver, &f->row[0], &f->row[1]);
    f->row[2] = (PetscReal)f->piece;
    memcpy(RowState(f->row), y, bytes);
    // Known already: the last stage of a FSAL step is the first of the next, and the choice of the first step begins
    // with stage 0. Otherwise the right-hand side of stage 0 follows and replaces it.
    if (!before && f->nslopes) memcpy(RowSlopes(f, f->row), f->newest_slope, bytes);
    if (!before && f->nkept) memcpy(RowKept(f, f->row), f->newest_kept, (size_t)f->kept_size * sizeof *y);
    if (f->checkpointing && !before) OfferCheckpoint(f, y);
  } else if (f->row && f->nstages && f->table.stage_row[i] >= 0)
    memcpy(RowStages(f, f->row) + f->table.stage_row[i] * f->sizes.nx, y, bytes);
}

// Where the outputs at stage i are kept: in the row, or until there is one; NULL: they are not.
static PetscReal *PlaceOfKept(CtpgForwardSolve f, PetscInt i) {
  if (!f->nkept || i < 0) return NULL;
  if (i > 0 && f->table.fsal && i == f->table.s - 1) return f->newest_kept;
  if (i > 0 && (!f->row || f->table.stage_row[i] < 0)) return NULL;
  if (!f->row) return f->newest_kept;
  return RowKept(f, f->row) + (i > 0 ? 1 + f->table.stage_row[i] : 0) * f->kept_size;
}

static void KeepSlope(CtpgForwardSolve f, PetscInt i, const PetscReal *ydot) {
  const PetscInt nx = f->sizes.nx;
  if (i < 0 || !f->nslopes || CtpgClosedLoopGetStatus(f->loop) != CTPG_OK) return;
  memcpy(f->newest_slope, ydot, (size_t)nx * sizeof *ydot);
  if (f->row && i < f->nslopes) memcpy(RowSlopes(f, f->row) + i * nx, ydot, (size_t)nx * sizeof *ydot);
}

static CtpgStatus RightHandSide(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  CtpgForwardSolve f = context;
  const PetscInt nx = f->sizes.nx;
  PetscReal *kept = PlaceOfKept(f, i);
  const CtpgStatus status = kept ? CtpgClosedLoopEvalKeep(f->loop, 1, &t, y, ydot, ydot + nx, kept)
                                 : CtpgClosedLoopEval(f->loop, 1, &t, y, ydot, ydot + nx);
  KeepSlope(f, i, ydot);
  return status;
}

static void OnAccept(void *context, const PetscReal *y) {
  CtpgForwardSolve f = context;
  PetscReal t, h;
  CtpgRKSolverGetStep(f->solver, &t, &h);
  if (f->purpose == CTPG_FORWARD) CtpgClosedLoopPass(f->loop, t + h, y);
  if (f->checkpointing && !CtpgRKSolverIsFixed(f->solver)) KeepLength(f);
  f->row = NULL;
  f->accepted++;
}

// ---- life cycle ----

PetscErrorCode CtpgForwardCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, const char *rk_type, int keep,
                                 CtpgForwardSolve *forward) {
  CtpgForwardSolve f;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&f));
  *forward = f;
  f->loop = loop;
  f->table = rk->table;
  f->keep = keep;
  f->purpose = CTPG_FORWARD;
  f->respect_breaks = rk->respect_breaks;
  CtpgClosedLoopGetSizes(loop, &f->sizes);
  f->nstages = keep & CTPG_KEEP_STAGES ? rk->table.nkept : 0;
  f->nslopes = keep & CTPG_KEEP_SLOPES ? rk->table.ndense : keep & CTPG_KEEP_ENDS ? 1 : 0;
  f->extra_stages = (keep & CTPG_KEEP_SLOPES) && rk->table.ndense > rk->table.s ? PETSC_TRUE : PETSC_FALSE;
  f->keep_ends = (keep & CTPG_KEEP_ENDS) || f->extra_stages ? PETSC_TRUE : PETSC_FALSE;
  f->nkept = keep & CTPG_KEEP_OUTPUTS ? 1 + f->nstages : 0;
  f->kept_size = CtpgClosedLoopGetKeptSize(loop);
  CtpgRowsInit(&f->lengths, &f->arena, 1);
  f->npieces = CtpgClosedLoopGetPieces(loop, rk->respect_breaks);
  PetscCall(PetscMalloc3(f->npieces, &f->piece_first, f->npieces, &f->piece_low, f->npieces, &f->piece_h));
  CtpgRowsInit(&f->rows, &f->arena, 3 + f->sizes.nx * (1 + f->nstages + f->nslopes) + f->nkept * f->kept_size);
  PetscCall(PetscMalloc1(f->nkept ? f->kept_size : 0, &f->newest_kept));
  PetscCall(PetscMalloc4(f->sizes.nx, &f->end, f->sizes.nx, &f->newest_slope, f->sizes.nx, &f->extra,
                         f->npieces * f->sizes.nx, &f->end_slopes));
  const CtpgRKCallbacks callbacks = {.context = f, .rhs = RightHandSide, .stage = OnStage, .accept = OnAccept};
  PetscCall(CtpgRKSolverCreate(loop, rk, rk_type, 1, f->sizes.nx, &callbacks, &f->solver));
  PetscFunctionReturn(0);
}

void CtpgForwardSetPurpose(CtpgForwardSolve forward, CtpgPurpose purpose) {
  forward->purpose = purpose;
}

PetscErrorCode CtpgForwardUseCheckpoints(CtpgForwardSolve f, PetscInt K) {
  PetscFunctionBeginUser;
  f->checkpointing = PETSC_TRUE;
  PetscCall(CtpgCheckpointsCreate(&f->arena, K, f->sizes.nx, &f->checkpoints));
  PetscFunctionReturn(0);
}

void CtpgForwardSetLimit(CtpgForwardSolve forward, PetscInt limit) {
  forward->limit = limit;
}

PetscErrorCode CtpgForwardDestroy(CtpgForwardSolve *forward) {
  PetscFunctionBeginUser;
  if (!*forward) PetscFunctionReturn(0);
  PetscCall(CtpgRKSolverDestroy(&(*forward)->solver));
  CtpgRowsFree(&(*forward)->rows);
  CtpgRowsFree(&(*forward)->lengths);
  PetscCall(CtpgCheckpointsDestroy(&(*forward)->checkpoints));
  PetscCall(PetscFree3((*forward)->piece_first, (*forward)->piece_low, (*forward)->piece_h));
  PetscCall(PetscFree((*forward)->newest_kept));
  PetscCall(PetscFree4((*forward)->end, (*forward)->newest_slope, (*forward)->extra, (*forward)->end_slopes));
  PetscCall(PetscFree(*forward));
  PetscFunctionReturn(0);
}

// ---- the solve ----

static PetscErrorCode SetStart(CtpgForwardSolve f, const PetscReal *x0) {
  PetscReal *y;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(f->solver, &y));
  PetscCall(PetscArraycpy(y, x0, f->sizes.nx));
  y[f->sizes.nx] = 0;
  if (f->purpose == CTPG_FORWARD) CtpgClosedLoopPass(f->loop, 0, y);
  PetscCall(CtpgRKSolverRestoreState(f->solver, &y));
  PetscFunctionReturn(0);
}

// x(T) and the loss with its terminal cost.
static PetscErrorCode ReadEnd(CtpgForwardSolve f, CtpgResult *result) {
  PetscReal *y, terminal;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverGetState(f->solver, &y));
  PetscCall(PetscArraycpy(f->end, y, f->sizes.nx));
  CtpgClosedLoopTerminal(f->loop, f->end, &terminal, NULL);
  *result->loss = y[f->sizes.nx] + terminal;
  PetscCall(CtpgRKSolverRestoreState(f->solver, &y));
  PetscFunctionReturn(0);
}

// Slope at the end of the piece just solved: the last stage of a FSAL step, else one more evaluation.
static PetscErrorCode KeepEndSlope(CtpgForwardSolve f, PetscInt k, PetscReal t) {
  PetscReal *slope = f->end_slopes + k * f->sizes.nx, *y, w;
  PetscFunctionBeginUser;
  if (f->table.fsal) {
    PetscCall(PetscArraycpy(slope, f->newest_slope, f->sizes.nx));
    PetscFunctionReturn(0);
  }
  CtpgClosedLoopSetPurpose(f->loop, CTPG_DENSE);
  PetscCall(CtpgRKSolverGetState(f->solver, &y));
  CtpgClosedLoopEval(f->loop, 1, &t, y, slope, &w);
  PetscCall(CtpgRKSolverRestoreState(f->solver, &y));
  PetscFunctionReturn(0);
}

// Number of steps of a whole solve, 0 where the error control decides.
static PetscInt KnownSteps(CtpgForwardSolve f, PetscReal accuracy) {
  PetscReal t_low, t_high;
  PetscInt steps = 0;
  if (!CtpgRKSolverIsFixed(f->solver)) return 0;
  for (PetscInt k = 0; k < f->npieces; k++) {
    CtpgClosedLoopEnterPiece(f->loop, f->respect_breaks, k, &t_low, &t_high);
    steps += CtpgFixedSteps(t_high - t_low, accuracy);
  }
  return steps;
}

// The pieces are solved one after the other: the next one begins, where the one before has been ended.
static PetscErrorCode BeginPiece(CtpgForwardSolve f) {
  const PetscInt k = f->k;
  PetscReal t_low, t_high;
  PetscFunctionBeginUser;
  CtpgClosedLoopEnterPiece(f->loop, f->respect_breaks, k, &t_low, &t_high);
  f->piece = f->npieces > 1 ? k : -1;
  f->piece_first[k] = f->accepted;
  f->piece_low[k] = t_low;
  f->piece_h[k] =
      CtpgRKSolverIsFixed(f->solver) ? (t_high - t_low) / (PetscReal)CtpgFixedSteps(t_high - t_low, f->accuracy) : 0;
  PetscCall(CtpgRKSolverBegin(f->solver, f->purpose, t_low, t_high, f->accuracy, f->h));
  PetscFunctionReturn(0);
}

static PetscErrorCode EndPiece(CtpgForwardSolve f) {
  PetscReal t_low, t_high;
  PetscFunctionBeginUser;
  PetscCall(CtpgRKSolverEnd(f->solver));
  f->h = CtpgRKSolverGetNextStep(f->solver);
  CtpgClosedLoopEnterPiece(f->loop, f->respect_breaks, f->k, &t_low, &t_high);
  if (f->keep_ends) PetscCall(KeepEndSlope(f, f->k, t_high));
  f->k++;
  PetscFunctionReturn(0);
}

// To the next derivative that the run waits for; NULL: it is over.
static PetscErrorCode FindRequest(CtpgForwardSolve f, const CtpgRKRequest **request) {
  PetscFunctionBeginUser;
  while (!(*request = CtpgRKSolverGetRequest(f->solver)) && f->k < f->npieces) {
    PetscCall(EndPiece(f));
    if (CtpgClosedLoopGetStatus(f->loop) != CTPG_OK) f->k = f->npieces;
    if (f->k < f->npieces) PetscCall(BeginPiece(f));
  }
  PetscFunctionReturn(0);
}

// Derivatives of the dense output beyond the stages of step n: at its end, then of the extra stages.
static CtpgStatus EvalExtraStages(CtpgForwardSolve f, PetscInt n) {
  const PetscInt nx = f->sizes.nx, s = f->table.s;
  const CtpgStep step = CtpgForwardGetStep(f, n);
  PetscReal *K = RowSlopes(f, CtpgRowsAt(&f->rows, n)), w;
  CtpgStatus status = CTPG_OK;
  CtpgClosedLoopSetPiece(f->loop, step.piece);
  memcpy(K + s * nx, CtpgForwardGetNextSlope(f, n), (size_t)nx * sizeof *K);
  for (PetscInt i = s + 1; i < f->table.ndense && status == CTPG_OK; i++) {
    const PetscReal *a = f->table.Aextra[i - s - 1], t = step.t + f->table.cextra[i - s - 1] * step.h;
    memcpy(f->extra, step.x, (size_t)nx * sizeof *K);
    for (PetscInt j = 0; j < i; j++)
      for (PetscInt k = 0; a[j] != 0 && k < nx; k++) f->extra[k] += step.h * a[j] * K[j * nx + k];
    status = CtpgClosedLoopEval(f->loop, 1, &t, f->extra, K + i * nx, &w);
  }
  return status;
}

static void CompleteDenseOutput(CtpgForwardSolve f) {
  CtpgClosedLoopSetPurpose(f->loop, CTPG_DENSE);
  for (PetscInt n = 0; n < f->rows.count; n++)
    if (EvalExtraStages(f, n) != CTPG_OK) break;
  CtpgClosedLoopSetPiece(f->loop, -1);
}

// From x0 [nx]: forgets the record before.
static PetscErrorCode BeginRun(CtpgForwardSolve f, const PetscReal *x0, PetscReal accuracy) {
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(f->loop, &f->sizes); // the horizon belongs to the case
  CtpgRowsTruncate(&f->rows, 0);
  CtpgRowsTruncate(&f->lengths, 0);
  if (f->checkpointing) CtpgCheckpointsStart(&f->checkpoints, KnownSteps(f, accuracy));
  CtpgArenaReset(&f->arena);
  f->row = NULL;
  f->stride = 1;
  f->accepted = 0;
  f->k = 0;
  f->h = 0;
  f->accuracy = accuracy;
  PetscCall(SetStart(f, x0));
  CtpgRKSolverResetCounts(f->solver);
  if (CtpgClosedLoopGetStatus(f->loop) == CTPG_OK)
    PetscCall(BeginPiece(f));
  else
    f->k = f->npieces;
  PetscFunctionReturn(0);
}

static PetscErrorCode EndRun(CtpgForwardSolve f, CtpgResult *result) {
  int64_t steps, rejected;
  PetscReal t, h;

  PetscFunctionBeginUser;
  CtpgClosedLoopSetPiece(f->loop, -1);
  if (f->row) CtpgRowsTruncate(&f->rows, f->rows.count - 1);
  if (f->extra_stages && CtpgClosedLoopGetStatus(f->loop) == CTPG_OK) CompleteDenseOutput(f);
  PetscCall(ReadEnd(f, result));
  CtpgRKSolverGetCounts(f->solver, &steps, &rejected);
  CtpgRKSolverGetStep(f->solver, &t, &h);
  result->steps += steps;
  result->rejected += rejected;
  if (CtpgRKSolverIsFixed(f->solver)) result->h = h;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgForwardRun(CtpgForwardSolve f, const PetscReal *x0, PetscReal accuracy, CtpgResult *result) {
  const CtpgRKRequest *request;

  PetscFunctionBeginUser;
  PetscCall(BeginRun(f, x0, accuracy));
  for (;;) {
    PetscCall(FindRequest(f, &request));
    if (!request) break;
    RightHandSide(f, request->i, request->t, request->y, request->ydot);
    CtpgRKSolverGoOn(f->solver);
  }
  PetscCall(EndRun(f, result));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgForwardRunMany(PetscInt n, const CtpgForwardSolve *forwards, const PetscReal *x0, PetscReal accuracy,
                                  CtpgResult *results) {
  CtpgEvalPoint points[CTPG_MOST_AT_ONCE];
  CtpgForwardSolve waiting[CTPG_MOST_AT_ONCE];
  const CtpgRKRequest *request;
  PetscInt m;

  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) PetscCall(BeginRun(forwards[i], x0 + i * forwards[i]->sizes.nx, accuracy));
  do {
    m = 0;
    for (PetscInt i = 0; i < n; i++) {
      CtpgForwardSolve f = forwards[i];
      PetscCall(FindRequest(f, &request));
      if (!request) continue;
      points[m] = (CtpgEvalPoint){.loop = f->loop,
                                  .t = request->t,
                                  .x = request->y,
                                  .f = request->ydot,
                                  .w = request->ydot + f->sizes.nx,
                                  .kept = PlaceOfKept(f, request->i)};
      waiting[m++] = f;
    }
    if (m) CtpgClosedLoopsEval(m, points);
    for (PetscInt i = 0; i < m; i++) {
      KeepSlope(waiting[i], CtpgRKSolverGetRequest(waiting[i]->solver)->i, points[i].f);
      CtpgRKSolverGoOn(waiting[i]->solver);
    }
  } while (m);
  for (PetscInt i = 0; i < n; i++) PetscCall(EndRun(forwards[i], results + i));
  PetscFunctionReturn(0);
}

// ---- the record ----

PetscInt CtpgForwardGetSteps(CtpgForwardSolve forward) {
  return forward->checkpointing ? forward->accepted : forward->rows.count;
}

CtpgStep CtpgForwardGetStep(CtpgForwardSolve forward, PetscInt n) {
  PetscReal *row = CtpgRowsAt(&forward->rows, n);
  return (CtpgStep){.t = row[0],
                    .h = row[1],
                    .piece = (PetscInt)row[2],
                    .x = RowState(row),
                    .stages = RowStages(forward, row),
                    .slopes = RowSlopes(forward, row),
                    .kept = forward->nkept ? RowKept(forward, row) : NULL};
}

CtpgCheckpoints *CtpgForwardGetCheckpoints(CtpgForwardSolve forward) {
  return &forward->checkpoints;
}

CtpgStep CtpgForwardGetMesh(CtpgForwardSolve f, PetscInt n, PetscReal t) {
  PetscInt k = f->npieces - 1;
  while (k > 0 && n < f->piece_first[k]) k--;
  const PetscInt piece = f->npieces > 1 ? k : -1;
  if (f->piece_h[k] > 0)
    return (CtpgStep){
        .t = f->piece_low[k] + (PetscReal)(n - f->piece_first[k]) * f->piece_h[k], .h = f->piece_h[k], .piece = piece};
  return (CtpgStep){
      .t = n == f->piece_first[k] ? f->piece_low[k] : t, .h = *CtpgRowsAt(&f->lengths, n), .piece = piece};
}

const PetscReal *CtpgForwardGetEnd(CtpgForwardSolve forward) {
  return forward->end;
}

const PetscReal *CtpgForwardGetNextSlope(CtpgForwardSolve forward, PetscInt n) {
  const CtpgStep step = CtpgForwardGetStep(forward, n);
  if (n + 1 < forward->rows.count) {
    const CtpgStep next = CtpgForwardGetStep(forward, n + 1);
    if (next.piece == step.piece) return next.slopes;
  }
  return forward->end_slopes + PetscMax(step.piece, 0) * forward->sizes.nx;
}

const CtpgRKTable *CtpgForwardGetTable(CtpgForwardSolve forward) {
  return &forward->table;
}

CtpgRKSolver CtpgForwardGetSolver(CtpgForwardSolve forward) {
  return forward->solver;
}

size_t CtpgForwardGetBytes(CtpgForwardSolve forward) {
  return forward->arena.peak;
}
