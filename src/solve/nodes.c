// nodes.c -- see nodes.h; integrals of polynomials by Gauss's quadrature, exact for all that occur
//
// Weights come first: Newton's form turned into one weight a node (CtpgNodesIntegral), or Lagrange's polynomials where
// a value at t is wanted. A path finds the interval of t, takes the nodes around it (IntervalNodes), and sums values
// under these weights; integrals go from the start of the interval on, so that the path passes through its nodes.

#include "ctpgbench/toolkit/nodes.h"
#include "loop/combine.h"
#include <math.h>

#define GAUSS 8  // exact up to degree 15
#define LANES 12 // CTPG_NODES_MOST, up to whole vectors
#define STIFF 10 // how much more slopes at rest may say than the move: what is stiff keeps a multiple of its deviation

// values [n] = scale (values - before)
CTPG_WIDE static void Difference(PetscInt n, PetscReal scale, const PetscReal *restrict before,
                                 PetscReal *restrict values) {
#pragma omp simd
  for (PetscInt j = 0; j < n; j++) values[j] = (values[j] - before[j]) * scale;
}

void CtpgDivideDifferences(PetscInt m, const PetscReal *z, PetscInt width, PetscReal *const *values) {
  for (PetscInt level = 1; level < m; level++)
    for (PetscInt i = m - 1; i >= level; i--) {
      const PetscReal scale = 1 / (z[i] - z[i - level]);
      Difference(width, scale, values[i - 1], values[i]);
    }
}

CTPG_WIDE static void Extend(PetscInt m, const PetscReal *z, PetscInt width, PetscReal *const *older,
                             PetscReal *const *values) {
  for (PetscInt i = 1; i < m; i++) {
    const PetscReal scale = 1 / (z[i] - z[0]), *before = older[i - 1], *below = values[i - 1];
    PetscReal *value = values[i];
#pragma omp simd
    for (PetscInt j = 0; j < width; j++) value[j] = (before[j] - below[j]) * scale;
  }
}

void CtpgExtendDifferences(PetscInt m, const PetscReal *z, PetscInt width, PetscReal *const *older,
                           PetscReal *const *values) {
  Extend(m, z, width, older, values);
}

CTPG_WIDE static void Integrate(PetscInt m, const PetscReal *z, PetscReal a, PetscReal b, PetscReal *integrals) {
  static const PetscReal point[GAUSS] = {0.18343464249564980,  -0.18343464249564980, 0.52553240991632899,
                                         -0.52553240991632899, 0.79666647741362674,  -0.79666647741362674,
                                         0.96028985649753623,  -0.96028985649753623};
  static const PetscReal weight[GAUSS] = {0.36268378337836198, 0.36268378337836198, 0.31370664587788729,
                                          0.31370664587788729, 0.22238103445337447, 0.22238103445337447,
                                          0.10122853629037626, 0.10122853629037626};
  const PetscReal middle = 0.5 * (a + b), half = 0.5 * (b - a);
  PetscReal s[GAUSS], product[GAUSS];
  for (PetscInt g = 0; g < GAUSS; g++) s[g] = middle + half * point[g], product[g] = half * weight[g];
  for (PetscInt i = 0; i < m; i++) {
    integrals[i] = 0;
    for (PetscInt g = 0; g < GAUSS; g++) integrals[i] += product[g];
#pragma omp simd
    for (PetscInt g = 0; g < GAUSS; g++) product[g] *= s[g] - z[i];
  }
}

void CtpgNewtonIntegrals(PetscInt m, const PetscReal *z, PetscReal a, PetscReal b, PetscReal *integrals) {
  Integrate(m, z, a, b, integrals);
}

// weights [m]: of value j its coefficients in the differences over z_0 .. z_i, i >= j, times integrals [m], summed.
// Over the common denominator prod_{l != j} (z_j - z_l) they are the products over l > i alone, which
// grow from i to i - 1.
CTPG_WIDE static void Weigh(PetscInt m, const PetscReal *z, const PetscReal *integrals, PetscReal *weights) {
  static const PetscReal last[2 * LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}; // [LANES - 1 + j - i]: is j <= i?
  static const PetscReal same[2 * LANES] = {[LANES] = 1};                        // [LANES + j - i]: is j = i?
  PetscReal node[LANES], all[LANES];
  for (PetscInt j = 0; j < LANES; j++) node[j] = j < m ? z[j] : z[m - 1] + 1;
  for (PetscInt v = 0; v < m; v += CTPG_LANES) {
    const CtpgLanes x = CTPG_LANES_AT(node + v);
    CtpgLanes product = {1, 1, 1, 1}, sum = {0};
    for (PetscInt i = m - 1; i >= 0; i--) {
      sum += product * (integrals[i] * CTPG_LANES_AT(last + LANES - 1 - i + v));
      product *= (x - z[i]) + CTPG_LANES_AT(same + LANES - i + v);
    }
    CTPG_LANES_AT(all + v) = sum / product;
  }
  memcpy(weights, all, (size_t)m * sizeof *weights);
}

void CtpgNodesIntegral(PetscInt m, const PetscReal *z, PetscReal a, PetscReal b, PetscReal *weights) {
  PetscReal integrals[CTPG_NODES_MOST];
  CtpgNewtonIntegrals(m, z, a, b, integrals);
  Weigh(m, z, integrals, weights);
}

PetscInt CtpgNodesFirst(PetscInt m, PetscInt count, PetscInt i) {
  return PetscMax(0, PetscMin(i - (m / 2 - 1), count - m));
}

PetscReal *CtpgNodePathRow(const CtpgNodePath *path, PetscInt i) {
  return CtpgRowsAt(path->rows, path->first + i);
}

