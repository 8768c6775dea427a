// test_estimators.c -- what the estimators must have in common, and what must not enter their error control
//
//   special case  ctpg with Euler steps on a constant spline is back-propagation through time
//   discrete      rk-adjoint and tsadjoint are the same derivative of the same discrete map, at the same price
//   seminorm      running cost and quadrature have zero tolerance: no mesh depends on them
//   beside        g beside the state of TS is g in it
//   options       all variants agree as the tolerance goes down
//   terminal      J(x(T)) enters loss and gradient of everyone; witness: differences of the loss
//   batch         the mean over starts
//   failure       numbers that are not finite end as a status, on the way forth and on the way back

#include "plant.h"
#include "ctpgbench/toolkit/spline.h"

// ---- special case ----

static PetscErrorCode TestBPTT(const char *who, const Setting *s, PetscReal dt) {
  PROPERTY("on %s, ctpg with Euler steps and a constant spline is euler-bptt", who);
  static const char *const quadratures[] = {"weights", "augmented"};
  Gradient bptt, ctpg;
  char options[128];

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "euler-bptt", "", 1, dt, &bptt));
  for (int k = 0; k < 2; k++) {
    PetscCall(PetscSNPrintf(options, sizeof options, "-ctpg_rk 1fe -ctpg_spline constant -ctpg_quadrature %s",
                            quadratures[k]));
    PetscCall(RunEstimator(s, "ctpg", options, 1, dt, &ctpg));
    CheckSameGradient(who, &ctpg, &bptt, 1e-12);
    CHECK(ctpg.totals.nf == bptt.totals.nf && ctpg.totals.nvjp == bptt.totals.nvjp, "%s: %lld f, %lld vjp", who,
          (long long)ctpg.totals.nf, (long long)ctpg.totals.nvjp);
  }
  CHECK(bptt.totals.nf == CtpgFixedSteps(s->c.T, dt) && bptt.totals.nvjp == bptt.totals.nf, "%s: %lld f, %lld vjp", who,
        (long long)bptt.totals.nf, (long long)bptt.totals.nvjp);
  PetscFunctionReturn(0);
}

// ---- discrete ----

static PetscInt CountReversed(const CtpgRKTable *table) {
  PetscInt n = 0;
  for (PetscInt i = 0; i < table->s; i++) n += table->reversed[i];
  return n;
}

static PetscErrorCode TestDiscrete(const char *problem, const Setting *s, const char *name, PetscBool fixed) {
  PROPERTY("on %s, rk-adjoint and tsadjoint agree to rounding: table %s, %s steps", problem, name,
           fixed ? "fixed" : "adaptive");
  Gradient ours, petsc;
  CtpgRKOptions rk;
  char options[128], who[128];

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, fixed, &rk));
  if (!fixed && rk.fixed) PetscFunctionReturn(0);
  PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps %s", name, fixed ? "fixed" : "adaptive"));
  PetscCall(PetscSNPrintf(who, sizeof who, "%s %s", problem, options));
  PetscCall(RunEstimator(s, "rk-adjoint", options, 1, fixed ? 0.1 : 1e-4, &ours));
  PetscCall(RunEstimator(s, "tsadjoint", options, 1, fixed ? 0.1 : 1e-4, &petsc));
  CheckSameGradient(who, &petsc, &ours, fmax(1e-12, 1e-16 * PetscSqr(LargestRow(&rk.table))));
  CHECK(petsc.loss[0] == ours.loss[0], "%s: a registered copy of a table must keep the bits of the solve", who);
  CHECK(petsc.totals.nf == ours.totals.nf && petsc.totals.nvjp == ours.totals.nvjp, "%s: %lld f %lld vjp", who,
        (long long)petsc.totals.nf, (long long)petsc.totals.nvjp);
  CHECK(ours.totals.nvjp == ours.result.steps * CountReversed(&rk.table), "%s: %lld vjp in %lld steps", who,
        (long long)ours.totals.nvjp, (long long)ours.result.steps);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestAllTables(const char *problem, const Setting *s) {
  PetscFunctionBeginUser;
  for (const char *const *name = CtpgRKTableNames(); *name; name++)
    for (int fixed = 0; fixed < 2; fixed++)
      PetscCall(TestDiscrete(problem, s, *name, fixed ? PETSC_TRUE : PETSC_FALSE));
  PetscFunctionReturn(0);
}

