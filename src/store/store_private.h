// store_private.h -- what creation, writing and reading of the results file share: rows as bytes, arrays, one reason
//
// Functions that return int give 0, or -1 after keeping the first reason of the failure, which the public functions turn
// into one sentence. Nothing here raises a PETSc error.
#ifndef CTPG_STORE_PRIVATE_H
#define CTPG_STORE_PRIVATE_H

#include "store/store.h"
#include <hdf5.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ctpgbench writes the bytes of its little-endian file as they lie in memory"
#endif

// ---- rows: one list of columns gives packing, HDF5 type, documentation and digest

typedef enum {
  STORE_U64,
  STORE_I64,
  STORE_I32,
  STORE_F64,
  STORE_TEXT,   // char [size] in the struct
  STORE_HOST,   // likewise
  STORE_STRING, // const char * in the struct, char [size] in the file
  STORE_INT,    // PetscInt in the struct, 64 bits in the file
  STORE_BOOL    // PetscBool in the struct, 32 bits in the file
} StoreKind;

typedef struct {
  const char *name, *unit, *text;
  StoreKind kind;
  int digest;          // 1: part of the digest
  size_t offset, size; // place in the struct, bytes in the file
} StoreColumn;

typedef struct {
  int n;
  const StoreColumn *column; // [n]
} StoreLayout;

// Rows of .../commit: written after the payload that they vouch for.
typedef struct {
  uint64_t checksum; // FNV-1a64 over the packed row, then the arrays that belong to it
  int32_t status;    // the row's status; -1: nothing is committed
} StoreCommit;

// Rows of sessions. `start` is empty in a row that was not used yet.
typedef struct {
  char start[32], end[32], commit[64], compiler[128], isa[128], flags[512], versions[512], binding[512], hosts[2048],
      command_line[2048];
  int32_t ranks;
} StoreSession;

extern const StoreLayout StoreRunLayout, StoreCaseLayout, StoreCommitLayout, StoreSessionLayout;
extern const StoreLayout StoreProblemLayout, StorePolicyLayout, StoreEstimatorLayout; // of CtpgLabelInfo

void StoreRowClear(const StoreLayout *layout, void *row, size_t size); // reals NaN, the rest zero
size_t StoreRowBytes(const StoreLayout *layout);
void StoreRowPack(const StoreLayout *layout, const void *row, unsigned char *bytes);
void StoreRowUnpack(const StoreLayout *layout, const unsigned char *bytes, void *row);
// The digest's serialisation: science columns in order, NaN as 0x7ff8000000000000. bytes NULL: only the size.
size_t StoreRowScience(const StoreLayout *layout, const void *row, unsigned char *bytes);
hid_t StoreRowType(const StoreLayout *layout); // packed, little-endian; the caller closes it
// Text as it goes into char [size]: cut to fit with its closing zero, zeros behind it; NULL counts as empty.
void StoreTextCopy(char *to, const char *text, size_t size);

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

hid_t StoreSerialAccess(void);               // property list: sec2, no locks, closing takes all handles along
hid_t StoreFileOpenSerial(const char *path); // read only, also while a job writes
int StoreReadTextAttribute(hid_t file, const char *name, char *text, size_t size);
int StoreReadNumberAttribute(hid_t file, const char *name, hid_t type, void *value); // type: 4 or 8 bytes
int StoreCheckSchema(hid_t file);

// A table of labels into info [n], which is allocated here where it is NULL.
int StoreLabelsRead(hid_t file, const char *table, const StoreLayout *layout, PetscInt n, CtpgLabelInfo **info);
void StoreLabelsFree(PetscInt n, CtpgLabelInfo *info); // as read from a file
// Parts of creation that files of other kinds share. Table: every row `fill` (NULL: zeros), units and descriptions of its
// columns as attributes. Reserve: takes the space of all that HDF5 has yet to write, where running out is harmless.
int StoreTableCreate(hid_t place, const char *name, const StoreLayout *layout, PetscInt rows, const void *fill);
int StoreCommitsCreate(hid_t place, PetscInt rows);     // table `commit`, pending
int StoreWriteStatuses(hid_t place, const char *table); // attribute statuses of a table: their words
int StoreReserve(hid_t file);
hid_t StoreGetFile(CtpgStore store); // of an open store

