// plant.c -- a MuJoCo model as a plant: its points and rates (plant.h)
//
// Every call goes through MujocoVisit: set time, state and control, run the work under MujocoGuard, which turns an
// mju_error into a status, and look at the warnings.

#include "problems/mujoco/plant.h"
#include "problems/mujoco/engine.h"
#include "problems/mujoco/inside.h"
#include "problems/mujoco/model.h"
#include <math.h>
#include <string.h>

// ---- create ----

typedef struct {
  const mjModel *model;
  mjData *data;
} DataJob;

static void MakeDataWork(void *job) {
  DataJob *make = job;
  make->data = mj_makeData(make->model);
}

// Three rotations for each quaternion; a free joint has three positions before it.
static void FindDofs(MujocoPlant p) {
  for (int j = 0; j < p->m->njnt; j++) {
    const int type = p->m->jnt_type[j], first = p->m->jnt_dofadr[j], q = p->m->jnt_qposadr[j];
    const int slides = type == mjJNT_FREE ? 3 : type == mjJNT_BALL ? 0 : 1;
    for (int k = 0; k < slides; k++) p->dofs[first + k] = (MujocoDof){.q = q + k, .axis = -1};
    if (type != mjJNT_FREE && type != mjJNT_BALL) continue;
    for (int k = 0; k < 3; k++) p->dofs[first + slides + k] = (MujocoDof){.q = q + slides, .axis = k};
    p->nquats++;
  }
}

static void FindActivations(MujocoPlant p) {
  for (PetscInt i = 0; i < p->m->na; i++) p->act_low[i] = -INFINITY, p->act_high[i] = INFINITY;
  for (int a = 0; a < EngineActuators(p->m); a++) {
    int first;
    const int count = EngineStatesOf(p->m, a, &first);
    for (int i = first; i < first + count; i++) {
      p->act_off[i] = EngineIsOff(p->m, a) ? PETSC_TRUE : PETSC_FALSE;
      if (!p->m->actuator_actlimited[a]) continue;
      p->act_low[i] = p->m->actuator_actrange[2 * a];
      p->act_high[i] = p->m->actuator_actrange[2 * a + 1];
    }
  }
}

// Is a force affine in its control, as long as no constraint bends it?
static PetscBool ActsAffinely(const mjModel *m) {
  if (m->na || EngineLimitsForces(m)) return PETSC_FALSE;
  for (int a = 0; a < EngineActuators(m); a++)
    if (m->actuator_gaintype[a] != mjGAIN_FIXED && m->actuator_gaintype[a] != mjGAIN_AFFINE) return PETSC_FALSE;
  return PETSC_TRUE;
}

// What the number of controls says the size of.
static PetscErrorCode AllocateColumns(MujocoPlant p) {
  const PetscInt ncolumns = 2 * p->m->nv + p->m->na + p->nu;
  MujocoColumns *c = &p->columns;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc3(p->nu, &c->u, ncolumns * p->nrates, &c->change, ncolumns, &c->width));
  PetscFunctionReturn(0);
}

