// place.c -- where a file lies on the disk
//
// A private name is FILE.XXXXXX.new with six random characters, made exclusively. Its maker holds a lock on it as long
// as it lives, so what a killed job has left behind can be told from what a living one is writing, and is removed.

#define _GNU_SOURCE
#include "store/place.h"
#include "store/hdf5.h"
#include "store/lock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRIVATE ".XXXXXX.new"

// ---- links

static int Copy(char *to, const char *text) {
  if (strlen(text) + sizeof PRIVATE >= PETSC_MAX_PATH_LEN) return StoreFail("%s", strerror(ENAMETOOLONG));
  strcpy(to, text);
  return 0;
}

// folder/name where the folder is `path`'s, links in it followed.
static int JoinFolder(const char *path, const char *name, char *joined) {
  char copy[PETSC_MAX_PATH_LEN], *folder;
  STORE_TRY(Copy(copy, path));
  if (!(folder = realpath(dirname(copy), NULL))) return StoreFail("%s", strerror(errno));
  const int n = snprintf(joined, PETSC_MAX_PATH_LEN, "%s/%s", strcmp(folder, "/") ? folder : "", name);
  free(folder);
  return n + sizeof PRIVATE < PETSC_MAX_PATH_LEN ? 0 : StoreFail("%s", strerror(ENAMETOOLONG));
}

static int FollowOnce(char *path, PetscBool *followed) {
  char target[PETSC_MAX_PATH_LEN], joined[PETSC_MAX_PATH_LEN];
  const ssize_t n = readlink(path, target, sizeof target - 1);
  *followed = n >= 0 ? PETSC_TRUE : PETSC_FALSE;
  if (n < 0) return 0;
  target[n] = 0;
  const char *slash = strrchr(path, '/');
  if (target[0] == '/' || !slash) return Copy(path, target);
  if (snprintf(joined, sizeof joined, "%.*s/%s", (int)(slash - path), path, target) >= (int)sizeof joined)
    return StoreFail("%s", strerror(ENAMETOOLONG));
  return Copy(path, joined);
}

int StoreResolve(const char *path, char *resolved) {
  char last[PETSC_MAX_PATH_LEN], copy[PETSC_MAX_PATH_LEN];
  PetscBool followed = PETSC_TRUE;
  STORE_TRY(Copy(last, path));
  for (int links = 0; followed; links++) {
    if (links > 40) return StoreFail("%s", strerror(ELOOP));
    STORE_TRY(FollowOnce(last, &followed));
  }
  STORE_TRY(Copy(copy, last));
  return JoinFolder(last, basename(copy), resolved);
}

// ---- neighbours

int StoreNameBeside(const char *path, const char *ending, char *name) {
  STORE_TRY(StoreResolve(path, name));
  strcat(name, ending); // StoreResolve leaves room
  return 0;
}

PetscErrorCode StorePathBeside(const char *path, const char *ending, char *name) {
  PetscFunctionBeginUser;
  StoreBegin();
  PetscCheck(!StoreNameBeside(path, ending, name), PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", path,
             StoreReason());
  PetscFunctionReturn(0);
}

int StoreOpenBeside(const char *path, int flags) {
  struct stat info;
  const int descriptor = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor < 0 || (!fstat(descriptor, &info) && S_ISREG(info.st_mode))) return descriptor;
  close(descriptor);
  errno = EINVAL;
  return -1;
}

