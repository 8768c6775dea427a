// readings.c -- parts of the state, sensors, places and axes of a MuJoCo plant, and their derivatives (readings.h)
//
// Places and axes follow the kinematics, whose Jacobian MuJoCo has in closed form. Sensors are differenced, along the
// degrees of freedom and, where one of them needs velocities, along those.

#include "problems/mujoco/readings.h"
#include "problems/mujoco/inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- names ----

static const struct {
  const char *prefix;
  int object;
} FRAMES[] = {{"site", mjOBJ_SITE}, {"body", mjOBJ_XBODY}, {"geom", mjOBJ_GEOM}};

// Why a sensor cannot be read; NULL: it can.
static const char *WhyNot(const mjModel *m, int sensor) {
  if (m->sensor_type[sensor] == mjSENS_USER)
    return "is a user-defined sensor, which only a callback of the program that owns the model can compute";
  if (m->sensor_needstage[sensor] == mjSTAGE_ACC)
    return "is a sensor of accelerations or forces, which depend on the control";
  return MujocoSensorDelay(m, sensor) > 0 ? "is a sensor that shows the past, which is no part of the state" : NULL;
}

static void AppendName(char *list, size_t size, const char *name) {
  const size_t length = strlen(list);
  snprintf(list + length, size - length, ", %s", name);
}

static PetscErrorCode RefuseName(const mjModel *m, const char *option, const char *name, int sensor) {
  char known[1024] = "qpos, qvel";
  PetscFunctionBeginUser;
  if (m->na) AppendName(known, sizeof known, "act");
  for (int s = 0; s < m->nsensor; s++)
    if (mj_id2name(m, mjOBJ_SENSOR, s) && !WhyNot(m, s))
      AppendName(known, sizeof known, mj_id2name(m, mjOBJ_SENSOR, s));
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: '%s' %s; known: %s, and site:NAME, body:NAME, geom:NAME", option,
          name, sensor < 0 ? "is neither a part of the state nor a sensor of the model" : WhyNot(m, sensor), known);
}

static PetscBool FindState(const mjModel *m, const char *name, MujocoReading *reading) {
  const struct {
    const char *name;
    PetscInt first, size;
  } parts[] = {{"qpos", 0, m->nq}, {"qvel", m->nq, m->nv}, {"act", m->nq + m->nv, m->na}};
  for (int k = 0; k < 3; k++)
    if (!strcmp(name, parts[k].name) && parts[k].size) {
      *reading = (MujocoReading){.kind = MUJOCO_STATE, .first = parts[k].first, .size = parts[k].size};
      return PETSC_TRUE;
    }
  return PETSC_FALSE;
}

