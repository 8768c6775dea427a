// instance.h -- labels: instances of problems (with their policies) and of estimators, and the cases of a problem
//
// `-problems lqr,wide=lqr` makes two instances of the type lqr; the label is the options prefix (see options.h). Labels
// never enter a random stream or a run key: variants of a problem share their starts, and equal variants their results.
#ifndef CTPG_INSTANCE_H
#define CTPG_INSTANCE_H

#include "loop/estimator.h"
#include "run/registry.h"
#include "run/thetafile.h"

#define CTPG_MAX_LABELS 256

// A label and the type it stands for.
typedef struct {
  char label[64], type[64];
} CtpgLabel;

// "a,b=c" into labels [*n], allocated here (PetscFree). Reserved words (ts, mat, snes, ksp, tao, log), doubles, and labels of
// which one is the options prefix of another ("lqr" and "lqr_wide") are refused. `option` names the culprit.
PetscErrorCode LabelsParse(const char *option, const char *text, PetscInt *n, CtpgLabel **labels);
// The same between the labels of problems and those of estimators, whose options share one namespace.
PetscErrorCode LabelsCheckApart(PetscInt nproblems, const CtpgLabel *problems, PetscInt nestimators,
                                const CtpgLabel *estimators);

// Value of -<name>s or -<name> (problems, estimators): the singular and the plural mean the same. Error when both are
// given, or neither and `fallback` is NULL.
PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels);

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

// ---- cases: what is random or read from a file ----

typedef struct {
  int64_t seed;
  char name[64];    // "seed 3" or the group of a case file
  PetscReal T;      // s
  PetscReal *x0;    // [nx]
  PetscReal *task;  // [ntask]
  PetscReal *theta; // [np]
} CtpgCase;

// x0, task and theta of (problem, seed) from their streams, theta from -theta_file where it is given: the same on every
// rank, whatever the order.
PetscErrorCode CaseDraw(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgCase *c);
// From group `name` of an HDF5 case file (datasets x0, theta, goals; attributes horizon, layers, activations). A policy
// of other layers and another horizon replace the problem's, with a note on stdout; wrong sizes are an error.
PetscErrorCode CaseRead(CtpgProblem *problem, const char *path, const char *name, CtpgCase *c);
PetscErrorCode CaseDestroy(CtpgCase *c);
// 64-bit hash of everything that determines the true gradient: type, version, options, policy, horizon and content.
uint64_t CaseKey(const CtpgProblem *problem, const CtpgCase *c);

// ---- estimators ----

typedef struct {
  char label[64];
  const CtpgEstimatorType *type;
  CtpgOptions options;
  CtpgTraits traits;
  void *est;
  int64_t eval_limit;       // evaluations of one run; 0: none
  PetscReal run_time_limit; // s of one run; 0: none
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
