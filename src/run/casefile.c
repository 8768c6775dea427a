// casefile.c -- a start and parameters from an HDF5 file, and a gradient into one (casefile.h), by serial HDF5
//
// Datasets are read as real numbers whatever their type, attributes as numbers or as texts of fixed or variable length,
// since h5py and numpy write different ones. Helpers return -1 and leave a sentence behind (StoreFail); the caller puts
// file and case before it and raises the error. What is missing keeps its default.

#include "run/casefile.h"
#include "store/fileguard.h"
#include "store/smallfile.h"
#include "store/hdf5.h"
#include <math.h>
#include <stdio.h>

#define LARGEST_ARRAY ((hssize_t)1 << 27) // numbers; more is not a case but a mistake

// ---- reading ----

// Dataset `name` of group as reals; *n = 0 where it does not exist. -1: exists but cannot be read as numbers.
static int ReadReals(hid_t group, const char *name, PetscInt *n, PetscReal **values) {
  *n = 0;
  *values = NULL;
  if (H5Lexists(group, name, H5P_DEFAULT) <= 0) return 0;
  const hid_t set = H5Dopen2(group, name, H5P_DEFAULT);
  if (set < 0) return -1;
  const hid_t space = H5Dget_space(set);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  int status = count >= 0 && count <= LARGEST_ARRAY ? 0 : -1;
  if (status == 0 && PetscMalloc1(count, values)) status = -1;
  if (status == 0) status = H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) < 0 ? -1 : 0;
  if (status == 0) *n = (PetscInt)count;
  H5Sclose(space);
  H5Dclose(set);
  return status;
}

static int ReadRealAttribute(hid_t group, const char *name, PetscReal *value) {
  if (H5Aexists(group, name) <= 0) return 0;
  const hid_t attribute = H5Aopen(group, name, H5P_DEFAULT), space = H5Aget_space(attribute);
  const int status = H5Sget_simple_extent_npoints(space) == 1 ? H5Aread(attribute, H5T_NATIVE_DOUBLE, value) : -1;
  H5Sclose(space);
  H5Aclose(attribute);
  return status < 0 ? -1 : 0;
}

// Appends an entry of `activations` to a comma list.
static void AppendWord(char *list, size_t size, const char *word, size_t length) {
  const size_t used = strlen(list);
  if (used + length + 2 > size) return;
  snprintf(list + used, size - used, "%s%.*s", used ? "," : "", (int)length, word);
}

// A string attribute, scalar or a list, of fixed (numpy) or variable length (h5py), as a comma list.
static int ReadTextAttribute(hid_t group, const char *name, char *text, size_t size) {
  text[0] = 0;
  if (H5Aexists(group, name) <= 0) return 0;
  const hid_t attribute = H5Aopen(group, name, H5P_DEFAULT), type = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute), memory = H5Tcopy(type);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  const size_t length = H5Tget_size(type);
  int status = H5Tget_class(type) == H5T_STRING && count > 0 && count < 1000 && length < 4096 ? 0 : -1;
  if (status == 0 && H5Tis_variable_str(type) > 0) {
    char **words = calloc((size_t)count, sizeof *words);
    status = words && H5Aread(attribute, memory, words) >= 0 ? 0 : -1;
    for (hssize_t i = 0; status == 0 && i < count; i++)
      if (words[i]) AppendWord(text, size, words[i], strlen(words[i]));
    if (status == 0) H5Dvlen_reclaim(memory, space, H5P_DEFAULT, words);
    free(words);
  } else if (status == 0) {
    char *words = calloc((size_t)count, length + 1);
    status = words && H5Aread(attribute, memory, words) >= 0 ? 0 : -1;
    for (hssize_t i = 0; status == 0 && i < count; i++)
      AppendWord(text, size, words + (size_t)i * length, strnlen(words + (size_t)i * length, length));
    free(words);
  }
  H5Tclose(memory);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return status;
}

