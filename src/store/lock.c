// lock.c -- one job at a time on a results file

#include "store/lock.h"
#include "base/system.h"
#include "ctpgbench/base.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE 3.0 // s for a job that is dying

static char lock_path[PETSC_MAX_PATH_LEN];
static int lock_descriptor = -1;

static int LockPath(const char *path, char *lock) {
  return snprintf(lock, PETSC_MAX_PATH_LEN, "%s.lock", path) >= PETSC_MAX_PATH_LEN ? -1 : 0;
}

// The last holder removes its file: a lock on a file that is not there any more, or another one, is worth nothing.
static PetscBool IsAt(int descriptor, const char *path) {
  struct stat mine, there;
  return !fstat(descriptor, &mine) && !stat(path, &there) && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// The locked descriptor, or -1 with errno: EWOULDBLOCK while somebody holds it.
static int TryLock(const char *path) {
  for (;;) {
    const int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return -1;
    const int failed = flock(descriptor, LOCK_EX | LOCK_NB);
    if (!failed && IsAt(descriptor, path)) return descriptor;
    const int reason = errno;
    close(descriptor);
    errno = reason;
    if (failed) return -1;
  }
}

static void ReadHolder(const char *path, char *holder, size_t size) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t n = descriptor < 0 ? 0 : read(descriptor, holder, size - 1);
  holder[n > 0 ? n : 0] = 0;
  holder[strcspn(holder, "\n")] = 0;
  if (descriptor >= 0) close(descriptor);
}

static void WriteHolder(int descriptor) {
  const char *slurm = getenv("SLURM_JOB_ID"), *pbs = getenv("PBS_JOBID");
  char text[512], host[128] = "", since[SYSTEM_UTC_SIZE];
  gethostname(host, sizeof host - 1);
  SystemUTC(since);
  const int n = snprintf(text, sizeof text, "%s, process %ld%s%s, since %s\n", host, (long)getpid(),
                         slurm ? ", Slurm job "
                         : pbs ? ", PBS job "
                               : "",
                         slurm ? slurm
                         : pbs ? pbs
                               : "",
                         since);
  if (ftruncate(descriptor, 0) || pwrite(descriptor, text, PetscMin((size_t)n, sizeof text - 1), 0) < 0)
    return; // the lock counts, not what it says
}

PetscErrorCode StoreLock(const char *path) {
  const double start = CtpgSeconds();
  char holder[512];

  PetscFunctionBeginUser;
  PetscCheck(!LockPath(path, lock_path), PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "The file name %s is too long", path);
  lock_descriptor = TryLock(lock_path);
  while (lock_descriptor < 0 && errno == EWOULDBLOCK && CtpgSeconds() - start < PATIENCE) {
    SystemNap(0.05);
    lock_descriptor = TryLock(lock_path);
  }
  if (lock_descriptor < 0 && (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP)) {
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: the file system of %s has no locks: nothing keeps a second job from it\n", path));
    PetscFunctionReturn(0);
  }
  const int reason = errno;
  ReadHolder(lock_path, holder, sizeof holder);
  PetscCheck(lock_descriptor >= 0 || reason != EWOULDBLOCK, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN,
             "%s is in use by another job (%s); wait for its end, or give another -out", path,
             holder[0] ? holder : "unknown");
  PetscCheck(lock_descriptor >= 0, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot write %s: %s", path, strerror(reason));
  WriteHolder(lock_descriptor);
  PetscFunctionReturn(0);
}

void StoreUnlock(void) {
  if (lock_descriptor < 0) return;
  unlink(lock_path); // before the lock goes: the next holder's file must stay
  close(lock_descriptor);
  lock_descriptor = -1;
}

void StoreLockHolder(const char *path, char *holder, size_t size) {
  char lock[PETSC_MAX_PATH_LEN];
  holder[0] = 0;
  if (LockPath(path, lock)) return;
  const int descriptor = open(lock, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  if (flock(descriptor, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) ReadHolder(lock, holder, size);
  close(descriptor);
}
