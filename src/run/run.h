// run.h -- one run: an estimator on a case at an accuracy, timed, counted and compared with the reference
#ifndef CTPG_RUN_H
#define CTPG_RUN_H

#include "run/instance.h"
#include "run/case.h"
#include "run/reference.h"

#define CTPG_WALL_SAMPLES 3

// An estimator label set up for a problem label. The estimator's loop and buffers are its own.
typedef struct {
  const CtpgProblem *problem;
  CtpgEstimator estimator;
  CtpgClosedLoop loop;
  PetscLogEvent event;                 // named after the label, for -log_view
  PetscReal *gx0, *gtheta;             // [nx], [np] of the last run
  PetscReal *again_gx0, *again_gtheta; // of its repetition for timing
  struct Judge_s *judge;               // measures error_bar; NULL: nobody does, or the estimator itself
} CtpgPair;

// The event of that name for -log_view, registered when it is new.
PetscErrorCode RunEvent(const char *name, PetscLogEvent *event);
// Options are read now, workspace is made by PairSetUp (once the problem's policy and horizon are final).
PetscErrorCode PairCreate(const CtpgProblem *problem, const CtpgLabel *estimator, CtpgPair *pair);
PetscErrorCode PairSetUp(CtpgPair *pair);
PetscErrorCode PairDestroy(CtpgPair *pair);

typedef struct {
  CtpgStatus status;
  char reason[128];
  PetscReal loss, h, error_bar, backsolve_error, promise, integral; // of CtpgResult (estimator.h)
  CtpgPromiseTerm promise_term;
  int64_t nfe_bar; // evaluations of a judge, in none of the counts below
  CtpgCounts counts[CTPG_NUM_PURPOSES], totals;
  int64_t nfe, steps, rejected, steps_adjoint, rejected_adjoint, bytes;
  double wall[CTPG_WALL_SAMPLES], wall_median; // s; samples not taken are NaN
  double cpu[CTPG_WALL_SAMPLES], cpu_median;   // s of the thread's CPU time, of the same samples
  double repeat_cpu;                           // s of CPU time that went into samples beyond the first solve
} CtpgOutcome;

// How often a solve is repeated for the clock alone. CPU time decides: who was preempted is repeated none the less.
typedef struct {
  double threshold; // s; solves that take no longer are repeated. 0: one solve
  double budget;    // s that repeats may take, beside half of what the solve itself has taken
} CtpgRepeats;
#define CTPG_REPEATS_NONE ((CtpgRepeats){0})

// Wallclock is that of the estimator's `gradient` alone. A solve that repeats counts as warm-up and is followed by up
// to CTPG_WALL_SAMPLES timed ones, which must repeat it bit by bit: a difference is a PETSc error, for an
// estimator with a memory is not measured but wrong. experiment
// and repeat choose the random stream of a stochastic estimator. The gradient is left in the pair.
PetscErrorCode PairRun(CtpgPair *pair, const CtpgCase *c, uint64_t experiment, uint64_t repeat, PetscReal accuracy,
                       CtpgLimits limits, CtpgRepeats repeats, CtpgOutcome *outcome);

// Errors of a gradient against a reference; NaN when either is missing. Where the reference is zero, relative errors
// are 0 for a zero and infinite for anything else, and the cosine is 1 or 0.
typedef struct {
  PetscReal norm, err_rel, err_abs, err_x0, err_joint, cosine;
  PetscReal err_abs_x0; // for the eye alone
  PetscReal err_layer;  // largest relative error of the part of one layer of the policy: that of layer `layer`, from 0
  PetscInt layer;
  PetscReal sign_share; // of the entries that are not zero in the reference, how many have its sign
} CtpgErrors;
CtpgErrors GradientErrors(PetscInt nx, PetscInt np, const PetscReal *gx0, const PetscReal *gtheta,
                          const CtpgReference *reference);
// err_layer, layer and sign_share of a gradient gtheta [np] against another one, into e.
void GradientErrorsByEntry(CtpgPolicy policy, const PetscReal *gtheta, const PetscReal *reference, CtpgErrors *e);

#endif
