// mujoco.c -- any MJCF model, to be brought to a configuration at small cost
//
//   x = (qpos, qvel, act), u = ctrl (clamped to its ctrlrange by MuJoCo), f = (qpos', qacc, act') of mj_forward; with
//   -mujoco_push u has generalised forces at joints behind ctrl (mujoco/push.h)
//   w and J: squared distances to a target, of qpos and of named readings, velocities and controls (mujoco/cost.h)
//   x0 = a keyframe, or the model's own pose at rest where there is none, + U(-1, 1) x0_range
//   o = what -mujoco_observe names (mujoco/readings.h), in this order of the user's
// Sizes of the policy follow from the model. Joints are not wrapped: a target 2 pi away is another target.
// Derivatives of qacc and of sensors are differences of the engine (plant.h), those of w exact.
// What makes it hard: contacts, joint limits and friction make f non-smooth, hence flagged so; orders above one, and
// gradients across an impact, are not to be expected. For whom: whoever has a robot in MuJoCo.
// Models come with the program, by name: reacher (the default), acrobot, cartpole, drone, ball, hopper.
// Source: E. Todorov, T. Erez, Y. Tassa, "MuJoCo: A physics engine for model-based control", IROS 2012.

#include "problems/mujoco/cost.h"
#include "problems/mujoco/model.h"
#include "problems/mujoco/plant.h"
#include "problems/mujoco/push.h"
#include "problems/mujoco/readings.h"
#include "problems/mujoco/shapes.h"
#include "ctpgbench/problem.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CTPG_HAVE_MUJOCO

typedef struct {
  MujocoPlant plant;
  PetscInt nq, nv, na, nu, nx;
  PetscReal *start;         // [nx]
  PetscReal *spread, *step; // [2 nv] half widths of the starts; a draw's displacement
  MujocoCost cost;
  MujocoReadings seen;
  PetscInt *actuated;                                              // [nx - nq]
  char *state_names, *state_units, *control_names, *control_units; // comma lists
  MujocoShapes shapes;                                             // for pictures
} Mujoco;

// ---- options ----

