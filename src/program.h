// program.h -- the command line: `ctpgbench <command> [PETSc options]`
#ifndef CTPG_PROGRAM_H
#define CTPG_PROGRAM_H

#include "instance.h"

// Exit codes beside PETSc's own errors.
#define CTPG_EXIT_DONE       0
#define CTPG_EXIT_ERROR      1
#define CTPG_EXIT_INCOMPLETE 75 // stopped by a signal or a time limit: run me again

// main of the program; tests and bridges may call it. Initialises and finalises MPI and PETSc.
int CtpgMain(int argc, char **argv);

// Set by SIGTERM, SIGINT, SIGUSR1; seen by every closed loop at its next evaluation.
extern volatile int CtpgStopRequested;

// The commands, one file each. word: what stands behind the command (the file of `status`, the name of `new-problem`), ""
// without one. *exit_code is CTPG_EXIT_DONE on entry. Options are in PETSc's database.
typedef PetscErrorCode CtpgCommand(const char *word, int *exit_code);
CtpgCommand CommandList, CommandGradient, CommandSweep, CommandPlan, CommandTrain, CommandTrace, CommandCheck,
    CommandMerge, CommandStatus, CommandNewProblem, CommandNewEstimator;

// All words behind the command, for commands that take several.
const char *const *CtpgWords(int *n);

// Every rank knows of the error that rank 0 has printed: the program ends without MPI_Abort.
void CtpgErrorWasTold(void);

// Collective. Rank 0 worked alone: its error becomes everybody's, so that nobody waits in a collective call.
PetscErrorCode CtpgAgreeOnSuccess(MPI_Comm comm, PetscErrorCode error);

// Value of -<name>s or -<name> (problems, estimators): the singular and the plural mean the same. Error when both are
// given, or neither and `fallback` is NULL.
PetscErrorCode CtpgLabelOption(CtpgOptions options, const char *name, const char *fallback, PetscInt *n,
                               CtpgLabel **labels);

#endif
