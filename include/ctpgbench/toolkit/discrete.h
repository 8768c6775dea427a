// discrete.h -- "discretise, then optimise": a recorded forward solve, then the reverse sweep over its steps
//
// The slots of an estimator of this kind; its own file adds the options and the descriptor. The gradient is exact for the
// mesh that was used, and the same to the bit for every storage:
//   stages       all stages that the sweep needs: nothing is made again
//   states       x at each step; its stages are made again on the way back
//   checkpoints  K states, the last step's stages, and the lengths of the steps where they differ (checkpoints.h)
// The error norm may be weighted with |alpha(t)|, alpha from a pilot: forward solve and sweep at a coarse tolerance, booked
// under CTPG_STARTUP (its rejected attempts as such).
#ifndef CTPG_DISCRETE_H
#define CTPG_DISCRETE_H

#include "ctpgbench/estimator.h"
#include "ctpgbench/toolkit/repeat.h"
#include "ctpgbench/toolkit/reverse.h"

typedef enum { CTPG_STORE_STAGES, CTPG_STORE_STATES, CTPG_STORE_CHECKPOINTS } CtpgStorage;

// |alpha| along the pilot's steps, scaled to a mean square of one over steps and components.
typedef struct {
  PetscReal rtol; // of the pilot
  ForwardSolve forward;
  PetscInt nx, steps, cursor;
  CtpgArena arena;
  CtpgRows rows;      // t, |alpha| [nx], from T down
  PetscReal *weights; // [nx]
} CtpgPilot;

typedef struct {
  RKOptions rk; // filled by the estimator's create; the next three by DiscreteAdjointReadOptions, or zero
  CtpgStorage storage;
  PetscInt checkpoints;
  PetscBool weighted;
  CtpgPilot pilot;
  ForwardSolve forward;
  ReverseSweep sweep;
  Repeater repeater;
  PetscReal *x, *stages; // [nx] state between checkpoints, [nkept, nx] stages made again
  PetscInt nx;
} DiscreteAdjoint;

// storage, checkpoints, error_norm, pilot_rtol; sets the storage among the traits.
PetscErrorCode DiscreteAdjointReadOptions(CtpgOptions options, DiscreteAdjoint *d, CtpgTraits *traits);
PetscErrorCode DiscreteAdjointSetUp(void *est, ClosedLoop loop);
PetscErrorCode DiscreteAdjointGradient(void *est, ClosedLoop loop, PetscInt B, const PetscReal *x0, PetscReal accuracy,
                                       CtpgStream *stream, CtpgResult *result);
void DiscreteAdjointDestroy(void **est);

#endif