static int ReadLayers(hid_t group, CtpgCaseFile *file) {
  hssize_t count = 0;
  int status = 0;
  if (H5Aexists(group, "layers") <= 0) return 0;
  const hid_t attribute = H5Aopen(group, "layers", H5P_DEFAULT), space = H5Aget_space(attribute);
  count = H5Sget_simple_extent_npoints(space);
  double *widths = count >= 2 && count < 1000 ? calloc((size_t)count, sizeof *widths) : NULL; // 2.5 is to be seen
  if (!widths || PetscMalloc1(count, &file->layers)) status = -1;
  if (status == 0 && H5Aread(attribute, H5T_NATIVE_DOUBLE, widths) < 0) status = -1;
  for (hssize_t i = 0; status == 0 && i < count; i++) {
    if (!(widths[i] >= 1 && widths[i] <= 1000000 && widths[i] == floor(widths[i])))
      status = -1;
    else
      file->layers[i] = (PetscInt)widths[i];
  }
  if (status == 0) file->nlayers = (PetscInt)count - 1;
  free(widths);
  H5Sclose(space);
  H5Aclose(attribute);
  return status;
}

// NULL, or what is wrong with the group.
static const char *ReadGroup(hid_t group, CtpgCaseFile *file) {
  if (ReadReals(group, "x0", &file->nx, &file->x0) < 0) return "dataset x0 does not hold numbers";
  if (ReadReals(group, "theta", &file->np, &file->theta) < 0) return "dataset theta does not hold numbers";
  if (ReadReals(group, "goals", &file->ntask, &file->task) < 0) return "dataset goals does not hold numbers";
  if (!file->nx) return "there is no dataset x0";
  if (!file->np) return "there is no dataset theta";
  if (ReadRealAttribute(group, "horizon", &file->horizon) < 0) return "attribute horizon is not a number";
  if (H5Aexists(group, "horizon") > 0 && !(file->horizon >= 1e-6 && file->horizon <= 1e6))
    return "attribute horizon is not a positive number from 1e-6 to 1e6";
  if (ReadLayers(group, file) < 0)
    return "attribute layers is not a list of two or more positive widths, whole numbers";
  if (ReadTextAttribute(group, "activations", file->activations, sizeof file->activations) < 0)
    return "attribute activations is not a list of words";
  for (PetscInt i = 0; i < file->nx; i++)
    if (!isfinite(file->x0[i])) return "x0 holds a number that is not finite";
  for (PetscInt i = 0; i < file->np; i++)
    if (!isfinite(file->theta[i])) return "theta holds a number that is not finite";
  for (PetscInt i = 0; i < file->ntask; i++)
    if (!isfinite(file->task[i])) return "goals holds a number that is not finite";
  return NULL;
}

static herr_t AppendGroupName(hid_t file, const char *name, const H5L_info_t *info, void *list) {
  (void)file, (void)info;
  if (strlen(list) < 200) AppendWord(list, 256, name, strlen(name));
  return 0;
}

PetscErrorCode CaseFileRead(const char *path, const char *name, CtpgCaseFile *file) {
  char known[256] = "";
  const char *wrong = NULL;

  PetscFunctionBeginUser;
  PetscCall(PetscMemzero(file, sizeof *file));
  StoreBegin();
  FileGuardBegin(path);
  const hid_t handle = StoreFileOpenSerial(path);
  if (handle < 0) FileGuardEnd();
  PetscCheck(handle >= 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "-case_file %s cannot be read: %s", path,
             StoreReason());
  const PetscBool found = name[0] && H5Lexists(handle, name, H5P_DEFAULT) > 0 ? PETSC_TRUE : PETSC_FALSE;
  const hid_t group = found ? H5Gopen2(handle, name, H5P_DEFAULT) : -1;
  if (found) wrong = group < 0 ? "it is not a group" : ReadGroup(group, file);
  H5Literate(handle, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, AppendGroupName, known);
  if (group >= 0) H5Gclose(group);
  H5Fclose(handle);
  FileGuardEnd();
  PetscCheck(found, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-case %s is not in %s, which holds %s", name, path,
             known[0] ? known : "nothing");
  PetscCheck(!wrong, PETSC_COMM_WORLD, PETSC_ERR_FILE_UNEXPECTED, "-case_file %s, case %s: %s", path, name, wrong);
  PetscFunctionReturn(0);
}

