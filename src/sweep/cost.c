// cost.c -- the model that predicts costs (cost.h)
//
// The formula knows numbers of parameters, tolerances and orders only. What is learnt is log(measured / formula). Three
// sums are kept: over all runs, over each pair of labels, and over each cell, which is a pair at one accuracy, or the
// references of a problem. A prediction starts from the mean over all, draws the pair's line over log(accuracy) towards
// it, and the cell's mean towards that line, each as if what it is drawn towards had been seen a fixed number of times.
// So one finished run moves its neighbours a little, and many move all.
//
// Costs are added up, so what is predicted is a mean, while exp() of a mean of logarithms is a median: where costs
// scatter by s (standard deviation of their logarithms within a cell) it is too low by exp(s^2 / 2), the mean over the
// median of a lognormal distribution. Lines are raised by that factor; what a cell itself has shown is averaged as it
// is.

#include "sweep/cost.h"
#include <math.h>
#include <stdlib.h>

#define WALL_SAMPLES  3    // of PairRun
#define TRUST_ALL     1.0  // in what all pairs show, counted in runs of this pair
#define TRUST_FLAT    20.0 // that a line is flat, in runs times (log accuracy)^2
#define TRUST_LINE    1.0  // in the line of the pair, counted in runs at this accuracy
#define REFERENCE_NFE 4e4  // evaluations of a reference and of its checks
#define SCATTER       0.1  // s^2 of a pair of which nothing is known
#define TRUST_SCATTER 2.0  // in it, counted in runs of this pair
#define EARLY_PART    11   // one case of so many shows early what others will cost; prime: seeds are rounder numbers
#define EARLY_MOST    16   // but no more than so many of a problem

// Sums over finished items: y = log(measured / formula), x = log(accuracy).
typedef struct {
  double n, x, y, xx, xy;
} Sums;

// Measured over formula, of the finished items of a cell.
typedef struct {
  double n, ratio, y;
} Cost;

// Squares of y about the means of cells, and how many they are, less one of each cell.
typedef struct {
  double squares, freedom;
} Scatter;

struct CostModel_s {
  CostPlan plan; // its arrays over labels are these:
  PetscInt *np;
  PetscReal *T, *order;
  CtpgKnob *knob;
  PetscInt *cell;             // [nruns] number of (pair, accuracy)
  Sums all, *pair;            // [nproblems, nestimators]
  Cost *problem, *at;         // [nproblems] references; [cells]
  Scatter *references, *runs; // [nproblems]; [nproblems, nestimators]
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
  const PetscInt npairs = plan->nproblems * plan->nestimators;
  PetscCall(PetscCalloc5(plan->nproblems, &m->problem, plan->nproblems, &m->references, npairs, &m->pair, npairs,
                         &m->runs, ncells, &m->at));
  PetscFunctionReturn(0);
}

