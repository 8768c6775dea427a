// calls.c -- calls of an estimator one after the other: same bits again, several starts, failures and limits that
// leave nothing behind

#include "check/estimator_private.h"
#include "base/vector.h"
#include <math.h>
#include <string.h>

// ---- same bits ----

PetscErrorCode CheckSecondCall(EstimatorCheck *k, PetscBool *pure) {
  const char *name = "same bits when called again";
  char text[160];
  CheckRequest other = CheckBaseRequest(k);

  PetscFunctionBeginUser;
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
  *pure = CheckSameResult(k, &k->base, &k->other);
  if (!*pure) {
    CheckFail(k->report, name, "in a second call with the same arguments %s; only workspace may outlive a call",
              CheckWhatDiffers(k, &k->base, &k->other, text));
    PetscFunctionReturn(0);
  }
  other.first = other.theta = 1;
  other.accuracy = CheckAccuracy(k, k->given.e.traits.knob, 1);
  PetscCall(CheckSolve(k, &k->given, other, &k->other));
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
  *pure = CheckSameResult(k, &k->base, &k->other);
  if (*pure)
    CheckPass(k->report, name, "also with another case in between");
  else
    CheckFail(k->report, name, "when another case was run in between %s; only workspace may outlive a call",
              CheckWhatDiffers(k, &k->base, &k->other, text));
  PetscFunctionReturn(0);
}

// ---- several starts in one call ----

static void OfferStart(EstimatorCheck *k, CheckWorst *worst, const CheckRun *batch, const CheckRun *single,
                       PetscInt b) {
  CheckOffer(worst, CheckRelative(1, batch->loss + b, single->loss),
             "loss[%d] is %.15g in a call of %d starts, %.15g alone", (int)b, batch->loss[b], CHECK_STARTS,
             single->loss[0]);
  CheckOffer(worst, CheckRelative(k->nx, batch->gx0 + b * k->nx, single->gx0),
             "gx0 of start %d differs between a call of %d starts and a call of its own", (int)b, CHECK_STARTS);
}

PetscErrorCode CheckSeveralStarts(EstimatorCheck *k) {
  CheckWorst worst = {.limit = 1e-13};
  CheckRequest q = CheckBaseRequest(k);
  PetscReal *mean;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1(k->np, &mean));
  q.B = CHECK_STARTS;
  PetscCall(CheckSolve(k, &k->given, q, &k->third));
  q.B = 1;
  for (q.first = 0; q.first < CHECK_STARTS; q.first++) {
    PetscCall(CheckSolve(k, &k->given, q, &k->other));
    OfferStart(k, &worst, &k->third, &k->other, q.first);
    for (PetscInt i = 0; i < k->np; i++) mean[i] += k->other.gtheta[i] / CHECK_STARTS;
  }
  CheckOffer(&worst, CheckRelative(k->np, k->third.gtheta, mean),
             "dL/dtheta of a call with %d starts is not the mean of %d calls: norm %.12g instead of %.12g",
             CHECK_STARTS, CHECK_STARTS, CtpgNorm(k->np, k->third.gtheta), CtpgNorm(k->np, mean));
  CheckConclude(k->report, "B starts equal the mean of B calls", &worst);
  PetscCall(PetscFree(mean));
  PetscFunctionReturn(0);
}

// ---- several starts side by side ----

// Runs of the starts that go side by side, and of each alone with the same limit.
typedef struct {
  CtpgClosedLoop loops[CHECK_STARTS];
  CtpgResult results[CHECK_STARTS];
  PetscReal loss[CHECK_STARTS], *gx0, *gtheta; // [CHECK_STARTS, nx], [CHECK_STARTS, np]
} SideBySide;

