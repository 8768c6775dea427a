// mujoco_model.h -- a MuJoCo model that a test writes down
#ifndef CTPG_TEST_MUJOCO_MODEL_H
#define CTPG_TEST_MUJOCO_MODEL_H

#include <petscsys.h>
#include <stdio.h>

static PetscErrorCode WriteModel(const char *name, const char *text) {
  FILE *file = fopen(name, "w");
  PetscFunctionBeginUser;
  PetscCheck(file && fputs(text, file) >= 0 && !fclose(file), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "cannot write %s",
             name);
  PetscFunctionReturn(0);
}

#endif
