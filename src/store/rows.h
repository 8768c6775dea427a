// rows.h -- rows as bytes: one list of columns gives packing, HDF5 type, documentation and the digest's serialisation
#ifndef CTPG_ROWS_H
#define CTPG_ROWS_H

#include "ctpgbench/base.h"
#include <hdf5.h>
#include <stddef.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ctpgbench writes the bytes of its little-endian file as they lie in memory"
#endif

typedef enum {
  STORE_U64,
  STORE_I64,
  STORE_I32,
  STORE_F64,
  STORE_TEXT,   // char [size] in the struct
  STORE_HOST,   // likewise
  STORE_STRING, // const char * in the struct, char [size] in the file
  STORE_INT,    // PetscInt in the struct, 64 bits in the file
  STORE_BOOL    // PetscBool in the struct, 32 bits in the file
} StoreKind;

typedef struct {
  const char *name, *unit, *text;
  StoreKind kind;
  int digest;          // 1: part of the digest
  size_t offset, size; // place in the struct, bytes in the file
} StoreColumn;

typedef struct StoreLayout {
  int n;
  const StoreColumn *column; // [n]
} StoreLayout;

// An entry of StoreLayout.column for a field of struct `row`, and the number of entries of such an array.
#define STORE_COLUMN(row, kind, name, digest, unit, text)                                                              \
  { #name, unit, text, STORE_##kind, digest, offsetof(row, name), sizeof(((row *)0)->name) }
#define STORE_LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

void StoreRowClear(const StoreLayout *layout, void *row, size_t size); // reals NaN, the rest zero
size_t StoreRowBytes(const StoreLayout *layout);
size_t StoreColumnsBytes(const StoreLayout *layout, int n); // of the first n columns
void StoreRowPack(const StoreLayout *layout, const void *row, unsigned char *bytes);
void StoreRowUnpack(const StoreLayout *layout, const unsigned char *bytes, void *row);
// The digest's serialisation: science columns in order, NaN as 0x7ff8000000000000. bytes NULL: only the size.
size_t StoreRowScience(const StoreLayout *layout, const void *row, unsigned char *bytes);
hid_t StoreRowType(const StoreLayout *layout); // packed, little-endian; the caller closes it
// Text as it goes into char [size]: cut to fit with its closing zero, zeros behind it; NULL counts as empty.
void StoreTextCopy(char *to, const char *text, size_t size);

#endif
