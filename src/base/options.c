// options.c -- options of a label: looked up under three names, read by parse.c, recorded, listed by -help
//
// Every reader is the same three steps: Read finds the text and prints the entry of -help, a parser of parse.h checks
// it, Keep records the result as the option's role says (options_engine.h).

#define _GNU_SOURCE // asprintf
#include "base/options_engine.h"
#include "base/parse.h"
#include "base/system.h"
#include "base/wrap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct CtpgOptions_s {
  char *label, *type; // "" for none
  char *resolved;
  size_t length, capacity; // of resolved, closing zero not counted
  char *given;             // NULL: nothing
  int unhashed;            // files that were named and whose content was not recorded yet
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

// Said of the options of labels alone: only their runs have keys.
static const char *RoleNote(CtpgOptions options, OptionRole role) {
  return *options->label && role == OPTION_NOT_IN_KEY ? " (not part of the run key)" : "";
}

static PetscErrorCode PrintHelp(CtpgOptions options, OptionRole role, const char *name, const char *help,
                                const char *initial) {
  char entry[PETSC_MAX_OPTION_NAME], line[2048];
  PetscBool wanted, is_new;

  PetscFunctionBegin;
  PetscCall(PetscOptionsHasHelp(NULL, &wanted));
  if (!wanted) PetscFunctionReturn(0);
  snprintf(entry, sizeof entry, "%s %s", options->type, name);
  PetscCall(WordListAdd(&helped, entry, &is_new));
  if (!is_new) PetscFunctionReturn(0);
  PetscCall(PrintHeading(options->type));
  if (*options->label)
    snprintf(line, sizeof line, "  -[<label>_|%s_]%s <%s>: %s%s", options->type, name, initial, help,
             RoleNote(options, role));
  else
    snprintf(line, sizeof line, "  -%s <%s>: %s", name, initial, help);
  // Behind a pipe an option stays on its line, for who searches there.
  PetscCall(SystemColumns(STDOUT_FILENO) ? CtpgPrintWrapped(6, "%s", line)
                                         : PetscPrintf(PETSC_COMM_WORLD, "%s\n", line));
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
static PetscErrorCode Read(CtpgOptions options, OptionRole role, const char *name, const char *help,
                           const char *initial, char *key, const char **text) {
  PetscFunctionBegin;
  PetscCall(PrintHelp(options, role, name, help, initial));
  PetscCall(LookUp(options, name, key, text));
  if (*text) PetscCall(KeepGiven(options, name, *text));
  PetscFunctionReturn(0);
}

// Where the value begins in the last line "name = value" of the text; NULL where there is none.
static const char *FindValue(const char *text, const char *name) {
  const size_t n = strlen(name);
  const char *value = NULL;
  for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line ? 1 : 0)
    if (!strncmp(line, name, n) && !strncmp(line + n, " = ", 3)) value = line + n + 3;
  return value;
}

PetscErrorCode CtpgOptionsRecord(CtpgOptions options, const char *name, const char *value) {
  PetscFunctionBegin;
  if (FindValue(options->resolved, name)) PetscFunctionReturn(0);
  const size_t more = strlen(name) + strlen(value) + 4;
  while (options->length + more + 1 > options->capacity) options->capacity *= 2;
  PetscCall(PetscRealloc(options->capacity, &options->resolved));
  snprintf(options->resolved + options->length, more + 1, "%s = %s\n", name, value);
  options->length += more;
  PetscFunctionReturn(0);
}

