// parse.h -- texts to numbers, words and lists, and back
//
// `key` or `option` is the option as the user gave it, "-ctpg_rtol": each error names it, what was found and what is
// accepted.
#ifndef CTPG_PARSE_H
#define CTPG_PARSE_H

#include <petscsys.h>
#include <stdint.h>

// One number in [low, high]; NaN never is.
PetscErrorCode ParseReal(const char *key, const char *text, PetscReal low, PetscReal high, PetscReal *value);
PetscErrorCode ParseInt(const char *key, const char *text, PetscInt low, PetscInt high, PetscInt *value);
// true, yes, 1, on or nothing; false, no, 0, off.
PetscErrorCode ParseBool(const char *key, const char *text, PetscBool *value);
// The place of `text` in the NULL-terminated list.
PetscErrorCode ParseChoice(const char *key, const char *text, const char *const *choices, PetscInt *value);
// "0.1", "1e-3,1e-6" or "1e-9:1:10"; values are allocated here (PetscFree).
PetscErrorCode CtpgParseReals(const char *option, const char *text, PetscInt *n, PetscReal **values);
// "first:last" (half open) or one number.
PetscErrorCode CtpgParseRange(const char *option, const char *text, int64_t *first, int64_t *last);
// "a, b" becomes "a,b": blanks around commas and at both ends are taken out.
void ParseTrimList(char *text);
// Is `word` an entry of this comma list?
PetscBool ParseIsListed(const char *list, const char *word);
// The error for a text with this problem ("is not a number"), or without a value.
PetscErrorCode ParseRefuse(const char *key, const char *text, const char *problem, const char *expected);

// The shortest text that reads back as the same number, and the one of 17 digits; both return text.
#define CTPG_NUMBER_SIZE 32
const char *CtpgShortReal(PetscReal value, char text[CTPG_NUMBER_SIZE]);
const char *ParseExactReal(PetscReal value, char text[CTPG_NUMBER_SIZE]);
// "a, b, c"
void ParseJoinWords(const char *const *words, char *text, size_t size);
// `text` as a message shows it: cut when it is very long, a question mark for each byte that is no character of UTF-8
// or steers a terminal. The result lives until the next call but one.
const char *CtpgShown(const char *text);
// The word of the NULL-terminated list that is nearest to `word` by edit distance; NULL for an empty list.
const char *CtpgNearest(const char *word, const char *const *known);

#endif
