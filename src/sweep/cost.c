// cost.c -- the model that predicts costs (cost.h)
//
// The formula knows numbers of parameters, tolerances and orders only. What is learnt is log(measured / formula). Three
// sums are kept: over all runs, over each pair of labels, and over each kind (cost.h). A prediction starts from the
// mean over all, draws the pair's line over log(accuracy) towards it, and the kind's mean towards that line, each as if
// what it is drawn towards had been seen a fixed number of times. So one finished run moves its neighbours a little,
// and many move all.
//
// Costs are added up, so what is predicted is a mean, while exp() of a mean of logarithms is a median: where costs
// scatter by s (standard deviation of their logarithms within a kind) it is too low by exp(s^2 / 2), the mean over the
// median of a lognormal distribution. Lines are raised by that factor; what a kind itself has shown is averaged as it
// is.

#include "sweep/cost.h"
#include <math.h>

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

// Measured over formula, of the finished items of a kind.
typedef struct {
  double n, ratio, y;
} Cost;

// Squares of y about the means of kinds, and how many they are, less one of each kind.
typedef struct {
  double squares, freedom;
} Scatter;

struct CostModel_s {
  CostPlan plan; // its arrays are these:
  CostKind *kinds;
  PetscInt *np;
  PetscReal *T, *order;
  CtpgKnob *knob;
  Sums all, *pair;               // [nproblems, nestimators]
  Cost *cost;                    // [nkinds]
  Scatter *references, *runs;    // [nproblems]; [nproblems, nestimators]
  PetscReal *tightest, *loosest; // [nproblems, nestimators]
};

// ---- life cycle ----

static PetscInt PairOf(const CostPlan *plan, PetscInt kind) {
  return plan->kinds[kind].problem * plan->nestimators + plan->kinds[kind].estimator;
}

static PetscErrorCode CopyPlan(CostModel m) {
  CostPlan *plan = &m->plan;
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc5(plan->nkinds, &m->kinds, plan->nproblems, &m->np, plan->nproblems, &m->T, plan->nestimators,
                         &m->order, plan->nestimators, &m->knob));
  PetscCall(PetscArraycpy(m->kinds, plan->kinds, plan->nkinds));
  PetscCall(PetscArraycpy(m->np, plan->np, plan->nproblems));
  PetscCall(PetscArraycpy(m->T, plan->T, plan->nproblems));
  PetscCall(PetscArraycpy(m->order, plan->order, plan->nestimators));
  PetscCall(PetscArraycpy(m->knob, plan->knob, plan->nestimators));
  plan->kinds = m->kinds, plan->np = m->np, plan->T = m->T, plan->order = m->order, plan->knob = m->knob;
  PetscFunctionReturn(0);
}

static void FindExtremes(CostModel m) {
  for (PetscInt k = 0; k < m->plan.nproblems * m->plan.nestimators; k++)
    m->tightest[k] = INFINITY, m->loosest[k] = -INFINITY;
  for (PetscInt k = 0; k < m->plan.nkinds; k++) {
    if (m->kinds[k].estimator < 0) continue;
    const PetscInt pair = PairOf(&m->plan, k);
    m->tightest[pair] = PetscMin(m->tightest[pair], m->kinds[k].accuracy);
    m->loosest[pair] = PetscMax(m->loosest[pair], m->kinds[k].accuracy);
  }
}

PetscErrorCode CostCreate(const CostPlan *plan, CostModel *model) {
  const PetscInt npairs = plan->nproblems * plan->nestimators;
  CostModel m;
  PetscFunctionBeginUser;
  PetscCall(PetscNew(&m));
  *model = m;
  m->plan = *plan;
  PetscCall(CopyPlan(m));
  PetscCall(PetscCalloc4(plan->nkinds, &m->cost, plan->nproblems, &m->references, npairs, &m->pair, npairs, &m->runs));
  PetscCall(PetscMalloc2(npairs, &m->tightest, npairs, &m->loosest));
  FindExtremes(m);
  PetscFunctionReturn(0);
}