// ---- seminorm ----

enum { MAX_MESH = 400 };

typedef struct {
  PetscInt n;
  PetscReal t[MAX_MESH], h[MAX_MESH];
} Mesh;

static void CheckSameMesh(const char *who, const Mesh *a, const Mesh *b) {
  CHECK(a->n > 5 && a->n <= MAX_MESH && a->n == b->n, "%s: %d and %d steps", who, (int)a->n, (int)b->n);
  const size_t bytes = (size_t)PetscMin(a->n, MAX_MESH) * sizeof *a->t;
  CHECK(!memcmp(a->t, b->t, bytes) && !memcmp(a->h, b->h, bytes), "%s: other steps", who);
}

// Mesh of the forward solve, whose loss rides along.
static PetscErrorCode ForwardMesh(const Plant *plant, const char *table, Mesh *mesh) {
  PetscReal loss;
  CtpgResult result = {.loss = &loss};
  CtpgForwardSolve forward;
  CtpgClosedLoop loop;
  CtpgRKOptions rk;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(plant, 3, &s));
  PetscCall(SettingCreateLoop(&s, &loop));
  PetscCall(RKOptionsOf(table, PETSC_FALSE, &rk));
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, CTPG_KEEP_STATES, &forward));
  PetscCall(CtpgForwardRun(forward, s.c.x0, 1e-5, &result));
  mesh->n = CtpgForwardGetSteps(forward);
  for (PetscInt k = 0; k < PetscMin(mesh->n, MAX_MESH); k++) {
    mesh->t[k] = CtpgForwardGetStep(forward, k).t;
    mesh->h[k] = CtpgForwardGetStep(forward, k).h;
  }
  PetscCall(CtpgForwardDestroy(&forward));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

typedef struct {
  CtpgClosedLoop loop;
  CtpgRKSolver solver;
  PetscInt extra;
  Mesh mesh;
} Riders;

// x' = f with `extra` components of another size that nobody controls.
static CtpgStatus RidersRHS(void *context, PetscInt i, PetscReal t, const PetscReal *y, PetscReal *ydot) {
  Riders *r = context;
  PetscReal w;
  (void)i;
  for (PetscInt k = 0; k < r->extra; k++) ydot[PLANT_NX + k] = 1e6 * cos((k + 20) * t) * y[0];
  return CtpgClosedLoopEval(r->loop, 1, &t, y, ydot, &w);
}

static void RidersAccept(void *context, const PetscReal *y) {
  Riders *r = context;
  const PetscInt k = PetscMin(r->mesh.n, MAX_MESH - 1);
  (void)y;
  CtpgRKSolverGetStep(r->solver, &r->mesh.t[k], &r->mesh.h[k]);
  r->mesh.n++;
}

