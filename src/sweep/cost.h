// cost.h -- what the items of a sweep are expected to cost: a formula that finished ones correct
//
// Only the order of dealing and the time left hang on it, never a result. The formula counts evaluations; the
// correction is learnt in logarithms: a line over log(accuracy) for each pair of labels, drawn towards what all pairs
// show, and on top of it a mean for each accuracy of the pair. References have a factor per problem. What is predicted
// is a mean, to be added up, although the costs of alike items scatter by factors.
#ifndef CTPG_COST_H
#define CTPG_COST_H

#include "ctpgbench/estimator.h"

// Items that are expected to cost the same: the references of a problem, or the runs of a pair of labels at one
// accuracy.
typedef struct {
  PetscInt problem, estimator; // estimator: -1 of references
  PetscReal accuracy;          // of runs
} CostKind;

// A sweep, from its plan or from its file. Arrays are copied.
typedef struct {
  PetscInt nproblems, nestimators, nkinds;
  const CostKind *kinds;   // [nkinds], first the references of each problem
  const PetscInt *np;      // [nproblems]
  const PetscReal *T;      // [nproblems] s
  const CtpgKnob *knob;    // [nestimators]
  const PetscReal *order;  // [nestimators]
  double timing_threshold; // s, see PairRun
} CostPlan;

typedef struct CostModel_s *CostModel;

PetscErrorCode CostCreate(const CostPlan *plan, CostModel *model);
PetscErrorCode CostDestroy(CostModel *model);
// Expected seconds of an item of the kind, timing repeats included.
double CostPredict(CostModel model, PetscInt kind);
// Does an item show the cost of much else, once it is finished? number: which case of its problem it belongs to. Such
// are the references of every eleventh case of a problem, at most 16, and with every estimator the runs of them: of the
// first case those at the loosest and the tightest accuracy, of the others all.
PetscBool CostShowsEarly(CostModel model, PetscInt kind, PetscInt number);
// An item has taken so many seconds.
void CostLearn(CostModel model, PetscInt kind, double seconds);
// An item that is not finished is supposed to take so many seconds in the end; weight 1, and -1 to take that back.
void CostSuppose(CostModel model, PetscInt kind, double seconds, int weight);

#endif
