// hdf5.c -- the results file through HDF5: reasons of failures, attributes, arrays that move row by row
//
// The same arrays serve creation (serial), writing (MPI-IO, independent) and reading (serial).

#include "store/hdf5.h"
#include "store/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- reasons: kept beside HDF5's own error stack, which the next call would clear

static char reason[512];

void StoreBegin(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  reason[0] = 0;
}

const char *StoreReason(void) {
  return reason;
}

int StoreFail(const char *format, ...) {
  va_list arguments;
  if (reason[0]) return -1;
  va_start(arguments, format);
  vsnprintf(reason, sizeof(reason), format, arguments);
  va_end(arguments);
  return -1;
}

// HDF5 spells a failed system call as "..., errno = 28, error message = 'No space left on device', ...".
static herr_t KeepDeepest(unsigned depth, const H5E_error2_t *entry, void *unused) {
  static const char mark[] = "error message = '";
  const char *text = entry->desc ? entry->desc : "HDF5 failed";
  const char *inner = strstr(text, mark);
  (void)unused;
  if (depth > 0) return 0;
  if (!inner)
    StoreFail("%s", text);
  else
    StoreFail("%.*s", (int)strcspn(inner + sizeof(mark) - 1, "'"), inner + sizeof(mark) - 1);
  return 0;
}

int StoreFailHDF5(void) {
  if (!reason[0]) H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepDeepest, NULL);
  return StoreFail("HDF5 failed");
}

// ---- files

hid_t StoreSerialAccess(void) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(access, 0, 1);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  return access;
}

// H5Ovisit's: -1 for a dataset whose bytes lie elsewhere.
static herr_t LooksOutside(hid_t file, const char *name, const H5O_info_t *info, void *unused) {
  (void)unused;
  if (info->type != H5O_TYPE_DATASET) return 0;
  const hid_t set = H5Oopen(file, name, H5P_DEFAULT), how = H5Dget_create_plist(set);
  const PetscBool elsewhere = H5Pget_external_count(how) > 0 ? PETSC_TRUE : PETSC_FALSE;
  const PetscBool is_view = H5Pget_layout(how) == H5D_VIRTUAL ? PETSC_TRUE : PETSC_FALSE;
  H5Pclose(how), H5Dclose(set);
  if (elsewhere) return StoreFail("%s keeps its data in another file; expected a file that holds all of its own", name);
  return is_view ? StoreFail("%s is a view into other datasets; expected a file that holds all of its own", name) : 0;
}

// H5Lvisit's: -1 for a link into another file.
static herr_t LeadsOutside(hid_t group, const char *name, const H5L_info_t *info, void *unused) {
  (void)group, (void)unused;
  if (info->type == H5L_TYPE_HARD || info->type == H5L_TYPE_SOFT) return 0;
  return StoreFail("%s is a link into another file; expected a file that holds all of its own", name);
}

int StoreFileIsClosed(hid_t file) {
  STORE_TRY(H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, LeadsOutside, NULL));
  STORE_TRY(H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, LooksOutside, NULL, H5O_INFO_BASIC));
  return 0;
}

static int CheckPath(const char *path) {
  struct stat info;
  if (stat(path, &info)) return StoreFail("%s", strerror(errno));
  if (!S_ISREG(info.st_mode)) return StoreFail("it is not a regular file");
  return H5Fis_hdf5(path) > 0 ? 0 : StoreFail("it is not an HDF5 file");
}

hid_t StoreFileOpenSerial(const char *path) {
  STORE_TRY(CheckPath(path));
  const hid_t access = StoreSerialAccess(), file = H5Fopen(path, H5F_ACC_RDONLY, access);
  if (file < 0) StoreFailHDF5();
  H5Pclose(access);
  if (file < 0 || !StoreFileIsClosed(file)) return file;
  H5Fclose(file);
  return -1;
}

// ---- attributes of the root

int StoreReadTextAttribute(hid_t file, const char *name, char *text, size_t size) {
  const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT), stored = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute), type = H5Tcopy(H5T_C_S1);
  const int known = attribute >= 0 && H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) == 0 &&
                    H5Sget_simple_extent_npoints(space) == 1;
  memset(text, 0, size);
  H5Tset_size(type, size);
  if (!known)
    StoreFail("attribute %s is missing or not a text", name);
  else if (H5Aread(attribute, type, text) < 0)
    StoreFailHDF5();
  H5Tclose(type), H5Sclose(space), H5Tclose(stored), H5Aclose(attribute);
  return reason[0] ? -1 : 0;
}

