// hdf5.h -- the results file through HDF5: reasons of failures, files, attributes, arrays that move row by row
//
// Functions that return int give 0, or -1 after keeping the first reason of the failure, which the public functions of
// the store turn into one sentence. Nothing here raises a PETSc error.
#ifndef CTPG_STORE_HDF5_H
#define CTPG_STORE_HDF5_H

#include "store/rows.h"

// ---- reasons

void StoreBegin(void); // forgets the last reason; HDF5 prints nothing on its own
int StoreFail(const char *format, ...) __attribute__((format(printf, 1, 2))); // returns -1
int StoreFailHDF5(void); // the deepest entry of HDF5's error stack, or the errno text in it; returns -1
const char *StoreReason(void);
#define STORE_TRY(call)                                                                                                \
  do {                                                                                                                 \
    if ((call) < 0) return StoreFailHDF5();                                                                            \
  } while (0)

// ---- files, attributes and arrays

hid_t StoreSerialAccess(void); // property list: sec2, no locks, closing takes all handles along
// Read only, also while a job writes; after a look at what the path leads to. A file whose data lie outside of it
// (external links, external storage, virtual datasets) is refused.
hid_t StoreFileOpenSerial(const char *path);
int StoreFileIsClosed(hid_t file); // 0: nothing of it lies in other files
int StoreReadTextAttribute(hid_t file, const char *name, char *text, size_t size);
int StoreReadNumberAttribute(hid_t file, const char *name, hid_t type, void *value); // type: 4 or 8 bytes
int StoreReadSchema(hid_t file, int32_t *schema);                                    // -1: it is not a results file

int StoreFileReserve(hid_t file); // takes the space of all that HDF5 has yet to write, where running out is harmless
int StoreFileDescriptor(hid_t file);

// A dataset [rows] (width 1) or [rows, width], opened once and moved row by row.
typedef struct {
  hid_t set, space, row_space, type;
  hsize_t rows, width;
} StoreArray;

// type: of an element in memory, copied. A dataset that is larger than its file is refused.
int StoreArrayOpen(hid_t place, const char *path, hid_t type, StoreArray *array);
PetscBool StoreIsContiguous(hid_t set); // else it is a compressed or otherwise rewritten copy
// With exactly these columns; or (Older) with these but for some that a later version appended; or (ByName) with
// whatever columns of them. What is missing keeps the value that it has in memory.
int StoreTableOpenOlder(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array);
PetscBool StoreTableIsWhole(const StoreArray *array); // has all columns: rows can be written into it
int StoreTableOpen(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array);
int StoreTableOpenByName(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array);
int StoreArrayWrite(StoreArray *array, hsize_t row, const void *values);
int StoreArrayWriteRows(StoreArray *array, hsize_t first, hsize_t count, const void *values);
int StoreArrayRead(StoreArray *array, hsize_t first, hsize_t count, void *values);
void StoreArrayClose(StoreArray *array);

#endif
