// spy.h -- a problem that forwards to another, counts its calls and fails on demand
#ifndef CTPG_CHECK_SPY_H
#define CTPG_CHECK_SPY_H

#include "run/instance.h"

typedef enum { CHECK_NO_MISCHIEF, CHECK_NAN, CHECK_DOMAIN, CHECK_STOP } CheckMischief;

// A running cost beside the real one, of period `grid` and amplitude 1: it moves no state, so the loss alone tells with
// which weights an estimator has summed over which times.
typedef enum { CHECK_NO_TONE, CHECK_COSINE, CHECK_SINE } CheckTone;

typedef struct {
  CtpgProblemType type; // the real one's, with its plant slots replaced
  const CtpgProblemType *real;
  void *real_ctx;
  int64_t evals, vjps, jvps, jacobians; // points
  PetscReal grid;                       // s, 0: none; evals that are not at a multiple of it are counted
  int64_t off_grid;
  CheckTone tone;
  CheckMischief mischief; // what happens from plant call number `when` (0, 1, ...) on
  int64_t when;
  volatile int stop; // raised by CHECK_STOP
} CheckSpy;

// The problem is spied upon from SpyAttach to SpyDetach; spy must stay where it is.
void CheckSpyAttach(CheckSpy *spy, CtpgProblem *problem);
void CheckSpyDetach(CheckSpy *spy, CtpgProblem *problem);
void CheckSpyReset(CheckSpy *spy, CheckMischief mischief, int64_t when); // counts to zero
int64_t CheckSpyCalls(const CheckSpy *spy);                              // plant calls, points

#endif
