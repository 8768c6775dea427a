// train_store.h -- a training file while a job runs: opened by all ranks, each run written by the rank that leads it
#ifndef CTPG_TRAIN_STORE_H
#define CTPG_TRAIN_STORE_H

#include "store/store.h"
#include "store/train_create.h"

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
typedef struct {
  PetscReal error, stderror, norm; // see CTPG_AUDITS
} TrainAudit;
PetscErrorCode TrainStorePutAudit(TrainStore store, PetscInt run, PetscInt a, const TrainAudit *audit);
PetscErrorCode TrainStorePutVisited(TrainStore store, PetscInt run, PetscInt first, PetscInt n, const PetscReal *x);
PetscErrorCode TrainStorePutRow(TrainStore store, PetscInt run, TrainRow *row);

// A point to go on from. The arrays are the caller's; history_hash: TrainHistoryHash over all iterations before.
typedef struct {
  int64_t iteration;
  uint64_t history_hash;
  PetscReal *theta, *optimizer;
  unsigned char *memory;
} TrainSlot;
PetscErrorCode TrainStorePutSlot(TrainStore store, PetscInt run, int k, const TrainSlot *slot);
// The newest valid slot, with the history and the last test before it. *k = -1: there is none.
PetscErrorCode TrainStoreGetSlot(TrainStore store, PetscInt run, TrainSlot *slot, int *k);
PetscErrorCode TrainStoreGetHistory(TrainStore store, PetscInt run, PetscInt first, PetscInt n, TrainHistory *rows);
PetscErrorCode TrainStoreGetTest(TrainStore store, PetscInt run, PetscInt k, PetscReal *loss);

#endif
