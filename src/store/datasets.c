// datasets.c -- parts of a skeleton
//
// Every dataset is contiguous, takes its space now and is filled: a disk that fills up later loses nothing, and nothing
// has to be written collectively while ranks work.

#include "store/datasets.h"
#include "store/fixed.h"
#include "store/schema.h"
#include <hdf5_hl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- attributes

// n texts as an array of fixed length, or one text as a scalar (n = 0).
int StoreTextsWrite(hid_t place, const char *name, int n, const char *const *text) {
  const hsize_t extent = (hsize_t)n;
  const int count = n ? n : 1;
  size_t size = 1;
  for (int i = 0; i < count; i++) size = PetscMax(size, strlen(text[i]));
  char *bytes = calloc((size_t)count, size);
  if (!bytes) return StoreFail("out of memory");
  for (int i = 0; i < count; i++) memcpy(bytes + (size_t)i * size, text[i], strlen(text[i]));
  const hid_t type = H5Tcopy(H5T_C_S1), space = n ? H5Screate_simple(1, &extent, NULL) : H5Screate(H5S_SCALAR);
  H5Tset_size(type, size), H5Tset_strpad(type, H5T_STR_NULLPAD);
  const hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const int failed = attribute < 0 || H5Awrite(attribute, type, bytes) < 0 ? StoreFailHDF5() : 0;
  H5Aclose(attribute), H5Sclose(space), H5Tclose(type);
  free(bytes);
  return failed;
}

int StoreTextWrite(hid_t place, const char *name, const char *text) {
  return StoreTextsWrite(place, name, 0, &text);
}

int StoreNumberWrite(hid_t place, const char *name, hid_t file_type, hid_t type, const void *value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(place, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
  const int failed = attribute < 0 || H5Awrite(attribute, type, value) < 0 ? StoreFailHDF5() : 0;
  H5Aclose(attribute), H5Sclose(space);
  return failed;
}

int StoreStatusesWrite(hid_t place) {
  const char *word[CTPG_NUM_STATUSES];
  for (int s = 0; s < CTPG_NUM_STATUSES; s++) word[s] = CtpgStatusName((CtpgStatus)s);
  return StoreTextsWrite(place, "statuses", CTPG_NUM_STATUSES, word);
}

// ---- datasets

static int AttachScales(hid_t place, hid_t set, int n, const StoreDimension *dimension) {
  int failed = 0;
  for (int d = 0; !failed && d < n; d++) {
    if (!dimension[d].scale) continue;
    const hid_t scale = H5Dopen2(place, dimension[d].scale, H5P_DEFAULT);
    if (scale < 0 || H5DSattach_scale(set, scale, (unsigned)d) < 0) failed = StoreFailHDF5();
    H5Dclose(scale);
  }
  return failed;
}

// The caller closes it.
static hid_t Create(hid_t place, const char *name, int n, const StoreDimension *dimension, hid_t type,
                    const void *fill) {
  hsize_t size[STORE_DIMENSIONS];
  for (int d = 0; d < n; d++) size[d] = dimension[d].size;
  const hid_t space = H5Screate_simple(n, size, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY), H5Pset_fill_time(how, H5D_FILL_TIME_ALLOC);
  H5Pset_obj_track_times(how, 0);
  if (fill) H5Pset_fill_value(how, type, fill);
  const hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  if (set < 0) StoreFailHDF5();
  H5Pclose(how), H5Sclose(space);
  return set;
}

int StoreDatasetCreate(hid_t place, const char *name, int n, const StoreDimension *dimension, hid_t type,
                       const void *fill, const char *unit, const char *text) {
  const hid_t set = Create(place, name, n, dimension, type, fill);
  STORE_TRY(set);
  const int failed = StoreTextWrite(set, "units", unit) || StoreTextWrite(set, "description", text) ||
                     AttachScales(place, set, n, dimension);
  H5Dclose(set);
  return failed ? -1 : 0;
}

int StoreRealsCreate(hid_t place, const char *name, int n, const StoreDimension *dimension, const char *unit,
                     const char *text) {
  const double fill = NAN;
  return StoreDatasetCreate(place, name, n, dimension, H5T_IEEE_F64LE, &fill, unit, text);
}

int StoreScaleCreate(hid_t place, const char *name, PetscInt n, const int64_t *values, const char *text) {
  const StoreDimension dimension = {NULL, (hsize_t)n};
  int64_t *index = malloc(((size_t)n + 1) * sizeof *index);
  if (!index) return StoreFail("out of memory");
  for (PetscInt i = 0; i < n; i++) index[i] = values ? values[i] : i;
  int failed = StoreDatasetCreate(place, name, 1, &dimension, H5T_STD_I64LE, NULL, "1", text);
  const hid_t set = failed ? -1 : H5Dopen2(place, name, H5P_DEFAULT);
  if (!failed && n) failed = H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, index) < 0;
  if (!failed) failed = H5DSset_scale(set, name) < 0;
  if (failed) StoreFailHDF5();
  if (set >= 0) H5Dclose(set);
  free(index);
  return failed ? -1 : StoreFixedWrite(place, name);
}

// ---- tables

// Units and descriptions of a table, in column order.
static int WriteColumns(hid_t table, const StoreLayout *layout) {
  const char *unit[128], *text[128];
  for (int i = 0; i < layout->n; i++) unit[i] = layout->column[i].unit, text[i] = layout->column[i].text;
  STORE_TRY(StoreTextsWrite(table, "units", layout->n, unit));
  return StoreTextsWrite(table, "description", layout->n, text);
}

int StoreTableCreate(hid_t place, const char *name, const StoreLayout *layout, PetscInt rows, const void *fill) {
  const hid_t type = StoreRowType(layout);
  const StoreDimension dimension = {NULL, (hsize_t)rows};
  const hid_t set = Create(place, name, 1, &dimension, type, fill);
  const int failed = set < 0 ? -1 : WriteColumns(set, layout);
  H5Dclose(set), H5Tclose(type);
  return failed;
}

int StoreCommitsCreate(hid_t place, PetscInt rows) {
  const StoreCommit pending = {.status = CTPG_PENDING};
  unsigned char fill[sizeof(StoreCommit)];
  StoreRowPack(&StoreCommitLayout, &pending, fill);
  return StoreTableCreate(place, "commit", &StoreCommitLayout, rows, fill);
}

int StoreIdentitiesCreate(hid_t place, PetscInt n) {
  const StoreDimension sums[] = {{NULL, (hsize_t)n}, {NULL, 2}};
  return StoreDatasetCreate(place, "identity", 2, sums, H5T_STD_U64LE, NULL, "",
                            "sum of what the row is from the beginning: bytes 0-7 and 8-15 of SHA-256");
}

int StoreWordsWrite(hid_t place, const char *name, int n, const char *const *word) {
  const hid_t table = H5Dopen2(place, "table", H5P_DEFAULT);
  const int failed = table < 0 || StoreStatusesWrite(table) || (n && StoreTextsWrite(table, name, n, word));
  if (failed) StoreFailHDF5();
  H5Dclose(table);
  return failed ? -1 : 0;
}
