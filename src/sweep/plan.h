// plan.h -- a sweep: its labels, and what case c and run r of it are
//
// A run is (problem label, seed, estimator label, accuracy, repeat). Its key is a hash of everything that determines
// its result, and of nothing else: types, versions, resolved options, the content of x0, theta and task, the accuracy's
// bits.
//
// Cases and runs follow from their numbers, so that a plan takes no memory for them: the cases of each problem lie
// together, in the order of their seeds, and the runs of each pair of labels, cases x accuracies x repeats. Rank 0
// keeps the keys of the cases, which have to be drawn for it.
#ifndef CTPG_PLAN_H
#define CTPG_PLAN_H

#include "job/limits.h"
#include "run/case.h"
#include "run/run.h"
#include "schedule/scheduler.h"
#include "store/store.h"
#include "sweep/cost.h"

// The runs of a pair of labels.
typedef struct {
  PetscInt problem, estimator;
  PetscInt first, n; // runs first .. first + n - 1
  PetscInt naccuracies, repeats;
  PetscReal *accuracies; // [naccuracies]
  PetscInt first_kind;   // of items (cost.h): one of each accuracy
  uint64_t key;          // of the estimator
} PlanBlock;

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
  PetscInt ncases, nruns, nkinds;
  PetscInt *first_case; // [nproblems + 1]
  int64_t *first_own;   // [nproblems] seed of the first case of this shard
  PlanBlock *blocks;    // [nproblems * nestimators] in this order
  uint64_t *case_keys;  // [ncases] rank 0
  uint64_t hash;        // rank 0: FNV-1a64 over the sorted run keys
} CtpgPlan;

// Collective. From the options database; creates every label, reads every option, refuses unused ones, sets everything
// up.
PetscErrorCode PlanCreate(CtpgPlan *plan);
PetscErrorCode PlanDestroy(CtpgPlan *plan);
PetscInt PlanCountCases(const CtpgPlan *plan, PetscInt problem);
PetscInt PlanProblemOf(const CtpgPlan *plan, PetscInt c);
PetscInt PlanCaseOf(const CtpgPlan *plan, PetscInt run);
CtpgPair *PlanGetPair(const CtpgPlan *plan, PetscInt run);
PetscErrorCode PlanDrawCase(const CtpgPlan *plan, PetscInt c, CtpgCase *drawn);
// Key of a run: case and estimator by their keys (run/case.h, run/instance.h).
uint64_t PlanRunKey(uint64_t case_key, uint64_t estimator_key, PetscReal accuracy, int32_t repeat);
// Identity columns, statuses pending. case_key: of a case that was drawn (CaseKey).
void PlanFillCase(const CtpgPlan *plan, PetscInt c, uint64_t case_key, CtpgCaseRow *row);
void PlanFillRun(const CtpgPlan *plan, PetscInt run, uint64_t case_key, CtpgRunRow *row);
// Rank 0: the same, and keys alone.
void PlanGetCase(const CtpgPlan *plan, PetscInt c, CtpgCaseRow *row);
void PlanGetRun(const CtpgPlan *plan, PetscInt run, CtpgRunRow *row);
uint64_t PlanKeyOf(const CtpgPlan *plan, PetscInt run);
PetscErrorCode PlanListRunKeys(const CtpgPlan *plan, uint64_t **keys); // [nruns]; PetscFree
// PetscReals of the product of a reference: see sweep.h.
PetscInt PlanProductSize(const CtpgPlan *plan, PetscInt c);

// Items are cases, then runs. Their kinds: the references of each problem, then the accuracies of each block.
PetscInt PlanKindOf(const CtpgPlan *plan, PetscInt item);
PetscErrorCode PlanCreateCosts(const CtpgPlan *plan, CostModel *model);

#endif
