// fuzz_cases.c -- coverage-guided: case files that are sound HDF5, but not what the reader of case files expects
//
// The input chooses what the members of the group are (missing, a group, an array of some type and shape) and what they
// hold; damage to HDF5's own metadata is corrupt.c's. What is accepted must be usable.

#include "run/casefile.h"
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;
static char path[64];

static unsigned Draw(unsigned below) {
  if (!left) return 0;
  left--;
  return *input++ % below;
}

static void RemoveFile(void) {
  unlink(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  char quiet[] = "-no_signal_handler", *words[] = {(*argv)[0], quiet, NULL}, **arguments = words;
  int n = 2;
  (void)argc;
  snprintf(path, sizeof path, "/tmp/fuzz_cases.%d.h5", (int)getpid());
  atexit(RemoveFile);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  return PetscInitialize(&n, &arguments, NULL, NULL) || PetscPushErrorHandler(PetscReturnErrorHandler, NULL);
}

// Types that people write, and some that make no sense; the caller closes it.
static hid_t DrawType(void) {
  static const size_t sizes[] = {1, 6, 17, 5000};
  hid_t type = -1, inner;
  const hsize_t two = 2;
  switch (Draw(9)) {
  case 0:
  case 1: return H5Tcopy(H5T_IEEE_F64LE);
  case 2: return H5Tcopy(H5T_IEEE_F32BE);
  case 3: return H5Tcopy(H5T_STD_I64LE);
  case 4: return H5Tcopy(H5T_STD_U8LE);
  case 5:
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    return type;
  case 6:
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, sizes[Draw(4)]);
    return type;
  case 7:
    type = H5Tcreate(H5T_COMPOUND, 16);
    H5Tinsert(type, "a", 0, H5T_NATIVE_DOUBLE);
    return type;
  default:
    inner = H5Tcopy(H5T_NATIVE_DOUBLE);
    type = Draw(2) ? H5Tvlen_create(inner) : H5Tarray_create2(inner, 1, &two);
    H5Tclose(inner);
    return type;
  }
}

static hid_t DrawSpace(void) {
  const hsize_t extent[3] = {Draw(8), Draw(4), Draw(3)};
  const unsigned rank = Draw(5);
  return rank == 4 ? H5Screate(H5S_NULL) : rank ? H5Screate_simple((int)rank, extent, NULL) : H5Screate(H5S_SCALAR);
}

// Values from the input; those with pointers in them keep their fill value.
static void *DrawValues(hid_t type, hid_t space) {
  const hssize_t n = H5Sget_simple_extent_npoints(space);
  const size_t bytes = (size_t)(n > 0 ? n : 0) * H5Tget_size(type);
  uint8_t *values = calloc(bytes + 16, 1);
  if (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0) return values;
  for (size_t i = 0; i < bytes && left; i++) values[i] = (uint8_t)Draw(256);
  return values;
}

static void WriteDataset(hid_t group, const char *name) {
  if (!Draw(8)) return;
  if (!Draw(8)) {
    H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    return;
  }
  const hid_t type = DrawType(), space = DrawSpace();
  const hid_t set = H5Dcreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  void *values = DrawValues(type, space);
  if (set >= 0 && H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tis_variable_str(type) <= 0)
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
  free(values);
  H5Dclose(set), H5Sclose(space), H5Tclose(type);
}

static void WriteAttribute(hid_t group, const char *name) {
  static const char *words[64] = {"tanh", "linear", "", "sine", NULL, "a,b"};
  if (!Draw(3)) return;
  const hid_t type = DrawType(), space = DrawSpace();
  const hid_t attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  void *values = DrawValues(type, space);
  if (attribute >= 0 && H5Tis_variable_str(type) > 0 && H5Sget_simple_extent_npoints(space) <= 64)
    H5Awrite(attribute, type, words);
  else if (attribute >= 0 && H5Tdetect_class(type, H5T_VLEN) <= 0)
    H5Awrite(attribute, type, values);
  free(values);
  H5Aclose(attribute), H5Sclose(space), H5Tclose(type);
}

static void WriteFile(void) {
  const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t group = H5Gcreate2(file, "good", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  WriteDataset(group, "x0"), WriteDataset(group, "theta"), WriteDataset(group, "goals");
  WriteAttribute(group, "horizon"), WriteAttribute(group, "layers"), WriteAttribute(group, "activations");
  H5Gclose(group), H5Fclose(file);
}

static void RequireFinite(PetscInt n, const PetscReal *values) {
  for (PetscInt i = 0; i < n; i++)
    if (!isfinite(values[i])) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  CtpgCaseFile file;
  input = data, left = size;
  WriteFile();
  const PetscErrorCode error = CaseFileRead(path, "good", &file);
  if (!error) {
    RequireFinite(file.nx, file.x0), RequireFinite(file.np, file.theta), RequireFinite(file.ntask, file.task);
    if (file.nx < 1 || file.np < 1 || !(file.horizon >= 0)) abort();
    for (PetscInt l = 0; file.nlayers && l <= file.nlayers; l++)
      if (file.layers[l] < 1) abort();
  }
  if (CaseFileDestroy(&file)) abort();
  if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL)) abort();
  return 0;
}
