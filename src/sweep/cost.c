// cost.c -- the model that predicts costs (cost.h)
//
// The formula knows numbers of parameters, tolerances and orders only. What is learnt is log(measured / formula). Three
// sums are kept: over all runs, over each pair of labels, and over each cell, which is a pair at one accuracy. A
// prediction starts from the mean over all, draws the pair's line over log(accuracy) towards it, and the cell's mean
// towards that line, each as if what it is drawn towards had been seen a fixed number of times. So one finished run
// moves its neighbours a little, and many move all.

#include "sweep/cost.h"
#include <math.h>
#include <stdlib.h>

#define WALL_SAMPLES  3    // of PairRun
#define TRUST_ALL     1.0  // in what all pairs show, counted in runs of this pair
#define TRUST_FLAT    20.0 // that a line is flat, in runs times (log accuracy)^2
#define TRUST_LINE    1.0  // in the line of the pair, counted in runs at this accuracy
#define REFERENCE_NFE 4e4  // evaluations of a reference and of its checks

// Sums over finished items: y = log(measured / formula), x = log(accuracy).
typedef struct {
  double n, x, y, xx, xy;
} Sums;

struct CostModel_s {
  CostPlan plan; // its arrays over labels are these:
  PetscInt *np;
  PetscReal *T, *order;
  CtpgKnob *knob;
  PetscInt *cell;     // [nruns] number of (pair, accuracy)
  Sums all, *problem; // [nproblems] references
  Sums *pair;         // [nproblems, nestimators]
  Sums *at;           // [cells]
};

// ---- cells ----

typedef struct {
  PetscInt pair, run;
  double accuracy;
} Cell;

static PetscInt PairOf(const CostPlan *plan, PetscInt run) {
  return plan->runs[run].problem * plan->nestimators + plan->runs[run].estimator;
}

static int CompareCells(const void *a, const void *b) {
  const Cell *x = a, *y = b;
  if (x->pair != y->pair) return x->pair < y->pair ? -1 : 1;
  return (x->accuracy > y->accuracy) - (x->accuracy < y->accuracy);
}

static PetscErrorCode NumberCells(CostModel m, PetscInt *ncells) {
  const PetscInt n = m->plan.nruns;
  Cell *cell;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(n, &cell));
  for (PetscInt r = 0; r < n; r++)
    cell[r] = (Cell){.pair = PairOf(&m->plan, r), .run = r, .accuracy = m->plan.runs[r].accuracy};
  qsort(cell, (size_t)n, sizeof *cell, CompareCells);
  *ncells = 0;
  for (PetscInt k = 0; k < n; k++) {
    if (k && CompareCells(cell + k - 1, cell + k)) (*ncells)++;
    m->cell[cell[k].run] = *ncells;
  }
  (*ncells)++;
  PetscCall(PetscFree(cell));
  PetscFunctionReturn(0);
}

static PetscErrorCode CopyLabels(CostModel m) {
  CostPlan *plan = &m->plan;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc4(plan->nproblems, &m->np, plan->nproblems, &m->T, plan->nestimators, &m->order,
                         plan->nestimators, &m->knob));
  PetscCall(PetscArraycpy(m->np, plan->np, plan->nproblems));
  PetscCall(PetscArraycpy(m->T, plan->T, plan->nproblems));
  PetscCall(PetscArraycpy(m->order, plan->order, plan->nestimators));
  PetscCall(PetscArraycpy(m->knob, plan->knob, plan->nestimators));
  plan->np = m->np, plan->T = m->T, plan->order = m->order, plan->knob = m->knob;
  PetscFunctionReturn(0);
}

PetscErrorCode CostCreate(const CostPlan *plan, CostModel *model) {
  PetscInt ncells;
  CostModel m;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&m));
  *model = m;
  m->plan = *plan;
  PetscCall(CopyLabels(m));
  PetscCall(PetscMalloc1(plan->nruns, &m->cell));
  PetscCall(NumberCells(m, &ncells));
  PetscCall(PetscCalloc3(plan->nproblems, &m->problem, plan->nproblems * plan->nestimators, &m->pair, ncells, &m->at));
  PetscFunctionReturn(0);
}

PetscErrorCode CostDestroy(CostModel *model) {
  PetscFunctionBeginUser;
  if (!*model) PetscFunctionReturn(0);
  PetscCall(PetscFree4((*model)->np, (*model)->T, (*model)->order, (*model)->knob));
  PetscCall(PetscFree((*model)->cell));
  PetscCall(PetscFree3((*model)->problem, (*model)->pair, (*model)->at));
  PetscCall(PetscFree(*model));
  PetscFunctionReturn(0);
}

// ---- the formula ----

// Drawing a case and storing a row.
static double Overhead(const CostPlan *plan, PetscInt problem) {
  return 3e-5 + 1e-7 * (double)plan->np[problem];
}

