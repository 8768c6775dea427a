// estimator_private.h -- what the checks of an estimator share: cases with references, and solves as they are asked for
#ifndef CTPG_CHECK_ESTIMATOR_PRIVATE_H
#define CTPG_CHECK_ESTIMATOR_PRIVATE_H

#include "check/draws.h"
#include "check/estimator.h"
#include "check/spy.h"

#define CHECK_STARTS    3
#define CHECK_LOW_ORDER 3 // below which no tolerance that can be paid brings the error near rounding

// An estimator with its own loop.
typedef struct {
  CtpgEstimator e;
  CtpgClosedLoop loop;
  CtpgCounts setup; // what the spy saw during setup, which is start-up of every run
} CheckInstance;

typedef struct {
  PetscErrorCode error;
  CtpgStatus status;
  char reason[128];
  PetscReal loss[CHECK_STARTS], *gx0, *gtheta; // [CHECK_STARTS, nx], [np]
  CtpgResult result;
  CtpgCounts totals, spied; // spied: nf, nvjp, njvp, njac and nplant as the spy counted them
} CheckRun;

// What is asked of a run; the rest is that of case 0.
typedef struct {
  PetscInt first, B; // starts first .. first + B - 1
  PetscInt theta;    // of which case
  PetscReal accuracy;
  int64_t eval_limit;
  CheckMischief mischief;
  int64_t when;
  uint64_t draw; // of a stochastic estimator
} CheckRequest;

typedef struct {
  CheckReport *report;
  const CheckSettings *settings;
  const CtpgEstimatorType *type;
  CtpgLabel label;
  CtpgProblem *problem;
  CheckSpy spy;
  PetscInt nx, np;
  PetscReal T;
  CtpgCase c[CHECK_STARTS];
  PetscReal *x0, *tasks;                             // [CHECK_STARTS, nx], [CHECK_STARTS, ntask]
  CtpgReference references[CHECK_STARTS], reference; // of every case; reference: of case 0, its arrays shared
  CheckInstance given, fixed;
  CheckInstance *stepper;              // the one with fixed steps, given or fixed; NULL: there is none
  CheckRun base, other, third, fourth; // base stays what the first run gave
} EstimatorCheck;

// ---- solves ----

PetscErrorCode CheckInstanceCreate(EstimatorCheck *check, CheckInstance *in);
PetscErrorCode CheckInstanceDestroy(CheckInstance *in);
// Sets stepper, with the same label and -<label>_steps fixed, if the estimator reads such an option and takes that
// word.
PetscErrorCode CheckCreateStepper(EstimatorCheck *check);
// A PETSc error is caught and kept: the contract forbids it on failure.
PetscErrorCode CheckSolve(EstimatorCheck *check, CheckInstance *in, CheckRequest q, CheckRun *run);
PetscBool CheckSucceeded(const EstimatorCheck *check, const CheckRun *run);
PetscBool CheckSameResult(const EstimatorCheck *check, const CheckRun *a, const CheckRun *b);
// In words, text [160]: in what two runs that CheckSameResult tells apart differ.
const char *CheckWhatDiffers(const EstimatorCheck *check, const CheckRun *a, const CheckRun *b, char text[160]);
// Is its order low, and has it no fixed steps that could be extrapolated? Then it is solved at looser tolerances.
PetscBool CheckIsLow(const EstimatorCheck *check);
// A value of the knob: level 0 is cheap, 1 and 2 are each a good deal tighter.
PetscReal CheckAccuracy(const EstimatorCheck *check, CtpgKnob knob, int level);
CheckRequest CheckRequestOf(PetscReal accuracy);
CheckRequest CheckBaseRequest(const EstimatorCheck *check);                  // at level 0
PetscReal CheckRelative(PetscInt n, const PetscReal *a, const PetscReal *b); // ||a - b|| / ||b||

// ---- the checks; where a PetscBool is returned, others rest on it ----

PetscErrorCode CheckAgreement(EstimatorCheck *check, PetscBool *agrees); // with the reference
PetscErrorCode CheckErrorFalls(EstimatorCheck *check);
PetscErrorCode CheckOrder(EstimatorCheck *check);
PetscErrorCode CheckSteps(EstimatorCheck *check);                       // are they those asked for?
PetscErrorCode CheckSecondCall(EstimatorCheck *check, PetscBool *pure); // the same bits?
PetscErrorCode CheckSeveralStarts(EstimatorCheck *check);
PetscErrorCode CheckSideBySide(EstimatorCheck *check); // each with the bits, counts and status of a start alone?
PetscErrorCode CheckEvalLimit(EstimatorCheck *check);
PetscErrorCode CheckFailures(EstimatorCheck *check);
PetscErrorCode CheckCounts(EstimatorCheck *check);
PetscErrorCode CheckBytes(EstimatorCheck *check);
PetscErrorCode CheckHeap(EstimatorCheck *check);

#endif
