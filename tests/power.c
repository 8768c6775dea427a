// power.c -- preloaded into the program (LD_PRELOAD): a log of all that it writes to files of a folder, for
// test_power.py
//
//   CTPG_POWER_FOLDER  files that lie in it are logged     CTPG_POWER_LOG  the log, appended to
// A record is kind (W: written, B: a sync begins, S: it is over, and has brought to the disk what was written before it
// began, T: of this size), inode, offset and size (64 bits each), then the bytes of a W. Only Linux calls that move
// data are looked at; what is mapped into memory is not (nothing here maps results).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
  int64_t kind, inode, offset, size;
} Record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...)                                                                                          \
  static type (*real)(__VA_ARGS__);                                                                                    \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t RealWrite(int descriptor, const void *bytes, size_t n) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return real(descriptor, bytes, n);
}

// The inode of a descriptor whose file lies in the folder, 0 of any other.
static int64_t InodeOf(int descriptor) {
  const char *folder = getenv("CTPG_POWER_FOLDER");
  char link[64], path[PATH_MAX];
  struct stat info;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0 || !folder || fstat(descriptor, &info) || !S_ISREG(info.st_mode)) return 0;
  path[n] = 0;
  return strncmp(path, folder, strlen(folder)) ? 0 : (int64_t)info.st_ino;
}

static void Log(char kind, int descriptor, int64_t offset, int64_t size, const void *bytes) {
  static int log = -1;
  const Record record = {kind, InodeOf(descriptor), offset, size};
  if (!record.inode) return;
  pthread_mutex_lock(&lock);
  if (log < 0) log = open(getenv("CTPG_POWER_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (RealWrite(log, &record, sizeof record) != sizeof record) abort();
  if (bytes && RealWrite(log, bytes, (size_t)size) != size) abort();
  pthread_mutex_unlock(&lock);
}

static void LogPieces(int descriptor, const struct iovec *piece, int n, int64_t offset) {
  for (int i = 0; i < n; i++) {
    Log('W', descriptor, offset, (int64_t)piece[i].iov_len, piece[i].iov_base);
    offset += (int64_t)piece[i].iov_len;
  }
}

ssize_t write(int descriptor, const void *bytes, size_t n) {
  const off_t at = lseek(descriptor, 0, SEEK_CUR);
  const ssize_t written = RealWrite(descriptor, bytes, n);
  if (written > 0 && at >= 0) Log('W', descriptor, at, written, bytes);
  return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t n, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  const ssize_t written = real(descriptor, bytes, n, at);
  if (written > 0) Log('W', descriptor, at, written, bytes);
  return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t n, off64_t at) {
  return pwrite(descriptor, bytes, n, at);
}

ssize_t pwritev(int descriptor, const struct iovec *piece, int n, off_t at) {
  REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
  const ssize_t written = real(descriptor, piece, n, at);
  if (written > 0) LogPieces(descriptor, piece, n, at);
  return written;
}

ssize_t pwritev64(int descriptor, const struct iovec *piece, int n, off64_t at) {
  return pwritev(descriptor, piece, n, at);
}

ssize_t writev(int descriptor, const struct iovec *piece, int n) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  const off_t at = lseek(descriptor, 0, SEEK_CUR);
  const ssize_t written = real(descriptor, piece, n);
  if (written > 0 && at >= 0) LogPieces(descriptor, piece, n, at);
  return written;
}

int ftruncate(int descriptor, off_t size) {
  REAL(int, "ftruncate", int, off_t);
  const int failed = real(descriptor, size);
  if (!failed) Log('T', descriptor, 0, size, NULL);
  return failed;
}

int ftruncate64(int descriptor, off64_t size) {
  return ftruncate(descriptor, size);
}

int fsync(int descriptor) {
  REAL(int, "fsync", int);
  Log('B', descriptor, 0, 0, NULL);
  const int failed = real(descriptor);
  if (!failed) Log('S', descriptor, 0, 0, NULL);
  return failed;
}

int fdatasync(int descriptor) {
  return fsync(descriptor);
}
