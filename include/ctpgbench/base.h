// base.h -- the words that every contract of ctpgbench uses: statuses, purposes, counts, descriptor head
//
// The lists are X-macros: enumeration, file column and printed name come from one place and cannot drift apart.
#ifndef CTPG_BASE_H
#define CTPG_BASE_H

#include <petscsys.h>
#include <stdint.h>

#pragma GCC visibility push(default)

#if !defined(PETSC_USE_REAL_DOUBLE) || defined(PETSC_USE_COMPLEX)
#error "ctpgbench needs a PETSc with real scalars in double precision"
#endif

// MPI's word for PetscBool, which was an int before 3.24.
#if PETSC_VERSION_LT(3, 24, 0)
#define CTPG_MPI_BOOL MPIU_BOOL
#else
#define CTPG_MPI_BOOL MPI_C_BOOL
#endif

// Version of the binary interface of the descriptors below. A plug-in built against another one is refused.
#define CTPG_ABI 2

// How a call, an evaluation or a whole run ended. A status is a result: it never raises a PETSc error.
//   diverged     f, w, a product or the state stopped being finite
//   domain       the plant says that it is not defined there (quadrotor at 90 degrees of pitch)
//   step_limit   the time stepper used up -step_limit steps or rejections
//   eval_limit   the run used up -eval_limit evaluations
//   timeout      the run used up -run_time_limit seconds
//   interrupted  a signal asked the program to stop
//   crashed      set by the crash handler of the rank that ran it
//   skipped      the problem or the closed loop lacks something that this estimator needs
#define CTPG_STATUSES(X)                                                                                               \
  X(CTPG_OK, "ok")                                                                                                     \
  X(CTPG_DIVERGED, "diverged")                                                                                         \
  X(CTPG_DOMAIN, "domain")                                                                                             \
  X(CTPG_STEP_LIMIT, "step_limit")                                                                                     \
  X(CTPG_EVAL_LIMIT, "eval_limit")                                                                                     \
  X(CTPG_TIMEOUT, "timeout")                                                                                           \
  X(CTPG_INTERRUPTED, "interrupted")                                                                                   \
  X(CTPG_CRASHED, "crashed")                                                                                           \
  X(CTPG_SKIPPED, "skipped")
#define CTPG_STATUS_ENUMERATOR(name, word) name,
typedef enum { CTPG_STATUSES(CTPG_STATUS_ENUMERATOR) CTPG_NUM_STATUSES } CtpgStatus;
#undef CTPG_STATUS_ENUMERATOR

// Why an evaluation was made. Purposes split the totals and cannot change them.
//   forward    accepted steps of the forward solve
//   adjoint    accepted steps of the backward solve, reverse sweeps
//   dense      extra evaluations for a dense output
//   recompute  forward evaluations made again on the way back
//   startup    choice of the first step
//   rejected   attempted steps that the error control threw away
// The list: Y(X, CTPG_NAME, word, text) for each, X being whatever the caller passes through.
#define CTPG_PURPOSES_FOR(Y, X)                                                                                        \
  Y(X, CTPG_FORWARD, forward, "in accepted forward steps")                                                             \
  Y(X, CTPG_ADJOINT, adjoint, "in accepted backward steps")                                                            \
  Y(X, CTPG_DENSE, dense, "for a dense output")                                                                        \
  Y(X, CTPG_RECOMPUTE, recompute, "repeated on the way back")                                                          \
  Y(X, CTPG_STARTUP, startup, "to choose first steps")                                                                 \
  Y(X, CTPG_REJECTED, rejected, "in rejected steps")
#define CTPG_PURPOSE_WORD(X, name, word, text) X(name, word)
#define CTPG_PURPOSES(X)                       CTPG_PURPOSES_FOR(CTPG_PURPOSE_WORD, X)
#define CTPG_PURPOSE_ENUMERATOR(name, word)    name,
typedef enum { CTPG_PURPOSES(CTPG_PURPOSE_ENUMERATOR) CTPG_NUM_PURPOSES } CtpgPurpose;
#undef CTPG_PURPOSE_ENUMERATOR

