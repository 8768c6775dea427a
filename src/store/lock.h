// lock.h -- one job at a time on a results file
#ifndef CTPG_STORE_LOCK_H
#define CTPG_STORE_LOCK_H

#include <petscsys.h>

// A job holds flock(2) on path.lock while it writes; what is in it says who. flock: released by the kernel when the
// holder dies, however it dies (a file left by a dead job does not hinder), and not, as with fcntl's locks, when some
// other descriptor of the process is closed; Linux passes it on to NFS servers, where it excludes other nodes too (a
// dead node's lock goes with its lease, after about 90 s). File systems without locks: a warning, no protection.
// Rank 0. Waits up to three seconds for a job that is dying; then the error names the holder.
PetscErrorCode StoreLock(const char *path);
void StoreUnlock(void); // removes path.lock; nothing without a lock
// Who holds the lock of a file: "node1, process 17, Slurm job 4, since ..."; "" nobody. Anybody may ask.
void StoreLockHolder(const char *path, char *holder, size_t size);

#endif
