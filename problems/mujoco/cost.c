// cost.c -- the cost of problem mujoco from its options, and its products (cost.h)
//
// Weights are kept as one number per joint, velocity, control and tracked number, whatever the options gave; a value
// and its product walk the same sums. Products are in closed form, but for tracked sensors, which are differenced
// (readings.c).

#include "problems/mujoco/cost.h"
#include "problems/mujoco/model.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

static PetscBool HasQuaternion(const mjModel *m, PetscInt joint) {
  return m->jnt_type[joint] == mjJNT_BALL || m->jnt_type[joint] == mjJNT_FREE ? PETSC_TRUE : PETSC_FALSE;
}

// Numbers of a joint in qpos before its quaternion.
static PetscInt SlidesOf(const mjModel *m, PetscInt joint) {
  return m->jnt_type[joint] == mjJNT_FREE ? 3 : m->jnt_type[joint] == mjJNT_BALL ? 0 : 1;
}

// ---- options ----

// Zeros, and no rotation.
static void SetZeroTarget(MujocoCost *cost, const mjModel *m) {
  for (PetscInt j = 0; j < m->njnt; j++)
    if (HasQuaternion(m, j)) cost->target[m->jnt_qposadr[j] + SlidesOf(m, j)] = 1;
}

static PetscErrorCode NormalizeTarget(MujocoCost *cost, const mjModel *m) {
  PetscFunctionBeginUser;
  for (PetscInt j = 0; j < m->njnt; j++)
    PetscCheck(!HasQuaternion(m, j) || mju_normalize4(cost->target + m->jnt_qposadr[j] + SlidesOf(m, j)) > mjMINVAL,
               PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-mujoco_target has the quaternion 0 0 0 0, which is no rotation; expected one of length 1");
  PetscFunctionReturn(0);
}

// A list of nq numbers, or a keyframe: its name, or its number where that cannot be a list.
static PetscErrorCode ReadTarget(MujocoCost *cost, const mjModel *m, CtpgOptions options) {
  static const char *const help = "qpos to reach: nq numbers, or a keyframe by name or number; by default zeros";
  char text[4096] = "";
  PetscInt n = 0, id = -1;
  PetscReal *list = NULL;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(options, "target", help, text, sizeof text));
  PetscCall(PetscCalloc1(m->nq, &cost->target));
  SetZeroTarget(cost, m);
  if (!text[0]) PetscFunctionReturn(0);
  const PetscBool is_number = m->nq > 1 && !strpbrk(text, ",:.") ? PETSC_TRUE : PETSC_FALSE;
  if (isalpha((unsigned char)text[0]) || text[0] == '_' || is_number)
    PetscCall(MujocoModelKeyframe(m, "-mujoco_target", text, &id));
  else
    PetscCall(CtpgOptionsReals(options, "target", help, &n, &list));
  PetscCheck(id >= 0 || n == m->nq, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_target %s has %d numbers; expected %d, one per number of qpos, or a keyframe", text, (int)n,
             (int)m->nq);
  PetscCall(PetscArraycpy(cost->target, id >= 0 ? m->key_qpos + id * m->nq : list, m->nq));
  PetscCall(PetscFree(list));
  PetscCall(NormalizeTarget(cost, m));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoNumbersRead(CtpgOptions options, const char *name, const char *help, PetscInt n, PetscReal least,
                                 PetscReal fallback, PetscReal **values) {
  PetscInt count;
  PetscReal *given;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsReals(options, name, help, &count, &given));
  PetscCheck(count <= 1 || count == n, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_%s has %d numbers; expected 1 or %d", name, (int)count, (int)n);
  PetscCall(PetscMalloc1(n, values));
  for (PetscInt i = 0; i < n; i++) (*values)[i] = count ? given[count > 1 ? i : 0] : fallback;
  for (PetscInt i = 0; i < n; i++)
    PetscCheck((*values)[i] >= least && (*values)[i] <= 1e12, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-mujoco_%s has the number %g; expected numbers from %g to 1e12", name, (double)(*values)[i],
               (double)least);
  PetscCall(PetscFree(given));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadTrack(MujocoCost *cost, CtpgOptions options) {
  char text[4096] = "";

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsList(options, "track",
                            "comma list of sensors, site:NAME, body:NAME or geom:NAME, to be brought to track_goal",
                            text, sizeof text));
  PetscCall(MujocoReadingsFind(cost->plant, "-mujoco_track", text, &cost->track));
  const PetscInt size = cost->track.size;
  PetscCall(MujocoNumbersRead(options, "track_goal",
                              "where to bring them: one number for all, or one for each of theirs", size, -1e12, 0,
                              &cost->goal));
  PetscCall(MujocoNumbersRead(options, "cost_track", "weights of their squared distances, one for all or one for each",
                              size, 0, 1, &cost->weight));
  PetscCall(PetscMalloc1(size, &cost->values));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoCostRead(MujocoCost *cost, MujocoPlant plant, CtpgOptions options) {
  const mjModel *m = MujocoPlantGetModel(plant);
  const PetscInt nu = MujocoPlantGetControls(plant);

  PetscFunctionBeginUser;
  cost->plant = plant;
  PetscCall(ReadTarget(cost, m, options));
  PetscCall(MujocoNumbersRead(options, "cost_position", "weight of |qpos - target|^2 (1), or one for each joint",
                              m->njnt, 0, 1, &cost->position));
  PetscCall(MujocoNumbersRead(options, "cost_velocity", "weight of |qvel|^2 (0.1), or one for each velocity", m->nv, 0,
                              0.1, &cost->velocity));
  PetscCall(MujocoNumbersRead(options, "cost_control", "weight of |ctrl|^2 (0.01), or one for each control", nu, 0,
                              0.01, &cost->control));
  PetscCall(ReadTrack(cost, options));
  PetscCall(CtpgOptionsReal(options, "terminal", "weight, at the horizon, of the cost of the state", 0, 1e12,
                            &cost->terminal));
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoCostDestroy(MujocoCost *cost) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(cost->target));
  PetscCall(PetscFree(cost->position));
  PetscCall(PetscFree(cost->velocity));
  PetscCall(PetscFree(cost->control));
  PetscCall(PetscFree(cost->goal));
  PetscCall(PetscFree(cost->weight));
  PetscCall(PetscFree(cost->values));
  PetscCall(MujocoReadingsDestroy(&cost->track));
  PetscFunctionReturn(0);
}

// ---- values and products ----

// Of the joints' distances to the target; adds c times its derivative to gx unless that is NULL.
static PetscReal Distance(const MujocoCost *cost, const PetscReal *x, PetscReal c, PetscReal *gx) {
  const mjModel *m = MujocoPlantGetModel(cost->plant);
  PetscReal sum = 0;
  for (PetscInt j = 0; j < m->njnt; j++) {
    const PetscInt first = m->jnt_qposadr[j], quaternion = first + SlidesOf(m, j);
    const PetscReal weight = cost->position[j];
    for (PetscInt i = first; i < quaternion; i++) {
      sum += weight * PetscSqr(x[i] - cost->target[i]);
      if (gx) gx[i] += c * 2 * weight * (x[i] - cost->target[i]);
    }
    if (HasQuaternion(m, j))
      sum +=
          weight * MujocoRotation(x + quaternion, cost->target + quaternion, c * weight, gx ? gx + quaternion : NULL);
  }
  return sum;
}

// sum weights values^2, and c times its derivative
static PetscReal Squares(PetscInt n, const PetscReal *weights, const PetscReal *values, PetscReal c,
                         PetscReal *gradient) {
  PetscReal sum = 0;
  for (PetscInt i = 0; i < n; i++) sum += weights[i] * PetscSqr(values[i]);
  for (PetscInt i = 0; gradient && i < n; i++) gradient[i] += c * 2 * weights[i] * values[i];
  return sum;
}

CtpgStatus MujocoCostEval(const MujocoCost *cost, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal *w) {
  const mjModel *m = MujocoPlantGetModel(cost->plant);
  *w = Distance(cost, x, 0, NULL) + Squares(m->nv, cost->velocity, x + m->nq, 0, NULL);
  if (u) *w += Squares(MujocoPlantGetControls(cost->plant), cost->control, u, 0, NULL);
  if (!cost->track.size) return CTPG_OK;
  const CtpgStatus status = MujocoPlantRead(cost->plant, &cost->track, t, x, cost->values);
  for (PetscInt i = 0; i < cost->track.size; i++) cost->values[i] -= cost->goal[i];
  *w += Squares(cost->track.size, cost->weight, cost->values, 0, NULL);
  return status;
}

CtpgStatus MujocoCostProduct(const MujocoCost *cost, PetscReal t, const PetscReal *x, const PetscReal *u, PetscReal c,
                             PetscReal *gx, PetscReal *gu) {
  const mjModel *m = MujocoPlantGetModel(cost->plant);
  (void)Distance(cost, x, c, gx);
  (void)Squares(m->nv, cost->velocity, x + m->nq, c, gx + m->nq);
  if (u) (void)Squares(MujocoPlantGetControls(cost->plant), cost->control, u, c, gu);
  if (!cost->track.size) return CTPG_OK;
  const CtpgStatus status = MujocoPlantRead(cost->plant, &cost->track, t, x, cost->values);
  if (status != CTPG_OK) return status;
  for (PetscInt i = 0; i < cost->track.size; i++)
    cost->values[i] = c * 2 * cost->weight[i] * (cost->values[i] - cost->goal[i]);
  return MujocoPlantReadVJP(cost->plant, &cost->track, t, x, cost->values, gx);
}
