// ctpgbench.h -- all that a problem or an estimator needs: the public contract in one include
//
// A problem's contract is problem.h, an estimator's estimator.h; what an estimator may call of the closed loop is
// closedloop.h. This contract is stable within a CTPG_ABI. toolkit.h beside it has Runge-Kutta solves and sweeps for
// estimators, and promises no stability.
#ifndef CTPG_CTPGBENCH_H
#define CTPG_CTPGBENCH_H

#include "ctpgbench/arena.h"
#include "ctpgbench/base.h"
#include "ctpgbench/closedloop.h"
#include "ctpgbench/estimator.h"
#include "ctpgbench/functions.h"
#include "ctpgbench/options.h"
#include "ctpgbench/plugin.h"
#include "ctpgbench/problem.h"
#include "ctpgbench/random.h"

#endif