static PetscErrorCode RunSideBySide(EstimatorCheck *k, const int64_t *eval_limit, SideBySide *s) {
  const PetscInt ntask = k->problem->dims.ntask;
  PetscFunctionBeginUser;
  CheckSpyReset(&k->spy, CHECK_NO_MISCHIEF, 0);
  PetscCall(PetscArrayzero(s->gx0, CHECK_STARTS * k->nx));
  PetscCall(PetscArrayzero(s->gtheta, CHECK_STARTS * k->np));
  for (PetscInt b = 0; b < CHECK_STARTS; b++) {
    const CtpgLimits limits = {.eval_limit = eval_limit[b]};
    if (b)
      CtpgClosedLoopSetCaseLike(s->loops[b], s->loops[0], k->tasks + b * ntask);
    else
      CtpgClosedLoopSetCase(s->loops[0], k->c[0].theta, 1, k->tasks, k->T);
    CtpgClosedLoopStart(s->loops[b], &limits);
    s->loss[b] = 0;
    s->results[b] = EstimatorResult(s->loss + b, s->gx0 + b * k->nx, s->gtheta + b * k->np);
  }
  PetscCall(EstimatorGradients(k->type, k->given.e.est, CHECK_STARTS, s->loops, k->x0, CheckBaseRequest(k).accuracy,
                               s->results));
  PetscFunctionReturn(0);
}

// Start b against a run of its own, in k->other.
static void OfferAlone(const EstimatorCheck *k, const SideBySide *s, PetscInt b, CheckWorst *worst) {
  const CheckRun *alone = &k->other;
  const CtpgResult *result = &s->results[b];
  const CtpgStatus status = CtpgClosedLoopGetStatus(s->loops[b]);
  CtpgCounts counts;
  CtpgClosedLoopGetTotals(s->loops[b], &counts);
  if (status != alone->status)
    CheckOffer(worst, 1, "start %d of %d side by side ends with %s, alone with %s", (int)b, CHECK_STARTS,
               CtpgStatusName(status), CtpgStatusName(alone->status));
  if (memcmp(&counts, &alone->totals, sizeof counts))
    CheckOffer(worst, 1, "start %d of %d side by side takes %lld evaluations, alone %lld", (int)b, CHECK_STARTS,
               (long long)CtpgNFE(&counts), (long long)CtpgNFE(&alone->totals));
  if (result->steps != alone->result.steps || result->rejected != alone->result.rejected ||
      result->steps_adjoint != alone->result.steps_adjoint || result->bytes != alone->result.bytes)
    CheckOffer(worst, 1, "start %d of %d side by side says %lld steps and %zu bytes, alone %lld and %zu", (int)b,
               CHECK_STARTS, (long long)result->steps, result->bytes, (long long)alone->result.steps,
               alone->result.bytes);
  if (status != CTPG_OK) return;
  if (!VectorSameBits(1, s->loss + b, alone->loss) || !VectorSameBits(k->nx, result->gx0, alone->gx0) ||
      !VectorSameBits(k->np, result->gtheta, alone->gtheta))
    CheckOffer(worst, 1, "loss or gradient of start %d of %d side by side has other bits than alone", (int)b,
               CHECK_STARTS);
}

static PetscErrorCode CompareSideBySide(EstimatorCheck *k, const int64_t *eval_limit, SideBySide *s,
                                        CheckWorst *worst) {
  CheckRequest q = CheckBaseRequest(k);
  PetscFunctionBeginUser;
  PetscCall(RunSideBySide(k, eval_limit, s));
  for (q.first = 0; q.first < CHECK_STARTS; q.first++) {
    q.eval_limit = eval_limit[q.first];
    PetscCall(CheckSolve(k, &k->given, q, &k->other));
    OfferAlone(k, s, q.first, worst);
  }
  PetscFunctionReturn(0);
}

PetscErrorCode CheckSideBySide(EstimatorCheck *k) {
  const int64_t unlimited[CHECK_STARTS] = {0}, limited[CHECK_STARTS] = {0, PetscMax(1, CtpgNFE(&k->base.totals) / 2)};
  CheckWorst worst = {.limit = 0};
  SideBySide s;

  PetscFunctionBeginUser;
  if (!k->type->gradients || k->given.e.traits.at_once < CHECK_STARTS) PetscFunctionReturn(0);
  PetscCall(PetscMalloc2(CHECK_STARTS * k->nx, &s.gx0, CHECK_STARTS * k->np, &s.gtheta));
  for (PetscInt b = 0; b < CHECK_STARTS; b++) PetscCall(ProblemCreateLoop(k->problem, &s.loops[b]));
  PetscCall(CompareSideBySide(k, unlimited, &s, &worst));
  PetscCall(CompareSideBySide(k, limited, &s, &worst)); // the second one ends early
  PetscCall(CompareSideBySide(k, unlimited, &s, &worst));
  CheckConclude(k->report, "starts side by side", &worst);
  for (PetscInt b = 0; b < CHECK_STARTS; b++) PetscCall(CtpgClosedLoopDestroy(&s.loops[b]));
  PetscCall(PetscFree2(s.gx0, s.gtheta));
  PetscFunctionReturn(0);
}

