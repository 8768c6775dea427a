// crash.h -- a run that takes its process down costs that run: its own handler marks it, the next session skips it
//
// SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT (abort() in a plug-in, mju_error) of this process write one record into
// FILE.crash, which was opened beforehand, say one sentence on stderr and let the process die of the signal, so that
// mpirun sees it. So does a call of exit() or _exit(), and a run that does not evaluate anything for longer than its
// -run_time_limit (watchdog.h). A SIGKILL, and the end that others prepare with MPI_Abort or by killing the launcher,
// leave no mark: such runs are repeated. The next session makes rows with status crashed of the marks, brings them to
// the disk and removes the marks.
//
//   FILE.crash  records of 40 bytes, little-endian, rank r's at byte 40 r (no two ranks ever write one place, whatever
//               the file system): "ctpgmark", kind, signal (32 bits each), key, FNV-1a64 of these (64 bits each); zeros
//               where there is none
#ifndef CTPG_CRASH_H
#define CTPG_CRASH_H

#include "ctpgbench/base.h"

// UNMARKED: named when it crashes, but there is no file for a mark.
typedef enum { CTPG_CRASH_NONE, CTPG_CRASH_RUN, CTPG_CRASH_CASE, CTPG_CRASH_UNMARKED } CtpgCrashKind;

// After PetscInitialize, which has handlers of its own; again, where a user's code has put its own in their place.
void CrashInstall(void);
// Until CrashAllowExit a call of exit() or _exit(), by whatever code, is treated like a crash, with signal 0: a
// sentence, a mark, and an exit code that is not 0. This library has an _exit of its own for that, which plug-ins and
// interpreters find before that of the C library; the program itself leaves by SystemLeave.
void CrashForbidExit(void);
void CrashAllowExit(void);
// An error was told, and the libraries say farewell: should one of them crash in that, as HDF5 1.10 does over a file
// that a full disk kept it from closing, the process ends with `code` and without another word.
void CrashIsFarewell(int code);
// This rank's marks go to path.crash from now on. Every rank, when nobody removes the file any more. Where it cannot be
// opened (a node without the folder: only a writing rank 0 needs it), this rank leaves no marks.
PetscErrorCode CrashOpen(const char *path, int rank);
PetscErrorCode CrashClose(void);
// What this rank is about to do: the run or the reference of key, in words ("ctpg on lqr, seed 3"); and when it is
// over.
void CrashWatch(CtpgCrashKind kind, uint64_t key, const char *format, ...) PETSC_ATTRIBUTE_FORMAT(3, 4);
void CrashUnwatch(void);
// In a handler: what is under way is marked as silent and named on stderr, and the process ends with `code`, or with
// CTPG_EXIT_ERROR where there is no file for a mark.
#define CTPG_CRASH_SILENT (-1) // in place of a signal
void CrashEndSilent(double seconds, int code);
// "<what> does not answer to the signal and is given up" on stderr; safe in a handler.
void CrashTellGivenUp(int resumes);

typedef struct {
  CtpgCrashKind kind;
  int signal;
  uint64_t key;
} CtpgCrashMark;
// The marks at path.crash, allocated here (PetscFree); none where there is no such file. Damaged records are left out.
PetscErrorCode CrashRead(const char *path, PetscInt *n, CtpgCrashMark **marks);
PetscErrorCode CrashRemove(const char *path); // the file; fine where there is none
const char *CrashSignalName(int signal);      // "SIGSEGV"; words for 0 and for CTPG_CRASH_SILENT

#endif
