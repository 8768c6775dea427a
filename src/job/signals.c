// signals.c -- see signals.h; what the handlers call is safe in a handler (timer_settime, write, unlink, kill,
// outcome.c, SystemLeave)

#include "job/signals.h"
#include "base/system.h"
#include "job/crash.h"
#include "job/errors.h"
#include "job/outcome.h"
#include "store/lock.h"
#include "store/place.h"
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 3 // s from SIGTERM or SIGINT to the end of a process that does not look at the flag

volatile int CtpgStopRequested = 0;

static timer_t patience; // of this process
static PetscBool has_patience;
static CtpgStopKind how;
static int this_rank, has_started; // MPI has

// Once for all ranks.
static void Clear(int number) {
  static const char sentence[] = "ctpgbench: stopped by a signal; what was half written is removed\n";
  (void)number;
  StorePartForsake();
  StoreUnlock();
  if (!this_rank && write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0) SystemLeave(CTPG_EXIT_ERROR);
  SystemLeave(CTPG_EXIT_ERROR);
}

static void RequestStop(int number) {
  const struct itimerspec once = {.it_value.tv_sec = PATIENCE};
  if (number != SIGUSR1 && !CtpgStopRequested && has_patience) timer_settime(patience, 0, &once, NULL);
  CtpgStopRequested = 1;
}

// MPICH's launcher ends the other ranks for one that dies of a signal, not for one that leaves before MPI has started.
static void TakeOthersAlong(void) {
#ifndef OPEN_MPI
  if (!has_started) kill(getpid(), SIGKILL);
#endif
}

static void GiveUp(int number) {
  (void)number;
  StorePartForsake();
  CrashTellGivenUp(how == CTPG_STOP_RESUMES);
  TakeOthersAlong();
  if (how != CTPG_STOP_RESUMES) SystemLeave(CTPG_EXIT_ERROR);
  OutcomeTellGivenUp();
  SystemLeave(CTPG_EXIT_INCOMPLETE);
}

static const int STOPS[] = {SIGTERM, SIGINT, SIGUSR1};
#define NSTOPS (sizeof STOPS / sizeof *STOPS)

static void CreatePatience(void) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX - 1};
  struct sigaction action = {.sa_handler = GiveUp};
  sigfillset(&action.sa_mask);
  sigaction(SIGRTMAX - 1, &action, NULL);
  if (!has_patience) has_patience = timer_create(CLOCK_MONOTONIC, &event, &patience) ? PETSC_FALSE : PETSC_TRUE;
}

// What MPI is at is not interrupted (SA_RESTART); before it has started, there is nothing to clear.
void CtpgSignalsInstall(CtpgStopKind kind) {
  struct sigaction action = {.sa_handler = RequestStop, .sa_flags = SA_RESTART};
  how = kind;
  MPI_Initialized(&has_started);
  if (has_started) MPI_Comm_rank(MPI_COMM_WORLD, &this_rank);
  if (kind == CTPG_STOP_CLEARS) action.sa_handler = has_started ? Clear : SIG_DFL;
  if (kind == CTPG_STOP_AT_ONCE) action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  CreatePatience();
  for (size_t i = 0; i < NSTOPS; i++) sigaction(STOPS[i], &action, NULL);
  signal(SIGXFSZ, SIG_IGN); // beyond `ulimit -f` a write fails, and there is a sentence for that
  signal(SIGPIPE, SIG_DFL); // `ctpgbench list | head -1` is no crash
}

void CtpgSignalsHold(void) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < NSTOPS; i++) sigaddset(&set, STOPS[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
}
