// foreign.c -- preloaded by tests: this machine as another one
//
// CTPG_TEST_BLAS: dot products whose last bit is another, as those of another BLAS. CTPG_TEST_LIBM: another libm,
// so far off that no rounding hides it. CTPG_TEST_CPU: model of the CPU as
// /proc/cpuinfo would give it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double Dot(const int *, const double *, const int *, const double *, const int *);
typedef double Function(double);
typedef FILE *Open(const char *, const char *);

__attribute__((visibility("default"))) double ddot_(const int *n, const double *x, const int *incx, const double *y,
                                                    const int *incy) {
  const double dot = ((Dot *)dlsym(RTLD_NEXT, "ddot_"))(n, x, incx, y, incy);
  return getenv("CTPG_TEST_BLAS") ? dot * (1 + 0x1p-52) : dot;
}

#define OTHER(name)                                                                                                    \
  __attribute__((visibility("default"))) double name(double x) {                                                       \
    const double value = ((Function *)dlsym(RTLD_NEXT, #name))(x);                                                     \
    return getenv("CTPG_TEST_LIBM") ? value * (1 + 0x1p-40) : value;                                                   \
  }
OTHER(sin)
OTHER(cos)
OTHER(exp)
OTHER(log)
OTHER(log10)
OTHER(cbrt)

static FILE *OpenOther(const char *name, const char *path, const char *mode) {
  static char text[256];
  const char *model = getenv("CTPG_TEST_CPU");
  if (!model || strcmp(path, "/proc/cpuinfo")) return ((Open *)dlsym(RTLD_NEXT, name))(path, mode);
  snprintf(text, sizeof text, "model name\t: %s\n", model);
  return fmemopen(text, strlen(text), "r");
}

__attribute__((visibility("default"))) FILE *fopen(const char *path, const char *mode) {
  return OpenOther("fopen", path, mode);
}

__attribute__((visibility("default"))) FILE *fopen64(const char *path, const char *mode) {
  return OpenOther("fopen64", path, mode);
}
