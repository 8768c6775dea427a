// thetafile.c -- trained policies from an HDF5 file (thetafile.h), by serial HDF5
//
// FILE:PATH[@ITERATION] is taken apart at the last `:/`, so that a colon in the file's name does no harm. PATH is a
// pair of a training file, whose theta is [seeds, snapshots, np], any other group with a theta, or any dataset of np
// numbers or of rows of them. Checksums lie beside theta in its group. What does not fit is told with what the file
// holds: the neighbours of a path, the iterations that were kept. The whole table is read once; a seed then takes its
// row.

#include "run/thetafile.h"
#include "store/hdf5.h"
#include "store/schema.h"
#include "store/train_sums.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "F:/path@iteration" in its parts.
typedef struct {
  char file[PETSC_MAX_PATH_LEN], path[512];
  int64_t iteration; // -1: the last
} Place;

static PetscErrorCode ParsePlace(const char *text, Place *place) {
  const char *colon = NULL;
  PetscFunctionBeginUser;
  for (const char *c = strstr(text, ":/"); c; c = strstr(c + 1, ":/")) colon = c;
  PetscCheck(colon && colon > text, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-theta_file %s: expected FILE:/training/<problem>/<estimator>[@iteration], or FILE:/path of a dataset",
             text);
  snprintf(place->file, sizeof place->file, "%.*s", (int)(colon - text), text);
  snprintf(place->path, sizeof place->path, "%s", colon + 1);
  place->iteration = -1;
  char *at = strrchr(place->path, '@');
  if (!at) PetscFunctionReturn(0);
  char *end;
  *at = 0;
  place->iteration = strtoll(at + 1, &end, 10);
  PetscCheck(end > at + 1 && !*end && place->iteration >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-theta_file %s: %s is not an iteration", text, at + 1);
  PetscFunctionReturn(0);
}

// "; /training/electric holds ctpg, bptt" for a path that is not there.
static void NameNeighbours(hid_t file, const char *path, char *text, size_t size) {
  char parent[512];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (!slash || slash == parent) return;
  *slash = 0;
  const hid_t group = H5Gopen2(file, parent, H5P_DEFAULT);
  hsize_t n = 0;
  if (group < 0) {
    NameNeighbours(file, parent, text, size);
    return;
  }
  H5Gget_num_objs(group, &n);
  size_t used = (size_t)snprintf(text, size, "; %s holds", parent);
  for (hsize_t i = 0; i < n && used + 64 < size; i++) {
    char name[64] = "";
    H5Gget_objname_by_idx(group, i, name, sizeof name);
    used += (size_t)snprintf(text + used, size - used, "%s %s", i ? "," : "", name);
  }
  H5Gclose(group);
}

// ---- the policy of a training file ----

typedef struct {
  char label[CTPG_LABEL_SIZE], policy[512];
} PolicyRow;

static hid_t PolicyRowType(void) {
  const hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(PolicyRow)), label = H5Tcopy(H5T_C_S1), policy = H5Tcopy(H5T_C_S1);
  H5Tset_size(label, sizeof((PolicyRow *)0)->label), H5Tset_size(policy, sizeof((PolicyRow *)0)->policy);
  H5Tinsert(row, "label", HOFFSET(PolicyRow, label), label);
  H5Tinsert(row, "policy", HOFFSET(PolicyRow, policy), policy);
  H5Tclose(label), H5Tclose(policy);
  return row;
}

// Text of the policy of /training/<problem>/..; "" where the file does not say.
static int ReadPolicy(hid_t file, const char *path, char *policy, size_t size) {
  static const char prefix[] = "/training/";
  const size_t length = sizeof prefix - 1;
  StoreArray table = {0};
  policy[0] = 0;
  if (strncmp(path, prefix, length) || H5Lexists(file, "policies", H5P_DEFAULT) <= 0) return 0;
  const hid_t type = PolicyRowType();
  int failed = StoreArrayOpen(file, "policies", type, &table);
  for (hsize_t r = 0; !failed && r < table.rows; r++) {
    PolicyRow row = {0};
    const size_t label = strcspn(path + length, "/");
    failed = StoreArrayRead(&table, r, 1, &row);
    row.label[sizeof row.label - 1] = row.policy[sizeof row.policy - 1] = 0;
    if (strlen(row.label) == label && !strncmp(row.label, path + length, label))
      snprintf(policy, size, "%s", row.policy);
  }
  StoreArrayClose(&table), H5Tclose(type);
  return failed;
}

// ---- arrays ----

