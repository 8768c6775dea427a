// smallfile.h -- small HDF5 files for people: made in memory, written beside and renamed: a full disk harms nothing
#ifndef CTPG_SMALLFILE_H
#define CTPG_SMALLFILE_H

#include "ctpgbench/base.h"
#include <hdf5.h>

// Functions that return int give 0, or -1 after keeping the reason, which SmallFileEnd tells.

// Before the work is done: an error where SmallFileEnd would fail, or would replace a file that has no root member of
// this name; `kind` of file is expected.
PetscErrorCode SmallFileCheck(const char *path, const char *member, const char *kind);

PetscErrorCode SmallFileBegin(hid_t *file);
// Dataset [rows] (width 1), [rows, width], or a scalar (rows 0) of reals. `name` may lie in groups, which are made.
int SmallFileReals(hid_t file, const char *name, PetscInt rows, PetscInt width, const PetscReal *values);
int SmallFileAttribute(hid_t object, const char *name, hid_t type, const void *value);
int SmallFileText(hid_t object, const char *name, const char *text);
// To disk as `path`, unless status is -1; closes. What was at path stays when it fails; the error names -out.
PetscErrorCode SmallFileEnd(const char *path, int status, hid_t *file);

#endif
