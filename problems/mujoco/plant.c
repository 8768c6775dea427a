// plant.c -- see plant.h

#include "problems/mujoco/plant.h"
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-5 // of central differences: truncation and rounding of qacc balance there

// ---- calls that may fail inside the engine ----

static jmp_buf landing;
static char engine_message[1024];

static void OnError(const char *message) {
  snprintf(engine_message, sizeof engine_message, "%s", message);
  longjmp(landing, 1);
}

// mjData counts its warnings: they are looked at after the call.
static void OnWarning(const char *message) {
  (void)message;
}

// work(job) with MuJoCo's errors caught; FALSE when there was one, which is in engine_message. The handlers belong to
// whoever else uses MuJoCo in this process, hence put back.
static PetscBool Guard(void (*work)(void *), void *job) {
  void (*const error)(const char *) = mju_user_error, (*const warning)(const char *) = mju_user_warning;
  volatile PetscBool done = PETSC_FALSE;
  mju_user_error = OnError;
  mju_user_warning = OnWarning;
  if (!setjmp(landing)) {
    work(job);
    done = PETSC_TRUE;
  }
  mju_user_error = error;
  mju_user_warning = warning;
  return done;
}

// ---- models: one per process and file ----

// Those beside the problems, compiled in.
static const struct {
  const char *name, *text;
} SHIPPED[] = {
#define TEXT(name, text) {name, text},
#include "generated/models.h"
#undef TEXT
};

static const char *ShippedModel(const char *name) {
  for (size_t i = 0; i < sizeof SHIPPED / sizeof *SHIPPED; i++)
    if (!strcmp(SHIPPED[i].name, name)) return SHIPPED[i].text;
  return NULL;
}

typedef struct Model_s {
  char *file;
  mjModel *model;
  uint64_t hash;
  int users;
  struct Model_s *next;
} Model;

static Model *models;

typedef struct {
  const char *file, *text; // text NULL: read the file
  mjVFS *vfs;
  mjModel *model;
  mjData *data;
  char message[1024];
} LoadJob;

static void LoadWork(void *job) {
  LoadJob *load = job;
  if (load->text) {
    const int length = (int)strlen(load->text);
    mj_defaultVFS(load->vfs);
    mj_makeEmptyFileVFS(load->vfs, load->file, length);
    memcpy(load->vfs->filedata[0], load->text, (size_t)length);
  }
  load->model = mj_loadXML(load->file, load->text ? load->vfs : NULL, load->message, sizeof load->message);
  if (load->text) mj_deleteVFS(load->vfs);
  mj_freeLastXML();
}

// MuJoCo's messages have several lines; ours have one.
static void JoinLines(char *text) {
  size_t n = strlen(text);
  while (n && text[n - 1] == '\n') text[--n] = 0;
  for (; *text; text++)
    if (*text == '\n') *text = ' ';
}

