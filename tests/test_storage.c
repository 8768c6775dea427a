// test_storage.c -- what rk-adjoint, neural-ode-ckpt and tsadjoint keep between their solves
//
//   optimum    cost and split of checkpoints.h against dynamic programming
//   bits       states and checkpoints give the gradient of stored stages, to the bit, for every table
//   counts     steps made again: the optimum's where N is known, near it where it is not; stages made again
//   memory     bytes grow with K, not with N
//   stride     tsadjoint's intervals give the gradient of the whole trajectory, to the bit; their steps are made again
//              once; the heap, seen from the plant, does not grow with N
//   loops      the loop of our own has the bits of TSRK, for every table, controller and kind of estimator
//   thinning   neural-ode-ckpt with one checkpoint is neural-ode, with enough of them it is the default

#include "plant.h"
#include <malloc.h>

// ---- optimum ----

enum { MAX_L = 120, MAX_C = 8 };

static void TestOptimum(void) {
  PROPERTY("the checkpoint schedule is the optimum of the recursion");
  static double best[MAX_L + 1][MAX_C + 1];
  for (int c = 1; c <= MAX_C; c++)
    for (int L = 1; L <= MAX_L; L++) {
      best[L][c] = c == 1 ? 0.5 * L * (L - 1) : L == 1 ? 0 : INFINITY;
      for (int m = 1; c > 1 && m < L; m++) best[L][c] = fmin(best[L][c], m + best[L - m][c - 1] + best[m][c]);
      CHECK(CtpgCheckpointCost(L, c) == best[L][c], "cost(%d, %d) = %g, not %g", L, c, CtpgCheckpointCost(L, c),
            best[L][c]);
      if (L == 1 || c == 1) continue;
      const PetscInt m = CtpgCheckpointSplit(L, c);
      CHECK(m >= 1 && m < L && m + best[L - m][c - 1] + best[m][c] == best[L][c], "split(%d, %d) = %d", L, c, (int)m);
    }
  CHECK(CtpgCheckpointCost(1000000, 20) < 7e6, "a million steps by 20 checkpoints: %g",
        CtpgCheckpointCost(1000000, 20));
}

// ---- bits and counts ----

static PetscInt CountEvaluations(const CtpgRKTable *table, PetscBool of_stages) {
  PetscInt n = 0;
  for (PetscInt i = 0; i < table->s; i++) {
    PetscBool feeds = PETSC_FALSE;
    for (PetscInt j = i + 1; j < table->s; j++)
      if (table->stage_row[j] >= 0 && table->A[j * table->s + i] != 0) feeds = PETSC_TRUE;
    n += of_stages ? feeds : table->reversed[i];
  }
  return n;
}

static void CheckSameBits(const char *who, const Gradient *a, const Gradient *b) {
  CHECK(a->status == CTPG_OK && b->status == CTPG_OK, "%s: %s", who, CtpgStatusName(a->status));
  CHECK(a->loss[0] == b->loss[0] && !memcmp(a->gx0, b->gx0, sizeof a->gx0), "%s: other loss or dL/dx0", who);
  CHECK(!memcmp(a->gtheta, b->gtheta, sizeof a->gtheta), "%s: dL/dtheta off by %.1e", who,
        Distance(a->np, a->gtheta, b->gtheta));
  CHECK(a->totals.nvjp - a->recomputed.nvjp == b->totals.nvjp - b->recomputed.nvjp, "%s: other products", who);
  CHECK(a->result.steps == b->result.steps, "%s: other steps", who);
}

// (steps made again) / (the optimum's), for N steps by K checkpoints: the forward solve is the first sweep, the last
// step's stages are at hand.
static double Repeated(const Gradient *g, const Gradient *stages, const CtpgRKTable *table, PetscInt K) {
  const double N = (double)stages->result.steps, again = (double)(g->totals.nf - stages->totals.nf);
  const double steps =
      (again - (N - 1) * (double)CountEvaluations(table, PETSC_TRUE)) / (double)CountEvaluations(table, PETSC_FALSE);
  const double optimum = CtpgCheckpointCost(stages->result.steps, PetscMin(K, stages->result.steps)) - (N - 1);
  return (steps + N) / (optimum + N);
}

