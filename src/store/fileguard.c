// fileguard.c -- see fileguard.h

#define _GNU_SOURCE
#include "store/fileguard.h"
#include "base/parse.h"
#include "ctpgbench/options.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE = 4, BYTES_PER_SECOND = 20000000 }; // s of the processor; an intact file takes a hundredth of that

#ifdef __SANITIZE_ADDRESS__
static const int SIGNALS[] = {SIGVTALRM}; // crashes are the sanitizer's
#else
static const int SIGNALS[] = {SIGVTALRM, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
#endif
enum { NSIGNALS = sizeof SIGNALS / sizeof *SIGNALS };

static struct sigaction before[NSIGNALS];
static stack_t stack_before;
static char sentence[512];

static void GiveUp(int signal) {
  (void)signal;
  const ssize_t written = write(STDERR_FILENO, sentence, strlen(sentence));
  _exit(written < 0 ? 2 : 1);
}

static void SetTimer(time_t seconds) {
  const struct itimerval timer = {.it_value.tv_sec = seconds};
  setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

void FileGuardBegin(const char *path) {
  static char stack[1 << 16]; // a recursion without end leaves none
  const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction action = {.sa_handler = GiveUp, .sa_flags = SA_ONSTACK};
  struct stat info;

  snprintf(sentence, sizeof sentence, "ctpgbench: %s cannot be read: it is damaged so that HDF5 fails on it\n",
           CtpgShown(path));
  sigaltstack(&other, &stack_before);
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < NSIGNALS; i++) sigaction(SIGNALS[i], &action, &before[i]);
  SetTimer(PATIENCE + (stat(path, &info) ? 0 : info.st_size / BYTES_PER_SECOND));
}

void FileGuardEnd(void) {
  SetTimer(0);
  for (int i = 0; i < NSIGNALS; i++) sigaction(SIGNALS[i], &before[i], NULL);
  sigaltstack(&stack_before, NULL);
}