static int ReadIntegers(hid_t group, const char *name, hsize_t n, int64_t *values) {
  const hid_t set = H5Dopen2(group, name, H5P_DEFAULT), space = H5Dget_space(set);
  int failed = set < 0 || H5Sget_simple_extent_npoints(space) != (hssize_t)n
                   ? StoreFail("%s beside theta does not fit to it", name)
                   : 0;
  if (!failed && n && H5Dread(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    failed = StoreFailHDF5();
  H5Sclose(space), H5Dclose(set);
  return failed;
}

static int ReadSeeds(hid_t group, CtpgThetaTable *table) {
  if (group >= 0 && H5Lexists(group, "seed", H5P_DEFAULT) > 0)
    return ReadIntegers(group, "seed", (hsize_t)table->rows, table->seeds);
  for (PetscInt r = 0; r < table->rows; r++) table->seeds[r] = r;
  return 0;
}

// Which of n snapshots; -1 after telling which there are.
static int FindSnapshot(hid_t group, hsize_t n, int64_t iteration, hsize_t *k) {
  int64_t *snapshots = calloc(n + 1, sizeof *snapshots);
  char known[256] = "";
  int failed = snapshots ? ReadIntegers(group, "snapshot", n, snapshots) : StoreFail("out of memory");
  PetscBool found = PETSC_FALSE;
  for (hsize_t i = 0; !failed && i < n; i++) {
    const size_t used = strlen(known);
    if (used + 24 < sizeof known) snprintf(known + used, 24, "%s%lld", i ? ", " : "", (long long)snapshots[i]);
    if (snapshots[i] != iteration) continue;
    *k = i;
    found = PETSC_TRUE;
  }
  free(snapshots);
  return failed  ? -1
         : found ? 0
                 : StoreFail("no policy was kept at iteration %lld, only at %s", (long long)iteration, known);
}

static int ReadSums(hid_t group, hsize_t rows, hsize_t snapshots, StoreSum *sums) {
  const hid_t set = H5Dopen2(group, "theta_checksum", H5P_DEFAULT), space = H5Dget_space(set);
  const hssize_t expected = (hssize_t)(rows * snapshots * 2);
  int failed = H5Sget_simple_extent_npoints(space) != expected ? StoreFail("theta_checksum does not fit to theta") : 0;
  if (!failed && H5Dread(set, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, sums) < 0) failed = StoreFailHDF5();
  H5Sclose(space), H5Dclose(set);
  return failed;
}

// Which policies of snapshot k are not what was written; nothing where the file has no sums.
static int CheckSums(hid_t group, hsize_t snapshots, hsize_t k, CtpgThetaTable *table) {
  const size_t rows = (size_t)table->rows;
  if (H5Lexists(group, "theta_checksum", H5P_DEFAULT) <= 0) return 0;
  StoreSum *sums = malloc((rows * snapshots + 1) * sizeof *sums);
  int64_t *iterations = malloc((snapshots + 1) * sizeof *iterations);
  table->damaged = calloc(rows + 1, sizeof *table->damaged);
  int failed = sums && iterations && table->damaged ? 0 : StoreFail("out of memory");
  if (!failed)
    failed = ReadSums(group, rows, snapshots, sums) || ReadIntegers(group, "snapshot", snapshots, iterations);
  for (size_t r = 0; !failed && r < rows; r++) {
    const StoreSum found = TrainThetaSum(iterations[k], table->np, table->theta + r * (size_t)table->np);
    table->damaged[r] = StoreSumsAgree(&found, sums + r * snapshots + k) ? PETSC_FALSE : PETSC_TRUE;
  }
  free(sums), free(iterations);
  return failed;
}

// theta [np], [rows, np] or [rows, snapshots, np]; group: what holds it, -1: nothing is known beside it.
static int ReadTheta(hid_t set, hid_t group, int64_t iteration, CtpgThetaTable *table) {
  hsize_t size[3] = {1, 1, 1}, start[3] = {0, 0, 0}, count[3];
  const hid_t space = H5Dget_space(set);
  const int dimensions = H5Sget_simple_extent_ndims(space);
  if (dimensions < 1 || dimensions > 3) return StoreFail("theta has %d dimensions, not one to three", dimensions);
  H5Sget_simple_extent_dims(space, size, NULL);
  table->single = dimensions == 1 ? PETSC_TRUE : PETSC_FALSE;
  table->rows = dimensions == 1 ? 1 : (PetscInt)size[0];
  table->np = (PetscInt)size[dimensions - 1];
  memcpy(count, size, sizeof count);
  if (dimensions == 3) {
    start[1] = size[1] - 1, count[1] = 1;
    if (iteration >= 0 && FindSnapshot(group, size[1], iteration, &start[1])) return -1;
  } else if (iteration >= 0)
    return StoreFail("it holds no snapshots, so @%lld means nothing", (long long)iteration);
  table->theta = malloc(((size_t)table->rows * (size_t)table->np + 1) * sizeof *table->theta);
  table->seeds = malloc(((size_t)table->rows + 1) * sizeof *table->seeds);
  if (!table->theta || !table->seeds) return StoreFail("out of memory");
  const hid_t memory = H5Screate_simple(dimensions, count, NULL);
  int failed = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
               H5Dread(set, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, table->theta) < 0;
  if (failed) StoreFailHDF5();
  H5Sclose(memory), H5Sclose(space);
  if (failed || ReadSeeds(group, table)) return -1;
  return group >= 0 ? CheckSums(group, dimensions == 3 ? size[1] : 1, start[1], table) : 0;
}

static int ReadPlace(hid_t file, const Place *place, CtpgThetaTable *table) {
  char neighbours[512] = "";
  const hid_t object = H5Oopen(file, place->path, H5P_DEFAULT);
  if (object < 0) {
    NameNeighbours(file, place->path, neighbours, sizeof neighbours);
    return StoreFail("there is no %s%s", place->path, neighbours);
  }
  const PetscBool is_group = H5Iget_type(object) == H5I_GROUP ? PETSC_TRUE : PETSC_FALSE;
  if (is_group && H5Lexists(object, "theta", H5P_DEFAULT) <= 0)
    return StoreFail("%s has no dataset theta", place->path);
  const hid_t set = is_group ? H5Dopen2(object, "theta", H5P_DEFAULT) : object;
  return H5Iget_type(set) == H5I_DATASET ? ReadTheta(set, is_group ? object : -1, place->iteration, table)
                                         : StoreFail("%s is not a dataset", place->path);
}

PetscErrorCode ThetaFileRead(const char *text, const char *policy, PetscInt np, CtpgThetaTable *table) {
  char found[512] = "";
  Place place;

  PetscFunctionBeginUser;
  *table = (CtpgThetaTable){0};
  PetscCall(ParsePlace(text, &place));
  StoreBegin();
  const hid_t file = StoreFileOpenSerial(place.file);
  PetscCheck(file >= 0, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "-theta_file %s: %s cannot be read: %s", text,
             place.file, StoreReason());
  const int failed = ReadPolicy(file, place.path, found, sizeof found) || ReadPlace(file, &place, table);
  H5Fclose(file);
  PetscCheck(!failed, PETSC_COMM_WORLD, PETSC_ERR_FILE_UNEXPECTED, "-theta_file %s: %s", text, StoreReason());
  PetscCheck(!found[0] || !strcmp(found, policy), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-theta_file %s: it holds policies %s, but this problem's is %s", text, found, policy);
  PetscCheck(table->np == np, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-theta_file %s: it holds %d parameters, but policy %s has %d", text, (int)table->np, policy, (int)np);
  if (!table->damaged)
    PetscCall(PetscFPrintf(PETSC_COMM_WORLD, stderr, "note: %s has no checksums: its policies are taken as they are\n",
                           place.file));
  PetscCall(PetscStrallocpy(text, &table->text));
  PetscFunctionReturn(0);
}

PetscErrorCode ThetaTableDestroy(CtpgThetaTable *table) {
  PetscFunctionBeginUser;
  free(table->seeds), free(table->theta), free(table->damaged);
  PetscCall(PetscFree(table->text));
  *table = (CtpgThetaTable){0};
  PetscFunctionReturn(0);
}

PetscErrorCode ThetaTableGet(const CtpgThetaTable *table, int64_t seed, PetscReal *theta) {
  PetscInt row = table->single ? 0 : -1;
  PetscFunctionBeginUser;
  for (PetscInt r = 0; row < 0 && r < table->rows; r++)
    if (table->seeds[r] == seed) row = r;
  PetscCheck(row >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-theta_file %s has no policy of seed %lld; its %d seeds begin with %lld", table->text, (long long)seed,
             (int)table->rows, table->rows ? (long long)table->seeds[0] : -1);
  PetscCall(PetscArraycpy(theta, table->theta + (size_t)row * (size_t)table->np, table->np));
  PetscCheck(!table->damaged || !table->damaged[row] || isnan(theta[0]), PETSC_COMM_WORLD, PETSC_ERR_FILE_READ,
             "-theta_file %s: the policy of seed %lld fails its checksum: the file was damaged", table->text,
             (long long)seed);
  for (PetscInt k = 0; k < table->np; k++)
    PetscCheck(isfinite(theta[k]), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-theta_file %s: the policy of seed %lld is not finite; its training has not come so far, or diverged",
               table->text, (long long)seed);
  PetscFunctionReturn(0);
}
