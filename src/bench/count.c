// count.c -- instructions, counted one by one
//
// With the trap flag set the CPU stops after each instruction, and the kernel sends SIGTRAP: the handler counts. It
// needs no permission and no counter in hardware, which virtual machines often lack, and costs microseconds an
// instruction: for pieces of work of a hundred thousand. Loops within one instruction (rep movs) count each round.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3B, 17.3.1.4, single-step exceptions.

#include "bench/count.h"
#include <signal.h>
#include <string.h>

#if defined(__x86_64__) && defined(__linux__)
#include <x86intrin.h>

#define TRAP_FLAG 0x100ULL

static volatile int64_t counted;

static void CountOne(int signal) {
  (void)signal;
  counted++;
}

static int64_t Count(void (*work)(void *context), void *context) {
  struct sigaction mine, old;
  memset(&mine, 0, sizeof mine);
  mine.sa_handler = CountOne;
  sigaction(SIGTRAP, &mine, &old);
  counted = 0;
  __writeeflags(__readeflags() | TRAP_FLAG);
  work(context);
  __writeeflags(__readeflags() & ~TRAP_FLAG);
  sigaction(SIGTRAP, &old, NULL);
  return counted;
}

static void Loop(void *context) {
  volatile int *n = context;
  for (int i = 0; i < 100; i++) (*n)++;
}

// A loop whose length is known, once: emulators and debuggers take the flag for themselves.
const char *BenchCountObstacle(void) {
  static int64_t found = -1;
  int n = 0;
  if (found < 0) found = Count(Loop, &n);
  if (found >= 200 && found < 3000) return NULL;
  return "this machine does not stop after each instruction (an emulator, or a debugger)";
}

int64_t BenchCount(void (*work)(void *context), void *context) {
  return BenchCountObstacle() ? -1 : Count(work, context);
}

#else

int64_t BenchCount(void (*work)(void *context), void *context) {
  (void)work, (void)context;
  return -1;
}

const char *BenchCountObstacle(void) {
  return "instructions are counted on x86-64 under Linux alone";
}

#endif