static PetscErrorCode MeshWithRiders(const char *table, PetscInt extra, Mesh *mesh) {
  Riders r = {.extra = extra};
  PetscReal *y;
  CtpgRKOptions rk;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(SettingCreateLoop(&s, &r.loop));
  PetscCall(RKOptionsOf(table, PETSC_FALSE, &rk));
  const CtpgRKCallbacks callbacks = {.context = &r, .rhs = RidersRHS, .accept = RidersAccept};
  PetscCall(CtpgRKSolverCreate(r.loop, &rk, NULL, extra, PLANT_NX, &callbacks, &r.solver));
  PetscCall(CtpgRKSolverGetState(r.solver, &y));
  PetscCall(PetscArrayzero(y, PLANT_NX + extra));
  PetscCall(PetscArraycpy(y, s.c.x0, PLANT_NX));
  PetscCall(CtpgRKSolverRestoreState(r.solver, &y));
  PetscCall(CtpgRKSolverSolve(r.solver, CTPG_FORWARD, 0, s.c.T, 1e-5, 0));
  *mesh = r.mesh;
  PetscCall(CtpgRKSolverDestroy(&r.solver));
  PetscCall(CtpgClosedLoopDestroy(&r.loop));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestForwardSeminorm(const char *table) {
  PROPERTY("neither cost nor riders move the forward mesh of table %s", table);
  const Plant dear = {.cost = 1e6, .terminal = 1, .f_ends = 1e9, .product_begins = -1e9};
  Mesh mesh, other;

  PetscFunctionBeginUser;
  PetscCall(ForwardMesh(&PLANT, table, &mesh));
  PetscCall(ForwardMesh(&dear, table, &other));
  CheckSameMesh("running cost times 1e6", &mesh, &other);
  PetscCall(MeshWithRiders(table, 0, &other));
  CheckSameMesh("state alone", &mesh, &other);
  PetscCall(MeshWithRiders(table, 200, &other));
  CheckSameMesh("200 riders", &mesh, &other);
  PetscFunctionReturn(0);
}

// The setting with `more` hidden units that have weights on their way in, none on their way out: the same controls, but
// more parameters with a gradient.
static PetscErrorCode PadPolicy(const Setting *s, PetscInt more, Setting *padded) {
  const PetscInt wide = PLANT_HIDDEN + more, layers[] = {PLANT_NO, wide, PLANT_NU};
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_LINEAR};
  const PetscReal *from = s->c.theta;
  PetscReal *theta;

  PetscFunctionBeginUser;
  *padded = *s;
  PetscCall(PolicyCreate(2, layers, activations, &padded->problem.policy));
  PetscCall(PetscMalloc3(MAX_STARTS * PLANT_NX, &padded->c.x0, 0, &padded->c.task,
                         PolicyGetSize(padded->problem.policy), &theta));
  PetscCall(PetscArraycpy(padded->c.x0, s->c.x0, MAX_STARTS * PLANT_NX));
  padded->c.theta = theta;
  for (PetscInt i = 0; i < wide * PLANT_NO; i++) *theta++ = i < PLANT_HIDDEN * PLANT_NO ? *from++ : 0.5 * sin(i);
  for (PetscInt i = 0; i < wide; i++) *theta++ = i < PLANT_HIDDEN ? *from++ : 3 * cos(i);
  for (PetscInt k = 0; k < PLANT_NU; k++)
    for (PetscInt j = 0; j < wide; j++) *theta++ = j < PLANT_HIDDEN ? *from++ : 0;
  for (PetscInt k = 0; k < PLANT_NU; k++) *theta++ = *from++;
  PetscFunctionReturn(0);
}

// With weights alpha alone makes the backward mesh; that the augmented one does look at g shows that the test can tell.
static PetscErrorCode TestAdjointSeminorm(const char *table) {
  PROPERTY("with a seminorm the parameters do not move the backward mesh of table %s", table);
  Gradient narrow, wide;
  Setting s, padded;
  char options[128];

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(PadPolicy(&s, 100, &padded));
  for (int augmented = 0; augmented < 2; augmented++) {
    PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -spline hermite3 -quadrature %s", table,
                            augmented ? "augmented" : "weights"));
    PetscCall(RunEstimator(&s, "ctpg", options, 1, 1e-5, &narrow));
    PetscCall(RunEstimator(&padded, "ctpg", options, 1, 1e-5, &wide));
    CheckNear(options, "loss", 1, wide.loss, narrow.loss, 1e-13);
    if (augmented)
      CHECK(Distance(PLANT_NX, wide.gx0, narrow.gx0) > 1e-9, "%s: g is not in the error norm", options);
    else {
      CheckNear(options, "dL/dx0", PLANT_NX, wide.gx0, narrow.gx0, 1e-12);
      CHECK(wide.totals.nvjp == narrow.totals.nvjp && wide.result.steps_adjoint == narrow.result.steps_adjoint,
            "%s: %lld and %lld vjp", options, (long long)wide.totals.nvjp, (long long)narrow.totals.nvjp);
    }
  }
  PetscCall(SettingDestroy(&padded));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- quadrature beside the state ----

// alpha and g in the state of one TS, all in the norm: what `augmented` does without g in the state.
typedef struct {
  CtpgClosedLoop loop;
  CtpgLoopSizes sizes;
  CtpgSpline spline;
  PetscReal x[MAX_NX];
} InState;

static CtpgStatus InStateRHS(void *context, PetscInt i, PetscReal s, const PetscReal *y, PetscReal *ydot) {
  InState *e = context;
  const PetscReal one = 1, t = CtpgSplineEval(&e->spline, e->sizes.T - s, e->x);
  (void)i;
  memset(ydot, 0, (size_t)(e->sizes.nx + e->sizes.np) * sizeof *ydot);
  return CtpgClosedLoopVJP(e->loop, 1, &t, e->x, y, &one, ydot, ydot + e->sizes.nx);
}

