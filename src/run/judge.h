// judge.h -- how good is a gradient? Measured without a reference, whoever made it
//
// The judge solves the case itself, by lia with an error sweep (toolkit/gausssweep.h), which says how far its own
// gradient is from the truth, at tolerances 1e-3, 1e-5, .. 1e-11, until that is a third of the distance to the gradient
// it is shown, twice in a row, and both distances agree. That distance is the error then: within a factor 3
// (docs/trust.md). Where even the last tolerance is too coarse, the distance is an upper estimate.
// Weakness: what neither the judge nor its sweep sees (a peak of the cost between their nodes) is not measured.
#ifndef CTPG_JUDGE_H
#define CTPG_JUDGE_H

#include "run/run.h"

typedef struct Judge_s *CtpgJudge;

typedef struct {
  CtpgStatus status; // of the judge's own solve; the rest is known where it is CTPG_OK
  char reason[128];
  CtpgErrors errors;       // of dL/dtheta alone, against the judge's gradient
  PetscReal bar;           // measured relative error of the judge's gradient
  PetscBool resolved;      // bar is a third of err_rel at most
  PetscReal rtol;          // at which the judge came to this
  PetscReal integral;      // int |f_theta' alpha + w_theta| dt
  const PetscReal *gtheta; // [np] the judge's gradient, its own until the next call
  int64_t nfe;             // of all its solves
} CtpgVerdict;

// Options of its estimator are those of lia with the prefix judge_; they are read now, workspace is made by JudgeSetUp.
PetscErrorCode JudgeCreate(const CtpgProblem *problem, CtpgJudge *judge);
PetscErrorCode JudgeSetUp(CtpgJudge judge);
PetscErrorCode JudgeDestroy(CtpgJudge *judge);
// gtheta [np]: the gradient of this case that is judged.
PetscErrorCode JudgeRun(CtpgJudge judge, const CtpgCase *c, CtpgLimits limits, const PetscReal *gtheta,
                        CtpgVerdict *verdict);

#endif
