// discrete.h -- "discretise, then optimise": a recorded forward solve, then the reverse sweep over its steps
//
// The slots of an estimator of this kind; its own file adds the options and the descriptor. The gradient is exact for
// the mesh that was used, and the same to the bit for every storage:
//   stages       all stages that the sweep needs: nothing is made again, nor are the outputs of the policy's layers
//                there, unless they are not to be kept
//   states       x at each step; its stages are made again on the way back
//   checkpoints  K states, the last step's stages, and the lengths of the steps where they differ (checkpoints.h)
// The error norm may be weighted with |alpha(t)|, alpha from a pilot: forward solve and sweep at a coarse tolerance,
// booked under CTPG_STARTUP (its rejected attempts as such).
#ifndef CTPG_DISCRETE_H
#define CTPG_DISCRETE_H

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/repeat.h"
#include "ctpgbench/toolkit/reverse.h"

#pragma GCC visibility push(default)

typedef enum { CTPG_STORE_STAGES, CTPG_STORE_STATES, CTPG_STORE_CHECKPOINTS } CtpgStorage;

// |alpha| along the pilot's steps, scaled to a mean square of one over steps and components.
typedef struct {
  PetscReal rtol; // of the pilot
  CtpgForwardSolve forward;
  PetscInt nx, steps, cursor;
  CtpgArena arena;
  CtpgRows rows;      // t, |alpha| [nx], from T down
  PetscReal *weights; // [nx]
} CtpgPilot;

// What a start needs for itself where several go side by side.
typedef struct {
  CtpgClosedLoop loop;
  CtpgForwardSolve forward;
  CtpgReverseSweep sweep;
} CtpgDiscreteLane;

typedef struct {
  CtpgRKOptions rk; // filled by the estimator's create; what follows by CtpgDiscreteAdjointRead..., or zero
  CtpgStorage storage;
  PetscInt checkpoints;
  PetscBool weighted, keep_outputs;
  CtpgPilot pilot;
  CtpgForwardSolve forward;
  CtpgReverseSweep sweep;
  CtpgRepeater repeater;
  PetscReal *x, *stages; // [nx] state between checkpoints, [nkept, nx] stages made again
  PetscInt nx;
  PetscInt nlanes;
  CtpgDiscreteLane lane[CTPG_MOST_AT_ONCE];
} CtpgDiscreteAdjoint;

// storage, checkpoints, error_norm, pilot_rtol; sets the storage among the traits.
PetscErrorCode CtpgDiscreteAdjointReadOptions(CtpgOptions options, CtpgDiscreteAdjoint *d, CtpgTraits *traits);
// keep_outputs, by default where stages are stored, and the storage among the traits.
PetscErrorCode CtpgDiscreteAdjointReadKeep(CtpgOptions options, CtpgDiscreteAdjoint *d, CtpgTraits *traits);
PetscErrorCode CtpgDiscreteAdjointSetUp(void *est, CtpgClosedLoop loop);
PetscErrorCode CtpgDiscreteAdjointGradientOfStart(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                  PetscReal accuracy, CtpgStream *stream, CtpgResult *result);
// Several starts side by side, and how many (CtpgTraits.at_once): with storage stages and the plain error norm.
PetscInt CtpgDiscreteAdjointAtOnce(const CtpgDiscreteAdjoint *d);
PetscErrorCode CtpgDiscreteAdjointGradients(void *est, PetscInt n, const CtpgClosedLoop *loops, const PetscReal *x0,
                                            PetscReal accuracy, CtpgResult *results);
void CtpgDiscreteAdjointDestroy(void **est);

#pragma GCC visibility pop

#endif
