// mujoco.c -- any MJCF model, to be brought to a configuration at small cost
//
//   x = (qpos, qvel, act), u = ctrl (clamped to its ctrlrange by MuJoCo), f = (qpos', qacc, act') of mj_forward
//   w = a |qpos - target|^2 + b |qvel|^2 + c |ctrl|^2     a, b, c: -mujoco_cost_position, _velocity, _control;
//                                                         a rotation counts as 4 sin^2(angle / 2)
//   x0 = a keyframe, or the model's own pose at rest where there is none, + U(-1, 1) x0_range
//   o = what -mujoco_observe names: qpos, qvel, act and sensors, in this order of the user's
// Sizes of the policy follow from the model. Joints are not wrapped: a target 2 pi away is another target. Sensors that
// need accelerations are refused: they depend on the control, which is what is to be computed from them.
// Derivatives of qacc and of sensors are differences of the engine (plant.h), those of w exact.
// What makes it hard: contacts, joint limits and friction make f non-smooth, hence flagged so; orders above one, and
// gradients across an impact, are not to be expected. For whom: whoever has a robot in MuJoCo.
// Two models come with the program, by name or by file: reacher (the default) and acrobot.
// Source: E. Todorov, T. Erez, Y. Tassa, "MuJoCo: A physics engine for model-based control", IROS 2012.

#include "problems/mujoco/plant.h"
#include "ctpgbench/problem.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CTPG_HAVE_MUJOCO

typedef struct {
  MujocoPlant plant;
  PetscInt nq, nv, na, nu, nx, no, ndata;
  PetscReal *start, *spread;             // [nx], [2 nv]
  PetscReal *step;                       // [2 nv] a draw's displacement
  PetscReal *target;                     // [nq]
  PetscReal position, velocity, control; // weights of w
  PetscInt *seen;                        // [no] k >= 0: x[k]; k < 0: sensor datum -1 - k
  PetscBool has_sensors;
  PetscReal *data;                                                 // [ndata] sensor data, or weights of them
  PetscInt *actuated;                                              // [nx - nq]
  char *state_names, *state_units, *control_names, *control_units; // comma lists
  PetscReal *rods;                                                 // [number of bodies] lengths, m
  CtpgConstant constants[1];
} Mujoco;

// ---- options ----

static void AppendName(char *list, size_t size, const char *name) {
  const size_t length = strlen(list);
  snprintf(list + length, size - length, "%s%s", length ? ", " : "", name);
}

// By name, or by number where no name is like it.
static PetscErrorCode FindKeyframe(const mjModel *m, const char *option, const char *name, PetscInt *id) {
  char known[1024] = "", *end;
  PetscFunctionBeginUser;
  *id = mj_name2id(m, mjOBJ_KEY, name);
  const long number = strtol(name, &end, 10);
  if (*id < 0 && end != name && !*end && number >= 0 && number < m->nkey) *id = (PetscInt)number;
  for (int k = 0; k < m->nkey && *id < 0; k++)
    if (mj_id2name(m, mjOBJ_KEY, k)) AppendName(known, sizeof known, mj_id2name(m, mjOBJ_KEY, k));
  PetscCheck(*id >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a keyframe of the model, which has %d; known: %s", option, name, (int)m->nkey,
             known[0] ? known : "none by name");
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadModel(Mujoco *p, CtpgOptions options) {
  char file[PETSC_MAX_PATH_LEN] = "reacher";

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsPath(options, "model", "MJCF file, or a model of this program: reacher, acrobot, cartpole", file,
                            sizeof file));
  PetscCall(MujocoPlantCreate("-mujoco_model", file, &p->plant));
  PetscCall(CtpgOptionsContent(options, "model_hash", MujocoPlantGetHash(p->plant)));
  const mjModel *m = MujocoPlantGetModel(p->plant);
  p->nq = m->nq;
  p->nv = m->nv;
  p->na = m->na;
  p->nu = m->nu;
  p->nx = p->nq + p->nv + p->na;
  p->ndata = m->nsensordata;
  PetscFunctionReturn(0);
}

// An activation that starts outside its range starts at the end of it, where mj_step puts it.
static void ReadKeyframe(Mujoco *p, const mjModel *m, PetscInt id) {
  PetscReal *act = p->start + p->nq + p->nv;
  for (PetscInt i = 0; i < p->nq; i++) p->start[i] = (id < 0 ? m->qpos0 : m->key_qpos + id * p->nq)[i];
  for (PetscInt i = 0; i < p->nv && id >= 0; i++) p->start[p->nq + i] = m->key_qvel[id * p->nv + i];
  for (PetscInt i = 0; i < p->na && id >= 0; i++) act[i] = m->key_act[id * p->na + i];
  for (PetscInt i = 0; i < p->na; i++) act[i] = MujocoPlantClampActivation(p->plant, i, act[i]);
  MujocoPlantPlaceMocap(p->plant, id);
}

