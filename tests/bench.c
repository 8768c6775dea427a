// bench.c -- time inside estimators beyond the bare evaluations that they make
//
//   overhead = wall / (nf cost_f + nvjp cost_vjp) - 1
// with the costs of one evaluation of the closed loop and of one joint product measured in the same round, at states of
// the same forward path. Medians over interleaved rounds: absolute times on a shared machine mean nothing.
// calls: plant calls per joint product (engine calls for MuJoCo, 1 for a plant with products of its own).
// First the policy's kernels, in thread CPU time, the best of many: one evaluation, and one joint product that goes
// forward anew, of one point alone and of eight in a call; beside them the multiply-adds that they make as a share of
// what this core's fused multiply-adds could do in that time.
//   build/bench [-problems quadrotor,diffdrive] [-estimators LIST] [-rtol 1e-6] [-dt 1e-3] [-rounds 21]

#include "ctpgbench/toolkit/forward.h"
#include "run/labels.h"
#include "run/case.h"
#include "base/options_engine.h"
#include "base/random_engine.h"
#include "base/system.h"
#include "base/vector.h"
#include "commands/program.h"
#include "run/run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_ROUNDS 1000
#define CALLS      300

static const char *const DEFAULT_ESTIMATORS = "euler-bptt,rk-adjoint,weights=ctpg,ctpg,tsadjoint,neural-ode-ckpt";

// States along the forward path, where the costs are measured.
typedef struct {
  PetscInt n;
  PetscReal *t, *x, *v; // [n], [n, nx], [n, nx]
} Path;

static PetscErrorCode RecordPath(CtpgClosedLoop loop, const CtpgCase *c, PetscInt nx, Path *path) {
  CtpgRKOptions rk = {.atol_factor = 1e-3, .step_limit = 100000};
  PetscReal loss;
  CtpgResult result = {.loss = &loss};
  CtpgForwardSolve forward;

  PetscFunctionBeginUser;
  PetscCall(CtpgRKTableFind("-rk", "tsit5", &rk.table));
  PetscCall(CtpgForwardCreate(loop, &rk, NULL, CTPG_KEEP_STATES, &forward));
  CtpgClosedLoopSetCase(loop, c->theta, 1, c->task, c->T);
  CtpgClosedLoopStart(loop, NULL);
  PetscCall(CtpgForwardRun(forward, c->x0, 1e-6, &result));
  path->n = CtpgForwardGetSteps(forward);
  PetscCall(PetscMalloc3(path->n, &path->t, path->n * nx, &path->x, path->n * nx, &path->v));
  for (PetscInt i = 0; i < path->n; i++) {
    const CtpgStep step = CtpgForwardGetStep(forward, i);
    path->t[i] = step.t;
    PetscCall(PetscArraycpy(path->x + i * nx, step.x, nx));
    for (PetscInt k = 0; k < nx; k++) path->v[i * nx + k] = 1.0 / (PetscReal)(k + 1);
  }
  PetscCall(CtpgForwardDestroy(&forward));
  PetscFunctionReturn(0);
}

static void MeasureCosts(CtpgClosedLoop loop, PetscInt nx, const Path *path, PetscReal *f, PetscReal *gx,
                         PetscReal *gtheta, double *cost_f, double *cost_vjp, double *plant_calls) {
  const PetscReal one = 1;
  CtpgCounts before, after;
  PetscReal w;
  const double start = CtpgSeconds();
  for (PetscInt i = 0; i < CALLS; i++)
    CtpgClosedLoopEval(loop, 1, path->t + i % path->n, path->x + i % path->n * nx, f, &w);
  const double middle = CtpgSeconds();
  CtpgClosedLoopGetTotals(loop, &before);
  for (PetscInt i = 0; i < CALLS; i++)
    CtpgClosedLoopVJP(loop, 1, path->t + i % path->n, path->x + i % path->n * nx, path->v + i % path->n * nx, &one, gx,
                      gtheta);
  *cost_vjp = (CtpgSeconds() - middle) / CALLS;
  *cost_f = (middle - start) / CALLS;
  CtpgClosedLoopGetTotals(loop, &after);
  *plant_calls = (double)(after.nplant - before.nplant) / CALLS;
}

