// repeat.h -- recorded steps made again, on a TS of its own with fixed steps: the same bits as in the solve
// (rksolver.h)
//
// Stages that nothing asks for are not evaluated: of a whole step those without a part in its end, of its stages those
// that no later stage of the reverse sweep is made from. A FSAL step's last derivative is the next one's first. All
// evaluations are booked under CTPG_RECOMPUTE.
#ifndef CTPG_REPEAT_H
#define CTPG_REPEAT_H

#include "ctpgbench/toolkit/forward.h"

#pragma GCC visibility push(default)

typedef struct Repeater_s *CtpgRepeater;

PetscErrorCode CtpgRepeaterCreate(CtpgClosedLoop loop, const CtpgRKOptions *rk, CtpgRepeater *repeater);
PetscErrorCode CtpgRepeaterDestroy(CtpgRepeater *repeater);
// x [nx] at the end of `step`, which has t, h, piece and x; may be step->x. On failure the loop has latched why.
PetscErrorCode CtpgRepeatStep(CtpgRepeater repeater, const CtpgStep *step, PetscReal *x);
// stages [nkept, nx] of `step`, as CtpgStep.stages.
PetscErrorCode CtpgRepeatStages(CtpgRepeater repeater, const CtpgStep *step, PetscReal *stages);

#pragma GCC visibility pop

#endif
