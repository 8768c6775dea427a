// slow.c -- preloaded by tests: each pwrite waits CTPG_TEST_SLOW microseconds, so that a test can come in between; each
// fsync waits CTPG_TEST_SLOW_SYNC microseconds, and fails after as many as CTPG_TEST_SYNCS says

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t Write(int, const void *, size_t, off_t);

static ssize_t Slowly(const char *name, int descriptor, const void *bytes, size_t n, off_t at) {
  const char *wait = getenv("CTPG_TEST_SLOW");
  Write *real = (Write *)dlsym(RTLD_NEXT, name);
  if (wait) usleep((useconds_t)atoi(wait));
  return real(descriptor, bytes, n, at);
}

__attribute__((visibility("default"))) ssize_t pwrite(int descriptor, const void *bytes, size_t n, off_t at) {
  return Slowly("pwrite", descriptor, bytes, n, at);
}

__attribute__((visibility("default"))) ssize_t pwrite64(int descriptor, const void *bytes, size_t n, off64_t at) {
  return Slowly("pwrite64", descriptor, bytes, n, at);
}

__attribute__((visibility("default"))) int fsync(int descriptor) {
  static int syncs;
  const char *wait = getenv("CTPG_TEST_SLOW_SYNC"), *sound = getenv("CTPG_TEST_SYNCS");
  if (wait) usleep((useconds_t)atoi(wait));
  if (sound && syncs++ >= atoi(sound)) {
    errno = EIO;
    return -1;
  }
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}
