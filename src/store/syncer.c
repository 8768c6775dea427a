// syncer.c -- see syncer.h; the thread calls nothing but fsync

#include "store/syncer.h"
#include "base/system.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void Sync(Syncer *s) {
  if (fsync(s->descriptor) && !s->reason) s->reason = errno;
}

static void *Live(void *syncer) {
  Syncer *s = syncer;
  pthread_mutex_lock(&s->lock);
  while (s->state != SYNCER_ENDS) {
    if (s->state != SYNCER_WANTED) {
      pthread_cond_wait(&s->changed, &s->lock);
      continue;
    }
    s->state = SYNCER_AT_WORK;
    pthread_mutex_unlock(&s->lock);
    const int failed = fsync(s->descriptor) ? errno : 0;
    pthread_mutex_lock(&s->lock);
    if (failed && !s->reason) s->reason = failed;
    s->state = SYNCER_RESTS;
    pthread_cond_broadcast(&s->changed);
  }
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

void SyncerStart(Syncer *s, int descriptor) {
  memset(s, 0, sizeof *s);
  s->descriptor = descriptor;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
  s->lives = SystemStartThread(&s->thread, Live, s) ? PETSC_FALSE : PETSC_TRUE;
}

// With the lock held.
static void WaitForRest(Syncer *s) {
  while (s->lives && s->state != SYNCER_RESTS) pthread_cond_wait(&s->changed, &s->lock);
}

void SyncerStop(Syncer *s) {
  if (!s->lives) return;
  pthread_mutex_lock(&s->lock);
  WaitForRest(s);
  s->state = SYNCER_ENDS;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  pthread_join(s->thread, NULL);
  s->lives = PETSC_FALSE;
}

void SyncerWant(Syncer *s) {
  pthread_mutex_lock(&s->lock);
  if (!s->lives)
    Sync(s);
  else if (s->state == SYNCER_RESTS) {
    s->state = SYNCER_WANTED;
    pthread_cond_broadcast(&s->changed);
  }
  pthread_mutex_unlock(&s->lock);
}

int SyncerNow(Syncer *s) {
  pthread_mutex_lock(&s->lock);
  WaitForRest(s);
  Sync(s);
  const int reason = s->reason;
  pthread_mutex_unlock(&s->lock);
  return reason;
}

int SyncerReason(Syncer *s) {
  pthread_mutex_lock(&s->lock);
  const int reason = s->reason;
  pthread_mutex_unlock(&s->lock);
  return reason;
}
