// cost.h -- what the items of a sweep are expected to cost: a formula that finished ones correct
//
// Only the order of dealing and the time left hang on it, never a result. The formula counts evaluations; the
// correction is learnt in logarithms: a line over log(accuracy) for each pair of labels, drawn towards what all pairs
// show, and on top of it a mean for each accuracy of the pair. References have a factor per problem. What is predicted
// is a mean, to be added up, although the costs of alike items scatter by factors.
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
// early [copies * items], zeroed by the caller: what shows the cost of much else, once it is finished, is marked. These
// are the references of every eleventh case of a problem, at most 16, and with every estimator the runs of them: of the
// first case those at the loosest and the tightest accuracy, of the others all. copies: so many times the plan's rows
// follow each other, as in a replay (simulate.h); 1 else.
PetscErrorCode CostChooseEarly(CostModel model, PetscInt copies, PetscBool *early);
// An item has taken so many seconds.
void CostLearn(CostModel model, PetscInt item, double seconds);
// An item that is not finished is supposed to take so many seconds in the end; weight 1, and -1 to take that back.
void CostSuppose(CostModel model, PetscInt item, double seconds, int weight);
// Everything that a file has finished, row by row of its own numbering: the model's plan must be the file's.
void CostLearnFile(CostModel model, CtpgContents contents);

#endif
