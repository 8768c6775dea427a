// nodes.h -- paths and integrals by interpolation on the nodes of a solve, however they are spaced
#ifndef CTPG_NODES_H
#define CTPG_NODES_H

#include "ctpgbench/arena.h"

#pragma GCC visibility push(default)

#define CTPG_NODES_MOST 10 // nodes of one interpolant

// values [m] -> [width] become the divided differences over z_0; z_0, z_1; ... of distinct z [m].
void CtpgDivideDifferences(PetscInt m, const PetscReal *z, PetscInt width, PetscReal *const *values);
// The same with one point more in front: values [m], of which values_0 is given, become the differences over z_0; z_0,
// z_1; ... from older [m - 1], those over z_1; z_1, z_2; .... older_i may be values_{i+1}.
void CtpgExtendDifferences(PetscInt m, const PetscReal *z, PetscInt width, PetscReal *const *older,
                           PetscReal *const *values);
// integrals [m] of 1, (s - z_0), (s - z_0)(s - z_1), ... over [a, b].
void CtpgNewtonIntegrals(PetscInt m, const PetscReal *z, PetscReal a, PetscReal b, PetscReal *integrals);
// weights [m]: int_a^b of the interpolant through values v at z is sum_j weights_j v_j.
void CtpgNodesIntegral(PetscInt m, const PetscReal *z, PetscReal a, PetscReal b, PetscReal *weights);
// The interval between nodes i and i + 1 of `count` takes m of them evenly from both sides: the first one.
PetscInt CtpgNodesFirst(PetscInt m, PetscInt count, PetscInt i);

// Nodes `first` .. `first + count - 1` of rows (t, y [n], slope [n], own, ...), times rising. own: the interval that
// ends at the node takes this many of the newest nodes; 0: the m nearest ones. rest: an interpolant of high order may
// leave a component at rest by the tolerance of the path, and stand on the other side of a jump that the path rests on.
// So one that moves by less than r = rest max(|y_k|, least) between two nodes, and by the slopes at both by less than
// 10 r, is linear there; one that moves by less than 10 r, with both slopes in the direction of the move, keeps within
// its values at the two.
typedef struct {
  const CtpgRows *rows;
  PetscInt n, first, count;
  PetscReal rest, least;
} CtpgNodePath;
PetscReal *CtpgNodePathRow(const CtpgNodePath *path, PetscInt i); // i < count
// y [n] at t within the path: y_i plus the integral of the interpolant of the m nearest slopes from t_i on. *interval:
// where to begin the search, and where t was found.
void CtpgNodePathAt(const CtpgNodePath *path, PetscInt m, PetscReal t, PetscInt *interval, PetscReal *y);
// out [width]: the interpolant at t of the values at columns [column, column + width) of the nodes that y takes there.
void CtpgNodePathColumnsAt(const CtpgNodePath *path, PetscInt m, PetscInt column, PetscInt width, PetscReal t,
                           PetscInt *interval, PetscReal *out);
// out [n]: how far y_i plus the integral of the m nearest slopes is from y_{i+1}, whatever `own` says.
void CtpgNodePathDefect(const CtpgNodePath *path, PetscInt m, PetscInt i, PetscReal *out);
// Integral over the path of the values at `column` of its rows, interval by interval on m nodes.
PetscReal CtpgNodePathIntegral(const CtpgNodePath *path, PetscInt m, PetscInt column);

#pragma GCC visibility pop

#endif
