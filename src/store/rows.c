// rows.c -- rows as bytes: columns one after the other, without padding, in the order of their list

#include "store/rows.h"
#include <math.h>
#include <string.h>

void StoreRowClear(const StoreLayout *layout, void *row, size_t size) {
  const double nan_value = NAN;
  memset(row, 0, size);
  for (int i = 0; i < layout->n; i++) {
    if (layout->column[i].kind == STORE_F64) memcpy((char *)row + layout->column[i].offset, &nan_value, 8);
  }
}

void StoreTextCopy(char *to, const char *text, size_t size) {
  const size_t length = text ? strnlen(text, size - 1) : 0;
  memset(to, 0, size);
  if (length) memcpy(to, text, length);
}

size_t StoreColumnsBytes(const StoreLayout *layout, int n) {
  size_t bytes = 0;
  for (int i = 0; i < n; i++) bytes += layout->column[i].size;
  return bytes;
}

size_t StoreRowBytes(const StoreLayout *layout) {
  return StoreColumnsBytes(layout, layout->n);
}

static void PackColumn(const StoreColumn *column, const void *value, unsigned char *bytes) {
  int64_t wide;
  int32_t narrow;
  switch (column->kind) {
  case STORE_TEXT:
  case STORE_HOST: StoreTextCopy((char *)bytes, value, column->size); break;
  case STORE_STRING: StoreTextCopy((char *)bytes, *(const char *const *)value, column->size); break;
  case STORE_INT: wide = *(const PetscInt *)value, memcpy(bytes, &wide, 8); break;
  case STORE_BOOL: narrow = *(const PetscBool *)value ? 1 : 0, memcpy(bytes, &narrow, 4); break;
  default: memcpy(bytes, value, column->size);
  }
}

void StoreRowPack(const StoreLayout *layout, const void *row, unsigned char *bytes) {
  for (int i = 0; i < layout->n; i++) {
    PackColumn(&layout->column[i], (const char *)row + layout->column[i].offset, bytes);
    bytes += layout->column[i].size;
  }
}

void StoreRowUnpack(const StoreLayout *layout, const unsigned char *bytes, void *row) {
  for (int i = 0; i < layout->n; i++) {
    const StoreColumn *column = &layout->column[i];
    char *value = (char *)row + column->offset;
    memcpy(value, bytes, column->size);
    if (column->kind == STORE_TEXT || column->kind == STORE_HOST) value[column->size - 1] = 0;
    bytes += column->size;
  }
}

static void ScienceColumn(const StoreColumn *column, const char *value, unsigned char *bytes) {
  static const uint64_t one_nan = UINT64_C(0x7ff8000000000000);
  double real = 0;
  if (column->kind == STORE_F64) memcpy(&real, value, 8);
  memcpy(bytes, isnan(real) ? (const char *)&one_nan : value, column->size);
}

size_t StoreRowScience(const StoreLayout *layout, const void *row, unsigned char *bytes) {
  size_t used = 0;
  for (int i = 0; i < layout->n; i++) {
    const StoreColumn *column = &layout->column[i];
    if (!column->digest) continue;
    if (bytes) ScienceColumn(column, (const char *)row + column->offset, bytes + used);
    used += column->size;
  }
  return used;
}

static hid_t ColumnType(const StoreColumn *column) {
  hid_t type;
  switch (column->kind) {
  case STORE_U64: return H5Tcopy(H5T_STD_U64LE);
  case STORE_I64:
  case STORE_INT: return H5Tcopy(H5T_STD_I64LE);
  case STORE_I32:
  case STORE_BOOL: return H5Tcopy(H5T_STD_I32LE);
  case STORE_F64: return H5Tcopy(H5T_IEEE_F64LE);
  default:
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, column->size);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
  }
}

hid_t StoreRowType(const StoreLayout *layout) {
  const hid_t type = H5Tcreate(H5T_COMPOUND, StoreRowBytes(layout));
  size_t offset = 0;
  for (int i = 0; i < layout->n; i++) {
    const hid_t member = ColumnType(&layout->column[i]);
    H5Tinsert(type, layout->column[i].name, offset, member);
    H5Tclose(member);
    offset += layout->column[i].size;
  }
  return type;
}