static PetscErrorCode TestTable(const Setting *s, const char *problem, const char *name, PetscBool fixed) {
  PROPERTY("%s: states and checkpoints give the bits of stored stages: table %s, %s steps", problem, name,
           fixed ? "fixed" : "adaptive");
  static const PetscInt K[] = {1, 2, 5, 12, 500};
  const PetscReal accuracy = fixed ? s->c.T / 75 : 1e-6;
  Gradient stages, g;
  char options[128], who[192];
  CtpgRKOptions rk;

  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, fixed, &rk));
  if (!fixed && rk.fixed) PetscFunctionReturn(0);
  PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps %s", name, fixed ? "fixed" : "adaptive"));
  PetscCall(RunEstimator(s, "rk-adjoint", options, 1, accuracy, &stages));
  const PetscInt N = (PetscInt)stages.result.steps;
  PetscCall(
      PetscSNPrintf(options, sizeof options, "-rk %s -steps %s -storage states", name, fixed ? "fixed" : "adaptive"));
  PetscCall(PetscSNPrintf(who, sizeof who, "%s %s", problem, options));
  PetscCall(RunEstimator(s, "rk-adjoint", options, 1, accuracy, &g));
  CheckSameBits(who, &g, &stages);
  CHECK(g.totals.nf == stages.totals.nf + N * CountEvaluations(&rk.table, PETSC_TRUE), "%s: %lld f", who,
        (long long)g.totals.nf);
  for (size_t k = 0; k < sizeof K / sizeof *K; k++) {
    PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps %s -storage checkpoints -checkpoints %d", name,
                            fixed ? "fixed" : "adaptive", (int)K[k]));
    PetscCall(PetscSNPrintf(who, sizeof who, "%s %s, %d steps", problem, options, (int)N));
    PetscCall(RunEstimator(s, "rk-adjoint", options, 1, accuracy, &g));
    CheckSameBits(who, &g, &stages);
    const double ratio = Repeated(&g, &stages, &rk.table, K[k]);
    CHECK(fixed || K[k] == 1 ? ratio == 1 : ratio >= 1 && ratio < 1.3, "%s: %g times the optimum", who, ratio);
    const size_t step = (size_t)((rk.table.nkept + 1) * g.nx + 3), lengths = fixed ? 0 : (size_t)N;
    const size_t bound = (size_t)K[k] * (size_t)(g.nx + 3) + step + (size_t)(rk.table.nkept * g.nx) + lengths;
    CHECK(g.result.bytes <= bound * sizeof(PetscReal), "%s: %zu bytes", who, g.result.bytes);
  }
  PetscFunctionReturn(0);
}

// The outputs of the policy's layers, kept or not: the same gradient; of the policy of `s` kept_size a stage.
static PetscErrorCode TestKeptOutputs(const Setting *s, const char *common, PetscReal accuracy, PetscInt stages,
                                      PetscInt kept_size) {
  PROPERTY("outputs kept at the stages change memory alone: %s", common);
  const char *const estimator = strstr(common, "-rk") ? "rk-adjoint" : "euler-bptt";
  Gradient kept, without;
  char options[128];

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, estimator, common, 1, accuracy, &kept));
  PetscCall(PetscSNPrintf(options, sizeof options, "%s -keep_outputs 0", common));
  PetscCall(RunEstimator(s, estimator, options, 1, accuracy, &without));
  CheckSameBits(options, &without, &kept);
  CHECK(kept.totals.nf == without.totals.nf, "%s: other evaluations", common);
  // The record ends with a row for the step that was attempted last.
  const size_t per_step = (size_t)(stages * kept_size) * sizeof(PetscReal), steps = (size_t)kept.result.steps;
  CHECK(kept.result.bytes - without.result.bytes >= steps * per_step &&
            kept.result.bytes - without.result.bytes <= (steps + 1) * per_step,
        "%s: %zu and %zu bytes in %zu steps", common, kept.result.bytes, without.result.bytes, steps);
  PetscFunctionReturn(0);
}

