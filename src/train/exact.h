// exact.h -- accurate solves beside training, neither timed nor counted: what tests, paths and audits are made of
//
// Order 8 at rtol 1e-10, piece by piece between break times. Each call works under the case that the loop was set to
// (CtpgClosedLoopSetCase, CtpgClosedLoopStart); failure is the loop's latched status.
#ifndef CTPG_TRAIN_EXACT_H
#define CTPG_TRAIN_EXACT_H

#include "ctpgbench/toolkit/forward.h"

typedef struct ExactSolver_s *ExactSolver;

// loop: borrowed. step_limit: steps of one start before it counts as failed, with the status step_limit.
PetscErrorCode ExactCreate(CtpgClosedLoop loop, PetscInt step_limit, ExactSolver *exact);
PetscErrorCode ExactDestroy(ExactSolver *exact);

PetscErrorCode ExactLoss(ExactSolver exact, const PetscReal *x0, PetscReal *loss);
// gtheta [np] = dL/dtheta of the start x0 [nx], by the reverse sweep of the discrete solve.
PetscErrorCode ExactGradient(ExactSolver exact, const PetscReal *x0, PetscReal *gtheta);
// States path [n, nx] and controls [n, nu] at t = T i / (n - 1); NaN from where the solve failed. At a break time the
// control is that behind it.
PetscErrorCode ExactPath(ExactSolver exact, const PetscReal *x0, PetscInt n, PetscInt nu, PetscReal *path,
                         PetscReal *control);

#endif
