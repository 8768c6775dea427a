// lock.c -- one job at a time on a results file: a lock on the name, then a lock on what the name leads to

#define _GNU_SOURCE // F_OFD_SETLK
#include "store/lock.h"
#include "base/parse.h"
#include "base/system.h"
#include "store/hdf5.h"
#include "store/place.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PATIENCE 3.0 // s for a job that is dying

static char lock_path[PETSC_MAX_PATH_LEN];
static int name_lock = -1; // path.lock
static int file_lock = -1; // the file itself, -1: there is none yet, or it cannot be locked

// ---- the file itself

static PetscBool IsNFS(int descriptor) {
  struct statfs info;
  return !fstatfs(descriptor, &info) && info.f_type == NFS_SUPER_MAGIC ? PETSC_TRUE : PETSC_FALSE;
}

StoreLockState StoreLockTry(int descriptor) {
  const off_t far_away = (off_t)1 << 62; // no file is that long
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = far_away, .l_len = 1};
  if (IsNFS(descriptor)) return STORE_LOCK_NONE;
  if (!fcntl(descriptor, F_OFD_SETLK, &lock)) return STORE_LOCKED;
  return errno == EAGAIN || errno == EACCES ? STORE_LOCK_TAKEN : STORE_LOCK_NONE;
}

