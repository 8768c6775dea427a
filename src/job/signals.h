// signals.h -- SIGTERM, SIGINT and SIGUSR1 ask the program to stop: a handler sets a flag, the closed loop looks at it
#ifndef CTPG_SIGNALS_H
#define CTPG_SIGNALS_H

// Set by SIGTERM, SIGINT, SIGUSR1; seen by every closed loop at its next evaluation.
extern volatile int CtpgStopRequested;

void CtpgSignalsInstall(void);
// While MPI and PETSc start and end, handlers are theirs or the default, which kills: a signal waits (SIG_BLOCK) until
// ours are there (SIG_UNBLOCK).
void CtpgSignalsHold(int how);

#endif
