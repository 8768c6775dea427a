// policy.h -- policies u = pi_theta(o): dense layers, forward and reverse by hand
//
//   z_0 = o;  z_l = act_l(W_l z_{l-1} + b_l), l = 1..L;  u = z_L
//   theta [np]: layer by layer, W_l [out, in] row-major, then b_l [out]
// `linear` is one linear layer; `mlp` any depth and width. elu has alpha = 1 (C^1 only, at 0).
#ifndef CTPG_POLICY_H
#define CTPG_POLICY_H

#include "ctpgbench/closedloop.h"
#include "ctpgbench/options.h"
#include "ctpgbench/random.h"
#include "loop/kernels.h"

typedef struct CtpgPolicy_s *CtpgPolicy;

// no observations in, nu controls out. layers: [nlayers + 1] widths from no to nu; activations [nlayers].
PetscErrorCode PolicyCreate(PetscInt nlayers, const PetscInt *layers, const CtpgActivation *activations,
                            CtpgPolicy *policy);
// From -policy, -policy_widths, -policy_activations, -policy_init_layers and -policy_init_last of a problem's label;
// the defaults are the problem's.
PetscErrorCode PolicyCreateFromOptions(CtpgOptions options, PetscInt no, PetscInt nu, const char *type,
                                       const char *widths, const char *activations, CtpgPolicy *policy);
PetscErrorCode PolicyDestroy(CtpgPolicy *policy);

PetscInt PolicyGetSize(CtpgPolicy policy); // np
PetscInt PolicyGetLayers(CtpgPolicy policy);
PetscInt PolicyGetLayerSize(CtpgPolicy policy, PetscInt layer); // entries of theta, one layer behind the other
PetscBool PolicyIsLinear(CtpgPolicy policy);                    // one linear layer
// "7-32-32-2 tanh,tanh,linear", for people and files; owned by policy.
const char *PolicyDescribe(CtpgPolicy policy);
PetscErrorCode CtpgActivationsParse(const char *option, const char *text, PetscInt nlayers,
                                    CtpgActivation *activations);

// Glorot-uniform weights (limit sqrt(6 / (in + out))), zero biases, all times scale and the layer's own factor
// (-policy_init_layers, -policy_init_last; 1); weights drawn in theta's order.
void PolicyDraw(CtpgPolicy policy, CtpgStream *stream, PetscReal scale, PetscReal *theta);

// The kernels of this CPU (kernels.h) do the arithmetic; a test may ask for others, whose bits are the same.
void PolicySetKernels(CtpgPolicy policy, const CtpgKernels *kernels);

// weights [PolicyGetWeightsSize]: theta as the kernels want it.
PetscInt PolicyGetWeightsSize(CtpgPolicy policy);
void PolicyPack(CtpgPolicy policy, const PetscReal *theta, PetscReal *weights);
// u [n, nu] from o [n, no]. kept [n, PolicyGetKeptSize]: o and the outputs of all layers, which the products at the
// same points and weights are made from.
PetscInt PolicyGetKeptSize(CtpgPolicy policy);
void PolicyEval(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscReal *o, PetscReal *kept,
                PetscReal *u);
const PetscReal *PolicyGetKeptControl(CtpgPolicy policy, const PetscReal *kept); // [nu] of one point
// Reals of scratch that PolicyVJP and PolicyJVP need for n points.
PetscInt PolicyGetScratchSize(CtpgPolicy policy, PetscInt n);
// go [n, no] += u_o' gu, gtheta [np] += sum over points u_theta' gu, for gu [n, nu]; factors [n, PolicyGetFactorSize] =
// those of u_theta' gu, point by point. go, gtheta and factors may be NULL. row [n]: gtheta has rows of np, and each
// point's part goes to its own; NULL: there is one row.
void PolicyVJP(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscInt *row, const PetscReal *kept,
               const PetscReal *gu, PetscReal *scratch, PetscReal *go, PetscReal *gtheta, PetscReal *factors);
// The factors alone, and go, of points whose kept outputs and factors [n] stand apart. The same bits.
void PolicyVJPApart(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscReal *const *kept,
                    const PetscReal *gu, PetscReal *scratch, PetscReal *go, PetscReal *const *factors);

// du [n, nu] = u_o d_o + u_theta dtheta, overwritten, for d_o [n, no] and dtheta [np], of which either may be NULL
// (zero).
void PolicyJVP(CtpgPolicy policy, const PetscReal *theta, PetscInt n, const PetscReal *kept, const PetscReal *d_o,
               const PetscReal *dtheta, PetscReal *scratch, PetscReal *du);

// At one point u_theta' gu is an outer product per layer, d_l (z_{l-1}, 1)'. Its factors, z_{l-1} and d_l of every
// layer, are a few hundred reals where the product has np: kept in its place, they are worth it when several weighted
// sums of the same few products are wanted, or when it is decided later which products are.
PetscInt PolicyGetFactorSize(CtpgPolicy policy);
// n <= CTPG_MAX_PRODUCTS products under nsums <= CTPG_MAX_SUMS sets of weights [nsums] -> [n]:
//   sums_k = sum_i weights[k][i] (u_theta' gu)_i, from factors [n] -> [PolicyGetFactorSize]
// Handed over in pieces of at most CTPG_SUM_PIECE components, first to last, as they are formed in the first cache:
// sums_k [offset, offset + length) are pieces[k] [length], valid during the call.
void PolicySumProducts(CtpgPolicy policy, PetscInt n, const PetscReal *const *factors, PetscInt nsums,
                       const PetscReal *const *weights, CtpgTakePiece take, void *context);
// gtheta [np] += sum_i weights[i] (u_theta' gu)_i, from factors [n]; scratch of PolicyGetScratchSize for n points.
void PolicyAddProducts(CtpgPolicy policy, PetscInt n, const PetscReal *const *factors, const PetscReal *weights,
                       PetscReal *scratch, PetscReal *gtheta);
// gtheta [np] += sum_i (u_theta' gu)_i, from factors [n, PolicyGetFactorSize]: the bits of PolicyVJP at n points.
void PolicyAddFactors(CtpgPolicy policy, PetscInt n, const PetscReal *factors, PetscReal *gtheta);
// gtheta [np] += scale[i] (u_theta' gu)_i, first to last, from the same; the product is formed before it is scaled.
void PolicyAddScaled(CtpgPolicy policy, PetscInt n, const PetscReal *factors, const PetscReal *scale,
                     PetscReal *gtheta);
// q [PolicyGetProjections] += weight times fixed +-1 projections of one product, CTPG_PROJECTIONS for each layer: with
// signs a and b, a' (gW, gb) b is the product of two sums of factors. Its square has the mean |(gW, gb)|^2 over signs.
PetscInt PolicyGetProjections(CtpgPolicy policy);
void PolicyAddProjections(CtpgPolicy policy, PetscReal weight, const PetscReal *factors, PetscReal *q);

#endif