// "site:NAME" or "site_axes:NAME"; FALSE where the word is not of this kind.
static PetscErrorCode FindFrame(const mjModel *m, const char *option, const char *name, MujocoReading *reading,
                                PetscBool *found) {
  const char *colon = strchr(name, ':');
  PetscFunctionBeginUser;
  *found = PETSC_FALSE;
  for (int k = 0; colon && k < 3; k++) {
    const size_t length = strlen(FRAMES[k].prefix);
    if (strncmp(name, FRAMES[k].prefix, length)) continue;
    const PetscBool place = name + length == colon ? PETSC_TRUE : PETSC_FALSE;
    if (!place && strncmp(name + length, "_axes:", 6)) continue;
    const int id = mj_name2id(m, FRAMES[k].object, colon + 1);
    PetscCheck(id >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s: '%s': the model has no %s named '%s'", option,
               name, FRAMES[k].prefix, colon + 1);
    *reading = (MujocoReading){
        .kind = place ? MUJOCO_PLACE : MUJOCO_AXES, .object = FRAMES[k].object, .id = id, .size = place ? 3 : 9};
    *found = PETSC_TRUE;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode FindReading(const mjModel *m, const char *option, const char *name, MujocoReading *reading) {
  PetscBool found;
  PetscFunctionBeginUser;
  if (FindState(m, name, reading)) PetscFunctionReturn(0);
  const int sensor = mj_name2id(m, mjOBJ_SENSOR, name);
  if (sensor < 0) {
    PetscCall(FindFrame(m, option, name, reading, &found));
    if (found) PetscFunctionReturn(0);
  }
  if (sensor < 0 || WhyNot(m, sensor)) PetscCall(RefuseName(m, option, name, sensor));
  *reading = (MujocoReading){
      .kind = MUJOCO_SENSOR, .id = sensor, .first = m->sensor_adr[sensor], .size = m->sensor_dim[sensor]};
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoReadingsFind(MujocoPlant plant, const char *option, const char *text, MujocoReadings *readings) {
  const mjModel *m = MujocoPlantGetModel(plant);
  char **names;
  PetscInt count;

  PetscFunctionBeginUser;
  PetscCall(PetscStrToArray(text, ',', &count, &names));
  PetscCall(PetscCalloc1(count, &readings->items));
  readings->count = count;
  for (PetscInt k = 0; k < count; k++) {
    MujocoReading *reading = readings->items + k;
    PetscCall(FindReading(m, option, names[k], reading));
    readings->size += reading->size;
    if (reading->kind == MUJOCO_SENSOR) readings->has_sensors = PETSC_TRUE;
    if (reading->kind == MUJOCO_PLACE || reading->kind == MUJOCO_AXES) readings->has_frames = PETSC_TRUE;
    if (reading->kind == MUJOCO_SENSOR && m->sensor_needstage[reading->id] != mjSTAGE_POS)
      readings->has_rates = PETSC_TRUE;
  }
  PetscCall(PetscStrToArrayDestroy((int)count, names));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoReadingsDestroy(MujocoReadings *readings) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(readings->items));
  *readings = (MujocoReadings){0};
  PetscFunctionReturn(0);
}

// ---- values ----

// A reading of all: the point and the list.
typedef struct {
  MujocoPoint point;
  const MujocoReadings *readings;
} ReadJob;

static const ReadJob *JobOf(const void *point) {
  return point; // its first member
}

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

// What the list needs, at the point as it is in d.
static void Compute(MujocoPlant p, const MujocoReadings *readings) {
  if (readings->has_sensors) {
    Sense(p, mjSTAGE_NONE);
    return;
  }
  if (!readings->has_frames) return;
  mj_kinematics(p->m, p->d);
  mj_comPos(p->m, p->d);
  p->calls.position++;
}

static const PetscReal *PlaceOf(const mjData *d, const MujocoReading *reading) {
  const mjtNum *places = reading->object == mjOBJ_SITE   ? d->site_xpos
                         : reading->object == mjOBJ_GEOM ? d->geom_xpos
                                                         : d->xpos;
  return places + 3 * reading->id;
}

static const PetscReal *AxesOf(const mjData *d, const MujocoReading *reading) {
  const mjtNum *axes = reading->object == mjOBJ_SITE   ? d->site_xmat
                       : reading->object == mjOBJ_GEOM ? d->geom_xmat
                                                       : d->xmat;
  return axes + 9 * reading->id;
}

static void ReadWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoReadings *readings = JobOf(job)->readings;
  const mjData *d = point->p->d;
  PetscReal *value = point->result;
  Compute(point->p, readings);
  for (PetscInt k = 0; k < readings->count; value += readings->items[k++].size) {
    const MujocoReading *r = readings->items + k;
    const PetscReal *from = r->kind == MUJOCO_STATE    ? point->x + r->first
                            : r->kind == MUJOCO_SENSOR ? d->sensordata + r->first
                            : r->kind == MUJOCO_PLACE  ? PlaceOf(d, r)
                                                       : AxesOf(d, r);
    MujocoCopy(value, from, r->size);
  }
}

// ---- products of frames ----

// places_xi [3, nv] and turns_xi [3, nv] of a frame, xi along the dofs
static void FrameJacobian(MujocoPlant p, const MujocoReading *r, PetscReal *place, PetscReal *turn) {
  if (r->object == mjOBJ_SITE)
    mj_jacSite(p->m, p->d, place, turn, r->id);
  else if (r->object == mjOBJ_GEOM)
    mj_jacGeom(p->m, p->d, place, turn, r->id);
  else
    mj_jacBody(p->m, p->d, place, turn, r->id);
}

// moment [3]: g . d(axes) = moment . turn, for g [3, 3] by the rows of the matrix whose columns are the axes.
static void MomentOf(const PetscReal *axes, const PetscReal *g, PetscReal *moment) {
  moment[0] = moment[1] = moment[2] = 0;
  for (int k = 0; k < 3; k++) {
    const mjtNum axis[3] = {axes[k], axes[3 + k], axes[6 + k]}, pull[3] = {g[k], g[3 + k], g[6 + k]};
    mjtNum cross[3];
    mju_cross(cross, axis, pull);
    for (int i = 0; i < 3; i++) moment[i] += cross[i];
  }
}

// p->tangent [nv] += J' g for the frame's numbers
static void AddFrameProduct(MujocoPlant p, const MujocoReading *r, const PetscReal *g) {
  const PetscInt nv = p->m->nv;
  PetscReal *place = p->jacobian, *turn = p->jacobian + 3 * nv, moment[3];
  FrameJacobian(p, r, place, turn);
  if (r->kind == MUJOCO_AXES) MomentOf(AxesOf(p->d, r), g, moment);
  const PetscReal *row = r->kind == MUJOCO_AXES ? turn : place, *pull = r->kind == MUJOCO_AXES ? moment : g;
  for (PetscInt j = 0; j < nv; j++)
    for (int i = 0; i < 3; i++) p->tangent[j] += row[i * nv + j] * pull[i];
}

// change [size] = J xi for the frame's numbers
static void FrameChange(MujocoPlant p, const MujocoReading *r, const PetscReal *xi, PetscReal *change) {
  const PetscInt nv = p->m->nv;
  PetscReal *place = p->jacobian, *turn = p->jacobian + 3 * nv, moved[3] = {0};
  FrameJacobian(p, r, place, turn);
  for (int i = 0; i < 3; i++)
    for (PetscInt j = 0; j < nv; j++) moved[i] += (r->kind == MUJOCO_AXES ? turn : place)[i * nv + j] * xi[j];
  if (r->kind == MUJOCO_PLACE) MujocoCopy(change, moved, 3);
  for (int k = 0; r->kind == MUJOCO_AXES && k < 3; k++) {
    const PetscReal *axes = AxesOf(p->d, r), axis[3] = {axes[k], axes[3 + k], axes[6 + k]};
    mjtNum cross[3];
    mju_cross(cross, moved, axis);
    for (int i = 0; i < 3; i++) change[3 * i + k] = cross[i];
  }
}

// ---- products of sensors ----

// g' (sensors kept - sensors now)
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

// Along the dofs into p->tangent, along the velocities into gx.
static void AddSensorProduct(const MujocoPoint *point, PetscBool has_rates, const PetscReal *g) {
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  for (PetscInt j = 0; has_rates && j < nv; j++)
    point->gx[nq + j] += EntryDifference(p, p->d->qvel + j, mjSTAGE_POS, g);
  for (PetscInt j = 0; j < nv; j++)
    p->tangent[j] += p->dofs[j].axis < 0 ? EntryDifference(p, p->d->qpos + p->dofs[j].q, mjSTAGE_NONE, g)
                                         : RotationDifference(p, j, g);
}

static void ReadVJPWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoReadings *readings = JobOf(job)->readings;
  const MujocoPlant p = point->p;
  const PetscReal *g = point->v;
  Compute(p, readings);
  for (PetscInt i = 0; i < p->m->nsensordata; i++) p->weights[i] = 0;
  for (PetscInt j = 0; j < p->m->nv; j++) p->tangent[j] = 0;
  for (PetscInt k = 0; k < readings->count; g += readings->items[k++].size) {
    const MujocoReading *r = readings->items + k;
    if (r->kind == MUJOCO_PLACE || r->kind == MUJOCO_AXES) AddFrameProduct(p, r, g);
    for (PetscInt i = 0; r->kind == MUJOCO_STATE && i < r->size; i++) point->gx[r->first + i] += g[i];
    for (PetscInt i = 0; r->kind == MUJOCO_SENSOR && i < r->size; i++) p->weights[r->first + i] += g[i];
  }
  if (readings->has_sensors) AddSensorProduct(point, readings->has_rates, p->weights);
  if (readings->has_sensors || readings->has_frames) MujocoAddFromTangent(p, point->x, p->tangent, point->gx);
}

