// options.c -- reading, checking and recording options, the two parsers of the plan, and the search for unused options
//
// PETSc's own readers of numbers are not used: they accept "1e-6x" and do not say which range was wanted. Edit distance
// after V. I. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics
// Doklady 10 (1966).

#define _GNU_SOURCE // asprintf
#include "ctpgbench/options.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LADDER_LENGTH 1000000 // largest n of lo:hi:n

struct CtpgOptions_s {
  char *label, *type; // "" for none
  char *resolved;
  size_t length, capacity; // of resolved, closing zero not counted
  size_t last;             // where the line of the last read option begins
  char *given;             // NULL: nothing
};

// ---- words seen by this process ----

typedef struct {
  PetscInt n, capacity;
  const char **word; // [n], then NULL
} WordList;

static WordList known_keys; // every key that was looked up: what a misspelt one is compared with
static WordList helped;     // "type name" of the entries that -help has printed
static char *help_heading;  // type of the last heading

static void WordListFree(WordList *list) {
  for (PetscInt i = 0; i < list->n; i++) free((char *)list->word[i]);
  free(list->word);
  *list = (WordList){0};
}

static PetscErrorCode ForgetWords(void) {
  PetscFunctionBegin;
  WordListFree(&known_keys);
  WordListFree(&helped);
  free(help_heading);
  help_heading = NULL;
  PetscFunctionReturn(0);
}

static PetscErrorCode WordListGrow(WordList *list) {
  PetscFunctionBegin;
  if (!known_keys.word && !helped.word) PetscCall(PetscRegisterFinalize(ForgetWords));
  const PetscInt capacity = list->capacity ? 2 * list->capacity : 64;
  const char **word = realloc(list->word, (size_t)capacity * sizeof *word);
  PetscCheck(word, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory for %d option names", (int)capacity);
  list->word = word;
  list->capacity = capacity;
  PetscFunctionReturn(0);
}

static PetscErrorCode WordListAdd(WordList *list, const char *word, PetscBool *is_new) {
  PetscFunctionBegin;
  *is_new = PETSC_FALSE;
  for (PetscInt i = 0; i < list->n; i++)
    if (!strcmp(list->word[i], word)) PetscFunctionReturn(0);
  if (list->n + 1 >= list->capacity) PetscCall(WordListGrow(list));
  char *copy = strdup(word);
  PetscCheck(copy, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory for the name of an option");
  list->word[list->n++] = copy;
  list->word[list->n] = NULL;
  *is_new = PETSC_TRUE;
  PetscFunctionReturn(0);
}

// Edit distance, one row of the table at a time: row[j] is the distance of the prefixes of lengths i and j.
static size_t EditDistance(const char *a, const char *b) {
  const size_t n = strlen(b);
  size_t row[n + 1];
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = PetscMin(replaced, 1 + PetscMin(row[j], row[j - 1]));
    }
  }
  return row[n];
}

const char *CtpgNearest(const char *word, const char *const *known) {
  const char *nearest = NULL;
  size_t smallest = 0;
  for (; *known; known++) {
    const size_t distance = EditDistance(word, *known);
    if (nearest && distance >= smallest) continue;
    nearest = *known;
    smallest = distance;
  }
  return nearest;
}

// ---- messages and numbers ----

const char *CtpgShown(const char *text) {
  static char shown[96];
  size_t kept = 64;
  if (strlen(text) <= 2 * kept) return text;
  while (kept > 60 && (text[kept] & 0xc0) == 0x80) kept--; // not through the middle of a character of UTF-8
  snprintf(shown, sizeof shown, "%.*s...", (int)kept, text);
  return shown;
}