// A thousand and ten thousand steps: the optimum, and the memory of a hundred.
static PetscErrorCode TestManySteps(const Setting *s) {
  PROPERTY("ten thousand steps take the checkpoints of a hundred");
  Gradient g, few;
  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "rk-adjoint", "-rk 4 -storage checkpoints -checkpoints 8", 1, s->c.T / 100, &few));
  for (PetscInt N = 1000; N <= 4000; N *= 4) {
    PetscCall(RunEstimator(s, "rk-adjoint", "-rk 4 -storage checkpoints -checkpoints 8", 1, s->c.T / N, &g));
    const double steps = CtpgCheckpointCost(N, 8) - (N - 1);
    CHECK(g.result.steps == N && g.totals.nf == (int64_t)(4 * (N + steps) + 3 * (N - 1)), "%d steps: %lld f", (int)N,
          (long long)g.totals.nf);
    CHECK(g.result.bytes == few.result.bytes, "%d steps: %zu bytes, not %zu", (int)N, g.result.bytes, few.result.bytes);
  }
  PetscFunctionReturn(0);
}

// ---- the loop of our own and TSRK ----

// Loss, gradient, counts, steps and rejections; of a solve that fails its status and counts.
static PetscErrorCode TestLoop(const Setting *s, const char *estimator, const char *common, PetscReal accuracy) {
  Gradient own, ts;
  char options[160];

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(options, sizeof options, "%s -rk_loop own", common));
  PetscCall(RunEstimator(s, estimator, options, 1, accuracy, &own));
  PetscCall(PetscSNPrintf(options, sizeof options, "%s -rk_loop ts", common));
  PetscCall(RunEstimator(s, estimator, options, 1, accuracy, &ts));
  CHECK(own.status == ts.status, "%s %s: %s and %s", estimator, common, CtpgStatusName(own.status),
        CtpgStatusName(ts.status));
  CHECK(!memcmp(&own.totals, &ts.totals, sizeof own.totals), "%s %s: other counts, %lld and %lld f", estimator, common,
        (long long)own.totals.nf, (long long)ts.totals.nf);
  CHECK(own.result.steps == ts.result.steps && own.result.rejected == ts.result.rejected &&
            own.result.steps_adjoint == ts.result.steps_adjoint &&
            own.result.rejected_adjoint == ts.result.rejected_adjoint && own.result.bytes == ts.result.bytes,
        "%s %s: other steps", estimator, common);
  if (own.status != CTPG_OK) PetscFunctionReturn(0);
  CHECK(own.loss[0] == ts.loss[0] && !memcmp(own.gx0, ts.gx0, sizeof own.gx0), "%s %s: loss, dL/dx0", estimator,
        common);
  CHECK(!memcmp(own.gtheta, ts.gtheta, sizeof own.gtheta) && own.gtheta[0] != 0, "%s %s: dL/dtheta", estimator, common);
  PetscFunctionReturn(0);
}

static PetscErrorCode TestLoops(const Setting *s, const char *problem) {
  PROPERTY("%s: the loop of our own has the bits of TSRK", problem);
  static const char *const others[][2] = {{"rk-adjoint", "-controller pi42"},
                                          {"rk-adjoint", "-controller h211b -safety 0.7"},
                                          {"rk-adjoint", "-safety 0.5 -rk dop853"},
                                          {"rk-adjoint", "-error_norm adjoint"},
                                          {"rk-adjoint", "-respect_breaks -rk 5dp"},
                                          {"rk-adjoint", "-respect_breaks -storage checkpoints -checkpoints 3"},
                                          {"rk-adjoint", "-step_limit 4"},
                                          {"ctpg", ""},
                                          {"ctpg", "-quadrature weights -scale_atol"},
                                          {"ctpg", "-quadrature gauss -rk 5dp -respect_breaks"},
                                          {"ctpg", "-rk dop853"},
                                          {"neural-ode", "-seminorm"},
                                          {"neural-ode-ckpt", ""},
                                          {"forward", "-rk 3bs"}};
  char options[64];

  PetscFunctionBeginUser;
  for (const char *const *name = CtpgRKTableNames(); *name; name++)
    for (int fixed = 0; fixed < 2; fixed++) {
      CtpgRKOptions rk;
      PetscCall(RKOptionsOf(*name, fixed ? PETSC_TRUE : PETSC_FALSE, &rk));
      if (!fixed && rk.fixed) continue;
      PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps %s", *name, fixed ? "fixed" : "adaptive"));
      PetscCall(TestLoop(s, "rk-adjoint", options, fixed ? s->c.T / 41 : 1e-5));
    }
  for (size_t k = 0; k < sizeof others / sizeof *others; k++)
    for (PetscReal rtol = 1e-2; rtol > 1e-8; rtol *= 1e-3) PetscCall(TestLoop(s, others[k][0], others[k][1], rtol));
  PetscFunctionReturn(0);
}

