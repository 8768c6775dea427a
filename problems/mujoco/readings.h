// readings.h -- numbers of a MuJoCo plant by name: parts of the state, sensors, places and axes of bodies
//
// For what a policy sees and for what a cost is about. Names: qpos, qvel, act; a sensor's; site:NAME, body:NAME and
// geom:NAME, where it is (3 numbers); site_axes:NAME and so on, its rotation matrix by rows (9 numbers). Sensors that
// need accelerations are refused: they depend on the control, which is what is to be computed from them.
#ifndef CTPG_MUJOCO_READINGS_H
#define CTPG_MUJOCO_READINGS_H

#include "problems/mujoco/plant.h"

#ifdef CTPG_HAVE_MUJOCO

typedef enum { MUJOCO_STATE, MUJOCO_SENSOR, MUJOCO_PLACE, MUJOCO_AXES } MujocoKind;

typedef struct {
  MujocoKind kind;
  int object, id;       // of MuJoCo: a site, a body, a geom
  PetscInt first, size; // first: in x, or in sensordata
} MujocoReading;

typedef struct {
  PetscInt count, size; // size: numbers of all
  MujocoReading *items;
  PetscBool has_sensors, has_frames, has_rates; // rates: a sensor that needs velocities
} MujocoReadings;

// `text` is a comma list, refused in the name of `option`. Zeroed readings are an empty list; destroy takes them, too.
PetscErrorCode MujocoReadingsFind(MujocoPlant plant, const char *option, const char *text, MujocoReadings *readings);
PetscErrorCode MujocoReadingsDestroy(MujocoReadings *readings);

// values [size] at x [nx]; only what the list needs is computed: a call of the engine where it needs sensors or frames.
CtpgStatus MujocoPlantRead(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                           PetscReal *values);
// gx [nx] += values_x' g for g [size]: frames by MuJoCo's Jacobians, sensors by central differences.
CtpgStatus MujocoPlantReadVJP(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                              const PetscReal *g, PetscReal *gx);
// dvalues [size] = values_x dx
CtpgStatus MujocoPlantReadJVP(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                              const PetscReal *dx, PetscReal *dvalues);

#endif
#endif
