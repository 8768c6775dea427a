// rkcontrol.c -- see rkcontrol.h

#include "solve/rkcontrol.h"
#include "ctpgbench/functions.h"
#include <math.h>

#define SMALLEST_NORM 1e-10

// By half angles, three times, and the series.
static PetscReal Arctangent(PetscReal x) {
  PetscReal sum = 0;
  for (int k = 0; k < 3; k++) x = x / (1 + sqrt(1 + x * x));
  for (int n = 27; n >= 3; n -= 2) sum = -x * x * (sum + 1.0 / n);
  return 8 * (x + x * sum);
}

static PetscReal Within(PetscReal factor) {
  return PetscMin(10, PetscMax(0.1, factor));
}

static PetscBool Elementary(PetscReal safety, PetscReal power, PetscReal norm, PetscBool retry, PetscReal *factor) {
  if (norm > 1 && retry) safety *= 0.5;
  *factor = norm > 0 ? Within(safety * CtpgPow(norm, power)) : 10;
  return norm <= 1 ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool Filtered(PetscBool h211b, PetscReal safety, PetscReal power, PetscReal norm, RKControlMemory *memory,
                          PetscReal *factor) {
  const PetscReal error = CtpgPow(PetscMax(norm, SMALLEST_NORM), power);
  const PetscReal rho = h211b ? CtpgPow(error, 0.25) * CtpgPow(memory->error, 0.25) * CtpgPow(memory->factor, -0.25)
                              : CtpgPow(error, 0.6) * CtpgPow(memory->error, -0.2);
  const PetscReal limited = 1 + Arctangent(rho - 1);
  const PetscBool accepted = limited >= 0.9 * safety ? PETSC_TRUE : PETSC_FALSE;
  if (accepted) *memory = (RKControlMemory){error, limited};
  *factor = Within(limited);
  return accepted;
}

PetscBool RKControl(const CtpgRKOptions *rk, PetscReal norm, PetscBool retry, RKControlMemory *memory,
                    PetscReal *factor) {
  const PetscReal safety = rk->safety > 0 ? rk->safety : 0.9, power = -1 / (PetscReal)rk->table.order;
  if (rk->controller == CTPG_CONTROLLER_I) return Elementary(safety, power, norm, retry, factor);
  return Filtered(rk->controller == CTPG_CONTROLLER_H211B ? PETSC_TRUE : PETSC_FALSE, safety, power, norm, memory,
                  factor);
}
