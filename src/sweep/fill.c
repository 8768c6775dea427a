// fill.c -- see fill.h

#include "sweep/fill.h"
#include "base/system.h"
#include <math.h>

#define FAR_ABOVE 1.25 // wallclock over CPU time, and ready processes over cores, of a crowd
#define CLOCKS    2e-5 // s that reading the clocks and one look at messages may cost

void FillReference(const CtpgProblem *problem, const CtpgReference *g, CtpgCaseRow *row) {
  row->status = g->status;
  (void)PetscStrncpy(row->reason, g->reason, sizeof row->reason);
  row->nfe = CtpgNFE(&g->counts);
  row->flags = (problem->type->eval_vjp ? 0 : CTPG_FLAG_DIFFERENCES) |
               (problem->type->flags & CTPG_IS_DIFFERENCED ? CTPG_FLAG_DIFFERENCES : 0) |
               (g->closed_form ? CTPG_FLAG_CLOSED_FORM : 0) |
               (problem->type->flags & CTPG_IS_NONSMOOTH ? CTPG_FLAG_NONSMOOTH : 0);
  if (g->status != CTPG_OK) return;
  row->loss = g->loss;
  row->grad_norm = CtpgNorm(PolicyGetSize(problem->policy), g->gtheta);
  row->grad_x0_norm = CtpgNorm(problem->dims.nx, g->gx0);
  row->ref_err = g->ref_err;
  row->ref_err_x0 = g->ref_err_x0;
  row->ref_err_loss = g->ref_err_loss;
  row->cond = g->cond;
  if (!(g->ref_err <= 1e-10)) row->flags |= CTPG_FLAG_INACCURATE;
}

PetscBool FillIsCrowded(double wall, double cpu, double load) {
  return wall > FAR_ABOVE * cpu + CLOCKS || load > FAR_ABOVE ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode FillCosts(const CtpgProblem *problem, int64_t seed, uint64_t experiment, CtpgLabelInfo *info) {
  const PetscInt nx = problem->dims.nx, np = PolicyGetSize(problem->policy), repeats = 200;
  const PetscReal t = 0, one = 1;
  PetscReal *f, *gx, *gtheta, w;
  CtpgClosedLoop loop;
  CtpgCase c;

  PetscFunctionBeginUser;
  PetscCall(CaseDraw(problem, seed, experiment, &c));
  PetscCall(ProblemCreateLoop(problem, &loop));
  PetscCall(PetscCalloc3(nx, &f, nx, &gx, np, &gtheta));
  CtpgClosedLoopSetCase(loop, c.theta, 1, c.task, c.T);
  info->cost_f = info->cost_vjp = INFINITY;
  for (int batch = 0; batch < 5; batch++) { // the least disturbed batch counts
    const double start = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) CtpgClosedLoopEval(loop, 1, &t, c.x0, f, &w);
    const double middle = CtpgSeconds();
    for (PetscInt i = 0; i < repeats; i++) CtpgClosedLoopVJP(loop, 1, &t, c.x0, f, &one, gx, gtheta);
    const double end = CtpgSeconds();
    info->cost_f = fmin(info->cost_f, (middle - start) / repeats);
    info->cost_vjp = fmin(info->cost_vjp, (end - middle) / repeats);
  }
  PetscCall(PetscFree3(f, gx, gtheta));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(CaseDestroy(&c));
  PetscFunctionReturn(0);
}
