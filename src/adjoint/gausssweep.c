// gausssweep.c -- see gausssweep.h; the blocks' linear systems [s nx, s nx] are dense (linear.h)
//
// Blocks come first: where a block ends and how many nodes it has follows from the steps of the adjoint alone
// (MakeBlocks). They are taken in reverse order: states from the drift, a system for the adjoint, a part of the
// gradient. All else belongs to the block at hand, and the next one overwrites it.

#include "ctpgbench/toolkit/gausssweep.h"
#include "solve/linear.h"
#include <math.h>
#include <petscdt.h>

#define FEWEST 3 // nodes of a block
#define MOST   10
#define USUAL  8
#define TABLES (MOST - FEWEST + 1)

// Gauss nodes on [0, 1]; A [s, s].
typedef struct {
  PetscReal c[MOST], b[MOST], A[MOST * MOST];
} Table;

struct GaussSweep_s {
  CtpgClosedLoop loop;
  CtpgJacobians jacobians;
  PetscBool respect_breaks;
  PetscInt nx, np, factor_size, most_nodes;
  Table table[TABLES];
  CtpgDrift drift;
  CtpgRows blocks; // piece, t, h, s
  // The block at hand: [s], [s, nx], [s, nx, nx] transposed Jacobians, ...
  PetscReal *t, *x, *given, *slope, *JT, *residual, *solution, *ones, *factors;
  PetscReal *lu; // [s nx, s nx]
  PetscBLASInt *pivots;
  PetscReal *alpha; // [nx] where the blocks meet
};

// ---- life cycle ----

static PetscErrorCode FillTable(PetscInt s, Table *table) {
  PetscFunctionBeginUser;
  PetscCall(PetscDTGaussQuadrature(s, 0, 1, table->c, table->b));
  for (PetscInt i = 0; i < s; i++) CtpgNodesIntegral(s, table->c, 0, table->c[i], table->A + i * s);
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgGaussSweepCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, CtpgMultistep solver,
                                    PetscBool respect_breaks, PetscInt most_nodes, CtpgArena *arena,
                                    CtpgGaussSweep *sweep) {
  CtpgLoopSizes sizes;
  CtpgGaussSweep g;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&g));
  *sweep = g;
  CtpgClosedLoopGetSizes(loop, &sizes);
  const PetscInt nx = g->nx = sizes.nx, n = MOST * nx;
  g->loop = loop;
  g->jacobians = jacobians;
  g->respect_breaks = respect_breaks;
  g->most_nodes = most_nodes;
  g->np = sizes.np;
  g->factor_size = CtpgClosedLoopGetFactorSize(loop);
  for (PetscInt s = FEWEST; s <= MOST; s++) PetscCall(FillTable(s, &g->table[s - FEWEST]));
  PetscCall(CtpgDriftCreate(loop, jacobians, solver, respect_breaks, most_nodes, arena, &g->drift));
  CtpgRowsInit(&g->blocks, arena, 4);
  PetscCall(PetscMalloc5(MOST, &g->t, n, &g->x, n, &g->given, n, &g->slope, n * nx, &g->JT));
  PetscCall(PetscMalloc5(n, &g->residual, n, &g->solution, MOST, &g->ones, MOST * g->factor_size, &g->factors, n,
                         &g->pivots));
  PetscCall(PetscMalloc2(n * n, &g->lu, nx, &g->alpha));
  for (PetscInt i = 0; i < MOST; i++) g->ones[i] = 1;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgGaussSweepDestroy(CtpgGaussSweep *sweep) {
  CtpgGaussSweep g = *sweep;
  PetscFunctionBeginUser;
  if (!g) PetscFunctionReturn(0);
  CtpgDriftFree(&g->drift);
  CtpgRowsFree(&g->blocks);
  PetscCall(PetscFree5(g->t, g->x, g->given, g->slope, g->JT));
  PetscCall(PetscFree5(g->residual, g->solution, g->ones, g->factors, g->pivots));
  PetscCall(PetscFree2(g->lu, g->alpha));
  PetscCall(PetscFree(*sweep));
  PetscFunctionReturn(0);
}

// ---- blocks ----

// The time before which the adjoint has so many of its steps.
static PetscReal TimeOf(const CtpgPathPiece *piece, PetscReal steps) {
  const PetscInt last = piece->adjoint.count - 1;
  const PetscReal position = (PetscReal)last - steps;
  const PetscInt i = PetscMax(0, PetscMin((PetscInt)position, last - 1));
  const PetscReal a = CtpgNodePathRow(&piece->adjoint, i)[0], b = CtpgNodePathRow(&piece->adjoint, i + 1)[0];
  return piece->t_high - (a + (position - (PetscReal)i) * (b - a));
}

