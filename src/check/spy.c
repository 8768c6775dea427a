// spy.c -- a problem that forwards every slot to another one, counts the calls and fails when it is told to

#include "check/spy.h"
#include <math.h>

// Every slot of the spy starts here: what this call of n points does. True: the plant's results become NaN.
static CtpgStatus Enter(CheckSpy *spy, PetscInt n, int64_t *kind, PetscBool *spoil) {
  const PetscBool now = spy->mischief && CheckSpyCalls(spy) + n > spy->when ? PETSC_TRUE : PETSC_FALSE;
  *kind += n;
  *spoil = now && spy->mischief == CHECK_NAN ? PETSC_TRUE : PETSC_FALSE;
  if (now && spy->mischief == CHECK_STOP) spy->stop = 1;
  return now && spy->mischief == CHECK_DOMAIN ? CTPG_DOMAIN : CTPG_OK;
}

static PetscReal Tone(const CheckSpy *spy, PetscReal t) {
  const PetscReal angle = 2 * PETSC_PI * t / spy->grid;
  return spy->tone == CHECK_COSINE ? cos(angle) : sin(angle);
}

static CtpgStatus SpyEval(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                          const PetscReal *u, PetscReal *f, PetscReal *w) {
  CheckSpy *spy = ctx;
  PetscBool spoil;
  for (PetscInt i = 0; i < n && spy->grid > 0; i++)
    if (fabs(t[i] / spy->grid - round(t[i] / spy->grid)) > 1e-6) spy->off_grid++;
  CtpgStatus status = Enter(spy, n, &spy->evals, &spoil);
  if (status == CTPG_OK) status = spy->real->eval(spy->real_ctx, task, n, t, x, u, f, w);
  for (PetscInt i = 0; i < n && spy->tone && w && status == CTPG_OK; i++) w[i] += Tone(spy, t[i]);
  if (spoil) f[0] = NAN;
  return status;
}

static CtpgStatus SpyEvalVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx, PetscReal *gu) {
  CheckSpy *spy = ctx;
  PetscBool spoil;
  CtpgStatus status = Enter(spy, n, &spy->vjps, &spoil);
  if (status == CTPG_OK) status = spy->real->eval_vjp(spy->real_ctx, task, n, t, x, u, v, c, gx, gu);
  if (spoil) gx[0] = NAN;
  return status;
}

static CtpgStatus SpyEvalJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             const PetscReal *u, const PetscReal *dx, const PetscReal *du, PetscReal *df,
                             PetscReal *dw) {
  CheckSpy *spy = ctx;
  PetscBool spoil;
  CtpgStatus status = Enter(spy, n, &spy->jvps, &spoil);
  if (status == CTPG_OK) status = spy->real->eval_jvp(spy->real_ctx, task, n, t, x, u, dx, du, df, dw);
  if (spoil) df[0] = NAN;
  return status;
}

static CtpgStatus SpyJacobian(void *ctx, const CtpgTask *task, PetscReal t, const PetscReal *x, const PetscReal *u,
                              PetscReal *fx, PetscReal *fu) {
  CheckSpy *spy = ctx;
  PetscBool spoil;
  CtpgStatus status = Enter(spy, 1, &spy->jacobians, &spoil);
  if (status == CTPG_OK) status = spy->real->jacobian(spy->real_ctx, task, t, x, u, fx, fu);
  if (spoil) fx[0] = NAN;
  return status;
}

static CtpgStatus SpyObserve(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                             PetscReal *o) {
  const CheckSpy *spy = ctx;
  return spy->real->observe(spy->real_ctx, task, n, t, x, o);
}

static CtpgStatus SpyObserveVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *go, PetscReal *gx) {
  const CheckSpy *spy = ctx;
  return spy->real->observe_vjp(spy->real_ctx, task, n, t, x, go, gx);
}

static CtpgStatus SpyObserveJVP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                                const PetscReal *dx, PetscReal *d_o) {
  const CheckSpy *spy = ctx;
  return spy->real->observe_jvp(spy->real_ctx, task, n, t, x, dx, d_o);
}

static CtpgStatus SpyTerminal(void *ctx, const CtpgTask *task, const PetscReal *x, PetscReal *J, PetscReal *Jx) {
  const CheckSpy *spy = ctx;
  return spy->real->terminal(spy->real_ctx, task, x, J, Jx);
}

// Cases are drawn before the spy comes: draw, draw_linear and closed_form are of no interest to a closed loop.
void CheckSpyAttach(CheckSpy *spy, CtpgProblem *problem) {
  const CtpgProblemType *real = problem->type;
  *spy = (CheckSpy){.type = *real, .real = real, .real_ctx = problem->ctx};
  spy->type.eval = SpyEval;
  spy->type.observe = real->observe ? SpyObserve : NULL;
  spy->type.eval_vjp = real->eval_vjp ? SpyEvalVJP : NULL;
  spy->type.observe_vjp = real->observe_vjp ? SpyObserveVJP : NULL;
  spy->type.eval_jvp = real->eval_jvp ? SpyEvalJVP : NULL;
  spy->type.observe_jvp = real->observe_jvp ? SpyObserveJVP : NULL;
  spy->type.jacobian = real->jacobian ? SpyJacobian : NULL;
  spy->type.terminal = real->terminal ? SpyTerminal : NULL;
  spy->type.plant_calls = NULL; // the spy's calls are the plant calls here
  problem->type = &spy->type;
  problem->ctx = spy;
}

void CheckSpyDetach(CheckSpy *spy, CtpgProblem *problem) {
  problem->type = spy->real;
  problem->ctx = spy->real_ctx;
}

void CheckSpyReset(CheckSpy *spy, CheckMischief mischief, int64_t when) {
  spy->evals = spy->vjps = spy->jvps = spy->jacobians = 0;
  spy->off_grid = 0;
  spy->mischief = mischief;
  spy->when = when;
  spy->stop = 0;
}

int64_t CheckSpyCalls(const CheckSpy *spy) {
  return spy->evals + spy->vjps + spy->jvps + spy->jacobians;
}