PetscErrorCode CaseFileDestroy(CtpgCaseFile *file) {
  PetscFunctionBeginUser;
  PetscCall(PetscFree(file->x0));
  PetscCall(PetscFree(file->theta));
  PetscCall(PetscFree(file->task));
  PetscCall(PetscFree(file->layers));
  PetscFunctionReturn(0);
}

// NULL, or what is wrong with the gradient of an open file, in `sentence`.
static const char *ReadGradient(hid_t file, PetscInt np, PetscReal *gtheta, char sentence[160]) {
  PetscReal *values;
  PetscInt n, i = 0;
  if (H5Lexists(file, "grad_theta", H5P_DEFAULT) <= 0) return "there is no dataset grad_theta";
  if (ReadReals(file, "grad_theta", &n, &values) < 0) return "dataset grad_theta does not hold numbers";
  while (i < n && isfinite(values[i])) i++;
  sentence[0] = 0;
  if (n != np)
    snprintf(sentence, 160, "grad_theta holds %d numbers; the policy of this problem has %d parameters", (int)n,
             (int)np);
  else if (i < n)
    snprintf(sentence, 160, "grad_theta[%d] is %g; expected finite numbers", (int)i, values[i]);
  else
    memcpy(gtheta, values, (size_t)n * sizeof *values);
  (void)PetscFree(values);
  return sentence[0] ? sentence : NULL;
}

PetscErrorCode GradientFileRead(const char *path, PetscInt np, PetscReal *gtheta) {
  char sentence[160];

  PetscFunctionBeginUser;
  StoreBegin();
  FileGuardBegin(path);
  const hid_t handle = StoreFileOpenSerial(path);
  const char *wrong = handle < 0 ? NULL : ReadGradient(handle, np, gtheta, sentence);
  if (handle >= 0) H5Fclose(handle);
  FileGuardEnd();
  PetscCheck(handle >= 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "-gradient %s cannot be read: %s", path,
             StoreReason());
  PetscCheck(!wrong, PETSC_COMM_WORLD, PETSC_ERR_FILE_UNEXPECTED, "-gradient %s: %s", path, wrong);
  PetscFunctionReturn(0);
}

// ---- writing ----

static int WriteContents(hid_t file, const CtpgGradientFile *g) {
  const struct {
    const char *name, *text;
  } texts[] = {{"problem", g->problem}, {"estimator", g->estimator}, {"knob", g->knob},
               {"case", g->name},       {"status", g->status},       {"reason", g->reason}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (SmallFileText(file, texts[i].name, texts[i].text) < 0) return -1;
  if (SmallFileReals(file, "loss", 0, 1, &g->loss) < 0 || SmallFileReals(file, "grad_x0", g->nx, 1, g->gx0) < 0 ||
      SmallFileReals(file, "grad_theta", g->np, 1, g->gtheta) < 0 || SmallFileReals(file, "x0", g->nx, 1, g->x0) < 0 ||
      SmallFileReals(file, "theta", g->np, 1, g->theta) < 0)
    return -1;
  if (SmallFileAttribute(file, "accuracy", H5T_NATIVE_DOUBLE, &g->accuracy) < 0 ||
      SmallFileAttribute(file, "horizon", H5T_NATIVE_DOUBLE, &g->horizon) < 0 ||
      SmallFileAttribute(file, "wall", H5T_NATIVE_DOUBLE, &g->wall) < 0 ||
      SmallFileAttribute(file, "nfe", H5T_NATIVE_INT64, &g->nfe) < 0)
    return -1;
#define WRITE_COUNT(kind)                                                                                              \
  if (SmallFileAttribute(file, #kind, H5T_NATIVE_INT64, &g->counts.kind) < 0) return -1;
  CTPG_COUNTS(WRITE_COUNT)
#undef WRITE_COUNT
  return 0;
}

PetscErrorCode GradientFileCheck(const char *path) {
  PetscFunctionBeginUser;
  PetscCall(SmallFileCheck(path, "grad_theta", "gradient"));
  PetscFunctionReturn(0);
}

PetscErrorCode GradientFileWrite(const char *path, const CtpgGradientFile *g) {
  hid_t file;
  PetscFunctionBeginUser;
  PetscCall(SmallFileBegin(&file));
  const int status = WriteContents(file, g);
  PetscCall(SmallFileEnd(path, status, &file));
  PetscFunctionReturn(0);
}
