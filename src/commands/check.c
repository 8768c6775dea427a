// check.c -- `ctpgbench check`: conformance of problems and estimators, one line per check

#include "base/options_engine.h"
#include "check/clock.h"
#include "check/estimator.h"
#include "check/problem.h"
#include "commands/program.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include "run/labels.h"
#include "run/registry.h"
#include <string.h>

#define STAGES 2 // problems on which estimators are checked

typedef struct {
  CtpgOptions options;
  CheckSettings settings;
  PetscReal time_limit; // s, 0: none
  PetscInt nproblems, nestimators;
  CtpgLabel *problems, *estimators;
  PetscBool check_problems, check_estimators;
  PetscInt nstages;
  CtpgLabel stages[CTPG_MAX_LABELS];
} Plan;

static PetscErrorCode AppendName(const char *name, size_t size, char *list) {
  PetscFunctionBeginUser;
  if (list[0]) PetscCall(PetscStrlcat(list, ",", size));
  PetscCall(PetscStrlcat(list, name, size));
  PetscFunctionReturn(0);
}

static PetscErrorCode AllProblems(size_t size, char *list) {
  PetscFunctionBeginUser;
  list[0] = 0;
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++)
    if (!CtpgProblemTypes[i]->unavailable) PetscCall(AppendName(CtpgProblemTypes[i]->name, size, list));
  PetscFunctionReturn(0);
}

// But those that need a file of the user's.
static PetscErrorCode AllEstimators(size_t size, char *list) {
  PetscFunctionBeginUser;
  list[0] = 0;
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++)
    if (!CtpgEstimatorTypes[i]->unavailable && !(CtpgEstimatorTypes[i]->flags & CTPG_IS_INTERPRETED))
      PetscCall(AppendName(CtpgEstimatorTypes[i]->name, size, list));
  PetscFunctionReturn(0);
}

static PetscErrorCode IsGiven(CtpgOptions options, const char *one, const char *many, PetscBool *given) {
  PetscBool a, b;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsFind(options, one, NULL, 0, &a));
  PetscCall(CtpgOptionsFind(options, many, NULL, 0, &b));
  *given = a || b ? PETSC_TRUE : PETSC_FALSE;
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadSettings(CtpgOptions options, CheckSettings *s) {
  PetscFunctionBeginUser;
  *s = CheckDefaults;
  PetscCall(CtpgOptionsInt(options, "points", "random points of the derivative checks", 2, 10000, &s->points));
  PetscCall(CtpgOptionsInt(options, "check_seed", "seed of cases, points and directions", 0, 1000000000, &s->seed));
  PetscCall(CtpgOptionsInt(options, "check_repeats", "runs of the check for leaks", 1, 1000000, &s->repeats));
  PetscCall(CtpgOptionsReal(options, "check_horizon", "estimators are checked on horizons of at most this, s", 1e-6,
                            1e6, &s->horizon));
  PetscFunctionReturn(0);
}

// -problems alone: no estimators; -estimators alone: no problems; both: the estimators on those problems.
static PetscErrorCode ReadPlan(Plan *plan) {
  PetscBool problems, estimators;
  char list[8192];

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "check", &plan->options));
  PetscCall(ReadSettings(plan->options, &plan->settings));
  PetscCall(CtpgOptionsReal(plan->options, "time_limit", "seconds, 0: none; then it says where it is and ends with 75",
                            0, 1e9, &plan->time_limit));
  PetscCall(IsGiven(plan->options, "problem", "problems", &problems));
  PetscCall(IsGiven(plan->options, "estimator", "estimators", &estimators));
  plan->check_problems = problems || !estimators ? PETSC_TRUE : PETSC_FALSE;
  plan->check_estimators = estimators || !problems ? PETSC_TRUE : PETSC_FALSE;
  PetscCall(AllProblems(sizeof list, list));
  PetscCall(CtpgLabelOption(plan->options, "problem", list, &plan->nproblems, &plan->problems));
  PetscCall(AllEstimators(sizeof list, list));
  PetscCall(CtpgLabelOption(plan->options, "estimator", list, &plan->nestimators, &plan->estimators));
  if (problems)
    for (; plan->nstages < plan->nproblems; plan->nstages++)
      plan->stages[plan->nstages] = plan->problems[plan->nstages];
  PetscFunctionReturn(0);
}

