// smallfile.c -- see smallfile.h

#include "store/smallfile.h"
#include "store/fileguard.h"
#include "store/hdf5.h"
#include "store/place.h"
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PetscErrorCode SmallFileCheck(const char *path, const char *member, const char *kind) {
  char copy[PETSC_MAX_PATH_LEN];

  PetscFunctionBeginUser;
  PetscCheck(strlen(path) + 5 < sizeof copy, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-out is a path of %zu characters; expected at most %zu", strlen(path), sizeof copy - 6);
  PetscCall(PetscStrncpy(copy, path, sizeof copy));
  PetscCheck(!access(dirname(copy), W_OK), PETSC_COMM_WORLD, PETSC_ERR_FILE_WRITE, "-out %s cannot be written: %s",
             path, strerror(errno));
  if (access(path, F_OK)) PetscFunctionReturn(0);
  StoreBegin();
  FileGuardBegin(path);
  const hid_t file = StoreFileOpenSerial(path);
  const PetscBool ours = file >= 0 && H5Lexists(file, member, H5P_DEFAULT) > 0 ? PETSC_TRUE : PETSC_FALSE;
  if (file >= 0) H5Fclose(file);
  FileGuardEnd();
  PetscCheck(ours, PETSC_COMM_WORLD, PETSC_ERR_FILE_UNEXPECTED,
             "-out %s exists and is not a %s file; expected another name", path, kind);
  PetscFunctionReturn(0);
}

PetscErrorCode SmallFileBegin(hid_t *file) {
  PetscFunctionBeginUser;
  StoreBegin();
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, 1 << 20, 0); // where the disk is full HDF5 cannot close a file any more
  *file = H5Fcreate("small", H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  if (*file < 0) StoreFailHDF5();
  PetscFunctionReturn(0);
}

int SmallFileReals(hid_t file, const char *name, PetscInt rows, PetscInt width, const PetscReal *values) {
  const hsize_t size[2] = {(hsize_t)rows, (hsize_t)width};
  const hid_t links = H5Pcreate(H5P_LINK_CREATE);
  const hid_t space = rows > 0 ? H5Screate_simple(width > 1 ? 2 : 1, size, NULL) : H5Screate(H5S_SCALAR);
  H5Pset_create_intermediate_group(links, 1);
  const hid_t set = H5Dcreate2(file, name, H5T_IEEE_F64LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  const int status = set >= 0 ? H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) : -1;
  if (set >= 0) H5Dclose(set);
  H5Sclose(space);
  H5Pclose(links);
  return status < 0 ? StoreFailHDF5() : 0;
}

int SmallFileAttribute(hid_t object, const char *name, hid_t type, const void *value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const int status = attribute >= 0 ? H5Awrite(attribute, type, value) : -1;
  if (attribute >= 0) H5Aclose(attribute);
  H5Sclose(space);
  return status < 0 ? StoreFailHDF5() : 0;
}

int SmallFileText(hid_t object, const char *name, const char *text) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, strlen(text) + 1);
  const int status = SmallFileAttribute(object, name, type, text);
  H5Tclose(type);
  return status;
}

// The bytes of the file; NULL on failure.
static void *GetImage(hid_t file, size_t *size) {
  ssize_t bytes = -1;
  void *image = NULL;
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0) bytes = H5Fget_file_image(file, NULL, 0);
  if (bytes > 0 && (image = malloc((size_t)bytes)) && H5Fget_file_image(file, image, (size_t)bytes) != bytes) {
    free(image);
    image = NULL;
  }
  if (!image) StoreFailHDF5();
  *size = image ? (size_t)bytes : 0;
  return image;
}

static int WriteBytes(int descriptor, const char *bytes, size_t size) {
  size_t written = 0;
  while (written < size) {
    const ssize_t more = write(descriptor, bytes + written, size - written);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return StoreFail("%s", strerror(errno));
    written += (size_t)more;
  }
  return 0;
}

PetscErrorCode SmallFileEnd(const char *path, int status, hid_t *file) {
  StorePart part = {.descriptor = -1};
  size_t size;

  PetscFunctionBeginUser;
  void *image = *file >= 0 && status == 0 ? GetImage(*file, &size) : NULL;
  status = image && !StorePartBegin(path, &part) && !WriteBytes(part.descriptor, image, size) && !StorePartEnd(&part)
               ? 0
               : -1;
  StorePartCancel(&part);
  free(image);
  if (*file >= 0) H5Fclose(*file);
  *file = -1;
  PetscCheck(status == 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_WRITE, "-out %s cannot be written: %s", path, StoreReason());
  PetscFunctionReturn(0);
}