static PetscErrorCode ReadStart(Mujoco *p, CtpgOptions options) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  char name[256] = "";
  PetscBool given;
  PetscInt id = m->nkey ? 0 : -1;

  PetscFunctionBeginUser;
  if (m->nkey && mj_id2name(m, mjOBJ_KEY, 0)) PetscCall(PetscStrncpy(name, mj_id2name(m, mjOBJ_KEY, 0), sizeof name));
  PetscCall(CtpgOptionsText(options, "keyframe",
                            "keyframe to start from, by name or number, by default the first; none: the model's pose",
                            name, sizeof name));
  PetscCall(CtpgOptionsFind(options, "keyframe", NULL, 0, &given));
  if (given && !strcmp(name, "none") && mj_name2id(m, mjOBJ_KEY, name) < 0)
    id = -1;
  else if (given)
    PetscCall(FindKeyframe(m, "-mujoco_keyframe", name, &id));
  PetscCall(PetscCalloc1(p->nx, &p->start));
  ReadKeyframe(p, m, id);
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadSpread(Mujoco *p, CtpgOptions options) {
  PetscInt n;
  PetscReal *given;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsReals(options, "x0_range",
                             "half widths of the uniform start around the keyframe: one for all of qpos (by default "
                             "0.1), or nv for qpos (of a quaternion three angles), or 2 nv for qpos and qvel",
                             &n, &given));
  PetscCheck(n <= 1 || n == p->nv || n == 2 * p->nv, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_x0_range has %d numbers; expected 1, %d (qpos) or %d (qpos and qvel)", (int)n, (int)p->nv,
             (int)(2 * p->nv));
  PetscCall(PetscCalloc2(2 * p->nv, &p->spread, 2 * p->nv, &p->step));
  for (PetscInt j = 0; j < p->nv; j++) p->spread[j] = n == 0 ? 0.1 : given[n == 1 ? 0 : j];
  for (PetscInt j = p->nv; j < n; j++) p->spread[j] = given[j];
  PetscCall(PetscFree(given));
  PetscFunctionReturn(0);
}

// Zeros, and no rotation.
static void SetZeroTarget(Mujoco *p, const mjModel *m) {
  for (PetscInt j = 0; j < m->njnt; j++) {
    if (m->jnt_type[j] == mjJNT_BALL) p->target[m->jnt_qposadr[j]] = 1;
    if (m->jnt_type[j] == mjJNT_FREE) p->target[m->jnt_qposadr[j] + 3] = 1;
  }
}

