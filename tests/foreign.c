// foreign.c -- preloaded by tests: this machine as another one
//
// CTPG_TEST_BLAS, CTPG_TEST_LIBM: another BLAS and LAPACK, another libm, so far off that no rounding hides it.
// CTPG_TEST_CPU: model of the CPU as /proc/cpuinfo would give it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double Function(double);
typedef double Function2(double, double);
typedef FILE *Open(const char *, const char *);

#define SHOWN            __attribute__((visibility("default")))
#define REAL(type, name) ((type *)dlsym(RTLD_NEXT, name))

static double Factor(const char *variable) {
  return getenv(variable) ? 1 + 0x1p-40 : 1;
}

typedef double Dot(const int *, const double *, const int *, const double *, const int *);
SHOWN double ddot_(const int *n, const double *x, const int *incx, const double *y, const int *incy) {
  return REAL(Dot, "ddot_")(n, x, incx, y, incy) * Factor("CTPG_TEST_BLAS");
}

typedef void Axpy(const int *, const double *, const double *, const int *, double *, const int *);
SHOWN void daxpy_(const int *n, const double *a, const double *x, const int *incx, double *y, const int *incy) {
  const double other = *a * Factor("CTPG_TEST_BLAS");
  REAL(Axpy, "daxpy_")(n, &other, x, incx, y, incy);
}

typedef void Gemm(const char *, const char *, const int *, const int *, const int *, const double *, const double *,
                  const int *, const double *, const int *, const double *, double *, const int *, size_t, size_t);
SHOWN void dgemm_(const char *opA, const char *opB, const int *m, const int *n, const int *k, const double *alpha,
                  const double *A, const int *lda, const double *B, const int *ldb, const double *beta, double *C,
                  const int *ldc, size_t lengthA, size_t lengthB) {
  const double other = *alpha * Factor("CTPG_TEST_BLAS");
  REAL(Gemm, "dgemm_")(opA, opB, m, n, k, &other, A, lda, B, ldb, beta, C, ldc, lengthA, lengthB);
}

typedef void Solve(const int *, const int *, double *, const int *, int *, double *, const int *, int *);
SHOWN void dgesv_(const int *n, const int *count, double *A, const int *lda, int *pivots, double *B, const int *ldb,
                  int *info) {
  REAL(Solve, "dgesv_")(n, count, A, lda, pivots, B, ldb, info);
  B[0] *= Factor("CTPG_TEST_BLAS");
}

typedef void Substitute(const char *, const int *, const int *, const double *, const int *, const int *, double *,
                        const int *, int *, size_t);
SHOWN void dgetrs_(const char *op, const int *n, const int *count, const double *A, const int *lda, const int *pivots,
                   double *B, const int *ldb, int *info, size_t length) {
  REAL(Substitute, "dgetrs_")(op, n, count, A, lda, pivots, B, ldb, info, length);
  B[0] *= Factor("CTPG_TEST_BLAS");
}

#define OTHER(name)                                                                                                    \
  SHOWN double name(double x) {                                                                                        \
    return REAL(Function, #name)(x) * Factor("CTPG_TEST_LIBM");                                                        \
  }
#define OTHER2(name)                                                                                                   \
  SHOWN double name(double x, double y) {                                                                              \
    return REAL(Function2, #name)(x, y) * Factor("CTPG_TEST_LIBM");                                                    \
  }
OTHER(sin)
OTHER(cos)
OTHER(tan)
OTHER(atan)
OTHER(exp)
OTHER(expm1)
OTHER(log)
OTHER(log10)
OTHER(tanh)
OTHER(cbrt)
OTHER2(atan2)
OTHER2(pow)

static FILE *OpenOther(const char *name, const char *path, const char *mode) {
  static char text[256];
  const char *model = getenv("CTPG_TEST_CPU");
  if (!model || strcmp(path, "/proc/cpuinfo")) return REAL(Open, name)(path, mode);
  snprintf(text, sizeof text, "model name\t: %s\n", model);
  return fmemopen(text, strlen(text), "r");
}

SHOWN FILE *fopen(const char *path, const char *mode) {
  return OpenOther("fopen", path, mode);
}

SHOWN FILE *fopen64(const char *path, const char *mode) {
  return OpenOther("fopen64", path, mode);
}
