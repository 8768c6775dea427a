// plant.h -- a MuJoCo model as a plant: x = (qpos, qvel, act), f = (qvel, qacc, act_dot) as mj_forward gives them
//
// For problems that stand on MuJoCo. Only slide and hinge joints, so that qpos' = qvel and nq = nv. One mjModel per
// process and file, shared by all plants of it; one mjData per plant, hence one thread per plant. qacc_warmstart is
// zeroed before every engine call: results do not depend on what was computed before. Nothing allocates after create.
//
// An error of MuJoCo never ends the process: while a model is loaded it becomes a PETSc error with MuJoCo's message,
// later the status CTPG_DOMAIN, as do its warnings (a full contact buffer, a singular inertia). Where an entry of x or
// u is beyond mjMAXVAL = 1e10, or not a number, all results are NaN.
//
// Products are central differences with step 1e-5 in qpos, qvel and act. A control acts affinely where no constraint is
// active, no force is clamped and no actuator has a state: there its column is exact, from one difference across the
// control's range; elsewhere it is a central difference too. A control outside its ctrlrange is clamped by MuJoCo: its
// derivative is zero; at an end of the range it is the one-sided derivative from within.
// Stages after E. Todorov, T. Erez, Y. Tassa, "MuJoCo: A physics engine for model-based control", IROS 2012.
#ifndef CTPG_MUJOCO_PLANT_H
#define CTPG_MUJOCO_PLANT_H

#include "ctpgbench/problem.h"

#ifdef CTPG_HAVE_MUJOCO
#define CTPG_MUJOCO_UNAVAILABLE NULL
#include <mujoco/mujoco.h>

typedef struct MujocoPlant_s *MujocoPlant;

// file: path of an MJCF file, or the name of one of this program's own (cartpole, reacher, acrobot), which are compiled
// in. `option` names the culprit in messages: missing or broken files (MuJoCo's words), ball and free joints, models
// without joints or without actuators.
PetscErrorCode MujocoPlantCreate(const char *option, const char *file, MujocoPlant *plant);
PetscErrorCode MujocoPlantDestroy(MujocoPlant *plant); // NULL handles are fine
const mjModel *MujocoPlantGetModel(MujocoPlant plant); // owned by the plant
// Hash of the compiled model, whatever the files it was made of, and of MuJoCo's version.
uint64_t MujocoPlantGetHash(MujocoPlant plant);

// f [nx] at x [nx], u [nu].
CtpgStatus MujocoPlantEval(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *f);
// gx [nx] += f_x' v, gu [nu] += f_u' v for v [nx]; 1 + 2 nq position-level calls, 2 nv velocity-level ones, and one
// control-level call per exact column of f_u or state of an actuator, two per column by differences.
CtpgStatus MujocoPlantVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, const PetscReal *v,
                          PetscReal *gx, PetscReal *gu);
// fx [nx, nx] and fu [nx, nu], overwritten, from the differences and for the price of one product.
CtpgStatus MujocoPlantJacobian(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *fx,
                               PetscReal *fu);
// data [nsensordata] of all sensors that need positions and velocities only; the others, which depend on the control,
// keep an undefined value.
CtpgStatus MujocoPlantSense(MujocoPlant plant, PetscReal t, const PetscReal *x, PetscReal *data);
// gx [nx] += data_x' g for g [nsensordata], which is zero for sensors that need the control; central differences.
CtpgStatus MujocoPlantSenseVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *g, PetscReal *gx);

// ddata [nsensordata] = data_x dx, by one central difference: two position-level calls.
CtpgStatus MujocoPlantSenseJVP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *dx,
                               PetscReal *ddata);

// Engine calls since create, by what had to be computed anew.
typedef struct {
  int64_t position, velocity, control;
} MujocoCalls;
MujocoCalls MujocoPlantGetCalls(MujocoPlant plant);

#else
#define CTPG_MUJOCO_UNAVAILABLE "built without MuJoCo: CMake found no libmujoco (Debian: libmujoco-dev)"
#endif

#endif
