// test_options.c -- look-up order, what is accepted and what is refused in which words, -help, unused options
//
// Options are set by PetscOptionsSetValue and cleared again; an error handler keeps the message of the last error.

#include "ctpgbench/options.h"
#include "base/unused.h"
#include "base/parse.h"
#include "base/options_engine.h"
#include "message.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

static PetscErrorCode Set(const char *key, const char *value) {
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsSetValue(NULL, key, value));
  PetscFunctionReturn(0);
}

static PetscErrorCode Clear(const char *key) {
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsClearValue(NULL, key));
  PetscFunctionReturn(0);
}

static const char *const splines[] = {"constant", "linear", "hermite3", NULL};

// One reader, called on `options` with a default; the result as text, "error" when it was refused.
static const char *ReadAs(char kind, CtpgOptions options) {
  static char text[256];
  PetscReal real = 1e-6, *reals;
  PetscInt integer = 5, choice = 1, n;
  PetscBool truth = PETSC_FALSE;
  PetscErrorCode error = 0;
  strcpy(text, "start");
  if (kind == 'r') error = CtpgOptionsReal(options, "opt", "a real", 1e-15, 1, &real);
  if (kind == 'i') error = CtpgOptionsInt(options, "opt", "an integer", 0, 100, &integer);
  if (kind == 'b') error = CtpgOptionsBool(options, "opt", "a truth", &truth);
  if (kind == 'c') error = CtpgOptionsChoice(options, "opt", "a word", splines, &choice);
  if (kind == 't') error = CtpgOptionsText(options, "opt", "a text", text, 10);
  if (kind == 'l') error = CtpgOptionsReals(options, "opt", "a list", &n, &reals);
  if (error) return "error";
  if (kind == 'r') snprintf(text, sizeof text, "%g", real);
  if (kind == 'i') snprintf(text, sizeof text, "%d", (int)integer);
  if (kind == 'b') snprintf(text, sizeof text, "%s", truth ? "true" : "false");
  if (kind == 'c') snprintf(text, sizeof text, "%s", splines[choice]);
  if (kind == 'l') {
    snprintf(text, sizeof text, "%d:%g", (int)n, n ? reals[n - 1] : 0);
    if (PetscFree(reals)) return "not freed";
  }
  return text;
}

typedef struct {
  char kind;
  const char *given; // NULL: option not set
  const char *result, *message;
} ValueCase;

static const ValueCase values[] = {
    {'r', NULL, "1e-06", NULL},
    {'r', "1e-3", "0.001", NULL},
    {'r', "1", "1", NULL},
    {'r', "1e-15", "1e-15", NULL},
    {'r', "0x1p-3", "0.125", NULL},
    {'r', "1e-6x", "error", "-own_opt 1e-6x is not a number; expected a number in [1e-15, 1]"},
    {'r', "", "error", "-own_opt has no value; expected a number in [1e-15, 1]"},
    {'r', "nan", "error", "-own_opt nan is out of range; expected a number in [1e-15, 1]"},
    {'r', "2", "error", "-own_opt 2 is out of range; expected a number in [1e-15, 1]"},
    {'r', "1e999", "error", "-own_opt 1e999 is not a number"},
    {'r', "1 2", "error", "is not a number"},
    {'r', "true", "error", "is not a number"},
    {'i', NULL, "5", NULL},
    {'i', "100", "100", NULL},
    {'i', "0", "0", NULL},
    {'i', "-1", "error", "-own_opt -1 is out of range; expected a whole number in [0, 100]"},
    {'i', "101", "error", "is out of range"},
    {'i', "1e2", "error", "-own_opt 1e2 is not a whole number"},
    {'i', "99999999999999999999", "error", "is not a whole number"},
    {'i', "4294967297", "error", "is out of range"},
    {'i', "", "error", "-own_opt has no value"},
    {'b', NULL, "false", NULL},
    {'b', "", "true", NULL},
    {'b', "yes", "true", NULL},
    {'b', "1", "true", NULL},
    {'b', "ON", "true", NULL},
    {'b', "true", "true", NULL},
    {'b', "off", "false", NULL},
    {'b', "no", "false", NULL},
    {'b', "0", "false", NULL},
    {'b', "false", "false", NULL},
    {'b', "2", "error", "-own_opt 2 is neither true nor false; expected true, yes, 1, on or false, no, 0, off"},
    {'c', NULL, "linear", NULL},
    {'c', "hermite3", "hermite3", NULL},
    {'c', "hermit", "error",
     "-own_opt hermit is unknown; expected one of constant, linear, hermite3 (nearest: hermite3)"},
    {'c', "", "error", "-own_opt has no value; expected one of constant"},
    {'t', NULL, "start", NULL},
    {'t', "file.h5", "file.h5", NULL},
    {'t', "", "error", "-own_opt has no value; expected a text"},
    {'t', "123456789", "123456789", NULL},
    {'t', "1234567890", "error", "-own_opt is a text of 10 characters; expected at most 9"},
    {'l', NULL, "0:0", NULL},
    {'l', "1e-3,1e-6", "2:1e-06", NULL},
    {'l', "1e-3,", "error", "-own_opt 1e-3, is not a list of numbers"},
};

