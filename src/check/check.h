// check.h -- conformance of problems and estimators to their contracts, for `ctpgbench check` and for tests
//
// The checks take descriptors: registered or not makes no difference. A check that depends on another one, which
// failed, is skipped: what fails is the cause and not its consequences.
#ifndef CTPG_CHECK_H
#define CTPG_CHECK_H

#include "run/run.h"

// ---- report: one line per check ----

typedef struct {
  PetscBool quiet; // print nothing
  PetscInt passed, failed, skipped;
  const char *subject; // who is being checked, second column
  char failures[1024]; // names of the failed checks, separated by "; "
  char why[1024];      // sentence of the last one
} CheckReport;

void CheckPass(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// The format makes the sentence that tells the author what is wrong: where, what was found, what was expected.
void CheckFail(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// Abi, size, name, bibtex and version of a descriptor of `type` ("CtpgProblemType") with `size` bytes; missing: a needed slot
// that is empty, or NULL.
PetscBool CheckDescriptor(CheckReport *report, const void *descriptor, size_t size, const char *type,
                          const char *missing);
void CheckSkip(CheckReport *report, const char *name, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);

// The largest of many errors, and the sentence that belongs to it. Start with {.limit = ...}.
typedef struct {
  PetscReal limit, worst;
  char sentence[600];
} CheckWorst;
// Keeps the sentence when `error` (NaN: infinite) is above the limit and the largest so far.
void CheckOffer(CheckWorst *worst, PetscReal error, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
// Pass or failure of everything offered. True: passed.
PetscBool CheckConclude(CheckReport *report, const char *name, const CheckWorst *worst);

// ---- derivatives by differences ----

// values [m] of a function at displacement s along a line.
typedef CtpgStatus (*CheckLine)(void *context, PetscReal s, PetscReal *values);
#define CHECK_LEVELS 4
// derivative [m] at s = 0 by Richardson extrapolation of central differences, with steps that begin near
// `scale` / 30, and an estimate of its error [m] (infinite where the function could not be evaluated). work:
// [(CHECK_LEVELS + 2) m].
void CheckDifferences(CheckLine line, void *context, PetscInt m, PetscReal scale, PetscReal *work,
                      PetscReal *derivative, PetscReal *error);

// |found - expected| / scale, but not above the limit where differences of that uncertainty cannot tell them apart.
PetscReal CheckDiscrepancy(PetscReal found, PetscReal expected, PetscReal uncertainty, PetscReal scale,
                           PetscReal limit);

// ---- draws of a stochastic estimator ----

// Draw number `index`: g [n] with so many samples, and the estimator's own error bar (NaN: none). good: cleared on failure.
typedef PetscErrorCode (*CheckDraw)(void *context, PetscReal samples, uint64_t index, PetscReal *g,
                                    PetscReal *error_bar, PetscBool *good);
// Is the mean of many draws the truth [n], are the error bars honest, does the error fall like samples^-order?
PetscErrorCode CheckDraws(CheckReport *report, CheckDraw draw, void *context, PetscInt n, const PetscReal *truth,
                          PetscReal order);

// ---- spy: a problem that forwards to another, counts its calls and fails on demand ----

typedef enum { CHECK_NO_MISCHIEF, CHECK_NAN, CHECK_DOMAIN, CHECK_STOP } CheckMischief;

typedef struct {
  CtpgProblemType type; // the real one's, with its plant slots replaced
  const CtpgProblemType *real;
  void *real_ctx;
  int64_t evals, vjps, jvps, jacobians; // points
  CheckMischief mischief;               // what happens from plant call number `when` (0, 1, ...) on
  int64_t when;
  volatile int stop; // raised by CHECK_STOP
} CheckSpy;

// The problem is spied upon from SpyAttach to SpyDetach; spy must stay where it is.
void CheckSpyAttach(CheckSpy *spy, CtpgProblem *problem);
void CheckSpyDetach(CheckSpy *spy, CtpgProblem *problem);
void CheckSpyReset(CheckSpy *spy, CheckMischief mischief, int64_t when); // counts to zero
int64_t CheckSpyCalls(const CheckSpy *spy);                              // plant calls, points

// ---- the checks ----

typedef struct {
  PetscInt points;   // random points of the derivative checks
  PetscInt seed;     // of cases, points and directions
  PetscInt repeats;  // runs of the leak check
  PetscReal horizon; // s, longest on which estimators are checked
} CheckSettings;
extern const CheckSettings CheckDefaults;

// Everything that problem.h demands of `type`, instantiated under `label`.
PetscErrorCode CheckProblem(const CtpgProblemType *type, const char *label, const CheckSettings *settings,
                            CheckReport *report);
// Everything that estimator.h demands of `type`, instantiated under `label`, on `problem` (whose horizon is cut to
// settings->horizon meanwhile).
PetscErrorCode CheckEstimator(const CtpgEstimatorType *type, const char *label, CtpgProblem *problem,
                              const CheckSettings *settings, CheckReport *report);

#endif
