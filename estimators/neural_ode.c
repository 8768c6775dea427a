// neural_ode.c -- the neural-ODE adjoint: only x(T) is kept, the state is integrated backwards with the adjoint
//
//   forward   adaptive Runge-Kutta solve of (x, loss)
//   backward  (x, alpha, g) from (x(T), J_x, 0), the equations of backsolve.h;  dL/dtheta = g(0), dL/dx0 = alpha(0)
//
// g rides beside the state of TS, every component of it in the error norm (the papers'); -seminorm leaves it out (P.
// Kidger, R. T. Q. Chen, T. Lyons, "Hey, that's not an ODE: faster ODE adjoints via seminorms", ICML 2021, Sec. 3). No
// output of the backward solve but the integrals x, alpha and g is wanted, hence nothing else can leave the norm.
// Derivative of the continuous problem, of the order of the table.
// Price: s f forward, s (f + vjp) backward a step. Memory O(nx + np), nothing per step.
// Weakness: the state is integrated against its stability, errors grow like exp(L T): where the loop stabilises a fixed
// point it fails. backsolve_error = ||x_back(0) - x0|| says how far it went astray; with -backsolve_loss the running
// loss is integrated backwards as well and counts in it, as in the paper's figure 3. Prefer ctpg or rk-adjoint.
// Source: R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, "Neural Ordinary Differential Equations", NeurIPS
// 2018, Algorithm 1.

#include "ctpgbench/toolkit/backsolve.h"

typedef struct {
  CtpgRKOptions rk;
  PetscBool seminorm, backsolve_loss;
  CtpgForwardSolve forward;
  CtpgBacksolve back;
} NeuralODE;

static PetscErrorCode EstimatorCreate_NeuralODE(CtpgOptions options, CtpgTraits *traits, void **est) {
  NeuralODE *e;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(CtpgRKOptionsRead(options, "tsit5", &e->rk, traits));
  PetscCall(CtpgOptionsBool(options, "seminorm", "keep g out of the error norm of the backward solve", &e->seminorm));
  PetscCall(CtpgOptionsBool(options, "backsolve_loss", "count the loss, integrated backwards, in backsolve_error",
                            &e->backsolve_loss));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_NeuralODE(void *est, CtpgClosedLoop loop) {
  NeuralODE *e = est;
  PetscFunctionBeginUser;
  PetscCall(CtpgForwardCreate(loop, &e->rk, NULL, CTPG_KEEP_NOTHING, &e->forward));
  PetscCall(CtpgBacksolveCreate(loop, &e->rk, e->seminorm, e->backsolve_loss, &e->back));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorGradientOfStart_NeuralODE(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                         PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  NeuralODE *e = est;
  PetscReal t_low, t_high;

  PetscFunctionBeginUser;
  (void)stream;
  PetscCall(CtpgForwardRun(e->forward, x0, accuracy, result));
  if (CtpgClosedLoopGetStatus(loop) != CTPG_OK) PetscFunctionReturn(0);
  PetscCall(CtpgBacksolveStart(e->back, CtpgForwardGetEnd(e->forward),
                               CtpgRKSolverGetNextStep(CtpgForwardGetSolver(e->forward))));
  for (PetscInt k = CtpgClosedLoopGetPieces(loop, e->rk.respect_breaks) - 1; k >= 0; k--) {
    CtpgClosedLoopEnterPiece(loop, e->rk.respect_breaks, k, &t_low, &t_high);
    PetscCall(CtpgBacksolveRun(e->back, t_high, t_low, accuracy));
  }
  CtpgClosedLoopSetPiece(loop, -1);
  PetscCall(CtpgBacksolveFinish(e->back, x0, result));
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_NeuralODE(void **est) {
  NeuralODE *e = *est;
  if (!e) return;
  PetscCallVoid(CtpgForwardDestroy(&e->forward));
  PetscCallVoid(CtpgBacksolveDestroy(&e->back));
  PetscCallVoid(PetscFree(*est));
}

const CtpgEstimatorType CtpgEstimator_neural_ode = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "neural-ode",
    .version = 4,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex = "@inproceedings{Chen2018, author={Ricky T. Q. Chen and Yulia Rubanova and Jesse Bettencourt and David "
              "Duvenaud}, title={Neural Ordinary Differential Equations}, booktitle={Advances in Neural Information "
              "Processing Systems}, volume={31}, year={2018}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s (f + vjp)",
    .storage = "2 nx + np",
    .create = EstimatorCreate_NeuralODE,
    .setup = EstimatorSetUp_NeuralODE,
    .gradient_of_start = EstimatorGradientOfStart_NeuralODE,
    .destroy = EstimatorDestroy_NeuralODE,
    .needs = "vjp"};