// ---- pieces between breaks ----

// The trajectory of each piece is its own.
static PetscErrorCode TestTrajectoriesOfPieces(const Setting *s, const char *common, PetscReal accuracy) {
  PROPERTY("tsadjoint between breaks gives the gradient of rk-adjoint, and with a stride the same bits: %s", common);
  Gradient stages, all, g;
  char options[160];

  PetscFunctionBeginUser;
  PetscCall(PetscSNPrintf(options, sizeof options, "%s -rk 5dp", common));
  PetscCall(RunEstimator(s, "rk-adjoint", options, 1, accuracy, &stages));
  PetscCall(RunEstimator(s, "tsadjoint", options, 1, accuracy, &all));
  CheckSameGradient(options, &all, &stages, 1e-11);
  CHECK(all.result.steps == stages.result.steps && all.totals.nf == stages.totals.nf &&
            all.totals.nvjp == stages.totals.nvjp,
        "%s: %lld f and %lld vjp, rk-adjoint has %lld and %lld", options, (long long)all.totals.nf,
        (long long)all.totals.nvjp, (long long)stages.totals.nf, (long long)stages.totals.nvjp);
  for (int K = 1; K <= 9; K += 4) {
    PetscCall(PetscSNPrintf(options, sizeof options, "%s -rk 5dp -stride %d", common, K));
    PetscCall(RunEstimator(s, "tsadjoint", options, 1, accuracy, &g));
    CheckSameBits(options, &g, &all);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestBreaks(void) {
  PROPERTY("checkpoints between breaks give the bits of stored stages");
  static const char *const common[] = {"-respect_breaks", "-respect_breaks -steps fixed"};
  Gradient stages, g;
  Setting s;
  char options[160];

  PetscFunctionBeginUser;
  PetscCall(SettingOf("electric", "", 2, &s));
  for (int fixed = 0; fixed < 2; fixed++) {
    const PetscReal accuracy = fixed ? s.c.T / 77 : 1e-4;
    PetscCall(RunEstimator(&s, "rk-adjoint", common[fixed], 1, accuracy, &stages));
    for (int K = 1; K <= 9; K += 4) {
      PetscCall(PetscSNPrintf(options, sizeof options, "%s -storage checkpoints -checkpoints %d", common[fixed], K));
      PetscCall(RunEstimator(&s, "rk-adjoint", options, 1, accuracy, &g));
      CheckSameBits(options, &g, &stages);
    }
    PetscCall(PetscSNPrintf(options, sizeof options, "%s -storage states", common[fixed]));
    PetscCall(RunEstimator(&s, "rk-adjoint", options, 1, accuracy, &g));
    CheckSameBits(options, &g, &stages);
    PetscCall(TestTrajectoriesOfPieces(&s, common[fixed], accuracy));
  }
  PetscCall(SettingDestroy(&s));
  PetscFunctionReturn(0);
}

// ---- neural-ode-ckpt ----

static PetscErrorCode TestThinning(const Setting *s) {
  PROPERTY("neural-ode-ckpt keeps at most K states");
  Gradient all, none, g;
  char options[64];

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "neural-ode-ckpt", "", 1, 1e-6, &all));
  PetscCall(RunEstimator(s, "neural-ode", "", 1, 1e-6, &none));
  const size_t row = (size_t)(s->problem.dims.nx + 3) * sizeof(PetscReal);
  CHECK(all.result.bytes == (size_t)all.result.steps * row, "%zu bytes", all.result.bytes);
  for (PetscInt K = 1; K <= 2 * all.result.steps; K = 2 * K + 1) {
    PetscCall(PetscSNPrintf(options, sizeof options, "-checkpoints %d", (int)K));
    PetscCall(RunEstimator(s, "neural-ode-ckpt", options, 1, 1e-6, &g));
    CHECK(g.result.bytes <= (size_t)K * row &&
              2 * g.result.bytes >= PetscMin((size_t)K, (size_t)all.result.steps) * row,
          "%s: %zu bytes", options, g.result.bytes);
    if (K == 1) CheckSameBits(options, &g, &none);
    if (K >= all.result.steps) CheckSameBits(options, &g, &all);
    CheckNear(options, "dL/dtheta", g.np, g.gtheta, all.gtheta, 1e-3);
  }
  PetscFunctionReturn(0);
}

