// test_time_left.c -- the time left that is told after a tenth of the work, on recorded costs of real sweeps
//
// data/costs.csv holds what the references and runs of eleven sweeps took on a machine with other work: plan; problem,
// its horizon (s) and parameters; estimator, its knob and order, nothing for a reference; seed, accuracy, seconds. Each
// plan is replayed as `plan -simulate` would do it, several times over, so that there is work for the ranks.

#include "sweep/simulate.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

#define PLANS  11
#define LABELS 8    // at most, of a plan
#define ROWS   1000 // likewise
#define NEAR   1.5  // a factor

typedef struct {
  struct CtpgContents_s contents;
  CtpgLabelInfo problem[LABELS], estimator[LABELS];
  char problem_label[LABELS][CTPG_LABEL_SIZE], estimator_label[LABELS][CTPG_LABEL_SIZE], knob[LABELS][16];
  PetscInt np[LABELS];
  CtpgCaseRow cases[ROWS];
  CtpgRunRow runs[ROWS];
  Recording recording;
} Plan;

static Plan plans[PLANS];

// The number of a label; a new one is written down.
static PetscInt Number(char (*labels)[CTPG_LABEL_SIZE], PetscInt *n, const char *label) {
  for (PetscInt i = 0; i < *n; i++)
    if (!strcmp(labels[i], label)) return i;
  snprintf(labels[*n], CTPG_LABEL_SIZE, "%s", label);
  return (*n)++;
}

static int32_t CaseOf(const Plan *plan, int32_t problem, int64_t seed) {
  for (PetscInt c = 0; c < plan->recording.ncases; c++)
    if (plan->cases[c].problem == problem && plan->cases[c].seed == seed) return (int32_t)c;
  return -1;
}

// word: the columns of a line behind the first.
static void TakeLine(Plan *plan, char *const word[]) {
  struct CtpgContents_s *f = &plan->contents;
  Recording *r = &plan->recording;
  const int32_t p = (int32_t)Number(plan->problem_label, &f->nproblems, word[0]);
  const double seconds = atof(word[8]);
  plan->problem[p].T = atof(word[1]);
  plan->np[p] = atoi(word[2]);
  r->total += seconds;
  if (!word[3][0]) {
    plan->cases[r->ncases++] = (CtpgCaseRow){.problem = p, .seed = atoll(word[6]), .busy = seconds};
    return;
  }
  const int32_t e = (int32_t)Number(plan->estimator_label, &f->nestimators, word[3]);
  snprintf(plan->knob[e], sizeof plan->knob[e], "%s", word[4]);
  plan->estimator[e].knob = plan->knob[e];
  plan->estimator[e].order = atof(word[5]);
  plan->runs[r->nruns++] = (CtpgRunRow){.problem = p,
                                        .estimator = e,
                                        .seed = atoll(word[6]),
                                        .case_index = CaseOf(plan, p, atoll(word[6])),
                                        .accuracy = atof(word[7]),
                                        .busy = seconds};
}

static void ReadCosts(void) {
  char line[256], *word[10];
  FILE *file = fopen(CTPG_TEST_DATA "/costs.csv", "r");
  for (PetscBool head = PETSC_TRUE; file && fgets(line, sizeof line, file); head = PETSC_FALSE) {
    char *rest = line;
    for (int k = 0; k < 10; k++) word[k] = strsep(&rest, ",\n");
    if (!head) TakeLine(plans + atoi(word[0]), word + 1);
  }
  if (file) fclose(file);
  for (Plan *plan = plans; plan < plans + PLANS; plan++) {
    plan->contents.problem_info = plan->problem;
    plan->contents.estimator_info = plan->estimator;
    plan->contents.np = plan->np;
    plan->recording.cases = plan->cases;
    plan->recording.runs = plan->runs;
    plan->recording.contents = &plan->contents;
  }
}

// Nine of ten are near.
static PetscErrorCode TestRatios(int ranks, PetscInt copies) {
  PROPERTY("%d ranks, plans %d times over: the time left is right within a factor in nine of ten", ranks, (int)copies);
  char all[PLANS * 8 + 1] = "";
  int near = 0;
  PetscFunctionBeginUser;
  for (Plan *plan = plans; plan < plans + PLANS; plan++) {
    Simulation result;
    plan->recording.copies = copies;
    PetscCall(Simulate(&plan->recording, ranks, &result));
    const double ratio = result.left / (result.makespan - result.tenth);
    near += ratio > 1 / NEAR && ratio < NEAR;
    snprintf(all + strlen(all), sizeof all - strlen(all), " %.2f", ratio);
  }
  CHECK(near >= 0.9 * PLANS, "%d of %d; said over true:%s", near, PLANS, all);
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscFunctionBeginUser;
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  ReadCosts();
  for (int ranks = 1; ranks <= 4; ranks *= 2) PetscCall(TestRatios(ranks, 4));
  for (int ranks = 1; ranks <= 16; ranks *= 4) PetscCall(TestRatios(ranks, 20));
  PetscCall(PetscFinalize());
  return TestsEnd();
}