static const Table *TableOf(const CtpgGaussSweep g, const PetscReal *block) {
  return &g->table[(PetscInt)block[3] - FEWEST];
}

static void MakeBlocks(CtpgGaussSweep g, PetscInt k, const CtpgPathPiece *piece, PetscReal nodes_per_step) {
  const PetscReal steps = (PetscReal)(piece->adjoint.count - 1), nodes = nodes_per_step * steps;
  const PetscInt count = PetscMax(1, (PetscInt)ceil(nodes / USUAL - 0.2));
  const PetscInt s = PetscMin(MOST, PetscMax(FEWEST, (PetscInt)ceil(nodes / (PetscReal)count)));
  PetscReal t = piece->t_low;
  for (PetscInt i = 0; i < count; i++) {
    const PetscReal end = i == count - 1 ? piece->t_high : TimeOf(piece, steps * (PetscReal)(i + 1) / (PetscReal)count);
    PetscReal *block = CtpgRowsPush(&g->blocks);
    if (!block) {
      CtpgClosedLoopFail(g->loop, CTPG_STEP_LIMIT, "no memory for more than %d blocks", (int)g->blocks.count);
      return;
    }
    block[0] = (PetscReal)k;
    block[1] = t;
    block[2] = end - t;
    block[3] = (PetscReal)s;
    t = end;
  }
}

// What is known at a block's nodes: times, Jacobians, states, the adjoint.
static void Place(CtpgGaussSweep g, const CtpgPathPiece *piece, const PetscReal *block) {
  const PetscInt s = (PetscInt)block[3], nx = g->nx;
  PetscInt interval = 0, adjoint_interval = piece->adjoint.count - 2;
  for (PetscInt i = 0; i < s; i++) {
    const PetscReal t = g->t[i] = block[1] + block[2] * TableOf(g, block)->c[i];
    CtpgJacobiansTransposedAt(g->jacobians, piece->first, piece->end, t, g->JT + i * nx * nx, NULL);
    CtpgDriftAt(&g->drift, piece, t, &interval, g->x + i * nx);
    CtpgNodePathAt(&piece->adjoint, g->most_nodes, piece->t_high - t, &adjoint_interval, g->given + i * nx);
  }
}

// out [nx] = J' v.
static void TimesJacobian(const CtpgGaussSweep g, PetscInt i, const PetscReal *v, PetscReal *out) {
  const PetscInt nx = g->nx;
  const PetscReal *JT = g->JT + i * nx * nx;
  for (PetscInt a = 0; a < nx; a++) {
    out[a] = 0;
    for (PetscInt b = 0; b < nx; b++) out[a] += JT[a * nx + b] * v[b];
  }
}

// alpha [nx] from the block's end to its start; `solution` at its nodes.
static PetscBool SolveBlock(CtpgGaussSweep g, const PetscReal *block, PetscReal *alpha) {
  const PetscInt s = (PetscInt)block[3], nx = g->nx, n = s * nx;
  const Table *table = TableOf(g, block);
  const PetscReal h = block[2];
  for (PetscInt j = 0; j < s; j++) {
    TimesJacobian(g, j, g->given + j * nx, g->residual + j * nx);
    for (PetscInt a = 0; a < nx; a++) g->residual[j * nx + a] = g->slope[j * nx + a] - g->residual[j * nx + a];
  }
  for (PetscInt i = 0; i < s; i++) {
    memcpy(g->solution + i * nx, alpha, (size_t)nx * sizeof *alpha);
    for (PetscInt j = 0; j < s; j++) {
      const PetscReal hC = h * (table->b[j] - table->A[i * s + j]);
      const PetscReal *JT = g->JT + j * nx * nx;
      for (PetscInt a = 0; a < nx; a++) {
        g->solution[i * nx + a] += hC * g->residual[j * nx + a];
        for (PetscInt b = 0; b < nx; b++)
          g->lu[(i * nx + a) * n + j * nx + b] = (i == j && a == b ? 1 : 0) - hC * JT[a * nx + b];
      }
    }
  }
  if (!LinearFactor(n, g->lu, g->pivots)) return PETSC_FALSE;
  LinearSolve(n, 1, g->lu, g->pivots, g->solution);
  for (PetscInt j = 0; j < s; j++) {
    PetscReal *slope = g->slope + j * nx; // no longer needed
    TimesJacobian(g, j, g->solution + j * nx, slope);
    for (PetscInt a = 0; a < nx; a++) alpha[a] += h * table->b[j] * (g->residual[j * nx + a] + slope[a]);
  }
  return PETSC_TRUE;
}