// Keeps the STAGES smallest by nx np among the smooth ones.
static void OfferStage(Plan *plan, PetscReal sizes[STAGES], const CtpgLabel *label, const CtpgProblem *problem) {
  PetscReal size = (PetscReal)problem->dims.nx * (PetscReal)PolicyGetSize(problem->policy);
  CtpgLabel candidate = *label;
  if (problem->type->flags & (CTPG_IS_NONSMOOTH | CTPG_IS_HARD) || problem->dims.nbreak > 0) return;
  for (PetscInt i = 0; i < STAGES; i++) {
    if (i < plan->nstages && sizes[i] <= size) continue;
    const CtpgLabel pushed = plan->stages[i];
    const PetscReal pushed_size = sizes[i];
    plan->stages[i] = candidate;
    sizes[i] = size;
    if (i == plan->nstages) {
      plan->nstages++;
      return;
    }
    candidate = pushed;
    size = pushed_size;
  }
}

// Every instance once: all options are read, so that a misspelt one is found before the first check.
static PetscErrorCode CreateEverythingOnce(Plan *plan, CheckReport *report) {
  const PetscBool choose = plan->nstages == 0 ? PETSC_TRUE : PETSC_FALSE;
  PetscReal sizes[STAGES] = {0};

  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < plan->nproblems; i++) {
    CtpgProblem problem;
    report->subject = plan->problems[i].label;
    CheckBegin(report, "create");
    PetscCall(ProblemCreate(&plan->problems[i], &problem));
    if (choose) OfferStage(plan, sizes, &plan->problems[i], &problem);
    PetscCall(ProblemDestroy(&problem));
  }
  for (PetscInt i = 0; i < plan->nestimators && plan->check_estimators; i++) {
    CtpgEstimator estimator;
    report->subject = plan->estimators[i].label;
    CheckBegin(report, "create");
    PetscCall(EstimatorCreate(&plan->estimators[i], &estimator));
    PetscCall(EstimatorDestroy(&estimator));
  }
  PetscCall(RefuseUnusedOptions());
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckProblems(const Plan *plan, CheckReport *report) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < plan->nproblems && plan->check_problems; i++) {
    const CtpgProblemType *type;
    PetscCall(ProblemTypeFind("-problems", plan->problems[i].type, &type));
    PetscCall(CheckProblem(type, plan->problems[i].label, &plan->settings, report));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckEstimators(const Plan *plan, CheckReport *report) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < plan->nestimators && plan->check_estimators; i++) {
    const CtpgEstimatorType *type;
    PetscCall(EstimatorTypeFind("-estimators", plan->estimators[i].type, &type));
    for (PetscInt j = 0; j < plan->nstages; j++) {
      CtpgProblem problem;
      PetscCall(ProblemCreate(&plan->stages[j], &problem));
      PetscCall(CheckEstimator(type, plan->estimators[i].label, &problem, &plan->settings, report));
      PetscCall(ProblemDestroy(&problem));
    }
  }
  PetscFunctionReturn(0);
}

PetscErrorCode CommandCheck(const char *word, int *exit_code) {
  Plan plan = {0};
  CheckReport report = {0};

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(RefuseSeveralRanks("check", ""));
  PetscCall(ReadPlan(&plan));
  CheckClockStart(&report, plan.time_limit);
  PetscCall(CreateEverythingOnce(&plan, &report));
  PetscCall(CheckProblems(&plan, &report));
  PetscCall(CheckEstimators(&plan, &report));
  CheckClockStop();
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%d passed, %d failed\n", (int)report.passed, (int)report.failed));
  if (report.failed) *exit_code = CTPG_EXIT_ERROR;
  PetscCall(PetscFree(plan.problems));
  PetscCall(PetscFree(plan.estimators));
  PetscCall(CtpgOptionsDestroy(&plan.options));
  PetscFunctionReturn(0);
}