PetscErrorCode CostDestroy(CostModel *model) {
  PetscFunctionBeginUser;
  if (!*model) PetscFunctionReturn(0);
  PetscCall(PetscFree4((*model)->np, (*model)->T, (*model)->order, (*model)->knob));
  PetscCall(PetscFree((*model)->cell));
  PetscCall(PetscFree5((*model)->problem, (*model)->references, (*model)->pair, (*model)->runs, (*model)->at));
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

static void Add(Sums *sums, double x, double y, double weight) {
  sums->n += weight;
  sums->x += weight * x;
  sums->y += weight * y;
  sums->xx += weight * x * x;
  sums->xy += weight * x * y;
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

// Mean over median of what scatters so.
static double Raise(const Scatter *scatter) {
  return exp(0.5 * (scatter->squares + TRUST_SCATTER * SCATTER) / (scatter->freedom + TRUST_SCATTER));
}

// The cell's mean, drawn towards what others show.
static double CellMean(const Cost *cell, const Scatter *scatter, double line) {
  return (cell->ratio + TRUST_LINE * exp(line) * Raise(scatter)) / (cell->n + TRUST_LINE);
}

static double Correction(CostModel m, PetscInt item) {
  const double all = DrawnMean(&m->all, 0, TRUST_ALL);
  if (item < m->plan.ncases) {
    const PetscInt p = m->plan.cases[item].problem;
    return CellMean(m->problem + p, m->references + p, all);
  }
  const PetscInt run = item - m->plan.ncases, pair = PairOf(&m->plan, run);
  const double line = Line(m->pair + pair, log(m->plan.runs[run].accuracy), all);
  return CellMean(m->at + m->cell[run], m->runs + pair, line);
}

double CostPredict(CostModel m, PetscInt item) {
  return Formula(&m->plan, item) * Correction(m, item);
}

// Which cases show early what the others cost: 0 not this one; 1 by its loosest and tightest runs; 2 by all its runs.
// A first one by few, since with a handful of cases it is no small part of the whole.
static int ShowsEarly(PetscInt number) {
  if (number % EARLY_PART || number / EARLY_PART >= EARLY_MOST) return 0;
  return number ? 2 : 1;
}

// Of one case, with one estimator.
static PetscBool AreTogether(const CostPlan *plan, PetscInt r, PetscInt other) {
  return plan->runs[r].case_index == plan->runs[other].case_index && PairOf(plan, r) == PairOf(plan, other)
             ? PETSC_TRUE
             : PETSC_FALSE;
}

// The runs first .. last - 1 are those of one case with one estimator.
static void ChooseRuns(const CostPlan *plan, PetscInt first, PetscInt last, int shows, PetscBool *early) {
  PetscInt least = first, most = first;
  for (PetscInt r = first; r < last; r++) {
    if (plan->runs[r].accuracy < plan->runs[least].accuracy) least = r;
    if (plan->runs[r].accuracy > plan->runs[most].accuracy) most = r;
    if (shows == 2) early[r] = PETSC_TRUE;
  }
  if (shows) early[least] = early[most] = PETSC_TRUE;
}

PetscErrorCode CostChooseEarly(CostModel m, PetscInt copies, PetscBool *early) {
  const CostPlan *plan = &m->plan;
  PetscInt *met; // [nproblems] cases so far
  int *shows;    // [ncases] of this copy

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc2(plan->nproblems, &met, plan->ncases, &shows));
  for (PetscInt k = 0; k < copies; k++, early += plan->ncases + plan->nruns) {
    for (PetscInt c = 0; c < plan->ncases; c++) {
      shows[c] = ShowsEarly(met[plan->cases[c].problem]++);
      early[c] = shows[c] ? PETSC_TRUE : PETSC_FALSE;
    }
    for (PetscInt r = 0, last; r < plan->nruns; r = last) {
      for (last = r; last < plan->nruns && AreTogether(plan, r, last);) last++;
      ChooseRuns(plan, r, last, shows[plan->runs[r].case_index], early + plan->ncases);
    }
  }
  PetscCall(PetscFree2(met, shows));
  PetscFunctionReturn(0);
}

static void AddScatter(const Cost *cell, Scatter *scatter, double y) {
  if (!(cell->n > 0)) return;
  const double off = y - cell->y / cell->n;
  scatter->squares += off * off * cell->n / (cell->n + 1);
  scatter->freedom++;
}

static void AddCost(Cost *cell, double y, double weight) {
  cell->n += weight;
  cell->y += weight * y;
  cell->ratio += weight * exp(y);
}

void CostSuppose(CostModel m, PetscInt item, double seconds, int weight) {
  const double y = log(seconds / Formula(&m->plan, item));
  Add(&m->all, 0, y, weight);
  if (item < m->plan.ncases) {
    AddCost(m->problem + m->plan.cases[item].problem, y, weight);
    return;
  }
  const PetscInt run = item - m->plan.ncases;
  Add(m->pair + PairOf(&m->plan, run), log(m->plan.runs[run].accuracy), y, weight);
  AddCost(m->at + m->cell[run], y, weight);
}

void CostLearn(CostModel m, PetscInt item, double seconds) {
  if (!(seconds > 0)) return;
  const double y = log(seconds / Formula(&m->plan, item));
  if (item < m->plan.ncases) {
    const PetscInt p = m->plan.cases[item].problem;
    AddScatter(m->problem + p, m->references + p, y);
  } else {
    const PetscInt run = item - m->plan.ncases;
    AddScatter(m->at + m->cell[run], m->runs + PairOf(&m->plan, run), y);
  }
  CostSuppose(m, item, seconds, 1);
}

void CostLearnFile(CostModel m, CtpgContents contents) {
  for (PetscInt c = 0; c < contents->ncases; c++)
    if (contents->case_done[c]) CostLearn(m, c, contents->cases[c].busy);
  for (PetscInt r = 0; r < contents->nruns; r++)
    if (contents->run_done[r]) CostLearn(m, m->plan.ncases + r, contents->runs[r].busy);
}
