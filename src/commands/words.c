// words.c -- see words.h

#include "commands/words.h"
#include <ctype.h>
#include <string.h>

typedef struct {
  int n;
  const char **word; // [n], then ""
} Words;
static Words words; // behind the command

void CtpgWordsTakeOut(int *argc, char **argv, const char *word, PetscBool *found) {
  int kept = 0;
  *found = PETSC_FALSE;
  for (int i = 0; i < *argc; i++) {
    if (i > 0 && !strcmp(argv[i], word))
      *found = PETSC_TRUE;
    else
      argv[kept++] = argv[i];
  }
  argv[kept] = NULL;
  *argc = kept;
}

PetscBool CtpgIsKey(const char *word) {
  if (word[0] != '-') return PETSC_FALSE;
  return isalpha((unsigned char)word[word[1] == '-' ? 2 : 1]) ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode CtpgWordsCollect(int argc, char **argv, int first, int room) {
  PetscFunctionBeginUser;
  PetscCall(PetscMalloc1(argc + 1, &words.word));
  words.n = 0;
  for (int i = first; i < argc; i++) {
    if (CtpgIsKey(argv[i]) || (i > first && CtpgIsKey(argv[i - 1]))) continue;
    PetscCheck(words.n < room, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "the word '%s' belongs to no option; expected -name value, and no blanks inside a list", argv[i]);
    words.word[words.n++] = argv[i];
  }
  words.word[words.n] = "";
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgWordsForget(void) {
  PetscFunctionBeginUser;
  words.n = 0;
  PetscCall(PetscFree(words.word));
  PetscFunctionReturn(0);
}

const char *const *CtpgWords(int *n) {
  *n = words.n;
  return words.word;
}
