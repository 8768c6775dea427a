// inside.h -- what the files of a MuJoCo plant share: its memory, points, quaternions
//
// Every call goes through MujocoVisit: set time, state and control, run the work under MujocoGuard, look at warnings.
#ifndef CTPG_MUJOCO_INSIDE_H
#define CTPG_MUJOCO_INSIDE_H

#include "problems/mujoco/model.h"
#include "problems/mujoco/plant.h"

#ifdef CTPG_HAVE_MUJOCO

#define MUJOCO_STEP     1e-5  // of central differences: truncation and rounding of qacc balance there
#define QUATERNION_RATE 1.0   // 1/s, at which a quaternion's length comes back to 1
#define ACTIVATION_RATE 100.0 // 1/s, at which an activation comes back to its range
#define ACTIVATION_REST 1e-6  // of the range, beyond its end: where it rests

// Where degree of freedom j acts in qpos: on a number, or (axis >= 0) as a rotation on a quaternion that begins there.
typedef struct {
  PetscInt q, axis;
} MujocoDof;

// Derivatives of the rates (qacc, act') at a point, one column per control, activation, velocity and tangent position.
typedef struct {
  PetscBool valid;
  PetscReal *x, *u;  // where
  PetscReal *base;   // [nrates] rates there
  PetscReal *near;   // where the constraint solver begins a difference: base, or NULL
  PetscReal *change; // [ncolumns, nrates] change of the rates
  PetscReal *width;  // [ncolumns] by this displacement; 0: the entry has no effect
  PetscReal *ahead;  // [nrates] at the other end of a difference
  PetscBool *held;   // [na] activations that are at rest at an end of their range
} MujocoColumns;

struct MujocoPlant_s {
  MujocoModel *shared;
  const mjModel *m;
  mjData *d;
  MujocoCalls calls;
  PetscInt nx, nu, nrates, nquats; // nu: controls of actuators, then pushes
  PetscInt npush;
  MujocoPush *push;                  // [npush]
  PetscReal *pushed;                 // [npush] controls at the point
  MujocoDof *dofs;                   // [nv]
  PetscReal *act_low, *act_high;     // [na] ranges of activations, infinite where there is none
  PetscBool *act_off;                // [na] of an actuator that is switched off
  PetscReal *mocap_pos, *mocap_quat; // [nmocap, 3], [nmocap, 4]
  PetscBool affine;                  // controls act affinely where no constraint is active
  PetscBool forward;                 // differences
  MujocoColumns columns;
  PetscReal *product, *unit; // [nx]; unit is zero between calls
  PetscReal *tangent;        // [nv]
  PetscReal *data, *weights; // [nsensordata] sensors; their weights in a product
  PetscReal *jacobian;       // [6, nv] of a frame
};

// Arguments of every guarded call; NULL where it has none.
typedef struct {
  MujocoPlant p;
  PetscReal t;
  const PetscReal *x, *u, *v;
  PetscReal *result, *gx, *gu, *fx, *fu;
} MujocoPoint;

// work at the point. What MuJoCo complains about is a point at which the plant is not defined.
CtpgStatus MujocoVisit(MujocoPoint *point, void (*work)(void *), PetscInt nresult);
// d->qpos turned by a small angle about dof j, a rotation.
void MujocoRotate(MujocoPlant p, PetscInt j, PetscReal angle);
// qpos displaced along dq [nq]: d->qpos = x + step dq, quaternions at length 1.
void MujocoSetPositions(MujocoPlant p, const PetscReal *x, const PetscReal *dq, PetscReal step);
// gx [nq] += what a derivative along the dofs, g [nv], is in the numbers of x.
void MujocoAddFromTangent(MujocoPlant p, const PetscReal *x, const PetscReal *g, PetscReal *gx);
// xi [nv], along the dofs, of a change dx [nq] of the numbers of x
void MujocoToTangent(MujocoPlant p, const PetscReal *x, const PetscReal *dx, PetscReal *xi);
// mj_forward without what earlier calls have computed: all, all but positions, or all but positions and velocities. The
// constraint solver begins at the accelerations `near` [nv], those of a point beside this one; NULL: at those without
// constraints.
void MujocoForward(MujocoPlant p, mjtStage known, const PetscReal *near);
// rates [nrates] = (qacc, act') after MujocoForward, with activations at rest where they are held.
void MujocoCopyRates(MujocoPlant p, PetscReal *rates);
// Which activations are held at the point, from its rates as the engine has them.
void MujocoHold(MujocoPlant p, const PetscReal *x);
// f [nq] = qpos'.
void MujocoKinematics(MujocoPlant p, const PetscReal *x, PetscReal *f);
// product [nx] = (qpos')_x' v for v [nq], and what pulls activations back into their range, for v [nx].
void MujocoKinematicsProduct(MujocoPlant p, const PetscReal *x, const PetscReal *v, PetscReal *product);

// Where push k acts, and its force under the control u.
static inline mjtNum *MujocoPushedForce(MujocoPlant p, PetscInt k) {
  return p->d->qfrc_applied + p->m->jnt_dofadr[p->push[k].joint];
}
static inline PetscReal MujocoPushForce(MujocoPlant p, PetscInt k, PetscReal u) {
  return p->push[k].gear * PetscMin(PetscMax(u, -p->push[k].limit), p->push[k].limit);
}

static inline void MujocoCopy(PetscReal *to, const PetscReal *from, PetscInt n) {
  for (PetscInt i = 0; i < n; i++) to[i] = from[i];
}
#endif

#endif
