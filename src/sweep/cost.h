// cost.h -- what the items of a sweep are expected to cost: a formula that finished ones correct
//
// Only the order of dealing and the time left hang on it, never a result. The formula counts evaluations; the
// correction is learnt in logarithms: a line over log(accuracy) for each pair of labels, drawn towards what all pairs
// show, and on top of it a mean for each accuracy of the pair. References have a factor per problem.
#ifndef CTPG_COST_H
#define CTPG_COST_H

#include "ctpgbench/estimator.h"
#include "store/contents.h"

// A sweep, from its plan or from its file. Rows are borrowed, arrays over labels are copied.
typedef struct {
  PetscInt nproblems, nestimators, ncases, nruns;
  const CtpgCaseRow *cases; // identity columns are read
  const CtpgRunRow *runs;   // likewise
  const PetscInt *np;       // [nproblems]
  const PetscReal *T;       // [nproblems] s
  const CtpgKnob *knob;     // [nestimators]
  const PetscReal *order;   // [nestimators]
  double timing_threshold;  // s, see PairRun
} CostPlan;

typedef struct CostModel_s *CostModel;

PetscErrorCode CostCreate(const CostPlan *plan, CostModel *model);
PetscErrorCode CostDestroy(CostModel *model);
// Items: cases (their references), then runs. Expected seconds, timing repeats included.
double CostPredict(CostModel model, PetscInt item);
// early [items]: what shows the cost of much else, once it is finished: of every pair of labels the runs of its first
// case at the loosest and the tightest accuracy, and the reference of that case.
void CostChooseEarly(CostModel model, PetscBool *early);
// An item has taken so many seconds.
void CostLearn(CostModel model, PetscInt item, double seconds);
// Everything that a file has finished, row by row of its own numbering: the model's plan must be the file's.
void CostLearnFile(CostModel model, CtpgContents contents);

#endif
