// system.h -- the clocks of the operating system
#ifndef CTPG_SYSTEM_H
#define CTPG_SYSTEM_H

#include <stddef.h>

double CtpgSeconds(void); // on the monotonic clock
// Sleeps for so long (less where a signal arrives): who waits must not take a core from who computes.
void SystemNap(double seconds);
// text = this moment as "2021-06-30T12:00:00Z"
#define SYSTEM_UTC_SIZE 24
void SystemUTC(char text[SYSTEM_UTC_SIZE]);

#endif