int StoreReadNumberAttribute(hid_t file, const char *name, hid_t type, void *value) {
  const hid_t attribute = H5Aopen(file, name, H5P_DEFAULT), stored = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  const int known = attribute >= 0 && H5Tget_class(stored) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1;
  if (!known)
    StoreFail("attribute %s is missing or not an integer", name);
  else if (H5Aread(attribute, type, value) < 0)
    StoreFailHDF5();
  H5Sclose(space), H5Tclose(stored), H5Aclose(attribute);
  return reason[0] ? -1 : 0;
}

int StoreReadSchema(hid_t file, int32_t *schema) {
  if (H5Aexists(file, "schema") <= 0) return StoreFail("it is an HDF5 file, but not a results file of ctpgbench");
  return StoreReadNumberAttribute(file, "schema", H5T_NATIVE_INT32, schema);
}

// ---- arrays

#define MOST_COMPRESSED 1100 // bytes that one byte of deflate can stand for

// HDF5 1.10 converts rows whose columns a damaged header places outside of them, and crashes.
static PetscBool ColumnsAreInside(hid_t row) {
  const int n = H5Tget_class(row) == H5T_COMPOUND ? H5Tget_nmembers(row) : 0;
  PetscBool inside = PETSC_TRUE;
  for (int i = 0; i < n; i++) {
    const hid_t column = H5Tget_member_type(row, (unsigned)i);
    if (H5Tget_member_offset(row, (unsigned)i) + H5Tget_size(column) > H5Tget_size(row)) inside = PETSC_FALSE;
    H5Tclose(column);
  }
  return inside;
}

PetscBool StoreIsContiguous(hid_t set) {
  const hid_t how = H5Dget_create_plist(set);
  const PetscBool contiguous = H5Pget_layout(how) == H5D_CONTIGUOUS ? PETSC_TRUE : PETSC_FALSE;
  H5Pclose(how);
  return contiguous;
}

// Contiguous data that are larger than their file come from a damaged header: nothing is allocated for them. With
// MPI-IO HDF5 does not know the size any more once it has written: such a file was read serially before.
static int CheckExtent(const char *path, hid_t set, hid_t space) {
  const hid_t stored = H5Dget_type(set), file = H5Iget_file_id(set);
  const double bytes = (double)H5Sget_simple_extent_npoints(space) * (double)H5Tget_size(stored);
  const int rank = H5Sget_simple_extent_ndims(space);
  hsize_t file_bytes = 0;
  const int known = H5Fget_filesize(file, &file_bytes) >= 0;
  const PetscBool inside = ColumnsAreInside(stored);
  H5Tclose(stored), H5Fclose(file);
  if (!inside) return StoreFail("%s is damaged", path);
  if (rank != 1 && rank != 2) return StoreFail("%s has %d dimensions, not one or two", path, rank);
  if (known && bytes > (double)file_bytes * (StoreIsContiguous(set) ? 1 : MOST_COMPRESSED))
    return StoreFail("%s is larger than its file", path);
  return 0;
}

int StoreArrayOpen(hid_t place, const char *path, hid_t type, StoreArray *array) {
  hsize_t size[2] = {0, 1};
  array->set = H5Dopen2(place, path, H5P_DEFAULT);
  STORE_TRY(array->set);
  STORE_TRY(array->space = H5Dget_space(array->set));
  STORE_TRY(CheckExtent(path, array->set, array->space));
  STORE_TRY(H5Sget_simple_extent_dims(array->space, size, NULL));
  STORE_TRY(array->row_space = H5Screate_simple(1, size + 1, NULL));
  STORE_TRY(array->type = H5Tcopy(type));
  array->rows = size[0], array->width = size[1];
  return 0;
}

PetscBool StoreTableIsWhole(const StoreArray *array) {
  const hid_t stored = H5Dget_type(array->set);
  const PetscBool same = H5Tequal(stored, array->type) > 0 ? PETSC_TRUE : PETSC_FALSE;
  H5Tclose(stored);
  return same;
}

int StoreTableOpen(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array) {
  STORE_TRY(StoreTableOpenByName(file, path, layout, array));
  return StoreTableIsWhole(array) ? 0 : StoreFail("%s has other columns than this program's", path);
}

