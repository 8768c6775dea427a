// unused.h -- options that nobody has read: a misspelt one must not pass in silence
#ifndef CTPG_UNUSED_H
#define CTPG_UNUSED_H

#include <petscsys.h>

// What a message says of a key (with its dash) that is known but not in place here, as a sentence that begins after the
// key: "is read by none of ..."; NULL: nothing.
typedef const char *UnusedExplain(const char *key);

// Collective. Error naming the first option that nobody read, with what `explain` (may be NULL) says of it or the nearest
// known one, unless -allow_unused; options from PETSC_OPTIONS and .petscrc, and those PETSc itself reads late, are exempt.
// Call after every label was created and before anything is computed: with -help all entries are printed by then, and
// CTPG_HELP_PRINTED ends the command.
#define CTPG_HELP_PRINTED ((PetscErrorCode)999) // returned without a message; the program ends with exit code 0
PetscErrorCode UnusedRefuse(UnusedExplain *explain);

#endif