// ---- backward ----

// The products at a block's nodes enter dL/dtheta, and alpha - alpha~ is collected.
static void AddBlock(CtpgGaussSweep g, const CtpgPathPiece *piece, const PetscReal *block, PetscReal *gtheta) {
  const PetscInt s = (PetscInt)block[3], nx = g->nx;
  const PetscReal *factors[MOST];
  PetscReal weights[MOST];
  const PetscReal *const sets[] = {weights};
  for (PetscInt i = 0; i < s; i++) {
    factors[i] = g->factors + i * g->factor_size;
    weights[i] = block[2] * TableOf(g, block)->b[i];
    for (PetscInt a = 0; a < nx; a++) g->solution[i * nx + a] -= g->given[i * nx + a];
    CtpgJacobiansCollect(g->jacobians, piece->first, piece->end, g->t[i], weights[i], g->solution + i * nx);
  }
  CtpgClosedLoopSumKept(g->loop, s, factors, 1, sets, CtpgAddPiece, gtheta);
}

static void SweepBackward(CtpgGaussSweep g, const CtpgPathPiece *pieces, PetscReal *gtheta) {
  const PetscInt nx = g->nx;
  CtpgClosedLoopSetPurpose(g->loop, CTPG_ADJOINT);
  for (PetscInt n = g->blocks.count - 1; n >= 0; n--) {
    const PetscReal *block = CtpgRowsAt(&g->blocks, n);
    const CtpgPathPiece *piece = pieces + (PetscInt)block[0];
    const PetscInt s = (PetscInt)block[3];
    PetscReal low, high;
    CtpgClosedLoopEnterPiece(g->loop, g->respect_breaks, (PetscInt)block[0], &low, &high);
    Place(g, piece, block);
    memset(g->slope, 0, (size_t)(s * nx) * sizeof *g->slope);
    if (CtpgClosedLoopVJPKeep(g->loop, s, g->t, g->x, g->given, g->ones, g->slope, g->factors) != CTPG_OK) return;
    if (!SolveBlock(g, block, g->alpha)) {
      CtpgClosedLoopFail(g->loop, CTPG_DIVERGED, "the error sweep meets a singular system at t = %.6g", block[1]);
      return;
    }
    AddBlock(g, piece, block, gtheta);
  }
}

void CtpgGaussSweepRun(CtpgGaussSweep g, PetscInt npieces, const CtpgPathPiece *pieces, PetscInt column,
                       PetscReal nodes_per_step, PetscReal *gtheta, PetscReal *gx0) {
  PetscReal J;
  CtpgRowsTruncate(&g->blocks, 0);
  memset(gtheta, 0, (size_t)g->np * sizeof *gtheta);
  for (PetscInt k = 0; k < npieces; k++) MakeBlocks(g, k, pieces + k, nodes_per_step);
  CtpgDriftRun(&g->drift, npieces, pieces, column);
  if (CtpgClosedLoopGetStatus(g->loop) == CTPG_OK) CtpgDriftEnd(&g->drift, pieces + npieces - 1, g->x);
  if (CtpgClosedLoopTerminal(g->loop, g->x, &J, g->alpha) == CTPG_OK) SweepBackward(g, pieces, gtheta);
  CtpgClosedLoopSetPiece(g->loop, -1);
  for (PetscInt k = 0; k < npieces; k++)
    CtpgJacobiansAddCollected(g->jacobians, pieces[k].first, pieces[k].end, gtheta);
  memcpy(gx0, g->alpha, (size_t)g->nx * sizeof *gx0);
}

// The first block that ends later than t; their number: there is none.
static PetscInt BlockAfter(CtpgGaussSweep g, PetscReal t) {
  PetscInt low = 0, high = g->blocks.count;
  while (low < high) {
    const PetscInt middle = low + (high - low) / 2;
    const PetscReal *block = CtpgRowsAt(&g->blocks, middle);
    if (block[1] + block[2] <= t)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

PetscReal CtpgGaussSweepNext(CtpgGaussSweep g, PetscReal t) {
  for (PetscInt n = BlockAfter(g, t); n < g->blocks.count; n++) {
    const PetscReal *block = CtpgRowsAt(&g->blocks, n);
    for (PetscInt i = 0; i < (PetscInt)block[3]; i++) {
      const PetscReal node = block[1] + block[2] * TableOf(g, block)->c[i];
      if (node > t) return node;
    }
  }
  return PETSC_MAX_REAL;
}
