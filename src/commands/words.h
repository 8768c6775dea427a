// words.h -- the words of a command line: options and their values, and what stands beside them (names of files)
#ifndef CTPG_WORDS_H
#define CTPG_WORDS_H

#include <petscsys.h>

// A word in the place of a key: -name, where -1e-3 is a value.
PetscBool CtpgIsKey(const char *word);
// argv without a word that PETSc would answer itself: -help would list all of PETSc, -version name PETSc's.
void CtpgWordsTakeOut(int *argc, char **argv, const char *word, PetscBool *found);
// Remembers the words from place `first` on that belong to no option: where the command has no room for them, they are
// an error, not dropped in silence (`-rtol 1e-3, 1e-6` would run something else).
PetscErrorCode CtpgWordsCollect(int argc, char **argv, int first, int room);
PetscErrorCode CtpgWordsForget(void);
// All words behind the command, for commands that take several.
const char *const *CtpgWords(int *n);

#endif