int StoreRemoveBeside(const char *path) {
  struct stat info;
  if (lstat(path, &info)) return errno == ENOENT ? 0 : -1;
  if (!S_ISREG(info.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  return unlink(path);
}

// ---- a file put in place

// Is `name` a private name of the file `base`?
static PetscBool IsPrivate(const char *name, const char *base) {
  const size_t length = strlen(base);
  return strlen(name) == length + sizeof PRIVATE - 1 && !strncmp(name, base, length) && name[length] == '.' &&
                 !strcmp(name + length + sizeof PRIVATE - 5, ".new")
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// What jobs that were killed have left: nobody holds a lock on it.
static void RemoveOrphans(const char *path) {
  char copy[PETSC_MAX_PATH_LEN], other[PETSC_MAX_PATH_LEN];
  const char *base = strrchr(path, '/') + 1;
  strcpy(copy, path);
  DIR *folder = opendir(dirname(copy));
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    if (!IsPrivate(entry->d_name, base)) continue;
    snprintf(other, sizeof other, "%.*s%s", (int)(base - path), path, entry->d_name);
    const int descriptor = StoreOpenBeside(other, O_RDWR);
    if (descriptor < 0) continue;
    if (StoreLockTry(descriptor) == STORE_LOCKED) unlink(other);
    close(descriptor);
  }
  if (folder) closedir(folder);
}

static char under_way[PETSC_MAX_PATH_LEN]; // the private name of the part that is being written; "": none

void StorePartForsake(void) {
  if (under_way[0]) unlink(under_way);
}

// No handler comes between the file and its name here.
static int CreatePart(StorePart *part) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  part->descriptor = mkostemps(part->part, 4, O_CLOEXEC);
  const int reason = errno;
  if (part->descriptor >= 0) strcpy(under_way, part->part);
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = reason;
  return part->descriptor;
}

static int CheckOld(StorePart *part) {
  part->replaces = stat(part->path, &part->old) ? PETSC_FALSE : PETSC_TRUE;
  if (!part->replaces) return errno == ENOENT ? 0 : StoreFail("%s", strerror(errno));
  if (S_ISDIR(part->old.st_mode)) return StoreFail("%s", strerror(EISDIR));
  if (!S_ISREG(part->old.st_mode)) return StoreFail("it is not a regular file");
  if (!(part->old.st_mode & 0222) || access(part->path, W_OK)) return StoreFail("it is read-only");
  return 0;
}

int StorePartBegin(const char *path, StorePart *part) {
  memset(part, 0, sizeof *part);
  part->descriptor = -1;
  STORE_TRY(StoreResolve(path, part->path));
  STORE_TRY(CheckOld(part));
  RemoveOrphans(part->path);
  strcpy(part->part, part->path), strcat(part->part, PRIVATE); // StoreResolve leaves room
  if (CreatePart(part) < 0) {
    part->part[0] = 0;
    return StoreFail("%s", strerror(errno));
  }
  (void)StoreLockTry(part->descriptor); // nobody else knows the name; without locks it is not told from an orphan
  return 0;
}

// Mode, owner and group: those of the file that is replaced, else the usual ones.
static void SetMode(const StorePart *part) {
  const mode_t mask = umask(0);
  umask(mask);
  if (part->replaces && fchown(part->descriptor, part->old.st_uid, part->old.st_gid) &&
      fchown(part->descriptor, (uid_t)-1, part->old.st_gid))
    (void)PetscFPrintf(PETSC_COMM_SELF, stderr, "note: the group of %s could not be kept\n", part->path);
  (void)fchmod(part->descriptor, part->replaces ? part->old.st_mode & 07777 : 0666 & ~mask);
}

// Is what lies at the path what lay there in the beginning?
static PetscBool IsUntouched(const StorePart *part) {
  struct stat now;
  if (stat(part->path, &now)) return part->replaces ? PETSC_FALSE : PETSC_TRUE;
  return part->replaces && now.st_ino == part->old.st_ino && now.st_dev == part->old.st_dev ? PETSC_TRUE : PETSC_FALSE;
}

// A new name is taken exclusively, where the file system can do that.
static int TakeName(const StorePart *part) {
  if (part->replaces) return rename(part->part, part->path);
  if (!link(part->part, part->path)) return unlink(part->part);
  if (errno == EEXIST) return -1;
  return rename(part->part, part->path);
}

// fsync of a directory; file systems that cannot sync one say EINVAL.
static int SyncFolder(const char *path) {
  char copy[PETSC_MAX_PATH_LEN];
  strcpy(copy, path);
  const int descriptor = open(dirname(copy), O_RDONLY | O_CLOEXEC);
  const int failed = descriptor < 0 || (fsync(descriptor) && errno != EINVAL) ? StoreFail("%s", strerror(errno)) : 0;
  if (descriptor >= 0) close(descriptor);
  return failed;
}

int StorePartEnd(StorePart *part) {
  SetMode(part);
  if (fsync(part->descriptor)) return StoreFail("%s", strerror(errno));
  if (!IsUntouched(part)) return StoreFail("another file has taken its place meanwhile");
  if (TakeName(part))
    return StoreFail("%s", errno == EEXIST ? "another file has taken its place meanwhile" : strerror(errno));
  part->part[0] = under_way[0] = 0;
  StoreLockPassOn(part->descriptor);
  part->descriptor = -1;
  return SyncFolder(part->path);
}

void StorePartCancel(StorePart *part) {
  if (part->part[0]) unlink(part->part);
  if (part->descriptor >= 0) close(part->descriptor);
  part->part[0] = under_way[0] = 0;
  part->descriptor = -1;
}
