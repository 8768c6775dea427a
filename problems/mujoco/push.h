// push.h -- which joints a policy pushes beside the model's actuators, from options push, push_gear and push_limit
//
// For models without actuators, or with too few: a generalised force at a hinge or slide, N or N m, as of a motor.
#ifndef CTPG_MUJOCO_PUSH_H
#define CTPG_MUJOCO_PUSH_H

#include "problems/mujoco/plant.h"

#ifdef CTPG_HAVE_MUJOCO

// pushes [n], allocated here, in the order of the option; n = 0 without it, which is refused where the model has no
// actuator either.
PetscErrorCode MujocoPushesRead(MujocoPlant plant, CtpgOptions options, PetscInt *n, MujocoPush **pushes);

#endif
#endif
