// plants.c -- what the states and controls of each problem are called, their units, its constants
//
// In memory names are comma lists, as problems give them; in the file they are arrays of texts.

#include "store/plants.h"
#include "store/datasets.h"
#include "store/fixed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 32, MOST_BYTES = 60000 }; // of a word with its zero; of an attribute, which HDF5 limits to 64 KiB

// ---- writing

// A comma list of n words as attribute `name`; nothing where it is NULL, has another length or is too long.
static int WriteList(hid_t group, const char *name, PetscInt n, const char *list) {
  char(*word)[LONGEST] = calloc((size_t)n + 1, LONGEST);
  const char **text = calloc((size_t)n + 1, sizeof *text);
  PetscInt found = 0;
  int failed = word && text ? 0 : StoreFail("out of memory");
  for (const char *begin = list; !failed && begin && found < n; found++) {
    const size_t length = strcspn(begin, ",");
    snprintf(word[found], LONGEST, "%.*s", (int)length, begin);
    text[found] = word[found];
    begin = begin[length] ? begin + length + 1 : NULL;
    if (found == n - 1 && begin) found = n; // more words than components
  }
  if (!failed && list && found == n && n * LONGEST <= MOST_BYTES) failed = StoreTextsWrite(group, name, (int)n, text);
  free(word), free(text);
  return failed;
}

static int WriteConstant(hid_t group, const CtpgConstant *constant) {
  const StoreDimension size[] = {{NULL, (hsize_t)constant->rows}, {NULL, (hsize_t)constant->columns}};
  STORE_TRY(StoreDatasetCreate(group, constant->name, constant->columns ? 2 : 1, size, H5T_IEEE_F64LE, NULL,
                               constant->unit ? constant->unit : "", "constant of the problem"));
  const hid_t set = H5Dopen2(group, constant->name, H5P_DEFAULT);
  int failed =
      H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, constant->values) < 0 ? StoreFailHDF5() : 0;
  if (!failed) failed = StoreTextWrite(set, "unit", constant->unit ? constant->unit : "");
  H5Dclose(set);
  return failed ? -1 : StoreFixedWrite(group, constant->name);
}

