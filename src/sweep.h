// sweep.h -- a sweep under way, shared by the command and by the part that prepares its file
#ifndef CTPG_SWEEP_H
#define CTPG_SWEEP_H

#include "plan.h"
#include "scheduler.h"

typedef struct {
  CtpgPlan plan;
  MPI_Comm comm;
  double start; // CtpgSeconds() when the command began
  int rank, size;
  CtpgStore store;
  CtpgScheduler scheduler;
  char host[MPI_MAX_PROCESSOR_NAME];
  PetscBool *case_done, *run_done; // in the file when the sweep began
  PetscInt *owner;                 // [ncases] rank that has the reference, -1: nobody
  CtpgReference *references;       // [ncases]
  ReferenceSolver *solvers;        // [nproblems], made when first needed
} Sweep;

// Collective. The file at -out for this plan, locked and opened for rows; what it holds already is in case_done, run_done,
// owner and references. Runs that took a process down in earlier sessions have become rows with status crashed. A file of
// another plan is refused, with the difference named, and left as it was.
PetscErrorCode SweepOpenFile(Sweep *s);
// Collective. Closes it, gives its lock back, and takes away what only a crash would need.
PetscErrorCode SweepCloseFile(Sweep *s);
// Collective. Rank 0 worked alone: its error becomes everybody's, so that nobody waits in a collective call.
PetscErrorCode SweepAgreeOnSuccess(Sweep *s, PetscErrorCode error);

// Where the first line begins in which two resolved texts of options differ.
size_t SweepFirstDifference(const char *a, const char *b);

#endif