// Does the path still lead to what the descriptor has open?
static PetscBool IsAt(int descriptor, const char *path) {
  struct stat mine, there;
  return !fstat(descriptor, &mine) && !stat(path, &there) && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// Locks what lies at the path; nothing to lock is fine, too. FALSE: another job holds it.
static PetscBool TryFile(const char *path) {
  for (;;) {
    struct stat info;
    if (stat(path, &info) || !S_ISREG(info.st_mode)) return PETSC_TRUE;
    const int descriptor = StoreOpenBeside(path, O_RDWR);
    if (descriptor < 0) return PETSC_TRUE; // it cannot be written either: that is said later
    const StoreLockState state = StoreLockTry(descriptor);
    if (state == STORE_LOCKED && IsAt(descriptor, path)) {
      file_lock = descriptor;
      return PETSC_TRUE;
    }
    close(descriptor);
    if (state != STORE_LOCKED) return state == STORE_LOCK_NONE ? PETSC_TRUE : PETSC_FALSE;
  }
}

void StoreLockPassOn(int descriptor) {
  if (name_lock < 0) {
    close(descriptor);
    return;
  }
  if (file_lock >= 0) close(file_lock);
  file_lock = descriptor;
}

// ---- the name

// The locked descriptor, or -1 with errno: EWOULDBLOCK while somebody holds it. The last holder removes his file: a
// lock on a file that is not there any more, or another one, is worth nothing.
static int TryName(const char *path) {
  for (;;) {
    const int descriptor = StoreOpenBeside(path, O_RDWR | O_CREAT);
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
  const int descriptor = StoreOpenBeside(path, O_RDONLY);
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

// ---- can it be trusted?

static const char *DoubtMount(const char *type, const char *options) {
  const PetscBool nfs = !strcmp(type, "nfs") || !strcmp(type, "nfs4") ? PETSC_TRUE : PETSC_FALSE;
  if (nfs && (ParseIsListed(options, "nolock") || ParseIsListed(options, "local_lock=all") ||
              ParseIsListed(options, "local_lock=flock")))
    return "NFS, mounted so that locks stay on the node (nolock, local_lock)";
  if (!strcmp(type, "lustre") && ParseIsListed(options, "localflock"))
    return "Lustre, mounted so that locks stay on the node (localflock)";
  if (!strcmp(type, "beegfs")) return "BeeGFS, whose locks stay on the node unless tuneUseGlobalFileLocks is set";
  if (!strncmp(type, "fuse", 4)) return "of the kind FUSE, whose locks mostly stay on the node";
  return NULL;
}

// A line: number, parent, MAJOR:MINOR, root, place, options, .., "-", TYPE, source, OPTIONS.
const char *StoreLockDoubt(FILE *mounts, unsigned major, unsigned minor) {
  char line[4096], type[64], options[2048];
  const char *doubt = NULL;
  while (fgets(line, sizeof line, mounts)) { // what is mounted later counts
    const char *rest = strstr(line, " - ");
    unsigned a, b;
    options[0] = 0;
    if (!rest || sscanf(line, "%*u %*u %u:%u", &a, &b) != 2 || a != major || b != minor) continue;
    if (sscanf(rest, " - %63s %*s %2047s", type, options) >= 1) doubt = DoubtMount(type, options);
  }
  return doubt;
}

static PetscErrorCode WarnOfDoubt(const char *path) {
  struct stat info;
  FILE *mounts = fopen("/proc/self/mountinfo", "r");
  const char *doubt =
      mounts && !fstat(name_lock, &info) ? StoreLockDoubt(mounts, major(info.st_dev), minor(info.st_dev)) : NULL;
  PetscFunctionBeginUser;
  if (mounts) fclose(mounts);
  if (doubt)
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: %s lies on a file system %s: nothing keeps a job on another node from it\n", path,
                           doubt));
  PetscFunctionReturn(0);
}

// ---- both

void StoreUnlock(void) {
  if (name_lock < 0) return;
  unlink(lock_path); // before the lock goes: the next holder's file must stay
  close(name_lock);
  if (file_lock >= 0) close(file_lock);
  name_lock = file_lock = -1;
}

// 0, or the errno of the failure: EWOULDBLOCK while another job holds the name, EBUSY while one holds the file.
static int TryBoth(const char *path) {
  char resolved[PETSC_MAX_PATH_LEN];
  name_lock = TryName(lock_path);
  if (name_lock < 0) return errno;
  if (StoreResolve(path, resolved) || TryFile(resolved)) return 0;
  StoreUnlock();
  return EBUSY;
}

// Why path.lock cannot be opened.
static const char *Explain(int reason) {
  if (reason == ELOOP) return "it is a symbolic link; remove it";
  if (reason == EINVAL || reason == ENXIO) return "it is not a regular file; remove it";
  return strerror(reason);
}

// Neither file can be made there: the one to name is the user's.
static PetscBool IsOfFolder(int reason) {
  return reason == ENOENT || reason == ENOTDIR ? PETSC_TRUE : PETSC_FALSE;
}

static PetscBool IsTaken(int reason) {
  return reason == EWOULDBLOCK || reason == EBUSY ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode StoreLock(const char *path) {
  const double start = CtpgSeconds();
  char holder[512] = "which was started with another name of this file";

  PetscFunctionBeginUser;
  StoreBegin();
  PetscCheck(!StoreNameBeside(path, ".lock", lock_path), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot write %s: %s",
             path, StoreReason());
  int reason = TryBoth(path);
  for (; IsTaken(reason) && CtpgSeconds() - start < PATIENCE; reason = TryBoth(path)) SystemNap(0.05);
  if (reason == ENOLCK || reason == ENOSYS || reason == EOPNOTSUPP) {
    PetscCall(PetscFPrintf(PETSC_COMM_SELF, stderr,
                           "warning: the file system of %s has no locks: nothing keeps a second job from it\n", path));
    PetscFunctionReturn(0);
  }
  if (reason == EWOULDBLOCK) ReadHolder(lock_path, holder, sizeof holder);
  PetscCheck(!IsTaken(reason), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN,
             "%s is in use by another job (%s); wait for its end, or give another -out", path,
             holder[0] ? holder : "unknown");
  PetscCheck(!reason, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot write %s: %s",
             IsOfFolder(reason) ? path : lock_path, Explain(reason));
  WriteHolder(name_lock);
  PetscCall(WarnOfDoubt(path));
  PetscFunctionReturn(0);
}

PetscErrorCode StoreLockNew(const char *path) {
  PetscFunctionBeginUser;
  PetscCall(StoreLock(path));
  if (access(path, F_OK)) PetscFunctionReturn(0);
  StoreUnlock();
  SETERRQ(PETSC_COMM_SELF, PETSC_ERR_USER_INPUT, "-out %s exists; a new file is written, and none is changed", path);
}

void StoreLockHolder(const char *path, char *holder, size_t size) {
  char lock[PETSC_MAX_PATH_LEN];
  holder[0] = 0;
  StoreBegin();
  if (StoreNameBeside(path, ".lock", lock)) return;
  const int descriptor = StoreOpenBeside(lock, O_RDONLY);
  if (descriptor < 0) return;
  if (flock(descriptor, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) ReadHolder(lock, holder, size);
  close(descriptor);
}