static PetscErrorCode SolveInState(const Setting *s, const char *table, PetscReal rtol, Gradient *g) {
  InState e;
  CtpgRKOptions rk;
  CtpgRKSolver solver;
  CtpgForwardSolve forward;
  PetscReal *y, terminal;
  const CtpgSplineKind kind = CTPG_SPLINE_HERMITE3;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(g, sizeof *g));
  g->result = (CtpgResult){.loss = g->loss};
  PetscCall(SettingCreateLoop(s, &e.loop));
  CtpgClosedLoopGetSizes(e.loop, &e.sizes);
  g->nx = e.sizes.nx;
  g->np = e.sizes.np;
  PetscCall(RKOptionsOf(table, PETSC_FALSE, &rk));
  const CtpgRKCallbacks callbacks = {.context = &e, .rhs = InStateRHS};
  PetscCall(CtpgForwardCreate(e.loop, &rk, NULL, CtpgSplineKeeps(kind), &forward));
  PetscCall(CtpgRKSolverCreate(e.loop, &rk, NULL, g->np, g->nx + g->np, &callbacks, &solver));
  PetscCall(CtpgForwardRun(forward, s->c.x0, rtol, &g->result));
  CtpgSplineOpen(&e.spline, kind, forward, g->nx);
  PetscCall(CtpgRKSolverGetState(solver, &y));
  CtpgClosedLoopTerminal(e.loop, CtpgForwardGetEnd(forward), &terminal, y);
  PetscCall(PetscArrayzero(y + g->nx, g->np));
  PetscCall(CtpgRKSolverRestoreState(solver, &y));
  PetscCall(CtpgRKSolverSolve(solver, CTPG_ADJOINT, 0, e.sizes.T, rtol,
                              CtpgRKSolverGetNextStep(CtpgForwardGetSolver(forward))));
  PetscCall(CtpgRKSolverGetState(solver, &y));
  PetscCall(PetscArraycpy(g->gx0, y, g->nx));
  PetscCall(PetscArraycpy(g->gtheta, y + g->nx, g->np));
  PetscCall(CtpgRKSolverRestoreState(solver, &y));
  CtpgRKSolverGetCounts(solver, &g->result.steps_adjoint, &g->result.rejected_adjoint);
  g->status = CtpgClosedLoopGetStatus(e.loop);
  PetscCall(CtpgRKSolverDestroy(&solver));
  PetscCall(CtpgForwardDestroy(&forward));
  PetscCall(CtpgClosedLoopDestroy(&e.loop));
  PetscFunctionReturn(0);
}

// The same decisions and the same gradient, but for rounding, which a long solve over a spline's kinks amplifies.
static PetscErrorCode TestBeside(const Setting *s, const char *table) {
  PROPERTY("quadratures beside the adjoint take its steps: table %s", table);
  Gradient beside, in_state;
  char options[128];
  CtpgRKOptions rk;

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(table, PETSC_FALSE, &rk));
  if (rk.fixed || rk.table.bsecond) PetscFunctionReturn(0);
  PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -spline hermite3", table));
  for (PetscReal rtol = 1e-2; rtol > 5e-5; rtol /= 10) {
    PetscCall(RunEstimator(s, "ctpg", options, 1, rtol, &beside));
    PetscCall(SolveInState(s, table, rtol, &in_state));
    CheckSameGradient(options, &beside, &in_state, fmax(1e-10, 1e-15 * PetscSqr(LargestRow(&rk.table))));
    CHECK(beside.result.steps_adjoint == in_state.result.steps_adjoint &&
              beside.result.rejected_adjoint == in_state.result.rejected_adjoint,
          "%s at %g: %lld + %lld steps, in the state %lld + %lld", options, rtol,
          (long long)beside.result.steps_adjoint, (long long)beside.result.rejected_adjoint,
          (long long)in_state.result.steps_adjoint, (long long)in_state.result.rejected_adjoint);
  }
  PetscFunctionReturn(0);
}

// ---- options ----

