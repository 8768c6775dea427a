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

// Collective. The file at -out for this plan, opened for rows; what it holds already is in case_done, run_done, owner and
// references. A file of another plan is refused, with the difference named, and left as it was.
PetscErrorCode SweepOpenFile(Sweep *s);
// Collective. Rank 0 worked alone: its error becomes everybody's, so that nobody waits in a collective call.
PetscErrorCode SweepAgreeOnSuccess(Sweep *s, PetscErrorCode error);

// Shared with training, whose files know the same labels: their rows of the label tables, and the first line in which two
// resolved texts, or the labels of a file and those here, differ ("; problem lqr has horizon = 10 there and ..", or "").
void DescribeProblem(const CtpgProblem *problem, CtpgLabelInfo *info);
void DescribeEstimator(const CtpgEstimator *estimator, CtpgLabelInfo *info);
void CompareOptions(const char *what, const char *label, const char *there, const char *here, char *text, size_t size);
void NameDifference(PetscInt nproblems, const CtpgProblem *problems, PetscInt nestimators, const CtpgPair *pairs,
                    CtpgContents old, char *text, size_t size);

#endif
