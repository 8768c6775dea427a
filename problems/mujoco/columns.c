// columns.c -- derivatives of a MuJoCo plant: products and Jacobians from columns of differences (plant.h)
//
// The columns of controls and velocities come first and leave out what depends on positions alone, which the engine
// then need not compute again; a control in which the force is affine takes one more point only. The constraint solver
// begins each of them at the accelerations of the point itself, which are a Newton step away. They are kept: all
// products at one point are sums of the same columns.

#include "problems/mujoco/engine.h"
#include "problems/mujoco/inside.h"
#include "problems/mujoco/plant.h"
#include <math.h>
#include <string.h>

#define FORWARD_STEP 1e-6 // of forward differences

// ---- the columns, in this order: positions along the dofs [nv], velocities [nv], activations [na], controls [nu] ----

// The push that a column is about; negative: none.
static PetscInt PushOf(MujocoPlant p, PetscInt column) {
  return column - (2 * p->m->nv + p->m->na + p->m->nu);
}

// The number of mjData that a column is about; NULL: a rotation. Of a push it is the force that its control makes.
static mjtNum *EntryOf(MujocoPlant p, PetscInt column) {
  const PetscInt nv = p->m->nv, na = p->m->na;
  if (column < nv) return p->dofs[column].axis < 0 ? p->d->qpos + p->dofs[column].q : NULL;
  if (column < 2 * nv) return p->d->qvel + column - nv;
  if (column < 2 * nv + na) return p->d->act + column - 2 * nv;
  if (PushOf(p, column) >= 0) return MujocoPushedForce(p, PushOf(p, column));
  return p->d->ctrl + column - 2 * nv - na;
}

// What is differenced by: the entry, an angle or a push's control.
static mjtNum ValueOf(MujocoPlant p, PetscInt column) {
  const mjtNum *entry = EntryOf(p, column);
  if (PushOf(p, column) >= 0) return p->pushed[PushOf(p, column)];
  return entry ? *entry : 0;
}

// What need not be computed again where only this column's entry has changed.
static mjtStage KnownFor(MujocoPlant p, PetscInt column) {
  const PetscInt nv = p->m->nv;
  return column < nv ? mjSTAGE_NONE : column < 2 * nv ? mjSTAGE_POS : mjSTAGE_VEL;
}

// rates [nrates] with a column's entry at another value, or its rotation at an angle.
static void RatesAt(MujocoPlant p, PetscInt column, mjtNum value, PetscReal *rates) {
  mjtNum *entry = EntryOf(p, column), *quat = p->d->qpos + p->dofs[column < p->m->nv ? column : 0].q;
  const mjtNum at[4] = {entry ? *entry : quat[0], entry ? 0 : quat[1], entry ? 0 : quat[2], entry ? 0 : quat[3]};
  if (entry)
    *entry = PushOf(p, column) >= 0 ? MujocoPushForce(p, PushOf(p, column), value) : value;
  else
    MujocoRotate(p, column, value);
  MujocoForward(p, KnownFor(p, column), p->columns.near);
  MujocoCopyRates(p, rates);
  MujocoCopy(entry ? entry : quat, at, entry ? 1 : 4);
}

// The change of the rates from `high` to `low`; one of them may be the point itself. The width is that of the two
// rounded numbers: the nominal one is wrong by 1e-11 at entries of size 1.
static void KeepBetween(MujocoPlant p, PetscInt column, mjtNum low, mjtNum high) {
  MujocoColumns *c = &p->columns;
  PetscReal *change = c->change + column * p->nrates;
  const mjtNum at = ValueOf(p, column);
  MujocoCopy(c->ahead, c->base, p->nrates);
  MujocoCopy(change, c->base, p->nrates);
  if (high != at) RatesAt(p, column, high, c->ahead);
  if (low != at) RatesAt(p, column, low, change);
  for (PetscInt i = 0; i < p->nrates; i++) change[i] -= c->ahead[i];
  c->width[column] = low - high;
}

// A difference about the point, within [low, high].
static void KeepAbout(MujocoPlant p, PetscInt column, mjtNum low, mjtNum high) {
  const mjtNum at = ValueOf(p, column);
  if (!p->forward)
    KeepBetween(p, column, fmax(at - MUJOCO_STEP, low), fmin(at + MUJOCO_STEP, high));
  else if (at + FORWARD_STEP <= high)
    KeepBetween(p, column, at, at + FORWARD_STEP);
  else
    KeepBetween(p, column, fmax(at - FORWARD_STEP, low), at);
}

// Where control i acts: its range, or one unit either side of a control that has none.
static void ControlRange(MujocoPlant p, PetscInt i, PetscReal u, PetscReal *low, PetscReal *high) {
  const mjModel *m = p->m;
  *low = u - 1;
  *high = u + 1;
  if (i >= m->nu && p->push[i - m->nu].limit < mjMAXVAL) {
    *high = p->push[i - m->nu].limit;
    *low = -*high;
  } else if (i < m->nu && m->actuator_ctrllimited[i] && !(m->opt.disableflags & mjDSBL_CLAMPCTRL)) {
    *low = m->actuator_ctrlrange[2 * i];
    *high = m->actuator_ctrlrange[2 * i + 1];
  }
}

