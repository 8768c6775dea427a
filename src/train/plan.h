// plan.h -- a training under way: its pairs and runs, shared by the command and by the part that prepares its
// file
#ifndef CTPG_TRAIN_PLAN_H
#define CTPG_TRAIN_PLAN_H

#include "job/fingerprint.h"
#include "job/limits.h"
#include "schedule/scheduler.h"
#include "train/trainer.h"

// What a run that others match leaves: evaluations of one kind per gradient of one start, (nf + nvjp_x + nvjp_theta) /
// 3 in the mean over its training, and how it ended.
typedef struct {
  double evaluations;
  int64_t status;
} TrainWork;

// Pairs are those that are trained, problem by problem; run first_run + s of a pair is that of its seed s.
typedef struct {
  CtpgOptions options; // of the command
  PetscInt nproblems, nestimators, npairs, nruns;
  CtpgLabel *problem_labels, *estimator_labels;
  CtpgProblem *problems;   // [nproblems]
  CtpgOptions *training;   // [nproblems] options of training, under the problem's label
  TrainSettings *settings; // [nproblems]
  PetscInt *nseeds;        // [nproblems]
  int64_t **seeds;         // [nproblems] [nseeds]
  CtpgPair *pairs;         // [npairs]
  TrainAccuracy *accuracies;
  Trainer *trainers;
  TrainShape *shapes;
  PetscInt *matched;                  // [npairs] pair whose NFE is matched, -1: none
  PetscReal *match_factor;            // [npairs] by what factor
  TrainRow *rows;                     // [nruns] identity columns
  PetscInt *waits_for;                // [nruns] run whose NFE is matched, -1: none
  PetscBool *is_waited;               // [nruns] is it one of those?
  PetscBool *done;                    // [nruns] in the file when the command began
  TrainWork *works;                   // [nruns] rank 0: of those that are done
  PetscInt experiment, ranks_per_run; // 0: auto
  JobLimits limits;
  char begun[FINGERPRINT_SIZE]; // arithmetic that the file was begun with
  int mixed, was_mixed;         // the parts in which that of this rank is another one; of an earlier session was
  char out[PETSC_MAX_PATH_LEN];

  double start;
  MPI_Comm comm, group, leaders; // leaders: MPI_COMM_NULL where this rank leads no group
  int rank, size;
  char host[MPI_MAX_PROCESSOR_NAME];
  TrainStore store;
  CtpgScheduler scheduler;
  char title[256]; // of the progress line: how this rank's run stands
  double run_begun;
  double *learnt, *weight; // [npairs + 1] rank 0: sums of measured / formula and their number; the last: logs, of all
  double *part;            // [nruns] rank 0: of its iterations, what earlier sessions had not done
  PetscInt here;           // rank 0: the run that it works on, -1: none, and the log ratio seen so far
  double seen;
  PetscInt run_first; // iteration at which it began here
} Train;

// From the options database; creates every label, reads every option, refuses unused ones, sets everything up. The same
// on every rank; comm, rank and size are set before.
PetscErrorCode TrainPlanCreate(Train *train);
PetscErrorCode TrainPlanDestroy(Train *train);

PetscInt TrainPairOf(const Train *train, PetscInt run);
// What decides the bits of a pair's runs, a set of CTPG_BITS_* (schema.h).
int TrainBits(const Train *train, PetscInt pair);
const char *TrainProblemLabel(const Train *train, PetscInt pair);
const char *TrainEstimatorLabel(const Train *train, PetscInt pair);
TrainWork TrainWorkOf(const Train *train, const TrainRow *row);

#endif
