// signals.h -- SIGTERM, SIGINT and SIGUSR1 ask the program to stop: a handler sets a flag, the closed loop looks at it
//
// Who asks with SIGTERM or SIGINT waits a few seconds at most: where nobody has looked at the flag by then, as in a
// loop without evaluations in a user's code or an MPI_Init that hangs, a timer ends the process. SIGUSR1, a batch
// system's early warning, waits. The handlers are there before MPI starts, so that a signal that comes early is kept.
// Before main, while libraries are loaded, a signal ends the process, and with it a job that has touched no file yet:
// MPI_Init waits for all ranks.
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

// Handlers of a command of that kind, before and after MPI starts; again, where a user's code has put its own in their
// place.
void CtpgSignalsInstall(CtpgStopKind kind);
// The command has ended: signals wait, and end with the process.
void CtpgSignalsHold(void);

#endif
