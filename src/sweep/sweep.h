// sweep.h -- a sweep under way, shared by the command and by the part that prepares its file
#ifndef CTPG_SWEEP_H
#define CTPG_SWEEP_H

#include "job/fingerprint.h"
#include "store/store.h"
#include "sweep/plan.h"

// Rows that are measured anew: see again.h.
typedef struct {
  CtpgRunRow *before; // [nruns] rank 0: rows as they were, pending where nothing is measured; NULL: no -retime
  PetscInt measured, differing; // rows with the same bits, and others, which are left as they are
  char first[512];              // the first of these
} SweepAgain;

// Items of the scheduler: the references of cases 0 .. ncases - 1, then the runs, which wait for that of their case.
// The product of a reference is what a run is compared with: status, loss, dL/dx0 [nx], dL/dtheta [np], all PetscReal.
typedef struct {
  CtpgPlan plan;
  MPI_Comm comm;
  double start; // CtpgSeconds() when the command began
  int rank, size;
  CtpgStore store;
  CtpgScheduler scheduler;
  char host[MPI_MAX_PROCESSOR_NAME];
  PetscBool *done;                 // [ncases + nruns] rank 0: in the file when the sweep began
  PetscBool *case_done, *run_done; // its two parts
  PetscReal **products;            // [ncases] rank 0: of references in the file that runs wait for, else NULL
  CostModel costs;                 // rank 0
  ReferenceSolver *solvers;        // [nproblems], made when first needed
  PetscLogEvent reference_event;
  int neighbours;               // ranks on this host, this one among them
  double cpu_start, repeat_cpu; // CPU time of this rank when items began; and of it, what repeats for the clock took
  char begun[FINGERPRINT_SIZE]; // arithmetic that the file was begun with
  int mixed;                    // the parts in which that of this rank is another one
  SweepAgain again;
  double item_start, item_polled, put_seconds; // of the item that is worked on; the last row took so long to store
} Sweep;

#endif
