// import.c -- `ctpgbench import ROWS.csv -out NEW`: rows that another program measured, as a results file

#include "base/options_engine.h"
#include "commands/program.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "run/accuracy.h"
#include "sweep/import.h"
#include <string.h>

typedef struct {
  CtpgOptions options;
  char out[PETSC_MAX_PATH_LEN], source[256];
  PetscInt experiment, nrows, nproblems;
  PetscBool measured_here;
  RowsFileRow *rows;
  CtpgLabel *labels;
  CtpgProblem *problems;
} Request;

// The problems that the rows name, each once, as -problems takes them.
static PetscErrorCode NameProblems(const char *path, PetscInt n, const RowsFileRow *rows, char *list, size_t size) {
  char option[PETSC_MAX_PATH_LEN + 64];
  const CtpgProblemType *type;
  PetscFunctionBeginUser;
  for (PetscInt i = 0; i < n; i++) {
    PetscInt k = 0;
    while (strcmp(rows[k].problem, rows[i].problem)) k++;
    if (k < i) continue;
    PetscCall(PetscSNPrintf(option, sizeof option, "%s, line %d: problem", path, (int)rows[i].line));
    PetscCall(ProblemTypeFind(option, rows[i].problem, &type));
    if (i) PetscCall(PetscStrlcat(list, ",", size));
    PetscCall(PetscStrlcat(list, rows[i].problem, size));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadProblems(Request *r, const char *path) {
  char named[8192] = "";
  PetscBool chosen;
  PetscFunctionBeginUser;
  PetscCall(LabelsAreGiven(r->options, "problem", &chosen));
  if (!chosen) PetscCall(NameProblems(path, r->nrows, r->rows, named, sizeof named));
  PetscCall(CtpgLabelOption(r->options, "problem", named[0] ? named : NULL, &r->nproblems, &r->labels));
  PetscCall(ImportCheckLabels(path, r->nrows, r->rows, r->nproblems, r->labels));
  PetscCall(PetscCalloc1(r->nproblems, &r->problems));
  for (PetscInt p = 0; p < r->nproblems; p++) PetscCall(ProblemCreate(r->labels + p, r->problems + p));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadRequest(Request *r, const char *path) {
  PetscBool help;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "import", &r->options));
  PetscCall(CtpgOptionsText(r->options, "out", "results file to be made", r->out, sizeof r->out));
  PetscCall(
      CtpgOptionsText(r->options, "source", "what measured the rows, kept in the file", r->source, sizeof r->source));
  PetscCall(CtpgOptionsBool(r->options, "measured_here",
                            "the rows were measured on this machine: their times may stand beside others of it",
                            &r->measured_here));
  PetscCall(CtpgOptionsInt(r->options, "experiment", "number of the experiment, as in sweep", 0, PETSC_MAX_INT,
                           &r->experiment));
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  PetscCheck(help || (path[0] && r->out[0]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "import needs a file of rows and a name for the new one: ctpgbench import rows.csv -out rows.h5");
  if (!help) PetscCall(RowsFileRead(path, &r->nrows, &r->rows));
  PetscCall(ReadProblems(r, path));
  PetscCall(RefuseUnusedOptions());
  PetscFunctionReturn(0);
}

static PetscErrorCode DestroyRequest(Request *r) {
  PetscFunctionBeginUser;
  for (PetscInt p = 0; p < r->nproblems; p++) PetscCall(ProblemDestroy(r->problems + p));
  PetscCall(PetscFree(r->problems));
  PetscCall(PetscFree(r->labels));
  PetscCall(PetscFree(r->rows));
  PetscCall(CtpgOptionsDestroy(&r->options));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandImport(const char *path, int *exit_code) {
  PetscBool stopped = PETSC_FALSE;
  Request r = {0};

  PetscFunctionBeginUser;
  PetscCall(RefuseSeveralRanks("import", ""));
  PetscCall(ReadRequest(&r, path));
  PetscCall(SweepImport(&(ImportRequest){.path = path,
                                         .out = r.out,
                                         .source = r.source,
                                         .options = CtpgOptionsResolved(r.options),
                                         .measured_here = r.measured_here,
                                         .experiment = (uint64_t)r.experiment,
                                         .nrows = r.nrows,
                                         .nproblems = r.nproblems,
                                         .rows = r.rows,
                                         .problems = r.problems},
                        &stopped));
  if (stopped) *exit_code = CTPG_EXIT_INCOMPLETE;
  PetscCall(DestroyRequest(&r));
  PetscFunctionReturn(0);
}
