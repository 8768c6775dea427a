// progress.h -- the line on stderr that tells how far a run of the scheduler is: rank 0
#ifndef CTPG_PROGRESS_H
#define CTPG_PROGRESS_H

#include "ctpgbench/base.h"

typedef struct {
  const char *noun, *first_noun; // "runs", "references"
  PetscInt total, first_total;   // of each
  PetscInt done, first_done, first_failed;
  PetscInt by_status[CTPG_NUM_STATUSES]; // of the nouns alone
  double left;                           // s, as far as is known; negative: unknown
  int nranks;                            // ranks that work
  const double *load;                    // [nranks] part of the time that each of them was at work
  double start, shown;                   // CtpgSeconds()
  PetscBool terminal;                    // the line is written over itself
} Progress;

void ProgressStart(Progress *progress);
PetscBool ProgressIsDue(const Progress *progress, double now); // twice a second on a terminal, else every ten seconds
void ProgressShow(Progress *progress, double now);
void ProgressEnd(Progress *progress, double now); // the last line, with the load of the ranks

#endif
