// signals.h -- SIGTERM, SIGINT and SIGUSR1 ask the program to stop: a handler sets a flag, the closed loop looks at it
//
// Who asks with SIGTERM or SIGINT waits a few seconds at most: where nobody has looked at the flag by then, as in a
// loop without evaluations in a user's code, a timer ends the process. SIGUSR1, a batch system's early warning, waits.
#ifndef CTPG_SIGNALS_H
#define CTPG_SIGNALS_H

#include <petscsys.h>

// Set by SIGTERM, SIGINT, SIGUSR1; seen by every closed loop at its next evaluation.
extern volatile int CtpgStopRequested;

// How a command ends on a signal.
typedef enum {
  CTPG_STOP_AT_ONCE, // nobody looks at the flag and nothing has to be put away: the signals do what they do anywhere
  CTPG_STOP_CLEARS,  // likewise, but a file is being written under a private name: that is removed, and a sentence said
  CTPG_STOP_SOON,    // it looks at the flag
  CTPG_STOP_RESUMES  // likewise, and the same command goes on
} CtpgStopKind;

// Handlers of a command of that kind; again, where a user's code has put its own in their place.
void CtpgSignalsInstall(CtpgStopKind kind);
// While MPI and PETSc start and end, handlers are theirs or the default, which kills: a signal waits (SIG_BLOCK) until
// ours are there (SIG_UNBLOCK).
void CtpgSignalsHold(int how);

#endif