static PetscErrorCode NormalizeTarget(Mujoco *p, const mjModel *m) {
  PetscFunctionBeginUser;
  for (PetscInt j = 0; j < m->njnt; j++) {
    if (m->jnt_type[j] != mjJNT_BALL && m->jnt_type[j] != mjJNT_FREE) continue;
    PetscReal *q = p->target + m->jnt_qposadr[j] + (m->jnt_type[j] == mjJNT_FREE ? 3 : 0);
    PetscCheck(mju_normalize4(q) > mjMINVAL, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-mujoco_target has the quaternion 0 0 0 0, which is no rotation; expected one of length 1");
  }
  PetscFunctionReturn(0);
}

// A list of nq numbers, or a keyframe: its name, or its number where that cannot be a list.
static PetscErrorCode ReadTarget(Mujoco *p, CtpgOptions options) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  char text[4096] = "";
  PetscInt n = 0, id = -1;
  PetscReal *list = NULL;

  PetscFunctionBeginUser;
  static const char *const help = "qpos to reach: nq numbers or a keyframe; by default zeros, no rotation";
  PetscCall(CtpgOptionsText(options, "target", help, text, sizeof text));
  PetscCall(PetscCalloc1(p->nq, &p->target));
  SetZeroTarget(p, m);
  if (!text[0]) PetscFunctionReturn(0);
  const PetscBool counts = p->nq > 1 && !strpbrk(text, ",:.") ? PETSC_TRUE : PETSC_FALSE;
  if (isalpha((unsigned char)text[0]) || text[0] == '_' || counts)
    PetscCall(FindKeyframe(m, "-mujoco_target", text, &id));
  else
    PetscCall(CtpgOptionsReals(options, "target", help, &n, &list));
  PetscCheck(id >= 0 || n == p->nq, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_target %s has %d numbers; expected %d, one per number of qpos, or a keyframe", text, (int)n,
             (int)p->nq);
  PetscCall(PetscArraycpy(p->target, id >= 0 ? m->key_qpos + id * m->nq : list, p->nq));
  PetscCall(PetscFree(list));
  PetscCall(NormalizeTarget(p, m));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadWeights(Mujoco *p, CtpgOptions options) {
  PetscFunctionBeginUser;
  p->position = 1;
  p->velocity = 0.1;
  p->control = 0.01;
  PetscCall(CtpgOptionsReal(options, "cost_position", "weight of |qpos - target|^2", 0, 1e12, &p->position));
  PetscCall(CtpgOptionsReal(options, "cost_velocity", "weight of |qvel|^2", 0, 1e12, &p->velocity));
  PetscCall(CtpgOptionsReal(options, "cost_control", "weight of |ctrl|^2", 0, 1e12, &p->control));
  PetscFunctionReturn(0);
}

// ---- what is observed ----

// Why a sensor cannot be observed; NULL: it can.
static const char *WhyNot(const mjModel *m, int sensor) {
  if (m->sensor_type[sensor] == mjSENS_USER)
    return "is a user-defined sensor, which only a callback of the program that owns the model can compute";
  if (m->sensor_needstage[sensor] == mjSTAGE_ACC)
    return "is a sensor of accelerations or forces, which depend on the control";
  return MujocoSensorDelay(m, sensor) > 0 ? "is a sensor that shows the past, which is no part of the state" : NULL;
}

static PetscErrorCode RefuseName(const mjModel *m, const char *name, int sensor) {
  char known[1024] = "qpos, qvel";
  PetscFunctionBeginUser;
  if (m->na) AppendName(known, sizeof known, "act");
  for (int s = 0; s < m->nsensor; s++)
    if (mj_id2name(m, mjOBJ_SENSOR, s) && !WhyNot(m, s))
      AppendName(known, sizeof known, mj_id2name(m, mjOBJ_SENSOR, s));
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-mujoco_observe: '%s' %s; known: %s", name,
          sensor < 0 ? "is neither a part of the state nor a sensor of the model" : WhyNot(m, sensor), known);
}

