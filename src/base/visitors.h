// visitors.h -- the process as a user's code found it: folder, locale, rounding, process
//
// Plug-ins and Python files run inside this process and may leave traces in it: os.chdir, setlocale, a library that
// switches rounding or subnormal numbers, a fork that comes home twice. None of them may change a run. The engine calls
// VisitorsSee once, VisitorsLoaded after a user's code was loaded, VisitorsLeave after every longer call of it.
#ifndef CTPG_VISITORS_H
#define CTPG_VISITORS_H

#include "ctpgbench/base.h"

// At the program's start: numbers are read and printed with a point from here on, whatever the locale says or becomes.
void VisitorsUsePoint(void);
// Keeps folder and rounding, and asks to be told of forks. restore (may be NULL) puts back what the caller has to, as
// handlers of signals; it is called by every VisitorsLoaded.
void VisitorsSee(void (*restore)(void));
// The user's code `name` has ended: everything is as VisitorsSee found it. A folder left behind is said once on stderr;
// a forked child that comes here ends with a sentence, for there must be one program alone.
void VisitorsLeave(const char *name);
// The same, and `restore`.
void VisitorsLoaded(const char *name);
// Is this process a fork of the one that VisitorsSee was called in?
PetscBool VisitorsAreForked(void);

#endif
