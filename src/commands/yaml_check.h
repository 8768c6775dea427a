// yaml_check.h -- what PETSc's reader of YAML takes without a word and no user means
#ifndef CTPG_YAML_CHECK_H
#define CTPG_YAML_CHECK_H

#include <petscsys.h>

// text [n] of the file `path`. An error with the number of the line for text that is no YAML, a key said twice (also as
// rtol and -rtol, or as ctpg: {rtol: } and ctpg_rtol:), and a second document.
PetscErrorCode YAMLCheck(const char *path, const char *text, size_t n);

#endif