static PetscErrorCode TestValues(void) {
  PROPERTY("values are read, or refused with a sentence");
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    const ValueCase *v = &values[i];
    CtpgOptions options;
    PetscCall(CtpgOptionsCreate("own", "kind", &options));
    if (v->given) PetscCall(Set("-own_opt", v->given));
    last_error[0] = 0;
    const char *result = ReadAs(v->kind, options);
    CHECK(!strcmp(result, v->result), "%c \"%s\" gives %s", v->kind, v->given, result);
    CHECK(!v->message || strstr(last_error, v->message), "%c \"%s\" says: %s", v->kind, v->given, last_error);
    if (v->given) PetscCall(Clear("-own_opt"));
    PetscCall(CtpgOptionsDestroy(&options));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestLookUpOrder(void) {
  PROPERTY("-label_option goes before -type_option, that before -option");
  static const char *const keys[] = {"-opt", "-kind_opt", "-own_opt"};
  CtpgOptions options;
  char key[64], value[8];
  PetscBool found;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  PetscCall(CtpgOptionsFind(options, "opt", key, sizeof key, &found));
  CHECK(!found && !strcmp(key, "-opt"), "%s", key);
  for (int i = 0; i < 3; i++) {
    snprintf(value, sizeof value, "%d", 10 + i);
    PetscCall(Set(keys[i], value));
    const char *read = ReadAs('i', options);
    CHECK(!strcmp(read, value), "%s instead of %s", read, value);
    PetscCall(CtpgOptionsFind(options, "opt", key, sizeof key, &found));
    CHECK(found && !strcmp(key, keys[i]), "%s instead of %s", key, keys[i]);
  }
  for (int i = 0; i < 3; i++) PetscCall(Clear(keys[i]));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// A key in the shadow of a more special one still counts as used.
static PetscErrorCode TestShadow(void) {
  PROPERTY("a key in the shadow of a more special one counts as used");
  static const char *const keys[] = {"-opt", "-kind_opt", "-own_opt"};
  CtpgOptions options;
  PetscBool used;

  PetscFunctionBeginUser;
  for (int i = 0; i < 3; i++) PetscCall(Set(keys[i], "9"));
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  CHECK(!strcmp(ReadAs('i', options), "9"), "-own_opt was not read");
  PetscCall(CtpgOptionsDestroy(&options));
  for (int i = 0; i < 3; i++) {
    PetscCall(PetscOptionsUsed(NULL, keys[i] + 1, &used));
    CHECK(used, "%s counts as unused", keys[i]);
    PetscCall(Clear(keys[i]));
  }
  PetscFunctionReturn(0);
}

// The message names the key that was really found.
static PetscErrorCode TestCulprit(void) {
  PROPERTY("messages name the key that was found");
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  PetscCall(Set("-kind_opt", "7x"));
  CHECK(!strcmp(ReadAs('r', options), "error") && strstr(last_error, "-kind_opt 7x"), "%s", last_error);
  PetscCall(Clear("-kind_opt"));
  PetscCall(Set("-opt", "7x"));
  CHECK(!strcmp(ReadAs('l', options), "error") && strstr(last_error, "-opt 7x"), "%s", last_error);
  PetscCall(Clear("-opt"));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// Without a label only -name counts.
static PetscErrorCode TestCommandOptions(void) {
  PROPERTY("options of a command have no prefix");
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate(NULL, "sweep", &options));
  CHECK(!strcmp(CtpgOptionsLabel(options), "") && !strcmp(CtpgOptionsType(options), "sweep"), "%s",
        CtpgOptionsType(options));
  PetscCall(Set("-sweep_opt", "7"));
  CHECK(!strcmp(ReadAs('i', options), "5"), "-sweep_opt was read");
  PetscCall(Set("-opt", "8"));
  CHECK(!strcmp(ReadAs('i', options), "8"), "-opt was not read");
  PetscCall(Clear("-sweep_opt"));
  PetscCall(Clear("-opt"));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestResolved(void) {
  PROPERTY("the resolved text holds what was read, in order");
  CtpgOptions options;
  PetscReal tenth = 0.1, *list;
  PetscInt n, integer = 3, choice = 2;
  PetscBool truth = PETSC_TRUE;
  char text[400];

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  CHECK(!strcmp(CtpgOptionsResolved(options), ""), "%s", CtpgOptionsResolved(options));
  PetscCall(Set("-own_list", "1,0.1"));
  PetscCall(CtpgOptionsReal(options, "tenth", "", 0, 1, &tenth));
  PetscCall(CtpgOptionsInt(options, "integer", "", 0, 9, &integer));
  PetscCall(CtpgOptionsBool(options, "truth", "", &truth));
  PetscCall(CtpgOptionsChoice(options, "spline", "", splines, &choice));
  PetscCall(CtpgOptionsReals(options, "list", "", &n, &list));
  PetscCall(PetscFree(list));
  PetscCall(CtpgOptionsReals(options, "none", "", &n, &list));
  CHECK(n == 0 && !list, "%d", (int)n);
  CHECK(!strcmp(CtpgOptionsResolved(options), "tenth = 0.10000000000000001\ninteger = 3\ntruth = true\n"
                                              "spline = hermite3\nlist = 1,0.10000000000000001\nnone = \n"),
        "%s", CtpgOptionsResolved(options));
  memset(text, 'a', sizeof text);
  text[sizeof text - 1] = 0;
  PetscCall(CtpgOptionsText(options, "text", "", text, sizeof text));
  CHECK(strstr(CtpgOptionsResolved(options), text), "a long text is not recorded");
  PetscCall(Clear("-own_list"));
  PetscCall(CtpgOptionsDestroy(&options));
  CHECK(!options, "handle is not nulled");
  PetscFunctionReturn(0);
}

// Every kind of option is read with `role` under the name of its kind.
static PetscErrorCode ReadAll(CtpgOptions options, OptionRole role) {
  PetscReal real = 1, *reals;
  PetscInt integer = 1, choice = 1, n;
  PetscBool truth = PETSC_FALSE;
  char text[16] = "start", none[16] = "start";

  PetscFunctionBeginUser;
  PetscCall(OptionsReadReal(options, role, "real", "", 0, 9, &real));
  PetscCall(OptionsReadInt(options, role, "int", "", 0, 9, &integer));
  PetscCall(OptionsReadBool(options, role, "bool", "", &truth));
  PetscCall(OptionsReadChoice(options, role, "choice", "", splines, &choice));
  PetscCall(OptionsReadText(options, role, "text", "", text, sizeof text));
  PetscCall(OptionsReadTextOrNone(options, role, "none", "", none, sizeof none));
  PetscCall(OptionsReadReals(options, role, "reals", "", &n, &reals));
  PetscCall(PetscFree(reals));
  PetscFunctionReturn(0);
}

static PetscErrorCode CheckRole(OptionRole role, const char *expected) {
  CtpgOptions options;
  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  PetscCall(ReadAll(options, role));
  CHECK(!strcmp(CtpgOptionsResolved(options), expected), "role %d: '%s'", role, CtpgOptionsResolved(options));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRoles(void) {
  PROPERTY("the role of a call says whether its option is recorded");
  static const char *const given[][2] = {{"-own_real", "2"},          {"-own_int", "2"},    {"-own_bool", "1"},
                                         {"-own_choice", "hermite3"}, {"-own_text", "end"}, {"-own_none", ""},
                                         {"-own_reals", "2"}};
  static const char *const all = "real = 2\nint = 2\nbool = true\nchoice = hermite3\ntext = end\nnone = \nreals = 2\n";

  PetscFunctionBeginUser;
  PetscCall(CheckRole(OPTION_IN_KEY,
                      "real = 1\nint = 1\nbool = false\nchoice = linear\ntext = start\nnone = start\nreals = \n"));
  PetscCall(CheckRole(OPTION_IN_KEY_UNLESS_DEFAULT, ""));
  PetscCall(CheckRole(OPTION_ELSEWHERE_IN_KEY, ""));
  PetscCall(CheckRole(OPTION_NOT_IN_KEY, ""));
  for (size_t i = 0; i < sizeof given / sizeof *given; i++) PetscCall(Set(given[i][0], given[i][1]));
  PetscCall(CheckRole(OPTION_IN_KEY, all));
  PetscCall(CheckRole(OPTION_IN_KEY_UNLESS_DEFAULT, all));
  PetscCall(CheckRole(OPTION_ELSEWHERE_IN_KEY, ""));
  PetscCall(CheckRole(OPTION_NOT_IN_KEY, ""));
  PetscCall(Set("-own_real", "1")); // given, and the default: an older file was made with it
  PetscCall(CheckRole(OPTION_IN_KEY_UNLESS_DEFAULT, strchr(all, '\n') + 1));
  for (size_t i = 0; i < sizeof given / sizeof *given; i++) PetscCall(Clear(given[i][0]));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestReadTwice(void) {
  PROPERTY("an option that is read twice is recorded as it was read first");
  PetscBool first = PETSC_TRUE, second = PETSC_FALSE;
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  PetscCall(CtpgOptionsBool(options, "wrap", "", &first));
  PetscCall(CtpgOptionsBool(options, "wrap", "", &second));
  CHECK(!strcmp(CtpgOptionsResolved(options), "wrap = true\n"), "%s", CtpgOptionsResolved(options));
  CHECK(first && !second, "each call has its own default");
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// Reads two files and records the content of `contents` of them.
static PetscErrorCode CheckPaths(int contents, PetscBool accepted) {
  char one[64] = "", other[64] = "b.xml";
  CtpgOptions options;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("own", "kind", &options));
  PetscCall(CtpgOptionsPath(options, "one", "", one, sizeof one));
  PetscCall(CtpgOptionsPath(options, "other", "", other, sizeof other));
  for (int i = 0; i < contents; i++) {
    char name[16];
    snprintf(name, sizeof name, "hash_%d", i);
    PetscCall(CtpgOptionsContent(options, name, 0xabcu + (unsigned)i));
  }
  CHECK(!strstr(CtpgOptionsResolved(options), "xml"), "%s", CtpgOptionsResolved(options));
  CHECK(!contents || strstr(CtpgOptionsResolved(options), "hash_0 = 0000000000000abc\n"), "%s",
        CtpgOptionsResolved(options));
  last_error[0] = 0;
  CHECK((OptionsCheckContent(options) == 0) == accepted, "%d contents: %s", contents, last_error);
  CHECK(accepted || strstr(last_error, "whose content it does not record"), "%s", last_error);
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestPaths(void) {
  PROPERTY("a file's path is left out of the key only for the hash of its content");
  PetscFunctionBeginUser;
  PetscCall(CheckPaths(0, PETSC_FALSE));
  PetscCall(CheckPaths(1, PETSC_TRUE)); // -own_one is empty: no file
  PetscCall(Set("-own_one", "a.xml"));
  PetscCall(CheckPaths(1, PETSC_FALSE));
  PetscCall(CheckPaths(2, PETSC_TRUE));
  PetscCall(Clear("-own_one"));
  PetscFunctionReturn(0);
}

// ---- parsers ----

static PetscErrorCode TestLadder(void) {
  PROPERTY("lo:hi:n is a ladder");
  PetscInt n;
  PetscReal *up, *down;

  PetscFunctionBeginUser;
  PetscCall(CtpgParseReals("-rtol", "1e-9:1:10", &n, &up));
  PetscCall(CtpgParseReals("-rtol", "1:1e-9:10", &n, &down));
  CHECK(n == 10, "%d", (int)n);
  for (PetscInt i = 0; i < n; i++) {
    char decade[16];
    snprintf(decade, sizeof decade, "1e%d", (int)i - 9);
    CHECK(up[i] == atof(decade), "%.17g is not %s", up[i], decade);
    CHECK(down[n - 1 - i] == up[i], "%.17g against %.17g", down[n - 1 - i], up[i]);
  }
  PetscCall(PetscFree(up));
  PetscCall(PetscFree(down));
  PetscCall(CtpgParseReals("-dt", "0.3:0.7:4", &n, &up));
  CHECK(up[0] == 0.3 && up[3] == 0.7, "%.17g %.17g", up[0], up[3]);
  CHECK_CLOSE(up[2] / up[1], cbrt(0.7 / 0.3), 1e-14, 0);
  PetscCall(PetscFree(up));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestReals(void) {
  PROPERTY("lists of numbers are read, or refused with a sentence");
  static const char *const refused[] = {"",        ",",       "1,",      "1,,2",        "nan",
                                        "1,inf",   "1e-3 2",  "1:2",     "1:2:1",       "1:2:0",
                                        "-1:2:3",  "0:1:3",   "1:0:3",   "1:2:3:4",     "1:2:x",
                                        "1:inf:3", "nan:1:3", "1:2:3,4", "1:2:3.5",     "1::3",
                                        ":1:2",    "1:2:",    "1e999",   "1:2:2000000", "1:2:99999999999999999999",
                                        "x"};
  PetscInt n;
  PetscReal *list;

  PetscFunctionBeginUser;
  PetscCall(CtpgParseReals("-rtol", "0.1", &n, &list));
  CHECK(n == 1 && list[0] == 0.1, "%d", (int)n);
  PetscCall(PetscFree(list));
  PetscCall(CtpgParseReals("-rtol", "1e-3,-2,7", &n, &list));
  CHECK(n == 3 && list[0] == 1e-3 && list[1] == -2 && list[2] == 7, "%d", (int)n);
  PetscCall(PetscFree(list));
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    last_error[0] = 0;
    CHECK(CtpgParseReals("-rtol", refused[i], &n, &list), "\"%s\" is accepted", refused[i]);
    CHECK(strstr(last_error, "-rtol ") && strstr(last_error, refused[i]) && strstr(last_error, "lo:hi:n"), "%s",
          last_error);
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode TestRange(void) {
  PROPERTY("first:last is a range, or refused with a sentence");
  static const struct {
    const char *text;
    int64_t first, last; // last 0: refused
    const char *message;
  } ranges[] = {
      {"0:10", 0, 10, NULL},
      {"7", 7, 8, NULL},
      {"0", 0, 1, NULL},
      {"9223372036854775806", INT64_MAX - 1, INT64_MAX, NULL},
      {"5:9223372036854775807", 5, INT64_MAX, NULL},
      {"10:0", 0, 0, "-seeds 10:0 is empty; expected first:last with first < last"},
      {"3:3", 0, 0, "-seeds 3:3 is empty"},
      {"9223372036854775807", 0, 0, "is empty"},
      {"-1:4", 0, 0, "-seeds -1:4 begins below 0; expected first:last with 0 <= first < last, or one number"},
      {"1:9223372036854775808", 0, 0, "is not a range"},
      {"1:2:3", 0, 0, "-seeds 1:2:3 is not a range"},
      {"1:", 0, 0, "is not a range"},
      {":2", 0, 0, "is not a range"},
      {"1x", 0, 0, "is not a range"},
      {"1e3", 0, 0, "is not a range"},
      {"", 0, 0, "-seeds has no value; expected first:last"},
  };
  PetscFunctionBeginUser;
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    int64_t first = -5, last = -5;
    last_error[0] = 0;
    const PetscErrorCode error = CtpgParseRange("-seeds", ranges[i].text, &first, &last);
    CHECK(!error == !ranges[i].message, "%s", ranges[i].text);
    if (ranges[i].message)
      CHECK(strstr(last_error, ranges[i].message), "%s says: %s", ranges[i].text, last_error);
    else
      CHECK(first == ranges[i].first && last == ranges[i].last, "%s", ranges[i].text);
  }
  PetscFunctionReturn(0);
}

static void TestNearest(void) {
  PROPERTY("the nearest known word is suggested");
  static const char *const known[] = {"-rtol", "-atol", "-dt", "-seeds", NULL};
  CHECK(!strcmp(CtpgNearest("-rtoll", known), "-rtol"), "%s", CtpgNearest("-rtoll", known));
  CHECK(!strcmp(CtpgNearest("-atoll", known), "-atol"), "%s", CtpgNearest("-atoll", known));
  CHECK(!strcmp(CtpgNearest("-tol", known), "-rtol"), "of two equally near words not the first");
  CHECK(!strcmp(CtpgNearest("-eeds", known), "-seeds"), "%s", CtpgNearest("-eeds", known));
  CHECK(!strcmp(CtpgNearest("", known), "-dt"), "%s", CtpgNearest("", known));
  CHECK(!CtpgNearest("x", known + 4), "an empty list has no nearest word");
}

// ---- -help ----

// What -help prints on rank 0 for two labels of one type and for the command.
static PetscErrorCode TestHelp(void) {
  PROPERTY("-help prints each option once");
  char text[2048] = "";
  FILE *const terminal = PETSC_STDOUT;
  PetscMPIInt rank;

  PetscFunctionBeginUser;
  PetscCallMPI(MPI_Comm_rank(PETSC_COMM_WORLD, &rank));
  PETSC_STDOUT = tmpfile();
  PetscCall(Set("-help", NULL));
  for (int i = 0; i < 3; i++) {
    CtpgOptions options;
    PetscReal real = 1e-6;
    PetscInt choice = 0;
    PetscCall(CtpgOptionsCreate(i == 0 ? "own" : i == 1 ? "other" : NULL, i < 2 ? "kind" : NULL, &options));
    PetscCall(CtpgOptionsReal(options, "helpful", "a real", 0, 1, &real));
    PetscCall(CtpgOptionsChoice(options, "spline", "a word", splines, &choice));
    PetscCall(CtpgOptionsDestroy(&options));
  }
  PetscCall(Clear("-help"));
  rewind(PETSC_STDOUT);
  const size_t length = fread(text, 1, sizeof text - 1, PETSC_STDOUT);
  fclose(PETSC_STDOUT);
  PETSC_STDOUT = terminal;
  CHECK(rank ? length == 0
             : !strcmp(text, "Options of kind:\n"
                             "  -[<label>_|kind_]helpful <1e-06>: a real\n"
                             "  -[<label>_|kind_]spline <constant>: a word (one of constant, linear, hermite3)\n"
                             "Options of ctpgbench:\n"
                             "  -helpful <1e-06>: a real\n"
                             "  -spline <constant>: a word (one of constant, linear, hermite3)\n"),
        "%s", text);
  PetscFunctionReturn(0);
}

// ---- unused options ----

static PetscErrorCode ReadTolerance(void) {
  CtpgOptions options;
  PetscReal rtol = 1e-6;

  PetscFunctionBeginUser;
  PetscCall(CtpgOptionsCreate("hermite", "ctpg", &options));
  PetscCall(CtpgOptionsReal(options, "rtol", "", 0, 1, &rtol));
  PetscCall(CtpgOptionsDestroy(&options));
  PetscFunctionReturn(0);
}

// Sets `key`, and expects `message` (NULL: acceptance) from the search for unused options.
static PetscErrorCode CheckUnused(const char *key, const char *value, const char *message) {
  PetscFunctionBeginUser;
  last_error[0] = 0;
  PetscCall(Set(key, value));
  const PetscErrorCode error = UnusedRefuse(NULL);
  CHECK(!error == !message, "%s: %s", key, last_error);
  CHECK(!message || strstr(last_error, message), "%s: %s", key, last_error);
  PetscCall(Clear(key));
  PetscFunctionReturn(0);
}

static PetscErrorCode TestUnused(void) {
  PROPERTY("an option that nobody reads is named, with the nearest one");
  PetscFunctionBeginUser;
  PetscCall(ReadTolerance());
  PetscCall(CheckUnused("-rtoll", "1e-3", "unknown option -rtoll; did you mean -rtol?"));
  PetscCall(CheckUnused("-hermit_rtol", "1", "unknown option -hermit_rtol; did you mean -hermite_rtol?"));
  PetscCall(CheckUnused("-ctgp_rtol", "1", "unknown option -ctgp_rtol; did you mean -ctpg_rtol?"));
  PetscCall(CheckUnused("-alow_unused", "1", "unknown option -alow_unused; did you mean -allow_unused?"));
  PetscCall(CheckUnused("-logview", "", "unknown option -logview"));
  PetscCall(CheckUnused("-versions", "", "unknown option -versions"));
  PetscCall(CheckUnused("-log_view", ":x.txt", NULL));
  PetscCall(CheckUnused("-malloc_dump", "0", NULL));
  PetscCall(CheckUnused("-options_left", "0", NULL));
  PetscCall(CheckUnused("-objects_dump", "0", NULL));
  PetscCall(Set("-allow_unused", "yes"));
  PetscCall(CheckUnused("-rtoll", "1e-3", NULL));
  PetscCall(Set("-allow_unused", "no"));
  PetscCall(CheckUnused("-rtoll", "1e-3", "unknown option -rtoll"));
  PetscCall(Clear("-allow_unused"));
  PetscFunctionReturn(0);
}

// Options from PETSC_OPTIONS and .petscrc do not count as mistakes (main wrote both before PetscInitialize).
static PetscErrorCode TestAmbient(void) {
  PROPERTY("what PETSC_OPTIONS holds is no mistake of the user's");
  PetscBool set;

  PetscFunctionBeginUser;
  PetscCall(PetscOptionsUsed(NULL, "from_environment", &set));
  CHECK(!set, "-from_environment was used");
  last_error[0] = 0;
  CHECK(UnusedRefuse(NULL) && strstr(last_error, "unknown option -from_petscrc"), "%s", last_error);
  PetscCall(Clear("-from_petscrc"));
  CHECK(!UnusedRefuse(NULL), "%s", last_error);
  PetscCall(CheckUnused("-from_nowhere", "1", "unknown option -from_nowhere"));
  PetscCall(Clear("-from_environment"));
  PetscFunctionReturn(0);
}

// A home directory of our own with a .petscrc in it.
static int PrepareAmbient(char *home, char *petscrc, size_t size) {
  if (!mkdtemp(home)) return 1;
  snprintf(petscrc, size, "%s/.petscrc", home);
  FILE *file = fopen(petscrc, "w");
  if (!file) return 1;
  fprintf(file, "-from_petscrc 3\n");
  fclose(file);
  return setenv("HOME", home, 1) || setenv("PETSC_OPTIONS", "-from_environment 2", 1);
}

int main(int argc, char **argv) {
  char home[] = "/tmp/ctpgbench-test-XXXXXX", petscrc[64];
  if (PrepareAmbient(home, petscrc, sizeof petscrc)) return 1;
  PetscCall(PetscInitialize(&argc, &argv, NULL, NULL));
  PetscCall(PetscPushErrorHandler(KeepMessage, NULL));
  PetscCall(TestAmbient());
  PetscCall(TestValues());
  PetscCall(TestLookUpOrder());
  PetscCall(TestShadow());
  PetscCall(TestCulprit());
  PetscCall(TestCommandOptions());
  PetscCall(TestResolved());
  PetscCall(TestRoles());
  PetscCall(TestReadTwice());
  PetscCall(TestPaths());
  PetscCall(TestLadder());
  PetscCall(TestReals());
  PetscCall(TestRange());
  TestNearest();
  PetscCall(TestHelp());
  PetscCall(TestUnused());
  PetscCall(PetscPopErrorHandler());
  PetscCall(PetscFinalize());
  remove(petscrc);
  remove(home);
  return TestsEnd();
}
