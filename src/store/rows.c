// store_rows.c -- rows of the results file as bytes: the X-macros of store.h turned into lists of columns

#include "store/store_private.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

#define COLUMN(row, kind, name, digest, unit, text)                                                                    \
  { #name, unit, text, STORE_##kind, digest, offsetof(row, name), sizeof(((row *)0)->name) }
#define RUN_COLUMN(kind, name, digest, unit, text)  COLUMN(CtpgRunRow, kind, name, digest, unit, text),
#define CASE_COLUMN(kind, name, digest, unit, text) COLUMN(CtpgCaseRow, kind, name, digest, unit, text),
#define TEXT_COLUMN(name, text)                     COLUMN(StoreSession, TEXT, name, 0, "", text)
#define LENGTH(array)                               ((int)(sizeof(array) / sizeof((array)[0])))

static const StoreColumn RUN_COLUMNS[] = {CTPG_RUN_COLUMNS(RUN_COLUMN)};
static const StoreColumn CASE_COLUMNS[] = {CTPG_CASE_COLUMNS(CASE_COLUMN)};
static const StoreColumn COMMIT_COLUMNS[] = {
    COLUMN(StoreCommit, U64, checksum, 0, "", "FNV-1a64 over the packed row, then its arrays"),
    COLUMN(StoreCommit, I32, status, 0, "", "status of the row; -1: not committed")};
static const StoreColumn SESSION_COLUMNS[] = {TEXT_COLUMN(start, "UTC, ISO 8601; empty: row not used yet"),
                                              TEXT_COLUMN(end, "UTC; empty: still running, or killed"),
                                              TEXT_COLUMN(commit, "commit of the program"),
                                              TEXT_COLUMN(compiler, "compiler"),
                                              TEXT_COLUMN(isa, "instruction set and BLAS"),
                                              TEXT_COLUMN(flags, "compiler flags"),
                                              TEXT_COLUMN(versions, "PETSc, MPI, HDF5 and others"),
                                              TEXT_COLUMN(binding, "cores that the ranks are bound to"),
                                              TEXT_COLUMN(hosts, "hosts of the ranks"),
                                              TEXT_COLUMN(command_line, "command line"),
                                              COLUMN(StoreSession, I32, ranks, 0, "1", "number of MPI ranks")};

const StoreLayout StoreRunLayout = {LENGTH(RUN_COLUMNS), RUN_COLUMNS};
const StoreLayout StoreCaseLayout = {LENGTH(CASE_COLUMNS), CASE_COLUMNS};
const StoreLayout StoreCommitLayout = {LENGTH(COMMIT_COLUMNS), COMMIT_COLUMNS};
const StoreLayout StoreSessionLayout = {LENGTH(SESSION_COLUMNS), SESSION_COLUMNS};

// Tables of labels: all of CtpgLabelInfo. The sizes of strings are those of the file.
#define LABEL(kind, name, size, unit, text)                                                                            \
  { #name, unit, text, STORE_##kind, 0, offsetof(CtpgLabelInfo, name), size }
static const StoreColumn PROBLEM_COLUMNS[] = {
    LABEL(STRING, label, 1, "", "label, the options prefix"),
    LABEL(STRING, type, 1, "", "type of the problem"),
    LABEL(I32, version, 4, "", "version of the type"),
    LABEL(STRING, options, 1, "", "resolved options, one `name = value` a line"),
    LABEL(STRING, given, 1, "", "options that were given, likewise"),
    LABEL(STRING, bibtex, 1, "", "citation"),
    LABEL(INT, nx, 8, "1", "states"),
    LABEL(INT, nu, 8, "1", "controls"),
    LABEL(INT, no, 8, "1", "observations"),
    LABEL(INT, np, 8, "1", "parameters of the policy"),
    LABEL(INT, ntask, 8, "1", "random numbers of a case beside x0"),
    LABEL(F64, T, 8, "s", "horizon"),
    LABEL(STRING, policy, 1, "", "policy: layers and activations"),
    LABEL(STRING, derivatives, 1, "", "where derivatives of the plant come from"),
    LABEL(F64, cost_f, 8, "s", "measured time of an evaluation of the closed loop"),
    LABEL(F64, cost_vjp, 8, "s", "measured time of a joint vector-Jacobian product")};
static const StoreColumn POLICY_COLUMNS[] = {
    LABEL(STRING, label, 1, "", "label of the problem that it steers"),
    LABEL(STRING, policy, 1, "", "layers and activations"), LABEL(INT, np, 8, "1", "parameters"),
    LABEL(STRING, theta_source, 1, "", "philox, or the file that the parameters came from"),
    LABEL(BOOL, has_theta, 4, "", "1: cases/<label>/theta holds the parameters")};
static const StoreColumn ESTIMATOR_COLUMNS[] = {
    LABEL(STRING, label, 1, "", "label, the options prefix"),
    LABEL(STRING, type, 1, "", "type of the estimator"),
    LABEL(I32, version, 4, "", "version of the type"),
    LABEL(STRING, options, 1, "", "resolved options, one `name = value` a line"),
    LABEL(STRING, given, 1, "", "options that were given, likewise"),
    LABEL(STRING, bibtex, 1, "", "citation"),
    LABEL(STRING, knob, 1, "", "option that sets the accuracy"),
    LABEL(F64, order, 8, "1", "order of the error of dL/dtheta"),
    LABEL(STRING, language, 1, "", "what its wallclock is that of: C, or an interpreter")};
const StoreLayout StoreProblemLayout = {LENGTH(PROBLEM_COLUMNS), PROBLEM_COLUMNS};
const StoreLayout StorePolicyLayout = {LENGTH(POLICY_COLUMNS), POLICY_COLUMNS};
const StoreLayout StoreEstimatorLayout = {LENGTH(ESTIMATOR_COLUMNS), ESTIMATOR_COLUMNS};

void StoreRowClear(const StoreLayout *layout, void *row, size_t size) {
  const double nan_value = NAN;
  memset(row, 0, size);
  for (int i = 0; i < layout->n; i++) {
    if (layout->column[i].kind == STORE_F64) memcpy((char *)row + layout->column[i].offset, &nan_value, 8);
  }
}

void CtpgRunRowClear(CtpgRunRow *row) {
  StoreRowClear(&StoreRunLayout, row, sizeof(*row));
  row->status = CTPG_PENDING;
}

void CtpgCaseRowClear(CtpgCaseRow *row) {
  StoreRowClear(&StoreCaseLayout, row, sizeof(*row));
  row->status = CTPG_PENDING;
}

void StoreTextCopy(char *to, const char *text, size_t size) {
  const size_t length = text ? strnlen(text, size - 1) : 0;
  memset(to, 0, size);
  if (length) memcpy(to, text, length);
}

size_t StoreRowBytes(const StoreLayout *layout) {
  size_t bytes = 0;
  for (int i = 0; i < layout->n; i++) bytes += layout->column[i].size;
  return bytes;
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
