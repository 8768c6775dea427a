// draws.h -- checks of a stochastic estimator over many draws
#ifndef CTPG_CHECK_DRAWS_H
#define CTPG_CHECK_DRAWS_H

#include "check/report.h"

// Draw number `index`: g [n] with so many samples, and the estimator's own error bar (NaN: none). good: cleared on failure.
typedef PetscErrorCode (*CheckDraw)(void *context, PetscReal samples, uint64_t index, PetscReal *g,
                                    PetscReal *error_bar, PetscBool *good);
// Is the mean of many draws the truth [n], are the error bars honest, does the error fall like samples^-order?
PetscErrorCode CheckDraws(CheckReport *report, CheckDraw draw, void *context, PetscInt n, const PetscReal *truth,
                          PetscReal order);

#endif
