// judge.c -- see judge.h

#include "run/judge.h"
#include "base/vector.h"
#include <math.h>
#include <string.h>

#define FIRST   1e-3 // tolerances
#define LAST    1e-11
#define TIGHTER 1e-2
#define APART   3   // the judge's own error, times this, is at most what it measures
#define AGREE   1.5 // two solves one after the other measure the same error but for this factor

struct Judge_s {
  CtpgEstimatorType type; // lia under another name: what a user says of lia is not meant for the judge
  CtpgPair pair;
};

static PetscErrorCode RefuseToLookAway(void) {
  char given[16] = "sweep";
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsGetString(NULL, NULL, "-judge_error_bar", given, sizeof given, NULL));
  PetscCheck(!strcmp(given, "sweep"), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-judge_error_bar %s: a judge has to measure its own error; expected sweep, or no such option", given);
  PetscFunctionReturn(0);
}

// The estimator reads its options now; it is to measure its error, whatever is said of others.
static PetscErrorCode CreatePair(CtpgJudge judge, const CtpgProblem *problem) {
  const CtpgLabel label = {.label = "judge", .type = "judge"};

  PetscFunctionBeginUser;
  judge->pair.problem = problem;
  PetscCall(RefuseToLookAway());
  PetscCall(PetscOptionsSetValue(NULL, "-judge_error_bar", "sweep"));
  PetscCall(EstimatorCreateFromType(&judge->type, &label, &judge->pair.estimator));
  PetscCall(PetscOptionsClearValue(NULL, "-judge_error_bar"));
  PetscCall(RunEvent(label.label, &judge->pair.event));
  PetscFunctionReturn(0);
}

PetscErrorCode JudgeCreate(const CtpgProblem *problem, CtpgJudge *judge) {
  const CtpgEstimatorType *type;

  PetscFunctionBeginUser;
  PetscCall(EstimatorTypeFind("-error_bar", "lia", &type));
  PetscCall(PetscNew(judge));
  (*judge)->type = *type;
  (*judge)->type.name = "judge";
  PetscCall(CreatePair(*judge, problem));
  PetscFunctionReturn(0);
}

PetscErrorCode JudgeSetUp(CtpgJudge judge) {
  PetscFunctionBeginUser;
  PetscCall(PairSetUp(&judge->pair));
  PetscFunctionReturn(0);
}

PetscErrorCode JudgeDestroy(CtpgJudge *judge) {
  PetscFunctionBeginUser;
  if (!*judge) PetscFunctionReturn(0);
  PetscCall(PairDestroy(&(*judge)->pair));
  PetscCall(PetscFree(*judge));
  PetscFunctionReturn(0);
}

static void Compare(const CtpgJudge judge, const CtpgOutcome *o, PetscReal rtol, const PetscReal *gtheta,
                    CtpgVerdict *v) {
  const CtpgProblem *problem = judge->pair.problem;
  const CtpgReference own = {.gx0 = judge->pair.gx0, .gtheta = judge->pair.gtheta, .status = o->status};
  v->status = o->status;
  (void)PetscStrncpy(v->reason, o->reason, sizeof v->reason);
  v->nfe += o->nfe;
  if (o->status != CTPG_OK) return;
  v->errors = GradientErrors(problem->dims.nx, PolicyGetSize(problem->policy), own.gx0, gtheta, &own);
  GradientErrorsByEntry(problem->policy, gtheta, own.gtheta, &v->errors);
  v->bar = o->error_bar;
  v->rtol = rtol;
  v->integral = o->integral;
  v->resolved = APART * v->bar <= v->errors.err_rel ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode JudgeRun(CtpgJudge judge, const CtpgCase *c, CtpgLimits limits, const PetscReal *gtheta,
                        CtpgVerdict *v) {
  PetscReal before = NAN; // what the solve before measured; NaN: it was not sure
  CtpgOutcome o;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(v, sizeof *v));
  v->gtheta = judge->pair.gtheta;
  for (PetscReal rtol = FIRST; rtol > 0.9 * LAST; rtol *= TIGHTER) {
    PetscCall(PairRun(&judge->pair, c, 0, 0, rtol, limits, CTPG_REPEATS_NONE, &o));
    Compare(judge, &o, rtol, gtheta, v);
    if (o.status == CTPG_INTERRUPTED || o.status == CTPG_TIMEOUT) break;
    const PetscReal now = v->resolved && o.status == CTPG_OK ? v->errors.err_rel : NAN;
    if (now <= AGREE * before && before <= AGREE * now) break;
    before = now;
  }
  PetscFunctionReturn(0);
}
