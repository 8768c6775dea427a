// gausssweep.h -- one sweep of Newton's method on Gauss nodes: the error of a gradient, measured
//
// Given a path x~(t), its adjoint alpha~(t) and a few Jacobians J(t), blocks of 3 to 10 Gauss nodes c with weights b
// and A_ij = int_0^{c_i} l_j, which equidistribute the steps of the adjoint (more than those of the path where the
// integrand of dL/dtheta has features of its own):
//   forward   F_i = f(t_i, x~_i), R_i = F_i - J_i x~_i;  x_i = x_a + h sum_j A_ij (R_j + J_j x_j), x_b likewise with
//             b_j
//   backward  p_i = f_x' alpha~_i + w_x at (t_i, x_i), R_i = p_i - J_i' alpha~_i;
//             alpha_i = alpha_b + h sum_j (b_j - A_ij) (R_j + J_j' alpha_j), alpha_a likewise with b_j
//   gradient  sum h b_i (f_theta' alpha~_i + w_theta) + the Jacobians' f_theta' (alpha_i - alpha~_i), as in lia.c
// The result is some 4 to 25 times closer to the truth than what it starts from: their distance is the error of that.
// Price: f and a product at each Gauss node.
// Weakness: the two share path, nodes and Jacobians. What neither sees (a peak between nodes) neither reports.
#ifndef CTPG_GAUSSSWEEP_H
#define CTPG_GAUSSSWEEP_H

#include "ctpgbench/toolkit/jacobians.h"

#pragma GCC visibility push(default)

typedef struct GaussSweep_s *CtpgGaussSweep;

// What lies between two breaks: [t_low, t_high], nodes of x~ in t, nodes of alpha~ in s = t_high - t, a range of
// Jacobians.
typedef struct {
  PetscReal t_low, t_high;
  CtpgNodePath path, adjoint;
  PetscInt first, end;
} CtpgPathPiece;

PetscErrorCode CtpgGaussSweepCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, PetscBool respect_breaks,
                                    CtpgArena *arena, CtpgGaussSweep *sweep);
PetscErrorCode CtpgGaussSweepDestroy(CtpgGaussSweep *sweep);
// nodes_per_step: Gauss nodes for each step of the adjoint. gtheta [np], gx0 [nx], *loss overwritten. On failure the
// loop has latched why.
void CtpgGaussSweepRun(CtpgGaussSweep sweep, const PetscReal *x0, PetscInt npieces, const CtpgPathPiece *pieces,
                       PetscInt most_nodes, PetscReal nodes_per_step, PetscReal *gtheta, PetscReal *gx0,
                       PetscReal *loss);
// The first node of the last run that is later than t; PETSC_MAX_REAL: there is none.
PetscReal CtpgGaussSweepNext(CtpgGaussSweep sweep, PetscReal t);

#pragma GCC visibility pop

#endif