// A dataset [rows] (width 1) or [rows, width], opened once and moved row by row.
typedef struct {
  hid_t set, space, row_space, type;
  hsize_t rows, width;
} StoreArray;

// type: of an element in memory, copied. A dataset that is larger than its file is refused.
int StoreArrayOpen(hid_t place, const char *path, hid_t type, StoreArray *array);
int StoreTableOpen(hid_t file, const char *path, const StoreLayout *layout, StoreArray *array);
int StoreArrayWrite(StoreArray *array, hsize_t row, const void *values);
int StoreArrayRead(StoreArray *array, hsize_t first, hsize_t count, void *values);
void StoreArrayClose(StoreArray *array);

// Everything of the file that is written after its creation.
typedef struct {
  PetscInt nproblems;
  StoreArray sessions, cases, case_commit, runs, run_commit, sketch;
  StoreArray *grad_x0, *grad_theta; // [nproblems]
  StoreArray *gradient;             // [nproblems], NULL without -save_gradients
  int64_t *gradient_row;            // [runs] row in its gradient array, -1 none; NULL likewise
  hsize_t widest;                   // columns of the widest array of reals
  double *nan;                      // [widest]
} StoreArrays;

int StoreArraysOpen(hid_t file, PetscInt nproblems, char (*label)[CTPG_LABEL_SIZE], StoreArrays *arrays);
void StoreArraysClose(StoreArrays *arrays);
// Payload, then commit. A NULL array is stored as NaN.
int StoreArraysPutRun(StoreArrays *arrays, PetscInt r, const CtpgRunRow *row, const PetscReal *sketch,
                      const PetscReal *gtheta);
int StoreArraysPutCase(StoreArrays *arrays, PetscInt c, const CtpgCaseRow *row, const PetscReal *gx0,
                       const PetscReal *gtheta);

// ---- mail: rows on their way to the one writer (store_mail.c)

typedef enum { STORE_RUN, STORE_CASE, STORE_END } StoreLetterKind; // end: nothing follows from this rank

// What StorePutRun and StorePutCase are called with. A value array that is missing has n = 0.
typedef struct {
  StoreLetterKind kind;
  PetscInt index;  // row of the table
  const void *row; // CtpgRunRow, CtpgCaseRow; NULL at the end
  const PetscReal *values[2];
  PetscInt n[2];
} StoreLetter;

typedef struct {
  MPI_Comm comm; // own
  MPI_Request request[CTPG_STORE_IN_FLIGHT];
  char *bytes[CTPG_STORE_IN_FLIGHT]; // of the messages under way
  size_t room[CTPG_STORE_IN_FLIGHT];
  char *inbox; // rank 0: the last letter
  size_t inbox_room;
  int ended; // rank 0: ranks that have sent their last letter
} StoreMail;

PetscErrorCode StoreMailCreate(MPI_Comm comm, StoreMail *mail); // collective
PetscErrorCode StoreMailDestroy(StoreMail *mail);               // collective; NULL-safe
// The letter is copied; waits for the oldest messages when CTPG_STORE_IN_FLIGHT of them are under way.
PetscErrorCode StoreMailSend(StoreMail *mail, const StoreLetter *letter);
PetscErrorCode StoreMailFlush(StoreMail *mail); // waits until rank 0 has taken everything
void StoreMailNap(void);                        // between two looks: who waits must not take a core from who computes
// Rank 0: a letter that has arrived, valid until the next call; ends are counted and not handed out.
PetscErrorCode StoreMailReceive(StoreMail *mail, StoreLetter *letter, PetscBool *found);

#endif