// Column i of what is stored is a column of ours, of the same type; at: where in ours to look for it, then for the
// next.
static PetscBool IsColumnOfOurs(hid_t stored, unsigned i, hid_t ours, int *at) {
  const int n = H5Tget_nmembers(ours);
  char *name = H5Tget_member_name(stored, i);
  PetscBool found = PETSC_FALSE;
  while (name && !found && *at < n) {
    char *other = H5Tget_member_name(ours, (unsigned)*at);
    const hid_t a = H5Tget_member_type(stored, i), b = H5Tget_member_type(ours, (unsigned)*at);
    found = other && !strcmp(name, other) && H5Tequal(a, b) > 0 ? PETSC_TRUE : PETSC_FALSE;
    H5Tclose(a), H5Tclose(b);
    H5free_memory(other);
    ++*at;
  }
  H5free_memory(name);
  return found;
}

int StoreTableOpenOlder(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array) {
  STORE_TRY(StoreTableOpenByName(file, path, layout, array));
  const hid_t stored = H5Dget_type(array->set);
  const int n = H5Tget_class(stored) == H5T_COMPOUND ? H5Tget_nmembers(stored) : 0;
  PetscBool ours = n > 0 ? PETSC_TRUE : PETSC_FALSE;
  for (int i = 0, at = 0; ours && i < n; i++) ours = IsColumnOfOurs(stored, (unsigned)i, array->type, &at);
  H5Tclose(stored);
  return ours ? 0 : StoreFail("%s has other columns than this program's", path);
}

int StoreTableOpenByName(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array) {
  const hid_t type = StoreRowType(layout);
  const int failed = StoreArrayOpen(file, path, type, array);
  H5Tclose(type);
  return failed;
}

static int SelectRows(StoreArray *array, hsize_t first, hsize_t count) {
  const hsize_t start[2] = {first, 0}, extent[2] = {count, array->width};
  if (count > array->rows || first > array->rows - count) return StoreFail("there is no row %.6g", (double)first);
  STORE_TRY(H5Sselect_hyperslab(array->space, H5S_SELECT_SET, start, NULL, extent, NULL));
  return 0;
}

int StoreArrayWrite(StoreArray *array, hsize_t row, const void *values) {
  STORE_TRY(SelectRows(array, row, 1));
  STORE_TRY(H5Dwrite(array->set, array->type, array->row_space, array->space, H5P_DEFAULT, values));
  return 0;
}

// values: to be read into, or written.
static int MoveRows(StoreArray *array, hsize_t first, hsize_t count, void *values, PetscBool write) {
  const hsize_t extent = count * array->width;
  hid_t memory;
  herr_t status;
  if (!count) return 0;
  STORE_TRY(SelectRows(array, first, count));
  STORE_TRY(memory = H5Screate_simple(1, &extent, NULL));
  status = write ? H5Dwrite(array->set, array->type, memory, array->space, H5P_DEFAULT, values)
                 : H5Dread(array->set, array->type, memory, array->space, H5P_DEFAULT, values);
  if (status < 0) StoreFailHDF5();
  H5Sclose(memory);
  return status < 0 ? -1 : 0;
}

int StoreArrayWriteRows(StoreArray *array, hsize_t first, hsize_t count, const void *values) {
  return MoveRows(array, first, count, (void *)values, PETSC_TRUE);
}

int StoreArrayRead(StoreArray *array, hsize_t first, hsize_t count, void *values) {
  return MoveRows(array, first, count, values, PETSC_FALSE);
}

void StoreArrayClose(StoreArray *array) {
  if (array->type > 0) H5Tclose(array->type);
  if (array->row_space > 0) H5Sclose(array->row_space);
  if (array->space > 0) H5Sclose(array->space);
  if (array->set > 0) H5Dclose(array->set);
  memset(array, 0, sizeof(*array));
}

int StoreFileDescriptor(hid_t file) {
  int *descriptor = NULL;
  return H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&descriptor) < 0 || !descriptor ? -1 : *descriptor;
}

// HDF5 holds metadata back until the flush, and a flush that fails leaves 1.10.8 with a file that it cannot close
// ("slist already enabled?") and crashes on at exit. So the space is taken first, where running out of it is harmless.
int StoreFileReserve(hid_t file) {
  hsize_t bytes = 0;
  int error;
  STORE_TRY(H5Fget_filesize(file, &bytes));
  error = posix_fallocate(StoreFileDescriptor(file), 0, (off_t)bytes);
  if (error && error != EOPNOTSUPP && error != EINVAL) return StoreFail("%s", strerror(error));
  return 0;
}
