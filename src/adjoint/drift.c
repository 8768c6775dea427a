// drift.c -- see drift.h
//
// One interval after the other: what its end misses by (IsDoubtful, and Ask where f is evaluated), the step of delta
// through it (Step), and a row with delta on both sides of the node (Record). Rows are numbered as those of the paths,
// whose pieces follow one another, so that a node's row is found by its number. States between nodes add delta linearly
// to the path's own interpolant.

#include "ctpgbench/toolkit/drift.h"
#include "solve/linear.h"
#include <math.h>
#include <petscdt.h>

#define DOUBT 10 // tolerances that a path may miss a node by before f is asked

PetscErrorCode CtpgDriftCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, CtpgMultistep solver,
                               PetscBool respect_breaks, PetscInt most_nodes, CtpgArena *arena, CtpgDrift *drift) {
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  const PetscInt nx = sizes.nx;
  *drift = (CtpgDrift){.loop = loop,
                       .jacobians = jacobians,
                       .solver = solver,
                       .respect_breaks = respect_breaks,
                       .nx = nx,
                       .most_nodes = most_nodes};
  PetscCall(PetscDTGaussQuadrature(CTPG_DRIFT_POINTS, 0, 1, drift->c, drift->b));
  PetscCall(PetscMalloc3(CTPG_DRIFT_POINTS * nx, &drift->x, CTPG_DRIFT_POINTS * nx, &drift->f, nx, &drift->later));
  CtpgRowsInit(&drift->rows, arena, 2 * nx);
  PetscCall(
      PetscMalloc5(nx * nx, &drift->JT, nx * nx, &drift->lu, nx, &drift->delta, nx, &drift->d, nx, &drift->pivots));
  PetscFunctionReturn(0);
}

void CtpgDriftFree(CtpgDrift *drift) {
  CtpgRowsFree(&drift->rows);
  PetscCallVoid(PetscFree3(drift->x, drift->f, drift->later));
  PetscCallVoid(PetscFree5(drift->JT, drift->lu, drift->delta, drift->d, drift->pivots));
}

// What the slope of a node misses, added to sum [nx] times `scale`.
static void AddSlopeError(CtpgDrift *drift, const CtpgPathPiece *piece, const PetscReal *node, PetscInt column,
                          PetscReal scale, PetscReal *sum) {
  const PetscInt nx = drift->nx;
  const PetscReal *difference = node + column, *by_M = difference + nx;
  CtpgJacobiansTransposedAt(drift->jacobians, piece->first, piece->end, node[0], drift->JT, NULL);
  for (PetscInt a = 0; a < nx; a++) {
    PetscReal by_J = 0;
    for (PetscInt b = 0; b < nx; b++) by_J += drift->JT[b * nx + a] * difference[b];
    sum[a] += scale * (by_J - by_M[a]);
  }
}

// d [nx] of the interval behind node i, by the slopes on both sides; do they tell quite another story than the step's
// own?
static PetscBool IsDoubtful(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i) {
  const PetscReal *start = CtpgNodePathRow(&piece->path, i), *end = CtpgNodePathRow(&piece->path, i + 1);
  CtpgNodePathDefect(&piece->path, drift->most_nodes, i, drift->d);
  return CtpgMultistepNorm(drift->solver, drift->d, start + 1, end + 1) > DOUBT ? PETSC_TRUE : PETSC_FALSE;
}

// d [nx] of a doubtful interval: y_i + int f(t, x~) - y_{i+1}.
static void Ask(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i) {
  const PetscInt nx = drift->nx;
  const PetscReal *start = CtpgNodePathRow(&piece->path, i), *end = CtpgNodePathRow(&piece->path, i + 1);
  PetscReal t[CTPG_DRIFT_POINTS], w[CTPG_DRIFT_POINTS];
  const PetscReal h = end[0] - start[0];
  PetscInt interval = i;
  for (PetscInt j = 0; j < CTPG_DRIFT_POINTS; j++) {
    t[j] = start[0] + h * drift->c[j];
    CtpgNodePathAt(&piece->path, drift->most_nodes, t[j], &interval, drift->x + j * nx);
  }
  if (CtpgClosedLoopEval(drift->loop, CTPG_DRIFT_POINTS, t, drift->x, drift->f, w) != CTPG_OK) return;
  for (PetscInt a = 0; a < nx; a++) {
    drift->d[a] = start[1 + a] - end[1 + a];
    for (PetscInt j = 0; j < CTPG_DRIFT_POINTS; j++) drift->d[a] += h * drift->b[j] * drift->f[j * nx + a];
  }
}

