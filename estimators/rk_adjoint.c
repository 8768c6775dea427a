// rk_adjoint.c -- reverse sweep through an explicit Runge-Kutta method on the frozen mesh of an adaptive solve
//
//   forward   adaptive Runge-Kutta solve of (x, loss); the stages X_i of accepted steps are stored
//   reverse   the equations of reverse.h, stage by stage; no dense output, no rejected backward step, no quadrature
//
// Derivative of the discrete map, of the order of the method: error O(h^p) for a method of order p.
// Price: s f and s vjp a step (s - 1 each for FSAL tables; a stage that serves the error estimate alone has no vjp).
// Memory: N s nx reals.
// Weakness: the memory; and where the mesh suits the state but not the adjoint, the adjoint's error is not controlled.
// Sources: W. W. Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numer. Math. 87
// (2000), Sec. 2; J. Zhuang et al., "Adaptive checkpoint adjoint", ICML 2020; T. Matsubara et al., "Symplectic adjoint
// method", NeurIPS 2021.

#include "discrete.h"

static PetscErrorCode EstimatorCreate_RKAdjoint(CtpgOptions options, CtpgTraits *traits, void **est) {
  DiscreteAdjoint *d;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&d));
  *est = d;
  PetscCall(RKOptionsRead(options, "5bs", &d->rk, traits));
  PetscFunctionReturn(0);
}

const CtpgEstimatorType CtpgEstimator_rk_adjoint = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "rk-adjoint",
    .version = 1,
    .bibtex =
        "@article{Hager2000, author={William W. Hager}, title={Runge-Kutta methods in optimal control and the "
        "transformed adjoint system}, journal={Numerische Mathematik}, volume={87}, pages={247--282}, year={2000}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 5,
    .cost = "s f + s vjp per step (FSAL s - 1)",
    .storage = "N s nx",
    .create = EstimatorCreate_RKAdjoint,
    .setup = DiscreteAdjointSetUp,
    .gradient = DiscreteAdjointGradient,
    .destroy = DiscreteAdjointDestroy,
    .needs = "vjp"};
