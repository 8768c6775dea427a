// sensors.c -- sensors of a MuJoCo plant, and their derivatives by central differences (plant.h)

#include "problems/mujoco/inside.h"
#include "problems/mujoco/plant.h"
#include <math.h>

static void Sense(MujocoPlant p, mjtStage known) {
  if (known == mjSTAGE_NONE) {
    mj_fwdPosition(p->m, p->d);
    mj_sensorPos(p->m, p->d);
  }
  mj_fwdVelocity(p->m, p->d);
  mj_sensorVel(p->m, p->d);
  if (known == mjSTAGE_NONE)
    p->calls.position++;
  else
    p->calls.velocity++;
}

// g' (sensors now - sensors kept)
static PetscReal ChangeAlong(MujocoPlant p, const PetscReal *g) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < p->m->nsensordata; i++) sum += g[i] * (p->data[i] - p->d->sensordata[i]);
  return sum;
}

static PetscReal EntryDifference(MujocoPlant p, mjtNum *entry, mjtStage known, const PetscReal *g) {
  const mjtNum at = *entry, high = at + MUJOCO_STEP, low = at - MUJOCO_STEP;
  *entry = high;
  Sense(p, known);
  MujocoCopy(p->data, p->d->sensordata, p->m->nsensordata);
  *entry = low;
  Sense(p, known);
  *entry = at;
  return ChangeAlong(p, g) / (high - low);
}

static PetscReal RotationDifference(MujocoPlant p, PetscInt j, const PetscReal *g) {
  mjtNum *quat = p->d->qpos + p->dofs[j].q;
  const mjtNum at[4] = {quat[0], quat[1], quat[2], quat[3]};
  MujocoRotate(p, j, MUJOCO_STEP);
  Sense(p, mjSTAGE_NONE);
  MujocoCopy(p->data, p->d->sensordata, p->m->nsensordata);
  MujocoCopy(quat, at, 4);
  MujocoRotate(p, j, -MUJOCO_STEP);
  Sense(p, mjSTAGE_NONE);
  MujocoCopy(quat, at, 4);
  return ChangeAlong(p, g) / (2 * MUJOCO_STEP);
}

static void SenseWork(void *job) {
  const MujocoPoint *point = job;
  Sense(point->p, mjSTAGE_NONE);
  MujocoCopy(point->result, point->p->d->sensordata, point->p->m->nsensordata);
}

static void SenseVJPWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  Sense(p, mjSTAGE_NONE);
  for (PetscInt j = 0; j < nv; j++) point->gx[nq + j] += EntryDifference(p, p->d->qvel + j, mjSTAGE_POS, point->v);
  for (PetscInt j = 0; j < nv; j++)
    p->tangent[j] = p->dofs[j].axis < 0 ? EntryDifference(p, p->d->qpos + p->dofs[j].q, mjSTAGE_NONE, point->v)
                                        : RotationDifference(p, j, point->v);
  MujocoAddFromTangent(p, point->x, p->tangent, point->gx);
}

// Central difference along v, by a step that moves its largest entry by MUJOCO_STEP.
static void SenseJVPWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  PetscReal *data[2] = {p->data, p->d->sensordata}, longest = 0;
  for (PetscInt j = 0; j < nq + nv; j++) longest = fmax(longest, fabs(point->v[j]));
  const PetscReal step = MUJOCO_STEP / (longest > 0 ? longest : 1);
  for (int side = 0; side < 2; side++) {
    const PetscReal s = side ? -step : step;
    MujocoSetPositions(p, point->x, point->v, s);
    for (PetscInt j = 0; j < nv; j++) p->d->qvel[j] = point->x[nq + j] + s * point->v[nq + j];
    Sense(p, mjSTAGE_NONE);
    if (!side) MujocoCopy(data[0], data[1], p->m->nsensordata);
  }
  for (PetscInt i = 0; i < p->m->nsensordata; i++) point->result[i] = (data[0][i] - data[1][i]) / (2 * step);
}

CtpgStatus MujocoPlantSense(MujocoPlant plant, PetscReal t, const PetscReal *x, PetscReal *data) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .result = data};
  return MujocoVisit(&point, SenseWork, plant->m->nsensordata);
}

CtpgStatus MujocoPlantSenseVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *g, PetscReal *gx) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .v = g, .gx = gx};
  return MujocoVisit(&point, SenseVJPWork, 0);
}

CtpgStatus MujocoPlantSenseJVP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *dx,
                               PetscReal *ddata) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .v = dx, .result = ddata};
  return MujocoVisit(&point, SenseJVPWork, plant->m->nsensordata);
}
