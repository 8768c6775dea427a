// options.h -- options of one label: looked up as -<label>_name, then -<type>_name, then -name
//
// A label is an instance of a problem or of an estimator; its options live in PETSc's database. Whoever reads an option
// through a CtpgOptions also records it: the resolved text goes into the results file and into the run key, and -help
// prints the entry. All options are read in `create`, before the first run, so that an unused one can be found then.
#ifndef CTPG_OPTIONS_H
#define CTPG_OPTIONS_H

#include "ctpgbench/base.h"

#pragma GCC visibility push(default)

typedef struct CtpgOptions_s *CtpgOptions;

// Called by the plan. label and type are copied. label NULL stands for options that belong to the whole command.
PetscErrorCode CtpgOptionsCreate(const char *label, const char *type, CtpgOptions *options);
PetscErrorCode CtpgOptionsDestroy(CtpgOptions *options);

// Each of these: `value` holds the default on entry and the result on return; the number must lie in [low, high]
// (NaN never does), else the error names the option, the value found and the range. help: one line for -help.
PetscErrorCode CtpgOptionsReal(CtpgOptions options, const char *name, const char *help, PetscReal low, PetscReal high,
                               PetscReal *value);
PetscErrorCode CtpgOptionsInt(CtpgOptions options, const char *name, const char *help, PetscInt low, PetscInt high,
                              PetscInt *value);
PetscErrorCode CtpgOptionsBool(CtpgOptions options, const char *name, const char *help, PetscBool *value);
// choices: NULL-terminated list; an unknown word is answered with the list and the nearest known word.
PetscErrorCode CtpgOptionsChoice(CtpgOptions options, const char *name, const char *help, const char *const *choices,
                                 PetscInt *value);
// text [size] holds the default on entry. An option without a value is refused; OrNone takes it for the empty text.
PetscErrorCode CtpgOptionsText(CtpgOptions options, const char *name, const char *help, char *text, size_t size);
PetscErrorCode CtpgOptionsTextOrNone(CtpgOptions options, const char *name, const char *help, char *text, size_t size);
// Comma list of reals, lo:hi:n (log-spaced) allowed; *values is allocated here, free with PetscFree; *n = 0 when unset.
PetscErrorCode CtpgOptionsReals(CtpgOptions options, const char *name, const char *help, PetscInt *n,
                                PetscReal **values);
// Was -<label>_name, -<type>_name or -name given? The key found, -name if none, goes to key [size] unless key is NULL.
PetscErrorCode CtpgOptionsFind(CtpgOptions options, const char *name, char *key, size_t size, PetscBool *found);

// "name = value" lines of everything read so far, in reading order; owned by options. Text marked with
// CtpgOptionsForget (paths, output only) is not part of it.
const char *CtpgOptionsResolved(CtpgOptions options);
// "name = text" lines of what the user gave, as it was given, that which was forgotten included: enough to give it
// again.
const char *CtpgOptionsGiven(CtpgOptions options);
// The value of `name` in such a text, "" where it is not there.
void CtpgResolvedFind(const char *text, const char *name, char *value, size_t size);
const char *CtpgOptionsLabel(CtpgOptions options); // "" where created without
const char *CtpgOptionsType(CtpgOptions options);
// Takes the last read option out of the resolved text: for values that cannot change a result, such as a path whose
// content is hashed instead.
void CtpgOptionsForget(CtpgOptions options);
// "name = value" joins the resolved text without being an option: that hash, for one.
PetscErrorCode CtpgOptionsRecord(CtpgOptions options, const char *name, const char *value);

// Parsers, also for the plan: "0.1", "1e-3,1e-6" or "1e-9:1:10"; "first:last" (half open) or one number.
// `option` only names the culprit in the message.
PetscErrorCode CtpgParseReals(const char *option, const char *text, PetscInt *n, PetscReal **values);
PetscErrorCode CtpgParseRange(const char *option, const char *text, int64_t *first, int64_t *last);

// The shortest text that reads back as the same number; returns text.
#define CTPG_NUMBER_SIZE 32
const char *CtpgShortReal(PetscReal value, char text[CTPG_NUMBER_SIZE]);
// `text` as a message shows it: cut when it is very long. The result lives until the next call.
const char *CtpgShown(const char *text);

// The word of the NULL-terminated list that is nearest to `word` by edit distance; NULL for an empty list.
const char *CtpgNearest(const char *word, const char *const *known);

// Error naming the first option that nobody read, with the nearest known one, unless -allow_unused; options from
// PETSC_OPTIONS and .petscrc, and those PETSc itself reads late, are exempt. Call after every label was created and
// before anything is computed: with -help all entries are printed by then, and CTPG_HELP_PRINTED ends the command.
#define CTPG_HELP_PRINTED ((PetscErrorCode)999) // returned without a message; the program ends with exit code 0
PetscErrorCode CtpgOptionsRefuseUnused(void);

#pragma GCC visibility pop

#endif
