// fixed.c -- what does not change after creation carries its own sum

#include "store/fixed.h"
#include "store/sum.h"
#include <stdio.h>
#include <stdlib.h>

static int SumDataset(hid_t set, StoreSum *sum) {
  const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
  const size_t bytes = (size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type);
  void *values = malloc(bytes + 1);
  int failed = values ? 0 : StoreFail("out of memory");
  if (!failed && bytes && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) failed = StoreFailHDF5();
  if (!failed) *sum = StoreSumOf(values, bytes);
  free(values);
  H5Sclose(space), H5Tclose(type);
  return failed;
}

int StoreFixedWrite(hid_t place, const char *name) {
  const hsize_t two = 2;
  const hid_t set = H5Dopen2(place, name, H5P_DEFAULT);
  StoreSum sum;
  STORE_TRY(set);
  int failed = SumDataset(set, &sum);
  const hid_t space = H5Screate_simple(1, &two, NULL);
  const hid_t attribute = failed ? -1 : H5Acreate2(set, "checksum", H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  if (!failed && (attribute < 0 || H5Awrite(attribute, H5T_NATIVE_UINT64, sum.word) < 0)) failed = StoreFailHDF5();
  if (attribute >= 0) H5Aclose(attribute);
  H5Sclose(space), H5Dclose(set);
  return failed;
}

static PetscBool HasItsSum(hid_t set) {
  const hid_t attribute = H5Aopen(set, "checksum", H5P_DEFAULT), space = H5Aget_space(attribute);
  StoreSum stored = {{0}}, found;
  const PetscBool known =
      H5Sget_simple_extent_npoints(space) == 2 && H5Aread(attribute, H5T_NATIVE_UINT64, stored.word) >= 0;
  H5Sclose(space), H5Aclose(attribute);
  return known && !SumDataset(set, &found) ? StoreSumsAgree(&stored, &found) : PETSC_FALSE;
}

typedef struct {
  char *text;
  size_t size;
} Name;

// H5Ovisit's: ends the visit with 1 at a dataset that is damaged.
static herr_t Check(hid_t file, const char *name, const H5O_info_t *info, void *damaged) {
  const Name *to = damaged;
  if (info->type != H5O_TYPE_DATASET || H5Aexists_by_name(file, name, "checksum", H5P_DEFAULT) <= 0) return 0;
  const hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
  const PetscBool good = HasItsSum(set);
  H5Dclose(set);
  if (!good) snprintf(to->text, to->size, "%s", name);
  return good ? 0 : 1;
}

int StoreFixedCheck(hid_t file, char *damaged, size_t size) {
  Name name = {damaged, size};
  damaged[0] = 0;
  STORE_TRY(H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, Check, &name, H5O_INFO_BASIC));
  return 0;
}