// Where the entries of `name` are: `size` of them from `first` (see seen), counted upwards in x and in the sensor data.
static PetscErrorCode Locate(const mjModel *m, const char *name, PetscInt *first, PetscInt *size) {
  PetscFunctionBeginUser;
  const struct {
    const char *name;
    PetscInt first, size;
  } parts[] = {{"qpos", 0, m->nq}, {"qvel", m->nq, m->nv}, {"act", m->nq + m->nv, m->na}};
  for (int k = 0; k < 3; k++)
    if (!strcmp(name, parts[k].name) && parts[k].size) {
      *first = parts[k].first;
      *size = parts[k].size;
      PetscFunctionReturn(0);
    }
  const int sensor = mj_name2id(m, mjOBJ_SENSOR, name);
  if (sensor < 0 || WhyNot(m, sensor)) PetscCall(RefuseName(m, name, sensor));
  *first = -1 - m->sensor_adr[sensor];
  *size = m->sensor_dim[sensor];
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadObservation(Mujoco *p, CtpgOptions options) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  char text[4096] = "qpos,qvel", **names;
  PetscInt count, first, size;

  PetscFunctionBeginUser;
  PetscCall(
      CtpgOptionsList(options, "observe", "comma list of qpos, qvel, act and sensors of the model", text, sizeof text));
  PetscCall(PetscStrToArray(text, ',', &count, &names));
  PetscCheck(count, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_observe is empty; expected a comma list of qpos, qvel, act and sensors");
  for (PetscInt k = 0; k < count; k++) {
    PetscCall(Locate(m, names[k], &first, &size));
    p->no += size;
  }
  PetscCall(PetscMalloc2(p->no, &p->seen, p->ndata, &p->data));
  for (PetscInt k = 0, i = 0; k < count; k++) {
    PetscCall(Locate(m, names[k], &first, &size));
    for (PetscInt e = 0; e < size; e++) p->seen[i++] = first < 0 ? first - e : first + e;
    if (first < 0) p->has_sensors = PETSC_TRUE;
  }
  PetscCall(PetscStrToArrayDestroy(count, names));
  PetscFunctionReturn(0);
}

// ---- names, for files and figures ----

enum { LONGEST_NAME = 31 };

// Appends a word of at most LONGEST_NAME characters to a comma list: the model's name for it and a mark, or a generic
// word ("x3") where the model has none.
static void AppendWord(char *list, size_t size, const mjModel *m, int object, int id, const char *mark,
                       const char *letter, int number) {
  const char *name = mj_id2name(m, object, id);
  const size_t length = strlen(list);
  char word[LONGEST_NAME + 1];
  if (name)
    snprintf(word, sizeof word, "%.*s%s", (int)(LONGEST_NAME - strlen(mark)), name, mark);
  else
    snprintf(word, sizeof word, "%s%d", letter, number);
  for (char *c = word; *c; c++)
    if (*c == ',' || !isprint((unsigned char)*c)) *c = '_';
  snprintf(list + length, size - length, "%s%s", length ? "," : "", word);
}

static void AppendUnit(char *list, size_t size, const char *unit) {
  const size_t length = strlen(list);
  snprintf(list + length, size - length, "%s%s", length ? "," : "", unit);
}

// The numbers of a joint in qpos, or in qvel: their mark behind its name, and their unit.
static void NameJoint(Mujoco *p, const mjModel *m, int joint, PetscBool rate, size_t size, int *number) {
  static const char *const free_marks[] = {" x", " y", " z", " qw", " qx", " qy", " qz"};
  static const char *const free_rates[] = {" vx", " vy", " vz", " wx", " wy", " wz"};
  const int type = m->jnt_type[joint];
  const int count = type == mjJNT_FREE ? 7 - rate : type == mjJNT_BALL ? 4 - rate : 1, skipped = 7 - rate - count;
  for (int k = 0; k < count; k++) {
    const char *mark = count == 1 ? (rate ? "'" : "") : (rate ? free_rates : free_marks)[skipped + k];
    const PetscBool slides = type == mjJNT_SLIDE || (type == mjJNT_FREE && k < 3) ? PETSC_TRUE : PETSC_FALSE;
    const char *angle = count == 1 || rate ? "rad" : "1";
    char unit[8];
    snprintf(unit, sizeof unit, "%s%s", slides ? "m" : angle, rate ? "/s" : "");
    AppendWord(p->state_names, size, m, mjOBJ_JOINT, joint, mark, "x", ++*number);
    AppendUnit(p->state_units, size, unit);
  }
}

static void NameStates(Mujoco *p, const mjModel *m, size_t size) {
  int number = 0;
  for (int rate = 0; rate < 2; rate++)
    for (int j = 0; j < m->njnt; j++) NameJoint(p, m, j, rate ? PETSC_TRUE : PETSC_FALSE, size, &number);
  for (PetscInt i = 0; i < p->na; i++) {
    AppendWord(p->state_names, size, m, mjOBJ_ACTUATOR, MujocoPlantActuatorOfState(p->plant, i), " state", "x",
               ++number);
    AppendUnit(p->state_units, size, "1");
  }
}

static PetscErrorCode ReadNames(Mujoco *p) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  const size_t size = (size_t)(p->nx + p->nu) * (LONGEST_NAME + 1);

  PetscFunctionBeginUser;
  PetscCall(
      PetscCalloc4(size, &p->state_names, size, &p->state_units, size, &p->control_names, size, &p->control_units));
  NameStates(p, m, size);
  for (int i = 0; i < m->nu; i++) {
    AppendWord(p->control_names, size, m, mjOBJ_ACTUATOR, i, "", "u", i + 1);
    AppendUnit(p->control_units, size, "1");
  }
  PetscCall(PetscMalloc1(p->nx - p->nq, &p->actuated));
  for (PetscInt i = p->nq; i < p->nx; i++) p->actuated[i - p->nq] = i;
  PetscFunctionReturn(0);
}

static PetscReal Length(const mjtNum v[3]) {
  return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

// Lengths of the rods of a chain of hinges that ends in a site named tip, from the first one on, into p->rods; returns
// how many, 0 where the model is no such chain.
static PetscInt MeasureRods(Mujoco *p) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  const int tip = mj_name2id(m, mjOBJ_SITE, "tip");
  PetscInt n = 0;
  if (tip < 0) return 0;
  const mjtNum *end = m->site_pos + 3 * tip;
  for (int body = m->site_bodyid[tip]; body > 0; body = m->body_parentid[body]) {
    if (m->body_jntnum[body] != 1 || m->jnt_type[m->body_jntadr[body]] != mjJNT_HINGE) return 0;
    p->rods[n++] = Length(end);
    end = m->body_pos + 3 * body;
  }
  for (PetscInt i = 0; i < n / 2; i++) {
    const PetscReal rod = p->rods[i];
    p->rods[i] = p->rods[n - 1 - i];
    p->rods[n - 1 - i] = rod;
  }
  return n;
}

