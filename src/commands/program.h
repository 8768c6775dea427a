// program.h -- the command line: `ctpgbench <command> [PETSc options]`
#ifndef CTPG_PROGRAM_H
#define CTPG_PROGRAM_H

#include <petscsys.h>

// main of the program; tests and bridges may call it. Initialises and finalises MPI and PETSc.
__attribute__((visibility("default"))) int CtpgMain(int argc, char **argv);

// The commands, one file each. word: what stands behind the command (the file of `status`, the name of `new-problem`),
// "" without one. *exit_code is CTPG_EXIT_DONE on entry. Options are in PETSc's database.
typedef PetscErrorCode CtpgCommand(const char *word, int *exit_code);
CtpgCommand CommandList, CommandGradient, CommandJudge, CommandSweep, CommandPlan, CommandTrain, CommandTrace,
    CommandCheck, CommandMerge, CommandImport, CommandBench, CommandConvert, CommandStatus, CommandNewProblem,
    CommandNewEstimator;

// For commands that have nothing to share: an error on several ranks. instead: what the sentence ends with, such as
// "; use sweep".
PetscErrorCode RefuseSeveralRanks(const char *command, const char *instead);

#endif
