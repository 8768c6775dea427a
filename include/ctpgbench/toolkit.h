// toolkit.h -- parts that the estimators of this suite share: Runge-Kutta tables and solves on PETSc TS, what a forward
// solve leaves behind, reverse sweeps, splines, quadratures
//
// For estimators that want to build on them. It follows the needs of the suite: no stable binary interface, and names
// may change from one version to the next.
#ifndef CTPG_TOOLKIT_H
#define CTPG_TOOLKIT_H

#include "ctpgbench/ctpgbench.h"
#include "ctpgbench/toolkit/backsolve.h"
#include "ctpgbench/toolkit/checkpoints.h"
#include "ctpgbench/toolkit/discrete.h"
#include "ctpgbench/toolkit/drift.h"
#include "ctpgbench/toolkit/forward.h"
#include "ctpgbench/toolkit/frozenloss.h"
#include "ctpgbench/toolkit/gausssweep.h"
#include "ctpgbench/toolkit/guard.h"
#include "ctpgbench/toolkit/implicit.h"
#include "ctpgbench/toolkit/jacobians.h"
#include "ctpgbench/toolkit/multistep.h"
#include "ctpgbench/toolkit/nodes.h"
#include "ctpgbench/toolkit/quadrature.h"
#include "ctpgbench/toolkit/repeat.h"
#include "ctpgbench/toolkit/reverse.h"
#include "ctpgbench/toolkit/rkerror.h"
#include "ctpgbench/toolkit/rksolver.h"
#include "ctpgbench/toolkit/rkstep.h"
#include "ctpgbench/toolkit/rktable.h"
#include "ctpgbench/toolkit/spline.h"
#include "ctpgbench/toolkit/stride.h"

#endif