static PetscErrorCode Refuse(const char *key, const char *text, const char *problem, const char *expected) {
  PetscFunctionBegin;
  PetscCheck(*text, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s has no value; expected %s", key, expected);
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s %s; expected %s", key, CtpgShown(text), problem, expected);
}

// (PetscPrintf's own %.6g writes 1 as "1.".)
const char *CtpgShortReal(PetscReal value, char text[CTPG_NUMBER_SIZE]) {
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(text, CTPG_NUMBER_SIZE, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  return text;
}

static const char *ExactReal(PetscReal value, char text[CTPG_NUMBER_SIZE]) {
  snprintf(text, CTPG_NUMBER_SIZE, "%.17g", value);
  return text;
}

void CtpgTrimList(char *text) {
  char *end = text;
  for (const char *c = text + strspn(text, " \t\n"); *c; c++) {
    const size_t blanks = strspn(c, " \t\n");
    if (blanks && (!c[blanks] || c[blanks] == ',' || end[-1] == ',')) {
      c += blanks - 1;
      continue;
    }
    *end++ = *c;
  }
  *end = 0;
}

// The character after a number at the start of text, NULL where there is none or it overflows.
static const char *ScanReal(const char *text, PetscReal *value) {
  char *end;
  if (isspace((unsigned char)*text)) return NULL;
  errno = 0;
  *value = strtod(text, &end);
  return end == text || (errno == ERANGE && isinf(*value)) ? NULL : end;
}

static const char *ScanInt(const char *text, int64_t *value) {
  char *end;
  if (isspace((unsigned char)*text)) return NULL;
  errno = 0;
  *value = strtoll(text, &end, 10);
  return end == text || errno == ERANGE ? NULL : end;
}

static PetscErrorCode ParseReal(const char *key, const char *text, PetscReal low, PetscReal high, PetscReal *value) {
  PetscReal number;
  char expected[2 * CTPG_NUMBER_SIZE + 32], low_text[CTPG_NUMBER_SIZE], high_text[CTPG_NUMBER_SIZE];

  PetscFunctionBegin;
  const char *end = ScanReal(text, &number);
  snprintf(expected, sizeof expected, "a number in [%s, %s]", CtpgShortReal(low, low_text),
           CtpgShortReal(high, high_text));
  if (!end || *end) PetscCall(Refuse(key, text, "is not a number", expected));
  if (!(number >= low && number <= high)) PetscCall(Refuse(key, text, "is out of range", expected));
  *value = number;
  PetscFunctionReturn(0);
}

static PetscErrorCode ParseInt(const char *key, const char *text, PetscInt low, PetscInt high, PetscInt *value) {
  int64_t number;
  char expected[96];

  PetscFunctionBegin;
  const char *end = ScanInt(text, &number);
  snprintf(expected, sizeof expected, "a whole number in [%lld, %lld]", (long long)low, (long long)high);
  if (!end || *end) PetscCall(Refuse(key, text, "is not a whole number", expected));
  if (number < low || number > high) PetscCall(Refuse(key, text, "is out of range", expected));
  *value = (PetscInt)number;
  PetscFunctionReturn(0);
}

static PetscErrorCode ParseBool(const char *key, const char *text, PetscBool *value) {
  static const char *const words[2][4] = {{"false", "no", "0", "off"}, {"true", "yes", "1", "on"}};
  PetscFunctionBegin;
  for (int truth = 0; truth < 2; truth++)
    for (int i = 0; i < 4; i++)
      if (!strcasecmp(text, words[truth][i]) || (truth && !*text)) {
        *value = truth ? PETSC_TRUE : PETSC_FALSE;
        PetscFunctionReturn(0);
      }
  PetscCall(Refuse(key, text, "is neither true nor false", "true, yes, 1, on or false, no, 0, off"));
  PetscFunctionReturn(0);
}

static void JoinWords(const char *const *words, char *text, size_t size) {
  size_t length = 0;
  for (size_t i = 0; words[i] && length < size; i++)
    length += (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", words[i]);
}

static PetscErrorCode ParseChoice(const char *key, const char *text, const char *const *choices, PetscInt *value) {
  char list[1024] = "", expected[1280];

  PetscFunctionBegin;
  for (PetscInt i = 0; choices[i]; i++)
    if (!strcmp(text, choices[i])) {
      *value = i;
      PetscFunctionReturn(0);
    }
  JoinWords(choices, list, sizeof list);
  snprintf(expected, sizeof expected, "one of %s (nearest: %s)", list, CtpgNearest(text, choices));
  PetscCall(Refuse(key, text, "is unknown", expected));
  PetscFunctionReturn(0);
}

// ---- the parsers of the plan ----

#define REALS_EXPECTED "a number, a comma list of numbers, or lo:hi:n with lo, hi > 0 and 2 <= n <= 1000000"

// values[i] = 10^((n - 1 - i) / (n - 1) log10 lo + i / (n - 1) log10 hi): whole decades come out exactly, and hi:lo:n
// is the same ladder backwards.
static void FillLadder(PetscReal lo, PetscReal hi, PetscInt n, PetscReal *values) {
  const PetscReal log_lo = log10(lo), log_hi = log10(hi);
  for (PetscInt i = 0; i < n; i++)
    values[i] = pow(10, ((PetscReal)(n - 1 - i) * log_lo + (PetscReal)i * log_hi) / (PetscReal)(n - 1));
  values[0] = lo;
  values[n - 1] = hi;
}

static PetscErrorCode ParseLadder(const char *option, const char *text, PetscInt *n, PetscReal **values) {
  PetscReal lo = 0, hi = 0;
  int64_t count = 0;

  PetscFunctionBegin;
  const char *end = ScanReal(text, &lo);
  if (end) end = *end == ':' ? ScanReal(end + 1, &hi) : NULL;
  if (end) end = *end == ':' ? ScanInt(end + 1, &count) : NULL;
  const PetscBool fits = lo > 0 && hi > 0 && isfinite(lo) && isfinite(hi) && count >= 2 && count <= LADDER_LENGTH;
  if (!end || *end || !fits) PetscCall(Refuse(option, text, "is not a list of numbers", REALS_EXPECTED));
  *n = (PetscInt)count;
  PetscCall(PetscMalloc1(*n, values));
  FillLadder(lo, hi, *n, *values);
  PetscFunctionReturn(0);
}

// Numbers of a comma list, or -1; values NULL: only counted.
static PetscInt ScanList(const char *text, PetscReal *values) {
  PetscInt n = 0;
  for (;; text++) {
    PetscReal value;
    text = ScanReal(text, &value);
    if (!text || !isfinite(value) || (*text && *text != ',')) return -1;
    if (values) values[n] = value;
    n++;
    if (!*text) return n;
  }
}

PetscErrorCode CtpgParseReals(const char *option, const char *text, PetscInt *n, PetscReal **values) {
  char *list;

  PetscFunctionBegin;
  *n = 0;
  *values = NULL;
  if (strchr(text, ':')) {
    PetscCall(ParseLadder(option, text, n, values));
    PetscFunctionReturn(0);
  }
  PetscCall(PetscStrallocpy(text, &list));
  CtpgTrimList(list);
  const PetscInt count = ScanList(list, NULL);
  if (count < 0) PetscCall(Refuse(option, text, "is not a list of numbers", REALS_EXPECTED));
  PetscCall(PetscMalloc1(count, values));
  *n = ScanList(list, *values);
  PetscCall(PetscFree(list));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgParseRange(const char *option, const char *text, int64_t *first, int64_t *last) {
  static const char *const expected = "first:last with 0 <= first < last, or one number";
  int64_t from = 0, to = 0;

  PetscFunctionBegin;
  const char *end = ScanInt(text, &from);
  if (end && *end == ':')
    end = ScanInt(end + 1, &to);
  else
    to = from < INT64_MAX ? from + 1 : from;
  if (!end || *end) PetscCall(Refuse(option, text, "is not a range", expected));
  if (from < 0) PetscCall(Refuse(option, text, "begins below 0", expected));
  if (from >= to) PetscCall(Refuse(option, text, "is empty", "first:last with first < last"));
  *first = from;
  *last = to;
  PetscFunctionReturn(0);
}

// ---- the options of a label ----

PetscErrorCode CtpgOptionsCreate(const char *label, const char *type, CtpgOptions *options) {
  CtpgOptions o;

  PetscFunctionBegin;
  PetscCall(PetscNew(&o));
  *options = o;
  PetscCall(PetscStrallocpy(label ? label : "", &o->label));
  PetscCall(PetscStrallocpy(type ? type : "", &o->type));
  o->capacity = 256;
  PetscCall(PetscCalloc1(o->capacity, &o->resolved));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsDestroy(CtpgOptions *options) {
  PetscFunctionBegin;
  if (!*options) PetscFunctionReturn(0);
  PetscCall(PetscFree((*options)->label));
  PetscCall(PetscFree((*options)->type));
  PetscCall(PetscFree((*options)->resolved));
  free((*options)->given);
  PetscCall(PetscFree(*options));
  PetscFunctionReturn(0);
}

// key [PETSC_MAX_OPTION_NAME] = -<prefix>_name, or -name without a prefix; *text = what the user gave under this key,
// "" for a key alone, NULL when it was not given. Looking a key up marks it as used.
static PetscErrorCode LookUpKey(const char *prefix, const char *name, char *key, const char **text) {
  const char *value = NULL;
  PetscBool given, is_new;

  PetscFunctionBegin;
  snprintf(key, PETSC_MAX_OPTION_NAME, "-%s%s%s", prefix, *prefix ? "_" : "", name);
  PetscCall(WordListAdd(&known_keys, key, &is_new));
  PetscCall(PetscOptionsFindPair(NULL, NULL, key, &value, &given));
  *text = given ? (value ? value : "") : NULL;
  PetscFunctionReturn(0);
}

// The first of the three keys that was given, and its text; -name and NULL when none was. All three are looked up, so
// that one in the shadow of a more special one does not count as unused.
static PetscErrorCode LookUp(CtpgOptions options, const char *name, char *key, const char **text) {
  const char *const prefixes[3] = {options->label, options->type, ""};
  char candidate[PETSC_MAX_OPTION_NAME];

  PetscFunctionBegin;
  *text = NULL;
  for (int i = *options->label ? 0 : 2; i < 3; i++) {
    const char *found = NULL;
    PetscCall(LookUpKey(prefixes[i], name, candidate, &found));
    if (*text) continue;
    *text = found;
    PetscCall(PetscStrncpy(key, candidate, PETSC_MAX_OPTION_NAME));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintHeading(const char *type) {
  PetscFunctionBegin;
  if (help_heading && !strcmp(help_heading, type)) PetscFunctionReturn(0);
  PetscCall(PetscPrintf(PETSC_COMM_WORLD, "Options of %s:\n", *type ? type : "ctpgbench"));
  free(help_heading);
  help_heading = strdup(type);
  PetscFunctionReturn(0);
}

static PetscErrorCode PrintHelp(CtpgOptions options, const char *name, const char *help, const char *initial) {
  char entry[PETSC_MAX_OPTION_NAME];
  PetscBool wanted, is_new;

  PetscFunctionBegin;
  PetscCall(PetscOptionsHasHelp(NULL, &wanted));
  if (!wanted) PetscFunctionReturn(0);
  snprintf(entry, sizeof entry, "%s %s", options->type, name);
  PetscCall(WordListAdd(&helped, entry, &is_new));
  if (!is_new) PetscFunctionReturn(0);
  PetscCall(PrintHeading(options->type));
  if (*options->label)
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "  -[<label>_|%s_]%s <%s>: %s\n", options->type, name, initial, help));
  else
    PetscCall(PetscPrintf(PETSC_COMM_WORLD, "  -%s <%s>: %s\n", name, initial, help));
  PetscFunctionReturn(0);
}

// "name = text" joins what was given, unless it was read before.
static PetscErrorCode KeepGiven(CtpgOptions options, const char *name, const char *text) {
  char *line, *joined;
  PetscFunctionBegin;
  PetscCheck(asprintf(&line, "%s = %s\n", name, text) >= 0, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory for an option");
  const char *given = CtpgOptionsGiven(options), *found = strstr(given, line);
  const PetscBool known = found && (found == given || found[-1] == '\n') ? PETSC_TRUE : PETSC_FALSE;
  PetscCheck(known || asprintf(&joined, "%s%s", given, line) >= 0, PETSC_COMM_SELF, PETSC_ERR_MEM,
             "no memory for an option");
  free(line);
  if (known) PetscFunctionReturn(0);
  free(options->given);
  options->given = joined;
  PetscFunctionReturn(0);
}

// What every reader below begins with.
static PetscErrorCode Read(CtpgOptions options, const char *name, const char *help, const char *initial, char *key,
                           const char **text) {
  PetscFunctionBegin;
  PetscCall(PrintHelp(options, name, help, initial));
  PetscCall(LookUp(options, name, key, text));
  if (*text) PetscCall(KeepGiven(options, name, *text));
  PetscFunctionReturn(0);
}

// What every reader below ends with: "name = value\n" joins the resolved text.
PetscErrorCode CtpgOptionsRecord(CtpgOptions options, const char *name, const char *value) {
  PetscFunctionBegin;
  const size_t more = strlen(name) + strlen(value) + 4;
  while (options->length + more + 1 > options->capacity) options->capacity *= 2;
  PetscCall(PetscRealloc(options->capacity, &options->resolved));
  snprintf(options->resolved + options->length, more + 1, "%s = %s\n", name, value);
  options->last = options->length;
  options->length += more;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsReal(CtpgOptions options, const char *name, const char *help, PetscReal low, PetscReal high,
                               PetscReal *value) {
  char key[PETSC_MAX_OPTION_NAME], number[CTPG_NUMBER_SIZE];
  const char *text;

  PetscFunctionBegin;
  PetscCall(Read(options, name, help, CtpgShortReal(*value, number), key, &text));
  if (text) PetscCall(ParseReal(key, text, low, high, value));
  PetscCall(CtpgOptionsRecord(options, name, ExactReal(*value, number)));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsInt(CtpgOptions options, const char *name, const char *help, PetscInt low, PetscInt high,
                              PetscInt *value) {
  char key[PETSC_MAX_OPTION_NAME], number[CTPG_NUMBER_SIZE];
  const char *text;

  PetscFunctionBegin;
  snprintf(number, sizeof number, "%lld", (long long)*value);
  PetscCall(Read(options, name, help, number, key, &text));
  if (text) PetscCall(ParseInt(key, text, low, high, value));
  snprintf(number, sizeof number, "%lld", (long long)*value);
  PetscCall(CtpgOptionsRecord(options, name, number));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsBool(CtpgOptions options, const char *name, const char *help, PetscBool *value) {
  char key[PETSC_MAX_OPTION_NAME];
  const char *text;

  PetscFunctionBegin;
  PetscCall(Read(options, name, help, *value ? "true" : "false", key, &text));
  if (text) PetscCall(ParseBool(key, text, value));
  PetscCall(CtpgOptionsRecord(options, name, *value ? "true" : "false"));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsChoice(CtpgOptions options, const char *name, const char *help, const char *const *choices,
                                 PetscInt *value) {
  char key[PETSC_MAX_OPTION_NAME], list[1024] = "", long_help[2048];
  const char *text;

  PetscFunctionBegin;
  JoinWords(choices, list, sizeof list);
  snprintf(long_help, sizeof long_help, "%s (one of %s)", help, list);
  PetscCall(Read(options, name, long_help, choices[*value], key, &text));
  if (text) PetscCall(ParseChoice(key, text, choices, value));
  PetscCall(CtpgOptionsRecord(options, name, choices[*value]));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadText(CtpgOptions options, const char *name, const char *help, PetscBool or_none, char *text,
                               size_t size) {
  char key[PETSC_MAX_OPTION_NAME];
  const char *given;

  PetscFunctionBegin;
  PetscCall(Read(options, name, help, text, key, &given));
  if (given && !*given && !or_none) PetscCall(Refuse(key, given, "is empty", help));
  PetscCheck(!given || strlen(given) < size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s is a text of %zu characters; expected at most %zu", key, strlen(given), size - 1);
  if (given) PetscCall(PetscStrncpy(text, given, size));
  PetscCall(CtpgOptionsRecord(options, name, text));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsText(CtpgOptions options, const char *name, const char *help, char *text, size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, name, help, PETSC_FALSE, text, size));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsTextOrNone(CtpgOptions options, const char *name, const char *help, char *text, size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, name, help, PETSC_TRUE, text, size));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsList(CtpgOptions options, const char *name, const char *help, char *text, size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, name, help, PETSC_FALSE, text, size));
  CtpgOptionsForget(options);
  CtpgTrimList(text);
  PetscCall(CtpgOptionsRecord(options, name, text));
  PetscFunctionReturn(0);
}

static PetscErrorCode RecordReals(CtpgOptions options, const char *name, PetscInt n, const PetscReal *values) {
  char *list, number[CTPG_NUMBER_SIZE];

  PetscFunctionBegin;
  PetscCall(PetscCalloc1((size_t)n * CTPG_NUMBER_SIZE + 1, &list));
  char *end = list;
  for (PetscInt i = 0; i < n; i++) end += sprintf(end, "%s%s", i ? "," : "", ExactReal(values[i], number));
  PetscCall(CtpgOptionsRecord(options, name, list));
  PetscCall(PetscFree(list));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsReals(CtpgOptions options, const char *name, const char *help, PetscInt *n,
                                PetscReal **values) {
  char key[PETSC_MAX_OPTION_NAME];
  const char *text;

  PetscFunctionBegin;
  *n = 0;
  *values = NULL;
  PetscCall(Read(options, name, help, "none", key, &text));
  if (text && strcmp(text, "none")) PetscCall(CtpgParseReals(key, text, n, values));
  PetscCall(RecordReals(options, name, *n, *values));
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsFind(CtpgOptions options, const char *name, char *key, size_t size, PetscBool *found) {
  char first[PETSC_MAX_OPTION_NAME];
  const char *text;

  PetscFunctionBegin;
  PetscCall(LookUp(options, name, first, &text));
  *found = text ? PETSC_TRUE : PETSC_FALSE;
  if (key) PetscCall(PetscStrncpy(key, first, size));
  PetscFunctionReturn(0);
}

const char *CtpgOptionsResolved(CtpgOptions options) {
  return options->resolved;
}

const char *CtpgOptionsGiven(CtpgOptions options) {
  return options->given ? options->given : "";
}

void CtpgResolvedFind(const char *text, const char *name, char *value, size_t size) {
  const size_t n = strlen(name);
  value[0] = 0;
  for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line ? 1 : 0)
    if (!strncmp(line, name, n) && !strncmp(line + n, " = ", 3))
      snprintf(value, size, "%.*s", (int)strcspn(line + n + 3, "\n"), line + n + 3);
}

const char *CtpgOptionsLabel(CtpgOptions options) {
  return options->label;
}

const char *CtpgOptionsType(CtpgOptions options) {
  return options->type;
}

void CtpgOptionsForget(CtpgOptions options) {
  options->length = options->last;
  options->resolved[options->length] = 0;
}

// ---- unused options ----

// Keys that PETSc reads when a solver or PetscFinalize gets there, perhaps never; a star stands for any ending.
static const char *const LATE_KEYS[] = {"citations",
                                        "debugger_*",
                                        "display",
                                        "error_output_*",
                                        "fp_trap*",
                                        "help",
                                        "history",
                                        "info*",
                                        "log_*",
                                        "malloc*",
                                        "memory_view",
                                        "nox*",
                                        "no_signal_handler",
                                        "not_shared_tmp",
                                        "objects_dump",
                                        "on_error_*",
                                        "options_left",
                                        "options_monitor*",
                                        "options_view",
                                        "petsc_ci*",
                                        "saws*",
                                        "shared_tmp",
                                        "skip_petscrc",
                                        "tmp",
                                        "version",
                                        NULL};

static PetscBool IsLateKey(const char *name) {
  for (const char *const *key = LATE_KEYS; *key; key++) {
    const size_t stem = strcspn(*key, "*");
    if (!strncasecmp(name, *key, stem) && ((*key)[stem] || !name[stem])) return PETSC_TRUE;
  }
  return PETSC_FALSE;
}

// key = the first option of the database that nobody read and nobody excuses, "" when there is none. `ambient` holds
// what PETSC_OPTIONS says.
static PetscErrorCode FindUnused(PetscOptions ambient, char *key, size_t size) {
  PetscInt n;
  char **names, **values;

  PetscFunctionBegin;
  key[0] = 0;
  PetscCall(PetscOptionsLeftGet(NULL, &n, &names, &values));
  for (PetscInt i = 0; i < n && !key[0]; i++) {
    char candidate[PETSC_MAX_OPTION_NAME];
    PetscBool is_ambient;
    snprintf(candidate, sizeof candidate, "-%s", names[i]);
    PetscCall(PetscOptionsHasName(ambient, NULL, candidate, &is_ambient));
    if (!is_ambient && !IsLateKey(names[i])) PetscCall(PetscStrncpy(key, candidate, size));
  }
  PetscCall(PetscOptionsLeftRestore(NULL, &n, &names, &values));
  PetscFunctionReturn(0);
}

static PetscErrorCode ReadAllowUnused(PetscBool *allow) {
  CtpgOptions options;

  PetscFunctionBegin;
  PetscCall(CtpgOptionsCreate(NULL, NULL, &options));
  PetscCall(CtpgOptionsBool(options, "allow_unused", "go on although an option was read by nobody", allow));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// Rank 0 decides for all, so that all raise the same error. With these words PetscOptionsInsert reads the environment
// alone.
// An accuracy: known to some estimators, but not to those chosen.
static PetscBool IsKnob(const char *key) {
  return !strcmp(key, "-rtol") || !strcmp(key, "-dt") || !strcmp(key, "-samples") ? PETSC_TRUE : PETSC_FALSE;
}

PetscErrorCode CtpgOptionsRefuseUnused(void) {
  char program[] = "ctpgbench", skip[] = "-skip_petscrc", *list[] = {program, skip, NULL}, **words = list;
  int nwords = 2;
  PetscBool allow = PETSC_FALSE, help;
  PetscOptions ambient;
  char key[PETSC_MAX_OPTION_NAME];

  PetscFunctionBegin;
  PetscCall(ReadAllowUnused(&allow));
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  if (help) PetscFunctionReturn(CTPG_HELP_PRINTED);
  if (allow) PetscFunctionReturn(0);
  PetscCall(PetscOptionsCreate(&ambient));
  PetscCall(PetscOptionsInsert(ambient, &nwords, &words, NULL));
  PetscCall(FindUnused(ambient, key, sizeof key));
  PetscCall(PetscOptionsDestroy(&ambient));
  PetscCallMPI(MPI_Bcast(key, sizeof key, MPI_CHAR, 0, PETSC_COMM_WORLD));
  PetscCheck(
      !IsKnob(key), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "%s is read by none of the estimators chosen: those with adaptive steps take -rtol, those with fixed steps -dt "
      "(see ctpgbench list)",
      key);
  PetscCheck(!key[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "unknown option %s; did you mean %s? (-allow_unused goes on in spite of it)", key,
             CtpgNearest(key, known_keys.word));
  PetscFunctionReturn(0);
}