static PetscErrorCode Allocate(MujocoPlant p) {
  const PetscInt nv = p->m->nv, na = p->m->na, nmocap = p->m->nmocap;
  MujocoColumns *c = &p->columns;

  PetscFunctionBeginUser;
  PetscCall(
      PetscCalloc6(nv, &p->dofs, na, &p->act_low, na, &p->act_high, na, &p->act_off, na, &c->held, p->nx, &p->product));
  PetscCall(PetscCalloc4(p->nx, &c->x, p->nrates, &c->base, p->nrates, &c->ahead, nv, &p->tangent));
  PetscCall(PetscCalloc4(3 * nmocap, &p->mocap_pos, 4 * nmocap, &p->mocap_quat, p->m->nsensordata, &p->data, p->nx,
                         &p->unit));
  PetscCall(PetscCalloc2(p->m->nsensordata, &p->weights, 6 * nv, &p->jacobian));
  PetscCall(AllocateColumns(p));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPlantCreate(const char *option, const char *file, const MujocoContacts *contacts,
                                 MujocoPlant *plant) {
  DataJob make = {0};
  MujocoPlant p;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&p));
  *plant = p;
  PetscCall(MujocoModelAcquire(option, file, contacts, &p->shared));
  make.model = p->m = p->shared->model;
  PetscCheck(MujocoGuard(MakeDataWork, &make) && make.data, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s: MuJoCo cannot make data for this model: %s", option, file, MujocoMessage());
  p->d = make.data;
  p->nrates = p->m->nv + p->m->na;
  p->nx = p->m->nq + p->nrates;
  p->nu = p->m->nu;
  PetscCall(Allocate(p));
  FindDofs(p);
  FindActivations(p);
  p->affine = ActsAffinely(p->m);
  MujocoPlantPlaceMocap(p, -1);
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPlantDestroy(MujocoPlant *plant) {
  PetscFunctionBeginUser;
  if (!*plant) PetscFunctionReturn(0);
  MujocoPlant p = *plant;
  MujocoColumns *c = &p->columns;
  if (p->d) mj_deleteData(p->d);
  if (p->shared) PetscCall(MujocoModelRelease(p->shared));
  PetscCall(PetscFree6(p->dofs, p->act_low, p->act_high, p->act_off, c->held, p->product));
  PetscCall(PetscFree4(c->x, c->base, c->ahead, p->tangent));
  PetscCall(PetscFree3(c->u, c->change, c->width));
  PetscCall(PetscFree2(p->push, p->pushed));
  PetscCall(PetscFree4(p->mocap_pos, p->mocap_quat, p->data, p->unit));
  PetscCall(PetscFree2(p->weights, p->jacobian));
  PetscCall(PetscFree(*plant));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPlantPush(MujocoPlant plant, PetscInt n, const MujocoPush *pushes) {
  MujocoColumns *c = &plant->columns;
  PetscFunctionBeginUser;
  plant->npush = n;
  plant->nu = plant->m->nu + n;
  PetscCall(PetscMalloc2(n, &plant->push, n, &plant->pushed));
  PetscCall(PetscArraycpy(plant->push, pushes, n));
  PetscCall(PetscFree3(c->u, c->change, c->width));
  PetscCall(AllocateColumns(plant));
  PetscFunctionReturn(0);
}

PetscInt MujocoPlantGetControls(MujocoPlant plant) {
  return plant->nu;
}

const MujocoPush *MujocoPlantGetPush(MujocoPlant plant, PetscInt k) {
  return plant->push + k;
}

const mjModel *MujocoPlantGetModel(MujocoPlant plant) {
  return plant->m;
}

uint64_t MujocoPlantGetHash(MujocoPlant plant) {
  return plant->shared->hash;
}

PetscBool MujocoPlantHasQuaternions(MujocoPlant plant) {
  return plant->nquats > 0 ? PETSC_TRUE : PETSC_FALSE;
}

MujocoCalls MujocoPlantGetCalls(MujocoPlant plant) {
  return plant->calls;
}

void MujocoPlantUseForwardDifferences(MujocoPlant plant) {
  plant->forward = PETSC_TRUE;
  plant->columns.valid = PETSC_FALSE;
}

PetscReal MujocoPlantClampActivation(MujocoPlant plant, PetscInt i, PetscReal value) {
  return fmin(fmax(value, plant->act_low[i]), plant->act_high[i]);
}

int MujocoPlantActuatorOfState(MujocoPlant plant, PetscInt i) {
  for (int a = 0; a < EngineActuators(plant->m); a++) {
    int first;
    const int count = EngineStatesOf(plant->m, a, &first);
    if (i >= first && i < first + count) return a;
  }
  return -1;
}

mjtNum MujocoSensorDelay(const mjModel *model, int sensor) {
  return EngineSensorDelay(model, sensor);
}

void MujocoPlantPlaceMocap(MujocoPlant plant, PetscInt key) {
  const mjModel *m = plant->m;
  for (int body = 0; body < m->nbody; body++) {
    const int i = m->body_mocapid[body];
    if (i < 0) continue;
    const mjtNum *pos = key < 0 ? m->body_pos + 3 * body : m->key_mpos + 3 * (key * m->nmocap + i);
    const mjtNum *quat = key < 0 ? m->body_quat + 4 * body : m->key_mquat + 4 * (key * m->nmocap + i);
    MujocoCopy(plant->mocap_pos + 3 * i, pos, 3);
    MujocoCopy(plant->mocap_quat + 4 * i, quat, 4);
  }
  plant->columns.valid = PETSC_FALSE;
}

// ---- points ----

static PetscBool InRange(PetscInt n, const PetscReal *values) {
  PetscBool in_range = PETSC_TRUE;
  for (PetscInt i = 0; i < n; i++)
    if (!(fabs(values[i]) <= mjMAXVAL)) in_range = PETSC_FALSE;
  return in_range;
}

static void FillNaN(PetscInt n, PetscReal *values) {
  for (PetscInt i = 0; values && i < n; i++) values[i] = NAN;
}

void MujocoSetPositions(MujocoPlant p, const PetscReal *x, const PetscReal *dq, PetscReal step) {
  mjtNum *qpos = p->d->qpos;
  for (PetscInt i = 0; i < p->m->nq; i++) qpos[i] = dq ? x[i] + step * dq[i] : x[i];
  for (PetscInt j = 0; j < p->m->nv; j++)
    if (p->dofs[j].axis == 0) mju_normalize4(qpos + p->dofs[j].q);
}

static void SetControls(MujocoPlant p, const PetscReal *u) {
  MujocoCopy(p->d->ctrl, u, p->m->nu);
  for (PetscInt k = 0; k < p->npush; k++) {
    p->pushed[k] = u[p->m->nu + k];
    *MujocoPushedForce(p, k) = MujocoPushForce(p, k, p->pushed[k]);
  }
}

static void SetPoint(const MujocoPoint *point) {
  const MujocoPlant p = point->p;
  const mjModel *m = p->m;
  mjData *d = p->d;
  d->time = point->t;
  MujocoSetPositions(p, point->x, NULL, 0);
  MujocoCopy(d->qvel, point->x + m->nq, m->nv);
  for (PetscInt i = 0; i < m->na; i++) d->act[i] = MujocoPlantClampActivation(p, i, point->x[m->nq + m->nv + i]);
  if (point->u) SetControls(p, point->u);
  MujocoCopy(d->mocap_pos, p->mocap_pos, 3 * m->nmocap);
  MujocoCopy(d->mocap_quat, p->mocap_quat, 4 * m->nmocap);
}

CtpgStatus MujocoVisit(MujocoPoint *point, void (*work)(void *), PetscInt nresult) {
  const MujocoPlant p = point->p;
  const PetscInt nx = p->nx, nu = p->nu;
  int warnings = 0;
  if (!InRange(nx, point->x) || (point->u && !InRange(nu, point->u))) {
    FillNaN(nresult, point->result), FillNaN(nx, point->gx), FillNaN(nu, point->gu);
    FillNaN(nx * nx, point->fx), FillNaN(nx * nu, point->fu);
    return CTPG_OK;
  }
  SetPoint(point);
  const PetscBool done = MujocoGuard(work, point);
  for (int i = 0; i < mjNWARNING; i++) warnings += p->d->warning[i].number;
  if (done && !warnings) return CTPG_OK;
  mj_resetData(p->m, p->d);
  p->columns.valid = PETSC_FALSE;
  return CTPG_DOMAIN;
}

// ---- quaternions ----

// v = a (0, w) / 2 for a quaternion a: q' where a is q. Linear in a, and skew: its transpose is its negative.
static void Turn(const PetscReal *a, const PetscReal *w, PetscReal *v) {
  v[0] = 0.5 * (-a[1] * w[0] - a[2] * w[1] - a[3] * w[2]);
  v[1] = 0.5 * (a[0] * w[0] + a[2] * w[2] - a[3] * w[1]);
  v[2] = 0.5 * (a[0] * w[1] + a[3] * w[0] - a[1] * w[2]);
  v[3] = 0.5 * (a[0] * w[2] + a[1] * w[1] - a[2] * w[0]);
}

static PetscReal Dot4(const PetscReal *a, const PetscReal *b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
}

void MujocoRotate(MujocoPlant p, PetscInt j, PetscReal angle) {
  mjtNum axis[3] = {0};
  axis[p->dofs[j].axis] = 1;
  mju_quatIntegrate(p->d->qpos + p->dofs[j].q, axis, angle);
}

// turn [4] = the change of q, of length r, by a rotation about axis k, per angle; hence the angle for a change dq of q
// is 4 turn' dq / r^2, which MujocoToTangent and its transpose use.
static PetscReal TurnAbout(const PetscReal *q, PetscInt k, PetscReal *turn) {
  PetscReal axis[3] = {0};
  axis[k] = 1;
  Turn(q, axis, turn);
  return 4 / Dot4(q, q);
}

void MujocoToTangent(MujocoPlant p, const PetscReal *x, const PetscReal *dx, PetscReal *xi) {
  PetscReal turn[4];
  for (PetscInt j = 0; j < p->m->nv; j++) {
    const MujocoDof dof = p->dofs[j];
    xi[j] = dof.axis < 0 ? dx[dof.q] : TurnAbout(x + dof.q, dof.axis, turn) * Dot4(turn, dx + dof.q);
  }
}

void MujocoAddFromTangent(MujocoPlant p, const PetscReal *x, const PetscReal *g, PetscReal *gx) {
  for (PetscInt j = 0; j < p->m->nv; j++) {
    const MujocoDof dof = p->dofs[j];
    PetscReal turn[4];
    if (dof.axis < 0) {
      gx[dof.q] += g[j];
      continue;
    }
    const PetscReal scale = TurnAbout(x + dof.q, dof.axis, turn) * g[j];
    for (int k = 0; k < 4; k++) gx[dof.q + k] += scale * turn[k];
  }
}

PetscReal MujocoRotation(const PetscReal *q, const PetscReal *target, PetscReal c, PetscReal *gq) {
  const PetscReal s = Dot4(q, q), along = Dot4(q, target);
  for (int k = 0; gq && k < 4; k++) gq[k] -= c * 8 * (along / s) * (target[k] - along / s * q[k]);
  return 4 * (1 - along * along / s);
}

void MujocoKinematics(MujocoPlant p, const PetscReal *x, PetscReal *f) {
  const PetscReal *velocity = x + p->m->nq;
  for (PetscInt j = 0; j < p->m->nv; j++) {
    const PetscReal *q = x + p->dofs[j].q;
    PetscReal *rate = f + p->dofs[j].q;
    if (p->dofs[j].axis < 0) *rate = velocity[j];
    if (p->dofs[j].axis != 0) continue;
    Turn(q, velocity + j, rate);
    for (int k = 0; k < 4; k++) rate[k] += QUATERNION_RATE * (1 - Dot4(q, q)) * q[k];
  }
}

static void QuaternionProduct(const PetscReal *q, const PetscReal *w, const PetscReal *v, PetscReal *gq,
                              PetscReal *gw) {
  const PetscReal along = Dot4(q, v), slack = 1 - Dot4(q, q);
  PetscReal turn[4];
  Turn(v, w, turn);
  for (int k = 0; k < 4; k++) gq[k] = -turn[k] + QUATERNION_RATE * (slack * v[k] - 2 * along * q[k]);
  for (int k = 0; k < 3; k++) {
    PetscReal axis[3] = {0};
    axis[k] = 1;
    Turn(q, axis, turn);
    gw[k] = Dot4(turn, v);
  }
}

void MujocoKinematicsProduct(MujocoPlant p, const PetscReal *x, const PetscReal *v, PetscReal *product) {
  const PetscInt nq = p->m->nq, act = nq + p->m->nv;
  for (PetscInt i = 0; i < p->nx; i++) product[i] = 0;
  for (PetscInt j = 0; j < p->m->nv; j++) {
    const PetscInt q = p->dofs[j].q;
    if (p->dofs[j].axis < 0) product[nq + j] = v[q];
    if (p->dofs[j].axis == 0) QuaternionProduct(x + q, x + nq + j, v + q, product + q, product + nq + j);
  }
  for (PetscInt i = 0; i < p->m->na; i++)
    if (x[act + i] > p->act_high[i] || x[act + i] < p->act_low[i]) product[act + i] = -ACTIVATION_RATE * v[act + i];
}

// ---- rates ----

void MujocoForward(MujocoPlant p, mjtStage known, const PetscReal *near) {
  if (near)
    MujocoCopy(p->d->qacc_warmstart, near, p->m->nv);
  else
    mju_zero(p->d->qacc_warmstart, (int)p->m->nv);
  mj_forwardSkip(p->m, p->d, known, 1);
  if (known == mjSTAGE_NONE) p->calls.position++;
  if (known == mjSTAGE_POS) p->calls.velocity++;
  if (known == mjSTAGE_VEL) p->calls.control++;
}

void MujocoCopyRates(MujocoPlant p, PetscReal *rates) {
  const PetscInt nv = p->m->nv;
  MujocoCopy(rates, p->d->qacc, nv);
  for (PetscInt i = 0; i < p->m->na; i++) rates[nv + i] = p->columns.held[i] ? 0 : p->d->act_dot[i];
}

void MujocoHold(MujocoPlant p, const PetscReal *x) {
  const PetscReal *act = x + p->m->nq + p->m->nv, *rate = p->d->act_dot;
  for (PetscInt i = 0; i < p->m->na; i++)
    p->columns.held[i] =
        p->act_off[i] || (act[i] >= p->act_high[i] && rate[i] > 0) || (act[i] <= p->act_low[i] && rate[i] < 0)
            ? PETSC_TRUE
            : PETSC_FALSE;
}

// What pulls activations that a step has put beyond an end of their range back to a little beyond it: from there no
// stage of a step sees the other side, where the rate is another one.
static void PullBack(MujocoPlant p, const PetscReal *x, PetscReal *rates) {
  const PetscReal *act = x + p->m->nq + p->m->nv;
  for (PetscInt i = 0; i < p->m->na; i++) {
    const PetscReal rest = ACTIVATION_REST * (p->act_high[i] - p->act_low[i]);
    if (act[i] > p->act_high[i]) rates[p->m->nv + i] -= ACTIVATION_RATE * (act[i] - p->act_high[i] - rest);
    if (act[i] < p->act_low[i]) rates[p->m->nv + i] += ACTIVATION_RATE * (p->act_low[i] - act[i] - rest);
  }
}

static void EvalWork(void *job) {
  const MujocoPoint *point = job;
  MujocoPlant p = point->p;
  MujocoForward(p, mjSTAGE_NONE, NULL);
  MujocoHold(p, point->x);
  MujocoKinematics(p, point->x, point->result);
  MujocoCopyRates(p, point->result + p->m->nq);
  PullBack(p, point->x, point->result + p->m->nq);
}

CtpgStatus MujocoPlantEval(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *f) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .u = u, .result = f};
  return MujocoVisit(&point, EvalWork, plant->nx);
}

PetscErrorCode MujocoPlantCheckStart(MujocoPlant plant, const char *option, const PetscReal *x) {
  PetscReal *zero, *f;
  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(plant->nu, &zero, plant->nx, &f));
  const CtpgStatus status = MujocoPlantEval(plant, 0, x, zero, f);
  PetscCall(PetscFree2(zero, f));
  PetscCheck(status == CTPG_OK, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s cannot be evaluated where it starts; MuJoCo says: %s", option, plant->shared->file,
             MujocoMessage());
  PetscFunctionReturn(0);
}
