// guard.c -- see guard.h

#include "ctpgbench/toolkit/guard.h"
#include <math.h>

PetscErrorCode CtpgGuardCreate(CtpgClosedLoop loop, PetscBool respect_breaks, PetscInt most_nodes, PetscInt cost_column,
                               CtpgGuard *guard) {
  CtpgLoopSizes sizes;
  PetscFunctionBeginUser;
  CtpgClosedLoopGetSizes(loop, &sizes);
  *guard =
      (CtpgGuard){.loop = loop, .respect_breaks = respect_breaks, .most_nodes = most_nodes, .cost_column = cost_column};
  PetscCall(PetscMalloc4(sizes.nx, &guard->x, sizes.nx, &guard->alpha, sizes.nx, &guard->slope, sizes.nx, &guard->f));
  PetscFunctionReturn(0);
}

void CtpgGuardFree(CtpgGuard *guard) {
  PetscCallVoid(PetscFree4(guard->x, guard->alpha, guard->slope, guard->f));
}

// Where the walk stands on a piece: nodes up to its time, forward ones from the first on, adjoint ones from the last.
typedef struct {
  const CtpgPathPiece *piece;
  PetscInt forward, adjoint;
  PetscInt path_interval, adjoint_interval; // of the interpolants
} Walk;

// The first evaluation after t, or the end of the piece.
static PetscReal NextEvaluation(Walk *walk, CtpgGaussSweep sweep, PetscReal t) {
  const CtpgPathPiece *piece = walk->piece;
  PetscReal next = fmin(piece->t_high, CtpgGaussSweepNext(sweep, t));
  while (walk->forward < piece->path.count && CtpgNodePathRow(&piece->path, walk->forward)[0] <= t) walk->forward++;
  if (walk->forward < piece->path.count) next = fmin(next, CtpgNodePathRow(&piece->path, walk->forward)[0]);
  while (walk->adjoint >= 0 && piece->t_high - CtpgNodePathRow(&piece->adjoint, walk->adjoint)[0] <= t) walk->adjoint--;
  if (walk->adjoint >= 0) next = fmin(next, piece->t_high - CtpgNodePathRow(&piece->adjoint, walk->adjoint)[0]);
  return next;
}

// |w - w~| + |alpha~' (f - x~')| at t.
static PetscReal Probe(CtpgGuard *g, Walk *walk, PetscReal t) {
  const CtpgPathPiece *piece = walk->piece;
  const PetscInt nx = piece->path.n;
  PetscReal w, believed, product = 0;
  CtpgNodePathAt(&piece->path, g->most_nodes, t, &walk->path_interval, g->x);
  CtpgNodePathAt(&piece->adjoint, g->most_nodes, piece->t_high - t, &walk->adjoint_interval, g->alpha);
  CtpgNodePathColumnsAt(&piece->path, g->most_nodes, 1 + nx, nx, t, &walk->path_interval, g->slope);
  CtpgNodePathColumnsAt(&piece->path, g->most_nodes, g->cost_column, 1, t, &walk->path_interval, &believed);
  if (CtpgClosedLoopEval(g->loop, 1, &t, g->x, g->f, &w) != CTPG_OK) return 0;
  for (PetscInt i = 0; i < nx; i++) product += g->alpha[i] * (g->f[i] - g->slope[i]);
  return fabs(w - believed) + fabs(product);
}

static PetscReal ProbePiece(CtpgGuard *g, CtpgGaussSweep sweep, const CtpgPathPiece *piece, PetscReal gap,
                            CtpgStream *stream) {
  Walk walk = {.piece = piece, .adjoint = piece->adjoint.count - 1, .adjoint_interval = piece->adjoint.count - 2};
  PetscReal unseen = 0, next;
  for (PetscReal t = piece->t_low; t < piece->t_high; t = next) {
    next = NextEvaluation(&walk, sweep, t);
    if (next - t <= gap) continue;
    for (PetscReal at = t + gap * CtpgStreamUniform(stream); at < next; at += gap) unseen += gap * Probe(g, &walk, at);
  }
  return unseen;
}

// int |w| by the trapezoidal rule.
static PetscReal CostOfPiece(const CtpgGuard *g, const CtpgPathPiece *piece) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i + 1 < piece->path.count; i++) {
    const PetscReal *a = CtpgNodePathRow(&piece->path, i), *b = CtpgNodePathRow(&piece->path, i + 1);
    sum += 0.5 * (b[0] - a[0]) * (fabs(a[g->cost_column]) + fabs(b[g->cost_column]));
  }
  return sum;
}

PetscReal CtpgGuardRun(CtpgGuard *g, CtpgGaussSweep sweep, PetscInt npieces, const CtpgPathPiece *pieces, PetscReal gap,
                       CtpgStream *stream) {
  const CtpgNodePath *last = &pieces[npieces - 1].path;
  PetscReal unseen = 0, whole = 0, J = 0, low, high;
  CtpgClosedLoopSetPurpose(g->loop, CTPG_DENSE);
  for (PetscInt k = 0; k < npieces && CtpgClosedLoopGetStatus(g->loop) == CTPG_OK; k++) {
    CtpgClosedLoopEnterPiece(g->loop, g->respect_breaks, k, &low, &high);
    unseen += ProbePiece(g, sweep, pieces + k, gap, stream);
    whole += CostOfPiece(g, pieces + k);
  }
  CtpgClosedLoopSetPiece(g->loop, -1);
  if (CtpgClosedLoopTerminal(g->loop, CtpgNodePathRow(last, last->count - 1) + 1, &J, NULL) != CTPG_OK) return 0;
  whole += fabs(J);
  return whole > 0 ? unseen / whole : 0;
}