// The nodes of an interpolant: rows, their times, weights.
typedef struct {
  PetscInt count;
  const PetscReal *row[CTPG_NODES_MOST];
  PetscReal z[CTPG_NODES_MOST], weight[CTPG_NODES_MOST];
} Around;

// The nodes around interval i. own: as many of the newest nodes; 0: `most` of the nearest.
static void IntervalNodes(const CtpgNodePath *path, PetscInt most, PetscInt own, PetscInt i, Around *around) {
  const PetscInt m = own ? PetscMin(own, i + 2) : PetscMin(most, path->count);
  const PetscInt low = own ? i + 2 - m : CtpgNodesFirst(most, path->count, i);
  around->count = m;
  for (PetscInt j = 0; j < m; j++) {
    around->row[j] = CtpgNodePathRow(path, low + j);
    around->z[j] = around->row[j][0];
  }
}

// Their weights in the integral from time a to time b.
static void WeighAround(Around *around, PetscReal a, PetscReal b) {
  CtpgNodesIntegral(around->count, around->z, a, b, around->weight);
}

// y [n] += weight slope.
CTPG_WIDE static void AddWeighed(PetscInt n, PetscReal weight, const PetscReal *restrict slope, PetscReal *restrict y) {
#pragma omp simd
  for (PetscInt k = 0; k < n; k++) y[k] += weight * slope[k];
}

// y [n] at t by interval i.
static void Interpolate(const CtpgNodePath *path, PetscInt m, PetscInt own, PetscInt i, PetscReal t, PetscReal *y) {
  const PetscReal *start = CtpgNodePathRow(path, i);
  Around around;
  IntervalNodes(path, m, own, i, &around);
  WeighAround(&around, start[0], t);
  memcpy(y, start + 1, (size_t)path->n * sizeof *y);
  for (PetscInt j = 0; j < around.count; j++) AddWeighed(path->n, around.weight[j], around.row[j] + 1 + path->n, y);
}

// Components that rest between nodes i and i + 1 are linear there; who moves little and one way stays between its ends.
static void KeepAtRest(const CtpgNodePath *path, PetscInt i, PetscReal t, PetscReal *y) {
  const PetscReal *start = CtpgNodePathRow(path, i), *end = CtpgNodePathRow(path, i + 1);
  const PetscReal *a = start + 1, *b = end + 1, *slope_a = a + path->n, *slope_b = b + path->n;
  const PetscReal h = end[0] - start[0], part = (t - start[0]) / h;
  for (PetscInt k = 0; k < path->n; k++) {
    const PetscReal size = PetscMax(fabs(a[k]), fabs(b[k])), move = b[k] - a[k];
    const PetscReal little = path->rest * PetscMax(size, path->least);
    const PetscReal slope = h * PetscMax(fabs(slope_a[k]), fabs(slope_b[k]));
    if (fabs(move) < little && slope < STIFF * little)
      y[k] = a[k] + part * move;
    else if (fabs(move) < STIFF * little && slope_a[k] * move >= 0 && slope_b[k] * move >= 0)
      y[k] = PetscMax(PetscMin(a[k], b[k]), PetscMin(y[k], PetscMax(a[k], b[k])));
  }
}

// The interval of t, searched from *interval on, and how many of its newest nodes it takes (`own`).
static PetscInt FindInterval(const CtpgNodePath *path, PetscReal t, PetscInt *interval) {
  PetscInt i = PetscMax(0, PetscMin(*interval, path->count - 2));
  while (i > 0 && CtpgNodePathRow(path, i)[0] >= t) i--;
  while (i < path->count - 2 && CtpgNodePathRow(path, i + 1)[0] < t) i++;
  *interval = i;
  return (PetscInt)CtpgNodePathRow(path, i + 1)[1 + 2 * path->n];
}

void CtpgNodePathAt(const CtpgNodePath *path, PetscInt m, PetscReal t, PetscInt *interval, PetscReal *y) {
  const PetscInt own = FindInterval(path, t, interval);
  Interpolate(path, m, own, *interval, t, y);
  if (path->rest > 0) KeepAtRest(path, *interval, t, y);
}

void CtpgNodePathColumnsAt(const CtpgNodePath *path, PetscInt m, PetscInt column, PetscInt width, PetscReal t,
                           PetscInt *interval, PetscReal *out) {
  const PetscInt own = FindInterval(path, t, interval);
  Around around;
  IntervalNodes(path, m, own, *interval, &around);
  memset(out, 0, (size_t)width * sizeof *out);
  for (PetscInt j = 0; j < around.count; j++) {
    PetscReal weight = 1;
    for (PetscInt i = 0; i < around.count; i++)
      if (i != j) weight *= (t - around.z[i]) / (around.z[j] - around.z[i]);
    for (PetscInt k = 0; k < width; k++) out[k] += weight * around.row[j][column + k];
  }
}

void CtpgNodePathDefect(const CtpgNodePath *path, PetscInt m, PetscInt i, PetscReal *out) {
  const PetscReal *end = CtpgNodePathRow(path, i + 1);
  Interpolate(path, m, 0, i, end[0], out);
  for (PetscInt k = 0; k < path->n; k++) out[k] -= end[1 + k];
}

PetscReal CtpgNodePathIntegral(const CtpgNodePath *path, PetscInt m, PetscInt column) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i + 1 < path->count; i++) {
    Around around;
    IntervalNodes(path, m, 0, i, &around);
    WeighAround(&around, CtpgNodePathRow(path, i)[0], CtpgNodePathRow(path, i + 1)[0]);
    for (PetscInt j = 0; j < around.count; j++) sum += around.weight[j] * around.row[j][column];
  }
  return sum;
}
