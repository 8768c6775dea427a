// progress.c -- see progress.h

#include "schedule/progress.h"
#include "base/system.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ProgressStart(Progress *p) {
  p->start = p->shown = CtpgSeconds();
  p->left = -1;
  p->terminal = isatty(STDERR_FILENO) ? PETSC_TRUE : PETSC_FALSE;
}

PetscBool ProgressIsDue(const Progress *p, double now) {
  return now - p->shown >= (p->terminal ? 0.5 : 10) ? PETSC_TRUE : PETSC_FALSE;
}

// Appends to text [size].
#define APPEND(text, size, ...) snprintf((text) + strlen(text), (size)-strlen(text), __VA_ARGS__)

// "runs 120 of 960, references 20 of 60, 45.2/s, 3 failed (2 diverged, 1 step_limit)"
static void Describe(const Progress *p, double now, char *text, size_t size) {
  const double elapsed = now - p->start;
  PetscInt failed = 0;
  const char *separator = " (";
  text[0] = 0;
  APPEND(text, size, "%s %d of %d", p->noun, (int)p->done, (int)p->total);
  if (p->first_total) APPEND(text, size, ", %s %d of %d", p->first_noun, (int)p->first_done, (int)p->first_total);
  if (p->first_failed) APPEND(text, size, " (%d failed)", (int)p->first_failed);
  APPEND(text, size, ", %.1f/s", elapsed > 0 ? (double)(p->done + p->first_done) / elapsed : 0);
  for (int s = CTPG_OK + 1; s < CTPG_NUM_STATUSES; s++) failed += p->by_status[s];
  APPEND(text, size, ", %d failed", (int)failed);
  for (int s = CTPG_OK + 1; s < CTPG_NUM_STATUSES; s++) {
    if (!p->by_status[s]) continue;
    APPEND(text, size, "%s%d %s", separator, (int)p->by_status[s], CtpgStatusName((CtpgStatus)s));
    separator = ", ";
  }
  if (failed) APPEND(text, size, ")");
}

static int Ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Least and mean load.
static void DescribeLoad(const Progress *p, char *text, size_t size) {
  double least = 1, sum = 0;
  for (int r = 0; r < p->nranks; r++) {
    least = p->load[r] < least ? p->load[r] : least;
    sum += p->load[r];
  }
  APPEND(text, size, ", load %.2f", sum / p->nranks);
  if (p->nranks > 1) APPEND(text, size, " (least %.2f)", least);
}

// Each rank's up to eight, else least, median and most.
static void DescribeLoads(const Progress *p, char *text, size_t size) {
  double *all;
  if (p->nranks <= 8) {
    APPEND(text, size, ", load");
    for (int r = 0; r < p->nranks; r++) APPEND(text, size, " %.3f", p->load[r]);
    return;
  }
  all = malloc((size_t)p->nranks * sizeof *all);
  if (!all) return;
  memcpy(all, p->load, (size_t)p->nranks * sizeof *all);
  qsort(all, (size_t)p->nranks, sizeof *all, Ascending);
  APPEND(text, size, ", load of %d ranks: least %.3f, median %.3f, most %.3f", p->nranks, all[0], all[p->nranks / 2],
         all[p->nranks - 1]);
  free(all);
}

void ProgressShow(Progress *p, double now) {
  char text[512];
  const long left = (long)p->left;
  p->shown = now;
  Describe(p, now, text, sizeof text);
  DescribeLoad(p, text, sizeof text);
  if (p->left >= 0 && left < 3600) APPEND(text, sizeof text, ", about %ld:%02ld left", left / 60, left % 60);
  if (left >= 3600) APPEND(text, sizeof text, ", about %ld:%02ld:%02ld left", left / 3600, left / 60 % 60, left % 60);
  if (!p->terminal) {
    fprintf(stderr, "%s\n", text);
    return;
  }
  // A line that goes on below could not be written over.
  const int columns = SystemColumns(STDERR_FILENO);
  fprintf(stderr, "\r\033[K%.*s", columns > 1 ? columns - 1 : (int)sizeof text, text);
}

void ProgressEnd(Progress *p, double now) {
  char text[512];
  Describe(p, now, text, sizeof text);
  DescribeLoads(p, text, sizeof text);
  fprintf(stderr, "%s%s, %.1f s\n", p->terminal ? "\r\033[K" : "", text, now - p->start);
}
