// judge.c -- `ctpgbench judge`: how good is a gradient that came from elsewhere?

#include "run/accuracy.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/options_engine.h"
#include "run/casefile.h"
#include "job/errors.h"
#include "commands/program.h"
#include "run/judge.h"
#include "job/signals.h"
#include <math.h>

typedef struct {
  CtpgOptions options;
  CtpgLabel *problem_label;
  CtpgProblem problem;
  CtpgJudge judge;
  CtpgCaseChoice choice;
  char path[PETSC_MAX_PATH_LEN];
  PetscReal *gtheta; // [np]
  CtpgCase c;
} Request;

static PetscErrorCode ReadRequest(Request *r) {
  PetscInt np;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "judge", &r->options));
  PetscCall(CtpgLabelOption(r->options, "problem", NULL, &np, &r->problem_label));
  PetscCheck(np == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "judge takes one problem, not %d", (int)np);
  PetscCall(CaseChoiceRead(r->options, &r->choice));
  PetscCall(CtpgOptionsText(r->options, "gradient", "HDF5 file with dL/dtheta of this case, dataset grad_theta",
                            r->path, sizeof r->path));
  PetscFunctionReturn(0);
}

// After -help had its answer.
static PetscErrorCode CheckRequest(const Request *r) {
  PetscFunctionBeginUser;
  PetscCall(CaseChoiceCheck(&r->choice));
  PetscCheck(r->path[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-gradient is missing: the HDF5 file whose dataset grad_theta is to be judged");
  PetscFunctionReturn(0);
}

static PetscErrorCode CreateParts(Request *r) {
  PetscFunctionBeginUser;
  PetscCall(ProblemCreate(r->problem_label, &r->problem));
  PetscCall(JudgeCreate(&r->problem, &r->judge));
  PetscCall(RefuseUnusedOptions());
  PetscCall(CheckRequest(r));
  PetscCall(CaseChoose(&r->problem, &r->choice, &r->c));
  PetscCall(JudgeSetUp(r->judge));
  PetscCall(PetscMalloc1(PolicyGetSize(r->problem.policy), &r->gtheta));
  PetscCall(GradientFileRead(r->path, PolicyGetSize(r->problem.policy), r->gtheta));
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroyParts(Request *r) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(r->gtheta));
  PetscCall(CaseDestroy(&r->c));
  PetscCall(JudgeDestroy(&r->judge));
  PetscCall(ProblemDestroy(&r->problem));
  PetscCall(CtpgOptionsDestroy(&r->options));
  PetscCall(PetscFree(r->problem_label));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintVerdict(const Request *r, const CtpgVerdict *v) {
  const CtpgErrors *e = &v->errors;
  const PetscInt np = PolicyGetSize(r->problem.policy);

  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "problem     %s, %s, T = %.6g s, policy %s (np = %d)\n", r->problem.label,
                        r->c.name, r->c.T, PolicyDescribe(r->problem.policy), (int)np));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "gradient    %s, ||dL/dtheta|| = %.10g\n", r->path, e->norm));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                        "judge       ||dL/dtheta|| = %.10g, good to %.1e by its own sweep; NFE %lld\n",
                        CtpgNorm(np, v->gtheta), v->bar, (long long)v->nfe));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "error       %.2e (dL/dtheta, relative); %s\n", e->err_rel,
                        v->resolved ? "the true one lies between a third of it and three times as much"
                                    : "no more can be told, the judge is not much closer to the truth"));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "direction   cosine 1 - %.1e; %.4g %% of the entries have the right sign\n",
                        fmax(0, 1 - e->cosine), 100 * e->sign_share));
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "layers      the worst is layer %d of %d, relative error %.2e\n",
                        (int)e->layer + 1, (int)PolicyGetLayers(r->problem.policy), e->err_layer));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandJudge(const char *word, int *exit_code) {
  Request r = {0};
  CtpgVerdict v;

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(RefuseSeveralRanks("judge", ""));
  PetscCall(ReadRequest(&r));
  PetscCall(CreateParts(&r));
  PetscCall(JudgeRun(r.judge, &r.c, (CtpgLimits){.stop = &CtpgStopRequested}, r.gtheta, &v));
  if (v.status == CTPG_OK)
    PetscCall(PrintVerdict(&r, &v));
  else
    PetscCall(PetscFPrintf(PETSC_COMM_WORLD, stderr, "ctpgbench: the judge has no gradient of %s, %s: %s: %s\n",
                           r.problem.label, r.c.name, CtpgStatusName(v.status), v.reason));
  if (v.status != CTPG_OK) *exit_code = CTPG_EXIT_ERROR;
  if (CtpgStopRequested) *exit_code = CTPG_EXIT_INCOMPLETE;
  PetscCall(DestroyParts(&r));
  PetscFunctionReturn(0);
}
