// accuracy.h -- which accuracies and which seeds a pair of labels is run at
#ifndef CTPG_ACCURACY_H
#define CTPG_ACCURACY_H

#include "run/run.h"

// Values of the estimator's knob for this pair, allocated here (PetscFree): -<estimator label>_rtol, -<its type>_rtol,
// -<problem label>_rtol, -<its type>_rtol, -rtol, whichever is given first; else the text `fallback`.
PetscErrorCode PairReadAccuracies(const CtpgPair *pair, const char *fallback, PetscInt *n, PetscReal **values);
// -repeats of the estimator's label, or else of the problem's.
PetscErrorCode PairReadRepeats(const CtpgPair *pair, PetscInt *repeats);
// Half-open range of -<problem label>_seeds, -<its type>_seeds or -seeds, of at most a million; else that of `fallback`.
PetscErrorCode SeedsRead(CtpgOptions options, const char *fallback, int64_t *first, int64_t *last);

// Collective. UnusedRefuse (unused.h), which says of an accuracy that nobody read which estimators read it.
PetscErrorCode RefuseUnusedOptions(void);

#endif
