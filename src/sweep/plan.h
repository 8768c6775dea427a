// plan.h -- a sweep written out: labels, cases and runs, with their keys
//
// A run is (problem label, seed, estimator label, accuracy, repeat). Its key is a hash of everything that determines
// its result, and of nothing else: types, versions, resolved options, the content of x0, theta and task, the accuracy's
// bits.
#ifndef CTPG_PLAN_H
#define CTPG_PLAN_H

#include "job/limits.h"
#include "run/case.h"
#include "run/run.h"
#include "schedule/scheduler.h"
#include "store/store.h"
#include "sweep/cost.h"

typedef struct {
  CtpgOptions options; // of the command
  PetscInt nproblems, nestimators;
  CtpgLabel *problem_labels, *estimator_labels;
  CtpgProblem *problems;           // [nproblems]
  CtpgPair *pairs;                 // [nproblems, nestimators]
  int64_t *first_seed, *last_seed; // [nproblems] half open
  PetscInt experiment;
  double timing_threshold; // s, see PairRun
  PetscBool save_gradients;
  CtpgCoordinator coordinator;
  PetscInt shard, nshards; // this job has every nshards-th case, from number shard - 1 on
  CtpgStoreWay store;
  JobLimits limits;
  char retime[1024], redo[1024]; // comma lists of labels, or "all": see again.h
  char out[PETSC_MAX_PATH_LEN];
  PetscInt ncases, nruns;
  CtpgCaseRow *cases; // identity columns, statuses pending
  CtpgRunRow *runs;
  uint64_t hash; // FNV-1a64 over the sorted run keys
} CtpgPlan;

// From the options database; creates every label, reads every option, refuses unused ones, sets everything up. The same
// on every rank.
PetscErrorCode PlanCreate(CtpgPlan *plan);
PetscErrorCode PlanDestroy(CtpgPlan *plan);
PetscInt PlanCountCases(const CtpgPlan *plan, PetscInt problem);
CtpgPair *PlanGetPair(const CtpgPlan *plan, PetscInt run);
PetscErrorCode PlanDrawCase(const CtpgPlan *plan, PetscInt c, CtpgCase *drawn);
// Key of a run: case and estimator by their keys (run/case.h, run/instance.h).
uint64_t PlanRunKey(uint64_t case_key, uint64_t estimator_key, PetscReal accuracy, int32_t repeat);
// PetscReals of the product of a reference: see sweep.h.
PetscInt PlanProductSize(const CtpgPlan *plan, PetscInt c);
// What its items are expected to cost: cases, then runs.
PetscErrorCode PlanCreateCosts(const CtpgPlan *plan, CostModel *model);

#endif
