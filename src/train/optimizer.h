// optimizer.h -- the updates of training, as in Flux: theta follows the mean gradient g of a batch
//
//   sgd          theta -= eta g
//   momentum     v = rho v + eta g;  theta -= v
//   adam         m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
//                theta -= eta m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon),  t = 1, 2, ..
//   step-search  theta -= s g with the s of a list that gives the least loss on the same batch, a tiny one where none
//                gives less than no step; the engine evaluates the candidates
// Before: the entries of g are clipped to [-clip, clip]. After: theta is clamped to [-clamp, clamp].
// Source: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1; Flux.jl,
// src/optimise/optimisers.jl.
#ifndef CTPG_OPTIMIZER_H
#define CTPG_OPTIMIZER_H

#include "ctpgbench/options.h"

typedef enum { CTPG_SGD, CTPG_MOMENTUM, CTPG_ADAM, CTPG_STEP_SEARCH } CtpgOptimizerKind;

typedef struct {
  CtpgOptimizerKind kind;
  PetscReal learning_rate;         // eta
  PetscReal momentum;              // rho
  PetscReal beta1, beta2, epsilon; // adam
  PetscInt nsteps;                 // step-search
  PetscReal *steps, fallback;      // [nsteps]; step when none helps
  PetscReal clip, clamp;           // 0: none
} CtpgOptimizer;

// -optimizer and what belongs to it; an unknown one is answered with the nearest name.
PetscErrorCode OptimizerRead(CtpgOptions options, CtpgOptimizer *optimizer);
PetscErrorCode OptimizerDestroy(CtpgOptimizer *optimizer);

// Reals that the optimiser remembers between updates, and their initial values.
PetscInt OptimizerStateSize(const CtpgOptimizer *optimizer, PetscInt np);
void OptimizerStart(const CtpgOptimizer *optimizer, PetscInt np, PetscReal *state);

void OptimizerClip(const CtpgOptimizer *optimizer, PetscInt np, PetscReal *g);
// One update of theta [np] by g [np]. step: what the search chose; the others take their learning rate.
void OptimizerUpdate(const CtpgOptimizer *optimizer, PetscInt np, const PetscReal *g, PetscReal step, PetscReal *state,
                     PetscReal *theta);

#endif
