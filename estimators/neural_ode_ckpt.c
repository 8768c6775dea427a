// neural_ode_ckpt.c -- the neural-ODE adjoint whose state is put back on the forward path at checkpoints
//
//   forward   adaptive Runge-Kutta solve of (x, loss); x is stored at every accepted step (the paper's default), or at
//             up to K of them, evenly spread: every 2^m-th, the smallest m with which K suffice (-checkpoints K)
//   backward  (x, alpha, g) by the equations of backsolve.h from checkpoint to checkpoint; at each, x is replaced by
//             the stored state
//
// -seminorm keeps g out of the error norm, as for neural-ode; K = 1 is neural-ode.
// Derivative of the continuous problem, of the order of the table.
// Price: s f forward; backward s (f + vjp) a step, and at least one step per checkpoint interval, started anew. Memory
// N nx reals, or K nx.
// Weakness: dearer than ctpg, which gets the state between knots for nothing. backsolve_error is that of the first
// interval.
// Source: A. Gholami, K. Keutzer, G. Biros, "ANODE: Unconditionally accurate memory-efficient gradients for neural
// ODEs", IJCAI 2019, Sec. 5; as baseline: S. Ainsworth et al., L4DC 2021, Sec. 3.

#include "ctpgbench/toolkit/backsolve.h"

typedef struct {
  CtpgRKOptions rk;
  PetscBool seminorm;
  PetscInt checkpoints; // 0: every step
  CtpgForwardSolve forward;
  CtpgBacksolve back;
} NeuralODECheckpoints;

static PetscErrorCode EstimatorCreate_NeuralODECheckpoints(CtpgOptions options, CtpgTraits *traits, void **est) {
  NeuralODECheckpoints *e;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(CtpgRKOptionsRead(options, "tsit5", &e->rk, traits));
  PetscCall(CtpgOptionsBool(options, "seminorm", "keep g out of the error norm of the backward solve", &e->seminorm));
  PetscCall(CtpgOptionsInt(options, "checkpoints", "states that may be stored; 0: every accepted step", 0, 100000000,
                           &e->checkpoints));
  if (e->checkpoints) traits->storage = "min(N, K) nx";
  PetscCheck(
      !e->checkpoints || !e->rk.respect_breaks, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "%s: checkpoints %d cannot be combined with respect_breaks, which needs a state at every break; expected one "
      "of the two",
      CtpgOptionsLabel(options), (int)e->checkpoints);
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_NeuralODECheckpoints(void *est, CtpgClosedLoop loop) {
  NeuralODECheckpoints *e = est;
  PetscFunctionBeginUser;
  PetscCall(CtpgForwardCreate(loop, &e->rk, NULL, CTPG_KEEP_STATES, &e->forward));
  CtpgForwardSetLimit(e->forward, e->checkpoints);
  PetscCall(CtpgBacksolveCreate(loop, &e->rk, e->seminorm, PETSC_FALSE, &e->back));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorGradientOfStart_NeuralODECheckpoints(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                                    PetscReal accuracy, CtpgStream *stream,
                                                                    CtpgResult *result) {
  NeuralODECheckpoints *e = est;

  PetscFunctionBeginUser;
  (void)stream;
  PetscCall(CtpgForwardRun(e->forward, x0, accuracy, result));
  result->bytes = PetscMax(result->bytes, CtpgForwardGetBytes(e->forward));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(CtpgBacksolveStart(e->back, CtpgForwardGetEnd(e->forward),
                               CtpgRKSolverGetNextStep(CtpgForwardGetSolver(e->forward))));
  PetscCall(CtpgBacksolveRunSteps(e->back, e->forward, accuracy));
  PetscCall(CtpgBacksolveFinish(e->back, x0, result));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_NeuralODECheckpoints(void **est) {
  NeuralODECheckpoints *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgForwardDestroy(&e->forward));
  PetscCallVoid(CtpgBacksolveDestroy(&e->back));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_neural_ode_ckpt = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "neural-ode-ckpt",
    .version = 4,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex = "@inproceedings{Gholami2019, author={Amir Gholami and Kurt Keutzer and George Biros}, title={{ANODE}: "
              "Unconditionally accurate memory-efficient gradients for neural {ODE}s}, booktitle={IJCAI}, year={2019}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s (f + vjp)",
    .storage = "N nx",
    .create = EstimatorCreate_NeuralODECheckpoints,
    .setup = EstimatorSetUp_NeuralODECheckpoints,
    .gradient_of_start = EstimatorGradientOfStart_NeuralODECheckpoints,
    .destroy = EstimatorDestroy_NeuralODECheckpoints,
    .needs = "vjp"};
