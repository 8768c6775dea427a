// dump_steps.c -- gradients of discretised losses together with all that is needed to replay them elsewhere
//
//   dump_steps -problem P [-problem_options "..."] -seed S [-rtol R] [-steps N]
// To stdout, as lines "word values...": the case; then for every Runge-Kutta table the records of
//   tsadjoint, rk-adjoint   at the loose tolerance R (N equal steps where a table has no error estimate)
//   petsc                   TSAdjointSolve with PETSc's own table and dense Jacobians, N equal steps
// each with the table, the accepted steps (t, h), loss, grad_x0 and grad_theta. tests/test_replay.py reads it.

#include "plant.h"

static void PrintReals(const char *word, PetscInt n, const PetscReal *values) {
  printf("%s", word);
  for (PetscInt i = 0; i < n; i++) printf(" %.17g", values[i]);
  printf("\n");
}

static void PrintCase(const Setting *s) {
  const PetscInt np = PolicyGetSize(s->problem.policy);
  printf("petsc %d %d %d\n", PETSC_VERSION_MAJOR, PETSC_VERSION_MINOR, PETSC_VERSION_SUBMINOR);
  printf("problem %s\npolicy %s\n", s->problem.type->name, PolicyDescribe(s->problem.policy));
  PrintReals("T", 1, &s->c.T);
  PrintReals("x0", s->problem.dims.nx, s->c.x0);
  PrintReals("theta", np, s->c.theta);
}

static void PrintTable(const char *estimator, const CtpgRKTable *table) {
  printf("record %s %s\nstages %d\nfsal %d\n", estimator, table->name, (int)table->s, table->fsal);
  PrintReals("A", table->s * table->s, table->A);
  PrintReals("b", table->s, table->b);
  PrintReals("c", table->s, table->c);
}

static void PrintGradient(const Gradient *g) {
  PrintReals("loss", 1, g->loss);
  PrintReals("grad_x0", g->nx, g->gx0);
  PrintReals("grad_theta", g->np, g->gtheta);
  printf("end\n");
}

// ---- the estimators ----

// Steps of the forward solve that the estimator made: the same solve once more, recorded.
static PetscErrorCode PrintSteps(const Setting *s, const CtpgRKOptions *rk, PetscReal accuracy, PetscReal loss) {
  PetscReal again;
  CtpgResult result = {.loss = &again};
  CtpgForwardSolve forward;
  CtpgClosedLoop loop;

  PetscFunctionBeginUser;
  PetscCall(SettingCreateLoop(s, &loop));
  PetscCall(CtpgForwardCreate(loop, rk, NULL, CTPG_KEEP_STATES, &forward));
  PetscCall(CtpgForwardRun(forward, s->c.x0, accuracy, &result));
  PetscCheck(again == loss, PETSC_COMM_SELF, PETSC_ERR_PLIB, "the recorded solve is not that of the estimator");
  for (PetscInt n = 0; n < CtpgForwardGetSteps(forward); n++) {
    const CtpgStep step = CtpgForwardGetStep(forward, n);
    printf("step %.17g %.17g\n", step.t, step.h);
  }
  PetscCall(CtpgForwardDestroy(&forward));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscFunctionReturn(0);
}

static PetscErrorCode DumpEstimator(const Setting *s, const char *estimator, const char *table, PetscReal rtol,
                                    PetscInt N) {
  Gradient g;
  CtpgRKOptions rk;
  char options[64];

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(table, PETSC_FALSE, &rk));
  const PetscReal accuracy = rk.fixed ? s->c.T / N : rtol;
  PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s", table));
  PetscCall(RunEstimator(s, estimator, options, 1, accuracy, &g));
  PetscCheck(g.status == CTPG_OK, PETSC_COMM_SELF, PETSC_ERR_PLIB, "%s: %s", estimator, CtpgStatusName(g.status));
  PrintTable(estimator, &rk.table);
  PetscCall(PrintSteps(s, &rk, accuracy, g.loss[0]));
  PrintGradient(&g);
  PetscFunctionReturn(0);
}

// ---- PETSc as it is ----

typedef struct {
  CtpgClosedLoop loop;
  PetscInt nx, np;
  PetscReal *gx, *gtheta, *v; // [nx], [np], [nx]
} Plain;

