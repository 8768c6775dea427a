// labels.h -- tables of labels (problems, policies, estimators): structs of texts and numbers to and from the file
//
// Functions that return int: see hdf5.h.
#ifndef CTPG_STORE_LABELS_H
#define CTPG_STORE_LABELS_H

#include "store/hdf5.h"
#include "store/schema.h"

// Makes the table. Its texts get the length of the longest.
int StoreLabelsWrite(hid_t file, const char *table, const StoreLayout *layout, PetscInt n, const CtpgLabelInfo *info);
// A table of labels into info [n], which is allocated here where it is NULL.
int StoreLabelsRead(hid_t file, const char *table, const StoreLayout *layout, PetscInt n, CtpgLabelInfo **info);
void StoreLabelsFree(PetscInt n, CtpgLabelInfo *info); // as read from a file

// One column of any table, allocated here: texts of `size` bytes each (closing zero included), or whole numbers.
int StoreTextsRead(hid_t file, const char *table, const char *column, size_t size, PetscInt *n, char **texts);
int StoreIntegersRead(hid_t file, const char *table, const char *column, PetscInt **integers);
// A column of texts of any length: [n + 1] pointers, allocated here.
int StoreTextListRead(hid_t file, const char *table, const char *column, char ***list);

#endif
