// shapes.c -- geoms of a MuJoCo model as solids (shapes.h): sizes once, poses from the kinematics of a state

#include "problems/mujoco/shapes.h"
#include "problems/mujoco/inside.h"
#include <math.h>

#define SHOWN_GROUPS 3 // of geoms, by MuJoCo's viewer

// The box about points [n, 3]: its half widths and its middle.
static void BoxAbout(const float *points, PetscInt n, PetscReal *half, PetscReal *middle) {
  for (int k = 0; k < 3; k++) {
    PetscReal low = INFINITY, high = -INFINITY;
    for (PetscInt i = 0; i < n; i++) {
      low = fmin(low, points[3 * i + k]);
      high = fmax(high, points[3 * i + k]);
    }
    half[k] = n ? (high - low) / 2 : 0;
    middle[k] = n ? (high + low) / 2 : 0;
  }
}

// The solid of a geom; false where it has none.
static PetscBool ShapeOf(const mjModel *m, int g, CtpgShape *shape, PetscReal *middle) {
  const mjtNum *size = m->geom_size + 3 * g;
  const int data = m->geom_dataid[g];
  *shape = (CtpgShape){.size = {size[0], size[1], size[2]}};
  middle[0] = middle[1] = middle[2] = 0;
  switch (m->geom_type[g]) {
  case mjGEOM_PLANE: shape->solid = CTPG_PLANE; return PETSC_TRUE;
  case mjGEOM_SPHERE: shape->solid = CTPG_SPHERE; return PETSC_TRUE;
  case mjGEOM_CAPSULE: shape->solid = CTPG_CAPSULE; return PETSC_TRUE;
  case mjGEOM_ELLIPSOID: shape->solid = CTPG_ELLIPSOID; return PETSC_TRUE;
  case mjGEOM_CYLINDER: shape->solid = CTPG_CYLINDER; return PETSC_TRUE;
  case mjGEOM_BOX: shape->solid = CTPG_BOX; return PETSC_TRUE;
  default: break;
  }
  shape->solid = CTPG_BOX;
  if (data < 0) return PETSC_FALSE;
  if (m->geom_type[g] != mjGEOM_HFIELD) {
    BoxAbout(m->mesh_vert + 3 * m->mesh_vertadr[data], m->mesh_vertnum[data], shape->size, middle);
    return PETSC_TRUE;
  }
  const mjtNum *field = m->hfield_size + 4 * data; // half widths, height of the top, depth of the bottom
  shape->size[2] = (field[2] + field[3]) / 2;
  middle[2] = (field[2] - field[3]) / 2;
  shape->size[0] = field[0], shape->size[1] = field[1];
  return PETSC_TRUE;
}

static PetscBool IsShown(const mjModel *m, int g) {
  return m->geom_group[g] < SHOWN_GROUPS && m->geom_rgba[4 * g + 3] > 0 ? PETSC_TRUE : PETSC_FALSE;
}

static void Collect(const mjModel *m, PetscBool all, MujocoShapes *s) {
  for (int g = 0; g < m->ngeom; g++)
    if ((all || IsShown(m, g)) && ShapeOf(m, g, s->shapes + s->count, s->middle + 3 * s->count))
      s->geom[s->count++] = g;
}

PetscErrorCode MujocoShapesFind(MujocoPlant plant, MujocoShapes *s) {
  const mjModel *m = plant->m;
  PetscFunctionBeginUser;
  s->count = 0;
  PetscCall(PetscCalloc3(m->ngeom, &s->shapes, m->ngeom, &s->geom, 3 * m->ngeom, &s->middle));
  Collect(m, PETSC_FALSE, s);
  if (!s->count) Collect(m, PETSC_TRUE, s);
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoShapesDestroy(MujocoShapes *s) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree3(s->shapes, s->geom, s->middle));
  s->count = 0;
  PetscFunctionReturn(0);
}

static void KinematicsWork(void *job) {
  const MujocoPoint *point = job;
  mj_kinematics(point->p->m, point->p->d);
}

CtpgStatus MujocoPlantPlace(MujocoPlant plant, const MujocoShapes *s, PetscReal t, const PetscReal *x,
                            PetscReal *pose) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .result = pose};
  const CtpgStatus status = MujocoVisit(&point, KinematicsWork, CTPG_POSE * s->count);
  for (PetscInt i = 0; i < s->count; i++, pose += CTPG_POSE) {
    const mjtNum *place = plant->d->geom_xpos + 3 * s->geom[i], *axes = plant->d->geom_xmat + 9 * s->geom[i];
    const PetscReal *middle = s->middle + 3 * i;
    for (int k = 0; k < 3; k++)
      pose[k] = place[k] + axes[3 * k] * middle[0] + axes[3 * k + 1] * middle[1] + axes[3 * k + 2] * middle[2];
    MujocoCopy(pose + 3, axes, 9);
  }
  return status;
}
