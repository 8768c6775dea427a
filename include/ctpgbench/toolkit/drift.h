// drift.h -- how far a path is from the solution, by what its own nodes say of it
//
// Between nodes i and i + 1 a path x~ is y_i plus the integral of an interpolant of the slopes on both sides; the step
// itself knew fewer of them, all on one side. At t_{i+1} the path misses y_{i+1} by d_i: the error of the step. The
// slopes F = f(t, x^P) + M (x - x^P) were made with a frozen M; the Jacobians around them tell better. Hence
//   delta' = J(t) delta + (J(t) - M) (x - x^P) between nodes,  delta += d_i at node i + 1
// by the implicit midpoint rule, and x~ + delta is the solution up to terms of second order.
// No evaluation, but where d_i is ten times what the solver allows: slopes on both sides of a kink of f tell nothing of
// the step. There d_i is y_i + int f(t, x~) - y_{i+1}, by evaluations of f at Gauss nodes.
// Weakness: what lies between all nodes (a peak) is not in it.
#ifndef CTPG_DRIFT_H
#define CTPG_DRIFT_H

#include "ctpgbench/toolkit/jacobians.h"
#include "ctpgbench/toolkit/multistep.h"

#pragma GCC visibility push(default)

#define CTPG_DRIFT_POINTS 3 // Gauss nodes where f is asked

// What lies between two breaks: [t_low, t_high], nodes of x~ in t, nodes of alpha~ in s = t_high - t, a range of
// Jacobians.
typedef struct {
  PetscReal t_low, t_high;
  CtpgNodePath path, adjoint;
  PetscInt first, end;
} CtpgPathPiece;

typedef struct {
  CtpgClosedLoop loop;
  CtpgJacobians jacobians;
  CtpgMultistep solver; // of the path, for its error norm
  PetscBool respect_breaks;
  PetscInt nx;
  PetscInt most_nodes; // of the interpolants
  CtpgRows rows;       // as the rows of the paths: delta at the end of the step that led there, and behind it
  PetscReal *JT, *lu, *delta, *d;                       // work [nx, nx], [nx, nx], [nx], [nx]
  PetscBLASInt *pivots;                                 // [nx]
  PetscReal c[CTPG_DRIFT_POINTS], b[CTPG_DRIFT_POINTS]; // Gauss nodes on [0, 1]
  PetscReal *x, *f, *later;                             // [CTPG_DRIFT_POINTS, nx] twice, [nx]
} CtpgDrift;

// loop, jacobians, solver and arena are borrowed.
PetscErrorCode CtpgDriftCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, CtpgMultistep solver,
                               PetscBool respect_breaks, PetscInt most_nodes, CtpgArena *arena, CtpgDrift *drift);
void CtpgDriftFree(CtpgDrift *drift);
// Pieces of one solve, whose rows follow one another. Their rows hold x - x^P [nx] at `column` and M (x - x^P) [nx]
// behind it. On failure the loop has latched why.
void CtpgDriftRun(CtpgDrift *drift, PetscInt npieces, const CtpgPathPiece *pieces, PetscInt column);
// x [nx] = x~ + delta at t within the piece; *interval as in CtpgNodePathAt.
void CtpgDriftAt(const CtpgDrift *drift, const CtpgPathPiece *piece, PetscReal t, PetscInt *interval, PetscReal *x);
// The same at the end of the piece.
void CtpgDriftEnd(const CtpgDrift *drift, const CtpgPathPiece *piece, PetscReal *x);

#pragma GCC visibility pop

#endif
