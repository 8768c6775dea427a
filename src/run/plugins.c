// plugin.c -- see plugin.h

#include "run/plugins.h"
#include "base/parse.h"
#include "base/options_engine.h"
#include "ctpgbench/plugin.h"
#include "run/registry.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static char description[1024];

const char *PluginsDescribe(void) {
  return description;
}

static PetscErrorCode CheckBuild(const char *file, const CtpgBuild *build) {
  const CtpgBuild mine = CTPG_THIS_BUILD;
  PetscFunctionBeginUser;
  PetscCheck(build && build->size == mine.size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s does not say what it was built with; end its source with CTPG_PLUGIN_PROBLEM(...) or "
             "CTPG_PLUGIN_ESTIMATOR(...)",
             file);
  PetscCheck(
      build->petsc_major == mine.petsc_major && build->petsc_minor == mine.petsc_minor &&
          build->integer_bytes == mine.integer_bytes && build->scalar_bytes == mine.scalar_bytes,
      PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "%s was built with PETSc %u.%u (%u-byte integers), ctpgbench with PETSc %u.%u (%u-byte integers); build it "
      "with the same",
      file, build->petsc_major, build->petsc_minor, build->integer_bytes, mine.petsc_major, mine.petsc_minor,
      mine.integer_bytes);
  PetscCheck(!strncmp(build->mpi, mine.mpi, sizeof mine.mpi), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s was built with %.31s, ctpgbench with %s; build it with the same", file, build->mpi, mine.mpi);
  PetscFunctionReturn(0);
}

static uint64_t HashFile(const char *file) {
  char buffer[65536];
  uint64_t hash = CTPG_HASH_START;
  FILE *stream = fopen(file, "rb");
  for (size_t n; stream && (n = fread(buffer, 1, sizeof buffer, stream)) > 0;) hash = CtpgHash(hash, buffer, n);
  if (stream) fclose(stream);
  return hash;
}

// `symbol`: ctpgbench_problem or ctpgbench_estimator; *pointer is what it points to.
static PetscErrorCode FindDescriptor(const char *option, const char *file, void *library, const char *symbol,
                                     const void **pointer) {
  const PetscBool problem = strstr(symbol, "problem") ? PETSC_TRUE : PETSC_FALSE;
  const void *const *found = dlsym(library, symbol);
  PetscFunctionBeginUser;
  PetscCheck(found || !dlsym(library, problem ? "ctpgbench_estimator" : "ctpgbench_problem"), PETSC_COMM_WORLD,
             PETSC_ERR_USER_INPUT, "-%s %s holds no %s but %s; load it with -%s_library", option, file,
             problem ? "problem" : "estimator", problem ? "an estimator" : "a problem",
             problem ? "estimator" : "problem");
  PetscCheck(found && *found, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s %s exports no %s; end its source with CTPG_PLUGIN_%s(...)", option, file, symbol,
             problem ? "PROBLEM" : "ESTIMATOR");
  *pointer = *found;
  PetscFunctionReturn(0);
}

static PetscErrorCode Open(const char *option, const char *file, const char *symbol, const void **pointer) {
  char path[PETSC_MAX_PATH_LEN];

  PetscFunctionBeginUser;
  // without a slash dlopen would look through the system's folders instead of this one
  PetscCall(PetscSNPrintf(path, sizeof path, "%s%s", strchr(file, '/') ? "" : "./", file));
  PetscCheck(!CtpgIsNoFile(path), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s %s cannot be loaded: it is not a regular file", option, file);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  PetscCheck(library, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s %s cannot be loaded: %s", option, CtpgShown(file),
             CtpgShown(dlerror()));
  PetscCall(FindDescriptor(option, file, library, symbol, pointer));
  PetscCall(CheckBuild(file, dlsym(library, "ctpgbench_build")));
  const size_t used = strlen(description);
  snprintf(description + used, sizeof description - used, "%s%s@%016llx", used ? "," : "", strrchr(path, '/') + 1,
           (unsigned long long)HashFile(path));
  PetscFunctionReturn(0);
}

static PetscErrorCode LoadEach(CtpgOptions options, const char *option, const char *symbol,
                               PetscErrorCode (*enter)(const char *file, const void *descriptor)) {
  char text[8192] = "";
  char **files;
  PetscInt n;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsText(options, option, "a comma list of plug-ins (shared libraries)", text, sizeof text));
  PetscCall(PetscStrToArray(text, ',', &n, &files));
  for (PetscInt i = 0; i < n; i++) {
    const void *descriptor = NULL;
    PetscCall(Open(option, files[i], symbol, &descriptor));
    PetscCall(enter(files[i], descriptor));
  }
  PetscCall(PetscStrToArrayDestroy(n, files));
  PetscFunctionReturn(0);
}

static PetscErrorCode EnterProblem(const char *file, const void *descriptor) {
  PetscFunctionBeginUser;
  PetscCall(ProblemTypeRegister(file, descriptor));
  PetscFunctionReturn(0);
}

static PetscErrorCode EnterEstimator(const char *file, const void *descriptor) {
  PetscFunctionBeginUser;
  PetscCall(EstimatorTypeRegister(file, descriptor));
  PetscFunctionReturn(0);
}

PetscErrorCode PluginsLoad(void) {
  CtpgOptions options;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "plug-ins", &options));
  PetscCall(LoadEach(options, "problem_library", "ctpgbench_problem", EnterProblem));
  PetscCall(LoadEach(options, "estimator_library", "ctpgbench_estimator", EnterEstimator));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}
