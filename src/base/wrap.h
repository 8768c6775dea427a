// wrap.h -- what people read on a terminal, in lines of at most CtpgColumns() columns
#ifndef CTPG_WRAP_H
#define CTPG_WRAP_H

#include <petscsys.h>

// 100, or as many as the terminal behind stdout has if it is narrower, but never less than 40.
int CtpgColumns(void);

// Prints `format` with its arguments and a line break, on the first rank alone. A line that is too long goes on in
// further lines, indented by `indent` blanks. Lines break at blanks only: a longer word keeps a line of its own.
PetscErrorCode CtpgPrintWrapped(int indent, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(2, 3);

// A command line for the shell that is printed word by word: they are quoted where the shell asks for it, and a line
// that would be too long is continued with a backslash. Start with {0}; every line is indented, the first one by 4
// blanks.
typedef struct {
  int column;
} CtpgShellLine;
// value: of an option, which stays on its line; NULL or empty: none.
PetscErrorCode CtpgShellWord(CtpgShellLine *line, const char *word, const char *value);
PetscErrorCode CtpgShellEnd(CtpgShellLine *line);

#endif