// Everybody's options lead to the same gradient as the tolerance goes down.
static PetscErrorCode TestOptions(void) {
  PROPERTY("the options of every estimator lead to one gradient as the tolerance goes down");
  static const char *const variants[][2] = {
      {"ctpg", "-quadrature gauss"},
      {"ctpg", "-quadrature gauss -rk 5dp"},
      {"ctpg", "-quadrature gauss -rk 5bs -spline hermite3"},
      {"ctpg", "-rk dop853"},
      {"ctpg", "-rk dop853 -quadrature weights -adjoint_rtol_factor 0.1"},
      {"ctpg", "-scale_atol"},
      {"ctpg", "-forward_rtol_factor 0.1 -adjoint_rtol_factor 3 -quadrature_rtol_factor 10"},
      {"neural-ode", "-seminorm"},
      {"neural-ode", "-rk dop853"},
      {"neural-ode-ckpt", "-seminorm -checkpoints 5"},
      {"rk-adjoint", "-rk dop853 -error_norm adjoint"},
      {"rk-adjoint", "-rk 8ve -storage checkpoints -checkpoints 4"},
      {"rk-adjoint", "-rk 6ve -error_norm adjoint -storage states"},
      {"rk-adjoint", "-controller h211b -safety 0.8"},
      {"ctpg", "-controller pi42 -scale_atol -adjoint_atol_factor 0.1"}};
  Gradient witness, g;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(RunEstimator(&s, "rk-adjoint", "-rk 8vr", 1, 1e-13, &witness));
  for (size_t k = 0; k < sizeof variants / sizeof *variants; k++) {
    const char *const *v = variants[k];
    PetscReal loose, tight;
    PetscCall(RunEstimator(&s, v[0], v[1], 1, 1e-5, &g));
    loose = Distance(g.np, g.gtheta, witness.gtheta);
    PetscCall(RunEstimator(&s, v[0], v[1], 1, 1e-11, &g));
    tight = Distance(g.np, g.gtheta, witness.gtheta);
    CHECK(loose < 1e-2 && tight < 2e-8 && tight < 1e-3 * loose, "%s %s: %.1e at 1e-5, %.1e at 1e-11", v[0], v[1], loose,
          tight);
  }
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- terminal cost ----

typedef struct {
  Setting s;
  CtpgClosedLoop loop;
  CtpgForwardSolve forward;
} Losses;

// Loss by fixed steps of order 8, whose error is below rounding: smooth in x0 and theta.
static PetscReal Loss(Losses *l) {
  PetscReal loss = NAN;
  CtpgResult result = {.loss = &loss};
  CtpgClosedLoopSetCase(l->loop, l->s.c.theta, 1, l->s.c.task, l->s.c.T);
  PetscCallAbort(PETSC_COMM_SELF, CtpgForwardRun(l->forward, l->s.c.x0, 0.02, &result));
  return loss;
}

// (4 D(h/2) - D(h)) / 3 with central differences D.
static PetscReal Richardson(Losses *l, PetscReal *component) {
  const PetscReal at = *component;
  PetscReal D[2], h = 2e-3;
  for (int k = 0; k < 2; k++, h /= 2) {
    *component = at + h;
    const PetscReal above = Loss(l);
    *component = at - h;
    D[k] = (above - Loss(l)) / (2 * h);
  }
  *component = at;
  return (4 * D[1] - D[0]) / 3;
}

static PetscErrorCode DifferencedGradient(const Plant *plant, PetscReal T, Gradient *g) {
  Losses l;
  CtpgRKOptions rk;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(plant, T, &l.s));
  PetscCall(SettingCreateLoop(&l.s, &l.loop));
  PetscCall(RKOptionsOf("8vr", PETSC_TRUE, &rk));
  PetscCall(CtpgForwardCreate(l.loop, &rk, NULL, CTPG_KEEP_NOTHING, &l.forward));
  *g = (Gradient){.nx = PLANT_NX, .np = PolicyGetSize(l.s.problem.policy)};
  g->loss[0] = Loss(&l);
  for (PetscInt k = 0; k < g->nx; k++) g->gx0[k] = Richardson(&l, &l.s.c.x0[k]);
  for (PetscInt k = 0; k < g->np; k++) g->gtheta[k] = Richardson(&l, &l.s.c.theta[k]);
  PetscCall(CtpgForwardDestroy(&l.forward));
  PetscCall(CtpgClosedLoopDestroy(&l.loop));
  PetscCall(SettingDestroy(&l.s));
  PetscFunctionReturn(0);
}

