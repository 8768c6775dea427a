// parse.c -- texts to numbers, words and lists, and back; see parse.h
//
// PETSc's own readers of numbers are not used: they accept "1e-6x" and do not say which range was wanted. Edit distance
// after V. I. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", Soviet Physics
// Doklady 10 (1966).

#include "base/parse.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LADDER_LENGTH 1000000 // largest n of lo:hi:n

// ---- words ----

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

// Bytes of the character of UTF-8 at `text`; 0 where there is none, or one that steers a terminal.
static size_t LengthOfCharacter(const char *text) {
  const unsigned char first = (unsigned char)*text;
  const size_t length = first < 0x80 ? 1 : (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : 4;
  if (first < 0x20 || first == 0x7f || (first >= 0x80 && first < 0xc2) || first > 0xf4) return 0;
  for (size_t i = 1; i < length; i++)
    if ((text[i] & 0xc0) != 0x80) return 0;
  return length;
}

const char *CtpgShown(const char *text) {
  enum { WHOLE = 128, KEPT = 64 };
  static char both[2][WHOLE + 8];
  static int turn;
  char *shown = both[turn = !turn];
  const size_t room = strlen(text) <= WHOLE ? WHOLE : KEPT;
  size_t used = 0;
  while (*text) {
    const size_t length = LengthOfCharacter(text), taken = length ? length : 1;
    if (used + taken > room) break;
    memcpy(shown + used, length ? text : "?", taken);
    text += taken, used += taken;
  }
  strcpy(shown + used, *text ? "..." : "");
  return shown;
}

PetscErrorCode ParseRefuse(const char *key, const char *text, const char *problem, const char *expected) {
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

const char *ParseExactReal(PetscReal value, char text[CTPG_NUMBER_SIZE]) {
  snprintf(text, CTPG_NUMBER_SIZE, "%.17g", value);
  return text;
}

void ParseTrimList(char *text) {
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

PetscBool ParseIsListed(const char *list, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
    if (strcspn(at, ",") == length && !strncmp(at, word, length)) return PETSC_TRUE;
  return PETSC_FALSE;
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

PetscErrorCode ParseReal(const char *key, const char *text, PetscReal low, PetscReal high, PetscReal *value) {
  PetscReal number;
  char expected[2 * CTPG_NUMBER_SIZE + 32], low_text[CTPG_NUMBER_SIZE], high_text[CTPG_NUMBER_SIZE];

  PetscFunctionBegin;
  const char *end = ScanReal(text, &number);
  snprintf(expected, sizeof expected, "a number in [%s, %s]", CtpgShortReal(low, low_text),
           CtpgShortReal(high, high_text));
  if (!end || *end) PetscCall(ParseRefuse(key, text, "is not a number", expected));
  if (!(number >= low && number <= high)) PetscCall(ParseRefuse(key, text, "is out of range", expected));
  *value = number;
  PetscFunctionReturn(0);
}

PetscErrorCode ParseInt(const char *key, const char *text, PetscInt low, PetscInt high, PetscInt *value) {
  int64_t number;
  char expected[96];

  PetscFunctionBegin;
  const char *end = ScanInt(text, &number);
  snprintf(expected, sizeof expected, "a whole number in [%lld, %lld]", (long long)low, (long long)high);
  if (!end || *end) PetscCall(ParseRefuse(key, text, "is not a whole number", expected));
  if (number < low || number > high) PetscCall(ParseRefuse(key, text, "is out of range", expected));
  *value = (PetscInt)number;
  PetscFunctionReturn(0);
}

PetscErrorCode ParseBool(const char *key, const char *text, PetscBool *value) {
  static const char *const words[2][4] = {{"false", "no", "0", "off"}, {"true", "yes", "1", "on"}};
  PetscFunctionBegin;
  for (int truth = 0; truth < 2; truth++)
    for (int i = 0; i < 4; i++)
      if (!strcasecmp(text, words[truth][i]) || (truth && !*text)) {
        *value = truth ? PETSC_TRUE : PETSC_FALSE;
        PetscFunctionReturn(0);
      }
  PetscCall(ParseRefuse(key, text, "is neither true nor false", "true, yes, 1, on or false, no, 0, off"));
  PetscFunctionReturn(0);
}

void ParseJoinWords(const char *const *words, char *text, size_t size) {
  size_t length = 0;
  for (size_t i = 0; words[i] && length < size; i++)
    length += (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", words[i]);
}

PetscErrorCode ParseChoice(const char *key, const char *text, const char *const *choices, PetscInt *value) {
  char list[1024] = "", expected[1280];

  PetscFunctionBegin;
  for (PetscInt i = 0; choices[i]; i++)
    if (!strcmp(text, choices[i])) {
      *value = i;
      PetscFunctionReturn(0);
    }
  ParseJoinWords(choices, list, sizeof list);
  snprintf(expected, sizeof expected, "one of %s (nearest: %s)", list, CtpgNearest(text, choices));
  PetscCall(ParseRefuse(key, text, "is unknown", expected));
  PetscFunctionReturn(0);
}

// ---- the parsers of the plan ----

#define REALS_EXPECTED "a number, a comma list of numbers, or lo:hi:n with lo, hi > 0 and 2 <= n <= 1000000"

// values[i] = 10^((n - 1 - i) / (n - 1) log10 lo + i / (n - 1) log10 hi): whole decades come out exactly, and hi:lo:n
// is the same ladder backwards. In long double: pow of a double has other last bits on CPUs without FMA.
static void FillLadder(PetscReal lo, PetscReal hi, PetscInt n, PetscReal *values) {
  const PetscReal log_lo = log10(lo), log_hi = log10(hi);
  for (PetscInt i = 0; i < n; i++)
    values[i] = (PetscReal)powl(10, ((PetscReal)(n - 1 - i) * log_lo + (PetscReal)i * log_hi) / (PetscReal)(n - 1));
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
  if (!end || *end || !fits) PetscCall(ParseRefuse(option, text, "is not a list of numbers", REALS_EXPECTED));
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
  ParseTrimList(list);
  const PetscInt count = ScanList(list, NULL);
  if (count < 0) PetscCall(ParseRefuse(option, text, "is not a list of numbers", REALS_EXPECTED));
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
  if (!end || *end) PetscCall(ParseRefuse(option, text, "is not a range", expected));
  if (from < 0) PetscCall(ParseRefuse(option, text, "begins below 0", expected));
  if (from >= to) PetscCall(ParseRefuse(option, text, "is empty", "first:last with first < last"));
  *first = from;
  *last = to;
  PetscFunctionReturn(0);
}
