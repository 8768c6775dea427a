// wrap.c -- lines that fit, for prose and tables and for commands that can be pasted into a shell

#include "base/wrap.h"
#include "base/system.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WIDEST    100
#define NARROWEST 40

int CtpgColumns(void) {
  const int columns = SystemColumns(STDOUT_FILENO);
  return columns <= 0 || columns > WIDEST ? WIDEST : columns < NARROWEST ? NARROWEST : columns;
}

// ---- prose and tables ----

// Bytes of `text`, which ends with its line, that fit into `room` columns: whole words, at least one.
static int Fitting(const char *text, int room) {
  size_t end = 0;
  for (;;) {
    const size_t word = end + strspn(text + end, " "), next = word + strcspn(text + word, " \n");
    if (next == word || (end && next > (size_t)room)) return (int)end;
    end = next;
  }
}

static PetscErrorCode PrintLines(int indent, const char *text) {
  int margin = 0;
  PetscFunctionBeginUser;
  for (;;) {
    const int n = Fitting(text, CtpgColumns() - margin);
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%*s%.*s\n", margin, "", n, text));
    text += n + (int)strspn(text + n, " ");
    if (!*text) break;
    margin = *text == '\n' ? 0 : indent;
    if (*text == '\n') text++;
  }
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgPrintWrapped(int indent, const char *format, ...) {
  char buffer[8192], *text = buffer;
  va_list arguments, again;
  int length;

  PetscFunctionBeginUser;
  va_start(arguments, format);
  va_copy(again, arguments);
  length = vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  if (length >= (int)sizeof buffer) { // a command line with a long list of options
    PetscCall(PetscMalloc1((size_t)length + 1, &text));
    vsnprintf(text, (size_t)length + 1, format, again);
  }
  va_end(again);
  PetscCall(PrintLines(indent, text));
  if (text != buffer) PetscCall(PetscFree(text));
  PetscFunctionReturn(0);
}

// ---- commands ----

static PetscBool IsBare(const char *word) {
  static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=+@%";
  return word[0] && strspn(word, safe) == strlen(word) ? PETSC_TRUE : PETSC_FALSE;
}

// As the shell reads it: bare where that is safe, else in single quotes, where a quote of its own is '\''. Yours to
// free.
static PetscErrorCode Quote(const char *word, char **quoted) {
  char *out;
  PetscFunctionBeginUser;
  if (IsBare(word)) {
    PetscCall(PetscStrallocpy(word, quoted));
    PetscFunctionReturn(0);
  }
  PetscCall(PetscMalloc1(4 * strlen(word) + 3, quoted));
  out = *quoted;
  *out++ = '\'';
  for (; *word; word++)
    if (*word == '\'')
      out = strcpy(out, "'\\''") + 4;
    else
      *out++ = *word;
  strcpy(out, "'");
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgShellWord(CtpgShellLine *line, const char *word, const char *value) {
  const int room = CtpgColumns() - 2; // for the backslash
  char *quoted, *quoted_value = NULL;

  PetscFunctionBeginUser;
  PetscCall(Quote(word, &quoted));
  if (value && value[0]) PetscCall(Quote(value, &quoted_value));
  const int length = (int)(strlen(quoted) + (quoted_value ? 1 + strlen(quoted_value) : 0));
  if (line->column && line->column + 1 + length > room) {
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, " \\\n     "));
    line->column = 5;
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "%s%s%s%s", line->column ? " " : "    ", quoted, quoted_value ? " " : "",
                        quoted_value ? quoted_value : ""));
  line->column += (line->column ? 1 : 4) + length;
  PetscCall(PetscFree(quoted));
  PetscCall(PetscFree(quoted_value));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgShellEnd(CtpgShellLine *line) {
  PetscFunctionBeginUser;
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "\n"));
  line->column = 0;
  PetscFunctionReturn(0);
}
