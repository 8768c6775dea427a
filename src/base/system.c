// system.c -- see system.h; POSIX calls

#include "base/system.h"
#include <time.h>

double CtpgSeconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void SystemNap(double seconds) {
  const time_t whole = (time_t)seconds;
  nanosleep(&(struct timespec){.tv_sec = whole, .tv_nsec = (long)(1e9 * (seconds - (double)whole))}, NULL);
}

void SystemUTC(char text[SYSTEM_UTC_SIZE]) {
  const time_t now = time(NULL);
  struct tm utc;
  strftime(text, SYSTEM_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}
