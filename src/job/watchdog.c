// watchdog.c -- see watchdog.h; what the handler calls is safe in a handler (clock_gettime, write, outcome.c,
// SystemLeave)

#define _GNU_SOURCE
#include "job/watchdog.h"
#include "base/system.h"
#include "job/crash.h"
#include "job/errors.h"
#include "job/outcome.h"
#include "loop/closedloop_engine.h"
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define FIRST_WARNING 60 // s
#define SILENCE       3  // s beyond a run's limit, in which a single evaluation may end

static volatile int *stop_flag;
static int this_rank;
static volatile double run_limit;       // s, 0: none
static double limit, patience, stopped; // s on CtpgSeconds's clock, 0: never; seconds; when the flag was first seen set
static volatile int inside;             // a run
static volatile double beat, warning;   // when the last evaluations ended; silence at which the run is named next
static char run[256];
static atomic_uint edition; // of run and begun: odd while they change
static volatile double begun;

static void Say(const char *end) {
  char line[512];
  const int n = snprintf(line, sizeof line, "ctpgbench: rank %d: %s: %s\n", this_rank, run, end);
  if (write(STDERR_FILENO, line, (size_t)n) < 0) return;
}

static void Look(int number) {
  const double now = CtpgSeconds();
  char text[128];
  (void)number;
  if (limit > 0 && now > limit) *stop_flag = 1;
  if (*stop_flag && !(stopped > 0)) stopped = now;
  if (!inside) return;
  if (stopped > 0 && now - stopped > patience) {
    Say("it does not answer and is given up; what is finished is in the file: the same command goes on from here");
    OutcomeTell(CTPG_EXIT_INCOMPLETE);
    SystemLeave(CTPG_EXIT_INCOMPLETE);
  }
  if (run_limit > 0 && now - beat > run_limit) CtpgClosedLoopsLookAtOnce = 1;
  if (run_limit > 0 && now - beat > run_limit + SILENCE) {
    OutcomeTell(CTPG_EXIT_INCOMPLETE);
    CrashEndSilent(now - beat, CTPG_EXIT_INCOMPLETE);
  }
  if (now - beat < warning) return;
  snprintf(text, sizeof text, "no evaluation has ended for %d s", (int)(now - beat));
  Say(text);
  warning *= 2;
}

static void SetTimer(time_t seconds) {
  const struct itimerval timer = {.it_value.tv_sec = seconds, .it_interval.tv_sec = seconds};
  setitimer(ITIMER_REAL, &timer, NULL);
}

void WatchdogStart(int rank, volatile int *stop, double deadline, double grace) {
  struct sigaction action = {.sa_handler = Look, .sa_flags = SA_RESTART};
  stop_flag = stop, this_rank = rank;
  limit = deadline, patience = grace, stopped = 0, inside = 0;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  SetTimer(1);
}

void WatchdogStop(void) {
  SetTimer(0);
  signal(SIGALRM, SIG_DFL);
}

void WatchdogEnter(double seconds, const char *format, ...) {
  va_list arguments;
  edition++;
  va_start(arguments, format);
  vsnprintf(run, sizeof run, format, arguments);
  va_end(arguments);
  beat = begun = CtpgSeconds(), warning = FIRST_WARNING;
  run_limit = seconds;
  inside = 1;
  edition++;
}

void WatchdogDescribe(char *text, size_t size, double *seconds) {
  const unsigned before = edition;
  char copy[sizeof run];
  memcpy(copy, run, sizeof copy);
  copy[sizeof copy - 1] = 0;
  *seconds = CtpgSeconds() - begun;
  if (!inside || before % 2 || edition != before) copy[0] = 0, *seconds = 0;
  snprintf(text, size, "%s", copy);
}

void WatchdogLeave(void) {
  inside = 0;
}

void WatchdogBeat(void) {
  beat = CtpgSeconds(), warning = FIRST_WARNING;
}
