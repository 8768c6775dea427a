// place.h -- where a file lies on the disk: links followed once, neighbours opened without surprises, a file put in
// place
//
// Functions that return int give 0, or -1 after keeping the reason (hdf5.h).
#ifndef CTPG_STORE_PLACE_H
#define CTPG_STORE_PLACE_H

#include <petscsys.h>
#include <sys/stat.h>

// resolved [PETSC_MAX_PATH_LEN]: what path leads to when symbolic links are followed, the last one too, which may lead
// to a file that does not exist yet. A link that is given as -out stays a link, and its target is written.
int StoreResolve(const char *path, char *resolved);

// name [PETSC_MAX_PATH_LEN]: of the file with this ending (".lock", ".crash", ".outcome") beside the results file that
// path leads to. PathBeside: an error that a user sees.
int StoreNameBeside(const char *path, const char *ending, char *name);
PetscErrorCode StorePathBeside(const char *path, const char *ending, char *name);
// Opens a file that lies beside a results file (its lock, its marks of crashes) with these flags of open(2): without
// following a symbolic link, without waiting for anything, and only a regular file. The descriptor, or -1 with errno.
int StoreOpenBeside(const char *path, int flags);
// Removes such a file; fine where there is none. -1 with errno, EINVAL where it is not a regular file.
int StoreRemoveBeside(const char *path);

// A file on its way into its place. It is written under a private name beside it, which nobody else has, and becomes
// visible under its own name when all of it is on the disk.
typedef struct {
  char path[PETSC_MAX_PATH_LEN]; // resolved
  char part[PETSC_MAX_PATH_LEN]; // the private name; "" when there is none
  int descriptor;                // of part, locked (lock.h)
  PetscBool replaces;            // there is a file at path:
  struct stat old;               // this one
} StorePart;

// Makes part, empty. A file at path that is read-only or not a regular file is refused.
int StorePartBegin(const char *path, StorePart *part);
// Brings part to the disk and gives it its name, with mode, owner and group of what it replaces; -1 where another file
// has taken the place meanwhile. The lock of a job that holds one goes over to it.
int StorePartEnd(StorePart *part);
// Removes it, unless it has its name already.
void StorePartCancel(StorePart *part);
// In a handler, before the process ends: the last part that was begun and did not end is removed.
void StorePartForsake(void);

#endif
