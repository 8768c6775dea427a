// foreign.c -- what people have added to a results file
//
// Foreign is what the complete new file does not have. Whatever lies below something that is copied, or not kept, goes
// with it and is not looked at by itself.

#include "store/foreign.h"
#include <petscsys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *path;
  hid_t to;
} Move;

// Does the new file have the group that holds `name`?
static PetscBool HasParent(hid_t to, const char *name) {
  char parent[512];
  const char *slash = strrchr(name, '/');
  if (!slash) return PETSC_TRUE;
  snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
  for (char *end = parent; (end = strchr(end, '/')); *end++ = '/') {
    *end = 0;
    if (H5Lexists(to, parent, H5P_DEFAULT) <= 0) return PETSC_FALSE;
  }
  return H5Lexists(to, parent, H5P_DEFAULT) > 0 ? PETSC_TRUE : PETSC_FALSE;
}

static int CopyLink(hid_t from, const char *name, const H5L_info_t *info, const Move *move) {
  char target[512] = "";
  if (info->type == H5L_TYPE_HARD) {
    STORE_TRY(H5Ocopy(from, name, move->to, name, H5P_DEFAULT, H5P_DEFAULT));
    return 0;
  }
  STORE_TRY(H5Lget_val(from, name, target, sizeof target - 1, H5P_DEFAULT));
  STORE_TRY(H5Lcreate_soft(target, move->to, name, H5P_DEFAULT, H5P_DEFAULT));
  return 0;
}

// H5Lvisit's.
static herr_t VisitLink(hid_t from, const char *name, const H5L_info_t *info, void *context) {
  const Move *move = context;
  if (!HasParent(move->to, name) || H5Lexists(move->to, name, H5P_DEFAULT) > 0) return 0;
  if (!strchr(name, '/')) return CopyLink(from, name, info, move);
  (void)PetscFPrintf(PETSC_COMM_SELF, stderr, "note: %s of %s is not kept; what is added to the root would be\n", name,
                     move->path);
  return 0;
}

static int CopyAttribute(hid_t from, const char *name, hid_t to) {
  const hid_t old = H5Aopen(from, name, H5P_DEFAULT), type = H5Aget_type(old), space = H5Aget_space(old);
  const size_t size = H5Tget_size(type) * (size_t)PetscMax(H5Sget_simple_extent_npoints(space), 0);
  char *values = calloc(size + 1, 1);
  int failed = values ? 0 : StoreFail("out of memory");
  const hid_t new = failed ? -1 : H5Acreate2(to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  if (!failed && (new < 0 || (size && (H5Aread(old, type, values) < 0 || H5Awrite(new, type, values) < 0))))
    failed = StoreFailHDF5();
  if (!failed && H5Tdetect_class(type, H5T_VLEN) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
  if (new >= 0) H5Aclose(new);
  free(values);
  H5Sclose(space), H5Tclose(type), H5Aclose(old);
  return failed;
}

// H5Aiterate's.
static herr_t VisitAttribute(hid_t from, const char *name, const H5A_info_t *info, void *to) {
  (void)info;
  return H5Aexists(*(hid_t *)to, name) > 0 ? 0 : CopyAttribute(from, name, *(hid_t *)to);
}

int StoreForeignCopy(const char *path, hid_t to) {
  Move move = {path, to};
  const hid_t from = H5Fis_hdf5(path) > 0 ? StoreFileOpenSerial(path) : -1;
  int failed = 0;
  if (from < 0) return 0; // what is replaced is not such a file
  if (H5Lvisit(from, H5_INDEX_NAME, H5_ITER_NATIVE, VisitLink, &move) < 0 ||
      H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, VisitAttribute, &to) < 0)
    failed = StoreFailHDF5();
  H5Fclose(from);
  return failed;
}
