// simulate.h -- the recorded costs of a finished file replayed on any number of ranks, with the scheduler's own dealer
//
// Event by event: a rank works off its grants in order, its report reaches the coordinator after a latency, is answered
// one after the other, and the grants travel back. A coordinator that works answers when it looks up from its item. The
// cost model starts with the formula and learns as it does in a sweep. What is not modelled: that many ranks on one
// node slow each other down, and that disks do.
#ifndef CTPG_SIMULATE_H
#define CTPG_SIMULATE_H

#include "schedule/dealer.h"
#include "store/contents.h"
#include "sweep/cost.h"

// What finished items took: references of cases, then runs, in `copies` times the rows of the file.
typedef struct {
  PetscInt ncases, nruns, copies; // of the file: those finished
  CtpgCaseRow *cases;             // [ncases]
  CtpgRunRow *runs;               // [nruns] case_index: among these
  double total;                   // s, of one copy
  double write;                   // s, see SimulatedWork; 0 as it is read
  CtpgContents contents;
} Recording;

// An error names the file and what is wrong with it.
PetscErrorCode RecordingRead(const char *path, PetscInt copies, Recording *recording);
PetscErrorCode RecordingDestroy(Recording *recording);

typedef struct {
  double makespan, bound; // s; no schedule is shorter than max(total / ranks, longest chain)
  double speed_up;        // time of one rank over makespan
  double busy;            // part of the time that the ranks that work have worked
  double messages, rows;  // reports and grants; rows stored
  double coordinator;     // part of the time that rank 0 spends on answers and on writing rows
  PetscBool dedicated;
  double tenth, left; // s: when a tenth of the work was done, and the time left that would have been said then
} Simulation;

// The rule of -coordinator auto, every rank on a core of its own.
PetscErrorCode Simulate(const Recording *recording, int ranks, Simulation *result);

// s of rank 0 to take up a row that a rank sent and to write it: 61 to 90 us of CPU time were measured (docs/store.md).
#define SIMULATE_WRITE 1e-4

// The same for made-up items. dealt: what the dealer is asked with, but for the ranks. write: s of rank 0 for the row
// of another rank.
typedef struct {
  DealerPlan dealt;
  double (*seconds)(void *context, PetscInt item); // that an item takes
  double write;
  void (*finished)(void *context, PetscInt item, double seconds); // NULL: nobody learns
  double *start;                                                  // [n] or NULL: when each item began
} SimulatedWork;
PetscErrorCode SimulateWork(const SimulatedWork *work, int ranks, PetscBool dedicated, Simulation *result);

#endif