// Is the force affine in control i, whatever else there is but constraints?
static PetscBool IsAffine(MujocoPlant p, PetscInt i) {
  if (i >= p->m->nu) return PETSC_TRUE;
  const int actuator = EngineActuatorOf(p->m, (int)i);
  return p->affine && actuator >= 0 && !p->m->actuator_forcelimited[actuator] ? PETSC_TRUE : PETSC_FALSE;
}

// Positions and velocities are known. An affine column needs one more point only: the far end of the range. Width 0:
// the control has no effect.
static void KeepControl(MujocoPlant p, PetscInt column, PetscInt i) {
  const mjtNum at = ValueOf(p, column);
  PetscReal low, high;
  ControlRange(p, i, at, &low, &high);
  p->columns.width[column] = 0;
  if (!(low <= at && at <= high && low < high)) return;
  if (!p->d->nefc && IsAffine(p, i))
    KeepBetween(p, column, at - low > high - at ? low : high, at);
  else
    KeepAbout(p, column, low, high);
}

// Beyond its range an activation has no effect but to be pulled back.
static void KeepActivation(MujocoPlant p, PetscInt column, PetscInt i, PetscReal act) {
  p->columns.width[column] = 0;
  if (act < p->act_low[i] || act > p->act_high[i] || p->act_low[i] >= p->act_high[i]) return;
  KeepAbout(p, column, p->act_low[i], p->act_high[i]);
}

static PetscBool Same(const PetscReal *a, const PetscReal *b, PetscInt n) {
  return !n || !memcmp(a, b, (size_t)n * sizeof *a) ? PETSC_TRUE : PETSC_FALSE;
}

// The point itself first: the differences in controls and velocities, which leave the positions alone, build on it.
static void FindColumns(const MujocoPoint *point) {
  const MujocoPlant p = point->p;
  const PetscInt nv = p->m->nv, na = p->m->na, nu = p->nu, act = p->m->nq + nv;
  MujocoColumns *c = &p->columns;
  if (c->valid && Same(c->x, point->x, p->nx) && Same(c->u, point->u, nu)) return;
  c->valid = PETSC_FALSE;
  MujocoForward(p, mjSTAGE_NONE, NULL);
  MujocoHold(p, point->x);
  MujocoCopyRates(p, c->base);
  c->near = p->d->nefc > 1 ? c->base : NULL; // one constraint alone is a step away from anywhere
  for (PetscInt i = 0; i < nu; i++) KeepControl(p, 2 * nv + na + i, i);
  for (PetscInt i = 0; i < na; i++) KeepActivation(p, 2 * nv + i, i, point->x[act + i]);
  for (PetscInt j = 2 * nv - 1; j >= 0; j--) KeepAbout(p, j, -INFINITY, INFINITY);
  MujocoCopy(c->x, point->x, p->nx);
  MujocoCopy(c->u, point->u, nu);
  c->valid = PETSC_TRUE;
}

// v' (the column's derivative) for v [nrates]
static PetscReal ColumnProduct(MujocoPlant p, PetscInt column, const PetscReal *v) {
  const PetscReal *change = p->columns.change + column * p->nrates, width = p->columns.width[column];
  PetscReal sum = 0;
  if (!width) return 0;
  for (PetscInt i = 0; i < p->nrates; i++) sum += v[i] * change[i];
  return sum / width;
}

// ---- products and Jacobians ----

static void VJPWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoPlant p = point->p;
  const PetscInt nq = p->m->nq, nv = p->m->nv, na = p->m->na;
  const PetscReal *v = point->v + nq; // along (qacc, act')
  FindColumns(point);
  MujocoKinematicsProduct(p, point->x, point->v, p->product);
  for (PetscInt j = 0; j < nv; j++) p->tangent[j] = ColumnProduct(p, j, v);
  MujocoAddFromTangent(p, point->x, p->tangent, p->product);
  for (PetscInt j = 0; j < nv + na; j++) p->product[nq + j] += ColumnProduct(p, nv + j, v);
  for (PetscInt j = 0; j < p->nx; j++) point->gx[j] += p->product[j];
  for (PetscInt i = 0; i < p->nu; i++) point->gu[i] += ColumnProduct(p, 2 * nv + na + i, v);
}

// Row by row: products with unit vectors.
static void JacobianWork(void *job) {
  const MujocoPoint *point = job;
  const MujocoPlant p = point->p;
  const PetscInt nx = p->nx, nu = p->nu;
  PetscReal *unit = p->unit;
  memset(point->fx, 0, (size_t)(nx * nx) * sizeof *point->fx);
  memset(point->fu, 0, (size_t)(nx * nu) * sizeof *point->fu);
  for (PetscInt i = 0; i < nx; i++) {
    MujocoPoint row = *point;
    row.v = unit, row.gx = point->fx + i * nx, row.gu = point->fu + i * nu;
    unit[i] = 1;
    VJPWork(&row);
    unit[i] = 0;
  }
}

CtpgStatus MujocoPlantVJP(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, const PetscReal *v,
                          PetscReal *gx, PetscReal *gu) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .u = u, .v = v, .gx = gx, .gu = gu};
  return MujocoVisit(&point, VJPWork, 0);
}

CtpgStatus MujocoPlantJacobian(MujocoPlant plant, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *fx,
                               PetscReal *fu) {
  MujocoPoint point = {.p = plant, .t = t, .x = x, .u = u, .fx = fx, .fu = fu};
  return MujocoVisit(&point, JacobianWork, 0);
}
