// new.c -- `ctpgbench new-problem NAME` and `new-estimator NAME`: a plug-in that compiles, outside the tree
//
// Writes NAME/NAME.c (the template under another name), NAME/CMakeLists.txt and nothing else.

#include "run/accuracy.h"
#include "run/labels.h"
#include "run/instance.h"
#include "commands/program.h"
#include "run/registry.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT(name, text) text
static const char PROBLEM_TEMPLATE[] =
#include "generated/problem_template.h"
    ;
static const char ESTIMATOR_TEMPLATE[] =
#include "generated/estimator_template.h"
    ;
#undef TEXT

static const char CMAKE_LISTS[] =
    "cmake_minimum_required(VERSION 3.18)\n"
    "project(TEMPLATE C)\n"
    "if(NOT CMAKE_BUILD_TYPE)\n"
    "  set(CMAKE_BUILD_TYPE Release)\n"
    "endif()\n"
    "find_package(ctpgbench REQUIRED) # -Dctpgbench_DIR=<build folder of ctpgbench> where it is not installed\n"
    "add_library(TEMPLATE MODULE TEMPLATE.c)\n"
    "target_link_libraries(TEMPLATE PRIVATE ctpgbench::ctpgbench)\n"
    "set_target_properties(TEMPLATE PROPERTIES PREFIX \"\")\n";

static PetscErrorCode CheckName(const char *kind, const char *name) {
  char option[32];
  CtpgLabel *labels;
  PetscInt n;

  PetscFunctionBeginUser;
  PetscCheck(name[0] && strlen(name) < 40 && isalpha((unsigned char)name[0]) &&
                 strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name),
             PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "new-%s '%s' is not a usable name; expected a C identifier such as my_method, at most 39 characters", kind,
             name);
  PetscCall(PetscSNPrintf(option, sizeof option, "new-%s", kind));
  PetscCall(TypeNameCheckFree(option, name));
  PetscCall(LabelsParse(option, name, &n, &labels)); // names that no label may have
  PetscCall(PetscFree(labels));
  PetscFunctionReturn(0);
}

// `text` with every TEMPLATE replaced by name.
static PetscErrorCode WriteInstance(const char *path, const char *text, const char *name) {
  static const char word[] = "TEMPLATE";
  FILE *file = fopen(path, "wx"); // never over an existing file
  PetscFunctionBeginUser;
  PetscCheck(file, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "%s cannot be written: %s", path, strerror(errno));
  for (const char *found; (found = strstr(text, word)); text = found + sizeof word - 1)
    fprintf(file, "%.*s%s", (int)(found - text), text, name);
  fputs(text, file);
  PetscCheck(!fclose(file), PETSC_COMM_WORLD, PETSC_ERR_FILE_WRITE, "%s cannot be written: %s", path, strerror(errno));
  PetscFunctionReturn(0);
}

// " '-Dctpgbench_DIR=<folder>'" with the folder that find_package looks for, of a build folder or of an installation
// under any prefix; "" where there is none.
static void ConfigOption(size_t size, char *option) {
  static const char *const places[] = {"", CTPG_CONFIG_FROM_PROGRAM};
  char folder[PETSC_MAX_PATH_LEN], place[2 * PETSC_MAX_PATH_LEN], config[2 * PETSC_MAX_PATH_LEN + 32], *real;
  const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
  option[0] = 0;
  if (length <= 0) return;
  folder[length] = 0;
  folder[strrchr(folder, '/') - folder] = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places && !option[0]; i++) {
    snprintf(place, sizeof place, "%s/%s", folder, places[i]);
    snprintf(config, sizeof config, "%s/ctpgbenchConfig.cmake", place);
    if (access(config, R_OK) || !(real = realpath(place, NULL))) continue;
    snprintf(option, size, strpbrk(real, " ()&;") ? " '-Dctpgbench_DIR=%s'" : " -Dctpgbench_DIR=%s", real);
    free(real);
  }
}

static PetscErrorCode New(const char *kind, const char *text, const char *name) {
  char path[PETSC_MAX_PATH_LEN], config[2 * PETSC_MAX_PATH_LEN];
  int rank;
  int nwords;
  char **program;

  PetscFunctionBeginUser;
  PetscCall(RefuseUnusedOptions());
  PetscCall(CheckName(kind, name));
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  if (rank) PetscFunctionReturn(0);
  PetscCheck(!mkdir(name, 0777), PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "folder %s cannot be made: %s", name,
             strerror(errno));
  PetscCall(PetscSNPrintf(path, sizeof path, "%s/%s.c", name, name));
  PetscCall(WriteInstance(path, text, name));
  PetscCall(PetscSNPrintf(path, sizeof path, "%s/CMakeLists.txt", name));
  PetscCall(WriteInstance(path, CMAKE_LISTS, name));
  ConfigOption(sizeof config, config);
  PetscCall(PetscGetArgs(&nwords, &program));
  PetscCall(PetscPrintf(PETSC_COMM_SELF,
                        "%s/%s.c and %s/CMakeLists.txt are written. Next:\n"
                        "  cmake -S %s -B %s/build%s && cmake --build %s/build\n"
                        "  %s check -%s_library %s/build/%s.so -%ss %s\n",
                        name, name, name, name, name, config, name, program[0], kind, name, name, kind, name));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandNewProblem(const char *word, int *exit_code) {
  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(New("problem", PROBLEM_TEMPLATE, word));
  PetscFunctionReturn(0);
}

PetscErrorCode CommandNewEstimator(const char *word, int *exit_code) {
  PetscFunctionBeginUser;
  (void)exit_code;
  PetscCall(New("estimator", ESTIMATOR_TEMPLATE, word));
  PetscFunctionReturn(0);
}