static PetscErrorCode ReadContacts(CtpgOptions options, MujocoContacts *contacts) {
  static const char *const onsets[] = {"model", "smooth", NULL};
  PetscInt onset = 0;
  PetscFunctionBeginUser;
  contacts->softness = 1;
  PetscCall(CtpgOptionsReal(options, "contact_softness",
                            "factor of all contacts' time constants and depths: stiffness falls with its square", 1e-3,
                            1e3, &contacts->softness));
  PetscCall(CtpgOptionsChoice(options, "contact_onset", "smooth: contact forces grow from zero at the first touch",
                              onsets, &onset));
  contacts->smooth = onset == 1 ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadModel(Mujoco *p, CtpgOptions options) {
  char file[PETSC_MAX_PATH_LEN] = "reacher";
  MujocoContacts contacts;

  PetscFunctionBeginUser;
  PetscCall(ReadContacts(options, &contacts));
  PetscCall(CtpgOptionsPath(options, "model",
                            "MJCF file, or a model of this program: reacher, acrobot, cartpole, drone, ball, hopper",
                            file, sizeof file));
  PetscCall(MujocoPlantCreate("-mujoco_model", file, &contacts, &p->plant));
  PetscCall(CtpgOptionsContent(options, "model_hash", MujocoPlantGetHash(p->plant)));
  const mjModel *m = MujocoPlantGetModel(p->plant);
  p->nq = m->nq;
  p->nv = m->nv;
  p->na = m->na;
  p->nx = p->nq + p->nv + p->na;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadControls(Mujoco *p, CtpgOptions options) {
  MujocoPush *pushes;
  PetscInt n;
  PetscFunctionBeginUser;
  PetscCall(MujocoPushesRead(p->plant, options, &n, &pushes));
  PetscCall(MujocoPlantPush(p->plant, n, pushes));
  PetscCall(PetscFree(pushes));
  p->nu = MujocoPlantGetControls(p->plant);
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadDifferences(Mujoco *p, CtpgOptions options) {
  static const char *const kinds[] = {"central", "forward", NULL};
  PetscInt kind = 0;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsChoice(options, "differences", "of the engine; forward: half the calls, three digits less",
                              kinds, &kind));
  if (kind == 1) MujocoPlantUseForwardDifferences(p->plant);
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
    PetscCall(MujocoModelKeyframe(m, "-mujoco_keyframe", name, &id));
  PetscCall(PetscCalloc1(p->nx, &p->start));
  ReadKeyframe(p, m, id);
  PetscCall(MujocoPlantCheckStart(p->plant, "-mujoco_model", p->start));
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

// ---- what is observed ----

static PetscErrorCode ReadObservation(Mujoco *p, CtpgOptions options) {
  char text[4096] = "qpos,qvel";

  PetscFunctionBeginUser;
  PetscCall(
      CtpgOptionsList(options, "observe",
                      "comma list of qpos, qvel, act, sensors, site:NAME, body:NAME, geom:NAME, and of their axes "
                      "(site_axes:NAME)",
                      text, sizeof text));
  PetscCall(MujocoReadingsFind(p->plant, "-mujoco_observe", text, &p->seen));
  PetscCheck(p->seen.size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_observe is empty; expected a comma list of qpos, qvel, act and sensors");
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
  for (int i = 0; i < p->nu; i++) {
    if (i < m->nu)
      AppendWord(p->control_names, size, m, mjOBJ_ACTUATOR, i, "", "u", i + 1);
    else
      AppendWord(p->control_names, size, m, mjOBJ_JOINT, MujocoPlantGetPush(p->plant, i - m->nu)->joint, " push", "u",
                 i + 1);
    AppendUnit(p->control_units, size, "1");
  }
  PetscCall(PetscMalloc1(p->nx - p->nq, &p->actuated));
  for (PetscInt i = p->nq; i < p->nx; i++) p->actuated[i - p->nq] = i;
  PetscFunctionReturn(0);
}

static PetscErrorCode MujocoCreate(MPI_Comm comm, CtpgOptions options, CtpgDims *dims, void **ctx) {
  Mujoco *p;

  PetscFunctionBeginUser;
  (void)comm;
  PetscCall(PetscNew(&p));
  *ctx = p;
  PetscCall(ReadModel(p, options));
  PetscCall(ReadControls(p, options));
  PetscCall(ReadDifferences(p, options));
  PetscCall(ReadStart(p, options));
  PetscCall(ReadSpread(p, options));
  PetscCall(MujocoCostRead(&p->cost, p->plant, options));
  PetscCall(ReadObservation(p, options));
  PetscCall(ReadNames(p));
  PetscCall(MujocoShapesFind(p->plant, &p->shapes));
  *dims = (CtpgDims){.nx = p->nx,
                     .nu = p->nu,
                     .no = p->seen.size,
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
                     .shapes = p->shapes.shapes,
                     .nshapes = p->shapes.count};
  PetscFunctionReturn(0);
}

static void MujocoDestroy(void **ctx) {
  Mujoco *p = *ctx;
  if (!p) return;
  (void)MujocoPlantDestroy(&p->plant);
  (void)PetscFree(p->start);
  (void)PetscFree2(p->spread, p->step);
  (void)MujocoCostDestroy(&p->cost);
  (void)MujocoReadingsDestroy(&p->seen);
  (void)PetscFree(p->actuated);
  (void)PetscFree4(p->state_names, p->state_units, p->control_names, p->control_units);
  (void)MujocoShapesDestroy(&p->shapes);
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

static CtpgStatus MujocoEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, PetscReal *f, PetscReal *w) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, u += p->nu, f += p->nx) {
    status = MujocoPlantEval(p->plant, t[i], x, u, f);
    if (status == CTPG_OK) status = MujocoCostEval(&p->cost, t[i], x, u, w + i);
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
    if (status == CTPG_OK) status = MujocoCostProduct(&p->cost, t[i], x, u, c[i], gx, gu);
  }
  return status;
}

static CtpgStatus MujocoJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                                 PetscReal *fx, PetscReal *fu) {
  (void)task;
  return MujocoPlantJacobian(((const Mujoco *)ctx)->plant, t, x, u, fx, fu);
}

static CtpgStatus MujocoTerminal(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J, PetscReal *Jx) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  *J = 0;
  for (PetscInt i = 0; i < p->nx; i++) Jx[i] = 0;
  if (!p->cost.terminal) return CTPG_OK;
  status = MujocoCostEval(&p->cost, task->T, x, NULL, J);
  *J *= p->cost.terminal;
  return status == CTPG_OK ? MujocoCostProduct(&p->cost, task->T, x, NULL, p->cost.terminal, Jx, NULL) : status;
}

static CtpgStatus MujocoObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                PetscReal *o) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, o += p->seen.size)
    status = MujocoPlantRead(p->plant, &p->seen, t[i], x, o);
  return status;
}

static CtpgStatus MujocoObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *go, PetscReal *gx) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, go += p->seen.size, gx += p->nx)
    status = MujocoPlantReadVJP(p->plant, &p->seen, t[i], x, go, gx);
  return status;
}

static CtpgStatus MujocoObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                   const PetscReal *dx, PetscReal *d_o) {
  const Mujoco *p = ctx;
  CtpgStatus status = CTPG_OK;
  (void)task;
  for (PetscInt i = 0; i < n && status == CTPG_OK; i++, x += p->nx, dx += p->nx, d_o += p->seen.size)
    status = MujocoPlantReadJVP(p->plant, &p->seen, t[i], x, dx, d_o);
  return status;
}

static CtpgStatus MujocoPlace(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, PetscReal *pose) {
  const Mujoco *p = ctx;
  (void)task;
  return MujocoPlantPlace(p->plant, &p->shapes, t, x, pose);
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
    .version = 4,
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
    .terminal = MujocoTerminal,
    .destroy = MujocoDestroy,
    .plant_calls = MujocoPlantCalls,
    .place = MujocoPlace,
#endif
    .unavailable = CTPG_MUJOCO_UNAVAILABLE,
};
