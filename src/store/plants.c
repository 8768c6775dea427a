// plants.c -- names, units and constants of problems, beside their rows in the table `problems`

#include "store/plants.h"
#include "store/datasets.h"
#include <stdlib.h>
#include <string.h>

#define LARGEST_ATTRIBUTE 60000 // bytes; HDF5 refuses 64 KiB, and a list that long goes into no figure

// ---- one problem

// Splits a comma list in place into words [n]; returns how many there are, of which at most n are set.
static PetscInt SplitWords(char *list, PetscInt n, const char **word) {
  PetscInt count = 0;
  for (char *start = list, *comma; start; start = comma) {
    comma = strchr(start, ',');
    if (comma) *comma++ = 0;
    if (count < n) word[count] = start;
    count++;
  }
  return count;
}

// A list that does not have n words is left out: readers then use generic names.
static int WriteWords(hid_t group, const char *name, const char *list, PetscInt n) {
  if (!list) return 0;
  char *copy = strdup(list);
  const char **word = calloc((size_t)n + 1, sizeof *word);
  size_t longest = 1;
  int failed = copy && word ? 0 : StoreFail("out of memory");
  const PetscInt found = failed ? 0 : SplitWords(copy, n, word);
  for (PetscInt i = 0; found == n && i < n; i++) longest = PetscMax(longest, strlen(word[i]));
  if (!failed && found == n && longest * (size_t)n <= LARGEST_ATTRIBUTE)
    failed = StoreTextsWrite(group, name, (int)n, word);
  free(word);
  free(copy);
  return failed;
}

static int WriteConstant(hid_t group, const CtpgConstant *constant) {
  const hsize_t size[2] = {(hsize_t)constant->rows, (hsize_t)constant->columns};
  const hid_t space = H5Screate_simple(constant->columns ? 2 : 1, size, NULL);
  const hid_t set = H5Dcreate2(group, constant->name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  int failed = set < 0 || H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, constant->values) < 0;
  if (failed) StoreFailHDF5();
  if (!failed) failed = StoreTextWrite(set, "unit", constant->unit ? constant->unit : "");
  if (set >= 0) H5Dclose(set);
  H5Sclose(space);
  return failed ? -1 : 0;
}

static int WriteConstants(hid_t group, const CtpgDims *dims) {
  int failed = 0;
  if (!dims->nconstants) return 0;
  const hid_t inner = H5Gcreate2(group, "constants", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(inner);
  for (PetscInt k = 0; !failed && k < dims->nconstants; k++) failed = WriteConstant(inner, dims->constants + k);
  H5Gclose(inner);
  return failed;
}

static hid_t OpenPlants(hid_t file) {
  return H5Lexists(file, "plants", H5P_DEFAULT) > 0 ? H5Gopen2(file, "plants", H5P_DEFAULT)
                                                    : H5Gcreate2(file, "plants", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
}

int StorePlantWrite(hid_t file, const char *label, const CtpgDims *dims) {
  const hid_t plants = OpenPlants(file);
  STORE_TRY(plants);
  const hid_t group = H5Gcreate2(plants, label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Gclose(plants);
  STORE_TRY(group);
  const int failed = WriteWords(group, "state_names", dims->state_names, dims->nx) ||
                     WriteWords(group, "state_units", dims->state_units, dims->nx) ||
                     WriteWords(group, "control_names", dims->control_names, dims->nu) ||
                     WriteWords(group, "control_units", dims->control_units, dims->nu) || WriteConstants(group, dims);
  H5Gclose(group);
  return failed ? -1 : 0;
}

// ---- all of a plan

// plants/<label> of another file, if it has that; *found.
static int CopyPlant(hid_t file, const char *label, const char *path, PetscBool *found) {
  const hid_t other = StoreFileOpenSerial(path), plants = OpenPlants(file);
  const hid_t theirs = other >= 0 && H5Lexists(other, "plants", H5P_DEFAULT) > 0
                           ? H5Gopen2(other, "plants", H5P_DEFAULT)
                           : H5I_INVALID_HID;
  int failed = plants < 0;
  *found = theirs >= 0 && H5Lexists(theirs, label, H5P_DEFAULT) > 0 ? PETSC_TRUE : PETSC_FALSE;
  if (!failed && *found) failed = H5Ocopy(theirs, label, plants, label, H5P_DEFAULT, H5P_DEFAULT) < 0;
  if (failed) StoreFailHDF5();
  if (theirs >= 0) H5Gclose(theirs);
  if (plants >= 0) H5Gclose(plants);
  if (other >= 0) H5Fclose(other);
  return failed ? -1 : 0;
}

int StorePlantsCreate(hid_t file, const CtpgStorePlan *plan, PetscInt n, const CtpgContents *old) {
  for (PetscInt p = 0; p < plan->nproblems; p++) {
    const CtpgLabelInfo *info = plan->problems + p;
    PetscBool found = PETSC_FALSE;
    if (info->dims) STORE_TRY(StorePlantWrite(file, info->label, info->dims));
    for (PetscInt i = 0; !info->dims && !found && i < n; i++)
      STORE_TRY(CopyPlant(file, info->label, old[i]->path, &found));
  }
  return 0;
}