static PetscErrorCode PlainRHS(TS ts, PetscReal t, Vec Y, Vec F, void *context) {
  Plain *p = context;
  const PetscReal *y;
  PetscReal *f;

  PetscFunctionBeginUser;
  (void)ts;
  PetscCall(VecGetArrayRead(Y, &y));
  PetscCall(VecGetArrayWrite(F, &f));
  CtpgClosedLoopEval(p->loop, 1, &t, y, f, f + p->nx);
  PetscCall(VecRestoreArrayWrite(F, &f));
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscFunctionReturn(0);
}

// Row i of the Jacobian of (f, w): with respect to (x, loss) into J, to theta into Jp; NULL: not wanted.
static PetscErrorCode PlainRows(Plain *p, PetscReal t, Vec Y, Mat J, Mat Jp) {
  const PetscReal *y;

  PetscFunctionBeginUser;
  PetscCall(VecGetArrayRead(Y, &y));
  for (PetscInt i = 0; i <= p->nx; i++) {
    const PetscReal c = i == p->nx ? 1 : 0;
    PetscCall(PetscArrayzero(p->gx, p->nx));
    PetscCall(PetscArrayzero(p->gtheta, p->np));
    for (PetscInt k = 0; k < p->nx; k++) p->v[k] = k == i ? 1 : 0;
    CtpgClosedLoopVJP(p->loop, 1, &t, y, p->v, &c, p->gx, p->gtheta);
    for (PetscInt k = 0; J && k < p->nx; k++) PetscCall(MatSetValue(J, i, k, p->gx[k], INSERT_VALUES));
    for (PetscInt k = 0; Jp && k < p->np; k++) PetscCall(MatSetValue(Jp, i, k, p->gtheta[k], INSERT_VALUES));
  }
  PetscCall(VecRestoreArrayRead(Y, &y));
  PetscCall(MatAssemblyBegin(J ? J : Jp, MAT_FINAL_ASSEMBLY));
  PetscCall(MatAssemblyEnd(J ? J : Jp, MAT_FINAL_ASSEMBLY));
  PetscFunctionReturn(0);
}

static PetscErrorCode PlainJacobian(TS ts, PetscReal t, Vec Y, Mat J, Mat P, void *context) {
  PetscFunctionBeginUser;
  (void)ts, (void)P;
  PetscCall(PlainRows(context, t, Y, J, NULL));
  PetscFunctionReturn(0);
}

static PetscErrorCode PlainJacobianP(TS ts, PetscReal t, Vec Y, Mat Jp, void *context) {
  PetscFunctionBeginUser;
  (void)ts;
  PetscCall(PlainRows(context, t, Y, NULL, Jp));
  PetscFunctionReturn(0);
}

// A TS of the given table that makes N equal steps and can be solved backwards.
static PetscErrorCode PlainTS(Plain *p, const char *table, PetscReal T, PetscInt N, Mat J, Mat Jp, TS *ts) {
  TSTrajectory trajectory;
  TSAdapt adapt;

  PetscFunctionBeginUser;
  PetscCall(TSCreate(PETSC_COMM_SELF, ts));
  PetscCall(TSSetType(*ts, TSRK));
  PetscCall(TSRKSetType(*ts, table));
  PetscCall(TSSetRHSFunction(*ts, NULL, PlainRHS, p));
  PetscCall(TSSetRHSJacobian(*ts, J, J, PlainJacobian, p));
  PetscCall(TSSetRHSJacobianP(*ts, Jp, PlainJacobianP, p));
  PetscCall(TSGetAdapt(*ts, &adapt));
  PetscCall(TSAdaptSetType(adapt, TSADAPTNONE));
  PetscCall(TSSetSaveTrajectory(*ts));
  PetscCall(TSGetTrajectory(*ts, &trajectory));
  PetscCall(TSTrajectorySetType(trajectory, *ts, TSTRAJECTORYMEMORY));
  PetscCall(TSSetTimeStep(*ts, T / N));
  PetscCall(TSSetMaxTime(*ts, 2 * T));
  PetscCall(TSSetMaxSteps(*ts, N));
  PetscCall(TSSetExactFinalTime(*ts, TS_EXACTFINALTIME_STEPOVER));
  PetscFunctionReturn(0);
}

