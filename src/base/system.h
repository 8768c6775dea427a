// system.h -- the clocks of the operating system, how crowded the machine is, how wide a terminal
#ifndef CTPG_SYSTEM_H
#define CTPG_SYSTEM_H

#include <pthread.h>
#include <stddef.h>

double CtpgSeconds(void);       // on the monotonic clock
double CtpgThreadSeconds(void); // CPU time of the calling thread
long SystemCores(void);
// Columns of the terminal behind this file descriptor; 0 where it is none, or does not say.
int SystemColumns(int descriptor);
// Processes ready to run per core of this host, averaged over about two seconds of calls; NaN: not known.
double SystemLoad(void);
// Sleeps for so long (less where a signal arrives): who waits must not take a core from who computes.
void SystemNap(double seconds);
// A thread that gets no signals, which are the main thread's. 0, or the reason (errno.h).
int SystemStartThread(pthread_t *thread, void *(*run)(void *), void *argument);
// What _exit does, which in this program is for a user's code (job/crash.c): safe in a handler.
void SystemLeave(int code) __attribute__((noreturn));
// text = this moment as "2021-06-30T12:00:00Z"
#define SYSTEM_UTC_SIZE 24
void SystemUTC(char text[SYSTEM_UTC_SIZE]);

#endif
