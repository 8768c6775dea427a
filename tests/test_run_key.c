// test_run_key.c -- every option that -help lists for a problem or an estimator: one that is said to be no part of the
// run key leaves the key alone, every other one changes it
//
// The entries are read from -help itself, so that an option is tested by being there. Values are made from the default
// that the entry shows; where a type refuses one, the next is tried.

#include "base/options_engine.h"
#include "run/case.h"
#include "run/registry.h"
#include <stdlib.h>
#include <string.h>
#include "test.h"

typedef struct {
  char name[64], initial[512], help[2048];
} Entry;

// What has no default to start from: values, tried in this order.
static const struct {
  const char *name, *value[3];
} TEXTS[] = {{"policy_init_layers", {"2", "2,2", "2,2,2"}},
             {"rk", {"5dp", "4", "3bs"}},
             {"Q", {"1,2", "2,0,0,3"}},
             {"policy_widths", {"5", "5,6"}},
             {"policy_activations", {"elu", "tanh"}}};

// Options (as "name" or "type_name") for which no other value can be made up here.
static const char *const CANNOT_TRY[] = {"fixed_start",
                                         "theta_file", // as many numbers as states; the content of a file counts
                                         "lqr_A",
                                         "lqr_B",
                                         "lqr_R",
                                         "mujoco_model",
                                         "mujoco_keyframe",
                                         "mujoco_x0_range",
                                         "mujoco_target",
                                         "mujoco_observe",
                                         "mujoco_cost_position", // lists, as long as the model has joints
                                         "mujoco_cost_velocity",
                                         "mujoco_cost_control",
                                         "mujoco_track", // names in the model
                                         "mujoco_push",
                                         "mujoco_push_gear", // of none
                                         "mujoco_push_limit",
                                         "mujoco_track_goal",
                                         "mujoco_cost_track",
                                         "python_error_bar", // python needs its file
                                         "python_file",
                                         "python_error_bar",
                                         "python_eval_limit",
                                         "python_run_time_limit", // python needs its file
                                         "spsa_steps"};           // refused in the other setting

static PetscErrorCode Quiet(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                            PetscErrorType type, const char *message, void *context) {
  (void)comm, (void)line, (void)function, (void)file, (void)type, (void)message, (void)context;
  return code;
}

// The key of this type with the options that are set; FALSE where it refuses them.
typedef PetscBool KeyOf(const void *type, uint64_t *key);

static PetscBool ProblemKey(const void *type, uint64_t *key) {
  CtpgLabel label = {0};
  CtpgProblem problem;
  CtpgCase c;
  (void)PetscStrncpy(label.label, ((const CtpgHead *)type)->name, sizeof label.label);
  if (ProblemCreateFromType(type, &label, &problem) || CaseDraw(&problem, 0, 0, &c)) return PETSC_FALSE;
  *key = CaseKey(&problem, &c);
  return CaseDestroy(&c) || ProblemDestroy(&problem) ? PETSC_FALSE : PETSC_TRUE;
}

static PetscBool EstimatorKeyOf(const void *type, uint64_t *key) {
  CtpgLabel label = {0};
  CtpgEstimator estimator;
  (void)PetscStrncpy(label.label, ((const CtpgHead *)type)->name, sizeof label.label);
  if (EstimatorCreateFromType(type, &label, &estimator)) return PETSC_FALSE;
  *key = EstimatorKey(&estimator);
  return EstimatorDestroy(&estimator) ? PETSC_FALSE : PETSC_TRUE;
}

// "  -[<label>_|ctpg_]rtol <0.1>: what it is"
static PetscBool ParseEntry(const char *line, Entry *entry) {
  const char *name = strchr(line, ']'), *initial = strstr(line, " <"), *help;
  if (strncmp(line, "  -[", 4) || !name) return PETSC_FALSE;
  initial = strstr(name, " <");
  help = initial ? strstr(initial, ">: ") : NULL;
  if (!help) return PETSC_FALSE;
  snprintf(entry->name, sizeof entry->name, "%.*s", (int)(initial - name - 1), name + 1);
  snprintf(entry->initial, sizeof entry->initial, "%.*s", (int)(help - initial - 2), initial + 2);
  snprintf(entry->help, sizeof entry->help, "%s", help + 3);
  return PETSC_TRUE;
}

// The entries that -help prints while the type is created, [*n].
static PetscErrorCode ListEntries(const void *type, KeyOf *key_of, PetscInt *n, Entry *entries, PetscInt room) {
  FILE *out = PETSC_STDOUT, *kept = tmpfile();
  char line[4096];
  uint64_t key;

  PetscFunctionBeginUser;
  *n = 0;
  PETSC_STDOUT = kept;
  PetscCall(PetscOptionsSetValue(NULL, "-help", NULL));
  (void)key_of(type, &key);
  PetscCall(PetscOptionsClearValue(NULL, "-help"));
  PETSC_STDOUT = out;
  rewind(kept);
  while (fgets(line, sizeof line, kept))
    if (*n < room && ParseEntry(line, entries + *n)) (*n)++;
  fclose(kept);
  PetscFunctionReturn(0);
}