// p->data [nsensordata]: change of the sensors along v, a central difference whose step moves the largest entry by
// MUJOCO_STEP.
static void SensorChange(const MujocoPoint *point) {
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  PetscReal longest = 0;
  for (PetscInt j = 0; j < nq + nv; j++) longest = fmax(longest, fabs(point->v[j]));
  const PetscReal step = MUJOCO_STEP / (longest > 0 ? longest : 1);
  for (int side = 0; side < 2; side++) {
    const PetscReal s = side ? -step : step;
    MujocoSetPositions(p, point->x, point->v, s);
    for (PetscInt j = 0; j < nv; j++) p->d->qvel[j] = point->x[nq + j] + s * point->v[nq + j];
    Sense(p, mjSTAGE_NONE);
    for (PetscInt i = 0; i < p->m->nsensordata; i++)
      p->data[i] = side ? (p->data[i] - p->d->sensordata[i]) / (2 * step) : p->d->sensordata[i];
  }
}

static void ReadJVPWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoReadings *readings = JobOf(job)->readings;
  const MujocoPlant p = point->p;
  PetscReal *change = point->result;
  if (readings->has_frames) Compute(p, readings);
  if (readings->has_frames) MujocoToTangent(p, point->x, point->v, p->tangent);
  for (PetscInt k = 0; k < readings->count; change += readings->items[k++].size) {
    const MujocoReading *r = readings->items + k;
    if (r->kind == MUJOCO_PLACE || r->kind == MUJOCO_AXES) FrameChange(p, r, p->tangent, change);
    if (r->kind == MUJOCO_STATE) MujocoCopy(change, point->v + r->first, r->size);
  }
  if (!readings->has_sensors) return;
  SensorChange(point);
  change = point->result;
  for (PetscInt k = 0; k < readings->count; change += readings->items[k++].size)
    if (readings->items[k].kind == MUJOCO_SENSOR)
      MujocoCopy(change, p->data + readings->items[k].first, readings->items[k].size);
}

// ---- slots ----

static CtpgStatus Visit(MujocoPoint point, const MujocoReadings *readings, void (*work)(void *)) {
  ReadJob job = {.point = point, .readings = readings};
  if (readings->has_sensors || readings->has_frames) return MujocoVisit(&job.point, work, readings->size);
  work(&job.point); // the state alone: nothing of the engine
  return CTPG_OK;
}

CtpgStatus MujocoPlantRead(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                           PetscReal *values) {
  return Visit((MujocoPoint){.p = plant, .t = t, .x = x, .result = values}, readings, ReadWork);
}

CtpgStatus MujocoPlantReadVJP(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                              const PetscReal *g, PetscReal *gx) {
  return Visit((MujocoPoint){.p = plant, .t = t, .x = x, .v = g, .gx = gx}, readings, ReadVJPWork);
}

CtpgStatus MujocoPlantReadJVP(MujocoPlant plant, const MujocoReadings *readings, PetscReal t, const PetscReal *x,
                              const PetscReal *dx, PetscReal *dvalues) {
  return Visit((MujocoPoint){.p = plant, .t = t, .x = x, .v = dx, .result = dvalues}, readings, ReadJVPWork);
}
