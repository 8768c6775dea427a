// bench.c -- `ctpgbench bench`: what the parts of this program cost, and whether they cost more than they did

#include "base/options_engine.h"
#include "bench/counts.h"
#include "bench/file.h"
#include "bench/growth.h"
#include "bench/kernels.h"
#include "bench/overhead.h"
#include "bench/storing.h"
#include "bench/training.h"
#include "commands/program.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include "store/smallfile.h"

static const char *const DEFAULT_ESTIMATORS = "euler-bptt,rk-adjoint,weights=ctpg,ctpg,tsadjoint,neural-ode-ckpt";

typedef struct {
  char out[PETSC_MAX_PATH_LEN], against[PETSC_MAX_PATH_LEN];
  CtpgOptions options;
  CtpgLabel *problems, *estimators;
  BenchChoice choice;
  PetscBool times;
  PetscReal tolerance;
} Request;

static PetscErrorCode ReadRequest(Request *r) {
  PetscBool chosen;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "bench", &r->options));
  PetscCall(LabelsAreGiven(r->options, "estimator", &chosen));
  if (!chosen) PetscCall(PetscOptionsSetValue(NULL, "-weights_quadrature", "weights"));
  PetscCall(CtpgLabelOption(r->options, "problem", "quadrotor,diffdrive,lqr,cartpole-analytic", &r->choice.nproblems,
                            &r->problems));
  PetscCall(CtpgLabelOption(r->options, "estimator", DEFAULT_ESTIMATORS, &r->choice.nestimators, &r->estimators));
  PetscCall(CtpgOptionsText(r->options, "out", "HDF5 file for the numbers", r->out, sizeof r->out));
  PetscCall(CtpgOptionsText(r->options, "against", "file of an earlier bench: ratios of instructions are compared",
                            r->against, sizeof r->against));
  r->times = PETSC_TRUE;
  PetscCall(CtpgOptionsBool(r->options, "times", "measure times, beside instructions", &r->times));
  r->tolerance = 0.02;
  PetscCall(
      CtpgOptionsReal(r->options, "tolerance", "by which a ratio may exceed that of -against", 0, 100, &r->tolerance));
  PetscCall(OptionsRefuseAlone(r->options, "tolerance", (const char *const[]){"against", NULL}));
  r->choice.rtol = 1e-6, r->choice.dt = 1e-3, r->choice.rounds = 11;
  PetscCall(CtpgOptionsReal(r->options, "rtol", "accuracy of adaptive estimators", 1e-14, 1, &r->choice.rtol));
  PetscCall(CtpgOptionsReal(r->options, "dt", "accuracy of fixed-step estimators, s", 1e-6, 1, &r->choice.dt));
  PetscCall(CtpgOptionsInt(r->options, "rounds", "interleaved repeats", 1, 1000, &r->choice.rounds));
  r->choice.problems = r->problems, r->choice.estimators = r->estimators;
  PetscFunctionReturn(0);
}

static PetscErrorCode Measure(const Request *r, BenchRows *rows) {
  const char *why;
  PetscFunctionBeginUser;
  if (r->times) {
    PetscCall(BenchKernels(rows));
    PetscCall(BenchOverheads(&r->choice, rows));
    PetscCall(BenchGrowth(rows));
    PetscCall(BenchTrainings(r->choice.rounds, rows));
    PetscCall(BenchStoringRate(rows));
  }
  PetscCall(BenchCounts(rows, &why));
  PetscCheck(!why || !r->against[0], PETSC_COMM_SELF, PETSC_ERR_SUP,
             "-against %s: instructions cannot be counted here: %s; nothing was compared", r->against, why);
  if (why) PetscCall(PetscPrintf(PETSC_COMM_SELF, "note: no instructions were counted: %s\n", why));
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintRows(const BenchRows *rows) {
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < rows->n; i++)
    PetscCall(
        PetscPrintf(PETSC_COMM_SELF, "%-52s %12.4g %s\n", rows->row[i].name, rows->row[i].value, rows->row[i].unit));
  PetscFunctionReturn(0);
}

// Every counted ratio beside that of the file; *worse: how many exceed it by more than the tolerance.
static PetscErrorCode Compare(const Request *r, const BenchRows *rows, const BenchRows *before, PetscInt *worse) {
  PetscInt compared = 0;
  PetscFunctionBeginUser;
  *worse = 0;
  PetscCall(
      PetscPrintf(PETSC_COMM_SELF, "\n%-52s %12s %12s %10s\n", "ratios of instructions", "there", "here", "change"));
  for (PetscInt i = 0; i < rows->n; i++) {
    const BenchRow *row = rows->row + i, *old = BenchFind(before, row->name);
    if (!row->counted || !old || !(old->value > 0)) continue;
    const PetscBool grown = row->value > (1 + r->tolerance) * old->value ? PETSC_TRUE : PETSC_FALSE;
    PetscCall(PetscPrintf(PETSC_COMM_SELF, "%-52s %12.4f %12.4f %+8.2f %%%s\n", row->name, old->value, row->value,
                          100 * (row->value / old->value - 1), grown ? "  worse" : ""));
    compared++, *worse += grown ? 1 : 0;
  }
  PetscCheck(
      compared, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
      "-against %s has none of the ratios that are counted here; expected a file of bench -out of a machine that "
      "can count",
      r->against);
  PetscFunctionReturn(0);
}

PetscErrorCode CommandBench(const char *word, int *exit_code) {
  BenchRows rows = {0}, before = {0};
  Request r = {0};
  PetscInt worse = 0;

  PetscFunctionBeginUser;
  (void)word;
  PetscCall(RefuseSeveralRanks("bench", ""));
  PetscCall(ReadRequest(&r));
  PetscCall(BenchReadOptions(&r.choice));
  PetscCall(RefuseUnusedOptions());
  if (r.out[0]) PetscCall(SmallFileCheck(r.out, "bench", "bench"));
  if (r.against[0]) PetscCall(BenchFileRead(r.against, &before));
  PetscCall(Measure(&r, &rows));
  PetscCall(PrintRows(&rows));
  if (r.out[0]) PetscCall(BenchFileWrite(r.out, &rows));
  if (r.against[0]) PetscCall(Compare(&r, &rows, &before, &worse));
  PetscCheck(!worse, PETSC_COMM_SELF, PETSC_ERR_USER_INPUT,
             "%d ratios of instructions are more than %.3g %% above those of %s", (int)worse, 100 * r.tolerance,
             r.against);
  (void)exit_code;
  PetscCall(BenchRowsDestroy(&rows));
  PetscCall(BenchRowsDestroy(&before));
  PetscCall(PetscFree(r.problems));
  PetscCall(PetscFree(r.estimators));
  PetscCall(CtpgOptionsDestroy(&r.options));
  PetscFunctionReturn(0);
}
