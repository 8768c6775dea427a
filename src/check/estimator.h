// estimator.h -- conformance of an estimator, for `ctpgbench check` and for tests; registered or not makes no difference
#ifndef CTPG_CHECK_ESTIMATOR_H
#define CTPG_CHECK_ESTIMATOR_H

#include "check/report.h"
#include "run/case.h"

// Everything that estimator.h demands of `type`, instantiated under `label`, on `problem` (whose horizon is cut to
// settings->horizon meanwhile).
PetscErrorCode CheckEstimator(const CtpgEstimatorType *type, const char *label, CtpgProblem *problem,
                              const CheckSettings *settings, CheckReport *report);

#endif