// What every reader below ends with.
static PetscErrorCode Keep(CtpgOptions options, OptionRole role, const char *name, const char *initial,
                           const char *value) {
  PetscFunctionBegin;
  if (role == OPTION_NOT_IN_KEY || role == OPTION_ELSEWHERE_IN_KEY) PetscFunctionReturn(0);
  if (role == OPTION_IN_KEY_UNLESS_DEFAULT && !strcmp(initial, value)) PetscFunctionReturn(0);
  PetscCall(CtpgOptionsRecord(options, name, value));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadReal(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscReal low,
                               PetscReal high, PetscReal *value) {
  char key[PETSC_MAX_OPTION_NAME], shown[CTPG_NUMBER_SIZE], initial[CTPG_NUMBER_SIZE], number[CTPG_NUMBER_SIZE];
  const char *text;

  PetscFunctionBegin;
  ParseExactReal(*value, initial);
  PetscCall(Read(options, role, name, help, CtpgShortReal(*value, shown), key, &text));
  if (text) PetscCall(ParseReal(key, text, low, high, value));
  PetscCall(Keep(options, role, name, initial, ParseExactReal(*value, number)));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadInt(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscInt low,
                              PetscInt high, PetscInt *value) {
  char key[PETSC_MAX_OPTION_NAME], initial[CTPG_NUMBER_SIZE], number[CTPG_NUMBER_SIZE];
  const char *text;

  PetscFunctionBegin;
  snprintf(initial, sizeof initial, "%lld", (long long)*value);
  PetscCall(Read(options, role, name, help, initial, key, &text));
  if (text) PetscCall(ParseInt(key, text, low, high, value));
  snprintf(number, sizeof number, "%lld", (long long)*value);
  PetscCall(Keep(options, role, name, initial, number));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadBool(CtpgOptions options, OptionRole role, const char *name, const char *help,
                               PetscBool *value) {
  static const char *const words[] = {"false", "true"};
  const char *const initial = words[*value ? 1 : 0];
  char key[PETSC_MAX_OPTION_NAME];
  const char *text;

  PetscFunctionBegin;
  PetscCall(Read(options, role, name, help, initial, key, &text));
  if (text) PetscCall(ParseBool(key, text, value));
  PetscCall(Keep(options, role, name, initial, words[*value ? 1 : 0]));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadChoice(CtpgOptions options, OptionRole role, const char *name, const char *help,
                                 const char *const *choices, PetscInt *value) {
  const char *const initial = choices[*value];
  char key[PETSC_MAX_OPTION_NAME], list[1024] = "", long_help[2048];
  const char *text;

  PetscFunctionBegin;
  ParseJoinWords(choices, list, sizeof list);
  snprintf(long_help, sizeof long_help, "%s (one of %s)", help, list);
  PetscCall(Read(options, role, name, long_help, initial, key, &text));
  if (text) PetscCall(ParseChoice(key, text, choices, value));
  PetscCall(Keep(options, role, name, initial, choices[*value]));
  PetscFunctionReturn(0);
}

typedef enum { A_TEXT, A_TEXT_OR_NONE, A_LIST } TextKind;

static PetscErrorCode ReadText(CtpgOptions options, OptionRole role, const char *name, const char *help, TextKind kind,
                               char *text, size_t size) {
  char key[PETSC_MAX_OPTION_NAME], *initial;
  const char *given;

  PetscFunctionBegin;
  PetscCall(PetscStrallocpy(text, &initial));
  PetscCall(Read(options, role, name, help, text, key, &given));
  if (given && !*given && kind != A_TEXT_OR_NONE) PetscCall(ParseRefuse(key, given, "is empty", help));
  PetscCheck(!given || strlen(given) < size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s is a text of %zu characters; expected at most %zu", key, strlen(given), size - 1);
  if (given) PetscCall(PetscStrncpy(text, given, size));
  if (kind == A_LIST) ParseTrimList(text);
  PetscCall(Keep(options, role, name, initial, text));
  PetscCall(PetscFree(initial));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadText(CtpgOptions options, OptionRole role, const char *name, const char *help, char *text,
                               size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, role, name, help, A_TEXT, text, size));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadTextOrNone(CtpgOptions options, OptionRole role, const char *name, const char *help,
                                     char *text, size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, role, name, help, A_TEXT_OR_NONE, text, size));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadList(CtpgOptions options, OptionRole role, const char *name, const char *help, char *text,
                               size_t size) {
  PetscFunctionBegin;
  PetscCall(ReadText(options, role, name, help, A_LIST, text, size));
  PetscFunctionReturn(0);
}

static PetscErrorCode KeepReals(CtpgOptions options, OptionRole role, const char *name, PetscInt n,
                                const PetscReal *values) {
  char *list, number[CTPG_NUMBER_SIZE];

  PetscFunctionBegin;
  PetscCall(PetscCalloc1((size_t)n * CTPG_NUMBER_SIZE + 1, &list));
  char *end = list;
  for (PetscInt i = 0; i < n; i++) end += sprintf(end, "%s%s", i ? "," : "", ParseExactReal(values[i], number));
  PetscCall(Keep(options, role, name, "", list));
  PetscCall(PetscFree(list));
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsReadReals(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscInt *n,
                                PetscReal **values) {
  char key[PETSC_MAX_OPTION_NAME];
  const char *text;

  PetscFunctionBegin;
  *n = 0;
  *values = NULL;
  PetscCall(Read(options, role, name, help, "none", key, &text));
  if (text && strcmp(text, "none")) PetscCall(CtpgParseReals(key, text, n, values));
  PetscCall(KeepReals(options, role, name, *n, *values));
  PetscFunctionReturn(0);
}

// ---- the same for plug-ins: always part of the run key ----

PetscErrorCode CtpgOptionsReal(CtpgOptions options, const char *name, const char *help, PetscReal low, PetscReal high,
                               PetscReal *value) {
  return OptionsReadReal(options, OPTION_IN_KEY, name, help, low, high, value);
}

PetscErrorCode CtpgOptionsInt(CtpgOptions options, const char *name, const char *help, PetscInt low, PetscInt high,
                              PetscInt *value) {
  return OptionsReadInt(options, OPTION_IN_KEY, name, help, low, high, value);
}

PetscErrorCode CtpgOptionsBool(CtpgOptions options, const char *name, const char *help, PetscBool *value) {
  return OptionsReadBool(options, OPTION_IN_KEY, name, help, value);
}

PetscErrorCode CtpgOptionsChoice(CtpgOptions options, const char *name, const char *help, const char *const *choices,
                                 PetscInt *value) {
  return OptionsReadChoice(options, OPTION_IN_KEY, name, help, choices, value);
}

PetscErrorCode CtpgOptionsText(CtpgOptions options, const char *name, const char *help, char *text, size_t size) {
  return OptionsReadText(options, OPTION_IN_KEY, name, help, text, size);
}

PetscErrorCode CtpgOptionsList(CtpgOptions options, const char *name, const char *help, char *text, size_t size) {
  return OptionsReadList(options, OPTION_IN_KEY, name, help, text, size);
}

PetscErrorCode CtpgOptionsReals(CtpgOptions options, const char *name, const char *help, PetscInt *n,
                                PetscReal **values) {
  return OptionsReadReals(options, OPTION_IN_KEY, name, help, n, values);
}

// ---- files: the content counts, the path does not ----

PetscErrorCode CtpgOptionsPath(CtpgOptions options, const char *name, const char *help, char *path, size_t size) {
  PetscFunctionBegin;
  PetscCall(OptionsReadText(options, OPTION_ELSEWHERE_IN_KEY, name, help, path, size));
  if (path[0]) options->unhashed++;
  PetscFunctionReturn(0);
}

PetscErrorCode CtpgOptionsContent(CtpgOptions options, const char *name, uint64_t hash) {
  char text[24];
  PetscFunctionBegin;
  snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
  PetscCall(CtpgOptionsRecord(options, name, text));
  if (options->unhashed) options->unhashed--;
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsCheckContent(CtpgOptions options) {
  PetscFunctionBegin;
  PetscCheck(
      !options->unhashed, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
      "%s reads %d files (CtpgOptionsPath) whose content it does not record; expected CtpgOptionsContent for each, "
      "or runs with one file pass for runs with another",
      options->type, options->unhashed);
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

// Was -name or -<label>_name given, of whatever label? all: PETSc's text of all options.
static PetscBool IsGivenOfAny(const char *all, const char *name) {
  char end[PETSC_MAX_OPTION_NAME];
  snprintf(end, sizeof end, "%s ", name);
  for (const char *found = all; (found = strstr(found, end)); found++)
    if (found > all && (found[-1] == '-' || found[-1] == '_')) return PETSC_TRUE;
  return PETSC_FALSE;
}

static PetscErrorCode IsOnCommandLine(const char *key, PetscBool *found) {
  char **word;
  int n;
  PetscFunctionBegin;
  *found = PETSC_FALSE;
  PetscCall(PetscGetArgs(&n, &word));
  for (int i = 1; i < n; i++)
    if (!strcmp(word[i], key)) *found = PETSC_TRUE;
  PetscFunctionReturn(0);
}

PetscErrorCode OptionsRefuseAlone(CtpgOptions options, const char *name, const char *const *others) {
  char key[PETSC_MAX_OPTION_NAME], list[256] = "", *all;
  PetscBool given, any = PETSC_FALSE;
  PetscFunctionBegin;
  PetscCall(CtpgOptionsFind(options, name, key, sizeof key, &given));
  if (given) PetscCall(IsOnCommandLine(key, &given));
  if (!given) PetscFunctionReturn(0);
  PetscCall(PetscOptionsGetAll(NULL, &all));
  for (int k = 0; others[k]; k++) {
    if (IsGivenOfAny(all, others[k])) any = PETSC_TRUE;
    PetscCall(PetscStrlcat(list, k ? " or -" : "-", sizeof list));
    PetscCall(PetscStrlcat(list, others[k], sizeof list));
  }
  PetscCall(PetscFree(all));
  PetscCheck(any, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s does nothing without %s; expected both", key, list);
  PetscFunctionReturn(0);
}

const char *CtpgOptionsResolved(CtpgOptions options) {
  return options->resolved;
}

const char *CtpgOptionsGiven(CtpgOptions options) {
  return options->given ? options->given : "";
}

void CtpgResolvedFind(const char *text, const char *name, char *value, size_t size) {
  const char *found = FindValue(text, name);
  snprintf(value, size, "%.*s", found ? (int)strcspn(found, "\n") : 0, found ? found : "");
}

const char *CtpgOptionsLabel(CtpgOptions options) {
  return options->label;
}

const char *CtpgOptionsType(CtpgOptions options) {
  return options->type;
}

const char *const *OptionsKnownKeys(void) {
  return known_keys.word;
}
