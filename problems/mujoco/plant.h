// plant.h -- a MuJoCo model as a plant: x = (qpos, qvel, act), f = (qpos', qacc, act') as mj_forward gives them
//
// For problems that stand on MuJoCo. One mjModel per process and file, shared by all plants of it; one mjData per
// plant, hence one thread per plant. qacc_warmstart is set before every engine call, to zero or, for a difference, to
// what the point itself has: results do not depend on what was computed before. Nothing allocates after create.
//
// Slides and hinges: qpos' = qvel. A ball or free joint has a quaternion q in qpos and a rotational velocity w, in
// the body's frame, in qvel: q' = q (0, w) / 2 + r (1 - |q|^2) q, r = 1/s. The second term is zero at |q| = 1 and pulls
// back what integration loses; forces see q / |q|. Derivatives in qpos are those with respect to the numbers in x.
//
// An activation with a range stops at its ends, as mj_step clamps it: act' = 0 where it would leave the range, and
// forces see it within. Beyond an end, where a step may put it by its error, act' pulls it back at 100/s to a little
// beyond: by this the adjoint forgets what was lost at the end.
//
// An error of MuJoCo never ends the process: while a model is loaded it becomes a PETSc error with MuJoCo's message,
// later the status CTPG_DOMAIN, as do its warnings (a full contact buffer, a singular inertia). Where an entry of x or
// u is beyond mjMAXVAL = 1e10, or not a number, all results are NaN.
//
// Products are differences of the engine in the tangent space of qpos, in qvel and in act, central with step 1e-5 or,
// by choice, forward with step 1e-6. A control acts affinely where no constraint is active, no force is limited and no
// actuator has a state: there its column is exact, from one difference across the control's range; elsewhere it is a
// difference too. A control outside its ctrlrange is clamped by MuJoCo: its derivative is zero; at an end of the range
// it is the one-sided derivative from within. Pushes likewise. All products at one (x, u) share their columns.
// Stages after E. Todorov, T. Erez, Y. Tassa, "MuJoCo: A physics engine for model-based control", IROS 2012.
#ifndef CTPG_MUJOCO_PLANT_H
#define CTPG_MUJOCO_PLANT_H

#include "ctpgbench/problem.h"

// All contacts in another way than the model says: time constants and the depth over which they set in times
// `softness` (stiffness falls with its square), and, if `smooth`, forces that grow from zero at the first touch.
typedef struct {
  PetscReal softness;
  PetscBool smooth;
} MujocoContacts;

#ifdef CTPG_HAVE_MUJOCO
#define CTPG_MUJOCO_UNAVAILABLE NULL
#include <mujoco/mujoco.h>

typedef struct MujocoPlant_s *MujocoPlant;

// A control u that no actuator of the model takes: the generalised force gear u at a hinge or slide, |u| <= limit.
typedef struct {
  int joint;
  PetscReal gear, limit;
} MujocoPush;

// file: path of an MJCF file, or the name of one of this program's own (reacher, acrobot, cartpole, drone, ball,
// hopper), which are compiled in. contacts NULL: as the model says. `option` names the culprit in messages: missing or
// broken files (MuJoCo's words), models without joints, and what no equation holds (model.h).
PetscErrorCode MujocoPlantCreate(const char *option, const char *file, const MujocoContacts *contacts,
                                 MujocoPlant *plant);
PetscErrorCode MujocoPlantDestroy(MujocoPlant *plant); // NULL handles are fine
// n controls more, behind those of the model's actuators; once, before anything is evaluated.
PetscErrorCode MujocoPlantPush(MujocoPlant plant, PetscInt n, const MujocoPush *pushes);
PetscInt MujocoPlantGetControls(MujocoPlant plant);                  // nu, pushes among them
const MujocoPush *MujocoPlantGetPush(MujocoPlant plant, PetscInt k); // owned by the plant
const mjModel *MujocoPlantGetModel(MujocoPlant plant);               // owned by the plant
// Hash of the compiled model, whatever the files it was made of, and of MuJoCo's version.
uint64_t MujocoPlantGetHash(MujocoPlant plant);
// Has it a quaternion, so that qpos' is not qvel?
PetscBool MujocoPlantHasQuaternions(MujocoPlant plant);
// Mocap bodies go to where a keyframe has them; key < 0: where the model's own pose does.
void MujocoPlantPlaceMocap(MujocoPlant plant, PetscInt key);
// Activation i within its range; the actuator it belongs to.
PetscReal MujocoPlantClampActivation(MujocoPlant plant, PetscInt i, PetscReal value);
int MujocoPlantActuatorOfState(MujocoPlant plant, PetscInt i);
// Seconds by which MuJoCo delays or spaces a sensor's values; 0: it shows the present.
mjtNum MujocoSensorDelay(const mjModel *model, int sensor);
// Forward instead of central differences: half the calls, about three digits less.
void MujocoPlantUseForwardDifferences(MujocoPlant plant);

// Refuses, in the name of the option, a model that is not defined at x [nx] without control: MuJoCo says why.
PetscErrorCode MujocoPlantCheckStart(MujocoPlant plant, const char *option, const PetscReal *x);

// f [nx] at x [nx], u [nu].
CtpgStatus MujocoPlantEval(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *f);
// gx [nx] += f_x' v, gu [nu] += f_u' v for v [nx]. Where the last product was not at the same x and u: 1 + 2 nv
// position-level calls, 2 nv velocity-level ones, and one control-level call per exact column of f_u, two per state of
// an actuator and per column of f_u by differences; with forward differences one in place of two.
CtpgStatus MujocoPlantVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, const PetscReal *v,
                          PetscReal *gx, PetscReal *gu);
// fx [nx, nx] and fu [nx, nu], overwritten, from the same columns.
CtpgStatus MujocoPlantJacobian(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *fx,
                               PetscReal *fu);

// Squared rotation, 4 sin^2(angle / 2), between the quaternion q [4] and `target` [4], which has length 1; adds c times
// its derivative to gq [4] unless that is NULL.
PetscReal MujocoRotation(const PetscReal *q, const PetscReal *target, PetscReal c, PetscReal *gq);

// Engine calls since create, by what had to be computed anew.
typedef struct {
  int64_t position, velocity, control;
} MujocoCalls;
MujocoCalls MujocoPlantGetCalls(MujocoPlant plant);

#else
#define CTPG_MUJOCO_UNAVAILABLE "built without MuJoCo: CMake found no libmujoco (Debian: libmujoco-dev)"
#endif

#endif
