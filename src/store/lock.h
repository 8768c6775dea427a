// lock.h -- one job at a time on a results file, whatever name it is given by
//
// A job that writes holds two locks.
//   on path.lock   flock(2) on a file beside the resolved path, in which the holder says who he is. It excludes jobs
//   that
//                  would make the file at the same time. The kernel releases it when the holder dies, however it dies
//                  (a file left by a dead job does not hinder). Linux passes it on to NFS servers, where it excludes
//                  other nodes too (a dead node's lock goes with its lease, after about 90 s).
//   on the file    an open-file-description lock (fcntl(2)) of one byte far beyond its end. It goes with the inode: a
//   hard
//                  link to the file, or a removed path.lock, does not get around it. It is not HDF5's own lock (flock
//                  on the file), so readers with h5py are not hindered. Not on NFS, whose server takes both for the
//                  same.
// A new file in place of an old one is locked before it gets the name; who has waited for a lock looks whether the path
// still leads to what he has locked, and tries again where it does not. File systems without locks, or with locks
// that other nodes do not see: a warning, no protection between nodes.
#ifndef CTPG_STORE_LOCK_H
#define CTPG_STORE_LOCK_H

#include <petscsys.h>
#include <stdio.h>

// Rank 0. Waits up to three seconds for a job that is dying; then the error names the holder. One lock per process.
PetscErrorCode StoreLock(const char *path);
// The same for a file that is yet to be made: an error where there is one.
PetscErrorCode StoreLockNew(const char *path);
void StoreUnlock(void); // removes path.lock; nothing without a lock
// Who holds the lock of a file: "node1, process 17, Slurm job 4, since ..."; "" nobody. Anybody may ask.
void StoreLockHolder(const char *path, char *holder, size_t size);

// Why a lock on a file of this device may hold on its node alone, as the mount table (/proc/self/mountinfo) tells;
// NULL: nothing speaks against it.
const char *StoreLockDoubt(FILE *mounts, unsigned major, unsigned minor);

// ---- for place.c

// The lock on the file itself, for an open descriptor, which keeps it until it is closed.
typedef enum {
  STORE_LOCKED,
  STORE_LOCK_TAKEN,
  STORE_LOCK_NONE
} StoreLockState; // taken: by another job; none: no locks
StoreLockState StoreLockTry(int descriptor);
// A file, locked by this descriptor, has taken the place of the job's. Takes the descriptor.
void StoreLockPassOn(int descriptor);

#endif
