// describe.h -- labels as results files have them: their rows of the label tables, and in what two of them differ
#ifndef CTPG_DESCRIBE_H
#define CTPG_DESCRIBE_H

#include "run/run.h"
#include "store/contents.h"

// Rows of the label tables; what they point to is borrowed.
void DescribeProblem(const CtpgProblem *problem, CtpgLabelInfo *info);
void DescribeEstimator(const CtpgEstimator *estimator, CtpgLabelInfo *info);
// What decides the bits of rows of a type with these flags (CTPG_IS_WITHOUT_*), a set of CTPG_BITS_*.
int DescribeBits(uint64_t flags);
// Where the first line begins in which two resolved texts of options differ.
size_t DescribeFirstDifference(const char *a, const char *b);
// The first line in which two resolved texts, or the labels of a file and those here, differ, appended to text: ";
// problem lqr has horizon = 10 there and ..", or nothing.
void DescribeOptionDifference(const char *what, const char *label, const char *there, const char *here, char *text,
                              size_t size);
void DescribeLabelDifference(PetscInt nproblems, const CtpgProblem *problems, PetscInt nestimators,
                             const CtpgPair *pairs, CtpgContents old, char *text, size_t size);

#endif
