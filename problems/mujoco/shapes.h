// shapes.h -- the bodies of a MuJoCo plant as solids for pictures: its visible geoms, and where they are
#ifndef CTPG_MUJOCO_SHAPES_H
#define CTPG_MUJOCO_SHAPES_H

#include "problems/mujoco/plant.h"

#ifdef CTPG_HAVE_MUJOCO

typedef struct {
  PetscInt count;
  CtpgShape *shapes; // [count]
  PetscInt *geom;    // [count] of which geom
  PetscReal *middle; // [count, 3] of the solid, in the geom's axes
} MujocoShapes;

// Geoms that MuJoCo's viewer shows at first (groups 0 to 2, not transparent), or all where it would show none. Meshes
// and height fields become boxes about them. Zeroed shapes are an empty list; destroy takes them, too.
PetscErrorCode MujocoShapesFind(MujocoPlant plant, MujocoShapes *shapes);
PetscErrorCode MujocoShapesDestroy(MujocoShapes *shapes);
// pose [count, CTPG_POSE] at x [nx]
CtpgStatus MujocoPlantPlace(MujocoPlant plant, const MujocoShapes *shapes, PetscReal t, const PetscReal *x,
                            PetscReal *pose);

#endif
#endif
