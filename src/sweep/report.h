// report.h -- what a sweep would do
#ifndef CTPG_SWEEP_REPORT_H
#define CTPG_SWEEP_REPORT_H

#include "sweep/plan.h"

// Collective. What a sweep of this plan would do: references and runs, what they are expected to cost, the size of the
// file. Rank 0 prints. For `sweep -dry_run` and `plan`.
PetscErrorCode PlanReport(const CtpgPlan *plan);

#endif
