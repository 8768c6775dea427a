// digest.h -- the science columns of a file's finished rows: compared, and hashed into one number for the whole file
#ifndef CTPG_STORE_DIGEST_H
#define CTPG_STORE_DIGEST_H

#include "store/contents.h"
#include "store/rows.h"

// Did the row end by what is around it (timeout, interrupted, crashed)? Such rows are no part of the digest.
PetscBool CtpgIsEnvironment(int32_t status);
// Are all science columns the same, bit by bit (NaN as one pattern)?
PetscBool ContentsSameScience(const CtpgRunRow *a, const CtpgRunRow *b);
PetscBool ContentsSameCase(const CtpgCaseRow *a, const CtpgCaseRow *b);
// The first science column in which two rows differ, with both values: "loss is 1.5 and 1.25"; "" none.
void ContentsDifference(const StoreLayout *layout, const void *a, const void *b, char *text, size_t size);
// SHA-256 over the science columns of the finished cases and runs, little-endian, sorted by key, NaN as one pattern,
// each case followed by the SHA-256 of what it starts from (horizon, x0, task, theta where it came from a file);
// rows that ended by timeout, interrupted or crashed are not in it but counted in *environment. hex [65].
PetscErrorCode ContentsDigest(CtpgContents contents, char *hex, PetscInt *environment);

// What the end of a job tells of its file.
typedef struct {
  PetscInt n, done, failed; // runs; those with a row; those of them whose status is not ok
  PetscInt cases, without;  // cases; those without a reference gradient
  PetscInt torn;            // rows whose checksum is wrong
  PetscInt environment;     // rows that are no part of the digest
  char digest[65];          // "" where not all runs are done
} ContentsSummary;
// Without reading all of the file into memory.
PetscErrorCode ContentsSummarise(const char *path, ContentsSummary *summary);

#endif