static PetscErrorCode ReadRods(Mujoco *p) {
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(MujocoPlantGetModel(p->plant)->nbody, &p->rods));
  p->constants[0] = (CtpgConstant){.name = "rods", .unit = "m", .rows = MeasureRods(p), .values = p->rods};
  PetscFunctionReturn(0);
}

static PetscErrorCode MujocoCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Mujoco *p;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&p));
  *ctx = p;
  PetscCall(ReadModel(p, options));
  PetscCall(ReadStart(p, options));
  PetscCall(ReadSpread(p, options));
  PetscCall(ReadTarget(p, options));
  PetscCall(ReadWeights(p, options));
  PetscCall(ReadObservation(p, options));
  PetscCall(ReadNames(p));
  PetscCall(ReadRods(p));
  *dims = (CtpgDims){.nx = p->nx,
                     .nu = p->nu,
                     .no = p->no,
                     .nq = MujocoPlantHasQuaternions(p->plant) ? 0 : p->nq,
                     .T = 2,
                     .policy = "mlp",
                     .widths = "32,32",
                     .activations = "tanh,tanh,linear",
                     .init_scale = 0.1,
                     .actuated = p->actuated,
                     .nactuated = p->nx - p->nq,
                     .state_names = p->state_names,
                     .state_units = p->state_units,
                     .control_names = p->control_names,
                     .control_units = p->control_units,
                     .constants = p->constants,
                     .nconstants = p->constants[0].rows ? 1 : 0};
  PetscFunctionReturn(0);
}

static void MujocoDestroy(void **ctx) {
  Mujoco *p = *ctx;
  if (!p) return;
  (void)MujocoPlantDestroy(&p->plant);
  (void)PetscFree(p->start);
  (void)PetscFree2(p->spread, p->step);
  (void)PetscFree(p->target);
  (void)PetscFree2(p->seen, p->data);
  (void)PetscFree(p->actuated);
  (void)PetscFree4(p->state_names, p->state_units, p->control_names, p->control_units);
  (void)PetscFree(p->rods);
  (void)PetscFree(*ctx);
}

static int64_t MujocoPlantCalls(void *ctx) {
  const MujocoCalls calls = MujocoPlantGetCalls(((Mujoco *)ctx)->plant);
  return calls.position + calls.velocity + calls.control;
}

// ---- plant ----

// A number per joint and per velocity, whatever the ranges: those of one entry do not move the others.
static PetscErrorCode MujocoDraw(void *ctx, CtpgStream *x0_stream, CtpgStream *task_stream, PetscReal *x0,
                                 PetscReal *task) {
  const Mujoco *p = ctx;
  PetscFunctionBeginUser;
  (void)task_stream, (void)task;
  for (PetscInt j = 0; j < 2 * p->nv; j++) p->step[j] = p->spread[j] * CtpgStreamUniformIn(x0_stream, -1, 1);
  for (PetscInt j = 0; j < p->nx; j++) x0[j] = p->start[j];
  mj_integratePos(MujocoPlantGetModel(p->plant), x0, p->step, 1);
  for (PetscInt j = 0; j < p->nv; j++) x0[p->nq + j] += p->step[p->nv + j];
  PetscFunctionReturn(0);
}

// Distance of qpos to the target, squared: rotations by their angle. Adds c times its derivative to gx unless NULL.
static PetscReal Distance(const Mujoco *p, const PetscReal *x, PetscReal c, PetscReal *gx) {
  const mjModel *m = MujocoPlantGetModel(p->plant);
  PetscReal sum = 0;
  for (PetscInt j = 0; j < m->njnt; j++) {
    const int type = m->jnt_type[j], slides = type == mjJNT_FREE ? 3 : type == mjJNT_BALL ? 0 : 1;
    const int first = m->jnt_qposadr[j], last = first + slides;
    for (int i = first; i < last; i++) {
      sum += PetscSqr(x[i] - p->target[i]);
      if (gx) gx[i] += c * 2 * (x[i] - p->target[i]);
    }
    if (type == mjJNT_FREE || type == mjJNT_BALL)
      sum += MujocoRotation(x + last, p->target + last, c, gx ? gx + last : NULL);
  }
  return sum;
}