// Work of a run, counted by the closed loop alone.
//   nf          evaluations of f (with its w); n points count n
//   nvjp        vector-Jacobian products, joint or single
//   nvjp_x      those of them that delivered lambda' f_x
//   nvjp_theta  those of them that delivered lambda' f_theta
//   njvp        directional derivatives
//   njac        full Jacobians f_x
//   njac_products  products of the policy that these took
//   nplant      every call of the plant, those of finite differences included
// The list: Y(X, name, text) for each, likewise.
#define CTPG_COUNTS_FOR(Y, X)                                                                                          \
  Y(X, nf, "evaluations of f")                                                                                         \
  Y(X, nvjp, "vector-Jacobian products, joint or single")                                                              \
  Y(X, nvjp_x, "products that delivered lambda' f_x")                                                                  \
  Y(X, nvjp_theta, "products that delivered lambda' f_theta")                                                          \
  Y(X, njvp, "directional derivatives")                                                                                \
  Y(X, njac, "full Jacobians")                                                                                         \
  Y(X, njac_products, "products of the policy that full Jacobians took")                                               \
  Y(X, nplant, "calls of the plant, finite differences included")
#define CTPG_COUNT_NAME(X, name, text) X(name)
#define CTPG_COUNTS(X)                 CTPG_COUNTS_FOR(CTPG_COUNT_NAME, X)
#define CTPG_COUNT_FIELD(name)         int64_t name;
typedef struct {
  CTPG_COUNTS(CTPG_COUNT_FIELD)
} CtpgCounts;
#undef CTPG_COUNT_FIELD

// A named number or table of a problem, for who reads the results: rail, electrodes, length of a rod.
typedef struct {
  const char *name, *unit; // unit "" or "1": none
  PetscInt rows, columns;  // columns 0: a plain list of `rows` numbers
  const PetscReal *values; // [rows] or [rows, columns]
} CtpgConstant;

// First fields of every descriptor. abi = CTPG_ABI and size = sizeof(descriptor) at the author's build: the engine
// reads no slot beyond `size`, so slots may be appended without breaking old plug-ins. `version` is raised by hand
// whenever results change; it enters the run key. `flags` are CTPG_IS_*.
#define CTPG_HEAD                                                                                                      \
  uint32_t abi, size;                                                                                                  \
  const char *name, *bibtex;                                                                                           \
  int version;                                                                                                         \
  uint64_t flags

// Flags of every descriptor: its results do not hang on the C library's functions of a real, whose last bits depend on
// the CPU (functions.h has some that do not), or not on BLAS and LAPACK. Where two machines differ in these, rows of
// such types may lie in one file. What every run calls (log1p, hypot and cbrt; sqrt, which is exact) is no matter.
#define CTPG_IS_WITHOUT_LIBM UINT64_C(8)
#define CTPG_IS_WITHOUT_BLAS UINT64_C(16)

// The fields that every descriptor begins with, for code that treats descriptors of all kinds alike.
typedef struct {
  CTPG_HEAD;
} CtpgHead;

// Fixed spelling of a status ("ok", "diverged", ...) or of a purpose ("forward", ...); never NULL.
const char *CtpgStatusName(CtpgStatus status);
const char *CtpgPurposeName(CtpgPurpose purpose);

// Sum b into a, kind by kind.
void CtpgCountsAdd(CtpgCounts *a, const CtpgCounts *b);

// FNV-1a over n bytes, started from `hash` (CTPG_HASH_START for a new one): run keys, row checksums, stream keys.
#define CTPG_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t CtpgHash(uint64_t hash, const void *bytes, size_t n);
uint64_t CtpgHashString(uint64_t hash, const char *text); // without the closing zero

// Euclidean norm, the squares added one after the other; squares too small for a double are not lost.
PetscReal CtpgNorm(PetscInt n, const PetscReal *v);
// Does the path lead to something that is there, but no regular file? Opening a pipe would wait for ever.
PetscBool CtpgIsNoFile(const char *path);

#pragma GCC visibility pop

#endif
