// contract.c -- how good is the mean gradient of a batch, and which tolerance does it need? (trainer_private.h)
//
// Allowed is an error of the mean g over the B starts of a batch of
//   max(rtol |g|, atol, stderr_part se, integral_rtol I),
// se the standard error of g as a mean over the starts, I the mean int |f_theta' alpha + w_theta| of a start.
// Now and then a judge (run/judge.h) measures the error vector e of one sample's gradient g_b at tolerance tol. With
// y = e / (tol |g_b|) and weights w_k that fall by 1 - 1/MEMORY from one measurement to the next, the memory holds
//   W = sum w, W2 = sum w^2, S = sum w |y|^2, S2 = sum w^2 |y|^2, M = sum w y [np],
// from which follow the mean square v = S / W and the mean product of two different errors,
//   c = (|M|^2 - S2) / (W^2 - W2),
// which is 0 where errors of different starts have nothing to do with one another, and v where they are all alike. It
// is not believed to be below 0, and v / n is added for the n = W^2 / W2 measurements that it rests on. Foretold is
//   error of the mean at tolerance tol = tol / B sqrt(v sum_b |g_b|^2 + c sum_{a != b} |g_a| |g_b|).
// A batch needs the tolerance at which MARGIN times that is allowed; where LEAST_MARGIN times it is not, the batch is
// solved again. The next batch begins with what the last ones needed. The memory reaches back over half of the
// iterations at most: measurements are close at first. Later a measurement waits until the judge's price, as it was
// last time, is SHARE of what the batches take.
//
// All of it is part of what a slot keeps, in the reals behind the optimiser's, and the same on every rank of a group.

#include "train/trainer_private.h"
#include "base/vector.h"
#include <math.h>
#include <string.h>

#define MEMORY       32   // measurements
#define FIRST_BATCH  8    // samples of the first batch are measured, at most
#define EARLY        256  // measurements that wait for no price
#define SHARE        0.25 // of all evaluations, for the judge
#define SURPRISE     3    // an error so many times the root mean square is followed by another measurement at once
#define MARGIN       3
#define LEAST_MARGIN 2
#define CAUTION      1.5 // mean deviations below the mean of what the last batches needed, for the next one
#define SMOOTHING    0.9 // of both, in logarithms
#define TIGHTER      0.5 // of what a batch needs, when it is solved again
#define MOST_SOLVES  3

// The memory, [CONTRACT_SCALARS + np] reals: the scalars, then M.
typedef struct {
  PetscReal W, W2, S, S2;
  PetscReal measured;  // measurements so far
  PetscReal due;       // iteration of the next one
  PetscReal judge;     // evaluations of the last one
  PetscReal integral;  // mean I, smoothed
  PetscReal needed;    // logarithm of the tolerance that the last batches needed, smoothed
  PetscReal deviation; // of it, likewise
  PetscReal batches;   // that had one
} Scalars;
enum { CONTRACT_SCALARS = sizeof(Scalars) / sizeof(PetscReal) };

PetscInt TrainerContractSize(Trainer t) {
  return t->accuracy.contract.rtol > 0 ? CONTRACT_SCALARS + t->np : 0;
}

static PetscReal *Memory(Trainer t) {
  return t->optimizer + OptimizerStateSize(&t->settings->optimizer, t->np);
}

static Scalars Read(Trainer t) {
  Scalars s;
  memcpy(&s, Memory(t), sizeof s);
  return s;
}

static void Write(Trainer t, const Scalars *s) {
  memcpy(Memory(t), s, sizeof *s);
}

void TrainerContractStart(Trainer t) {
  memset(Memory(t), 0, (size_t)TrainerContractSize(t) * sizeof(PetscReal));
}

PetscReal TrainerContractTolerance(Trainer t) {
  const Scalars s = Read(t);
  return s.batches > 0 ? TrainAccuracyClip(&t->accuracy, exp(s.needed - CAUTION * s.deviation)) : t->row->accuracy;
}

PetscBool TrainerContractMeasures(Trainer t, PetscInt b) {
  const Scalars s = Read(t);
  if (t->solves > 0) return PETSC_FALSE;
  if (t->iteration == 0) return b < FIRST_BATCH ? PETSC_TRUE : PETSC_FALSE;
  if (t->iteration < (PetscInt)s.due) return PETSC_FALSE;
  return b == (PetscInt)s.measured % t->settings->batch ? PETSC_TRUE : PETSC_FALSE;
}

// ---- measuring one sample ----

PetscErrorCode TrainerContractMeasure(Trainer t, const PetscReal *gradient, TrainSample *sample, PetscReal *errors) {
  const CtpgCase c = {
      .seed = t->to->seed, .name = "sample", .T = TrainerHorizon(t), .x0 = t->x0, .task = t->task, .theta = t->theta};
  CtpgVerdict verdict;

  PetscFunctionBeginUser;
  PetscCall(JudgeRun(t->pair->judge, &c, t->to->limits, gradient, &verdict));
  sample->nfe_bar = verdict.nfe;
  sample->measured = verdict.status == CTPG_OK;
  sample->integral = verdict.integral;
  for (PetscInt k = 0; sample->measured && k < t->np; k++) errors[k] = gradient[k] - verdict.gtheta[k];
  PetscFunctionReturn(0);
}

// ---- what is remembered ----

