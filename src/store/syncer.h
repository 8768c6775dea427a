// syncer.h -- fsync in a thread of its own, so that who answers messages does not wait for a disk
#ifndef CTPG_SYNCER_H
#define CTPG_SYNCER_H

#include <petscsys.h>
#include <pthread.h>

typedef struct {
  int descriptor; // to be synced; the caller's
  PetscBool lives;
  enum { SYNCER_RESTS, SYNCER_WANTED, SYNCER_AT_WORK, SYNCER_ENDS } state;
  int reason; // errno of a sync that failed in the thread, 0: none has
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} Syncer;

// Without a thread (none can be had) SyncerWant syncs at once.
void SyncerStart(Syncer *syncer, int descriptor);
void SyncerStop(Syncer *syncer); // when what is under way is over; nothing for one that was not started
// Begins to sync what was written so far, unless a sync is under way.
void SyncerWant(Syncer *syncer);
// All that was written is on the disk on return. 0, or the errno of this sync or of one before it.
int SyncerNow(Syncer *syncer);
int SyncerReason(Syncer *syncer); // errno of a sync that failed, 0: none has

#endif
