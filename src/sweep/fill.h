// fill.h -- what a sweep and an import put into a file alike: references, costs of evaluations, kinds of timing
#ifndef CTPG_SWEEP_FILL_H
#define CTPG_SWEEP_FILL_H

#include "run/reference.h"
#include "store/schema.h"

// The columns of a case that come from its reference gradient.
void FillReference(const CtpgProblem *problem, const CtpgReference *reference, CtpgCaseRow *row);
// Was a run timed in a crowd? wall, cpu: s of its solve; load: processes ready to run per core, NaN: not known.
PetscBool FillIsCrowded(double wall, double cpu, double load);
// cost_f and cost_vjp of a problem: s of one evaluation of the closed loop and of one joint product, at this case.
PetscErrorCode FillCosts(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgLabelInfo *info);

#endif