static PetscErrorCode LoadModel(const char *option, const char *file, mjModel **model) {
  LoadJob load = {.file = file, .text = ShippedModel(file)};

  PetscFunctionBeginUser;
  PetscCheck(load.text || !CtpgIsNoFile(file), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a model that MuJoCo can load: it is not a regular file", option, file);
  if (load.text) {
    load.vfs = malloc(sizeof *load.vfs);
    PetscCheck(load.vfs, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory to load the model %s", file);
  }
  if (!Guard(LoadWork, &load)) PetscCall(PetscStrncpy(load.message, engine_message, sizeof load.message));
  free(load.vfs);
  JoinLines(load.message);
  PetscCheck(load.model, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not a model that MuJoCo can load: %s",
             option, file, load.message);
  *model = load.model;
  PetscFunctionReturn(0);
}

static const char *NameOf(const mjModel *m, int object, int id) {
  const char *name = mj_id2name(m, object, id);
  return name ? name : "";
}

// What is wrong with the model, "" when nothing is.
static void FindFault(const mjModel *m, char *fault, size_t size) {
  fault[0] = 0;
  if (m->nv == 0) snprintf(fault, size, "has no joint; expected slide or hinge joints");
  for (int j = m->njnt - 1; j >= 0; j--)
    if (m->jnt_type[j] == mjJNT_FREE || m->jnt_type[j] == mjJNT_BALL)
      snprintf(fault, size, "has the %s joint '%s' (number %d); only slide and hinge joints are supported",
               m->jnt_type[j] == mjJNT_FREE ? "free" : "ball", NameOf(m, mjOBJ_JOINT, j), j);
  if (!fault[0] && m->nu == 0) snprintf(fault, size, "has no actuator; there is nothing to control");
}

// Of the compiled model: included files and meshes are in it, comments and paths are not.
static PetscErrorCode HashModel(Model *model) {
  const int size = mj_sizeModel(model->model), version = mj_version();
  void *bytes;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1((size_t)size, (char **)&bytes));
  mj_saveModel(model->model, NULL, bytes, size);
  model->hash = CtpgHash(CtpgHash(CTPG_HASH_START, &version, sizeof version), bytes, (size_t)size);
  PetscCall(PetscFree(bytes));
  PetscFunctionReturn(0);
}

static PetscErrorCode NewModel(const char *option, const char *file, Model **entry) {
  char fault[256];
  mjModel *m = NULL;
  Model *new_model;

  PetscFunctionBeginUser;
  PetscCall(LoadModel(option, file, &m));
  FindFault(m, fault, sizeof fault);
  if (fault[0]) mj_deleteModel(m);
  PetscCheck(!fault[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s %s", option, file, fault);
  m->opt.enableflags &= ~mjENBL_SENSORNOISE; // random numbers of MuJoCo's own
  PetscCall(PetscNew(&new_model));
  new_model->model = m;
  new_model->next = models;
  models = *entry = new_model;
  PetscCall(PetscStrallocpy(file, &new_model->file));
  PetscCall(HashModel(new_model));
  PetscFunctionReturn(0);
}

static PetscErrorCode AcquireModel(const char *option, const char *file, Model **entry) {
  PetscFunctionBeginUser;
  *entry = models;
  while (*entry && strcmp((*entry)->file, file)) *entry = (*entry)->next;
  if (!*entry) PetscCall(NewModel(option, file, entry));
  (*entry)->users++;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReleaseModel(Model *entry) {
  Model **link = &models;
  PetscFunctionBeginUser;
  if (--entry->users) PetscFunctionReturn(0);
  while (*link != entry) link = &(*link)->next;
  *link = entry->next;
  mj_deleteModel(entry->model);
  PetscCall(PetscFree(entry->file));
  PetscCall(PetscFree(entry));
  PetscFunctionReturn(0);
}

// ---- plants ----

struct MujocoPlant_s {
  Model *shared;
  const mjModel *m;
  mjData *d;
  MujocoCalls calls;
  PetscInt nrates;         // of (qacc, act_dot)
  PetscReal *base, *ahead; // [max(nrates, nsensordata)] at the point itself, and at the forward end of a difference
};

static void MakeDataWork(void *job) {
  LoadJob *load = job;
  load->data = mj_makeData(load->model);
}

PetscErrorCode MujocoPlantCreate(const char *option, const char *file, MujocoPlant *plant) {
  LoadJob load = {0};
  MujocoPlant p;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&p));
  *plant = p;
  PetscCall(AcquireModel(option, file, &p->shared));
  load.model = p->shared->model;
  p->m = load.model;
  PetscCheck(Guard(MakeDataWork, &load) && load.data, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s: MuJoCo cannot make data for this model: %s", option, file, engine_message);
  p->d = load.data;
  p->nrates = p->m->nv + p->m->na;
  const PetscInt longest = PetscMax(p->nrates, p->m->nsensordata);
  PetscCall(PetscCalloc2(longest, &p->base, longest, &p->ahead));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPlantDestroy(MujocoPlant *plant) {
  PetscFunctionBeginUser;
  if (!*plant) PetscFunctionReturn(0);
  MujocoPlant p = *plant;
  if (p->d) mj_deleteData(p->d);
  if (p->shared) PetscCall(ReleaseModel(p->shared));
  PetscCall(PetscFree2(p->base, p->ahead));
  PetscCall(PetscFree(*plant));
  PetscFunctionReturn(0);
}

const mjModel *MujocoPlantGetModel(MujocoPlant plant) {
  return plant->m;
}

uint64_t MujocoPlantGetHash(MujocoPlant plant) {
  return plant->shared->hash;
}

MujocoCalls MujocoPlantGetCalls(MujocoPlant plant) {
  return plant->calls;
}

// ---- points ----

// Arguments of every guarded call below; NULL where it has none.
typedef struct {
  MujocoPlant p;
  PetscReal t;
  const PetscReal *x, *u, *v;
  PetscReal *result, *gx, *gu;
} Point;

static PetscBool InRange(PetscInt n, const PetscReal *values) {
  PetscBool in_range = PETSC_TRUE;
  for (PetscInt i = 0; i < n; i++)
    if (!(fabs(values[i]) <= mjMAXVAL)) in_range = PETSC_FALSE;
  return in_range;
}

static void FillNaN(PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; values && i < n; i++) values[i] = NAN;
}

static void CopyReals(PetscReal *to, const PetscReal *from, PetscInt n) {
  if (n) memcpy(to, from, (size_t)n * sizeof *to);
}

static void SetPoint(const Point *point) {
  const mjModel *m = point->p->m;
  mjData *d = point->p->d;
  d->time = point->t;
  CopyReals(d->qpos, point->x, m->nq);
  CopyReals(d->qvel, point->x + m->nq, m->nv);
  CopyReals(d->act, point->x + m->nq + m->nv, m->na);
  if (point->u) CopyReals(d->ctrl, point->u, m->nu);
}

// work at the point. What MuJoCo complains about is a point at which the plant is not defined.
static CtpgStatus Visit(Point *point, void (*work)(void *), PetscInt nresult) {
  const mjModel *m = point->p->m;
  mjData *d = point->p->d;
  const PetscInt nx = m->nq + m->nv + m->na;
  int warnings = 0;
  if (!InRange(nx, point->x) || (point->u && !InRange(m->nu, point->u))) {
    FillNaN(nresult, point->result), FillNaN(nx, point->gx), FillNaN(m->nu, point->gu);
    return CTPG_OK;
  }
  SetPoint(point);
  const PetscBool done = Guard(work, point);
  for (int i = 0; i < mjNWARNING; i++) warnings += d->warning[i].number;
  if (!done || warnings) mj_resetData(m, d);
  return done && !warnings ? CTPG_OK : CTPG_DOMAIN;
}

// ---- dynamics ----

// mj_forward without what earlier calls have computed: all, all but positions, or all but positions and velocities.
static void Forward(MujocoPlant p, mjtStage known) {
  mju_zero(p->d->qacc_warmstart, p->m->nv);
  mj_forwardSkip(p->m, p->d, known, 1);
  if (known == mjSTAGE_NONE) p->calls.position++;
  if (known == mjSTAGE_POS) p->calls.velocity++;
  if (known == mjSTAGE_VEL) p->calls.control++;
}

static void CopyRates(MujocoPlant p, PetscReal *rates) {
  CopyReals(rates, p->d->qacc, p->m->nv);
  CopyReals(rates + p->m->nv, p->d->act_dot, p->m->na);
}

// v . (rates now - rates of `from`)
static PetscReal RatesSince(MujocoPlant p, const PetscReal *from, const PetscReal *v) {
  const PetscInt nv = p->m->nv;
  PetscReal sum = 0;
  for (PetscInt i = 0; i < nv; i++) sum += v[i] * (p->d->qacc[i] - from[i]);
  for (PetscInt i = nv; i < p->nrates; i++) sum += v[i] * (p->d->act_dot[i - nv] - from[i]);
  return sum;
}

// Derivative of v . rates with respect to one entry of mjData, from its values at `low` and `high`. The width is that
// of the two rounded numbers: the nominal one is wrong by 1e-11 at entries of size 1.
static PetscReal DifferenceBetween(MujocoPlant p, mjtNum *entry, mjtNum low, mjtNum high, mjtStage known,
                                   const PetscReal *v) {
  const mjtNum at = *entry;
  *entry = high;
  Forward(p, known);
  CopyRates(p, p->ahead);
  *entry = low;
  Forward(p, known);
  *entry = at;
  return -RatesSince(p, p->ahead, v) / (high - low);
}

static PetscReal Difference(MujocoPlant p, mjtNum *entry, mjtStage known, const PetscReal *v) {
  return DifferenceBetween(p, entry, *entry - STEP, *entry + STEP, known, v);
}

// Where control i acts: its range, or one unit either side of a control that has none.
static void ControlRange(const mjModel *m, PetscInt i, PetscReal u, PetscReal *low, PetscReal *high) {
  const PetscBool limited =
      m->actuator_ctrllimited[i] && !(m->opt.disableflags & mjDSBL_CLAMPCTRL) ? PETSC_TRUE : PETSC_FALSE;
  *low = limited ? m->actuator_ctrlrange[2 * i] : u - 1;
  *high = limited ? m->actuator_ctrlrange[2 * i + 1] : u + 1;
}

// Column i of f_u, positions and velocities known. An affine column needs one more point only: the far end of the range.
static PetscReal ControlDifference(MujocoPlant p, PetscInt i, const PetscReal *v) {
  const PetscBool affine = !p->d->nefc && !p->m->na && !p->m->actuator_forcelimited[i] ? PETSC_TRUE : PETSC_FALSE;
  mjtNum *entry = p->d->ctrl + i;
  const mjtNum at = *entry;
  PetscReal low, high;
  ControlRange(p->m, i, at, &low, &high);
  if (!(low <= at && at <= high && low < high)) return 0;
  if (!affine) return DifferenceBetween(p, entry, fmax(at - STEP, low), fmin(at + STEP, high), mjSTAGE_VEL, v);
  *entry = at - low > high - at ? low : high;
  const PetscReal width = *entry - at;
  Forward(p, mjSTAGE_VEL);
  *entry = at;
  return RatesSince(p, p->base, v) / width;
}

static void EvalWork(void *job) {
  const Point *point = job;
  MujocoPlant p = point->p;
  Forward(p, mjSTAGE_NONE);
  CopyReals(point->result, p->d->qvel, p->m->nv);
  CopyRates(p, point->result + p->m->nv);
}

// The point itself first: the differences in controls and velocities, which leave the positions alone, build on it.
static void VJPWork(void *job) {
  const Point *point = job;
  MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  const PetscReal *v = point->v + nv; // along (qacc, act_dot)
  Forward(p, mjSTAGE_NONE);
  CopyRates(p, p->base);
  for (PetscInt i = 0; i < p->m->nu; i++) point->gu[i] += ControlDifference(p, i, v);
  for (PetscInt j = 0; j < p->m->na; j++) point->gx[nq + nv + j] += Difference(p, p->d->act + j, mjSTAGE_VEL, v);
  for (PetscInt j = 0; j < nv; j++) point->gx[nq + j] += point->v[j] + Difference(p, p->d->qvel + j, mjSTAGE_POS, v);
  for (PetscInt j = 0; j < nq; j++) point->gx[j] += Difference(p, p->d->qpos + j, mjSTAGE_NONE, v);
}

CtpgStatus MujocoPlantEval(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *f) {
  Point point = {.p = plant, .t = t, .x = x, .u = u, .result = f};
  return Visit(&point, EvalWork, plant->m->nv + plant->nrates);
}

CtpgStatus MujocoPlantVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, const PetscReal *v,
                          PetscReal *gx, PetscReal *gu) {
  Point point = {.p = plant, .t = t, .x = x, .u = u, .v = v, .gx = gx, .gu = gu};
  return Visit(&point, VJPWork, 0);
}

// ---- sensors ----

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

static PetscReal SenseDifference(MujocoPlant p, mjtNum *entry, mjtStage known, const PetscReal *g) {
  const mjtNum at = *entry, high = at + STEP, low = at - STEP;
  PetscReal sum = 0;
  *entry = high;
  Sense(p, known);
  CopyReals(p->ahead, p->d->sensordata, p->m->nsensordata);
  *entry = low;
  Sense(p, known);
  *entry = at;
  for (PetscInt i = 0; i < p->m->nsensordata; i++) sum += g[i] * (p->ahead[i] - p->d->sensordata[i]);
  return sum / (high - low);
}

static void SenseWork(void *job) {
  const Point *point = job;
  Sense(point->p, mjSTAGE_NONE);
  CopyReals(point->result, point->p->d->sensordata, point->p->m->nsensordata);
}

static void SenseVJPWork(void *job) {
  const Point *point = job;
  MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq;
  Sense(p, mjSTAGE_NONE);
  for (PetscInt j = 0; j < p->m->nv; j++)
    point->gx[nq + j] += SenseDifference(p, p->d->qvel + j, mjSTAGE_POS, point->v);
  for (PetscInt j = 0; j < nq; j++) point->gx[j] += SenseDifference(p, p->d->qpos + j, mjSTAGE_NONE, point->v);
}

CtpgStatus MujocoPlantSense(MujocoPlant plant, PetscReal t, const PetscReal *x, PetscReal *data) {
  Point point = {.p = plant, .t = t, .x = x, .result = data};
  return Visit(&point, SenseWork, plant->m->nsensordata);
}

CtpgStatus MujocoPlantSenseVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *g, PetscReal *gx) {
  Point point = {.p = plant, .t = t, .x = x, .v = g, .gx = gx};
  return Visit(&point, SenseVJPWork, 0);
}
