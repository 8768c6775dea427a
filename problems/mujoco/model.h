// model.h -- MuJoCo's models: loaded once per process and file, refused with a sentence where they are no equation
//
// x' = f(t, x, u) must hold all that mj_step does. What cannot be part of it is refused here; docs/mujoco-fields.md
// goes through mjModel field by field. Errors of MuJoCo never end the process.
#ifndef CTPG_MUJOCO_MODEL_H
#define CTPG_MUJOCO_MODEL_H

#include "problems/mujoco/plant.h"
#include <mujoco/mujoco.h>

typedef struct MujocoModel_s {
  char *file;
  MujocoContacts contacts;
  mjModel *model;
  uint64_t hash; // of the compiled model and of MuJoCo's version
  int users;
  struct MujocoModel_s *next;
} MujocoModel;

// file, option, contacts: see MujocoPlantCreate. One more user; the last one's release frees it.
PetscErrorCode MujocoModelAcquire(const char *option, const char *file, const MujocoContacts *contacts,
                                  MujocoModel **model);
PetscErrorCode MujocoModelRelease(MujocoModel *model);

// Number of an element among `count` of its kind, by its name, or by its number where no name is like it; -1: neither.
int MujocoModelFind(const mjModel *m, int object, int count, const char *name);
// Number of a keyframe, by its name or number; `option` names the culprit where there is none.
PetscErrorCode MujocoModelKeyframe(const mjModel *m, const char *option, const char *name, PetscInt *id);

// work(job) with MuJoCo's errors caught; FALSE when there was one. MujocoMessage is the last error or warning.
PetscBool MujocoGuard(void (*work)(void *), void *job);
const char *MujocoMessage(void);

#endif
