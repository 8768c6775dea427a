// euler_bptt.c -- back-propagation through time: gradient of the loss of the Euler-discretised closed loop
//
//   forward   x[n+1] = x[n] + h f(t[n], x[n]; theta),    n = 0..N-1,   x[0] = x0,   h = T / N
//   loss      L      = J(x[N]) + sum_n h w(t[n], x[n]; theta)
//   reverse   alpha[N] = J_x;  alpha[n] = alpha[n+1] + h (f_x' alpha[n+1] + w_x)
//   gradient  dL/dtheta = sum_n h (f_theta' alpha[n+1] + w_theta),  dL/dx0 = alpha[0]
//
// Derivative of the discrete map: exact up to rounding for the grid that was used.
// Price: N evaluations of f, N joint vector-Jacobian products; memory (N + 1) nx reals and their times.
// Weakness: first order in h, whatever the sweep does. Prefer rk-adjoint or ctpg; this is the baseline they are measured
// against.
// Source: P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proc. IEEE 78 (1990); as baseline:
// S. Ainsworth et al., L4DC 2021, Sec. 2. The sweep is that of reverse.h for the table 1fe.

#include "discrete.h"

static PetscErrorCode EstimatorCreate_EulerBPTT(CtpgOptions options, CtpgTraits *traits, void **est) {
  DiscreteAdjoint *d;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&d));
  *est = d;
  PetscCall(RKTableFind("-rk", "1fe", &d->rk.table));
  d->rk.fixed = PETSC_TRUE;
  PetscCall(RKOptionsReadBreaks(options, &d->rk));
  traits->order = d->rk.table.order;
  PetscFunctionReturn(0);
}

const CtpgEstimatorType CtpgEstimator_euler_bptt = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "euler-bptt",
    .version = 1,
    .bibtex =
        "@article{Werbos1990, author={Paul J. Werbos}, title={Backpropagation through time: what it does and how "
        "to do it}, journal={Proceedings of the IEEE}, volume={78}, number={10}, pages={1550--1560}, year={1990}}",
    .knob = CTPG_KNOB_DT,
    .order = 1,
    .cost = "1 f + 1 vjp per step",
    .storage = "N nx",
    .create = EstimatorCreate_EulerBPTT,
    .setup = DiscreteAdjointSetUp,
    .gradient = DiscreteAdjointGradient,
    .destroy = DiscreteAdjointDestroy};
