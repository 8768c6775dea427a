// instance.h -- instances of problems (with their policies) and of estimators, each under its label
#ifndef CTPG_INSTANCE_H
#define CTPG_INSTANCE_H

#include "loop/estimator_engine.h"
#include "run/labels.h"
#include "run/registry.h"
#include "run/thetafile.h"

// ---- problems ----

typedef struct {
  char label[64];
  const CtpgProblemType *type;
  CtpgOptions options;
  void *ctx;
  CtpgDims dims; // T: the horizon after -horizon
  CtpgPolicy policy;
  PetscReal init_scale;
  PetscReal *fixed_start; // [nx] x0 of every start; NULL: drawn
  CtpgThetaTable thetas;  // parameters from -theta_file; text NULL: drawn
} CtpgProblem;

PetscErrorCode ProblemCreate(const CtpgLabel *label, CtpgProblem *problem);
// The same from a descriptor, registered or not; label->type is not looked at.
PetscErrorCode ProblemCreateFromType(const CtpgProblemType *type, const CtpgLabel *label, CtpgProblem *problem);
PetscErrorCode ProblemDestroy(CtpgProblem *problem);
PetscErrorCode ProblemCreateLoop(const CtpgProblem *problem, CtpgClosedLoop *loop);
// One start, as the problem draws it, or -fixed_start: x0 [nx] and task [ntask].
PetscErrorCode ProblemDrawStart(const CtpgProblem *problem, CtpgStream *x0_stream, CtpgStream *task_stream,
                                PetscReal *x0, PetscReal *task);

// ---- estimators ----

typedef struct {
  char label[64];
  const CtpgEstimatorType *type;
  CtpgOptions options;
  CtpgTraits traits;
  void *est;
  int64_t eval_limit;       // evaluations of one run; 0: none
  PetscReal run_time_limit; // s of one run; 0: none
  PetscBool judged;         // -error_bar sweep, and it does not measure its error itself
} CtpgEstimator;

// One instance serves one closed loop; a sweep creates one per pair of labels.
PetscErrorCode EstimatorCreate(const CtpgLabel *label, CtpgEstimator *estimator);
// The same from a descriptor, registered or not; label->type is not looked at.
PetscErrorCode EstimatorCreateFromType(const CtpgEstimatorType *type, const CtpgLabel *label, CtpgEstimator *estimator);
PetscErrorCode EstimatorDestroy(CtpgEstimator *estimator);
// Hash of type, version and resolved options.
uint64_t EstimatorKey(const CtpgEstimator *estimator);
const char *CtpgKnobName(CtpgKnob knob); // "rtol", "dt", ...

#endif
