// rk_adjoint.c -- reverse sweep through an explicit Runge-Kutta method on the frozen mesh of an adaptive solve
//
//   forward   adaptive Runge-Kutta solve of (x, loss); the stages X_i of accepted steps are stored, or made again
//   reverse   the equations of reverse.h, stage by stage; no dense output, no rejected backward step, no quadrature
//
// Derivative of the discrete map, of the order of the method: error O(h^p) for a method of order p.
//   storage     stages (default); states; checkpoints: K states (-checkpoints K). The gradient is the same to the bit.
//   keep_outputs  with storage stages (default there): the outputs of the policy's layers, nz reals a stage, wait for
//               the products at the same points, which go forward through the policy no more. The same bits.
//   error_norm  plain (default); adjoint: local errors are weighted with |alpha(t)| of a pilot at pilot_rtol, for it is
//               sum_n alpha_{n+1}' e_n that they do to the loss. The pilot is counted.
// With -rk 4, the classical table, and equal steps this is backpropagation through fixed-step RK4.
// Price: s f and s vjp a step (s - 1 each for FSAL tables; a stage that serves the error estimate alone has no vjp).
// States: once more the stages, without the last one; checkpoints: besides, at least r N - beta(K + 1, r - 1) - N + 1
// steps (N known; checkpoints.h).
// Memory: N s (nx + nz) reals, N s nx without the outputs; N nx; K nx and one step's stages, and the N lengths of an
// adaptive solve's steps.
// Weakness: the memory; and where the mesh suits the state but not the adjoint, the adjoint's error is not controlled.
// Sources: W. W. Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numer. Math. 87
// (2000), Sec. 2, Eq. (14)-(17); states: J. Zhuang et al., "Adaptive checkpoint adjoint", ICML 2020, Algorithm 1; T.
// Matsubara et al., "Symplectic adjoint method", NeurIPS 2021, Algorithm 1; checkpoints: A. Griewank, A. Walther,
// "Algorithm 799: revolve", ACM Trans. Math. Softw. 26 (2000); Q. Wang, P. Moin, G. Iaccarino, SIAM J. Sci. Comput. 31
// (2009).

#include "ctpgbench/toolkit/discrete.h"

static PetscErrorCode EstimatorCreate_RKAdjoint(CtpgOptions options, CtpgTraits *traits, void **est) {
  CtpgDiscreteAdjoint *d;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&d));
  *est = d;
  PetscCall(CtpgRKOptionsRead(options, "5bs", &d->rk, traits));
  PetscCall(CtpgDiscreteAdjointReadOptions(options, d, traits));
  PetscCall(CtpgDiscreteAdjointReadKeep(options, d, traits));
  traits->at_once = CtpgDiscreteAdjointAtOnce(d);
  PetscFunctionReturn(0);
}

const CtpgEstimatorType CtpgEstimator_rk_adjoint = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "rk-adjoint",
    .version = 3,
    .flags = CTPG_IS_WITHOUT_LIBM | CTPG_IS_WITHOUT_BLAS,
    .bibtex =
        "@article{Hager2000, author={William W. Hager}, title={Runge-Kutta methods in optimal control and the "
        "transformed adjoint system}, journal={Numerische Mathematik}, volume={87}, pages={247--282}, year={2000}}\n"
        "@article{Griewank2000, author={Andreas Griewank and Andrea Walther}, title={Algorithm 799: revolve}, "
        "journal={ACM Transactions on Mathematical Software}, volume={26}, number={1}, pages={19--45}, year={2000}}\n"
        "@article{Wang2009, author={Qiqi Wang and Parviz Moin and Gianluca Iaccarino}, title={Minimal repetition "
        "dynamic "
        "checkpointing algorithm for unsteady adjoint calculation}, journal={SIAM Journal on Scientific Computing}, "
        "volume={31}, number={4}, pages={2549--2567}, year={2009}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s vjp (FSAL s - 1)",
    .storage = "N s (nx + nz)",
    .create = EstimatorCreate_RKAdjoint,
    .setup = CtpgDiscreteAdjointSetUp,
    .gradient_of_start = CtpgDiscreteAdjointGradientOfStart,
    .gradients = CtpgDiscreteAdjointGradients,
    .destroy = CtpgDiscreteAdjointDestroy,
    .needs = "vjp"};
