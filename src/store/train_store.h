// train_store.h -- a training file while a job runs: opened by all ranks, each run written by the rank that leads it
#ifndef CTPG_TRAIN_STORE_H
#define CTPG_TRAIN_STORE_H

#include "store/store.h"
#include "store/train_create.h"
#include "store/train_slots.h"

typedef struct TrainStore_s *TrainStore;
// Collective, as StoreOpen and StoreClose.
PetscErrorCode TrainStoreOpen(MPI_Comm comm, const char *path, const TrainLayout *layout, const CtpgSession *session,
                              TrainStore *store);
PetscErrorCode TrainStoreClose(TrainStore *store);
int TrainStoreGetSession(TrainStore store);
// As StorePoll and StoreSync.
PetscErrorCode TrainStorePoll(TrainStore store);
PetscErrorCode TrainStoreSync(TrainStore store);

// Independent; by the rank that leads the run. A PETSc error names the file and the reason.
PetscErrorCode TrainStorePutHistory(TrainStore store, PetscInt run, PetscInt first, PetscInt n,
                                    const TrainHistory *rows);
PetscErrorCode TrainStorePutTheta(TrainStore store, PetscInt run, PetscInt k, const PetscReal *theta);
PetscErrorCode TrainStorePutTest(TrainStore store, PetscInt run, PetscInt k, PetscReal loss, PetscInt failures);
// path [path_starts, path_points, nx] and control [path_starts, path_points, nu] at snapshot k.
PetscErrorCode TrainStorePutPaths(TrainStore store, PetscInt run, PetscInt k, const PetscReal *path,
                                  const PetscReal *control);
PetscErrorCode TrainStorePutAudit(TrainStore store, PetscInt run, PetscInt a, const TrainAudit *audit);
PetscErrorCode TrainStorePutVisited(TrainStore store, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x);
// The run is finished: its arrays are brought to the disk, then its row and the commit, which vouches for all of them.
PetscErrorCode TrainStorePutRow(TrainStore store, PetscInt run, TrainRow *row);

// At a checkpoint: brings all that was written before to the disk, then writes slot k, which vouches for it.
PetscErrorCode TrainStorePutSlot(TrainStore store, PetscInt run, int k, const TrainSlot *slot);
// When a run begins: the newest slot that is valid, with all that it vouches for. *k = -1: there is none.
PetscErrorCode TrainStoreGetSlot(TrainStore store, PetscInt run, TrainSlot *slot, int *k);
PetscErrorCode TrainStoreGetHistory(TrainStore store, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows);
PetscErrorCode TrainStoreGetTest(TrainStore store, PetscInt run, PetscInt k, PetscReal *loss);

#endif
