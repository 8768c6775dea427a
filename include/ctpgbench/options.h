// options.h -- options of one label: looked up as -<label>_name, then -<type>_name, then -name
//
// A label is an instance of a problem or of an estimator; its options live in PETSc's database. `create` reads them
// all, before the first run, so that one that nobody reads can be found then. Whoever reads an option here also records
// it: its value goes into the results file and into the key of every run of this label, and -help prints the entry.
//
// A plug-in cannot leave out of the run key what it reads: two runs with one key are one run, and the second would be
// taken from the first one's row. The one exception is a path, whose file may lie anywhere: CtpgOptionsPath leaves it
// out, and the hash of the file's content takes its place by CtpgOptionsContent. Without that the label is refused.
#ifndef CTPG_OPTIONS_H
#define CTPG_OPTIONS_H

#include "ctpgbench/base.h"

#pragma GCC visibility push(default)

typedef struct CtpgOptions_s *CtpgOptions;

// Each of these: `value` holds the default on entry and the result on return; the number must lie in [low, high]
// (NaN never does), else the error names the option, the value found and the range. help: one line for -help. An option
// that is read twice is recorded as it was read first: a problem may change the default of one that it stands on.
PetscErrorCode CtpgOptionsReal(CtpgOptions options, const char *name, const char *help, PetscReal low, PetscReal high,
                               PetscReal *value);
PetscErrorCode CtpgOptionsInt(CtpgOptions options, const char *name, const char *help, PetscInt low, PetscInt high,
                              PetscInt *value);
PetscErrorCode CtpgOptionsBool(CtpgOptions options, const char *name, const char *help, PetscBool *value);
// choices: NULL-terminated list; an unknown word is answered with the list and the nearest known word.
PetscErrorCode CtpgOptionsChoice(CtpgOptions options, const char *name, const char *help, const char *const *choices,
                                 PetscInt *value);
// text [size] holds the default on entry. An option without a value is refused.
PetscErrorCode CtpgOptionsText(CtpgOptions options, const char *name, const char *help, char *text, size_t size);
// A text that is a comma list; blanks around its commas, as people and folded YAML write them, are taken out.
PetscErrorCode CtpgOptionsList(CtpgOptions options, const char *name, const char *help, char *text, size_t size);
// Comma list of reals, lo:hi:n (log-spaced) allowed; *values is allocated here, free with PetscFree; *n = 0 when unset,
// or "none".
PetscErrorCode CtpgOptionsReals(CtpgOptions options, const char *name, const char *help, PetscInt *n,
                                PetscReal **values);

// A file, as CtpgOptionsText: path [size] is not part of the run key. `create` reads the file and calls the second one
// before it returns: "name = hash" joins the key, CtpgHash of what counts in the content.
PetscErrorCode CtpgOptionsPath(CtpgOptions options, const char *name, const char *help, char *path, size_t size);
PetscErrorCode CtpgOptionsContent(CtpgOptions options, const char *name, uint64_t hash);

// Was -<label>_name, -<type>_name or -name given? The key found, -name if none, goes to key [size] unless key is NULL.
PetscErrorCode CtpgOptionsFind(CtpgOptions options, const char *name, char *key, size_t size, PetscBool *found);
const char *CtpgOptionsLabel(CtpgOptions options); // "" for options of the whole command

#pragma GCC visibility pop

#endif
