// schema.c -- the lists of columns of schema.h turned into layouts

#include "store/schema.h"
#include "store/rows.h"
#include <string.h>

#define RUN_COLUMN(kind, name, digest, unit, text)  STORE_COLUMN(CtpgRunRow, kind, name, digest, unit, text),
#define CASE_COLUMN(kind, name, digest, unit, text) STORE_COLUMN(CtpgCaseRow, kind, name, digest, unit, text),
#define SESSION_COLUMN(name, size, text)            STORE_COLUMN(CtpgSession, TEXT, name, 0, "", text),

static const StoreColumn RUN_COLUMNS[] = {CTPG_RUN_COLUMNS(RUN_COLUMN)};
static const StoreColumn CASE_COLUMNS[] = {CTPG_CASE_COLUMNS(CASE_COLUMN)};
static const StoreColumn COMMIT_COLUMNS[] = {
    STORE_COLUMN(StoreCommit, U64, checksum_0, 0, "", "sum of the packed row, then its arrays: bytes 0-7 of SHA-256"),
    STORE_COLUMN(StoreCommit, U64, checksum_1, 0, "", "bytes 8-15"),
    STORE_COLUMN(StoreCommit, I32, status, 0, "", "status of the row; -1: not committed")};
static const StoreColumn SESSION_COLUMNS[] = {
    CTPG_SESSION_TEXTS(SESSION_COLUMN) STORE_COLUMN(CtpgSession, I32, ranks, 0, "1", "number of MPI ranks"),
    STORE_COLUMN(CtpgSession, U64, checksum_0, 0, "", "sum of the packed row before it: bytes 0-7 of SHA-256"),
    STORE_COLUMN(CtpgSession, U64, checksum_1, 0, "", "bytes 8-15")};

const StoreLayout StoreRunLayout = {STORE_LENGTH(RUN_COLUMNS), RUN_COLUMNS};
const StoreLayout StoreCaseLayout = {STORE_LENGTH(CASE_COLUMNS), CASE_COLUMNS};
const StoreLayout StoreCommitLayout = {STORE_LENGTH(COMMIT_COLUMNS), COMMIT_COLUMNS};
const StoreLayout StoreSessionLayout = {STORE_LENGTH(SESSION_COLUMNS), SESSION_COLUMNS};

// Tables of labels: all of CtpgLabelInfo. The sizes of strings are those of the file; 0: files made before the column
// was there do not have it.
#define LABEL(kind, name, size, unit, text)                                                                            \
  { #name, unit, text, STORE_##kind, 0, offsetof(CtpgLabelInfo, name), size }
#define OUTSIDE_TEXT "what decides bits beside the program's own functions: libm,blas, one of them, or none"
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
    LABEL(STRING, outside, 0, "", OUTSIDE_TEXT),
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
    LABEL(STRING, language, 1, "", "what its wallclock is that of: C, an interpreter, or imported: another program"),
    LABEL(STRING, outside, 0, "", OUTSIDE_TEXT)};
const StoreLayout StoreProblemLayout = {STORE_LENGTH(PROBLEM_COLUMNS), PROBLEM_COLUMNS};
const StoreLayout StorePolicyLayout = {STORE_LENGTH(POLICY_COLUMNS), POLICY_COLUMNS};
const StoreLayout StoreEstimatorLayout = {STORE_LENGTH(ESTIMATOR_COLUMNS), ESTIMATOR_COLUMNS};

int LabelBits(const CtpgLabelInfo *info) {
  const char *outside = info->outside && info->outside[0] ? info->outside : "libm,blas";
  return CTPG_BITS_ALWAYS | (strstr(outside, "libm") ? CTPG_BITS_LIBM : 0) |
         (strstr(outside, "blas") ? CTPG_BITS_BLAS : 0);
}

void CtpgRunRowClear(CtpgRunRow *row) {
  StoreRowClear(&StoreRunLayout, row, sizeof(*row));
  row->status = CTPG_PENDING;
}

void CtpgCaseRowClear(CtpgCaseRow *row) {
  StoreRowClear(&StoreCaseLayout, row, sizeof(*row));
  row->status = CTPG_PENDING;
}
