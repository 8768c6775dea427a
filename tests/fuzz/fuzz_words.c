// fuzz_words.c -- coverage-guided: the parsers of command lines and plans that are ours
//
// The first byte chooses the parser, the rest is its text. Beside crashes and sanitizer reports: what a parser accepts must be
// what it promises.

#include "run/instance.h"
#include "run/labels.h"
#include "base/parse.h"
#include "base/options_engine.h"
#include "loop/policy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
  do {                                                                                                                 \
    if (!(condition)) abort();                                                                                         \
  } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  char quiet[] = "-no_signal_handler", *words[] = {(*argv)[0], quiet, NULL}, **arguments = words;
  int n = 2;
  (void)argc;
  return PetscInitialize(&n, &arguments, NULL, NULL) || PetscPushErrorHandler(PetscReturnErrorHandler, NULL);
}

static void FuzzReals(const char *text) {
  PetscReal *values;
  PetscInt n;
  if (CtpgParseReals("-rtol", text, &n, &values)) return;
  REQUIRE(n > 0);
  for (PetscInt i = 0; i < n; i++) REQUIRE(isfinite(values[i]));
  REQUIRE(!PetscFree(values));
}

static void FuzzRange(const char *text) {
  int64_t first, last;
  if (!CtpgParseRange("-seeds", text, &first, &last)) REQUIRE(0 <= first && first < last);
}

static void FuzzLabels(const char *text) {
  CtpgLabel *labels;
  PetscInt n;
  if (LabelsParse("-problems", text, &n, &labels)) return;
  REQUIRE(n > 0 && n <= CTPG_MAX_LABELS);
  for (PetscInt i = 0; i < n; i++) {
    REQUIRE(labels[i].label[0] && strlen(labels[i].label) < 48 && strlen(labels[i].type) < sizeof labels[i].type);
    for (PetscInt j = 0; j < i; j++) REQUIRE(strcmp(labels[i].label, labels[j].label));
  }
  (void)LabelsCheckApart(n, labels, n, labels);
  REQUIRE(!PetscFree(labels));
}

static void FuzzActivations(const char *text) {
  CtpgActivation activations[3];
  if (CtpgActivationsParse("-policy_activations", text, 3, activations)) return;
  for (int l = 0; l < 3; l++) REQUIRE(activations[l] >= CTPG_LINEAR && activations[l] <= CTPG_ELU);
}

// -policy_widths, and through them the options of a label.
static void FuzzPolicy(const char *text) {
  CtpgOptions options;
  CtpgPolicy policy = NULL;
  REQUIRE(!CtpgOptionsCreate("a", "lqr", &options));
  REQUIRE(!PetscOptionsSetValue(NULL, "-policy_widths", text));
  if (strlen(text) < 12 && !PolicyCreateFromOptions(options, 2, 2, "mlp", "4", "tanh,linear", &policy))
    REQUIRE(PolicyGetSize(policy) > 0 && PolicyDescribe(policy)[0]);
  REQUIRE(!PolicyDestroy(&policy) && !CtpgOptionsDestroy(&options));
  REQUIRE(!PetscOptionsClearValue(NULL, "-policy_widths"));
}

static void FuzzNearest(const char *text) {
  static const char *const known[] = {"ctpg", "euler-bptt", "", NULL};
  REQUIRE(CtpgNearest(text, known) && strlen(CtpgShown(text)) <= 128);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const fuzz[])(const char *) = {FuzzReals,       FuzzRange,  FuzzLabels,
                                               FuzzActivations, FuzzPolicy, FuzzNearest};
  if (size < 1 || size > 20000) return 0;
  char *text = strndup((const char *)data + 1, size - 1); // exactly as long as it is: an overrun is seen
  fuzz[data[0] % (sizeof fuzz / sizeof *fuzz)](text);
  free(text);
  return 0;
}