static PetscErrorCode BenchPair(CtpgPair *pair, const CtpgCase *c, const Path *path, PetscReal accuracy,
                                PetscInt rounds) {
  static double f_costs[MAX_ROUNDS], vjp_costs[MAX_ROUNDS], walls[MAX_ROUNDS], ratios[MAX_ROUNDS];
  const PetscInt nx = pair->problem->dims.nx, np = PolicyGetSize(pair->problem->policy);
  PetscReal *f, *gx, *gtheta;
  double plant_calls = 0;
  CtpgClosedLoop loop;
  CtpgOutcome o;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc3(nx, &f, nx, &gx, np, &gtheta));
  PetscCall(ProblemCreateLoop(pair->problem, &loop));
  CtpgClosedLoopSetCase(loop, c->theta, 1, c->task, c->T);
  for (PetscInt r = 0; r < rounds; r++) {
    CtpgClosedLoopStart(loop, NULL);
    MeasureCosts(loop, nx, path, f, gx, gtheta, f_costs + r, vjp_costs + r, &plant_calls);
    PetscCall(PairRun(pair, c, 0, 0, accuracy, (CtpgLimits){0}, CTPG_REPEATS_NONE, &o));
    walls[r] = o.wall[0];
    ratios[r] = o.wall[0] / ((double)o.totals.nf * f_costs[r] + (double)o.totals.nvjp * vjp_costs[r]);
  }
  printf("%-12s %-16s %8.1e %7lld %9.2f %9.2f %6.0f %10.3f %8.0f %%  %s\n", pair->problem->label, pair->estimator.label,
         accuracy, (long long)o.nfe, 1e6 * CtpgMedian((size_t)rounds, f_costs),
         1e6 * CtpgMedian((size_t)rounds, vjp_costs), plant_calls, 1e3 * CtpgMedian((size_t)rounds, walls),
         100 * (CtpgMedian((size_t)rounds, ratios) - 1), CtpgStatusName(o.status));
  PetscCall(CtpgClosedLoopDestroy(&loop));
  PetscCall(PetscFree3(f, gx, gtheta));
  PetscFunctionReturn(0);
}

// ---- kernels ----

#if defined(__x86_64__) && !defined(__clang__)
typedef double Vector __attribute__((vector_size(32)));
// Fused multiply-adds per s on vectors of four, the best of some slices; 0 where the CPU has none.
__attribute__((target("avx2,fma"), optimize("fp-contract=fast"))) static double FusedRate(void) {
  enum { CHAINS = 10, ROUNDS = 20000 };
  double best = 0;
  if (!__builtin_cpu_supports("fma")) return 0;
  for (int slice = 0; slice < 50; slice++) {
    Vector x[CHAINS], factor = {0.999, 0.999, 0.999, 0.999}, term = {1e-3, 1e-3, 1e-3, 1e-3};
    for (int k = 0; k < CHAINS; k++) x[k] = term * k;
    const double start = CtpgThreadSeconds();
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 10
      for (int k = 0; k < CHAINS; k++) x[k] = x[k] * factor + term;
    const double seconds = CtpgThreadSeconds() - start;
    volatile double sink = 0;
    for (int k = 0; k < CHAINS; k++) sink += x[k][0] + x[k][3];
    best = fmax(best, 4.0 * CHAINS * ROUNDS / seconds);
  }
  return best;
}
#else
static double FusedRate(void) {
  return 0;
}
#endif

typedef struct {
  CtpgPolicy policy;
  PetscInt n;
  double *theta, *weights, *o, *u, *kept, *scratch, *go, *gtheta;
} KernelRig;

static PetscErrorCode CreateRig(const PetscInt *layers, PetscInt nlayers, PetscInt n, KernelRig *r) {
  const CtpgActivation activations[] = {CTPG_TANH, CTPG_TANH, CTPG_TANH};
  CtpgStream stream = CtpgStreamOpen(1, "bench", CTPG_STREAM_CHECK, 0, 0);
  PetscFunctionBeginUser;
  PetscCall(PolicyCreate(nlayers, layers, activations, &r->policy));
  const PetscInt np = PolicyGetSize(r->policy), no = layers[0], nu = layers[nlayers];
  r->n = n;
  PetscCall(PetscMalloc4(np, &r->theta, PolicyGetWeightsSize(r->policy), &r->weights, n * no, &r->o, n * nu, &r->u));
  PetscCall(PetscMalloc4(n * PolicyGetKeptSize(r->policy), &r->kept, PolicyGetScratchSize(r->policy, n), &r->scratch,
                         n * no, &r->go, np, &r->gtheta));
  PolicyDraw(r->policy, &stream, 1, r->theta);
  PolicyPack(r->policy, r->theta, r->weights);
  for (PetscInt i = 0; i < n * no; i++) r->o[i] = CtpgStreamNormal(&stream), r->go[i] = 0;
  PetscCall(PetscArrayzero(r->gtheta, np));
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroyRig(KernelRig *r) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree4(r->theta, r->weights, r->o, r->u));
  PetscCall(PetscFree4(r->kept, r->scratch, r->go, r->gtheta));
  PetscCall(PolicyDestroy(&r->policy));
  PetscFunctionReturn(0);
}

