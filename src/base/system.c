// system.c -- see system.h; POSIX calls

#define _GNU_SOURCE // syscall
#include "base/system.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

double CtpgSeconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double CtpgThreadSeconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

long SystemCores(void) {
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? cores : 1;
}

int SystemColumns(int descriptor) {
  struct winsize size;
  return isatty(descriptor) && ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

#define LOAD_EVERY  0.1 // s between two looks, and
#define LOAD_MEMORY 2.0 // s over which they are averaged

// Processes that are running or ready at this moment, this one among them: fourth field of /proc/loadavg.
static double CountReady(void) {
  double ready;
  FILE *file = fopen("/proc/loadavg", "r");
  if (!file) return NAN;
  const int found = fscanf(file, "%*s %*s %*s %lf/", &ready);
  fclose(file);
  return found == 1 ? ready : NAN;
}

double SystemLoad(void) {
  static double load = NAN, looked;
  const double now = CtpgSeconds();
  if (!isnan(load) && now - looked < LOAD_EVERY) return load;
  const double ready = CountReady() / (double)SystemCores();
  load = isnan(load) ? ready : ready + (load - ready) * exp((looked - now) / LOAD_MEMORY);
  looked = now;
  return load;
}

void SystemNap(double seconds) {
  const time_t whole = (time_t)seconds;
  nanosleep(&(struct timespec){.tv_sec = whole, .tv_nsec = (long)(1e9 * (seconds - (double)whole))}, NULL);
}

int SystemStartThread(pthread_t *thread, void *(*run)(void *), void *argument) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const int failed = pthread_create(thread, NULL, run, argument);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return failed;
}

void SystemLeave(int code) {
  for (;;) syscall(SYS_exit_group, code);
}

void SystemUTC(char text[SYSTEM_UTC_SIZE]) {
  const time_t now = time(NULL);
  struct tm utc;
  strftime(text, SYSTEM_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}