// ---- tsadjoint -stride ----

// again: evaluations of a step made again; 0: those of the forward solve, where no step is rejected.
static PetscErrorCode TestStride(const Setting *s, const char *problem, const char *common, PetscReal accuracy,
                                 PetscInt again, PetscInt vectors) {
  PROPERTY("%s: tsadjoint -stride gives the same bits in less memory: %s", problem, common);
  static const PetscInt K[] = {1, 2, 7, 30, 100000};
  const PetscBool fixed = strstr(common, "fixed") ? PETSC_TRUE : PETSC_FALSE;
  Gradient all, g;
  char options[128], who[192];

  PetscFunctionBeginUser;
  PetscCall(RunEstimator(s, "tsadjoint", common, 1, accuracy, &all));
  const PetscInt N = (PetscInt)all.result.steps, n = all.nx + 1;
  for (size_t k = 0; k < sizeof K / sizeof *K; k++) {
    const PetscInt longest = PetscMin(N, K[k]), intervals = (N + K[k] - 1) / K[k];
    const size_t lengths = fixed ? 0 : (size_t)N;
    PetscCall(PetscSNPrintf(options, sizeof options, "%s -stride %d", common, (int)K[k]));
    PetscCall(PetscSNPrintf(who, sizeof who, "%s %s, %d steps", problem, options, (int)N));
    PetscCall(RunEstimator(s, "tsadjoint", options, 1, accuracy, &g));
    CheckSameBits(who, &g, &all);
    CHECK(g.recomputed.nf == g.totals.nf - all.totals.nf, "%s: %lld f made again, %lld f more", who,
          (long long)g.recomputed.nf, (long long)(g.totals.nf - all.totals.nf));
    CHECK(g.recomputed.njac == g.totals.njac - all.totals.njac, "%s: %lld Jacobians made again", who,
          (long long)g.recomputed.njac);
    if (again || fixed)
      CHECK(g.recomputed.nf == (again ? N * again : all.totals.nf), "%s: %lld f made again", who,
            (long long)g.recomputed.nf);
    const size_t reals = (size_t)intervals * (size_t)(1 + n) + lengths + (size_t)longest * (size_t)(vectors * n + 3);
    CHECK(g.result.bytes == reals * sizeof(PetscReal), "%s: %zu bytes", who, g.result.bytes);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestStrideOfTable(const Setting *s, const char *problem, const char *name, PetscBool fixed) {
  char options[128];
  CtpgRKOptions rk;
  PetscFunctionBeginUser;
  PetscCall(RKOptionsOf(name, fixed, &rk));
  if (!fixed && rk.fixed) PetscFunctionReturn(0);
  PetscCall(PetscSNPrintf(options, sizeof options, "-rk %s -steps %s", name, fixed ? "fixed" : "adaptive"));
  PetscCall(TestStride(s, problem, options, fixed ? s->c.T / 75 : 1e-6, CountEvaluations(&rk.table, PETSC_FALSE),
                       rk.table.s + 1));
  PetscFunctionReturn(0);
}

static size_t highest; // bytes that malloc had handed out at any product of the plant

static CtpgStatus MeasuringVJP(void *ctx, const CtpgTask *task, PetscInt n, const PetscReal *t, const PetscReal *x,
                               const PetscReal *u, const PetscReal *v, const PetscReal *c, PetscReal *gx,
                               PetscReal *gu) {
  const struct mallinfo2 info = mallinfo2();
  highest = PetscMax(highest, info.uordblks + info.hblkhd);
  return PlantEvalVJP(ctx, task, n, t, x, u, v, c, gx, gu);
}

// Growth of the heap within a run of N steps.
static PetscErrorCode HeapOf(const Setting *s, const char *options, PetscInt N, size_t *growth) {
  const struct mallinfo2 before = mallinfo2();
  Gradient g;
  PetscFunctionBeginUser;
  highest = 0;
  PetscCall(RunEstimator(s, "tsadjoint", options, 1, s->c.T / N, &g));
  CHECK(g.status == CTPG_OK && g.result.steps == N, "%s: %s, %lld steps", options, CtpgStatusName(g.status),
        (long long)g.result.steps);
  *growth = highest - before.uordblks - before.hblkhd;
  PetscFunctionReturn(0);
}

static PetscErrorCode TestHeapOfStride(const Setting *s, const char *common) {
  PROPERTY("tsadjoint -stride bounds the heap: %s", common);
  CtpgProblemType measuring = *s->problem.type;
  Setting measured = *s;
  size_t whole[2], stride[2];
  char options[128];

  PetscFunctionBeginUser;
  if (!mallinfo2().uordblks) PetscFunctionReturn(0); // AddressSanitizer's allocator does not say
  measuring.eval_vjp = MeasuringVJP;
  measured.problem.type = &measuring;
  PetscCall(PetscSNPrintf(options, sizeof options, "%s -stride 50", common));
  for (int k = 0; k < 2; k++) {
    PetscCall(HeapOf(&measured, common, k ? 4000 : 1000, &whole[k]));
    PetscCall(HeapOf(&measured, options, k ? 4000 : 1000, &stride[k]));
  }
  CHECK(whole[1] > 3 * whole[0] && whole[1] > 1 << 22, "%s: %zu and %zu bytes", common, whole[0], whole[1]);
  CHECK(stride[1] < stride[0] + 16384 && 10 * stride[1] < whole[1], "%s: %zu and %zu bytes, %zu without", options,
        stride[0], stride[1], whole[1]);
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  static const char *const implicit[] = {"-ts_type theta -steps fixed", "-ts_type theta -steps adaptive",
                                         "-ts_type cn -steps fixed", "-ts_type cn -steps adaptive"};
  Setting s;

  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  TestOptimum();
  PetscCall(SettingOfPlant(&PLANT, 3, &s));
  for (const char *const *name = CtpgRKTableNames(); *name; name++)
    for (int fixed = 0; fixed < 2; fixed++) PetscCall(TestTable(&s, "plant", *name, fixed ? PETSC_TRUE : PETSC_FALSE));
  for (const char *const *name = CtpgRKTableNames(); *name; name++)
    for (int fixed = 0; fixed < 2; fixed++)
      PetscCall(TestStrideOfTable(&s, "plant", *name, fixed ? PETSC_TRUE : PETSC_FALSE));
  for (size_t k = 0; k < sizeof implicit / sizeof *implicit; k++)
    PetscCall(TestStride(&s, "plant", implicit[k], strstr(implicit[k], "fixed") ? s.c.T / 75 : 1e-4, 0, 2));
  PetscCall(TestHeapOfStride(&s, "-rk 4 -steps fixed"));
  PetscCall(TestHeapOfStride(&s, "-ts_type cn -steps fixed"));
  PetscCall(TestManySteps(&s));
  PetscCall(TestLoops(&s, "plant"));
  PetscCall(TestThinning(&s));
  PetscCall(SettingDestroy(&s));
  PetscCall(SettingOf("diffdrive", "-horizon 4", 3, &s));
  PetscCall(TestTable(&s, "diffdrive", "5bs", PETSC_FALSE));
  PetscCall(TestKeptOutputs(&s, "-rk 5bs", 1e-6, 7, 76));
  PetscCall(TestKeptOutputs(&s, "-rk 8vr -error_norm adjoint", 1e-6, 12, 76));
  PetscCall(TestKeptOutputs(&s, "-rk 4 -steps fixed", 0.1, 4, 76));
  PetscCall(TestKeptOutputs(&s, "", 0.02, 1, 76));
  PetscCall(TestTable(&s, "diffdrive", "dop853", PETSC_FALSE));
  PetscCall(TestStrideOfTable(&s, "diffdrive", "5dp", PETSC_FALSE));
  PetscCall(TestThinning(&s));
  PetscCall(SettingDestroy(&s));
  PetscCall(TestBreaks());
  PetscCall(SettingOf("electric", "-horizon 4 -policy_widths 6", 2, &s));
  PetscCall(TestLoops(&s, "electric"));
  PetscCall(SettingDestroy(&s));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
