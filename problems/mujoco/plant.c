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
  PetscInt nrates; // of (qacc, act_dot)
  PetscReal *base, *ahead,
      *change; // [max(nrates, nsensordata)] at the point itself; at the forward end of a difference; of one
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
  PetscCall(PetscCalloc3(longest, &p->base, longest, &p->ahead, longest, &p->change));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPlantDestroy(MujocoPlant *plant) {
  PetscFunctionBeginUser;
  if (!*plant) PetscFunctionReturn(0);
  MujocoPlant p = *plant;
  if (p->d) mj_deleteData(p->d);
  if (p->shared) PetscCall(ReleaseModel(p->shared));
  PetscCall(PetscFree3(p->base, p->ahead, p->change));
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
  PetscReal *result, *gx, *gu, *fx, *fu;
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
    FillNaN(nx * nx, point->fx), FillNaN(nx * m->nu, point->fu);
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

// change [nrates] = rates now - rates of `from`
static void SetChange(MujocoPlant p, const PetscReal *from) {
  CopyRates(p, p->change);
  for (PetscInt i = 0; i < p->nrates; i++) p->change[i] -= from[i];
}

// Change of the rates with one entry of mjData from `high` to `low`; returns its width. It is that of the two rounded
// numbers: the nominal one is wrong by 1e-11 at entries of size 1.
static PetscReal ChangeBetween(MujocoPlant p, mjtNum *entry, mjtNum low, mjtNum high, mjtStage known) {
  const mjtNum at = *entry;
  *entry = high;
  Forward(p, known);
  CopyRates(p, p->ahead);
  *entry = low;
  Forward(p, known);
  *entry = at;
  SetChange(p, p->ahead);
  return low - high;
}

static PetscReal ChangeAbout(MujocoPlant p, mjtNum *entry, mjtStage known) {
  return ChangeBetween(p, entry, *entry - STEP, *entry + STEP, known);
}

// Where control i acts: its range, or one unit either side of a control that has none.
static void ControlRange(const mjModel *m, PetscInt i, PetscReal u, PetscReal *low, PetscReal *high) {
  const PetscBool limited =
      m->actuator_ctrllimited[i] && !(m->opt.disableflags & mjDSBL_CLAMPCTRL) ? PETSC_TRUE : PETSC_FALSE;
  *low = limited ? m->actuator_ctrlrange[2 * i] : u - 1;
  *high = limited ? m->actuator_ctrlrange[2 * i + 1] : u + 1;
}

// The same for control i, positions and velocities known. An affine column needs one more point only: the far end of the
// range. Width 0: it has no effect.
static PetscReal ControlChange(MujocoPlant p, PetscInt i) {
  const PetscBool affine = !p->d->nefc && !p->m->na && !p->m->actuator_forcelimited[i] ? PETSC_TRUE : PETSC_FALSE;
  mjtNum *entry = p->d->ctrl + i;
  const mjtNum at = *entry;
  PetscReal low, high;
  ControlRange(p->m, i, at, &low, &high);
  if (!(low <= at && at <= high && low < high)) return 0;
  if (!affine) return ChangeBetween(p, entry, fmax(at - STEP, low), fmin(at + STEP, high), mjSTAGE_VEL);
  *entry = at - low > high - at ? low : high;
  const PetscReal width = *entry - at;
  Forward(p, mjSTAGE_VEL);
  *entry = at;
  SetChange(p, p->base);
  return width;
}

static void EvalWork(void *job) {
  const Point *point = job;
  MujocoPlant p = point->p;
  Forward(p, mjSTAGE_NONE);
  CopyReals(point->result, p->d->qvel, p->m->nv);
  CopyRates(p, point->result + p->m->nv);
}

// Column k of (f_x, f_u), k < nx + nu, of the rates (qacc, act_dot): p->change / width, zero where the width is.
typedef void (*TakeColumn)(const Point *point, PetscInt k, PetscReal width);

// The point itself first: the differences in controls and velocities, which leave the positions alone, build on it.
static void EachColumn(const Point *point, TakeColumn take) {
  MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv, na = p->m->na;
  Forward(p, mjSTAGE_NONE);
  CopyRates(p, p->base);
  for (PetscInt i = 0; i < p->m->nu; i++) take(point, nq + nv + na + i, ControlChange(p, i));
  for (PetscInt j = 0; j < na; j++) take(point, nq + nv + j, ChangeAbout(p, p->d->act + j, mjSTAGE_VEL));
  for (PetscInt j = 0; j < nv; j++) take(point, nq + j, ChangeAbout(p, p->d->qvel + j, mjSTAGE_POS));
  for (PetscInt j = 0; j < nq; j++) take(point, j, ChangeAbout(p, p->d->qpos + j, mjSTAGE_NONE));
}

static void AddToProduct(const Point *point, PetscInt k, PetscReal width) {
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv, nx = nv + p->nrates;
  const PetscReal *v = point->v + nv; // along (qacc, act_dot)
  PetscReal sum = 0;
  if (!width) return;
  for (PetscInt i = 0; i < p->nrates; i++) sum += v[i] * p->change[i];
  if (k >= nx)
    point->gu[k - nx] += sum / width;
  else if (k >= nq && k < nq + nv)
    point->gx[k] += point->v[k - nq] + sum / width; // qpos' = qvel
  else
    point->gx[k] += sum / width;
}

static void VJPWork(void *job) {
  EachColumn(job, AddToProduct);
}

static void WriteColumn(const Point *point, PetscInt k, PetscReal width) {
  const MujocoPlant p = point->p;
  const PetscInt nv = p->m->nv, nx = nv + p->nrates, nu = p->m->nu;
  PetscReal *column = k < nx ? point->fx + nv * nx + k : point->fu + nv * nu + k - nx;
  for (PetscInt i = 0; i < p->nrates && width; i++) column[i * (k < nx ? nx : nu)] = p->change[i] / width;
}

static void JacobianWork(void *job) {
  const Point *point = job;
  const PetscInt nv = point->p->m->nv, nx = nv + point->p->nrates;
  memset(point->fx, 0, (size_t)(nx * nx) * sizeof *point->fx);
  memset(point->fu, 0, (size_t)(nx * point->p->m->nu) * sizeof *point->fu);
  for (PetscInt j = 0; j < nv; j++) point->fx[j * nx + point->p->m->nq + j] = 1;
  EachColumn(point, WriteColumn);
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

CtpgStatus MujocoPlantJacobian(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *fx,
                               PetscReal *fu) {
  Point point = {.p = plant, .t = t, .x = x, .u = u, .fx = fx, .fu = fu};
  return Visit(&point, JacobianWork, 0);
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

// Central difference along v, by a step that moves its largest entry by STEP.
static void SenseJVPWork(void *job) {
  const Point *point = job;
  MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv;
  PetscReal *data[2] = {p->ahead, p->d->sensordata}, longest = 0;
  for (PetscInt j = 0; j < nq + nv; j++) longest = fmax(longest, fabs(point->v[j]));
  const PetscReal step = STEP / (longest > 0 ? longest : 1);
  for (int side = 0; side < 2; side++) {
    const PetscReal s = side ? -step : step;
    for (PetscInt j = 0; j < nq; j++) p->d->qpos[j] = point->x[j] + s * point->v[j];
    for (PetscInt j = 0; j < nv; j++) p->d->qvel[j] = point->x[nq + j] + s * point->v[nq + j];
    Sense(p, mjSTAGE_NONE);
    if (!side) CopyReals(data[0], data[1], p->m->nsensordata);
  }
  for (PetscInt i = 0; i < p->m->nsensordata; i++) point->result[i] = (data[0][i] - data[1][i]) / (2 * step);
}

CtpgStatus MujocoPlantSense(MujocoPlant plant, PetscReal t, const PetscReal *x, PetscReal *data) {
  Point point = {.p = plant, .t = t, .x = x, .result = data};
  return Visit(&point, SenseWork, plant->m->nsensordata);
}

CtpgStatus MujocoPlantSenseVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *g, PetscReal *gx) {
  Point point = {.p = plant, .t = t, .x = x, .v = g, .gx = gx};
  return Visit(&point, SenseVJPWork, 0);
}

CtpgStatus MujocoPlantSenseJVP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *dx,
                               PetscReal *ddata) {
  Point point = {.p = plant, .t = t, .x = x, .v = dx, .result = ddata};
  return Visit(&point, SenseJVPWork, plant->m->nsensordata);
}