// delta from node i to node i + 1: (I - h/2 J) delta = (I + h/2 J) delta + h r, J in the middle.
static PetscBool Step(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i, PetscInt column, PetscBool doubtful) {
  const PetscInt nx = drift->nx;
  const PetscReal *start = CtpgNodePathRow(&piece->path, i), *end = CtpgNodePathRow(&piece->path, i + 1);
  const PetscReal half = (end[0] - start[0]) / 2;
  PetscReal *later = drift->later;
  memcpy(later, drift->delta, (size_t)nx * sizeof *later);
  if (!doubtful) {
    AddSlopeError(drift, piece, start, column, half, later);
    AddSlopeError(drift, piece, end, column, half, later);
  }
  CtpgJacobiansTransposedAt(drift->jacobians, piece->first, piece->end, start[0] + half, drift->JT, NULL);
  for (PetscInt a = 0; a < nx; a++)
    for (PetscInt b = 0; b < nx; b++) {
      const PetscReal part = half * drift->JT[b * nx + a];
      later[a] += part * drift->delta[b];
      drift->lu[a * nx + b] = (a == b ? 1 : 0) - part;
    }
  if (!LinearFactor(nx, drift->lu, drift->pivots)) return PETSC_FALSE;
  LinearSolve(nx, 1, drift->lu, drift->pivots, later);
  memcpy(drift->delta, later, (size_t)nx * sizeof *later);
  return PETSC_TRUE;
}

// delta at node i, d behind it: both sides become a row.
static void Record(CtpgDrift *drift) {
  const PetscInt nx = drift->nx;
  PetscReal *row = CtpgRowsPush(&drift->rows);
  if (!row) {
    CtpgClosedLoopFail(drift->loop, CTPG_STEP_LIMIT, "no memory to measure more than %d steps", (int)drift->rows.count);
    return;
  }
  memcpy(row, drift->delta, (size_t)nx * sizeof *row);
  for (PetscInt a = 0; a < nx; a++) drift->delta[a] += drift->d[a];
  memcpy(row + nx, drift->delta, (size_t)nx * sizeof *row);
}

// From node i to the next one.
static void Go(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i, PetscInt column) {
  const PetscBool doubtful = IsDoubtful(drift, piece, i);
  if (doubtful) Ask(drift, piece, i);
  if (!Step(drift, piece, i, column, doubtful))
    CtpgClosedLoopFail(drift->loop, CTPG_DIVERGED, "the error sweep meets a singular system at t = %.6g",
                       CtpgNodePathRow(&piece->path, i)[0]);
  Record(drift);
}

void CtpgDriftRun(CtpgDrift *drift, PetscInt npieces, const CtpgPathPiece *pieces, PetscInt column) {
  PetscReal low, high;
  CtpgRowsTruncate(&drift->rows, 0);
  memset(drift->delta, 0, (size_t)drift->nx * sizeof *drift->delta);
  CtpgClosedLoopSetPurpose(drift->loop, CTPG_FORWARD);
  for (PetscInt k = 0; k < npieces && CtpgClosedLoopGetStatus(drift->loop) == CTPG_OK; k++) {
    CtpgClosedLoopEnterPiece(drift->loop, drift->respect_breaks, k, &low, &high);
    memset(drift->d, 0, (size_t)drift->nx * sizeof *drift->d);
    Record(drift);
    for (PetscInt i = 0; i < pieces[k].path.count - 1 && CtpgClosedLoopGetStatus(drift->loop) == CTPG_OK; i++)
      Go(drift, pieces + k, i, column);
  }
  CtpgClosedLoopSetPiece(drift->loop, -1);
}

void CtpgDriftAt(const CtpgDrift *drift, const CtpgPathPiece *piece, PetscReal t, PetscInt *interval, PetscReal *x) {
  const PetscInt nx = drift->nx;
  CtpgNodePathAt(&piece->path, drift->most_nodes, t, interval, x);
  const PetscInt i = *interval;
  const PetscReal low = CtpgNodePathRow(&piece->path, i)[0], high = CtpgNodePathRow(&piece->path, i + 1)[0];
  const PetscReal part = (t - low) / (high - low);
  const PetscReal *behind = CtpgRowsAt(&drift->rows, piece->path.first + i) + nx;
  const PetscReal *before = CtpgRowsAt(&drift->rows, piece->path.first + i + 1);
  for (PetscInt a = 0; a < nx; a++) x[a] += (1 - part) * behind[a] + part * before[a];
}

void CtpgDriftEnd(const CtpgDrift *drift, const CtpgPathPiece *piece, PetscReal *x) {
  const PetscInt nx = drift->nx, last = piece->path.count - 1;
  const PetscReal *y = CtpgNodePathRow(&piece->path, last) + 1;
  const PetscReal *behind = CtpgRowsAt(&drift->rows, piece->path.first + last) + nx;
  for (PetscInt a = 0; a < nx; a++) x[a] = y[a] + behind[a];
}
