// work.h -- the items of a sweep computed
#ifndef CTPG_SWEEP_WORK_H
#define CTPG_SWEEP_WORK_H

#include "sweep/sweep.h"

// Collective. Every item that is not done yet, dealt over the ranks: computed, compared, stored. Ends early when a rank
// is told to stop (job/signals.h); what was under way then stays pending.
PetscErrorCode SweepComputeItems(Sweep *s);

#endif
