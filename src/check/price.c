// price.c -- what an estimator takes: are its evaluations counted, do its bytes grow as it says, does the heap
// not?

#include "check/estimator_private.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// ---- counts ----

// The closed loop's totals against the spy's; by purposes they must add up, which the totals are made of.
PetscErrorCode CheckCounts(EstimatorCheck *k) {
  const CtpgCounts *found = &k->other.totals, *spied = &k->other.spied;
  CheckWorst worst = {.limit = 0};
  CtpgCounts purpose;

  PetscFunctionBeginUser;
  PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
#define COMPARE(kind)                                                                                                  \
  CheckOffer(&worst, (PetscReal)llabs((long long)(found->kind - spied->kind)), #kind " is %lld, the plant saw %lld",   \
             (long long)found->kind, (long long)spied->kind)
  COMPARE(nplant);
  if (!CtpgClosedLoopUsesDifferences(k->given.loop) && !found->njac && !found->njvp) {
    COMPARE(nf);
    COMPARE(nvjp);
  }
#undef COMPARE
  if (found->nvjp_x > found->nvjp || found->nvjp_theta > found->nvjp)
    CheckOffer(&worst, 1, "nvjp_x = %lld or nvjp_theta = %lld is more than nvjp = %lld", (long long)found->nvjp_x,
               (long long)found->nvjp_theta, (long long)found->nvjp);
  const PetscInt fewest = PetscMin(k->problem->dims.nu, CtpgCountActuated(&k->problem->dims)),
                 most = CtpgClosedLoopGetJacobianProducts(k->given.loop);
  if (found->njac_products < found->njac * fewest || found->njac_products > found->njac * most)
    CheckOffer(&worst, 1, "njac_products = %lld for njac = %lld Jacobians of %d to %d products",
               (long long)found->njac_products, (long long)found->njac, (int)fewest, (int)most);
  for (int p = 0; p < CTPG_NUM_PURPOSES; p++) {
    CtpgClosedLoopGetCounts(k->given.loop, (CtpgPurpose)p, &purpose);
#define POSITIVE(kind)                                                                                                 \
  if (purpose.kind < 0) CheckOffer(&worst, 1, #kind " of purpose %s is negative", CtpgPurposeName((CtpgPurpose)p));
    CTPG_COUNTS(POSITIVE)
#undef POSITIVE
  }
  if (worst.worst > 0)
    CheckFail(k->report, "counts", "%s", worst.sentence);
  else
    CheckPass(k->report, "counts", "%lld f + %lld vjp + %lld jvp, as the plant saw them", (long long)found->nf,
              (long long)found->nvjp, (long long)found->njvp);
  PetscFunctionReturn(0);
}

// ---- memory ----

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
#define HEAP_IS_MEASURED PETSC_TRUE
static int64_t HeapBytes(void) {
  const struct mallinfo2 info = mallinfo2();
  return (int64_t)(info.uordblks + info.hblkhd);
}
#else
#define HEAP_IS_MEASURED PETSC_FALSE
static int64_t HeapBytes(void) {
  return 0;
}
#endif

PetscErrorCode CheckHeap(EstimatorCheck *k) {
  const char *name = "heap does not grow";
  const PetscInt repeats = k->settings->repeats;

  PetscFunctionBeginUser;
  if (!HEAP_IS_MEASURED) {
    CheckSkip(k->report, name, "no mallinfo2 here");
    PetscFunctionReturn(0);
  }
  for (int i = 0; i < 3; i++) PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
  const int64_t before = HeapBytes();
  for (PetscInt i = 0; i < repeats; i++) PetscCall(CheckSolve(k, &k->given, CheckBaseRequest(k), &k->other));
  const int64_t growth = HeapBytes() - before;
  if (growth >= 8 * repeats)
    CheckFail(k->report, name, "%lld bytes more after %d runs, %.0f a run", (long long)growth, (int)repeats,
              (double)growth / (double)repeats);
  else
    CheckPass(k->report, name, "%lld bytes in %d runs", (long long)growth, (int)repeats);
  PetscFunctionReturn(0);
}

// Does the descriptor's storage, as in "N s nx", speak of N, the number of steps?
static PetscBool StoresSteps(const char *storage) {
  for (const char *word = storage; (word = strchr(word, 'N')); word++)
    if ((word == storage || word[-1] == ' ' || word[-1] == '(') && (!word[1] || word[1] == ' ' || word[1] == ')'))
      return PETSC_TRUE;
  return PETSC_FALSE;
}

PetscErrorCode CheckBytes(EstimatorCheck *k) {
  const char *name = "bytes stored";
  const CtpgResult *few = &k->base.result, *many = &k->other.result;

  PetscFunctionBeginUser;
  if (k->type->flags & CTPG_IS_INTERPRETED) {
    CheckSkip(k->report, name, "the file's own word");
    PetscFunctionReturn(0);
  }
  PetscCall(CheckSolve(k, &k->given, CheckRequestOf(CheckAccuracy(k, k->given.e.traits.knob, 2)), &k->other));
  const char *storage = k->given.e.traits.storage ? k->given.e.traits.storage : k->type->storage;
  const PetscBool grows = StoresSteps(storage), bounded = strstr(storage, "min(N, K)") ? PETSC_TRUE : PETSC_FALSE;
  if (!CheckSucceeded(k, &k->other))
    CheckFail(k->report, name, "the run at the tightest accuracy ends with status %s, PETSc error %d",
              CtpgStatusName(k->other.status), (int)k->other.error);
  else if (grows && !(few->bytes > 0 && (many->bytes > few->bytes || many->steps <= few->steps)))
    CheckFail(k->report, name, "storage is said to be %s, but bytes are %zu with %lld steps and %zu with %lld", storage,
              few->bytes, (long long)few->steps, many->bytes, (long long)many->steps);
  else if (!grows && !bounded && many->bytes > few->bytes)
    CheckFail(k->report, name,
              "storage is said to be %s, free of N, but bytes grow from %zu with %lld steps to %zu with %lld", storage,
              few->bytes, (long long)few->steps, many->bytes, (long long)many->steps);
  else
    CheckPass(k->report, name, "%zu with %lld steps, %zu with %lld", few->bytes, (long long)few->steps, many->bytes,
              (long long)many->steps);
  PetscFunctionReturn(0);
}