// The gradient by TSAdjointSolve, into loss, gx0 and gtheta of g.
static PetscErrorCode PlainGradient(Plain *p, const Setting *s, const char *table, PetscInt N, Gradient *g) {
  Vec y, lambda, mu;
  Mat J, Jp;
  TS ts;

  PetscFunctionBeginUser;
  PetscCall(MatCreateSeqDense(PETSC_COMM_SELF, p->nx + 1, p->nx + 1, NULL, &J));
  PetscCall(MatCreateSeqDense(PETSC_COMM_SELF, p->nx + 1, p->np, NULL, &Jp));
  PetscCall(MatCreateVecs(J, &y, &lambda));
  PetscCall(MatCreateVecs(Jp, &mu, NULL));
  for (PetscInt k = 0; k < p->nx; k++) PetscCall(VecSetValue(y, k, s->c.x0[k], INSERT_VALUES));
  PetscCall(PlainTS(p, table, s->c.T, N, J, Jp, &ts));
  PetscCall(TSSetCostGradients(ts, 1, &lambda, &mu));
  PetscCall(TSSolve(ts, y));
  PetscCall(VecSetValue(lambda, p->nx, 1, INSERT_VALUES));
  PetscCall(TSAdjointSolve(ts));
  for (PetscInt k = 0; k < p->nx; k++) PetscCall(VecGetValues(lambda, 1, &k, &g->gx0[k]));
  for (PetscInt k = 0; k < p->np; k++) PetscCall(VecGetValues(mu, 1, &k, &g->gtheta[k]));
  PetscCall(VecGetValues(y, 1, &p->nx, g->loss));
  PetscCall(TSDestroy(&ts));
  PetscCall(MatDestroy(&J));
  PetscCall(MatDestroy(&Jp));
  PetscCall(VecDestroy(&y));
  PetscCall(VecDestroy(&lambda));
  PetscCall(VecDestroy(&mu));
  PetscFunctionReturn(0);
}

static PetscErrorCode DumpPlain(const Setting *s, const char *name, PetscInt N) {
  Plain p = {.nx = s->problem.dims.nx, .np = PolicyGetSize(s->problem.policy)};
  Gradient g = {.nx = p.nx, .np = p.np};
  CtpgRKTable table;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", name, &table));
  PetscCall(SettingCreateLoop(s, &p.loop));
  PetscCall(PetscMalloc3(p.nx, &p.gx, p.np, &p.gtheta, p.nx, &p.v));
  PetscCall(PlainGradient(&p, s, name, N, &g));
  PrintTable("petsc", &table);
  for (PetscInt n = 0; n < N; n++) printf("step %.17g %.17g\n", n * (s->c.T / N), s->c.T / N);
  PrintGradient(&g);
  PetscCall(PetscFree3(p.gx, p.gtheta, p.v));
  PetscCall(CtpgClosedLoopDestroy(&p.loop));
  PetscFunctionReturn(0);
}

// ---- all ----

int main(int argc, char **argv) {
  char problem[64] = "lqr", options[256] = "";
  PetscInt seed = 0, N = 60;
  PetscReal rtol = 1e-2;
  Setting s;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(PetscOptionsGetString(NULL, NULL, "-problem", problem, sizeof problem, NULL));
  PetscCall(PetscOptionsGetString(NULL, NULL, "-problem_options", options, sizeof options, NULL));
  PetscCall(PetscOptionsGetInt(NULL, NULL, "-seed", &seed, NULL));
  PetscCall(PetscOptionsGetInt(NULL, NULL, "-steps", &N, NULL));
  PetscCall(PetscOptionsGetReal(NULL, NULL, "-rtol", &rtol, NULL));
  PetscCall(SettingOf(problem, options, seed, &s));
  PrintCase(&s);
  for (const char *const *table = CtpgRKTableNames(); *table; table++) {
    PetscCall(DumpEstimator(&s, "tsadjoint", *table, rtol, N));
    PetscCall(DumpEstimator(&s, "rk-adjoint", *table, rtol, N));
    PetscCall(DumpPlain(&s, *table, N));
  }
  PetscCall(SettingDestroy(&s));
  PetscCall(PetscFinalize());
  return 0;
}
