// options_file.c -- see options_file.h

#include "commands/options_file.h"
#include "base/parse.h"
#include "ctpgbench/options.h"
#include "job/errors.h"
#include "commands/narrow.h"
#include "commands/words.h"
#include "commands/yaml_check.h"
#include <stdio.h>
#include <string.h>

static char options_file_key[] = "-options_file", deferred_key[] = "-deferred_options_file";

static void RenameKeys(int argc, char **argv, const char *from, char *to) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], from)) argv[i] = to;
}

// As a power cut leaves files: nothing behind a NUL would be read.
static PetscErrorCode RefuseNUL(const char *path, const char *text, size_t size) {
  const char *nul = memchr(text, 0, size);
  size_t line = 1;
  PetscFunctionBeginUser;
  for (const char *c = text; nul && c < nul; c++) line += *c == '\n';
  PetscCheck(!nul, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-options_file %s is not usable: line %zu: a NUL byte; expected text to the end of the file", path, line);
  PetscFunctionReturn(0);
}

// The text of a file, read by rank 0, on every rank.
static PetscErrorCode ReadTextFile(const char *path, char **text, size_t *length) {
  long size = -1;
  int rank;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  FILE *file = rank || CtpgIsNoFile(path) ? NULL : fopen(path, "r");
  if (file && !fseek(file, 0, SEEK_END)) size = ftell(file);
  PetscCallMPI(MPI_Bcast(&size, 1, MPI_LONG, 0, PETSC_COMM_WORLD));
  if (size < 0 || size > 1 << 26) size = -1;
  PetscCall(PetscCalloc1(PetscMax(size, 0) + 1, text));
  if (file && size > 0 && (fseek(file, 0, SEEK_SET) || fread(*text, 1, (size_t)size, file) != (size_t)size)) size = -1;
  if (file) fclose(file);
  PetscCallMPI(MPI_Bcast(&size, 1, MPI_LONG, 0, PETSC_COMM_WORLD));
  PetscCheck(size >= 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN,
             "-options_file %s cannot be read; expected a YAML file of options", CtpgShown(path));
  PetscCallMPI(MPI_Bcast(*text, (int)size, MPI_CHAR, 0, PETSC_COMM_WORLD));
  PetscCall(RefuseNUL(path, *text, (size_t)size));
  *length = (size_t)size;
  PetscFunctionReturn(0);
}

// Keeps the first message of the YAML parser instead of printing it.
static PetscErrorCode KeepMessage(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                                  PetscErrorType kind, const char *message, void *kept) {
  (void)comm, (void)line, (void)function, (void)file;
  const char *words = CtpgErrorInOurWords(message);
  if (kind == PETSC_ERROR_INITIAL) snprintf(kept, 256, "%.*s", (int)strcspn(words, "\n"), words);
  return code;
}

static PetscErrorCode InsertYAML(const char *path, const char *text, size_t size) {
  char message[256] = "";
  PetscFunctionBeginUser;
  PetscCall(YAMLCheck(path, text, size));
  PetscCall(PetscPushErrorHandler(KeepMessage, message));
  const PetscErrorCode error = PetscOptionsInsertStringYAML(NULL, text);
  PetscCall(PetscPopErrorHandler());
  PetscCheck(!error, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-options_file %s is not usable: %s; expected YAML lines such as `seeds: 0:8`", path, message);
  PetscFunctionReturn(0);
}

static PetscErrorCode InsertOptionsFile(const char *path) {
  const char *ending = strrchr(path, '.');
  char *text;
  size_t size = 0;

  PetscFunctionBeginUser;
  PetscCall(ReadTextFile(path, &text, &size));
  if (ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml")))
    PetscCall(InsertYAML(path, text, size));
  else
    PetscCall(PetscOptionsInsertFile(PETSC_COMM_WORLD, NULL, path, PETSC_TRUE));
  PetscCall(PetscFree(text));
  PetscFunctionReturn(0);
}

// Files in the order of the command line, then the command line once more, which wins, and may choose labels of theirs.
static PetscErrorCode InsertFiles(int argc, char **argv) {
  PetscBool given;
  PlanLists lists;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsHasName(NULL, NULL, deferred_key, &given));
  if (!given) PetscFunctionReturn(0);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], deferred_key)) continue;
    PetscCheck(i + 1 < argc && !CtpgIsKey(argv[i + 1]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-options_file has no value; expected a YAML file of options");
    PetscCall(InsertOptionsFile(argv[i + 1]));
  }
  PetscCall(PlanListsRead(&lists));
  PetscCall(PetscOptionsInsertArgs(NULL, argc - 1, (void *)(argv + 1))); // newer PETSc wants const words
  PetscCall(PetscOptionsClearValue(NULL, deferred_key));
  PetscCall(PlanNarrow(argc, argv, &lists));
  PetscFunctionReturn(0);
}

void CtpgOptionsFileDefer(int argc, char **argv) {
  RenameKeys(argc, argv, options_file_key, deferred_key);
}

PetscErrorCode CtpgOptionsFilesInsert(int argc, char **argv) {
  PetscFunctionBeginUser;
  PetscCall(InsertFiles(argc, argv));
  RenameKeys(argc, argv, deferred_key, options_file_key); // the command line is recorded as it was given
  PetscFunctionReturn(0);
}
