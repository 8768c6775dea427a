// signals.c -- see signals.h

#include "job/signals.h"
#include <signal.h>
#include <stddef.h>

volatile int CtpgStopRequested = 0;

static void RequestStop(int signal) {
  (void)signal;
  CtpgStopRequested = 1;
}

static const int STOPS[] = {SIGTERM, SIGINT, SIGUSR1};
#define NSTOPS (sizeof STOPS / sizeof *STOPS)

void CtpgSignalsInstall(void) {
  struct sigaction action = {.sa_handler = RequestStop};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < NSTOPS; i++) sigaction(STOPS[i], &action, NULL);
  signal(SIGPIPE, SIG_DFL); // `ctpgbench list | head -1` is no crash
}

void CtpgSignalsHold(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < NSTOPS; i++) sigaddset(&set, STOPS[i]);
  sigprocmask(how, &set, NULL);
}
