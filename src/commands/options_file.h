// options_file.h -- plans in files: -options_file FILE, YAML or PETSc's own format
//
// PETSc would read -options_file inside PetscInitialize, where a mistake ends in a stack trace. So the key is renamed
// until the program can answer for itself.
#ifndef CTPG_OPTIONS_FILE_H
#define CTPG_OPTIONS_FILE_H

#include <petscsys.h>

// Before PetscInitialize, on the words of the command line: their keys are set aside.
void CtpgOptionsFileDefer(int argc, char **argv);
// Collective, after it. Files in the order of the command line, then the command line once more, which wins; then its
// words are as they were given.
PetscErrorCode CtpgOptionsFilesInsert(int argc, char **argv);

#endif