PetscErrorCode CostDestroy(CostModel *model) {
  CostModel m = *model;
  PetscFunctionBeginUser;
  if (!m) PetscFunctionReturn(0);
  PetscCall(PetscFree5(m->kinds, m->np, m->T, m->order, m->knob));
  PetscCall(PetscFree4(m->cost, m->references, m->pair, m->runs));
  PetscCall(PetscFree2(m->tightest, m->loosest));
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

static double ReferenceFormula(const CostPlan *plan, PetscInt p) {
  return Overhead(plan, p) + Evaluations(plan, p, REFERENCE_NFE);
}

// Steps of length rtol^(1 / (p + 1)) for adaptive estimators; a sample is two solves of the loss.
static double RunFormula(const CostPlan *plan, const CostKind *kind) {
  const CtpgKnob knob = plan->knob[kind->estimator];
  const double nfe = knob == CTPG_KNOB_DT        ? 2 * plan->T[kind->problem] / kind->accuracy
                     : knob == CTPG_KNOB_SAMPLES ? 500 * kind->accuracy
                                                 : 100 * pow(kind->accuracy, -1 / (plan->order[kind->estimator] + 1));
  const double seconds = Evaluations(plan, kind->problem, nfe);
  const double solves = seconds < plan->timing_threshold ? 1 + WALL_SAMPLES : 1;
  return Overhead(plan, kind->problem) + solves * seconds;
}

static double Formula(const CostPlan *plan, PetscInt kind) {
  const CostKind *k = plan->kinds + kind;
  return k->estimator < 0 ? ReferenceFormula(plan, k->problem) : RunFormula(plan, k);
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

// The kind's mean, drawn towards what others show.
static double KindMean(const Cost *cost, const Scatter *scatter, double line) {
  return (cost->ratio + TRUST_LINE * exp(line) * Raise(scatter)) / (cost->n + TRUST_LINE);
}

static double Correction(CostModel m, PetscInt kind) {
  const double all = DrawnMean(&m->all, 0, TRUST_ALL);
  const CostKind *k = m->kinds + kind;
  if (k->estimator < 0) return KindMean(m->cost + kind, m->references + k->problem, all);
  const PetscInt pair = PairOf(&m->plan, kind);
  return KindMean(m->cost + kind, m->runs + pair, Line(m->pair + pair, log(k->accuracy), all));
}

double CostPredict(CostModel m, PetscInt kind) {
  return Formula(&m->plan, kind) * Correction(m, kind);
}

// Of the first case few, since with a handful of cases it is no small part of the whole.
PetscBool CostShowsEarly(CostModel m, PetscInt kind, PetscInt number) {
  const CostKind *k = m->kinds + kind;
  if (number % EARLY_PART || number / EARLY_PART >= EARLY_MOST) return PETSC_FALSE;
  if (k->estimator < 0 || number) return PETSC_TRUE;
  const PetscInt pair = PairOf(&m->plan, kind);
  return k->accuracy == m->tightest[pair] || k->accuracy == m->loosest[pair] ? PETSC_TRUE : PETSC_FALSE;
}

static void AddScatter(const Cost *cost, Scatter *scatter, double y) {
  if (!(cost->n > 0)) return;
  const double off = y - cost->y / cost->n;
  scatter->squares += off * off * cost->n / (cost->n + 1);
  scatter->freedom++;
}

static void AddCost(Cost *cost, double y, double weight) {
  cost->n += weight;
  cost->y += weight * y;
  cost->ratio += weight * exp(y);
}

void CostSuppose(CostModel m, PetscInt kind, double seconds, int weight) {
  const double y = log(seconds / Formula(&m->plan, kind));
  const CostKind *k = m->kinds + kind;
  Add(&m->all, 0, y, weight);
  if (k->estimator >= 0) Add(m->pair + PairOf(&m->plan, kind), log(k->accuracy), y, weight);
  AddCost(m->cost + kind, y, weight);
}

void CostLearn(CostModel m, PetscInt kind, double seconds) {
  const CostKind *k = m->kinds + kind;
  if (!(seconds > 0)) return;
  AddScatter(m->cost + kind, k->estimator < 0 ? m->references + k->problem : m->runs + PairOf(&m->plan, kind),
             log(seconds / Formula(&m->plan, kind)));
  CostSuppose(m, kind, seconds, 1);
}
