// problem.h -- conformance of a problem, for `ctpgbench check` and for tests; registered or not makes no difference
#ifndef CTPG_CHECK_PROBLEM_H
#define CTPG_CHECK_PROBLEM_H

#include "check/report.h"

// Everything that problem.h demands of `type`, instantiated under `label`.
PetscErrorCode CheckProblem(const CtpgProblemType *type, const char *label, const CheckSettings *settings,
                            CheckReport *report);

#endif
