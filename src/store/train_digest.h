// train_digest.h -- the science of a training file's finished runs, hashed into one number
#ifndef CTPG_TRAIN_DIGEST_H
#define CTPG_TRAIN_DIGEST_H

#include "store/train_contents.h"

// SHA-256 over the science columns of the finished runs, sorted by key: row, history, test losses, policies, paths,
// audits, visited states; NaN as one pattern. Runs that ended by timeout or crashed are not in it but counted in
// *environment. hex [65].
PetscErrorCode TrainContentsDigest(TrainContents contents, char *hex, PetscInt *environment);

#endif
