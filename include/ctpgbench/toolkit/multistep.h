// multistep.h -- linearly implicit Adams solves of variable order and step, with a matrix that is given and frozen
//
// y' = F(t, y), y [n]. Nodes t_j with y_j and corrected slopes F_j; M ~ F_y is whatever the caller has at hand: any
// matrix keeps the order, as in a W-method. One evaluation a step, from t_n to t = t_n + h at order k:
//   predictor   y^P = y_n + int_{t_n}^{t} (interpolant of F_n .. F_{n-k+1});  first step: + h^2/2 M F_n
//   evaluation  f^P = F(t, y^P)
//   corrector   y* = y_n + sum_{i <= k} T_i,  T_i the terms of the integral of Newton's interpolant through f^P, F_n,
//               F_{n-1} ..; beta_0 the weight of f^P in it, S = (I - beta_0 M)^-1
//               y = y^P + S (y* - y^P),  F_{n+1} = f^P + M (y - y^P)
//   error       E_m = rms of S T_m / (rtol max(|y_n,i|, |y_i|, floor max size)), m = k-1, k, k+1; accepted where
//               E_k <= 1
// Order and step of what follows come from the three; a solve begins at order 1 with a step from M F and M^2 F, and the
// order rises by one a step while that pays (multistep.c).
//
// There are BDF coefficients, too, with one evaluation a step likewise: y^P extrapolates the states, the corrector
// differentiates the polynomial through y^P, y_n, y_{n-1} .. at t, orders end at 5.
//
// Quantities that are integrated along, and do not feed back, may be watched: q [nwatched] given with every evaluation,
// and the same differences make the error term of int q; it joins E_m by max. No evaluation more.
#ifndef CTPG_MULTISTEP_H
#define CTPG_MULTISTEP_H

#include "ctpgbench/estimator.h"

#pragma GCC visibility push(default)

#define CTPG_MULTISTEP_ORDERS 8 // highest order

typedef struct Multistep_s *CtpgMultistep;

// An accepted node; arrays are the solver's, valid during the call.
typedef struct {
  PetscReal t;
  PetscInt number, order;                 // in this solve, 0: its start; of the step that led there
  const PetscReal *y, *predicted, *slope; // [n] y, y^P (y itself at the start), F
} CtpgMultistepNode;

typedef struct {
  void *context;
  // f [n] = F(t, y), and q [nwatched]. Another status than CTPG_OK ends the solve.
  CtpgStatus (*rhs)(void *context, PetscReal t, const PetscReal *y, PetscReal *f, PetscReal *q);
  // M [n, n] for the step that ends at t; *changed: it is not the one of the last call. NULL, as slot or as result: M =
  // 0. Called once before the first step, at its start, after `accept` of node 0.
  const PetscReal *(*matrix)(void *context, PetscReal t, PetscBool *changed);
  // A node was accepted.
  void (*accept)(void *context, const CtpgMultistepNode *node);
  // Two rejections within three steps, or a large one, at the newest node, or a jump before it: M may be to blame.
  // NULL: not wanted.
  void (*trouble)(void *context, const CtpgMultistepNode *node);
} CtpgMultistepCallbacks;

typedef struct {
  PetscInt max_order;    // 1 .. CTPG_MULTISTEP_ORDERS
  PetscReal floor;       // of the error norm, a part of the largest size of any component so far
  PetscInt step_limit;   // accepted and rejected steps of one solve
  PetscBool bdf;         // BDF coefficients
  PetscBool plain_start; // from Euler's step on by the rules for all others, without those of the start
  PetscBool jumps;       // look for jumps of F, which the error terms do not see for what they are (multistep.c)
} CtpgMultistepOptions;

PetscErrorCode CtpgMultistepCreate(CtpgClosedLoop loop, PetscInt n, PetscInt nwatched,
                                   const CtpgMultistepOptions *options, const CtpgMultistepCallbacks *callbacks,
                                   CtpgMultistep *multistep);
PetscErrorCode CtpgMultistepDestroy(CtpgMultistep *multistep);
// Forgets sizes, integrals and counts: before the first piece of a path, from y [n].
void CtpgMultistepStart(CtpgMultistep multistep, const PetscReal *y);
// Scale of the errors of watched quantities: rtol times the larger of int |q| so far and whole [nwatched] (NULL: none),
// which is copied, plus 1e-3 of the largest of these.
void CtpgMultistepWatch(CtpgMultistep multistep, PetscReal rtol, const PetscReal *whole);
// From t0 to t1 > t0 at rtol. Evaluations are booked under `purpose`, those of rejected steps under CTPG_REJECTED. On
// failure the loop has latched why.
void CtpgMultistepSolve(CtpgMultistep multistep, CtpgPurpose purpose, PetscReal t0, PetscReal t1, PetscReal rtol);
const PetscReal *CtpgMultistepGetState(CtpgMultistep multistep);     // y [n] where the last solve ended
const PetscReal *CtpgMultistepGetSizes(CtpgMultistep multistep);     // largest |y_i| [n] since CtpgMultistepStart
const PetscReal *CtpgMultistepGetIntegrals(CtpgMultistep multistep); // int |q| [nwatched] since CtpgMultistepStart
// The error norm of the last solve: rms of e [n] over the tolerances between states a and b [n].
PetscReal CtpgMultistepNorm(CtpgMultistep multistep, const PetscReal *e, const PetscReal *a, const PetscReal *b);
void CtpgMultistepGetCounts(CtpgMultistep multistep, int64_t *steps, int64_t *rejected);

#pragma GCC visibility pop

#endif