// s for one point.
static double TimeKernel(KernelRig *r, PetscBool product) {
  const int calls = 1 + (int)(200000 / PolicyGetSize(r->policy));
  double best = INFINITY;
  for (int round = 0; round < 60; round++) {
    const double start = CtpgThreadSeconds();
    for (int i = 0; i < calls; i++) {
      PolicyEval(r->policy, r->weights, r->n, r->o, r->kept, r->u);
      if (product) PolicyVJP(r->policy, r->weights, r->n, NULL, r->kept, r->u, r->scratch, r->go, r->gtheta, NULL);
    }
    best = fmin(best, (CtpgThreadSeconds() - start) / (double)(calls * r->n));
  }
  return best;
}

static PetscErrorCode BenchKernels(void) {
  static const struct {
    PetscInt nlayers, layers[4];
  } shapes[] = {{3, {7, 32, 32, 2}}, {2, {8, 64, 8}}, {3, {32, 64, 64, 4}}, {3, {32, 256, 256, 4}}};
  const double rate = FusedRate();
  PetscFunctionBeginUser;
  printf("kernels %s; fused multiply-adds of one core: %.3g/s\n", KernelsBest()->name, rate);
  printf("%-24s %3s %9s %6s %9s %6s\n", "policy", "n", "f (us)", "peak", "vjp (us)", "peak");
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
    for (PetscInt n = 1; n <= 8; n += 7) {
      KernelRig rig;
      PetscCall(CreateRig(shapes[k].layers, shapes[k].nlayers, n, &rig));
      const double f = TimeKernel(&rig, PETSC_FALSE), vjp = TimeKernel(&rig, PETSC_TRUE);
      const double terms = PolicyGetSize(rig.policy);
      printf("%-24.*s %3d %9.3f %4.0f %% %9.3f %4.0f %%\n", (int)strcspn(PolicyDescribe(rig.policy), " "),
             PolicyDescribe(rig.policy), (int)n, 1e6 * f, rate > 0 ? 100 * terms / f / rate : 0, 1e6 * vjp,
             rate > 0 ? 300 * terms / vjp / rate : 0);
      PetscCall(DestroyRig(&rig));
    }
  PetscFunctionReturn(0);
}

static PetscErrorCode Bench(void) {
  PetscInt nproblems, nestimators, rounds = 21;
  PetscReal rtol = 1e-6, dt = 1e-3;
  CtpgLabel *problems, *estimators;
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, "-weights_quadrature", "weights"));
  PetscCall(CtpgOptionsCreate(NULL, "bench", &options));
  PetscCall(CtpgLabelOption(options, "problem", "quadrotor,diffdrive,lqr,cartpole-analytic", &nproblems, &problems));
  PetscCall(CtpgLabelOption(options, "estimator", DEFAULT_ESTIMATORS, &nestimators, &estimators));
  PetscCall(CtpgOptionsReal(options, "rtol", "accuracy of adaptive estimators", 1e-14, 1, &rtol));
  PetscCall(CtpgOptionsReal(options, "dt", "accuracy of fixed-step estimators", 1e-6, 1, &dt));
  PetscCall(CtpgOptionsInt(options, "rounds", "interleaved repeats", 1, MAX_ROUNDS, &rounds));
  printf("%-12s %-16s %8s %7s %9s %9s %6s %10s %10s\n", "problem", "estimator", "accuracy", "NFE", "f (us)", "vjp (us)",
         "calls", "wall (ms)", "overhead");
  for (PetscInt p = 0; p < nproblems; p++) {
    CtpgProblem problem;
    CtpgCase c;
    CtpgClosedLoop loop;
    Path path;
    PetscCall(ProblemCreate(problems + p, &problem));
    PetscCall(CaseDraw(&problem, 0, 0, &c));
    PetscCall(ProblemCreateLoop(&problem, &loop));
    PetscCall(RecordPath(loop, &c, problem.dims.nx, &path));
    for (PetscInt e = 0; e < nestimators; e++) {
      CtpgPair pair;
      PetscCall(PairCreate(&problem, estimators + e, &pair));
      PetscCall(PairSetUp(&pair));
      PetscCall(BenchPair(&pair, &c, &path, pair.estimator.traits.knob == CTPG_KNOB_DT ? dt : rtol, rounds));
      PetscCall(PairDestroy(&pair));
    }
    PetscCall(PetscFree3(path.t, path.x, path.v));
    PetscCall(CtpgClosedLoopDestroy(&loop));
    PetscCall(CaseDestroy(&c));
    PetscCall(ProblemDestroy(&problem));
  }
  PetscCall(PetscFree(problems));
  PetscCall(PetscFree(estimators));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(BenchKernels());
  PetscCall(Bench());
  PetscCall(PetscFinalize());
  return 0;
}
