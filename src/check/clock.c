// clock.c -- which check is being made, for how long, and when the time is over

#include "check/clock.h"
#include "base/system.h"
#include "job/crash.h"
#include "job/errors.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE 10 // s until a check that goes on is named, and between two such lines

static const CheckReport *report;
static char place[256]; // "order of mine on lqr"
static double begun, end;
static volatile double named;

static void Say(const char *format, double seconds) {
  char line[512];
  int n = snprintf(line, sizeof line, "ctpgbench: ");
  n += snprintf(line + n, sizeof line - (size_t)n, format, seconds, place);
  n += snprintf(line + n, sizeof line - (size_t)n, "; %d passed, %d failed so far\n", (int)report->passed,
                (int)report->failed);
  if (write(STDERR_FILENO, line, (size_t)n) < 0) return; // nobody listens
}

static void Look(int number) {
  const double now = CtpgSeconds();
  (void)number;
  if (end > 0 && now > end) {
    Say("the -time_limit of %.6g s is over in %s", end - begun);
    SystemLeave(CTPG_EXIT_INCOMPLETE);
  }
  if (now - named < PATIENCE) return;
  named = now;
  Say("after %.0f s: %s", now - begun);
}

void CheckBegin(const CheckReport *r, const char *name) {
  snprintf(place, sizeof place, "%s of %s", name, r->subject ? r->subject : "the plan");
  CrashWatch(CTPG_CRASH_UNMARKED, 0, "the check \"%s\" of %s", name, r->subject ? r->subject : "the plan");
}

static void SetTimer(long microseconds) {
  const struct itimerval timer = {.it_value.tv_usec = microseconds, .it_interval.tv_usec = microseconds};
  setitimer(ITIMER_REAL, &timer, NULL);
}

void CheckClockStart(const CheckReport *r, double limit) {
  struct sigaction action = {.sa_handler = Look, .sa_flags = SA_RESTART};
  report = r;
  begun = named = CtpgSeconds();
  end = limit > 0 ? begun + limit : 0;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  SetTimer(200000);
}

void CheckClockStop(void) {
  SetTimer(0);
  signal(SIGALRM, SIG_DFL);
  CrashUnwatch();
}
