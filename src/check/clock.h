// clock.h -- which check is being made, for how long, and when the time is over
#ifndef CTPG_CHECK_CLOCK_H
#define CTPG_CHECK_CLOCK_H

#include "check/report.h"

// The check `name` of the report's subject begins: what is named when the process crashes, when the time is over, and
// to who waits.
void CheckBegin(const CheckReport *report, const char *name);
// From here to CheckClockStop stderr hears of a check that takes long; after `limit` seconds (0: never) the process
// says where it is and ends with CTPG_EXIT_INCOMPLETE.
void CheckClockStart(const CheckReport *report, double limit);
void CheckClockStop(void);

#endif
