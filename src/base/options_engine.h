// options_engine.h -- the engine's half of options: their life, what of them is recorded, and who is in the run key
//
// What is resolved ("name = value" lines) goes into the results file and, for the options of a label, into the run key:
// change one of them and the run is another run. Every call says by its role whether the option belongs there.
#ifndef CTPG_OPTIONS_ENGINE_H
#define CTPG_OPTIONS_ENGINE_H

#include "ctpgbench/options.h"

typedef enum {
  OPTION_IN_KEY, // it can change a result
  // The same for an option that is younger than files that exist: they were made with what is its default now.
  OPTION_IN_KEY_UNLESS_DEFAULT,
  OPTION_ELSEWHERE_IN_KEY, // what it leads to is in the key: a seed, an accuracy, the content of a file
  OPTION_NOT_IN_KEY        // it cannot change a result; -help says so of the options of labels
} OptionRole;

// label and type are copied. label NULL stands for options that belong to the whole command.
PetscErrorCode CtpgOptionsCreate(const char *label, const char *type, CtpgOptions *options);
PetscErrorCode CtpgOptionsDestroy(CtpgOptions *options);
// Refuses option `name` where it stands on the command line, and none of the `others` (a NULL-terminated list) that
// give it a meaning was given, of any label. A file may set it for problems that have them, and be narrowed to others.
PetscErrorCode OptionsRefuseAlone(CtpgOptions options, const char *name, const char *const *others);

// As the calls without a role in ctpgbench/options.h, which are these with OPTION_IN_KEY.
PetscErrorCode OptionsReadReal(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscReal low,
                               PetscReal high, PetscReal *value);
PetscErrorCode OptionsReadInt(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscInt low,
                              PetscInt high, PetscInt *value);
PetscErrorCode OptionsReadBool(CtpgOptions options, OptionRole role, const char *name, const char *help,
                               PetscBool *value);
PetscErrorCode OptionsReadChoice(CtpgOptions options, OptionRole role, const char *name, const char *help,
                                 const char *const *choices, PetscInt *value);
PetscErrorCode OptionsReadText(CtpgOptions options, OptionRole role, const char *name, const char *help, char *text,
                               size_t size);
// An option without a value is the empty text here, and refused by the call above.
PetscErrorCode OptionsReadTextOrNone(CtpgOptions options, OptionRole role, const char *name, const char *help,
                                     char *text, size_t size);
PetscErrorCode OptionsReadList(CtpgOptions options, OptionRole role, const char *name, const char *help, char *text,
                               size_t size);
PetscErrorCode OptionsReadReals(CtpgOptions options, OptionRole role, const char *name, const char *help, PetscInt *n,
                                PetscReal **values);

// "name = value" joins what is resolved without being an option, unless there is such a line.
PetscErrorCode CtpgOptionsRecord(CtpgOptions options, const char *name, const char *value);
// After `create`: error when it read a file (CtpgOptionsPath) and did not record its content.
PetscErrorCode OptionsCheckContent(CtpgOptions options);

// "name = value" lines of everything read so far that is part of the key, in reading order; owned by options.
const char *CtpgOptionsResolved(CtpgOptions options);
// "name = text" lines of what the user gave, as it was given, whatever its role: enough to give it again.
const char *CtpgOptionsGiven(CtpgOptions options);
// The value of `name` in such a text, "" where it is not there.
void CtpgResolvedFind(const char *text, const char *name, char *value, size_t size);
const char *CtpgOptionsType(CtpgOptions options);

// Every key that this process has looked up, with its dash; NULL-terminated.
const char *const *OptionsKnownKeys(void);

#endif
