// datasets.h -- parts of a skeleton: attributes, datasets and tables that take their space and are filled when made
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_DATASETS_H
#define CTPG_STORE_DATASETS_H

#include "store/hdf5.h"

// ---- attributes

int StoreTextWrite(hid_t place, const char *name, const char *text);
int StoreTextsWrite(hid_t place, const char *name, int n, const char *const *text); // [n], of one length
int StoreNumberWrite(hid_t place, const char *name, hid_t file_type, hid_t type, const void *value);
int StoreStatusesWrite(hid_t place); // `statuses`: words of columns that are enumerations; -1 is pending

// ---- datasets: contiguous, space taken now, every element `fill` (NULL: zeros), with unit and description

enum { STORE_DIMENSIONS = 5 }; // at most
typedef struct {
  const char *scale; // name of the dataset beside it that is the scale of this dimension; NULL: a bare index
  hsize_t size;
} StoreDimension;
int StoreDatasetCreate(hid_t place, const char *name, int n, const StoreDimension *dimension, hid_t type,
                       const void *fill, const char *unit, const char *text);
int StoreRealsCreate(hid_t place, const char *name, int n, const StoreDimension *dimension, const char *unit,
                     const char *text); // filled with NaN
// A scale (what xarray calls a coordinate) of whole numbers; values NULL: 0, 1, .. n - 1.
int StoreScaleCreate(hid_t place, const char *name, PetscInt n, const int64_t *values, const char *text);

// ---- tables: units and descriptions of their columns as attributes, in their order

int StoreTableCreate(hid_t place, const char *name, const StoreLayout *layout, PetscInt rows, const void *fill);
int StoreCommitsCreate(hid_t place, PetscInt rows);    // `commit`, every row pending
int StoreIdentitiesCreate(hid_t place, PetscInt rows); // `identity` [rows, 2], sums of the first columns
// Words of the statuses of place/table, and of another enumerated column (n = 0: none).
int StoreWordsWrite(hid_t place, const char *name, int n, const char *const *word);

#endif
