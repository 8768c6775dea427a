// push.c -- see push.h

#include "problems/mujoco/push.h"
#include "problems/mujoco/cost.h"
#include "problems/mujoco/inside.h"
#include <string.h>

static PetscBool TakesOneForce(const mjModel *m, int joint) {
  return m->jnt_type[joint] == mjJNT_HINGE || m->jnt_type[joint] == mjJNT_SLIDE ? PETSC_TRUE : PETSC_FALSE;
}

// A comma list of the joints that can be pushed, the first few: by name, or by number where they have none.
static void ListJoints(const mjModel *m, size_t size, char *list) {
  snprintf(list, size, "none");
  for (int j = 0, used = 0; j < m->njnt && (size_t)used + 48 < size; j++) {
    const char *name = mj_id2name(m, mjOBJ_JOINT, j);
    if (!TakesOneForce(m, j)) continue;
    used += name ? snprintf(list + used, size - (size_t)used, "%s%.40s", used ? ", " : "", name)
                 : snprintf(list + used, size - (size_t)used, "%s%d", used ? ", " : "", j);
  }
}

static PetscErrorCode FindJoint(const mjModel *m, const char *name, int *joint) {
  char known[512];
  PetscFunctionBeginUser;
  *joint = MujocoModelFind(m, mjOBJ_JOINT, m->njnt, name);
  ListJoints(m, sizeof known, known);
  PetscCheck(*joint >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_push %s is not a joint of the model; expected all, or some of %s", name, known);
  PetscCheck(TakesOneForce(m, *joint), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_push %s is a free or ball joint, which one force does not move; expected all, or some of %s",
             name, known);
  PetscFunctionReturn(0);
}

static PetscErrorCode AddJoint(const mjModel *m, const char *name, PetscInt *n, MujocoPush *pushes) {
  int joint;
  PetscFunctionBeginUser;
  PetscCall(FindJoint(m, name, &joint));
  for (PetscInt k = 0; k < *n; k++)
    PetscCheck(pushes[k].joint != joint, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-mujoco_push names the joint %s twice; expected each once", name);
  pushes[(*n)++].joint = joint;
  PetscFunctionReturn(0);
}

static PetscErrorCode FindJoints(const mjModel *m, char *text, PetscInt *n, MujocoPush *pushes) {
  PetscFunctionBeginUser;
  *n = 0;
  if (!strcmp(text, "all") && mj_name2id(m, mjOBJ_JOINT, text) < 0)
    for (int j = 0; j < m->njnt; j++) {
      if (TakesOneForce(m, j)) pushes[(*n)++].joint = j;
    }
  else
    for (char *rest = text, *name; (name = strsep(&rest, ",")) && *text;) PetscCall(AddJoint(m, name, n, pushes));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckControls(MujocoPlant plant, const char *text, PetscInt n) {
  const mjModel *m = plant->m;
  const char *file = plant->shared->file;
  PetscInt able = 0;
  PetscFunctionBeginUser;
  for (int j = 0; j < m->njnt; j++) able += TakesOneForce(m, j);
  PetscCheck(n || m->nu || able, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_model %s has no actuator, and no hinge or slide to push; there is nothing to control", file);
  PetscCheck(
      n || m->nu, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "-mujoco_model %s has no actuator, so there is nothing to control; -mujoco_push all, or names of its hinges "
      "and slides, lets the policy push them",
      file);
  PetscCheck(n || !*text, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-mujoco_push %s: the model has no hinge or slide to push", text);
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoPushesRead(MujocoPlant plant, CtpgOptions options, PetscInt *n, MujocoPush **pushes) {
  const mjModel *m = plant->m;
  char text[4096] = "", list[4096];
  PetscReal *gear, *limit;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsList(options, "push",
                            "hinges and slides that the policy pushes, beside the model's actuators: comma list of "
                            "names or numbers, or all",
                            text, sizeof text));
  PetscCall(PetscCalloc1(m->njnt, pushes));
  PetscCall(PetscStrncpy(list, text, sizeof list));
  PetscCall(FindJoints(m, list, n, *pushes));
  PetscCall(CheckControls(plant, text, *n));
  PetscCall(MujocoNumbersRead(options, "push_gear", "force per unit of a push's control (1), or one for each", *n, 0, 1,
                              &gear));
  PetscCall(MujocoNumbersRead(options, "push_limit", "largest control of a push, either way (none), or one for each",
                              *n, 0, 1e12, &limit));
  for (PetscInt k = 0; k < *n; k++) (*pushes)[k].gear = gear[k], (*pushes)[k].limit = limit[k];
  PetscCall(PetscFree(gear));
  PetscCall(PetscFree(limit));
  PetscFunctionReturn(0);
}