// 0.7 ns per evaluation and parameter fits lqr, diffdrive and quadrotor.
static double Evaluations(const CostPlan *plan, PetscInt problem, double nfe) {
  return 7e-10 * nfe * (double)(200 + plan->np[problem]);
}

static double ReferenceFormula(const CostPlan *plan, PetscInt c) {
  const PetscInt p = plan->cases[c].problem;
  return Overhead(plan, p) + Evaluations(plan, p, REFERENCE_NFE);
}

// Steps of length rtol^(1 / (p + 1)) for adaptive estimators; a sample is two solves of the loss.
static double RunFormula(const CostPlan *plan, PetscInt r) {
  const CtpgRunRow *row = plan->runs + r;
  const CtpgKnob knob = plan->knob[row->estimator];
  const double nfe = knob == CTPG_KNOB_DT        ? 2 * plan->T[row->problem] / row->accuracy
                     : knob == CTPG_KNOB_SAMPLES ? 500 * row->accuracy
                                                 : 100 * pow(row->accuracy, -1 / (plan->order[row->estimator] + 1));
  const double seconds = Evaluations(plan, row->problem, nfe);
  const double solves = seconds < plan->timing_threshold ? 1 + WALL_SAMPLES : 1;
  return Overhead(plan, row->problem) + solves * seconds;
}

static double Formula(const CostPlan *plan, PetscInt item) {
  return item < plan->ncases ? ReferenceFormula(plan, item) : RunFormula(plan, item - plan->ncases);
}

// ---- the correction ----

static void Add(Sums *sums, double x, double y) {
  sums->n++;
  sums->x += x;
  sums->y += y;
  sums->xx += x * x;
  sums->xy += x * y;
}

// Mean of y, drawn towards `prior` as if that had been seen `trust` times.
static double DrawnMean(const Sums *sums, double prior, double trust) {
  return (sums->y + trust * prior) / (sums->n + trust);
}

// The pair's line at x: least squares with a penalty on the slope, through its drawn mean.
static double Line(const Sums *sums, double x, double prior) {
  const double mean_x = sums->n > 0 ? sums->x / sums->n : x, mean_y = sums->n > 0 ? sums->y / sums->n : 0;
  const double slope = (sums->xy - sums->n * mean_x * mean_y) / (sums->xx - sums->n * mean_x * mean_x + TRUST_FLAT);
  return DrawnMean(sums, prior, TRUST_ALL) + slope * (x - mean_x);
}

static double Correction(CostModel m, PetscInt item) {
  const double all = DrawnMean(&m->all, 0, TRUST_ALL);
  if (item < m->plan.ncases) return DrawnMean(m->problem + m->plan.cases[item].problem, all, TRUST_ALL);
  const PetscInt run = item - m->plan.ncases;
  const double line = Line(m->pair + PairOf(&m->plan, run), log(m->plan.runs[run].accuracy), all);
  return DrawnMean(m->at + m->cell[run], line, TRUST_LINE);
}

double CostPredict(CostModel m, PetscInt item) {
  return Formula(&m->plan, item) * exp(Correction(m, item));
}

void CostChooseEarly(CostModel m, PetscBool *early) {
  const CostPlan *plan = &m->plan;
  for (PetscInt r = 0, last = -1, least = -1, most = -1; r <= plan->nruns; r++) {
    const PetscBool same =
        r < plan->nruns && last >= 0 && PairOf(plan, r) == PairOf(plan, last) ? PETSC_TRUE : PETSC_FALSE;
    if (last >= 0 && !same) early[plan->ncases + least] = early[plan->ncases + most] = PETSC_TRUE;
    if (r == plan->nruns) break;
    if (!same) {
      early[plan->runs[r].case_index] = PETSC_TRUE;
      least = most = r;
    } else if (plan->runs[r].case_index == plan->runs[least].case_index) {
      if (plan->runs[r].accuracy < plan->runs[least].accuracy) least = r;
      if (plan->runs[r].accuracy > plan->runs[most].accuracy) most = r;
    }
    last = r;
  }
}

void CostLearn(CostModel m, PetscInt item, double seconds) {
  if (!(seconds > 0)) return;
  const double y = log(seconds / Formula(&m->plan, item));
  Add(&m->all, 0, y);
  if (item < m->plan.ncases) {
    Add(m->problem + m->plan.cases[item].problem, 0, y);
    return;
  }
  const PetscInt run = item - m->plan.ncases;
  const double x = log(m->plan.runs[run].accuracy);
  Add(m->pair + PairOf(&m->plan, run), x, y);
  Add(m->at + m->cell[run], x, y);
}

void CostLearnFile(CostModel m, CtpgContents contents) {
  for (PetscInt c = 0; c < contents->ncases; c++)
    if (contents->case_done[c]) CostLearn(m, c, contents->cases[c].busy);
  for (PetscInt r = 0; r < contents->nruns; r++)
    if (contents->run_done[r]) CostLearn(m, m->plan.ncases + r, contents->runs[r].busy);
}
