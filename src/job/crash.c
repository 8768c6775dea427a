// crash.c -- marks of runs that took their process down (crash.h)
//
// CrashWatch fills in, before an item begins, all that a mark and a sentence need: a record with the key, and the text.
// The handler of the deadly signals then only writes both, restores the default action and raises the signal again:
// between the signal and the end of the process only async-signal-safe calls are made. It runs on a stack of its own,
// so that an overflow of the stack is marked, too. Reading checks each record's checksum: a torn one is no mark.

#define _GNU_SOURCE // on_exit
#include "job/crash.h"
#include "base/system.h"
#include "base/visitors.h"
#include "job/errors.h"
#include "store/place.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = "ctpgmark";

typedef struct {
  char magic[8];
  int32_t kind, signal;
  uint64_t key, checksum;
  uint64_t reserved; // 0
} Record;
_Static_assert(sizeof(Record) == 40, "records lie at multiples of 40 bytes");

// What the handler reads.
static struct {
  volatile CtpgCrashKind kind;
  uint64_t key;
  char words[192];
  char path[PETSC_MAX_PATH_LEN];
  int descriptor, rank;
} watch = {.descriptor = -1};

static const struct {
  int number;
  const char *name;
} SIGNALS[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"}};
#define NSIGNALS (sizeof SIGNALS / sizeof *SIGNALS)

const char *CrashSignalName(int number) {
  for (size_t i = 0; i < NSIGNALS; i++)
    if (SIGNALS[i].number == number) return SIGNALS[i].name;
  if (number == CTPG_CRASH_SILENT) return "no evaluation for longer than -run_time_limit";
  return number ? "a signal" : "exit()";
}

// ---- marks

static uint64_t Checksum(const Record *record) {
  return CtpgHash(CTPG_HASH_START, record, offsetof(Record, checksum));
}

static const char *Explain(int reason) {
  return reason == ELOOP                       ? "it is a symbolic link"
         : reason == EINVAL || reason == ENXIO ? "it is not a regular file"
                                               : strerror(reason);
}

// Torn records, and the zeros before the record of a later rank, give no mark.
PetscErrorCode CrashRead(const char *path, PetscInt *n, CtpgCrashMark **marks) {
  char name[PETSC_MAX_PATH_LEN];
  struct stat info = {0};
  Record record;

  PetscFunctionBeginUser;
  *n = 0;
  *marks = NULL;
  PetscCall(StorePathBeside(path, ".crash", name));
  const int descriptor = StoreOpenBeside(name, O_RDONLY);
  PetscCheck(descriptor >= 0 || errno == ENOENT, PETSC_COMM_SELF, PETSC_ERR_FILE_OPEN, "Cannot read %s: %s", name,
             Explain(errno));
  FILE *file = descriptor >= 0 ? fdopen(descriptor, "rb") : NULL;
  if (!file) PetscFunctionReturn(0);
  if (fstat(fileno(file), &info)) info.st_size = 0;
  PetscCall(PetscMalloc1(info.st_size / (off_t)sizeof record + 1, marks));
  for (off_t left = info.st_size / (off_t)sizeof record; left > 0 && fread(&record, sizeof record, 1, file); left--)
    if (!memcmp(record.magic, MAGIC, sizeof MAGIC) && record.checksum == Checksum(&record))
      (*marks)[(*n)++] = (CtpgCrashMark){(CtpgCrashKind)record.kind, record.signal, record.key};
  fclose(file);
  PetscFunctionReturn(0);
}

PetscErrorCode CrashRemove(const char *path) {
  char name[PETSC_MAX_PATH_LEN];
  PetscFunctionBeginUser;
  PetscCall(StorePathBeside(path, ".crash", name));
  PetscCheck(!StoreRemoveBeside(name), PETSC_COMM_SELF, PETSC_ERR_FILE_WRITE, "Cannot remove %s: %s", name,
             Explain(errno));
  PetscFunctionReturn(0);
}

PetscErrorCode CrashOpen(const char *path, int rank) {
  PetscFunctionBeginUser;
  PetscCall(StorePathBeside(path, ".crash", watch.path));
  watch.rank = rank;
  watch.descriptor = StoreOpenBeside(watch.path, O_WRONLY | O_CREAT);
  PetscFunctionReturn(0);
}

PetscErrorCode CrashClose(void) {
  PetscFunctionBeginUser;
  CrashUnwatch();
  if (watch.descriptor >= 0) close(watch.descriptor);
  watch.descriptor = -1;
  PetscFunctionReturn(0);
}

void CrashUnwatch(void) {
  watch.kind = CTPG_CRASH_NONE;
  atomic_signal_fence(memory_order_seq_cst);
}

void CrashWatch(CtpgCrashKind kind, uint64_t key, const char *format, ...) {
  va_list arguments;
  CrashUnwatch();
  watch.key = key;
  va_start(arguments, format);
  vsnprintf(watch.words, sizeof watch.words, format, arguments);
  va_end(arguments);
  atomic_signal_fence(memory_order_seq_cst);
  watch.kind = kind;
}

// ---- the handler

static PetscBool WriteMark(int number) {
  Record record = {.kind = watch.kind, .signal = number, .key = watch.key};
  if (watch.kind == CTPG_CRASH_NONE || watch.kind == CTPG_CRASH_UNMARKED || watch.descriptor < 0) return PETSC_FALSE;
  memcpy(record.magic, MAGIC, sizeof MAGIC);
  record.checksum = Checksum(&record);
  const ssize_t n = pwrite(watch.descriptor, &record, sizeof record, (off_t)watch.rank * (off_t)sizeof record);
  (void)fsync(watch.descriptor);
  return n == (ssize_t)sizeof record ? PETSC_TRUE : PETSC_FALSE;
}

// text [size] grows by `more`, cut to fit.
static void Append(char *text, size_t size, const char *more) {
  size_t n = strlen(text);
  while (*more && n + 1 < size) text[n++] = *more++;
  text[n] = 0;
}

static void TellWords(const char *what, PetscBool marked) {
  char text[2 * PETSC_MAX_PATH_LEN + 512] = "ctpgbench: ";
  const PetscBool watching = watch.kind != CTPG_CRASH_NONE ? PETSC_TRUE : PETSC_FALSE;
  Append(text, sizeof text, what);
  Append(text, sizeof text, watching ? " in " : " outside of any run");
  if (watching) Append(text, sizeof text, watch.words);
  if (marked) Append(text, sizeof text, ", marked in ");
  if (marked) Append(text, sizeof text, watch.path);
  if (marked) Append(text, sizeof text, ": the same command goes on without it");
  Append(text, sizeof text, "\n");
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return; // nobody listens
}

static void Tell(int number, PetscBool marked) {
  TellWords(CrashSignalName(number), marked);
}

void CrashTellGivenUp(int resumes) {
  char text[512] = "ctpgbench: ";
  Append(text, sizeof text, watch.kind != CTPG_CRASH_NONE ? watch.words : "the program");
  Append(text, sizeof text, " does not answer to the signal and is given up");
  if (resumes) Append(text, sizeof text, "; what is finished is in the file: the same command goes on from here");
  Append(text, sizeof text, "\n");
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return; // nobody listens
}

void CrashEndSilent(double seconds, int code) {
  char why[96];
  const PetscBool marked = WriteMark(CTPG_CRASH_SILENT);
  snprintf(why, sizeof why, "no evaluation for %.0f s, longer than -run_time_limit,", seconds);
  TellWords(why, marked);
  SystemLeave(marked ? code : CTPG_EXIT_ERROR);
}

static volatile int farewell; // exit code, 0: not yet

void CrashIsFarewell(int code) {
  farewell = code;
}

static void Crash(int number) {
  if (farewell) SystemLeave(farewell);
  const PetscBool marked = WriteMark(number);
  const struct sigaction standard = {.sa_handler = SIG_DFL};
  Tell(number, marked);
  sigaction(number, &standard, NULL);
  raise(number); // blocked until this handler returns
}

void CrashInstall(void) {
  static char stack[65536]; // of its own: the usual one may be what has overflowed
  const stack_t place = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction action = {.sa_handler = Crash, .sa_flags = SA_ONSTACK};
  sigfillset(&action.sa_mask);
  sigaltstack(&place, NULL);
  for (size_t i = 0; i < NSIGNALS; i++) sigaction(SIGNALS[i].number, &action, NULL);
}

// ---- exit

static PetscBool exit_is_forbidden;
static pid_t this_process;

// The main thread, which runs are computed in. From another one MPI leaves when its launcher is gone, which is no fault
// of the run that is under way.
static PetscBool IsMainThread(void) {
  return gettid() == getpid() ? PETSC_TRUE : PETSC_FALSE;
}

// The copy that a user's code forked, as Python's multiprocessing does, ends without MPI's and PETSc's farewells.
static void NoteExit(int code, void *context) {
  (void)context;
  if (!exit_is_forbidden) return;
  if (VisitorsAreForked() || !IsMainThread()) SystemLeave(code);
  Tell(0, WriteMark(0));
  fflush(NULL);
  SystemLeave(code ? code : 1);
}

// Seen by everything that is loaded into the process, before the C library's. A child of vfork, whose memory is ours,
// may end as it likes.
__attribute__((visibility("default"), noreturn)) void _exit(int code) {
  if (!exit_is_forbidden || getpid() != this_process || !IsMainThread()) SystemLeave(code);
  Tell(0, WriteMark(0));
  SystemLeave(code ? code : 1);
}

__attribute__((visibility("default"), noreturn)) void _Exit(int code) {
  _exit(code);
}

void CrashForbidExit(void) {
  static PetscBool installed;
  if (!installed) on_exit(NoteExit, NULL);
  this_process = getpid();
  installed = exit_is_forbidden = PETSC_TRUE;
}

void CrashAllowExit(void) {
  exit_is_forbidden = PETSC_FALSE;
}
