// gausssweep.h -- one sweep of Newton's method along a path and back: the error of a gradient, measured
//
// Given a path x~(t), its adjoint alpha~(t) and a few Jacobians J(t):
//   forward   x = x~ + delta, what the nodes of the path say of its error (drift.h)
//   backward  blocks of 3 to 10 Gauss nodes c with weights b and A_ij = int_0^{c_i} l_j, which equidistribute the steps
//             of the adjoint (more than those of the path where the integrand of dL/dtheta has features of its own):
//             p_i = f_x' alpha~_i + w_x at (t_i, x_i), R_i = p_i - J_i' alpha~_i;
//             alpha_i = alpha_b + h sum_j (b_j - A_ij) (R_j + J_j' alpha_j), alpha_a likewise with b_j
//   gradient  sum h b_i (f_theta' alpha~_i + w_theta) + the Jacobians' f_theta' (alpha_i - alpha~_i), as in lia.c
// The result is some 4 to 25 times closer to the truth than what it starts from: their distance is the error of that.
// It is as good as the Jacobians between their times are: CtpgJacobiansRefine before it.
// Price: a product at each Gauss node.
// Weakness: the two share path, nodes and Jacobians. What neither sees (a peak between nodes) neither reports.
#ifndef CTPG_GAUSSSWEEP_H
#define CTPG_GAUSSSWEEP_H

#include "ctpgbench/toolkit/drift.h"

#pragma GCC visibility push(default)

typedef struct GaussSweep_s *CtpgGaussSweep;

// solver: of the path; most_nodes: of the interpolants of path and adjoint.
PetscErrorCode CtpgGaussSweepCreate(CtpgClosedLoop loop, CtpgJacobians jacobians, CtpgMultistep solver,
                                    PetscBool respect_breaks, PetscInt most_nodes, CtpgArena *arena,
                                    CtpgGaussSweep *sweep);
PetscErrorCode CtpgGaussSweepDestroy(CtpgGaussSweep *sweep);
// column: as in CtpgDriftRun. nodes_per_step: Gauss nodes for each step of the adjoint. gtheta [np], gx0 [nx]
// overwritten. On failure the loop has latched why.
void CtpgGaussSweepRun(CtpgGaussSweep sweep, PetscInt npieces, const CtpgPathPiece *pieces, PetscInt column,
                       PetscReal nodes_per_step, PetscReal *gtheta, PetscReal *gx0);
// The first node of the last run that is later than t; PETSC_MAX_REAL: there is none.
PetscReal CtpgGaussSweepNext(CtpgGaussSweep sweep, PetscReal t);

#pragma GCC visibility pop

#endif
