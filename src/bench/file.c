// file.c -- a bench as a small HDF5 file: table `bench` of BenchRow, beside it which machine and which program it is of

#include "bench/file.h"
#include "job/session.h"
#include "store/hdf5.h"
#include "store/smallfile.h"
#include "store/datasets.h"
#include <stdlib.h>
#include <string.h>

static const StoreColumn COLUMNS[] = {
    STORE_COLUMN(BenchRow, TEXT, name, 0, "", "what was measured"),
    STORE_COLUMN(BenchRow, F64, value, 0, "", "see unit"), STORE_COLUMN(BenchRow, TEXT, unit, 0, "", "unit of value"),
    STORE_COLUMN(BenchRow, I32, counted, 0, "", "1: a ratio of instructions, which bench -against compares")};
static const StoreLayout LAYOUT = {STORE_LENGTH(COLUMNS), COLUMNS};

static int WriteRows(hid_t file, const BenchRows *rows) {
  unsigned char bytes[sizeof(BenchRow)];
  StoreArray table;
  STORE_TRY(StoreTableCreate(file, "bench", &LAYOUT, rows->n, NULL));
  STORE_TRY(StoreTableOpen(file, "bench", &LAYOUT, &table));
  int failed = 0;
  for (PetscInt i = 0; i < rows->n && !failed; i++) {
    StoreRowPack(&LAYOUT, rows->row + i, bytes);
    failed = StoreArrayWrite(&table, (hsize_t)i, bytes);
  }
  StoreArrayClose(&table);
  return failed;
}

static int WriteHead(hid_t file, const CtpgSession *session) {
  STORE_TRY(SmallFileText(file, "kind", "bench"));
  STORE_TRY(SmallFileText(file, "isa", session->isa));
  STORE_TRY(SmallFileText(file, "commit", session->commit));
  STORE_TRY(SmallFileText(file, "compiler", session->compiler));
  return SmallFileText(file, "versions", session->versions);
}

PetscErrorCode BenchFileWrite(const char *path, const BenchRows *rows) {
  CtpgSession session;
  hid_t file;
  PetscFunctionBeginUser;
  PetscCall(SessionDescribe(PETSC_COMM_SELF, &session));
  PetscCall(SmallFileBegin(&file));
  const int failed = WriteHead(file, &session) || WriteRows(file, rows) ? -1 : 0;
  PetscCall(SmallFileEnd(path, failed, &file));
  PetscFunctionReturn(0);
}

static int ReadRows(hid_t file, BenchRows *rows) {
  unsigned char bytes[sizeof(BenchRow)];
  StoreArray table;
  STORE_TRY(StoreTableOpen(file, "bench", &LAYOUT, &table));
  int failed = PetscCalloc1(table.rows + 1, &rows->row) ? StoreFail("out of memory") : 0;
  for (hsize_t i = 0; i < table.rows && !failed; i++) {
    failed = StoreArrayRead(&table, i, 1, bytes);
    StoreRowUnpack(&LAYOUT, bytes, rows->row + i);
  }
  rows->n = rows->room = failed ? 0 : (PetscInt)table.rows;
  StoreArrayClose(&table);
  return failed;
}

PetscErrorCode BenchFileRead(const char *path, BenchRows *rows) {
  char kind[16] = "";
  PetscFunctionBeginUser;
  StoreBegin();
  const hid_t file = StoreFileOpenSerial(path);
  int failed = file < 0 || StoreReadTextAttribute(file, "kind", kind, sizeof kind);
  if (!failed && strcmp(kind, "bench")) failed = StoreFail("it is of kind %s", kind);
  if (!failed) failed = ReadRows(file, rows);
  if (file >= 0) H5Fclose(file);
  PetscCheck(!failed, PETSC_COMM_SELF, PETSC_ERR_FILE_READ,
             "%s cannot be compared with: %s; expected a file of bench -out", path, StoreReason());
  PetscFunctionReturn(0);
}