static PetscReal SumOfSquares(const PetscReal *values, PetscInt n, PetscReal c, PetscReal *gradient) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += PetscSqr(values[i]);
  for (PetscInt i = 0; gradient && i < n; i++) gradient[i] += c * 2 * values[i];
  return sum;
}

static PetscReal Cost(const Mujoco *p, const PetscReal *x, const PetscReal *u) {
  return p->position * Distance(p, x, 0, NULL) + p->velocity * SumOfSquares(x + p->nq, p->nv, 0, NULL) +
         p->control * SumOfSquares(u, p->nu, 0, NULL);
}

static void AddCostGradient(const Mujoco *p, const PetscReal *x, const PetscReal *u, PetscReal c, PetscReal *gx,
                            PetscReal *gu) {
  (void)Distance(p, x, c * p->position, gx);
  (void)SumOfSquares(x + p->nq, p->nv, c * p->velocity, gx + p->nq);
  (void)SumOfSquares(u, p->nu, c * p->control, gu);
}

static CtpgStatus MujocoEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, u += p->nu, f += p->nx) {
    status = MujocoPlantEval(p->plant, t[i], x, u, f);
    w[i] = Cost(p, x, u);
  }
  return status;
}

static CtpgStatus MujocoEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                                PetscReal *gu) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, u += p->nu, v += p->nx, gx += p->nx, gu += p->nu) {
    status = MujocoPlantVJP(p->plant, t[i], x, u, v, gx, gu);
    AddCostGradient(p, x, u, c[i], gx, gu);
  }
  return status;
}

static CtpgStatus MujocoJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                 PetscReal *fx, PetscReal *fu) {
  (void)task;
  return MujocoPlantJacobian(((const Mujoco *)ctx)->plant, t, x, u, fx, fu);
}

static CtpgStatus MujocoObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                PetscReal *o) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, o += p->no) {
    if (p->has_sensors) status = MujocoPlantSense(p->plant, t[i], x, p->data);
    for (PetscInt k = 0; k < p->no; k++) o[k] = p->seen[k] >= 0 ? x[p->seen[k]] : p->data[-1 - p->seen[k]];
  }
  return status;
}

static CtpgStatus MujocoObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *go, PetscReal *gx) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, go += p->no, gx += p->nx) {
    for (PetscInt k = 0; k < p->ndata; k++) p->data[k] = 0;
    for (PetscInt k = 0; k < p->no; k++) *(p->seen[k] >= 0 ? gx + p->seen[k] : p->data - 1 - p->seen[k]) += go[k];
    if (p->has_sensors) status = MujocoPlantSenseVJP(p->plant, t[i], x, p->data, gx);
  }
  return status;
}

static CtpgStatus MujocoObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *dx, PetscReal *d_o) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, dx += p->nx, d_o += p->no) {
    if (p->has_sensors) status = MujocoPlantSenseJVP(p->plant, t[i], x, dx, p->data);
    for (PetscInt k = 0; k < p->no; k++) d_o[k] = p->seen[k] >= 0 ? dx[p->seen[k]] : p->data[-1 - p->seen[k]];
  }
  return status;
}
#endif

const CtpgProblemType CtpgProblem_mujoco = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgProblemType),
    .name = "mujoco",
    .bibtex = "@inproceedings{todorov2012mujoco,\n"
              "  title = {{MuJoCo}: A physics engine for model-based control},\n"
              "  author = {Todorov, Emanuel and Erez, Tom and Tassa, Yuval},\n"
              "  booktitle = {IEEE/RSJ International Conference on Intelligent Robots and Systems},\n"
              "  pages = {5026--5033}, year = {2012}\n"
              "}",
    .version = 2,
    .flags = CTPG_IS_DIFFERENCED | CTPG_IS_NONSMOOTH,
#ifdef CTPG_HAVE_MUJOCO
    .create = MujocoCreate,
    .draw = MujocoDraw,
    .eval = MujocoEval,
    .observe = MujocoObserve,
    .eval_vjp = MujocoEvalVJP,
    .observe_vjp = MujocoObserveVJP,
    .observe_jvp = MujocoObserveJVP,
    .jacobian = MujocoJacobian,
    .destroy = MujocoDestroy,
    .plant_calls = MujocoPlantCalls,
#endif
    .unavailable = CTPG_MUJOCO_UNAVAILABLE,
};
