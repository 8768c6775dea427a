// labels.c -- tables of labels, written row by row, read column by column
//
// Columns are looked up by their names, so a table that has more of them than are asked for, or longer texts, is read.

#include "store/labels.h"
#include "store/datasets.h"
#include "store/fixed.h"
#include "store/plants.h"
#include <stdlib.h>
#include <string.h>

// Strings get the length of the longest.
int StoreLabelsWrite(hid_t file, const char *table, const StoreLayout *columns, PetscInt rows,
                     const CtpgLabelInfo *info) {
  StoreColumn column[32];
  const StoreLayout layout = {columns->n, column};
  memcpy(column, columns->column, (size_t)columns->n * sizeof(*column));
  for (int i = 0; i < columns->n; i++) {
    if (column[i].kind != STORE_STRING) continue;
    column[i].size = PetscMax(column[i].size, 1);
    for (PetscInt p = 0; p < rows; p++) {
      const char *text = *(const char *const *)((const char *)&info[p] + column[i].offset);
      if (text) column[i].size = PetscMax(column[i].size, strlen(text) + 1);
    }
  }
  STORE_TRY(StoreTableCreate(file, table, &layout, rows, NULL));
  StoreArray array = {0};
  unsigned char *bytes = malloc(StoreRowBytes(&layout));
  int failed = bytes ? StoreTableOpen(file, table, &layout, &array) : StoreFail("out of memory");
  for (PetscInt p = 0; !failed && p < rows; p++) {
    StoreRowPack(&layout, &info[p], bytes);
    failed = StoreArrayWrite(&array, (hsize_t)p, bytes);
  }
  free(bytes);
  StoreArrayClose(&array);
  return failed ? -1 : StoreFixedWrite(file, table);
}

// Bytes of a text column of a table, 0 where there is none.
static size_t TextSize(hid_t file, const char *table, const char *column) {
  const hid_t set = H5Dopen2(file, table, H5P_DEFAULT), row = H5Dget_type(set);
  const int index = H5Tget_class(row) == H5T_COMPOUND ? H5Tget_member_index(row, column) : -1;
  const hid_t type = index < 0 ? -1 : H5Tget_member_type(row, (unsigned)index);
  const size_t size = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 ? H5Tget_size(type) : 0;
  H5Tclose(type), H5Tclose(row), H5Dclose(set);
  return size;
}

// One column as an array of n elements of `size` bytes, allocated here.
static int ReadColumn(hid_t file, const char *table, const char *column, hid_t element, PetscInt *n, void *values) {
  const size_t size = H5Tget_size(element);
  const hid_t type = H5Tcreate(H5T_COMPOUND, size);
  StoreArray array = {0};
  int failed;
  H5Tinsert(type, column, 0, element);
  failed = StoreArrayOpen(file, table, type, &array);
  if (!failed && array.width != 1) failed = StoreFail("%s is damaged", table);
  if (!failed && !(*(char **)values = calloc(array.rows + 1, size))) failed = StoreFail("out of memory");
  if (!failed) failed = StoreArrayRead(&array, 0, array.rows, *(char **)values);
  *n = (PetscInt)array.rows;
  StoreArrayClose(&array), H5Tclose(type);
  return failed;
}

// A column of texts; size: bytes of each here, its closing zero included.
int StoreTextsRead(hid_t file, const char *table, const char *column, size_t size, PetscInt *n, char **texts) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  int failed;
  H5Tset_size(type, size);
  failed = TextSize(file, table, column) ? 0 : StoreFail("%s has no column %s of texts", table, column);
  if (!failed) failed = ReadColumn(file, table, column, type, n, texts);
  H5Tclose(type);
  return failed;
}

int StoreTextListRead(hid_t file, const char *table, const char *column, char ***list) {
  const size_t size = TextSize(file, table, column) + 1;
  PetscInt n;
  char *texts = NULL;
  int failed = StoreTextsRead(file, table, column, size, &n, &texts);
  if (!failed && !(*list = calloc((size_t)n + 1, sizeof(**list)))) failed = StoreFail("out of memory");
  for (PetscInt i = 0; !failed && i < n; i++) {
    if (!((*list)[i] = strndup(texts + (size_t)i * size, size))) failed = StoreFail("out of memory");
  }
  free(texts);
  return failed;
}

int StoreIntegersRead(hid_t file, const char *table, const char *column, PetscInt **integers) {
  const hid_t type = sizeof(PetscInt) == 8 ? H5T_NATIVE_INT64 : H5T_NATIVE_INT32;
  PetscInt n;
  return ReadColumn(file, table, column, type, &n, integers);
}

// A column of whole numbers or reals, spread over a field of info[].
static int ReadNumbers(hid_t file, const char *table, const StoreColumn *column, PetscInt n, CtpgLabelInfo *info) {
  const hid_t wide = sizeof(PetscInt) == 8 ? H5T_NATIVE_INT64 : H5T_NATIVE_INT32;
  const hid_t type = column->kind == STORE_F64   ? H5T_NATIVE_DOUBLE
                     : column->kind == STORE_INT ? wide
                                                 : H5T_NATIVE_INT32;
  const size_t size = H5Tget_size(type);
  char *values = NULL;
  PetscInt rows = 0;
  int failed = ReadColumn(file, table, column->name, type, &rows, &values);
  if (!failed && rows != n) failed = StoreFail("%s is damaged", table);
  for (PetscInt i = 0; !failed && i < n; i++)
    memcpy((char *)(info + i) + column->offset, values + (size_t)i * size, size);
  free(values);
  return failed;
}

static int ReadStrings(hid_t file, const char *table, const StoreColumn *column, PetscInt n, CtpgLabelInfo *info) {
  const size_t size = TextSize(file, table, column->name) + 1;
  char *texts = NULL;
  PetscInt rows = 0;
  if (size == 1 && column->size == 0) return 0; // of an older file
  int failed = StoreTextsRead(file, table, column->name, size, &rows, &texts);
  if (!failed && rows != n) failed = StoreFail("%s is damaged", table);
  for (PetscInt i = 0; !failed && i < n; i++) {
    char **text = (char **)((char *)(info + i) + column->offset);
    free(*text);
    if (!(*text = strndup(texts + (size_t)i * size, size))) failed = StoreFail("out of memory");
  }
  free(texts);
  return failed;
}

int StoreLabelsRead(hid_t file, const char *table, const StoreLayout *layout, PetscInt n, CtpgLabelInfo **info) {
  if (!*info && !(*info = calloc((size_t)n + 1, sizeof(**info)))) return StoreFail("out of memory");
  for (int i = 0; i < layout->n; i++)
    STORE_TRY(layout->column[i].kind == STORE_STRING ? ReadStrings(file, table, &layout->column[i], n, *info)
                                                     : ReadNumbers(file, table, &layout->column[i], n, *info));
  return 0;
}

void StoreLabelsFree(PetscInt n, CtpgLabelInfo *info) {
  for (PetscInt i = 0; info && i < n; i++) {
    const char *const texts[] = {info[i].label, info[i].type,     info[i].options,      info[i].bibtex,
                                 info[i].given, info[i].policy,   info[i].theta_source, info[i].derivatives,
                                 info[i].knob,  info[i].language, info[i].outside};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) free((char *)texts[k]);
    StorePlantFree(info + i);
  }
  free(info);
}
