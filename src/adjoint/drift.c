// drift.c -- see drift.h

#include "ctpgbench/toolkit/drift.h"
#include "solve/linear.h"
#include <math.h>

PetscErrorCode CtpgDriftCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, PetscInt most_nodes, CtpgArena *arena,
                               CtpgDrift *drift) {
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  const PetscInt nx = sizes.nx;
  *drift = (CtpgDrift){.loop = loop, .jacobians = jacobians, .nx = nx, .most_nodes = most_nodes};
  CtpgRowsInit(&drift->rows, arena, 2 * nx);
  PetscCall(
      PetscMalloc5(nx * nx, &drift->JT, nx * nx, &drift->lu, nx, &drift->delta, nx, &drift->d, nx, &drift->pivots));
  PetscFunctionReturn(0);
}

void CtpgDriftFree(CtpgDrift *drift) {
  CtpgRowsFree(&drift->rows);
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

// delta from node i to node i + 1: (I - h/2 J) delta = (I + h/2 J) delta + h r, J in the middle.
static PetscBool Step(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i, PetscInt column) {
  const PetscInt nx = drift->nx;
  const PetscReal *start = CtpgNodePathRow(&piece->path, i), *end = CtpgNodePathRow(&piece->path, i + 1);
  const PetscReal half = (end[0] - start[0]) / 2;
  PetscReal *later = drift->d;
  memcpy(later, drift->delta, (size_t)nx * sizeof *later);
  AddSlopeError(drift, piece, start, column, half, later);
  AddSlopeError(drift, piece, end, column, half, later);
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

// Both sides of the node at hand become a row.
static void Record(CtpgDrift *drift, const CtpgPathPiece *piece, PetscInt i) {
  const PetscInt nx = drift->nx;
  PetscReal *row = CtpgRowsPush(&drift->rows);
  if (!row) {
    CtpgClosedLoopFail(drift->loop, CTPG_STEP_LIMIT, "no memory to measure more than %d steps", (int)drift->rows.count);
    return;
  }
  memcpy(row, drift->delta, (size_t)nx * sizeof *row);
  if (i > 0) CtpgNodePathDefect(&piece->path, drift->most_nodes, i - 1, drift->d);
  for (PetscInt a = 0; i > 0 && a < nx; a++) drift->delta[a] += drift->d[a];
  memcpy(row + nx, drift->delta, (size_t)nx * sizeof *row);
}

void CtpgDriftRun(CtpgDrift *drift, PetscInt npieces, const CtpgPathPiece *pieces, PetscInt column) {
  CtpgRowsTruncate(&drift->rows, 0);
  memset(drift->delta, 0, (size_t)drift->nx * sizeof *drift->delta);
  for (const CtpgPathPiece *piece = pieces; piece < pieces + npieces; piece++)
    for (PetscInt i = 0; i < piece->path.count && CtpgClosedLoopGetStatus(drift->loop) == CTPG_OK; i++) {
      if (i > 0 && !Step(drift, piece, i - 1, column))
        CtpgClosedLoopFail(drift->loop, CTPG_DIVERGED, "the error sweep meets a singular system at t = %.6g",
                           CtpgNodePathRow(&piece->path, i)[0]);
      Record(drift, piece, i);
    }
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
