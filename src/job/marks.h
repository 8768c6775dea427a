// marks.h -- runs that took their process down in an earlier session become rows, once (see crash.h)
#ifndef CTPG_MARKS_H
#define CTPG_MARKS_H

#include "job/crash.h"

// What a sweep and a training do differently.
typedef struct {
  void *context;
  // A row of status crashed for what the mark names, unless it was finished in spite of it; *taken: how many became
  // one.
  PetscErrorCode (*put)(void *context, const CtpgCrashMark *mark, PetscInt *taken);
  // Brings the rows to the disk.
  PetscErrorCode (*sync)(void *context);
} MarkActions;

// Rank 0, the file at path being open for rows: rows first, on the disk, then the marks go. retry: -retry_crashed.
PetscErrorCode MarksTakeOver(const char *path, PetscBool retry, const MarkActions *actions);
// The reason that such a row gives; text [size].
void MarkReason(const CtpgCrashMark *mark, char *text, size_t size);

// What is under way on this rank: named by the crash handler and by the watchdog when it does not end well. limit: s of
// one run (-run_time_limit), 0: none.
void JobEnter(CtpgCrashKind kind, uint64_t key, double limit, const char *name);
void JobLeave(void);

#endif
