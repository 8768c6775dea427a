// watchdog.h -- a run that hangs inside one call of a plant, where nobody looks at the stop flag or at a clock
//
// The closed loop sees signals and limits between two evaluations; an evaluation without end (a loop in a plug-in, a
// dead network file) it cannot leave. So every rank has a timer of its own, and its handler looks once a second:
//   - a run in which no evaluation has ended for a minute is named on stderr, again after two minutes, four, ...
//   - a rank that was told to stop and is in the same run `grace` seconds later says so and exits with 75: the launcher
//   ends
//     the job, whose finished rows are in the file. The other ranks meanwhile finish what they have.
//   - a run in which no evaluation has ended for longer than its -run_time_limit is marked as one that crashed
//     (crash.h), and the rank ends likewise. A run that evaluates, however slowly, ends by itself at its limit.
#ifndef CTPG_WATCHDOG_H
#define CTPG_WATCHDOG_H

#include <stddef.h>

#include "ctpgbench/base.h"

// stop: the flag. deadline: when it is set, s on CtpgSeconds's clock, 0: never.
void WatchdogStart(int rank, volatile int *stop, double deadline, double grace);
void WatchdogStop(void);
// A run begins, named as in "ctpg on lqr, seed 3, accuracy 1e-06", limited to so many s, 0: not; it ends.
void WatchdogEnter(double run_limit, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(2, 3);
void WatchdogLeave(void);
// What is under way here ("": nothing), and for how long (s). From another thread, too.
void WatchdogDescribe(char *text, size_t size, double *seconds);
// Evaluations have ended; cheap.
void WatchdogBeat(void);

#endif