// Euler is of first order: its error halves with dt, towards the differences.
static PetscErrorCode TestEulerTerminal(const Setting *s, const Gradient *differences) {
  Gradient coarse, fine;

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "euler-bptt", "", 1, 2e-3, &coarse));
  PetscCall(RunEstimator(s, "euler-bptt", "", 1, 1e-3, &fine));
  CheckSameGradient("euler-bptt", &fine, differences, 1e-2);
  const PetscReal ratio_x0 =
      Distance(PLANT_NX, coarse.gx0, differences->gx0) / Distance(PLANT_NX, fine.gx0, differences->gx0);
  const PetscReal ratio_theta =
      Distance(fine.np, coarse.gtheta, differences->gtheta) / Distance(fine.np, fine.gtheta, differences->gtheta);
  CHECK_CLOSE(ratio_x0, 2, 0.02, 1);
  CHECK_CLOSE(ratio_theta, 2, 0.02, 1);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestTerminal(void) {
  PROPERTY("the terminal cost is in loss and gradient of every estimator");
  const Plant without = {.cost = 1, .terminal = 0, .f_ends = 1e9, .product_begins = -1e9};
  Gradient differences, no_terminal, witness, g;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(DifferencedGradient(&PLANT, 3, &differences));
  PetscCall(DifferencedGradient(&without, 3, &no_terminal));
  CHECK(Distance(differences.np, no_terminal.gtheta, differences.gtheta) > 0.1, "the terminal cost must weigh");
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(RunEstimator(&s, "rk-adjoint", "-rk 8vr", 1, 1e-12, &witness));
  CheckSameGradient("rk-adjoint 8vr", &witness, &differences, 1e-10);
  for (int e = 1; e < NUM_ESTIMATORS; e++) {
    PetscCall(RunEstimator(&s, ESTIMATORS[e], "", 1, 1e-11, &g));
    CheckSameGradient(ESTIMATORS[e], &g, &witness, 1e-9);
  }
  PetscCall(RunEstimator(&s, "ctpg", "-quadrature weights", 1, 1e-11, &g));
  CheckSameGradient("ctpg, weights", &g, &witness, 1e-9);
  PetscCall(TestEulerTerminal(&s, &differences));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- batch ----

// The setting with start b in the first place.
static Setting StartFrom(const Setting *s, PetscInt b) {
  Setting one = *s;
  one.c.x0 += b * PLANT_NX;
  return one;
}

static PetscErrorCode TestBatch(const char *type, const char *options) {
  PROPERTY("a batch is the mean of its starts alone: %s %s", type, options);
  const PetscReal accuracy = strcmp(type, "euler-bptt") ? 1e-5 : 0.01;
  Gradient together, alone;
  PetscReal mean[MAX_NP] = {0};
  int64_t nf = 0, nvjp = 0, steps = 0, steps_adjoint = 0;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(RunEstimator(&s, type, options, MAX_STARTS, accuracy, &together));
  for (PetscInt b = 0; b < MAX_STARTS; b++) {
    const Setting one = StartFrom(&s, b);
    PetscCall(RunEstimator(&one, type, options, 1, accuracy, &alone));
    CHECK(alone.loss[0] == together.loss[b], "%s: loss of start %d", type, (int)b);
    CHECK(!memcmp(alone.gx0, together.gx0 + b * PLANT_NX, PLANT_NX * sizeof *alone.gx0), "%s: dL/dx0 of start %d", type,
          (int)b);
    for (PetscInt k = 0; k < alone.np; k++) mean[k] += alone.gtheta[k] / MAX_STARTS;
    nf += alone.totals.nf;
    nvjp += alone.totals.nvjp;
    steps += alone.result.steps;
    steps_adjoint += alone.result.steps_adjoint;
  }
  CheckNear(type, "mean of dL/dtheta", alone.np, together.gtheta, mean, 1e-14);
  CHECK(together.totals.nf == nf && together.totals.nvjp == nvjp, "%s: counts must add up", type);
  CHECK(together.result.steps == steps && together.result.steps_adjoint == steps_adjoint, "%s: steps must add up",
        type);
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- failure ----

static PetscErrorCode TestFailure(const char *type, const char *options, PetscReal accuracy) {
  PROPERTY("a plant that fails gives a status and no PETSc error: %s %s", type, options);
  const Plant ends = {.cost = 1, .terminal = 1, .f_ends = 1.5, .product_begins = -1e9};
  const Plant begins = {.cost = 1, .terminal = 1, .f_ends = 1e9, .product_begins = 1.5};
  const Plant *const plants[] = {&ends, &begins};
  Gradient g;
  Setting s;

  PetscFunctionBeginUser;
  for (int k = 0; k < 2; k++) {
    PetscCall(SettingOfPlant(plants[k], 3, &s));
    const PetscErrorCode error = RunEstimator(&s, type, options, 2, accuracy, &g);
    CHECK(!error && g.status == CTPG_DIVERGED, "%s %s: error %d, %s", type, options, (int)error,
          CtpgStatusName(g.status));
    PetscCall(SettingDestroy(&s));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestStepLimit(const char *type) {
  PROPERTY("-step_limit ends a run of %s with its status", type);
  Gradient g;
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(RunEstimator(&s, type, "-step_limit 7", 1, 1e-9, &g));
  CHECK(g.status == CTPG_STEP_LIMIT, "%s: %s", type, CtpgStatusName(g.status));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- all ----

static PetscErrorCode TestOnProblems(void) {
  Setting s;

  PetscFunctionBeginUser;
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  PetscCall(TestBPTT("plant", &s, 0.003));
  PetscCall(TestAllTables("plant", &s));
  for (const char *const *name = CtpgRKTableNames(); *name; name++) PetscCall(TestBeside(&s, *name));
  PetscCall(SettingDestroy(&s));
  PetscCall(SettingOf("lqr", "-policy linear", 3, &s));
  PetscCall(TestBPTT("lqr", &s, 0.01));
  PetscCall(TestBPTT("lqr", &s, 0.013));
  PetscCall(TestAllTables("lqr", &s));
  PetscCall(SettingDestroy(&s));
  PetscCall(SettingOf("diffdrive", "-horizon 2", 3, &s));
  PetscCall(TestBPTT("diffdrive", &s, 0.01));
  PetscCall(TestAllTables("diffdrive", &s));
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestOnEstimators(void) {
  PetscFunctionBeginUser;
  for (int e = 0; e < NUM_ESTIMATORS; e++) {
    PetscCall(TestBatch(ESTIMATORS[e], ""));
    PetscCall(TestFailure(ESTIMATORS[e], "", e ? 1e-5 : 0.01));
    if (e) {
      PetscCall(TestFailure(ESTIMATORS[e], "-steps fixed", 0.01));
      PetscCall(TestStepLimit(ESTIMATORS[e]));
    }
  }
  PetscCall(TestBatch("ctpg", "-quadrature weights"));
  PetscCall(TestFailure("ctpg", "-quadrature weights", 1e-5));
  PetscCall(TestFailure("ctpg", "-spline hermite3 -rk 5bs", 1e-5));
  PetscCall(TestFailure("ctpg", "-quadrature gauss", 1e-5));
  PetscCall(TestFailure("ctpg", "-rk dop853", 1e-5));
  PetscCall(TestFailure("rk-adjoint", "-storage states", 1e-5));
  PetscCall(TestFailure("rk-adjoint", "-storage checkpoints -checkpoints 3 -error_norm adjoint", 1e-5));
  PetscCall(TestBatch("rk-adjoint", "-storage checkpoints -checkpoints 3 -error_norm adjoint"));
  PetscCall(TestBatch("ctpg", "-quadrature gauss"));
  PetscCall(TestBatch("tsadjoint", "-ts_type cn -steps adaptive"));
  PetscCall(TestFailure("tsadjoint", "-ts_type cn -steps adaptive", 1e-3));
  PetscCall(TestFailure("tsadjoint", "-ts_type theta -steps fixed", 0.01));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(TestOnProblems());
  PetscCall(TestForwardSeminorm("tsit5"));
  PetscCall(TestForwardSeminorm("5bs"));
  PetscCall(TestForwardSeminorm("8vr"));
  PetscCall(TestAdjointSeminorm("tsit5"));
  PetscCall(TestAdjointSeminorm("5bs"));
  PetscCall(TestOptions());
  PetscCall(TestTerminal());
  PetscCall(TestOnEstimators());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
