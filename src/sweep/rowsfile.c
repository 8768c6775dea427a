// rowsfile.c -- see rowsfile.h
//
// The part of RFC 4180 that tables of names and numbers need: lines end with LF or CRLF, a field may stand between
// quotes, and no field holds a comma, a quote or a line end. A byte-order mark and empty lines are passed over.

#define _GNU_SOURCE // getline
#include "sweep/rowsfile.h"
#include "base/parse.h"
#include "run/instance.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS      32
#define MOST_SECONDS    1e9
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

// ---- columns

// Puts the text of a field into its place in the row; key names file, line and column for messages.
typedef PetscErrorCode Take(const char *key, const char *text, void *place);

static PetscErrorCode TakeLabel(const char *key, const char *text, void *place) {
  PetscFunctionBeginUser;
  PetscCheck(strlen(text) < sizeof((RowsFileRow *)0)->problem, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is too long; expected at most 47 characters", key, CtpgShown(text));
  PetscCheck(text[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s is empty; expected a label", key);
  strcpy(place, text);
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeSeed(const char *key, const char *text, void *place) {
  return ParseInt(key, text, 0, 1000000000, place);
}

static PetscErrorCode TakeCount(const char *key, const char *text, void *place) {
  return ParseInt(key, text, 1, 2000000000, place);
}

static PetscErrorCode TakePositive(const char *key, const char *text, void *place) {
  return ParseReal(key, text, 1e-300, MOST_SECONDS, place);
}

// An empty field: not known.
static PetscErrorCode TakeError(const char *key, const char *text, void *place) {
  return text[0] ? ParseReal(key, text, 0, 1e300, place) : 0;
}

static PetscErrorCode TakeSeconds(const char *key, const char *text, void *place) {
  return text[0] ? ParseReal(key, text, 0, MOST_SECONDS, place) : 0;
}

static PetscErrorCode TakeStatus(const char *key, const char *text, void *place) {
  const char *words[CTPG_NUM_STATUSES + 1] = {NULL};
  for (int i = 0; i < CTPG_NUM_STATUSES; i++) words[i] = CtpgStatusName((CtpgStatus)i);
  return ParseChoice(key, text, words, place);
}

static PetscErrorCode TakeKnob(const char *key, const char *text, void *place) {
  const char *words[CTPG_KNOB_SAMPLES + 2] = {NULL};
  for (int i = 0; i <= CTPG_KNOB_SAMPLES; i++) words[i] = CtpgKnobName((CtpgKnob)i);
  return ParseChoice(key, text, words, place);
}

#define COLUMN(name, needed, take)                                                                                     \
  { #name, needed, take, offsetof(RowsFileRow, name) }
static const struct {
  const char *name;
  PetscBool needed;
  Take *take;
  size_t offset;
} COLUMNS[] = {COLUMN(problem, PETSC_TRUE, TakeLabel),   COLUMN(estimator, PETSC_TRUE, TakeLabel),
               COLUMN(seed, PETSC_TRUE, TakeSeed),       COLUMN(accuracy, PETSC_TRUE, TakePositive),
               COLUMN(nfe, PETSC_TRUE, TakeCount),       COLUMN(error, PETSC_TRUE, TakeError),
               COLUMN(seconds, PETSC_TRUE, TakeSeconds), COLUMN(status, PETSC_FALSE, TakeStatus),
               COLUMN(wall, PETSC_FALSE, TakeSeconds),   COLUMN(compile, PETSC_FALSE, TakeSeconds),
               COLUMN(batch, PETSC_FALSE, TakeCount),    COLUMN(knob, PETSC_FALSE, TakeKnob)};
#define NCOLUMNS ((PetscInt)(sizeof COLUMNS / sizeof *COLUMNS))

// ---- the file

typedef struct {
  const char *path;
  FILE *file;
  char *text; // of the line at hand
  size_t room;
  PetscInt line;
  int nfields, expected;       // of the line at hand, and of the first
  char *field[MAX_FIELDS];     // within text
  PetscInt column[MAX_FIELDS]; // of COLUMNS
} Reader;

static PetscErrorCode Refuse(const Reader *r, const char *what) {
  PetscFunctionBeginUser;
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s, line %d: %s", r->path, (int)r->line, what);
}

// Blanks and quotes around a field are taken off.
static PetscErrorCode TrimField(const Reader *r, char **field) {
  PetscFunctionBeginUser;
  *field += strspn(*field, " \t");
  size_t length = strlen(*field);
  while (length && strchr(" \t", (*field)[length - 1])) (*field)[--length] = 0;
  if (length > 1 && (*field)[0] == '"' && (*field)[length - 1] == '"') {
    (*field)[length - 1] = 0;
    (*field)++;
  }
  if (strchr(*field, '"')) PetscCall(Refuse(r, "a quote stands within a field; expected fields without quotes"));
  PetscFunctionReturn(0);
}

static PetscErrorCode SplitLine(Reader *r) {
  char *rest = r->text, *field;
  PetscFunctionBeginUser;
  r->nfields = 0;
  while ((field = strsep(&rest, ","))) {
    if (r->nfields == MAX_FIELDS) PetscCall(Refuse(r, "there are more than 32 fields"));
    PetscCall(TrimField(r, &field));
    r->field[r->nfields++] = field;
  }
  PetscFunctionReturn(0);
}

// The next line that is not empty, split; FALSE at the end of the file.
static PetscErrorCode NextLine(Reader *r, PetscBool *found) {
  ssize_t length;
  PetscFunctionBeginUser;
  *found = PETSC_FALSE;
  while (!*found && (length = getline(&r->text, &r->room, r->file)) >= 0) {
    r->line++;
    if ((size_t)length != strlen(r->text)) PetscCall(Refuse(r, "it holds a zero byte; expected text"));
    r->text[strcspn(r->text, "\r\n")] = 0;
    if (r->line == 1 && !strncmp(r->text, BYTE_ORDER_MARK, 3)) memset(r->text, ' ', 3);
    *found = r->text[strspn(r->text, " \t")] ? PETSC_TRUE : PETSC_FALSE;
  }
  PetscCheck(!ferror(r->file), PETSC_COMM_WORLD, PETSC_ERR_FILE_READ, "%s cannot be read: %s", r->path,
             strerror(errno));
  if (*found) PetscCall(SplitLine(r));
  PetscFunctionReturn(0);
}

static PetscErrorCode RefuseColumn(const Reader *r, const char *name) {
  const char *words[NCOLUMNS + 1];
  char list[256], what[512];
  PetscFunctionBeginUser;
  for (PetscInt c = 0; c < NCOLUMNS; c++) words[c] = COLUMNS[c].name;
  words[NCOLUMNS] = NULL;
  ParseJoinWords(words, list, sizeof list);
  snprintf(what, sizeof what, "the column '%s' is unknown; expected some of %s (nearest: %s)", CtpgShown(name), list,
           CtpgNearest(name, words));
  PetscCall(Refuse(r, what));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadHeader(Reader *r) {
  PetscInt times[NCOLUMNS];
  PetscBool found;
  char what[128];

  PetscFunctionBeginUser;
  PetscCall(PetscArrayzero(times, NCOLUMNS));
  PetscCall(NextLine(r, &found));
  PetscCheck(found, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s is empty; expected a line with names of columns first",
             r->path);
  r->expected = r->nfields;
  for (int i = 0; i < r->nfields; i++) {
    PetscInt c = 0;
    while (c < NCOLUMNS && strcmp(COLUMNS[c].name, r->field[i])) c++;
    if (c == NCOLUMNS) PetscCall(RefuseColumn(r, r->field[i]));
    r->column[i] = c;
    times[c]++;
  }
  for (PetscInt c = 0; c < NCOLUMNS; c++) {
    snprintf(what, sizeof what, times[c] ? "the column %s is there twice" : "there is no column %s, which is needed",
             COLUMNS[c].name);
    if (times[c] > 1 || (!times[c] && COLUMNS[c].needed)) PetscCall(Refuse(r, what));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeLine(Reader *r, RowsFileRow *row) {
  char key[PETSC_MAX_PATH_LEN + 64], what[128];
  PetscFunctionBeginUser;
  snprintf(what, sizeof what, "%d fields; expected %d, as in the first line", r->nfields, r->expected);
  if (r->nfields != r->expected) PetscCall(Refuse(r, what));
  *row = (RowsFileRow){.line = r->line, .batch = 1, .knob = CTPG_KNOB_RTOL, .status = CTPG_OK};
  row->error = row->seconds = row->wall = row->compile = NAN;
  for (int i = 0; i < r->nfields; i++) {
    snprintf(key, sizeof key, "%s, line %d: %s", r->path, (int)r->line, COLUMNS[r->column[i]].name);
    PetscCall(COLUMNS[r->column[i]].take(key, r->field[i], (char *)row + COLUMNS[r->column[i]].offset));
  }
  if (row->status == CTPG_OK && (isnan(row->error) || isnan(row->seconds)))
    PetscCall(Refuse(r, "the error or the seconds are missing in a row of status ok"));
  PetscFunctionReturn(0);
}

static PetscErrorCode TakeLines(Reader *r, PetscInt *n, RowsFileRow **rows) {
  PetscInt room = 0;
  PetscBool found;
  PetscFunctionBeginUser;
  PetscCall(ReadHeader(r));
  while (PETSC_TRUE) {
    PetscCall(NextLine(r, &found));
    if (!found) break;
    if (*n == room) PetscCall(PetscRealloc((size_t)(room = 2 * room + 64) * sizeof **rows, rows));
    PetscCall(TakeLine(r, *rows + (*n)++));
  }
  PetscCheck(*n, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s has no row below the names of its columns", r->path);
  PetscFunctionReturn(0);
}

PetscErrorCode RowsFileRead(const char *path, PetscInt *n, RowsFileRow **rows) {
  Reader r = {.path = path};
  PetscFunctionBeginUser;
  *n = 0;
  *rows = NULL;
  PetscCheck(!CtpgIsNoFile(path), PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "%s is not a file", path);
  r.file = fopen(path, "r");
  PetscCheck(r.file, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "%s cannot be read: %s", path, strerror(errno));
  const PetscErrorCode error = TakeLines(&r, n, rows);
  fclose(r.file);
  free(r.text);
  PetscCall(error);
  PetscFunctionReturn(0);
}