static int WritePlant(hid_t group, const CtpgLabelInfo *info) {
  STORE_TRY(WriteList(group, "state_names", info->nx, info->state_names));
  STORE_TRY(WriteList(group, "state_units", info->nx, info->state_units));
  STORE_TRY(WriteList(group, "control_names", info->nu, info->control_names));
  STORE_TRY(WriteList(group, "control_units", info->nu, info->control_units));
  const hid_t constants = H5Gcreate2(group, "constants", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(constants);
  for (PetscInt k = 0; k < info->nconstants; k++) STORE_TRY(WriteConstant(constants, info->constants + k));
  H5Gclose(constants);
  return 0;
}

int StorePlantsWrite(hid_t file, PetscInt n, const CtpgLabelInfo *info) {
  const hid_t plants = H5Gcreate2(file, "plants", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  STORE_TRY(plants);
  for (PetscInt p = 0; p < n; p++) {
    const hid_t group = H5Gcreate2(plants, info[p].label, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    STORE_TRY(group);
    STORE_TRY(WritePlant(group, info + p));
    H5Gclose(group);
  }
  H5Gclose(plants);
  return 0;
}

// ---- reading

// An attribute of n texts as a comma list, allocated here; NULL where there is none.
static int ReadList(hid_t group, const char *name, PetscInt n, const char **list) {
  if (H5Aexists(group, name) <= 0) return 0;
  const hid_t attribute = H5Aopen(group, name, H5P_DEFAULT), type = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  const size_t size = H5Tget_size(type);
  const PetscBool fits = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && size < MOST_BYTES &&
                         H5Sget_simple_extent_npoints(space) == n;
  char *words = calloc((size_t)n * size + 1, 1), *text = calloc((size_t)n * (size + 1) + 1, 1);
  int failed = words && text ? 0 : StoreFail("out of memory");
  if (!failed && fits && H5Aread(attribute, type, words) < 0) failed = StoreFailHDF5();
  for (PetscInt i = 0; !failed && fits && i < n; i++)
    sprintf(text + strlen(text), "%s%.*s", i ? "," : "", (int)size, words + (size_t)i * size);
  free(words);
  H5Sclose(space), H5Tclose(type), H5Aclose(attribute);
  if (failed || !fits)
    free(text);
  else
    *list = text;
  return failed;
}

static int ReadConstant(hid_t group, const char *name, CtpgConstant *constant) {
  char unit[LONGEST];
  StoreArray array = {0};
  int failed = StoreArrayOpen(group, name, H5T_NATIVE_DOUBLE, &array);
  double *values = failed ? NULL : calloc(array.rows * array.width + 1, sizeof *values);
  if (!failed && !values) failed = StoreFail("out of memory");
  if (!failed) failed = StoreArrayRead(&array, 0, array.rows, values);
  const int dimensions = failed ? 0 : H5Sget_simple_extent_ndims(array.space);
  if (!failed) failed = StoreReadTextAttribute(array.set, "unit", unit, sizeof unit);
  *constant = (CtpgConstant){.name = strdup(name),
                             .unit = strdup(failed ? "" : unit),
                             .rows = (PetscInt)array.rows,
                             .columns = dimensions == 2 ? (PetscInt)array.width : 0,
                             .values = values};
  StoreArrayClose(&array);
  return failed;
}

static int ReadConstants(hid_t plant, CtpgLabelInfo *info) {
  hsize_t n = 0;
  int failed = 0;
  if (H5Lexists(plant, "constants", H5P_DEFAULT) <= 0) return 0;
  const hid_t group = H5Gopen2(plant, "constants", H5P_DEFAULT);
  STORE_TRY(group);
  H5Gget_num_objs(group, &n);
  CtpgConstant *constants = calloc(n + 1, sizeof *constants);
  if (!constants) failed = StoreFail("out of memory");
  info->constants = constants;
  for (hsize_t i = 0; !failed && i < n; i++) {
    char name[CTPG_LABEL_SIZE] = "";
    H5Gget_objname_by_idx(group, i, name, sizeof name);
    info->nconstants++;
    failed = ReadConstant(group, name, constants + i);
  }
  H5Gclose(group);
  return failed;
}

static int ReadPlant(hid_t group, CtpgLabelInfo *info) {
  STORE_TRY(ReadList(group, "state_names", info->nx, &info->state_names));
  STORE_TRY(ReadList(group, "state_units", info->nx, &info->state_units));
  STORE_TRY(ReadList(group, "control_names", info->nu, &info->control_names));
  STORE_TRY(ReadList(group, "control_units", info->nu, &info->control_units));
  return ReadConstants(group, info);
}

int StorePlantsRead(hid_t file, PetscInt n, CtpgLabelInfo *info) {
  char path[2 * CTPG_LABEL_SIZE];
  if (H5Lexists(file, "plants", H5P_DEFAULT) <= 0) return 0;
  for (PetscInt p = 0; p < n; p++) {
    snprintf(path, sizeof path, "plants/%s", info[p].label);
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0) continue;
    const hid_t group = H5Gopen2(file, path, H5P_DEFAULT);
    STORE_TRY(group);
    const int failed = ReadPlant(group, info + p);
    H5Gclose(group);
    if (failed) return -1;
  }
  return 0;
}

void StorePlantFree(CtpgLabelInfo *info) {
  const char *const texts[] = {info->state_names, info->state_units, info->control_names, info->control_units};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((char *)texts[i]);
  for (PetscInt k = 0; k < info->nconstants; k++)
    free((char *)info->constants[k].name), free((char *)info->constants[k].unit),
        free((PetscReal *)info->constants[k].values);
  free((CtpgConstant *)info->constants);
}
