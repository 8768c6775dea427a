// frozenloss.h -- the loss as a smooth function: solved once under error control, then again and again on the mesh of
// that solve
//
// An adaptive solve jumps where a step is accepted for one start and rejected for its neighbour: differences of such
// losses carry noise of the size of the tolerance divided by their distance. On a frozen mesh the loss is that of one
// discrete map, as smooth as f; what remains between differences and the true gradient is that map's own error.
#ifndef CTPG_FROZENLOSS_H
#define CTPG_FROZENLOSS_H

#include "ctpgbench/toolkit/forward.h"

#pragma GCC visibility push(default)

typedef struct FrozenLoss_s *CtpgFrozenLoss;

PetscErrorCode CtpgFrozenLossCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, CtpgFrozenLoss *loss);
PetscErrorCode CtpgFrozenLossDestroy(CtpgFrozenLoss *loss);
// Forward solve from x0 [nx] with the parameters in use, whose mesh is kept from here on. result: as CtpgForwardRun,
// and bytes.
PetscErrorCode CtpgFrozenLossRun(CtpgFrozenLoss loss, const PetscReal *x0, PetscReal accuracy, CtpgResult *result);
// Loss from x0 [nx] with the parameters in use, on that mesh. NaN: the loop has latched why.
PetscReal CtpgFrozenLossAt(CtpgFrozenLoss loss, const PetscReal *x0);
// gx0 [nx] by central differences of CtpgFrozenLossAt, with steps CtpgFrozenLossStep; 2 nx losses.
void CtpgFrozenLossDifferenceStart(CtpgFrozenLoss loss, const PetscReal *x0, PetscReal factor, PetscReal *gx0);
// factor max(1, |at|): the step of a central difference.
PetscReal CtpgFrozenLossStep(PetscReal factor, PetscReal at);
// Rounding eps |L| / step and the third derivative's step^2 / 6 |L'''| meet at the cube root of the rounding unit.
#define CTPG_FROZENLOSS_BEST_STEP 6.1e-6

#pragma GCC visibility pop

#endif
