// cost.h -- the cost of problem mujoco: a quadratic form of the state, of named readings and of the control
//
//   w = s(x) + sum c_k u_k^2,  J = terminal s(x(T))
//   s = sum a_j d_j^2 + sum b_j qvel_j^2 + sum e_i (y_i - y*_i)^2
// d_j: distance of joint j to the target; of a rotation, d^2 = 4 sin^2(angle / 2). y: readings by name (readings.h).
#ifndef CTPG_MUJOCO_COST_H
#define CTPG_MUJOCO_COST_H

#include "problems/mujoco/plant.h"
#include "problems/mujoco/readings.h"

#ifdef CTPG_HAVE_MUJOCO

typedef struct {
  MujocoPlant plant;
  PetscReal *target;                        // [nq], quaternions of length 1
  PetscReal *position, *velocity, *control; // [njnt] [nv] [nu] weights
  PetscReal terminal;
  MujocoReadings track;
  PetscReal *goal, *weight, *values; // [track.size]; the last is scratch
} MujocoCost;

// Reads target, cost_*, track*, terminal. Zeroed costs can be destroyed.
PetscErrorCode MujocoCostRead(MujocoCost *cost, MujocoPlant plant, CtpgOptions options);
PetscErrorCode MujocoCostDestroy(MujocoCost *cost);

// values [n], allocated here: one number for all, or n of them; `fallback` where none is given. From `least` to 1e12.
PetscErrorCode MujocoNumbersRead(CtpgOptions options, const char *name, const char *help, PetscInt n, PetscReal least,
                                 PetscReal fallback, PetscReal **values);

// *w; u NULL: s(x) alone.
CtpgStatus MujocoCostEval(const MujocoCost *cost, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *w);
// gx += c w_x, gu += c w_u; u NULL: of s(x).
CtpgStatus MujocoCostProduct(const MujocoCost *cost, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal c,
                             PetscReal *gx, PetscReal *gu);

#endif
#endif