// Another value than the default, the i-th try; FALSE when there is none left.
static PetscBool OtherValue(const Entry *entry, int i, char *value, size_t size) {
  const char *choices = strstr(entry->help, "(one of ");
  for (size_t t = 0; t < sizeof TEXTS / sizeof *TEXTS; t++)
    if (!strcmp(TEXTS[t].name, entry->name)) {
      if (i > 2 || !TEXTS[t].value[i]) return PETSC_FALSE;
      snprintf(value, size, "%s", TEXTS[t].value[i]);
      return PETSC_TRUE;
    }
  if (choices) {
    const char *word = choices + strlen("(one of ");
    for (; i > 0 && word; i--) word = strstr(word, ", ") ? strstr(word, ", ") + 2 : NULL;
    if (!word) return PETSC_FALSE;
    snprintf(value, size, "%.*s", (int)strcspn(word, ",)"), word);
    return PETSC_TRUE;
  }
  if (!strcmp(entry->initial, "true") || !strcmp(entry->initial, "false")) {
    snprintf(value, size, "%s", entry->initial[0] == 't' ? "false" : "true");
    return i == 0 ? PETSC_TRUE : PETSC_FALSE;
  }
  char *end;
  const double number = strtod(entry->initial, &end);
  if (*end || end == entry->initial) return PETSC_FALSE;
  const double others[] = {number + 1, number / 2, 2 * number, number - 1, 1};
  snprintf(value, size, "%.17g", i < 5 ? others[i] : 0);
  return i < 5 ? PETSC_TRUE : PETSC_FALSE;
}

// Sets the option to another value and looks at the key. FALSE: no value was accepted.
static PetscBool TryEntry(const void *type, KeyOf *key_of, const Entry *entry) {
  const PetscBool free_of_key = strstr(entry->help, "(not part of the run key)") ? PETSC_TRUE : PETSC_FALSE;
  char value[128], option[80];
  uint64_t before = 0, after = 0;
  snprintf(option, sizeof option, "-%s", entry->name);
  if (!key_of(type, &before)) return PETSC_FALSE;
  for (int i = 0; OtherValue(entry, i, value, sizeof value); i++) {
    if (!strcmp(value, entry->initial)) continue;
    (void)PetscOptionsSetValue(NULL, option, value);
    const PetscBool accepted = key_of(type, &after);
    (void)PetscOptionsClearValue(NULL, option);
    if (!accepted) continue;
    CHECK(free_of_key == (before == after), "%s: -%s %s in place of %s %s the key, -help says '%s'",
          ((const CtpgHead *)type)->name, entry->name, value, entry->initial, before == after ? "leaves" : "changes",
          entry->help);
    return PETSC_TRUE;
  }
  return PETSC_FALSE;
}

static PetscBool MayBeUntried(const char *type, const char *name) {
  char full[128];
  snprintf(full, sizeof full, "%.60s_%.60s", type, name);
  for (size_t i = 0; i < sizeof CANNOT_TRY / sizeof *CANNOT_TRY; i++)
    if (!strcmp(CANNOT_TRY[i], name) || !strcmp(CANNOT_TRY[i], full)) return PETSC_TRUE;
  return PETSC_FALSE;
}

static PetscErrorCode TryType(const void *type, KeyOf *key_of) {
  static Entry entries[200];
  const char *name = ((const CtpgHead *)type)->name;
  PetscInt n;
  PetscFunctionBeginUser;
  PetscCall(ListEntries(type, key_of, &n, entries, 200));
  CHECK(n > 0, "-help lists no option of %s", name);
  for (PetscInt i = 0; i < n; i++) {
    const PetscBool tried = TryEntry(type, key_of, entries + i);
    CHECK(tried || MayBeUntried(name, entries[i].name), "no other value than %s was found for -%s of %s",
          entries[i].initial, entries[i].name, name);
  }
  PetscFunctionReturn(0);
}

int main(int argc, char **argv) {
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(PetscPushErrorHandler(Quiet, NULL));
  PROPERTY("an option changes the run key unless -help says that it is no part of it");
  for (PetscInt i = 0; CtpgProblemTypes[i]; i++)
    if (!CtpgProblemTypes[i]->unavailable) PetscCall(TryType(CtpgProblemTypes[i], ProblemKey));
  for (PetscInt i = 0; CtpgEstimatorTypes[i]; i++)
    if (!CtpgEstimatorTypes[i]->unavailable) PetscCall(TryType(CtpgEstimatorTypes[i], EstimatorKeyOf));
  PetscCall(PetscPopErrorHandler());
  PetscCall(PetscFinalize());
  return TestsEnd();
}
