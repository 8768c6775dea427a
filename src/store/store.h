// store.h -- the results file while a job runs: how rows reach the disk so that nothing that was finished is ever lost
//
// What the file looks like: schema.h. Rows are written into a complete skeleton (create.h), by one rank or by all (see
// CtpgStoreWay): payload first, then its commit. No collective write, nothing is extended.
//
// A row is acknowledged once its commit was written: it then lies in the page cache of a node, where the death of any
// process cannot reach it. The death of a node can, until that node's next checkpoint (fsync).
#ifndef CTPG_STORE_H
#define CTPG_STORE_H

#include "store/create.h"
#include "store/mail.h"

typedef struct CtpgStore_s *CtpgStore;

// How rows reach the file (docs/store.md has the measurements).
//   independent  every rank opens the file with MPI-IO and writes its own rows. A row is acknowledged when Put returns.
//                Needs a file system that is coherent between nodes: one node, Lustre, GPFS; not NFS.
//   writer       rank 0 alone opens the file, with serial HDF5 and no locks; the others send row and arrays in one
//                message, which rank 0 writes when it polls. Its own rows are acknowledged when Put returns; those of
//                another rank only when rank 0 has taken them up: until then a kill of either loses them, and they are
//                run again. At most CTPG_STORE_IN_FLIGHT messages of a rank are under way; one more makes its Put wait.
typedef enum { CTPG_STORE_INDEPENDENT, CTPG_STORE_WRITER } CtpgStoreKind;
typedef struct {
  CtpgStoreKind kind;
  double checkpoint_interval; // s between two fsyncs, 0: only at close
} CtpgStoreWay;

// Collective. Opens the file that StoreCreate made for this plan (same runs and cases in the same rows, else an error
// that asks for StoreCreate with the old contents); the ranks agree on success after each collective HDF5 call. Appends
// a session.
PetscErrorCode StoreOpen(MPI_Comm comm, const char *path, const CtpgStorePlan *plan, const CtpgSession *session,
                         const CtpgStoreWay *way, CtpgStore *store);
// Independent; each payload row first, then its commit. Set row->session. sketch [16]; gtheta [np] is stored only with
// save_gradients; a NULL array is stored as NaN.
PetscErrorCode StorePutRun(CtpgStore store, PetscInt r, CtpgRunRow *row, const PetscReal *sketch,
                           const PetscReal *gtheta);
PetscErrorCode StorePutCase(CtpgStore store, PetscInt c, CtpgCaseRow *row, const PetscReal *gx0,
                            const PetscReal *gtheta);
// Every rank, now and then, at any time between open and close, also while it computes: a writing rank 0 writes what
// has arrived, one rank of each node that writes does the periodic checkpoint, for which nobody waits (syncer.h). An
// error is told once; whoever calls this where errors cannot be returned may drop it: the next Put or Close returns it
// again.
PetscErrorCode StorePoll(CtpgStore store);
// This rank, which is rank 0 or alone on its node: all that it has written is on disk on return.
PetscErrorCode StoreSync(CtpgStore store);
int StoreGetSession(CtpgStore store);
// Collective; writes what is under way and the session's end, then fsync, on every node that wrote.
PetscErrorCode StoreClose(CtpgStore *store);
// The HDF5 file of an open store, -1 on a rank that does not write.
hid_t StoreGetFile(CtpgStore store);

#endif