static void Remember(Trainer t, PetscReal tolerance, TrainSample *sample, const PetscReal *errors, int64_t nfe) {
  const PetscReal keep = 1 - 1.0 / MEMORY, norm = VectorNormWide(t->np, TrainSampleGradient(sample));
  const PetscReal scale = 1 / (tolerance * norm);
  Scalars s = Read(t);
  PetscReal *M = Memory(t) + CONTRACT_SCALARS, square = 0;
  for (PetscInt k = 0; k < t->np; k++) {
    const PetscReal y = errors[k] * scale;
    M[k] = keep * M[k] + y;
    square += y * y;
  }
  const PetscBool surprise = square * s.W > SURPRISE * SURPRISE * s.S ? PETSC_TRUE : PETSC_FALSE;
  s.W = keep * s.W + 1;
  s.W2 = keep * keep * s.W2 + 1;
  s.S = keep * s.S + square;
  s.S2 = keep * keep * s.S2 + square;
  s.integral = s.measured > 0 ? keep * s.integral + (1 - keep) * sample->integral : sample->integral;
  s.measured++;
  s.judge = (PetscReal)sample->nfe_bar;
  const PetscInt apart = PetscMin(1 + t->iteration / (2 * MEMORY), t->accuracy.contract.every);
  const PetscReal affordable = s.measured < EARLY ? 0 : s.judge / (SHARE * (PetscReal)PetscMax(1, nfe));
  s.due = (PetscReal)t->iteration + (surprise ? 1 : floor(fmax((PetscReal)apart, affordable)));
  Write(t, &s);
}

// Root mean square of the mean's error over the tolerance; infinite as long as nothing was measured.
static PetscReal ErrorOfMean(Trainer t) {
  const Scalars s = Read(t);
  const PetscReal *M = Memory(t) + CONTRACT_SCALARS, n = s.W * s.W / s.W2, v = s.S / s.W;
  if (!(s.W > 0)) return INFINITY;
  const PetscReal pairs = s.W * s.W - s.W2, product = PetscSqr(VectorNormWide(t->np, M)) - s.S2;
  const PetscReal c = pairs > 1e-9 * s.W * s.W ? fmax(0, product / pairs) + v / n : v;
  PetscReal sum = 0, squares = 0, good = 0;
  for (PetscInt b = 0; b < t->settings->batch; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    const PetscReal norm = sample->status == CTPG_OK ? VectorNormWide(t->np, TrainSampleGradient(sample)) : 0;
    sum += norm, squares += norm * norm, good += sample->status == CTPG_OK ? 1 : 0;
  }
  return sqrt(v * squares + fmin(c, v) * (sum * sum - squares)) / good;
}

// ---- the contract ----

static PetscReal AllowedError(Trainer t, PetscInt good, PetscReal norm, CtpgPromiseTerm *term) {
  const TrainContract *contract = &t->accuracy.contract;
  const struct {
    CtpgPromiseTerm term;
    PetscReal error;
  } terms[] = {{CTPG_PROMISE_RELATIVE, contract->rtol * norm},
               {CTPG_PROMISE_ABSOLUTE, contract->atol},
               {CTPG_PROMISE_BATCH, contract->stderr_part * TrainerStandardError(t, good, t->gradient)},
               {CTPG_PROMISE_INTEGRAL, contract->integral_rtol * Read(t).integral}};
  PetscInt largest = 0;
  for (PetscInt i = 1; i < (PetscInt)(sizeof terms / sizeof *terms); i++)
    if (terms[i].error > terms[largest].error) largest = i;
  *term = terms[largest].term;
  return terms[largest].error;
}

// The tolerance that a batch needed.
static void RememberNeed(Trainer t, PetscReal needed) {
  Scalars s = Read(t);
  const PetscReal first = log(3), distance = s.batches > 0 ? log(needed) - s.needed : 0;
  s.needed = s.batches > 0 ? s.needed + (1 - SMOOTHING) * distance : log(needed);
  s.deviation = s.batches > 0 ? SMOOTHING * s.deviation + (1 - SMOOTHING) * fabs(distance) : first;
  s.batches++;
  Write(t, &s);
}

// Measurements of the batch enter the memory, in sample order.
static void RememberBatch(Trainer t, PetscReal tolerance, TrainBatch *batch) {
  for (PetscInt b = 0; b < t->settings->batch; b++) {
    TrainSample *sample = TrainerSampleAt(t, b, TrainerGradientBytes(t));
    batch->nfe_bar += sample->nfe_bar;
    if (sample->status == CTPG_OK && sample->measured)
      Remember(t, tolerance, sample, TrainerSampleErrors(t, sample), CtpgNFE(&batch->counts));
  }
}

PetscBool TrainerContractJudge(Trainer t, TrainBatch *batch, PetscReal *tolerance) {
  const PetscInt good = t->settings->batch - batch->failures;
  const PetscReal norm = VectorNormWide(t->np, t->gradient), used = *tolerance;
  if (t->solves++ == 0) RememberBatch(t, used, batch);
  const PetscReal error = ErrorOfMean(t), allowed = AllowedError(t, good, norm, &batch->promise_term);
  const PetscReal needed = allowed / (MARGIN * error); // a tolerance
  const PetscBool kept = used * LEAST_MARGIN <= needed * MARGIN ? PETSC_TRUE : PETSC_FALSE;
  batch->promise = allowed / norm;
  batch->error_bar = used * error / norm;
  batch->solves = t->solves;
  if (!kept && t->solves < MOST_SOLVES && needed > 0) {
    const PetscReal tighter = TrainAccuracyClip(&t->accuracy, TIGHTER * needed);
    if (tighter < used) {
      *tolerance = tighter;
      return PETSC_FALSE;
    }
  }
  if (needed > 0 && isfinite(needed)) RememberNeed(t, needed);
  return PETSC_TRUE;
}