// ---- failures ----

// The plant (or the stop flag) spoils the run at call `when`: is that the status, and is the next run as ever?
static PetscErrorCode Spoil(EstimatorCheck *k, CheckMischief mischief, int64_t when, CheckWorst *status,
                            CheckWorst *unharmed) {
  static const CtpgStatus expected[] = {CTPG_OK, CTPG_DIVERGED, CTPG_DOMAIN, CTPG_INTERRUPTED};
  static const char *const what[] = {"", "a plant that returns NaN", "a plant that answers CTPG_DOMAIN", "a stop flag"};
  char text[160];
  CheckRequest q = CheckBaseRequest(k);

  PetscFunctionBeginUser;
  q.mischief = mischief;
  q.when = when;
  PetscCall(CheckSolve(k, &k->given, q, &k->other));
  if (k->other.error)
    CheckOffer(status, INFINITY,
               "%s at plant call %lld raises PETSc error %d; end the solve and return 0, the loop has "
               "latched why",
               what[mischief], (long long)when, (int)k->other.error);
  else if (k->other.status != expected[mischief])
    CheckOffer(status, 1, "%s at plant call %lld gives status %s (%s); expected %s", what[mischief], (long long)when,
               CtpgStatusName(k->other.status), k->other.reason, CtpgStatusName(expected[mischief]));
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
  if (!CheckSameResult(k, &k->base, &k->other))
    CheckOffer(unharmed, 1, "after %s at plant call %lld the next run differs: %s", what[mischief], (long long)when,
               CheckWhatDiffers(k, &k->base, &k->other, text));
  PetscFunctionReturn(0);
}

static void ConcludeFlag(EstimatorCheck *k, const char *name, const CheckWorst *worst, const char *praise) {
  if (worst->worst > 0)
    CheckFail(k->report, name, "%s", worst->sentence);
  else
    CheckPass(k->report, name, "%s", praise);
}

PetscErrorCode CheckFailures(EstimatorCheck *k) {
  const int64_t calls = k->base.totals.nplant - k->given.setup.nplant, positions[] = {0, calls / 4, calls - calls / 4};
  CheckWorst status[4] = {{0}}, unharmed = {0};

  PetscFunctionBeginUser;
  for (CheckMischief mischief = CHECK_NAN; mischief <= CHECK_STOP; mischief++)
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
      PetscCall(Spoil(k, mischief, positions[i], &status[mischief], &unharmed));
  ConcludeFlag(k, "NaN from the plant", &status[CHECK_NAN], "status diverged, no PETSc error");
  ConcludeFlag(k, "CTPG_DOMAIN from the plant", &status[CHECK_DOMAIN], "status domain, no PETSc error");
  ConcludeFlag(k, "stop flag", &status[CHECK_STOP], "status interrupted, no PETSc error");
  ConcludeFlag(k, "the run after a failure is unharmed", &unharmed, "same bits after each of 9 failures");
  PetscFunctionReturn(0);
}

PetscErrorCode CheckEvalLimit(EstimatorCheck *k) {
  const char *name = "eval_limit";
  char text[160];
  const int64_t limit = PetscMax(1, CtpgNFE(&k->base.totals) / 2);
  CheckRequest q = CheckBaseRequest(k);

  PetscFunctionBeginUser;
  q.eval_limit = limit;
  PetscCall(CheckSolve(k, &k->given, q, &k->other));
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->third));
  const int64_t nfe = CtpgNFE(&k->other.totals);
  if (k->other.error || k->other.status != CTPG_EVAL_LIMIT || nfe > limit)
    CheckFail(k->report, name, "a limit of %lld ends with status %s, PETSc error %d and %lld evaluations",
              (long long)limit, CtpgStatusName(k->other.status), (int)k->other.error, (long long)nfe);
  else if (!CheckSameResult(k, &k->base, &k->third))
    CheckFail(k->report, name, "after a run that met its limit the next run differs: %s",
              CheckWhatDiffers(k, &k->base, &k->third, text));
  else
    CheckPass(k->report, name, "%lld of %lld evaluations made, the next run unharmed", (long long)nfe,
              (long long)limit);
  PetscFunctionReturn(0);
}
